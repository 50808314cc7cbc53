//! Clients that go away: Bedrock is not read for nobody, and the log says what happened.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fixture::Fixture;
use crate::support::websocket::ServerMessage;

/// Far longer than any test, at a pace that shows when it goes on.
const ENDLESS: &str = "fault:stream_long:100000:5";

/// A stream that waits for its first frame, which never comes.
const SILENT: &str = "fault:stream_stall:0";

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Disconnect {
    /// With an ordinary end of the connection, as when a browser's tab is closed.
    Close,
    /// With a reset, as when a process dies with something unread.
    Reset,
    /// With a WebSocket's close message.
    CloseFrame,
}

#[tokio::test]
async fn in_the_middle_of_a_stream() {
    let fixture = Fixture::with_bindings(json!({})).await;
    for (number, disconnect) in [(1, Disconnect::Close), (2, Disconnect::Reset)] {
        let mut response = fixture.worker.stream(ENDLESS).await;
        for _ in 0..5 {
            response.next().await.unwrap();
        }
        let id = response.head.request_id().to_owned();
        match disconnect {
            Disconnect::Reset => response.connection.reset(),
            _ => drop(response),
        }
        assert_cancelled(&fixture, number, disconnect, Some(&id)).await;
    }
    assert_still_responds(&fixture).await;
}

#[tokio::test]
async fn in_the_middle_of_a_websockets_answer() {
    let fixture = Fixture::with_bindings(json!({})).await;
    for (number, disconnect) in
        [(1, Disconnect::Close), (2, Disconnect::Reset), (3, Disconnect::CloseFrame)]
    {
        let mut socket = fixture.worker.open_websocket().await;
        socket.prompt(ENDLESS).await;
        socket.prompt("never answered").await;
        let start = socket.next_event().await;
        for _ in 0..4 {
            socket.next_event().await;
        }
        let id = start.data["request_id"].as_str().unwrap();
        match disconnect {
            Disconnect::Close => drop(socket),
            Disconnect::Reset => socket.connection.reset(),
            Disconnect::CloseFrame => {
                socket.close().await;
                // What was under way comes first.
                while !matches!(socket.next_message().await, ServerMessage::Close(1000, _)) {}
            }
        }
        assert_cancelled(&fixture, number, disconnect, Some(id)).await;
    }
    // What waits behind a cancelled answer is never asked.
    assert_eq!(fixture.stub.requests().len(), 3);
    assert_still_responds(&fixture).await;
}

/// Nothing was answered yet, so the client does not know the request's id.
#[tokio::test]
async fn before_the_first_frame() {
    let fixture = Fixture::with_bindings(json!({})).await;
    let mut connection = fixture.worker.connect().await;
    connection.post(&json!({ "prompt": SILENT, "stream": true })).await;
    fixture.wait_for_streams("opened", |it| it.opened == 1).await;
    // Not with an ordinary end: TCP does not tell it from a client that only listens, and nothing
    // is written that would find nobody.
    connection.reset();
    assert_cancelled(&fixture, 1, Disconnect::Reset, None).await;
    assert_still_responds(&fixture).await;
}

#[tokio::test]
async fn before_the_first_frame_of_a_websockets_answer() {
    let fixture = Fixture::with_bindings(json!({})).await;
    for (number, disconnect) in
        [(1, Disconnect::Close), (2, Disconnect::Reset), (3, Disconnect::CloseFrame)]
    {
        let mut socket = fixture.worker.open_websocket().await;
        socket.prompt(SILENT).await;
        fixture.wait_for_streams("opened", |it| it.opened == number).await;
        match disconnect {
            Disconnect::Close => drop(socket),
            Disconnect::Reset => socket.connection.reset(),
            Disconnect::CloseFrame => {
                socket.close().await;
                assert!(matches!(socket.next_message().await, ServerMessage::Close(1000, _)));
            }
        }
        assert_cancelled(&fixture, number, disconnect, None).await;
    }
    assert_still_responds(&fixture).await;
}

/// What the leaving leave behind does not stop others.
async fn assert_still_responds(fixture: &Fixture) {
    let response = fixture.worker.prompt("is anybody there?").await;
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
}

/// The stream with this number, counted from 1, is no longer sent, and logged as cancelled.
async fn assert_cancelled(
    fixture: &Fixture,
    number: u64,
    disconnect: Disconnect,
    id: Option<&str>,
) {
    let what = format!("stream {number}, {disconnect:?}");
    fixture.wait_for_streams(&what, |it| it.cancelled == number).await;
    let sent = fixture.stub.streams().frames_sent;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let counts = fixture.stub.streams();
    assert_eq!((counts.frames_sent, counts.open()), (sent, 0), "{what}");

    let line = match id {
        Some(id) => fixture.worker.log_line(id).await,
        None => fixture.worker.nth_log_line(number).await,
    };
    assert_eq!(line["outcome"], "cancelled", "{what}: {line}");
    assert_eq!(line["level"], "info", "{what}: {line}");
    // Who leaves before the first frame may also leave before the head.
    let has_head = id.is_some() || line.get("upstream_status").is_some();
    assert_eq!(line["upstream_status"] == 200, has_head, "{what}: {line}");
    assert_eq!(line["x_amzn_requestid"].is_string(), has_head, "{what}: {line}");
    assert!(line["total_ms"].is_u64(), "{what}: {line}");
    // Known from the first frame on, and with it what is billed anyway.
    assert_eq!(line["input_tokens"].is_u64(), id.is_some(), "{what}: {line}");
    assert_eq!(line.get("error"), None::<&Value>, "{what}: {line}");
}
