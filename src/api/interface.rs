//! The interface trait: what the pipeline needs of an interface.

use super::envelope::Envelope;
use super::stream_event::StreamEvent;
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

/// Parses the requests and renders the replies of an interface. It holds no policy.
pub(crate) trait Interface: RenderError {
    /// Parses a body into the inner request.
    fn parse<'a>(&self, body: &'a [u8], config: &Config) -> Result<Request<'a>, Error>;

    /// Renders a complete reply.
    fn render_reply(&self, prompt: &str, reply: &Reply, record: &Record) -> Envelope;

    /// Encodes an event of a streamed reply.
    fn encode_event(&self, event: &StreamEvent, out: &mut Vec<u8>);
}

/// Adds the headers of an error: its code, and those that only it has.
pub(super) fn error_headers(error: &Error, envelope: &mut Envelope) {
    envelope.set_header("x-error-code", error.code.as_str());
    envelope.headers.extend_from_slice(&error.headers);
}
