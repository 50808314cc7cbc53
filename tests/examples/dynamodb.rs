//! The store of sessions in DynamoDB, with a local DynamoDB behind it.

pub mod local;
#[path = "../conformance/sessions.rs"]
mod rules;

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bedrock_edge::Runtime;
use bedrock_edge::dynamodb::{DynamoDbSessions, SessionsTable};
use bedrock_edge::host::{
    Begun, Lease, NewTurn, SessionError, SessionPlace, SessionStore, StoredTurn,
};
use bytes::Bytes;
use serde_json::Value;

use local::{Breaking, LocalDynamoDb, VerifyingClient};

/// Longer than an item may be, and than a page of a query.
const LONG: usize = 1_300_000;

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn number(item: &Value, name: &str) -> u64 {
    item[name]["N"].as_str().unwrap_or_else(|| panic!("{name}: {item}")).parse().unwrap()
}

fn sort_key(item: &Value) -> &str {
    item["sk"]["S"].as_str().unwrap()
}

/// Returns the items of turns.
fn turns(items: &[Value]) -> Vec<&Value> {
    items.iter().filter(|item| sort_key(item).starts_with("turn#")).collect()
}

fn place() -> SessionPlace {
    SessionPlace { owner: "token:alice".to_owned(), id: "s".to_owned() }
}

fn lease(token: &str, now: SystemTime) -> Lease {
    Lease { token: token.to_owned(), expires: now + Duration::from_secs(30) }
}

/// A store in a local DynamoDB.
struct Fixture {
    dynamodb: LocalDynamoDb,
    table: SessionsTable,
    client: VerifyingClient,
    now: SystemTime,
    ttl: Duration,
}

impl Fixture {
    async fn start() -> Self {
        let dynamodb = LocalDynamoDb::start().await;
        let (table, client) = (dynamodb.table(), dynamodb.client());
        // In whole milliseconds.
        let since = client.now().duration_since(UNIX_EPOCH).unwrap();
        let now = UNIX_EPOCH + Duration::from_millis(since.as_millis() as u64);
        Self { dynamodb, table, client, now, ttl: Duration::from_secs(86_400) }
    }

    fn store(&self) -> DynamoDbSessions<'_, VerifyingClient> {
        DynamoDbSessions::new(&self.table, &self.client, |problem| panic!("{problem}"))
    }

    fn turn(&self, token: &str, position: u64, content: impl Into<Bytes>) -> NewTurn {
        let turn = StoredTurn { position, sealed: content.into() };
        NewTurn { token: token.to_owned(), turn, keep_from: 0, expires: self.now + self.ttl }
    }

    /// Adds a turn.
    async fn add(&self, position: u64, content: impl Into<Bytes>) {
        let token = format!("token-{position}");
        let begun = self.begin(&token).await.unwrap();
        assert!(matches!(begun, Begun::Turns(turns) if turns.len() as u64 == position));
        let turn = self.turn(&token, position, content);
        assert!(self.store().commit(&place(), &turn, self.now).await.unwrap());
    }

    async fn begin(&self, token: &str) -> Result<Begun, SessionError> {
        self.store().begin(&place(), &lease(token, self.now), true, self.now).await
    }

    /// Returns the contents of all turns, or `None` if there is no session.
    async fn read(&self) -> Result<Option<Vec<Bytes>>, SessionError> {
        let page = self.store().read(&place(), 0, 1000, self.now).await?;
        Ok(page.map(|page| page.turns.into_iter().map(|turn| turn.sealed).collect()))
    }

    async fn listed(&self) -> usize {
        self.store().list("token:alice", None, 10, self.now).await.unwrap().len()
    }
}

#[tokio::test]
async fn the_store_in_dynamodb_conforms() {
    let fixture = Fixture::start().await;
    rules::check(&fixture.store(), fixture.now).await;
}

/// As in the Durable Objects: whoever is told to wait tries again.
#[tokio::test]
async fn of_two_hundred_requests_in_one_session_one_runs_at_a_time_and_none_is_lost() {
    const REQUESTS: usize = 200;
    let fixture = Fixture::start().await;
    let (running, refused) = (Cell::new(0), Cell::new(0));
    let request = async |number: usize| {
        let token = format!("token-{number}");
        let turns = loop {
            match fixture.begin(&token).await {
                Ok(Begun::Turns(turns)) => break turns,
                // On a busy machine the first two hundred at once can take longer than an operation may.
                Ok(Begun::Busy) | Err(_) => refused.set(refused.get() + 1),
                Ok(Begun::Unknown) => panic!("{number}"),
            }
            // The more wait, the longer, so that they do not hold up the one that runs.
            let wait = Duration::from_millis((fixture.client.random() % 3000) as u64);
            tokio::time::sleep(wait).await;
        };
        assert_eq!(running.replace(1), 0, "two at a time");
        tokio::time::sleep(Duration::from_millis(1)).await;
        // The turns so far, of which each request sees all.
        let position = turns.len() as u64;
        let seen: Vec<u8> = turns.iter().flat_map(|turn| turn.sealed.to_vec()).collect();
        let content = [seen.len().to_string().as_bytes(), b" ", token.as_bytes()].concat();
        running.set(0);
        let turn = fixture.turn(&token, position, content);
        assert!(fixture.store().commit(&place(), &turn, fixture.now).await.unwrap(), "{number}");
    };
    let requests = futures_util::future::join_all((0..REQUESTS).map(request));
    tokio::time::timeout(Duration::from_secs(120), requests).await.unwrap();
    assert!(refused.get() > 0, "none was refused");
    let turns = fixture.read().await.unwrap().unwrap();
    let (mut seen, mut tokens) = (0, Vec::new());
    for turn in &turns {
        let text = std::str::from_utf8(turn).unwrap();
        let (length, token) = text.split_once(' ').unwrap();
        assert_eq!(length, seen.to_string(), "{token} has not seen exactly the turns before it");
        seen += turn.len();
        tokens.push(token.to_owned());
    }
    tokens.sort_unstable();
    let mut expected: Vec<_> = (0..REQUESTS).map(|number| format!("token-{number}")).collect();
    expected.sort_unstable();
    assert_eq!(tokens, expected);
    assert_eq!(fixture.listed().await, 1);
}

#[tokio::test]
async fn a_turn_that_is_longer_than_an_item_is_several_and_read_as_a_whole_or_not_at_all() {
    let fixture = Fixture::start().await;
    let long: Vec<u8> = (0..=255).cycle().take(LONG).collect();
    fixture.add(0, "short").await;
    fixture.add(1, long.clone()).await;
    fixture.add(2, "").await;
    assert_eq!(fixture.read().await.unwrap().unwrap(), ["short".as_bytes(), &long, b""]);
    let items = fixture.dynamodb.items().await;
    let sizes: Vec<usize> = turns(&items).iter().map(|item| item.to_string().len()).collect();
    assert_eq!(sizes.len(), 1 + 4 + 1);
    // In base64, which DynamoDB does not count.
    assert!(sizes.iter().all(|size| size * 3 / 4 < 400_000), "{sizes:?}");

    // One part is gone.
    let part = turns(&items)[3].clone();
    assert!(sort_key(&part).contains("#00000000000000000001#"), "{}", sort_key(&part));
    fixture.dynamodb.delete(&part).await;
    const MISSING: &str = "a turn of the session is missing in the table";
    assert_eq!(fixture.read().await.unwrap_err().to_string(), MISSING);
    // It is not busy either.
    for token in ["torn", "torn as well"] {
        assert_eq!(fixture.begin(token).await.unwrap_err().to_string(), MISSING);
    }
    // A whole turn can still be read, and the session can be deleted.
    let page = fixture.store().read(&place(), 2, 1, fixture.now).await.unwrap().unwrap();
    assert_eq!(page.last.position, 2);
    assert!(fixture.store().delete(&place(), fixture.now).await.unwrap());
    assert_eq!(fixture.dynamodb.items().await, [Value::Null; 0]);
}

#[tokio::test]
async fn every_item_expires_after_the_session_and_an_expired_session_is_not_read() {
    let mut fixture = Fixture::start().await;
    fixture.add(0, "a").await;
    fixture.begin("under way").await.unwrap();
    let items = fixture.dynamodb.items().await;
    assert_eq!(items.len(), 3, "{items:?}");
    let (expiry, ttl) = (seconds(fixture.now + fixture.ttl), fixture.ttl.as_secs());
    for item in &items {
        let expires_at = number(item, "expires_at");
        assert!(expires_at > expiry, "{item}");
        assert!(expires_at <= expiry + 1 + 3600 + ttl / 4, "{item}");
    }
    // DynamoDB has not deleted anything yet.
    fixture.now += fixture.ttl;
    assert_eq!((fixture.read().await.unwrap(), fixture.listed().await), (None, 0));
    let begun = fixture.store().begin(&place(), &lease("b", fixture.now), false, fixture.now).await;
    assert_eq!(begun.unwrap(), Begun::Unknown);
    // A new session with the id sees nothing of it.
    fixture.add(0, "new").await;
    assert_eq!(fixture.read().await.unwrap().unwrap(), ["new"]);
    assert_eq!(fixture.listed().await, 1);
}

#[tokio::test]
async fn the_turns_of_a_session_that_goes_on_do_not_expire_before_it() {
    let mut fixture = Fixture::start().await;
    let long = vec![b'x'; LONG];
    fixture.add(0, "first").await;
    fixture.add(1, long.clone()).await;
    for position in 2..14 {
        fixture.now += fixture.ttl / 5;
        fixture.add(position, format!("turn {position}")).await;
        let items = fixture.dynamodb.items().await;
        let expiry = seconds(fixture.now + fixture.ttl);
        let expire_at = turns(&items).into_iter().map(|item| number(item, "expires_at"));
        assert!(expire_at.min().unwrap() > expiry, "{position}");
        assert_eq!(turns(&items).len() as u64, position + 4);
    }
    let turns = fixture.read().await.unwrap().unwrap();
    assert_eq!((turns.len(), &*turns[0], &turns[1]), (14, &b"first"[..], &Bytes::from(long)));
}

#[tokio::test]
async fn deleting_a_session_deletes_its_items_and_no_others() {
    let fixture = Fixture::start().await;
    let other = SessionPlace { id: "other".to_owned(), ..place() };
    let store = fixture.store();
    let begun = store.begin(&other, &lease("other", fixture.now), true, fixture.now).await;
    assert_eq!(begun.unwrap(), Begun::Turns(Vec::new()));
    let turn = fixture.turn("other", 0, "kept");
    assert!(store.commit(&other, &turn, fixture.now).await.unwrap());
    let others = fixture.dynamodb.items().await.len();
    for position in 0..30 {
        fixture.add(position, "x").await;
    }
    assert_eq!(fixture.dynamodb.items().await.len(), others + 30 + 2);
    assert!(store.delete(&place(), fixture.now).await.unwrap());
    let items = fixture.dynamodb.items().await;
    assert_eq!(items.len(), others);
    assert!(!format!("{items:?}").contains("session#token:alice#s\""), "{items:?}");
}

#[tokio::test]
async fn turns_that_a_session_loses_are_deleted() {
    let fixture = Fixture::start().await;
    fixture.add(0, vec![b'x'; LONG]).await;
    fixture.add(1, "b").await;
    fixture.begin("last").await.unwrap();
    let turn = NewTurn { keep_from: 2, ..fixture.turn("last", 2, "c") };
    assert!(fixture.store().commit(&place(), &turn, fixture.now).await.unwrap());
    assert_eq!(fixture.read().await.unwrap().unwrap(), ["c"]);
    let items = fixture.dynamodb.items().await;
    assert_eq!((turns(&items).len(), items.len()), (1, 3), "{items:?}");
}

#[tokio::test]
async fn a_crash_at_any_call_of_a_turn_leaves_the_session_as_it_was_or_with_the_turn() {
    let mut fixture = Fixture::start().await;
    fixture.add(0, "a").await;
    let mut expected = vec![Bytes::from("a")];
    for crash_at in 0.. {
        fixture.now += Duration::from_secs(60);
        let token = format!("crash-{crash_at}");
        fixture.begin(&token).await.unwrap();
        let content = vec![b'a' + crash_at; 500_000];
        let mut turn = fixture.turn(&token, expected.len() as u64, content.clone());
        turn.keep_from = turn.turn.position.saturating_sub(1);
        let breaking = Breaking::new(&fixture.client, crash_at.into());
        let store = DynamoDbSessions::new(&fixture.table, &breaking, |_| {});
        let result = store.commit(&place(), &turn, fixture.now).await;
        let page = fixture.store().read(&place(), 0, 10, fixture.now).await.unwrap().unwrap();
        let is_added = page.last.position == turn.turn.position;
        assert_eq!(result.is_ok(), is_added, "{crash_at}: {result:?}");
        assert_eq!(fixture.listed().await, 1, "{crash_at}");
        if is_added {
            assert_eq!(page.info.first, turn.keep_from, "{crash_at}");
            expected.push(content.into());
        } else {
            // Another request goes on where the session was, and the crashed one has no part in it.
            fixture.now += Duration::from_secs(60);
            let token = format!("next-{crash_at}");
            assert!(matches!(fixture.begin(&token).await.unwrap(), Begun::Turns(_)));
            let next = fixture.turn(&token, turn.turn.position, "next");
            assert!(fixture.store().commit(&place(), &next, fixture.now).await.unwrap());
            assert!(!fixture.store().commit(&place(), &turn, fixture.now).await.unwrap());
            expected.push("next".into());
        }
        let page = fixture.store().read(&place(), 0, 10, fixture.now).await.unwrap().unwrap();
        let first = usize::try_from(page.info.first).unwrap();
        let turns: Vec<_> = page.turns.into_iter().map(|turn| turn.sealed).collect();
        assert_eq!(turns, expected[first..], "{crash_at}");
        assert_eq!(fixture.listed().await, 1, "{crash_at}");
        if !breaking.has_broken() {
            // The commit made fewer calls than that.
            assert!(crash_at >= 4, "{crash_at}");
            return;
        }
    }
}

#[tokio::test]
async fn a_deletion_that_was_interrupted_is_completed_by_the_next() {
    let fixture = Fixture::start().await;
    for crash_at in 1.. {
        for position in 0..3 {
            fixture.add(position, "x").await;
        }
        let breaking = Breaking::new(&fixture.client, crash_at);
        let store = DynamoDbSessions::new(&fixture.table, &breaking, |_| {});
        let result = store.delete(&place(), fixture.now).await;
        if !breaking.has_broken() {
            assert!(result.unwrap() && crash_at > 4, "{crash_at}");
            return;
        }
        result.unwrap_err();
        // It is gone as soon as anything is, and the rest with the next deletion.
        if crash_at > 1 {
            assert_eq!((fixture.read().await.unwrap(), fixture.listed().await), (None, 0));
        }
        fixture.store().delete(&place(), fixture.now).await.unwrap();
        let items = fixture.dynamodb.items().await;
        assert!(turns(&items).is_empty(), "{crash_at}: {items:?}");
        assert_eq!(fixture.read().await.unwrap(), None, "{crash_at}");
    }
}
