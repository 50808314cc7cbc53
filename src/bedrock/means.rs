//! The means of a call, and what the calls of all operations share: credentials, signatures, and what follows a failure.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};

use super::error::InvokeError;
use super::retry::{Attempts, Failure, Next};
use super::state::State;
use crate::aws::{AssumeRoleError, Credentials, Scope, TemporaryCredentials, sign_post};
use crate::config::{Authentication, Config};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::host::Host;
use crate::limits::{Memory, Reservation, reserve_again};
use crate::lock::lock;
use crate::log::Record;
use crate::outlined::outlined;
use crate::secret::Secret;

/// The means of a call: the configuration, what the isolate has learnt, a deadline, and the platform.
/// [`Isolate::bedrock`](crate::Isolate::bedrock) makes it.
#[derive(Debug)]
pub struct Bedrock<'a, H> {
    pub(super) config: &'a Config,
    pub(super) state: &'a State,
    pub(super) memory: &'a Arc<Memory>,
    pub(super) deadline: Deadline,
    pub(super) host: &'a H,
    /// The tokens that are reserved for the call, if tokens are counted.
    reservation: Mutex<Option<Reservation>>,
}

impl<'a, H> Bedrock<'a, H> {
    pub(crate) fn new(
        config: &'a Config,
        state: &'a State,
        memory: &'a Arc<Memory>,
        deadline: Deadline,
        host: &'a H,
    ) -> Self {
        Self { config, state, memory, deadline, host, reservation: Mutex::default() }
    }

    /// Adds the tokens that are reserved for the first attempt. A further one reserves again.
    pub(crate) fn with_reservation(self, reservation: Option<Reservation>) -> Self {
        Self { reservation: Mutex::new(reservation), ..self }
    }

    /// Takes the reservation of the last attempt, to settle it.
    pub(crate) fn take_reservation(&self) -> Option<Reservation> {
        lock(&self.reservation).take()
    }

    /// Returns the configuration.
    pub fn config(&self) -> &'a Config {
        self.config
    }
}

/// The credentials of an attempt.
pub(super) enum Identity<'a> {
    Stored(&'a Credentials),
    Temporary(Arc<TemporaryCredentials>),
    ApiKey(&'a Secret),
}

/// The reason why no attempt follows a failed one.
pub(super) enum GivenUp {
    /// The failure, and when the caller may try again.
    Failed(InvokeError, Option<Duration>),
    /// The limits of the caller refuse another attempt.
    Refused(Error),
}

impl GivenUp {
    /// Returns the error for the caller.
    pub(super) fn into_error(self, public: impl FnOnce(InvokeError) -> Error) -> Error {
        match self {
            Self::Failed(error, None) => public(error),
            Self::Failed(error, Some(time)) => public(error).retry_after(time),
            Self::Refused(error) => error,
        }
    }
}

impl<'a, H: Host> Bedrock<'a, H> {
    /// Returns the time that is left.
    pub(super) fn left(&self) -> Duration {
        self.deadline.left(self.host.now())
    }

    /// Returns the credentials of the next attempt.
    pub(super) async fn identity(
        &self,
        record: &mut Record,
    ) -> Result<Identity<'a>, AssumeRoleError> {
        let Self { config, state, host, deadline, .. } = *self;
        let role = match &config.authentication {
            Authentication::SigV4(credentials) => return Ok(Identity::Stored(credentials)),
            Authentication::ApiKey(key) => return Ok(Identity::ApiKey(key)),
            Authentication::AssumeRole(role) => role,
        };
        let now = || state.clock.correct(host.now());
        let (temporary, problem) = outlined(state.role.get(role, host, deadline, now)).await?;
        if let Some(problem) = problem {
            record.credentials_error = self.public(problem.into(), 0).cause;
        }
        Ok(Identity::Temporary(temporary))
    }

    /// Signs a request to Bedrock in a region, whose body is known by its SHA-256.
    pub(super) fn authorize<B>(
        &self,
        request: &mut Request<B>,
        payload_hash: &[u8; 32],
        identity: &Identity<'_>,
        region: &str,
        signed_at: SystemTime,
    ) -> Result<(), InvokeError> {
        let credentials = match identity {
            Identity::Stored(credentials) => credentials,
            Identity::Temporary(temporary) => &temporary.credentials,
            Identity::ApiKey(key) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                    .map_err(http::Error::from)?;
                value.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, value);
                return Ok(());
            }
        };
        let scope = Scope { region, service: "bedrock" };
        let cache = &self.state.signing;
        Ok(sign_post(request, payload_hash, credentials, scope, signed_at, cache)?)
    }

    /// Decides what follows a failed attempt. If another one does, waits for its time, and reserves for it.
    pub(super) async fn next(
        &self,
        attempts: &mut Attempts<'_>,
        error: InvokeError,
        identity: &Result<Identity<'a>, AssumeRoleError>,
        signed_at: SystemTime,
        record: &Record,
    ) -> Result<(), GivenUp> {
        let Self { state, host, .. } = *self;
        if let Ok(Identity::Temporary(temporary)) = identity
            && Failure::classify(&error) == Some(Failure::Expired)
        {
            state.role.forget(temporary);
        }
        match attempts.failed(&error, signed_at, host.now(), host.random()) {
            Next::Again(wait) => {
                if !wait.is_zero() {
                    let slept = host.sleep(wait).await;
                    slept.map_err(|cancelled| GivenUp::Failed(cancelled.into(), None))?;
                }
                if record.is_billed {
                    outlined(self.reserve_again(error, record)).await.map_err(GivenUp::Refused)?;
                }
                Ok(())
            }
            Next::GiveUp(retry_after) => Err(GivenUp::Failed(error, retry_after)),
        }
    }

    /// Settles the last attempt, which failed and may be billed, and reserves for the next.
    async fn reserve_again(&self, error: InvokeError, record: &Record) -> Result<(), Error> {
        let Some(reservation) = lock(&self.reservation).take() else { return Ok(()) };
        let next = reserve_again(reservation, record.usage(), self.config, self.host).await;
        let next = next.map_err(|refusal| match (&refusal.cause, self.public(error, 0).cause) {
            // The caller learns why there is no further attempt, and the log what the last one failed with.
            (None, Some(cause)) => refusal.because(cause),
            _ => refusal,
        });
        lock(&self.reservation).replace(next?);
        Ok(())
    }

    /// Describes a failure for the caller of a request with so many `max_tokens`.
    pub(super) fn public(&self, error: InvokeError, max_tokens: u32) -> Error {
        error.into_public(max_tokens, self.config, self.state)
    }
}
