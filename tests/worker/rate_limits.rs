//! The rate limit, with a simulated binding. Cloudflare's own is in tests/dev.rs.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::support::fixture::Fixture;
use crate::support::usage::assert_limited;

#[tokio::test]
async fn a_rate_limiter_that_does_not_respond_is_503() {
    let Fixture { worker, stub } = Fixture::with_bindings(json!({ "RATE_LIMITER": 0 })).await;
    let response = worker.prompt("hi").await;
    let message = "Error: what you may use cannot be looked up for now";
    response.assert_envelope("no response", 503, "", message);
    assert_eq!(response.header("x-error-code"), Some("limits_unavailable"), "{response}");
    let line = worker.log_line(response.request_id()).await;
    assert_eq!(line["error"], "RATE_LIMITER: it took too long", "{line}");
    assert_eq!(stub.requests().len(), 0);
}

#[tokio::test]
async fn requests_above_the_rate_limit_are_rejected() {
    let bindings = json!({ "RATE_LIMITER": 3, "RATE_LIMIT_PERIOD": "10" });
    let Fixture { worker, stub } = Fixture::with_bindings(bindings).await;
    let from = |address: &str| {
        let request = worker.request(Method::POST, "/").header("cf-connecting-ip", address);
        worker.send(request.json(&json!({ "prompt": "hi" })))
    };
    for number in 0..5 {
        let response = from("192.0.2.1").await;
        if number < 3 {
            assert_eq!(response.status, 200, "{response}");
        } else {
            let message = "Error: too many requests";
            response.assert_envelope("one too many", 429, "", message);
            assert_limited("one too many", &response, "rate_limited");
            assert_eq!(response.header("retry-after"), Some("10"), "{response}");
        }
    }
    assert_eq!(stub.requests().len(), 3);
    assert_eq!(from("192.0.2.2").await.status, 200);
    assert_eq!(worker.health().await.status, 200);

    // Each prompt over a WebSocket counts too.
    let mut socket = worker.open_websocket().await;
    for _ in 0..4 {
        socket.prompt("hi").await;
    }
    let mut ends = Vec::new();
    while ends.len() < 4 {
        let event = socket.next_event().await;
        if ["done", "error"].contains(&&*event.name) {
            ends.push(event);
        }
    }
    let names: Vec<_> = ends.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["done", "done", "done", "error"]);
    assert_eq!(ends[3].data["code"], "rate_limited");
    assert_eq!(ends[3].data["retryable"], true);
}

/// A flood that waits for its turn is counted at once.
#[tokio::test]
async fn prompts_that_wait_on_a_websocket_and_openings_are_counted_when_they_arrive() {
    let bindings = json!({ "RATE_LIMITER": 3 });
    let fixture = Fixture::with_bindings(bindings).await;
    let mut socket = fixture.worker.open_websocket().await;
    socket.prompt("fault:stream_stall").await;
    for name in ["start", "delta"] {
        assert_eq!(socket.next_event().await.name, name);
    }
    for _ in 0..2 {
        socket.prompt("waits").await;
    }
    // None of them has been answered, and another request is one too many.
    let refused = async || fixture.worker.prompt("hi").await.status == 429;
    let begun = Instant::now();
    while !refused().await {
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    assert_eq!(fixture.stub.streams().open(), 1);

    // Openings are counted apart.
    for _ in 1..3 {
        assert!(fixture.worker.handshake().await.is_ok());
    }
    let Err(response) = fixture.worker.handshake().await else { panic!("it is opened") };
    assert_limited("one socket too many", &response, "rate_limited");
}
