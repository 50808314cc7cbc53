//! How much a caller may use, with real Durable Objects.
//!
//! Budgets are of months, because a day can end while a test runs.
//!
//! Out of scope: what a ledger makes of a message, day for day (`src/limits`), and Cloudflare's own
//! rate limiter (tests/dev.rs).

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::client::{Answer, PATIENCE};
use crate::fixture::Fixture;
use crate::workerd::{Directory, Workerd};

/// The account of callers without a name.
const ANONYMOUS: &str = "anonymous";

/// "hi" and the form of a message.
const INPUT: u64 = 34;

impl Workerd {
    async fn usage(&self) -> Value {
        let answer = self.send(self.request(Method::GET, "/usage")).await;
        assert_eq!(answer.status, 200, "{answer}");
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The numbers, when all is settled: that comes after the answer.
    async fn settled_usage(&self) -> Value {
        let begun = Instant::now();
        loop {
            let usage = self.usage().await;
            if usage["in_flight"]["requests"] == 0 {
                assert_eq!(usage["this_month"]["reserved"], 0, "{usage}");
                return usage;
            }
            assert!(begun.elapsed() < PATIENCE, "{usage}\n{}", self.output());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What a ledger says to a message.
    async fn tell(&self, account: &str, message: Value) -> Value {
        let url = format!("http://{}/{account}", self.door);
        let request = Client::builder().no_proxy().build().unwrap().post(url);
        let answer = self.send(request.body(message.to_string())).await;
        assert_eq!(answer.status, 200, "{message}: {answer}");
        serde_json::from_str(&answer.body).unwrap()
    }
}

fn assert_limited(case: &str, answer: &Answer, code: &str) {
    assert_eq!(answer.status, 429, "{case}: {answer}");
    assert_eq!(answer.header("x-error-code"), Some(code), "{case}: {answer}");
}

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

/// The process is killed between a reservation and its settlement.
#[tokio::test]
async fn a_crash() {
    let disk = Arc::new(Directory::new());
    let bindings = json!({ "MONTHLY_TOKENS": 1000, "MAX_IN_FLIGHT": 2 });
    let fixture = Fixture::on(disk.clone(), bindings.clone()).await;
    let worker = &fixture.worker;
    worker.prompt("hi").await;
    let used = worker.settled_usage().await["this_month"]["used"].as_u64().unwrap();

    let mut connection = worker.connect().await;
    connection.post(&json!({ "prompt": "fault:slow:20000 crash", "max_tokens": 50 })).await;
    while fixture.stub.requests().len() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    // A reservation whose deadline a test can wait for: the Worker's is a quarter of an hour.
    let lease = Duration::from_secs(3);
    let reserve =
        json!({ "reserve": "short", "tokens": 300, "lease": lease.as_secs(), "max_in_flight": 2 });
    let begun = Instant::now();
    assert_eq!(worker.tell(ANONYMOUS, reserve.clone()).await["verdict"], "done");
    drop(connection);
    // With SIGKILL.
    drop(fixture);

    let fixture = Fixture::on(disk.clone(), bindings.clone()).await;
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
    // Its deadline is in whole seconds.
    sleep((lease + Duration::from_secs(1)).saturating_sub(begun.elapsed())).await;
    let usage = worker.usage().await;
    assert_eq!(usage["in_flight"]["requests"], 1, "{usage}");
    assert_eq!(usage["this_month"]["reserved"], 22 + 32 + 50, "{usage}");
    assert_eq!(worker.prompt("hi").await.status, 200);
    // It was slow, not dead: what it has used counts.
    worker.tell(ANONYMOUS, json!({ "settle": "short", "tokens": 77 })).await;
    worker.tell(ANONYMOUS, json!({ "settle": "short", "tokens": 77 })).await;
    drop(fixture);

    let fixture = Fixture::on(disk, bindings).await;
    let usage = fixture.worker.usage().await;
    assert_eq!(usage["this_month"]["used"], used + used + 77, "{usage}");
}

/// Each caller has a ledger of its own.
#[tokio::test]
async fn accounts_are_apart() {
    let Fixture { worker, stub: _stub } = Fixture::with(json!({ "MAX_IN_FLIGHT": 1 })).await;
    let reserve = json!({ "reserve": "a", "tokens": 1, "lease": 900, "max_in_flight": 1 });
    for account in ["token:alice", "jwt:alice", "token:bob"] {
        assert_eq!(worker.tell(account, reserve.clone()).await["verdict"], "done", "{account}");
        let mut second = reserve.clone();
        second["reserve"] = json!("b");
        let verdict = worker.tell(account, second).await["verdict"].clone();
        assert_eq!(verdict, "too_many_in_flight", "{account}");
    }
    assert_eq!(worker.prompt("hi").await.status, 200);
}

/// Two hundred messages at once to one object.
#[tokio::test]
async fn an_object_takes_one_message_after_the_other() {
    let Fixture { worker, stub: _stub } = Fixture::with(json!({})).await;
    let worker = Arc::new(worker);
    let mut replies = JoinSet::new();
    for number in 0..200 {
        let worker = worker.clone();
        replies.spawn(async move {
            let id = number.to_string();
            let reserve =
                json!({ "reserve": id, "tokens": 10, "lease": 900, "monthly_tokens": 1005 });
            let verdict = worker.tell("token:many", reserve).await["verdict"].clone();
            let settle = json!({ "settle": id, "tokens": 10 });
            worker.tell("token:many", settle).await;
            verdict
        });
    }
    let verdicts = replies.join_all().await;
    let count = |word: &str| verdicts.iter().filter(|it| **it == word).count();
    assert_eq!((count("done"), count("monthly_tokens")), (100, 100));
    let usage = worker.tell("token:many", json!({ "usage": true })).await;
    assert_eq!(usage["this_month"]["used"], 1000, "{usage}");
    assert_eq!(usage["in_flight"], 0, "{usage}");
}

#[tokio::test]
async fn a_limit_that_does_not_answer_is_not_waited_for() {
    let Fixture { worker, stub } = Fixture::with(json!({ "RATE_LIMITER": 0 })).await;
    let answer = worker.prompt("hi").await;
    let message = "Error: what you may use cannot be looked up for now";
    answer.assert_envelope("no answer", 503, "", message);
    assert_eq!(answer.header("x-error-code"), Some("limits_unavailable"), "{answer}");
    let line = worker.log_line(answer.request_id()).await;
    assert_eq!(line["error"], "RATE_LIMITER: it took too long", "{line}");
    assert_eq!(stub.requests().len(), 0);
}

#[tokio::test]
async fn requests_beyond_the_rate_are_refused() {
    let bindings = json!({ "RATE_LIMITER": 3, "RATE_LIMIT_PERIOD": "10" });
    let Fixture { worker, stub } = Fixture::with(bindings).await;
    let from = |address: &str| {
        let request = worker.request(Method::POST, "/").header("cf-connecting-ip", address);
        worker.send(request.json(&json!({ "prompt": "hi" })))
    };
    for number in 0..5 {
        let answer = from("192.0.2.1").await;
        if number < 3 {
            assert_eq!(answer.status, 200, "{answer}");
        } else {
            let message = "Error: too many requests";
            answer.assert_envelope("one too many", 429, "", message);
            assert_limited("one too many", &answer, "rate_limited");
            assert_eq!(answer.header("retry-after"), Some("10"), "{answer}");
        }
    }
    assert_eq!(stub.requests().len(), 3);
    assert_eq!(from("192.0.2.2").await.status, 200);
    assert_eq!(worker.health().await.status, 200);

    // A WebSocket is no way around it: each message counts.
    let mut socket = worker.socket().await;
    for _ in 0..4 {
        socket.prompt("hi").await;
    }
    let mut ends = Vec::new();
    while ends.len() < 4 {
        let event = socket.event().await;
        if ["done", "error"].contains(&&*event.name) {
            ends.push(event);
        }
    }
    let names: Vec<_> = ends.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["done", "done", "done", "error"]);
    assert_eq!(ends[3].data["code"], "rate_limited");
    assert_eq!(ends[3].data["retryable"], true);
}

#[tokio::test]
async fn a_limit_without_a_binding_is_no_open_door() {
    let bindings = json!({ "MAX_IN_FLIGHT": 1, "LEDGER": null });
    let Fixture { worker, stub } = Fixture::with(bindings).await;
    let answer = worker.prompt("hi").await;
    answer.assert_envelope("no binding", 500, "hi", "Error: Internal server error");
    let line = worker.log_line(answer.request_id()).await;
    assert_eq!(line["error"], "LEDGER: this Host has no such binding");
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn models() {
    const DEFAULT: &str = "apac.anthropic.claude-sonnet-4-20250514-v1:0";
    const OTHER: &str = "jp.anthropic.claude-sonnet-4-5-20250929-v1:0";
    const ARN: &str =
        "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/a1b2";
    let allowed = json!({ "ALLOWED_MODELS": format!("{OTHER}, {ARN}") });
    let (fixture, closed) = (Fixture::with(allowed).await, Fixture::with(json!({})).await);
    let cases = [
        ("the default by name", &closed, DEFAULT, true),
        ("another without a list", &closed, OTHER, false),
        ("the default beside a list", &fixture, DEFAULT, true),
        ("another", &fixture, OTHER, true),
        ("an ARN", &fixture, ARN, true),
        ("in capitals", &fixture, "JP.anthropic.claude-sonnet-4-5-20250929-v1:0", false),
        ("a part of one", &fixture, "jp.anthropic.claude-sonnet-4-5", false),
        ("the list", &fixture, "jp.anthropic.claude-sonnet-4-5-20250929-v1:0, x", false),
        ("encoded", &fixture, "jp.anthropic.claude-sonnet-4-5-20250929-v1%3A0", false),
        ("a path", &fixture, "../x", false),
    ];
    for (case, fixture, model, is_allowed) in cases {
        let prompt = format!("model: {case}");
        let body = json!({ "prompt": prompt, "model": model });
        let answer = fixture.worker.post(body).await;
        if is_allowed {
            assert_eq!(answer.status, 200, "{case}: {answer}");
            let path = model.replace(':', "%3A").replace('/', "%2F");
            assert_eq!(fixture.received(&prompt).target, format!("/model/{path}/invoke"), "{case}");
            let line = fixture.worker.log_line(answer.request_id()).await;
            assert_eq!(line["model"], model, "{case}");
        } else {
            assert_eq!(answer.status, 403, "{case}: {answer}");
            assert_eq!(answer.header("x-error-code"), Some("model_not_allowed"), "{case}");
            assert!(!answer.body.contains(OTHER), "{case}: {answer}");
        }
    }
    let body = json!({ "prompt": "another in events", "model": OTHER, "stream": true });
    let answer = fixture.worker.post(body).await;
    assert!(answer.body.contains(&format!(r#""model":"{OTHER}""#)), "{answer}");
    for (case, model) in [("a number", json!(1)), ("nothing", json!(null)), ("blank", json!(" "))] {
        let answer = fixture.worker.post(json!({ "prompt": "hi", "model": model })).await;
        assert_eq!(answer.status, 400, "{case}: {answer}");
    }
}
