//! Temporary credentials: the stored key is good for nothing but to get them, and they are good
//! for an hour.
//!
//! An isolate keeps them for all its requests. Five minutes before their end one request gets new
//! ones, while the others go on with the old; where there are none yet, the others wait for the
//! one. In a Worker no request can await what another one has begun, and the other may end at any
//! time, because its client left. So who waits looks again and again, and takes over when the one
//! is gone.
//!
//! Out of scope: where a place gives a program credentials of its own (a Lambda's are variables),
//! profiles, single sign-on.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::Uri;

pub use assume_role::{AssumeRoleError, read_answer};

use crate::deadline::Deadline;
use crate::host::{Host, TransportError};
use crate::lock::lock;
use crate::sign::Credentials;

mod assume_role;

/// How long before their end credentials are replaced, as the AWS SDKs do.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// How long STS may take. Who waits takes over after that.
const LEASE: Duration = Duration::from_secs(10);

/// How long nobody tries again after it failed, while the old ones are still good.
const PAUSE: Duration = Duration::from_secs(10);

/// How often who waits looks.
const LOOK: Duration = Duration::from_millis(20);

/// `AWS_ROLE_ARN`: a role that the stored key may assume, and what it has led to.
pub struct AssumeRole {
    pub(crate) role_arn: String,
    pub(crate) session_name: String,
    pub(crate) region: String,
    pub(crate) endpoint: Uri,
    /// Good for this only.
    pub(crate) source: Credentials,
    cache: Mutex<Cache>,
}

/// What STS gave.
#[derive(Clone, Debug)]
pub struct Temporary {
    /// The key, with its session token.
    pub credentials: Credentials,
    /// When they end, by AWS's clock.
    pub expires: SystemTime,
}

#[derive(Default)]
struct Cache {
    current: Option<Arc<Temporary>>,
    /// Those before: a call that was made with them may still be under way.
    previous: Option<Arc<Temporary>>,
    /// Who gets new ones, and until when that is believed.
    lease: Option<(u64, SystemTime)>,
    leases: u64,
    /// The last failure, with the number of its lease.
    failure: Option<(u64, AssumeRoleError)>,
    /// Not to be tried before.
    pause: Option<SystemTime>,
}

impl Cache {
    /// The number of the last lease that has ended.
    fn known(&self) -> u64 {
        self.leases.saturating_sub(u64::from(self.lease.is_some()))
    }
}

/// What there is to do.
enum Turn {
    Use(Arc<Temporary>),
    /// Get new ones, under this lease, and use these if that fails.
    Get(u64, Option<Arc<Temporary>>),
    Wait,
    Fail(AssumeRoleError),
}

impl AssumeRole {
    pub(crate) fn new(
        role_arn: String,
        session_name: String,
        region: String,
        endpoint: Uri,
        source: Credentials,
    ) -> Self {
        Self { role_arn, session_name, region, endpoint, source, cache: Mutex::default() }
    }

    /// The credentials to sign with, and, if they should have been replaced and could not be, why.
    ///
    /// `correct` makes AWS's time of ours.
    pub(crate) async fn credentials<H: Host>(
        &self,
        host: &H,
        deadline: Deadline,
        correct: impl Fn(SystemTime) -> SystemTime,
    ) -> Result<(Arc<Temporary>, Option<AssumeRoleError>), AssumeRoleError> {
        // What failed for who came before is no news for who comes now.
        let known = lock(&self.cache).known();
        loop {
            let now = correct(host.now());
            match self.turn(now, known) {
                Turn::Use(temporary) => return Ok((temporary, None)),
                Turn::Fail(error) => return Err(error),
                Turn::Wait => {
                    let left = deadline.left(host.now());
                    if left.is_zero() {
                        return Err(TransportError::TimedOut.into());
                    }
                    host.sleep(LOOK.min(left)).await?;
                }
                Turn::Get(lease, old) => {
                    // Given back also where this request ends here.
                    let lease = Lease { cache: &self.cache, number: lease };
                    let left = deadline.left(host.now());
                    let result = self.call(host, LEASE.min(left), now).await;
                    let is_ours_alone = left < LEASE
                        && matches!(
                            result,
                            Err(AssumeRoleError::Transport(TransportError::TimedOut))
                        );
                    return match (lease.end(result, is_ours_alone, now), old) {
                        (Ok(temporary), _) => Ok((temporary, None)),
                        (Err(error), Some(old)) if !error.is_cancelled() => Ok((old, Some(error))),
                        (Err(error), _) => Err(error),
                    };
                }
            }
        }
    }

    fn turn(&self, now: SystemTime, known: u64) -> Turn {
        let mut cache = lock(&self.cache);
        let left = |it: &Arc<Temporary>| it.expires.duration_since(now).unwrap_or_default();
        let old = cache.current.clone().filter(|it| !left(it).is_zero());
        if let Some(current) = &old
            && left(current) > EARLY
        {
            return Turn::Use(current.clone());
        }
        // A clock that goes back must not make a lease eternal.
        let is_leased = cache.lease.is_some_and(|(_, until)| {
            now < until && until.duration_since(now).is_ok_and(|left| left <= LEASE)
        });
        let is_paused = cache.pause.is_some_and(|until| {
            now < until && until.duration_since(now).is_ok_and(|left| left <= PAUSE)
        });
        match old {
            Some(old) if is_leased || is_paused => return Turn::Use(old),
            None if is_leased => return Turn::Wait,
            _ => {}
        }
        if let (None, Some((number, error))) = (&old, &cache.failure)
            && *number > known
        {
            return Turn::Fail(error.clone());
        }
        cache.leases += 1;
        let number = cache.leases;
        cache.lease = now.checked_add(LEASE).map(|until| (number, until));
        Turn::Get(number, old)
    }

    /// AWS says that these are not good any more.
    pub(crate) fn forget(&self, temporary: &Arc<Temporary>) {
        let mut cache = lock(&self.cache);
        if cache.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, temporary)) {
            cache.previous = cache.current.take();
        }
    }

    /// What must never reach a log or a client, besides the stored key.
    pub(crate) fn secrets(&self) -> Vec<Arc<Temporary>> {
        let cache = lock(&self.cache);
        cache.current.iter().chain(&cache.previous).cloned().collect()
    }
}

/// The right to get new credentials, which ends with this.
struct Lease<'a> {
    cache: &'a Mutex<Cache>,
    number: u64,
}

impl Lease<'_> {
    /// `is_ours_alone`: of a failure that says nothing to others.
    fn end(
        self,
        result: Result<Temporary, AssumeRoleError>,
        is_ours_alone: bool,
        now: SystemTime,
    ) -> Result<Arc<Temporary>, AssumeRoleError> {
        let mut cache = lock(self.cache);
        match result {
            Ok(temporary) => {
                let temporary = Arc::new(temporary);
                cache.previous = cache.current.replace(temporary.clone());
                cache.failure = None;
                cache.pause = None;
                Ok(temporary)
            }
            Err(error) => {
                if !is_ours_alone && !error.is_cancelled() {
                    cache.failure = Some((self.number, error.clone()));
                    cache.pause = now.checked_add(PAUSE);
                }
                Err(error)
            }
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut cache = lock(self.cache);
        if cache.lease.is_some_and(|(number, _)| number == self.number) {
            cache.lease = None;
        }
    }
}

impl fmt::Debug for AssumeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssumeRole")
            .field("role_arn", &self.role_arn)
            .field("session_name", &self.session_name)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
