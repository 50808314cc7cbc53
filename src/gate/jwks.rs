//! The issuer's public keys (a JSON Web Key Set): fetched, kept, and fetched again.
//!
//! They are kept with the configuration, which a Worker's isolate has one of. One request fetches
//! for all that wait. The others look again every few milliseconds, instead of waiting for the
//! fetch itself: in a Worker a promise belongs to the request that made it, and is never settled
//! for the others when that request ends. Whoever finds that the one who fetches is gone takes over.
//!
//! The keys are fetched again when they are an hour old, and for a key that is not among them, the
//! latter once a minute at most. Where that fails the old ones stay for a day, so that an issuer's
//! outage is not ours. With none it is 503.
//!
//! Out of scope: `Cache-Control`, the X.509 members, other key types than RSA and P-256.
//!
//! <https://www.rfc-editor.org/rfc/rfc7517>

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Request, StatusCode, Uri};
use serde_json::Value;

use crate::deadline::Deadline;
use crate::host::{Body, Host, ReadError, TransportError};
use crate::lock::lock;
use crate::log::Redacted;

/// Microsoft's set, with certificates, is about 20 KB.
const MAX_JWKS_BYTES: usize = 256 << 10;
const MAX_KEYS: usize = 100;

/// After it the keys are fetched again.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// After it keys that could not be fetched again are not believed any more.
const MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two fetches for a key that is not there, and between two that failed while there are keys.
const PAUSE: Duration = Duration::from_secs(60);
/// Between two fetches that failed while there are none.
pub(super) const SHORT_PAUSE: Duration = Duration::from_secs(5);
/// Before another takes over for one who went away: strangers who do so must not make us fetch all
/// the time.
const TAKEOVER_PAUSE: Duration = Duration::from_secs(1);
/// How long one may fetch, before another one believes that it is gone without a trace.
const LEASE: Duration = Duration::from_secs(10);
/// How often those who wait look.
const LOOK: Duration = Duration::from_millis(10);

const GONE: &str = "the client went away";

/// What a token may be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    /// By its name in a JWT. There are no others.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// A public key, and the one algorithm that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    /// Only the members that make the key, as they came.
    jwk: String,
}

impl VerifyingKey {
    /// `RS256` or `ES256`.
    pub fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
        }
    }

    /// The key as a JSON Web Key: `{"kty":"RSA","n":"…","e":"…"}` or
    /// `{"kty":"EC","crv":"P-256","x":"…","y":"…"}`.
    pub fn jwk(&self) -> &str {
        &self.jwk
    }
}

/// Keys, and their ids.
type Keys = Vec<(Option<String>, Arc<VerifyingKey>)>;

/// A key set at a URL.
pub(super) struct Jwks {
    url: Uri,
    /// Never held while anything is awaited.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Keys,
    /// When these keys came.
    fetched: Option<SystemTime>,
    /// When, and why, the last fetch failed, unless one has succeeded since.
    failed: Option<(SystemTime, Redacted)>,
    /// When keys were last fetched for one that was not among them.
    missed: Option<SystemTime>,
    /// Who fetches, and until when that is believed.
    lease: Option<(u64, SystemTime)>,
    leases: u64,
    /// No fetch before this.
    rest: Option<SystemTime>,
}

/// What to do for a key.
enum Next {
    Use(Arc<VerifyingKey>),
    /// The issuer does not have it.
    None,
    Unavailable(Redacted),
    /// Another one fetches.
    Wait,
    /// With a lease.
    Fetch(u64),
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Jwks").field(&self.url).finish()
    }
}

impl Jwks {
    pub(super) fn at(url: Uri) -> Self {
        Self { url, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The key of this id and algorithm, or `None` if the issuer does not have it.
    ///
    /// # Errors
    ///
    /// Where the keys could not be fetched: why, for the log.
    pub(super) async fn key<H: Host>(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        deadline: Deadline,
        host: &H,
    ) -> Result<Option<Arc<VerifyingKey>>, Redacted> {
        let came = host.now();
        loop {
            // In a statement of its own, so that the lock is not held in what follows.
            let next = self.state().next(kid, algorithm, came, host.now());
            match next {
                Next::Use(key) => return Ok(Some(key)),
                Next::None => return Ok(None),
                Next::Unavailable(cause) => return Err(cause),
                Next::Wait if deadline.left(host.now()).is_zero() => {
                    return Err("the issuer's keys did not come in time".into());
                }
                Next::Wait => host.sleep(LOOK).await.map_err(|_| GONE)?,
                Next::Fetch(lease) => {
                    let result = self.fetch(deadline, host).await;
                    if result == Err(ReadError::Transport(TransportError::Cancelled)) {
                        // Nobody waits for this answer: others may wait for the keys.
                        self.state().give_up(lease, host.now());
                        return Err(GONE.into());
                    }
                    self.state().settle(lease, result, host.now());
                }
            }
        }
    }

    async fn fetch<H: Host>(&self, deadline: Deadline, host: &H) -> Result<Keys, ReadError> {
        let within = || deadline.left(host.now()).min(LEASE);
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.url.clone();
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = host.send(request, within()).await?;
        if answer.status() != StatusCode::OK {
            return Err(ReadError::Malformed(format!("status {}", answer.status())));
        }
        let body = answer.into_body().read(MAX_JWKS_BYTES, within()).await?;
        parse(&body).ok_or_else(|| ReadError::Malformed("no usable keys in it".to_owned()))
    }
}

impl State {
    fn next(
        &mut self,
        kid: Option<&str>,
        algorithm: Algorithm,
        came: SystemTime,
        now: SystemTime,
    ) -> Next {
        let is_past =
            |since: SystemTime, time| now.duration_since(since).is_ok_and(|it| it >= time);
        let is_fresh = self.fetched.is_some_and(|at| !is_past(at, MAX_AGE));
        if self.fetched.is_some_and(|at| is_past(at, MAX_STALE)) {
            self.keys.clear();
            self.fetched = None;
        }
        let key = self.find(kid, algorithm);
        if let (Some(key), true) = (&key, is_fresh) {
            return Next::Use(key.clone());
        }
        // An old key is good while another one fetches, or while that fails.
        let otherwise = |next| key.map_or(next, Next::Use);
        if self.lease.is_some_and(|(_, ends)| now < ends) || self.rest.is_some_and(|it| now < it) {
            return otherwise(Next::Wait);
        }
        if let Some((at, cause)) = &self.failed {
            let pause = if self.fetched.is_some() { PAUSE } else { SHORT_PAUSE };
            if *at >= came || !is_past(*at, pause) {
                return otherwise(Next::Unavailable(cause.clone()));
            }
        } else if is_fresh {
            // Fresh keys, and the one that is looked for is not among them.
            if self.fetched.is_some_and(|at| at >= came)
                || self.missed.is_some_and(|at| !is_past(at, PAUSE))
            {
                return Next::None;
            }
        }
        self.leases += 1;
        self.lease = Some((self.leases, now + LEASE));
        Next::Fetch(self.leases)
    }

    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<VerifyingKey>> {
        let fits = |(known, key): &&(Option<String>, Arc<VerifyingKey>)| {
            key.algorithm == algorithm && kid.is_none_or(|kid| known.as_deref() == Some(kid))
        };
        let mut fitting = self.keys.iter().filter(fits);
        let (_, key) = fitting.next()?;
        // A token may leave the id out where there is only one key that it can mean.
        (kid.is_some() || fitting.next().is_none()).then(|| key.clone())
    }

    fn settle(&mut self, lease: u64, result: Result<Keys, ReadError>, now: SystemTime) {
        self.release(lease);
        match result {
            Ok(keys) => {
                // Not the first fetch, and not one for the keys' age.
                if self.fetched.is_some_and(|at| now < at + MAX_AGE) {
                    self.missed = Some(now);
                }
                (self.keys, self.fetched, self.failed) = (keys, Some(now), None);
            }
            Err(problem) => {
                let cause = format!("the issuer's keys cannot be fetched: {problem}");
                self.failed = Some((now, cause.into()));
            }
        }
    }

    fn give_up(&mut self, lease: u64, now: SystemTime) {
        self.release(lease);
        self.rest = Some(now + TAKEOVER_PAUSE);
    }

    fn release(&mut self, lease: u64) {
        if self.lease.is_some_and(|(current, _)| current == lease) {
            self.lease = None;
        }
    }
}

/// The keys that can be used, if there are any. Others are skipped, as RFC 7517 wants it.
fn parse(body: &[u8]) -> Option<Keys> {
    let set: Value = serde_json::from_slice(body).ok()?;
    let keys = set.get("keys")?.as_array()?.iter().take(MAX_KEYS);
    let keys: Vec<_> = keys.filter_map(|jwk| Some((kid(jwk), Arc::new(key(jwk)?)))).collect();
    (!keys.is_empty()).then_some(keys)
}

fn kid(jwk: &Value) -> Option<String> {
    jwk.get("kid")?.as_str().map(str::to_owned)
}

/// A key of which the type decides the algorithm. All else that it says of itself must fit.
fn key(jwk: &Value) -> Option<VerifyingKey> {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    // What is base64url can stand in JSON as it is.
    let number = |name, min, max| {
        text(name).filter(|text| {
            URL_SAFE_NO_PAD.decode(text).is_ok_and(|it| (min..=max).contains(&it.len()))
        })
    };
    let key = match text("kty")? {
        "RSA" => {
            // 2048 bits are the least that RFC 7518 allows. More than 4096 take long.
            let (n, e) = (number("n", 256, 513)?, number("e", 1, 4)?);
            let jwk = format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#);
            VerifyingKey { algorithm: Algorithm::Rs256, jwk }
        }
        "EC" if text("crv") == Some("P-256") => {
            let (x, y) = (number("x", 32, 32)?, number("y", 32, 32)?);
            let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
            VerifyingKey { algorithm: Algorithm::Es256, jwk }
        }
        _ => return None,
    };
    let is_or_absent =
        |name, value: &str| jwk.get(name).is_none_or(|it| it.as_str() == Some(value));
    let is_for_verifying = jwk.get("key_ops").is_none_or(|ops| {
        ops.as_array().is_some_and(|ops| ops.iter().any(|it| it.as_str() == Some("verify")))
    });
    let is_for_this =
        is_or_absent("alg", key.algorithm()) && is_or_absent("use", "sig") && is_for_verifying;
    is_for_this.then_some(key)
}
