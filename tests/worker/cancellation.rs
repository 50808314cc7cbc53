//! Clients that disconnect: the Worker stops reading from Bedrock, and logs what happened.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fixture::Fixture;
use crate::support::websocket::ServerMessage;

/// A stream that lasts far longer than any test, with frames so close together that a test notices
/// when it goes on.
const ENDLESS: &str = "fault:stream_long:100000:5";

/// A stream whose first frame never arrives.
const SILENT: &str = "fault:stream_stall:0";

/// How a client disconnects.
#[derive(Clone, Copy, Debug)]
enum Disconnect {
    /// It closes the connection, as a browser does when its tab is closed.
    Close,
    /// It resets the connection, as happens when a process dies with unread data.
    Reset,
    /// It sends a WebSocket close frame.
    CloseFrame,
}

#[tokio::test]
async fn a_disconnect_in_the_middle_of_a_stream_cancels_it() {
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
async fn a_disconnect_in_the_middle_of_a_reply_over_a_websocket_cancels_it() {
    let fixture = Fixture::with_bindings(json!({})).await;
    for (number, disconnect) in
        [(1, Disconnect::Close), (2, Disconnect::Reset), (3, Disconnect::CloseFrame)]
    {
        let mut socket = fixture.worker.open_websocket().await;
        socket.prompt(ENDLESS).await;
        socket.prompt("never reaches Bedrock").await;
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
                // The events that were already on their way arrive first.
                while !matches!(socket.next_message().await, ServerMessage::Close(1000, _)) {}
            }
        }
        assert_cancelled(&fixture, number, disconnect, Some(id)).await;
    }
    // The prompts behind a cancelled reply never reach Bedrock.
    assert_eq!(fixture.stub.requests().len(), 3);
    assert_still_responds(&fixture).await;
}

#[tokio::test]
async fn clients_that_disconnect_in_the_middle_of_streams_give_their_memory_back() {
    let fixture = Fixture::with_bindings(json!({})).await;
    // Together they would hold more than an isolate may.
    let prompt = format!("{ENDLESS} {}", "x".repeat(400_000));
    for _ in 0..25 {
        let mut response = fixture.worker.stream(&prompt).await;
        assert_eq!(response.head.status, 200);
        for _ in 0..2 {
            response.next().await.unwrap();
        }
        let id = response.head.request_id().to_owned();
        drop(response);
        assert_eq!(fixture.worker.log_line(&id).await["outcome"], "cancelled");
    }
    assert_still_responds(&fixture).await;
}

/// There is no response yet, so the client does not know the request ID.
#[tokio::test]
async fn a_disconnect_before_the_first_frame_of_a_stream_cancels_it() {
    let fixture = Fixture::with_bindings(json!({})).await;
    let mut connection = fixture.worker.connect().await;
    connection.post(&json!({ "prompt": SILENT, "stream": true })).await;
    fixture.wait_for_streams("the stream to be opened", |it| it.opened == 1).await;
    // A close is not enough: TCP does not distinguish it from a client that only stops sending, and
    // the Worker writes nothing yet that would fail.
    connection.reset();
    assert_cancelled(&fixture, 1, Disconnect::Reset, None).await;
    assert_still_responds(&fixture).await;
}

#[tokio::test]
async fn a_disconnect_before_the_first_frame_of_a_reply_over_a_websocket_cancels_it() {
    let fixture = Fixture::with_bindings(json!({})).await;
    for (number, disconnect) in
        [(1, Disconnect::Close), (2, Disconnect::Reset), (3, Disconnect::CloseFrame)]
    {
        let mut socket = fixture.worker.open_websocket().await;
        socket.prompt(SILENT).await;
        fixture.wait_for_streams("the stream to be opened", |it| it.opened == number).await;
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

/// Asserts that the Worker still serves other clients.
async fn assert_still_responds(fixture: &Fixture) {
    let response = fixture.worker.prompt("is anybody there?").await;
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
}

/// Asserts that Bedrock no longer sends the stream with this number, counted from 1, and that the
/// Worker has logged it as cancelled.
async fn assert_cancelled(
    fixture: &Fixture,
    number: u64,
    disconnect: Disconnect,
    id: Option<&str>,
) {
    let what = format!("stream {number}, {disconnect:?}");
    fixture.wait_for_streams(&format!("the end of {what}"), |it| it.cancelled == number).await;
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
    // A client that disconnects before the first frame may do so before the head of Bedrock's
    // response has arrived.
    let has_head = id.is_some() || line.get("upstream_status").is_some();
    assert_eq!(line["upstream_status"] == 200, has_head, "{what}: {line}");
    assert_eq!(line["x_amzn_requestid"].is_string(), has_head, "{what}: {line}");
    assert!(line["total_ms"].is_u64(), "{what}: {line}");
    // Known from the first frame on. Bedrock bills these tokens in any case.
    assert_eq!(line["input_tokens"].is_u64(), id.is_some(), "{what}: {line}");
    assert_eq!(line.get("error"), None::<&Value>, "{what}: {line}");
}
