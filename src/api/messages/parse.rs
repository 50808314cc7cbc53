//! The parsing of a request: its headers, and its body for Bedrock.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use super::models::unknown_model;
use crate::api::interface::Context;
use crate::claude::{Codec, Format, MessagesBody, Request, Target};
use crate::error::Error;
use crate::headers::{
    ANTHROPIC_BETA, ANTHROPIC_VERSION, X_CLAUDE_CODE_SESSION_ID, request, request_all,
};
use crate::identifier::Identifier;
use crate::log::Record;

/// The versions of the API that are known.
const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

/// More betas than any client sends.
const MAX_BETAS: usize = 64;

/// Parses a request for a reply, or for the number of its tokens.
pub(super) fn parse(
    body: &mut Bytes,
    is_count: bool,
    context: &Context<'_>,
    record: &mut Record,
) -> Result<Request<'static>, Error> {
    let Context { headers, config, state } = *context;
    record.session = text(headers, &X_CLAUDE_CODE_SESSION_ID).and_then(Identifier::new);
    record.anthropic_version = check_version(headers)?;
    // The body is not needed beside its translation: one of 20 MB would be kept twice.
    let body = std::mem::take(body);
    let text = std::str::from_utf8(&body).map_err(|error| {
        Error::invalid(format!("the body is not UTF-8 at byte {}", error.valid_up_to()))
    })?;
    let body = MessagesBody::parse(text)?;
    let Some(endpoint) = config.find_model(Some(&body.model)) else {
        return Err(unknown_model(&body.model));
    };
    let format = match config.calls_native_messages {
        _ if is_count => Format::CountTokens,
        _ if endpoint.codec == Codec::Converse => Format::Converse,
        true => Format::NativeMessages(&endpoint.model_id),
        false => Format::InvokeModel,
    };
    let target = Target {
        format,
        model: endpoint.model,
        max_output_tokens: config.max_output_tokens,
        has_refused: &|part| state.refused.contains(&endpoint.model_id, part),
    };
    let mut translated = body.translate(betas(headers)?.into_iter(), &target)?;
    record.removed = std::mem::take(&mut translated.removed);
    let (model, stream) = (body.model.into_owned(), body.stream);
    Ok(Request::from_translated(translated, model.into(), stream))
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
