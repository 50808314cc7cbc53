//! What the Worker adds to a stream: the time from the moment that Bedrock sends a frame to the
//! moment that the client has the event.
//!
//! Run by `cargo bench -p bedrock-edge-tests`, after `npm run build`. The stand-in, workerd and the
//! client share this machine, so all three are in the numbers, and the network is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_stub::{Settings, Stub};
use serde_json::json;
use tokio::time::Instant;

// The tests' own, of which this needs only a part.
#[allow(dead_code)]
#[path = "../tests/worker/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../tests/worker/events.rs"]
mod events;
#[allow(dead_code)]
#[path = "../tests/worker/fixture.rs"]
mod fixture;
#[allow(dead_code)]
#[path = "../tests/worker/sse.rs"]
mod sse;
#[allow(dead_code)]
#[path = "../tests/worker/workerd.rs"]
mod workerd;

use fixture::Fixture;

const STREAMS: usize = 100;
const PACE: Duration = Duration::from_millis(50);

/// What the first event may take at the median.
const LIMIT: Duration = Duration::from_millis(5);

/// The frames of an answer of one token, counted from 0: `message_start`, `content_block_start`,
/// `ping`, the token, `content_block_stop`, `message_delta`, `message_stop`.
const EVENTS: [(&str, usize); 3] = [("start", 0), ("delta", 3), ("done", 6)];
const FRAMES: usize = 7;

#[tokio::main]
async fn main() {
    let settings = Settings { record: false, frame_delay: PACE, ..Settings::default() };
    let fixture = Fixture::with_stub(json!({}), settings).await;
    let body = json!({ "prompt": "the first event", "max_tokens": 1, "stream": true });
    // The first stream of an isolate pays for its start.
    fixture.worker.stream_of(&body).await.story("to warm up").await;

    let watch = Watch::start(fixture.stub);
    let mut times = [(); EVENTS.len()].map(|()| Vec::with_capacity(STREAMS));
    for _ in 0..STREAMS {
        let before = watch.len();
        let mut arrived = Vec::with_capacity(EVENTS.len());
        let mut answer = fixture.worker.stream_of(&body).await;
        while let Some(event) = answer.next().await {
            arrived.push((event.name, Instant::now()));
        }
        let sent = watch.frames(before).await;
        assert_eq!((arrived.len(), sent.len()), (EVENTS.len(), FRAMES));
        for ((times, (name, frame)), (event, at)) in times.iter_mut().zip(EVENTS).zip(arrived) {
            assert_eq!(event, name);
            // A frame is seen a little after it is sent: the event may have been faster.
            times.push(at.saturating_duration_since(sent[frame]));
        }
    }

    println!("from a frame to its event, {STREAMS} streams, a frame each {PACE:?}:\n");
    println!("| event | median | p95 | most |");
    println!("|---|---|---|---|");
    for ((name, _), times) in EVENTS.iter().zip(&mut times) {
        times.sort_unstable();
        let at = |percent: usize| milliseconds(times[(STREAMS * percent / 100).min(STREAMS - 1)]);
        println!("| `{name}` | {} | {} | {} |", at(50), at(95), at(100));
    }
    let median = times[0][STREAMS / 2];
    assert!(median < LIMIT, "the first event takes {median:?}, which is more than {LIMIT:?}");
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// When each frame was handed to the connection.
struct Watch {
    sent: Arc<Mutex<Vec<Instant>>>,
    ended: Arc<AtomicBool>,
}

impl Watch {
    fn start(stub: Stub) -> Self {
        // Short beside what is measured, and long enough to leave the processor to the others.
        const STEP: Duration = Duration::from_micros(50);

        let watch = Self { sent: Arc::default(), ended: Arc::default() };
        let (sent, ended) = (watch.sent.clone(), watch.ended.clone());
        std::thread::spawn(move || {
            let mut known = stub.streams().frames_sent;
            while !ended.load(Ordering::Relaxed) {
                let now = stub.streams().frames_sent;
                let at = Instant::now();
                sent.lock().unwrap().extend((known..now).map(|_| at));
                known = now;
                std::thread::sleep(STEP);
            }
        });
        watch
    }

    fn len(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// Those of one answer, behind what there was before. The last may be seen after its event.
    async fn frames(&self, before: usize) -> Vec<Instant> {
        for _ in 0..1000 {
            if self.len() >= before + FRAMES {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.sent.lock().unwrap().split_off(before)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
