//! What can go wrong, told twice: in plain words to the caller, in full to the log.
//!
//! Out of scope: how Bedrock's errors are told apart ([`invoke`](crate::invoke)).

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde::{Serialize, Serializer};

use crate::log::{Redacted, Token};

/// Why a request was not answered with a generated text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong, as the `x-error-code` header says it.
    pub code: Code,
    /// For the caller: what to change if it is the caller's fault, and nothing of ours if not.
    pub message: String,
    /// For the log. Never for the caller.
    pub cause: Option<Redacted>,
    /// The `allow` header of [`Code::MethodNotAllowed`].
    pub allow: Option<&'static str>,
    /// The `retry-after` header, in seconds: Bedrock's, or our own.
    pub retry_after: Option<Token>,
    /// The `x-ratelimit-limit-tokens` and `x-ratelimit-remaining-tokens` headers of
    /// [`Code::BudgetExceeded`].
    pub tokens: Option<TokensLeft>,
}

/// Of a limit that a request would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokensLeft {
    /// The limit.
    pub limit: u64,
    /// What is left of it, without what requests in flight have reserved.
    pub remaining: u64,
}

/// What went wrong, in one word: the value of `x-error-code`. The words are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// `invalid_request`, 400: the body, or a field of it, is not as it must be.
    InvalidRequest,
    /// `unauthorized`, 401: the request does not prove who it is from. The log says why not.
    Unauthorized,
    /// `forbidden`, 403: it does, and who that is may not do this.
    Forbidden,
    /// `model_not_allowed`, 403: `model` is neither the configured one nor in `ALLOWED_MODELS`.
    ModelNotAllowed,
    /// `not_found`, 404: there is nothing at this path.
    NotFound,
    /// `method_not_allowed`, 405: `allow` lists the methods of the path.
    MethodNotAllowed,
    /// `payload_too_large`, 413: the body is longer than `MAX_BODY_BYTES`.
    PayloadTooLarge,
    /// `unsupported_media_type`, 415: the body is declared to be something else than JSON.
    UnsupportedMediaType,
    /// `request_timeout`, 408: the body did not arrive in time.
    RequestTimeout,
    /// `upgrade_required`, 426: the path is a WebSocket's, and the request did not ask for one.
    UpgradeRequired,
    /// `rate_limited`, 429: too many requests of this caller, or from this address.
    RateLimited,
    /// `too_many_in_flight`, 429: as many requests of this caller are in flight as may be.
    TooManyInFlight,
    /// `budget_exceeded`, 429: the request may use more tokens than the caller has left.
    BudgetExceeded,
    /// `misconfigured`, 500: a variable is missing or wrong. The log names it.
    Misconfigured,
    /// `issuer_unavailable`, 503: the keys of the JWTs' issuer could not be fetched.
    IssuerUnavailable,
    /// `internal`, 500: a fault of this program.
    Internal,
    /// `throttled`, 500: Bedrock takes no more for now.
    Throttled,
    /// `timeout`, 500: the model took too long, or all that was tried together.
    Timeout,
    /// `unavailable`, 500: Bedrock could not be reached, or failed.
    Unavailable,
    /// `access_denied`, 500: Bedrock refused the credentials, the signature or the model.
    AccessDenied,
    /// `model_not_found`, 500: there is no such model in this region.
    ModelNotFound,
    /// `rejected`, 500: Bedrock refused the payload.
    Rejected,
    /// `model_error`, 500: the model failed.
    ModelError,
    /// `invalid_response`, 500: Bedrock's answer could not be read.
    InvalidResponse,
    /// `truncated`, 500: Bedrock's answer broke off.
    Truncated,
    /// `limits_unavailable`, 503: what the caller may use could not be looked up.
    LimitsUnavailable,
}

impl Code {
    /// The value of `x-error-code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::ModelNotAllowed => "model_not_allowed",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::RequestTimeout => "request_timeout",
            Self::UpgradeRequired => "upgrade_required",
            Self::RateLimited => "rate_limited",
            Self::TooManyInFlight => "too_many_in_flight",
            Self::BudgetExceeded => "budget_exceeded",
            Self::Misconfigured => "misconfigured",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::Internal => "internal",
            Self::Throttled => "throttled",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::AccessDenied => "access_denied",
            Self::ModelNotFound => "model_not_found",
            Self::Rejected => "rejected",
            Self::ModelError => "model_error",
            Self::InvalidResponse => "invalid_response",
            Self::Truncated => "truncated",
            Self::LimitsUnavailable => "limits_unavailable",
        }
    }

    /// Whether the same request may succeed at another time.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::RequestTimeout
                | Self::RateLimited
                | Self::TooManyInFlight
                | Self::BudgetExceeded
                | Self::IssuerUnavailable
                | Self::LimitsUnavailable
                | Self::Throttled
                | Self::Timeout
                | Self::Unavailable
                | Self::ModelError
                | Self::Truncated
        )
    }

    /// The status of the answer. All that is not the caller's fault is 500, as in the article, but
    /// where the caller is only asked to wait: 503.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::ModelNotAllowed => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::RateLimited | Self::TooManyInFlight | Self::BudgetExceeded => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::IssuerUnavailable | Self::LimitsUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Error {
    /// The caller's fault, which needs no more than its message.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            cause: None,
            allow: None,
            retry_after: None,
            tokens: None,
        }
    }

    /// The operator's fault, which is for the log.
    pub(crate) fn misconfigured(cause: impl Into<Redacted>) -> Self {
        Self::new(Code::Misconfigured, "Internal server error").because(cause)
    }

    pub(crate) fn because(mut self, cause: impl Into<Redacted>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(crate) fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(Token::seconds(time));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
