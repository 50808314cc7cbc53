//! How much a caller may use: requests, requests in flight, tokens.
//!
//! Requests are counted by the Host ([`Host::admit`]), before the body is read. Tokens are counted in
//! the caller's [`Ledger`]: what a call may use at most is reserved before it, and settled on what
//! Bedrock says after it. What Bedrock may bill and does not tell counts as it was reserved.
//!
//! With no limit set, none of this is called. A limit that cannot be enforced is never passed over:
//! where the Host has no means for it that is `misconfigured`, and where they fail
//! `limits_unavailable`.
//!
//! Out of scope: where a ledger is kept, and who the caller is.

use std::net::Ipv6Addr;
use std::time::Duration;

use http::HeaderMap;

use crate::config::Config;
use crate::error::{Code, Error};
use crate::gate::Caller;
use crate::header::CF_CONNECTING_IP;
use crate::host::{Host, LimitError};

pub use ledger::{Ledger, Message, Period, Reply, Standing, Verdict};
pub use reservation::{Reservation, Settlement};
pub(crate) use reservation::{reserve, settle};
pub(crate) use usage::usage;

mod ledger;
mod reservation;
mod settings;
mod usage;

/// The account of those whose name is not known. It is one for all of them: what it protects is the
/// bill, and addresses cost nothing. No [`Caller`] has this name, which has no `:`.
const ANONYMOUS: &str = "anonymous";

/// When what hinders a request may be over.
const SOON: Duration = Duration::from_secs(1);

/// A ledger keeps every open reservation.
pub(crate) const MOST_IN_FLIGHT: u64 = 1000;

/// What every caller may use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// `RATE_LIMITER`: the Host counts requests. How long it counts is `RATE_LIMIT_PERIOD`, 10 or
    /// 60 seconds.
    pub requests: Option<Duration>,
    /// `MAX_IN_FLIGHT`, `DAILY_TOKENS`, `MONTHLY_TOKENS`: what a ledger counts, if any is set.
    pub budget: Option<Budget>,
    /// How long a reservation lasts that is never settled, because the program ended in between:
    /// longer than a request does.
    pub lease: Duration,
}

/// What a ledger counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// Requests in flight, up to 1000. Not set, it is 1000.
    pub max_in_flight: Option<u64>,
    /// Tokens of a day in UTC.
    pub daily_tokens: Option<u64>,
    /// Tokens of a month in UTC.
    pub monthly_tokens: Option<u64>,
}

/// Where a request comes from, by the header that Cloudflare sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Of an IPv6 address the network, because its user has 2^64 of them.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = headers.get(CF_CONNECTING_IP).and_then(|value| value.to_str().ok());
        Self(match text.map(|text| (text, text.parse::<Ipv6Addr>())) {
            Some((_, Ok(address))) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            Some((text, Err(_))) => text.to_owned(),
            None => return Self::default(),
        })
    }
}

impl Default for Address {
    /// One that is not known.
    fn default() -> Self {
        Self("unknown".to_owned())
    }
}

/// The account whose ledger counts a call.
fn account(caller: Option<&Caller>) -> &str {
    caller.map_or(ANONYMOUS, Caller::as_str)
}

/// Counts a request of a caller, or where there is none of an address.
///
/// # Errors
///
/// [`Code::RateLimited`] where it is one too many.
pub(crate) async fn admit<H: Host>(
    caller: Option<&Caller>,
    address: impl FnOnce() -> Address,
    config: &Config,
    host: &H,
) -> Result<(), Error> {
    let Some(period) = config.limits.requests else { return Ok(()) };
    let admitted = match caller {
        Some(caller) => host.admit(caller.as_str()).await,
        None => host.admit(&address().0).await,
    };
    match admitted {
        Ok(true) => Ok(()),
        Ok(false) => {
            let error = Error::new(Code::RateLimited, "too many requests");
            Err(error.retry_after(period))
        }
        Err(error) => Err(unenforced("RATE_LIMITER", &error)),
    }
}

fn unenforced(what: &str, error: &LimitError) -> Error {
    let cause = format!("{what}: {error}");
    match error {
        LimitError::Missing => Error::misconfigured(cause),
        LimitError::Unreachable(_) => {
            let message = "what you may use cannot be looked up for now";
            Error::new(Code::LimitsUnavailable, message).because(cause).retry_after(SOON)
        }
    }
}

#[cfg(test)]
mod tests;
