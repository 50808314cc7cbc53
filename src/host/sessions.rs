//! The store of sessions: what a platform keeps of conversations that are remembered.
//!
//! A store knows nothing of what is said: a turn is bytes, which the core encrypts before if the operator wants that. The
//! times come from the core, so that one clock decides; a platform with a clock of its own uses it only to delete what has
//! expired.
//!
//! `tests/conformance/sessions.rs` checks a store.

use std::future::Future;
use std::time::SystemTime;

use bytes::Bytes;

/// Keeps sessions, each of which is an append-only list of turns that expires as a whole.
///
/// One request at a time adds a turn: it begins the turn with a lease, and commits or aborts it. A session without a turn
/// does not exist for [`read`](Self::read), [`delete`](Self::delete) and [`list`](Self::list). A session is gone when both its
/// expiry and its lease have passed, and may then be deleted at any time. Every operation is atomic.
pub trait SessionStore {
    /// Takes the lease of a session and returns all its turns, in order. Where the session does not exist, it may be created.
    /// A repeated message has the same result: a lease is not busy for itself.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    fn begin(
        &self,
        place: &SessionPlace,
        lease: &Lease,
        may_create: bool,
        now: SystemTime,
    ) -> impl Future<Output = Result<Begun, SessionError>>;

    /// Adds the turn for which the lease was taken, removes the turns before `keep_from`, sets the expiry, and gives the
    /// lease back. Returns whether it did: not if another request has taken the lease since, or the session was deleted. A
    /// lease that nobody has taken since is as good as ever. A repeated message has no effect and the same result.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached. The turn may have been added all the same.
    fn commit(
        &self,
        place: &SessionPlace,
        turn: &NewTurn,
        now: SystemTime,
    ) -> impl Future<Output = Result<bool, SessionError>>;

    /// Gives a lease back without a turn. Has no effect if another request has taken it since. It may return before the
    /// message has arrived if the platform completes it in the background.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached. The lease then expires.
    fn abort(
        &self,
        place: &SessionPlace,
        token: &str,
    ) -> impl Future<Output = Result<(), SessionError>>;

    /// Reads up to `limit` turns from a position on, or `None` if there is no such session.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    fn read(
        &self,
        place: &SessionPlace,
        from: u64,
        limit: u32,
        now: SystemTime,
    ) -> impl Future<Output = Result<Option<SessionPage>, SessionError>>;

    /// Deletes a session, also while a turn is under way, which then cannot be committed. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    fn delete(
        &self,
        place: &SessionPlace,
        now: SystemTime,
    ) -> impl Future<Output = Result<bool, SessionError>>;

    /// Lists up to `limit` sessions of an owner, from the newest to the oldest: by the time of the last turn, then by id in
    /// descending order. Starts behind a mark.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    fn list(
        &self,
        owner: &str,
        behind: Option<&SessionMark>,
        limit: u32,
        now: SystemTime,
    ) -> impl Future<Output = Result<Vec<SessionInfo>, SessionError>>;
}

/// The place of a session. Two owners may have sessions with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPlace {
    /// The owner: visible ASCII, up to 1000 characters.
    pub owner: String,
    /// Its id: 1 to 128 letters, digits, `-` or `_`.
    pub id: String,
}

/// The right to add the next turn of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// An identifier that no other lease has.
    pub token: String,
    /// When another request may take the lease, in whole milliseconds since the epoch.
    pub expires: SystemTime,
}

/// The result of beginning a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The lease is taken. These are the turns so far.
    Turns(Vec<StoredTurn>),
    /// Another request has the lease.
    Busy,
    /// There is no such session, and none was to be created.
    Unknown,
}

/// A turn in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTurn {
    /// Its number in the session, from 0. Removing earlier turns does not change it.
    pub position: u64,
    /// Its content. It can be longer than what a store takes as one value.
    pub sealed: Bytes,
}

/// A turn that is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTurn {
    /// The token of the lease.
    pub token: String,
    /// The turn, whose position follows that of the last one.
    pub turn: StoredTurn,
    /// The position of the first turn that stays.
    pub keep_from: u64,
    /// When the session expires, in whole milliseconds since the epoch.
    pub expires: SystemTime,
}

/// A session as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id.
    pub id: String,
    /// The position of its first turn: how many earlier ones were removed.
    pub first: u64,
    /// The position of its next turn.
    pub next: u64,
    /// When the last turn was added.
    pub updated: SystemTime,
    /// When it expires.
    pub expires: SystemTime,
}

/// A part of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPage {
    /// The session.
    pub info: SessionInfo,
    /// Consecutive turns.
    pub turns: Vec<StoredTurn>,
    /// The last turn of the session.
    pub last: StoredTurn,
}

/// A place in the list of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionMark {
    /// When the last turn of the session there was added.
    pub updated: SystemTime,
    /// Its id.
    pub id: String,
}

/// A store of sessions did not reply, or not as it should. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SessionError(pub String);

impl<T: SessionStore> SessionStore for &T {
    fn begin(
        &self,
        place: &SessionPlace,
        lease: &Lease,
        may_create: bool,
        now: SystemTime,
    ) -> impl Future<Output = Result<Begun, SessionError>> {
        (**self).begin(place, lease, may_create, now)
    }

    fn commit(
        &self,
        place: &SessionPlace,
        turn: &NewTurn,
        now: SystemTime,
    ) -> impl Future<Output = Result<bool, SessionError>> {
        (**self).commit(place, turn, now)
    }

    fn abort(
        &self,
        place: &SessionPlace,
        token: &str,
    ) -> impl Future<Output = Result<(), SessionError>> {
        (**self).abort(place, token)
    }

    fn read(
        &self,
        place: &SessionPlace,
        from: u64,
        limit: u32,
        now: SystemTime,
    ) -> impl Future<Output = Result<Option<SessionPage>, SessionError>> {
        (**self).read(place, from, limit, now)
    }

    fn delete(
        &self,
        place: &SessionPlace,
        now: SystemTime,
    ) -> impl Future<Output = Result<bool, SessionError>> {
        (**self).delete(place, now)
    }

    fn list(
        &self,
        owner: &str,
        behind: Option<&SessionMark>,
        limit: u32,
        now: SystemTime,
    ) -> impl Future<Output = Result<Vec<SessionInfo>, SessionError>> {
        (**self).list(owner, behind, limit, now)
    }
}
