//! The memory that the requests of one isolate hold: the bodies that are read, the replies, the streams.
//!
//! An isolate of Cloudflare has 128 MB for the heap of JavaScript and for wasm together, and the memory of wasm never shrinks.
//! So a request takes the bytes that it will need from a budget before its body is read. While there are too few, it waits
//! a moment, and is refused then.
//!
//! A waiting request looks again and again, ever less often: in a Worker one request cannot wake another.
//!
//! Out of scope: how many requests and tokens a caller may use.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use crate::host::{Body, KeptBody, ReadError, Runtime};
use crate::lock::lock;

/// The bytes that all requests of an isolate may hold together: less than a quarter of an isolate. The rest is for code, for garbage that
/// is not collected yet, and for the buffers of the platform.
const CAPACITY: usize = 28 << 20;

/// One request may hold so much alone. Otherwise a long body would have to wait until nothing else is in flight.
const MOST_OF_ONE: usize = CAPACITY / 4 * 3;

/// The bytes that a request holds beside its body: its tasks, headers, and buffers.
const OF_A_REQUEST: usize = 16 << 10;

/// The number of times that a body is in memory at once: in wasm, as the payload for Bedrock, and as that in JavaScript.
const COPIES: usize = 3;

/// The number of times that the text of a stream is in memory at its end: as it was joined, in the last event, and in what the client gets.
const COPIES_OF_TEXT: usize = 3;

/// The bytes that a stream takes beyond its need, so that it does not ask for every delta.
const STEP: usize = 64 << 10;

/// The longest time that a request waits for memory.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most requests that wait for memory.
const MOST_WAITING: usize = 200;

const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(160);

/// The budget of one isolate.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    held: usize,
    waiting: usize,
}

/// Bytes of the budget, which are given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Arc<Memory>,
    bytes: usize,
}

/// A place among the requests that wait.
struct Waiting<'a>(&'a Memory);

/// Returns what a request holds whose body, or whose reply, has so many bytes.
pub(crate) fn weight(length: usize) -> usize {
    length.saturating_mul(COPIES).saturating_add(OF_A_REQUEST).min(MOST_OF_ONE)
}

/// Returns what a request holds whose body, of so many bytes, is kept as it came: it is in memory once.
fn weight_of_kept(length: usize) -> usize {
    length.saturating_add(OF_A_REQUEST).min(MOST_OF_ONE)
}

/// The memory of a stream, which grows with its text.
#[derive(Debug)]
pub(crate) struct HeldByStream {
    held: Held,
    /// The bytes that it needs without the text.
    base: usize,
}

impl HeldByStream {
    /// Takes the memory of a stream that keeps so many bytes of its request, and whose last event repeats so many of them. The
    /// call is paid for, so it takes that whether or not it is there.
    pub(crate) fn new(memory: &Arc<Memory>, kept: usize, repeated: usize) -> Self {
        let base = repeated.saturating_mul(COPIES_OF_TEXT).saturating_add(kept);
        let base = base.saturating_add(2 * OF_A_REQUEST).min(MOST_OF_ONE);
        Self { held: memory.take(base), base }
    }

    /// Grows to a text of so many bytes. Reports whether there is memory for it.
    pub(crate) fn grow(&mut self, text: usize) -> bool {
        let bytes = text.saturating_mul(COPIES_OF_TEXT).saturating_add(self.base);
        // The share of every stream is held already.
        bytes <= self.held.bytes + OF_A_REQUEST || self.held.grow(bytes.saturating_add(STEP))
    }
}

impl Memory {
    /// Takes bytes whether or not they are there: for what is in memory already, or paid for.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Held {
        lock(&self.0).held += bytes;
        Held { memory: self.clone(), bytes }
    }

    /// Takes bytes if they are there.
    fn try_take(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        let is_there = lock(&self.0).held.saturating_add(bytes) <= CAPACITY;
        is_there.then(|| self.take(bytes))
    }

    /// Takes bytes, and waits for them if need be.
    ///
    /// # Errors
    ///
    /// [`ReadError::Overloaded`] if they do not become free within this time, or too many requests wait already.
    pub(crate) async fn hold<H: Runtime>(
        self: &Arc<Self>,
        bytes: usize,
        within: Duration,
        host: &H,
    ) -> Result<Held, ReadError> {
        if let Some(held) = self.try_take(bytes) {
            return Ok(held);
        }
        let _waiting = Waiting::new(self).ok_or(ReadError::Overloaded)?;
        let began = host.now();
        let mut wait = FIRST_WAIT;
        loop {
            let waited = host.now().duration_since(began).unwrap_or_default();
            let left = within.saturating_sub(waited);
            if left.is_zero() {
                return Err(ReadError::Overloaded);
            }
            host.sleep(wait.min(left)).await?;
            if let Some(held) = self.try_take(bytes) {
                return Ok(held);
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

impl<'a> Waiting<'a> {
    fn new(memory: &'a Memory) -> Option<Self> {
        let mut state = lock(&memory.0);
        (state.waiting < MOST_WAITING).then(|| {
            state.waiting += 1;
            Self(memory)
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.0.0).waiting -= 1;
    }
}

impl Held {
    /// Changes the number of bytes, whether or not they are there.
    fn resize(&mut self, bytes: usize) {
        let mut state = lock(&self.memory.0);
        state.held = (state.held - self.bytes).saturating_add(bytes);
        self.bytes = bytes;
    }

    /// Grows to a number of bytes, if they are there.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let is_there = more == 0 || lock(&self.memory.0).held.saturating_add(more) <= CAPACITY;
        if is_there && more > 0 {
            self.resize(bytes);
        }
        is_there
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.memory.0).held -= self.bytes;
    }
}

/// A body that is read once there is memory for it, and holds that as long as its bytes live.
#[derive(Debug)]
pub(crate) struct Admitted<'h, B, H> {
    body: B,
    /// The length that the body is announced to have. Unknown, it is as long as it may be.
    announced: Option<usize>,
    memory: Arc<Memory>,
    host: &'h H,
}

impl<'h, B: Body, H> Admitted<'h, B, H> {
    pub(crate) fn new(
        body: B,
        announced: Option<usize>,
        memory: &Arc<Memory>,
        host: &'h H,
    ) -> Self {
        Self { body, announced, memory: memory.clone(), host }
    }
}

impl<B: Body, H: Runtime> Body for Admitted<'_, B, H> {
    async fn read(self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        let Self { body, announced, memory, host } = self;
        let length = announced.unwrap_or(limit).min(limit);
        let began = host.now();
        let mut held = memory.hold(weight(length), within.min(PATIENCE), host).await?;
        let waited = host.now().duration_since(began).unwrap_or_default();
        let bytes = body.read(limit, within.saturating_sub(waited)).await?;
        held.resize(weight(bytes.len()));
        Ok(Bytes::from_owner(HeldBytes { bytes, _held: held }))
    }

    async fn keep(self, limit: usize, within: Duration) -> Result<KeptBody, ReadError> {
        let Self { body, announced, memory, host } = self;
        let length = announced.unwrap_or(limit).min(limit);
        let began = host.now();
        let mut held = memory.hold(weight_of_kept(length), within.min(PATIENCE), host).await?;
        let waited = host.now().duration_since(began).unwrap_or_default();
        let kept = body.keep(limit, within.saturating_sub(waited)).await?;
        held.resize(weight_of_kept(kept.length()));
        Ok(kept.guarded(held))
    }
}

/// Bytes, and the memory that they take.
struct HeldBytes {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
