//! The claims of JWTs and the keys of their issuer, on a platform that takes one signature for right. Real
//! signatures: tests/worker.

use std::task::{Context, Waker};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join;
use serde_json::{Value, json};

use super::*;
use crate::auth::refusal::Refusal;
use crate::deadline::Deadline;
use crate::error::Code;
use crate::host::Runtime;
use crate::testing::Scripted;

/// The start of the platform's clock, in seconds since the epoch.
const NOW: u64 = 1_767_323_045;
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;

/// A configuration with an issuer, and what has been learnt of its keys.
struct Service {
    config: Config,
    state: State,
}

impl Service {
    fn new() -> Self {
        let vars = [("JWT_ISSUER", "https://issuer.example"), ("JWT_AUDIENCE", "us")];
        Self { config: closed_config(&vars).unwrap(), state: State::default() }
    }

    async fn refusal_or_session(&self, host: &Scripted, token: &str) -> Result<Session, Refusal> {
        let request = &post(&[("authorization", &format!("Bearer {token}"))]);
        let deadline = Deadline::new(host.now(), Duration::from_secs(25));
        let intake = Intake { limit: 1024, is_kept: false };
        let (config, state) = (&self.config, &self.state);
        authenticate(request, Bytes::new(), config, state, deadline, intake, host)
            .await
            .map(|(session, _)| session)
    }

    /// Returns the caller, or the cause for the log.
    async fn caller(&self, host: &Scripted, token: &str) -> Result<String, String> {
        match self.refusal_or_session(host, token).await {
            Ok(session) => Ok(session.caller.unwrap().as_str().to_owned()),
            Err(
                Refusal::Unauthenticated(cause)
                | Refusal::Token(cause)
                | Refusal::Expired(cause)
                | Refusal::Issuer(cause),
            ) => Err(cause.as_str().to_owned()),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Adds a verifier to a platform.
fn verifying(mut host: Scripted) -> Scripted {
    host.right_signatures = vec![b"right"];
    host
}

fn token(kid: &str, changes: &[(&str, Value)], signature: &str) -> String {
    let mut claims = json!({
        "iss": "https://issuer.example", "aud": "us", "sub": "alice", "exp": NOW + 3_000_000,
    });
    for (name, value) in changes {
        claims[name] = value.clone();
    }
    let header = json!({ "alg": "ES256", "kid": kid });
    let parts = [header.to_string(), claims.to_string(), signature.to_owned()];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

#[tokio::test]
async fn the_times_of_a_token_have_a_leeway_of_a_minute() {
    let service = Service::new();
    let host = verifying(Scripted::new().then(200, &[], JWKS));
    // The fetch takes less than a second.
    let cases = [
        ("exp", json!(NOW - 59), None),
        ("exp", json!(NOW - 60), Some("the JWT has expired")),
        ("exp", json!(0), Some("the JWT has expired")),
        ("exp", json!(NOW as f64 + 0.5), None),
        ("exp", json!(1e300), Some("a claim of the JWT is malformed")),
        ("exp", json!(-1), Some("a claim of the JWT is malformed")),
        ("exp", json!("1767323045"), Some("a claim of the JWT is malformed")),
        ("exp", json!(null), Some("a claim of the JWT is malformed")),
        ("nbf", json!(NOW + 60), None),
        ("nbf", json!(NOW + 61), Some("the JWT is not valid yet")),
        ("nbf", json!(true), Some("a claim of the JWT is malformed")),
        ("iat", json!(NOW + 60), None),
        ("iat", json!(NOW + 61), Some("the JWT was issued in the future")),
        ("iat", json!(0), None),
    ];
    for (name, value, cause) in cases {
        let token = token("1", &[(name, value.clone())], "right");
        let result = service.caller(&host, &token).await;
        assert_eq!(result.err().as_deref(), cause, "{name}: {value}");
    }
}

#[tokio::test]
async fn the_signature_is_checked_before_the_claims() {
    let service = Service::new();
    let host = verifying(Scripted::new().then(200, &[], JWKS));
    for (signature, cause) in [
        ("wrong", "the JWT's signature does not match"),
        ("no key", "the issuer's key cannot be used: not on the curve"),
    ] {
        let token = token("1", &[("exp", json!(0)), ("iss", json!("another"))], signature);
        assert_eq!(service.caller(&host, &token).await.unwrap_err(), cause);
    }
}

#[tokio::test]
async fn a_platform_that_cannot_verify_signatures_lets_nobody_in() {
    let service = Service::new();
    let host = Scripted::new().then(200, &[], JWKS);
    let token = token("1", &[], "right");
    let refusal = service.refusal_or_session(&host, &token).await.unwrap_err();
    let error = refusal.into_error(&service.config.access);
    assert_eq!(error.code, Code::Misconfigured);
    assert_eq!(
        error.cause.unwrap().as_str(),
        "JWT_ISSUER is set, and this host cannot verify signatures"
    );
}

#[tokio::test]
async fn keys_are_fetched_again_after_an_hour_and_used_for_a_day_if_that_fails() {
    let service = Service::new();
    let script = Scripted::new().then(200, &[], JWKS).then(500, &[], "").then(200, &[], JWKS);
    let host = verifying(script.then_fail("reset").then_fail("reset"));
    let fetches = || host.requests.borrow().len();
    let good = token("1", &[], "right");
    let alice = Ok("jwt:alice".to_owned());
    let minutes = |minutes: u64| host.pass(Duration::from_secs(60 * minutes));

    assert_eq!((service.caller(&host, &good).await, fetches()), (alice.clone(), 1));
    minutes(59);
    assert_eq!((service.caller(&host, &good).await, fetches()), (alice.clone(), 1));
    // A fetch fails: the old keys are used, and not every request tries again.
    minutes(2);
    assert_eq!((service.caller(&host, &good).await, fetches()), (alice.clone(), 2));
    assert_eq!((service.caller(&host, &good).await, fetches()), (alice.clone(), 2));
    minutes(1);
    assert_eq!((service.caller(&host, &good).await, fetches()), (alice.clone(), 3));
    // The keys are a day old less a minute, and then too old.
    minutes(60 * 24 - 1);
    assert_eq!((service.caller(&host, &good).await, fetches()), (alice, 4));
    minutes(2);
    let error = "the issuer's keys cannot be fetched: reset".to_owned();
    assert_eq!((service.caller(&host, &good).await, fetches()), (Err(error.clone()), 5));
    // Without keys it is tried again after five seconds.
    assert_eq!((service.caller(&host, &good).await, fetches()), (Err(error), 5));
}

#[tokio::test]
async fn keys_are_fetched_for_a_missing_key_once_a_minute() {
    let service = Service::new();
    let with_2 = JWKS.replace(r#""kid":"1""#, r#""kid":"2""#);
    let script = Scripted::new().then(200, &[], JWKS).then(200, &[], JWKS);
    let host = verifying(script.then(200, &[], with_2));
    let fetches = || host.requests.borrow().len();
    let (first, second) = (token("1", &[], "right"), token("2", &[], "right"));
    let none = Err("the issuer has no such key".to_owned());

    assert!(service.caller(&host, &first).await.is_ok());
    host.pass(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!((service.caller(&host, &second).await, fetches()), (none.clone(), 2));
    }
    host.pass(Duration::from_secs(59));
    assert_eq!((service.caller(&host, &second).await, fetches()), (none.clone(), 2));
    host.pass(Duration::from_secs(1));
    assert_eq!((service.caller(&host, &second).await.is_ok(), fetches()), (true, 3));
    assert_eq!((service.caller(&host, &first).await, fetches()), (none, 3));
}

#[tokio::test]
async fn a_fetch_whose_client_disconnects_is_made_again_after_a_second() {
    let service = Service::new();
    let host = verifying(Scripted::new().then_leave().then(200, &[], JWKS));
    let good = token("1", &[], "right");
    assert_eq!(service.caller(&host, &good).await.unwrap_err(), "the client disconnected");
    let before = host.now();
    // Not at once, and long before the end of the pause after a failure.
    assert!(service.caller(&host, &good).await.is_ok());
    let waited = host.now().duration_since(before).unwrap();
    assert!((1000..1500).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn a_dropped_fetch_is_made_again_after_a_second() {
    let service = Service::new();
    let host = Scripted::new().then(200, &[], JWKS).then(200, &[], JWKS).in_steps();
    let host = verifying(host);
    let good = token("1", &[], "right");
    let before = host.now();
    let mut dropped = Box::pin(service.caller(&host, &good));
    assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(dropped);
    // Otherwise a client that sends forged tokens and disconnects would decide how often the issuer is called.
    assert!(service.caller(&host, &good).await.is_ok());
    let waited = host.now().duration_since(before).unwrap();
    assert!((1000..1500).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn one_fetch_serves_all_requests_that_wait_for_the_keys() {
    let (known, missing) = (token("1", &[], "right"), token("2", &[], "right"));
    let error = |text: &str| Err(text.to_owned());
    let cause = "the issuer's keys cannot be fetched: status 500 Internal Server Error";
    for (status, expected) in [
        (200, (Ok("jwt:alice".to_owned()), error("the issuer has no such key"))),
        (500, (error(cause), error(cause))),
    ] {
        let service = Service::new();
        let host = verifying(Scripted::new().then(status, &[], JWKS).in_steps());
        let both = join(service.caller(&host, &known), service.caller(&host, &missing)).await;
        assert_eq!(both, expected);
        // The second request waited once.
        assert_eq!(*host.sleeps.borrow(), [Duration::from_millis(10)]);
    }
}

#[tokio::test]
async fn a_request_for_a_missing_key_fetches_the_first_keys_once() {
    let service = Service::new();
    let host = verifying(Scripted::new().then(200, &[], JWKS));
    let missing = token("2", &[], "right");
    assert_eq!(service.caller(&host, &missing).await.unwrap_err(), "the issuer has no such key");
}

/// Makes a set of one key whose x is written like this.
fn set_with(x: &str) -> String {
    JWKS.replacen(
        r#""x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA""#,
        &format!(r#""x":"{x}""#),
        1,
    )
}

#[tokio::test]
async fn a_key_in_another_spelling_of_base64_is_read_if_it_leaves_no_doubt() {
    // 32 bytes of 0xfb, in which both alphabets differ.
    let url_safe = URL_SAFE_NO_PAD.encode([0xfb; 32]);
    let standard = url_safe.replace('-', "+").replace('_', "/");
    assert_ne!(url_safe, standard);
    let mixed = standard.replacen('+', "-", 1);
    for (x, is_read) in [
        (url_safe.clone(), true),
        (format!("{url_safe}="), true),
        (standard.clone(), true),
        (format!("{standard}="), true),
        (mixed, false),
        (format!("{url_safe}A"), false),
        (url_safe[1..].to_owned(), false),
        (format!("{} {}", &url_safe[..9], &url_safe[9..]), false),
    ] {
        let service = Service::new();
        let host = verifying(Scripted::new().then(200, &[], set_with(&x)));
        let caller = service.caller(&host, &token("1", &[], "right")).await;
        if is_read {
            assert_eq!(caller, Ok("jwt:alice".to_owned()), "{x}");
        } else {
            let cause = "the issuer's keys cannot be fetched: no usable keys in it; \
                         skipped: \"1\" (x is not base64url of 32 bytes)";
            assert_eq!(caller, Err(cause.to_owned()), "{x}");
        }
    }
}

#[tokio::test]
async fn a_key_that_was_skipped_is_named_where_one_is_missing() {
    let service = Service::new();
    let other =
        r#"{"kty":"EC","crv":"P-256","kid":"bad","x":"!","y":"!"},{"kty":"OKP","kid":"other"},"#;
    let keys = JWKS.replace(r#"{"keys":["#, &format!(r#"{{"keys":[{other}"#));
    let host = verifying(Scripted::new().then(200, &[], keys.clone()).then(200, &[], keys));
    assert!(service.caller(&host, &token("1", &[], "right")).await.is_ok());
    host.pass(Duration::from_secs(1));
    let cause = service.caller(&host, &token("bad", &[], "right")).await.unwrap_err();
    assert_eq!(
        cause,
        "the issuer has no such key; skipped: \"bad\" (x is not base64url of 32 bytes)"
    );
}

#[tokio::test]
async fn a_scope_may_be_in_any_of_four_claims() {
    let vars = [
        ("JWT_ISSUER", "https://issuer.example"),
        ("JWT_AUDIENCE", "us"),
        ("JWT_REQUIRED_SCOPE", "chat"),
    ];
    let config = closed_config(&vars).unwrap();
    let service = Service { config, state: State::default() };
    let host = verifying(Scripted::new().then(200, &[], JWKS));
    for (claim, value, is_enough) in [
        ("scope", json!("openid chat"), true),
        ("scp", json!(["chat"]), true),
        ("roles", json!(["admin", "chat"]), true),
        ("roles", json!("chat"), true),
        ("permissions", json!(["chat"]), true),
        ("roles", json!(["chatty"]), false),
        ("permissions", json!({ "chat": true }), false),
        ("roles", json!(null), false),
        ("groups", json!(["chat"]), false),
    ] {
        let token = token("1", &[(claim, value.clone())], "right");
        let result = service.refusal_or_session(&host, &token).await;
        match result {
            Ok(_) => assert!(is_enough, "{claim} {value}"),
            Err(Refusal::Scope { .. }) => assert!(!is_enough, "{claim} {value}"),
            Err(other) => panic!("{claim} {value}: {other:?}"),
        }
    }
    // A claim of another form in `roles` does not spoil the scope elsewhere.
    let both = [("scope", json!("chat")), ("roles", json!({ "a": 1 }))];
    assert!(service.refusal_or_session(&host, &token("1", &both, "right")).await.is_ok());
}

#[tokio::test]
async fn a_token_of_16_kib_is_read_and_a_longer_one_is_not() {
    let service = Service::new();
    let host = verifying(Scripted::new().then(200, &[], JWKS));
    let with_groups = |count: usize| {
        let groups: Vec<String> =
            (0..count).map(|number| format!("{number:08x}-0000-4000-8000-{number:012x}")).collect();
        token("1", &[("groups", json!(groups))], "right")
    };
    // 157 groups of Entra ID.
    for count in [157, 290] {
        let token = with_groups(count);
        assert!(token.len() > 8192, "{count}");
        assert_eq!(service.caller(&host, &token).await, Ok("jwt:alice".to_owned()), "{count}");
    }
    let too_long = with_groups(320);
    assert!(too_long.len() > 16 << 10);
    let cause = service.caller(&host, &too_long).await.unwrap_err();
    assert_eq!(cause, "the credential is too long");
}
