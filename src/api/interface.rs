//! The interface trait: what the pipeline needs of an interface.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::envelope::Envelope;
use super::stream_event::StreamEvent;
use crate::bedrock;
use crate::claude::{Reply, Request};
use crate::config::Config;
use crate::error::Error;
use crate::log::Record;

/// Renders the errors of an interface.
pub(crate) trait RenderError: Sync {
    /// Renders an error. `prompt` is empty until the body is parsed.
    fn render_error(&self, prompt: &str, error: &Error, record: &Record) -> Envelope;

    /// Adds the headers that every response of the interface has, besides those of all interfaces.
    fn add_headers(&self, _envelope: &mut Envelope, _record: &Record) {}
}

/// The parts of a request besides its body, and what decides over it.
pub(crate) struct Context<'c> {
    pub headers: &'c HeaderMap,
    pub config: &'c Config,
    pub state: &'c bedrock::State,
}

/// Parses the requests and renders the replies of an interface. It holds no policy.
pub(crate) trait Interface: RenderError {
    /// Parses a body into the inner request. An interface that makes a body of its own takes the caller's away.
    fn parse<'a>(
        &self,
        body: &'a mut Bytes,
        context: &Context<'_>,
        record: &mut Record,
    ) -> Result<Request<'a>, Error>;

    /// Renders a complete reply.
    fn render_reply(&self, request: &Request<'_>, reply: &Reply, record: &Record) -> Envelope;

    /// Encodes an event of a streamed reply.
    fn encode_event(&self, event: &StreamEvent, record: &Record, out: &mut Vec<u8>);

    /// Returns the most bytes of a body.
    fn max_body_bytes(&self, config: &Config) -> usize {
        config.max_body_bytes
    }

    /// Returns how long a request, or the first frame of a stream, may take.
    fn timeout(&self, config: &Config) -> Duration {
        config.timeout
    }

    /// Returns how long a stream may be silent after its first frame.
    fn stall(&self, config: &Config) -> Duration {
        config.stall
    }

    /// Returns what keeps the connection alive while Bedrock is silent: by default a comment.
    fn keep_alive(&self) -> &'static str {
        ": keep-alive\n\n"
    }
}

/// Adds the headers of an error: its code, and those that only it has.
pub(super) fn error_headers(error: &Error, envelope: &mut Envelope) {
    envelope.set_header("x-error-code", error.code.as_str());
    envelope.headers.extend_from_slice(&error.headers);
}
