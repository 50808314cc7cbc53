use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;
use crate::host::scripted::{
    ACCESS_KEY_ID, RANDOM_ID, SECRET_ACCESS_KEY, Scripted, Watched, config,
};

const ANSWER: &str = r#"{"content": [{"type": "text", "text": "はい、\"元気\"です。"}], "stop_reason": "end_turn", "usage": {"input_tokens": 12, "output_tokens": 7}}"#;

fn event<B>(method: &str, path: &str, headers: &[(&str, &str)], body: B) -> Event<B> {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        })
        .collect();
    Event::from_http(method.parse().unwrap(), path, headers, body)
}

fn post<B>(body: B) -> Event<B> {
    event("POST", "/", &[], body)
}

fn answering() -> Scripted {
    Scripted::new().then(200, &[("x-amzn-requestid", "aws-1")], ANSWER)
}

fn header<'a>(envelope: &'a Envelope, name: &str) -> Option<&'a str> {
    let mut values = envelope.headers.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
    let value = values.next().map(|(_, value)| &**value);
    assert!(values.next().is_none(), "{name} is there twice: {envelope:?}");
    value
}

/// What every answer must be, whatever it answers.
fn check_form(name: &str, envelope: &Envelope, record: &Record) {
    let content_type = header(envelope, "Content-Type");
    assert_eq!(content_type, Some("application/json; charset=utf-8"), "{name}");
    assert_eq!(header(envelope, "x-request-id"), Some(record.request_id.as_str()), "{name}");
    assert!(!envelope.is_base64_encoded, "{name}");
    assert_eq!(record.status, envelope.status_code, "{name}");
    assert_eq!(record.outcome, header(envelope, "x-error-code").unwrap_or("ok"), "{name}");
    for (header, _) in &envelope.headers {
        self::header(envelope, header);
    }
}

struct Row {
    name: &'static str,
    request: (&'static str, &'static str, &'static [(&'static str, &'static str)]),
    body: &'static str,
    status: u16,
    error_code: Option<&'static str>,
    allow: Option<&'static str>,
    answer: &'static str,
    /// Whether the request's body was read.
    is_read: bool,
}

const OK: Row = Row {
    name: "",
    request: ("POST", "/", &[]),
    body: r#"{"prompt": "お元気ですか"}"#,
    status: 200,
    error_code: None,
    allow: None,
    answer: r#"{"input_prompt":"お元気ですか","generated_text":"はい、\"元気\"です。"}"#,
    is_read: true,
};

const HEALTH: Row = Row {
    request: ("GET", "/healthz", &[]),
    answer: r#"{"input_prompt":"","generated_text":"ok"}"#,
    is_read: false,
    ..OK
};

const PREFLIGHT: Row = Row { status: 204, answer: "", is_read: false, ..OK };

const NOT_FOUND: Row = Row {
    status: 404,
    error_code: Some("not_found"),
    answer: r#"{"input_prompt":"","generated_text":"Error: there is nothing at this path"}"#,
    is_read: false,
    ..OK
};

const WRONG_METHOD: Row = Row {
    status: 405,
    error_code: Some("method_not_allowed"),
    allow: Some("OPTIONS, POST"),
    answer: r#"{"input_prompt":"","generated_text":"Error: the method must be one of OPTIONS, POST"}"#,
    is_read: false,
    ..OK
};

const WRONG_HEALTH_METHOD: Row = Row {
    allow: Some("GET, HEAD, OPTIONS"),
    answer: r#"{"input_prompt":"","generated_text":"Error: the method must be one of GET, HEAD, OPTIONS"}"#,
    ..WRONG_METHOD
};

const WRONG_TYPE: Row = Row {
    status: 415,
    error_code: Some("unsupported_media_type"),
    answer: r#"{"input_prompt":"","generated_text":"Error: the Content-Type must be application/json"}"#,
    is_read: false,
    ..OK
};

const WRONG_CHARSET: Row = Row {
    answer: r#"{"input_prompt":"","generated_text":"Error: the charset must be utf-8"}"#,
    ..WRONG_TYPE
};

const ENCODED: Row = Row {
    answer: r#"{"input_prompt":"","generated_text":"Error: the body must come without a Content-Encoding"}"#,
    ..WRONG_TYPE
};

const TOO_LARGE: Row = Row {
    status: 413,
    error_code: Some("payload_too_large"),
    answer: r#"{"input_prompt":"","generated_text":"Error: the body must have 64 bytes at most"}"#,
    is_read: false,
    ..OK
};

const INVALID: Row = Row { status: 400, error_code: Some("invalid_request"), ..OK };

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "a prompt", ..OK },
    Row {
        name: "no body",
        body: "",
        answer: r#"{"input_prompt":"Hello, how can I help you?","generated_text":"はい、\"元気\"です。"}"#,
        ..OK
    },
    Row { name: "JSON", request: ("POST", "/", &[("content-type", "application/json")]), ..OK },
    Row { name: "JSON in UTF-8", request: ("POST", "/", &[("content-type", "Application/JSON ; Charset=\"UTF-8\"")]), ..OK },
    Row { name: "JSON with another parameter", request: ("POST", "/", &[("content-type", "application/json; profile=x; charset=utf-8")]), ..OK },
    Row { name: "JSON of a kind", request: ("POST", "/", &[("content-type", "application/vnd.example+json")]), ..OK },
    Row { name: "no encoding", request: ("POST", "/", &[("content-encoding", "Identity")]), ..OK },
    Row { name: "a length", request: ("POST", "/", &[("content-length", "32")]), ..OK },
    Row { name: "the longest length", request: ("POST", "/", &[("content-length", "64")]), ..OK },
    Row { name: "a length that is none", request: ("POST", "/", &[("content-length", "many")]), ..OK },
    Row { name: "health", ..HEALTH },
    Row { name: "health: HEAD", request: ("HEAD", "/healthz", &[]), answer: "", ..HEALTH },
    Row { name: "health: a type of no matter", request: ("GET", "/healthz", &[("content-type", "text/plain")]), ..HEALTH },
    Row { name: "health: OPTIONS", request: ("OPTIONS", "/healthz", &[]), allow: Some("GET, HEAD, OPTIONS"), ..PREFLIGHT },
    Row { name: "health: POST", request: ("POST", "/healthz", &[]), ..WRONG_HEALTH_METHOD },
    Row { name: "health: DELETE", request: ("DELETE", "/healthz", &[]), ..WRONG_HEALTH_METHOD },
    Row { name: "OPTIONS", request: ("OPTIONS", "/", &[("content-type", "text/plain")]), allow: Some("OPTIONS, POST"), ..PREFLIGHT },
    Row { name: "GET", request: ("GET", "/", &[]), ..WRONG_METHOD },
    Row { name: "PUT", request: ("PUT", "/", &[]), ..WRONG_METHOD },
    Row { name: "post in small letters", request: ("post", "/", &[]), ..WRONG_METHOD },
    Row { name: "HEAD", request: ("HEAD", "/", &[]), answer: "", ..WRONG_METHOD },
    Row { name: "no such path", request: ("POST", "/prompt", &[]), ..NOT_FOUND },
    Row { name: "no such path: OPTIONS", request: ("OPTIONS", "/prompt", &[]), ..NOT_FOUND },
    Row { name: "no such path: HEAD", request: ("HEAD", "/prompt", &[]), answer: "", ..NOT_FOUND },
    Row { name: "text", request: ("POST", "/", &[("content-type", "text/plain")]), ..WRONG_TYPE },
    Row { name: "a form", request: ("POST", "/", &[("content-type", "application/x-www-form-urlencoded")]), ..WRONG_TYPE },
    Row { name: "JSON lines", request: ("POST", "/", &[("content-type", "application/jsonl")]), ..WRONG_TYPE },
    Row { name: "an image of a kind", request: ("POST", "/", &[("content-type", "image/x+json")]), ..WRONG_TYPE },
    Row { name: "an empty type", request: ("POST", "/", &[("content-type", "")]), ..WRONG_TYPE },
    Row { name: "a type that is not ASCII", request: ("POST", "/", &[("content-type", "日本語")]), ..WRONG_TYPE },
    Row { name: "JSON in Shift_JIS", request: ("POST", "/", &[("content-type", "application/json; charset=Shift_JIS")]), ..WRONG_CHARSET },
    Row { name: "gzip", request: ("POST", "/", &[("content-encoding", "gzip")]), ..ENCODED },
    Row { name: "an encoding that is not ASCII", request: ("POST", "/", &[("content-encoding", "日本語")]), ..ENCODED },
    Row { name: "the type before the length", request: ("POST", "/", &[("content-type", "text/plain"), ("content-length", "65")]), ..WRONG_TYPE },
    Row { name: "a length too large", request: ("POST", "/", &[("content-length", "65")]), ..TOO_LARGE },
    Row { name: "a length over 64 bits", request: ("POST", "/", &[("content-length", "18446744073709551617")]), ..TOO_LARGE },
    Row {
        name: "a body too long",
        body: r#"{"prompt": "0123456789 0123456789 0123456789 0123456789 0123456"}"#,
        is_read: true,
        ..TOO_LARGE
    },
    Row {
        name: "a body longer than it said",
        request: ("POST", "/", &[("content-length", "5")]),
        body: r#"{"prompt": "0123456789 0123456789 0123456789 0123456789 0123456"}"#,
        is_read: true,
        ..TOO_LARGE
    },
    Row {
        name: "the longest body",
        body: r#"{"prompt": "0123456789 0123456789 0123456789 0123456789 012345"}"#,
        answer: r#"{"input_prompt":"0123456789 0123456789 0123456789 0123456789 012345","generated_text":"はい、\"元気\"です。"}"#,
        ..OK
    },
    Row {
        name: "not JSON",
        body: "prompt=a",
        answer: r#"{"input_prompt":"","generated_text":"Error: the body is not JSON: expected value at line 1 column 1"}"#,
        ..INVALID
    },
    Row {
        name: "a wrong field",
        body: r#"{"prompt": "a", "max_tokens": 0}"#,
        answer: r#"{"input_prompt":"","generated_text":"Error: max_tokens must be a whole number from 1 to 100"}"#,
        ..INVALID
    },
];

#[tokio::test]
async fn answers() {
    let config = config(&[("MAX_BODY_BYTES", "64")]);
    let mut wrong = Vec::new();
    for row in ROWS {
        let name = row.name;
        let (method, path, headers) = row.request;
        let body = Watched::from(row.body);
        let was_read = body.was_read.clone();
        let host = answering();
        let (envelope, record) =
            lambda_handler(event(method, path, headers, body), &config, &host).await;

        let calls = usize::from(row.is_read && row.status == 200);
        let actual = (
            envelope.status_code,
            header(&envelope, "x-error-code"),
            header(&envelope, "allow"),
            &*envelope.body,
            was_read.get(),
            host.requests.borrow().len(),
        );
        let expected = (row.status, row.error_code, row.allow, row.answer, row.is_read, calls);
        if actual != expected {
            wrong.push(format!("{name}: {actual:?}, not {expected:?}"));
        }
        check_form(name, &envelope, &record);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn failures_of_the_call() {
    const FAILED: &str =
        r#"{"input_prompt":"お元気ですか","generated_text":"Error: Bedrock invocation failed"}"#;
    const INVALID: &str =
        r#"{"input_prompt":"お元気ですか","generated_text":"Error: Invalid Bedrock response"}"#;
    let retry = [("retry-after", "7")];
    let broken = Watched::broken("reset");
    let cases = [
        ("no connection", Scripted::new().then_fail("refused"), "unavailable", None, FAILED),
        ("throttled", Scripted::new().then(429, &retry, "{}"), "throttled", Some("7"), FAILED),
        ("refused", Scripted::new().then(403, &[], "{}"), "access_denied", None, FAILED),
        ("unreadable", Scripted::new().then(200, &[], "<html>"), "invalid_response", None, INVALID),
        ("broken off", Scripted::new().then(200, &[], broken), "unavailable", None, FAILED),
    ];
    for (name, host, code, retry_after, body) in cases {
        let event = post(Bytes::from(OK.body));
        let (envelope, record) = lambda_handler(event, &config(&[]), &host).await;
        assert_eq!((envelope.status_code, &*envelope.body), (500, body), "{name}");
        assert_eq!(header(&envelope, "x-error-code"), Some(code), "{name}");
        assert_eq!(header(&envelope, "retry-after"), retry_after, "{name}");
        assert!(record.error.is_some(), "{name}");
        check_form(name, &envelope, &record);
    }
}

#[tokio::test]
async fn the_body_breaks_off() {
    let event = post(Watched::broken("connection reset by 192.0.2.1"));
    let (envelope, _) = lambda_handler(event, &config(&[]), &Scripted::new()).await;
    assert_eq!(envelope.status_code, 400);
    assert_eq!(
        envelope.body,
        r#"{"input_prompt":"","generated_text":"Error: the body ended early"}"#
    );
}

#[tokio::test]
async fn misconfigured() {
    let vars =
        [("AWS_ACCESS_KEY_ID", ""), ("MAX_TOKENS", "himitsu"), ("BEDROCK_REGION", "himitsu!")];
    let config = config(&vars);
    for (method, path) in [("POST", "/"), ("GET", "/healthz"), ("GET", "/nothing")] {
        let name = format!("{method} {path}");
        let body = Watched::from(OK.body);
        let was_read = body.was_read.clone();
        let event = event(method, path, &[], body);
        let (envelope, record) = lambda_handler(event, &config, &Scripted::new()).await;
        assert_eq!(envelope.status_code, 500, "{name}");
        assert_eq!(header(&envelope, "x-error-code"), Some("misconfigured"), "{name}");
        assert_eq!(
            envelope.body, r#"{"input_prompt":"","generated_text":"Error: Internal server error"}"#,
            "{name}"
        );
        assert!(!was_read.get(), "{name}");
        assert_eq!(
            record.error.as_ref().unwrap().as_str(),
            "BEDROCK_REGION must be the name of a region, such as ap-northeast-1; \
             MAX_TOKENS must be a whole number from 1; AWS_ACCESS_KEY_ID is not set",
            "{name}"
        );
        let shown = format!("{envelope:?}");
        for problem in ["BEDROCK_REGION", "MAX_TOKENS", "AWS_ACCESS_KEY_ID", "himitsu"] {
            assert!(!shown.contains(problem), "{name}: {shown}");
        }
        check_form(&name, &envelope, &record);
    }
}

#[tokio::test]
async fn the_envelope_and_the_record_are_pinned() {
    const MODEL: &str =
        r#""model":"apac.anthropic.claude-sonnet-4-20250514-v1:0","region":"ap-northeast-1""#;
    let throttled = Scripted::new().then(
        429,
        &[
            ("x-amzn-errortype", "ThrottlingException:"),
            ("x-amzn-requestid", "aws-2"),
            ("retry-after", "7"),
        ],
        r#"{"message": "Too many requests"}"#,
    );
    let cases = [
        (
            "ok",
            r#"{"prompt": "a"}"#,
            answering(),
            format!(
                r#"{{"statusCode":200,"headers":{{"Content-Type":"application/json; charset=utf-8","x-request-id":"{RANDOM_ID}","x-amzn-requestid":"aws-1","x-stop-reason":"end_turn","x-amzn-bedrock-input-token-count":"12","x-amzn-bedrock-output-token-count":"7","server-timing":"bedrock;dur=250, total;dur=250"}},"body":"{{\"input_prompt\":\"a\",\"generated_text\":\"はい、\\\"元気\\\"です。\"}}","isBase64Encoded":false}}"#
            ),
            format!(
                r#"{{"level":"info","outcome":"ok","status":200,"request_id":"{RANDOM_ID}",{MODEL},"upstream_status":200,"x_amzn_requestid":"aws-1","retries":0,"input_tokens":12,"output_tokens":7,"stop_reason":"end_turn","upstream_ms":250,"total_ms":250}}"#
            ),
        ),
        (
            "Bedrock's fault",
            r#"{"prompt": "a"}"#,
            throttled,
            format!(
                r#"{{"statusCode":500,"headers":{{"Content-Type":"application/json; charset=utf-8","x-error-code":"throttled","retry-after":"7","x-request-id":"{RANDOM_ID}","x-amzn-requestid":"aws-2","server-timing":"bedrock;dur=250, total;dur=250"}},"body":"{{\"input_prompt\":\"a\",\"generated_text\":\"Error: Bedrock invocation failed\"}}","isBase64Encoded":false}}"#
            ),
            format!(
                r#"{{"level":"error","outcome":"throttled","status":500,"request_id":"{RANDOM_ID}",{MODEL},"upstream_status":429,"x_amzn_requestid":"aws-2","retries":0,"upstream_ms":250,"total_ms":250,"error":"429 Too Many Requests ThrottlingException: Too many requests"}}"#
            ),
        ),
        (
            "the caller's fault",
            r#"{"prompt": 1}"#,
            Scripted::new(),
            format!(
                r#"{{"statusCode":400,"headers":{{"Content-Type":"application/json; charset=utf-8","x-error-code":"invalid_request","x-request-id":"{RANDOM_ID}"}},"body":"{{\"input_prompt\":\"\",\"generated_text\":\"Error: prompt must be a string\"}}","isBase64Encoded":false}}"#
            ),
            format!(
                r#"{{"level":"warn","outcome":"invalid_request","status":400,"request_id":"{RANDOM_ID}",{MODEL},"retries":0,"total_ms":0}}"#
            ),
        ),
    ];
    for (name, body, host, expected_envelope, expected_line) in cases {
        let event = post(Bytes::from(body));
        let config = config(&[]);
        let (envelope, record) = lambda_handler(event, &config, &host).await;
        assert_eq!(serde_json::to_string(&envelope).unwrap(), expected_envelope, "{name}");
        assert_eq!(record.line(config.as_ref().ok()).unwrap(), expected_line, "{name}");
    }
}

/// A body that takes its time.
struct Slow<'a>(&'a Scripted, Duration);

impl Body for Slow<'_> {
    async fn read(self, _: usize) -> Result<Bytes, ReadError> {
        self.0.pass(self.1);
        Ok(Bytes::new())
    }
}

#[tokio::test]
async fn the_times_are_those_of_the_host() {
    let host = answering();
    let event = post(Slow(&host, Duration::from_micros(30_900)));
    let (envelope, record) = lambda_handler(event, &config(&[]), &host).await;
    assert_eq!(header(&envelope, "server-timing"), Some("bedrock;dur=250, total;dur=280"));
    assert_eq!(record.upstream_time, Some(Scripted::STEP));
    assert_eq!(record.total_time, Some(Duration::from_micros(280_900)));
}

#[tokio::test]
async fn the_request_id_is_the_gateways() {
    let json =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events/api-gateway-v1.json"));
    let event = Event::from_lambda(&json.unwrap());
    let (envelope, record) = lambda_handler(event, &config(&[]), &answering()).await;
    let id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef";
    assert_eq!(envelope.status_code, 200);
    assert_eq!(header(&envelope, "x-request-id"), Some(id));
    assert_eq!(record.request_id.as_str(), id);
}

#[tokio::test]
async fn nothing_private_is_logged() {
    const TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLEhimitsu";
    const BODY: &str = r#"{"prompt": "himitsu-prompt", "system": "himitsu-system", "stop_sequences": ["himitsu-stop"]}"#;
    const ANSWER: &str =
        r#"{"content": [{"type": "text", "text": "himitsu"}], "stop_reason": "himitsu !"}"#;
    let quote = format!(
        "'POST\nx-amz-security-token:{TOKEN}\n' by {ACCESS_KEY_ID} with {SECRET_ACCESS_KEY} of \
         himitsu-prompt, himitsu-system, himitsu-stop"
    );
    let quote = json!({ "message": quote }).to_string();
    let script = Scripted::new;
    #[rustfmt::skip]
    let cases: [(&str, &str, Scripted); 12] = [
        ("ok", BODY, script().then(200, &[("x-amzn-requestid", "himitsu !")], ANSWER)),
        ("no text", BODY, script().then(200, &[], r#"{"content": [{"type": "himitsu", "text": "himitsu"}]}"#)),
        ("an odd error type", BODY, script().then(400, &[("x-amzn-errortype", "himitsu !")], "himitsu")),
        ("an odd error type in the body", BODY, script().then(400, &[], r#"{"__type": "himitsu !"}"#)),
        ("cut off", BODY, script().then(200, &[], ANSWER.split_at(50).0)),
        ("not JSON", BODY, script().then(200, &[], "himitsu")),
        ("another success", BODY, script().then(201, &[], ANSWER)),
        ("quoted by AWS", BODY, script().then(403, &[("retry-after", "himitsu !")], quote)),
        ("quoted by the network", BODY, script().then_fail(&format!("{TOKEN} {SECRET_ACCESS_KEY}"))),
        ("quoted by the connection", BODY, script().then(200, &[], Watched::broken(TOKEN))),
        ("an invalid request", r#"{"prompt": "himitsu", "max_tokens": "himitsu"}"#, script()),
        ("an invalid body", r#""himitsu""#, script()),
    ];
    let config = config(&[("LOG_LEVEL", "debug"), ("AWS_SESSION_TOKEN", TOKEN)]);
    for (name, body, host) in cases {
        let (_, record) = lambda_handler(post(Bytes::from(body)), &config, &host).await;
        let line = record.line(config.as_ref().ok()).unwrap();
        for word in ["himitsu", ACCESS_KEY_ID, SECRET_ACCESS_KEY] {
            assert!(!format!("{line} {record:?}").contains(word), "{name}: {line}");
        }
    }
}
