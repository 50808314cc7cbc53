//! The tests' Host: answers from a queue, every request recorded, time that is only virtual.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};

use super::{Body, BodyStream, Host, ReadError, TransportError};
use crate::config::{Config, ConfigError};

pub(crate) const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The UUID that [`Scripted::random`] makes.
pub(crate) const RANDOM_ID: &str = "00000000-0000-4000-8000-00000000002a";

/// Of a test that is not about repeated calls.
pub(crate) const ONCE: (&str, &str) = ("BEDROCK_MAX_ATTEMPTS", "1");

/// A configuration with AWS's example key, open to all, and with `vars` set or, where empty, unset.
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

/// See the module. It starts at 2026-01-02T03:04:05Z.
pub(crate) struct Scripted {
    answers: RefCell<VecDeque<Scene>>,
    pub(crate) requests: RefCell<Vec<Request<Bytes>>>,
    /// How long was waited, each time.
    pub(crate) sleeps: RefCell<Vec<Duration>>,
    /// What comes of [`Host::random`].
    pub(crate) chance: Cell<u128>,
    clock: Clock,
    /// The client leaves during this wait, counted from 0.
    leaves_in_sleep: Option<usize>,
}

type Clock = Rc<Cell<SystemTime>>;

/// What comes of a call, and after how long.
struct Scene {
    result: Result<Response<Watched>, TransportError>,
    latency: Duration,
}

/// Lets the time pass that something takes, or as much of it as it may.
fn take(clock: &Clock, time: Duration, within: Duration) -> Result<(), TransportError> {
    clock.set(clock.get() + time.min(within));
    if time > within { Err(TransportError::TimedOut) } else { Ok(()) }
}

impl Scripted {
    /// How long each answer takes.
    pub(crate) const STEP: Duration = Duration::from_millis(250);

    pub(crate) fn new() -> Self {
        Self {
            answers: RefCell::default(),
            requests: RefCell::default(),
            sleeps: RefCell::default(),
            chance: Cell::new(42),
            clock: Rc::new(Cell::new(UNIX_EPOCH + Duration::from_secs(1_767_323_045))),
            leaves_in_sleep: None,
        }
    }

    /// One more answer.
    pub(crate) fn then(
        self,
        status: u16,
        headers: &[(&str, &str)],
        body: impl Into<Watched>,
    ) -> Self {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        self.will(Ok(answer.body(body.into()).unwrap()))
    }

    /// One more call without an answer.
    pub(crate) fn then_fail(self, error: &str) -> Self {
        self.will(Err(TransportError::Failed(error.to_owned())))
    }

    /// The client leaves during one more call.
    pub(crate) fn then_leave(self) -> Self {
        self.will(Err(TransportError::Cancelled))
    }

    /// One more call takes too long.
    pub(crate) fn then_time_out(self) -> Self {
        self.will(Err(TransportError::TimedOut))
    }

    fn will(self, result: Result<Response<Watched>, TransportError>) -> Self {
        self.answers.borrow_mut().push_back(Scene { result, latency: Self::STEP });
        self
    }

    /// The last answer takes so long.
    pub(crate) fn taking(self, latency: Duration) -> Self {
        self.answers.borrow_mut().back_mut().expect("an answer").latency = latency;
        self
    }

    /// The client leaves while this wait lasts, counted from 0.
    pub(crate) fn leaving_in_sleep(self, number: usize) -> Self {
        Self { leaves_in_sleep: Some(number), ..self }
    }

    /// How many answers nobody asked for.
    pub(crate) fn left(&self) -> usize {
        self.answers.borrow().len()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.set(self.clock.get() + time);
    }
}

impl Host for Scripted {
    type Body = Watched;

    fn now(&self) -> SystemTime {
        self.clock.get()
    }

    fn random(&self) -> u128 {
        self.chance.get()
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        self.sleeps.borrow_mut().push(time);
        if self.leaves_in_sleep == Some(self.sleeps.borrow().len() - 1) {
            return Err(TransportError::Cancelled);
        }
        self.pass(time);
        Ok(())
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<Watched>, TransportError> {
        self.requests.borrow_mut().push(request);
        let scene = self.answers.borrow_mut().pop_front();
        let Scene { result, latency } = scene.expect("a call that is not in the script");
        take(&self.clock, latency, within)?;
        let mut answer = result?;
        answer.body_mut().clock = Some(self.clock.clone());
        Ok(answer)
    }
}

/// A body in pieces that tells what was read of it.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pieces: VecDeque<(Duration, Result<Bytes, TransportError>)>,
    /// Where nothing takes any time, none is needed.
    clock: Option<Clock>,
    pub(crate) was_read: Rc<Cell<bool>>,
    /// How many pieces were asked for, the end being one.
    pub(crate) chunks: Rc<Cell<usize>>,
}

impl Watched {
    pub(crate) fn in_pieces<T: Into<Bytes>>(pieces: impl IntoIterator<Item = T>) -> Self {
        let pieces = pieces.into_iter().map(|piece| (Duration::ZERO, Ok(piece.into()))).collect();
        Self { pieces, clock: None, was_read: Rc::default(), chunks: Rc::default() }
    }

    /// A body whose connection ends in its middle.
    pub(crate) fn broken(error: &str) -> Self {
        Self::in_pieces::<Bytes>([]).then_broken(error)
    }

    /// The same, behind the pieces.
    pub(crate) fn then_broken(mut self, error: &str) -> Self {
        self.pieces.push_back((Duration::ZERO, Err(TransportError::Failed(error.to_owned()))));
        self
    }

    /// One more piece, after so long.
    pub(crate) fn then_after(mut self, wait: Duration, piece: impl Into<Bytes>) -> Self {
        self.pieces.push_back((wait, Ok(piece.into())));
        self
    }

    /// And then nothing, not even an end.
    pub(crate) fn then_silence(self) -> Self {
        self.then_after(Duration::MAX, Bytes::new())
    }

    /// A body that a client sends, by the clock of this Host.
    pub(crate) fn to(self, host: &Scripted) -> Self {
        Self { clock: Some(host.clock.clone()), ..self }
    }

    fn next(&mut self, within: Duration) -> Result<Option<(Duration, Bytes)>, TransportError> {
        let Some((wait, piece)) = self.pieces.pop_front() else { return Ok(None) };
        if !wait.is_zero() {
            take(self.clock.as_ref().expect("a clock"), wait, within)?;
        }
        Ok(Some((wait, piece?)))
    }
}

impl<T: Into<Bytes>> From<T> for Watched {
    fn from(content: T) -> Self {
        Self::in_pieces([content])
    }
}

impl Body for Watched {
    async fn read(mut self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        self.was_read.set(true);
        let (mut left, mut whole) = (within, Vec::new());
        while let Some((took, piece)) = self.next(left)? {
            left -= took;
            whole.extend_from_slice(&piece);
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
        self.chunks.set(self.chunks.get() + 1);
        Ok(self.next(within)?.map(|(_, piece)| piece))
    }
}
