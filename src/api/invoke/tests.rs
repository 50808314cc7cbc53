use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use bedrock_stub::frames::{chunk, encode};

use super::*;
use crate::aws::Frames;
use crate::host::{IncomingRequest, Runtime};
use crate::server::{Handled, handle};
use crate::testing::{ONCE, RANDOM_ID, Scripted, header, isolate, request_in_the_worker};

const REPLY: &str = r#"{"content": [{"type": "text", "text": "はい"}], "stop_reason": "end_turn"}"#;

fn invocation(kind: Option<&str>, payload: &str) -> IncomingRequest<Bytes> {
    let path = "/2015-03-31/functions/my-function/invocations";
    let headers = kind.map(|kind| ("x-amz-invocation-type", kind));
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    request_in_the_worker("POST", path, headers.as_slice(), payload)
}

#[test]
fn the_path_of_invoke_has_one_name_in_it() {
    let cases = [
        ("a name", "/2015-03-31/functions/my-function/invocations", true),
        ("a name and an alias", "/2015-03-31/functions/my-function%3Aprod/invocations", true),
        (
            "an ARN, as the SDKs write it",
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af/invocations",
            true,
        ),
        ("a part of an ARN", "/2015-03-31/functions/123456789012:function:f/invocations", true),
        ("no name", "/2015-03-31/functions//invocations", false),
        ("a slash in the name", "/2015-03-31/functions/a/b/invocations", false),
        ("another operation", "/2015-03-31/functions/f/configuration", false),
        ("the deprecated operation", "/2014-11-13/functions/f/invoke-async/", false),
        ("streaming", "/2021-11-15/functions/f/response-streaming-invocations", false),
    ];
    for (name, path, expected) in cases {
        assert_eq!(is_path(path), expected, "{name}");
        assert_eq!(is_streaming_path(path), name == "streaming", "{name}");
    }
}

#[tokio::test]
async fn the_response_contains_what_the_function_returns() {
    let payloads = [
        ("a direct event", r#"{"prompt": "元気?"}"#.to_owned(), "元気?"),
        ("an event that asks for a stream", r#"{"prompt": "a", "stream": true}"#.to_owned(), "a"),
        ("no payload", String::new(), "Hello, how can I help you?"),
        (
            "a proxy event",
            json!({
                "requestContext": { "http": { "method": "POST" } },
                "rawPath": "/prod",
                "headers": { "content-type": "application/json" },
                "body": r#"{"prompt": "inner"}"#,
            })
            .to_string(),
            "inner",
        ),
    ];
    for (name, payload, prompt) in payloads {
        for kind in [None, Some("RequestResponse")] {
            let host = Scripted::new().then(200, &[], REPLY);
            let (request, isolate) = (invocation(kind, &payload), isolate(&[]));
            let Handled::Whole(envelope, record) = handle(request, &isolate, &host).await else {
                panic!("{name}: it is synchronous");
            };
            assert_eq!(envelope.status_code, 200, "{name}: {envelope:?}");
            assert_eq!(header(&envelope, "content-type"), Some("application/json"), "{name}");
            assert_eq!(header(&envelope, "x-amz-executed-version"), Some("$LATEST"), "{name}");
            assert_eq!(header(&envelope, "x-amzn-requestid"), Some(RANDOM_ID), "{name}");
            assert_eq!(header(&envelope, "x-amz-function-error"), None, "{name}");
            let returned: Value = serde_json::from_str(&envelope.body).unwrap();
            assert_eq!(returned["statusCode"], 200, "{name}: {returned}");
            assert_eq!(returned["isBase64Encoded"], false, "{name}: {returned}");
            assert_eq!(returned["headers"]["x-request-id"], RANDOM_ID, "{name}: {returned}");
            let body = json!({ "input_prompt": prompt, "generated_text": "はい" }).to_string();
            let body: Value = serde_json::from_str(&body).unwrap();
            let actual: Value = serde_json::from_str(returned["body"].as_str().unwrap()).unwrap();
            assert_eq!(actual, body, "{name}");
            assert_eq!((record.status, record.outcome), (200, "ok"), "{name}");
        }
    }
}

/// As in Lambda: the invocation succeeds, and the error is in the payload.
#[tokio::test]
async fn an_error_of_the_function_is_what_it_returns() {
    let isolate = isolate(&[]);
    let cases = [
        ("a wrong prompt", r#"{"prompt": 5}"#, Scripted::new(), 400, "invalid_request"),
        ("not an object", "[1]", Scripted::new(), 400, "invalid_request"),
        (
            "Bedrock refuses",
            r#"{"prompt": "a"}"#,
            Scripted::new().then(403, &[("x-amzn-errortype", "AccessDeniedException")], "{}"),
            500,
            "access_denied",
        ),
    ];
    for (name, payload, host, status, code) in cases {
        let request = invocation(None, payload);
        let Handled::Whole(envelope, record) = handle(request, &isolate, &host).await else {
            panic!("{name}: it is synchronous");
        };
        let returned: Value = serde_json::from_str(&envelope.body).unwrap();
        assert_eq!(
            (envelope.status_code, header(&envelope, "x-error-code")),
            (200, None),
            "{name}"
        );
        assert_eq!(returned["statusCode"], status, "{name}: {returned}");
        assert_eq!(returned["headers"]["x-error-code"], code, "{name}: {returned}");
        assert_eq!((record.status, record.outcome), (status, code), "{name}");
    }
}

#[tokio::test]
async fn a_dry_run_calls_nothing() {
    let host = Scripted::new();
    let (request, isolate) = (invocation(Some("DryRun"), "{}"), isolate(&[]));
    let Handled::Whole(envelope, record) = handle(request, &isolate, &host).await else {
        panic!("nothing is to be run");
    };
    assert_eq!((envelope.status_code, envelope.body.as_str()), (204, ""));
    assert_eq!(header(&envelope, "x-amzn-requestid"), Some(RANDOM_ID));
    assert_eq!((record.status, record.outcome), (204, "ok"));
    assert!(host.requests.borrow().is_empty());
}

#[tokio::test]
async fn an_asynchronous_invocation_runs_after_its_response() {
    let host = Scripted::new().then(200, &[], REPLY);
    let isolate = isolate(&[]);
    let request = invocation(Some("Event"), r#"{"prompt": "later"}"#);
    let Handled::Accepted(envelope, accepted) = handle(request, &isolate, &host).await else {
        panic!("the event is to be run");
    };
    assert_eq!((envelope.status_code, envelope.body.as_str()), (202, ""));
    assert_eq!(header(&envelope, "x-amz-executed-version"), None);
    assert!(host.requests.borrow().is_empty());

    let (returned, record) = accepted.run(&host).await;
    assert!(returned.body.contains("later"), "{returned:?}");
    assert_eq!(Some(record.request_id.as_str()), header(&envelope, "x-amzn-requestid"));
}

#[tokio::test]
async fn an_error_before_the_function_runs_has_the_form_of_awss_errors() {
    const JSON: &str = "InvalidRequestContentException";
    let long = format!(r#"{{"prompt": "{}"}}"#, "a".repeat(100));
    let put = IncomingRequest { method: Method::PUT, ..invocation(None, "{}") };
    struct Row {
        name: &'static str,
        vars: &'static [(&'static str, &'static str)],
        request: IncomingRequest<Bytes>,
        status: u16,
        kind: &'static str,
        message: &'static str,
    }
    let row = |name, request, status, kind, message| Row {
        name,
        vars: &[],
        request,
        status,
        kind,
        message,
    };
    let rows = [
        row(
            "not JSON",
            invocation(None, "prompt=Hello"),
            400,
            JSON,
            "Could not parse request body into json: expected value at line 1 column 1",
        ),
        row(
            "not JSON, asynchronously",
            invocation(Some("Event"), "{"),
            400,
            JSON,
            "Could not parse request body into json: EOF while parsing an object at line 1 column 1",
        ),
        row(
            "an unknown type",
            invocation(Some("event"), "{}"),
            400,
            "InvalidParameterValueException",
            "X-Amz-Invocation-Type must be RequestResponse, Event or DryRun",
        ),
        Row {
            vars: &[("MAX_BODY_BYTES", "50")],
            ..row(
                "too long",
                invocation(Some("DryRun"), &long),
                413,
                "RequestTooLargeException",
                "the body must have 50 bytes at most",
            )
        },
        row("a wrong method", put, 405, JSON, "the method must be one of OPTIONS, POST"),
        Row {
            vars: &[("MAX_TOKENS", "many")],
            ..row(
                "misconfigured",
                invocation(None, "{}"),
                500,
                "ServiceException",
                "Internal server error",
            )
        },
    ];
    for Row { name, vars, request, status, kind, message } in rows {
        let fault = if status == 500 { "Service" } else { "User" };
        let host = Scripted::new();
        let isolate = isolate(vars);
        let Handled::Whole(envelope, record) = handle(request, &isolate, &host).await else {
            panic!("{name}: it is accepted");
        };
        assert_eq!(envelope.status_code, status, "{name}: {envelope:?}");
        assert_eq!(header(&envelope, "x-amzn-errortype"), Some(kind), "{name}");
        assert_eq!(header(&envelope, "x-amzn-requestid"), Some(RANDOM_ID), "{name}");
        let body: Value = serde_json::from_str(&envelope.body).unwrap();
        assert_eq!(body, json!({ "Type": fault, "Message": message }), "{name}");
        assert_eq!(record.status, status, "{name}");
        assert_ne!(record.outcome, "ok", "{name}");
        assert!(host.requests.borrow().is_empty(), "{name}");
    }
}

/// The platform ends what runs after a response without a word.
#[tokio::test]
async fn an_asynchronous_invocation_ends_in_time_and_is_settled_and_logged() {
    let seconds = Duration::from_secs;
    let cases = [
        ("the platform's time", "60000", 25, "timeout", 25),
        ("the configured time", "10000", 25, "timeout", 10),
        ("in time", "60000", 50, "ok", 40),
    ];
    for (name, timeout, within, outcome, total) in cases {
        let host = Scripted::new().then(200, &[], REPLY).taking(seconds(40)).with_limits();
        let isolate = isolate(&[("BEDROCK_TIMEOUT_MS", timeout), ("DAILY_TOKENS", "1000")]);
        let request = invocation(Some("Event"), r#"{"prompt": "Hello"}"#);
        let Handled::Accepted(_, accepted) = handle(request, &isolate, &host).await else {
            panic!("{name}: it is asynchronous");
        };
        let (_, record) = accepted.within(seconds(within)).run(&host).await;
        assert_eq!((record.outcome, record.total_time), (outcome, Some(seconds(total))), "{name}");
        // Bedrock may bill it, and has reported nothing.
        assert_eq!(host.settled(), [137], "{name}");
    }
}

/// The token `secret` of the caller `ci`.
const TOKENS: (&str, &str) =
    ("API_TOKENS", "ci:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");

fn with_token(mut request: IncomingRequest<Bytes>, token: &str) -> IncomingRequest<Bytes> {
    request.headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test]
async fn the_caller_is_authenticated_by_the_invocation_and_not_by_the_event() {
    let isolate = isolate(&[("AUTH", ""), TOKENS]);
    // An event with a credential of its own, which does not count.
    let payload = json!({
        "requestContext": { "http": { "method": "POST" } },
        "headers": { "authorization": "Bearer wrong", "origin": "https://elsewhere.example.com" },
        "body": r#"{"prompt": "a"}"#,
    });
    let host = Scripted::new().then(200, &[], REPLY);
    let request = with_token(invocation(None, &payload.to_string()), "secret");
    let Handled::Whole(envelope, record) = handle(request, &isolate, &host).await else {
        panic!("it is synchronous");
    };
    let returned: Value = serde_json::from_str(&envelope.body).unwrap();
    assert_eq!(returned["statusCode"], 200, "{returned}");
    assert_eq!(record.caller.unwrap().as_str(), "token:ci");
}

#[tokio::test]
async fn an_unauthenticated_caller_gets_a_401_in_the_form_of_awss_errors() {
    let isolate = isolate(&[("AUTH", ""), TOKENS]);
    let payload = json!({
        "requestContext": { "http": { "method": "POST" } },
        "headers": { "authorization": "Bearer secret" },
    });
    let cases = [
        ("no credential", invocation(None, "{}")),
        ("a wrong token", with_token(invocation(Some("DryRun"), "{}"), "wrong")),
        ("a token in the event alone", invocation(Some("Event"), &payload.to_string())),
    ];
    for (name, request) in cases {
        let host = Scripted::new();
        let Handled::Whole(envelope, record) = handle(request, &isolate, &host).await else {
            panic!("{name}: it is accepted");
        };
        assert_eq!(envelope.status_code, 401, "{name}: {envelope:?}");
        assert_eq!(header(&envelope, "x-amzn-errortype"), Some("AccessDeniedException"), "{name}");
        let expected = r#"{"Type":"User","Message":"Unauthorized"}"#;
        assert_eq!(envelope.body, expected, "{name}");
        assert_eq!((record.status, record.outcome), (401, "unauthorized"), "{name}");
    }
}

#[tokio::test]
async fn the_payload_does_not_choose_the_id_of_the_request() {
    let payload = json!({
        "requestContext": { "requestId": "spoofed", "http": { "method": "POST" } },
        "body": r#"{"prompt": "a"}"#,
    });
    for kind in [None, Some("Event"), Some("DryRun")] {
        let host = Scripted::new();
        let host = if kind == Some("DryRun") { host } else { host.then(200, &[], REPLY) };
        let (request, isolate) = (invocation(kind, &payload.to_string()), isolate(&[]));
        let (envelope, record) = match handle(request, &isolate, &host).await {
            Handled::Whole(envelope, record) => (envelope, record),
            Handled::Accepted(envelope, accepted) => (envelope, accepted.run(&host).await.1),
            other => panic!("{other:?}"),
        };
        assert_eq!(header(&envelope, "x-request-id"), Some(RANDOM_ID), "{kind:?}");
        assert_eq!(header(&envelope, "x-amzn-requestid"), Some(RANDOM_ID), "{kind:?}");
        assert!(!envelope.body.contains("spoofed"), "{envelope:?}");
        assert_eq!(record.request_id.as_str(), RANDOM_ID, "{kind:?}");
        let line = serde_json::to_value(&record).unwrap();
        let expected = if kind == Some("DryRun") { json!(null) } else { json!("spoofed") };
        assert_eq!(line["event_request_id"], expected, "{kind:?}");
    }
}

/// Sends an invocation whose response is streamed. Returns the head, the payload of all chunks, and the last event.
async fn stream(payload: &str, host: &Scripted) -> (Envelope, String, Value) {
    let path = "/2021-11-15/functions/my-function/response-streaming-invocations";
    let request =
        request_in_the_worker("POST", path, &[], Bytes::copy_from_slice(payload.as_bytes()));
    let isolate = isolate(&[ONCE]);
    let (envelope, bytes, record) = match handle(request, &isolate, host).await {
        Handled::Whole(envelope, record) => {
            let bytes = STANDARD.decode(&envelope.body).unwrap();
            assert!(envelope.is_base64_encoded, "{envelope:?}");
            (envelope, bytes, record)
        }
        Handled::Stream(envelope, mut streaming) => {
            assert_eq!(streaming.generation.keep_alive(), "");
            let mut bytes = Vec::new();
            while let Some(event) = streaming.next(host).await {
                streaming.generation.encode(&event, &mut bytes);
            }
            (envelope, bytes, streaming.generation.finish(host.now()).0)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(record.request_id.as_str(), RANDOM_ID);
    let mut frames = Frames::default();
    frames.push(&bytes);
    let mut text = Vec::new();
    while let Some(message) = frames.message().unwrap() {
        assert_eq!(message.header(":message-type"), "event");
        match message.header(":event-type") {
            "PayloadChunk" => text.extend_from_slice(message.payload()),
            "InvokeComplete" => {
                let complete = serde_json::from_slice(message.payload()).unwrap();
                assert!(frames.message().unwrap().is_none() && frames.is_empty());
                return (envelope, String::from_utf8(text).unwrap(), complete);
            }
            other => panic!("{other}"),
        }
    }
    panic!("no InvokeComplete: {text:?}");
}

fn frames_of(events: &[Value]) -> Vec<u8> {
    events.iter().flat_map(|event| encode(&chunk(event))).collect()
}

#[tokio::test]
async fn invoke_with_response_stream_streams_the_events_of_a_reply() {
    let delta =
        json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": "は" } });
    let proxy = json!({
        "requestContext": { "http": { "method": "POST" } },
        "body": r#"{"prompt": "a"}"#,
    });
    for payload in [r#"{"prompt": "a"}"#.to_owned(), proxy.to_string()] {
        let reply = frames_of(&[delta.clone(), json!({ "type": "message_stop" })]);
        let host = Scripted::new().then(200, &[("x-amzn-requestid", "aws-1")], reply);
        let (head, text, complete) = stream(&payload, &host).await;
        assert_eq!(head.status_code, 200);
        let content_type = header(&head, "content-type");
        assert_eq!(content_type, Some("application/vnd.amazon.eventstream"));
        assert_eq!(header(&head, "x-amz-executed-version"), Some("$LATEST"));
        assert_eq!(header(&head, "x-amzn-requestid"), Some(RANDOM_ID));
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        assert_eq!(names, ["start", "delta", "done"], "{text}");
        assert!(text.contains(r#"data: {"text":"は"}"#), "{text}");
        assert_eq!(complete, json!({}));
    }
    // A reply that breaks off ends with the error in both places.
    let host = Scripted::new().then(200, &[], frames_of(&[delta]));
    let (_, text, complete) = stream(r#"{"prompt": "a"}"#, &host).await;
    assert!(text.contains("event: error\ndata: {\"code\":\"truncated\""), "{text}");
    let details = "Error: Invalid Bedrock response";
    assert_eq!(complete, json!({ "ErrorCode": "truncated", "ErrorDetails": details }));
}

#[tokio::test]
async fn invoke_with_response_stream_returns_an_envelope_that_is_not_a_stream() {
    for (payload, host, status) in [
        (r#"{"prompt": "a", "stream": false}"#, Scripted::new().then(200, &[], REPLY), 200),
        (r#"{"prompt": 5}"#, Scripted::new(), 400),
        (r#"{"type": "ping"}"#, Scripted::new(), 400),
        (r#"{"prompt": "a"}"#, Scripted::new().then(503, &[], "{}"), 500),
    ] {
        let (head, text, complete) = stream(payload, &host).await;
        assert_eq!(head.status_code, 200, "{payload}");
        let content_type = header(&head, "content-type");
        assert_eq!(content_type, Some("application/vnd.amazon.eventstream"), "{payload}");
        let returned: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(returned["statusCode"], status, "{payload}: {returned}");
        assert_eq!(complete, json!({}), "{payload}");
    }
}

#[tokio::test]
async fn invoke_with_response_stream_is_never_asynchronous() {
    let path = "/2021-11-15/functions/f/response-streaming-invocations";
    for (kind, payload, status, name) in [
        ("Event", "{}", 400, Some("InvalidParameterValueException")),
        ("DryRun", "{}", 204, None),
        ("RequestResponse", "prompt=a", 400, Some("InvalidRequestContentException")),
    ] {
        let headers = [("x-amz-invocation-type", kind)];
        let request = request_in_the_worker("POST", path, &headers, Bytes::from(payload));
        let isolate = isolate(&[]);
        let Handled::Whole(envelope, _) = handle(request, &isolate, &Scripted::new()).await else {
            panic!("{kind}");
        };
        assert_eq!(envelope.status_code, status, "{kind}: {envelope:?}");
        assert_eq!(header(&envelope, "x-amzn-errortype"), name, "{kind}: {envelope:?}");
    }
}
