//! The limits' variables.

use std::time::Duration;

use super::{Budget, Limits, MOST_IN_FLIGHT};
use crate::config::Variables;

/// Longer than most answers take. Bedrock itself gives up after an hour, but a crash should not keep
/// a caller out for so long; and what is settled later is still counted.
const LEASE: Duration = Duration::from_secs(15 * 60);

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// `None` where there was a problem.
    pub(crate) fn limits(&mut self) -> Option<Limits> {
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
        // A binding, which has no text: that it is there is enough.
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
