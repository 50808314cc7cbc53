//! Redaction: removes secrets from texts of AWS, of libraries and of the network.
//!
//! Out of scope: quotations of prompts and replies, which only a message of AWS has ([`loggable`](crate::aws)).

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

/// A text from outside, such as AWS's message, without secrets.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Redacted(String);

impl Redacted {
    /// Longer than any of AWS's messages with a canonical request. The rest is cut off.
    const MAX_CHARS: usize = 4000;

    /// Removes every secret, whole and in part, and the value behind the name of a header that holds one: AWS quotes the
    /// canonical request when it refuses a signature.
    pub(crate) fn new<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets: Vec<_> = secrets.into_iter().collect();
        Self::redact(text, &secrets)
    }

    fn redact(text: &str, secrets: &[&str]) -> Self {
        // The headers first: redacting a secret may break up their names.
        let mut text = without_secret_headers(text);
        // With a margin, so that the cut does not shorten a secret to less than is recognized.
        truncate(&mut text, Self::MAX_CHARS + MAX_MARGIN);
        text = without_secrets(&text, secrets);
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

/// Removes the values behind the names of headers that hold secrets, in one pass. A value ends with its line.
fn without_secret_headers(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut result = String::with_capacity(text.len());
    let mut copied = 0;
    // IncompleteSignature quotes `Authorization=AWS4-…`.
    for colon in memchr::memchr2_iter(b':', b'=', bytes) {
        // A name within a value is part of the value. In JSON a name is quoted.
        let head = bytes.get(copied..colon).unwrap_or_default();
        let quotes = head.iter().rev().take_while(|byte| b"\"'\\ ".contains(byte)).count();
        let head = head.get(..head.len() - quotes).unwrap_or_default();
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

/// Removes the secrets from a text: [`PART_BYTES`] bytes of one in a row, or all of a shorter one.
fn without_secrets(text: &str, secrets: &[&str]) -> String {
    let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
    if secrets.iter().any(|secret| secret.len() >= PART_BYTES) {
        for (at, window) in text.as_bytes().windows(PART_BYTES).enumerate() {
            places.entry(window).or_default().push(at);
        }
    }
    let mut is_secret = vec![false; text.len()];
    let mut mark =
        |at, length| is_secret.iter_mut().skip(at).take(length).for_each(|it| *it = true);
    for secret in secrets {
        if secret.len() < PART_BYTES && is_telling(secret) {
            text.match_indices(secret).for_each(|(at, it)| mark(at, it.len()));
        }
        // A window that was found is not searched again, because a text of one repeated letter would take quadratic time.
        for window in secret.as_bytes().windows(PART_BYTES) {
            for at in places.remove(window).unwrap_or_default() {
                mark(at, PART_BYTES);
            }
        }
    }
    let mut result = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if is_secret.get(at) != Some(&true) {
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

/// So many bytes of a secret in a row are a part of it, not a coincidence.
const PART_BYTES: usize = 12;

/// The longest secret that is recognized at the place where a text is cut.
const MAX_MARGIN: usize = 64;

/// Reports whether a text that occurs in a message must be a secret: a secret such as "a" occurs in each.
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
        Self::redact(&text, &[])
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
