//! Why Bedrock gave no answer, and what the caller and the log are told of it.
//!
//! Out of scope: what is done about it (`retry`).

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

use crate::config::Config;
use crate::credentials::AssumeRoleError;
use crate::date;
use crate::error::{Code, Error};
use crate::header::X_AMZN_ERRORTYPE;
use crate::host::{ReadError, TransportError};
use crate::log::{Redacted, Token};
use crate::model::{InvalidReply, error_type};
use crate::request::Request;
use crate::sign::{SignError, difference};
use crate::stream::FrameError;

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
    /// There are no credentials to sign with.
    #[error("cannot assume the role: {0}")]
    Credentials(#[from] AssumeRoleError),
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
        /// How long the answer's `retry-after` asks to wait.
        retry_after: Option<Duration>,
        /// The answer's `date`: AWS's time.
        date: Option<SystemTime>,
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

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Seconds, or a time, which is compared with the answer's own: our clock may be wrong.
///
/// <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>
fn retry_after(text: &str, now: Option<SystemTime>) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    Some(date::parse_http(text)?.duration_since(now?).unwrap_or_default())
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
            | "RequestTimeTooSkewed"
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
    pub(super) fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let date = header(headers, DATE).and_then(date::parse_http);
        Self::Refused {
            status,
            kind: header(headers, X_AMZN_ERRORTYPE)
                .and_then(error_type)
                .or_else(|| error_type(text(&body, "__type")?)),
            message: message(&body),
            retry_after: header(headers, RETRY_AFTER).and_then(|text| retry_after(text, date)),
            date,
        }
    }

    /// Whether AWS refused the signature.
    pub(super) fn is_of_signature(&self) -> bool {
        let kind = match self {
            Self::Refused { kind: Some(kind), .. } => kind.as_str(),
            _ => "",
        };
        kind == "InvalidSignatureException"
    }

    /// The same, and before AWS's words where our canonical request differs from AWS's.
    pub(super) fn explained(mut self, signed: &http::Request<Bytes>) -> Self {
        if let Self::Refused { message, .. } = &mut self
            && let Some(difference) = difference(message, signed)
        {
            *message = format!("{difference}\n{message}");
        }
        self
    }

    /// How long AWS asks to wait, if it does.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
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

    /// Whether Bedrock may bill the call all the same. It does not where it refused, nor where it
    /// was not reached.
    pub(super) fn is_billed(&self) -> bool {
        match self {
            Self::Payload(_) | Self::Request(_) | Self::Sign(_) | Self::Credentials(_) => false,
            // Who gives up waiting does not stop a model that has begun.
            Self::Send(error) => !matches!(error, TransportError::Failed(_)),
            Self::InvalidReply(InvalidReply::Error(_)) => false,
            Self::Read(_) | Self::InvalidReply(_) | Self::Frame(_) | Self::Truncated => true,
            Self::Refused { .. } | Self::Exception { .. } => self.code() == Code::Timeout,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Payload(_) | Self::Request(_) | Self::Sign(_) => Code::Internal,
            Self::Credentials(error) => error.code(),
            Self::Send(TransportError::TimedOut)
            | Self::Read(ReadError::Transport(TransportError::TimedOut)) => Code::Timeout,
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
        let temporary = config.authentication.temporary();
        let secrets = config
            .authentication
            .secrets()
            .chain(temporary.iter().flat_map(|it| it.credentials.secrets()));
        let cause = Redacted::new(&self.to_string(), secrets, quotable);
        Error::new(code, message).because(cause)
    }
}
