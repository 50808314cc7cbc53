//! Measures the latency that the Worker adds to a stream: the time from a frame of Bedrock to the
//! client's event.
//!
//! Run it with `cargo bench -p bedrock-edge-tests` after `npm run build`. The stand-in, workerd and
//! the client share the machine, so the figures include the processor time of all three, and no
//! network.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_stub::{Settings, Stub};
use serde_json::json;
use tokio::time::Instant;

// Only a part of the harness is used here.
#[allow(dead_code)]
#[path = "../tests/worker/support/mod.rs"]
mod support;

use support::fixture::Fixture;

const STREAMS: usize = 100;
const PACE: Duration = Duration::from_millis(50);

/// The largest acceptable median for the first event.
const LIMIT: Duration = Duration::from_millis(5);

/// The Worker's events, each with the index of the frame that causes it. The frames of a reply of
/// one token are `message_start`, `content_block_start`, `ping`, the token, `content_block_stop`,
/// `message_delta` and `message_stop`.
const EVENTS: [(&str, usize); 3] = [("start", 0), ("delta", 3), ("done", 6)];
const FRAMES: usize = 7;

#[tokio::main]
async fn main() {
    let settings = Settings { record: false, frame_delay: PACE, ..Settings::default() };
    let fixture = Fixture::with_stub_settings(json!({}), settings).await;
    let body = json!({ "prompt": "the first event", "max_tokens": 1, "stream": true });
    // The first stream of an isolate includes the isolate's start.
    fixture.worker.stream_with_body(&body).await.reply("to warm up").await;

    let log = FrameLog::start(fixture.stub);
    let mut times = [(); EVENTS.len()].map(|()| Vec::with_capacity(STREAMS));
    for _ in 0..STREAMS {
        let before = log.len();
        let mut arrived = Vec::with_capacity(EVENTS.len());
        let mut response = fixture.worker.stream_with_body(&body).await;
        while let Some(event) = response.next().await {
            arrived.push((event.name, Instant::now()));
        }
        let sent = log.frames_after(before).await;
        assert_eq!((arrived.len(), sent.len()), (EVENTS.len(), FRAMES));
        for ((times, (name, frame)), (event, at)) in times.iter_mut().zip(EVENTS).zip(arrived) {
            assert_eq!(event, name);
            // The log notices a frame slightly after it is sent, perhaps after its event.
            times.push(at.saturating_duration_since(sent[frame]));
        }
    }

    println!("latency from a frame to its event, {STREAMS} streams, one frame per {PACE:?}:\n");
    println!("| event | median | p95 | maximum |");
    println!("|---|---|---|---|");
    for ((name, _), times) in EVENTS.iter().zip(&mut times) {
        times.sort_unstable();
        let at = |percent: usize| milliseconds(times[(STREAMS * percent / 100).min(STREAMS - 1)]);
        println!("| `{name}` | {} | {} | {} |", at(50), at(95), at(100));
    }
    let median = times[0][STREAMS / 2];
    assert!(
        median < LIMIT,
        "median latency of the first event: expected less than {LIMIT:?}, got {median:?}"
    );
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// A log of the times at which frames were passed to the connection.
struct FrameLog {
    times: Arc<Mutex<Vec<Instant>>>,
    is_stopped: Arc<AtomicBool>,
}

impl FrameLog {
    /// Starts a thread that polls the number of frames.
    fn start(stub: Stub) -> Self {
        // Short compared to the latency, and long enough to leave the processor to the others.
        const INTERVAL: Duration = Duration::from_micros(50);

        let log = Self { times: Arc::default(), is_stopped: Arc::default() };
        let (times, is_stopped) = (log.times.clone(), log.is_stopped.clone());
        std::thread::spawn(move || {
            let mut known = stub.streams().frames_sent;
            while !is_stopped.load(Ordering::Relaxed) {
                let now = stub.streams().frames_sent;
                let at = Instant::now();
                times.lock().unwrap().extend((known..now).map(|_| at));
                known = now;
                std::thread::sleep(INTERVAL);
            }
        });
        log
    }

    fn len(&self) -> usize {
        self.times.lock().unwrap().len()
    }

    /// Returns the times of the frames of one response, those after the first `before`. Waits for
    /// the last frame, which may be noticed after its event.
    async fn frames_after(&self, before: usize) -> Vec<Instant> {
        for _ in 0..1000 {
            if self.len() >= before + FRAMES {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.times.lock().unwrap().split_off(before)
    }
}

impl Drop for FrameLog {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }
}
