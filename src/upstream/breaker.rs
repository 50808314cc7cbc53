//! A circuit breaker: whether a region is known to be throttling.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::lock::lock;

/// Opens when a region has throttled [`Breaker::THROTTLES`] calls in a row, each within
/// [`Breaker::WINDOW`] of the one before, and then keeps calls away from it for
/// [`Breaker::OPEN`]. After that one call tries, and the others wait for what comes of it.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In a row.
    throttles: u32,
    /// The last of them.
    last: Option<SystemTime>,
    open_until: Option<SystemTime>,
}

impl Breaker {
    pub const THROTTLES: u32 = 5;
    pub const WINDOW: Duration = Duration::from_secs(10);
    pub const OPEN: Duration = Duration::from_secs(10);

    /// Whether a call may go there. If it is the one that tries, no other may for a while.
    pub fn admits(&self, now: SystemTime) -> bool {
        let mut state = lock(&self.0);
        match state.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                state.open_until = now.checked_add(Self::OPEN);
                true
            }
            None => true,
        }
    }

    /// Whether it keeps calls away.
    pub fn is_open(&self, now: SystemTime) -> bool {
        lock(&self.0).open_until.is_some_and(|until| now < until)
    }

    /// Of a call that was throttled.
    pub fn throttled(&self, now: SystemTime) {
        let mut state = lock(&self.0);
        let is_in_a_row = state.last.is_some_and(|last| {
            // A clock can go back.
            now.duration_since(last).unwrap_or_default() <= Self::WINDOW
        });
        // The one that tried needs no others.
        let has_tried = state.open_until.is_some();
        state.throttles = if is_in_a_row { state.throttles.saturating_add(1) } else { 1 };
        state.last = Some(now);
        if has_tried || state.throttles >= Self::THROTTLES {
            state.open_until = now.checked_add(Self::OPEN);
        }
    }

    /// Of a call that was good.
    pub fn answered(&self) {
        *lock(&self.0) = State::default();
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
        let breaker = Breaker::default();
        for _ in 0..Breaker::THROTTLES {
            breaker.throttled(at(second));
        }
        breaker
    }

    #[test]
    fn it_opens_after_throttles_in_a_row() {
        // How far apart, whether an answer comes between, whether it opens.
        for (name, distance, answered, opens) in [
            ("at once", 0, false, true),
            ("at the window's end", 10, false, true),
            ("rarely", 11, false, false),
            ("with an answer between", 0, true, false),
        ] {
            let breaker = Breaker::default();
            for count in 0..5 {
                assert!(!breaker.is_open(at(count * distance)), "{name}");
                if answered && count == 3 {
                    breaker.answered();
                }
                breaker.throttled(at(count * distance));
            }
            assert_eq!(breaker.is_open(at(4 * distance)), opens, "{name}");
            assert_eq!(breaker.admits(at(4 * distance)), !opens, "{name}");
        }
    }

    #[test]
    fn one_tries_when_the_time_is_over() {
        let breaker = open_at(100);
        assert!(!breaker.admits(at(109)));
        assert!(breaker.admits(at(110)), "the one that tries");
        assert!(!breaker.admits(at(110)), "the next");
        // In vain.
        breaker.throttled(at(111));
        assert!(!breaker.admits(at(120)));
        assert!(breaker.admits(at(121)));
        breaker.answered();
        assert!(breaker.admits(at(121)));
        assert!(breaker.admits(at(121)));
    }

    #[test]
    fn who_tries_and_is_not_heard_of_again_holds_nobody_up_for_ever() {
        let breaker = open_at(100);
        assert!(breaker.admits(at(110)));
        assert!(breaker.admits(at(120)));
    }
}
