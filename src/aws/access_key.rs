//! AWS access keys.

use std::fmt;

use crate::secret::Secret;

/// An access key, with its session token if it is temporary.
#[derive(Clone)]
pub struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Secret,
    pub(super) session_token: Option<Secret>,
}

impl Credentials {
    /// Makes long-term credentials, or temporary ones with their session token.
    pub fn new(
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
        session_token: Option<String>,
    ) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret_access_key: Secret::new(secret_access_key),
            session_token: session_token.map(Secret::new),
        }
    }

    /// Returns everything that must not reach a log or a client. The key's id is no secret, but it tells an
    /// unauthenticated caller whose account this is.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        [self.access_key_id.as_str(), self.secret_access_key.expose()]
            .into_iter()
            .chain(self.session_token.as_ref().map(Secret::expose))
    }

    /// Reports whether both are the same key.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.access_key_id == other.access_key_id && self.secrets().eq(other.secrets())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}
