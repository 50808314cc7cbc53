//! The settlement of calls that end well, fail, or are given up.

use bedrock_stub::events::{events, text_delta};
use bedrock_stub::frames::{chunk, chunk_of, encode, exception};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Returns the reply of this text.
fn reply(text: &str) -> Value {
    json!({
        "content": [{ "type": "text", "text": text }],
        "stop_reason": "end_turn",
        "usage": { "input_tokens": 12, "output_tokens": 7 },
    })
}

fn frames(message: &Value) -> Vec<Vec<u8>> {
    events(message).iter().map(|event| encode(&chunk(event))).collect()
}

/// 137 tokens are reserved.
#[tokio::test]
async fn a_call_is_settled_on_what_bedrock_may_bill() {
    let no_text = r#"{"content": [], "usage": {"input_tokens": 12, "output_tokens": 3}}"#;
    let no_usage = r#"{"content": [{"type": "text", "text": "Hi"}]}"#;
    let half = r#"{"content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 12}}"#;
    let unknown = r#"{"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}}"#;
    let refused = r#"{"message": "`temperature` is deprecated for this model."}"#;
    let half_a_surrogate = r#"{"content": [{"type": "text", "text": "\ud83d"}], "stop_reason": "end_turn", "usage": {"input_tokens": 5, "output_tokens": 2}}"#;
    let broken = || Watched::broken("reset");
    let response = |status, body: &str| Scripted::new().then(status, &[], body.to_owned());
    let cases = [
        ("a reply, with caches", response(200, REPLY), 1219),
        ("a reply without numbers", response(200, no_usage), 137),
        ("a reply with half the numbers", response(200, half), 112),
        ("a reply without text", response(200, no_text), 15),
        ("a reply whose text cannot be read", response(200, half_a_surrogate), 7),
        ("not a reply", response(200, "<html>"), 137),
        ("a reply that ends early", Scripted::new().then(200, &[], broken()), 137),
        ("an unknown operation", response(200, unknown), 0),
        ("refused", response(400, "{}"), 0),
        ("throttled", response(429, "{}"), 0),
        ("a failure of Bedrock's", response(503, "{}"), 0),
        ("a model that failed", response(424, "{}"), 0),
        ("a model that took too long", response(408, "{}"), 137),
        ("no connection", Scripted::new().then_fail("refused"), 0),
        ("a timeout, then a reply", response(408, "{}").then(200, &[], REPLY), 137 + 1219),
        ("a timeout, then a refusal", response(408, "{}").then(400, &[], "{}"), 137),
        (
            "two replies that end early, then a reply",
            Scripted::new().then(200, &[], broken()).then(200, &[], broken()).then(200, &[], REPLY),
            2 * 137 + 1219,
        ),
        (
            "a failure that is not billed, then a reply",
            response(503, "{}").then(200, &[], REPLY),
            1219,
        ),
        ("a refused temperature, then a reply", response(400, refused).then(200, &[], REPLY), 1219),
        ("the client disconnects", Scripted::new().then_leave(), 137),
        ("the deadline passes", Scripted::new().then_time_out(), 137),
    ];
    for (name, script, tokens) in cases {
        let attempts = script.left().to_string();
        let host = script.with_limits();
        let isolate = isolate(&[("DAILY_TOKENS", "5000"), ("BEDROCK_MAX_ATTEMPTS", &attempts)]);
        send(request("POST", "/", &[], BODY), &isolate, &host).await;
        let standing = host.standing();
        assert_eq!((standing.in_flight, standing.today.used), (0, tokens), "{name}");
    }
}

/// Each attempt may be billed, and the third would exceed the budget.
#[tokio::test]
async fn a_retry_that_does_not_fit_into_the_budget_is_refused() {
    for (name, body) in [("whole", BODY), ("streamed", r#"{"prompt": "Hello", "stream": true}"#)] {
        let broken = || Watched::broken("reset");
        let host = Scripted::new().then(200, &[], broken()).then(200, &[], broken()).with_limits();
        let isolate = isolate(&[("DAILY_TOKENS", "300"), ("MAX_IN_FLIGHT", "1")]);
        let handled = handle(request("POST", "/", &[], body), &isolate, &host).await;
        let Handled::Whole(envelope, record) = handled else { panic!("{name}: {handled:?}") };
        assert_eq!((envelope.status_code, record.outcome), (429, "budget_exceeded"), "{name}");
        let message = "the request may use 137 tokens, and 26 of 300 are left today";
        assert!(envelope.body.contains(message), "{name}: {}", envelope.body);
        // The cause is the failure of the last attempt.
        assert_eq!(record.error.unwrap().as_str(), "cannot read the response: reset", "{name}");
        assert_eq!(host.requests.borrow().len(), 2, "{name}");
        let standing = host.standing();
        assert_eq!((standing.in_flight, standing.today.used), (0, 274), "{name}");
        assert_eq!(standing.today.reserved, 0, "{name}");
    }
}

/// The reply of the ledger to the second reservation is lost.
#[tokio::test]
async fn a_retry_that_cannot_be_reserved_is_not_made() {
    let mut host = Scripted::new().then(200, &[], Watched::broken("reset")).with_limits();
    host.loses_reply = Some(1);
    let isolate = isolate(&[("DAILY_TOKENS", "1000")]);
    let (status, headers, _) = send(request("POST", "/", &[], BODY), &isolate, &host).await;
    assert_eq!((status, &*headers[0].1), (503, "limits_unavailable"));
    let standing = host.standing();
    assert_eq!((standing.in_flight, standing.today.used), (0, 137));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_failures_exceeds_a_budget(
        budget in 1..800_u64,
        failures in vec(vec(0..5_usize, 3), 1..4),
    ) {
        let budget_text = budget.to_string();
        let isolate = isolate(&[("DAILY_TOKENS", &budget_text)]);
        let mut host = Scripted::new().with_limits();
        for failures in failures {
            for failure in failures {
                host = match failure {
                    0 => host.then(200, &[], Watched::broken("reset")),
                    1 => host.then(408, &[], "{}"),
                    2 => host.then(504, &[], "{}"),
                    3 => host.then(503, &[], "{}"),
                    _ => host.then(200, &[], reply("Hi").to_string()),
                };
            }
            let request = request("POST", "/", &[], BODY);
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
                lambda_handler(request, &isolate, &host).await
            });
            host.forget_responses();
            let standing = host.standing();
            prop_assert!(standing.today.used <= budget, "{:?}", standing);
            prop_assert_eq!((standing.in_flight, standing.today.reserved), (0, 0));
        }
    }
}

/// Read to its end, or until the client disconnects after some events. 137 tokens are reserved.
#[tokio::test]
async fn a_stream_is_settled_on_what_bedrock_may_bill() {
    const ALL: usize = usize::MAX;
    let start = |usage: Value| {
        encode(&chunk(&json!({ "type": "message_start", "message": { "usage": usage } })))
    };
    let text = |text: &str| encode(&chunk(&text_delta(0, text)));
    let known = json!({ "input_tokens": 12, "output_tokens": 1 });
    let cached = json!({ "input_tokens": 12, "cache_read_input_tokens": 30, "output_tokens": 1 });
    let counted = encode(&chunk(&json!({
        "type": "message_delta",
        "delta": { "stop_reason": "end_turn" },
        "usage": { "output_tokens": 2 },
    })));
    let odd = encode(&chunk(&json!({ "type": "content_block_delta", "delta": 1 })));
    let throttled = encode(&exception("throttlingException", "{}"));
    let timeout = encode(&exception("modelTimeoutException", "{}"));
    let cases = [
        ("whole", frames(&reply("Hi")), ALL, 19),
        ("disconnected after the first event", vec![start(known.clone()), text("Hi")], 1, 13),
        ("disconnected in the middle", vec![start(known.clone()), text("Hello"), text("!")], 2, 17),
        ("in Japanese", vec![start(known.clone()), text("はい"), text("!")], 2, 18),
        ("with a cache", vec![start(cached), text("Hello"), text("!")], 2, 47),
        ("much", vec![start(known.clone()), text(&"x".repeat(500)), text("!")], 2, 112),
        ("without numbers", vec![start(json!({})), text("Hello"), text("!")], 2, 42),
        ("cut off", vec![start(known.clone()), text("Hello")], ALL, 17),
        ("cut off after its numbers", vec![start(known.clone()), text("Hello"), counted], ALL, 14),
        ("an unreadable event", vec![start(known.clone()), text("Hello"), odd], ALL, 17),
        ("an exception", vec![start(known), text("Hello"), throttled.clone()], ALL, 17),
        ("an exception at once", vec![throttled], ALL, 0),
        ("a model that took too long", vec![timeout], ALL, 137),
        ("no frame", vec![], ALL, 137),
        ("no event stream", vec![b"<html>".to_vec()], ALL, 137),
    ];
    for (name, frames, taken, tokens) in cases {
        for is_socket in [false, true] {
            let name = format!("{name}, {}", if is_socket { "WebSocket" } else { "SSE" });
            let script = Scripted::new().then(200, &[], Watched::in_chunks(frames.clone()));
            let host = script.with_limits();
            let isolate = isolate(&[("DAILY_TOKENS", "5000"), ONCE]);
            let streaming = if is_socket {
                let socket = WebSocket::trusted(&isolate).unwrap();
                socket_handler(BODY.into(), &socket, &host).await.ok()
            } else {
                let request = request("POST", "/", &[("accept", "text/event-stream")], BODY);
                match handle(request, &isolate, &host).await {
                    Handled::Stream(_, streaming) => Some(streaming),
                    _ => None,
                }
            };
            if let Some(mut streaming) = streaming {
                assert_eq!(host.standing().in_flight, 1, "{name}");
                assert_eq!(host.standing().today.reserved, 137, "{name}");
                // `start` is an event, and the first frame is not.
                for _ in 0..taken {
                    if streaming.next(&host).await.is_none() {
                        break;
                    }
                }
                let (_, settlement) = streaming.generation.finish(host.now());
                settlement.unwrap().send(&host).await.unwrap();
            }
            assert_eq!(host.settled(), [tokens], "{name}");
            assert_eq!(host.standing().in_flight, 0, "{name}");
        }
    }
}

/// Values of a field of `usage`, and the number that they are read as.
const NUMBERS: &[(&str, Option<u64>)] = &[
    ("11", Some(11)),
    ("0", Some(0)),
    ("11.0", Some(11)),
    ("4294967295", Some(4_294_967_295)),
    ("4294967296", None),
    ("18446744073709551616", None),
    ("1e999", None),
    ("1e1", None),
    ("11.5", None),
    ("-1", None),
    ("-0.0", None),
    ("null", None),
    ("true", None),
    (r#""11""#, None),
    ("[11]", None),
    (r#"{"tokens": 11}"#, None),
    (r#""\ud83d""#, None),
];

#[tokio::test]
async fn a_number_that_cannot_be_read_discards_no_reply_whole_or_streamed() {
    let mut usages: Vec<(String, Option<u64>, Option<u64>)> =
        ["null", "11", "[]", r#""""#, "{}"].map(|usage| (usage.to_owned(), None, None)).into();
    for (number, read) in NUMBERS {
        usages.push((
            format!(r#"{{"input_tokens": {number}, "output_tokens": 2}}"#),
            *read,
            Some(2),
        ));
        usages.push((
            format!(r#"{{"input_tokens": 5, "output_tokens": {number}}}"#),
            Some(5),
            *read,
        ));
        usages.push((
            format!(r#"{{"input_tokens": 5, "cache_read_input_tokens": {number}}}"#),
            Some(5 + read.unwrap_or(0)),
            None,
        ));
    }
    for (usage, input, output) in usages {
        // 137 tokens are reserved, 100 of them for the reply.
        let expected = input.unwrap_or(37) + output.unwrap_or(100);
        let content = r#"[{"type": "text", "text": "Hi"}]"#;
        let body =
            format!(r#"{{"content": {content}, "stop_reason": "end_turn", "usage": {usage}}}"#);
        let events = [
            r#"{"type": "message_start", "message": {}}"#.to_owned(),
            text_delta(0, "Hi").to_string(),
            format!(
                r#"{{"type": "message_delta", "delta": {{"stop_reason": "end_turn"}}, "usage": {usage}}}"#
            ),
            r#"{"type": "message_stop"}"#.to_owned(),
        ];
        let frames = events.iter().map(|json| encode(&chunk_of(json.as_bytes())));
        let isolate = isolate(&[("DAILY_TOKENS", "9000000000"), ONCE]);

        let host = Scripted::new().then(200, &[], body).with_limits();
        let (status, _, body) = send(request("POST", "/", &[], BODY), &isolate, &host).await;
        assert_eq!((status, body.contains(r#""generated_text":"Hi""#)), (200, true), "{usage}");
        assert_eq!(host.settled(), [expected], "whole: {usage}");

        let host = Scripted::new().then(200, &[], Watched::in_chunks(frames)).with_limits();
        let socket = WebSocket::trusted(&isolate).unwrap();
        let mut streaming = socket_handler(BODY.into(), &socket, &host).await.unwrap();
        let mut last = None;
        while let Some(event) = streaming.next(&host).await {
            last = Some(event);
        }
        assert!(last.is_some_and(|it| it.to_message().contains(r#""event":"done""#)), "{usage}");
        let (_, settlement) = streaming.generation.finish(host.now());
        settlement.unwrap().send(&host).await.unwrap();
        assert_eq!(host.settled(), [expected], "streamed: {usage}");
    }
}

#[tokio::test]
async fn a_settlement_that_fails_is_in_the_log() {
    let mut host = Scripted::new().then(200, &[], REPLY).with_limits();
    host.loses_settlements = true;
    let isolate = isolate(&[("MAX_IN_FLIGHT", "1")]);
    let (envelope, record) = lambda_handler(request("POST", "/", &[], BODY), &isolate, &host).await;
    assert_eq!((envelope.status_code, record.outcome), (200, "ok"));
    let line = serde_json::to_value(&record).unwrap();
    assert_eq!(line["error"], "the tokens used are not in the ledger: gone");
}

/// The ledger may have made the reservation all the same.
#[tokio::test]
async fn a_reservation_whose_reply_is_lost_is_given_back() {
    let mut host = Scripted::new().with_limits();
    host.loses_replies = true;
    let isolate = isolate(&[("MAX_IN_FLIGHT", "1")]);
    let (status, headers, _) = send(request("POST", "/", &[], BODY), &isolate, &host).await;
    let code = ("x-error-code", "limits_unavailable".to_owned());
    assert_eq!((status, headers), (503, vec![code, ("retry-after", "1".to_owned())]));
    assert_eq!(host.settled(), [0]);
    assert_eq!(host.standing().in_flight, 0);
}

/// The midnight also ends a year.
#[tokio::test]
async fn a_request_over_midnight_is_settled_on_the_day_on_which_it_was_reserved() {
    let host = Scripted::new().then(200, &[], REPLY).then(200, &[], REPLY).with_limits();
    let isolate = isolate(&[("DAILY_TOKENS", "140"), ("MONTHLY_TOKENS", "140")]);
    // From 2026-01-02T03:04:05Z to the last moment of the year: a response takes 250 ms.
    host.pass(Duration::from_secs(363 * 86_400 + 75_355) - Duration::from_millis(100));
    assert_eq!(send(request("POST", "/", &[], BODY), &isolate, &host).await.0, 200);
    let (_, _, usage) = send(request("GET", "/usage", &[], ""), &isolate, &host).await;
    assert!(usage.contains(r#""today":{"used":0,"reserved":0,"limit":140"#), "{usage}");
    assert!(usage.contains(r#""resets_at":"2027-01-02T00:00:00Z""#), "{usage}");
    assert!(usage.contains(r#""this_month":{"used":0,"reserved":0,"limit":140"#), "{usage}");
    assert!(usage.contains(r#""resets_at":"2027-02-01T00:00:00Z""#), "{usage}");
    // There is room for one more, and then there is none.
    assert_eq!(send(request("POST", "/", &[], BODY), &isolate, &host).await.0, 200);
    assert_eq!(send(request("POST", "/", &[], BODY), &isolate, &host).await.0, 429);
    assert_eq!(host.settled(), [1219, 1219]);
}
