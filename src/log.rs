//! The one log line of a request.
//!
//! A [`Record`] is filled on the way and returned, never printed: where it goes is the Host's
//! business. Its fields have types that cannot hold a prompt, an answer or a secret: numbers, our
//! own words, identifiers of a checked form, and [`Redacted`].
//!
//! Out of scope: metrics, sampling, anything between the start and the end of a request.

use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

pub use redacted::Redacted;

use crate::config::{Config, Endpoint};
use crate::error::Code;
use crate::gate::Caller;
use crate::model::{Usage, is_nothing};

mod redacted;

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
    /// `ok`, the answer's `x-error-code`, or `cancelled` if the client left during a stream.
    pub outcome: &'static str,
    /// The answer's status.
    pub status: u16,
    /// The answer's `x-request-id`.
    pub request_id: Token,
    /// Who called, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// The model that was called last, or would have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The configured region, or the one that was called last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The status of Bedrock's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// Bedrock's `x-amzn-requestid`, by which AWS finds the call.
    #[serde(rename = "x_amzn_requestid", skip_serializing_if = "Option::is_none")]
    pub upstream_request_id: Option<Token>,
    /// How often the call was repeated, in any region.
    pub retries: u32,
    /// How many calls were made.
    #[serde(skip)]
    pub attempts: u32,
    /// Tokens of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Tokens of the prompt that were read from Bedrock's cache, and are not in `input_tokens`.
    #[serde(skip_serializing_if = "is_nothing")]
    pub cache_read_input_tokens: Option<u64>,
    /// Tokens of the prompt that were written to Bedrock's cache, and are not in `input_tokens`.
    #[serde(skip_serializing_if = "is_nothing")]
    pub cache_creation_input_tokens: Option<u64>,
    /// Whether Bedrock may bill the call.
    #[serde(skip)]
    pub(crate) is_billed: bool,
    /// Calls before that, which failed and may be billed all the same.
    #[serde(skip)]
    pub(crate) billed_before: u32,
    /// Why the model stopped, such as `end_turn` or `max_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<Token>,
    /// From the call to the end of Bedrock's answer, or to the first frame of a stream.
    #[serde(rename = "upstream_ms", serialize_with = "as_ms")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_time: Option<Duration>,
    /// From the event to the envelope.
    #[serde(rename = "total_ms", serialize_with = "as_ms")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_time: Option<Duration>,
    /// Why the temporary credentials, which are still good, could not be replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_error: Option<Redacted>,
    /// What went wrong, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Redacted>,
}

impl Record {
    /// Of a request that has just come in.
    pub fn new(request_id: Token) -> Self {
        Self {
            level: Level::Info,
            outcome: "ok",
            status: 200,
            request_id,
            caller: None,
            model: None,
            region: None,
            upstream_status: None,
            upstream_request_id: None,
            retries: 0,
            attempts: 0,
            input_tokens: None,
            output_tokens: None,
            cache_read_input_tokens: None,
            cache_creation_input_tokens: None,
            is_billed: false,
            billed_before: 0,
            stop_reason: None,
            upstream_time: None,
            total_time: None,
            credentials_error: None,
            error: None,
        }
    }

    /// Takes in what a call is made with.
    pub fn configure(&mut self, config: &Config) {
        self.model = Some(config.endpoint.model_id.clone());
        self.region = Some(config.endpoint.region.clone());
    }

    /// Takes in that a call is made.
    pub(crate) fn attempt(&mut self, endpoint: &Endpoint) {
        if self.region.as_ref() != Some(&endpoint.region) {
            self.region = Some(endpoint.region.clone());
        }
        if self.model.as_ref() != Some(&endpoint.model_id) {
            self.model = Some(endpoint.model_id.clone());
        }
        self.retries = self.attempts;
        self.attempts += 1;
        self.upstream_status = None;
        self.upstream_request_id = None;
    }

    /// Takes in what an answer says of itself.
    pub(crate) fn learn(&mut self, stop_reason: Option<&Token>, usage: Usage) {
        self.stop_reason = stop_reason.cloned();
        self.input_tokens = usage.input_tokens;
        self.output_tokens = usage.output_tokens;
        self.cache_read_input_tokens = usage.cache_read_input_tokens;
        self.cache_creation_input_tokens = usage.cache_creation_input_tokens;
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cache_read_input_tokens: self.cache_read_input_tokens,
            cache_creation_input_tokens: self.cache_creation_input_tokens,
        }
    }

    /// Takes in why there is none.
    pub(crate) fn fail(&mut self, code: Code, cause: Option<Redacted>) {
        self.outcome = code.as_str();
        self.error = cause;
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
    time.map(milliseconds).serialize(serializer)
}

/// Whole ones: the clocks of the edge give no more. Of 64 bits, because wasm has no greater numbers: to
/// write one takes code that the upload has for nothing else.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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

    /// A UUID of random bits.
    pub fn random(bits: u128) -> Self {
        let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        Self(id.hyphenated().to_string())
    }

    /// Whole seconds, rounded up.
    pub(crate) fn seconds(time: Duration) -> Self {
        Self(milliseconds(time).div_ceil(1000).to_string())
    }

    /// The identifier's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
