//! The caller of a request.

use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::error::{Code, Error};

/// The characters that are escaped in a name, so that different names stay different and a name never breaks a log
/// line or a key. Auth0's subjects contain `|`.
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

/// The message for every unauthenticated caller.
pub(super) const UNAUTHORIZED: &str = "Unauthorized";

/// The name of a caller, the same for every method of authentication. It is logged, and limits count by it.
///
/// It begins with the method, so that a token and a subject of the same name are two callers: `token:` and the name
/// of an API token, `jwt:` and the subject of a JWT, `service:` and the name of a Cloudflare Access service token,
/// `key:` and the id of an access key, `binding:` and the name of another Worker, `app:` and the name that the embedding
/// Worker gives. It is visible ASCII, up to 800 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caller(String);

impl Caller {
    pub(crate) fn new(method: &str, name: &str) -> Self {
        Self(format!("{method}:{}", utf8_percent_encode(name, NAME_ESCAPES)))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The result of authentication. A WebSocket keeps it for its lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// The caller. `None` with `AUTH=open`.
    pub caller: Option<Caller>,
    /// When the credential expires, if it does.
    pub expires: Option<SystemTime>,
}

impl Session {
    /// The session of a caller that needs no credential.
    pub const OPEN: Self = Self { caller: None, expires: None };

    /// Makes the session of a caller whose credential does not expire.
    pub(crate) fn new(caller: Caller) -> Self {
        Self { caller: Some(caller), expires: None }
    }

    /// Checks that the credential is still valid: a WebSocket outlives the request that opened it.
    pub(crate) fn check(&self, now: SystemTime) -> Result<(), Error> {
        if self.expires.is_none_or(|expires| now < expires) {
            return Ok(());
        }
        let cause = "the JWT that opened the connection has expired";
        Err(Error::new(Code::Unauthorized, UNAUTHORIZED).because(cause))
    }
}
