//! The number of a request's tokens, in the form of Anthropic's Token Count API.
//!
//! <https://docs.claude.com/en/api/messages-count-tokens>

use bytes::Bytes;

use super::parse::parse;
use crate::api::envelope::Envelope;
use crate::api::interface::Context;
use crate::claude::{Model, Request, estimate_tokens};
use crate::error::Error;
use crate::log::Record;

/// Parses a request whose tokens are to be counted.
///
/// # Errors
///
/// Those of a request for a reply.
pub(crate) fn parse_count(
    mut body: Bytes,
    context: &Context<'_>,
    record: &mut Record,
) -> Result<Request<'static>, Error> {
    parse(&mut body, true, context, record)
}

/// Estimates the tokens of a request that was parsed.
pub(crate) fn estimate(request: &Request<'_>, model: Option<&'static Model>) -> u64 {
    let body = request.translated.as_ref().map(|it| str::from_utf8(&it.json).unwrap_or_default());
    estimate_tokens(body.unwrap_or_default(), model)
}

/// Renders a number of tokens.
pub(crate) fn render_count(tokens: u64, is_estimate: bool) -> Envelope {
    let mut envelope = Envelope::json(200, format!(r#"{{"input_tokens":{tokens}}}"#));
    if is_estimate {
        envelope.set_header("x-bedrock-token-count", "estimate");
    }
    envelope
}
