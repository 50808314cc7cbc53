//! Bodies of requests and responses, read whole or in chunks.

use std::any::Any;
use std::fmt;
use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::errors::{ReadError, TransportError};

/// A body that is read on demand: the client's, or that of a response.
pub trait Body {
    /// Reads the whole body. Reads no more of a body that is longer than `limit` bytes than it takes to notice.
    fn read(self, limit: usize, within: Duration)
    -> impl Future<Output = Result<Bytes, ReadError>>;

    /// Reads the whole body like [`read`](Self::read), and keeps it where the core need not see it. Override it where the
    /// platform's memory is not the core's.
    fn keep(
        self,
        limit: usize,
        within: Duration,
    ) -> impl Future<Output = Result<KeptBody, ReadError>>
    where
        Self: Sized,
    {
        async move { Ok(self.read(limit, within).await?.into()) }
    }

    /// Returns the length in bytes if it is known before the body is read.
    fn length(&self) -> Option<usize> {
        None
    }
}

/// The body of a request that is passed on as it came. The platform may hold it outside of the core's memory: the core
/// knows its length and its SHA-256, and reads parts of it at most. Clones share it.
#[derive(Clone)]
pub struct KeptBody {
    content: Arc<dyn Kept>,
    /// Something that lives as long as the body.
    _guard: Option<Arc<dyn Any + Send + Sync>>,
}

/// The content of a [`KeptBody`].
pub trait Kept: Any + Send + Sync {
    /// Returns the length in bytes.
    fn length(&self) -> usize;

    /// Copies the bytes from `offset` on, as many as there are and as there is room for, and returns their number.
    fn read_at(&self, offset: usize, out: &mut [u8]) -> usize;
}

impl KeptBody {
    /// Makes a body of what a platform holds.
    pub fn new(content: impl Kept) -> Self {
        Self { content: Arc::new(content), _guard: None }
    }

    /// Makes something live as long as the body.
    pub(crate) fn guarded(self, guard: impl Any + Send + Sync) -> Self {
        Self { _guard: Some(Arc::new(guard)), ..self }
    }

    /// Returns what the platform holds, if it is of this type.
    pub fn content<T: Kept>(&self) -> Option<&T> {
        (&*self.content as &dyn Any).downcast_ref()
    }

    /// Returns the length in bytes.
    pub fn length(&self) -> usize {
        self.content.length()
    }

    /// Passes the bytes to a closure in parts, until it returns `false`.
    pub(crate) fn scan(&self, mut read: impl FnMut(&[u8]) -> bool) {
        const PART: usize = 64 << 10;
        let mut part = vec![0; PART.min(self.length())];
        let mut offset = 0;
        loop {
            let length = self.content.read_at(offset, &mut part);
            let bytes = part.get(..length).unwrap_or_default();
            if bytes.is_empty() || !read(bytes) {
                return;
            }
            offset += length;
        }
    }
}

impl fmt::Debug for KeptBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptBody({} bytes)", self.length())
    }
}

impl Kept for Bytes {
    fn length(&self) -> usize {
        self.len()
    }

    fn read_at(&self, offset: usize, out: &mut [u8]) -> usize {
        let rest = self.get(offset..).unwrap_or_default();
        let length = rest.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        length
    }
}

impl From<Bytes> for KeptBody {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes)
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
    /// It was kept to check a signature.
    Kept(KeptBody),
    /// It cannot be read, for this reason.
    Malformed(String),
}

impl<B: Body> Body for RequestBody<B> {
    async fn read(self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        match self {
            Self::Pending(body) => body.read(limit, within).await,
            Self::Buffered(bytes) => bytes.read(limit, within).await,
            // A body is kept for what takes it as it is.
            Self::Kept(body) => {
                let mut bytes = Vec::with_capacity(body.length().min(limit));
                body.scan(|part| {
                    bytes.extend_from_slice(part);
                    bytes.len() <= limit
                });
                Bytes::from(bytes).read(limit, within).await
            }
            Self::Malformed(message) => Err(ReadError::Malformed(message)),
        }
    }

    async fn keep(self, limit: usize, within: Duration) -> Result<KeptBody, ReadError> {
        match self {
            Self::Pending(body) => body.keep(limit, within).await,
            Self::Kept(body) if body.length() > limit => Err(ReadError::TooLong),
            Self::Kept(body) => Ok(body),
            read => read.read(limit, within).await.map(KeptBody::from),
        }
    }

    fn length(&self) -> Option<usize> {
        match self {
            Self::Pending(body) => body.length(),
            Self::Buffered(bytes) => Some(bytes.len()),
            Self::Kept(body) => Some(body.length()),
            Self::Malformed(_) => None,
        }
    }
}
