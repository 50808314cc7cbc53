//! Budgets and the limit of concurrent requests, with real Durable Objects.
//!
//! The budgets are monthly, because a day can end while a test runs.
//!
//! Out of scope: the bookkeeping of a ledger, day by day (unit tests in `src/limits`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::client::Response;
use crate::support::fixture::Fixture;
use crate::support::usage::{ANONYMOUS, assert_limited};
use crate::support::workerd::TempDir;

/// The input tokens that are reserved for the prompt "hi".
const INPUT: u64 = 34;

#[tokio::test]
async fn without_a_limit_no_durable_object_is_called() {
    let storage = Arc::new(TempDir::new());
    let fixture = Fixture::with_storage(storage.clone(), json!({})).await;
    for number in 0..5 {
        assert_eq!(fixture.worker.prompt(&format!("free {number}")).await.status, 200);
    }
    let mut response = fixture.worker.stream("free stream").await;
    while response.next().await.is_some() {}
    assert_eq!(fixture.worker.usage().await, json!({ "caller": ANONYMOUS, "limited": false }));
    // A Durable Object has a file as soon as it is called, even if it stores nothing.
    assert_eq!(storage.durable_objects(), 0);

    let limited = Fixture::with_storage(storage.clone(), json!({ "MAX_IN_FLIGHT": 1 })).await;
    limited.worker.usage().await;
    assert_eq!(storage.durable_objects(), 1);
}

#[tokio::test]
async fn a_call_costs_the_tokens_that_bedrock_reports() {
    let bindings = json!({ "MONTHLY_TOKENS": 1000, "MAX_IN_FLIGHT": 2 });
    let Fixture { worker, stub: _stub } = Fixture::with_bindings(bindings).await;
    let mut used = 0;
    let count = |response: &Response, name| -> u64 {
        let header = format!("x-amzn-bedrock-{name}-token-count");
        response.header(&header).unwrap_or_else(|| panic!("{header}: {response}")).parse().unwrap()
    };
    for prompt in ["hi", "こんにちは", "Hello, how are you?"] {
        let response = worker.prompt(prompt).await;
        used += count(&response, "input") + count(&response, "output");
        let usage = worker.settled_usage().await;
        assert_eq!(usage["this_month"]["used"], used, "{prompt}: {response}");
        assert_eq!(usage["this_month"]["remaining"], 1000 - used, "{prompt}");
        assert_eq!(usage["in_flight"], json!({ "requests": 0, "limit": 2 }), "{prompt}");
    }
    // A failed call costs nothing.
    for fault in ["fault:throttled", "fault:access_denied", "fault:unavailable", "fault:validation"]
    {
        assert_eq!(worker.prompt(fault).await.status, 500, "{fault}");
        assert_eq!(worker.settled_usage().await["this_month"]["used"], used, "{fault}");
    }
    // A stream costs the same.
    let mut response = worker.stream("hi").await;
    let mut last = None;
    while let Some(event) = response.next().await {
        last = Some(event);
    }
    let usage = last.unwrap().data["usage"].clone();
    used += usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap();
    assert_eq!(worker.settled_usage().await["this_month"]["used"], used);
    // So does a prompt over a WebSocket.
    let mut socket = worker.open_websocket().await;
    socket.prompt("hi").await;
    let last = loop {
        let event = socket.next_event().await;
        if event.name == "done" {
            break event;
        }
    };
    let usage = &last.data["usage"];
    used += usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap();
    assert_eq!(worker.settled_usage().await["this_month"]["used"], used);
    assert_eq!(worker.unexpected_output(), Vec::<String>::new());
}

/// Reservations keep concurrent requests within the budget, whatever they use in the end.
#[tokio::test]
async fn two_hundred_concurrent_requests_do_not_exceed_a_budget() {
    const REQUESTS: u64 = 200;
    const MAX_TOKENS: u64 = 20;
    let budget = 10 * (INPUT + MAX_TOKENS) + 5;
    let bindings = json!({ "MONTHLY_TOKENS": budget });
    let fixture = Arc::new(Fixture::with_bindings(bindings).await);
    let mut responses = JoinSet::new();
    for _ in 0..REQUESTS {
        let fixture = fixture.clone();
        responses.spawn(async move {
            fixture.worker.post(json!({ "prompt": "hi", "max_tokens": MAX_TOKENS })).await
        });
    }
    let mut succeeded = 0;
    while let Some(response) = responses.join_next().await {
        let response = response.unwrap();
        if response.status == 200 {
            succeeded += 1;
        } else {
            assert_limited("one of many", &response, "budget_exceeded");
            assert_eq!(response.header("x-ratelimit-limit-tokens"), Some(&*budget.to_string()));
            assert!(response.header("x-ratelimit-remaining-tokens").is_some(), "{response}");
            assert!(response.header("retry-after").is_some(), "{response}");
        }
    }
    let usage = fixture.worker.settled_usage().await;
    let used = usage["this_month"]["used"].as_u64().unwrap();
    assert!(used <= budget, "{usage}");
    // Later requests may use tokens that earlier ones reserved and did not use.
    assert!((10..REQUESTS).contains(&succeeded), "{succeeded}");
    assert_eq!(fixture.stub.requests().len() as u64, succeeded);
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
}

/// While none of the requests ends, exactly `MAX_IN_FLIGHT` of them are accepted, with and without
/// streaming.
#[tokio::test]
async fn two_hundred_concurrent_requests_do_not_exceed_max_in_flight() {
    const REQUESTS: usize = 200;
    const MAX: usize = 7;
    let fixture = Arc::new(Fixture::with_bindings(json!({ "MAX_IN_FLIGHT": MAX })).await);
    let mut responses = JoinSet::new();
    for number in 0..REQUESTS {
        let fixture = fixture.clone();
        responses.spawn(async move {
            let body = json!({ "prompt": "fault:slow:3000 a while", "stream": number % 3 == 0 });
            fixture.worker.post(body).await
        });
    }
    let mut rejected = 0;
    let mut succeeded = 0;
    while let Some(response) = responses.join_next().await {
        let response = response.unwrap();
        match response.status {
            200 => succeeded += 1,
            _ => {
                assert_limited("one of many", &response, "too_many_in_flight");
                assert_eq!(response.header("retry-after"), Some("1"), "{response}");
                rejected += 1;
            }
        }
        if rejected == REQUESTS - MAX && succeeded == 0 {
            let usage = fixture.worker.usage().await;
            assert_eq!(usage["in_flight"], json!({ "requests": MAX, "limit": MAX }));
        }
    }
    assert_eq!((succeeded, rejected), (MAX, REQUESTS - MAX));
    assert_eq!(fixture.stub.requests().len(), MAX);
    fixture.worker.settled_usage().await;
    assert_eq!(fixture.worker.prompt("after them").await.status, 200);
}

/// How a client disconnects.
#[derive(Clone, Copy, Debug)]
enum Disconnect {
    Close,
    Reset,
}

#[tokio::test]
async fn a_cancelled_request_is_settled_with_its_usage_or_if_that_is_unknown_with_its_reservation()
{
    let fixture =
        Fixture::with_bindings(json!({ "MONTHLY_TOKENS": 100_000, "MAX_IN_FLIGHT": 1 })).await;
    let worker = &fixture.worker;
    let mut used = 0;
    for disconnect in [Disconnect::Close, Disconnect::Reset] {
        let mut response = worker.stream("fault:stream_long:100000:5").await;
        for _ in 0..5 {
            response.next().await.unwrap();
        }
        assert_eq!(worker.usage().await["in_flight"]["requests"], 1, "{disconnect:?}");
        assert_limited("meanwhile", &worker.prompt("another").await, "too_many_in_flight");
        match disconnect {
            Disconnect::Close => drop(response),
            Disconnect::Reset => response.connection.reset(),
        }
        let usage = worker.settled_usage().await;
        // At least some input and four deltas, and at most the reservation.
        let cost = usage["this_month"]["used"].as_u64().unwrap() - used;
        assert!((5..=26 + 32 + 100).contains(&cost), "{disconnect:?}: {usage}");
        used += cost;
    }
    // Before the first frame the usage is unknown, so the whole reservation counts.
    let mut connection = worker.connect().await;
    connection.post(&json!({ "prompt": "fault:stream_stall:0", "stream": true })).await;
    fixture.wait_for_streams("the stream to be opened", |it| it.opened == 3).await;
    connection.reset();
    let usage = worker.settled_usage().await;
    assert_eq!(usage["this_month"]["used"], used + 20 + 32 + 100);
    used += 152;
    // The same for a client that disconnects before a response without streaming.
    let mut connection = worker.connect().await;
    connection.post(&json!({ "prompt": "fault:slow:20000 nobody waits" })).await;
    while fixture.stub.requests().len() < 4 {
        sleep(Duration::from_millis(5)).await;
    }
    connection.reset();
    let usage = worker.settled_usage().await;
    assert_eq!(usage["this_month"]["used"], used + 29 + 32 + 100);
    used += 161;

    // A reply over a WebSocket.
    let mut socket = worker.open_websocket().await;
    socket.prompt("fault:stream_long:100000:5").await;
    for _ in 0..5 {
        socket.next_event().await;
    }
    drop(socket);
    let usage = worker.settled_usage().await;
    let cost = usage["this_month"]["used"].as_u64().unwrap() - used;
    assert!((5..=26 + 32 + 100).contains(&cost), "{usage}");
    assert_eq!(worker.prompt("after them").await.status, 200);
    assert_eq!(worker.unexpected_output(), Vec::<String>::new());
}
