//! The limit of requests.

use std::net::Ipv6Addr;
use std::time::Duration;

use http::HeaderMap;

use super::failure::unenforced;
use crate::auth::Caller;
use crate::config::Config;
use crate::error::{Code, Error};
use crate::headers::{CF_CONNECTING_IP, request};
use crate::host::{Host, LimitError, RateLimiter};

/// The address of a client, by the header that Cloudflare sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Reads the address. Of an IPv6 address it keeps the /64 network, because its user has 2^64 addresses.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = request(headers, &CF_CONNECTING_IP).and_then(|value| value.to_str().ok());
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
    /// Returns the address of a client whose address is unknown.
    fn default() -> Self {
        Self("unknown".to_owned())
    }
}

/// Counts a request of a caller, or of an address if the caller is unknown.
///
/// # Errors
///
/// [`Code::RateLimited`] if it is one too many.
pub(crate) async fn admit<H: Host>(
    caller: Option<&Caller>,
    address: impl FnOnce() -> Address,
    config: &Config,
    host: &H,
) -> Result<(), Error> {
    let of = || caller.map_or_else(|| address().0, |it| it.as_str().to_owned());
    count(of, config, host).await
}

/// Counts the opening of a WebSocket like a request, but apart from requests: its messages are those.
///
/// # Errors
///
/// Fails like [`admit`].
pub(crate) async fn admit_socket<H: Host>(
    caller: Option<&Caller>,
    address: impl FnOnce() -> Address,
    config: &Config,
    host: &H,
) -> Result<(), Error> {
    let of = || caller.map_or_else(|| address().0, |it| it.as_str().to_owned());
    // No caller and no address has this prefix.
    count(|| format!("socket:{}", of()), config, host).await
}

/// Counts something under a key, if requests are counted.
async fn count<H: Host>(
    key: impl FnOnce() -> String,
    config: &Config,
    host: &H,
) -> Result<(), Error> {
    let Some(period) = config.limits.requests else { return Ok(()) };
    let Some(limiter) = host.rate_limiter() else {
        return Err(unenforced("RATE_LIMITER", None));
    };
    verdict(limiter.admit(&key()).await, period)
}

fn verdict(admitted: Result<bool, LimitError>, period: Duration) -> Result<(), Error> {
    match admitted {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::new(Code::RateLimited, "too many requests").retry_after(period)),
        Err(error) => Err(unenforced("RATE_LIMITER", Some(&error))),
    }
}
