//! The Lambda's interface as a method, which the embedding Worker calls, or another Worker of the account through a service
//! binding.
//!
//! `rpc.js` returns the body of a response with status 200, and throws the body of any other as an `Error`.
//!
//! Out of scope: authentication. Whoever can call the method may.

use bytes::Bytes;
use serde::Serialize;

use super::article;
use super::envelope::Envelope;
use super::interface::{Context, Interface, RenderError, error_headers};
use super::stream_event::StreamEvent;
use crate::claude::{Reply, Request, Usage};
use crate::error::{Code, Error};
use crate::identifier::Identifier;
use crate::json::to_json;
use crate::log::Record;

/// The RPC interface.
pub(crate) struct Rpc;

#[derive(Serialize)]
struct Returned<'a> {
    input_prompt: &'a str,
    generated_text: &'a str,
    stop_reason: Option<&'a Identifier>,
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    guardrail_action: Option<&'static str>,
    request_id: &'a Identifier,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_turns: Option<u64>,
}

#[derive(Serialize)]
struct Thrown<'a> {
    code: Code,
    message: &'a str,
    status: u16,
    retryable: bool,
    request_id: &'a Identifier,
}

impl RenderError for Rpc {
    fn render_error(&self, _: &str, error: &Error, record: &Record) -> Envelope {
        let status = error.code.status().as_u16();
        let thrown = Thrown {
            code: error.code,
            message: &error.message,
            status,
            retryable: error.code.is_retryable(),
            request_id: &record.request_id,
        };
        let mut envelope = Envelope::json(status, to_json(&thrown));
        error_headers(error, &mut envelope);
        envelope
    }
}

impl Interface for Rpc {
    fn parse<'a>(
        &self,
        body: &'a mut Bytes,
        context: &Context<'_>,
        _: &mut Record,
    ) -> Result<Request<'a>, Error> {
        article::parse(body, context.config)
    }

    fn render_reply(&self, request: &Request<'_>, reply: &Reply, record: &Record) -> Envelope {
        let returned = Returned {
            input_prompt: request.prompt(),
            generated_text: &reply.text,
            stop_reason: reply.stop_reason.as_ref(),
            usage: reply.usage,
            guardrail_action: reply.guardrail_action(),
            request_id: &record.request_id,
            session: record.session_id.as_deref(),
            dropped_turns: record.dropped_turns,
        };
        Envelope::json(200, to_json(&returned))
    }

    fn encode_event(&self, event: &StreamEvent, _: &Record, out: &mut Vec<u8>) {
        event.write_sse(out);
    }
}
