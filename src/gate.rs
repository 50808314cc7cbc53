//! Who may come in.
//!
//! A caller proves who it is by one of the methods that are configured: an API token (`tokens`), a
//! JWT (`jwt`, with the issuer's keys in `jwks`), or a signature with a key of ours (`sigv4`).
//! With none, nobody gets in, unless the operator has opened the gate with `AUTH=open`. All of this
//! is before the body is read; a signature that covers the body is the exception, and `sigv4` says
//! how far.
//!
//! A stranger is told that it is one (401) and never why: that is for the log. In AWS's words a
//! SigV4 client is told what is wrong with the form or the date of its signature, which it must know
//! to do better, and not whether its key exists.
//!
//! Out of scope: how much a caller may use; identities of more than one issuer.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::config::Config;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::event::Event;
use crate::host::{Body, Host, ReadError};
use crate::log::Redacted;
use crate::rarely::rarely;
pub use access::Access;
use credential::Credential;
pub(crate) use credential::protocol;
pub use jwks::VerifyingKey;
pub(crate) use origin::{allow_origin, preflight};

mod access;
mod credential;
mod jwks;
mod jwt;
mod origin;
mod sigv4;
mod tokens;

/// What a name may have in it as it is. The rest is percent-encoded, so that different names stay
/// different, and a line of the log or a key is never broken. `|` is in Auth0's subjects.
const NAME_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b':')
    .remove(b'/')
    .remove(b'=')
    .remove(b'+')
    .remove(b'@')
    .remove(b'|');

/// Who calls, by the one name that every way of proving it yields: it is logged, and every limit
/// is counted by it.
///
/// It begins with the method, so that a token and a subject of the same name are two callers:
/// `token:` and the name of an API token, `jwt:` and the subject of a JWT, `service:` and the name
/// of a Cloudflare Access service token, `key:` and the id of an access key. It is visible ASCII,
/// up to 800 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caller(String);

impl Caller {
    pub(crate) fn new(method: &str, name: &str) -> Self {
        Self(format!("{method}:{}", utf8_percent_encode(name, NAME_ESCAPES)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the gate has found out about a caller, for as long as a connection lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// Who it is. `None` with `AUTH=open`, where nobody is asked.
    pub caller: Option<Caller>,
    /// When the proof expires, if it does.
    pub expires: Option<SystemTime>,
}

impl Session {
    /// Of a caller who was not asked.
    pub const OPEN: Self = Self { caller: None, expires: None };

    pub(crate) fn of(caller: Caller) -> Self {
        Self { caller: Some(caller), expires: None }
    }

    /// Whether the proof still holds. A WebSocket outlives the request that opened it.
    pub(crate) fn check(&self, now: SystemTime) -> Result<(), Error> {
        if self.expires.is_none_or(|expires| now < expires) {
            return Ok(());
        }
        let cause = "the JWT that opened the connection has expired";
        Err(Error::new(Code::Unauthorized, UNAUTHORIZED).because(cause))
    }
}

/// A body that the gate may have had to read.
pub(crate) enum Unread<B> {
    Read(Bytes),
    Unread(B),
}

impl<B: Body> Body for Unread<B> {
    async fn read(self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        match self {
            Self::Read(bytes) => bytes.read(limit, within).await,
            Self::Unread(body) => body.read(limit, within).await,
        }
    }
}

/// The words for every stranger.
const UNAUTHORIZED: &str = "Unauthorized";

/// Why a caller does not come in.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// 401: a stranger.
    Stranger(Redacted),
    /// 401 in AWS's words: the error's type, and its message.
    Aws { kind: &'static str, message: String, cause: Redacted },
    /// 403: a known caller who lacks this scope.
    Scope { session: Session, scope: String },
    /// 403: a browser on a page of somebody else's.
    Origin(Session),
    /// 503: the issuer's keys are not to be had.
    Issuer(Redacted),
    /// Anything else that an answer can be.
    Other(Error),
}

impl From<&'static str> for Refusal {
    #[inline(never)] // It is in many places.
    fn from(cause: &'static str) -> Self {
        Self::Stranger(cause.into())
    }
}

impl Refusal {
    /// Who it is about, if that is known.
    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Self::Scope { session, .. } | Self::Origin(session) => Some(session),
            _ => None,
        }
    }

    /// The answer, and the headers that it has beside those of every error.
    pub(crate) fn into_error(self, access: &Access) -> (Error, Vec<(&'static str, String)>) {
        let challenge = || ("www-authenticate", access.challenge().to_owned());
        match self {
            Self::Stranger(cause) => {
                let error = Error::new(Code::Unauthorized, UNAUTHORIZED).because(cause);
                (error, vec![challenge()])
            }
            Self::Aws { kind, message, cause } => {
                let error = Error::new(Code::Unauthorized, message).because(cause);
                (error, vec![challenge(), ("x-amzn-errortype", kind.to_owned())])
            }
            // https://www.rfc-editor.org/rfc/rfc6750#section-3.1
            Self::Scope { scope, .. } => {
                let message = format!("the token lacks the scope {scope}");
                let challenge = format!(
                    r#"Bearer realm="bedrock-edge", error="insufficient_scope", scope="{scope}""#
                );
                let error = Error::new(Code::Forbidden, message);
                (error, vec![("www-authenticate", challenge)])
            }
            Self::Origin(_) => {
                let message = "pages of this origin may not call: it is not in ALLOWED_ORIGINS";
                (Error::new(Code::Forbidden, message), Vec::new())
            }
            Self::Issuer(cause) => {
                let message = "callers cannot be verified for now";
                let error = Error::new(Code::IssuerUnavailable, message).because(cause);
                (error.retry_after(jwks::SHORT_PAUSE), Vec::new())
            }
            Self::Other(error) => (error, Vec::new()),
        }
    }
}

/// The only value of a header. Several of them are an empty one, which means nothing here.
fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().unwrap_or_default();
    Some(if values.next().is_some() { "" } else { first })
}

/// Lets a caller in, or not. What it takes of the body is still there for the next reader.
///
/// 1. The request has one credential, or none. With two, none of them counts.
/// 2. The credential is of a configured method, and proves who calls.
/// 3. A browser's page is the Worker's own or of `ALLOWED_ORIGINS`.
pub(crate) async fn enter<B: Body, H: Host>(
    event: Event<B>,
    config: &Config,
    deadline: Deadline,
    host: &H,
) -> Result<(Session, Event<Unread<B>>), Refusal> {
    let access = &config.access;
    let (session, event) = if access.is_open() {
        (Session::OPEN, event.map(Unread::Unread))
    } else {
        // 1.
        let credential = Credential::of(&event.headers, event.query(), access)?;
        // 2.
        match credential {
            Credential::Signature(authorization) => {
                let signed = sigv4::verify(
                    authorization,
                    &event,
                    access.keys(),
                    &config.endpoint.region,
                    host.now(),
                )?;
                rarely(read_signed(signed, event, config, deadline, host)).await?
            }
            credential => {
                let session = known(&credential, access, deadline, host).await?;
                (session, event.map(Unread::Unread))
            }
        }
    };
    // 3.
    if origin::is_foreign(&event.headers, access.origins()) {
        return Err(Refusal::Origin(session));
    }
    Ok((session, event))
}

/// The caller by a signature, which may be of the body.
async fn read_signed<B: Body, H: Host>(
    signed: sigv4::Signed,
    event: Event<B>,
    config: &Config,
    deadline: Deadline,
    host: &H,
) -> Result<(Session, Event<Unread<B>>), Refusal> {
    let (event, body) = event.take_body();
    let limit = config.max_body_bytes;
    let body = body
        .read(limit, deadline.left(host.now()))
        .await
        .map_err(|error| Refusal::Other(crate::handler::unreadable(error, limit)))?;
    let session = Session::of(signed.check(&body)?);
    Ok((session, event.map(|()| Unread::Read(body))))
}

/// The caller by a credential that is no signature.
async fn known<H: Host>(
    credential: &Credential<'_>,
    access: &Access,
    deadline: Deadline,
    host: &H,
) -> Result<Session, Refusal> {
    let token = |token| access.tokens().find(token).map(Session::of);
    match *credential {
        Credential::ApiKey(key) => token(key).ok_or_else(|| "the API token is not known".into()),
        // Of either kind: one credential that is looked up in two places.
        Credential::Bearer(bearer) => match (token(bearer), access.issuer()) {
            (Some(session), _) => Ok(session),
            (None, Some(issuer)) => rarely(issuer.verify(bearer, deadline, host)).await,
            (None, None) => Err("the API token is not known".into()),
        },
        Credential::Assertion(jwt) => match access.issuer() {
            Some(issuer) => rarely(issuer.verify(jwt, deadline, host)).await,
            None => Err("no JWT_ISSUER is configured".into()),
        },
        Credential::None | Credential::Signature(_) => Err(access.why_none().into()),
    }
}

#[cfg(test)]
mod tests;
