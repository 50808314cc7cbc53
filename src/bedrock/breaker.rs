//! Circuit breakers: which models in which regions throttle.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::config::Endpoint;
use crate::lock::lock;

/// The breakers of one isolate, one for each endpoint that has throttled.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    region: String,
    model_id: String,
    breaker: Breaker,
}

impl Breakers {
    /// Reports whether a call may go to an endpoint. If it is the trial call, no other may for a while.
    pub fn admits(&self, endpoint: &Endpoint, now: SystemTime) -> bool {
        self.with(endpoint, |breaker| breaker.admits(now)).unwrap_or(true)
    }

    /// Reports whether calls are kept away from an endpoint.
    pub fn is_open(&self, endpoint: &Endpoint, now: SystemTime) -> bool {
        self.with(endpoint, |breaker| breaker.is_open(now)).unwrap_or(false)
    }

    /// Records that an endpoint has throttled a call.
    pub fn throttled(&self, endpoint: &Endpoint, now: SystemTime) {
        if self.with(endpoint, |breaker| breaker.throttled(now)).is_none() {
            let mut breaker = Breaker::default();
            breaker.throttled(now);
            let (region, model_id) = (endpoint.region.clone(), endpoint.model_id.clone());
            lock(&self.0).push(Entry { region, model_id, breaker });
        }
    }

    /// Records that a call to an endpoint has succeeded.
    pub fn succeeded(&self, endpoint: &Endpoint) {
        lock(&self.0).retain(|entry| !entry.is_of(endpoint));
    }

    fn with<R>(&self, endpoint: &Endpoint, f: impl FnOnce(&mut Breaker) -> R) -> Option<R> {
        let mut entries = lock(&self.0);
        entries.iter_mut().find(|entry| entry.is_of(endpoint)).map(|entry| f(&mut entry.breaker))
    }
}

impl Entry {
    fn is_of(&self, endpoint: &Endpoint) -> bool {
        self.region == endpoint.region && self.model_id == endpoint.model_id
    }
}

/// A circuit breaker.
///
/// It opens when [`Breaker::THROTTLES`] calls in a row were throttled, each within [`Breaker::WINDOW`] of the one
/// before, and keeps calls away for [`Breaker::OPEN`]. Then one trial call goes through, and the others wait for its
/// result.
#[derive(Debug, Default)]
struct Breaker {
    /// Throttled calls in a row.
    throttles: u32,
    /// The last of them.
    last: Option<SystemTime>,
    open_until: Option<SystemTime>,
}

impl Breaker {
    const THROTTLES: u32 = 5;
    const WINDOW: Duration = Duration::from_secs(10);
    const OPEN: Duration = Duration::from_secs(10);

    fn admits(&mut self, now: SystemTime) -> bool {
        match self.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.open_until = now.checked_add(Self::OPEN);
                true
            }
            None => true,
        }
    }

    fn is_open(&self, now: SystemTime) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }

    fn throttled(&mut self, now: SystemTime) {
        let is_in_a_row = self.last.is_some_and(|last| {
            // A clock can go back.
            now.duration_since(last).unwrap_or_default() <= Self::WINDOW
        });
        // A failed trial call is enough.
        let has_tried = self.open_until.is_some();
        self.throttles = if is_in_a_row { self.throttles.saturating_add(1) } else { 1 };
        self.last = Some(now);
        if has_tried || self.throttles >= Self::THROTTLES {
            self.open_until = now.checked_add(Self::OPEN);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn open_at(second: u64) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..Breaker::THROTTLES {
            breaker.throttled(at(second));
        }
        breaker
    }

    #[test]
    fn it_opens_after_five_throttled_calls_in_a_row() {
        // How far apart the failures are, whether a success comes between, whether it opens.
        for (name, distance, succeeds, opens) in [
            ("at once", 0, false, true),
            ("at the window's end", 10, false, true),
            ("rarely", 11, false, false),
            ("with a success between", 0, true, false),
        ] {
            let mut breaker = Breaker::default();
            for count in 0..5 {
                assert!(!breaker.is_open(at(count * distance)), "{name}");
                if succeeds && count == 3 {
                    breaker = Breaker::default();
                }
                breaker.throttled(at(count * distance));
            }
            assert_eq!(breaker.is_open(at(4 * distance)), opens, "{name}");
            assert_eq!(breaker.admits(at(4 * distance)), !opens, "{name}");
        }
    }

    #[test]
    fn one_trial_call_goes_through_when_it_has_been_open_long_enough() {
        let mut breaker = open_at(100);
        assert!(!breaker.admits(at(109)));
        assert!(breaker.admits(at(110)), "the one that tries");
        assert!(!breaker.admits(at(110)), "the next");
        // In vain.
        breaker.throttled(at(111));
        assert!(!breaker.admits(at(120)));
        assert!(breaker.admits(at(121)));
        breaker = Breaker::default();
        assert!(breaker.admits(at(121)));
        assert!(breaker.admits(at(121)));
    }

    #[test]
    fn a_trial_call_without_a_result_does_not_keep_it_open() {
        let mut breaker = open_at(100);
        assert!(breaker.admits(at(110)));
        assert!(breaker.admits(at(120)));
    }
}
