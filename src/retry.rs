//! What is called again, when, and where.
//!
//! The rules are botocore's `standard` mode: which failures pass, how long to wait, how much may
//! be repeated at all. To them comes that a request has a deadline, and that there can be other
//! regions.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
//!
//! Out of scope: the calls themselves ([`invoke`](crate::invoke)), and an answer of which
//! something has reached the client: it is never asked for again.

use std::time::{Duration, SystemTime};

use crate::config::{Authentication, Config, Endpoint};
use crate::deadline::Deadline;
use crate::host::{ReadError, TransportError};
use crate::invoke::InvokeError;
use crate::log::Token;
use crate::upstream::Quota;

/// The longest wait that is of our own choice.
const MAX_BACKOFF: Duration = Duration::from_secs(20);

/// A clock that is wrong by less is right enough: AWS takes a request five minutes early or late.
const MAX_SKEW: Duration = Duration::from_secs(4 * 60);

/// A failure that may not happen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Bedrock takes no more for now.
    Throttled,
    /// Bedrock or the network failed.
    Transient,
    /// The model took too long. It may be as slow again, so it is asked again once.
    TimedOut,
    /// AWS refuses the time of the signature, or the signature, and this is its own time.
    Skewed(SystemTime),
    /// The temporary credentials are over before their time.
    Expired,
}

impl Failure {
    /// `None`: it would happen again.
    pub fn of(error: &InvokeError) -> Option<Self> {
        match error {
            InvokeError::Send(TransportError::Failed(_))
            | InvokeError::Read(ReadError::Transport(TransportError::Failed(_))) => {
                Some(Self::Transient)
            }
            InvokeError::Refused { status, kind, date, .. } => {
                Self::of_aws(kind.as_ref(), status.as_u16(), *date)
            }
            InvokeError::Credentials(error) => match error.date_of_refusal() {
                Some(date) => Some(Self::Skewed(date)),
                None => error.is_transient().then_some(Self::Transient),
            },
            // What is not known is taken for a fault of Bedrock's.
            InvokeError::Exception { kind, .. } => Self::of_aws(kind.as_ref(), 500, None),
            _ => None,
        }
    }

    /// The type says more than the status.
    fn of_aws(kind: Option<&Token>, status: u16, date: Option<SystemTime>) -> Option<Self> {
        match (kind.map_or("", Token::as_str), status) {
            // With a small first letter and `_error`, the types of Claude's own API.
            ("ThrottlingException" | "rate_limit_error", _) => Some(Self::Throttled),
            ("ModelTimeoutException" | "timeout_error", _) => Some(Self::TimedOut),
            ("ModelNotReadyException", _) => Some(Self::Transient),
            ("InvalidSignatureException" | "RequestTimeTooSkewed", _) => date.map(Self::Skewed),
            ("ExpiredTokenException", _) => Some(Self::Expired),
            // In a stream they have no status, and this is their status elsewhere: 400, 403, 404
            // and 424, the model's own failure.
            (
                "AccessDeniedException"
                | "ModelErrorException"
                | "ModelStreamErrorException"
                | "ResourceNotFoundException"
                | "ServiceQuotaExceededException"
                | "ValidationException"
                | "authentication_error"
                | "invalid_request_error"
                | "not_found_error"
                | "permission_error"
                | "request_too_large",
                _,
            ) => None,
            (_, 408) => Some(Self::TimedOut),
            (_, 429) => Some(Self::Throttled),
            (_, 500 | 502 | 503 | 504) => Some(Self::Transient),
            _ => None,
        }
    }
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// One more call, after so long.
    Again(Duration),
    /// None, and when it may be worth while to ask again.
    GiveUp(Option<Duration>),
}

/// The calls of one request.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    config: &'a Config,
    deadline: Deadline,
    endpoint: &'a Endpoint,
    /// The regions that were not tried yet.
    others: std::slice::Iter<'a, Endpoint>,
    /// The calls in this region.
    here: u32,
    /// What the last repeated call took of the quota.
    taken: Option<u32>,
    has_timed_out: bool,
    is_corrected: bool,
    is_refreshed: bool,
}

impl<'a> Attempts<'a> {
    /// Before the first call: to `endpoint`, or, if it is known to be throttling, to the first of
    /// the others that is not.
    pub fn new(
        endpoint: &'a Endpoint,
        others: &'a [Endpoint],
        config: &'a Config,
        deadline: Deadline,
        now: SystemTime,
    ) -> Self {
        let mut others = others.iter();
        let mut first = endpoint;
        if !others.as_slice().is_empty() && !endpoint.breaker.admits(now) {
            // Where all are throttling, it is as good as any.
            match others.clone().position(|it| it.breaker.admits(now)) {
                Some(at) => first = others.nth(at).unwrap_or(endpoint),
                None => others = [].iter(),
            }
        }
        Self {
            config,
            deadline,
            endpoint: first,
            others,
            here: 1,
            taken: None,
            has_timed_out: false,
            is_corrected: false,
            is_refreshed: false,
        }
    }

    /// Where the next call goes.
    pub fn endpoint(&self) -> &'a Endpoint {
        self.endpoint
    }

    /// After the last call was good.
    pub fn succeeded(&self) {
        self.endpoint.breaker.answered();
        self.config.upstream.quota.give(self.taken.unwrap_or(Quota::GOOD_ANSWER));
    }

    /// After a call that failed, and was signed at this time of AWS's.
    pub fn failed(
        &mut self,
        error: &InvokeError,
        signed_at: SystemTime,
        now: SystemTime,
        random: u128,
    ) -> Next {
        let failure = Failure::of(error);
        if failure == Some(Failure::Throttled) {
            self.endpoint.breaker.throttled(now);
        }
        let asked = error.retry_after();
        let again = match failure {
            None => return Next::GiveUp(asked),
            Some(Failure::Skewed(theirs)) => self.correct(theirs, signed_at, now),
            Some(Failure::Expired) => self.refresh(),
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
                    // As long as we would have waited at most.
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

    /// Whether a call here can be repeated after `wait`. Then the quota has it.
    fn may_repeat(&mut self, wait: Duration, cost: u32, now: SystemTime) -> bool {
        let is_sensible = self.here < self.config.max_attempts
            && wait < self.deadline.left(now)
            && (self.others.as_slice().is_empty() || !self.endpoint.breaker.is_open(now));
        if is_sensible && self.config.upstream.quota.take(cost) {
            self.taken = Some(cost);
            return true;
        }
        false
    }

    /// Goes to the next region, if there is one. It is another one's trouble that it has less of,
    /// so the quota is not asked.
    fn move_on(&mut self, now: SystemTime) -> bool {
        if self.deadline.left(now).is_zero() {
            return false;
        }
        match self.others.find(|it| it.breaker.admits(now)) {
            Some(endpoint) => {
                self.endpoint = endpoint;
                self.here = 1;
                true
            }
            None => false,
        }
    }

    /// Learns what AWS's time is, if ours is wrong. Only a signature has a time.
    fn correct(
        &mut self,
        theirs: SystemTime,
        signed_at: SystemTime,
        now: SystemTime,
    ) -> Option<Duration> {
        // Not from the time as it is known by now: another request may have learnt it meanwhile.
        let distance = theirs.duration_since(signed_at).unwrap_or_else(|error| error.duration());
        let is_signed = !matches!(self.config.authentication, Authentication::ApiKey(_));
        if !is_signed || distance <= MAX_SKEW || self.is_corrected {
            return None;
        }
        self.is_corrected = true;
        self.config.upstream.clock.learn(theirs, now);
        (self.here < self.config.max_attempts).then_some(Duration::ZERO)
    }

    /// Only a role gives others.
    fn refresh(&mut self) -> Option<Duration> {
        let is_first = !std::mem::replace(&mut self.is_refreshed, true);
        let has_role = matches!(self.config.authentication, Authentication::AssumeRole(_));
        (is_first && has_role && self.here < self.config.max_attempts).then_some(Duration::ZERO)
    }

    /// Exponential, with full jitter: the first is up to a second, each twice as long as the one
    /// before.
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
