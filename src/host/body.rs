//! Bodies of requests and responses, read whole or in chunks.

use std::future::{Future, ready};
use std::time::Duration;

use bytes::Bytes;

use super::errors::{ReadError, TransportError};

/// A body that is read on demand: the client's, or that of a response.
pub trait Body {
    /// Reads the whole body. Reads no more of a body that is longer than `limit` bytes than it takes to notice.
    fn read(self, limit: usize, within: Duration)
    -> impl Future<Output = Result<Bytes, ReadError>>;

    /// Returns the length in bytes if it is known before the body is read.
    fn length(&self) -> Option<usize> {
        None
    }
}

/// A body that can be read as it arrives.
pub trait BodyStream: Body {
    /// Returns the next chunk, or `None` at the end. Dropping the body before its end stops the transfer.
    fn chunk(
        &mut self,
        within: Duration,
    ) -> impl Future<Output = Result<Option<Bytes>, TransportError>>;
}

impl Body for Bytes {
    fn read(self, limit: usize, _: Duration) -> impl Future<Output = Result<Bytes, ReadError>> {
        ready(if self.len() > limit { Err(ReadError::TooLong) } else { Ok(self) })
    }

    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
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

/// The body of a request on its way through the pipeline.
#[derive(Clone, Debug)]
pub(crate) enum RequestBody<B> {
    /// The platform has not read it.
    Pending(B),
    /// It was read to check a signature.
    Buffered(Bytes),
}

impl<B: Body> Body for RequestBody<B> {
    async fn read(self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        match self {
            Self::Pending(body) => body.read(limit, within).await,
            Self::Buffered(bytes) => bytes.read(limit, within).await,
        }
    }
}
