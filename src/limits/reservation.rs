//! Reservations: the tokens that a call may use, and their settlement on those that it has used.

use std::time::{Duration, UNIX_EPOCH};

use super::account::{account, exchange};
use super::failure::SOON;
use super::ledger::{Message, Reply, Standing, Verdict};
use crate::auth::Caller;
use crate::claude::{Request, Usage};
use crate::config::{Budget, Config};
use crate::error::{Code, Error};
use crate::host::{Host, LedgerStore};
use crate::identifier::Identifier;
use crate::log::Record;
use crate::outlined::outlined;

/// The tokens in which the model reads a message wrapped. Claude counts about ten for an empty conversation, and
/// some more for a system prompt.
const TOKENS_OF_A_REQUEST: u64 = 32;

/// The tokens around each further message of a conversation. Claude counts about four.
const TOKENS_OF_A_MESSAGE: u64 = 8;

/// The tokens that a call may use at most, reserved in a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    account: String,
    id: String,
    /// At least the number of tokens of the input.
    input: u64,
    /// `max_tokens`.
    output: u64,
}

/// The tokens that were used of a reservation: a message to a ledger, to be sent with
/// [`LedgerStore::settle`](crate::host::LedgerStore::settle). Without it the reservation expires and counts as used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Settlement {
    /// The account whose ledger gets it.
    pub account: String,
    /// A [`Message`] as JSON.
    pub message: String,
}

impl Settlement {
    /// Sends the settlement, if the platform keeps ledgers. Returns the failure, for the log.
    pub async fn send<H: Host>(self, host: &H) -> Result<(), String> {
        match host.ledgers() {
            Some(ledgers) => ledgers
                .settle(&self.account, self.message)
                .await
                .map_err(|error| format!("the tokens used are not in the ledger: {error}")),
            None => Ok(()),
        }
    }
}

impl Reservation {
    fn new(request: &Request<'_>, account: &str, id: &Identifier) -> Self {
        // A tokenizer that works on bytes makes no more tokens than there are bytes, whatever the language. Most make
        // far fewer, and what was reserved too much is given back soon.
        let bytes: u64 = request.texts().map(|text| text.len() as u64).sum();
        let further_messages = request.messages.len().saturating_sub(1) as u64;
        Self {
            account: account.to_owned(),
            id: id.as_str().to_owned(),
            input: match &request.translated {
                Some(translated) => translated.most_input_tokens,
                None => bytes + TOKENS_OF_A_REQUEST + TOKENS_OF_A_MESSAGE * further_messages,
            },
            output: request.max_tokens.into(),
        }
    }

    /// Settles a call that Bedrock bills.
    pub(crate) fn used(self, usage: Usage) -> Settlement {
        let tokens = self.tokens_of(usage);
        self.settled_on(tokens)
    }

    /// Returns the tokens of a call. What Bedrock does not report counts as reserved.
    fn tokens_of(&self, usage: Usage) -> u64 {
        let cached = usage
            .cache_read_input_tokens
            .unwrap_or(0)
            .saturating_add(usage.cache_creation_input_tokens.unwrap_or(0));
        let input = usage.input_tokens.map_or(self.input, |tokens| tokens.saturating_add(cached));
        input.saturating_add(usage.output_tokens.unwrap_or(self.output))
    }

    /// Settles a stream that ended early. The `received` bytes of text are no fewer than its tokens.
    pub(crate) fn used_in_part(self, usage: Usage, received: usize) -> Settlement {
        let received = (received as u64).min(self.output);
        let output_tokens = Some(usage.output_tokens.unwrap_or(0).max(received));
        self.used(Usage { output_tokens, ..usage })
    }

    /// Settles a call that Bedrock refused.
    fn unused(self) -> Settlement {
        self.settled_on(0)
    }

    fn settled_on(self, tokens: u64) -> Settlement {
        let message = Message::Settle { id: self.id, tokens }.to_json();
        Settlement { account: self.account, message }
    }
}

/// Reserves what a request may use, or nothing if no limit is set.
///
/// # Errors
///
/// [`Code::TooManyInFlight`] and [`Code::BudgetExceeded`], and if the ledger cannot be reached.
pub(crate) async fn reserve<H: Host>(
    request: &Request<'_>,
    caller: Option<&Caller>,
    config: &Config,
    host: &H,
) -> Result<Option<Reservation>, Error> {
    match config.limits.budget {
        Some(budget) => outlined(reserve_of(budget, request, caller, config, host)).await.map(Some),
        None => Ok(None),
    }
}

/// Reserves like [`reserve`], for a request that is passed on. `most` returns the most tokens of its input and output.
///
/// # Errors
///
/// Fails like [`reserve`].
pub(crate) async fn reserve_tokens<H: Host>(
    most: impl FnOnce() -> (u64, u64),
    caller: Option<&Caller>,
    config: &Config,
    host: &H,
) -> Result<Option<Reservation>, Error> {
    let Some(budget) = config.limits.budget else { return Ok(None) };
    let id = Identifier::random(host.random()).as_str().to_owned();
    let (input, output) = most();
    let reservation = Reservation { account: account(caller).to_owned(), id, input, output };
    outlined(make(reservation, None, budget, config, host)).await.map(Some)
}

async fn reserve_of<H: Host>(
    budget: Budget,
    request: &Request<'_>,
    caller: Option<&Caller>,
    config: &Config,
    host: &H,
) -> Result<Reservation, Error> {
    let id = Identifier::random(host.random());
    let reservation = Reservation::new(request, account(caller), &id);
    outlined(make(reservation, None, budget, config, host)).await
}

/// Reserves for one more call of a request whose last call failed with this usage and may be billed all the same.
///
/// # Errors
///
/// Fails like [`reserve`]. The request has no reservation then, and the last call is settled.
pub(crate) async fn reserve_again<H: Host>(
    reservation: Reservation,
    usage: Usage,
    config: &Config,
    host: &H,
) -> Result<Reservation, Error> {
    let budget = config.limits.budget.unwrap_or_default();
    let tokens = reservation.tokens_of(usage);
    let id = Identifier::random(host.random()).as_str().to_owned();
    let next = Reservation { id, ..reservation.clone() };
    outlined(make(next, Some((reservation, tokens)), budget, config, host)).await
}

/// Makes a reservation in the ledger, in place of an earlier one of which so many tokens were used.
async fn make<H: Host>(
    reservation: Reservation,
    replaced: Option<(Reservation, u64)>,
    budget: Budget,
    config: &Config,
    host: &H,
) -> Result<Reservation, Error> {
    let tokens = reservation.input + reservation.output;
    let message = Message::Reserve {
        id: reservation.id.clone(),
        tokens,
        lease: config.limits.lease.as_secs(),
        budget,
        replaces: replaced.as_ref().map(|(replaced, used)| (replaced.id.clone(), *used)),
    };
    let Reply { verdict, standing } = match exchange(&reservation.account, &message, host).await {
        Ok(reply) => reply,
        Err(error) => {
            // It may have been made all the same.
            let _ = reservation.unused().send(host).await;
            if let Some((replaced, used)) = replaced {
                let _ = replaced.settled_on(used).send(host).await;
            }
            return Err(error);
        }
    };
    let Standing { today, this_month, .. } = standing;
    let (period, name, limit) = match verdict {
        Verdict::Done => return Ok(reservation),
        Verdict::TooManyInFlight => {
            let error = Error::new(Code::TooManyInFlight, "too many requests are in flight");
            return Err(error.retry_after(SOON));
        }
        Verdict::DailyTokens => (today, "today", budget.daily_tokens.unwrap_or(0)),
        Verdict::MonthlyTokens => (this_month, "this month", budget.monthly_tokens.unwrap_or(0)),
    };
    let remaining = limit.saturating_sub(period.used).saturating_sub(period.reserved);
    let message =
        format!("the request may use {tokens} tokens, and {remaining} of {limit} are left {name}");
    let error = Error::new(Code::BudgetExceeded, message)
        .with("x-ratelimit-limit-tokens", limit)
        .with("x-ratelimit-remaining-tokens", remaining);
    Err(if tokens > limit {
        // It never fits.
        error
    } else if period.used.saturating_add(tokens) > limit {
        let now = host.now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        error.retry_after(Duration::from_secs(period.ends.saturating_sub(now)))
    } else {
        // It fits once requests in flight have used less than they reserved.
        error.retry_after(SOON)
    })
}

/// Settles a call that has ended as the record says.
pub(crate) async fn settle<H: Host>(
    reservation: Option<Reservation>,
    record: &mut Record,
    host: &H,
) {
    if let Some(reservation) = reservation {
        outlined(settle_reservation(reservation, record, host)).await;
    }
}

async fn settle_reservation<H: Host>(reservation: Reservation, record: &mut Record, host: &H) {
    let settlement =
        if record.is_billed { reservation.used(record.usage()) } else { reservation.unused() };
    if let Err(cause) = settlement.send(host).await {
        record.error.get_or_insert_with(|| cause.into());
    }
}
