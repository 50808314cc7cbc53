//! The temporary credentials of one isolate, kept for all its requests.
//!
//! Five minutes before they expire one request replaces them while the others go on with the old ones. If there
//! are none yet, the others wait.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::assume_role::{AssumeRoleError, assume_role};
use super::role::{RoleSettings, TemporaryCredentials};
use crate::deadline::Deadline;
use crate::host::{Http, TransportError};
use crate::single_flight::{Arrival, LEASE, Next, SingleFlight, lies_ahead};

/// Credentials are replaced this long before they expire, as in the AWS SDKs.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// The pause after a failed attempt to replace credentials that are still valid.
const PAUSE: Duration = Duration::from_secs(10);

/// The credentials of a role, and why they could not be replaced although it was time to.
type Usable = (Arc<TemporaryCredentials>, Option<AssumeRoleError>);

/// The temporary credentials of one isolate.
pub(crate) struct RoleCredentials(SingleFlight<State>);

#[derive(Default)]
struct State {
    current: Option<Arc<TemporaryCredentials>>,
    /// The credentials before these: a call that was signed with them may still be under way.
    previous: Option<Arc<TemporaryCredentials>>,
    /// The last failure, with the number of its fetch.
    failure: Option<(u64, AssumeRoleError)>,
    /// No fetch before this while the current credentials are valid.
    paused_until: Option<SystemTime>,
}

/// The result of a call to STS.
struct Outcome {
    result: Result<TemporaryCredentials, AssumeRoleError>,
    /// Whether only the deadline of this request passed, which is no failure for other requests.
    is_own_timeout: bool,
}

impl Default for RoleCredentials {
    fn default() -> Self {
        Self(SingleFlight::new(State::default(), Duration::ZERO))
    }
}

impl fmt::Debug for RoleCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoleCredentials([redacted])")
    }
}

impl RoleCredentials {
    /// Returns the credentials to sign with. `now` is AWS's time.
    pub(crate) async fn get<H: Http>(
        &self,
        role: &RoleSettings,
        host: &H,
        deadline: Deadline,
        now: impl Fn() -> SystemTime,
    ) -> Result<Usable, AssumeRoleError> {
        let fetch = async || {
            let left = deadline.left(host.now());
            let result = assume_role(role, host, LEASE.min(left), now()).await;
            if result.as_ref().err() == Some(&TransportError::Cancelled.into()) {
                return None;
            }
            let is_timeout = result.as_ref().err() == Some(&TransportError::TimedOut.into());
            Some(Outcome { result, is_own_timeout: is_timeout && left < LEASE })
        };
        self.0.run(host, deadline, &now, State::next, fetch, State::settle).await?
    }

    /// Forgets credentials that AWS calls expired.
    pub(crate) fn forget(&self, expired: &Arc<TemporaryCredentials>) {
        self.0.with(|state| {
            if state.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, expired)) {
                state.previous = state.current.take();
            }
        });
    }

    /// Returns the credentials whose secrets must never reach a log or a client.
    pub(crate) fn secret(&self) -> Vec<Arc<TemporaryCredentials>> {
        self.0.with(|state| state.current.iter().chain(&state.previous).cloned().collect())
    }
}

impl State {
    fn valid(&self, now: SystemTime) -> Option<&Arc<TemporaryCredentials>> {
        self.current.as_ref().filter(|it| now < it.expires)
    }

    fn next(&mut self, arrival: Arrival, now: SystemTime) -> Next<Result<Usable, AssumeRoleError>> {
        let Some(current) = self.valid(now).cloned() else {
            return match &self.failure {
                Some((flight, error)) if arrival.is_before(*flight) => {
                    Next::Return(Err(error.clone()))
                }
                _ => Next::Fetch { fallback: None },
            };
        };
        let is_early = current.expires.duration_since(now).is_ok_and(|left| left > EARLY);
        let is_paused = self.paused_until.is_some_and(|until| lies_ahead(until, now, PAUSE));
        let usable = Ok((current, None));
        if is_early || is_paused {
            Next::Return(usable)
        } else {
            Next::Fetch { fallback: Some(usable) }
        }
    }

    fn settle(
        &mut self,
        outcome: Outcome,
        flight: u64,
        now: SystemTime,
    ) -> Option<Result<Usable, AssumeRoleError>> {
        match outcome.result {
            Ok(temporary) => {
                let temporary = Arc::new(temporary);
                self.previous = self.current.replace(temporary.clone());
                self.failure = None;
                self.paused_until = None;
                Some(Ok((temporary, None)))
            }
            Err(error) => {
                if !outcome.is_own_timeout {
                    self.failure = Some((flight, error.clone()));
                    self.paused_until = now.checked_add(PAUSE);
                }
                Some(match self.valid(now) {
                    Some(current) => Ok((current.clone(), Some(error))),
                    None => Err(error),
                })
            }
        }
    }
}
