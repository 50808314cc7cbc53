//! Redaction: removes secrets and quotations, such as a prompt, from texts of AWS, of libraries and of the network.

use std::collections::{BinaryHeap, HashMap};
use std::fmt;

use serde::Serialize;

/// A text from outside, such as AWS's message, without secrets and quotations.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Redacted(String);

impl Redacted {
    /// Longer than any of AWS's messages with a canonical request. The rest is cut off.
    const MAX_CHARS: usize = 4000;

    /// Removes every secret, the value behind the name of a header that holds one (AWS quotes the canonical request
    /// when it refuses a signature), and every quotation of `quotable`, such as a prompt: whole, in part, or as
    /// JSON.
    pub(crate) fn new<'a>(
        text: &str,
        secrets: impl IntoIterator<Item = &'a str>,
        quotable: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let (secrets, quotable) = (secrets.into_iter().collect(), quotable.into_iter().collect());
        Self::redact(text, secrets, quotable)
    }

    fn redact(text: &str, mut secrets: Vec<&str>, quotable: Vec<&str>) -> Self {
        // The headers first: redacting a secret may break up their names.
        let mut text = without_secret_headers(text);
        secrets.retain(|it| is_telling(it));
        // The longest first: a secret may be part of another.
        let by_length: BinaryHeap<_> =
            secrets.iter().map(|secret| (secret.len(), *secret)).collect();
        for (_, secret) in by_length.into_sorted_vec().iter().rev() {
            text = text.replace(secret, MARK);
        }
        // With a margin, because half a quotation could not be told from coincidence.
        truncate(&mut text, Self::MAX_CHARS + QUOTE_BYTES);
        text = without_quotes(&text, &quotable);
        truncate(&mut text, Self::MAX_CHARS);
        Self(text)
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const MARK: &str = "[redacted]";

const SECRET_HEADERS: [&str; 2] = ["x-amz-security-token", "authorization"];

/// Removes the values behind the names of headers that hold secrets, in one pass.
fn without_secret_headers(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut result = String::with_capacity(text.len());
    let mut copied = 0;
    for colon in memchr::memchr_iter(b':', bytes) {
        // A name within a value is part of the value.
        let head = bytes.get(copied..colon).unwrap_or_default();
        if !SECRET_HEADERS.iter().any(|name| ends_with_ignoring_case(head, name)) {
            continue;
        }
        let value = colon + 1;
        result.push_str(text.get(copied..value).unwrap_or_default());
        result.push_str(MARK);
        copied = value + first_line(bytes.get(value..).unwrap_or_default());
    }
    result.push_str(text.get(copied..).unwrap_or_default());
    result
}

/// Returns the length of the first line. In raw JSON a line break is a backslash and an `n`.
fn first_line(bytes: &[u8]) -> usize {
    let ends_line = |at: &usize| {
        let rest = bytes.get(*at..).unwrap_or_default();
        rest.starts_with(b"\n") || rest.starts_with(b"\\n")
    };
    memchr::memchr2_iter(b'\n', b'\\', bytes).find(ends_line).unwrap_or(bytes.len())
}

/// Removes from a text what it has in common with the sources, as they are or as JSON strings: [`QUOTE_BYTES`]
/// bytes in a row, or all of a shorter source.
fn without_quotes(text: &str, sources: &[&str]) -> String {
    // One pass over each source, which may be long; the text is short. A window that was found is not searched
    // again, because a source of one repeated letter would take quadratic time.
    let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (at, window) in text.as_bytes().windows(QUOTE_BYTES).enumerate() {
        places.entry(window).or_default().push(at);
    }
    let mut quoted = vec![false; text.len()];
    let mut quote = |at, length| quoted.iter_mut().skip(at).take(length).for_each(|it| *it = true);
    let mut find = |source: &str| {
        if source.len() < QUOTE_BYTES && is_telling(source) {
            text.match_indices(source).for_each(|(at, it)| quote(at, it.len()));
        }
        for window in source.as_bytes().windows(QUOTE_BYTES) {
            for at in places.remove(window).unwrap_or_default() {
                quote(at, QUOTE_BYTES);
            }
        }
    };
    for source in sources {
        find(source);
        let json = serde_json::to_string(source).unwrap_or_default();
        // Without its quotation marks.
        match json.get(1..json.len().saturating_sub(1)) {
            Some(json) if json != *source => find(json),
            _ => {}
        }
    }
    let mut result = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if quoted.get(at) != Some(&true) {
            result.push(character);
        } else if !result.ends_with(MARK) {
            result.push_str(MARK);
        }
    }
    result
}

fn truncate(text: &mut String, chars: usize) {
    if let Some((end, _)) = text.char_indices().nth(chars) {
        text.truncate(end);
        text.push('…');
    }
}

/// This many equal bytes in a row are a quotation. They are four or five characters of Japanese.
const QUOTE_BYTES: usize = 16;

/// Reports whether a text that occurs in a message must be a quotation: a prompt such as "a" occurs in each.
fn is_telling(text: &str) -> bool {
    text.len() >= 4 || !text.is_ascii()
}

fn ends_with_ignoring_case(text: &[u8], name: &str) -> bool {
    let end = text.len().checked_sub(name.len()).and_then(|start| text.get(start..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(name.as_bytes()))
}

/// Redacts messages of libraries and of the network, which hold secrets only behind the names of headers.
impl From<String> for Redacted {
    fn from(text: String) -> Self {
        Self::redact(&text, Vec::new(), Vec::new())
    }
}

impl From<&'static str> for Redacted {
    #[inline(never)] // Saves 1 KiB of the upload: it has many callers.
    fn from(words: &'static str) -> Self {
        Self(words.to_owned())
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
