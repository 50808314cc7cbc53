use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::api::Envelope;
use crate::config::Authentication;
use crate::error::Code;
use crate::host::Runtime;
use crate::log::Record;
use crate::server::{Isolate, lambda_handler};
use crate::single_flight::LEASE;
use crate::testing::{SECRET_ACCESS_KEY, Scripted, Watched, config, isolate, request};

const REPLY: &str = r#"{"content": [{"type": "text", "text": "はい"}]}"#;
const ROLE: &str = "arn:aws:iam::123456789012:role/edge";
const HOUR: Duration = Duration::from_secs(3600);

/// Credentials are replaced this long before they expire.
const EARLY: Duration = Duration::from_secs(5 * 60);

fn fixture(name: &str) -> String {
    let path = format!("{}/tests/sts/{name}.xml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Makes STS's response with a key that is valid for so long after the start of a [`Scripted`].
fn granted(number: u64, lifetime: Duration) -> String {
    let seconds = 3 * 3600 + 4 * 60 + 5 + lifetime.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let expiration = format!("2026-01-02T{hours:02}:{minutes:02}:{seconds:02}Z");
    fixture("granted")
        .replace("2026-01-02T04:04:05Z", &expiration)
        .replace("ASIAIOSFODNN7EXAMPLE", &format!("ASIAEXAMPLE{number}"))
}

fn with_role(vars: &[(&str, &str)]) -> Isolate {
    isolate(&[&[("AWS_ROLE_ARN", ROLE)], vars].concat())
}

fn role(isolate: &Isolate) -> &RoleSettings {
    match &isolate.config().unwrap().authentication {
        Authentication::AssumeRole(role) => role,
        other => panic!("{other:?}"),
    }
}

async fn send(isolate: &Isolate, host: &Scripted) -> (Envelope, Record) {
    let body = bytes::Bytes::from(r#"{"prompt": "a"}"#);
    lambda_handler(request("POST", "/", &[], body), isolate, host).await
}

/// Returns for each call `sts`, or the id of the key with which Bedrock was called.
fn callers(host: &Scripted) -> Vec<String> {
    let requests = host.requests.borrow();
    let caller = |call: &http::Request<bytes::Bytes>| {
        let authorization = call.headers()["authorization"].to_str().unwrap();
        let credential = authorization.split_once("Credential=").unwrap().1;
        let (key, scope) = credential.split_once('/').unwrap();
        if scope.contains("/sts/") { "sts".to_owned() } else { key.to_owned() }
    };
    requests.iter().map(caller).collect()
}

#[test]
fn credentials_are_read_only_from_a_whole_response_of_sts() {
    let cases: [(&str, Result<&str, &str>); 15] = [
        ("granted", Ok(SECRET_ACCESS_KEY)),
        ("declared-and-commented", Ok(SECRET_ACCESS_KEY)),
        ("escaped", Ok(SECRET_ACCESS_KEY)),
        ("access-denied", Err("the response has no AccessKeyId")),
        ("empty", Err("the response is not XML")),
        ("text", Err("the response is not XML")),
        ("html", Err("the response is not XML")),
        ("cut-off", Err("the response is not XML")),
        ("not-closed", Err("the response is not XML")),
        ("no-token", Err("the response has no SessionToken")),
        ("empty-token", Err("the response has no SessionToken")),
        ("token-with-line-end", Err("the response has no SessionToken")),
        ("no-expiration", Err("the response has no Expiration")),
        ("odd-expiration", Err("the response has an Expiration that is not a time")),
        ("deep", Err("the response is not XML")),
    ];
    for (name, expected) in cases {
        let read = read_assume_role(StatusCode::OK, fixture(name).as_bytes(), None);
        match (read, expected) {
            (Ok(temporary), Ok(_)) => {
                let secrets: Vec<&str> = temporary.credentials.secrets().collect();
                assert_eq!(secrets[0], "ASIAIOSFODNN7EXAMPLE", "{name}");
                assert_eq!(secrets[1], "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY", "{name}");
                assert!(secrets[2].starts_with("AQoDYXdzEPT//"), "{name}: {}", secrets[2]);
                assert!(secrets[2].ends_with("LxBA=="), "{name}: {}", secrets[2]);
                let start = Scripted::new().now();
                assert_eq!(temporary.expires, start + HOUR, "{name}");
                assert!(!format!("{temporary:?}").contains("AQoD"), "{name}");
            }
            (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected, "{name}"),
            (read, _) => panic!("{name}: {read:?}"),
        }
    }
    // A document that declares entities could be a bomb.
    for name in ["entities", "unknown-entity"] {
        let error = read_assume_role(StatusCode::OK, fixture(name).as_bytes(), None).unwrap_err();
        assert_eq!(error.to_string(), "the response is not XML", "{name}");
    }
    let not_utf8 = read_assume_role(StatusCode::OK, b"<a><b>\xff</b></a>", None).unwrap_err();
    assert_eq!(not_utf8.to_string(), "the response is not XML");
}

#[test]
fn a_refusal_of_sts_has_a_code_and_is_transient_or_not() {
    let named = |code: &str| fixture("access-denied").replace("AccessDenied", code);
    let cases = [
        ("denied", 403, named("AccessDenied"), Code::AccessDenied, false),
        ("an unknown key", 403, named("InvalidClientTokenId"), Code::AccessDenied, false),
        ("throttled", 400, named("Throttling"), Code::Throttled, true),
        ("429", 429, String::new(), Code::Throttled, true),
        ("an invalid role", 400, named("ValidationError"), Code::AccessDenied, false),
        ("a failure", 500, named("InternalFailure"), Code::Unavailable, true),
        ("HTML", 503, fixture("html"), Code::Unavailable, true),
        ("nothing", 502, String::new(), Code::Unavailable, true),
        ("a redirect", 302, String::new(), Code::Unavailable, false),
    ];
    for (name, status, body, code, is_transient) in cases {
        let status = StatusCode::from_u16(status).unwrap();
        let error = read_assume_role(status, body.as_bytes(), None).unwrap_err();
        assert_eq!((error.code(), error.is_transient()), (code, is_transient), "{name}");
    }
    let error = read_assume_role(StatusCode::FORBIDDEN, fixture("access-denied").as_bytes(), None);
    assert_eq!(
        error.unwrap_err().to_string(),
        "403 Forbidden AccessDenied: User: arn:aws:iam::123456789012:user/edge is not authorized \
         to perform: sts:AssumeRole on resource: \"demo\" & more"
    );
}

#[tokio::test]
async fn sts_gets_a_signed_form_and_bedrock_the_session_token() {
    let isolate = with_role(&[("AWS_ROLE_SESSION_NAME", "edge@example.com")]);
    let host = Scripted::new().then(200, &[], granted(1, HOUR)).then(200, &[], REPLY);
    let (envelope, record) = send(&isolate, &host).await;
    assert_eq!((envelope.status_code, record.attempts), (200, 1), "{record:?}");
    let requests = host.requests.borrow();
    assert_eq!(requests[0].method(), "POST");
    assert_eq!(requests[0].uri(), "https://sts.ap-northeast-1.amazonaws.com/");
    assert_eq!(
        requests[0].body(),
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fedge&RoleSessionName=edge%40example%2Ecom"
    );
    assert_eq!(requests[0].headers()["content-type"], "application/x-www-form-urlencoded");
    let authorization = requests[0].headers()["authorization"].to_str().unwrap();
    let expected = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260102/ap-northeast-1/sts/aws4_request, SignedHeaders=accept;content-type;host;x-amz-date, Signature=";
    assert!(authorization.starts_with(expected), "{authorization}");
    assert!(!requests[0].headers().contains_key("x-amz-security-token"));
    let token = requests[1].headers()["x-amz-security-token"].to_str().unwrap();
    assert!(token.starts_with("AQoDYXdzEPT//"), "{token}");
    assert_eq!(callers(&host), ["sts", "ASIAEXAMPLE1"]);
}

#[tokio::test]
async fn credentials_are_kept_and_replaced_five_minutes_before_their_end() {
    let isolate = with_role(&[]);
    let good = || Scripted::new().then(200, &[], REPLY);
    let new = |number, lifetime| {
        Scripted::new().then(200, &[], granted(number, lifetime)).then(200, &[], REPLY)
    };
    // Seconds since the start, the responses, and the calls.
    #[rustfmt::skip]
    let steps = [
        ("at first", 0, new(1, HOUR), &["sts", "ASIAEXAMPLE1"][..]),
        ("then", 1, good(), &["ASIAEXAMPLE1"]),
        ("before the five minutes", 3299, good(), &["ASIAEXAMPLE1"]),
        ("in them", 3300, new(2, 2 * HOUR), &["sts", "ASIAEXAMPLE2"]),
        ("and then", 3601, good(), &["ASIAEXAMPLE2"]),
        ("much later", 4 * 3600, new(3, 5 * HOUR), &["sts", "ASIAEXAMPLE3"]),
    ];
    for (name, seconds, host, expected) in steps {
        host.pass(Duration::from_secs(seconds));
        let (envelope, _) = send(&isolate, &host).await;
        assert_eq!(
            (envelope.status_code, callers(&host)),
            (200, expected.iter().map(ToString::to_string).collect()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn valid_credentials_are_used_when_they_cannot_be_replaced() {
    let isolate = with_role(&[]);
    let host = Scripted::new().then(200, &[], granted(1, HOUR)).then(200, &[], REPLY);
    send(&isolate, &host).await;
    // STS fails, is not called for ten seconds, and fails again. In the end the old credentials expire.
    let fails = || Scripted::new().then(500, &[], fixture("html")).then(200, &[], REPLY);
    let good = || Scripted::new().then(200, &[], REPLY);
    #[rustfmt::skip]
    let steps = [
        ("STS fails", 3400, fails(), &["sts", "ASIAEXAMPLE1"][..], true),
        ("STS is not called", 3409, good(), &["ASIAEXAMPLE1"], false),
        ("STS fails again", 3411, fails(), &["sts", "ASIAEXAMPLE1"], true),
    ];
    for (name, seconds, host, expected, is_logged) in steps {
        host.pass(Duration::from_secs(seconds));
        let (envelope, record) = send(&isolate, &host).await;
        assert_eq!(envelope.status_code, 200, "{name}");
        assert_eq!(callers(&host), expected, "{name}");
        let logged = record.credentials_error.as_ref().map(|it| it.as_str().to_owned());
        let words = "cannot assume the role: 500 Internal Server Error without a code: ";
        assert_eq!(logged.as_deref(), is_logged.then_some(words), "{name}");
        assert_eq!(record.line(None).unwrap().contains("credentials_error"), is_logged, "{name}");
    }
    let host = Scripted::new().then(403, &[], fixture("access-denied"));
    host.pass(HOUR);
    let (envelope, record) = send(&isolate, &host).await;
    assert_eq!((record.outcome, record.attempts), ("access_denied", 0));
    // Bedrock was not called, so no header describes a call.
    assert!(envelope.headers.iter().all(|(name, _)| !name.starts_with("x-bedrock-")));
    assert!(record.error.unwrap().as_str().starts_with("cannot assume the role: 403 Forbidden"));
}

#[tokio::test]
async fn a_call_to_sts_is_retried_like_one_to_bedrock_and_ends_after_ten_seconds() {
    let isolate = with_role(&[]);
    let host = Scripted::new()
        .then_fail("reset")
        .then(400, &[], fixture("access-denied").replace("AccessDenied", "Throttling"))
        .then(200, &[], granted(1, HOUR))
        .then(200, &[], REPLY);
    let (envelope, record) = send(&isolate, &host).await;
    assert_eq!((envelope.status_code, record.attempts), (200, 1));
    assert_eq!(callers(&host), ["sts", "sts", "sts", "ASIAEXAMPLE1"]);

    // No call takes longer than ten seconds.
    let isolate = with_role(&[("BEDROCK_TIMEOUT_MS", "15000")]);
    let silent = Duration::MAX;
    let host = Scripted::new().then_fail("").taking(silent);
    let (_, record) = send(&isolate, &host).await;
    assert_eq!(record.outcome, "timeout");
    assert_eq!(record.total_time, Some(LEASE));
    let body = Watched::in_chunks(["<"]).then_silence();
    let host = Scripted::new().then(200, &[], body);
    let (_, record) = send(&isolate, &host).await;
    assert_eq!((record.outcome, record.total_time), ("timeout", Some(LEASE)));
}

#[tokio::test]
async fn credentials_that_bedrock_calls_expired_are_replaced_once_in_a_request() {
    const EXPIRED: (&str, &str) = ("x-amzn-errortype", "ExpiredTokenException");
    let isolate = with_role(&[]);
    let host = Scripted::new()
        .then(200, &[], granted(1, HOUR))
        .then(403, &[EXPIRED], "{}")
        .then(200, &[], granted(2, HOUR))
        .then(200, &[], REPLY);
    let (envelope, record) = send(&isolate, &host).await;
    assert_eq!((envelope.status_code, record.attempts), (200, 2));
    assert_eq!(callers(&host), ["sts", "ASIAEXAMPLE1", "sts", "ASIAEXAMPLE2"]);
    assert!(host.sleeps.borrow().is_empty());

    let host = Scripted::new().then(403, &[EXPIRED], "{}").then(200, &[], granted(3, HOUR)).then(
        403,
        &[EXPIRED],
        "{}",
    );
    let (_, record) = send(&isolate, &host).await;
    assert_eq!((record.outcome, record.attempts), ("access_denied", 2));
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_by_a_refusal_of_sts() {
    let isolate = with_role(&[]);
    let date = [("date", "Fri, 02 Jan 2026 03:34:05 GMT")];
    let refusal = fixture("access-denied").replace("AccessDenied", "SignatureDoesNotMatch");
    let host = Scripted::new()
        .then(403, &date, refusal)
        .taking(Duration::ZERO)
        .then(200, &[], granted(1, HOUR))
        .then(200, &[], REPLY);
    let (envelope, _) = send(&isolate, &host).await;
    assert_eq!(envelope.status_code, 200);
    let requests = host.requests.borrow();
    assert_eq!(requests[1].headers()["x-amz-date"], "20260102T033405Z");
}

#[tokio::test]
async fn no_secret_of_temporary_credentials_is_logged() {
    let isolate = with_role(&[("LOG_UPSTREAM_MESSAGES", "full")]);
    let host = Scripted::new().then(200, &[], granted(1, HOUR)).then(
        400,
        &[],
        r#"{"message": "by ASIAEXAMPLE1 with wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY"}"#,
    );
    let (_, record) = send(&isolate, &host).await;
    assert_eq!(
        record.error.unwrap().as_str(),
        "400 Bad Request without a type: by [redacted] with [redacted]"
    );
    let role = role(&isolate);
    let shown = format!("{isolate:?} {role:?}");
    for secret in ["ASIAEXAMPLE1", "wJalr", "AQoD", "AKIA"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn a_message_of_sts_is_logged_only_if_it_is_known() {
    let known = "User: arn:aws:iam::123456789012:user/edge is not authorized to perform: \
                 sts:AssumeRole on resource: arn:aws:iam::123456789012:role/edge";
    for (message, expected) in [
        (known, format!("cannot assume the role: 403 Forbidden AccessDenied: {known}")),
        (
            "himitsu",
            "cannot assume the role: 403 Forbidden AccessDenied: a message of 7 bytes with the SHA-256 \
             b38f0af3… (LOG_UPSTREAM_MESSAGES=full logs it)"
                .to_owned(),
        ),
    ] {
        let body = format!(
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>{message}</Message></Error></ErrorResponse>"
        );
        let (_, record) = send(&with_role(&[]), &Scripted::new().then(403, &[], body)).await;
        assert_eq!(record.error.unwrap().as_str(), expected);
    }
}

type Response = (Envelope, Record);

/// A request that is polled by hand. A poll is one step: up to the next request to STS or Bedrock, or the next
/// wait.
struct Task<'a>(Pin<Box<dyn Future<Output = Response> + 'a>>);

impl<'a> Task<'a> {
    /// Starts a request, which takes its first step.
    fn start(isolate: &'a Isolate, host: &'a Scripted) -> Self {
        let mut request = Self(Box::pin(send(isolate, host)));
        assert!(request.step().is_none());
        request
    }

    fn step(&mut self) -> Option<Response> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => Some(response),
            Poll::Pending => None,
        }
    }

    /// Takes the last step. Returns the outcome and the cause of a failure.
    fn end(mut self) -> (&'static str, String) {
        let (_, record) = self.step().expect("a response");
        (record.outcome, record.error.map_or(String::new(), |it| it.as_str().to_owned()))
    }
}

#[test]
fn one_request_assumes_the_role_and_the_others_wait_or_use_the_old_credentials() {
    let isolate = with_role(&[]);
    let unread = || granted(0, HOUR);
    #[rustfmt::skip]
    let host = Scripted::new()
        .then(200, &[], unread()) // the first request
        .then(200, &[], unread()) // the second
        .then(403, &[], fixture("access-denied")) // the third
        .then(200, &[], unread()) // the fifth
        .then_time_out() // the sixth
        .then_leave() // the seventh
        .then(200, &[], granted(1, HOUR)).then(200, &[], REPLY) // the eighth
        .then(200, &[], REPLY) // the ninth
        .then(200, &[], unread()) // the tenth
        .then(200, &[], REPLY) // the eleventh
        .then(200, &[], granted(2, 2 * HOUR)).then(200, &[], REPLY) // the twelfth
        .in_steps();
    let began = host.now();
    let start = || Task::start(&isolate, &host);
    let calls = || callers(&host);
    let ok = || ("ok", String::new());
    let is_denied = |(outcome, cause): (&str, String)| {
        outcome == "access_denied" && cause.starts_with("cannot assume the role: 403 Forbidden")
    };

    let first = start();
    let mut second = start();
    let mut third = start();
    assert_eq!(calls(), ["sts"; 1]);
    // The first request is dropped, and the second takes over.
    drop(first);
    assert!(second.step().is_none() && third.step().is_none());
    assert_eq!(calls(), ["sts"; 2]);
    // The second is not heard of, and the third takes over. The end of the second does not end that.
    host.pass(LEASE);
    assert!(third.step().is_none());
    drop(second);
    let fourth = start();
    assert_eq!(calls(), ["sts"; 3]);
    // The third fails, and so does the fourth, which has waited. The fifth comes later and tries again.
    assert!(is_denied(third.end()));
    let fifth = start();
    assert_eq!(calls(), ["sts"; 4]);
    assert!(is_denied(fourth.end()));
    // The deadline of the sixth passes, which is no failure of the seventh.
    let mut sixth = start();
    host.pass(Duration::from_secs(20));
    drop(fifth);
    assert!(sixth.step().is_none());
    let mut seventh = start();
    assert_eq!(calls(), ["sts"; 5]);
    assert_eq!(
        sixth.end(),
        ("timeout", "cannot assume the role: no response: it took too long".into())
    );
    // The client of the seventh disconnects, which is no failure of the eighth.
    assert!(seventh.step().is_none());
    let mut eighth = start();
    assert_eq!(calls(), ["sts"; 6]);
    let (outcome, cause) = seventh.end();
    assert_eq!(
        (outcome, &*cause),
        ("unavailable", "cannot assume the role: no response: the client disconnected")
    );
    assert!(eighth.step().is_none());
    assert_eq!(calls(), ["sts"; 7]);
    assert!(eighth.step().is_none());
    // The ninth finds the credentials.
    let ninth = start();
    assert_eq!(calls()[7..], ["ASIAEXAMPLE1"; 2]);
    assert_eq!((eighth.end(), ninth.end()), (ok(), ok()));

    // Five minutes before they expire one request replaces them, and nobody waits.
    host.pass((began + HOUR - EARLY).duration_since(host.now()).unwrap());
    let waits = host.sleeps.borrow().len();
    let tenth = start();
    let eleventh = start();
    drop(tenth);
    let mut twelfth = start();
    assert!(twelfth.step().is_none());
    assert_eq!(calls()[9..], ["sts", "ASIAEXAMPLE1", "sts", "ASIAEXAMPLE2"]);
    assert_eq!((eleventh.end(), twelfth.end()), (ok(), ok()));
    assert_eq!((host.sleeps.borrow().len(), host.left()), (waits, 0));
}

#[tokio::test]
async fn a_timeout_of_its_own_does_not_keep_the_next_request_from_replacing_credentials() {
    let isolate = with_role(&[("BEDROCK_TIMEOUT_MS", "5000")]);
    let host = Scripted::new()
        .then(200, &[], granted(1, HOUR))
        .then(200, &[], REPLY)
        .then_fail("")
        .taking(Duration::MAX)
        // No time is left for this call.
        .then(200, &[], REPLY)
        .then(200, &[], granted(2, 2 * HOUR))
        .then(200, &[], REPLY);
    send(&isolate, &host).await;
    host.pass(HOUR - EARLY);
    let (_, record) = send(&isolate, &host).await;
    assert_eq!(record.outcome, "timeout");
    let (envelope, _) = send(&isolate, &host).await;
    assert_eq!(envelope.status_code, 200);
    let expected = ["sts", "ASIAEXAMPLE1", "sts", "ASIAEXAMPLE1", "sts", "ASIAEXAMPLE2"];
    assert_eq!(callers(&host), expected);
}

#[test]
fn the_variables_of_a_role_are_checked() {
    let key = [("AWS_BEARER_TOKEN_BEDROCK", "key")];
    let isolate = with_role(&key);
    let authentication = &isolate.config().unwrap().authentication;
    assert!(matches!(authentication, Authentication::ApiKey(_)));
    let isolate = with_role(&[("AWS_ENDPOINT_URL_STS", "https://sts.example.com/v1/")]);
    let role = role(&isolate);
    assert_eq!(role.endpoint, "https://sts.example.com/v1/");
    assert_eq!(role.session_name, "bedrock-edge");
    const ARN: &str = "AWS_ROLE_ARN must be a role's ARN: arn:aws:iam::123456789012:role/name";
    const NAME: &str = "AWS_ROLE_SESSION_NAME must be 2 to 64 letters, digits and _+=,.@-";
    for (name, value, problem) in [
        ("AWS_ROLE_ARN", "edge", ARN),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:user/edge", ARN),
        ("AWS_ROLE_ARN", "arn:aws:iam::1234:role/edge", ARN),
        ("AWS_ROLE_ARN", "arn:aws:sts::123456789012:role/edge", ARN),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/a b", ARN),
        ("AWS_ROLE_SESSION_NAME", "a", NAME),
        ("AWS_ROLE_SESSION_NAME", "a b", NAME),
        (
            "AWS_ENDPOINT_URL_STS",
            "http://example.com",
            "AWS_ENDPOINT_URL_STS must be https: plain http is for a loopback address only",
        ),
    ] {
        let vars = [(name, value), ("AWS_ROLE_ARN", ROLE)];
        assert_eq!(config(&vars).unwrap_err().problems, [problem], "{value}");
    }
}

#[tokio::test]
async fn the_request_to_sts_has_the_roles_conditions() {
    const PLAIN: &str = "Action=AssumeRole&Version=2011-06-15";
    for (vars, expected) in [
        (&[][..], ""),
        (
            &[
                ("AWS_ROLE_EXTERNAL_ID", "edge:1"),
                ("AWS_ROLE_DURATION_SECONDS", "3600"),
                ("AWS_ROLE_SESSION_TAGS", "team=AI 東京,cost=1"),
            ],
            "&ExternalId=edge%3A1&DurationSeconds=3600\
             &Tags.member.1.Key=team&Tags.member.1.Value=AI%20%E6%9D%B1%E4%BA%AC\
             &Tags.member.2.Key=cost&Tags.member.2.Value=1",
        ),
    ] {
        let host = Scripted::new().then(403, &[], fixture("access-denied"));
        send(&with_role(vars), &host).await;
        let requests = host.requests.borrow();
        let body = std::str::from_utf8(requests[0].body()).unwrap();
        let role = "arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2F";
        assert!(body.starts_with(PLAIN), "{body}");
        assert!(body.contains(&format!("&RoleArn={role}")), "{body}");
        assert!(body.ends_with(&format!("&RoleSessionName=bedrock%2Dedge{expected}")), "{body}");
    }
}
