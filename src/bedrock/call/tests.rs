use serde_json::json;

use http::header::AUTHORIZATION;

use super::attempt::MAX_ERROR_BYTES;
use super::*;
use crate::api::parse_request;
use crate::bedrock::decoder::MAX_REPLY_BYTES;
use crate::error::Code;
use crate::identifier::Identifier;
use crate::testing::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Scripted, Watched, header_of, isolate};

const SESSION_TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLE/session+token==";
const API_KEY: &str = "bedrock-api-key-YmVkcm9ja0V4YW1wbGU=";
const PROMPT: &str = "himitsu の計画を要約してください。";
const REPLY: &str = r#"{"content": [{"type": "text", "text": "はい"}], "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 2}}"#;

const ONCE: (&str, &str) = ("BEDROCK_MAX_ATTEMPTS", "1");

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// The result of a call, its record, and the requests that were sent.
struct Called {
    result: Result<Reply, Error>,
    record: Record,
    calls: Vec<http::Request<Bytes>>,
}

async fn invoke(vars: Pairs<'_>, body: &str, host: Scripted) -> Called {
    let isolate = isolate(vars);
    let request = parse_request(body.as_bytes(), isolate.config().unwrap()).unwrap();
    let mut record = Record::new(Identifier::random(0));
    let bedrock = isolate.bedrock(&host).unwrap();
    let result = invoke_bedrock(&request, &bedrock, &mut record).await;
    Called { result, record, calls: host.requests.into_inner() }
}

/// Returns the error of a call with [`PROMPT`], and its private cause.
async fn fail(host: Scripted) -> (Error, String) {
    let body = json!({ "prompt": PROMPT, "system": "naisho!", "stop_sequences": ["kakushi"] });
    let vars = [("AWS_SESSION_TOKEN", SESSION_TOKEN), ONCE];
    let error = invoke(&vars, &body.to_string(), host).await.result.unwrap_err();
    let cause = error.cause.as_ref().unwrap().as_str().to_owned();
    (error, cause)
}

fn headers(call: &http::Request<Bytes>) -> Vec<(&str, &str)> {
    let mut headers: Vec<_> = call
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    headers.sort_unstable();
    headers
}

#[tokio::test]
async fn the_request_to_bedrock_is_exactly_this() {
    const HOST: &str = "https://bedrock-runtime.ap-northeast-1.amazonaws.com";
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6";
    let cases: [(&str, Pairs, String, &[&str]); 6] = [
        (
            "SigV4 and a guardrail",
            &[("BEDROCK_GUARDRAIL_ID", "a1b2c3"), ("BEDROCK_GUARDRAIL_VERSION", "7")],
            format!("{HOST}/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke"),
            &[
                "accept",
                "authorization",
                "content-type",
                "x-amz-date",
                "x-amzn-bedrock-guardrailidentifier",
                "x-amzn-bedrock-guardrailversion",
            ],
        ),
        (
            "SigV4",
            &[],
            format!("{HOST}/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke"),
            &["accept", "authorization", "content-type", "x-amz-date"],
        ),
        (
            "SigV4 with a session token",
            &[("AWS_SESSION_TOKEN", SESSION_TOKEN)],
            format!("{HOST}/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke"),
            &["accept", "authorization", "content-type", "x-amz-date", "x-amz-security-token"],
        ),
        (
            "SigV4 of an ARN",
            &[("BEDROCK_MODEL_ID", arn), ("BEDROCK_REGION", "us-east-1")],
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aus-east-1\
             %3A123456789012%3Aapplication-inference-profile%2Fa1b2c3d4e5f6/invoke"
                .to_owned(),
            &["accept", "authorization", "content-type", "x-amz-date"],
        ),
        (
            "API key",
            &[("AWS_BEARER_TOKEN_BEDROCK", API_KEY), ("AWS_SESSION_TOKEN", SESSION_TOKEN)],
            format!("{HOST}/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke"),
            &["accept", "authorization", "content-type"],
        ),
        (
            "another endpoint",
            &[("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://localhost:8080/base/")],
            "http://localhost:8080/base/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke"
                .to_owned(),
            &["accept", "authorization", "content-type", "x-amz-date"],
        ),
    ];
    for (name, vars, uri, names) in cases {
        let host = Scripted::new().then(200, &[], REPLY);
        let calls = invoke(vars, r#"{"prompt": "こんにちは"}"#, host).await.calls;
        let [call] = &calls[..] else { panic!("{name}: {} calls", calls.len()) };
        assert_eq!(call.method(), "POST", "{name}");
        assert_eq!(call.uri().to_string(), uri, "{name}");
        let headers = headers(call);
        assert_eq!(headers.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names, "{name}");
        assert_eq!(headers[0].1, "application/json", "{name}");
        assert_eq!(headers[2].1, "application/json", "{name}");
        assert_eq!(
            std::str::from_utf8(call.body()).unwrap(),
            r#"{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"こんにちは"}],"max_tokens":100,"temperature":0.7}"#,
            "{name}"
        );
    }
}

#[tokio::test]
async fn each_kind_of_credentials_has_its_authorization_header() {
    let cases: [(&str, Pairs, &str); 3] = [
        (
            "SigV4",
            &[],
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260102/ap-northeast-1/bedrock/aws4_request, SignedHeaders=accept;content-type;host;x-amz-date, Signature=",
        ),
        (
            "SigV4 with a session token",
            &[("AWS_SESSION_TOKEN", SESSION_TOKEN)],
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260102/ap-northeast-1/bedrock/aws4_request, SignedHeaders=accept;content-type;host;x-amz-date;x-amz-security-token, Signature=",
        ),
        (
            "API key",
            &[("AWS_BEARER_TOKEN_BEDROCK", API_KEY)],
            "Bearer bedrock-api-key-YmVkcm9ja0V4YW1wbGU=",
        ),
    ];
    for (name, vars, expected) in cases {
        let host = Scripted::new().then(200, &[], REPLY);
        let calls = invoke(vars, "{}", host).await.calls;
        let value = &calls[0].headers()[AUTHORIZATION];
        assert!(
            value.to_str().unwrap().starts_with(expected),
            "{name}: {}",
            value.to_str().unwrap()
        );
        let shown = format!("{calls:?}");
        for secret in [SECRET_ACCESS_KEY, SESSION_TOKEN, API_KEY, ACCESS_KEY_ID] {
            assert!(!shown.contains(secret), "{name}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_reply_fills_the_record() {
    let host = Scripted::new().then(200, &[("x-amzn-requestid", "aws-1")], REPLY);
    let Called { result, record, .. } = invoke(&[], "{}", host).await;
    assert_eq!(result.unwrap().text, "はい");
    assert_eq!(record.upstream_status, Some(200));
    assert_eq!(record.upstream_request_id, Identifier::new("aws-1"));
    assert_eq!(record.upstream_time, Some(Scripted::STEP));
    assert_eq!(record.stop_reason, Identifier::new("end_turn"));
    assert_eq!((record.input_tokens, record.output_tokens), (Some(3), Some(2)));
    assert_eq!(record.error, None);
}

/// A file of tests/errors: a response of AWS, or of a proxy in front of it, and its meaning.
#[derive(serde::Deserialize)]
struct Fixture {
    status: u16,
    #[serde(rename = "x-amzn-errortype")]
    kind: String,
    body: String,
    code: String,
    /// The message for the caller, if the caller is at fault.
    message: Option<String>,
    /// How many calls are made if three are allowed and all get this response.
    calls: usize,
}

#[tokio::test]
async fn every_error_of_aws_has_its_code_and_its_number_of_calls() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/errors");
    let mut count = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let fixture: Fixture = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let headers = [("x-amzn-errortype", &*fixture.kind), ("x-amzn-requestid", "aws-1")];
        let status = fixture.status;
        let host = (0..fixture.calls)
            .fold(Scripted::new(), |host, _| host.then(status, &headers, fixture.body.clone()));
        let Called { result, record, calls } = invoke(&[], "{}", host).await;
        let error = result.unwrap_err();
        assert_eq!(error.code.as_str(), fixture.code, "{name}");
        let message = match error.code {
            Code::InvalidResponse => "Invalid Bedrock response",
            Code::InvalidRequest => fixture.message.as_deref().unwrap(),
            _ => "Bedrock invocation failed",
        };
        assert_eq!(error.message, message, "{name}");
        let expected = if error.code == Code::InvalidRequest { 400 } else { 500 };
        assert_eq!(error.code.status(), expected, "{name}");
        assert_eq!(header_of(&error, "allow"), None, "{name}");
        assert_eq!(calls.len(), fixture.calls, "{name}");
        assert_eq!(record.upstream_status, Some(status), "{name}");
        assert_eq!(record.upstream_request_id, Identifier::new("aws-1"), "{name}");
        let steps = u32::try_from(fixture.calls).unwrap();
        assert_eq!(record.upstream_time, Some(Scripted::STEP * steps), "{name}");
        assert_eq!((record.attempts, record.retries), (steps, steps - 1), "{name}");
        count += 1;
    }
    assert!(count > 40, "{count} fixtures");
}

#[tokio::test]
async fn the_wait_that_aws_asks_for_is_passed_on() {
    const DATE: &str = "Fri, 02 Jan 2026 03:04:05 GMT";
    // Without a usable value it is the longest wait after a first attempt: a second.
    let cases = [
        ("seconds", 429, "30", Some("30")),
        ("of another status", 503, "0", Some("0")),
        ("a time", 503, "Fri, 02 Jan 2026 03:04:15 GMT", Some("10")),
        ("a time in the past", 503, "Fri, 02 Jan 2026 03:04:04 GMT", Some("0")),
        ("of a success that is none", 202, "1", Some("1")),
        ("of a success that is none, empty", 202, "", None),
        ("empty", 429, "", Some("1")),
        ("not a number", 429, "1, 2", Some("1")),
        ("negative", 429, "-1", Some("1")),
        ("too large a number", 429, "4294967296", Some("1")),
        ("not a time", 429, "Fri, 02 Jan 2026", Some("1")),
        ("not worth while", 403, "", None),
    ];
    for (name, status, value, expected) in cases {
        let headers = [("retry-after", value), ("date", DATE)];
        let (error, _) = fail(Scripted::new().then(status, &headers, "{}")).await;
        assert_eq!(header_of(&error, "retry-after"), expected, "{name}");
    }
}

/// The host's time is 2026-01-02 03:04:05 UTC.
#[tokio::test]
async fn a_quota_of_the_day_is_not_retried_before_the_day_ends() {
    const MESSAGE: &str =
        r#"{"message": "Too many tokens per day, please wait before trying again."}"#;
    let left = Duration::from_secs(((20 * 60) + 55) * 60 + 55).as_secs().to_string();
    for (status, headers) in [
        (429, &[("x-amzn-errortype", "ThrottlingException"), ("retry-after", "1")][..]),
        (429, &[]),
        (200, &[]),
    ] {
        let host = Scripted::new().then(status, headers, MESSAGE);
        let Called { result, record, .. } = invoke(&[], "{}", host).await;
        let error = result.unwrap_err();
        assert_eq!((error.code, record.attempts), (Code::Throttled, 1), "{status}");
        assert_eq!(header_of(&error, "retry-after"), Some(&*left), "{status}");
    }
    // Another region has a quota of its own.
    let host = Scripted::new().then(429, &[], MESSAGE).then(200, &[], REPLY);
    let regions =
        [("BEDROCK_FALLBACK_REGIONS", "us-east-1=us.anthropic.claude-sonnet-4-20250514-v1:0")];
    let Called { result, record, .. } = invoke(&regions, "{}", host).await;
    assert_eq!((result.unwrap().text.as_str(), record.attempts), ("はい", 2));
}

#[tokio::test]
async fn a_response_without_a_reply_has_its_code_and_cause() {
    let long = vec![b' '; MAX_REPLY_BYTES + 1];
    let odd = r#"{"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}}"#;
    let cases = [
        (
            "no connection",
            Scripted::new().then_fail("connection refused"),
            Code::Unavailable,
            "no response: connection refused",
        ),
        (
            "an early end",
            Scripted::new().then(200, &[], Watched::broken("connection reset")),
            Code::Unavailable,
            "cannot read the response: connection reset",
        ),
        (
            "too long",
            Scripted::new().then(200, &[], long),
            Code::InvalidResponse,
            "cannot read the response: the body is too long",
        ),
        (
            "an error that is too long to be read",
            Scripted::new().then(
                429,
                &[("x-amzn-errortype", "ThrottlingException")],
                vec![b' '; MAX_ERROR_BYTES + 1],
            ),
            Code::Throttled,
            "429 Too Many Requests ThrottlingException",
        ),
        (
            "an error with status 200",
            Scripted::new().then(200, &[], odd),
            Code::InvalidResponse,
            "UnknownOperationException",
        ),
        (
            "no JSON",
            Scripted::new().then(200, &[], "<html>"),
            Code::InvalidResponse,
            "the body of 6 bytes is not Claude's JSON: syntax at 1:1",
        ),
        (
            "a redirect",
            Scripted::new().then(302, &[("location", "https://example.com/")], ""),
            Code::InvalidResponse,
            "302 Found without a type",
        ),
        (
            "a network's error with a secret in it",
            Scripted::new().then_fail("bad header: IQoJb3JpZ2luX2VjEXAMPLE/session+token=="),
            Code::Unavailable,
            "no response: bad header: [redacted]",
        ),
    ];
    for (name, host, code, expected) in cases {
        let (error, cause) = fail(host).await;
        assert_eq!((error.code, &*cause), (code, expected), "{name}");
    }
}

#[tokio::test]
async fn in_full_the_cause_quotes_aws_without_secrets() {
    let canonical = format!(
        "The request signature we calculated does not match the signature you provided.\n\n\
         The Canonical String for this request should have been\n'POST\n/model/m%253A0/invoke\n\n\
         accept:application/json\nhost:bedrock-runtime.ap-northeast-1.amazonaws.com\n\
         x-amz-date:20260102T030405Z\nx-amz-security-token:{SESSION_TOKEN}\n\n\
         accept;host;x-amz-date;x-amz-security-token\n9592210aec'\n"
    );
    let cases = [
        ("plain", "Too many requests.".to_owned(), "400 Bad Request T: Too many requests."),
        (
            "the key's id",
            format!("User {ACCESS_KEY_ID} is not authorized"),
            "400 Bad Request T: User [redacted] is not authorized",
        ),
        (
            "a half of the session token",
            format!("odd token '{}'", SESSION_TOKEN.split_at(20).0),
            "400 Bad Request T: odd token '[redacted]'",
        ),
        (
            "the authorization",
            "It needs a date. Authorization=AWS4-HMAC-SHA256 Signature=b0".to_owned(),
            "400 Bad Request T: It needs a date. Authorization=[redacted]",
        ),
        (
            "a canonical request",
            canonical.clone(),
            "400 Bad Request T: The request signature we calculated does not match the signature \
             you provided.\n\nThe Canonical String for this request should have been\n'POST\n\
             /model/m%253A0/invoke\n\naccept:application/json\n\
             host:bedrock-runtime.ap-northeast-1.amazonaws.com\nx-amz-date:20260102T030405Z\n\
             x-amz-security-token:[redacted]\n\naccept;host;x-amz-date;x-amz-security-token\n\
             9592210aec'\n",
        ),
        (
            "a canonical request with another token",
            "X-Amz-Security-Token:IQoJb3RoZXI=\nAuthorization:AWS4 a, b\nend".to_owned(),
            "400 Bad Request T: X-Amz-Security-Token:[redacted]\nAuthorization:[redacted]\nend",
        ),
    ];
    for (name, message, expected) in cases {
        for key in ["message", "Message"] {
            let body = json!({ key: message }).to_string();
            let host = Scripted::new().then(400, &[("x-amzn-errortype", "T:http://a/")], body);
            let vars =
                [("AWS_SESSION_TOKEN", SESSION_TOKEN), ONCE, ("LOG_UPSTREAM_MESSAGES", "full")];
            let error = invoke(&vars, r#"{"prompt": "a"}"#, host).await.result.unwrap_err();
            assert_eq!(error.cause.unwrap().as_str(), expected, "{name}, as {key}");
        }
    }
}

#[tokio::test]
async fn a_known_message_is_logged_in_full() {
    for message in [
        "Too many tokens, please wait before trying again.",
        "max_tokens: 9000 > 8192, which is the maximum allowed number of output tokens for claude-opus-5",
        "messages.0.content: Extra inputs are not permitted",
    ] {
        let body = json!({ "message": message }).to_string();
        let host = Scripted::new().then(400, &[("x-amzn-errortype", "T")], body);
        assert_eq!(fail(host).await.1, format!("400 Bad Request T: {message}"));
    }
}

/// AWS quotes parts of a body, as they are or in any encoding.
#[tokio::test]
async fn of_a_message_that_is_not_known_the_cause_has_length_and_hash() {
    let json = json!({ "content": PROMPT }).to_string();
    let escaped: String = PROMPT.encode_utf16().map(|it| format!("\\u{it:04x}")).collect();
    let cases = [
        ("whole", PROMPT.to_owned()),
        ("as JSON", json),
        ("with escapes", escaped),
        ("a fragment", "himitsu".to_owned()),
        ("another language", "私は".to_owned()),
        ("half a token", SESSION_TOKEN.split_at(11).0.to_owned()),
        ("authorization", "Authorization=AWS4-HMAC-SHA256 Signature=b0".to_owned()),
    ];
    for (name, quotation) in cases {
        let message = format!("odd input: {quotation}");
        let host = Scripted::new().then(400, &[], json!({ "message": message }).to_string());
        let (_, cause) = fail(host).await;
        let start = format!(
            "400 Bad Request without a type: a message of {} bytes with the SHA-256 ",
            message.len()
        );
        assert!(cause.starts_with(&start), "{name}: {cause}");
        assert!(!cause.contains(&quotation) && !cause.contains("odd"), "{name}: {cause}");
    }
}
