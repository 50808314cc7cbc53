//! The place that the function runs in, as far as the function knows it.
//!
//! Everything that is not pure comes in through [`Host`]: a Worker is one, a Lambda another, a
//! test with scripted answers a third.

use std::future::{Future, ready};
use std::time::SystemTime;

use bytes::Bytes;
use http::{Request, Response};
use sha2::{Digest, Sha256};

/// A clock, a source of randomness and an HTTP client.
pub trait Host {
    /// The body of an answer, not read yet.
    type Body: BodyStream;

    /// The time of day. At the edge the clock stands still between two I/O operations.
    fn now(&self) -> SystemTime;

    /// 128 random bits, good enough to tell requests apart.
    fn random(&self) -> u128;

    /// Sends one HTTP request with the headers that it has, and `host` and `content-length`.
    ///
    /// It must not follow redirects (a signature is good for one URL), and must not encode or
    /// decode the path again.
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Self::Body>, TransportError>>;

    /// The SHA-256 of what is to be signed. For a Host that has a faster one than this.
    fn sha256(&self, bytes: &[u8]) -> impl Future<Output = [u8; 32]> {
        ready(Sha256::digest(bytes).into())
    }
}

/// A body that is read when it is wanted: the caller's, or Bedrock's.
pub trait Body {
    /// The whole body. It reads no more than it must to know that the body is longer than `limit`
    /// bytes.
    fn read(self, limit: usize) -> impl Future<Output = Result<Bytes, ReadError>>;
}

/// A body that can be read as it arrives.
pub trait BodyStream: Body {
    /// The next piece, or `None` at the end. A body that is dropped before that is no longer
    /// received.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, TransportError>>;
}

/// The network failed: no connection, or one that ended early. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(pub String);

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
    /// It ended early.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl BodyStream for Bytes {
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, TransportError>> {
        let rest = std::mem::take(self);
        ready(Ok((!rest.is_empty()).then_some(rest)))
    }
}

impl Body for Bytes {
    fn read(self, limit: usize) -> impl Future<Output = Result<Bytes, ReadError>> {
        ready(if self.len() > limit { Err(ReadError::TooLong) } else { Ok(self) })
    }
}

#[cfg(test)]
pub(crate) mod scripted;
