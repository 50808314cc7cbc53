//! The body of a streamed response. Each frame is made when the connection has room for it, and
//! counted.
//!
//! Out of scope: the content of the stream, see [`crate::events`] and [`crate::faults`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use crate::encoding::Encoding;
use crate::events::METRICS;

/// The content type of a streamed response of `InvokeModelWithResponseStream`.
pub const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// The header with the content type of the chunks.
const CHUNK_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-amzn-bedrock-content-type");

/// The number of streams, by outcome. A stream that is still open counts in `opened`, and its
/// frames in `frames_sent`.
///
/// A response that is not a stream (an error, `fault:stream_not_frames`) is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Streams that were begun.
    pub opened: u64,
    /// Streams that were sent to their intended end, with those that a fault ends. Counted before
    /// the client can see the end.
    pub finished: u64,
    /// Streams whose client disconnected before the end. They are counted when the server notices,
    /// which is shortly after.
    pub cancelled: u64,
    /// Complete frames that were passed to the connection, of all streams. While a client does not
    /// read, the last of them are in the buffers of the server and the kernel.
    pub frames_sent: u64,
}

impl StreamCounts {
    /// Returns the number of open streams.
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
    pub(crate) fn snapshot(&self) -> StreamCounts {
        // `opened` is read last, so that it is never less than the others together.
        let (finished, cancelled) = (self.finished.load(SeqCst), self.cancelled.load(SeqCst));
        let frames_sent = self.frames_sent.load(SeqCst);
        StreamCounts { opened: self.opened.load(SeqCst), finished, cancelled, frames_sent }
    }
}

/// A step of a stream.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends an event of Claude.
    Event(Value),
    /// Sends an event of Claude in its own encoding of JSON.
    Json(String),
    /// Sends an exception of Bedrock, by its name in the API, and its message.
    Exception(&'static str, String),
    /// Sends bytes that complete this number of frames. With 0, they are flushed before the next
    /// step.
    Bytes(Vec<u8>, u64),
    /// Sends nothing more, and waits until the client disconnects.
    Stall,
    /// Closes the connection without ending the body.
    HangUp,
}

/// The steps of a stream, which ends after the last one.
pub struct Plan {
    /// The steps, each of which is taken when the connection has room.
    pub steps: Box<dyn Iterator<Item = Step> + Send>,
    /// The delay before each frame, in place of [`crate::Settings::frame_delay`].
    pub frame_delay: Option<Duration>,
}

impl Plan {
    /// Creates a plan with the frame delay of the settings.
    pub fn new<I>(steps: I) -> Self
    where
        I: IntoIterator<Item = Step>,
        I::IntoIter: Send + 'static,
    {
        Self { steps: Box::new(steps.into_iter()), frame_delay: None }
    }
}

/// Creates the response that carries out a plan. `received` is the time at which the request was
/// received, `frame_delay` the delay of the settings.
pub(crate) fn response(
    plan: Plan,
    encoding: Encoding,
    frame_delay: Duration,
    counters: Arc<Counters>,
    received: Instant,
) -> Response {
    counters.opened.fetch_add(1, SeqCst);
    let open = OpenStream {
        steps: plan.steps,
        encoding,
        frame_delay: plan.frame_delay.unwrap_or(frame_delay),
        counters,
        received,
        first_byte: None,
        finished: false,
    };
    let body = stream::unfold(open, async |mut open| Some((open.next().await?, open)));
    let body = Body::from_stream(body);
    let content_type = [(header::CONTENT_TYPE, encoding.content_type())];
    match encoding {
        Encoding::Frames | Encoding::Other(_) => {
            (content_type, [(CHUNK_CONTENT_TYPE, "application/json")], body).into_response()
        }
        Encoding::Converse | Encoding::Sse => (content_type, body).into_response(),
    }
}

/// A stream that is being sent. hyper drops it when the client disconnects.
struct OpenStream {
    steps: Box<dyn Iterator<Item = Step> + Send>,
    encoding: Encoding,
    frame_delay: Duration,
    counters: Arc<Counters>,
    received: Instant,
    first_byte: Option<Duration>,
    finished: bool,
}

impl OpenStream {
    async fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        let Some(step) = self.steps.next() else {
            self.finish();
            return None;
        };
        let (bytes, frames) = match step {
            Step::Event(event) => {
                wait(self.frame_delay).await;
                let bytes = self.encoding.encode(&Step::Event(self.with_latencies(event)));
                let frames = u64::from(!bytes.is_empty());
                (bytes, frames)
            }
            step @ (Step::Json(_) | Step::Exception(..)) => {
                wait(self.frame_delay).await;
                (self.encoding.encode(&step), 1)
            }
            Step::Bytes(bytes, 0) => {
                flush().await;
                (bytes, 0)
            }
            Step::Bytes(bytes, frames) => {
                wait(self.frame_delay).await;
                flush().await;
                (bytes, frames)
            }
            Step::Stall => std::future::pending().await,
            Step::HangUp => {
                flush().await;
                self.finish();
                return Some(Err(io::Error::other("a fault closed the connection")));
            }
        };
        self.counters.frames_sent.fetch_add(frames, SeqCst);
        Some(Ok(bytes))
    }

    /// Sets the latencies in the event that reports them.
    fn with_latencies(&mut self, mut event: Value) -> Value {
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

impl Drop for OpenStream {
    fn drop(&mut self) {
        if !self.finished {
            self.counters.cancelled.fetch_add(1, SeqCst);
        }
    }
}

async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// Makes hyper flush its buffer, which it does when the body is pending.
async fn flush() {
    tokio::task::yield_now().await;
}

fn milliseconds(duration: Duration) -> Value {
    json!(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
