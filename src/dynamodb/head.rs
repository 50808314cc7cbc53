//! The head of a session: what is known of it besides its turns. It decides what each request may do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::input::Condition;
use super::item::{EXPIRES_AT, Item, SK};
use crate::host::{Lease, NewTurn, SessionInfo, SessionPlace};

/// The seconds that DynamoDB keeps items after the expiry of a session: longer than a lease, because a turn that comes late is added to
/// a session that has expired.
const GRACE_SECONDS: u64 = 60 * 60;

/// The sort key of a head. It precedes those of turns, so that a query of the session reads it first.
pub(super) const HEAD: &str = "head";

/// The head of a session. Times are in milliseconds since the epoch, if nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The token of the lease that created the session.
    pub epoch: String,
    /// The number of its writes.
    pub version: u64,
    /// The position of the first turn.
    pub first: u64,
    /// The position of the next turn. There is none yet if it equals `first`.
    pub next: u64,
    /// When the last turn was added.
    pub updated: u64,
    /// When the session expires.
    pub expires: u64,
    /// The token of the lease and when it expires.
    pub lease: Option<(String, u64)>,
    /// The token of the last turn.
    pub committed: Option<String>,
    /// When DynamoDB may delete the first of the turns, in seconds.
    pub turns_expire_at: u64,
}

/// The result of [`Head::begun`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// The head with the lease.
    Taken(Head),
    Busy,
    Unknown,
}

impl Head {
    /// Reads a head. Returns `None` if the item is none.
    pub fn parse(item: &Item) -> Option<Self> {
        let text = |name| item.text(name).map(str::to_owned);
        let lease = text("lease_token").zip(item.number("lease_expires"));
        Some(Self {
            epoch: text("epoch")?,
            version: item.number("version")?,
            first: item.number("first_position")?,
            next: item.number("next_position")?,
            updated: item.number("updated")?,
            expires: item.number("expires")?,
            lease,
            committed: text("committed_token"),
            turns_expire_at: item.number("turns_expire_at")?,
        })
    }

    /// Writes it as an item.
    pub fn to_item(&self, partition: &str) -> Item {
        let leased = self.lease.as_ref().map_or(0, |(_, expires)| *expires);
        let mut item = Item::key(partition, HEAD)
            .with_text("epoch", &self.epoch)
            .with_number("version", self.version)
            .with_number("first_position", self.first)
            .with_number("next_position", self.next)
            .with_number("updated", self.updated)
            .with_number("expires", self.expires)
            .with_number("turns_expire_at", self.turns_expire_at)
            .with_number(EXPIRES_AT, seconds(self.expires.max(leased)) + GRACE_SECONDS);
        if let Some((token, expires)) = &self.lease {
            item = item.with_text("lease_token", token).with_number("lease_expires", *expires);
        }
        match &self.committed {
            Some(token) => item.with_text("committed_token", token),
            None => item,
        }
    }

    /// Returns the condition that the stored head is this one, or that there is none.
    pub fn condition(known: Option<&Self>) -> Condition {
        let Some(Self { epoch, version, .. }) = known else { return Condition::ABSENT };
        let values = Item::default().with_text(":epoch", epoch).with_number(":version", *version);
        Condition::new("epoch = :epoch AND version = :version", values)
    }

    /// Reports whether a request has a lease that lasts.
    pub fn is_leased(&self, now: u64) -> bool {
        self.lease.as_ref().is_some_and(|(_, expires)| now < *expires)
    }

    /// Reports whether the session is there for readers.
    pub fn exists(&self, now: u64) -> bool {
        self.first < self.next && (now < self.expires || self.is_leased(now))
    }

    /// Reports whether a token is that of the lease.
    pub fn is_leased_by(&self, token: &str) -> bool {
        self.lease.as_ref().is_some_and(|(own, _)| own == token)
    }

    /// Takes the lease of a session, or of a new one.
    pub fn begun(known: Option<&Self>, lease: &Lease, may_create: bool, now: u64) -> Begin {
        let version = known.map_or(0, |head| head.version) + 1;
        let taken = Some((lease.token.clone(), milliseconds(lease.expires)));
        match known {
            Some(head) if head.is_leased(now) && !head.is_leased_by(&lease.token) => Begin::Busy,
            Some(head) if head.exists(now) => {
                Begin::Taken(Self { version, lease: taken, ..head.clone() })
            }
            _ if may_create => Begin::Taken(Self {
                epoch: lease.token.clone(),
                version,
                first: 0,
                next: 0,
                updated: 0,
                expires: 0,
                lease: taken,
                committed: None,
                turns_expire_at: 0,
            }),
            _ => Begin::Unknown,
        }
    }

    /// Counts a turn, and gives the lease back. `turns_expire_at` is when DynamoDB may delete the first turn that stays.
    pub fn committed(&self, turn: &NewTurn, turns_expire_at: u64, now: u64) -> Self {
        let position = turn.turn.position;
        Self {
            version: self.version + 1,
            first: self.first_after(turn),
            next: position + 1,
            updated: now,
            expires: milliseconds(turn.expires),
            lease: None,
            committed: Some(turn.token.clone()),
            turns_expire_at,
            epoch: self.epoch.clone(),
        }
    }

    /// Returns the position of the first turn when this one is added.
    pub fn first_after(&self, turn: &NewTurn) -> u64 {
        let position = turn.turn.position;
        if self.first == self.next { position } else { turn.keep_from.clamp(self.first, position) }
    }

    /// Gives the lease back.
    pub fn released(&self) -> Self {
        Self { version: self.version + 1, lease: None, ..self.clone() }
    }

    /// Empties it, so that its turns do not exist while they are deleted.
    pub fn emptied(&self) -> Self {
        Self { first: 0, next: 0, committed: None, ..self.released() }
    }

    /// Describes the session.
    pub fn info(&self, id: &str) -> SessionInfo {
        SessionInfo {
            id: id.to_owned(),
            first: self.first,
            next: self.next,
            updated: time(self.updated),
            expires: time(self.expires),
        }
    }

    /// Returns the key of its entry in the list of an owner.
    pub fn list_key(&self, place: &SessionPlace) -> Item {
        Item::key(&owner_partition(&place.owner), &list_sort(self.updated, &place.id))
    }

    /// Returns its entry in the list of an owner.
    pub fn list_entry(&self, place: &SessionPlace) -> Item {
        self.list_key(place).with_number(EXPIRES_AT, seconds(self.expires) + GRACE_SECONDS)
    }
}

/// Returns when DynamoDB may delete turns at the earliest, in seconds, if a session expires then.
pub(super) fn least_turns_expire_at(expires: SystemTime) -> u64 {
    seconds(milliseconds(expires)) + GRACE_SECONDS
}

/// Returns when DynamoDB may delete a turn that is written now, in seconds: later than is needed now, so that it need not be
/// written again with each turn that follows.
pub(super) fn turns_expire_at(expires: SystemTime, now: SystemTime) -> u64 {
    let slack = expires.duration_since(now).unwrap_or_default() / 4;
    least_turns_expire_at(expires) + slack.as_secs()
}

/// Returns the partition of a session. An id has no `#`, so no two sessions have one.
pub(super) fn session_partition(place: &SessionPlace) -> String {
    format!("session#{}#{}", place.owner, place.id)
}

/// Returns the partition of the list of an owner.
pub(super) fn owner_partition(owner: &str) -> String {
    format!("owner#{owner}")
}

/// Returns the sort key of an entry in the list of an owner.
pub(super) fn list_sort(updated: u64, id: &str) -> String {
    format!("{updated:020}#{id}")
}

/// Reads an entry in the list of an owner: the time of its last turn, and the id.
pub(super) fn parse_list_entry(item: &Item) -> Option<(u64, String)> {
    let (updated, id) = item.text(SK)?.split_once('#')?;
    Some((updated.parse().ok()?, id.to_owned()))
}

/// Returns a time in milliseconds since the epoch.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    crate::identifier::milliseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn time(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds)
}

/// Returns the whole seconds after which a time has passed.
fn seconds(milliseconds: u64) -> u64 {
    milliseconds.div_ceil(1000)
}
