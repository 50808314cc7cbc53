//! A call that is passed on: the body and the response stay as they came.
//!
//! Retries, regions, credentials and the clock are those of every call ([`means`](super::means)). An error of AWS that the
//! caller can understand is passed on, too. One about the Worker's own credentials is not: it would mislead the caller's
//! SDK, and can quote a session token.
//!
//! Out of scope: which headers a caller may set, and what the response is billed by ([`meter`](super::meter)).

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use super::error::InvokeError;
use super::means::{Bedrock, GivenUp, Identity};
use super::operations::Operation;
use super::retry::Attempts;
use crate::aws::AwsError;
use crate::config::{Authentication, Endpoint};
use crate::error::{Code, Error};
use crate::headers::{X_AMZN_ERRORTYPE, X_AMZN_REQUESTID, upstream};
use crate::host::{Body, Host, KeptBody};
use crate::identifier::Identifier;
use crate::log::Record;
use crate::outlined::outlined;

/// Far longer than any error of AWS.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// A request that is passed on.
#[derive(Debug)]
pub(crate) struct Passed<'a> {
    pub operation: &'static Operation,
    /// The names in the path. `None`: the model of the endpoint.
    pub names: Option<Vec<String>>,
    pub endpoint: Cow<'a, Endpoint>,
    /// The endpoints of other regions.
    pub fallbacks: &'a [Endpoint],
    /// The headers that AWS gets, without the signature.
    pub headers: HeaderMap,
    pub body: KeptBody,
    /// Whether the caller repeats a call that failed.
    pub is_repeated_by_caller: bool,
}

/// AWS's response.
#[derive(Debug)]
pub(crate) enum Response<B> {
    /// A success, whose body is not read yet.
    Success(HeaderMap, B),
    /// An error, and what the log says of it.
    Error { status: StatusCode, headers: HeaderMap, body: Bytes, error: Error },
}

/// The last error of AWS's.
struct Refusal {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Passes a request on until it succeeds, or until a retry is pointless.
///
/// # Errors
///
/// If there is no response that may be passed on.
pub(crate) async fn pass<H: Host>(
    request: &Passed<'_>,
    bedrock: &Bedrock<'_, H>,
    record: &mut Record,
) -> Result<Response<H::Body>, Error> {
    let started = bedrock.host.now();
    let result = attempts(request, bedrock, record).await;
    record.upstream_time = bedrock.host.now().duration_since(started).ok();
    result
}

async fn attempts<H: Host>(
    request: &Passed<'_>,
    bedrock: &Bedrock<'_, H>,
    record: &mut Record,
) -> Result<Response<H::Body>, Error> {
    let Bedrock { config, state, deadline, host, .. } = *bedrock;
    let hash = match &config.authentication {
        Authentication::ApiKey(_) => [0; 32],
        _ => host.sha256_kept(&request.body).await,
    };
    let mut attempts =
        Attempts::new(&request.endpoint, request.fallbacks, config, state, deadline, host.now());
    if request.is_repeated_by_caller {
        attempts = attempts.repeated_by_caller();
    }
    loop {
        let endpoint = attempts.endpoint();
        let identity = bedrock.identity(record).await;
        let signed_at = state.clock.correct(host.now());
        let mut refusal = None;
        let result = match &identity {
            Ok(identity) => {
                let signed = sign(request, endpoint, bedrock, identity, &hash, signed_at);
                match signed {
                    Ok(signed) => send(signed, endpoint, bedrock, &mut refusal, record).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error.clone().into()),
        };
        record.is_billed = result.as_ref().err().is_none_or(InvokeError::is_billed);
        let error = match result {
            Ok((headers, body)) => {
                attempts.succeeded();
                return Ok(Response::Success(headers, body));
            }
            Err(error) => error,
        };
        let next = bedrock.next(&mut attempts, error, &identity, signed_at, record);
        match outlined(next).await {
            Ok(()) => {}
            Err(GivenUp::Failed(error, retry_after)) => {
                let is_passed = is_passed(&error);
                let error = GivenUp::Failed(error, retry_after);
                let error = error.into_error(|error| bedrock.public(error, 0));
                return match refusal {
                    Some(Refusal { status, headers, body }) if is_passed => {
                        Ok(Response::Error { status, headers, body, error })
                    }
                    _ => Err(error),
                };
            }
            Err(refused) => return Err(refused.into_error(|error| bedrock.public(error, 0))),
        }
    }
}

/// Builds and signs a request.
fn sign<H: Host>(
    request: &Passed<'_>,
    endpoint: &Endpoint,
    bedrock: &Bedrock<'_, H>,
    identity: &Identity<'_>,
    hash: &[u8; 32],
    signed_at: SystemTime,
) -> Result<http::Request<KeptBody>, InvokeError> {
    let names: Vec<&str> = match &request.names {
        Some(names) => names.iter().map(|name| &**name).collect(),
        None => vec![&endpoint.model_id],
    };
    let uri: Uri = endpoint.uri(&request.operation.path(&names)).map_err(http::Error::from)?;
    let mut signed = http::Request::post(uri).body(request.body.clone())?;
    let (mut signable, mut others) = (request.headers.clone(), request.headers.clone());
    for (name, value) in &request.headers {
        let headers = if is_signable(name, value) { &mut others } else { &mut signable };
        headers.remove(name);
    }
    *signed.headers_mut() = signable;
    bedrock.authorize(&mut signed, hash, identity, &endpoint.region, signed_at)?;
    signed.headers_mut().extend(others);
    Ok(signed)
}

/// Reports whether the signature covers a header. AWS does not demand it of any of these; of a value with two spaces the
/// signers disagree.
fn is_signable(name: &HeaderName, value: &HeaderValue) -> bool {
    let name = name.as_str();
    let is_covered =
        ["accept", "content-type"].contains(&name) || name.starts_with("x-amzn-bedrock-");
    is_covered && value.to_str().is_ok_and(|text| !text.contains("  ") && text.trim() == text)
}

/// Sends a request and reads the head of the response, or all of an error.
async fn send<H: Host>(
    request: http::Request<KeptBody>,
    endpoint: &Endpoint,
    bedrock: &Bedrock<'_, H>,
    refusal: &mut Option<Refusal>,
    record: &mut Record,
) -> Result<(HeaderMap, H::Body), InvokeError> {
    record.attempt(endpoint);
    let response = bedrock.host.send_kept(request, bedrock.left()).await?;
    let (head, body) = response.into_parts();
    record.upstream_status = Some(head.status.as_u16());
    let id = upstream(&head.headers, &X_AMZN_REQUESTID);
    record.upstream_request_id = id.and_then(Identifier::new);
    let kind = upstream(&head.headers, &X_AMZN_ERRORTYPE);
    if head.status == StatusCode::OK && kind.is_none() {
        return Ok((head.headers, body));
    }
    let body = body.read(MAX_ERROR_BYTES, bedrock.left()).await?;
    let error = InvokeError::refused(head.status, &head.headers, &body);
    let mut status = head.status;
    if status == StatusCode::OK {
        // Bedrock has this status for an operation that it does not know.
        let known = error.aws_error().map_or(500, |error| error.status);
        status = StatusCode::from_u16(known).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    }
    *refusal = Some(Refusal { status, headers: head.headers, body });
    Err(error)
}

/// Reports whether an error of AWS's is passed on: one that is not about the Worker's own credentials or permissions.
fn is_passed(error: &InvokeError) -> bool {
    error.aws_error().is_some_and(|it: AwsError| it.code != Code::AccessDenied)
        || error.is_of_model_access()
}
