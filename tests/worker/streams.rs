//! Replies as Server-Sent Events: which requests get them, their content, and their timing.

use std::time::Duration;

use bedrock_stub::reply::tokens;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::fixture::{Fixture, json_body};
use crate::support::sse::SseResponse;

const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";

#[tokio::test]
async fn a_request_gets_events_if_its_stream_field_or_accept_header_asks_for_them() {
    let fixture = Fixture::shared().await;
    let cases = [
        ("stream", r#""stream": true"#, None, EVENT_STREAM),
        (
            "stream, and another accepted type",
            r#""stream": true"#,
            Some("application/json"),
            EVENT_STREAM,
        ),
        (
            "the accepted type of an EventSource",
            r#""a": 1"#,
            Some("text/event-stream"),
            EVENT_STREAM,
        ),
        (
            "among other types",
            r#""a": 1"#,
            Some("text/html, Text/Event-Stream;q=0.5"),
            EVENT_STREAM,
        ),
        (
            "the field beats the accepted type",
            r#""stream": false"#,
            Some("text/event-stream"),
            JSON,
        ),
        ("neither", r#""stream": false"#, None, JSON),
        ("any type", r#""a": 1"#, Some("*/*"), JSON),
        ("events with a low weight", r#""a": 1"#, Some("text/event-stream;q=0.1, */*"), JSON),
        ("any text", r#""a": 1"#, Some("text/*, application/json"), JSON),
    ];
    for (case, field, accept, content_type) in cases {
        let prompt = format!("who asks for events: {case}");
        let mut request = fixture.worker.request(Method::POST, "/");
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let body = format!(r#"{{"prompt": {}, {field}}}"#, Value::from(prompt.as_str()));
        let response = fixture.worker.send(request.body(body)).await;
        assert_eq!(response.status, 200, "{case}: {response}");
        assert_eq!(response.header("content-type"), Some(content_type), "{case}: {response}");
        let operation =
            if content_type == JSON { "/invoke" } else { "/invoke-with-response-stream" };
        let received = fixture.bedrock_request(&prompt);
        assert!(received.target.ends_with(operation), "{case}: {}", received.target);
        // The path says that the reply is streamed: Bedrock's body has no such field.
        assert_eq!(json_body(&received).get("stream"), None, "{case}");
    }
}

#[tokio::test]
async fn head_events_and_log_line_describe_the_call() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let mut response = worker.stream("head of a stream").await;
    let head = &response.head;
    assert_eq!(head.status, 200, "{head}");
    let names: Vec<&str> = head.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "cache-control",
            "content-type",
            "server-timing",
            "transfer-encoding",
            "x-amzn-requestid",
            "x-bedrock-attempts",
            "x-bedrock-region",
            "x-content-type-options",
            "x-request-id",
        ],
        "{head}"
    );
    assert_eq!(head.header("content-type"), Some(EVENT_STREAM), "{head}");
    assert_eq!(head.header("cache-control"), Some("no-store, no-transform"), "{head}");
    assert_eq!(head.header("x-content-type-options"), Some("nosniff"), "{head}");
    assert_eq!(head.header("transfer-encoding"), Some("chunked"), "{head}");
    let (request_id, upstream_id) =
        (head.request_id().to_owned(), head.header("x-amzn-requestid").map(str::to_owned));

    let reply = response.reply("head").await;
    let expected = json!({
        "request_id": request_id,
        "model": "apac.anthropic.claude-sonnet-4-20250514-v1:0",
    });
    assert_eq!(reply.start, expected);
    let expected = json!({
        "input_prompt": "head of a stream",
        "generated_text":
            "You said: \"head of a stream\" (16 characters). This is the Bedrock stand-in.",
        "stop_reason": "end_turn",
        "usage": { "input_tokens": 4, "output_tokens": 22 },
    });
    assert_eq!(reply.last.data, expected);

    let line = worker.log_line(&request_id).await;
    assert!(line["upstream_ms"].as_u64() <= line["total_ms"].as_u64(), "{line}");
    let expected = json!({
        "level": "info",
        "outcome": "ok",
        "status": 200,
        "request_id": request_id,
        "model": "apac.anthropic.claude-sonnet-4-20250514-v1:0",
        "region": "ap-northeast-1",
        "upstream_status": 200,
        "x_amzn_requestid": upstream_id,
        "retries": 0,
        "input_tokens": 4,
        "output_tokens": 22,
        "stop_reason": "end_turn",
        "upstream_ms": line["upstream_ms"],
        "total_ms": line["total_ms"],
    });
    assert_eq!(line, expected);
}

#[tokio::test]
async fn the_deltas_are_the_tokens_of_the_text_without_streaming() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let cases = [
        ("English", json!({ "prompt": "word by word" }), "end_turn"),
        ("Japanese and emoji", json!({ "prompt": "東京は😀、👩‍👩‍👧‍👦と🇯🇵、𠮷野家" }), "end_turn"),
        (
            "characters that JSON escapes",
            json!({ "prompt": "a \"b\" \\ \u{1}\u{0}\n\u{2028}" }),
            "end_turn",
        ),
        ("the syntax of SSE", json!({ "prompt": "data: x\r\n\r\nevent: done\n\n:" }), "end_turn"),
        ("max_tokens", json!({ "prompt": "日本", "max_tokens": 3 }), "max_tokens"),
        (
            "a stop sequence",
            json!({ "prompt": "日本", "stop_sequences": ["と受け"] }),
            "stop_sequence",
        ),
        ("a system prompt", json!({ "prompt": "短く", "system": "簡潔に" }), "end_turn"),
    ];
    for (case, mut body, stop_reason) in cases {
        let buffered = worker.post(body.clone()).await;
        let buffered: Value = serde_json::from_str(&buffered.body).unwrap();
        body["stream"] = json!(true);
        let reply = worker.stream_with_body(&body).await.reply(case).await;
        assert_eq!(reply.last.data["input_prompt"], buffered["input_prompt"], "{case}");
        assert_eq!(reply.last.data["generated_text"], buffered["generated_text"], "{case}");
        assert_eq!(reply.last.data["stop_reason"], stop_reason, "{case}");
        assert_eq!(reply.deltas, tokens(buffered["generated_text"].as_str().unwrap()), "{case}");
    }
}

#[tokio::test]
async fn the_head_is_sent_with_the_first_frame_and_not_with_the_last() {
    // A fixture of its own, because the stand-in counts the frames of all streams together.
    let Fixture { worker, stub } = Fixture::with_bindings(json!({})).await;
    const PACE: u64 = 300;
    let started = Instant::now();
    let response = worker.stream(&format!("fault:pace:{PACE}")).await;
    assert_eq!(response.head.status, 200, "{}", response.head);
    assert!(started.elapsed() >= Duration::from_millis(PACE), "{:?}", started.elapsed());
    // The head does not wait for the last frame either.
    let sent = stub.streams().frames_sent;
    assert!((1..10).contains(&sent), "{sent} frames when the head arrived");
}

#[tokio::test]
async fn each_event_is_sent_when_its_frame_arrives() {
    let fixture = Fixture::with_bindings(json!({})).await;
    const PACE: Duration = Duration::from_millis(50);
    let mut response = fixture.worker.stream("fault:pace:50").await;
    let mut deltas = Vec::new();
    while let Some(event) = response.next().await {
        if event.name == "delta" {
            deltas.push((Instant::now(), fixture.stub.streams().frames_sent));
        }
    }
    let all = fixture.stub.streams().frames_sent;
    let ((first, at_first), (last, at_last)) = (deltas[0], deltas[deltas.len() - 1]);
    let gaps = u32::try_from(deltas.len() - 1).unwrap();
    assert!(gaps > 15, "{gaps}");
    // Half of the real pace, because the machine may be busy.
    assert!(last - first > PACE * gaps / 2, "{:?}", last - first);
    assert!(at_first < all / 2 && at_first < at_last, "{at_first}, {at_last} of {all} frames");
}

#[tokio::test]
async fn deltas_that_arrive_close_together_share_a_chunk_except_the_first() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let mut seen = Vec::new();
    // Several attempts, because the machine may be busy.
    for _ in 0..20 {
        let mut response = worker.stream("fault:pace:1").await;
        let mut chunks = Vec::new();
        while let Some(event) = response.next().await {
            if event.name == "delta" {
                chunks.push(response.chunks);
            }
        }
        let with_the_first = chunks.iter().filter(|&&chunk| chunk == chunks[0]).count();
        let deltas = chunks.len();
        chunks.dedup();
        if with_the_first == 1 && chunks.len() <= deltas / 2 {
            return;
        }
        seen.push((with_the_first, chunks.len(), deltas));
    }
    panic!("(deltas in the first chunk, chunks with deltas, deltas) of each attempt: {seen:?}");
}

#[tokio::test]
async fn a_connection_serves_one_stream_after_another() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let mut connection = worker.connect().await;
    for number in 0..3 {
        let prompt = format!("stream {number} of a connection");
        connection.post(&json!({ "prompt": prompt, "stream": true })).await;
        let mut response = SseResponse::from_connection(connection).await;
        let reply = response.reply(&prompt).await;
        assert!(reply.text().contains(&prompt), "{reply}");
        connection = response.connection;
    }
    connection.post(&json!({ "prompt": "and no stream" })).await;
    let response = connection.response().await;
    assert!(response.body.contains("and no stream"), "{response}");
}
