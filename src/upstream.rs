//! What one isolate has learnt of Bedrock, and keeps from request to request: how far its clock
//! is wrong, how much may be repeated, which regions take no more.
//!
//! It is forgotten with the isolate, and other isolates learn for themselves.
//!
//! Out of scope: what is done about it (`retry`).

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

pub(crate) use breaker::Breaker;
pub(crate) use quota::Quota;

mod breaker;
mod quota;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    pub clock: Clock,
    pub quota: Quota,
}

/// How far AWS's clock is from ours.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    /// The time as AWS has it, as far as it is known.
    pub fn correct(&self, now: SystemTime) -> SystemTime {
        let offset = self.offset_ms.load(Relaxed);
        let distance = Duration::from_millis(offset.unsigned_abs());
        let corrected =
            if offset < 0 { now.checked_sub(distance) } else { now.checked_add(distance) };
        corrected.unwrap_or(now)
    }

    /// Takes in what AWS's clock says when ours says `now`.
    pub fn learn(&self, theirs: SystemTime, now: SystemTime) {
        let ms = |distance: Duration| i64::try_from(distance.as_millis()).unwrap_or(0);
        self.offset_ms.store(
            match theirs.duration_since(now) {
                Ok(ahead) => ms(ahead),
                Err(behind) => -ms(behind.duration()),
            },
            Relaxed,
        );
    }
}
