//! `GET /usage`: the numbers of the caller's own account.

use serde::Serialize;
use time::OffsetDateTime;

use super::envelope::Envelope;
use crate::config::Budget;
use crate::json::to_json;
use crate::limits::{Period, Standing};

#[derive(Serialize)]
struct Body<'a> {
    caller: &'a str,
    limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<Requests>,
    #[serde(skip_serializing_if = "Option::is_none")]
    today: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    this_month: Option<Tokens>,
}

#[derive(Serialize)]
struct Requests {
    requests: u64,
    limit: Option<u64>,
}

#[derive(Serialize)]
struct Tokens {
    used: u64,
    reserved: u64,
    limit: Option<u64>,
    remaining: Option<u64>,
    resets_at: String,
}

impl Tokens {
    fn new(period: Period, limit: Option<u64>) -> Self {
        let Period { used, reserved, ends } = period;
        let remaining = limit.map(|limit| limit.saturating_sub(used).saturating_sub(reserved));
        let ends = i64::try_from(ends).ok();
        let ends = ends.and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
        // A period ends at midnight.
        let resets_at = ends.map(|it| it.date().to_string()).unwrap_or_default() + "T00:00:00Z";
        Self { used, reserved, limit, remaining, resets_at }
    }
}

/// Renders the numbers of an account. Without a limit nothing is counted.
pub(crate) fn render_usage(account: &str, numbers: Option<(Budget, Standing)>) -> Envelope {
    let mut body =
        Body { caller: account, limited: false, in_flight: None, today: None, this_month: None };
    if let Some((budget, standing)) = numbers {
        body.limited = true;
        body.in_flight =
            Some(Requests { requests: standing.in_flight, limit: budget.max_in_flight });
        body.today = Some(Tokens::new(standing.today, budget.daily_tokens));
        body.this_month = Some(Tokens::new(standing.this_month, budget.monthly_tokens));
    }
    Envelope::json(200, to_json(&body))
}
