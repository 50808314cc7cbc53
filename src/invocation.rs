//! The Invoke API of AWS Lambda, as far as its callers see it: who called the old function with an
//! SDK or the AWS CLI changes the endpoint's URL, and nothing else.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
//!
//! Out of scope: which function and which version is meant (there is one, whatever its name),
//! client contexts, the tail of the log, repeating an asynchronous invocation.

use std::fmt::Display;

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::config::{Config, ConfigError};
use crate::envelope::Envelope;
use crate::event::{Admission, Event, LambdaBody};
use crate::gate::Session;
use crate::handler::streaming::answer as answer_event;
use crate::handler::{Answer, Call, admit};
use crate::header::X_AMZ_INVOCATION_TYPE;
use crate::host::{Body, Host};
use crate::log::Record;

/// The path of Invoke, around the function's name or ARN.
const PATH: (&str, &str) = ("/2015-03-31/functions/", "/invocations");

/// Whether it is the path of Invoke.
pub(crate) fn is_path(path: &str) -> bool {
    let name = path.strip_prefix(PATH.0).and_then(|rest| rest.strip_suffix(PATH.1));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// What became of an invocation.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // It is made once a request, and moved once or twice.
pub enum Invoked<B> {
    /// The answer, and the request's line for the log.
    Answered(Envelope, Record),
    /// The answer, and the event that is to be [`run`] behind it: the invocation is asynchronous. The
    /// line comes from there.
    Accepted(Envelope, Event<B>),
}

/// Answers as Lambda's Invoke API does: the payload is the event, the answer is what
/// [`lambda_handler`](crate::lambda_handler) returns for it, as JSON.
///
/// With the header `X-Amz-Invocation-Type: Event` the answer is 202, and the event is run behind it;
/// with `DryRun` it is 204, and nothing is run. What goes wrong before the function is run is an
/// error of AWS's form.
///
/// ```
/// use bedrock_edge::invocation::{Invoked, invocation_handler, run};
/// use bedrock_edge::{Config, ConfigError, Envelope, Event, Host, LambdaBody};
///
/// async fn invoke(
///     request: Event<LambdaBody>,
///     config: &Result<Config, ConfigError>,
///     host: &impl Host,
/// ) -> Envelope {
///     match invocation_handler(request, config, host).await {
///         Invoked::Answered(envelope, _record) => envelope,
///         Invoked::Accepted(envelope, event) => {
///             // A server would answer first.
///             run(event, config, host).await;
///             envelope
///         }
///     }
/// }
/// ```
pub async fn invocation_handler<H: Host, B: Body + From<LambdaBody>>(
    request: Event<B>,
    config: &Result<Config, ConfigError>,
    host: &H,
) -> Invoked<B> {
    let mut call = Call::new(&request, config.as_ref().ok(), host);
    let kind = invocation_type(&request.headers);
    let payload = match admit(request, config, host, &mut call).await {
        Ok((_, payload)) => payload,
        Err(envelope) => {
            let (mut envelope, record) = call.finish(envelope, host);
            if let Some(exception) = Exception::of(&record, &envelope) {
                // The gate has its own for signatures.
                if !envelope.headers.iter().any(|(name, _)| *name == "x-amzn-errortype") {
                    envelope.set_header("x-amzn-errortype", exception.name);
                }
                envelope.body = exception.body();
            }
            return Invoked::Answered(named(envelope, &record), record);
        }
    };
    let refusal = match kind {
        None => Some(Exception::invalid_type()),
        Some(_) => check_json(&payload).err(),
    };
    if let Some(exception) = refusal {
        call.record.outcome = "invalid_request";
        let mut envelope = answer(400, exception.body());
        envelope.set_header("x-amzn-errortype", exception.name);
        let (envelope, record) = call.finish(envelope, host);
        return Invoked::Answered(named(envelope, &record), record);
    }

    let mut event = Event::from_lambda(&payload).map(B::from);
    event.request_id.get_or_insert_with(|| call.record.request_id.clone());
    let session = Session { caller: call.record.caller.clone(), expires: None };
    event.admission = Some(Admission { session, is_counted: true });
    match kind {
        Some(InvocationType::DryRun) => {
            let (envelope, record) = call.finish(answer(204, String::new()), host);
            Invoked::Answered(named(envelope, &record), record)
        }
        Some(InvocationType::Event) => {
            let (envelope, record) = call.finish(answer(202, String::new()), host);
            Invoked::Accepted(named(envelope, &record), event)
        }
        _ => {
            let (returned, record) = run(event, config, host).await;
            // Strings, numbers and a flag always serialize.
            let mut envelope = answer(200, serde_json::to_string(&returned).unwrap_or_default());
            envelope.set_header("x-amz-executed-version", "$LATEST");
            envelope.set_header("x-request-id", record.request_id.as_str());
            Invoked::Answered(named(envelope, &record), record)
        }
    }
}

/// Runs the function for an event that was [accepted](Invoked::Accepted): as [`lambda_handler`], with
/// the code that answers HTTP.
///
/// [`lambda_handler`]: crate::lambda_handler
pub async fn run<H: Host, B: Body>(
    event: Event<B>,
    config: &Result<Config, ConfigError>,
    host: &H,
) -> (Envelope, Record) {
    match answer_event(event, config, host, false).await {
        Answer::Whole(envelope, record) => (envelope, record),
        // There is none.
        Answer::Stream(envelope, streaming) => {
            (envelope, streaming.generation.finish(host.now()).0)
        }
    }
}

#[derive(Clone, Copy)]
enum InvocationType {
    RequestResponse,
    Event,
    DryRun,
}

fn invocation_type(headers: &HeaderMap) -> Option<InvocationType> {
    match headers.get(X_AMZ_INVOCATION_TYPE).map(|value| value.as_bytes()) {
        None | Some(b"RequestResponse") => Some(InvocationType::RequestResponse),
        Some(b"Event") => Some(InvocationType::Event),
        Some(b"DryRun") => Some(InvocationType::DryRun),
        Some(_) => None,
    }
}

/// Lambda takes any JSON, and nothing at all.
fn check_json(payload: &Bytes) -> Result<(), Exception> {
    let refuse = |error: &dyn Display| Exception {
        name: "InvalidRequestContentException",
        message: format!("Could not parse request body into json: {error}"),
    };
    let text = std::str::from_utf8(payload).map_err(|error| refuse(&error))?;
    if !text.trim().is_empty() {
        serde_json::from_str::<&RawValue>(text).map_err(|error| refuse(&error))?;
    }
    Ok(())
}

fn answer(status: u16, body: String) -> Envelope {
    Envelope {
        status_code: status,
        headers: vec![("Content-Type", "application/json".to_owned())],
        body,
        is_base64_encoded: false,
    }
}

/// With the request's id under the name that the SDKs read.
fn named(mut envelope: Envelope, record: &Record) -> Envelope {
    envelope.set_header("x-amzn-requestid", record.request_id.as_str());
    envelope
}

/// An error as Lambda has it: its name in `x-amzn-errortype`, `{"Type", "Message"}` in the body.
#[derive(Debug)]
struct Exception {
    name: &'static str,
    message: String,
}

impl Exception {
    /// The same as an envelope says, if that is of an error.
    fn of(record: &Record, envelope: &Envelope) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Answer {
            generated_text: String,
        }
        let name = match (record.outcome, envelope.status_code) {
            ("ok", _) => return None,
            ("payload_too_large", _) => "RequestTooLargeException",
            (_, 429) => "TooManyRequestsException",
            (_, 401 | 403) => "AccessDeniedException",
            (_, 400..=499) => "InvalidRequestContentException",
            _ => "ServiceException",
        };
        let answer: Option<Answer> = serde_json::from_str(&envelope.body).ok();
        let text = answer.map(|answer| answer.generated_text).unwrap_or_default();
        let message = text.strip_prefix("Error: ").unwrap_or(&text).to_owned();
        Some(Self { name, message })
    }

    fn invalid_type() -> Self {
        Self {
            name: "InvalidParameterValueException",
            message: "X-Amz-Invocation-Type must be RequestResponse, Event or DryRun".to_owned(),
        }
    }

    fn body(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Body<'a> {
            r#type: &'a str,
            message: &'a str,
        }
        let kind = if self.name == "ServiceException" { "Service" } else { "User" };
        serde_json::to_string(&Body { r#type: kind, message: &self.message }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
