//! `GET /usage`: a caller's own numbers.

use time::OffsetDateTime;

use super::account;
use super::ledger::{Message, Period};
use super::reservation::ask;
use crate::config::Config;
use crate::envelope::Envelope;
use crate::error::Error;
use crate::gate::Caller;
use crate::host::Host;

/// The answer. Without a limit there is no ledger to ask.
///
/// # Errors
///
/// Where the ledger is not to be had.
pub(crate) async fn usage<H: Host>(
    caller: Option<&Caller>,
    config: &Config,
    host: &H,
) -> Result<Envelope, Error> {
    let caller = account(caller);
    let numbers = match config.limits.budget {
        None => r#""limited":false"#.to_owned(),
        Some(budget) => {
            let standing = ask(caller, &Message::Usage, host).await?.standing;
            format!(
                r#""limited":true,"in_flight":{{"requests":{},"limit":{}}},"today":{},"this_month":{}"#,
                standing.in_flight,
                or_null(budget.max_in_flight),
                tokens(standing.today, budget.daily_tokens),
                tokens(standing.this_month, budget.monthly_tokens),
            )
        }
    };
    Ok(Envelope {
        status_code: 200,
        headers: vec![("Content-Type", "application/json; charset=utf-8".to_owned())],
        // A caller's name is visible ASCII without quotes.
        body: format!(r#"{{"caller":"{caller}",{numbers}}}"#),
        is_base64_encoded: false,
    })
}

fn tokens(period: Period, limit: Option<u64>) -> String {
    let Period { used, reserved, ends } = period;
    let remaining = limit.map(|limit| limit.saturating_sub(used).saturating_sub(reserved));
    let (limit, remaining) = (or_null(limit), or_null(remaining));
    let ends = i64::try_from(ends).ok().and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
    // A period ends at midnight.
    let resets_at = ends.map(|it| it.date().to_string()).unwrap_or_default() + "T00:00:00Z";
    format!(
        r#"{{"used":{used},"reserved":{reserved},"limit":{limit},"remaining":{remaining},"resets_at":"{resets_at}"}}"#
    )
}

fn or_null(number: Option<u64>) -> String {
    number.map_or_else(|| "null".to_owned(), |number| number.to_string())
}
