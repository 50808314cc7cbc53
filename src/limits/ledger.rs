//! The ledger of one account: the tokens used today and this month, and what is reserved.
//!
//! It is pure: time comes in as a number. One message is one step, so the store must apply messages one after the other
//! and save the ledger before the reply leaves.
//!
//! A reservation counts for the day and the month in which it was made, and so does its settlement, whenever it comes:
//! no day's limit is exceeded around midnight.
//!
//! A reservation that expires counts as used: whoever made it may have crashed during the call. A settlement that comes late
//! corrects that.
//!
//! Ledgers, messages and replies are JSON, because a Worker and its Durable Object can be of different versions.
//! Unknown members are ignored.
//!
//! Out of scope: storage, and how many tokens a request may use.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

use crate::config::{Budget, MOST_IN_FLIGHT};
use crate::json::to_json;

const DAY: u64 = 86_400;

/// An expired reservation can still be settled for this long.
const REMEMBERED: u64 = DAY;

/// The most reservations that are stored: half of them open, half expired.
const MOST_LEASES: u64 = 2 * MOST_IN_FLIGHT;

/// The ledger of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Ledger {
    /// The day of the last message, counted from the epoch in UTC.
    day: u64,
    /// The settled tokens of this day.
    today: u64,
    /// The settled tokens of this month.
    this_month: u64,
    /// The reservations that were not settled, in the order in which they were made.
    leases: Vec<Lease>,
}

/// A reservation. Times are in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Lease {
    id: String,
    made: u64,
    expires: u64,
    tokens: u64,
}

/// A message to a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Reserves tokens for one request, if the budget allows it. Repeating it with the same id has no effect.
    Reserve {
        /// The id of the reservation, which is random.
        id: String,
        /// The most that the request may use.
        tokens: u64,
        /// The seconds after which it expires unless it is settled before.
        lease: u64,
        /// The limits.
        budget: Budget,
        /// An earlier reservation of the same request, which is settled before, whether or not this one is made: its id, and
        /// the tokens that were used.
        replaces: Option<(String, u64)>,
    },
    /// Replaces a reservation by the tokens that were used. Repeating it has no effect.
    Settle {
        /// The id of the reservation.
        id: String,
        /// The tokens that were used.
        tokens: u64,
    },
    /// Reads the numbers.
    Usage,
}

/// The reply of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "WireReply", into = "WireReply")]
pub struct Reply {
    /// The result of the message.
    pub verdict: Verdict,
    /// The numbers after it.
    pub standing: Standing,
}

/// The result of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Done.
    Done,
    /// Not reserved: as many requests are in flight as may be.
    TooManyInFlight,
    /// Not reserved: it would exceed the day's tokens.
    DailyTokens,
    /// Not reserved: it would exceed the month's tokens.
    MonthlyTokens,
}

/// The numbers of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Standing {
    /// Requests in flight.
    pub in_flight: u64,
    /// The day's tokens.
    pub today: Period,
    /// The month's tokens.
    pub this_month: Period,
}

/// The tokens of a day or a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Period {
    /// Settled tokens, and those of expired reservations.
    pub used: u64,
    /// Tokens reserved by requests in flight.
    pub reserved: u64,
    /// When the next period begins, in seconds since the epoch.
    pub ends: u64,
}

impl Ledger {
    /// Applies a message to a stored ledger. Both are JSON, and a new account has nothing stored. Returns the ledger to
    /// be stored, if it has changed, and the reply. `now` is in seconds since the epoch. Returns `None` if one of the
    /// texts was not made by this crate.
    pub fn exchange(
        stored: Option<&str>,
        message: &str,
        now: u64,
    ) -> Option<(Option<String>, String)> {
        let mut ledger = stored.map_or(Some(Self::default()), from_json)?;
        let reply = ledger.take(&Message::parse(message)?, now);
        let after = to_json(&ledger);
        Some(((stored != Some(&after)).then_some(after), to_json(&reply)))
    }

    /// Applies a message.
    pub fn take(&mut self, message: &Message, now: u64) -> Reply {
        self.turn(now);
        let verdict = match message {
            Message::Reserve { id, tokens, lease, budget, replaces } => {
                if let Some((id, tokens)) = replaces {
                    self.settle(id, *tokens);
                }
                self.reserve(id, *tokens, *lease, budget, now)
            }
            Message::Settle { id, tokens } => {
                self.settle(id, *tokens);
                Verdict::Done
            }
            Message::Usage => Verdict::Done,
        };
        Reply { verdict, standing: self.standing(now) }
    }

    /// Starts a new day or month. Never returns to an earlier one, even if the clock does: tokens would be granted
    /// twice.
    fn turn(&mut self, now: u64) {
        let day = now / DAY;
        if day > self.day {
            self.today = 0;
            if self.day < month_of(day).start {
                self.this_month = 0;
            }
            self.day = day;
        }
        let is_old = |lease: &mut Lease| lease.expires.saturating_add(REMEMBERED) <= now;
        for Lease { made, tokens, .. } in self.leases.extract_if(.., is_old).collect::<Vec<_>>() {
            self.count(made, tokens);
        }
    }

    fn reserve(&mut self, id: &str, tokens: u64, lease: u64, budget: &Budget, now: u64) -> Verdict {
        if self.leases.iter().any(|lease| lease.id == id) {
            return Verdict::Done;
        }
        let Standing { in_flight, today, this_month } = self.standing(now);
        let exceeds = |period: Period, limit: Option<u64>| {
            let sum = period.used.saturating_add(period.reserved).saturating_add(tokens);
            limit.is_some_and(|limit| sum > limit)
        };
        if in_flight >= budget.max_in_flight.unwrap_or(MOST_IN_FLIGHT).min(MOST_IN_FLIGHT) {
            return Verdict::TooManyInFlight;
        }
        // The month first, because it is the longer wait.
        if exceeds(this_month, budget.monthly_tokens) {
            return Verdict::MonthlyTokens;
        }
        if exceeds(today, budget.daily_tokens) {
            return Verdict::DailyTokens;
        }
        let expired = self.leases.iter().position(|lease| lease.expires <= now);
        if let (Some(expired), true) = (expired, self.leases.len() as u64 >= MOST_LEASES) {
            let Lease { made, tokens, .. } = self.leases.remove(expired);
            self.count(made, tokens);
        }
        let expires = now.saturating_add(lease);
        // While the clock is behind the last day that was seen, tokens count for that day.
        let made = now.max(self.day.saturating_mul(DAY));
        self.leases.push(Lease { id: id.to_owned(), made, expires, tokens });
        Verdict::Done
    }

    fn settle(&mut self, id: &str, tokens: u64) {
        // A reservation that is not there was settled before.
        let Some(at) = self.leases.iter().position(|lease| lease.id == id) else { return };
        let made = self.leases.remove(at).made;
        self.count(made, tokens);
    }

    /// Counts used tokens of a reservation that was made at this time.
    fn count(&mut self, made: u64, tokens: u64) {
        let day = made / DAY;
        if day == self.day {
            self.today = self.today.saturating_add(tokens);
        }
        if month_of(self.day).contains(&day) {
            self.this_month = self.this_month.saturating_add(tokens);
        }
    }

    fn standing(&self, now: u64) -> Standing {
        let month = month_of(self.day);
        let period = |used, days: Range<u64>| Period {
            used,
            reserved: 0,
            ends: days.end.saturating_mul(DAY),
        };
        let mut standing = Standing {
            in_flight: 0,
            today: period(self.today, self.day..self.day + 1),
            this_month: period(self.this_month, month.clone()),
        };
        let Standing { in_flight, today, this_month } = &mut standing;
        for Lease { made, expires, tokens, .. } in &self.leases {
            let is_open = *expires > now;
            *in_flight += u64::from(is_open);
            let add = |period: &mut Period| {
                let sum = if is_open { &mut period.reserved } else { &mut period.used };
                *sum = sum.saturating_add(*tokens);
            };
            if made / DAY == self.day {
                add(today);
            }
            if month.contains(&(made / DAY)) {
                add(this_month);
            }
        }
        standing
    }
}

/// Returns the days of the month that contains a day.
fn month_of(day: u64) -> Range<u64> {
    let seconds = i64::try_from(day.saturating_mul(DAY)).unwrap_or(i64::MAX);
    let date = OffsetDateTime::from_unix_timestamp(seconds).map_or(Date::MAX, OffsetDateTime::date);
    let first = day.saturating_sub(u64::from(date.day() - 1));
    first..first + u64::from(date.month().length(date.year()))
}

/// The JSON of a [`Reply`]: flat, as that of a message. serde's own `flatten` is 5 KiB of the upload.
#[derive(Deserialize, Serialize)]
struct WireReply {
    verdict: Verdict,
    in_flight: u64,
    today: Period,
    this_month: Period,
}

impl From<WireReply> for Reply {
    fn from(WireReply { verdict, in_flight, today, this_month }: WireReply) -> Self {
        Self { verdict, standing: Standing { in_flight, today, this_month } }
    }
}

impl From<Reply> for WireReply {
    fn from(Reply { verdict, standing }: Reply) -> Self {
        let Standing { in_flight, today, this_month } = standing;
        Self { verdict, in_flight, today, this_month }
    }
}

/// The JSON of a [`Message`]. It is flat because a header carries it.
#[derive(Default, Deserialize, Serialize)]
struct WireMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    reserve: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_in_flight: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    monthly_tokens: Option<u64>,
    /// The id of the replaced reservation, and the tokens that were used of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
}

impl Message {
    /// Writes the message as JSON in ASCII, which a header can carry.
    pub fn to_json(&self) -> String {
        let wire = match self.clone() {
            Self::Reserve { id, tokens, lease, budget, replaces } => {
                let Budget { max_in_flight, daily_tokens, monthly_tokens } = budget;
                let (replaces, used) = replaces.unzip();
                WireMessage {
                    reserve: Some(id),
                    tokens: Some(tokens),
                    lease: Some(lease),
                    max_in_flight,
                    daily_tokens,
                    monthly_tokens,
                    replaces,
                    used,
                    ..WireMessage::default()
                }
            }
            Self::Settle { id, tokens } => {
                WireMessage { settle: Some(id), tokens: Some(tokens), ..WireMessage::default() }
            }
            Self::Usage => WireMessage { usage: Some(true), ..WireMessage::default() },
        };
        to_json(&wire)
    }

    fn parse(json: &str) -> Option<Self> {
        let wire: WireMessage = from_json(json)?;
        let WireMessage { reserve, settle, usage, tokens, lease, replaces, used, .. } = wire;
        let WireMessage { max_in_flight, daily_tokens, monthly_tokens, .. } = wire;
        Some(match (reserve, settle, usage) {
            (Some(id), ..) => {
                let budget = Budget { max_in_flight, daily_tokens, monthly_tokens };
                let replaces = replaces.zip(used);
                Self::Reserve { id, tokens: tokens?, lease: lease?, budget, replaces }
            }
            (_, Some(id), _) => Self::Settle { id, tokens: tokens? },
            (.., Some(_)) => Self::Usage,
            _ => return None,
        })
    }
}

impl Reply {
    /// Parses the reply of a ledger.
    pub fn parse(json: &str) -> Option<Self> {
        from_json(json)
    }
}

/// Parses JSON from bytes: that reader is in the upload already, the one for `str` is not.
fn from_json<T: for<'de> Deserialize<'de>>(json: &str) -> Option<T> {
    serde_json::from_slice(json.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
