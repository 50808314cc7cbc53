//! The messages to a store that is reached by bytes, such as a Durable Object, and its replies.
//!
//! Each is a line of JSON, a line feed, and the contents of turns one after the other, whose lengths the JSON has. Times are
//! in milliseconds since the epoch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::turn::milliseconds;
use crate::host::{
    Begun, Lease, NewTurn, SessionError, SessionInfo, SessionMark, SessionPage, StoredTurn,
};
use crate::json::to_json;

/// A message to the object that keeps the sessions of an owner.
#[derive(Clone, Debug)]
pub struct SessionMessage(Vec<u8>);

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation<'a> {
    Begin { id: &'a str, token: &'a str, lease: u64, create: bool, now: u64 },
    Commit { id: &'a str, token: &'a str, position: u64, keep_from: u64, expires: u64, now: u64 },
    Abort { id: &'a str, token: &'a str },
    Read { id: &'a str, from: u64, limit: u32, now: u64 },
    Delete { id: &'a str, now: u64 },
    List { updated: Option<u64>, behind: Option<&'a str>, limit: u32, now: u64 },
}

impl SessionMessage {
    fn new(operation: &Operation<'_>, content: &[u8]) -> Self {
        Self([to_json(operation).as_bytes(), b"\n", content].concat())
    }

    /// Makes the message of [`SessionStore::begin`](crate::host::SessionStore::begin).
    pub fn begin(id: &str, lease: &Lease, may_create: bool, now: SystemTime) -> Self {
        let (token, expires) = (&*lease.token, milliseconds(lease.expires));
        let (create, now) = (may_create, milliseconds(now));
        Self::new(&Operation::Begin { id, token, lease: expires, create, now }, &[])
    }

    /// Makes the message of [`SessionStore::commit`](crate::host::SessionStore::commit).
    pub fn commit(id: &str, turn: &NewTurn, now: SystemTime) -> Self {
        let NewTurn { token, turn, keep_from, expires } = turn;
        let operation = Operation::Commit {
            id,
            token,
            position: turn.position,
            keep_from: *keep_from,
            expires: milliseconds(*expires),
            now: milliseconds(now),
        };
        Self::new(&operation, &turn.sealed)
    }

    /// Makes the message of [`SessionStore::abort`](crate::host::SessionStore::abort).
    pub fn abort(id: &str, token: &str) -> Self {
        Self::new(&Operation::Abort { id, token }, &[])
    }

    /// Makes the message of [`SessionStore::read`](crate::host::SessionStore::read).
    pub fn read(id: &str, from: u64, limit: u32, now: SystemTime) -> Self {
        Self::new(&Operation::Read { id, from, limit, now: milliseconds(now) }, &[])
    }

    /// Makes the message of [`SessionStore::delete`](crate::host::SessionStore::delete).
    pub fn delete(id: &str, now: SystemTime) -> Self {
        Self::new(&Operation::Delete { id, now: milliseconds(now) }, &[])
    }

    /// Makes the message of [`SessionStore::list`](crate::host::SessionStore::list).
    pub fn list(behind: Option<&SessionMark>, limit: u32, now: SystemTime) -> Self {
        let updated = behind.map(|mark| milliseconds(mark.updated));
        let behind = behind.map(|mark| &*mark.id);
        Self::new(&Operation::List { updated, behind, limit, now: milliseconds(now) }, &[])
    }

    /// Returns the bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A reply to a message.
#[derive(Clone, Debug)]
pub struct SessionReply {
    head: Bytes,
    /// The contents of turns that are not taken yet.
    rest: Bytes,
}

/// The position of a turn, and the length of its content.
#[derive(Deserialize)]
struct Place(u64, usize);

#[derive(Deserialize)]
struct Info {
    id: String,
    first: u64,
    next: u64,
    updated: u64,
    expires: u64,
}

impl From<Info> for SessionInfo {
    fn from(info: Info) -> Self {
        let Info { id, first, next, updated, expires } = info;
        Self { id, first, next, updated: time(updated), expires: time(expires) }
    }
}

fn time(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds)
}

fn unknown() -> SessionError {
    SessionError("the reply is not one of sessions".to_owned())
}

impl SessionReply {
    /// Takes the bytes of a reply.
    ///
    /// # Errors
    ///
    /// If it is not a reply, as for the other methods.
    pub fn new(bytes: Bytes) -> Result<Self, SessionError> {
        let end = memchr::memchr(b'\n', &bytes).ok_or_else(unknown)?;
        Ok(Self { head: bytes.slice(..end), rest: bytes.slice(end + 1..) })
    }

    fn parse<'a, T: Deserialize<'a>>(head: &'a [u8]) -> Result<T, SessionError> {
        serde_json::from_slice(head).map_err(|_| unknown())
    }

    fn take(&mut self, Place(position, length): Place) -> Result<StoredTurn, SessionError> {
        if length > self.rest.len() {
            return Err(unknown());
        }
        Ok(StoredTurn { position, sealed: self.rest.split_to(length) })
    }

    fn take_all(&mut self, places: Vec<Place>) -> Result<Vec<StoredTurn>, SessionError> {
        places.into_iter().map(|place| self.take(place)).collect()
    }

    /// Reads the reply to [`SessionMessage::begin`].
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn begun(mut self) -> Result<Begun, SessionError> {
        #[derive(Deserialize)]
        #[serde(tag = "begun", rename_all = "lowercase")]
        enum Head {
            Turns { turns: Vec<Place> },
            Busy,
            Unknown,
        }
        Ok(match Self::parse(&self.head)? {
            Head::Turns { turns } => Begun::Turns(self.take_all(turns)?),
            Head::Busy => Begun::Busy,
            Head::Unknown => Begun::Unknown,
        })
    }

    /// Reads the reply to [`SessionMessage::commit`] or [`SessionMessage::delete`].
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn done(self) -> Result<bool, SessionError> {
        #[derive(Deserialize)]
        struct Head {
            done: bool,
        }
        Self::parse(&self.head).map(|Head { done }| done)
    }

    /// Reads the reply to [`SessionMessage::read`].
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn page(mut self) -> Result<Option<SessionPage>, SessionError> {
        #[derive(Deserialize)]
        struct Head {
            page: Option<Page>,
        }
        #[derive(Deserialize)]
        struct Page {
            info: Info,
            turns: Vec<Place>,
            last: Place,
        }
        let Head { page } = Self::parse(&self.head)?;
        let Some(Page { info, turns, last }) = page else { return Ok(None) };
        let turns = self.take_all(turns)?;
        Ok(Some(SessionPage { info: info.into(), turns, last: self.take(last)? }))
    }

    /// Reads the reply to [`SessionMessage::list`].
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn list(self) -> Result<Vec<SessionInfo>, SessionError> {
        #[derive(Deserialize)]
        struct Head {
            sessions: Vec<Info>,
        }
        let Head { sessions } = Self::parse(&self.head)?;
        Ok(sessions.into_iter().map(SessionInfo::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &'static str) -> SessionReply {
        SessionReply::new(Bytes::from(text)).unwrap()
    }

    #[test]
    fn messages_are_a_line_of_json_and_the_content() {
        let now = time(5);
        let lease = Lease { token: "t".to_owned(), expires: time(9) };
        let turn = StoredTurn { position: 3, sealed: Bytes::from("a\nb") };
        let turn = NewTurn { token: "t".to_owned(), turn, keep_from: 2, expires: time(7) };
        let mark = SessionMark { updated: time(4), id: "m".to_owned() };
        for (message, expected) in [
            (
                SessionMessage::begin("s", &lease, true, now),
                "{\"op\":\"begin\",\"id\":\"s\",\"token\":\"t\",\"lease\":9,\"create\":true,\"now\":5}\n",
            ),
            (
                SessionMessage::commit("s", &turn, now),
                "{\"op\":\"commit\",\"id\":\"s\",\"token\":\"t\",\"position\":3,\"keep_from\":2,\"expires\":7,\"now\":5}\na\nb",
            ),
            (SessionMessage::abort("s", "t"), "{\"op\":\"abort\",\"id\":\"s\",\"token\":\"t\"}\n"),
            (
                SessionMessage::read("s", 1, 2, now),
                "{\"op\":\"read\",\"id\":\"s\",\"from\":1,\"limit\":2,\"now\":5}\n",
            ),
            (SessionMessage::delete("s", now), "{\"op\":\"delete\",\"id\":\"s\",\"now\":5}\n"),
            (
                SessionMessage::list(Some(&mark), 2, now),
                "{\"op\":\"list\",\"updated\":4,\"behind\":\"m\",\"limit\":2,\"now\":5}\n",
            ),
            (
                SessionMessage::list(None, 2, now),
                "{\"op\":\"list\",\"updated\":null,\"behind\":null,\"limit\":2,\"now\":5}\n",
            ),
        ] {
            assert_eq!(str::from_utf8(message.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn replies_have_their_turns_behind_the_line() {
        let turn = |position, sealed| StoredTurn { position, sealed: Bytes::from(sealed) };
        let begun = reply("{\"begun\":\"turns\",\"turns\":[[0,3],[1,0],[2,1]]}\na\nbc").begun();
        assert_eq!(begun.unwrap(), Begun::Turns(vec![turn(0, "a\nb"), turn(1, ""), turn(2, "c")]));
        assert_eq!(reply("{\"begun\":\"busy\"}\n").begun(), Ok(Begun::Busy));
        assert_eq!(reply("{\"begun\":\"unknown\"}\n").begun(), Ok(Begun::Unknown));
        assert_eq!(reply("{\"done\":true}\n").done(), Ok(true));
        assert_eq!(reply("{\"page\":null}\n").page(), Ok(None));
        let info = SessionInfo {
            id: "s".to_owned(),
            first: 1,
            next: 3,
            updated: time(4),
            expires: time(5),
        };
        let page = "{\"page\":{\"info\":{\"id\":\"s\",\"first\":1,\"next\":3,\"updated\":4,\"expires\":5},\"turns\":[[1,1]],\"last\":[2,1]}}\nab";
        let expected =
            SessionPage { info: info.clone(), turns: vec![turn(1, "a")], last: turn(2, "b") };
        assert_eq!(reply(page).page(), Ok(Some(expected)));
        let list =
            "{\"sessions\":[{\"id\":\"s\",\"first\":1,\"next\":3,\"updated\":4,\"expires\":5}]}\n";
        assert_eq!(reply(list).list(), Ok(vec![info]));
    }

    #[test]
    fn anything_else_is_an_error() {
        assert!(SessionReply::new(Bytes::from("{}")).is_err());
        for text in ["\n", "{}\n", "{\"begun\":\"turns\",\"turns\":[[0,3]]}\nab"] {
            assert!(reply(text).begun().is_err(), "{text}");
            assert!(reply(text).done().is_err(), "{text}");
            assert!(reply(text).list().is_err(), "{text}");
        }
    }
}
