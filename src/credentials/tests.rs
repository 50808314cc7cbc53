use http::StatusCode;

use super::*;
use crate::config::{Authentication, Config, ConfigError};
use crate::event::Event;
use crate::handler::lambda_handler;
use crate::host::scripted::{SECRET_ACCESS_KEY, Scripted, Watched, config};
use crate::log::Record;
use crate::{Code, Envelope};

const ANSWER: &str = r#"{"content": [{"type": "text", "text": "はい"}]}"#;
const ROLE: &str = "arn:aws:iam::123456789012:role/edge";

fn fixture(name: &str) -> String {
    let path = format!("{}/tests/sts/{name}.xml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// An answer with this key, good for so long after a [`Scripted`] begins.
fn granted(number: u64, lifetime: Duration) -> String {
    let seconds = 3 * 3600 + 4 * 60 + 5 + lifetime.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let expiration = format!("2026-01-02T{hours:02}:{minutes:02}:{seconds:02}Z");
    fixture("granted")
        .replace("2026-01-02T04:04:05Z", &expiration)
        .replace("ASIAIOSFODNN7EXAMPLE", &format!("ASIAEXAMPLE{number}"))
}

const HOUR: Duration = Duration::from_secs(3600);

fn with_role(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    config(&[&[("AWS_ROLE_ARN", ROLE)], vars].concat())
}

fn role(config: &Result<Config, ConfigError>) -> &AssumeRole {
    match &config.as_ref().unwrap().authentication {
        Authentication::AssumeRole(role) => role,
        other => panic!("{other:?}"),
    }
}

async fn ask(config: &Result<Config, ConfigError>, host: &Scripted) -> (Envelope, Record) {
    let body = bytes::Bytes::from(r#"{"prompt": "a"}"#);
    let event = Event::from_http(http::Method::POST, "/", http::HeaderMap::new(), body);
    lambda_handler(event, config, host).await
}

/// Of each call: `sts`, or the key that Bedrock was called with.
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
fn answers_of_sts() {
    let cases: [(&str, Result<&str, &str>); 15] = [
        ("granted", Ok(SECRET_ACCESS_KEY)),
        ("declared-and-commented", Ok(SECRET_ACCESS_KEY)),
        ("escaped", Ok(SECRET_ACCESS_KEY)),
        ("access-denied", Err("the answer has no AccessKeyId")),
        ("empty", Err("the answer is not XML")),
        ("text", Err("the answer is not XML")),
        ("html", Err("the answer is not XML")),
        ("cut-off", Err("the answer is not XML")),
        ("not-closed", Err("the answer is not XML")),
        ("no-token", Err("the answer has no SessionToken")),
        ("empty-token", Err("the answer has no SessionToken")),
        ("token-with-line-end", Err("the answer has no SessionToken")),
        ("no-expiration", Err("the answer has no Expiration")),
        ("odd-expiration", Err("the answer has an Expiration that is no time")),
        ("deep", Err("the answer is not XML")),
    ];
    for (name, expected) in cases {
        let answer = read_answer(StatusCode::OK, fixture(name).as_bytes(), None);
        match (answer, expected) {
            (Ok(answer), Ok(_)) => {
                let secrets: Vec<&str> = answer.credentials.secrets().collect();
                assert_eq!(secrets[0], "ASIAIOSFODNN7EXAMPLE", "{name}");
                assert_eq!(secrets[1], "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY", "{name}");
                assert!(secrets[2].starts_with("AQoDYXdzEPT//"), "{name}: {}", secrets[2]);
                assert!(secrets[2].ends_with("LxBA=="), "{name}: {}", secrets[2]);
                let begins = Scripted::new().now();
                assert_eq!(answer.expires, begins + HOUR, "{name}");
                assert!(!format!("{answer:?}").contains("AQoD"), "{name}");
            }
            (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected, "{name}"),
            (answer, _) => panic!("{name}: {answer:?}"),
        }
    }
    // Entities of its own would be a bomb.
    for name in ["entities", "unknown-entity"] {
        let error = read_answer(StatusCode::OK, fixture(name).as_bytes(), None).unwrap_err();
        assert_eq!(error.to_string(), "the answer is not XML", "{name}");
    }
    let not_utf8 = read_answer(StatusCode::OK, b"<a><b>\xff</b></a>", None).unwrap_err();
    assert_eq!(not_utf8.to_string(), "the answer is not XML");
}

#[test]
fn refusals_of_sts() {
    let named = |code: &str| fixture("access-denied").replace("AccessDenied", code);
    let cases = [
        ("denied", 403, named("AccessDenied"), Code::AccessDenied, false),
        ("a key that is none", 403, named("InvalidClientTokenId"), Code::AccessDenied, false),
        ("throttled", 400, named("Throttling"), Code::Throttled, true),
        ("429", 429, String::new(), Code::Throttled, true),
        ("a role that is none", 400, named("ValidationError"), Code::AccessDenied, false),
        ("a failure", 500, named("InternalFailure"), Code::Unavailable, true),
        ("HTML", 503, fixture("html"), Code::Unavailable, true),
        ("nothing", 502, String::new(), Code::Unavailable, true),
        ("a redirect", 302, String::new(), Code::Unavailable, false),
    ];
    for (name, status, body, code, is_transient) in cases {
        let status = StatusCode::from_u16(status).unwrap();
        let error = read_answer(status, body.as_bytes(), None).unwrap_err();
        assert_eq!((error.code(), error.is_transient()), (code, is_transient), "{name}");
    }
    let error = read_answer(StatusCode::FORBIDDEN, fixture("access-denied").as_bytes(), None);
    assert_eq!(
        error.unwrap_err().to_string(),
        "403 Forbidden AccessDenied: User: arn:aws:iam::123456789012:user/edge is not authorized \
         to perform: sts:AssumeRole on resource: \"demo\" & more"
    );
}

#[tokio::test]
async fn the_request_is_pinned() {
    let config = with_role(&[("AWS_ROLE_SESSION_NAME", "edge@example.com")]);
    let host = Scripted::new().then(200, &[], granted(1, HOUR)).then(200, &[], ANSWER);
    let (envelope, record) = ask(&config, &host).await;
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
async fn they_are_kept_and_replaced_five_minutes_before_their_end() {
    let config = with_role(&[]);
    let good = || Scripted::new().then(200, &[], ANSWER);
    let new = |number, lifetime| {
        Scripted::new().then(200, &[], granted(number, lifetime)).then(200, &[], ANSWER)
    };
    // After so long, what happens, who calls.
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
        let (envelope, _) = ask(&config, &host).await;
        assert_eq!(
            (envelope.status_code, callers(&host)),
            (200, expected.iter().map(ToString::to_string).collect()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn old_ones_do_while_new_ones_are_not_to_be_had() {
    let config = with_role(&[]);
    let host = Scripted::new().then(200, &[], granted(1, HOUR)).then(200, &[], ANSWER);
    ask(&config, &host).await;
    // It fails, is left alone for ten seconds, fails again, and in the end the old ones are over.
    let fails = || Scripted::new().then(500, &[], fixture("html")).then(200, &[], ANSWER);
    let good = || Scripted::new().then(200, &[], ANSWER);
    #[rustfmt::skip]
    let steps = [
        ("it fails", 3400, fails(), &["sts", "ASIAEXAMPLE1"][..], true),
        ("it is left alone", 3409, good(), &["ASIAEXAMPLE1"], false),
        ("it fails again", 3411, fails(), &["sts", "ASIAEXAMPLE1"], true),
    ];
    for (name, seconds, host, expected, is_told) in steps {
        host.pass(Duration::from_secs(seconds));
        let (envelope, record) = ask(&config, &host).await;
        assert_eq!(envelope.status_code, 200, "{name}");
        assert_eq!(callers(&host), expected, "{name}");
        let told = record.credentials_error.as_ref().map(|it| it.as_str().to_owned());
        let words = "cannot assume the role: 500 Internal Server Error without a code: ";
        assert_eq!(told.as_deref(), is_told.then_some(words), "{name}");
        assert_eq!(record.line(None).unwrap().contains("credentials_error"), is_told, "{name}");
    }
    let host = Scripted::new().then(403, &[], fixture("access-denied"));
    host.pass(HOUR);
    let (envelope, record) = ask(&config, &host).await;
    assert_eq!((record.outcome, record.attempts), ("access_denied", 0));
    // No call was made, so nothing is told of one.
    assert!(envelope.headers.iter().all(|(name, _)| !name.starts_with("x-bedrock-")));
    assert!(record.error.unwrap().as_str().starts_with("cannot assume the role: 403 Forbidden"));
}

#[tokio::test]
async fn sts_is_asked_again_as_bedrock_is() {
    let config = with_role(&[]);
    let host = Scripted::new()
        .then_fail("reset")
        .then(400, &[], fixture("access-denied").replace("AccessDenied", "Throttling"))
        .then(200, &[], granted(1, HOUR))
        .then(200, &[], ANSWER);
    let (envelope, record) = ask(&config, &host).await;
    assert_eq!((envelope.status_code, record.attempts), (200, 1));
    assert_eq!(callers(&host), ["sts", "sts", "sts", "ASIAEXAMPLE1"]);

    // Not for ever.
    let config = with_role(&[("BEDROCK_TIMEOUT_MS", "15000")]);
    let silent = Duration::MAX;
    let host = Scripted::new().then_fail("").taking(silent);
    let (_, record) = ask(&config, &host).await;
    assert_eq!(record.outcome, "timeout");
    assert_eq!(record.total_time, Some(LEASE));
    let body = Watched::in_pieces(["<"]).then_silence();
    let host = Scripted::new().then(200, &[], body);
    let (_, record) = ask(&config, &host).await;
    assert_eq!((record.outcome, record.total_time), ("timeout", Some(LEASE)));
}

#[tokio::test]
async fn what_bedrock_calls_expired_is_replaced_once() {
    const EXPIRED: (&str, &str) = ("x-amzn-errortype", "ExpiredTokenException");
    let config = with_role(&[]);
    let host = Scripted::new()
        .then(200, &[], granted(1, HOUR))
        .then(403, &[EXPIRED], "{}")
        .then(200, &[], granted(2, HOUR))
        .then(200, &[], ANSWER);
    let (envelope, record) = ask(&config, &host).await;
    assert_eq!((envelope.status_code, record.attempts), (200, 2));
    assert_eq!(callers(&host), ["sts", "ASIAEXAMPLE1", "sts", "ASIAEXAMPLE2"]);
    assert!(host.sleeps.borrow().is_empty());

    let host = Scripted::new().then(403, &[EXPIRED], "{}").then(200, &[], granted(3, HOUR)).then(
        403,
        &[EXPIRED],
        "{}",
    );
    let (_, record) = ask(&config, &host).await;
    assert_eq!((record.outcome, record.attempts), ("access_denied", 2));
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_by_sts() {
    let config = with_role(&[]);
    let date = [("date", "Fri, 02 Jan 2026 03:34:05 GMT")];
    let refusal = fixture("access-denied").replace("AccessDenied", "SignatureDoesNotMatch");
    let host = Scripted::new()
        .then(403, &date, refusal)
        .taking(Duration::ZERO)
        .then(200, &[], granted(1, HOUR))
        .then(200, &[], ANSWER);
    let (envelope, _) = ask(&config, &host).await;
    assert_eq!(envelope.status_code, 200);
    let requests = host.requests.borrow();
    assert_eq!(requests[1].headers()["x-amz-date"], "20260102T033405Z");
}

#[tokio::test]
async fn no_secret_of_theirs_is_logged() {
    let config = with_role(&[]);
    let host = Scripted::new().then(200, &[], granted(1, HOUR)).then(
        400,
        &[],
        r#"{"message": "by ASIAEXAMPLE1 with wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY"}"#,
    );
    let (_, record) = ask(&config, &host).await;
    assert_eq!(
        record.error.unwrap().as_str(),
        "400 Bad Request without a type: by [redacted] with [redacted]"
    );
    let role = role(&config);
    let shown = format!("{config:?} {role:?}");
    for secret in ["ASIAEXAMPLE1", "wJalr", "AQoD", "AKIA"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn one_gets_them_and_the_others_wait_or_go_on() {
    let config = with_role(&[]);
    let role = role(&config);
    let now = Scripted::new().now();
    let get = |now, known| match role.turn(now, known) {
        Turn::Get(number, _) => Lease { cache: &role.cache, number },
        _ => panic!("not this one's turn"),
    };
    let temporary = |lifetime| read_answer(StatusCode::OK, granted(1, lifetime).as_bytes(), None);

    let first = get(now, 0);
    let known = lock(&role.cache).known();
    assert!(matches!(role.turn(now, known), Turn::Wait));
    // It is gone, and the next one takes over.
    drop(first);
    let second = get(now, known);
    assert!(matches!(role.turn(now, known), Turn::Wait));
    // It is not heard of again: neither does it take the lease from the next one in the end.
    let later = now + LEASE;
    let third = get(later, known);
    drop(second);
    assert!(matches!(role.turn(later, known), Turn::Wait));
    // It fails, and who has waited fails with it. Who comes now tries.
    let refused = AssumeRoleError::Unreadable("is none");
    third.end(Err(refused), false, later).unwrap_err();
    assert!(matches!(role.turn(later, known), Turn::Fail(AssumeRoleError::Unreadable("is none"))));
    let known = lock(&role.cache).known();
    let fourth = get(later, known);
    // What is its own trouble is nobody else's.
    fourth.end(Err(TransportError::TimedOut.into()), true, later).unwrap_err();
    let fifth = get(later, known);
    fifth.end(Err(TransportError::Cancelled.into()), false, later).unwrap_err();
    let sixth = get(later, known);
    sixth.end(temporary(HOUR), false, later).unwrap();
    assert!(matches!(role.turn(later, known), Turn::Use(_)));
    // Near their end one gets others, and nobody waits.
    let near = now + HOUR - EARLY;
    let seventh = get(near, known);
    assert!(matches!(role.turn(near, known), Turn::Use(_)));
    drop(seventh);
    // A clock that goes back leaves no lease for ever.
    let _eighth = get(near, known);
    lock(&role.cache).current = None;
    assert!(matches!(role.turn(near, known), Turn::Wait));
    assert!(matches!(role.turn(now, known), Turn::Get(..)));
}

#[test]
fn the_variables() {
    let key = [("AWS_BEARER_TOKEN_BEDROCK", "key")];
    let authentication = with_role(&key).unwrap().authentication;
    assert!(matches!(authentication, Authentication::ApiKey(_)));
    let config = with_role(&[("AWS_ENDPOINT_URL_STS", "https://sts.example.com/v1/")]);
    let role = role(&config);
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
        assert_eq!(
            crate::host::scripted::config(&vars).unwrap_err().problems,
            [problem],
            "{value}"
        );
    }
}
