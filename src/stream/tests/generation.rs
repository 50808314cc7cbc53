//! From bytes to events and a record, through a Host.

use bedrock_stub::frames::{error, exception};
use bytes::Bytes;

use super::*;
use crate::handler::{Upgrade, socket_handler};
use crate::host::scripted::{ONCE, SECRET_ACCESS_KEY, Scripted, Watched, config};
use crate::host::{BodyStream, Host};
use crate::log::{Level, Record};

const PROMPT: &str = "himitsu の計画を要約してください。";

/// The events of an answer that arrives in these pieces, and the record of its end.
pub(super) async fn run(pieces: Vec<&[u8]>) -> (Vec<StreamEvent>, Record) {
    let pieces = pieces.into_iter().map(Bytes::copy_from_slice);
    take(usize::MAX, Watched::in_pieces(pieces)).await
}

/// The first events, and the record of a client that goes away then.
async fn take(count: usize, body: Watched) -> (Vec<StreamEvent>, Record) {
    let host = Scripted::new().then(200, &[], body);
    let config = config(&[ONCE]).unwrap();
    let message = json!({ "prompt": PROMPT }).to_string();
    let mut streaming =
        match socket_handler(message.into(), &Upgrade::trusted(&config), &host).await {
            Ok(streaming) => streaming,
            Err((event, record)) => return (vec![event], record),
        };
    let mut events = Vec::new();
    while events.len() < count {
        let Some(event) = streaming.next().await else {
            assert!(streaming.next().await.is_none() && streaming.generation.is_over());
            break;
        };
        assert!(!events.last().is_some_and(StreamEvent::is_last), "{events:?}, then {event:?}");
        events.push(event);
    }
    host.pass(Scripted::STEP);
    (events, streaming.generation.finish(host.now()).0)
}

/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html>
#[tokio::test]
async fn exceptions() {
    const FAILED: &str = "Error: Bedrock invocation failed";
    const WORDS: &str = "Words of AWS's";
    let coded = |kind| error(kind, WORDS);
    let of = |kind| exception(kind, WORDS);
    let claude =
        |kind| chunk(&json!({ "type": "error", "error": { "type": kind, "message": WORDS } }));
    let untold = |payload: &str| Frame { payload: payload.into(), ..of("throttlingException") };
    #[rustfmt::skip]
    let cases = [
        ("throttling", of("throttlingException"), "throttled", true, "ThrottlingException: Words of AWS's"),
        ("unavailable", of("serviceUnavailableException"), "unavailable", true, "ServiceUnavailableException: Words of AWS's"),
        ("model", of("modelStreamErrorException"), "model_error", true, "ModelStreamErrorException: Words of AWS's (The model stopped in the middle of its answer.)"),
        ("timeout", of("modelTimeoutException"), "timeout", true, "ModelTimeoutException: Words of AWS's"),
        ("internal", of("internalServerException"), "unavailable", true, "InternalServerException: Words of AWS's"),
        ("validation", of("validationException"), "rejected", false, "ValidationException: Words of AWS's"),
        ("access", of("accessDeniedException"), "access_denied", false, "AccessDeniedException: Words of AWS's"),
        ("a great first letter", of("ThrottlingException"), "throttled", true, "ThrottlingException: Words of AWS's"),
        ("unknown", of("novelException"), "unavailable", true, "NovelException: Words of AWS's"),
        ("without a type", of(""), "unavailable", true, "an error without a type: Words of AWS's"),
        ("of an odd type", of("例外"), "unavailable", true, "an error without a type: Words of AWS's"),
        ("without a payload", untold(""), "throttled", true, "ThrottlingException"),
        ("with HTML", untold("<html>"), "throttled", true, "ThrottlingException"),
        ("with a great Message", untold(r#"{"Message": "Slow down"}"#), "throttled", true, "ThrottlingException: Slow down"),
        ("not of the model", coded("InternalFailure"), "unavailable", true, "InternalFailure: Words of AWS's"),
        ("not of the model, known", coded("ThrottlingException"), "throttled", true, "ThrottlingException: Words of AWS's"),
        ("Claude's", claude("overloaded_error"), "unavailable", true, "overloaded_error: Words of AWS's"),
        ("Claude's, odd", claude("over loaded"), "unavailable", true, "an error without a type: Words of AWS's"),
    ];
    let mut wrong = Vec::new();
    for (name, frame, code, retryable, cause) in cases {
        let frame = encode(&frame);
        for (place, before) in [("first", vec![]), ("after text", begun())] {
            let (events, record) = run(vec![&before, &frame, &closing()]).await;
            let Some(StreamEvent::Error { code: actual, message, retryable: again }) =
                events.last()
            else {
                wrong.push(format!("{name}, {place}: {events:?}"));
                continue;
            };
            let error = record.error.as_ref().unwrap().as_str();
            let actual = (actual.as_str(), record.outcome, message.as_str(), *again, error);
            if actual != (code, code, FAILED, retryable, cause) {
                wrong.push(format!("{name}, {place}: {actual:?}"));
            }
            assert_eq!(record.level, Level::Error, "{name}, {place}");
            let status = if place == "first" { 500 } else { 200 };
            assert_eq!(record.status, status, "{name}, {place}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_is_quoted_is_redacted() {
    let quote = format!("{PROMPT:?} with {SECRET_ACCESS_KEY} is not allowed");
    let quoting = [
        ("exception", exception("validationException", &quote)),
        ("error", error("ValidationException", &quote)),
    ];
    for (name, frame) in quoting {
        for before in [vec![], begun()] {
            let (_, record) = run(vec![&before, &encode(&frame)]).await;
            assert_eq!(
                record.error.unwrap().as_str(),
                r#"ValidationException: "[redacted]" with [redacted] is not allowed"#,
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn the_connection_ends() {
    let begun = begun();
    let cases: [(&str, Vec<&[u8]>, &str); 3] = [
        ("at once", vec![], "the answer broke off: reset of [redacted]"),
        ("between two frames", vec![&begun], "the answer broke off: reset of [redacted]"),
        ("inside a frame", vec![&begun, &[0; 5]], "the answer broke off: reset of [redacted]"),
    ];
    for (name, pieces, cause) in cases {
        let pieces = pieces.into_iter().map(Bytes::copy_from_slice);
        let body = Watched::in_pieces(pieces).then_broken("reset of AKIAIOSFODNN7EXAMPLE");
        let (events, record) = take(usize::MAX, body).await;
        let expected = StreamEvent::Error {
            code: crate::Code::Unavailable,
            message: "Error: Bedrock invocation failed".to_owned(),
            retryable: true,
        };
        assert_eq!(events.last(), Some(&expected), "{name}");
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
async fn what_is_learnt_of_an_answer() {
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
        ("left at once", 0, vec![&started, &text, &delta, &stop], "cancelled", (Some(12), Some(1), None)),
        ("left after start", 1, vec![&started, &text, &delta, &stop], "cancelled", (Some(12), Some(1), None)),
        ("left after a delta", 2, vec![&started, &text, &delta, &stop], "cancelled", (Some(12), Some(1), None)),
        ("left after the last delta", 3, vec![&started, &text, &delta, &text, &stop], "cancelled", (Some(12), Some(7), Some("max_tokens"))),
        ("left after done", 3, vec![&started, &text, &delta, &stop], "ok", (Some(12), Some(7), Some("max_tokens"))),
    ];
    let mut wrong = Vec::new();
    for (name, count, events, outcome, known) in cases {
        let frames = events.into_iter().map(|it| encode(&chunk(it)));
        let (_, record) = take(count, Watched::in_pieces(frames)).await;
        let reason = record.stop_reason.as_ref().map(Token::as_str);
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
async fn the_later_number_counts() {
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
        let (events, record) =
            run(vec![&encoded(&[started, text_delta(0, "は"), delta, stop.clone()])]).await;
        let Some(StreamEvent::Done { usage, .. }) = events.last() else { panic!("{name}") };
        assert_eq!((usage.input_tokens, usage.output_tokens), expected, "{name}");
        assert_eq!((record.input_tokens, record.output_tokens), expected, "{name}");
    }
}

/// No piece is read before it is needed, in either form of the events.
#[tokio::test]
async fn pieces_are_read_when_they_are_needed() {
    let mut frames: Vec<_> = answer("はい。").iter().map(|it| encode(&chunk(it))).collect();
    let glued = frames.concat();
    frames.push(begun());
    let cases = [
        // start: 1; three tokens, behind content_block_start and ping; done.
        ("a frame each", frames, vec![1, 4, 5, 6, 9, 9]),
        ("all in one", vec![glued.clone(), begun()], vec![1; 6]),
        (
            "in halves",
            glued.chunks(glued.len().div_ceil(2)).map(Vec::from).collect(),
            vec![1, 1, 2, 2, 2, 2],
        ),
    ];
    for (name, pieces, expected) in cases {
        let body = Watched::in_pieces(pieces.clone());
        let (chunks, was_read) = (body.chunks.clone(), body.was_read.clone());
        let host = Scripted::new().then(200, &[], body);
        let config = config(&[]).unwrap();
        let mut streaming =
            socket_handler(Bytes::new(), &Upgrade::trusted(&config), &host).await.unwrap();
        assert_eq!(chunks.get(), 1, "{name}");
        let (mut events, mut counts) = (Vec::new(), Vec::new());
        while counts.len() < expected.len() {
            events.extend(streaming.next().await);
            counts.push(chunks.get());
        }
        assert_eq!(counts, expected, "{name}");
        drop(streaming);
        assert_eq!(std::rc::Rc::strong_count(&was_read), 1, "{name}: the body is dropped");

        let host = Scripted::new().then(200, &[], Watched::in_pieces(pieces));
        let streaming =
            socket_handler(Bytes::new(), &Upgrade::trusted(&config), &host).await.unwrap();
        assert_eq!(collect(streaming).await, events, "{name}");
    }
}

async fn collect<B: BodyStream>(streaming: Streaming<'_, B>) -> Vec<StreamEvent> {
    futures_util::StreamExt::collect(streaming.into_stream()).await
}

#[tokio::test]
async fn a_stream_that_is_dropped_drops_the_body() {
    let body = Watched::from(begun());
    let was_read = body.was_read.clone();
    let host = Scripted::new().then(200, &[], body);
    let config = config(&[]).unwrap();
    let stream = socket_handler(Bytes::new(), &Upgrade::trusted(&config), &host)
        .await
        .unwrap()
        .into_stream();
    let mut stream = Box::pin(stream);
    assert!(futures_util::StreamExt::next(&mut stream).await.is_some());
    assert_eq!(std::rc::Rc::strong_count(&was_read), 2);
    drop(stream);
    assert_eq!(std::rc::Rc::strong_count(&was_read), 1);
}
