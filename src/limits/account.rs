//! The accounts of callers, and their ledgers.

use super::failure::unenforced;
use super::ledger::{Message, Reply, Standing};
use crate::auth::Caller;
use crate::error::Error;
use crate::host::{Host, LedgerStore, LimitError};

/// The account of all callers without a name. It is one, because it protects the bill, and addresses cost nothing.
/// No [`Caller`] has this name, which has no `:`.
const ANONYMOUS: &str = "anonymous";

/// Returns the account whose ledger counts a caller's requests.
pub(crate) fn account(caller: Option<&Caller>) -> &str {
    caller.map_or(ANONYMOUS, Caller::as_str)
}

/// Reads the numbers of an account.
pub(crate) async fn standing<H: Host>(account: &str, host: &H) -> Result<Standing, Error> {
    Ok(exchange(account, &Message::Usage, host).await?.standing)
}

/// Applies a message to the ledger of an account.
pub(super) async fn exchange<H: Host>(
    account: &str,
    message: &Message,
    host: &H,
) -> Result<Reply, Error> {
    let Some(ledgers) = host.ledgers() else { return Err(unenforced("LEDGER", None)) };
    let reply = ledgers.exchange(account, message.to_json()).await.and_then(|reply| {
        let unknown = || LimitError("the reply is not a ledger's".to_owned());
        Reply::parse(&reply).ok_or_else(unknown)
    });
    reply.map_err(|error| unenforced("LEDGER", Some(&error)))
}
