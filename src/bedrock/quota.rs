//! The retry quota: when Bedrock is down, retries are what keeps it down.

use std::sync::Mutex;

use crate::lock::lock;

/// The retry quota of one isolate, as botocore has it: a bucket of tokens that a retry takes and a success gives
/// back, so that an isolate retries nearly every call while few fail, and hardly any while all do.
///
/// <https://github.com/boto/botocore/blob/develop/botocore/retries/quota.py>
#[derive(Debug)]
pub(crate) struct Quota(Mutex<u32>);

impl Quota {
    pub const CAPACITY: u32 = 500;
    /// The price of a retry.
    pub const RETRY: u32 = 5;
    /// The price of a retry after a timeout, which ties up more.
    pub const RETRY_OF_TIMEOUT: u32 = 10;
    /// The reward of a success at the first attempt.
    pub const SUCCESS: u32 = 1;

    /// Takes tokens. Returns whether there were enough.
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

    /// Gives tokens back.
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
    fn tokens_are_taken_and_given_back_up_to_the_capacity() {
        let quota = Quota::default();
        let retries = (0..).take_while(|_| quota.take(Quota::RETRY)).count();
        assert_eq!(retries, 100);
        assert!(!quota.take(1));
        for _ in 0..4 {
            quota.give(Quota::SUCCESS);
        }
        assert!(!quota.take(Quota::RETRY));
        quota.give(Quota::SUCCESS);
        assert!(quota.take(Quota::RETRY));
        quota.give(u32::MAX);
        assert_eq!((0..).take_while(|_| quota.take(Quota::RETRY_OF_TIMEOUT)).count(), 50);
    }
}
