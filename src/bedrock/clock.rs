//! AWS's clock.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// The offset of AWS's clock from ours.
#[derive(Debug, Default)]
pub(crate) struct ClockOffset {
    milliseconds: AtomicI64,
}

impl ClockOffset {
    /// Returns AWS's time, as far as its offset is known.
    pub fn correct(&self, now: SystemTime) -> SystemTime {
        let offset = self.milliseconds.load(Relaxed);
        let distance = Duration::from_millis(offset.unsigned_abs());
        let corrected =
            if offset < 0 { now.checked_sub(distance) } else { now.checked_add(distance) };
        corrected.unwrap_or(now)
    }

    /// Learns the offset from AWS's time and ours.
    pub fn learn(&self, theirs: SystemTime, now: SystemTime) {
        let ms = |distance: Duration| i64::try_from(distance.as_millis()).unwrap_or(0);
        self.milliseconds.store(
            match theirs.duration_since(now) {
                Ok(ahead) => ms(ahead),
                Err(behind) => -ms(behind.duration()),
            },
            Relaxed,
        );
    }
}
