//! Prompts over a WebSocket, of which one connection takes many.
//!
//! Out of scope: clients that disconnect (cancellation.rs).

use std::time::Duration;

use bedrock_stub::reply::tokens;
use futures_util::future::select_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::fixture::{Fixture, json_body};
use crate::support::websocket::{BINARY, ServerMessage, TEXT};

const FAILED: &str = "Error: Bedrock invocation failed";
const INVALID: &str = "Error: Invalid Bedrock response";

#[tokio::test]
async fn replies_to_many_prompts_arrive_in_order() {
    let fixture = Fixture::shared().await;
    let mut socket = fixture.worker.open_websocket().await;
    // The client sends all prompts at once. The first is the slowest.
    let prompts: Vec<String> = (0..12)
        .map(|number| match number {
            0 => "fault:slow:200 socket 0".to_owned(),
            1 => "fault:pace:5 socket 1".to_owned(),
            _ => format!("ソケット {number} 😀"),
        })
        .collect();
    for prompt in &prompts {
        socket.prompt(prompt).await;
    }
    for prompt in &prompts {
        let reply = socket.reply(prompt).await;
        assert_eq!(reply.last.data["input_prompt"], *prompt, "{reply}");
        assert_eq!(reply.last.data["stop_reason"], "end_turn", "{reply}");
        let text = reply.last.data["generated_text"].as_str().unwrap();
        assert!(text.contains(prompt), "{reply}");
        assert_eq!(reply.deltas, tokens(text), "{prompt}");

        let line = fixture.worker.log_line(reply.request_id()).await;
        let usage = &reply.last.data["usage"];
        let expected = json!({
            "level": "info",
            "outcome": "ok",
            "status": 200,
            "request_id": reply.start["request_id"],
            "model": reply.start["model"],
            "region": "ap-northeast-1",
            "upstream_status": 200,
            "x_amzn_requestid": line["x_amzn_requestid"],
            "retries": 0,
            "input_tokens": usage["input_tokens"],
            "output_tokens": usage["output_tokens"],
            "stop_reason": "end_turn",
            "upstream_ms": line["upstream_ms"],
            "total_ms": line["total_ms"],
        });
        assert_eq!(line, expected, "{prompt}");
        assert!(line["x_amzn_requestid"].is_string(), "{prompt}: {line}");
    }
}

#[tokio::test]
async fn a_message_has_the_same_fields_as_a_request_body() {
    let fixture = Fixture::shared().await;
    let mut socket = fixture.worker.open_websocket().await;
    let body = json!({
        "prompt": "a message with everything",
        "max_tokens": 3,
        "temperature": 0.25,
        "system": "S",
        "stop_sequences": ["x"],
        "stream": false,
    });
    // As a text message, and below as a binary message.
    socket.send(TEXT, body.to_string().as_bytes()).await;
    let reply = socket.reply("a text").await;
    assert_eq!(reply.last.data["stop_reason"], "max_tokens", "{reply}");
    assert_eq!(reply.text(), "You said:", "{reply}");
    let received = fixture.bedrock_request("a message with everything");
    assert!(received.target.ends_with("/invoke-with-response-stream"), "{}", received.target);
    let expected = json!({
        "anthropic_version": "bedrock-2023-05-31",
        "messages": [{ "role": "user", "content": "a message with everything" }],
        "max_tokens": 3,
        "temperature": 0.25,
        "system": "S",
        "stop_sequences": ["x"],
    });
    assert_eq!(json_body(&received), expected);

    socket.send(BINARY, r#"{"prompt": "バイト列"}"#.as_bytes()).await;
    let reply = socket.reply("bytes").await;
    assert_eq!(reply.last.data["input_prompt"], "バイト列", "{reply}");
    // As for an empty body, the default prompt is used.
    for (case, message) in [("an empty text", ""), ("an empty object", "{}")] {
        socket.send(TEXT, message.as_bytes()).await;
        let reply = socket.reply(case).await;
        assert_eq!(reply.last.data["input_prompt"], "Hello, how can I help you?", "{case}");
    }
}

#[tokio::test]
async fn an_error_is_an_event_and_the_connection_stays_open() {
    // A fixture of its own, because a request that fails before `start` is found in the log by
    // number.
    let limits = json!({ "MAX_BODY_BYTES": 2000 });
    let Fixture { worker, stub: _stub } = Fixture::with_bindings(limits).await;
    let mut socket = worker.open_websocket().await;
    let prompt = |prompt: &str| json!({ "prompt": prompt }).to_string().into_bytes();
    let cases = [
        (
            "not JSON",
            b"Hello".to_vec(),
            "",
            400,
            ("invalid_request", "Error: the body is not JSON: expected value at line 1 column 1"),
            false,
        ),
        (
            "a blank prompt",
            prompt(" "),
            "",
            400,
            ("invalid_request", "Error: prompt must not be blank"),
            false,
        ),
        (
            "too long",
            prompt(&"x".repeat(2000)),
            "",
            413,
            ("payload_too_large", "Error: the body must have 2000 bytes at most"),
            false,
        ),
        ("throttled", prompt("fault:throttled"), "", 500, ("throttled", FAILED), true),
        ("no access", prompt("fault:access_denied"), "", 500, ("access_denied", FAILED), false),
        ("no frame", prompt("fault:stream_empty"), "", 500, ("truncated", INVALID), true),
        ("no response", prompt("fault:hang_up_before"), "", 500, ("unavailable", FAILED), true),
        (
            "after the first delta",
            prompt("fault:stream_exception"),
            "You",
            200,
            ("throttled", FAILED),
            true,
        ),
        ("cut off", prompt("fault:stream_cut"), "You", 200, ("truncated", INVALID), true),
        (
            "damaged",
            prompt("fault:stream_bad_crc"),
            "You",
            200,
            ("invalid_response", INVALID),
            false,
        ),
    ];
    for (number, (case, message, text, status, (code, error), retryable)) in (1..).zip(cases) {
        socket.send(TEXT, &message).await;
        let reply = socket.reply(case).await;
        assert_eq!(reply.text(), text, "{case}: {reply}");
        assert_eq!(reply.start == Value::Null, status != 200, "{case}: {reply}");
        reply.assert_error(case, code, error, retryable);
        let line = worker.nth_log_line(number).await;
        assert_eq!((&line["outcome"], &line["status"]), (&json!(code), &json!(status)), "{line}");
        assert!(line["total_ms"].is_u64(), "{line}");
    }
    socket.prompt("after all the errors").await;
    let reply = socket.reply("after").await;
    assert_eq!(reply.last.name, "done", "{reply}");
}

#[tokio::test]
async fn a_message_may_have_one_mebibyte_by_default() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let mut socket = worker.open_websocket().await;
    for (length, end) in [(1 << 20, "done"), ((1 << 20) + 1, "error"), (20 << 20, "error")] {
        let mut message = r#"{"prompt": "much ado about a socket"}"#.to_owned();
        message.push_str(&" ".repeat(length - message.len()));
        socket.send(TEXT, message.as_bytes()).await;
        let reply = socket.reply("length").await;
        assert_eq!(reply.last.name, end, "{length} bytes: {reply}");
    }
}

#[tokio::test]
async fn more_than_sixteen_unanswered_prompts_close_the_connection() {
    let fixture = Fixture::with_bindings(json!({})).await;
    let mut socket = fixture.worker.open_websocket().await;
    // The prompt whose reply is on its way counts as one of the sixteen.
    socket.prompt("fault:stream_stall").await;
    for name in ["start", "delta"] {
        assert_eq!(socket.next_event().await.name, name);
    }
    for _ in 1..16 {
        socket.prompt("waits").await;
    }
    assert_eq!(fixture.stub.streams().open(), 1);
    socket.prompt("one too many").await;
    match socket.next_message().await {
        ServerMessage::Close(1008, reason) => assert_eq!(reason, "too many prompts at once"),
        other => panic!("{other:?}"),
    }
    fixture.wait_for_streams("the stream to be cancelled", |it| it.cancelled == 1).await;
    // None of the waiting prompts reaches Bedrock.
    assert_eq!(fixture.stub.requests().len(), 1);
    assert_eq!(fixture.worker.nth_log_line(1).await["outcome"], "cancelled");
    // A new connection takes sixteen prompts at once.
    let mut socket = fixture.worker.open_websocket().await;
    for number in 0..16 {
        socket.prompt(&format!("one of many: {number}")).await;
    }
    for number in 0..16 {
        let reply = socket.reply("one of many").await;
        assert_eq!(reply.last.data["input_prompt"], format!("one of many: {number}"), "{reply}");
    }
}

#[tokio::test]
async fn more_than_four_mebibytes_of_unanswered_prompts_close_the_connection() {
    let fixture = Fixture::with_bindings(json!({ "MAX_BODY_BYTES": 6 << 20 })).await;
    let message = |mebibytes: usize| {
        let body = r#"{"prompt": "much ado"}"#;
        body.to_owned() + &" ".repeat((mebibytes << 20) - body.len())
    };
    // A message that waits for nothing may be longer.
    let mut socket = fixture.worker.open_websocket().await;
    socket.send(TEXT, message(6).as_bytes()).await;
    assert_eq!(socket.reply("alone").await.last.name, "done");

    socket.prompt("fault:stream_stall").await;
    for name in ["start", "delta"] {
        assert_eq!(socket.next_event().await.name, name);
    }
    socket.send(TEXT, message(3).as_bytes()).await;
    socket.send(BINARY, message(2).as_bytes()).await;
    match socket.next_message().await {
        ServerMessage::Close(1008, reason) => assert_eq!(reason, "too many prompts at once"),
        other => panic!("{other:?}"),
    }
    fixture.wait_for_streams("the stream to be cancelled", |it| it.cancelled == 1).await;
    assert_eq!(fixture.stub.requests().len(), 2);
}

#[tokio::test]
async fn a_misconfigured_worker_rejects_the_handshake_with_an_envelope() {
    let bindings = json!({ "AWS_ACCESS_KEY_ID": null });
    let Fixture { worker, stub: _stub } = Fixture::with_bindings(bindings).await;
    let Err(response) = worker.handshake().await else { panic!("expected the handshake to fail") };
    response.assert_envelope("misconfigured", 500, "", "Error: Internal server error");
    assert_eq!(response.header("x-error-code"), Some("misconfigured"), "{response}");
    assert_eq!(worker.log_line(response.request_id()).await["outcome"], "misconfigured");
}

#[tokio::test]
async fn the_opening_of_a_websocket_is_logged() {
    let Fixture { worker, stub: _stub } = Fixture::with_bindings(json!({})).await;
    worker.open_websocket().await;
    let line = worker.opening_line().await;
    assert_eq!((&line["outcome"], &line["level"]), (&json!("ok"), &json!("info")), "{line}");
    assert!(line["request_id"].is_string(), "{line}");
}

/// Idle for ten times BEDROCK_STALL_MS.
#[tokio::test]
async fn an_idle_websocket_is_closed() {
    let bindings = json!({ "BEDROCK_STALL_MS": 300 });
    let Fixture { worker, stub: _stub } = Fixture::with_bindings(bindings).await;
    let mut socket = worker.open_websocket().await;
    let opened = Instant::now();
    sleep(Duration::from_secs(2)).await;
    // A message starts the time again, when its reply has ended.
    socket.prompt("not idle").await;
    socket.reply("not idle").await;
    match socket.next_message().await {
        ServerMessage::Close(1001, reason) => assert_eq!(reason, "idle"),
        other => panic!("{other:?}"),
    }
    assert!(opened.elapsed() >= Duration::from_secs(5), "{:?}", opened.elapsed());
}

/// Tests the limit for all sockets: many of them do not take the memory that one may not.
#[tokio::test]
async fn more_than_eight_mebibytes_of_unanswered_prompts_on_all_connections_close_the_next() {
    let fixture = Fixture::with_bindings(json!({ "MAX_BODY_BYTES": 4 << 20 })).await;
    let long = r#"{"prompt": "much ado"}"#.to_owned() + &" ".repeat(3 << 20);
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = fixture.worker.open_websocket().await;
        socket.prompt("fault:stream_stall").await;
        for name in ["start", "delta"] {
            assert_eq!(socket.next_event().await.name, name);
        }
        socket.send(TEXT, long.as_bytes()).await;
        sockets.push(socket);
    }
    // The one whose message is the last to arrive.
    let messages = sockets.iter_mut().map(|socket| Box::pin(socket.next_message()));
    match select_all(messages).await.0 {
        ServerMessage::Close(1013, reason) => assert_eq!(reason, "too many prompts at once"),
        other => panic!("{other:?}"),
    }
    // When the Worker has noticed that they have gone, the next one is welcome.
    sockets.into_iter().for_each(|socket| socket.connection.reset());
    fixture.wait_for_streams("the streams to be cancelled", |it| it.cancelled == 3).await;
    for _ in 0..50 {
        let mut socket = fixture.worker.open_websocket().await;
        socket.send(TEXT, long.as_bytes()).await;
        if let ServerMessage::Event(event) = socket.next_message().await {
            assert_eq!(event.name, "start");
            while socket.next_event().await.name != "done" {}
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the memory of the sockets that have gone is not given back");
}
