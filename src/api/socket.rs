//! The Lambda's interface over a WebSocket: each message is a body, and each event of the reply a message.

use bytes::Bytes;

use super::article;
use super::envelope::Envelope;
use super::interface::{Context, Interface, RenderError};
use super::stream_event::StreamEvent;
use crate::claude::{Reply, Request};
use crate::error::Error;
use crate::log::Record;

/// The WebSocket interface.
pub(crate) struct Socket;

impl RenderError for Socket {
    /// Renders an `error` event, which is the whole response to a message.
    fn render_error(&self, _: &str, error: &Error, _: &Record) -> Envelope {
        let status = error.code.status().as_u16();
        Envelope { body: StreamEvent::from(error).to_message(), ..Envelope::empty(status) }
    }
}

impl Interface for Socket {
    fn parse<'a>(
        &self,
        body: &'a mut Bytes,
        context: &Context<'_>,
        _: &mut Record,
    ) -> Result<Request<'a>, Error> {
        article::parse(body, context.config)
    }

    /// Renders a `done` event. The pipeline streams every reply to a WebSocket, so it does not need this.
    fn render_reply(&self, request: &Request<'_>, reply: &Reply, _: &Record) -> Envelope {
        let event = StreamEvent::Done {
            input_prompt: request.prompt().to_owned(),
            generated_text: reply.text.clone(),
            stop_reason: reply.stop_reason.clone(),
            usage: reply.usage,
            guardrail_action: reply.guardrail_action(),
        };
        Envelope { body: event.to_message(), ..Envelope::empty(200) }
    }

    /// Encodes a message and a line feed, which JSON does not contain.
    fn encode_event(&self, event: &StreamEvent, _: &Record, out: &mut Vec<u8>) {
        out.extend_from_slice(event.to_message().as_bytes());
        out.push(b'\n');
    }
}
