//! How much may be repeated: when Bedrock is down, repeated calls are what keeps it down.

use std::sync::Mutex;

use crate::lock::lock;

/// botocore's: a bucket of tokens that a repeated call takes and a good answer gives back, so that
/// an isolate repeats about every call while few fail, and hardly any while all do.
///
/// <https://github.com/boto/botocore/blob/develop/botocore/retries/quota.py>
#[derive(Debug)]
pub(crate) struct Quota(Mutex<u32>);

impl Quota {
    pub const CAPACITY: u32 = 500;
    /// What a repeated call takes.
    pub const RETRY: u32 = 5;
    /// What it takes when the call before it ran into a time-out, which holds more up.
    pub const RETRY_OF_TIMEOUT: u32 = 10;
    /// What an answer at the first attempt gives.
    pub const GOOD_ANSWER: u32 = 1;

    /// Whether there were so many, which are then taken.
    pub fn take(&self, tokens: u32) -> bool {
        let mut left = lock(&self.0);
        match left.checked_sub(tokens) {
            Some(rest) => {
                *left = rest;
                true
            }
            None => false,
        }
    }

    pub fn give(&self, tokens: u32) {
        let mut left = lock(&self.0);
        *left = left.saturating_add(tokens).min(Self::CAPACITY);
    }
}

impl Default for Quota {
    fn default() -> Self {
        Self(Mutex::new(Self::CAPACITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_taken_and_given_back_up_to_its_capacity() {
        let quota = Quota::default();
        let retries = (0..).take_while(|_| quota.take(Quota::RETRY)).count();
        assert_eq!(retries, 100);
        assert!(!quota.take(1));
        for _ in 0..4 {
            quota.give(Quota::GOOD_ANSWER);
        }
        assert!(!quota.take(Quota::RETRY));
        quota.give(Quota::GOOD_ANSWER);
        assert!(quota.take(Quota::RETRY));
        quota.give(u32::MAX);
        assert_eq!((0..).take_while(|_| quota.take(Quota::RETRY_OF_TIMEOUT)).count(), 50);
    }
}
