//! Retries of streams: only before the first frame.

use bedrock_stub::events::events;
use bedrock_stub::frames::{chunk, encode, exception};
use serde_json::json;

use super::*;
use crate::api::StreamEvent;
use crate::server::{WebSocket, socket_handler};

/// Returns the frames of a complete reply.
fn frames() -> Vec<Bytes> {
    let message = json!({
        "content": [{ "type": "text", "text": "はい" }],
        "stop_reason": "end_turn",
        "usage": { "input_tokens": 12, "output_tokens": 7 },
    });
    events(&message).iter().map(|event| Bytes::from(encode(&chunk(event)))).collect()
}

fn throws(kind: &str) -> Watched {
    Watched::from(encode(&exception(kind, "Words")))
}

/// Returns the names of the events, and the record.
async fn stream(vars: &[(&str, &str)], host: &Scripted) -> (Vec<&'static str>, Record) {
    let isolate = isolate(vars);
    let socket = WebSocket::trusted(&isolate).unwrap();
    let mut streaming = match socket_handler(Bytes::from("{}"), &socket, host).await {
        Ok(streaming) => streaming,
        Err((message, record)) => {
            assert!(message.starts_with(r#"{"event":"error","#), "{message}");
            return (vec!["error"], record);
        }
    };
    let mut names = Vec::new();
    let mut last = None;
    while let Some(event) = streaming.next(host).await {
        names.push(event.name());
        last = Some(event);
    }
    assert!(last.as_ref().is_some_and(StreamEvent::is_last));
    (names, streaming.generation.finish(host.now()).0)
}

const WHOLE: [&str; 4] = ["start", "delta", "delta", "done"];

#[tokio::test]
async fn a_transient_exception_as_the_first_frame_is_retried() {
    // The exceptions of the first calls, the events, the outcome, the number of calls.
    type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a str, u32);
    #[rustfmt::skip]
    let cases: [Case; 6] = [
        ("throttled once", &["throttlingException"], &WHOLE, "ok", 2),
        (
            "down twice",
            &["serviceUnavailableException", "internalServerException"],
            &WHOLE,
            "ok",
            3,
        ),
        ("throttled to the end", &["throttlingException"; 3], &["error"], "throttled", 3),
        ("the model takes too long twice", &["modelTimeoutException"; 2], &["error"], "timeout", 2),
        ("rejected", &["validationException"], &["error"], "rejected", 1),
        ("the model fails", &["modelStreamErrorException"], &["error"], "model_error", 1),
    ];
    for (name, exceptions, expected, outcome, calls) in cases {
        let host =
            exceptions.iter().fold(Scripted::new(), |host, it| host.then(200, &[], throws(it)));
        let host =
            if outcome == "ok" { host.then(200, &[], Watched::in_chunks(frames())) } else { host };
        let (names, record) = stream(&[], &host).await;
        assert_eq!((&*names, record.outcome), (expected, outcome), "{name}");
        assert_eq!(record.attempts, calls, "{name}");
        assert_eq!(host.left(), 0, "{name}");
    }
}

#[tokio::test]
async fn a_reply_that_has_begun_is_not_retried() {
    let begun = || Watched::in_chunks(frames().into_iter().take(4));
    let cases = [
        (
            "an exception",
            begun().then_after(ms(1), encode(&exception("throttlingException", ""))),
            "throttled",
        ),
        ("broken off", begun().then_broken("reset"), "unavailable"),
        ("an early end", begun(), "truncated"),
    ];
    for (name, body, outcome) in cases {
        let host = Scripted::new().then(200, &[], body);
        let (names, record) = stream(&[], &host).await;
        assert_eq!((names[0], *names.last().unwrap()), ("start", "error"), "{name}");
        assert_eq!((record.outcome, record.attempts), (outcome, 1), "{name}");
    }
}

#[tokio::test]
async fn the_deadline_covers_the_first_frame_and_the_stall_timeout_each_later_one() {
    let vars = [("BEDROCK_TIMEOUT_MS", "2000"), ("BEDROCK_STALL_MS", "1000")];
    // The wait before each frame, besides 250 ms before the head, and the outcome.
    let cases = [
        ("all in time", 1000, "ok"),
        ("a first frame that is late", 1751, "timeout"),
        ("one that is just in time, and then a stall", 1750, "timeout"),
    ];
    for (name, wait, outcome) in cases {
        let body = frames()
            .into_iter()
            .fold(Watched::in_chunks::<Bytes>([]), |body, it| body.then_after(ms(wait), it));
        let host = Scripted::new().then(200, &[], body);
        let started = host.now();
        let (names, record) = stream(&vars, &host).await;
        assert_eq!(record.outcome, outcome, "{name}");
        let took = host.now().duration_since(started).unwrap();
        match wait {
            1000 => assert!(names.contains(&"done") && took > ms(4000), "{name}: {took:?}"),
            1751 => assert_eq!((&*names, took), (&["error"][..], ms(2000)), "{name}"),
            _ => assert_eq!((&*names, took), (&["start", "error"][..], ms(3000)), "{name}"),
        }
    }
}

#[tokio::test]
async fn a_stream_without_a_frame_is_retried() {
    let whole = || Watched::in_chunks(frames());
    let first = frames()[0].clone();
    for (name, body) in [
        ("nothing", Watched::in_chunks::<Bytes>([])),
        ("an empty chunk", Watched::from("")),
        ("a part of the first frame", Watched::from(first.split_at(20).0.to_vec())),
    ] {
        let host = Scripted::new().then(200, &[], body).then(200, &[], whole());
        let (names, record) = stream(&[], &host).await;
        assert_eq!((&*names, record.attempts), (&WHOLE[..], 2), "{name}");
    }
    // The client has seen something of this one.
    let host = Scripted::new().then(200, &[], Watched::from(first)).then(200, &[], whole());
    let (names, record) = stream(&[], &host).await;
    assert_eq!((&*names, record.attempts), (&["start", "error"][..], 1));
}
