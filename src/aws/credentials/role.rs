//! A role, and the credentials that STS gives for it.

use std::fmt;
use std::time::SystemTime;

use http::Uri;

use crate::aws::access_key::Credentials;

/// `AWS_ROLE_ARN`: a role that the stored key may assume.
#[non_exhaustive]
pub struct RoleSettings {
    /// The ARN of the role.
    pub role_arn: String,
    /// `AWS_ROLE_SESSION_NAME`, by which CloudTrail names the calls.
    pub session_name: String,
    /// `AWS_ROLE_EXTERNAL_ID`, which the role's owner may demand.
    pub external_id: Option<String>,
    /// `AWS_ROLE_DURATION_SECONDS`: how long the credentials last. `None`: an hour.
    pub duration: Option<u32>,
    /// `AWS_ROLE_SESSION_TAGS`: the names and values of the session's tags.
    pub tags: Vec<(String, String)>,
    /// The region of the STS endpoint.
    pub region: String,
    /// The STS endpoint.
    pub endpoint: Uri,
    /// The stored key.
    pub source: Credentials,
}

impl RoleSettings {
    pub(crate) fn new(
        role_arn: String,
        session_name: String,
        region: String,
        endpoint: Uri,
        source: Credentials,
    ) -> Self {
        let (external_id, duration, tags) = (None, None, Vec::new());
        Self { role_arn, session_name, external_id, duration, tags, region, endpoint, source }
    }
}

impl fmt::Debug for RoleSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleSettings")
            .field("role_arn", &self.role_arn)
            .field("session_name", &self.session_name)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Credentials that STS gave.
#[derive(Clone, Debug)]
pub struct TemporaryCredentials {
    /// The key, with its session token.
    pub credentials: Credentials,
    /// When they expire, by AWS's clock.
    pub expires: SystemTime,
}
