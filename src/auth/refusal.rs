//! Refusals: why a caller does not get in, and what the response says about it.

use std::time::Duration;

use super::caller::{Session, UNAUTHORIZED};
use crate::config::Access;
use crate::error::{AwsWords, Code, Error};
use crate::redact::Redacted;

/// When to retry while the issuer's keys cannot be fetched.
pub(super) const ISSUER_PAUSE: Duration = Duration::from_secs(5);

// The refusals of a credential in AWS's words: the name of the error, and its message.
//
// <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>
const UNKNOWN: &AwsWords =
    &("UnrecognizedClientException", "The security token included in the request is invalid.");
const UNKNOWN_TOKEN: &AwsWords =
    &("AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.");
const MISSING: &AwsWords = &("MissingAuthenticationTokenException", "Missing Authentication Token");
const EXPIRED: &AwsWords =
    &("ExpiredTokenException", "The security token included in the request is expired");

/// The reason why a caller does not get in.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// 401: the caller is not authenticated.
    Unauthenticated(Redacted),
    /// 401: the token is not accepted.
    Token(Redacted),
    /// 401: there is no credential.
    Missing(Redacted),
    /// 401: the credential has expired.
    Expired(Redacted),
    /// 401 in AWS's words: the type of the error, and its message.
    Aws { kind: &'static str, message: String, cause: Redacted },
    /// 403: the caller's token lacks this scope.
    Scope { session: Session, scope: String },
    /// 403: a browser sent it for a page of another origin.
    Origin(Session),
    /// 404: the caller sends a stream of events, which only operations have that are not served.
    EventStream(Session),
    /// 503: the issuer's keys cannot be fetched.
    Issuer(Redacted),
    /// Any other error.
    Other(Error),
}

impl From<&'static str> for Refusal {
    #[inline(never)] // Saves 1 KiB of the upload: it has many callers.
    fn from(cause: &'static str) -> Self {
        Self::Unauthenticated(cause.into())
    }
}

impl Refusal {
    /// Makes the refusal of a credential that of a token.
    pub(super) fn of_token(self) -> Self {
        match self {
            Self::Unauthenticated(cause) => Self::Token(cause),
            other => other,
        }
    }

    /// Returns the session, if the caller is known.
    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Self::Scope { session, .. } | Self::Origin(session) | Self::EventStream(session) => {
                Some(session)
            }
            _ => None,
        }
    }

    /// Returns the error for the caller.
    pub(crate) fn into_error(self, access: &Access) -> Error {
        const CHALLENGE: &str = "www-authenticate";
        let unauthorized = |cause, in_aws_words| {
            let error = Error::new(Code::Unauthorized, UNAUTHORIZED).because(cause);
            Error { in_aws_words: Some(in_aws_words), ..error }.with(CHALLENGE, &access.challenge)
        };
        match self {
            Self::Unauthenticated(cause) => unauthorized(cause, UNKNOWN),
            Self::Token(cause) => unauthorized(cause, UNKNOWN_TOKEN),
            Self::Missing(cause) => unauthorized(cause, MISSING),
            Self::Expired(cause) => unauthorized(cause, EXPIRED),
            Self::Aws { kind, message, cause } => Error::new(Code::Unauthorized, message)
                .because(cause)
                .with(CHALLENGE, &access.challenge)
                .with("x-amzn-errortype", kind),
            // https://www.rfc-editor.org/rfc/rfc6750#section-3.1
            Self::Scope { scope, .. } => {
                let challenge = format!(
                    r#"Bearer realm="bedrock-edge", error="insufficient_scope", scope="{scope}""#
                );
                let message = format!("the token lacks the scope {scope}");
                Error::new(Code::Forbidden, message).with(CHALLENGE, challenge)
            }
            Self::Origin(_) => {
                let message = "pages of this origin may not call: it is not in ALLOWED_ORIGINS";
                Error::new(Code::Forbidden, message)
            }
            Self::EventStream(_) => {
                Error::new(Code::NotFound, "a stream of events in a request is not served")
            }
            Self::Issuer(cause) => {
                let message = "callers cannot be verified for now";
                let error = Error::new(Code::IssuerUnavailable, message).because(cause);
                error.retry_after(ISSUER_PAUSE)
            }
            Self::Other(error) => error,
        }
    }
}
