//! Many concurrent streams, and a stream whose client does not read.

use std::collections::BTreeSet;
use std::time::Duration;

use bedrock_stub::events::word;
use bedrock_stub::{Settings, StreamCounts};
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::support::client::TIMEOUT;
use crate::support::fixture::Fixture;
use crate::support::sse::SseResponse;
use crate::support::workerd::resident_memory;

/// The number of concurrent streams in one isolate.
const MANY: usize = 200;

#[tokio::test]
async fn two_hundred_concurrent_streams_each_get_their_own_reply() {
    let fixture = Fixture::with_bindings(json!({})).await;
    let run = async |number: usize| {
        // The pace makes each stream last for half a second, so that all of them are open together.
        let prompt = format!("fault:pace:20 これは {number} 番");
        let mut response = fixture.worker.stream(&prompt).await;
        (prompt, response.reply(&number.to_string()).await)
    };
    let mut ids = BTreeSet::new();
    for (prompt, reply) in join_all((0..MANY).map(run)).await {
        assert_eq!(reply.last.name, "done", "{prompt}: {reply}");
        assert_eq!(reply.last.data["input_prompt"], prompt, "{reply}");
        assert!(reply.text().starts_with(&format!("「{prompt}」")), "{reply}");
        let line = fixture.worker.log_line(reply.request_id()).await;
        assert_eq!(line["outcome"], "ok", "{prompt}: {line}");
        ids.insert(reply.request_id().to_owned());
    }
    assert_eq!(ids.len(), MANY);
    let counts = fixture.stub.streams();
    assert_eq!((counts.finished, counts.open()), (MANY as u64, 0), "{counts:?}");
    assert_still_responds(&fixture).await;
}

#[tokio::test]
async fn of_two_hundred_concurrent_streams_only_the_cancelled_ones_are_cancelled() {
    let fixture = Fixture::with_bindings(json!({})).await;
    let run = async |number: usize| {
        let is_read_to_the_end = number.is_multiple_of(2);
        // A stream to be cancelled must not end before the client disconnects.
        let fault = if is_read_to_the_end { "pace:20" } else { "stream_long:100000:20" };
        let mut response = fixture.worker.stream(&format!("fault:{fault} number {number}")).await;
        let id = response.head.request_id().to_owned();
        if is_read_to_the_end {
            let reply = response.reply(&number.to_string()).await;
            assert!(reply.text().contains(&format!("number {number}\"")), "{reply}");
            return (id, "ok");
        }
        for _ in 0..number % 7 {
            response.next().await.unwrap();
        }
        (id, "cancelled")
    };
    for (id, outcome) in join_all((0..MANY).map(run)).await {
        let line = fixture.worker.log_line(&id).await;
        assert_eq!(line["outcome"], outcome, "{line}");
    }
    let half = MANY as u64 / 2;
    fixture
        .wait_for_streams("the end of all streams", |it| {
            (it.finished, it.cancelled) == (half, half)
        })
        .await;
    assert_still_responds(&fixture).await;
}

/// Asserts that workerd still serves requests, and has not printed anything unexpected.
async fn assert_still_responds(fixture: &Fixture) {
    let response = fixture.worker.prompt("after two hundred streams").await;
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_worker_from_reading_from_bedrock() {
    // 48 MB of frames and 8 MB of events. Linux alone buffers up to 4 MB of the events for a client
    // that does not read, and on a busy machine 32 MB of the frames.
    const WORDS: u64 = 160_000;

    let settings = Settings { record: false, ..Settings::default() };
    let fixture = Fixture::with_stub_settings(json!({}), settings).await;
    let pid = fixture.worker.pid().await;
    let mut connection = fixture.worker.connect_with_small_buffer().await;
    let prompt = format!("fault:stream_long:{WORDS}");
    connection.post(&json!({ "prompt": prompt, "stream": true })).await;
    let mut response = SseResponse::from_connection(connection).await;

    let held = wait_for_rest(&fixture).await;
    assert!(
        held.frames_sent < WORDS,
        "everything was sent although the client does not read: {held:?}"
    );
    assert_eq!(held.open(), 1, "{held:?}");
    let before = resident_memory(pid);
    // Other clients are served meanwhile.
    for number in 0..20 {
        let prompt = format!("meanwhile {number}");
        let other = fixture.worker.stream(&prompt).await.reply(&prompt).await;
        assert_eq!(other.last.name, "done", "{other}");
    }
    if let (Some(before), Some(after)) = (before, resident_memory(pid)) {
        assert!(after < before + (32 << 20), "the memory grows from {before} to {after} bytes");
    }

    let reply = response.reply("a long reply").await;
    assert_eq!(reply.deltas.len() as u64, WORDS);
    assert!((0..WORDS).zip(&reply.deltas).all(|(index, delta)| *delta == word(index)));
    assert_eq!(fixture.stub.streams().open(), 0);
}

/// Waits until Bedrock sends no more frames, and returns the counts. Panics on a timeout.
async fn wait_for_rest(fixture: &Fixture) -> StreamCounts {
    const REST: Duration = Duration::from_millis(500);
    let begun = Instant::now();
    loop {
        let before = fixture.stub.streams();
        tokio::time::sleep(REST).await;
        let counts = fixture.stub.streams();
        if counts == before {
            return counts;
        }
        // On a busy machine it takes a while to fill all buffers.
        assert!(begun.elapsed() < 3 * TIMEOUT, "{counts:?}");
    }
}
