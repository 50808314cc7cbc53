//! One call of Bedrock's InvokeModel: build, sign, send, read.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>
//!
//! Out of scope: repeating a call, other operations.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde_json::Value;

use crate::config::{Authentication, Config};
use crate::error::{Code, Error};
use crate::host::{Body, BodyStream, Host, ReadError, TransportError};
use crate::log::{Record, Redacted, Token};
use crate::model::{InvalidReply, Reply, build_payload, error_type};
use crate::request::Request;
use crate::sign::{Scope, SignError, sign_post};
use crate::stream::{Decoder, FrameError, Step};

/// Far more than any model's longest answer, and little enough for an isolate's 128 MB.
const MAX_REPLY_BYTES: usize = 8 << 20;

/// Why Bedrock gave no answer: our fault, the network's or Bedrock's, never the caller's. Its
/// texts are as they came, and become an [`Error`] before anybody sees them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// The payload cannot be written as JSON.
    #[error("cannot write the payload: {0}")]
    Payload(#[from] serde_json::Error),
    /// The request cannot be made.
    #[error("cannot make the request: {0}")]
    Request(#[from] http::Error),
    /// The request cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Bedrock could not be reached.
    #[error("no answer: {0}")]
    Send(#[from] TransportError),
    /// The answer's body could not be read to its end.
    #[error("the answer broke off: {0}")]
    Read(#[from] ReadError),
    /// Bedrock answered with another status than 200.
    #[error("{status} {}{}", name(kind), after_colon(message))]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// The error's type, such as `ThrottlingException`.
        kind: Option<Token>,
        /// AWS's words. They can hold the canonical request, with the session token in it.
        message: String,
        /// The answer's `retry-after`.
        retry_after: Option<Token>,
    },
    /// Bedrock answered with status 200 and something that is not an answer.
    #[error(transparent)]
    InvalidReply(#[from] InvalidReply),
    /// Bedrock ended a stream with an error.
    #[error("{}{}", kind.as_ref().map_or("an error without a type", Token::as_str), after_colon(message))]
    Exception {
        /// The error's type, such as `ThrottlingException`.
        kind: Option<Token>,
        /// AWS's words.
        message: String,
    },
    /// A stream is not an event stream, or was damaged.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A stream ended before its answer did.
    #[error("the stream ended before the answer did")]
    Truncated,
}

/// Calls the configured model.
///
/// What is learnt on the way goes into the record, also where the call fails.
///
/// # Errors
///
/// Where there is no answer with a text in it. The error's private cause tells why.
pub async fn invoke_bedrock<H: Host>(
    request: &Request<'_>,
    config: &Config,
    host: &H,
    record: &mut Record,
) -> Result<Reply, Error> {
    let started = host.now();
    let result = async {
        let answer = post(&config.invoke_uri, request, config, host, record).await?;
        Ok(Reply::parse(&answer.into_body().read(MAX_REPLY_BYTES).await?)?)
    };
    let result: Result<Reply, InvokeError> = result.await;
    record.upstream_time = host.now().duration_since(started).ok();

    let reply = result.map_err(|error| error.into_public(request, config))?;
    record.learn(reply.stop_reason.as_ref(), reply.usage);
    Ok(reply)
}

/// Calls the configured model, and returns when the first frame of its answer has arrived: with
/// what has been read of the answer, and its rest.
///
/// # Errors
///
/// Where the call fails before that, or the first frame is an exception.
pub async fn invoke_bedrock_with_response_stream<H: Host>(
    request: &Request<'_>,
    config: &Config,
    host: &H,
    record: &mut Record,
) -> Result<(H::Body, Decoder), Error> {
    let started = host.now();
    let result = async {
        let (head, mut body) =
            post(&config.stream_uri, request, config, host, record).await?.into_parts();
        if !is_event_stream(&head.headers) {
            // It may still say what it is.
            let reply = Reply::parse(&body.read(MAX_REPLY_BYTES).await?);
            return Err(reply.err().unwrap_or(InvalidReply::NotEvents).into());
        }
        let mut decoder = Decoder::default();
        loop {
            match decoder.step() {
                Some(Step::Failed(error)) => return Err(error),
                Some(_) => return Ok((body, decoder)),
                None => match body.chunk().await.map_err(ReadError::Transport)? {
                    Some(bytes) => decoder.push(&bytes),
                    None => decoder.close(),
                },
            }
        }
    };
    let result: Result<_, InvokeError> = result.await;
    record.upstream_time = host.now().duration_since(started).ok();
    result.map_err(|error| error.into_public(request, config))
}

/// Whether it does not say that it is something else.
fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        value.starts_with(b"application/vnd.amazon.eventstream")
    })
}

/// Builds, signs and sends. The body of an answer of status 200 is left to be read.
async fn post<H: Host>(
    uri: &Uri,
    request: &Request<'_>,
    config: &Config,
    host: &H,
    record: &mut Record,
) -> Result<http::Response<H::Body>, InvokeError> {
    // 1. Build. Only these headers: whatever the client sent stays with us.
    let payload = build_payload(request).to_json()?;
    let json = HeaderValue::from_static("application/json");
    let mut call = http::Request::post(uri.clone())
        .header(CONTENT_TYPE, json.clone())
        .header(ACCEPT, json)
        .body(Bytes::from(payload))?;

    // 2. Sign.
    match &config.authentication {
        Authentication::SigV4(credentials) => {
            let scope = Scope { region: &config.region, service: "bedrock" };
            let payload_hash = host.sha256(call.body()).await;
            sign_post(&mut call, &payload_hash, credentials, scope, host.now())?;
        }
        Authentication::ApiKey(key) => {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                .map_err(http::Error::from)?;
            value.set_sensitive(true);
            call.headers_mut().insert(AUTHORIZATION, value);
        }
    }

    // 3. Send.
    let answer = host.send(call).await?;
    record.upstream_status = Some(answer.status().as_u16());
    record.upstream_request_id = token(answer.headers(), "x-amzn-requestid");
    if answer.status() != StatusCode::OK {
        let (head, body) = answer.into_parts();
        // The head says what matters, even if the body breaks off.
        let body = body.read(MAX_REPLY_BYTES).await.unwrap_or_default();
        return Err(InvokeError::refused(head.status, &head.headers, &body));
    }
    Ok(answer)
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// Most services write `message`, some `Message`.
fn message(body: &Value) -> String {
    text(body, "message").or_else(|| text(body, "Message")).unwrap_or_default().to_owned()
}

fn name(kind: &Option<Token>) -> &str {
    kind.as_ref().map_or("without a type", Token::as_str)
}

fn after_colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// An error's type in a stream, where it has a small first letter, as it is everywhere else.
pub(crate) fn capitalized(kind: &str) -> Option<Token> {
    let mut kind = kind.to_owned();
    if let Some(first) = kind.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    error_type(&kind)
}

fn token(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<Token> {
    headers.get(name)?.to_str().ok().and_then(Token::new)
}

/// The type says more than the status, which several types share.
///
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>
fn code_of(kind: &str, status: u16) -> Code {
    match (kind, status) {
        ("ThrottlingException" | "ServiceQuotaExceededException", _) => Code::Throttled,
        // With a small first letter and `_error`, the types of Claude's own API.
        ("rate_limit_error", _) => Code::Throttled,
        ("ModelTimeoutException" | "timeout_error", _) => Code::Timeout,
        ("ResourceNotFoundException", _) => Code::ModelNotFound,
        ("ValidationException" | "invalid_request_error", _) => Code::Rejected,
        ("ModelErrorException" | "ModelStreamErrorException", _) => Code::ModelError,
        ("ModelNotReadyException" | "ServiceUnavailableException", _) => Code::Unavailable,
        // Several of these come with 400 as well as with 403.
        (
            "AccessDeniedException"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException"
            | "NotAuthorized"
            | "UnrecognizedClientException",
            _,
        ) => Code::AccessDenied,
        (_, 429) => Code::Throttled,
        (_, 408 | 504) => Code::Timeout,
        (_, 401 | 403) => Code::AccessDenied,
        (_, 404) => Code::ModelNotFound,
        (_, 424) => Code::ModelError,
        (_, 500..) => Code::Unavailable,
        (_, 400..) => Code::Rejected,
        // A success that is none, or a redirect, which Bedrock never sends.
        _ => Code::InvalidResponse,
    }
}

impl InvokeError {
    /// AWS's REST JSON errors. A proxy in front of Bedrock can answer too, with whatever it likes.
    fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        Self::Refused {
            status,
            kind: headers
                .get("x-amzn-errortype")
                .and_then(|value| error_type(value.to_str().ok()?))
                .or_else(|| error_type(text(&body, "__type")?)),
            message: message(&body),
            retry_after: token(headers, RETRY_AFTER),
        }
    }

    /// An exception in a stream.
    pub(crate) fn exception(kind: &str, payload: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(payload).unwrap_or_default();
        let mut message = message(&body);
        // Of a ModelStreamErrorException: what the model's own server said.
        if let Some(original) = text(&body, "originalMessage") {
            message = format!("{message} ({original})");
        }
        Self::Exception { kind: capitalized(kind), message }
    }

    fn code(&self) -> Code {
        match self {
            Self::Payload(_) | Self::Request(_) | Self::Sign(_) => Code::Internal,
            Self::Send(_) | Self::Read(ReadError::Transport(_)) => Code::Unavailable,
            Self::Read(_) | Self::InvalidReply(_) | Self::Frame(_) => Code::InvalidResponse,
            Self::Truncated => Code::Truncated,
            // What is not known is taken for a fault of Bedrock's.
            Self::Exception { kind, .. } => code_of(kind.as_ref().map_or("", Token::as_str), 500),
            Self::Refused { status, kind, .. } => {
                code_of(kind.as_ref().map_or("", Token::as_str), status.as_u16())
            }
        }
    }

    pub(crate) fn into_public(self, request: &Request<'_>, config: &Config) -> Error {
        let code = self.code();
        let message = match code {
            Code::InvalidResponse | Code::Truncated => "Invalid Bedrock response",
            _ => "Bedrock invocation failed",
        };
        // AWS quotes what it was sent: of a payload that it refuses, a part of it.
        let quotable = std::iter::once(&*request.prompt)
            .chain(request.system.as_deref())
            .chain(request.stop_sequences.iter().map(|text| &**text));
        let secrets = config.authentication.secrets();
        let cause = Redacted::new(&self.to_string(), secrets, quotable);
        let retry_after = match self {
            Self::Refused { retry_after, .. } => retry_after,
            _ => None,
        };
        Error { retry_after, ..Error::new(code, message).because(cause) }
    }
}

#[cfg(test)]
mod tests;
