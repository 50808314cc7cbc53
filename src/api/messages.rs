//! Anthropic's Messages API: Claude Code and the Anthropic SDKs with another base URL.
//!
//! <https://docs.claude.com/en/api/messages>
//!
//! Out of scope: what a body says ([`claude`](crate::claude)), batches, files.

mod count;
mod models;
mod parse;

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

pub(crate) use count::{estimate, parse_count, render_count};
pub(crate) use models::{find as find_model, list as list_models};

use super::envelope::Envelope;
use super::interface::{Context, Interface, RenderError, error_headers};
use super::stream_event::{StreamEvent, write_sse};
use crate::claude::{Reply, Request, pass_reply};
use crate::config::Config;
use crate::error::{Code, Error};
use crate::identifier::Identifier;
use crate::json::to_json;
use crate::log::Record;
use crate::redact::Redacted;

/// The time that the SDKs give a request.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The headers that Anthropic's SDK for JavaScript sends from a page, besides those of all routes.
pub(crate) const SDK_HEADERS: [&str; 13] = [
    "anthropic-version",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "x-stainless-arch",
    "x-stainless-helper",
    "x-stainless-helper-method",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-package-version",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
    "x-stainless-timeout",
];

/// The interface of the Messages API.
pub(crate) struct Messages;

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    error: Fault<'a>,
    request_id: &'a Identifier,
}

#[derive(Serialize)]
struct Fault<'a> {
    r#type: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// The details with which the tool runners of the SDKs go on without a thread.
#[derive(Serialize)]
struct Details {
    error_code: Code,
    unsupported: [&'static str; 1],
}

fn body(code: Code, message: &str, record: &Record) -> String {
    let (_, kind) = code.anthropic_error();
    let is_thread = code == Code::ThreadUnsupported;
    let details = is_thread.then_some(Details { error_code: code, unsupported: ["thread"] });
    let error = Fault { r#type: kind, message, details };
    to_json(&Body { r#type: "error", error, request_id: &record.request_id })
}

impl RenderError for Messages {
    fn render_error(&self, _: &str, error: &Error, record: &Record) -> Envelope {
        let (status, _) = error.code.anthropic_error();
        // Claude Code's recovery looks for Bedrock's wording.
        let message = error.upstream.as_ref().map_or(&*error.message, Redacted::as_str);
        let mut envelope = Envelope::json(status, body(error.code, message, record));
        error_headers(error, &mut envelope);
        if is_repeated(status) && (!may_help(error.code) || is_long(error)) {
            envelope.set_header("x-should-retry", false);
        }
        envelope
    }

    /// Adds the id of the request under the name that the SDKs read.
    fn add_headers(&self, envelope: &mut Envelope, record: &Record) {
        envelope.set_header("request-id", record.request_id.as_str());
    }
}

/// Reports whether the SDKs repeat a request that got this status.
fn is_repeated(status: u16) -> bool {
    [401, 408, 409, 429].contains(&status) || status >= 500
}

/// Reports whether the caller is to wait longer than a client does: the SDKs ignore a `retry-after` of more than a minute, and
/// repeat the request at once.
fn is_long(error: &Error) -> bool {
    let wait = error.headers.iter().find(|(name, _)| *name == "retry-after");
    wait.and_then(|(_, seconds)| seconds.parse::<u64>().ok()).is_some_and(|seconds| seconds > 60)
}

/// Reports whether to repeat a request within minutes may help.
fn may_help(code: Code) -> bool {
    code.is_retryable() && code != Code::BudgetExceeded
}

impl Interface for Messages {
    fn parse<'a>(
        &self,
        body: &'a mut Bytes,
        context: &Context<'_>,
        record: &mut Record,
    ) -> Result<Request<'a>, Error> {
        parse::parse(body, false, context, record)
    }

    fn render_reply(&self, request: &Request<'_>, reply: &Reply, _: &Record) -> Envelope {
        // serde_json has checked it.
        let json = std::str::from_utf8(&reply.json).unwrap_or_default();
        Envelope::json(200, pass_reply(json, request.model.as_deref().unwrap_or_default()))
    }

    fn encode_event(&self, event: &StreamEvent, record: &Record, out: &mut Vec<u8>) {
        match event {
            StreamEvent::Passed(_) => event.write_sse(out),
            StreamEvent::Error { code, message, .. } => {
                // The prefix is the article's.
                let message = message.strip_prefix("Error: ").unwrap_or(message);
                write_sse("error", body(*code, message, record).as_bytes(), out);
            }
            // Claude's own events say the rest.
            StreamEvent::Start { .. } | StreamEvent::Delta { .. } | StreamEvent::Done { .. } => {}
        }
    }

    fn max_body_bytes(&self, config: &Config) -> usize {
        config.max_messages_body_bytes
    }

    fn timeout(&self, _: &Config) -> Duration {
        TIMEOUT
    }

    fn stall(&self, _: &Config) -> Duration {
        TIMEOUT
    }

    /// Returns a `ping`: Claude Code gives up on a stream without an event for 300 seconds.
    fn keep_alive(&self) -> &'static str {
        "event: ping\ndata: {\"type\":\"ping\"}\n\n"
    }
}
