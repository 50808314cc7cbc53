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
    answers: RefCell<VecDeque<Result<Response<Watched>, TransportError>>>,
    pub(crate) requests: RefCell<Vec<Request<Bytes>>>,
    now: Cell<SystemTime>,
}

impl Scripted {
    /// How long each answer takes.
    pub(crate) const STEP: Duration = Duration::from_millis(250);

    pub(crate) fn new() -> Self {
        Self {
            answers: RefCell::default(),
            requests: RefCell::default(),
            now: Cell::new(UNIX_EPOCH + Duration::from_secs(1_767_323_045)),
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
        self.answers.borrow_mut().push_back(Ok(answer.body(body.into()).unwrap()));
        self
    }

    /// One more call without an answer.
    pub(crate) fn then_fail(self, error: &str) -> Self {
        self.answers.borrow_mut().push_back(Err(TransportError(error.to_owned())));
        self
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }
}

impl Host for Scripted {
    type Body = Watched;

    fn now(&self) -> SystemTime {
        self.now.get()
    }

    fn random(&self) -> u128 {
        42
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        self.pass(time);
        Ok(())
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Watched>, TransportError> {
        self.requests.borrow_mut().push(request);
        self.pass(Self::STEP);
        self.answers.borrow_mut().pop_front().expect("a call that is not in the script")
    }
}

/// A body in pieces that tells what was read of it.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pieces: VecDeque<Result<Bytes, TransportError>>,
    pub(crate) was_read: Rc<Cell<bool>>,
    /// How many pieces were asked for, the end being one.
    pub(crate) chunks: Rc<Cell<usize>>,
}

impl Watched {
    pub(crate) fn in_pieces<T: Into<Bytes>>(pieces: impl IntoIterator<Item = T>) -> Self {
        let pieces = pieces.into_iter().map(|piece| Ok(piece.into())).collect();
        Self { pieces, was_read: Rc::default(), chunks: Rc::default() }
    }

    /// A body whose connection ends in its middle.
    pub(crate) fn broken(error: &str) -> Self {
        Self::in_pieces::<Bytes>([]).then_broken(error)
    }

    /// The same, behind the pieces.
    pub(crate) fn then_broken(mut self, error: &str) -> Self {
        self.pieces.push_back(Err(TransportError(error.to_owned())));
        self
    }
}

impl<T: Into<Bytes>> From<T> for Watched {
    fn from(content: T) -> Self {
        Self::in_pieces([content])
    }
}

impl Body for Watched {
    async fn read(self, limit: usize) -> Result<Bytes, ReadError> {
        self.was_read.set(true);
        let pieces: Vec<Bytes> = self.pieces.into_iter().collect::<Result<_, _>>()?;
        Bytes::from(pieces.concat()).read(limit).await
    }
}

impl BodyStream for Watched {
    async fn chunk(&mut self) -> Result<Option<Bytes>, TransportError> {
        self.was_read.set(true);
        self.chunks.set(self.chunks.get() + 1);
        self.pieces.pop_front().transpose()
    }
}
