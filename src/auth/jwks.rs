//! The issuer's public keys (a JSON Web Key Set): fetched, kept, and fetched again.
//!
//! The keys are fetched again when they are an hour old, and for a key that is not among them, the latter once a
//! minute at most. If that fails, the old keys are used for a day, so that an outage of the issuer is none of ours.
//! Without keys callers get 503.
//!
//! Out of scope: `Cache-Control`, the X.509 members, key types other than RSA and P-256.
//!
//! <https://www.rfc-editor.org/rfc/rfc7517>

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Request, StatusCode, Uri};
use serde_json::Value;

use super::refusal::ISSUER_PAUSE;
use crate::deadline::Deadline;
use crate::host::{Algorithm, Body, Host, ReadError, TransportError, VerifyingKey};
use crate::redact::Redacted;
use crate::single_flight::{Arrival, LEASE, Next, SingleFlight};

/// Microsoft's set, with certificates, has about 20 KB.
const MAX_JWKS_BYTES: usize = 256 << 10;
const MAX_KEYS: usize = 100;

/// The age at which keys are fetched again.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// The age at which keys that could not be fetched again are no longer used.
const MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// The time between two fetches for a missing key, and between two failed ones while there are keys.
const PAUSE: Duration = Duration::from_secs(60);
/// The delay before a fetch whose client disconnected is made again.
const TAKEOVER_PAUSE: Duration = Duration::from_secs(1);

const DISCONNECTED: &str = "the client disconnected";

/// Keys and their ids.
type Keys = Vec<(Option<String>, Arc<VerifyingKey>)>;

/// A set that was fetched: its usable keys, and those that could not be read.
type KeySet = (Keys, Vec<String>);

/// The result of a search: the key, or none, or why the keys could not be fetched.
type Found = Result<Option<Arc<VerifyingKey>>, Redacted>;

/// The key set of one issuer.
#[derive(Debug)]
pub(super) struct Jwks(SingleFlight<State>);

#[derive(Debug, Default)]
struct State {
    keys: Keys,
    /// The keys of the set that could not be read, each with its fault.
    skipped: Vec<String>,
    /// When these keys came, and by which fetch.
    fetched: Option<(SystemTime, u64)>,
    /// The last fetch, if it failed: when, which one, and why.
    failed: Option<(SystemTime, u64, Redacted)>,
    /// When keys were last fetched for one that was not among them.
    missed: Option<SystemTime>,
}

impl Default for Jwks {
    fn default() -> Self {
        Self(SingleFlight::new(State::default(), TAKEOVER_PAUSE))
    }
}

impl Jwks {
    /// Finds the key of this id and algorithm. Returns `None` if the issuer does not have it.
    ///
    /// # Errors
    ///
    /// Why the keys could not be fetched.
    pub(super) async fn find<H: Host>(
        &self,
        url: &Uri,
        kid: Option<&str>,
        algorithm: Algorithm,
        deadline: Deadline,
        host: &H,
    ) -> Found {
        let next = |state: &mut State, arrival, now| state.next(kid, algorithm, arrival, now);
        let fetch = async || match fetch(url, deadline, host).await {
            Err(ReadError::Transport(TransportError::Cancelled)) => None,
            result => Some(result),
        };
        let result = self.0.run(host, deadline, || host.now(), next, fetch, State::settle).await;
        result.unwrap_or_else(|error| match error {
            TransportError::TimedOut => Err("the issuer's keys did not come in time".into()),
            TransportError::Failed(_) => Err("too many requests wait for the issuer's keys".into()),
            _ => Err(DISCONNECTED.into()),
        })
    }

    /// Describes for the log why a key was not found.
    pub(super) fn why_missing(&self) -> Redacted {
        let skipped = self.0.with(|state| listed(&state.skipped));
        format!("the issuer has no such key{skipped}").into()
    }
}

async fn fetch<H: Host>(url: &Uri, deadline: Deadline, host: &H) -> Result<KeySet, ReadError> {
    let within = || deadline.left(host.now()).min(LEASE);
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url.clone();
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    let response = host.send(request, within()).await?;
    if response.status() != StatusCode::OK {
        return Err(ReadError::Malformed(format!("status {}", response.status())));
    }
    let body = response.into_body().read(MAX_JWKS_BYTES, within()).await?;
    let (keys, skipped) = parse(&body).unwrap_or_default();
    if keys.is_empty() {
        let problem = format!("no usable keys in it{}", listed(&skipped));
        return Err(ReadError::Malformed(problem));
    }
    Ok((keys, skipped))
}

impl State {
    fn next(
        &mut self,
        kid: Option<&str>,
        algorithm: Algorithm,
        arrival: Arrival,
        now: SystemTime,
    ) -> Next<Found> {
        let is_past =
            |since: SystemTime, time| now.duration_since(since).is_ok_and(|it| it >= time);
        if self.fetched.is_some_and(|(at, _)| is_past(at, MAX_STALE)) {
            self.keys.clear();
            self.fetched = None;
        }
        let is_fresh = self.fetched.is_some_and(|(at, _)| !is_past(at, MAX_AGE));
        let key = self.search(kid, algorithm);
        if let (Some(key), true) = (&key, is_fresh) {
            return Next::Return(Ok(Some(key.clone())));
        }
        if let Some((at, flight, cause)) = &self.failed {
            let pause = if self.fetched.is_some() { PAUSE } else { ISSUER_PAUSE };
            if arrival.is_before(*flight) || !is_past(*at, pause) {
                return Next::Return(key.map(Some).ok_or_else(|| cause.clone()));
            }
        } else if is_fresh {
            // The keys are fresh and this one is not among them.
            if self.fetched.is_some_and(|(_, flight)| arrival.is_before(flight))
                || self.missed.is_some_and(|at| !is_past(at, PAUSE))
            {
                return Next::Return(Ok(None));
            }
        }
        // A stale key is good enough while another request fetches.
        Next::Fetch { fallback: key.map(|key| Ok(Some(key))) }
    }

    fn search(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<VerifyingKey>> {
        let fits = |(known, key): &&(Option<String>, Arc<VerifyingKey>)| {
            key.algorithm == algorithm && kid.is_none_or(|kid| known.as_deref() == Some(kid))
        };
        let mut fitting = self.keys.iter().filter(fits);
        let (_, key) = fitting.next()?;
        // A token may leave the id out if only one key fits.
        (kid.is_some() || fitting.next().is_none()).then(|| key.clone())
    }

    fn settle(
        &mut self,
        result: Result<KeySet, ReadError>,
        flight: u64,
        now: SystemTime,
    ) -> Option<Found> {
        match result {
            Ok((keys, skipped)) => {
                self.skipped = skipped;
                // Neither the first fetch nor one for the age of the keys.
                if self.fetched.is_some_and(|(at, _)| now < at + MAX_AGE) {
                    self.missed = Some(now);
                }
                (self.keys, self.fetched, self.failed) = (keys, Some((now, flight)), None);
            }
            Err(problem) => {
                let cause = format!("the issuer's keys cannot be fetched: {problem}");
                self.failed = Some((now, flight, cause.into()));
            }
        }
        None
    }
}

/// Lists keys that were skipped, if there are any.
fn listed(skipped: &[String]) -> String {
    if skipped.is_empty() { String::new() } else { format!("; skipped: {}", skipped.join(", ")) }
}

/// Returns the usable keys of a set, and those that cannot be read. Keys for other purposes are skipped silently, as RFC
/// 7517 wants.
fn parse(body: &[u8]) -> Option<KeySet> {
    let set: Value = serde_json::from_slice(body).ok()?;
    let (mut usable, mut skipped) = (Keys::new(), Vec::new());
    for jwk in set.get("keys")?.as_array()?.iter().take(MAX_KEYS) {
        match key(jwk) {
            Ok(key) => usable.extend(key.map(|key| (kid(jwk), Arc::new(key)))),
            Err(fault) => {
                let id: String = kid(jwk).unwrap_or_default().chars().take(64).collect();
                skipped.push(format!("{id:?} ({fault})"));
            }
        }
    }
    Some((usable, skipped))
}

fn kid(jwk: &Value) -> Option<String> {
    jwk.get("kid")?.as_str().map(str::to_owned)
}

/// Parses a key. Its type decides the algorithm, and its other members must agree. Returns `None` for a key that is not
/// for signatures of a known algorithm.
///
/// # Errors
///
/// The problem of a key that is, if it is not valid.
fn key(jwk: &Value) -> Result<Option<VerifyingKey>, &'static str> {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    let number = |name, min, max| number(text(name)?, min, max);
    let is_or_absent =
        |name, value: &str| jwk.get(name).is_none_or(|it| it.as_str() == Some(value));
    let is_for_verifying = jwk.get("key_ops").is_none_or(|ops| {
        ops.as_array().is_some_and(|ops| ops.iter().any(|it| it.as_str() == Some("verify")))
    });
    let algorithm = match text("kty") {
        Some("RSA") => Algorithm::Rs256,
        Some("EC") if text("crv") == Some("P-256") => Algorithm::Es256,
        _ => return Ok(None),
    };
    let mut key = VerifyingKey { algorithm, jwk: String::new() };
    if !is_or_absent("alg", key.algorithm()) || !is_or_absent("use", "sig") || !is_for_verifying {
        return Ok(None);
    }
    key.jwk = match algorithm {
        Algorithm::Rs256 => {
            // RFC 7518 allows 2048 bits and more. More than 4096 take long.
            let n = number("n", 256, 513).ok_or("n is not base64url of 256 to 513 bytes")?;
            let e = number("e", 1, 4).ok_or("e is not base64url of 1 to 4 bytes")?;
            format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#)
        }
        Algorithm::Es256 => {
            let x = number("x", 32, 32).ok_or("x is not base64url of 32 bytes")?;
            let y = number("y", 32, 32).ok_or("y is not base64url of 32 bytes")?;
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#)
        }
    };
    Ok(Some(key))
}

/// Reads a number and returns it in base64url, which needs no escapes in JSON. Takes padding and the other alphabet of
/// base64, which some issuers write and which leave no doubt about the number; both alphabets at once do.
fn number(text: &str, min: usize, max: usize) -> Option<String> {
    let text = text.trim_end_matches('=');
    let is_url_safe = !text.contains(['+', '/']);
    let bytes = if is_url_safe {
        URL_SAFE_NO_PAD.decode(text).ok()?
    } else {
        STANDARD_NO_PAD.decode(text).ok()?
    };
    (min..=max).contains(&bytes.len()).then(|| URL_SAFE_NO_PAD.encode(bytes))
}
