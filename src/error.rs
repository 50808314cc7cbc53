//! Failures, described twice: in plain words for the caller, in full for the log.
//!
//! Out of scope: how AWS's errors map to these codes ([`aws::errors`](crate::aws)).

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde::{Serialize, Serializer};

use crate::headers::check_response;
use crate::host::{ReadError, TransportError};
use crate::identifier::milliseconds;
use crate::redact::Redacted;

/// A request that did not get generated text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The code, which is the value of the `x-error-code` header.
    pub code: Code,
    /// The message for the caller: what to change if the caller is at fault, and no detail of ours if not.
    pub message: String,
    /// The cause, for the log only.
    pub cause: Option<Redacted>,
    /// Bedrock's own words about a payload that it refused, for the interfaces that pass the caller's JSON on.
    pub(crate) upstream: Option<Redacted>,
    /// The name and the message that AWS has for it, for the interfaces that speak its protocol. `None`: those of the code.
    pub(crate) in_aws_words: Option<&'static AwsWords>,
    /// The headers that only this error has, such as `retry-after`, in seconds.
    pub headers: Vec<(&'static str, String)>,
}

/// The name of an error of AWS's, and its message.
pub(crate) type AwsWords = (&'static str, &'static str);

const PERMANENT: bool = false;
const TRANSIENT: bool = true;

/// Defines [`Code`] and its properties from one table.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident $name:literal $status:ident $retry:ident $lambda:literal $anthropic_status:literal $anthropic_type:literal $bedrock_status:literal $bedrock_name:literal;)+) => {
        /// The reason for a failure: the value of `x-error-code`. The names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $code,)+
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// Returns the value of `x-error-code`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => $name,)+ }
            }

            /// Finds a code by its name.
            #[cfg(feature = "entry")]
            pub(crate) fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == name)
            }

            /// Returns the status of the response.
            ///
            /// As in the Lambda, every failure that is not the caller's is 500, except that the caller is asked
            /// to wait with 503.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)+ }
            }

            /// Reports whether the same request may succeed at another time.
            pub fn is_retryable(self) -> bool {
                match self { $(Self::$code => $retry,)+ }
            }

            /// Returns the name of the exception with which Lambda's Invoke API reports it.
            ///
            /// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors>
            pub(crate) fn lambda_exception(self) -> &'static str {
                match self { $(Self::$code => $lambda,)+ }
            }

            /// Returns the status and the type of the error with which Anthropic's Messages API reports it.
            ///
            /// <https://docs.claude.com/en/api/errors>
            pub(crate) fn anthropic_error(self) -> (u16, &'static str) {
                match self { $(Self::$code => ($anthropic_status, $anthropic_type),)+ }
            }

            /// Returns the status and the name of the exception with which Bedrock's own API reports it.
            ///
            /// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html#API_runtime_InvokeModel_Errors>
            pub(crate) fn bedrock_exception(self) -> (u16, &'static str) {
                match self { $(Self::$code => ($bedrock_status, $bedrock_name),)+ }
            }
        }
    };
}

#[rustfmt::skip]
codes! {
    /// The body, or a field of it, is invalid. The message names the field.
    InvalidRequest "invalid_request" BAD_REQUEST PERMANENT "InvalidRequestContentException" 400 "invalid_request_error" 400 "ValidationException";
    /// The request is part of a conversation that Anthropic's servers would keep.
    ThreadUnsupported "thread_unsupported_request" BAD_REQUEST PERMANENT "InvalidRequestContentException" 400 "invalid_request_error" 400 "ValidationException";
    /// The request does not prove who the caller is. The log has the reason.
    Unauthorized "unauthorized" UNAUTHORIZED PERMANENT "AccessDeniedException" 401 "authentication_error" 403 "UnrecognizedClientException";
    /// The caller is known and may not do this.
    Forbidden "forbidden" FORBIDDEN PERMANENT "AccessDeniedException" 403 "permission_error" 403 "AccessDeniedException";
    /// `model` is neither the configured model nor in `ALLOWED_MODELS`.
    ModelNotAllowed "model_not_allowed" FORBIDDEN PERMANENT "AccessDeniedException" 404 "not_found_error" 403 "AccessDeniedException";
    /// The path has no route.
    NotFound "not_found" NOT_FOUND PERMANENT "InvalidRequestContentException" 404 "not_found_error" 404 "UnknownOperationException";
    /// The route does not accept the method. The `allow` header lists those that it accepts.
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED PERMANENT "InvalidRequestContentException" 405 "invalid_request_error" 404 "UnknownOperationException";
    /// The body is longer than `MAX_BODY_BYTES`.
    PayloadTooLarge "payload_too_large" PAYLOAD_TOO_LARGE PERMANENT "RequestTooLargeException" 413 "request_too_large" 413 "RequestEntityTooLargeException";
    /// The body is declared to be something other than JSON.
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE PERMANENT "InvalidRequestContentException" 415 "invalid_request_error" 400 "ValidationException";
    /// The body did not arrive in time.
    RequestTimeout "request_timeout" REQUEST_TIMEOUT TRANSIENT "InvalidRequestContentException" 408 "invalid_request_error" 408 "RequestTimeoutException";
    /// The path is a WebSocket's, and the request did not ask for one.
    UpgradeRequired "upgrade_required" UPGRADE_REQUIRED PERMANENT "InvalidRequestContentException" 426 "invalid_request_error" 404 "UnknownOperationException";
    /// The caller, or an address, sent too many requests.
    RateLimited "rate_limited" TOO_MANY_REQUESTS TRANSIENT "TooManyRequestsException" 429 "rate_limit_error" 429 "ThrottlingException";
    /// The caller has `MAX_IN_FLIGHT` requests in flight.
    TooManyInFlight "too_many_in_flight" TOO_MANY_REQUESTS TRANSIENT "TooManyRequestsException" 429 "rate_limit_error" 429 "ThrottlingException";
    /// The request may use more tokens than the caller has left.
    BudgetExceeded "budget_exceeded" TOO_MANY_REQUESTS TRANSIENT "TooManyRequestsException" 429 "rate_limit_error" 400 "ServiceQuotaExceededException";
    /// A variable is missing or wrong. The log names it.
    Misconfigured "misconfigured" INTERNAL_SERVER_ERROR PERMANENT "ServiceException" 500 "api_error" 500 "InternalServerException";
    /// The keys of the JWT issuer could not be fetched.
    IssuerUnavailable "issuer_unavailable" SERVICE_UNAVAILABLE TRANSIENT "ServiceException" 503 "api_error" 503 "ServiceUnavailableException";
    /// This program has a fault.
    Internal "internal" INTERNAL_SERVER_ERROR PERMANENT "ServiceException" 500 "api_error" 500 "InternalServerException";
    /// Bedrock throttles the account or the model.
    Throttled "throttled" INTERNAL_SERVER_ERROR TRANSIENT "ServiceException" 429 "rate_limit_error" 429 "ThrottlingException";
    /// The model, or all attempts together, took too long.
    Timeout "timeout" INTERNAL_SERVER_ERROR TRANSIENT "ServiceException" 504 "timeout_error" 408 "ModelTimeoutException";
    /// Bedrock could not be reached, or failed.
    Unavailable "unavailable" INTERNAL_SERVER_ERROR TRANSIENT "ServiceException" 529 "overloaded_error" 503 "ServiceUnavailableException";
    /// Bedrock refused the credentials, the signature or access to the model.
    AccessDenied "access_denied" INTERNAL_SERVER_ERROR PERMANENT "ServiceException" 500 "api_error" 500 "InternalServerException";
    /// The model does not exist in the region.
    ModelNotFound "model_not_found" INTERNAL_SERVER_ERROR PERMANENT "ServiceException" 500 "api_error" 404 "ResourceNotFoundException";
    /// Bedrock refused the payload.
    Rejected "rejected" INTERNAL_SERVER_ERROR PERMANENT "ServiceException" 400 "invalid_request_error" 400 "ValidationException";
    /// The model failed.
    ModelError "model_error" INTERNAL_SERVER_ERROR TRANSIENT "ServiceException" 500 "api_error" 424 "ModelErrorException";
    /// The reply ended at `max_tokens` before it had any text.
    NoText "no_text" INTERNAL_SERVER_ERROR PERMANENT "ServiceException" 500 "api_error" 500 "InternalServerException";
    /// The model refused to reply.
    Refusal "refusal" INTERNAL_SERVER_ERROR PERMANENT "ServiceException" 500 "api_error" 500 "InternalServerException";
    /// A guardrail intervened before the reply had any text.
    Guardrail "guardrail" INTERNAL_SERVER_ERROR PERMANENT "ServiceException" 500 "api_error" 500 "InternalServerException";
    /// Bedrock's response could not be read.
    InvalidResponse "invalid_response" INTERNAL_SERVER_ERROR PERMANENT "ServiceException" 500 "api_error" 500 "InternalServerException";
    /// Bedrock's response ended early.
    Truncated "truncated" INTERNAL_SERVER_ERROR TRANSIENT "ServiceException" 500 "api_error" 500 "InternalServerException";
    /// Another request runs in the session, or has taken it over.
    SessionBusy "session_busy" CONFLICT TRANSIENT "ResourceConflictException" 409 "invalid_request_error" 409 "ConflictException";
    /// The store of sessions could not be reached.
    SessionsUnavailable "sessions_unavailable" SERVICE_UNAVAILABLE TRANSIENT "ServiceException" 503 "api_error" 503 "ServiceUnavailableException";
    /// The requests in flight hold the memory that the request needs.
    Overloaded "overloaded" SERVICE_UNAVAILABLE TRANSIENT "ServiceException" 529 "overloaded_error" 503 "ServiceUnavailableException";
    /// The caller's limits could not be looked up.
    LimitsUnavailable "limits_unavailable" SERVICE_UNAVAILABLE TRANSIENT "ServiceException" 503 "api_error" 503 "ServiceUnavailableException";
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Error {
    /// Makes an error that needs no more than its message.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let (cause, upstream, in_aws_words, headers) = Default::default();
        Self { code, message: message.into(), cause, upstream, in_aws_words, headers }
    }

    /// Makes an error of the caller's request.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// Makes an error of the configuration, with a cause for the operator.
    pub(crate) fn misconfigured(cause: impl Into<Redacted>) -> Self {
        Self::new(Code::Misconfigured, "Internal server error").because(cause)
    }

    /// Describes why the body of a request, of `limit` bytes at most, could not be read.
    pub(crate) fn unreadable(error: ReadError, limit: usize) -> Self {
        match error {
            ReadError::TooLong => {
                let message = format!("the body must have {limit} bytes at most");
                Self::new(Code::PayloadTooLarge, message)
            }
            ReadError::Malformed(message) => Self::invalid(message),
            ReadError::Overloaded => {
                let message = "too many requests are in flight here: send the request again";
                let error =
                    Self::new(Code::Overloaded, message).because(ReadError::Overloaded.to_string());
                error.retry_after(Duration::from_secs(1))
            }
            ReadError::Transport(TransportError::TimedOut) => {
                Self::new(Code::RequestTimeout, "the body did not arrive in time")
            }
            ReadError::Transport(_) => Self::invalid("the body ended early"),
        }
    }

    /// Adds the cause for the log.
    pub(crate) fn because(mut self, cause: impl Into<Redacted>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        check_response(name);
        self.headers.push((name, value.to_string()));
        self
    }

    /// Adds `retry-after` in whole seconds, rounded up.
    pub(crate) fn retry_after(self, time: Duration) -> Self {
        self.with("retry-after", milliseconds(time).div_ceil(1000))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
