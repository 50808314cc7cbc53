//! Lambda's Invoke API, as its callers see it: whoever called the Lambda with an SDK or the AWS CLI changes the URL of
//! the endpoint and nothing else.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
//! <https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html>
//!
//! Out of scope: which function and which version is meant (there is one, whatever its name), client contexts, the tail
//! of the log, retries of asynchronous invocations.

use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;

use super::envelope::Envelope;
use super::interface::{RenderError, error_headers};
use crate::aws::encode_event;
use crate::error::Error;
use crate::headers::{X_AMZ_INVOCATION_TYPE, request};
use crate::json::to_json;
use crate::log::Record;

/// The path of Invoke, around the function's name or ARN.
const PATH: (&str, &str) = ("/2015-03-31/functions/", "/invocations");

/// The path of InvokeWithResponseStream.
const STREAMING_PATH: (&str, &str) = ("/2021-11-15/functions/", "/response-streaming-invocations");

const ERROR_TYPE: &str = "x-amzn-errortype";
const JSON: &str = "application/json";

/// Reports whether a path is that of Invoke.
pub(crate) fn is_path(path: &str) -> bool {
    has_name_between(path, PATH)
}

/// Reports whether a path is that of InvokeWithResponseStream.
pub(crate) fn is_streaming_path(path: &str) -> bool {
    has_name_between(path, STREAMING_PATH)
}

fn has_name_between(path: &str, (before, behind): (&str, &str)) -> bool {
    let name = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// The type of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvocationType {
    /// The response waits for the function.
    RequestResponse,
    /// The response is 202, and the function runs after it.
    Event,
    /// The response is 204, and the function does not run.
    DryRun,
}

impl InvocationType {
    /// Reads the type from the headers of a request. An invocation whose response is streamed is not asynchronous.
    pub(crate) fn from_headers(headers: &HeaderMap, is_streaming: bool) -> Result<Self, Error> {
        match request(headers, &X_AMZ_INVOCATION_TYPE).map(|value| value.as_bytes()) {
            None | Some(b"RequestResponse") => Ok(Self::RequestResponse),
            Some(b"Event") if !is_streaming => Ok(Self::Event),
            Some(b"DryRun") => Ok(Self::DryRun),
            Some(_) => {
                let message = match is_streaming {
                    true => "X-Amz-Invocation-Type must be RequestResponse or DryRun",
                    false => "X-Amz-Invocation-Type must be RequestResponse, Event or DryRun",
                };
                Err(Error::invalid(message).with(ERROR_TYPE, "InvalidParameterValueException"))
            }
        }
    }
}

/// Checks that a payload is JSON, or empty, as Lambda does.
pub(crate) fn check_payload(payload: &[u8]) -> Result<(), Error> {
    let refuse = |error: &dyn Display| {
        Error::invalid(format!("Could not parse request body into json: {error}"))
    };
    let text = std::str::from_utf8(payload).map_err(|error| refuse(&error))?;
    if !text.trim().is_empty() {
        serde_json::from_str::<&RawValue>(text).map_err(|error| refuse(&error))?;
    }
    Ok(())
}

/// Makes the response to an invocation that has run: what the function returned, as JSON.
pub(crate) fn returned(envelope: &Envelope, record: &Record) -> Envelope {
    let mut response = Envelope::new(200, JSON, to_json(envelope));
    response.set_header("x-amz-executed-version", "$LATEST");
    response.set_header("x-request-id", record.request_id.as_str());
    Invoke.add_headers(&mut response, record);
    response
}

/// Makes the head of the response to an invocation whose response is streamed.
pub(crate) fn stream_head() -> Envelope {
    let mut head = Envelope::new(200, "application/vnd.amazon.eventstream", String::new());
    head.set_header("x-amz-executed-version", "$LATEST");
    head
}

/// Makes the response to such an invocation that has run without a stream: what the function returned, as JSON in one
/// chunk.
pub(crate) fn streamed_whole(envelope: &Envelope) -> Envelope {
    let mut frames = Vec::new();
    encode_chunk(to_json(envelope).as_bytes(), &mut frames);
    encode_complete(None, &mut frames);
    let mut response = stream_head();
    response.body = STANDARD.encode(&frames);
    response.is_base64_encoded = true;
    response
}

/// Appends bytes that the function streams.
pub(crate) fn encode_chunk(payload: &[u8], out: &mut Vec<u8>) {
    if !payload.is_empty() {
        encode_event("PayloadChunk", "application/octet-stream", payload, out);
    }
}

/// Appends the end of a stream, with the code and the message of its error.
pub(crate) fn encode_complete(error: Option<(&str, &str)>, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Complete<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        error_code: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_details: Option<&'a str>,
    }
    let (error_code, error_details) = error.unzip();
    let complete = to_json(&Complete { error_code, error_details });
    encode_event("InvokeComplete", JSON, complete.as_bytes(), out);
}

/// Makes the response to an invocation that has not run.
pub(crate) fn accepted(kind: InvocationType) -> Envelope {
    let status = if kind == InvocationType::Event { 202 } else { 204 };
    Envelope::new(status, JSON, String::new())
}

/// Renders errors in AWS's form: the name in `x-amzn-errortype`, `{"Type", "Message"}` in the body.
pub(crate) struct Invoke;

impl RenderError for Invoke {
    fn render_error(&self, _: &str, error: &Error, _: &Record) -> Envelope {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Body<'a> {
            r#type: &'a str,
            message: &'a str,
        }
        let status = error.code.status();
        let kind = if status.is_server_error() { "Service" } else { "User" };
        let body = Body { r#type: kind, message: &error.message };
        let mut envelope = Envelope::new(status.as_u16(), JSON, to_json(&body));
        error_headers(error, &mut envelope);
        if envelope.header(ERROR_TYPE).is_none() {
            envelope.set_header(ERROR_TYPE, error.code.lambda_exception());
        }
        envelope
    }

    /// Adds the id of the request under the name that the SDKs read.
    fn add_headers(&self, envelope: &mut Envelope, record: &Record) {
        envelope.set_header("x-amzn-requestid", record.request_id.as_str());
    }
}

#[cfg(test)]
mod tests;
