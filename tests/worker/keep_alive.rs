//! A model that is silent for long.

use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::support::fixture::Fixture;

/// What the Worker waits before it writes a comment.
const IDLE: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_silent_stream_is_kept_alive() {
    let fixture = Fixture::with_bindings(json!({})).await;
    let mut stays = fixture.worker.stream("fault:stream_stall").await;
    let mut leaves = fixture.worker.stream("fault:stream_stall").await;
    for response in [&mut stays, &mut leaves] {
        for name in ["start", "delta"] {
            assert_eq!(response.next().await.unwrap().name, name);
        }
    }
    let silent = Instant::now();
    let id = leaves.head.request_id().to_owned();
    // It has read all that there is, so the other side does not learn of it before it writes.
    drop(leaves);

    let comment = stays.next().await.unwrap();
    assert_eq!(comment.name, ": keep-alive\n\n");
    let waited = silent.elapsed();
    assert!(waited > IDLE - Duration::from_secs(1), "{waited:?}");
    fixture.wait_for_streams("the comment finds nobody", |it| it.cancelled == 1).await;
    assert_eq!(fixture.worker.log_line(&id).await["outcome"], "cancelled");
    assert_eq!(fixture.stub.streams().open(), 1);
}
