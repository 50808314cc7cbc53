//! The messages to a store that is reached by bytes, such as a Durable Object, and its replies.
//!
//! Each is a line of words, and the contents of turns one after the other, whose lengths the line has. No word has white space
//! in it. Times are in milliseconds since the epoch.
//!
//! | message | reply |
//! | --- | --- |
//! | `begin ID TOKEN LEASE CREATE NOW` | `turns`, and for each turn `POSITION LENGTH`; `busy`; or `unknown` |
//! | `commit ID TOKEN POSITION KEEP_FROM EXPIRES NOW`, and the turn | `true` or `false` |
//! | `abort ID TOKEN` | `true` |
//! | `read ID FROM LIMIT NOW` | `page ID FIRST NEXT UPDATED EXPIRES`, the last turn, and then each turn; or `unknown` |
//! | `delete ID NOW` | `true` or `false` |
//! | `list UPDATED ID LIMIT NOW`, with `- -` to start from the newest | `list`, and for each session `ID FIRST NEXT UPDATED EXPIRES` |

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::turn::milliseconds;
use crate::host::{
    Begun, Lease, NewTurn, SessionError, SessionInfo, SessionMark, SessionPage, StoredTurn,
};

/// A message to the object that keeps the sessions of an owner.
#[derive(Clone, Debug)]
pub struct SessionMessage(Vec<u8>);

impl SessionMessage {
    fn new(words: &[&str], numbers: &[u64], content: &[u8]) -> Self {
        let mut line = words.join(" ");
        for number in numbers {
            line.extend([" ", &number.to_string()]);
        }
        line.push('\n');
        Self([line.as_bytes(), content].concat())
    }

    /// Makes the message of [`SessionStore::begin`](crate::host::SessionStore::begin).
    pub fn begin(id: &str, lease: &Lease, may_create: bool, now: SystemTime) -> Self {
        let numbers = [milliseconds(lease.expires), may_create.into(), milliseconds(now)];
        Self::new(&["begin", id, &lease.token], &numbers, &[])
    }

    /// Makes the message of [`SessionStore::commit`](crate::host::SessionStore::commit).
    pub fn commit(id: &str, turn: &NewTurn, now: SystemTime) -> Self {
        let NewTurn { token, turn, keep_from, expires } = turn;
        let numbers = [turn.position, *keep_from, milliseconds(*expires), milliseconds(now)];
        Self::new(&["commit", id, token], &numbers, &turn.sealed)
    }

    /// Makes the message of [`SessionStore::abort`](crate::host::SessionStore::abort).
    pub fn abort(id: &str, token: &str) -> Self {
        Self::new(&["abort", id, token], &[], &[])
    }

    /// Makes the message of [`SessionStore::read`](crate::host::SessionStore::read).
    pub fn read(id: &str, from: u64, limit: u32, now: SystemTime) -> Self {
        Self::new(&["read", id], &[from, limit.into(), milliseconds(now)], &[])
    }

    /// Makes the message of [`SessionStore::delete`](crate::host::SessionStore::delete).
    pub fn delete(id: &str, now: SystemTime) -> Self {
        Self::new(&["delete", id], &[milliseconds(now)], &[])
    }

    /// Makes the message of [`SessionStore::list`](crate::host::SessionStore::list).
    pub fn list(behind: Option<&SessionMark>, limit: u32, now: SystemTime) -> Self {
        let numbers = [limit.into(), milliseconds(now)];
        match behind {
            None => Self::new(&["list", "-", "-"], &numbers, &[]),
            Some(mark) => {
                let updated = milliseconds(mark.updated).to_string();
                Self::new(&["list", &updated, &mark.id], &numbers, &[])
            }
        }
    }

    /// Returns the bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A reply to a message.
#[derive(Clone, Debug)]
pub struct SessionReply {
    line: Bytes,
    /// The contents of turns that are not taken yet.
    rest: Bytes,
}

/// The words of a line that are not read yet.
struct Words<'a>(std::str::Split<'a, char>);

impl<'a> Words<'a> {
    fn word(&mut self) -> Result<&'a str, SessionError> {
        self.0.next().ok_or_else(unknown)
    }

    fn number(&mut self) -> Result<u64, SessionError> {
        self.word()?.parse().map_err(|_| unknown())
    }

    fn time(&mut self) -> Result<SystemTime, SessionError> {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.number()?)).ok_or_else(unknown)
    }

    fn info(&mut self, id: &str) -> Result<SessionInfo, SessionError> {
        Ok(SessionInfo {
            id: id.to_owned(),
            first: self.number()?,
            next: self.number()?,
            updated: self.time()?,
            expires: self.time()?,
        })
    }

    /// Takes the next turn, if there is one, whose content is the beginning of the rest.
    fn turn(&mut self, rest: &mut Bytes) -> Result<Option<StoredTurn>, SessionError> {
        let Some(position) = self.0.next() else { return Ok(None) };
        let position = position.parse().map_err(|_| unknown())?;
        let length = usize::try_from(self.number()?).map_err(|_| unknown())?;
        if length > rest.len() {
            return Err(unknown());
        }
        Ok(Some(StoredTurn { position, sealed: rest.split_to(length) }))
    }

    fn turns(&mut self, rest: &mut Bytes) -> Result<Vec<StoredTurn>, SessionError> {
        let mut turns = Vec::new();
        while let Some(turn) = self.turn(rest)? {
            turns.push(turn);
        }
        Ok(turns)
    }
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
        Ok(Self { line: bytes.slice(..end), rest: bytes.slice(end + 1..) })
    }

    /// Returns the first word of the line, and those behind it.
    fn words(line: &[u8]) -> Result<(&str, Words<'_>), SessionError> {
        let line = std::str::from_utf8(line).map_err(|_| unknown())?;
        let mut words = Words(line.split(' '));
        Ok((words.word()?, words))
    }

    /// Reads the reply to [`SessionMessage::begin`].
    ///
    /// # Errors
    ///
    /// Fails like [`new`](Self::new).
    pub fn begun(mut self) -> Result<Begun, SessionError> {
        match Self::words(&self.line)? {
            ("turns", mut words) => words.turns(&mut self.rest).map(Begun::Turns),
            ("busy", _) => Ok(Begun::Busy),
            ("unknown", _) => Ok(Begun::Unknown),
            _ => Err(unknown()),
        }
    }

    /// Reads the reply to [`SessionMessage::commit`], [`SessionMessage::abort`] or [`SessionMessage::delete`].
    ///
    /// # Errors
    ///
    /// Fails like [`new`](Self::new).
    pub fn done(self) -> Result<bool, SessionError> {
        match Self::words(&self.line)?.0 {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(unknown()),
        }
    }

    /// Reads the reply to [`SessionMessage::read`].
    ///
    /// # Errors
    ///
    /// Fails like [`new`](Self::new).
    pub fn page(mut self) -> Result<Option<SessionPage>, SessionError> {
        match Self::words(&self.line)? {
            ("page", mut words) => {
                let id = words.word()?;
                let info = words.info(id)?;
                let last = words.turn(&mut self.rest)?.ok_or_else(unknown)?;
                let turns = words.turns(&mut self.rest)?;
                Ok(Some(SessionPage { info, turns, last }))
            }
            ("unknown", _) => Ok(None),
            _ => Err(unknown()),
        }
    }

    /// Reads the reply to [`SessionMessage::list`].
    ///
    /// # Errors
    ///
    /// Fails like [`new`](Self::new).
    pub fn list(self) -> Result<Vec<SessionInfo>, SessionError> {
        let ("list", mut words) = Self::words(&self.line)? else { return Err(unknown()) };
        let mut sessions = Vec::new();
        while let Some(id) = words.0.next() {
            sessions.push(words.info(id)?);
        }
        Ok(sessions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &'static str) -> SessionReply {
        SessionReply::new(Bytes::from(text)).unwrap()
    }

    fn time(milliseconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(milliseconds)
    }

    #[test]
    fn messages_are_a_line_of_words_and_the_content() {
        let now = time(5);
        let lease = Lease { token: "t".to_owned(), expires: time(9) };
        let turn = StoredTurn { position: 3, sealed: Bytes::from("a\nb") };
        let turn = NewTurn { token: "t".to_owned(), turn, keep_from: 2, expires: time(7) };
        let mark = SessionMark { updated: time(4), id: "m".to_owned() };
        for (message, expected) in [
            (SessionMessage::begin("s", &lease, true, now), "begin s t 9 1 5\n"),
            (SessionMessage::commit("s", &turn, now), "commit s t 3 2 7 5\na\nb"),
            (SessionMessage::abort("s", "t"), "abort s t\n"),
            (SessionMessage::read("s", 1, 2, now), "read s 1 2 5\n"),
            (SessionMessage::delete("s", now), "delete s 5\n"),
            (SessionMessage::list(Some(&mark), 2, now), "list 4 m 2 5\n"),
            (SessionMessage::list(None, 2, now), "list - - 2 5\n"),
        ] {
            assert_eq!(str::from_utf8(message.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn replies_have_their_turns_behind_the_line() {
        let turn = |position, sealed| StoredTurn { position, sealed: Bytes::from(sealed) };
        let begun = reply("turns 0 3 1 0 2 1\na\nbc").begun();
        assert_eq!(begun.unwrap(), Begun::Turns(vec![turn(0, "a\nb"), turn(1, ""), turn(2, "c")]));
        assert_eq!(reply("turns\n").begun(), Ok(Begun::Turns(Vec::new())));
        assert_eq!(reply("busy\n").begun(), Ok(Begun::Busy));
        assert_eq!(reply("unknown\n").begun(), Ok(Begun::Unknown));
        assert_eq!(reply("true\n").done(), Ok(true));
        assert_eq!(reply("unknown\n").page(), Ok(None));
        let info = SessionInfo {
            id: "s".to_owned(),
            first: 1,
            next: 3,
            updated: time(4),
            expires: time(5),
        };
        let expected =
            SessionPage { info: info.clone(), turns: vec![turn(1, "a")], last: turn(2, "b") };
        assert_eq!(reply("page s 1 3 4 5 2 1 1 1\nba").page(), Ok(Some(expected)));
        assert_eq!(reply("list s 1 3 4 5\n").list(), Ok(vec![info]));
        assert_eq!(reply("list\n").list(), Ok(Vec::new()));
    }

    #[test]
    fn anything_else_is_an_error() {
        assert!(SessionReply::new(Bytes::from("true")).is_err());
        for text in ["\n", "turn\n", "turns 0\n", "turns 0 3\nab", "turns -1 0\n", "list s\n"] {
            assert!(reply(text).begun().is_err(), "{text}");
            assert!(reply(text).done().is_err(), "{text}");
            assert!(reply(text).page().is_err(), "{text}");
            assert!(reply(text).list().is_err(), "{text}");
        }
    }
}
