//! How much a caller may use, with real Durable Objects.
//!
//! Budgets are of months, because a day can end while a test runs.
//!
//! Out of scope: what a ledger makes of a message, day for day (`src/limits`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::client::Answer;
use crate::support::fixture::Fixture;
use crate::support::usage::{ANONYMOUS, assert_limited};
use crate::support::workerd::Directory;

/// "hi" and the form of a message.
const INPUT: u64 = 34;

#[tokio::test]
async fn without_a_limit_no_object_is_called() {
    let disk = Arc::new(Directory::new());
    let fixture = Fixture::on(disk.clone(), json!({})).await;
    for number in 0..5 {
        assert_eq!(fixture.worker.prompt(&format!("free {number}")).await.status, 200);
    }
    let mut answer = fixture.worker.stream("free stream").await;
    while answer.next().await.is_some() {}
    assert_eq!(fixture.worker.usage().await, json!({ "caller": ANONYMOUS, "limited": false }));
    // An object that is called has a file, also if it writes nothing.
    assert_eq!(disk.objects(), 0);

    let limited = Fixture::on(disk.clone(), json!({ "MAX_IN_FLIGHT": 1 })).await;
    limited.worker.usage().await;
    assert_eq!(disk.objects(), 1);
}

#[tokio::test]
async fn a_call_costs_what_bedrock_says() {
    let bindings = json!({ "MONTHLY_TOKENS": 1000, "MAX_IN_FLIGHT": 2 });
    let Fixture { worker, stub: _stub } = Fixture::with(bindings).await;
    let mut used = 0;
    let count = |answer: &Answer, name| -> u64 {
        let header = format!("x-amzn-bedrock-{name}-token-count");
        answer.header(&header).unwrap_or_else(|| panic!("{header}: {answer}")).parse().unwrap()
    };
    for prompt in ["hi", "こんにちは", "Hello, how are you?"] {
        let answer = worker.prompt(prompt).await;
        used += count(&answer, "input") + count(&answer, "output");
        let usage = worker.settled_usage().await;
        assert_eq!(usage["this_month"]["used"], used, "{prompt}: {answer}");
        assert_eq!(usage["this_month"]["remaining"], 1000 - used, "{prompt}");
        assert_eq!(usage["in_flight"], json!({ "requests": 0, "limit": 2 }), "{prompt}");
    }
    // A refused call costs nothing.
    for fault in ["fault:throttled", "fault:access_denied", "fault:unavailable", "fault:validation"]
    {
        assert_eq!(worker.prompt(fault).await.status, 500, "{fault}");
        assert_eq!(worker.settled_usage().await["this_month"]["used"], used, "{fault}");
    }
    // A stream costs the same.
    let mut answer = worker.stream("hi").await;
    let mut last = None;
    while let Some(event) = answer.next().await {
        last = Some(event);
    }
    let usage = last.unwrap().data["usage"].clone();
    used += usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap();
    assert_eq!(worker.settled_usage().await["this_month"]["used"], used);
    // And a message of a WebSocket.
    let mut socket = worker.socket().await;
    socket.prompt("hi").await;
    let last = loop {
        let event = socket.event().await;
        if event.name == "done" {
            break event;
        }
    };
    let usage = &last.data["usage"];
    used += usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap();
    assert_eq!(worker.settled_usage().await["this_month"]["used"], used);
    assert_eq!(worker.unexpected_output(), Vec::<String>::new());
}

/// Of two hundred requests at once, no more get through than the budget has room for, whatever they
/// use in the end.
#[tokio::test]
async fn two_hundred_at_once_do_not_overshoot_a_budget() {
    const REQUESTS: u64 = 200;
    const MAX_TOKENS: u64 = 20;
    let budget = 10 * (INPUT + MAX_TOKENS) + 5;
    let bindings = json!({ "MONTHLY_TOKENS": budget });
    let fixture = Arc::new(Fixture::with(bindings).await);
    let mut answers = JoinSet::new();
    for _ in 0..REQUESTS {
        let fixture = fixture.clone();
        answers.spawn(async move {
            fixture.worker.post(json!({ "prompt": "hi", "max_tokens": MAX_TOKENS })).await
        });
    }
    let mut answered = 0;
    while let Some(answer) = answers.join_next().await {
        let answer = answer.unwrap();
        if answer.status == 200 {
            answered += 1;
        } else {
            assert_limited("a request", &answer, "budget_exceeded");
            assert_eq!(answer.header("x-ratelimit-limit-tokens"), Some(&*budget.to_string()));
            assert!(answer.header("x-ratelimit-remaining-tokens").is_some(), "{answer}");
            assert!(answer.header("retry-after").is_some(), "{answer}");
        }
    }
    let usage = fixture.worker.settled_usage().await;
    let used = usage["this_month"]["used"].as_u64().unwrap();
    assert!(used <= budget, "{usage}");
    // Those that came later may have found what earlier ones gave back.
    assert!((10..REQUESTS).contains(&answered), "{answered}");
    assert_eq!(fixture.stub.requests().len() as u64, answered);
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
}

/// While none of them ends, exactly as many get through as may: whole answers, streams and
/// messages of WebSockets alike.
#[tokio::test]
async fn two_hundred_at_once_do_not_overshoot_max_in_flight() {
    const REQUESTS: usize = 200;
    const MAX: usize = 7;
    let fixture = Arc::new(Fixture::with(json!({ "MAX_IN_FLIGHT": MAX })).await);
    let mut answers = JoinSet::new();
    for number in 0..REQUESTS {
        let fixture = fixture.clone();
        answers.spawn(async move {
            let body = json!({ "prompt": "fault:slow:3000 a while", "stream": number % 3 == 0 });
            fixture.worker.post(body).await
        });
    }
    let mut refused = 0;
    let mut answered = 0;
    while let Some(answer) = answers.join_next().await {
        let answer = answer.unwrap();
        match answer.status {
            200 => answered += 1,
            _ => {
                assert_limited("a request", &answer, "too_many_in_flight");
                assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
                refused += 1;
            }
        }
        if refused == REQUESTS - MAX && answered == 0 {
            let usage = fixture.worker.usage().await;
            assert_eq!(usage["in_flight"], json!({ "requests": MAX, "limit": MAX }));
        }
    }
    assert_eq!((answered, refused), (MAX, REQUESTS - MAX));
    assert_eq!(fixture.stub.requests().len(), MAX);
    fixture.worker.settled_usage().await;
    assert_eq!(fixture.worker.prompt("after them").await.status, 200);
}

/// How a stream is left.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    Close,
    Reset,
}

#[tokio::test]
async fn a_cancelled_stream_is_settled() {
    let fixture = Fixture::with(json!({ "MONTHLY_TOKENS": 100_000, "MAX_IN_FLIGHT": 1 })).await;
    let worker = &fixture.worker;
    let mut used = 0;
    for leaving in [Leaving::Close, Leaving::Reset] {
        let mut answer = worker.stream("fault:stream_long:100000:5").await;
        for _ in 0..5 {
            answer.next().await.unwrap();
        }
        assert_eq!(worker.usage().await["in_flight"]["requests"], 1, "{leaving:?}");
        assert_limited("meanwhile", &worker.prompt("another").await, "too_many_in_flight");
        match leaving {
            Leaving::Close => drop(answer),
            Leaving::Reset => answer.connection.reset(),
        }
        let usage = worker.settled_usage().await;
        // Some input and four pieces at least, and no more than was reserved.
        let cost = usage["this_month"]["used"].as_u64().unwrap() - used;
        assert!((5..=26 + 32 + 100).contains(&cost), "{leaving:?}: {usage}");
        used += cost;
    }
    // Before the first frame nothing is known, so all that was reserved counts.
    let mut connection = worker.connect().await;
    connection.post(&json!({ "prompt": "fault:stream_stall:0", "stream": true })).await;
    fixture.streams_become("opened", |it| it.opened == 3).await;
    connection.reset();
    let usage = worker.settled_usage().await;
    assert_eq!(usage["this_month"]["used"], used + 20 + 32 + 100);
    used += 152;
    // The same for who does not wait for a whole answer.
    let mut connection = worker.connect().await;
    connection.post(&json!({ "prompt": "fault:slow:20000 nobody waits" })).await;
    while fixture.stub.requests().len() < 4 {
        sleep(Duration::from_millis(5)).await;
    }
    connection.reset();
    let usage = worker.settled_usage().await;
    assert_eq!(usage["this_month"]["used"], used + 29 + 32 + 100);
    used += 161;

    // A WebSocket's answer.
    let mut socket = worker.socket().await;
    socket.prompt("fault:stream_long:100000:5").await;
    for _ in 0..5 {
        socket.event().await;
    }
    drop(socket);
    let usage = worker.settled_usage().await;
    let cost = usage["this_month"]["used"].as_u64().unwrap() - used;
    assert!((5..=26 + 32 + 100).contains(&cost), "{usage}");
    assert_eq!(worker.prompt("after them").await.status, 200);
    assert_eq!(worker.unexpected_output(), Vec::<String>::new());
}
