//! The parts that signing and verifying share, besides the canonical request.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::date::YEAR_10000;
use crate::headers::{X_AMZ_DATE, X_AMZ_SECURITY_TOKEN};

/// The name of the algorithm, with which `Authorization` and the string to sign begin.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A credential scope: what a signature is valid for, besides its day.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The region, such as `ap-northeast-1`.
    pub region: &'a str,
    /// The signing name of the service, such as `bedrock`.
    pub service: &'a str,
}

/// A request cannot be signed: its URI, its time or one of its headers is unsuitable.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign the request: {0}")]
pub struct SignError(pub(super) String);

impl SignError {
    /// Includes the causes, because `aws-sigv4` displays only the outermost.
    pub(super) fn from_any(error: impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

/// Returns seconds since the epoch.
pub(super) fn seconds_of(now: SystemTime) -> Result<u64, SignError> {
    let time = now.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs());
    time.filter(|seconds| *seconds < YEAR_10000)
        .ok_or_else(|| SignError("its time is out of range".to_owned()))
}

/// Removes an earlier signature.
pub(super) fn remove_signature(headers: &mut HeaderMap) {
    for name in [AUTHORIZATION, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN] {
        headers.remove(name);
    }
}
