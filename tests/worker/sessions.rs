//! Conversations that the Worker remembers in Durable Objects.
//!
//! Out of scope: what a request and a response of a session are in each case (unit tests in `src/sessions`).

#[path = "../conformance/sessions.rs"]
mod rules;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::client::{Response, TIMEOUT};
use crate::support::fixture::{Fixture, json_body};
use crate::support::signer::sha256_hex;
use crate::support::websocket::TEXT;
use crate::support::workerd::{TempDir, Workerd};

const ALICE: &str = "bedge_alice6789abcdefghijklmnopqrstuvwxyzABCDEFG";
const BOB: &str = "bedge_bob3456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// Returns bindings with sessions, and these in addition.
fn bindings(more: &Value) -> Value {
    let mut bindings = json!({ "SESSIONS": true });
    bindings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    bindings
}

/// Returns bindings for the two callers.
fn with_callers() -> Value {
    let tokens = format!("alice:{},bob:{}", sha256_hex(ALICE), sha256_hex(BOB));
    bindings(&json!({ "AUTH": null, "API_TOKENS": tokens }))
}

async fn ask(worker: &Workerd, session: impl Into<Value>, prompt: &str) -> Response {
    worker.post(json!({ "session": session.into(), "prompt": prompt })).await
}

fn json_of(response: &Response) -> Value {
    serde_json::from_str(&response.body).unwrap_or_else(|error| panic!("{error}: {response}"))
}

/// Returns the texts of the messages of a request to Bedrock or of a session.
fn texts(messages: &Value) -> Vec<String> {
    let text = |message: &Value| {
        let content = &message["content"];
        content.as_str().or_else(|| content[0]["text"].as_str()).unwrap().to_owned()
    };
    messages.as_array().unwrap().iter().map(text).collect()
}

/// Reports whether a file below a directory has a text.
fn is_on_disk(storage: &TempDir, word: &str) -> bool {
    fn search(path: &std::path::Path, word: &str) -> bool {
        std::fs::read_dir(path).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                return search(&path, word);
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            bytes.windows(word.len()).any(|it| it == word.as_bytes())
        })
    }
    search(storage.path(), word)
}

/// Returns the present in whole milliseconds.
#[allow(clippy::disallowed_methods)] // This is not the core.
fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UNIX_EPOCH + Duration::from_millis(u64::try_from(since.as_millis()).unwrap())
}

#[tokio::test]
async fn the_durable_objects_obey_the_rules_of_every_store() {
    let fixture = Fixture::with_bindings(bindings(&json!({}))).await;
    rules::check(&fixture.worker.session_objects(), now()).await;
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
}

#[tokio::test]
async fn a_conversation_goes_on_whole_streamed_and_over_a_websocket() {
    let fixture = Fixture::with_bindings(bindings(&json!({ "SESSION_KEY": KEY }))).await;
    let worker = &fixture.worker;
    let first = ask(worker, true, "first").await;
    assert_eq!(first.status, 200, "{first}");
    let id = first.header("x-session-id").unwrap().to_owned();
    let body = json!({ "session": id, "prompt": "second", "stream": true });
    let mut second = worker.stream_with_body(&body).await;
    assert_eq!(second.head.header("x-session-id"), Some(&*id));
    let second = second.reply("second").await;
    assert_eq!((&second.start["session"], &*second.last.name), (&json!(id), "done"));
    let mut socket = worker.open_websocket().await;
    let message = json!({ "session": id, "prompt": "third" }).to_string();
    socket.send(TEXT, message.as_bytes()).await;
    let third = socket.reply("third").await;
    assert_eq!(third.start["session"], json!(id));
    // The socket carries the session now.
    socket.prompt("fourth").await;
    assert_eq!(socket.reply("fourth").await.last.name, "done");

    let page = json_of(&worker.send(worker.request(Method::GET, &format!("/sessions/{id}"))).await);
    let texts = texts(&page["messages"]);
    let prompts: Vec<&String> = texts.iter().step_by(2).collect();
    assert_eq!(prompts, ["first", "second", "third", "fourth"]);
    let replies =
        [json_of(&first)["generated_text"].clone(), second.last.data["generated_text"].clone()];
    assert_eq!(
        [&texts[1], &texts[3]],
        [replies[0].as_str().unwrap(), replies[1].as_str().unwrap()]
    );
    let requests = fixture.bedrock_requests("first");
    let sent: Vec<usize> =
        requests.iter().map(|it| json_body(it)["messages"].as_array().unwrap().len()).collect();
    assert_eq!(sent, [1, 3, 5, 7]);
    for request in &requests {
        let messages = json_body(request)["messages"].as_array().unwrap().clone();
        assert_eq!(messages[..], page["messages"].as_array().unwrap()[..messages.len()]);
    }
}

/// Clients that are told to wait do so and try again, as an SDK does.
#[tokio::test]
async fn of_two_hundred_requests_in_one_session_one_runs_at_a_time_and_none_is_lost() {
    let fixture = Fixture::with_bindings(bindings(&json!({
        "SESSION_MAX_TURNS": 1000, "SESSION_MAX_BYTES": 4_194_304, "SESSION_KEY": KEY,
        "BEDROCK_TIMEOUT_MS": 60_000,
    })))
    .await;
    let worker = Arc::new(fixture.worker);
    let id = ask(&worker, true, "begin").await.header("x-session-id").unwrap().to_owned();
    let mut clients = JoinSet::new();
    for number in 0..200 {
        let (worker, id) = (worker.clone(), id.clone());
        clients.spawn(async move {
            let begun = Instant::now();
            let mut refused = 0;
            loop {
                let response = ask(&worker, &*id, &format!("number {number}")).await;
                match response.status {
                    200 => return (number, refused),
                    409 => {
                        assert_eq!(
                            response.header("x-error-code"),
                            Some("session_busy"),
                            "{response}"
                        );
                        let seconds = response.header("retry-after").unwrap().parse().unwrap();
                        refused += 1;
                        assert!(begun.elapsed() < 15 * TIMEOUT, "{response}");
                        // Apart, so that they do not all come at once again.
                        let apart = Duration::from_millis(number % 50 * 20);
                        sleep(Duration::from_secs(seconds) + apart).await;
                    }
                    _ => panic!("{response}"),
                }
            }
        });
    }
    let ended = clients.join_all().await;
    let refused: u64 = ended.iter().map(|(_, refused)| refused).sum();
    assert!(refused > 0, "none was refused");
    let (mut messages, mut path) = (Vec::new(), format!("/sessions/{id}?limit=100"));
    loop {
        let page = json_of(&worker.send(worker.request(Method::GET, &path)).await);
        messages.extend(page["messages"].as_array().unwrap().clone());
        let Some(after) = page["next_after"].as_str() else { break };
        path = format!("/sessions/{id}?limit=100&after={after}");
    }
    assert_eq!(messages.len(), 2 * 201);
    // Each turn has seen exactly those before it, and each prompt is there once.
    let all = Value::Array(messages);
    let mut prompts: Vec<String> = texts(&all).into_iter().step_by(2).collect();
    let mut sent: Vec<Value> =
        fixture.stub.requests().iter().map(|it| json_body(it)["messages"].clone()).collect();
    sent.sort_by_key(|messages| messages.as_array().unwrap().len());
    assert_eq!(sent.len(), 201, "a call for each turn, and none for those that were refused");
    for (number, sent) in sent.iter().enumerate() {
        assert_eq!(sent.as_array().unwrap()[..], all.as_array().unwrap()[..2 * number + 1]);
    }
    prompts.sort_unstable();
    let mut expected: Vec<String> = (0..200).map(|it| format!("number {it}")).collect();
    expected.push("begin".to_owned());
    expected.sort_unstable();
    assert_eq!(prompts, expected);
}

/// The process is killed while the model replies.
#[tokio::test]
async fn after_a_crash_the_lease_ends_and_nothing_of_the_turn_is_stored() {
    let storage = Arc::new(TempDir::new());
    // The lease: 2 and 2 seconds, and 5 for 100 tokens.
    let bindings = bindings(&json!({ "BEDROCK_TIMEOUT_MS": 2000, "BEDROCK_STALL_MS": 2000 }));
    let fixture = Fixture::with_storage(storage.clone(), bindings.clone()).await;
    let worker = &fixture.worker;
    let id = ask(worker, true, "first").await.header("x-session-id").unwrap().to_owned();
    let begun = Instant::now();
    let body = json!({ "session": id, "prompt": "fault:stream_stall lostword", "stream": true });
    let mut stream = worker.stream_with_body(&body).await;
    while stream.next().await.unwrap().name != "delta" {}
    // Before the client goes, whose leaving would free the session.
    let pid = worker.pid().await.to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    drop(stream);
    drop(fixture);

    let fixture = Fixture::with_storage(storage.clone(), bindings).await;
    let worker = &fixture.worker;
    let response = ask(worker, &*id, "too soon").await;
    if begun.elapsed() < Duration::from_secs(8) {
        assert_eq!(response.status, 409, "{response}");
    }
    sleep(Duration::from_secs(9).saturating_sub(begun.elapsed())).await;
    let response = ask(worker, &*id, "second").await;
    assert_eq!(response.status, 200, "{response}");
    let page = json_of(&worker.send(worker.request(Method::GET, &format!("/sessions/{id}"))).await);
    let texts = texts(&page["messages"]);
    assert!(texts.iter().all(|text| !text.contains("lostword")), "{texts:?}");
    assert!(!is_on_disk(&storage, "lostword"));
}

#[tokio::test]
async fn a_client_that_disconnects_in_mid_stream_frees_the_session_and_stores_nothing() {
    let fixture = Fixture::with_bindings(bindings(&json!({}))).await;
    let worker = &fixture.worker;
    let id = ask(worker, true, "first").await.header("x-session-id").unwrap().to_owned();
    let body = json!({ "session": id, "prompt": "fault:stream_stall lost", "stream": true });
    let mut stream = worker.stream_with_body(&body).await;
    while stream.next().await.unwrap().name != "delta" {}
    assert_eq!(ask(worker, &*id, "second").await.status, 409);
    stream.connection.reset();
    let begun = Instant::now();
    loop {
        let response = ask(worker, &*id, "second").await;
        if response.status == 200 {
            break;
        }
        assert_eq!(response.status, 409, "{response}");
        // The lease is of a minute.
        assert!(begun.elapsed() < TIMEOUT, "{response}");
        sleep(Duration::from_millis(20)).await;
    }
    let page = json_of(&worker.send(worker.request(Method::GET, &format!("/sessions/{id}"))).await);
    assert_eq!(texts(&page["messages"])[2], "second");
    // The same over a WebSocket, and before a whole reply:
    let mut socket = worker.open_websocket().await;
    let message = json!({ "session": id, "prompt": "fault:stream_stall lost" }).to_string();
    socket.send(TEXT, message.as_bytes()).await;
    while socket.next_event().await.name != "delta" {}
    socket.connection.reset();
    let begun = Instant::now();
    while ask(worker, &*id, "third").await.status != 200 {
        assert!(begun.elapsed() < TIMEOUT);
        sleep(Duration::from_millis(20)).await;
    }
    let calls = fixture.stub.requests().len();
    let mut connection = worker.connect().await;
    connection.post(&json!({ "session": id, "prompt": "fault:slow:20000 lost" })).await;
    fixture.wait_until("the call", || fixture.stub.requests().len() > calls).await;
    connection.reset();
    let begun = Instant::now();
    while ask(worker, &*id, "fourth").await.status != 200 {
        assert!(begun.elapsed() < TIMEOUT);
        sleep(Duration::from_millis(20)).await;
    }
    let page = json_of(&worker.send(worker.request(Method::GET, &format!("/sessions/{id}"))).await);
    let prompts: Vec<String> = texts(&page["messages"]).into_iter().step_by(2).collect();
    assert_eq!(prompts, ["first", "second", "third", "fourth"]);
    assert_eq!(worker.unexpected_output(), Vec::<String>::new());
}

/// The storage is that of a running object, whose alarm deletes it.
#[tokio::test]
async fn an_alarm_deletes_what_has_expired_from_the_disk() {
    let storage = Arc::new(TempDir::new());
    let bindings = bindings(&json!({ "SESSION_TTL_SECONDS": 3 }));
    let fixture = Fixture::with_storage(storage.clone(), bindings).await;
    let worker = &fixture.worker;
    let id = ask(worker, true, "firstword").await.header("x-session-id").unwrap().to_owned();
    assert!(is_on_disk(&storage, "firstword"), "the test looks at the right files");
    sleep(Duration::from_millis(1500)).await;
    // From the last turn.
    assert_eq!(ask(worker, &*id, "secondword").await.status, 200);
    sleep(Duration::from_millis(2200)).await;
    let path = format!("/sessions/{id}");
    assert_eq!(worker.send(worker.request(Method::GET, &path)).await.status, 200);
    assert!(is_on_disk(&storage, "secondword"));
    sleep(Duration::from_millis(900)).await;
    assert_eq!(worker.send(worker.request(Method::GET, &path)).await.status, 404);
    assert_eq!(ask(worker, &*id, "third").await.status, 404);
    let begun = Instant::now();
    while is_on_disk(&storage, "firstword") || is_on_disk(&storage, "secondword") {
        assert!(begun.elapsed() < TIMEOUT, "the alarm has deleted nothing\n{}", worker.output());
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_deleted_session_is_not_on_disk() {
    let storage = Arc::new(TempDir::new());
    let fixture = Fixture::with_storage(storage.clone(), bindings(&json!({}))).await;
    let worker = &fixture.worker;
    let id = ask(worker, true, "promptword").await.header("x-session-id").unwrap().to_owned();
    assert!(is_on_disk(&storage, "promptword"));
    let request = worker.request(Method::DELETE, &format!("/sessions/{id}"));
    let response = worker.send(request).await;
    assert_eq!((response.status, &*response.body), (204, ""), "{response}");
    let begun = Instant::now();
    while is_on_disk(&storage, "promptword") {
        assert!(begun.elapsed() < TIMEOUT, "it is still on disk");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn with_a_key_no_text_is_on_disk_and_none_is_logged() {
    for key in [None, Some(KEY)] {
        let storage = Arc::new(TempDir::new());
        let bindings = bindings(&json!({ "SESSION_KEY": key, "LOG_LEVEL": "debug" }));
        let fixture = Fixture::with_storage(storage.clone(), bindings).await;
        let worker = &fixture.worker;
        let first = ask(worker, true, "promptword").await;
        let id = first.header("x-session-id").unwrap().to_owned();
        let body = json!({ "session": id, "prompt": "secondword", "stream": true });
        worker.stream_with_body(&body).await.remaining_events().await;
        for (body, status) in [
            (json!({ "session": id, "prompt": "fault:throttled promptword" }), 500),
            (json!({ "session": "promptword", "prompt": "a" }), 404),
            (json!({ "session": "prompt word", "prompt": "a" }), 400),
        ] {
            assert_eq!(worker.post(body).await.status, status);
        }
        let page = worker.send(worker.request(Method::GET, &format!("/sessions/{id}"))).await;
        assert!(page.body.contains("promptword") && page.body.contains("secondword"), "{page}");
        for word in ["promptword", "secondword", "stand-in"] {
            assert_eq!(is_on_disk(&storage, word), key.is_none(), "{word}");
        }
        let output = worker.output();
        for word in ["promptword", "secondword", "stand-in", &id] {
            assert!(!output.contains(word), "{word}:\n{output}");
        }
        assert_eq!(worker.unexpected_output(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn callers_do_not_see_each_others_sessions() {
    let fixture = Fixture::with_bindings(with_callers()).await;
    let worker = &fixture.worker;
    let send = async |token: &str, method: Method, path: &str, body: Value| {
        let request = worker.request(method, path).bearer_auth(token);
        worker.send(if body.is_null() { request } else { request.json(&body) }).await
    };
    for number in 0..10 {
        let body = json!({ "session": format!("s{number}"), "prompt": format!("secret {number}") });
        assert_eq!(send(ALICE, Method::POST, "/", body).await.status, 200);
    }
    let none = send(BOB, Method::GET, "/sessions/none", Value::Null).await;
    let mut refused = 0;
    for number in 0..10 {
        let path = format!("/sessions/s{number}");
        for (method, query) in [(Method::GET, ""), (Method::GET, "?after=0"), (Method::DELETE, "")]
        {
            let response = send(BOB, method, &format!("{path}{query}"), Value::Null).await;
            assert_eq!((response.status, &response.body), (404, &none.body), "{path}");
            refused += 1;
        }
    }
    assert_eq!(refused, 30);
    // Bob's session of the same id is his own.
    let body = json!({ "session": "s0", "prompt": "mine" });
    assert_eq!(send(BOB, Method::POST, "/", body).await.status, 200);
    assert_eq!(
        json_body(&fixture.bedrock_request("mine"))["messages"].as_array().unwrap().len(),
        1
    );
    let listed = async |token: &str| {
        let list = json_of(&send(token, Method::GET, "/sessions", Value::Null).await);
        let ids = list["sessions"].as_array().unwrap().iter().map(|it| it["id"].clone());
        ids.map(|id| id.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(BOB).await, ["s0"]);
    let newest_first: Vec<String> = (0..10).rev().map(|number| format!("s{number}")).collect();
    assert_eq!(listed(ALICE).await, newest_first);
}

#[tokio::test]
async fn a_page_in_a_browser_talks_in_a_session_over_a_websocket() {
    const PAGE: &str = "https://app.example.com";
    let mut bindings = with_callers();
    bindings["ALLOWED_ORIGINS"] = json!(PAGE);
    let fixture = Fixture::with_bindings(bindings).await;
    let worker = &fixture.worker;
    let open = async || {
        let protocols = format!("bedrock-edge, bearer.{ALICE}");
        worker
            .handshake_with(Some(PAGE), Some(protocols))
            .await
            .map_err(|it| it.to_string())
            .unwrap()
    };
    let mut socket = open().await;
    let message = json!({ "session": true, "prompt": "first" }).to_string();
    socket.send(TEXT, message.as_bytes()).await;
    let first = socket.reply("first").await;
    let id = first.start["session"].as_str().unwrap().to_owned();
    // It may send the next prompt at once when the reply is there.
    for prompt in ["second", "third"] {
        socket.prompt(prompt).await;
        let reply = socket.reply(prompt).await;
        assert_eq!((&reply.start["session"], &*reply.last.name), (&json!(id), "done"), "{reply:?}");
    }
    socket.close().await;
    // After a reload.
    let mut socket = open().await;
    let message = json!({ "session": id, "prompt": "fourth" }).to_string();
    socket.send(TEXT, message.as_bytes()).await;
    assert_eq!(socket.reply("fourth").await.last.name, "done");
    let sent = fixture.bedrock_requests("first");
    assert_eq!(json_body(sent.last().unwrap())["messages"].as_array().unwrap().len(), 7);
    // The page reads the session over HTTP.
    let request = worker.request(Method::GET, &format!("/sessions/{id}")).bearer_auth(ALICE);
    let response = worker.send(request.header("origin", PAGE)).await;
    assert_eq!(response.header("access-control-allow-origin"), Some(PAGE), "{response}");
    let preflight = worker
        .request(Method::OPTIONS, &format!("/sessions/{id}"))
        .header("access-control-request-method", "DELETE")
        .header("origin", PAGE);
    let response = worker.send(preflight).await;
    let methods = response.header("access-control-allow-methods");
    assert_eq!(methods, Some("DELETE, GET, HEAD"), "{response}");
}

#[tokio::test]
async fn without_the_binding_a_session_is_refused_and_nothing_is_stored() {
    let storage = Arc::new(TempDir::new());
    let fixture = Fixture::with_storage(storage.clone(), json!({})).await;
    let worker = &fixture.worker;
    let response = ask(worker, true, "first").await;
    assert_eq!((response.status, response.header("x-session-id")), (400, None), "{response}");
    assert_eq!(worker.prompt("first").await.status, 200);
    assert_eq!(storage.durable_objects(), 0);
    // A session that nobody has leaves nothing either.
    let fixture = Fixture::with_storage(storage.clone(), bindings(&json!({}))).await;
    let unknown = "0123456789abcdef0123456789abcdef";
    assert_eq!(ask(&fixture.worker, unknown, "first").await.status, 404);
    let path = format!("/sessions/{unknown}");
    let response = fixture.worker.send(fixture.worker.request(Method::GET, &path)).await;
    assert_eq!(response.status, 404, "{response}");
    assert!(!is_on_disk(&storage, "CREATE TABLE sessions"));
}

#[tokio::test]
async fn a_session_that_is_too_long_loses_its_oldest_turns() {
    let fixture = Fixture::with_bindings(bindings(&json!({ "SESSION_MAX_TURNS": 2 }))).await;
    let worker = &fixture.worker;
    let id = ask(worker, true, "first").await.header("x-session-id").unwrap().to_owned();
    let mut dropped = Vec::new();
    for prompt in ["second", "third", "fourth"] {
        let response = ask(worker, &*id, prompt).await;
        assert_eq!(response.status, 200, "{response}");
        dropped.push(response.header("x-session-dropped-turns").map(str::to_owned));
    }
    assert_eq!(dropped, [None, Some("1".to_owned()), Some("1".to_owned())]);
    let sent = json_body(fixture.stub.requests().last().unwrap());
    assert_eq!(
        texts(&sent["messages"]).into_iter().step_by(2).collect::<Vec<_>>(),
        ["third", "fourth"]
    );
    let page = json_of(&worker.send(worker.request(Method::GET, &format!("/sessions/{id}"))).await);
    assert_eq!((&page["turns"], &page["dropped_turns"]), (&json!(2), &json!(2)), "{page}");
    assert_eq!(texts(&page["messages"]).len(), 4);
}

#[tokio::test]
async fn a_key_is_replaced_while_a_session_goes_on() {
    const NEW: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
    let storage = Arc::new(TempDir::new());
    let mut id = json!(true);
    for (keys, status) in [
        (KEY.to_owned(), 200),
        (format!("{NEW},{KEY}"), 200),
        // The first turn has the old key.
        (NEW.to_owned(), 500),
        (format!("{KEY},{NEW}"), 200),
    ] {
        let bindings = bindings(&json!({ "SESSION_KEY": keys }));
        let fixture = Fixture::with_storage(storage.clone(), bindings).await;
        let response = ask(&fixture.worker, id.clone(), "promptword").await;
        assert_eq!(response.status, status, "{response}");
        if status == 200 {
            id = json!(response.header("x-session-id"));
        } else {
            let line = fixture.worker.log_line(response.request_id()).await;
            let cause = "a stored turn of a session cannot be read: its key is not in SESSION_KEY";
            assert_eq!(
                (&line["outcome"], &line["error"]),
                (&json!("misconfigured"), &json!(cause))
            );
        }
        assert!(!is_on_disk(&storage, "promptword"));
    }
}
