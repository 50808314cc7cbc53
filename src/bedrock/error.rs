//! Failures of a call to Bedrock, and what the caller and the log learn about them.
//!
//! Out of scope: what is done about a failure ([`retry`](super::retry)).

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::sse;
use super::state::State;
use crate::aws::sigv4::explain;
use crate::aws::{
    AssumeRoleError, AwsError, FrameError, SignError, error_type, loggable, too_long,
};
use crate::claude::{InvalidReply, names_field};
use crate::config::Config;
use crate::date;
use crate::error::{Code, Error};
use crate::headers::{X_AMZN_ERRORTYPE, upstream};
use crate::host::{ReadError, TransportError};
use crate::identifier::Identifier;
use crate::redact::Redacted;

/// A call to Bedrock failed: by our fault, the network's or Bedrock's, and by the caller's only if the prompt is too long.
/// Its texts are raw, and become an [`Error`] before anybody sees them.
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
    #[error("no response: {0}")]
    Send(#[from] TransportError),
    /// The body of the response could not be read to its end.
    #[error("cannot read the response: {0}")]
    Read(#[from] ReadError),
    /// Bedrock responded with a status other than 200.
    #[error("{status} {}{}", name(kind), after_colon(explanation, message))]
    Refused {
        /// The status of the response.
        status: StatusCode,
        /// The type of the error, such as `ThrottlingException`.
        kind: Option<Identifier>,
        /// The first difference between our canonical request and AWS's, if AWS refused the signature.
        explanation: Option<String>,
        /// AWS's message. It can quote the canonical request, with the session token in it.
        message: String,
        /// The wait that `retry-after` asks for.
        retry_after: Option<Duration>,
        /// The `date` of the response: AWS's time.
        date: Option<SystemTime>,
    },
    /// Bedrock responded with status 200 and something other than a reply with text.
    #[error(transparent)]
    InvalidReply(InvalidReply),
    /// Bedrock ended a stream with an error, or sent one with status 200.
    #[error("{}{}", kind.as_ref().map_or("an error without a type", Identifier::as_str), after_colon(&None, &with_original(message, original)))]
    Exception {
        /// The type of the error, such as `ThrottlingException`.
        kind: Option<Identifier>,
        /// AWS's message.
        message: String,
        /// The message of the model's own server, which a `ModelStreamErrorException` quotes.
        original: Option<String>,
    },
    /// A stream is not an event stream, or is damaged.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A stream has an event that is too long.
    #[error(transparent)]
    Event(#[from] sse::TooLong),
    /// A stream ended before the reply did.
    #[error("the stream ended before the reply did")]
    Truncated,
}

impl From<InvalidReply> for InvokeError {
    fn from(reply: InvalidReply) -> Self {
        match reply {
            InvalidReply::Error { kind, message } => {
                Self::Exception { kind, message, original: None }
            }
            reply => Self::InvalidReply(reply),
        }
    }
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// Returns the message of an error. Most services write `message`, some `Message`.
fn message(body: &Value) -> String {
    text(body, "message").or_else(|| text(body, "Message")).unwrap_or_default().to_owned()
}

fn name(kind: &Option<Identifier>) -> &str {
    kind.as_ref().map_or("without a type", Identifier::as_str)
}

fn as_str(kind: &Option<Identifier>) -> &str {
    kind.as_ref().map_or("", Identifier::as_str)
}

fn after_colon(explanation: &Option<String>, message: &str) -> String {
    match explanation.as_deref() {
        None if message.is_empty() => String::new(),
        None => format!(": {message}"),
        Some(explanation) => format!(": {explanation}\n{message}"),
    }
}

fn with_original(message: &str, original: &Option<String>) -> String {
    match original {
        None => message.to_owned(),
        Some(original) => format!("{message} ({original})"),
    }
}

/// Returns the type of an exception as it is written elsewhere: in a stream it begins with a small letter.
pub(crate) fn capitalized(kind: &str) -> Option<Identifier> {
    let mut kind = kind.to_owned();
    if let Some(first) = kind.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    error_type(&kind)
}

/// Parses `retry-after`: seconds, or a time, which is compared with the `date` of the response because our clock
/// may be wrong.
///
/// <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>
fn retry_after(text: &str, now: Option<SystemTime>) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    Some(date::parse_http(text)?.duration_since(now?).unwrap_or_default())
}

impl InvokeError {
    /// Reads an error of AWS's REST JSON protocol. A proxy in front of Bedrock may respond with anything.
    pub(super) fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        // Of Anthropic's form: `{"type": "error", "error": {"type", "message"}}`.
        let inner = body.get("error").filter(|inner| inner.is_object());
        let date = upstream(headers, &DATE).and_then(date::parse_http);
        Self::Refused {
            status,
            kind: upstream(headers, &X_AMZN_ERRORTYPE)
                .and_then(error_type)
                .or_else(|| error_type(text(&body, "__type")?))
                .or_else(|| error_type(text(inner?, "type")?)),
            explanation: None,
            message: message(inner.unwrap_or(&body)),
            retry_after: upstream(headers, &RETRY_AFTER).and_then(|text| retry_after(text, date)),
            date,
        }
    }

    /// Reports whether AWS refused the signature.
    pub(super) fn is_of_signature(&self) -> bool {
        let kind = match self {
            Self::Refused { kind: Some(kind), .. } => kind.as_str(),
            _ => "",
        };
        kind == "InvalidSignatureException"
    }

    /// Adds where our canonical request differs from AWS's.
    pub(super) fn explained(mut self, signed: &http::Request<Bytes>) -> Self {
        if let Self::Refused { explanation, message, .. } = &mut self {
            *explanation = explain(message, signed);
        }
        self
    }

    /// Replaces AWS's message by what may be logged of it.
    fn make_loggable(&mut self) {
        if let Self::Refused { message, .. }
        | Self::Exception { message, .. }
        | Self::Credentials(AssumeRoleError::Refused { message, .. }) = self
        {
            *message = loggable(message);
        }
        if let Self::Exception { original: Some(original), .. } = self {
            *original = loggable(original);
        }
    }

    /// Returns the wait that AWS asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Reads an exception in a stream.
    pub(crate) fn exception(kind: &str, payload: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(payload).unwrap_or_default();
        let original = text(&body, "originalMessage").map(str::to_owned);
        Self::Exception { kind: capitalized(kind), message: message(&body), original }
    }

    /// Reports whether Bedrock may bill the call all the same. It does not if it refused or was not reached.
    pub(super) fn is_billed(&self) -> bool {
        match self {
            Self::Payload(_) | Self::Request(_) | Self::Sign(_) | Self::Credentials(_) => false,
            // A model that has begun goes on when the client stops waiting.
            Self::Send(error) => !matches!(error, TransportError::Failed(_)),
            Self::Read(_)
            | Self::InvalidReply(_)
            | Self::Frame(_)
            | Self::Event(_)
            | Self::Truncated => true,
            Self::Refused { .. } | Self::Exception { .. } => {
                self.aws_error().is_some_and(|error| error.may_be_billed)
            }
        }
    }

    /// Returns the row of AWS's table, if AWS reported an error.
    pub(super) fn aws_error(&self) -> Option<AwsError> {
        match self {
            Self::Refused { status, kind, message, .. } => {
                Some(AwsError::find(as_str(kind), status.as_u16()).refined(message))
            }
            Self::Exception { kind, message, original } => {
                // The words of the model's own server say more than Bedrock's.
                let message = original.as_deref().unwrap_or(message);
                Some(AwsError::find_without_status(as_str(kind), message))
            }
            _ => None,
        }
    }

    /// Reports whether Bedrock refused the breakpoints of the prompt cache, which is a 403 (opencode #782).
    pub(super) fn is_of_cache(&self) -> bool {
        matches!(self, Self::Refused { message, .. }
            if message.contains("prompt caching") || names_field(message, "cachePoint"))
    }

    /// Returns the message with which Bedrock refused the payload, if it did.
    pub(super) fn rejection(&self) -> Option<&str> {
        match self {
            Self::Refused { status: StatusCode::BAD_REQUEST, message, .. } => Some(message),
            _ => None,
        }
    }

    /// Reports whether AWS said that there is no access to a model, in words that name nothing of the account.
    pub(super) fn is_of_model_access(&self) -> bool {
        const MESSAGE: &str = "You don't have access to the model with the specified model ID";
        match self {
            Self::Refused { kind, message, .. } => {
                as_str(kind) == "AccessDeniedException" && message.trim_end_matches('.') == MESSAGE
            }
            _ => false,
        }
    }

    /// Describes for the caller that the prompt is too long, if Bedrock said so.
    fn too_long(&self) -> Option<String> {
        match self {
            Self::Refused { message, .. } => too_long(message),
            Self::Exception { message, original, .. } => {
                too_long(message).or_else(|| too_long(original.as_deref()?))
            }
            _ => None,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Payload(_) | Self::Request(_) | Self::Sign(_) => Code::Internal,
            Self::Credentials(error) => error.code(),
            Self::Send(TransportError::TimedOut)
            | Self::Read(ReadError::Transport(TransportError::TimedOut)) => Code::Timeout,
            Self::Send(_) | Self::Read(ReadError::Transport(_)) => Code::Unavailable,
            Self::Read(ReadError::Overloaded) => Code::Overloaded,
            Self::InvalidReply(InvalidReply::MaxTokens) => Code::NoText,
            Self::InvalidReply(InvalidReply::Malformed) => Code::ModelError,
            Self::InvalidReply(InvalidReply::Refusal) => Code::Refusal,
            Self::InvalidReply(InvalidReply::Guardrail) => Code::Guardrail,
            Self::Read(_) | Self::InvalidReply(_) | Self::Frame(_) | Self::Event(_) => {
                Code::InvalidResponse
            }
            Self::Truncated => Code::Truncated,
            Self::Exception { .. } | Self::Refused { .. } => {
                self.aws_error().map_or(Code::Unavailable, |error| error.code)
            }
        }
    }

    /// Describes the failure for the caller of a request with so many `max_tokens`, and for the log without secrets, and without AWS's message unless it is known
    /// or `LOG_UPSTREAM_MESSAGES` asks for it.
    pub(crate) fn into_public(mut self, max_tokens: u32, config: &Config, state: &State) -> Error {
        let code = self.code();
        let message = match code {
            Code::NoText => {
                format!("the reply ended at max_tokens ({max_tokens}) before it had any text")
            }
            Code::Refusal => "the model refused to reply".to_owned(),
            Code::Guardrail => "a guardrail intervened before the reply had any text".to_owned(),
            // The only error of Bedrock's that is the caller's fault.
            Code::InvalidRequest => self.too_long().unwrap_or_default(),
            Code::InvalidResponse | Code::Truncated => "Invalid Bedrock response".to_owned(),
            _ => "Bedrock invocation failed".to_owned(),
        };
        let temporary = state.role.secret();
        let secrets = config
            .authentication
            .secrets()
            .chain(temporary.iter().flat_map(|it| it.credentials.secrets()));
        let secrets: Vec<&str> = secrets.collect();
        let wording = self.rejection().filter(|_| code == Code::Rejected);
        let wording = wording.map(|text| Redacted::new(text, secrets.iter().copied()));
        if !config.logs_upstream_messages {
            self.make_loggable();
        }
        let cause = Redacted::new(&self.to_string(), secrets);
        let error = Error { upstream: wording, ..Error::new(code, message).because(cause) };
        if code == Code::Overloaded { error.retry_after(Duration::from_secs(1)) } else { error }
    }
}
