//! When a request must be over.

use std::time::{Duration, SystemTime};

/// The end of the time that a request may take, all its calls and waits included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(SystemTime);

impl Deadline {
    /// So long after the request's beginning.
    pub fn new(started: SystemTime, within: Duration) -> Self {
        // What no clock can tell never comes; the settings allow an hour.
        Self(started.checked_add(within).unwrap_or(started))
    }

    /// What is left of it: nothing, when it is over.
    pub fn left(self, now: SystemTime) -> Duration {
        self.0.duration_since(now).unwrap_or_default()
    }
}
