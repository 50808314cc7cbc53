//! A store of sessions in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bedrock_edge::host::{
    Begun, Lease, NewTurn, SessionError, SessionInfo, SessionMark, SessionPage, SessionPlace,
    SessionStore, StoredTurn,
};

/// A store in memory. It deletes what has expired when it is used.
#[derive(Debug, Default)]
pub struct MemorySessions {
    sessions: Mutex<Sessions>,
    failure: Mutex<Failure>,
    calls: Mutex<Vec<String>>,
}

type Sessions = BTreeMap<(String, String), Session>;

/// The error of every operation, or of commits only.
#[derive(Debug, Default)]
struct Failure {
    of_all: Option<SessionError>,
    of_commits: Option<SessionError>,
}

#[derive(Debug)]
struct Session {
    lease: Option<Lease>,
    /// The token of the last turn.
    committed: Option<String>,
    turns: Vec<StoredTurn>,
    updated: SystemTime,
    expires: SystemTime,
}

impl Session {
    fn is_gone(&self, now: SystemTime) -> bool {
        now >= self.expires && self.lease.as_ref().is_none_or(|lease| now >= lease.expires)
    }

    fn info(&self, id: &str) -> Option<SessionInfo> {
        Some(SessionInfo {
            id: id.to_owned(),
            first: self.turns.first()?.position,
            next: self.turns.last()?.position + 1,
            updated: self.updated,
            expires: self.expires,
        })
    }
}

impl MemorySessions {
    fn at(&self, now: SystemTime) -> Result<MutexGuard<'_, Sessions>, SessionError> {
        let mut sessions = self.sessions()?;
        sessions.retain(|_, session| !session.is_gone(now));
        Ok(sessions)
    }

    fn note(&self, call: String) {
        lock(&self.calls).push(call);
    }

    fn sessions(&self) -> Result<MutexGuard<'_, Sessions>, SessionError> {
        match &lock(&self.failure).of_all {
            Some(error) => Err(error.clone()),
            None => Ok(lock(&self.sessions)),
        }
    }
}

#[allow(dead_code)] // Not every test that includes this file needs them.
impl MemorySessions {
    /// Returns every byte of every turn.
    pub fn bytes(&self) -> Vec<u8> {
        let sessions = lock(&self.sessions);
        let turns = sessions.values().flat_map(|session| &session.turns);
        turns.flat_map(|turn| turn.sealed.to_vec()).collect()
    }

    /// Takes the calls so far: the operations and their arguments.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.calls))
    }

    /// Makes every operation fail.
    pub fn fail(&self, error: &str) {
        lock(&self.failure).of_all = Some(SessionError(error.to_owned()));
    }

    /// Makes every commit fail.
    pub fn fail_commits(&self, error: &str) {
        lock(&self.failure).of_commits = Some(SessionError(error.to_owned()));
    }

    /// Ends the failures.
    pub fn work(&self) {
        *lock(&self.failure) = Failure::default();
    }

    /// Changes every turn.
    pub fn alter(&self, mut change: impl FnMut(&mut StoredTurn)) {
        let mut sessions = lock(&self.sessions);
        sessions.values_mut().flat_map(|session| &mut session.turns).for_each(&mut change);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(place: &SessionPlace) -> (String, String) {
    (place.owner.clone(), place.id.clone())
}

impl SessionStore for MemorySessions {
    async fn begin(
        &self,
        place: &SessionPlace,
        lease: &Lease,
        may_create: bool,
        now: SystemTime,
    ) -> Result<Begun, SessionError> {
        self.note(format!("begin {place:?} {lease:?} {may_create} {now:?}"));
        let mut sessions = self.at(now)?;
        let session = match sessions.get_mut(&key(place)) {
            Some(session)
                if session
                    .lease
                    .as_ref()
                    .is_some_and(|it| now < it.expires && it.token != lease.token) =>
            {
                return Ok(Begun::Busy);
            }
            Some(session) if may_create || !session.turns.is_empty() => session,
            None if may_create => sessions.entry(key(place)).or_insert(Session {
                lease: None,
                committed: None,
                turns: Vec::new(),
                updated: now,
                expires: now,
            }),
            _ => return Ok(Begun::Unknown),
        };
        session.lease = Some(lease.clone());
        Ok(Begun::Turns(session.turns.clone()))
    }

    async fn commit(
        &self,
        place: &SessionPlace,
        turn: &NewTurn,
        now: SystemTime,
    ) -> Result<bool, SessionError> {
        self.note(format!("commit {place:?} {turn:?} {now:?}"));
        // Also after the end of the lease, if nobody has deleted the session since.
        if let Some(error) = &lock(&self.failure).of_commits {
            return Err(error.clone());
        }
        let mut sessions = self.sessions()?;
        let Some(session) = sessions.get_mut(&key(place)) else { return Ok(false) };
        if session.committed.as_ref() == Some(&turn.token) {
            return Ok(true);
        }
        if session.lease.as_ref().is_none_or(|lease| lease.token != turn.token) {
            return Ok(false);
        }
        session.lease = None;
        session.committed = Some(turn.token.clone());
        session.turns.retain(|it| it.position >= turn.keep_from);
        session.turns.push(turn.turn.clone());
        session.updated = now;
        session.expires = turn.expires;
        Ok(true)
    }

    async fn abort(&self, place: &SessionPlace, token: &str) -> Result<(), SessionError> {
        self.note(format!("abort {place:?} {token}"));
        let mut sessions = self.sessions()?;
        if let Some(session) = sessions.get_mut(&key(place))
            && session.lease.as_ref().is_some_and(|lease| lease.token == token)
        {
            session.lease = None;
            if session.turns.is_empty() {
                sessions.remove(&key(place));
            }
        }
        Ok(())
    }

    async fn read(
        &self,
        place: &SessionPlace,
        from: u64,
        limit: u32,
        now: SystemTime,
    ) -> Result<Option<SessionPage>, SessionError> {
        self.note(format!("read {place:?} {from} {limit} {now:?}"));
        let sessions = self.at(now)?;
        Ok(sessions.get(&key(place)).and_then(|session| {
            let turns = session.turns.iter().filter(|turn| turn.position >= from);
            Some(SessionPage {
                info: session.info(&place.id)?,
                turns: turns.take(limit as usize).cloned().collect(),
                last: session.turns.last()?.clone(),
            })
        }))
    }

    async fn delete(&self, place: &SessionPlace, now: SystemTime) -> Result<bool, SessionError> {
        self.note(format!("delete {place:?} {now:?}"));
        let mut sessions = self.at(now)?;
        let exists = sessions.get(&key(place)).is_some_and(|session| !session.turns.is_empty());
        if exists {
            sessions.remove(&key(place));
        }
        Ok(exists)
    }

    async fn list(
        &self,
        owner: &str,
        behind: Option<&SessionMark>,
        limit: u32,
        now: SystemTime,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        self.note(format!("list {owner} {behind:?} {limit} {now:?}"));
        let sessions = self.at(now)?;
        let own = sessions.iter().filter(|((it, _), _)| it == owner);
        let mut infos: Vec<_> = own.filter_map(|((_, id), session)| session.info(id)).collect();
        infos.sort_by(|a, b| (b.updated, &b.id).cmp(&(a.updated, &a.id)));
        let is_behind = |info: &SessionInfo| {
            behind.is_none_or(|mark| (info.updated, &info.id) < (mark.updated, &mark.id))
        };
        infos.retain(is_behind);
        infos.truncate(limit as usize);
        Ok(infos)
    }
}
