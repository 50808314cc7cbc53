//! The place that the function runs in, as far as the function knows it.
//!
//! Everything that is not pure comes in through [`Host`]: a Worker is one, a Lambda another, a
//! test with scripted answers a third.

use std::future::{Future, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use sha2::{Digest, Sha256};

use crate::gate::VerifyingKey;
use crate::limits::Settlement;

/// A clock, a source of randomness and an HTTP client.
///
/// What can take long is given the time `within` which it must end. When that is over, the Host
/// gives the operation up, closes its connection, and says [`TransportError::TimedOut`].
pub trait Host {
    /// The body of an answer, not read yet.
    type Body: BodyStream;

    /// The time of day. At the edge the clock stands still between two I/O operations.
    fn now(&self) -> SystemTime;

    /// 128 random bits, good enough to tell requests apart.
    fn random(&self) -> u128;

    /// Waits.
    ///
    /// # Errors
    ///
    /// [`TransportError::Cancelled`] where it ended early, because nobody waits for the answer any
    /// more.
    fn sleep(&self, time: Duration) -> impl Future<Output = Result<(), TransportError>>;

    /// Sends one HTTP request with the headers that it has, and `host` and `content-length`, and
    /// waits for the head of the answer.
    ///
    /// It must not follow redirects (a signature is good for one URL), and must not encode or
    /// decode the path again.
    fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> impl Future<Output = Result<Response<Self::Body>, TransportError>>;

    /// The SHA-256 of what is to be signed. For a Host that has a faster one than this.
    fn sha256(&self, bytes: &[u8]) -> impl Future<Output = [u8; 32]> {
        ready(Sha256::digest(bytes).into())
    }

    /// Whether the signature of the message is the key's: RSASSA-PKCS1-v1_5 or ECDSA, as RFC 7518
    /// has them, with SHA-256. For JWTs: a Host that cannot do it takes none.
    ///
    /// # Errors
    ///
    /// Where that cannot be told.
    fn verify(
        &self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> impl Future<Output = Result<bool, VerifyError>> {
        let _ = (key, message, signature);
        ready(Err(VerifyError::Unsupported))
    }

    /// Counts one request for a key, and tells whether it is within the limit. It is called only
    /// where `RATE_LIMITER` is set.
    fn admit(&self, _key: &str) -> impl Future<Output = Result<bool, LimitError>> {
        ready(Err(LimitError::Missing))
    }

    /// Takes a message to the [`Ledger`](crate::limits::Ledger) of an account, by
    /// [`exchange`](crate::limits::Ledger::exchange), and returns the reply. It is called only where
    /// a limit is set that a ledger counts.
    fn ledger(
        &self,
        _account: &str,
        _message: String,
    ) -> impl Future<Output = Result<String, LimitError>> {
        ready(Err(LimitError::Missing))
    }

    /// Sends a settlement. It may return before it has arrived, where the Host sees to it.
    fn settle(&self, settlement: Settlement) -> impl Future<Output = Result<(), LimitError>> {
        async move {
            self.ledger(&settlement.account, settlement.message).await?;
            Ok(())
        }
    }
}

/// Why a signature could not be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The Host cannot do it.
    #[error("this host cannot verify signatures")]
    Unsupported,
    /// The key is none. The text is for the log.
    #[error("{0}")]
    Key(String),
}

/// A body that is read when it is wanted: the caller's, or Bedrock's.
pub trait Body {
    /// The whole body. It reads no more than it must to know that the body is longer than `limit`
    /// bytes.
    fn read(self, limit: usize, within: Duration)
    -> impl Future<Output = Result<Bytes, ReadError>>;
}

/// A body that can be read as it arrives.
pub trait BodyStream: Body {
    /// The next piece, or `None` at the end. A body that is dropped before that is no longer
    /// received.
    fn chunk(
        &mut self,
        within: Duration,
    ) -> impl Future<Output = Result<Option<Bytes>, TransportError>>;
}

/// A limit cannot be enforced. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// There is nothing that could.
    #[error("this Host has no such binding")]
    Missing,
    /// It does not answer.
    #[error("{0}")]
    Unreachable(String),
}

/// Why the network gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection, or one that ended early. The text is for the log.
    #[error("{0}")]
    Failed(String),
    /// It took longer than it was given.
    #[error("it took too long")]
    TimedOut,
    /// Nobody waits for it any more. No other operation of the same request will be better.
    #[error("the client left")]
    Cancelled,
}

/// Why a body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is longer than the limit.
    #[error("the body is too long")]
    TooLong,
    /// The envelope that it came in does not hold what it should. The text is for the caller.
    #[error("{0}")]
    Malformed(String),
    /// It ended early, or not in time.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl BodyStream for Bytes {
    fn chunk(
        &mut self,
        _: Duration,
    ) -> impl Future<Output = Result<Option<Bytes>, TransportError>> {
        let rest = std::mem::take(self);
        ready(Ok((!rest.is_empty()).then_some(rest)))
    }
}

impl Body for Bytes {
    fn read(self, limit: usize, _: Duration) -> impl Future<Output = Result<Bytes, ReadError>> {
        ready(if self.len() > limit { Err(ReadError::TooLong) } else { Ok(self) })
    }
}

#[cfg(test)]
pub(crate) mod scripted;
