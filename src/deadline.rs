//! The deadline of a request.

use std::time::{Duration, SystemTime};

/// The time at which a request must have ended, with all its calls and waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(SystemTime);

impl Deadline {
    /// Sets the deadline to `within` after the start of the request.
    pub fn new(started: SystemTime, within: Duration) -> Self {
        // `SystemTime` overflows only far beyond the longest configurable time, an hour.
        Self(started.checked_add(within).unwrap_or(started))
    }

    /// Returns the time that is left: zero after the deadline.
    pub fn left(self, now: SystemTime) -> Duration {
        self.0.duration_since(now).unwrap_or_default()
    }
}
