//! Claims and keys, with a Host that takes one signature for right. Real ones: tests/worker/gate.rs.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response};
use serde_json::{Value, json};

use super::*;
use crate::host::scripted::{Scripted, Watched};
use crate::host::{TransportError, VerifyError};

/// Seconds since the epoch, of the script's beginning.
const NOW: u64 = 1_767_323_045;
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;

/// A script that verifies.
struct Verifier {
    script: Scripted,
}

impl Host for Verifier {
    type Body = Watched;

    fn now(&self) -> SystemTime {
        self.script.now()
    }

    fn random(&self) -> u128 {
        self.script.random()
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        self.script.sleep(time).await
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<Watched>, TransportError> {
        self.script.send(request, within).await
    }

    async fn verify(
        &self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, VerifyError> {
        assert_eq!(key.algorithm(), "ES256");
        assert!(message.starts_with(b"eyJ"), "{message:?}");
        match signature {
            b"right" => Ok(true),
            b"no key" => Err(VerifyError::Key("not on the curve".to_owned())),
            _ => Ok(false),
        }
    }
}

fn host(script: Scripted) -> Verifier {
    Verifier { script }
}

fn settings() -> Config {
    closed(&[("JWT_ISSUER", "https://issuer.example"), ("JWT_AUDIENCE", "us")]).unwrap()
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

fn deadline(host: &impl Host) -> Deadline {
    Deadline::new(host.now(), Duration::from_secs(25))
}

/// The caller, or the log's words.
async fn ask(config: &Config, host: &Verifier, token: &str) -> Result<String, String> {
    let event = post(&[("authorization", &format!("Bearer {token}"))], "");
    match enter(event, config, deadline(host), host).await {
        Ok((session, _)) => Ok(session.caller.unwrap().as_str().to_owned()),
        Err(Refusal::Stranger(cause) | Refusal::Issuer(cause)) => Err(cause.as_str().to_owned()),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn times_have_a_leeway_of_a_minute() {
    let config = settings();
    let host = host(Scripted::new().then(200, &[], JWKS));
    // The fetch takes no whole second.
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
        let result = ask(&config, &host, &token).await;
        assert_eq!(result.err().as_deref(), cause, "{name}: {value}");
    }
}

#[tokio::test]
async fn the_signature_comes_before_the_claims() {
    let config = settings();
    let host = host(Scripted::new().then(200, &[], JWKS));
    for (signature, cause) in [
        ("wrong", "the JWT's signature does not match"),
        ("no key", "the issuer's key cannot be used: not on the curve"),
    ] {
        let token = token("1", &[("exp", json!(0)), ("iss", json!("another"))], signature);
        assert_eq!(ask(&config, &host, &token).await.unwrap_err(), cause);
    }
}

#[tokio::test]
async fn a_host_that_cannot_verify_lets_nobody_in() {
    let config = settings();
    let script = Scripted::new().then(200, &[], JWKS);
    let token = token("1", &[], "right");
    let event = post(&[("authorization", &format!("Bearer {token}"))], "");
    let entered = enter(event, &config, deadline(&script), &script).await;
    let Err(refusal) = entered.map(|(session, _)| session) else {
        panic!("somebody is in");
    };
    let (error, _) = refusal.into_error(&config.access);
    assert_eq!(error.code, Code::Misconfigured);
}

#[tokio::test]
async fn keys_are_kept_for_an_hour_and_believed_for_a_day() {
    let config = settings();
    let script = Scripted::new().then(200, &[], JWKS).then(500, &[], "").then(200, &[], JWKS);
    let host = host(script.then_fail("reset").then_fail("reset"));
    let fetches = || host.script.requests.borrow().len();
    let good = token("1", &[], "right");
    let alice = Ok("jwt:alice".to_owned());
    let minutes = |minutes: u64| host.script.pass(Duration::from_secs(60 * minutes));

    assert_eq!((ask(&config, &host, &good).await, fetches()), (alice.clone(), 1));
    minutes(59);
    assert_eq!((ask(&config, &host, &good).await, fetches()), (alice.clone(), 1));
    // Fetched again, which fails: the old one is good, and not for every request asked for.
    minutes(2);
    assert_eq!((ask(&config, &host, &good).await, fetches()), (alice.clone(), 2));
    assert_eq!((ask(&config, &host, &good).await, fetches()), (alice.clone(), 2));
    minutes(1);
    assert_eq!((ask(&config, &host, &good).await, fetches()), (alice.clone(), 3));
    // For a day.
    minutes(60 * 24 - 1);
    assert_eq!((ask(&config, &host, &good).await, fetches()), (alice, 4));
    minutes(2);
    let error = "the issuer's keys cannot be fetched: reset".to_owned();
    assert_eq!((ask(&config, &host, &good).await, fetches()), (Err(error.clone()), 5));
    // And while there are none, every five seconds.
    assert_eq!((ask(&config, &host, &good).await, fetches()), (Err(error), 5));
}

#[tokio::test]
async fn a_key_that_is_not_there_is_asked_for_once_a_minute() {
    let config = settings();
    let with_2 = JWKS.replace(r#""kid":"1""#, r#""kid":"2""#);
    let script = Scripted::new().then(200, &[], JWKS).then(200, &[], JWKS);
    let host = host(script.then(200, &[], with_2));
    let fetches = || host.script.requests.borrow().len();
    let (first, second) = (token("1", &[], "right"), token("2", &[], "right"));
    let none = Err("the issuer has no such key".to_owned());

    assert!(ask(&config, &host, &first).await.is_ok());
    host.script.pass(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!((ask(&config, &host, &second).await, fetches()), (none.clone(), 2));
    }
    host.script.pass(Duration::from_secs(59));
    assert_eq!((ask(&config, &host, &second).await, fetches()), (none.clone(), 2));
    host.script.pass(Duration::from_secs(1));
    assert_eq!((ask(&config, &host, &second).await.is_ok(), fetches()), (true, 3));
    assert_eq!((ask(&config, &host, &first).await, fetches()), (none, 3));
}

#[tokio::test]
async fn who_leaves_while_fetching_leaves_the_place_to_another() {
    let config = settings();
    let host = host(Scripted::new().then_leave().then(200, &[], JWKS));
    let good = token("1", &[], "right");
    assert_eq!(ask(&config, &host, &good).await.unwrap_err(), "the client went away");
    let before = host.now();
    // Not at once, and not only after the pause behind a failure.
    assert!(ask(&config, &host, &good).await.is_ok());
    let waited = host.now().duration_since(before).unwrap();
    assert!((1000..1500).contains(&waited.as_millis()), "{waited:?}");
}
