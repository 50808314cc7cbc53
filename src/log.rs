//! The one log line of a request.
//!
//! A [`Record`] is filled on the way and returned, never printed: where it goes is the Host's
//! business. Its fields have types that cannot hold a prompt, an answer or a secret: numbers, our
//! own words, identifiers of a checked form, and [`Redacted`].
//!
//! Out of scope: metrics, sampling, anything between the start and the end of a request.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::config::Config;

/// How much a line matters, and, as `LOG_LEVEL`, the lowest that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As `LOG_LEVEL`: everything.
    Debug,
    /// The request was answered.
    Info,
    /// The caller's fault: 4xx.
    Warn,
    /// Ours or Bedrock's: 5xx.
    Error,
}

impl FromStr for Level {
    type Err = ();

    /// In any case, with Python's `WARNING` and `CRITICAL` for those who come from the Lambda.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" | "critical" => Ok(Self::Error),
            _ => Err(()),
        }
    }
}

/// What happened to one request. It serializes to the log line, a JSON object; fields that are
/// not known are left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// From the answer's status.
    pub level: Level,
    /// `ok`, or the answer's `x-error-code`.
    pub outcome: &'static str,
    /// The answer's status.
    pub status: u16,
    /// The answer's `x-request-id`.
    pub request_id: Token,
    /// The configured model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The configured region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The status of Bedrock's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// Bedrock's `x-amzn-requestid`, by which AWS finds the call.
    #[serde(rename = "x_amzn_requestid", skip_serializing_if = "Option::is_none")]
    pub upstream_request_id: Option<Token>,
    /// How often the call was repeated.
    pub retries: u32,
    /// Tokens of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Why the model stopped, such as `end_turn` or `max_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<Token>,
    /// From the call to the end of Bedrock's answer.
    #[serde(rename = "upstream_ms", serialize_with = "as_ms")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_time: Option<Duration>,
    /// From the event to the envelope.
    #[serde(rename = "total_ms", serialize_with = "as_ms")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_time: Option<Duration>,
    /// What went wrong, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Redacted>,
}

impl Record {
    /// Of a request that has just come in.
    pub(crate) fn new(request_id: Token) -> Self {
        Self {
            level: Level::Info,
            outcome: "ok",
            status: 200,
            request_id,
            model: None,
            region: None,
            upstream_status: None,
            upstream_request_id: None,
            retries: 0,
            input_tokens: None,
            output_tokens: None,
            stop_reason: None,
            upstream_time: None,
            total_time: None,
            error: None,
        }
    }

    pub(crate) fn set_status(&mut self, status: u16) {
        self.status = status;
        self.level = match status {
            500.. => Level::Error,
            400.. => Level::Warn,
            _ => Level::Info,
        };
    }

    /// The log line, or nothing where `LOG_LEVEL` says so. Without a configuration everything is
    /// logged: what is wrong with it is in the line.
    pub fn line(&self, config: Option<&Config>) -> Option<String> {
        if config.is_some_and(|config| self.level < config.log_level) {
            return None;
        }
        serde_json::to_string(self).ok()
    }
}

fn as_ms<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    // Whole milliseconds: the clocks of the edge give no more.
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
}

/// An identifier from outside: 1 to 128 letters, digits, `-`, `_`, `.`, `:`, `=` or `/`, so that
/// it is a header's value and no text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token(String);

impl Token {
    /// The identifier, or `None` if the text is none.
    pub fn new(text: &str) -> Option<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=/".contains(&byte);
        let is_token = (1..=128).contains(&text.len()) && text.bytes().all(is_allowed);
        is_token.then(|| Self(text.to_owned()))
    }

    /// A random UUID.
    pub(crate) fn random(bits: u128) -> Self {
        let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        Self(id.hyphenated().to_string())
    }

    /// The identifier's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text from outside, such as AWS's message, without what must not be logged.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Redacted(String);

impl Redacted {
    /// More than any message of AWS's that carries a canonical request. What is behind it is cut.
    const MAX_CHARS: usize = 4000;

    /// Takes out every secret, what follows the name of a header that holds one (AWS quotes the
    /// canonical request when it refuses a signature), and all that is quoted from `quotable`,
    /// such as a prompt: whole, in part, or as JSON.
    pub(crate) fn new<'a>(
        text: &str,
        secrets: impl IntoIterator<Item = &'a str>,
        quotable: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut text = text.to_owned();
        // The headers first, while their names are whole.
        for header in ["x-amz-security-token:", "authorization:"] {
            let mut from = 0;
            while let Some(at) = find_ignoring_case(&text, header, from) {
                from = at + header.len();
                let tail = text.get(from..).unwrap_or_default();
                // In JSON that was not decoded a line ends in a backslash and an `n`.
                let ends = [tail.find('\n'), tail.find("\\n")];
                let length = ends.into_iter().flatten().min().unwrap_or(tail.len());
                text.replace_range(from..from + length, MARK);
            }
        }
        let mut secrets: Vec<&str> = secrets.into_iter().filter(|it| is_telling(it)).collect();
        // A secret that is a part of another must not break it up before it is found.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        for secret in secrets {
            text = text.replace(secret, MARK);
        }
        // A quote that is cut could not be told from chance, so the cut is behind a margin.
        truncate(&mut text, Self::MAX_CHARS + QUOTE_BYTES);
        text = without_quotes(&text, quotable);
        truncate(&mut text, Self::MAX_CHARS);
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const MARK: &str = "[redacted]";

/// The text without what it has in common with the sources, as they are or as JSON strings:
/// [`QUOTE_BYTES`] in a row, or all of a shorter source.
fn without_quotes<'a>(text: &str, sources: impl IntoIterator<Item = &'a str>) -> String {
    // One pass over a source, which may be long; the text is short. What was found once need not
    // be found again, or a source of one repeated letter would take for ever.
    let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (at, window) in text.as_bytes().windows(QUOTE_BYTES).enumerate() {
        places.entry(window).or_default().push(at);
    }
    let mut quoted = BTreeSet::new();
    let mut find = |source: &str| {
        if source.len() < QUOTE_BYTES && is_telling(source) {
            quoted.extend(text.match_indices(source).flat_map(|(at, it)| at..at + it.len()));
        }
        for window in source.as_bytes().windows(QUOTE_BYTES) {
            for at in places.remove(window).unwrap_or_default() {
                quoted.extend(at..at + QUOTE_BYTES);
            }
        }
    };
    for source in sources {
        find(source);
        let json = serde_json::to_string(source).unwrap_or_default();
        // Without the quotation marks around it.
        match json.get(1..json.len().saturating_sub(1)) {
            Some(json) if json != source => find(json),
            _ => {}
        }
    }
    let mut result = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if !quoted.contains(&at) {
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

/// So many bytes in a row are no coincidence. It is four or five characters of Japanese.
const QUOTE_BYTES: usize = 16;

/// Whether a text found in a message must have been quoted: a prompt such as "a" is in every one.
fn is_telling(text: &str) -> bool {
    text.len() >= 4 || !text.is_ascii()
}

fn find_ignoring_case(text: &str, name: &str, from: usize) -> Option<usize> {
    let tail = text.as_bytes().get(from..)?;
    tail.windows(name.len())
        .position(|window| window.eq_ignore_ascii_case(name.as_bytes()))
        .map(|at| from + at)
}

impl From<&'static str> for Redacted {
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
