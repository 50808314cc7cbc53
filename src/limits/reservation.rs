//! What one call reserves, and what it is settled on.

use std::time::{Duration, UNIX_EPOCH};

use super::ledger::{Message, Reply, Standing, Verdict};
use super::{Budget, SOON, account, unenforced};
use crate::config::Config;
use crate::error::{Code, Error, TokensLeft};
use crate::gate::Caller;
use crate::host::{Host, LimitError};
use crate::log::{Record, Token};
use crate::model::Usage;
use crate::rarely::rarely;
use crate::request::Request;

/// What a message is wrapped in when the model reads it. Claude counts about ten for an empty
/// conversation, and some more for a system prompt.
const TOKENS_OF_THE_FORM: u64 = 32;

/// What a call may use at most, in a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    account: String,
    id: String,
    /// At least as many as the prompt has.
    input: u64,
    /// `max_tokens`.
    output: u64,
    /// What calls before the last one may have used.
    lost: u64,
}

/// What was used of a reservation: a message to a ledger that is still to be sent, with
/// [`Host::settle`]. Without it the reservation is given back when it expires, and nothing is
/// counted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Settlement {
    /// Whose ledger.
    pub account: String,
    /// A [`Message`], as text.
    pub message: String,
}

impl Reservation {
    fn new(request: &Request<'_>, account: &str, id: &Token) -> Self {
        let texts = std::iter::once(&*request.prompt).chain(request.system.as_deref());
        // A tokenizer that works on bytes makes no more tokens than there are bytes, whatever the
        // language. Most make far fewer, but what is reserved too much is given back in a moment.
        let bytes: u64 = texts.map(|text| text.len() as u64).sum();
        Self {
            account: account.to_owned(),
            id: id.as_str().to_owned(),
            input: bytes + TOKENS_OF_THE_FORM,
            output: request.max_tokens.into(),
            lost: 0,
        }
    }

    /// Of a call that Bedrock bills: what it does not tell counts as reserved.
    pub(crate) fn used(self, usage: Usage) -> Settlement {
        let cached = usage
            .cache_read_input_tokens
            .unwrap_or(0)
            .saturating_add(usage.cache_creation_input_tokens.unwrap_or(0));
        let input = usage.input_tokens.map_or(self.input, |tokens| tokens.saturating_add(cached));
        let output = usage.output_tokens.unwrap_or(self.output);
        self.settled_on(input.saturating_add(output))
    }

    /// Of a stream that ended early. What has arrived of the answer has no more tokens than bytes.
    pub(crate) fn used_in_part(self, usage: Usage, received: usize) -> Settlement {
        let received = (received as u64).min(self.output);
        let output_tokens = Some(usage.output_tokens.unwrap_or(0).max(received));
        self.used(Usage { output_tokens, ..usage })
    }

    /// Of a call that Bedrock refused.
    fn unused(self) -> Settlement {
        self.settled_on(0)
    }

    /// With so many calls before the last one, which failed and may be billed all the same.
    pub(crate) fn after(mut self, calls: u32) -> Self {
        self.lost = (self.input + self.output).saturating_mul(calls.into());
        self
    }

    fn settled_on(self, tokens: u64) -> Settlement {
        let tokens = tokens.saturating_add(self.lost);
        let message = Message::Settle { id: self.id, tokens }.to_json();
        Settlement { account: self.account, message }
    }
}

/// Reserves what a request may use, or nothing where no limit is set.
///
/// # Errors
///
/// [`Code::TooManyInFlight`], [`Code::BudgetExceeded`], and where the ledger is not to be had.
pub(crate) async fn reserve<H: Host>(
    request: &Request<'_>,
    caller: Option<&Caller>,
    config: &Config,
    host: &H,
) -> Result<Option<Reservation>, Error> {
    match config.limits.budget {
        Some(budget) => rarely(reserve_of(budget, request, caller, config, host)).await.map(Some),
        None => Ok(None),
    }
}

async fn reserve_of<H: Host>(
    budget: Budget,
    request: &Request<'_>,
    caller: Option<&Caller>,
    config: &Config,
    host: &H,
) -> Result<Reservation, Error> {
    let reservation = Reservation::new(request, account(caller), &Token::random(host.random()));
    let tokens = reservation.input + reservation.output;
    let lease = config.limits.lease.as_secs();
    let message = Message::Reserve { id: reservation.id.clone(), tokens, lease, budget };
    let Reply { verdict, standing } = match ask(&reservation.account, &message, host).await {
        Ok(reply) => reply,
        Err(error) => {
            // It may have been made all the same.
            let _ = host.settle(reservation.unused()).await;
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
    let mut error = Error::new(Code::BudgetExceeded, message);
    error.tokens = Some(TokensLeft { limit, remaining });
    Err(if tokens > limit {
        // At no time.
        error
    } else if period.used.saturating_add(tokens) > limit {
        let now = host.now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        error.retry_after(Duration::from_secs(period.ends.saturating_sub(now)))
    } else {
        // As soon as what is in flight has used less than it has reserved.
        error.retry_after(SOON)
    })
}

/// Settles a call whose end the record tells.
pub(crate) async fn settle<H: Host>(
    reservation: Option<Reservation>,
    record: &mut Record,
    host: &H,
) {
    if let Some(reservation) = reservation {
        rarely(settle_it(reservation, record, host)).await;
    }
}

async fn settle_it<H: Host>(reservation: Reservation, record: &mut Record, host: &H) {
    let reservation = reservation.after(record.billed_before);
    let settlement =
        if record.is_billed { reservation.used(record.usage()) } else { reservation.unused() };
    if let Err(error) = host.settle(settlement).await {
        let cause = format!("the tokens used are not in the ledger: {error}");
        record.error.get_or_insert_with(|| cause.into());
    }
}

pub(super) async fn ask<H: Host>(
    account: &str,
    message: &Message,
    host: &H,
) -> Result<Reply, Error> {
    let reply = host.ledger(account, message.to_json()).await.and_then(|reply| {
        let unknown = || LimitError::Unreachable("the reply is not a ledger's".to_owned());
        Reply::parse(&reply).ok_or_else(unknown)
    });
    reply.map_err(|error| unenforced("LEDGER", &error))
}
