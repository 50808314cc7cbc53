//! The rules that every store of sessions obeys, whatever it is made of.
//!
//! A test includes this file, and calls [`check`] with an empty store. Time passes by the argument `now` of each operation.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bedrock_edge::host::{
    Begun, Lease, NewTurn, SessionInfo, SessionMark, SessionPlace, SessionStore, StoredTurn,
};
use bytes::Bytes;

const LEASE: Duration = Duration::from_secs(30);
const TTL: Duration = Duration::from_secs(600);

/// A store, and the time of the next operation.
struct Checked<'s, S> {
    store: &'s S,
    now: SystemTime,
    tokens: u32,
}

/// Checks a store that is empty. `now` is the present, in whole milliseconds.
///
/// Panics if the store breaks a rule.
pub async fn check<S: SessionStore>(store: &S, now: SystemTime) {
    let since = now.duration_since(UNIX_EPOCH).unwrap();
    assert_eq!(since.subsec_nanos() % 1_000_000, 0, "the present is in whole milliseconds");
    let mut checked = Checked { store, now, tokens: 0 };
    checked.turns_are_kept_in_order().await;
    checked.a_session_that_does_not_exist_is_unknown().await;
    checked.one_request_at_a_time_adds_a_turn().await;
    checked.an_aborted_turn_leaves_nothing().await;
    checked.a_lease_expires().await;
    checked.a_late_turn_is_kept_if_nobody_took_the_lease().await;
    checked.a_repeated_message_has_no_effect().await;
    checked.a_session_expires_after_its_last_turn().await;
    checked.a_turn_under_way_outlives_the_expiry().await;
    checked.the_oldest_turns_are_removed().await;
    checked.a_deleted_session_is_gone().await;
    checked.deleting_ends_a_turn_under_way().await;
    checked.owners_do_not_share_sessions().await;
    checked.sessions_are_listed_from_the_newest_on().await;
    checked.turns_of_any_bytes_and_any_length_are_kept().await;
    checked.of_many_at_once_exactly_one_begins().await;
}

fn place(owner: &str, id: &str) -> SessionPlace {
    SessionPlace { owner: owner.to_owned(), id: id.to_owned() }
}

fn stored(position: u64, content: &str) -> StoredTurn {
    StoredTurn { position, sealed: Bytes::copy_from_slice(content.as_bytes()) }
}

impl<S: SessionStore> Checked<'_, S> {
    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn lease(&mut self) -> Lease {
        self.tokens += 1;
        Lease { token: format!("token-{}", self.tokens), expires: self.now + LEASE }
    }

    /// Begins a turn, which must succeed. Returns its token and the contents of the turns so far.
    async fn begin(&mut self, place: &SessionPlace) -> (String, Vec<StoredTurn>) {
        let lease = self.lease();
        match self.store.begin(place, &lease, true, self.now).await.unwrap() {
            Begun::Turns(turns) => (lease.token, turns),
            other => panic!("{place:?}: {other:?}"),
        }
    }

    async fn commit(&mut self, place: &SessionPlace, token: &str, turn: StoredTurn) -> bool {
        self.commit_and_keep(place, token, turn, 0).await
    }

    async fn commit_and_keep(
        &mut self,
        place: &SessionPlace,
        token: &str,
        turn: StoredTurn,
        keep_from: u64,
    ) -> bool {
        let token = token.to_owned();
        let turn = NewTurn { token, turn, keep_from, expires: self.now + TTL };
        self.store.commit(place, &turn, self.now).await.unwrap()
    }

    /// Adds a whole turn.
    async fn add(&mut self, place: &SessionPlace, content: &str) {
        let (token, turns) = self.begin(place).await;
        let position = turns.last().map_or(0, |turn| turn.position + 1);
        assert!(self.commit(place, &token, stored(position, content)).await, "{place:?}");
    }

    /// Returns the turns of a session, or `None` if there is none.
    async fn turns(&self, place: &SessionPlace) -> Option<Vec<StoredTurn>> {
        let page = self.store.read(place, 0, 1000, self.now).await.unwrap()?;
        assert_eq!(page.info.id, place.id);
        assert_eq!(page.info.first, page.turns[0].position);
        assert_eq!(page.info.next, page.last.position + 1);
        assert_eq!(page.turns.last(), Some(&page.last));
        Some(page.turns)
    }

    async fn is_busy(&mut self, place: &SessionPlace) -> bool {
        let lease = self.lease();
        self.store.begin(place, &lease, true, self.now).await.unwrap() == Begun::Busy
    }

    async fn is_unknown(&mut self, place: &SessionPlace) -> bool {
        let lease = self.lease();
        let begun = self.store.begin(place, &lease, false, self.now).await.unwrap();
        let is_deletable = self.store.delete(place, self.now).await.unwrap();
        let is_there = self.turns(place).await.is_some();
        begun == Begun::Unknown && !is_deletable && !is_there
    }

    async fn turns_are_kept_in_order(&mut self) {
        let place = place("token:order", "s-1_A");
        for position in 0..12 {
            let (token, turns) = self.begin(&place).await;
            let expected: Vec<_> =
                (0..position).map(|it| stored(it, &format!("turn {it}"))).collect();
            assert_eq!(turns, expected);
            self.pass(Duration::from_millis(1500));
            let turn = stored(position, &format!("turn {position}"));
            assert!(self.commit(&place, &token, turn).await);
            let page = self.store.read(&place, position, 5, self.now).await.unwrap().unwrap();
            let info = SessionInfo {
                id: place.id.clone(),
                first: 0,
                next: position + 1,
                updated: self.now,
                expires: self.now + TTL,
            };
            assert_eq!(page.info, info);
        }
        for (from, limit, expected) in
            [(0, 3, 0..3), (3, 3, 3..6), (10, 3, 10..12), (12, 3, 12..12), (0, 100, 0..12)]
        {
            let page = self.store.read(&place, from, limit, self.now).await.unwrap().unwrap();
            let expected: Vec<_> = expected.map(|it| stored(it, &format!("turn {it}"))).collect();
            assert_eq!(page.turns, expected, "{from} {limit}");
            assert_eq!(page.last, stored(11, "turn 11"), "{from} {limit}");
        }
    }

    async fn a_session_that_does_not_exist_is_unknown(&mut self) {
        assert!(self.is_unknown(&place("token:nobody", "none")).await);
        assert_eq!(self.store.list("token:nobody", None, 10, self.now).await.unwrap(), []);
        // A turn of a session that never began.
        assert!(!self.commit(&place("token:nobody", "none"), "token-0", stored(0, "a")).await);
        assert!(self.is_unknown(&place("token:nobody", "none")).await);
        // It exists for nobody while its first turn is under way.
        let first = place("token:nobody", "first");
        let (token, _) = self.begin(&first).await;
        assert_eq!(self.turns(&first).await, None);
        assert!(!self.store.delete(&first, self.now).await.unwrap());
        assert_eq!(self.store.list("token:nobody", None, 10, self.now).await.unwrap(), []);
        assert!(self.commit(&first, &token, stored(0, "a")).await);
        assert_eq!(self.turns(&first).await.unwrap().len(), 1);
    }

    async fn one_request_at_a_time_adds_a_turn(&mut self) {
        let place = place("token:writer", "s");
        let (token, _) = self.begin(&place).await;
        assert!(self.is_busy(&place).await);
        assert!(!self.commit(&place, "another", stored(0, "forged")).await);
        self.store.abort(&place, "another").await.unwrap();
        assert!(self.is_busy(&place).await);
        self.pass(LEASE - Duration::from_millis(1));
        assert!(self.is_busy(&place).await);
        assert!(self.commit(&place, &token, stored(0, "a")).await);
        let (token, turns) = self.begin(&place).await;
        assert_eq!(turns, [stored(0, "a")]);
        // A session that exists is busy for those, too, who may not create one.
        let lease = self.lease();
        let begun = self.store.begin(&place, &lease, false, self.now).await.unwrap();
        assert_eq!(begun, Begun::Busy);
        self.store.abort(&place, &token).await.unwrap();
        assert!(!self.is_busy(&place).await);
    }

    async fn an_aborted_turn_leaves_nothing(&mut self) {
        let place = place("token:abort", "s");
        let (token, _) = self.begin(&place).await;
        self.store.abort(&place, &token).await.unwrap();
        assert!(!self.commit(&place, &token, stored(0, "late")).await);
        assert!(self.is_unknown(&place).await);
        self.add(&place, "a").await;
        let (token, _) = self.begin(&place).await;
        self.store.abort(&place, &token).await.unwrap();
        // Twice, as a platform that repeats a message does.
        self.store.abort(&place, &token).await.unwrap();
        assert!(!self.commit(&place, &token, stored(1, "late")).await);
        assert_eq!(self.turns(&place).await.unwrap(), [stored(0, "a")]);
    }

    async fn a_lease_expires(&mut self) {
        let place = place("token:lease", "s");
        self.add(&place, "a").await;
        let (crashed, _) = self.begin(&place).await;
        assert!(self.is_busy(&place).await);
        self.pass(LEASE);
        let (token, turns) = self.begin(&place).await;
        assert_eq!(turns, [stored(0, "a")]);
        // The one that was thought dead comes back.
        assert!(!self.commit(&place, &crashed, stored(1, "crashed")).await);
        self.store.abort(&place, &crashed).await.unwrap();
        assert!(self.is_busy(&place).await);
        assert!(self.commit(&place, &token, stored(1, "b")).await);
        assert_eq!(self.turns(&place).await.unwrap(), [stored(0, "a"), stored(1, "b")]);
    }

    async fn a_late_turn_is_kept_if_nobody_took_the_lease(&mut self) {
        let place = place("token:late", "s");
        self.add(&place, "a").await;
        let (token, _) = self.begin(&place).await;
        self.pass(2 * LEASE);
        assert!(self.commit(&place, &token, stored(1, "b")).await);
        assert_eq!(self.turns(&place).await.unwrap(), [stored(0, "a"), stored(1, "b")]);
    }

    async fn a_repeated_message_has_no_effect(&mut self) {
        let place = place("token:repeat", "s");
        let (token, _) = self.begin(&place).await;
        for _ in 0..3 {
            assert!(self.commit(&place, &token, stored(0, "a")).await);
        }
        self.store.abort(&place, &token).await.unwrap();
        assert_eq!(self.turns(&place).await.unwrap(), [stored(0, "a")]);
        let lease = self.lease();
        let next = lease.token.clone();
        for _ in 0..2 {
            let begun = self.store.begin(&place, &lease, true, self.now).await.unwrap();
            assert_eq!(begun, Begun::Turns(vec![stored(0, "a")]));
        }
        // It arrives once more while the next turn is under way.
        assert!(self.commit(&place, &token, stored(0, "a")).await);
        assert!(self.is_busy(&place).await);
        assert!(self.commit(&place, &next, stored(1, "b")).await);
        assert_eq!(self.turns(&place).await.unwrap(), [stored(0, "a"), stored(1, "b")]);
    }

    async fn a_session_expires_after_its_last_turn(&mut self) {
        let place = place("token:expiry", "s");
        self.add(&place, "a").await;
        self.pass(TTL - Duration::from_millis(1));
        self.add(&place, "b").await;
        self.pass(TTL - Duration::from_millis(1));
        assert_eq!(self.turns(&place).await.unwrap().len(), 2);
        assert_eq!(self.store.list(&place.owner, None, 10, self.now).await.unwrap().len(), 1);
        self.pass(Duration::from_millis(1));
        assert!(self.is_unknown(&place).await);
        assert_eq!(self.store.list(&place.owner, None, 10, self.now).await.unwrap(), []);
        // The id is free again.
        let (token, turns) = self.begin(&place).await;
        assert_eq!(turns, []);
        assert!(self.commit(&place, &token, stored(0, "c")).await);
        assert_eq!(self.turns(&place).await.unwrap(), [stored(0, "c")]);
    }

    async fn a_turn_under_way_outlives_the_expiry(&mut self) {
        let place = place("token:outlives", "s");
        self.add(&place, "a").await;
        self.pass(TTL - Duration::from_millis(1));
        let (token, _) = self.begin(&place).await;
        self.pass(LEASE - Duration::from_millis(1));
        assert_eq!(self.turns(&place).await.unwrap().len(), 1);
        assert!(self.commit(&place, &token, stored(1, "b")).await);
        assert_eq!(self.turns(&place).await.unwrap().len(), 2);
        // Given back, the lease no longer keeps it.
        self.pass(TTL - Duration::from_millis(1));
        let (token, _) = self.begin(&place).await;
        self.pass(Duration::from_millis(1));
        self.store.abort(&place, &token).await.unwrap();
        assert!(self.is_unknown(&place).await);
    }

    async fn the_oldest_turns_are_removed(&mut self) {
        let place = place("token:trim", "s");
        for content in ["a", "b", "c"] {
            self.add(&place, content).await;
        }
        let (token, _) = self.begin(&place).await;
        assert!(self.commit_and_keep(&place, &token, stored(3, "d"), 2).await);
        assert_eq!(self.turns(&place).await.unwrap(), [stored(2, "c"), stored(3, "d")]);
        let (token, turns) = self.begin(&place).await;
        assert_eq!(turns, [stored(2, "c"), stored(3, "d")]);
        // All of them.
        assert!(self.commit_and_keep(&place, &token, stored(4, "e"), 4).await);
        assert_eq!(self.turns(&place).await.unwrap(), [stored(4, "e")]);
        let page = self.store.read(&place, 0, 10, self.now).await.unwrap().unwrap();
        assert_eq!((page.info.first, page.info.next), (4, 5));
    }

    async fn a_deleted_session_is_gone(&mut self) {
        let (deleted, other) = (place("token:delete", "s"), place("token:delete", "other"));
        self.add(&deleted, "a").await;
        self.add(&deleted, "b").await;
        self.add(&other, "a").await;
        assert!(self.store.delete(&deleted, self.now).await.unwrap());
        assert!(self.is_unknown(&deleted).await);
        assert_eq!(self.turns(&other).await.unwrap(), [stored(0, "a")]);
        self.add(&deleted, "new").await;
        assert_eq!(self.turns(&deleted).await.unwrap(), [stored(0, "new")]);
    }

    async fn deleting_ends_a_turn_under_way(&mut self) {
        let place = place("token:delete-busy", "s");
        self.add(&place, "a").await;
        let (token, _) = self.begin(&place).await;
        assert!(self.store.delete(&place, self.now).await.unwrap());
        assert!(!self.commit(&place, &token, stored(1, "b")).await);
        assert!(self.is_unknown(&place).await);
        // Nor is it added to a session that has the id now.
        let (next, turns) = self.begin(&place).await;
        assert_eq!(turns, []);
        assert!(!self.commit(&place, &token, stored(1, "b")).await);
        assert!(self.commit(&place, &next, stored(0, "c")).await);
        assert_eq!(self.turns(&place).await.unwrap(), [stored(0, "c")]);
    }

    async fn owners_do_not_share_sessions(&mut self) {
        // Names that would be one if they were only joined.
        let names = [("token:a", "b"), ("token:a:b", "b"), ("jwt:a", "b"), ("token:A", "b")];
        let names = names.map(|(owner, id)| place(owner, id));
        for place in &names {
            self.add(place, &place.owner).await;
        }
        for place in &names {
            assert_eq!(self.turns(place).await.unwrap(), [stored(0, &place.owner)]);
            let listed = self.store.list(&place.owner, None, 10, self.now).await.unwrap();
            assert_eq!(listed.len(), 1, "{place:?}");
        }
        assert!(self.is_unknown(&place("token:a", "B")).await);
        assert!(self.store.delete(&names[0], self.now).await.unwrap());
        for place in &names[1..] {
            assert_eq!(self.turns(place).await.unwrap(), [stored(0, &place.owner)]);
        }
    }

    async fn sessions_are_listed_from_the_newest_on(&mut self) {
        const OWNER: &str = "token:list";
        for id in ["c", "a", "d", "b"] {
            self.add(&place(OWNER, id), "1").await;
            self.pass(Duration::from_millis(10));
        }
        self.add(&place(OWNER, "a"), "2").await;
        // Two of the same time.
        self.add(&place(OWNER, "z"), "1").await;
        let all = self.store.list(OWNER, None, 10, self.now).await.unwrap();
        let ids: Vec<_> = all.iter().map(|info| (&*info.id, info.next)).collect();
        assert_eq!(ids, [("z", 1), ("a", 2), ("b", 1), ("d", 1), ("c", 1)]);
        assert_eq!((all[0].updated, all[0].expires), (self.now, self.now + TTL));
        let (mut behind, mut paged) = (None, Vec::new());
        loop {
            let page = self.store.list(OWNER, behind.as_ref(), 2, self.now).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 2);
            behind = Some(SessionMark { updated: last.updated, id: last.id.clone() });
            paged.extend(page);
        }
        assert_eq!(paged, all);
        assert_eq!(self.store.list("token:lis", None, 10, self.now).await.unwrap(), []);
    }

    async fn turns_of_any_bytes_and_any_length_are_kept(&mut self) {
        let place = place("token:long", "s");
        let every_byte: Vec<u8> = (0..=255).collect();
        let long = every_byte.repeat(12 << 10);
        for (position, sealed) in (0..).zip([Vec::new(), every_byte, long]) {
            let (token, _) = self.begin(&place).await;
            let turn = StoredTurn { position, sealed: sealed.into() };
            assert!(self.commit(&place, &token, turn.clone()).await);
            assert_eq!(*self.turns(&place).await.unwrap().last().unwrap(), turn);
        }
        let (token, turns) = self.begin(&place).await;
        let lengths: Vec<usize> = turns.iter().map(|turn| turn.sealed.len()).collect();
        assert_eq!(lengths, [0, 256, 3 << 20]);
        assert!(self.commit_and_keep(&place, &token, stored(3, "d"), 3).await);
        assert_eq!(self.turns(&place).await.unwrap(), [stored(3, "d")]);
    }

    async fn of_many_at_once_exactly_one_begins(&mut self) {
        let place = place("token:many", "s");
        for round in 0..3 {
            let leases: Vec<Lease> = (0..20).map(|_| self.lease()).collect();
            let begun = leases.iter().map(|it| self.store.begin(&place, it, true, self.now));
            let begun = all(begun.collect()).await;
            let mut winners = Vec::new();
            for (lease, begun) in leases.iter().zip(begun) {
                match begun.unwrap() {
                    Begun::Turns(turns) => winners.push((lease.token.clone(), turns)),
                    other => assert_eq!(other, Begun::Busy),
                }
            }
            let [(token, turns)] = &winners[..] else { panic!("{winners:?}") };
            assert_eq!(turns.len(), round);
            assert!(self.commit(&place, token, stored(round as u64, "turn")).await);
        }
    }
}

/// Runs futures at once.
async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|it| (Box::pin(it), None)).collect();
    let wait = poll_fn(|context| {
        for (future, result) in running.iter_mut().filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *result = Some(value);
            }
        }
        let are_over = running.iter().all(|(_, result)| result.is_some());
        if are_over { Poll::Ready(()) } else { Poll::Pending }
    });
    pin!(wait).await;
    running.into_iter().filter_map(|(_, result)| result).collect()
}
