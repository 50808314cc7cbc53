//! Failures to enforce a limit. A limit that cannot be enforced is never ignored.

use std::time::Duration;

use crate::error::{Code, Error};
use crate::host::LimitError;

/// When to retry a request that a limit refuses only for the moment.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// Describes why a limit cannot be enforced. `error` is `None` if the platform has no means for it.
pub(super) fn unenforced(binding: &str, error: Option<&LimitError>) -> Error {
    let Some(error) = error else {
        return Error::misconfigured(format!("{binding}: the host platform does not have it"));
    };
    let message = "what you may use cannot be looked up for now";
    let error = Error::new(Code::LimitsUnavailable, message).because(format!("{binding}: {error}"));
    error.retry_after(SOON)
}
