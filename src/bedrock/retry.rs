//! Retries of transient failures, in the same region or in a fallback region.
//!
//! The rules are those of botocore's `standard` mode: which failures are transient, how long to wait, how much may be
//! retried at all. In addition, a request has a deadline, and there can be fallback regions.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
//!
//! Out of scope: the calls themselves ([`call`](super::call)), and a reply of which something has reached the client:
//! it is never requested again.

use std::time::{Duration, SystemTime};

use super::error::InvokeError;
use super::quota::Quota;
use super::state::State;
use crate::aws::Recovery;
use crate::config::{Authentication, Config, Endpoint};
use crate::date;
use crate::deadline::Deadline;
use crate::host::{ReadError, TransportError};

/// The longest wait that AWS has not asked for.
const MAX_BACKOFF: Duration = Duration::from_secs(20);

/// The difference of clocks up to which nothing is corrected. AWS accepts a request five minutes early or late.
const MAX_SKEW: Duration = Duration::from_secs(4 * 60);

/// A transient failure: a retry may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Bedrock throttles.
    Throttled,
    /// The quota of the day is used up.
    UsedUp,
    /// Bedrock or the network failed.
    Transient,
    /// The model took too long. It may do so again, so it is retried once.
    TimedOut,
    /// AWS refused the signature or its time, and this is AWS's time.
    Skewed(SystemTime),
    /// The temporary credentials expired early.
    Expired,
}

impl Failure {
    /// Classifies an error. Returns `None` if the same request would fail again.
    pub fn classify(error: &InvokeError) -> Option<Self> {
        let date = match error {
            // A stream that ends early is only retried before its first frame.
            InvokeError::Send(TransportError::Failed(_))
            | InvokeError::Read(ReadError::Transport(TransportError::Failed(_)))
            | InvokeError::Truncated => {
                return Some(Self::Transient);
            }
            InvokeError::Credentials(error) => {
                return match error.date_of_refusal() {
                    Some(date) => Some(Self::Skewed(date)),
                    None => error.is_transient().then_some(Self::Transient),
                };
            }
            InvokeError::Refused { date, .. } => *date,
            _ => None,
        };
        match error.aws_error()?.recovery {
            Recovery::Permanent => None,
            Recovery::Throttled => Some(Self::Throttled),
            Recovery::UsedUp => Some(Self::UsedUp),
            Recovery::Transient => Some(Self::Transient),
            Recovery::TimedOut => Some(Self::TimedOut),
            Recovery::Skewed => date.map(Self::Skewed),
            Recovery::Expired => Some(Self::Expired),
        }
    }
}

/// The step after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Call again after this wait.
    Again(Duration),
    /// Give up. The caller may try again after this time.
    GiveUp(Option<Duration>),
}

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    config: &'a Config,
    state: &'a State,
    deadline: Deadline,
    endpoint: &'a Endpoint,
    /// The fallback regions that were not tried yet.
    others: std::slice::Iter<'a, Endpoint>,
    /// The number of calls in this region.
    here: u32,
    /// The most calls in one region, as far as repeating a failed one goes.
    most: u32,
    /// The tokens that the last retry took from the quota.
    taken: Option<u32>,
    has_timed_out: bool,
    is_corrected: bool,
    is_refreshed: bool,
}

impl<'a> Attempts<'a> {
    /// Chooses the endpoint of the first call: `endpoint`, or, if it is known to throttle, the first of the others that
    /// is not.
    pub fn new(
        endpoint: &'a Endpoint,
        others: &'a [Endpoint],
        config: &'a Config,
        state: &'a State,
        deadline: Deadline,
        now: SystemTime,
    ) -> Self {
        let mut others = others.iter();
        let mut first = endpoint;
        if !others.as_slice().is_empty() && !state.breakers.admits(endpoint, now) {
            // If all throttle, it is as good as any.
            match others.clone().position(|it| state.breakers.admits(it, now)) {
                Some(at) => first = others.nth(at).unwrap_or(endpoint),
                None => others = [].iter(),
            }
        }
        Self {
            config,
            state,
            deadline,
            endpoint: first,
            others,
            here: 1,
            most: config.max_attempts,
            taken: None,
            has_timed_out: false,
            is_corrected: false,
            is_refreshed: false,
        }
    }

    /// Leaves it to the caller to repeat a call that failed transiently. What only the Worker can do it still does: correct
    /// its clock, replace its credentials, and move on to another region.
    pub fn repeated_by_caller(self) -> Self {
        Self { most: 1, ..self }
    }

    /// Returns the endpoint of the next call.
    pub fn endpoint(&self) -> &'a Endpoint {
        self.endpoint
    }

    /// Records that the last call succeeded.
    pub fn succeeded(&self) {
        self.state.breakers.succeeded(self.endpoint);
        self.state.quota.give(self.taken.unwrap_or(Quota::SUCCESS));
    }

    /// Decides what follows a failed call, which was signed for this time of AWS's.
    pub fn failed(
        &mut self,
        error: &InvokeError,
        signed_at: SystemTime,
        now: SystemTime,
        random: u128,
    ) -> Next {
        let failure = Failure::classify(error);
        if matches!(failure, Some(Failure::Throttled | Failure::UsedUp)) {
            self.state.breakers.throttled(self.endpoint, now);
        }
        let asked = error.retry_after();
        let again = match failure {
            None => return Next::GiveUp(asked),
            Some(Failure::Skewed(theirs)) => self.correct(theirs, signed_at, now),
            Some(Failure::Expired) => self.refresh(),
            Some(Failure::UsedUp) if self.move_on(now) => return Next::Again(Duration::ZERO),
            Some(Failure::UsedUp) => {
                return Next::GiveUp(Some(date::rest_of_day(self.state.clock.correct(now))));
            }
            Some(Failure::TimedOut) => {
                let is_first = !std::mem::replace(&mut self.has_timed_out, true);
                let wait = is_first.then(|| asked.unwrap_or_else(|| self.backoff(random)));
                wait.filter(|wait| self.may_repeat(*wait, Quota::RETRY_OF_TIMEOUT, now))
            }
            Some(Failure::Throttled | Failure::Transient) => {
                let wait = asked.unwrap_or_else(|| self.backoff(random));
                if self.may_repeat(wait, Quota::RETRY, now) {
                    Some(wait)
                } else if !matches!(error, InvokeError::Credentials(_)) && self.move_on(now) {
                    return Next::Again(Duration::ZERO);
                } else {
                    // The longest wait that would have followed.
                    let wait = asked.unwrap_or_else(|| self.longest_backoff());
                    return Next::GiveUp(Some(wait));
                }
            }
        };
        match again {
            Some(wait) => {
                self.here += 1;
                Next::Again(wait)
            }
            None => Next::GiveUp(asked),
        }
    }

    /// Reports whether the call may be retried here after `wait`, and takes the price from the quota.
    fn may_repeat(&mut self, wait: Duration, cost: u32, now: SystemTime) -> bool {
        let is_sensible = self.here < self.most
            && wait < self.deadline.left(now)
            && (self.others.as_slice().is_empty()
                || !self.state.breakers.is_open(self.endpoint, now));
        if is_sensible && self.state.quota.take(cost) {
            self.taken = Some(cost);
            return true;
        }
        false
    }

    /// Moves on to the next region, if there is one. It is not the region that has the trouble, so this takes nothing
    /// from the quota.
    fn move_on(&mut self, now: SystemTime) -> bool {
        if self.deadline.left(now).is_zero() {
            return false;
        }
        match self.others.find(|it| self.state.breakers.admits(it, now)) {
            Some(endpoint) => {
                self.endpoint = endpoint;
                self.here = 1;
                true
            }
            None => false,
        }
    }

    /// Learns AWS's time if ours is wrong. Only a signature has a time.
    fn correct(
        &mut self,
        theirs: SystemTime,
        signed_at: SystemTime,
        now: SystemTime,
    ) -> Option<Duration> {
        // Compared with the time of the signature: another request may have corrected the clock since.
        let distance = theirs.duration_since(signed_at).unwrap_or_else(|error| error.duration());
        let is_signed = !matches!(self.config.authentication, Authentication::ApiKey(_));
        if !is_signed || distance <= MAX_SKEW || self.is_corrected {
            return None;
        }
        self.is_corrected = true;
        self.state.clock.learn(theirs, now);
        (self.here < self.config.max_attempts).then_some(Duration::ZERO)
    }

    /// Retries once with new credentials. Only a role has any.
    fn refresh(&mut self) -> Option<Duration> {
        let is_first = !std::mem::replace(&mut self.is_refreshed, true);
        let has_role = matches!(self.config.authentication, Authentication::AssumeRole(_));
        (is_first && has_role && self.here < self.config.max_attempts).then_some(Duration::ZERO)
    }

    /// Returns an exponential backoff with full jitter: the first is up to a second, each further one twice as
    /// long.
    ///
    /// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
    fn backoff(&self, random: u128) -> Duration {
        let longest = self.longest_backoff().as_millis();
        Duration::from_millis(((longest * (random >> 64)) >> 64) as u64)
    }

    fn longest_backoff(&self) -> Duration {
        let doublings = self.here.saturating_sub(1).min(16);
        Duration::from_secs(1 << doublings).min(MAX_BACKOFF)
    }
}

#[cfg(test)]
mod tests;
