//! Bedrock's own API: boto3, the AWS SDKs and CLI, and whatever else calls Bedrock, with another endpoint.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>
//!
//! Out of scope: what a body says, which is passed on as it came.

mod catalogue;
mod edit;
mod tokens;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

pub(crate) use catalogue::{find as find_in_catalogue, is_path as is_catalogue_path};
pub(crate) use edit::is_edited;
pub(crate) use tokens::most_tokens;

use super::envelope::Envelope;
use super::interface::{RenderError, error_headers};
use crate::bedrock::{Bill, Operation, Passed, Subject};
use crate::config::{Config, Guardrail};
use crate::error::{AwsWords, Code, Error};
use crate::headers::{
    AMZ_SDK_REQUEST, ANTHROPIC_BETA, ANTHROPIC_VERSION, X_AMZN_BEDROCK_ACCEPT,
    X_AMZN_BEDROCK_GUARDRAILIDENTIFIER, X_AMZN_BEDROCK_GUARDRAILVERSION,
    X_AMZN_BEDROCK_PERFORMANCECONFIG_LATENCY, X_AMZN_BEDROCK_PROJECTIDENTIFIER,
    X_AMZN_BEDROCK_REQUEST_METADATA, X_AMZN_BEDROCK_SERVICE_TIER, X_AMZN_BEDROCK_TRACE,
    X_AMZN_ERRORTYPE, request, upstream,
};
use crate::host::KeptBody;
use crate::json::to_json;
use crate::log::Record;

/// The longest time that Bedrock takes for a reply.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3600);

/// The headers that AWS's SDK for JavaScript sends from a page, besides those of all routes.
pub(crate) const SDK_HEADERS: [&str; 12] = [
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "anthropic-beta",
    "anthropic-version",
    "x-amz-user-agent",
    "x-amzn-bedrock-accept",
    "x-amzn-bedrock-guardrailidentifier",
    "x-amzn-bedrock-guardrailversion",
    "x-amzn-bedrock-performanceconfig-latency",
    "x-amzn-bedrock-request-metadata",
    "x-amzn-bedrock-service-tier",
    "x-amzn-bedrock-trace",
];

const ERROR_TYPE: &str = "x-amzn-errortype";

/// The roots of the paths of Bedrock's API. Below them only Bedrock's errors are spoken.
const ROOTS: [&str; 7] = [
    "/model/",
    "/guardrail/",
    "/guardrail-checks/",
    "/async-invoke",
    "/inference-profiles",
    "/foundation-models",
    "/anthropic/v1/",
];

/// Reports whether a path is one of Bedrock's API, served or not.
pub(crate) fn is_below_root(path: &str) -> bool {
    ROOTS.iter().any(|root| path.starts_with(root))
}

/// Reports whether a path is that of an operation that is passed on.
pub(crate) fn is_operation(path: &str) -> bool {
    Operation::find(path).is_some()
}

/// The party that decides over a header of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// The caller.
    Caller,
    /// The operator, if `BEDROCK_GUARDRAIL_ID` is set. Else the caller.
    Guardrail,
    /// No party: it is not sent.
    Dropped,
}

/// The headers of Bedrock's operations. No other header of a caller is sent.
const HEADERS: [(HeaderName, Policy); 12] = [
    (CONTENT_TYPE, Policy::Caller),
    (ACCEPT, Policy::Caller),
    (ANTHROPIC_BETA, Policy::Caller),
    (ANTHROPIC_VERSION, Policy::Caller),
    (X_AMZN_BEDROCK_ACCEPT, Policy::Caller),
    (X_AMZN_BEDROCK_GUARDRAILIDENTIFIER, Policy::Guardrail),
    (X_AMZN_BEDROCK_GUARDRAILVERSION, Policy::Guardrail),
    (X_AMZN_BEDROCK_PERFORMANCECONFIG_LATENCY, Policy::Caller),
    // It books the call on a project of the operator's account.
    (X_AMZN_BEDROCK_PROJECTIDENTIFIER, Policy::Dropped),
    (X_AMZN_BEDROCK_REQUEST_METADATA, Policy::Caller),
    (X_AMZN_BEDROCK_SERVICE_TIER, Policy::Caller),
    (X_AMZN_BEDROCK_TRACE, Policy::Caller),
];

/// Chooses the headers that AWS gets.
///
/// # Errors
///
/// If a value is not visible ASCII.
fn request_headers(headers: &HeaderMap, config: &Config) -> Result<HeaderMap, Error> {
    let mut passed = HeaderMap::new();
    for (name, policy) in &HEADERS {
        let Some(value) = request(headers, name) else { continue };
        let is_passed = match policy {
            Policy::Caller => true,
            Policy::Guardrail => config.guardrail.is_none(),
            Policy::Dropped => false,
        };
        if is_passed {
            if value.to_str().is_err() {
                return Err(Error::invalid(format!("{name}: expected visible ASCII")));
            }
            passed.insert(name, value.clone());
        }
    }
    // boto3 sends none with InvokeModel. This is Bedrock's default.
    passed.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    if let Some(Guardrail { id, version }) = &config.guardrail {
        passed.insert(X_AMZN_BEDROCK_GUARDRAILIDENTIFIER, id.clone());
        passed.insert(X_AMZN_BEDROCK_GUARDRAILVERSION, version.clone());
    }
    Ok(passed)
}

/// Reports whether the caller is an SDK of AWS's that repeats what failed: it says so, unless it makes one attempt only.
///
/// `attempt=2; max=3`. boto3 says how many attempts it makes from its second one on.
fn is_repeated_by_caller(headers: &HeaderMap) -> bool {
    let value = request(headers, &AMZ_SDK_REQUEST).and_then(|value| value.to_str().ok());
    let Some(value) = value else { return false };
    let mut fields = value.split(';').filter_map(|field| field.trim().split_once('='));
    fields.find(|(name, _)| *name == "max").is_none_or(|(_, most)| most != "1")
}

/// Parses a request that is passed on: its path and its headers. Adds to `removed` what the operator's rules replace in the
/// body.
///
/// # Errors
///
/// If the operation is not served, callers may not use the model, or a header cannot be sent.
pub(crate) fn parse<'c>(
    path: &str,
    headers: &HeaderMap,
    mut body: KeptBody,
    config: &'c Config,
    removed: &mut Vec<String>,
) -> Result<Passed<'c>, Error> {
    let unknown = || Error::new(Code::NotFound, "the operation is not served");
    let (operation, names) = Operation::find(path).ok_or_else(unknown)?;
    let (endpoint, names) = match (operation.subject(), &*names) {
        (Subject::Model, [name]) if operation.bill == Bill::Free => {
            let counted = config.find_counted(name).map(Cow::Borrowed);
            let endpoint = counted.or_else(|| config.find_model(Some(name)));
            (endpoint.ok_or_else(no_access)?, Some(vec![name.clone()]))
        }
        (Subject::Model, [name]) => (config.find_model(Some(name)).ok_or_else(no_access)?, None),
        (Subject::Guardrail, names) => (Cow::Borrowed(&config.endpoint), Some(names.to_vec())),
        (Subject::Body, _) if config.calls_native_messages => {
            let bytes = body.content::<Bytes>().cloned().unwrap_or_default();
            let name = edit::model(&bytes)?;
            let endpoint = config.find_model(Some(&name)).ok_or_else(no_access)?;
            body = edit::with_model(&bytes, &endpoint)?;
            (endpoint, Some(Vec::new()))
        }
        _ => return Err(unknown()),
    };
    match (&config.guardrail, body.content::<Bytes>()) {
        (Some(guardrail), Some(bytes)) if operation.is_converse() => {
            let (guarded, is_replaced) = edit::with_guardrail(bytes, guardrail)?;
            if is_replaced {
                removed.push("guardrailConfig".to_owned());
            }
            body = guarded;
        }
        (Some(_), _) if operation.generates() => edit::check_guarded(&body)?,
        _ => {}
    }
    tokens::check_countable(operation, &endpoint.model_id, config)?;
    let is_default = names.is_none() && config.is_default(&endpoint);
    Ok(Passed {
        operation,
        names,
        endpoint,
        fallbacks: if is_default { config.fallbacks_of_one_model() } else { &[] },
        headers: request_headers(headers, config)?,
        body,
        is_repeated_by_caller: is_repeated_by_caller(headers),
    })
}

/// Describes that callers may not use a model.
fn no_access() -> Error {
    let error = Error::new(Code::ModelNotAllowed, NO_ACCESS.1);
    Error { in_aws_words: Some(NO_ACCESS), ..error }
}

/// Begins the head of a response that is passed on.
pub(crate) fn head(headers: &HeaderMap) -> Envelope {
    let content_type = upstream(headers, &CONTENT_TYPE).unwrap_or("application/octet-stream");
    let mut envelope = Envelope::new(200, content_type, String::new());
    // Not transformed, because compression holds the frames of a stream back.
    envelope.set_header("cache-control", "no-store, no-transform");
    envelope
}

/// Returns the headers of Bedrock's response that the client gets besides those of the envelope: the `x-amzn-` ones.
pub(crate) fn response_headers(headers: &HeaderMap, envelope: &Envelope) -> HeaderMap {
    let is_passed = |name: &str| name.starts_with("x-amzn-") && envelope.header(name).is_none();
    let passed = headers.iter().filter(|(name, _)| is_passed(name.as_str()));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Makes the response of an error of AWS's, as it came.
pub(crate) fn error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Envelope {
    let content_type = upstream(headers, &CONTENT_TYPE).unwrap_or("application/json");
    let mut envelope = Envelope::bytes(status.as_u16(), content_type, body);
    for (name, known) in [(ERROR_TYPE, &X_AMZN_ERRORTYPE), ("retry-after", &RETRY_AFTER)] {
        if let Some(value) = upstream(headers, known) {
            envelope.set_header(name, value);
        }
    }
    envelope
}

/// AWS's words for a model that an account may not use.
const NO_ACCESS: &AwsWords =
    &("AccessDeniedException", "You don't have access to the model with the specified model ID.");

/// Renders errors in the form of AWS's REST JSON protocol: the name in `x-amzn-errortype`, `{"message"}` in the body.
///
/// <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization>
pub(crate) struct Native;

impl RenderError for Native {
    fn render_error(&self, _: &str, error: &Error, _: &Record) -> Envelope {
        #[derive(Serialize)]
        struct Body<'a> {
            message: &'a str,
        }
        let (status, name) = error.code.bedrock_exception();
        let (name, message) = match error.in_aws_words {
            Some((name, message)) => (*name, *message),
            None if name == "UnknownOperationException" => {
                (name, "The requested operation is not recognized by the service.")
            }
            None => (name, &*error.message),
        };
        let mut envelope = Envelope::new(status, "application/json", to_json(&Body { message }));
        error_headers(error, &mut envelope);
        if envelope.header(ERROR_TYPE).is_none() {
            envelope.set_header(ERROR_TYPE, name);
        }
        envelope
    }

    /// Adds the id of the request under the name that the SDKs read.
    fn add_headers(&self, envelope: &mut Envelope, record: &Record) {
        const REQUEST_ID: &str = "x-amzn-requestid";
        if envelope.header(REQUEST_ID).is_none() {
            envelope.set_header(REQUEST_ID, record.request_id.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_send_every_header_that_a_caller_may_set() {
        for (name, policy) in &HEADERS {
            let name = name.as_str();
            // A preflight does not ask for `accept`, and every route allows `content-type`.
            if *policy == Policy::Dropped || ["accept", "content-type"].contains(&name) {
                continue;
            }
            assert!(SDK_HEADERS.contains(&name), "{name}");
        }
    }
}
