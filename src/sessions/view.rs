//! Sessions as their callers see them: read, listed, deleted.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::envelope::{open, unreadable};
use super::place::{available, is_id, known, no_such_session, unavailable};
use super::stored::Turn as Stored;
use super::turn::{hold, milliseconds, whole_milliseconds};
use crate::auth::Caller;
use crate::claude::Usage;
use crate::config::Config;
use crate::error::{Code, Error};
use crate::host::{Host, SessionInfo, SessionMark, SessionStore};
use crate::limits::{Held, Memory};

/// The number of turns or sessions of a page, unless the caller names one.
const PAGE: u32 = 20;

const MAX_PAGE: u32 = 100;

/// A part of a session.
pub(crate) struct View {
    pub info: SessionInfo,
    /// The messages of whole turns: a JSON array.
    pub messages: String,
    /// The tokens that all calls of the session are billed by.
    pub usage: Usage,
    /// Their cost in picodollars, if it is known.
    pub cost: Option<u64>,
    /// The value of `after` for the next page.
    pub next: Option<String>,
    _held: Held,
}

/// A part of the list of sessions.
pub(crate) struct List {
    pub sessions: Vec<SessionInfo>,
    /// The value of `after` for the next page.
    pub next: Option<String>,
}

/// The page that a query names.
struct Page<'q> {
    limit: u32,
    after: Option<&'q str>,
}

impl<'q> Page<'q> {
    fn parse(query: &'q str) -> Result<Self, Error> {
        let mut page = Self { limit: PAGE, after: None };
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("limit", value)) => {
                    let limit = value.parse().ok().filter(|it| (1..=MAX_PAGE).contains(it));
                    let wrong = || Error::invalid("limit must be a whole number from 1 to 100");
                    page.limit = limit.ok_or_else(wrong)?;
                }
                Some(("after", value)) => page.after = Some(value),
                _ => {}
            }
        }
        Ok(page)
    }
}

fn wrong_after() -> Error {
    Error::invalid("after must be the next_after of the page before")
}

/// Reads a page of a session, from its first turn on.
///
/// # Errors
///
/// If there is no such session, or the store cannot be reached.
pub(crate) async fn read<H: Host>(
    id: &str,
    query: &str,
    caller: Option<&Caller>,
    config: &Config,
    memory: &Arc<Memory>,
    host: &H,
) -> Result<View, Error> {
    let (store, _) = available(config, host)?;
    let Page { limit, after } = Page::parse(query)?;
    let from = match after {
        Some(after) => after.parse::<u64>().map_err(|_| wrong_after())?.saturating_add(1),
        None => 0,
    };
    let place = known(caller, id)?;
    let held = hold(config.sessions.max_bytes, memory, host).await?;
    let page = store.read(&place, from, limit, whole_milliseconds(host.now())).await;
    let page = page.map_err(unavailable)?.ok_or_else(no_such_session)?;
    let keys = &config.sessions.keys;
    let mut messages = String::new();
    for turn in &page.turns {
        let json = open(turn, &place, keys, host).await?;
        let turn = Stored::parse(&json).ok_or_else(|| unreadable("it has another form"))?;
        turn.write_verbatim(&mut messages);
    }
    let last = open(&page.last, &place, keys, host).await?;
    let last = Stored::parse(&last).ok_or_else(|| unreadable("it has another form"))?;
    let shown = page.turns.last().map(|turn| turn.position);
    let next = shown.filter(|shown| shown + 1 < page.info.next).map(|shown| shown.to_string());
    let (usage, cost) = (last.total, last.cost);
    Ok(View { info: page.info, messages: format!("[{messages}]"), usage, cost, next, _held: held })
}

/// Deletes a session.
///
/// # Errors
///
/// If there is no such session, or the store cannot be reached.
pub(crate) async fn delete<H: Host>(
    id: &str,
    caller: Option<&Caller>,
    config: &Config,
    host: &H,
) -> Result<(), Error> {
    let (store, _) = available(config, host)?;
    let place = known(caller, id)?;
    match store.delete(&place, whole_milliseconds(host.now())).await.map_err(unavailable)? {
        true => Ok(()),
        false => Err(no_such_session()),
    }
}

/// Lists the sessions of a caller, from the newest to the oldest.
///
/// # Errors
///
/// If the caller has no name, or the store cannot be reached.
pub(crate) async fn list<H: Host>(
    query: &str,
    caller: Option<&Caller>,
    config: &Config,
    host: &H,
) -> Result<List, Error> {
    let (store, _) = available(config, host)?;
    let Some(caller) = caller else {
        let message = "sessions are listed for callers with a name only: with AUTH=open, an id is all that says whose a session is";
        return Err(Error::new(Code::Forbidden, message));
    };
    let Page { limit, after } = Page::parse(query)?;
    let behind = after.map(|after| parse_mark(after).ok_or_else(wrong_after)).transpose()?;
    let now = whole_milliseconds(host.now());
    // One more than the page shows whether there is another.
    let listed = store.list(caller.as_str(), behind.as_ref(), limit + 1, now).await;
    let mut sessions = listed.map_err(unavailable)?;
    let has_more = sessions.len() > limit as usize;
    sessions.truncate(limit as usize);
    let next = sessions.last().filter(|_| has_more).map(write_mark);
    Ok(List { sessions, next })
}

fn write_mark(info: &SessionInfo) -> String {
    format!("{}.{}", milliseconds(info.updated), info.id)
}

fn parse_mark(text: &str) -> Option<SessionMark> {
    let (updated, id) = text.split_once('.')?;
    let updated = Duration::from_millis(updated.parse().ok()?);
    let updated: SystemTime = UNIX_EPOCH.checked_add(updated)?;
    is_id(id).then(|| SessionMark { updated, id: id.to_owned() })
}
