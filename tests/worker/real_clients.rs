//! Third-party clients: EventSource and WebSocket in Node.js, and clients that sign with SigV4:
//! curl, aws4fetch, and the signer of the AWS SDK for JavaScript.

use std::process::Stdio;

use bedrock_edge_tests::root;
use bedrock_stub::reply::tokens;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::client::TIMEOUT;
use crate::support::events::{Event, StreamedReply};
use crate::support::fixture::Fixture;
use crate::support::signer::{CLIENT_KEY_ID, CLIENT_SECRET};

const PROMPTS: [&str; 3] =
    ["今日の東京は晴れ☀️、気分は😀です。", "👩‍👩‍👧‍👦と🇯🇵と𠮷野家、é と e\u{301}", "plain English"];

/// Runs a script of tests/clients, and parses the events that it prints.
async fn run_script(script: &str, arguments: &[&str]) -> Vec<Event> {
    // The version in package-lock.json, because the system's may be too old.
    let node = Command::new(root().join("node_modules/.bin/node"))
        .arg(root().join("tests/clients").join(script))
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(TIMEOUT, node).await.expect("the client exits in time").unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let Ok(Value::Array(events)) = serde_json::from_slice(&output.stdout) else {
        panic!("{script}: {}\n{errors}", String::from_utf8_lossy(&output.stdout));
    };
    let event = |mut event: Value| {
        let name = event["event"].as_str().unwrap().to_owned();
        Event { name, data: event["data"].take() }
    };
    events.into_iter().map(event).collect()
}

/// Asserts that a streamed reply has the same text as the response without streaming, in deltas of
/// one token each.
async fn assert_same_as_buffered(fixture: &Fixture, prompt: &str, reply: &StreamedReply) {
    assert_eq!(reply.last.name, "done", "{reply}");
    let buffered: Value = serde_json::from_str(&fixture.worker.prompt(prompt).await.body).unwrap();
    let text = buffered["generated_text"].as_str().unwrap();
    assert!(text.contains(prompt), "{buffered}");
    assert_eq!(reply.deltas, tokens(text), "{prompt}");
    assert_eq!(reply.last.data["generated_text"], text, "{reply}");
    assert_eq!(reply.last.data["input_prompt"], buffered["input_prompt"], "{reply}");
}

#[tokio::test]
async fn an_event_source_gets_every_event_and_error() {
    let fixture = Fixture::shared().await;
    let url = format!("http://{}/", fixture.worker.address);
    for prompt in PROMPTS {
        // EventSource sends `Accept: text/event-stream`, so the body needs no `stream`.
        let body = json!({ "prompt": prompt }).to_string();
        let events = run_script("eventsource.mjs", &[&url, &body]).await;
        assert_same_as_buffered(fixture, prompt, &StreamedReply::from_events(prompt, &events))
            .await;
    }
    let body = json!({ "prompt": "fault:stream_exception" }).to_string();
    let events = run_script("eventsource.mjs", &[&url, &body]).await;
    let reply = StreamedReply::from_events("an error", &events);
    reply.assert_error("an error", "throttled", "Error: Bedrock invocation failed", true);
    assert_eq!(reply.text(), "You");
    // An error status makes EventSource fail.
    let body = json!({ "prompt": "fault:stream_exception:0" }).to_string();
    let events = run_script("eventsource.mjs", &[&url, &body]).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].name, "failed", "{events:?}");
    assert!(events[0].data.as_str().unwrap_or_default().contains("500"), "{events:?}");
}

#[tokio::test]
async fn the_sample_for_browsers_shows_the_whole_text() {
    let fixture = Fixture::shared().await;
    let url = format!("http://{}/", fixture.worker.address);
    let separators = "a\u{85}b\u{2028}c\u{2029}d\u{b}e\u{c}f\u{1c}g\r\nh";
    for prompt in PROMPTS.iter().chain([&separators]) {
        let events = run_script("page.mjs", &[&url, prompt]).await;
        let buffered: Value =
            serde_json::from_str(&fixture.worker.prompt(prompt).await.body).unwrap();
        assert_eq!(events[0].data, buffered["generated_text"], "{prompt:?}");
        assert_eq!(events[1].data, true, "a response that escapes no line separator");
    }
}

#[tokio::test]
async fn nodes_websocket_gets_every_reply_in_order() {
    let fixture = Fixture::shared().await;
    let url = format!("ws://{}/ws", fixture.worker.address);
    let mut arguments = vec![url.as_str(), "fault:stream_exception"];
    arguments.extend(PROMPTS);
    let events = run_script("websocket.mjs", &arguments).await;
    let mut responses: Vec<&[Event]> = events.split_inclusive(Event::is_last).collect();
    assert_eq!(responses.len(), 1 + PROMPTS.len(), "{events:?}");
    let failed = StreamedReply::from_events("an error", responses.remove(0));
    failed.assert_error("an error", "throttled", "Error: Bedrock invocation failed", true);
    for (prompt, response) in PROMPTS.iter().zip(responses) {
        assert_same_as_buffered(fixture, prompt, &StreamedReply::from_events(prompt, response))
            .await;
    }
}

/// Starts a Worker that accepts signatures only.
async fn fixture_with_client_key() -> Fixture {
    Fixture::with_bindings(
        json!({ "AUTH": null, "CLIENT_KEYS": format!("{CLIENT_KEY_ID}:{CLIENT_SECRET}") }),
    )
    .await
}

/// Runs a client, and parses its output: the body, and the status on the last line.
async fn status_and_body(mut command: Command) -> (u16, String) {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(TIMEOUT, output).await.expect("the client exits in time").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let (body, status) = text.trim_end().rsplit_once('\n').unwrap_or(("", &text));
    (status.parse().unwrap_or_else(|_| panic!("{text}{errors}")), body.to_owned())
}

#[tokio::test]
async fn requests_signed_by_curl_are_accepted_if_the_signature_is_valid() {
    let fixture = fixture_with_client_key().await;
    let url = format!("http://{}/", fixture.worker.address);
    let curl = |user: &str, scope: &str, body: &str, more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}"])
            .args(["--aws-sigv4", scope, "--user", user])
            .args(["--header", "content-type: application/json", "--data", body])
            .args(more)
            .arg(&url);
        status_and_body(curl)
    };
    let user = format!("{CLIENT_KEY_ID}:{CLIENT_SECRET}");
    let body = r#"{"prompt":"こんにちは"}"#;
    for service in ["bedrock", "execute-api", "lambda"] {
        let scope = format!("aws:amz:ap-northeast-1:{service}");
        let (status, body) = curl(&user, &scope, body, &[]).await;
        assert_eq!(status, 200, "{service}: {body}");
        assert!(body.starts_with(r#"{"input_prompt":"こんにちは","#), "{service}: {body}");
    }
    let scope = "aws:amz:ap-northeast-1:bedrock";
    for (case, user, scope) in [
        ("a wrong secret", format!("{CLIENT_KEY_ID}:{CLIENT_SECRET}x"), scope),
        ("an unknown key", format!("EDGEUNKNOWN7EXAMPLES:{CLIENT_SECRET}"), scope),
        ("another region", user.clone(), "aws:amz:us-east-1:bedrock"),
        ("another service", user.clone(), "aws:amz:ap-northeast-1:s3"),
    ] {
        let (status, body) = curl(&user, scope, body, &[]).await;
        assert_eq!(status, 401, "{case}: {body}");
    }
    assert_eq!(fixture.stub.requests().len(), 3);
}

#[tokio::test]
async fn requests_signed_by_javascript_libraries_are_accepted_if_the_signature_is_valid() {
    let fixture = fixture_with_client_key().await;
    let url = format!("http://{}/?x=1&y=a%20b", fixture.worker.address);
    for signer in ["aws4fetch", "smithy"] {
        for (secret, expected) in [(CLIENT_SECRET, 200), ("wrong", 401)] {
            let mut node = Command::new(root().join("node_modules/.bin/node"));
            node.arg(root().join("tests/clients/signers.mjs"));
            node.args([signer, &url, CLIENT_KEY_ID, secret, r#"{"prompt":"こんにちは"}"#]);
            let (status, body) = status_and_body(node).await;
            assert_eq!(status, expected, "{signer}: {body}");
        }
    }
    assert_eq!(fixture.stub.requests().len(), 2);
}
