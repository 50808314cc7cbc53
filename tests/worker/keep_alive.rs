//! Keep-alive comments while the model generates nothing for a long time.

use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::support::fixture::Fixture;

/// The Worker writes a comment after this time without events.
const IDLE: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_silent_stream_gets_keep_alive_comments_that_also_detect_disconnected_clients() {
    let fixture = Fixture::with_bindings(json!({})).await;
    let mut connected = fixture.worker.stream("fault:stream_stall").await;
    let mut disconnecting = fixture.worker.stream("fault:stream_stall").await;
    for response in [&mut connected, &mut disconnecting] {
        for name in ["start", "delta"] {
            assert_eq!(response.next().await.unwrap().name, name);
        }
    }
    let silent = Instant::now();
    let id = disconnecting.head.request_id().to_owned();
    // No data is unread, so the connection is closed without a reset. The Worker notices it only
    // when it writes.
    drop(disconnecting);

    let comment = connected.next().await.unwrap();
    assert_eq!(comment.name, ": keep-alive\n\n");
    let waited = silent.elapsed();
    assert!(waited > IDLE - Duration::from_secs(1), "{waited:?}");
    fixture
        .wait_for_streams("the stream of the disconnected client to be cancelled", |it| {
            it.cancelled == 1
        })
        .await;
    assert_eq!(fixture.worker.log_line(&id).await["outcome"], "cancelled");
    assert_eq!(fixture.stub.streams().open(), 1);
}
