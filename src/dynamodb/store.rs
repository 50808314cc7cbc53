//! The operations of the store. Each reads the head, decides, and writes the head on the condition that no other request has
//! written it since; otherwise it starts again.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::client::{CallError, Client};
use super::head::{
    Begin, HEAD, Head, least_turns_expire_at, list_sort, milliseconds, owner_partition,
    parse_list_entry, session_partition, turns_expire_at,
};
use super::input::{Query, Write};
use super::item::{EXPIRES_AT, Item, PK, SK};
use super::turns::{self, Turns};
use crate::config::SessionsTable;
use crate::host::{
    Begun, Http, Lease, NewTurn, SessionError, SessionInfo, SessionMark, SessionPage, SessionPlace,
    SessionStore, StoredTurn,
};

/// The most heads that are read at once.
const MOST_HEADS: u32 = 100;

/// A store of sessions in a table of DynamoDB.
pub struct DynamoDbSessions<'a, H> {
    table: &'a SessionsTable,
    host: &'a H,
    report: fn(&SessionError),
}

impl<'a, H: Http> DynamoDbSessions<'a, H> {
    /// Makes a store. `report` gets the problems that change no result: what cannot be deleted now is deleted by DynamoDB when
    /// it expires, and what cannot be given back now expires.
    pub fn new(table: &'a SessionsTable, host: &'a H, report: fn(&SessionError)) -> Self {
        Self { table, host, report }
    }

    fn session(&self, place: &SessionPlace) -> Session<'_, H> {
        Session {
            client: Client::new(self.table, self.host),
            partition: session_partition(place),
            report: self.report,
        }
    }
}

/// One operation on one session.
struct Session<'a, H> {
    client: Client<'a, H>,
    partition: String,
    report: fn(&SessionError),
}

impl<H: Http> Session<'_, H> {
    async fn head(&self) -> Result<Option<Head>, SessionError> {
        let item = self.client.get(&Item::key(&self.partition, HEAD)).await?;
        item.map(|item| parse_head(&item)).transpose()
    }

    /// Replaces the head that was read. Returns whether it did: not if another request has written it since.
    async fn replace(&self, known: Option<&Head>, new: &Head) -> Result<bool, SessionError> {
        let item = new.to_item(&self.partition);
        is_done(self.client.put(&item, &Head::condition(known)).await)
    }

    /// Deletes the head that was read. Returns whether it did.
    async fn delete_head(&self, known: &Head) -> Result<bool, SessionError> {
        let key = Item::key(&self.partition, HEAD);
        is_done(self.client.delete(&key, &Head::condition(Some(known))).await)
    }

    /// Takes a lease and reads all turns. Notes from when on the lease may be taken.
    async fn begin(
        &self,
        lease: &Lease,
        may_create: bool,
        now: u64,
        may_be_taken: &mut bool,
    ) -> Result<Begun, SessionError> {
        loop {
            // The head, and in the same page the turns of a session of usual length.
            let mut query = Query::of(&self.partition);
            let (items, mut rest) = self.client.query(&query).await?;
            let head = items.first().filter(|item| item.text(SK) == Some(HEAD));
            let known = head.map(parse_head).transpose()?;
            let taken = match Head::begun(known.as_ref(), lease, may_create, now) {
                Begin::Taken(head) => head,
                Begin::Busy => return Ok(Begun::Busy),
                Begin::Unknown => return Ok(Begun::Unknown),
            };
            *may_be_taken = true;
            if !self.replace(known.as_ref(), &taken).await? {
                continue;
            }
            if taken.first == taken.next {
                return Ok(Begun::Turns(Vec::new()));
            }
            // While this request has the lease, nobody changes the turns.
            let mut turns = Turns::default();
            items.iter().for_each(|item| turns.add(item, &taken.epoch));
            while let Some(last) = rest.take() {
                query.behind(last);
                let (items, last) = self.client.query(&query).await?;
                items.iter().for_each(|item| turns.add(item, &taken.epoch));
                rest = last;
            }
            let turns = turns.take(taken.first, taken.next);
            return turns.map(Begun::Turns).ok_or_else(incomplete);
        }
    }

    /// Gives a lease back.
    async fn release(&self, token: &str) -> Result<(), SessionError> {
        loop {
            let head = self.head().await?;
            let Some(head) = head.filter(|head| head.is_leased_by(token)) else { return Ok(()) };
            let is_done = match head.first == head.next {
                true => self.delete_head(&head).await?,
                false => self.replace(Some(&head), &head.released()).await?,
            };
            if is_done {
                return Ok(());
            }
        }
    }

    /// Reads turns. Returns `None` if one of them is not whole: another request deletes them.
    async fn turns(
        &self,
        head: &Head,
        from: u64,
        to: u64,
    ) -> Result<Option<Vec<StoredTurn>>, SessionError> {
        if from >= to {
            return Ok(Some(Vec::new()));
        }
        let (lower, upper) = turns::range(&head.epoch, from, to);
        let mut query = Query::of(&self.partition).between(lower, upper);
        let mut turns = Turns::default();
        loop {
            let (items, last) = self.client.query(&query).await?;
            items.iter().for_each(|item| turns.add(item, &head.epoch));
            let Some(last) = last else { break };
            query.behind(last);
        }
        Ok(turns.take(from, to))
    }

    /// Writes turns once more that DynamoDB would delete too early.
    async fn prolong(&self, head: &Head, from: u64, expires_at: u64) -> Result<(), SessionError> {
        let (lower, upper) = turns::range(&head.epoch, from, head.next);
        let mut query = Query::of(&self.partition).between(lower, upper);
        loop {
            let (items, last) = self.client.query(&query).await?;
            let put = |item: Item| Write::Put(item.with_number(EXPIRES_AT, expires_at));
            self.client.write_all(&items.into_iter().map(put).collect::<Vec<_>>()).await?;
            let Some(last) = last else { return Ok(()) };
            query.behind(last);
        }
    }

    /// Deletes the turns of an epoch before a position.
    async fn delete_turns(&self, epoch: &str, before: u64) -> Result<(), SessionError> {
        let (lower, upper) = turns::range(epoch, 0, before);
        let mut query = Query::of(&self.partition).between(lower, upper).only_keys();
        loop {
            let (keys, last) = self.client.query(&query).await?;
            let deletions: Vec<_> = keys.into_iter().map(Write::Delete).collect();
            self.client.write_all(&deletions).await?;
            let Some(last) = last else { return Ok(()) };
            query.behind(last);
        }
    }

    /// Reports a problem that changes nothing about the result of the operation.
    fn report(&self, result: Result<(), SessionError>) {
        if let Err(SessionError(problem)) = result {
            (self.report)(&SessionError(format!("a session leaves something behind: {problem}")));
        }
    }

    /// Deletes the items that a turn which was not added has left: all of them if the session was deleted meanwhile.
    async fn clean_up(&self, epoch: &str, now_there: Option<&Head>, written: Vec<Write>) {
        let is_there = now_there.is_some_and(|it| it.epoch == epoch && it.first < it.next);
        let deleted = match is_there {
            true => self.client.write_all(&written).await,
            false => self.delete_turns(epoch, u64::MAX).await,
        };
        self.report(deleted);
    }
}

fn parse_head(item: &Item) -> Result<Head, SessionError> {
    Head::parse(item)
        .ok_or_else(|| SessionError("the head of a session has another form".to_owned()))
}

fn is_done(result: Result<(), CallError>) -> Result<bool, SessionError> {
    match result {
        Ok(()) => Ok(true),
        Err(CallError::Condition) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn incomplete() -> SessionError {
    SessionError("a turn of the session is missing in the table".to_owned())
}

impl<H: Http> SessionStore for DynamoDbSessions<'_, H> {
    async fn begin(
        &self,
        place: &SessionPlace,
        lease: &Lease,
        may_create: bool,
        now: SystemTime,
    ) -> Result<Begun, SessionError> {
        let session = self.session(place);
        let mut may_be_taken = false;
        let begun = session.begin(lease, may_create, milliseconds(now), &mut may_be_taken).await;
        if begun.is_err() && may_be_taken {
            // Otherwise the session would be busy until the lease ends.
            session.report(session.release(&lease.token).await);
        }
        begun
    }

    async fn commit(
        &self,
        place: &SessionPlace,
        turn: &NewTurn,
        now: SystemTime,
    ) -> Result<bool, SessionError> {
        let session = self.session(place);
        let mut written: Option<(String, Vec<Write>)> = None;
        loop {
            let known = session.head().await?;
            let is_added =
                known.as_ref().is_some_and(|it| it.committed.as_ref() == Some(&turn.token));
            if is_added {
                return Ok(true);
            }
            let Some(head) = known.as_ref().filter(|it| it.is_leased_by(&turn.token)) else {
                if let Some((epoch, written)) = written {
                    session.clean_up(&epoch, known.as_ref(), written).await;
                }
                return Ok(false);
            };

            if head.first < head.next && head.next != turn.turn.position {
                let (expected, got) = (head.next, turn.turn.position);
                let problem = format!("expected a turn at the position {expected}, got {got}");
                return Err(SessionError(problem));
            }

            let first = head.first_after(turn);
            let mut first_expires_at = turns_expire_at(turn.expires, now);
            let expires_at = first_expires_at;
            if first < head.next {
                if head.turns_expire_at < least_turns_expire_at(turn.expires) {
                    session.prolong(head, first, expires_at).await?;
                } else {
                    first_expires_at = head.turns_expire_at.min(expires_at);
                }
            }

            let new = head.committed(turn, first_expires_at, milliseconds(now));
            let partition = &session.partition;
            let items =
                turns::to_items(partition, &head.epoch, head.version, &turn.turn, expires_at);
            let keys = items.iter().filter_map(|it| Some(Item::key(it.text(PK)?, it.text(SK)?)));
            let deletions = keys.map(Write::Delete).collect();
            let items = items.into_iter().chain([new.list_entry(place)]);
            let writes: Vec<_> = items.map(Write::Put).collect();
            session.client.write_all(&writes).await?;
            if !session.replace(Some(head), &new).await? {
                written = Some((head.epoch.clone(), deletions));
                continue;
            }

            if head.first < head.next && head.updated != new.updated {
                let entry = Write::Delete(head.list_key(place));
                session.report(session.client.write_all(&[entry]).await);
            }
            if head.first < new.first {
                session.report(session.delete_turns(&head.epoch, new.first).await);
            }
            return Ok(true);
        }
    }

    async fn abort(&self, place: &SessionPlace, token: &str) -> Result<(), SessionError> {
        self.session(place).release(token).await
    }

    async fn read(
        &self,
        place: &SessionPlace,
        from: u64,
        limit: u32,
        now: SystemTime,
    ) -> Result<Option<SessionPage>, SessionError> {
        let session = self.session(place);
        let mut torn = None;
        loop {
            let head = session.head().await?;
            let head = head.filter(|head| head.exists(milliseconds(now)));
            let Some(head) = head else { return Ok(None) };
            if torn == Some(head.version) {
                return Err(incomplete());
            }
            let from = from.clamp(head.first, head.next);
            let to = from.saturating_add(limit.into()).min(head.next);
            let turns = session.turns(&head, from, to).await?;
            let last = match turns.as_ref().and_then(|turns| turns.last()) {
                Some(last) if to == head.next => Some(vec![last.clone()]),
                _ => session.turns(&head, head.next - 1, head.next).await?,
            };
            if let (Some(turns), Some(last)) = (turns, last.and_then(|mut turns| turns.pop())) {
                return Ok(Some(SessionPage { info: head.info(&place.id), turns, last }));
            }
            // They were deleted between the two reads, or they are really gone.
            torn = Some(head.version);
        }
    }

    async fn delete(&self, place: &SessionPlace, now: SystemTime) -> Result<bool, SessionError> {
        let session = self.session(place);
        let mut existed = false;
        loop {
            let Some(head) = session.head().await? else { return Ok(existed) };
            let exists = head.exists(milliseconds(now));
            if !exists && head.is_leased(milliseconds(now)) {
                return Ok(existed);
            }
            existed |= exists;
            // From here on the session does not exist. If what follows fails, the next deletion continues.
            let emptied = head.emptied();
            if !session.replace(Some(&head), &emptied).await? {
                continue;
            }
            session.delete_turns(&head.epoch, u64::MAX).await?;
            session.client.write_all(&[Write::Delete(head.list_key(place))]).await?;
            session.delete_head(&emptied).await?;
            return Ok(existed);
        }
    }

    async fn list(
        &self,
        owner: &str,
        behind: Option<&SessionMark>,
        limit: u32,
        now: SystemTime,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        let client = Client::new(self.table, self.host);
        let partition = owner_partition(owner);
        let before = behind.map(|mark| list_sort(milliseconds(mark.updated), &mark.id));
        let mut query = Query::of(&partition).before(before);
        let mut infos = Vec::new();
        let left = |infos: &Vec<SessionInfo>| limit.saturating_sub(infos.len() as u32);
        while left(&infos) > 0 {
            query = query.descending(left(&infos).min(MOST_HEADS));
            let (entries, last) = client.query(&query).await?;
            let entries: Vec<_> = entries.iter().filter_map(parse_list_entry).collect();
            let place = |id: &str| SessionPlace { owner: owner.to_owned(), id: id.to_owned() };
            let ids: BTreeMap<_, _> =
                entries.iter().map(|(_, id)| (session_partition(&place(id)), id)).collect();
            let keys = ids.keys().map(|partition| Item::key(partition, HEAD)).collect();
            let mut heads = BTreeMap::new();
            for item in client.get_all(keys).await? {
                if let Some(id) = item.text(PK).and_then(|partition| ids.get(partition)) {
                    heads.insert((*id).clone(), parse_head(&item)?);
                }
            }
            // An entry without the time of the head is what another request has left.
            let is_newest = |(updated, id): &(u64, String)| {
                let head = heads.get(id).filter(|head| head.updated == *updated)?;
                head.exists(milliseconds(now)).then(|| head.info(id))
            };
            infos.extend(entries.iter().filter_map(is_newest));
            let Some(last) = last else { break };
            query.behind(last);
        }
        Ok(infos)
    }
}
