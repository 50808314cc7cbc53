//! The account of one caller: tokens used today and this month, and what is reserved.
//!
//! Pure: time comes in as a number. One message is one step, so whoever keeps a ledger must take
//! messages one after the other, and store what has become of it before the reply goes out.
//!
//! A reservation counts for the day and the month in which it was made, and so does its settlement,
//! whenever that comes: so neither side of a midnight is overrun.
//!
//! Out of scope: storage, how many tokens a request may use, and the forms of all this as text
//! ([`json`]).

use std::ops::Range;

use time::{Date, OffsetDateTime};

use super::{Budget, MOST_IN_FLIGHT};

mod json;

const DAY: u64 = 86_400;

/// How long a reservation that has expired is remembered: a settlement that comes after all is
/// still counted.
const REMEMBERED: u64 = DAY;

/// As many open reservations, and as many expired ones.
const MOST_LEASES: u64 = 2 * MOST_IN_FLIGHT;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Which day this is, counted from the epoch in UTC.
    day: u64,
    /// Settled tokens of this day.
    today: u64,
    /// Settled tokens of this month.
    this_month: u64,
    /// In the order in which they were made.
    leases: Vec<Lease>,
}

/// A reservation. Times are in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lease {
    id: String,
    made: u64,
    expires: u64,
    tokens: u64,
}

/// What a ledger is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Reserves for one request, if the budget allows it. To do it again with the same id does
    /// nothing.
    Reserve {
        /// Random.
        id: String,
        /// The most that the request may use.
        tokens: u64,
        /// Seconds until it is given back, if it is not settled before.
        lease: u64,
        /// What must not be exceeded.
        budget: Budget,
    },
    /// Replaces a reservation by what was used. To do it again does nothing.
    Settle {
        /// The reservation's.
        id: String,
        /// What was used.
        tokens: u64,
    },
    /// Asks for the numbers.
    Usage,
}

/// What a ledger says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What became of the message.
    pub verdict: Verdict,
    /// The numbers after it.
    pub standing: Standing,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    Done,
    /// Not reserved: as many requests are in flight as may be.
    TooManyInFlight,
    /// Not reserved: it would exceed the day's tokens.
    DailyTokens,
    /// Not reserved: it would exceed the month's tokens.
    MonthlyTokens,
}

/// The numbers of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests in flight.
    pub in_flight: u64,
    /// The day's tokens.
    pub today: Period,
    /// The month's tokens.
    pub this_month: Period,
}

/// The tokens of a day or a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Settled.
    pub used: u64,
    /// Reserved by requests in flight.
    pub reserved: u64,
    /// When the next begins, in seconds since the epoch.
    pub ends: u64,
}

impl Ledger {
    /// Takes a message, as text, to a ledger as it is stored, which is nothing at first. Returns
    /// what is to be stored, if that is not what is there, and the reply. `now` is in seconds since
    /// the epoch. `None`: one of the texts is not what this function makes.
    pub fn exchange(
        stored: Option<&str>,
        message: &str,
        now: u64,
    ) -> Option<(Option<String>, String)> {
        let mut ledger = stored.map_or(Some(Self::default()), Self::parse)?;
        let reply = ledger.take(&Message::parse(message)?, now);
        let after = ledger.to_json();
        Some(((stored != Some(&after)).then_some(after), reply.to_json()))
    }

    /// One step.
    pub fn take(&mut self, message: &Message, now: u64) -> Reply {
        self.turn(now);
        let verdict = match message {
            Message::Reserve { id, tokens, lease, budget } => {
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

    /// Turns the page where a new day has begun. Back it is never turned, should the clock be.
    fn turn(&mut self, now: u64) {
        self.leases.retain(|lease| lease.expires.saturating_add(REMEMBERED) > now);
        let day = now / DAY;
        if day > self.day {
            self.today = 0;
            if self.day < month_of(day).start {
                self.this_month = 0;
            }
            self.day = day;
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
            self.leases.remove(expired);
        }
        let expires = now.saturating_add(lease);
        self.leases.push(Lease { id: id.to_owned(), made: now, expires, tokens });
        Verdict::Done
    }

    fn settle(&mut self, id: &str, tokens: u64) {
        // What is not there was settled before.
        let Some(at) = self.leases.iter().position(|lease| lease.id == id) else { return };
        let day = self.leases.remove(at).made / DAY;
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
        for Lease { made, tokens, .. } in self.leases.iter().filter(|lease| lease.expires > now) {
            *in_flight += 1;
            if made / DAY == self.day {
                today.reserved = today.reserved.saturating_add(*tokens);
            }
            if month.contains(&(made / DAY)) {
                this_month.reserved = this_month.reserved.saturating_add(*tokens);
            }
        }
        standing
    }
}

/// The days of the month that a day is in.
fn month_of(day: u64) -> Range<u64> {
    let seconds = i64::try_from(day.saturating_mul(DAY)).unwrap_or(i64::MAX);
    let date = OffsetDateTime::from_unix_timestamp(seconds).map_or(Date::MAX, OffsetDateTime::date);
    let first = day.saturating_sub(u64::from(date.day() - 1));
    first..first + u64::from(date.month().length(date.year()))
}

#[cfg(test)]
mod tests;
