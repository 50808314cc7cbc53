//! Streamed replies: which requests get one, its exact form, and its failures.

use std::rc::Rc;

use bedrock_stub::events::{events, text_delta};
use bedrock_stub::frames::{chunk, encode, exception};

use super::*;
use crate::config::Level;
use crate::host::{BodyStream, Runtime};

const MODEL: &str = "apac.anthropic.claude-sonnet-4-20250514-v1:0";
const REQUEST_ID: (&str, &str) = ("x-amzn-requestid", "aws-1");

type Headers<'a> = &'a [(&'a str, &'a str)];

fn request(method: &str, path: &str, headers: Headers, body: &str) -> IncomingRequest<Bytes> {
    request_in_the_worker(method, path, headers, Bytes::copy_from_slice(body.as_bytes()))
}

/// Returns the reply はい in frames.
fn reply() -> Vec<u8> {
    let message = json!({
        "content": [{ "type": "text", "text": "はい" }],
        "stop_reason": "end_turn",
        "usage": { "input_tokens": 12, "output_tokens": 7 },
    });
    events(&message).iter().flat_map(|event| encode(&chunk(event))).collect()
}

/// Makes a platform on which Bedrock replies once, to one operation.
fn replying_to(path: &str, body: impl Into<Watched>) -> Scripted {
    const WHOLE: &str = r#"{"content": [{"type": "text", "text": "はい"}]}"#;
    let body = if path == "stream" { body.into() } else { Watched::from(WHOLE) };
    Scripted::new().then(200, &[REQUEST_ID], body)
}

async fn events_of<B: BodyStream>(
    streaming: &mut Streaming<'_, B>,
    host: &Scripted,
) -> Vec<String> {
    let mut events = Vec::new();
    while let Some(event) = streaming.next(host).await {
        events.push(event.to_message());
    }
    events
}

#[tokio::test]
async fn a_reply_is_streamed_if_the_body_or_the_accept_header_asks_for_it() {
    const PROMPT: &str = r#"{"prompt": "a"}"#;
    let cases: [(&str, Headers, &str, bool); 24] = [
        ("nothing", &[], PROMPT, false),
        ("stream", &[], r#"{"prompt": "a", "stream": true}"#, true),
        ("stream and no prompt", &[], r#"{"stream": true}"#, true),
        ("not stream", &[], r#"{"prompt": "a", "stream": false}"#, false),
        ("EventSource's", &[("accept", "text/event-stream")], PROMPT, true),
        ("Accept and no body", &[("accept", "text/event-stream")], "", true),
        (
            "Accept and not stream",
            &[("accept", "text/event-stream")],
            r#"{"stream": false}"#,
            false,
        ),
        ("Accept and null", &[("accept", "text/event-stream")], r#"{"stream": null}"#, true),
        ("a low weight", &[("accept", "text/event-stream;q=0.1, */*")], PROMPT, false),
        ("stream and Accept JSON", &[("accept", "application/json")], r#"{"stream": true}"#, true),
        ("in capitals", &[("accept", "TEXT/Event-Stream")], PROMPT, true),
        ("with a charset", &[("accept", "text/event-stream; charset=utf-8")], PROMPT, true),
        ("with a weight", &[("accept", "text/event-stream;q=0.5")], PROMPT, true),
        ("among others", &[("accept", "application/json, text/event-stream")], PROMPT, true),
        ("white space", &[("accept", " application/json ,\ttext/event-stream ")], PROMPT, true),
        (
            "in a second header",
            &[("accept", "text/html"), ("accept", "text/event-stream")],
            PROMPT,
            true,
        ),
        (
            "a second header that is not text",
            &[("accept", "日本語"), ("accept", "text/event-stream")],
            PROMPT,
            true,
        ),
        ("JSON", &[("accept", "application/json")], PROMPT, false),
        ("curl's", &[("accept", "*/*")], PROMPT, false),
        ("any text", &[("accept", "text/*")], PROMPT, false),
        ("a browser's", &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")], PROMPT, false),
        ("a longer type", &[("accept", "text/event-streams")], PROMPT, false),
        ("in a parameter", &[("accept", "text/html;a=text/event-stream")], PROMPT, false),
        ("a type that is not ASCII", &[("accept", "text/event-stream日")], PROMPT, false),
    ];
    for (name, headers, body, expected) in cases {
        let host = replying_to(if expected { "stream" } else { "invoke" }, reply());
        let isolate = isolate(&[]);
        let handled = handle(request("POST", "/", headers, body), &isolate, &host).await;
        let path = host.requests.borrow()[0].uri().path().to_owned();
        match handled {
            Handled::Stream(envelope, _) => {
                assert!(expected, "{name}");
                assert_eq!(envelope.status_code, 200, "{name}");
                assert!(path.ends_with("/invoke-with-response-stream"), "{name}: {path}");
            }
            Handled::Whole(envelope, record) => {
                assert!(!expected, "{name}: {envelope:?}, {record:?}");
                assert_eq!(envelope.status_code, 200, "{name}");
                assert!(path.ends_with("/invoke"), "{name}: {path}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_streamed_reply_its_head_and_its_record_are_pinned() {
    let host = replying_to("stream", reply());
    let isolate = isolate(&[]);
    let request = request("POST", "/", &[], r#"{"prompt": "お元気ですか", "stream": true}"#);
    let Handled::Stream(envelope, mut streaming) = handle(request, &isolate, &host).await else {
        panic!("not a stream");
    };
    assert_eq!(
        serde_json::to_string(&envelope).unwrap(),
        format!(
            r#"{{"statusCode":200,"headers":{{"Content-Type":"text/event-stream; charset=utf-8","cache-control":"no-store, no-transform","x-content-type-options":"nosniff","x-request-id":"{RANDOM_ID}","x-amzn-requestid":"aws-1","x-bedrock-attempts":"1","x-bedrock-region":"ap-northeast-1","server-timing":"bedrock;dur=250, total;dur=250"}},"body":"","isBase64Encoded":false}}"#
        )
    );
    assert_eq!(
        events_of(&mut streaming, &host).await,
        [
            format!(r#"{{"event":"start","data":{{"request_id":"{RANDOM_ID}","model":"{MODEL}"}}}}"#),
            r#"{"event":"delta","data":{"text":"は"}}"#.to_owned(),
            r#"{"event":"delta","data":{"text":"い"}}"#.to_owned(),
            r#"{"event":"done","data":{"input_prompt":"お元気ですか","generated_text":"はい","stop_reason":"end_turn","usage":{"input_tokens":12,"output_tokens":7}}}"#.to_owned(),
        ]
    );
    host.pass(Scripted::STEP);
    assert_eq!(
        streaming.generation.finish(host.now()).0.line(isolate.config().ok()).unwrap(),
        format!(
            r#"{{"level":"info","outcome":"ok","status":200,"request_id":"{RANDOM_ID}","model":"{MODEL}","region":"ap-northeast-1","upstream_status":200,"x_amzn_requestid":"aws-1","retries":0,"input_tokens":12,"output_tokens":7,"stop_reason":"end_turn","upstream_ms":250,"total_ms":500}}"#
        )
    );
}

#[tokio::test]
async fn a_request_that_fails_gets_the_same_response_with_and_without_a_stream() {
    const STREAM: Headers = &[("accept", "text/event-stream")];
    const PROMPT: &str = r#"{"prompt": "お元気ですか"}"#;
    let wrong = r#"{"prompt": 1}"#;
    let long = format!(r#"{{"prompt": "{}"}}"#, "a".repeat(64));
    let gzip = [STREAM[0], ("content-encoding", "gzip")];
    let text = [STREAM[0], ("content-type", "text/plain")];
    let retry = [("retry-after", "7"), ("x-amzn-errortype", "ThrottlingException:"), REQUEST_ID];
    let none = Scripted::new;
    type Case<'a> = (
        &'a str,
        (&'a str, &'a str, Headers<'a>, &'a str),
        &'a dyn Fn() -> Scripted,
        (u16, Option<&'a str>),
    );
    let message = r#"{"message": "Too many requests"}"#;
    let throttled = || Scripted::new().then(429, &retry, message);
    let refused = || Scripted::new().then(403, &[], "{}");
    let html = || Scripted::new().then(503, &[], "<html>");
    let unconnected = || Scripted::new().then_fail("refused");
    #[rustfmt::skip]
    let cases: [Case; 18] = [
        ("429", ("POST", "/", STREAM, PROMPT), &throttled, (500, Some("throttled"))),
        ("403", ("POST", "/", STREAM, PROMPT), &refused, (500, Some("access_denied"))),
        ("HTML of status 503", ("POST", "/", STREAM, PROMPT), &html, (500, Some("unavailable"))),
        ("no connection", ("POST", "/", STREAM, PROMPT), &unconnected, (500, Some("unavailable"))),
        ("not JSON", ("POST", "/", STREAM, "stream=true"), &none, (400, Some("invalid_request"))),
        ("a wrong field", ("POST", "/", STREAM, wrong), &none, (400, Some("invalid_request"))),
        ("stream: a string", ("POST", "/", STREAM, r#"{"stream": "true"}"#), &none, (400, Some("invalid_request"))),
        ("stream: a number", ("POST", "/", STREAM, r#"{"stream": 1}"#), &none, (400, Some("invalid_request"))),
        ("another shape", ("POST", "/", STREAM, r#"{"type": "ping"}"#), &none, (400, Some("invalid_request"))),
        ("stream: twice", ("POST", "/", STREAM, r#"{"stream": true, "stream": true}"#), &none, (400, Some("invalid_request"))),
        ("gzip", ("POST", "/", &gzip, PROMPT), &none, (415, Some("unsupported_media_type"))),
        ("text", ("POST", "/", &text, PROMPT), &none, (415, Some("unsupported_media_type"))),
        ("a long body", ("POST", "/", STREAM, &long), &none, (413, Some("payload_too_large"))),
        ("no such path", ("POST", "/stream", STREAM, PROMPT), &none, (404, Some("not_found"))),
        ("PUT", ("PUT", "/", STREAM, ""), &none, (405, Some("method_not_allowed"))),
        ("a probe", ("GET", "/", STREAM, ""), &none, (200, None)),
        ("OPTIONS", ("OPTIONS", "/", STREAM, ""), &none, (204, None)),
        ("health", ("GET", "/healthz", STREAM, ""), &none, (200, None)),
    ];
    let isolate = isolate(&[("MAX_BODY_BYTES", "64"), ONCE]);
    for (name, (method, path, headers, body), host, expected) in cases {
        let request = || request(method, path, headers, body);
        let Handled::Whole(envelope, record) = handle(request(), &isolate, &host()).await else {
            panic!("{name}: a stream");
        };
        let whole = lambda_handler(request(), &isolate, &host()).await;
        assert_eq!((envelope, record), whole, "{name}");
        let (envelope, _) = lambda_handler(request(), &isolate, &host()).await;
        let mut headers = envelope.headers.iter();
        let code = headers.find(|(name, _)| *name == "x-error-code").map(|(_, code)| &**code);
        assert_eq!((envelope.status_code, code), expected, "{name}");
    }
    let misconfigured = self::isolate(&[("AWS_ACCESS_KEY_ID", "")]);
    let request = || request("POST", "/", STREAM, PROMPT);
    let Handled::Whole(envelope, record) = handle(request(), &misconfigured, &none()).await else {
        panic!("misconfigured: a stream");
    };
    assert_eq!((envelope, record), lambda_handler(request(), &misconfigured, &none()).await);
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_frame_is_a_500() {
    const FAILED: &str = "Error: Bedrock invocation failed";
    const INVALID: &str = "Error: Invalid Bedrock response";
    let of = |kind| Watched::from(encode(&exception(kind, "Words of AWS's")));
    let html = || Watched::from("<!doctype html><title>Welcome</title>");
    let json = || Watched::from(r#"{"content": [{"type": "text", "text": "はい"}]}"#);
    let cut = Watched::from(reply().split_at(20).0.to_vec());
    let cases = [
        ("throttled", of("throttlingException"), "throttled", FAILED),
        ("rejected", of("validationException"), "rejected", FAILED),
        ("unavailable", of("serviceUnavailableException"), "unavailable", FAILED),
        ("HTML", html(), "invalid_response", INVALID),
        ("the response to InvokeModel", json(), "invalid_response", INVALID),
        ("a few bytes", Watched::from("OK"), "truncated", INVALID),
        ("nothing", Watched::in_chunks::<Bytes>([]), "truncated", INVALID),
        ("an empty chunk", Watched::from(""), "truncated", INVALID),
        ("inside the first frame", cut, "truncated", INVALID),
        ("broken off", Watched::broken("reset"), "unavailable", FAILED),
    ];
    for (name, body, code, message) in cases {
        let was_read = body.was_read.clone();
        let host = Scripted::new().then(200, &[REQUEST_ID], body);
        let isolate = isolate(&[ONCE]);
        let request = request("POST", "/", &[], r#"{"prompt": "a", "stream": true}"#);
        let Handled::Whole(envelope, record) = handle(request, &isolate, &host).await else {
            panic!("{name}: a stream");
        };
        let mut headers = json!({
            "Content-Type": "application/json; charset=utf-8",
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "x-error-code": code,
            "x-request-id": RANDOM_ID,
            "x-amzn-requestid": "aws-1",
            "x-bedrock-attempts": "1",
            "x-bedrock-region": "ap-northeast-1",
            "server-timing": "bedrock;dur=250, total;dur=250",
        });
        if ["throttled", "unavailable", "truncated"].contains(&code) {
            headers["retry-after"] = json!("1");
        }
        assert_eq!(
            serde_json::to_value(&envelope).unwrap(),
            json!({
                "statusCode": 500,
                "headers": headers,
                "body": format!(r#"{{"input_prompt":"a","generated_text":"{message}"}}"#),
                "isBase64Encoded": false,
            }),
            "{name}"
        );
        assert_eq!(
            (record.outcome, record.status, record.level),
            (code, 500, Level::Error),
            "{name}"
        );
        assert!(record.error.is_some(), "{name}");
        assert_eq!(Rc::strong_count(&was_read), 1, "{name}: the body is dropped");
    }
}

#[tokio::test]
async fn a_lambda_never_streams() {
    for (name, headers, body) in [
        ("stream", &[][..], r#"{"prompt": "a", "stream": true}"#),
        ("Accept", &[("accept", "text/event-stream")], r#"{"prompt": "a"}"#),
    ] {
        let host = replying_to("invoke", "");
        let request = request("POST", "/", headers, body);
        let (envelope, _) = lambda_handler(request, &isolate(&[]), &host).await;
        assert_eq!(envelope.body, r#"{"input_prompt":"a","generated_text":"はい"}"#, "{name}");
        assert!(host.requests.borrow()[0].uri().path().ends_with("/invoke"), "{name}");
    }
}

#[tokio::test]
async fn the_path_of_websockets_accepts_only_an_upgrade() {
    const UPGRADE: Headers = &[("x-error-code", "upgrade_required"), ("upgrade", "websocket")];
    const OTHER: Headers = &[("allow", "GET, OPTIONS")];
    let cases = [
        ("GET", 426, UPGRADE),
        ("POST", 405, OTHER),
        ("HEAD", 405, OTHER),
        ("OPTIONS", 204, OTHER),
    ];
    for (method, status, headers) in cases {
        let request = || request(method, "/ws", &[("accept", "text/event-stream")], "{}");
        let isolate = isolate(&[]);
        let Handled::Whole(envelope, record) = handle(request(), &isolate, &Scripted::new()).await
        else {
            panic!("{method}: a stream");
        };
        assert_eq!((envelope.status_code, record.status), (status, status), "{method}");
        for (name, value) in headers {
            assert!(
                envelope.headers.contains(&(name, (*value).to_owned())),
                "{method}: {envelope:?}"
            );
        }
        let (whole, _) = lambda_handler(request(), &isolate, &Scripted::new()).await;
        assert_eq!(whole, envelope, "{method}");
    }
}

#[tokio::test]
async fn a_platform_without_websockets_refuses_an_upgrade_like_any_other_request() {
    let request = request("GET", "/ws", &[("upgrade", "websocket")], "");
    let (envelope, record) = lambda_handler(request, &isolate(&[]), &Scripted::new()).await;
    assert_eq!((envelope.status_code, record.outcome), (426, "upgrade_required"));
    assert_eq!(header(&envelope, "upgrade"), Some("websocket"));
}

#[tokio::test]
async fn each_message_of_a_websocket_gets_a_streamed_reply() {
    let isolate = isolate(&[("MAX_BODY_BYTES", "64"), ONCE]);
    let socket = WebSocket::trusted(&isolate).unwrap();
    for (name, message, prompt) in [
        ("a prompt", r#"{"prompt": "お元気ですか"}"#, "お元気ですか"),
        ("stream: false", r#"{"prompt": "a", "stream": false}"#, "a"),
        ("nothing", "", "Hello, how can I help you?"),
    ] {
        let host = replying_to("stream", reply());
        let mut streaming = socket_handler(message.into(), &socket, &host).await.unwrap();
        let events = events_of(&mut streaming, &host).await;
        let done = json!({
            "input_prompt": prompt,
            "generated_text": "はい",
            "stop_reason": "end_turn",
            "usage": { "input_tokens": 12, "output_tokens": 7 },
        });
        let last: serde_json::Value = serde_json::from_str(&events[3]).unwrap();
        assert_eq!((events.len(), last), (4, json!({ "event": "done", "data": done })), "{name}");
    }
}

#[tokio::test]
async fn a_message_that_fails_gets_one_error_event() {
    const FAILED: &str = "Error: Bedrock invocation failed";
    let none = Scripted::new;
    let throttled = none().then(429, &[("retry-after", "7")], "{}");
    let exception = none().then(200, &[], encode(&exception("throttlingException", "Words")));
    let late = [encode(&chunk(&text_delta(0, "a"))), encode(&chunk(&json!("himitsu")))].concat();
    let long = format!(r#"{{"prompt": "{}"}}"#, "a".repeat(64));
    #[rustfmt::skip]
    let cases = [
        ("not JSON", "himitsu", none(), 400, ("invalid_request", "Error: the body is not JSON: expected value at line 1 column 1", false)),
        ("a wrong field", r#"{"stream": 1}"#, none(), 400, ("invalid_request", "Error: stream must be true or false", false)),
        ("too long", &long, none(), 413, ("payload_too_large", "Error: the body must have 64 bytes at most", false)),
        ("429", "{}", throttled, 500, ("throttled", FAILED, true)),
        ("an exception first", "{}", exception, 500, ("throttled", FAILED, true)),
        ("HTML", "{}", none().then(200, &[], "<!doctype html>"), 500, ("invalid_response", "Error: Invalid Bedrock response", false)),
        ("nothing", "{}", none().then(200, &[], ""), 500, ("truncated", "Error: Invalid Bedrock response", true)),
        ("no connection", "{}", none().then_fail("refused"), 500, ("unavailable", FAILED, true)),
    ];
    let isolate = isolate(&[("MAX_BODY_BYTES", "64"), ONCE]);
    let socket = WebSocket::trusted(&isolate).unwrap();
    for (name, message, host, status, (code, text, retryable)) in cases {
        let message = Bytes::copy_from_slice(message.as_bytes());
        let (message, record) = socket_handler(message, &socket, &host).await.unwrap_err();
        let data = json!({ "code": code, "message": text, "retryable": retryable });
        let event: serde_json::Value = serde_json::from_str(&message).unwrap();
        assert_eq!(event, json!({ "event": "error", "data": data }), "{name}");
        assert_eq!((record.outcome, record.status), (code, status), "{name}");
        assert_eq!(record.request_id.as_str(), RANDOM_ID, "{name}");
        assert!(record.total_time.is_some(), "{name}");
    }

    let host = none().then(200, &[], late);
    let mut streaming = socket_handler(Bytes::new(), &socket, &host).await.unwrap();
    let events = events_of(&mut streaming, &host).await;
    assert_eq!(
        events[2],
        r#"{"event":"error","data":{"code":"invalid_response","message":"Error: Invalid Bedrock response","retryable":false}}"#
    );
    let (record, _) = streaming.generation.finish(host.now());
    assert_eq!(
        (record.outcome, record.status, record.level),
        ("invalid_response", 200, Level::Error)
    );
}

#[tokio::test]
async fn a_guardrail_that_intervenes_is_told_in_the_response_and_the_log() {
    const BLOCKED: &str = r#"{"content": [{"type": "text", "text": "Blocked."}], "stop_reason": "end_turn", "amazon-bedrock-guardrailAction": "INTERVENED"}"#;
    const EMPTY: &str = r#"{"content": [], "stop_reason": "guardrail_intervened", "amazon-bedrock-guardrailAction": "INTERVENED"}"#;
    let vars = [("BEDROCK_GUARDRAIL_ID", "a1b2c3"), ("BEDROCK_GUARDRAIL_VERSION", "1")];
    let isolate = isolate(&vars);
    for (body, status, code) in [(BLOCKED, 200, None), (EMPTY, 500, Some("guardrail"))] {
        let host = Scripted::new().then(200, &[], body);
        let request = request("POST", "/", &[], r#"{"prompt": "a"}"#);
        let (envelope, record) = lambda_handler(request, &isolate, &host).await;
        assert_eq!(envelope.status_code, status, "{envelope:?}");
        assert_eq!(header(&envelope, "x-error-code"), code, "{envelope:?}");
        let action = header(&envelope, "x-bedrock-guardrail-action");
        assert_eq!(action, Some("INTERVENED"), "{envelope:?}");
        let line = serde_json::to_value(&record).unwrap();
        assert_eq!(line["guardrail_intervened"], true, "{line}");
        let sent = host.requests.borrow()[0].headers().clone();
        assert_eq!(sent["x-amzn-bedrock-guardrailidentifier"], "a1b2c3");
        assert_eq!(sent["x-amzn-bedrock-guardrailversion"], "1");
    }

    let events: Vec<u8> = [
        text_delta(0, "Blocked."),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } }),
        json!({ "type": "message_stop", "amazon-bedrock-guardrailAction": "INTERVENED" }),
    ]
    .iter()
    .flat_map(|event| encode(&chunk(event)))
    .collect();
    let host = replying_to("stream", events);
    let request = request("POST", "/", &[], r#"{"prompt": "a", "stream": true}"#);
    let Handled::Stream(_, mut streaming) = handle(request, &isolate, &host).await else {
        panic!("not a stream");
    };
    let events = events_of(&mut streaming, &host).await;
    assert!(events.last().unwrap().contains(r#""guardrail_action":"INTERVENED""#), "{events:?}");
    assert!(streaming.generation.finish(host.now()).0.guardrail_intervened);
    assert_eq!(host.requests.borrow()[0].headers()["x-amzn-bedrock-guardrailversion"], "1");
}
