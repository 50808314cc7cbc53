//! The body of a stream: what is to be sent, made as the connection takes it and never ahead of it,
//! and the count of what became of it.
//!
//! Out of scope: what is sent, see [`crate::events`] and [`crate::faults`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use crate::events::METRICS;
use crate::frames::{chunk, encode};

/// The type of a stream's body.
pub const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// The type of what stands in the frames.
const CHUNK_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-amzn-bedrock-content-type");

/// How many streams there were, and what became of them. One that is still open is only in `opened`
/// and, by its frames, in `frames_sent`.
///
/// An answer without a stream (an error before it, `fault:stream_not_frames`) counts for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Answered with a stream.
    pub opened: u64,
    /// Ended as the stand-in meant to, failing on purpose included. Counted before the client can
    /// see the end.
    pub finished: u64,
    /// The client went away before the end. Noticed soon, but not at once.
    pub cancelled: u64,
    /// Frames handed to the connection whole, of all streams. Of those, a few are still in the
    /// server's buffer and the kernel's while the client does not read.
    pub frames_sent: u64,
}

impl StreamCounts {
    /// How many are still open.
    pub fn open(&self) -> u64 {
        self.opened - self.finished - self.cancelled
    }
}

#[derive(Default)]
pub(crate) struct Counters {
    opened: AtomicU64,
    finished: AtomicU64,
    cancelled: AtomicU64,
    frames_sent: AtomicU64,
}

impl Counters {
    pub(crate) fn now(&self) -> StreamCounts {
        // `opened` last: never fewer than ended.
        let (finished, cancelled) = (self.finished.load(SeqCst), self.cancelled.load(SeqCst));
        let frames_sent = self.frames_sent.load(SeqCst);
        StreamCounts { opened: self.opened.load(SeqCst), finished, cancelled, frames_sent }
    }
}

/// What a stream does next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends an event in a `chunk` frame.
    Event(Value),
    /// Sends bytes that complete this many frames. With 0 they leave before the next step.
    Bytes(Vec<u8>, u64),
    /// Sends nothing more, and waits for the client to go.
    Stall,
    /// Closes the connection without ending the body.
    HangUp,
}

/// A whole stream. It ends with its last step.
pub struct Plan {
    /// Asked for one at a time, when the connection has room.
    pub steps: Box<dyn Iterator<Item = Step> + Send>,
    /// Waited before each frame, in place of [`crate::Settings::frame_delay`].
    pub pace: Option<Duration>,
}

impl Plan {
    /// These steps, at the pace of the settings.
    pub fn new<I>(steps: I) -> Self
    where
        I: IntoIterator<Item = Step>,
        I::IntoIter: Send + 'static,
    {
        Self { steps: Box::new(steps.into_iter()), pace: None }
    }
}

/// The 200 that carries out a plan. `received` is when the request came.
pub(crate) fn response(
    plan: Plan,
    frame_delay: Duration,
    counters: Arc<Counters>,
    received: Instant,
) -> Response {
    counters.opened.fetch_add(1, SeqCst);
    let open = Open {
        steps: plan.steps,
        pace: plan.pace.unwrap_or(frame_delay),
        counters,
        received,
        first_byte: None,
        finished: false,
    };
    let body = stream::unfold(open, async |mut open| Some((open.next().await?, open)));
    (
        [(header::CONTENT_TYPE, EVENT_STREAM), (CHUNK_CONTENT_TYPE, "application/json")],
        Body::from_stream(body),
    )
        .into_response()
}

/// A stream that is being sent. hyper drops it when the client goes away.
struct Open {
    steps: Box<dyn Iterator<Item = Step> + Send>,
    pace: Duration,
    counters: Arc<Counters>,
    received: Instant,
    first_byte: Option<Duration>,
    finished: bool,
}

impl Open {
    async fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        let Some(step) = self.steps.next() else {
            self.finish();
            return None;
        };
        let (bytes, frames) = match step {
            Step::Event(event) => {
                wait(self.pace).await;
                (encode(&chunk(&self.timed(event))), 1)
            }
            Step::Bytes(bytes, 0) => {
                flush().await;
                (bytes, 0)
            }
            Step::Bytes(bytes, frames) => {
                wait(self.pace).await;
                flush().await;
                (bytes, frames)
            }
            Step::Stall => std::future::pending().await,
            Step::HangUp => {
                flush().await;
                self.finish();
                return Some(Err(io::Error::other("hung up on request")));
            }
        };
        self.counters.frames_sent.fetch_add(frames, SeqCst);
        Some(Ok(bytes))
    }

    /// Writes the times into the event that tells them.
    fn timed(&mut self, mut event: Value) -> Value {
        let elapsed = self.received.elapsed();
        let first_byte = *self.first_byte.get_or_insert(elapsed);
        if let Some(metrics) = event.get_mut(METRICS) {
            metrics["invocationLatency"] = milliseconds(elapsed);
            metrics["firstByteLatency"] = milliseconds(first_byte);
        }
        event
    }

    fn finish(&mut self) {
        self.finished = true;
        self.counters.finished.fetch_add(1, SeqCst);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.finished {
            self.counters.cancelled.fetch_add(1, SeqCst);
        }
    }
}

async fn wait(pace: Duration) {
    if !pace.is_zero() {
        tokio::time::sleep(pace).await;
    }
}

/// hyper writes what it has when a body has nothing for it.
async fn flush() {
    tokio::task::yield_now().await;
}

fn milliseconds(duration: Duration) -> Value {
    json!(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
