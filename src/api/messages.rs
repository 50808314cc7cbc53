//! Anthropic's Messages API: Claude Code and the Anthropic SDKs with another base URL.
//!
//! <https://docs.claude.com/en/api/messages>
//!
//! Out of scope: what a body says ([`claude`](crate::claude)), batches, files.

mod models;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use serde::Serialize;

use models::unknown_model;
pub(crate) use models::{find as find_model, list as list_models};

use super::envelope::Envelope;
use super::interface::{Context, Interface, RenderError, error_headers};
use super::stream_event::{StreamEvent, write_sse};
use crate::claude::{MessagesBody, Reply, Request, Target, pass_reply};
use crate::config::Config;
use crate::error::{Code, Error};
use crate::headers::{
    ANTHROPIC_BETA, ANTHROPIC_VERSION, X_CLAUDE_CODE_SESSION_ID, request, request_all,
};
use crate::identifier::Identifier;
use crate::json::to_json;
use crate::log::Record;
use crate::redact::Redacted;

/// The time that the SDKs give a request.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The versions of the API that are known.
const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

/// More betas than any client sends.
const MAX_BETAS: usize = 64;

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
}

fn body(code: Code, message: &str, record: &Record) -> String {
    let (_, kind) = code.anthropic_error();
    let error = Fault { r#type: kind, message };
    to_json(&Body { r#type: "error", error, request_id: &record.request_id })
}

impl RenderError for Messages {
    fn render_error(&self, _: &str, error: &Error, record: &Record) -> Envelope {
        let (status, _) = error.code.anthropic_error();
        // Claude Code's recovery looks for Bedrock's wording.
        let message = error.upstream.as_ref().map_or(&*error.message, Redacted::as_str);
        let mut envelope = Envelope::json(status, body(error.code, message, record));
        error_headers(error, &mut envelope);
        if is_repeated(status) && !may_help(error.code) {
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
        record.session = request(context.headers, &X_CLAUDE_CODE_SESSION_ID)
            .and_then(|id| Identifier::new(id.to_str().ok()?));
        record.anthropic_version = check_version(context.headers)?;
        // The body is not needed beside its translation: one of 20 MB would be kept twice.
        let body = std::mem::take(body);
        let text = std::str::from_utf8(&body).map_err(|error| {
            Error::invalid(format!("the body is not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        let body = MessagesBody::parse(text)?;
        let Context { config, state, .. } = context;
        let Some(endpoint) = config.find_model(Some(&body.model)) else {
            return Err(unknown_model(&body.model));
        };
        let target = Target {
            model: endpoint.model,
            max_output_tokens: config.max_output_tokens,
            has_refused: &|part| state.refused.contains(&endpoint.model_id, part),
        };
        let betas = betas(context.headers)?;
        let mut translated = body.translate(betas.into_iter(), &target)?;
        record.removed = std::mem::take(&mut translated.removed);
        let (model, stream) = (body.model.into_owned(), body.stream);
        Ok(Request::from_translated(translated, model.into(), stream))
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

/// Returns the version that a request asks for, if it is not a known one.
fn check_version(headers: &HeaderMap) -> Result<Option<Identifier>, Error> {
    match text(headers, &ANTHROPIC_VERSION) {
        None => Err(Error::invalid("anthropic-version: header is required")),
        Some(version) if VERSIONS.contains(&version) => Ok(None),
        Some(version) => Identifier::new(version)
            .map(Some)
            .ok_or_else(|| Error::invalid("anthropic-version: expected a date such as 2023-06-01")),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    request(headers, name)?.to_str().ok().filter(|text| !text.is_empty())
}

/// Returns the betas that a request asks for.
fn betas(headers: &HeaderMap) -> Result<Vec<&str>, Error> {
    let invalid =
        || Error::invalid("anthropic-beta: expected names of betas, with commas between them");
    let mut betas = Vec::new();
    for value in request_all(headers, &ANTHROPIC_BETA) {
        let names = value.to_str().map_err(|_| invalid())?.split(',').map(str::trim);
        betas.extend(names.filter(|name| !name.is_empty()));
    }
    let are_names = betas.iter().all(|name| Identifier::new(name).is_some());
    if are_names && betas.len() <= MAX_BETAS { Ok(betas) } else { Err(invalid()) }
}
