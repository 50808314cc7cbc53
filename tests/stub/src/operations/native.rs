//! The native endpoint, `POST /anthropic/v1/messages`: Anthropic's Messages API, whole or as
//! server-sent events.
//!
//! Errors have Anthropic's form. Those of the authentication layer in front of it have AWS's, as
//! for every other operation; no source says which form they have there.
//!
//! Source: Amazon Bedrock User Guide, "Inference using Anthropic Messages API".

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::body::to_bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Call, Target, authenticate, respond, respond_with_stream};
use crate::auth;
use crate::encoding::Encoding;
use crate::error::{AwsError, ERROR_TYPE, anthropic_type};
use crate::messages::{NativeMessages, check_model_id};
use crate::server::{LogFields, Shared};
use crate::sigv4::Received;

/// The header with the ID of a request in Anthropic's API.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The largest body of an error in bytes.
const MAX_ERROR: usize = 64 * 1024;

/// Handles a request to the native endpoint.
pub(crate) async fn native(
    State(shared): State<Arc<Shared>>,
    path: Path<HashMap<String, String>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let started = Instant::now();
    let mut target = Target::from_path(path, &shared.settings);
    // A Bedrock API key may be in either header.
    let authenticated = match received.header("x-api-key") {
        Some(key) if received.header("authorization").is_none() => {
            auth::verify_api_key(key, &shared.settings)
        }
        _ => authenticate(&shared, &target.region, &received),
    };
    if let Err(error) = authenticated {
        return error.into_response();
    }
    let mut fault = None;
    let result = match validate(&shared, &mut target, &received) {
        Ok((call, true)) => {
            respond_with_stream(&shared, call, Encoding::Sse, started, &mut fault).await
        }
        Ok((call, false)) => respond(call, &mut fault).await,
        Err(error) => Err(error),
    };
    let response = result.unwrap_or_else(IntoResponse::into_response);
    let response = in_anthropics_form(response, &request_id(&received)).await;
    LogFields { model_id: target.model_id, fault }.attach_to(Ok(response))
}

/// Returns the call, and whether its reply is streamed.
fn validate<'a>(
    shared: &Shared,
    target: &mut Target,
    received: &'a Received,
) -> Result<(Call<'a>, bool), AwsError> {
    if received.header("anthropic-version").is_none() {
        return Err(AwsError::validation("anthropic-version: header is required"));
    }
    let beta = received.header("anthropic-beta");
    let request = NativeMessages::parse(received.header("content-type"), beta, &received.body)?;
    target.model_id = request.model_id;
    check_model_id(&target.model_id)?;
    Ok((Call::new(shared, target, request.messages, received)?, request.stream))
}

/// Returns `req_` and 24 hexadecimal digits of the SHA-256 of the request's body.
fn request_id(received: &Received) -> String {
    let mut id = hex::encode(Sha256::digest(&received.body));
    id.truncate(24);
    format!("req_{id}")
}

/// Converts an error of AWS to Anthropic's form. Another response gets the ID of the request, and
/// loses Bedrock's own headers.
async fn in_anthropics_form(response: Response, id: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let name = parts.headers.remove(&ERROR_TYPE).and_then(|value| {
        let name = value.to_str().ok()?.split(':').next()?;
        Some(name.to_owned())
    });
    let own: Vec<HeaderName> = parts
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amzn-bedrock-"))
        .cloned()
        .collect();
    for name in own {
        parts.headers.remove(name);
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        parts.headers.insert(ANTHROPIC_REQUEST_ID, id);
    }
    let Some(name) = name else { return Response::from_parts(parts, body) };
    let body = to_bytes(body, MAX_ERROR).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, error_type) = anthropic_type(&name, parts.status.as_u16());
    parts.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    parts.headers.remove(header::CONTENT_LENGTH);
    let error = json!({
        "type": "error",
        "error": { "type": error_type, "message": body["message"] },
        "request_id": id,
    });
    Response::from_parts(parts, error.to_string().into())
}
