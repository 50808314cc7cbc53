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
        let request = post(&[("authorization", &format!("Bearer {token}"))]);
        let deadline = Deadline::new(host.now(), Duration::from_secs(25));
        let result = authenticate(request, &self.config, &self.state, deadline, 1024, host).await;
        result.map(|(session, _)| session)
    }

    /// Returns the caller, or the cause for the log.
    async fn caller(&self, host: &Scripted, token: &str) -> Result<String, String> {
        match self.refusal_or_session(host, token).await {
            Ok(session) => Ok(session.caller.unwrap().as_str().to_owned()),
            Err(Refusal::Unauthenticated(cause) | Refusal::Issuer(cause)) => {
                Err(cause.as_str().to_owned())
            }
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
