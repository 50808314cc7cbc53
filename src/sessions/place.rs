//! The places of sessions: their owners and their ids.

use std::time::Duration;

use crate::auth::Caller;
use crate::config::Config;
use crate::error::{Code, Error};
use crate::host::{Host, SessionError, SessionPlace, SessionStore};

/// The beginning of an owner without a name: the id of the session follows, which is all that proves whose it is. No
/// [`Caller`] begins so.
const ANONYMOUS: &str = "anonymous/";

/// The longest id.
const MAX_ID: usize = 128;

/// Reports whether a text is an id: 1 to 128 letters, digits, `-` or `_`.
pub(crate) fn is_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Returns the store of sessions, and how long they are kept.
///
/// # Errors
///
/// If the platform has no store or cannot encrypt as it should, and if the operator wants no sessions.
pub(super) fn available<'h, H: Host>(
    config: &Config,
    host: &'h H,
) -> Result<(impl SessionStore + use<'h, H>, Duration), Error> {
    match (host.sessions(), config.sessions.ttl) {
        (Some(_), Some(_)) if !config.sessions.keys.is_empty() && host.cipher().is_none() => {
            Err(Error::misconfigured("SESSION_KEY: the host platform cannot encrypt"))
        }
        (Some(store), Some(ttl)) => Ok((store, ttl)),
        _ => {
            let message = "sessions are not kept here: leave session out, and send the whole conversation as messages";
            Err(Error::invalid(message))
        }
    }
}

/// Returns a place with an id of 128 random bits.
pub(super) fn new(caller: Option<&Caller>, random: u128) -> SessionPlace {
    let id = format!("{random:032x}");
    SessionPlace { owner: owner(caller, &id), id }
}

/// Returns the place of a session that a caller names.
///
/// # Errors
///
/// If the caller has no name, and the id is not one that [`new`] makes.
pub(super) fn known(caller: Option<&Caller>, id: &str) -> Result<SessionPlace, Error> {
    let is_made_here =
        || id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_id(id) || (caller.is_none() && !is_made_here()) {
        return Err(no_such_session());
    }
    Ok(SessionPlace { owner: owner(caller, id), id: id.to_owned() })
}

fn owner(caller: Option<&Caller>, id: &str) -> String {
    caller.map_or_else(|| format!("{ANONYMOUS}{id}"), |caller| caller.as_str().to_owned())
}

/// Describes that there is no such session. A session of another caller is none.
pub(super) fn no_such_session() -> Error {
    Error::new(Code::NotFound, "there is no such session")
}

/// Describes that the store cannot be reached.
pub(super) fn unavailable(error: SessionError) -> Error {
    let message = "the session cannot be reached for now";
    let cause = format!("SESSIONS: {error}");
    let error = Error::new(Code::SessionsUnavailable, message).because(cause);
    error.retry_after(Duration::from_secs(1))
}
