//! The ledgers: the Durable Objects that count the usage of each caller.
//!
//! Out of scope: the bookkeeping of a ledger, day by day (unit tests in `src/limits`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::fixture::Fixture;
use crate::support::usage::{ANONYMOUS, assert_limited};
use crate::support::workerd::TempDir;

/// The process is killed between a reservation and its settlement.
#[tokio::test]
async fn after_a_crash_reservations_count_until_a_late_settlement_arrives() {
    let storage = Arc::new(TempDir::new());
    let bindings = json!({ "MONTHLY_TOKENS": 1000, "MAX_IN_FLIGHT": 2 });
    let fixture = Fixture::with_storage(storage.clone(), bindings.clone()).await;
    let worker = &fixture.worker;
    worker.prompt("hi").await;
    let used = worker.settled_usage().await["this_month"]["used"].as_u64().unwrap();

    let mut connection = worker.connect().await;
    connection.post(&json!({ "prompt": "fault:slow:20000 crash", "max_tokens": 50 })).await;
    while fixture.stub.requests().len() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    // A reservation with a short lease, whose end a test can wait for: the Worker's is 15 minutes.
    let lease = Duration::from_secs(3);
    let reserve =
        json!({ "reserve": "short", "tokens": 300, "lease": lease.as_secs(), "max_in_flight": 2 });
    let begun = Instant::now();
    assert_eq!(worker.send_to_ledger(ANONYMOUS, reserve.clone()).await["verdict"], "done");
    drop(connection);
    // Kills the process with SIGKILL.
    drop(fixture);

    let fixture = Fixture::with_storage(storage.clone(), bindings.clone()).await;
    let worker = &fixture.worker;
    let usage = worker.usage().await;
    if begun.elapsed() < lease - Duration::from_secs(1) {
        let month = &usage["this_month"];
        assert_eq!(usage["in_flight"]["requests"], 2, "{usage}");
        assert_eq!(
            (&month["used"], &month["reserved"]),
            (&json!(used), &json!(22 + 32 + 50 + 300))
        );
        assert_limited("still reserved", &worker.prompt("hi").await, "too_many_in_flight");
    }
    // The lease is in whole seconds.
    sleep((lease + Duration::from_secs(1)).saturating_sub(begun.elapsed())).await;
    let usage = worker.usage().await;
    assert_eq!(usage["in_flight"]["requests"], 1, "{usage}");
    assert_eq!(usage["this_month"]["reserved"], 22 + 32 + 50, "{usage}");
    // Bedrock may have billed the call of which nobody knows how it ended.
    assert_eq!(usage["this_month"]["used"], used + 300, "{usage}");
    assert_eq!(worker.prompt("hi").await.status, 200);
    // The settlement arrives after all. It counts in place of the reservation, and only once.
    worker.send_to_ledger(ANONYMOUS, json!({ "settle": "short", "tokens": 77 })).await;
    worker.send_to_ledger(ANONYMOUS, json!({ "settle": "short", "tokens": 77 })).await;
    drop(fixture);

    let fixture = Fixture::with_storage(storage, bindings).await;
    let usage = fixture.worker.usage().await;
    assert_eq!(usage["this_month"]["used"], used + used + 77, "{usage}");
}

#[tokio::test]
async fn each_account_has_its_own_ledger() {
    let Fixture { worker, stub: _stub } =
        Fixture::with_bindings(json!({ "MAX_IN_FLIGHT": 1 })).await;
    let reserve = json!({ "reserve": "a", "tokens": 1, "lease": 900, "max_in_flight": 1 });
    for account in ["token:alice", "jwt:alice", "token:bob"] {
        assert_eq!(
            worker.send_to_ledger(account, reserve.clone()).await["verdict"],
            "done",
            "{account}"
        );
        let mut second = reserve.clone();
        second["reserve"] = json!("b");
        let verdict = worker.send_to_ledger(account, second).await["verdict"].clone();
        assert_eq!(verdict, "too_many_in_flight", "{account}");
    }
    assert_eq!(worker.prompt("hi").await.status, 200);
}

#[tokio::test]
async fn a_ledger_handles_two_hundred_concurrent_messages_one_after_the_other() {
    let Fixture { worker, stub: _stub } = Fixture::with_bindings(json!({})).await;
    let worker = Arc::new(worker);
    let mut replies = JoinSet::new();
    for number in 0..200 {
        let worker = worker.clone();
        replies.spawn(async move {
            let id = number.to_string();
            let reserve =
                json!({ "reserve": id, "tokens": 10, "lease": 900, "monthly_tokens": 1005 });
            let verdict = worker.send_to_ledger("token:many", reserve).await["verdict"].clone();
            let settle = json!({ "settle": id, "tokens": 10 });
            worker.send_to_ledger("token:many", settle).await;
            verdict
        });
    }
    let verdicts = replies.join_all().await;
    let count = |word: &str| verdicts.iter().filter(|it| **it == word).count();
    assert_eq!((count("done"), count("monthly_tokens")), (100, 100));
    let usage = worker.send_to_ledger("token:many", json!({ "usage": true })).await;
    assert_eq!(usage["this_month"]["used"], 1000, "{usage}");
    assert_eq!(usage["in_flight"], 0, "{usage}");
}

#[tokio::test]
async fn a_limit_without_the_ledger_binding_fails_closed() {
    let bindings = json!({ "MAX_IN_FLIGHT": 1, "LEDGER": null });
    let Fixture { worker, stub } = Fixture::with_bindings(bindings).await;
    let response = worker.prompt("hi").await;
    response.assert_envelope("no binding", 500, "hi", "Error: Internal server error");
    let line = worker.log_line(response.request_id()).await;
    assert_eq!(line["error"], "LEDGER: the host platform does not have it");
    assert!(stub.requests().is_empty());
}
