//! The events of a streamed reply and its record, from the bytes of Bedrock's response.

use bedrock_stub::events::{events, text_delta};
use bedrock_stub::frames::{Frame, chunk, encode, error, exception};
use serde_json::Value;

use super::*;
use crate::api::StreamEvent;
use crate::config::Level;
use crate::host::{BodyStream, Runtime};
use crate::identifier::Identifier;

const PROMPT: &str = "himitsu の計画を要約してください。";

/// Returns the events of a reply with this text.
fn reply(text: &str) -> Vec<Value> {
    events(&json!({
        "content": [{ "type": "text", "text": text }],
        "stop_reason": "end_turn",
        "usage": { "input_tokens": 12, "output_tokens": 7 },
    }))
}

fn encoded(events: &[Value]) -> Vec<u8> {
    events.iter().flat_map(|event| encode(&chunk(event))).collect()
}

/// Returns the numbers of tokens and the text `はい`.
fn beginning() -> Vec<u8> {
    let started = message_start(json!({ "input_tokens": 12, "output_tokens": 1 }));
    encoded(&[started, text_delta(0, "は"), text_delta(0, "い")])
}

fn end() -> Vec<u8> {
    encoded(&[json!({ "type": "message_stop" })])
}

/// Returns the WebSocket messages of a reply that arrives in these chunks, and the record.
async fn run(chunks: Vec<&[u8]>) -> (Vec<Value>, Record) {
    let chunks = chunks.into_iter().map(Bytes::copy_from_slice);
    take(usize::MAX, Watched::in_chunks(chunks)).await
}

/// Returns the first `count` messages, and the record of a client that disconnects then.
async fn take(count: usize, body: Watched) -> (Vec<Value>, Record) {
    let host = Scripted::new().then(200, &[], body);
    let isolate = isolate(&[ONCE]);
    let socket = WebSocket::trusted(&isolate).unwrap();
    let message = json!({ "prompt": PROMPT }).to_string();
    let parsed = |message: String| serde_json::from_str(&message).unwrap();
    let mut streaming = match socket_handler(message.into(), &socket, &host).await {
        Ok(streaming) => streaming,
        Err((message, record)) => return (vec![parsed(message)], record),
    };
    let (mut messages, mut is_over) = (Vec::new(), false);
    while messages.len() < count {
        let Some(event) = streaming.next(&host).await else {
            assert!(streaming.next(&host).await.is_none() && streaming.generation.is_over());
            break;
        };
        assert!(!is_over, "{messages:?}, then {event:?}");
        is_over = event.is_last();
        messages.push(parsed(event.to_message()));
    }
    host.pass(Scripted::STEP);
    (messages, streaming.generation.finish(host.now()).0)
}

/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html>
#[tokio::test]
async fn an_exception_ends_a_stream_with_its_code() {
    const FAILED: &str = "Error: Bedrock invocation failed";
    const WORDS: &str = "Too many requests";
    let other = |kind| error(kind, WORDS);
    let of = |kind| exception(kind, WORDS);
    let claude =
        |kind| chunk(&json!({ "type": "error", "error": { "type": kind, "message": WORDS } }));
    let with_payload =
        |payload: &str| Frame { payload: payload.into(), ..of("throttlingException") };
    #[rustfmt::skip]
    let cases = [
        ("throttling", of("throttlingException"), "throttled", true, "ThrottlingException: Too many requests"),
        ("unavailable", of("serviceUnavailableException"), "unavailable", true, "ServiceUnavailableException: Too many requests"),
        ("model", of("modelStreamErrorException"), "model_error", true, "ModelStreamErrorException: Too many requests (a message of 46 bytes with the SHA-256 f6f141cc… (LOG_UPSTREAM_MESSAGES=full logs it))"),
        ("timeout", of("modelTimeoutException"), "timeout", true, "ModelTimeoutException: Too many requests"),
        ("internal", of("internalServerException"), "unavailable", true, "InternalServerException: Too many requests"),
        ("validation", of("validationException"), "rejected", false, "ValidationException: Too many requests"),
        ("access", of("accessDeniedException"), "access_denied", false, "AccessDeniedException: Too many requests"),
        ("a capital first letter", of("ThrottlingException"), "throttled", true, "ThrottlingException: Too many requests"),
        ("unknown", of("novelException"), "unavailable", true, "NovelException: Too many requests"),
        ("without a type", of(""), "unavailable", true, "an error without a type: Too many requests"),
        ("of a type that is not ASCII", of("例外"), "unavailable", true, "an error without a type: Too many requests"),
        ("without a payload", with_payload(""), "throttled", true, "ThrottlingException"),
        ("with HTML", with_payload("<html>"), "throttled", true, "ThrottlingException"),
        ("with a capital Message", with_payload(r#"{"Message": "Overloaded"}"#), "throttled", true, "ThrottlingException: Overloaded"),
        ("an error message", other("InternalFailure"), "unavailable", true, "InternalFailure: Too many requests"),
        ("an error message of a known type", other("ThrottlingException"), "throttled", true, "ThrottlingException: Too many requests"),
        ("Claude's", claude("overloaded_error"), "unavailable", true, "overloaded_error: Too many requests"),
        ("Claude's, of an invalid type", claude("over loaded"), "unavailable", true, "an error without a type: Too many requests"),
    ];
    let mut wrong = Vec::new();
    for (name, frame, code, retryable, cause) in cases {
        let frame = encode(&frame);
        for (place, before) in [("first", vec![]), ("after text", beginning())] {
            let (messages, record) = run(vec![&before, &frame, &end()]).await;
            let last = messages.last().unwrap();
            let error = record.error.as_ref().unwrap().as_str();
            let actual = (last, record.outcome, error);
            let data = json!({ "code": code, "message": FAILED, "retryable": retryable });
            if actual != (&json!({ "event": "error", "data": data }), code, cause) {
                wrong.push(format!("{name}, {place}: {actual:?}"));
            }
            assert_eq!(record.level, Level::Error, "{name}, {place}");
            let status = if place == "first" { 500 } else { 200 };
            assert_eq!(record.status, status, "{name}, {place}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Generated text as well as the prompt, in whatever form.
#[tokio::test]
async fn of_an_unknown_exception_type_length_and_hash_are_logged() {
    for quotation in [PROMPT, "はい", r"\u306f\u3044", SECRET_ACCESS_KEY, "Authorization=AWS4-HMAC"]
    {
        let message = format!("after {quotation} it ended");
        let frames = [
            exception("validationException", &message),
            error("ValidationException", &message),
            chunk(&json!({
                "type": "error",
                "error": { "type": "ValidationException", "message": message },
            })),
        ];
        for frame in frames {
            for before in [vec![], beginning()] {
                let (_, record) = run(vec![&before, &encode(&frame)]).await;
                let logged = record.error.unwrap();
                let start = format!(
                    "ValidationException: a message of {} bytes with the SHA-256 ",
                    message.len()
                );
                assert!(logged.as_str().starts_with(&start), "{quotation}: {logged:?}");
                assert!(!logged.as_str().contains(quotation), "{quotation}: {logged:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_fails_ends_the_stream_as_unavailable() {
    let beginning = beginning();
    let cases: [(&str, Vec<&[u8]>, &str); 3] = [
        ("at once", vec![], "cannot read the response: reset of [redacted]"),
        ("between two frames", vec![&beginning], "cannot read the response: reset of [redacted]"),
        (
            "inside a frame",
            vec![&beginning, &[0; 5]],
            "cannot read the response: reset of [redacted]",
        ),
    ];
    for (name, chunks, cause) in cases {
        let chunks = chunks.into_iter().map(Bytes::copy_from_slice);
        let body = Watched::in_chunks(chunks).then_broken("reset of AKIAIOSFODNN7EXAMPLE");
        let (messages, record) = take(usize::MAX, body).await;
        let data = json!({
            "code": "unavailable",
            "message": "Error: Bedrock invocation failed",
            "retryable": true,
        });
        let expected = json!({ "event": "error", "data": data });
        assert_eq!(messages.last(), Some(&expected), "{name}");
        assert_eq!(record.outcome, "unavailable", "{name}");
        assert_eq!(record.error.unwrap().as_str(), cause, "{name}");
    }
}

fn message_start(usage: Value) -> Value {
    json!({ "type": "message_start", "message": { "usage": usage } })
}

fn message_delta(reason: Value, usage: Value) -> Value {
    json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": usage })
}

#[tokio::test]
async fn the_record_has_the_tokens_and_the_stop_reason_as_far_as_they_arrived() {
    let (text, stop) = (text_delta(0, "a"), json!({ "type": "message_stop" }));
    let error = json!({ "type": "error", "error": { "type": "overloaded_error" } });
    let started = message_start(json!({ "input_tokens": 12, "output_tokens": 1 }));
    let delta = message_delta(json!("max_tokens"), json!({ "output_tokens": 7 }));
    let all = usize::MAX;
    #[rustfmt::skip]
    let cases = [
        ("whole", all, vec![&started, &text, &delta, &stop], "ok", (Some(12), Some(7), Some("max_tokens"))),
        ("no message_delta", all, vec![&started, &text, &stop], "ok", (Some(12), Some(1), None)),
        ("no message_start", all, vec![&text, &delta, &stop], "ok", (None, Some(7), Some("max_tokens"))),
        ("neither", all, vec![&text, &stop], "ok", (None, None, None)),
        ("an error after message_start", all, vec![&started, &text, &error], "unavailable", (Some(12), Some(1), None)),
        ("an error after message_delta", all, vec![&started, &text, &delta, &error], "unavailable", (Some(12), Some(7), Some("max_tokens"))),
        ("cut after message_delta", all, vec![&started, &text, &delta], "truncated", (Some(12), Some(7), Some("max_tokens"))),
        ("disconnected at once", 0, vec![&started, &text, &delta, &stop], "cancelled", (Some(12), Some(1), None)),
        ("disconnected after start", 1, vec![&started, &text, &delta, &stop], "cancelled", (Some(12), Some(1), None)),
        ("disconnected after a delta", 2, vec![&started, &text, &delta, &stop], "cancelled", (Some(12), Some(1), None)),
        ("disconnected after the last delta", 3, vec![&started, &text, &delta, &text, &stop], "cancelled", (Some(12), Some(7), Some("max_tokens"))),
        ("disconnected after done", 3, vec![&started, &text, &delta, &stop], "ok", (Some(12), Some(7), Some("max_tokens"))),
    ];
    let mut wrong = Vec::new();
    for (name, count, events, outcome, known) in cases {
        let frames = events.into_iter().map(|it| encode(&chunk(it)));
        let (_, record) = take(count, Watched::in_chunks(frames)).await;
        let reason = record.stop_reason.as_ref().map(Identifier::as_str);
        let actual = (record.outcome, (record.input_tokens, record.output_tokens, reason));
        if actual != (outcome, known) {
            wrong.push(format!("{name}: {actual:?}"));
        }
        assert_eq!(record.total_time, Some(Scripted::STEP * 2), "{name}");
        assert_eq!(record.level == Level::Error, !["ok", "cancelled"].contains(&outcome), "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_later_number_of_tokens_replaces_an_earlier_one() {
    let stop = json!({ "type": "message_stop" });
    #[rustfmt::skip]
    let cases = [
        ("grown", message_delta(json!("end_turn"), json!({ "input_tokens": 20, "output_tokens": 7 })), (Some(20), Some(7))),
        ("null", message_delta(json!("end_turn"), json!({ "input_tokens": null, "output_tokens": null })), (Some(12), Some(1))),
        ("not there", message_delta(json!("end_turn"), json!({})), (Some(12), Some(1))),
        ("zero", message_delta(json!("end_turn"), json!({ "output_tokens": 0 })), (Some(12), Some(0))),
    ];
    for (name, delta, expected) in cases {
        let started = message_start(json!({ "input_tokens": 12, "output_tokens": 1 }));
        let (messages, record) =
            run(vec![&encoded(&[started, text_delta(0, "は"), delta, stop.clone()])]).await;
        let last = messages.last().unwrap();
        assert_eq!(last["event"], "done", "{name}");
        let usage = json!({ "input_tokens": expected.0, "output_tokens": expected.1 });
        assert_eq!(last["data"]["usage"], usage, "{name}");
        assert_eq!((record.input_tokens, record.output_tokens), expected, "{name}");
    }
}

/// Both by `next` and as a `Stream`.
#[tokio::test]
async fn a_chunk_is_read_when_an_event_is_wanted_and_none_is_left() {
    let mut frames: Vec<_> = reply("はい。").iter().map(|it| encode(&chunk(it))).collect();
    let joined = frames.concat();
    frames.push(beginning());
    let cases = [
        // start: 1; three deltas, behind content_block_start and ping; done.
        ("a frame each", frames, vec![1, 4, 5, 6, 9, 9]),
        ("all in one", vec![joined.clone(), beginning()], vec![1; 6]),
        (
            "in halves",
            joined.chunks(joined.len().div_ceil(2)).map(Vec::from).collect(),
            vec![1, 1, 2, 2, 2, 2],
        ),
    ];
    for (name, chunks, expected) in cases {
        let body = Watched::in_chunks(chunks.clone());
        let (read_chunks, was_read) = (body.read_chunks.clone(), body.was_read.clone());
        let host = Scripted::new().then(200, &[], body);
        let isolate = isolate(&[]);
        let socket = WebSocket::trusted(&isolate).unwrap();
        let mut streaming = socket_handler(Bytes::new(), &socket, &host).await.unwrap();
        assert_eq!(read_chunks.get(), 1, "{name}");
        let (mut events, mut counts) = (Vec::new(), Vec::new());
        while counts.len() < expected.len() {
            events.extend(streaming.next(&host).await);
            counts.push(read_chunks.get());
        }
        assert_eq!(counts, expected, "{name}");
        drop(streaming);
        assert_eq!(std::rc::Rc::strong_count(&was_read), 1, "{name}: the body is dropped");

        let host = Scripted::new().then(200, &[], Watched::in_chunks(chunks));
        let streaming = socket_handler(Bytes::new(), &socket, &host).await.unwrap();
        assert_eq!(collect(streaming, &host).await, events, "{name}");
    }
}

async fn collect<B: BodyStream>(streaming: Streaming<'_, B>, host: &Scripted) -> Vec<StreamEvent> {
    futures_util::StreamExt::collect(streaming.into_stream(host)).await
}

#[tokio::test]
async fn a_stream_that_is_dropped_drops_the_response_of_bedrock() {
    let body = Watched::from(beginning());
    let was_read = body.was_read.clone();
    let host = Scripted::new().then(200, &[], body);
    let isolate = isolate(&[]);
    let socket = WebSocket::trusted(&isolate).unwrap();
    let stream = socket_handler(Bytes::new(), &socket, &host).await.unwrap().into_stream(&host);
    let mut stream = Box::pin(stream);
    assert!(futures_util::StreamExt::next(&mut stream).await.is_some());
    assert_eq!(std::rc::Rc::strong_count(&was_read), 2);
    drop(stream);
    assert_eq!(std::rc::Rc::strong_count(&was_read), 1);
}
