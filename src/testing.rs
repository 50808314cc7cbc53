//! The test platform: scripted responses, recorded requests, virtual time, and every optional capability.

pub(crate) mod sessions;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use serde_json::Value;

use crate::api::Envelope;
use crate::config::{Config, ConfigError};
use crate::error::Error;
use crate::headers;
use crate::host::{
    Body, BodyStream, Cipher, Host, Http, IncomingRequest, LedgerStore, LimitError, RateLimiter,
    ReadError, Runtime, SessionStore, SignatureVerifier, TransportError, VerifyError, VerifyingKey,
};
use crate::limits::{Ledger, Reply, Standing};
use crate::server::Isolate;

pub(crate) const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The UUID of the number 42, which is the first of [`Scripted::random`].
pub(crate) const RANDOM_ID: &str = "00000000-0000-4000-8000-00000000002a";

/// The variable that turns retries off.
pub(crate) const ONCE: (&str, &str) = ("BEDROCK_MAX_ATTEMPTS", "1");

/// Makes a configuration with AWS's example key, open to all, and with `vars` set or, if empty, unset.
pub(crate) fn config(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_vars(|name| {
        let set = vars.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        set.or(match name {
            "AWS_ACCESS_KEY_ID" => Some(ACCESS_KEY_ID),
            "AWS_SECRET_ACCESS_KEY" => Some(SECRET_ACCESS_KEY),
            "AUTH" => Some("open"),
            _ => None,
        })
        .map(str::to_owned)
    })
}

/// Makes an isolate with the configuration of [`config`].
pub(crate) fn isolate(vars: &[(&str, &str)]) -> Isolate {
    Isolate::new(config(vars))
}

/// Makes a request with the headers that a Worker which takes signatures would see.
pub(crate) fn request<B>(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: B,
) -> IncomingRequest<B> {
    let pair = |(name, value): &(&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let headers: HeaderMap = headers.iter().map(pair).collect();
    IncomingRequest::from_http(method.parse().unwrap(), path, headers, body)
}

/// Makes a request with the headers that the Worker copies into wasm: of a POST only those of the table.
pub(crate) fn request_in_the_worker<B>(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: B,
) -> IncomingRequest<B> {
    let mut request = request(method, path, headers, body);
    if request.method == Method::POST {
        headers::as_the_worker_copies_them(&mut request.headers);
    }
    request
}

/// Returns the value of a header that occurs at most once.
pub(crate) fn header<'a>(envelope: &'a Envelope, name: &str) -> Option<&'a str> {
    let mut values = envelope.headers.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
    let value = values.next().map(|(_, value)| &**value);
    assert!(values.next().is_none(), "{name} is there twice: {envelope:?}");
    value
}

/// Returns the value of a header that only this error has.
pub(crate) fn header_of<'a>(error: &'a Error, name: &str) -> Option<&'a str> {
    error.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
}

/// The test platform. Its clock starts at 2026-01-02T03:04:05Z.
pub(crate) struct Scripted {
    responses: RefCell<VecDeque<Scene>>,
    pub(crate) requests: RefCell<Vec<Request<Bytes>>>,
    /// The lengths of all waits.
    pub(crate) sleeps: RefCell<Vec<Duration>>,
    /// The next random number.
    pub(crate) chance: Cell<u128>,
    /// Whether each random number is one more than the last.
    pub(crate) counts: bool,
    clock: Clock,
    /// The client disconnects during this wait, counted from 0.
    leaves_in_sleep: Option<usize>,
    /// The signatures that the verifier calls right. Without any there is no verifier.
    pub(crate) right_signatures: Vec<&'static [u8]>,
    /// How many requests the rate limiter lets through, if there is one.
    pub(crate) allowed: Option<usize>,
    /// The keys of the requests that were counted.
    pub(crate) counted: RefCell<Vec<String>>,
    /// Whether there are ledgers.
    pub(crate) has_ledgers: bool,
    ledger: RefCell<Option<String>>,
    /// The accounts and messages that ledgers got.
    pub(crate) told: RefCell<Vec<(String, Value)>>,
    /// The error of the limiter and of the ledgers.
    pub(crate) broken: Option<LimitError>,
    /// Whether the replies of ledgers get lost.
    pub(crate) loses_replies: bool,
    /// The number of the only message to a ledger whose reply gets lost, counted from 0.
    pub(crate) loses_reply: Option<usize>,
    /// Whether requests and waits are pending once.
    is_in_steps: bool,
    /// Whether settlements do not arrive.
    pub(crate) loses_settlements: bool,
    /// The store of sessions, if there is one.
    pub(crate) sessions: Option<sessions::MemorySessions>,
    pub(crate) has_no_cipher: bool,
}

type Clock = Rc<Cell<SystemTime>>;

/// The result of a request, and how long it takes.
struct Scene {
    result: Result<Response<Watched>, TransportError>,
    latency: Duration,
}

/// Advances the clock by the time that an operation takes, but not past its limit.
fn take(clock: &Clock, time: Duration, within: Duration) -> Result<(), TransportError> {
    clock.set(clock.get() + time.min(within));
    if time > within { Err(TransportError::TimedOut) } else { Ok(()) }
}

impl Scripted {
    /// How long each response takes.
    pub(crate) const STEP: Duration = Duration::from_millis(250);

    pub(crate) fn new() -> Self {
        Self {
            responses: RefCell::default(),
            requests: RefCell::default(),
            sleeps: RefCell::default(),
            chance: Cell::new(42),
            counts: false,
            clock: Rc::new(Cell::new(UNIX_EPOCH + Duration::from_secs(1_767_323_045))),
            leaves_in_sleep: None,
            right_signatures: Vec::new(),
            allowed: None,
            counted: RefCell::default(),
            has_ledgers: false,
            ledger: RefCell::default(),
            told: RefCell::default(),
            broken: None,
            loses_replies: false,
            loses_reply: None,
            is_in_steps: false,
            loses_settlements: false,
            sessions: None,
            has_no_cipher: false,
        }
    }

    /// Adds a response.
    pub(crate) fn then(
        self,
        status: u16,
        headers: &[(&str, &str)],
        body: impl Into<Watched>,
    ) -> Self {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        self.will(Ok(response.body(body.into()).unwrap()))
    }

    /// Adds a request whose connection fails.
    pub(crate) fn then_fail(self, error: &str) -> Self {
        self.will(Err(TransportError::Failed(error.to_owned())))
    }

    /// Adds a request during which the client disconnects.
    pub(crate) fn then_leave(self) -> Self {
        self.will(Err(TransportError::Cancelled))
    }

    /// Adds a request that times out.
    pub(crate) fn then_time_out(self) -> Self {
        self.will(Err(TransportError::TimedOut))
    }

    fn will(self, result: Result<Response<Watched>, TransportError>) -> Self {
        self.responses.borrow_mut().push_back(Scene { result, latency: Self::STEP });
        self
    }

    /// Sets how long the last response takes.
    pub(crate) fn taking(self, latency: Duration) -> Self {
        self.responses.borrow_mut().back_mut().expect("a response").latency = latency;
        self
    }

    /// Makes the client disconnect during a wait, counted from 0.
    pub(crate) fn leaving_in_sleep(self, number: usize) -> Self {
        Self { leaves_in_sleep: Some(number), ..self }
    }

    /// Gives the platform a rate limiter and ledgers. Its random numbers count from 1.
    pub(crate) fn with_limits(self) -> Self {
        self.chance.set(0);
        Self { allowed: Some(usize::MAX), has_ledgers: true, counts: true, ..self }
    }

    /// Makes each request and each wait pending once, so that a test which polls by hand decides in which order
    /// several requests go on. A request is recorded, and the time of a wait passes, in the first poll.
    pub(crate) fn in_steps(self) -> Self {
        Self { is_in_steps: true, ..self }
    }

    async fn step(&self) {
        let mut is_pending = self.is_in_steps;
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::take(&mut is_pending) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Forgets the responses that are left.
    pub(crate) fn forget_responses(&self) {
        self.responses.borrow_mut().clear();
    }

    /// Returns the number of responses that are left.
    pub(crate) fn left(&self) -> usize {
        self.responses.borrow().len()
    }

    /// Advances the clock.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.set(self.clock.get() + time);
    }

    fn seconds(&self) -> u64 {
        self.now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    /// Returns the tokens of all settlements.
    pub(crate) fn settled(&self) -> Vec<u64> {
        let told = self.told.borrow();
        let settlements = told.iter().filter(|(_, message)| message["settle"].is_string());
        settlements.map(|(_, message)| message["tokens"].as_u64().unwrap()).collect()
    }

    /// Returns the numbers of the ledger.
    pub(crate) fn standing(&self) -> Standing {
        let ledger = self.ledger.borrow();
        let message = r#"{"usage":true}"#;
        let (_, reply) = Ledger::exchange(ledger.as_deref(), message, self.seconds()).unwrap();
        Reply::parse(&reply).unwrap().standing
    }
}

impl Runtime for Scripted {
    fn now(&self) -> SystemTime {
        self.clock.get()
    }

    fn random(&self) -> u128 {
        if self.counts {
            self.chance.set(self.chance.get() + 1);
        }
        self.chance.get()
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        self.sleeps.borrow_mut().push(time);
        if self.leaves_in_sleep == Some(self.sleeps.borrow().len() - 1) {
            return Err(TransportError::Cancelled);
        }
        self.pass(time);
        self.step().await;
        Ok(())
    }
}

impl Http for Scripted {
    type Body = Watched;

    async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<Watched>, TransportError> {
        self.requests.borrow_mut().push(request);
        let scene = self.responses.borrow_mut().pop_front();
        let Scene { result, latency } = scene.expect("a request that is not in the script");
        self.step().await;
        take(&self.clock, latency, within)?;
        let mut response = result?;
        response.body_mut().clock = Some(self.clock.clone());
        Ok(response)
    }
}

impl Host for Scripted {
    fn verifier(&self) -> Option<impl SignatureVerifier> {
        (!self.right_signatures.is_empty()).then_some(self)
    }

    fn rate_limiter(&self) -> Option<impl RateLimiter> {
        self.allowed.is_some().then_some(self)
    }

    fn ledgers(&self) -> Option<impl LedgerStore> {
        self.has_ledgers.then_some(self)
    }

    fn sessions(&self) -> Option<impl SessionStore> {
        self.sessions.as_ref()
    }

    fn cipher(&self) -> Option<impl Cipher> {
        (self.sessions.is_some() && !self.has_no_cipher).then_some(self)
    }
}

impl SignatureVerifier for Scripted {
    async fn verify(
        &self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, VerifyError> {
        assert_eq!(key.algorithm(), "ES256");
        assert!(message.starts_with(b"eyJ"), "{message:?}");
        match signature {
            b"no key" => Err(VerifyError("not on the curve".to_owned())),
            _ => Ok(self.right_signatures.contains(&signature)),
        }
    }
}

impl RateLimiter for Scripted {
    async fn admit(&self, key: &str) -> Result<bool, LimitError> {
        self.counted.borrow_mut().push(key.to_owned());
        match &self.broken {
            Some(error) => Err(error.clone()),
            None => Ok(self.allowed.is_some_and(|most| self.counted.borrow().len() <= most)),
        }
    }
}

impl LedgerStore for Scripted {
    async fn exchange(&self, account: &str, message: String) -> Result<String, LimitError> {
        let json = serde_json::from_str(&message).unwrap();
        self.told.borrow_mut().push((account.to_owned(), json));
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        if self.loses_settlements && message.contains("settle") {
            return Err(LimitError("gone".to_owned()));
        }
        let stored = self.ledger.borrow().clone();
        let exchanged = Ledger::exchange(stored.as_deref(), &message, self.seconds());
        let (changed, reply) = exchanged.unwrap();
        self.ledger.replace(changed.or(stored));
        let is_lost = self.loses_replies || self.loses_reply == Some(self.told.borrow().len() - 1);
        if is_lost { Err(LimitError("lost".to_owned())) } else { Ok(reply) }
    }
}

/// A body in chunks that records what was read of it.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    chunks: VecDeque<(Duration, Result<Bytes, TransportError>)>,
    /// The clock of the platform. A body without waits needs none.
    clock: Option<Clock>,
    pub(crate) was_read: Rc<Cell<bool>>,
    /// How many chunks were read, counting the end.
    pub(crate) read_chunks: Rc<Cell<usize>>,
}

impl Watched {
    pub(crate) fn in_chunks<T: Into<Bytes>>(chunks: impl IntoIterator<Item = T>) -> Self {
        let chunks = chunks.into_iter().map(|chunk| (Duration::ZERO, Ok(chunk.into()))).collect();
        Self { chunks, clock: None, was_read: Rc::default(), read_chunks: Rc::default() }
    }

    /// Makes a body whose connection fails.
    pub(crate) fn broken(error: &str) -> Self {
        Self::in_chunks::<Bytes>([]).then_broken(error)
    }

    /// Makes the connection fail after the chunks.
    pub(crate) fn then_broken(mut self, error: &str) -> Self {
        self.chunks.push_back((Duration::ZERO, Err(TransportError::Failed(error.to_owned()))));
        self
    }

    /// Adds a chunk after a wait.
    pub(crate) fn then_after(mut self, wait: Duration, chunk: impl Into<Bytes>) -> Self {
        self.chunks.push_back((wait, Ok(chunk.into())));
        self
    }

    /// Makes the body stall after the chunks.
    pub(crate) fn then_silence(self) -> Self {
        self.then_after(Duration::MAX, Bytes::new())
    }

    /// Advances the clock of a platform while this body arrives.
    pub(crate) fn to(self, host: &Scripted) -> Self {
        Self { clock: Some(host.clock.clone()), ..self }
    }

    fn next(&mut self, within: Duration) -> Result<Option<(Duration, Bytes)>, TransportError> {
        let Some((wait, chunk)) = self.chunks.pop_front() else { return Ok(None) };
        if !wait.is_zero() {
            take(self.clock.as_ref().expect("a clock"), wait, within)?;
        }
        Ok(Some((wait, chunk?)))
    }
}

impl<T: Into<Bytes>> From<T> for Watched {
    fn from(content: T) -> Self {
        Self::in_chunks([content])
    }
}

impl Body for Watched {
    async fn read(mut self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        self.was_read.set(true);
        let (mut left, mut whole) = (within, Vec::new());
        while let Some((took, chunk)) = self.next(left)? {
            left -= took;
            whole.extend_from_slice(&chunk);
            if whole.len() > limit {
                break;
            }
        }
        Bytes::from(whole).read(limit, left).await
    }
}

impl BodyStream for Watched {
    async fn chunk(&mut self, within: Duration) -> Result<Option<Bytes>, TransportError> {
        self.was_read.set(true);
        self.read_chunks.set(self.read_chunks.get() + 1);
        Ok(self.next(within)?.map(|(_, chunk)| chunk))
    }
}
