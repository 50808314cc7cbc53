//! The limits of callers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::variables::Variables;

/// The most requests of a caller that may be in flight: a ledger stores each of them.
pub(crate) const MOST_IN_FLIGHT: u64 = 1000;

/// The limits of every caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// `RATE_LIMITER`: the platform counts requests, for `RATE_LIMIT_PERIOD`, 10 or 60 seconds.
    pub requests: Option<Duration>,
    /// `MAX_IN_FLIGHT`, `DAILY_TOKENS` and `MONTHLY_TOKENS`, if any of them is set.
    pub budget: Option<Budget>,
    /// How long a reservation lasts that is never settled, because the program ended before.
    pub lease: Duration,
}

/// The limits that a ledger enforces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Budget {
    /// Requests in flight, 1 to 1000. `None`: 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u64>,
    /// Tokens a day, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_tokens: Option<u64>,
    /// Tokens a month, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly_tokens: Option<u64>,
}

/// Longer than most replies take. Bedrock gives up after an hour, but a crash should not keep a caller out for so
/// long, and a later settlement is still counted.
const LEASE: Duration = Duration::from_secs(15 * 60);

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// Reads the limits.
    pub(super) fn limits(&mut self) -> Option<Limits> {
        const WHOLE: &str = "must be a whole number from 1";
        let max_in_flight = self.number(
            "MAX_IN_FLIGHT",
            |number| (1..=MOST_IN_FLIGHT).contains(&number),
            "must be a whole number from 1 to 1000",
        );
        let daily_tokens = self.number("DAILY_TOKENS", |number| number > 0, WHOLE);
        let monthly_tokens = self.number("MONTHLY_TOKENS", |number| number > 0, WHOLE);
        let period = self.number(
            "RATE_LIMIT_PERIOD",
            |number| [10, 60].contains(&number),
            "must be 10 or 60, the period of RATE_LIMITER in seconds",
        );
        // The Worker's `RATE_LIMITER` is a binding without a text.
        let are_counted = self.non_empty("RATE_LIMITER").is_some();
        let budget = Budget {
            max_in_flight: max_in_flight?,
            daily_tokens: daily_tokens?,
            monthly_tokens: monthly_tokens?,
        };
        let period = Duration::from_secs(period?.unwrap_or(60));
        Some(Limits {
            requests: are_counted.then_some(period),
            budget: (budget != Budget::default()).then_some(budget),
            lease: LEASE,
        })
    }

    fn number(
        &mut self,
        name: &str,
        is_allowed: fn(u64) -> bool,
        problem: &'static str,
    ) -> Option<Option<u64>> {
        self.read_optional(name, |text| {
            text.parse().ok().filter(|number| is_allowed(*number)).ok_or(problem)
        })
    }
}
