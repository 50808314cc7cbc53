mod conversations;
mod embedded;
mod generation;
mod isolates;
mod messages;
mod models;
mod native;
mod other_models;
mod resend;
mod responses;
mod rpc;
mod streaming;

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::api::Envelope;
use crate::host::{Body, IncomingRequest, ReadError};
use crate::log::Record;
use crate::testing::{
    ACCESS_KEY_ID, ONCE, RANDOM_ID, SECRET_ACCESS_KEY, Scripted, Watched, header, isolate,
    request_in_the_worker,
};

const BODY: &str = r#"{"prompt": "お元気ですか"}"#;

/// Claude's reply to every request.
const REPLY: &str = r#"{"content": [{"type": "text", "text": "はい、\"元気\"です。"}], "stop_reason": "end_turn", "usage": {"input_tokens": 12, "output_tokens": 7}}"#;

fn post<B>(body: B) -> IncomingRequest<B> {
    request_in_the_worker("POST", "/", &[], body)
}

/// Makes a platform on which Bedrock replies once.
fn replying() -> Scripted {
    Scripted::new().then(200, &[("x-amzn-requestid", "aws-1")], REPLY)
}

/// Checks what every response has in common.
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

#[tokio::test]
async fn a_failed_call_is_a_500_with_a_code_and_without_details() {
    const FAILED: &str =
        r#"{"input_prompt":"お元気ですか","generated_text":"Error: Bedrock invocation failed"}"#;
    const INVALID: &str =
        r#"{"input_prompt":"お元気ですか","generated_text":"Error: Invalid Bedrock response"}"#;
    let retry = [("retry-after", "7")];
    let broken = Watched::broken("reset");
    let cases = [
        ("no connection", Scripted::new().then_fail("refused"), "unavailable", Some("1"), FAILED),
        ("throttled", Scripted::new().then(429, &retry, "{}"), "throttled", Some("7"), FAILED),
        ("refused", Scripted::new().then(403, &[], "{}"), "access_denied", None, FAILED),
        ("unreadable", Scripted::new().then(200, &[], "<html>"), "invalid_response", None, INVALID),
        ("broken off", Scripted::new().then(200, &[], broken), "unavailable", Some("1"), FAILED),
    ];
    for (name, host, code, retry_after, body) in cases {
        let request = post(Bytes::from(BODY));
        let (envelope, record) = lambda_handler(request, &isolate(&[ONCE]), &host).await;
        assert_eq!((envelope.status_code, &*envelope.body), (500, body), "{name}");
        assert_eq!(header(&envelope, "x-error-code"), Some(code), "{name}");
        assert_eq!(header(&envelope, "retry-after"), retry_after, "{name}");
        assert!(record.error.is_some(), "{name}");
        check_form(name, &envelope, &record);
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_a_400() {
    let request = post(Watched::broken("connection reset by 192.0.2.1"));
    let (envelope, _) = lambda_handler(request, &isolate(&[]), &Scripted::new()).await;
    assert_eq!(envelope.status_code, 400);
    assert_eq!(
        envelope.body,
        r#"{"input_prompt":"","generated_text":"Error: the body ended early"}"#
    );
}

#[tokio::test]
async fn every_response_of_an_invalid_configuration_is_a_500_whose_cause_is_only_in_the_log() {
    let vars =
        [("AWS_ACCESS_KEY_ID", ""), ("MAX_TOKENS", "himitsu"), ("BEDROCK_REGION", "himitsu!")];
    let isolate = isolate(&vars);
    for (method, path) in [("POST", "/"), ("GET", "/healthz"), ("GET", "/nothing")] {
        let name = format!("{method} {path}");
        let body = Watched::from(BODY);
        let was_read = body.was_read.clone();
        let request = request_in_the_worker(method, path, &[], body);
        let (envelope, record) = lambda_handler(request, &isolate, &Scripted::new()).await;
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
            replying(),
            format!(
                r#"{{"statusCode":200,"headers":{{"Content-Type":"application/json; charset=utf-8","cache-control":"no-store","x-content-type-options":"nosniff","x-request-id":"{RANDOM_ID}","x-amzn-requestid":"aws-1","x-bedrock-attempts":"1","x-bedrock-region":"ap-northeast-1","x-stop-reason":"end_turn","x-amzn-bedrock-input-token-count":"12","x-amzn-bedrock-output-token-count":"7","server-timing":"bedrock;dur=250, total;dur=250"}},"body":"{{\"input_prompt\":\"a\",\"generated_text\":\"はい、\\\"元気\\\"です。\"}}","isBase64Encoded":false}}"#
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
                r#"{{"statusCode":500,"headers":{{"Content-Type":"application/json; charset=utf-8","x-error-code":"throttled","retry-after":"7","cache-control":"no-store","x-content-type-options":"nosniff","x-request-id":"{RANDOM_ID}","x-amzn-requestid":"aws-2","x-bedrock-attempts":"1","x-bedrock-region":"ap-northeast-1","server-timing":"bedrock;dur=250, total;dur=250"}},"body":"{{\"input_prompt\":\"a\",\"generated_text\":\"Error: Bedrock invocation failed\"}}","isBase64Encoded":false}}"#
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
                r#"{{"statusCode":400,"headers":{{"Content-Type":"application/json; charset=utf-8","x-error-code":"invalid_request","cache-control":"no-store","x-content-type-options":"nosniff","x-request-id":"{RANDOM_ID}"}},"body":"{{\"input_prompt\":\"\",\"generated_text\":\"Error: prompt must be a string\"}}","isBase64Encoded":false}}"#
            ),
            format!(
                r#"{{"level":"warn","outcome":"invalid_request","status":400,"request_id":"{RANDOM_ID}",{MODEL},"retries":0,"total_ms":0}}"#
            ),
        ),
    ];
    for (name, body, host, expected_envelope, expected_line) in cases {
        let request = post(Bytes::from(body));
        let isolate = isolate(&[ONCE]);
        let (envelope, record) = lambda_handler(request, &isolate, &host).await;
        assert_eq!(serde_json::to_string(&envelope).unwrap(), expected_envelope, "{name}");
        assert_eq!(record.line(isolate.config().ok()).unwrap(), expected_line, "{name}");
    }
}

/// A body that arrives after a time.
struct Slow<'a>(&'a Scripted, Duration);

impl Body for Slow<'_> {
    async fn read(self, _: usize, _: Duration) -> Result<Bytes, ReadError> {
        self.0.pass(self.1);
        Ok(Bytes::new())
    }
}

#[tokio::test]
async fn times_are_measured_by_the_clock_of_the_platform() {
    let host = replying();
    let request = post(Slow(&host, Duration::from_micros(30_900)));
    let (envelope, record) = lambda_handler(request, &isolate(&[]), &host).await;
    assert_eq!(header(&envelope, "server-timing"), Some("bedrock;dur=250, total;dur=280"));
    assert_eq!(record.upstream_time, Some(Scripted::STEP));
    assert_eq!(record.total_time, Some(Duration::from_micros(280_900)));
}

#[tokio::test]
async fn the_request_id_of_a_lambda_event_is_the_gateways() {
    let json =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events/api-gateway-v1.json"));
    let event = IncomingRequest::from_lambda(&json.unwrap());
    let (envelope, record) = lambda_handler(event, &isolate(&[]), &replying()).await;
    let id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef";
    assert_eq!(envelope.status_code, 200);
    assert_eq!(header(&envelope, "x-request-id"), Some(id));
    assert_eq!(record.request_id.as_str(), id);
}

#[tokio::test]
async fn neither_texts_nor_secrets_are_logged() {
    const TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLEhimitsu";
    const BODY: &str = r#"{"prompt": "himitsu-prompt", "system": "himitsu-system", "stop_sequences": ["himitsu-stop"]}"#;
    const REPLY: &str =
        r#"{"content": [{"type": "text", "text": "himitsu"}], "stop_reason": "himitsu !"}"#;
    let quote = format!(
        "'POST\nx-amz-security-token:{TOKEN}\n' by {ACCESS_KEY_ID} with {SECRET_ACCESS_KEY} of \
         himitsu-prompt, himitsu-system, himitsu-stop"
    );
    let quote = json!({ "message": quote }).to_string();
    let script = Scripted::new;
    #[rustfmt::skip]
    let cases: [(&str, &str, Scripted); 12] = [
        ("ok", BODY, script().then(200, &[("x-amzn-requestid", "himitsu !")], REPLY)),
        ("no text", BODY, script().then(200, &[], r#"{"content": [{"type": "himitsu", "text": "himitsu"}]}"#)),
        ("an invalid error type", BODY, script().then(400, &[("x-amzn-errortype", "himitsu !")], "himitsu")),
        ("an invalid error type in the body", BODY, script().then(400, &[], r#"{"__type": "himitsu !"}"#)),
        ("cut off", BODY, script().then(200, &[], REPLY.split_at(50).0)),
        ("not JSON", BODY, script().then(200, &[], "himitsu")),
        ("another success", BODY, script().then(201, &[], REPLY)),
        ("quoted by AWS", BODY, script().then(403, &[("retry-after", "himitsu !")], quote)),
        ("quoted by the network", BODY, script().then_fail(&format!("{TOKEN} {SECRET_ACCESS_KEY}"))),
        ("quoted by the connection", BODY, script().then(200, &[], Watched::broken(TOKEN))),
        ("an invalid request", r#"{"prompt": "himitsu", "max_tokens": "himitsu"}"#, script()),
        ("an invalid body", r#""himitsu""#, script()),
    ];
    let isolate = isolate(&[("LOG_LEVEL", "debug"), ("AWS_SESSION_TOKEN", TOKEN), ONCE]);
    for (name, body, host) in cases {
        let (_, record) = lambda_handler(post(Bytes::from(body)), &isolate, &host).await;
        let line = record.line(isolate.config().ok()).unwrap();
        for word in ["himitsu", ACCESS_KEY_ID, SECRET_ACCESS_KEY] {
            assert!(!format!("{line} {record:?}").contains(word), "{name}: {line}");
        }
    }
}
