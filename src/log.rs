//! The log: one line for each request.
//!
//! A [`Record`] is filled on the way and returned, never printed: the platform decides where it goes. Its fields have
//! types that cannot hold a prompt, a reply or a secret: numbers, words of this program, identifiers, and
//! [`Redacted`].
//!
//! Out of scope: metrics, sampling, events between the start and the end of a request.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::auth::Caller;
use crate::claude::{Model, Usage, is_zero_or_unknown};
use crate::config::{Config, Endpoint, Level};
use crate::error::Code;
use crate::identifier::{Identifier, milliseconds, readable};
use crate::redact::Redacted;

/// The record of one request. It serializes to the log line, a JSON object without the fields that are unknown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// The level, by the status of the response.
    pub level: Level,
    /// `ok`, the `x-error-code` of the response, or `cancelled` if the client disconnected during a stream.
    pub outcome: &'static str,
    /// The status of the response.
    pub status: u16,
    /// The `x-request-id` of the response.
    pub request_id: Identifier,
    /// The request id that the payload of an invocation has: the caller's own choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_request_id: Option<Identifier>,
    /// The caller, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// The model that was called last, or the configured one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The region that was called last, or the configured one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The status of Bedrock's response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// Bedrock's `x-amzn-requestid`, by which AWS support finds the call.
    #[serde(rename = "x_amzn_requestid", skip_serializing_if = "Option::is_none")]
    pub upstream_request_id: Option<Identifier>,
    /// How often the call was retried, in any region.
    pub retries: u32,
    /// How many calls were made.
    #[serde(skip)]
    pub attempts: u32,
    /// Tokens of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens of the reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Tokens of the prompt that were read from Bedrock's cache. `input_tokens` does not include them.
    #[serde(skip_serializing_if = "is_zero_or_unknown")]
    pub cache_read_input_tokens: Option<u64>,
    /// Tokens of the prompt that were written to Bedrock's cache. `input_tokens` does not include them.
    #[serde(skip_serializing_if = "is_zero_or_unknown")]
    pub cache_creation_input_tokens: Option<u64>,
    /// Those of them that were written for an hour.
    #[serde(skip)]
    pub(crate) cache_creation_1h_input_tokens: Option<u64>,
    /// Whether Bedrock may bill the last call.
    #[serde(skip)]
    pub(crate) is_billed: bool,
    /// Why the model stopped, such as `end_turn` or `max_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<Identifier>,
    /// Whether a guardrail has blocked or masked something.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub guardrail_intervened: bool,
    /// The time from the call to the end of Bedrock's response, or to the first frame of a stream.
    #[serde(rename = "upstream_ms", serialize_with = "as_ms")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_time: Option<Duration>,
    /// The time from the request to the end of the response.
    #[serde(rename = "total_ms", serialize_with = "as_ms")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_time: Option<Duration>,
    /// The fields that the model turned out to refuse and that the reply does not depend on: they are no longer sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_field: Option<String>,
    /// The parts of the caller's body that were removed or changed for Bedrock, such as `tools.0.strict`.
    #[serde(serialize_with = "as_places", skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// The version of Anthropic's API that the caller asked for, if it is not a known one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anthropic_version: Option<Identifier>,
    /// The session of Claude Code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Identifier>,
    /// The id of the session, which can be all that proves whose it is: it is never logged.
    #[serde(skip)]
    pub(crate) session_id: Option<String>,
    /// The number of oldest turns that the session loses with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_turns: Option<u64>,
    /// Why temporary credentials that are still valid could not be replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_error: Option<Redacted>,
    /// The cause of the failure, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Redacted>,
}

impl Record {
    /// Starts the record of a request.
    pub fn new(request_id: Identifier) -> Self {
        Self {
            level: Level::Info,
            outcome: "ok",
            status: 200,
            request_id,
            event_request_id: None,
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
            cache_creation_1h_input_tokens: None,
            is_billed: false,
            stop_reason: None,
            guardrail_intervened: false,
            upstream_time: None,
            total_time: None,
            dropped_field: None,
            removed: Vec::new(),
            anthropic_version: None,
            session: None,
            session_id: None,
            dropped_turns: None,
            credentials_error: None,
            error: None,
        }
    }

    /// Records the configured model and region.
    pub fn configure(&mut self, config: &Config) {
        self.model = Some(config.endpoint.model_id.clone());
        self.region = Some(config.endpoint.region.clone());
    }

    /// Records that a call is made.
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
        self.learn(None, Usage::default());
    }

    /// Records why the model stopped and what is billed.
    pub(crate) fn learn(&mut self, stop_reason: Option<&Identifier>, usage: Usage) {
        self.stop_reason = stop_reason.cloned();
        self.input_tokens = usage.input_tokens;
        self.output_tokens = usage.output_tokens;
        self.cache_read_input_tokens = usage.cache_read_input_tokens;
        self.cache_creation_input_tokens = usage.cache_creation_input_tokens;
        self.cache_creation_1h_input_tokens = usage.cache_creation_1h_input_tokens;
    }

    /// Returns what is billed.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cache_read_input_tokens: self.cache_read_input_tokens,
            cache_creation_input_tokens: self.cache_creation_input_tokens,
            cache_creation_1h_input_tokens: self.cache_creation_1h_input_tokens,
        }
    }

    /// Returns the cost of the call in picodollars, if it is known.
    pub(crate) fn cost(&self) -> Option<u64> {
        let id = self.model.as_deref()?;
        Model::by_id(id)?.price?.cost(id, self.region.as_deref()?, self.usage())
    }

    /// Records a failure.
    pub(crate) fn fail(&mut self, code: Code, cause: Option<Redacted>) {
        self.outcome = code.as_str();
        self.error = cause;
    }

    /// Records the status of the response, and the level that follows from it.
    pub(crate) fn set_status(&mut self, status: u16) {
        self.status = status;
        self.level = match status {
            500.. => Level::Error,
            400.. => Level::Warn,
            _ => Level::Info,
        };
    }

    /// Returns the log line, or `None` if its level is below `LOG_LEVEL`. Without a valid configuration everything is
    /// logged: the line says what is wrong with it.
    pub fn line(&self, config: Option<&Config>) -> Option<String> {
        if config.is_some_and(|config| self.level < config.log_level) {
            return None;
        }
        serde_json::to_string(self).ok()
    }
}

/// Writes up to 100 places.
fn as_places<S: Serializer>(places: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(places.iter().take(100).map(|place| readable(place)))
}

fn as_ms<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(milliseconds).serialize(serializer)
}

#[cfg(test)]
mod tests;
