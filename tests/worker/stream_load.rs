//! Many streams at once, and one that nobody reads.

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

/// Open at the same time, in one isolate.
const MANY: usize = 200;

#[tokio::test]
async fn two_hundred_at_once_get_each_its_own_answer() {
    let fixture = Fixture::with_bindings(json!({})).await;
    let tell = async |number: usize| {
        // All of them are open at the same time: the pace makes each last for half a second.
        let prompt = format!("fault:pace:20 これは {number} 番");
        let mut response = fixture.worker.stream(&prompt).await;
        (prompt, response.reply(&number.to_string()).await)
    };
    let mut ids = BTreeSet::new();
    for (prompt, reply) in join_all((0..MANY).map(tell)).await {
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
async fn of_two_hundred_every_other_is_cancelled() {
    let fixture = Fixture::with_bindings(json!({})).await;
    let tell = async |number: usize| {
        let stays = number.is_multiple_of(2);
        // Who leaves must not be late for it.
        let fault = if stays { "pace:20" } else { "stream_long:100000:20" };
        let mut response = fixture.worker.stream(&format!("fault:{fault} number {number}")).await;
        let id = response.head.request_id().to_owned();
        if stays {
            let reply = response.reply(&number.to_string()).await;
            assert!(reply.text().contains(&format!("number {number}\"")), "{reply}");
            return (id, "ok");
        }
        for _ in 0..number % 7 {
            response.next().await.unwrap();
        }
        (id, "cancelled")
    };
    for (id, outcome) in join_all((0..MANY).map(tell)).await {
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

/// The process has not ended, and says nothing but what it should.
async fn assert_still_responds(fixture: &Fixture) {
    let response = fixture.worker.prompt("after two hundred streams").await;
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
}

#[tokio::test]
async fn who_does_not_read_holds_bedrock_back() {
    // 36 MB of frames and 6 MB of events. Linux keeps up to 4 MB of these for a client that does not
    // read, whatever the Worker does.
    const WORDS: u64 = 120_000;

    let settings = Settings { record: false, ..Settings::default() };
    let fixture = Fixture::with_stub_settings(json!({}), settings).await;
    let pid = fixture.worker.pid().await;
    let mut connection = fixture.worker.connect_with_small_buffer().await;
    let prompt = format!("fault:stream_long:{WORDS}");
    connection.post(&json!({ "prompt": prompt, "stream": true })).await;
    let mut response = SseResponse::from_connection(connection).await;

    let held = at_rest(&fixture).await;
    assert!(held.frames_sent < WORDS, "nobody reads, and all was sent: {held:?}");
    assert_eq!(held.open(), 1, "{held:?}");
    let before = resident_memory(pid);
    // Others are served meanwhile.
    for number in 0..20 {
        let prompt = format!("meanwhile {number}");
        let other = fixture.worker.stream(&prompt).await.reply(&prompt).await;
        assert_eq!(other.last.name, "done", "{other}");
    }
    if let (Some(before), Some(after)) = (before, resident_memory(pid)) {
        assert!(after < before + (32 << 20), "{before}, and then {after} bytes");
    }

    let reply = response.reply("a long answer").await;
    assert_eq!(reply.deltas.len() as u64, WORDS);
    assert!((0..WORDS).zip(&reply.deltas).all(|(index, delta)| *delta == word(index)));
    assert_eq!(fixture.stub.streams().open(), 0);
}

/// What is sent when no more is sent. Panics if it goes on.
async fn at_rest(fixture: &Fixture) -> StreamCounts {
    const REST: Duration = Duration::from_millis(500);
    let begun = Instant::now();
    loop {
        let before = fixture.stub.streams();
        tokio::time::sleep(REST).await;
        let counts = fixture.stub.streams();
        if counts == before {
            return counts;
        }
        // On a busy machine the frames that fit into all buffers take their time.
        assert!(begun.elapsed() < 3 * TIMEOUT, "{counts:?}");
    }
}
