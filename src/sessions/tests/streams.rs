//! Streamed turns, over Server-Sent Events and over a WebSocket.

use bedrock_stub::events::events;
use bedrock_stub::frames::{chunk, encode};

use super::*;
use crate::server::{WebSocket, socket_handler};
use crate::testing::Watched;

/// Returns the frames of a reply with these content blocks.
fn frames(content: &Value) -> Vec<Vec<u8>> {
    let message: Value = serde_json::from_str(&reply(content)).unwrap();
    events(&message).iter().map(|event| encode(&chunk(event))).collect()
}

fn stream(text: &str) -> Watched {
    Watched::in_chunks(frames(&json!([{ "type": "text", "text": text }])))
}

#[tokio::test]
async fn a_streamed_turn_is_stored_before_its_last_event() {
    let thinking = json!({ "type": "thinking", "thinking": "Hm.", "signature": "a/b=" });
    let content = json!([thinking, { "type": "text", "text": "はい。" }]);
    let host = Scripted::new().with_sessions();
    let host =
        host.then(200, &[], Watched::in_chunks(frames(&content))).then(200, &[], text("Two."));
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    let body = json!({ "session": true, "prompt": "first", "stream": true });
    let response = client.post(&body).await;
    let (events, id) = (response.body.as_array().unwrap(), response.session());
    assert_eq!(events[0]["data"]["session"], id);
    assert_eq!(events.last().unwrap()["event"], "done");
    assert_eq!(events.last().unwrap()["data"]["generated_text"], "はい。");
    assert_eq!(response.record.outcome, "ok");
    client.ask(id, "second").await;
    assert_eq!(sent(&host, 1)["messages"][1], json!({ "role": "assistant", "content": content }));
    let page = client.get(&format!("/sessions/{id}")).await.body;
    assert_eq!(page["usage"], json!({ "input_tokens": 20, "output_tokens": 10 }));
}

#[tokio::test]
async fn a_stream_that_breaks_off_stores_nothing_and_frees_the_session() {
    let whole = frames(&json!([{ "type": "text", "text": "One two three." }]));
    let half = || whole[..whole.len() / 2].to_vec();
    for (name, body) in [
        ("cut off", Watched::in_chunks(half())),
        ("broken", Watched::in_chunks(half()).then_broken("reset")),
        ("no text", Watched::in_chunks(frames(&json!([{ "type": "thinking", "thinking": "a" }])))),
    ] {
        let host = Scripted::new().with_sessions().then(200, &[], body);
        let host = host.then(200, &[], text("Two."));
        let isolate = isolate(&[]);
        let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
        let body = json!({ "session": "s", "prompt": "first", "stream": true });
        let response = client.post(&body).await;
        let last = response.body.as_array().unwrap().last().unwrap();
        assert_eq!(last["event"], if name == "no text" { "done" } else { "error" }, "{name}");
        if name == "no text" {
            continue;
        }
        assert_eq!(client.get("/sessions/s").await.status, 404, "{name}");
        assert_eq!(client.ask("s", "second").await.status, 200, "{name}");
        assert_eq!(sent(&host, 1)["messages"], messages(&["second"]), "{name}");
    }
}

#[tokio::test]
async fn a_client_that_disconnects_in_mid_stream_stores_nothing_and_frees_the_session() {
    let host = Scripted::new().with_sessions();
    let host = host.then(200, &[], stream("One.")).then(200, &[], text("Two."));
    let isolate = isolate(&[]);
    let socket = WebSocket::trusted(&isolate).unwrap();
    let message = Bytes::from(r#"{"session": true, "prompt": "first"}"#);
    let mut streaming = socket_handler(message, &socket, &host).await.unwrap();
    let start: Value =
        serde_json::from_str(&streaming.next(&host).await.unwrap().to_message()).unwrap();
    let id = start["data"]["session"].as_str().unwrap().to_owned();
    assert_eq!(streaming.next(&host).await.unwrap().name(), "delta");
    let (record, remainder) = streaming.generation.finish(host.now());
    assert_eq!(record.outcome, "cancelled");
    remainder.unwrap().send(&host).await.unwrap();
    let client = Client { isolate: &isolate, host: &host, name: None };
    assert_eq!(client.get(&format!("/sessions/{id}")).await.status, 404);
}

#[tokio::test]
async fn a_stream_whose_turn_cannot_be_stored_ends_with_an_error() {
    let host = Scripted::new().with_sessions().then(200, &[], stream("One."));
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    host.sessions.as_ref().unwrap().fail_commits("out of order");
    let body = json!({ "session": "s", "prompt": "first", "stream": true });
    let response = client.post(&body).await;
    let last = response.body.as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["event"], &last["data"]["code"]),
        (&json!("error"), &json!("sessions_unavailable"))
    );
    assert_eq!(response.record.outcome, "sessions_unavailable");
    assert_eq!(response.record.output_tokens, Some(5));
    host.sessions.as_ref().unwrap().work();
    assert_eq!(client.get("/sessions/s").await.status, 404);
}

#[tokio::test]
async fn a_websocket_carries_one_session() {
    let host = Scripted::new().with_sessions();
    let host = host.then(400, &[], "{}").then(200, &[], stream("Zero."));
    let host = host.then(200, &[], stream("One.")).then(200, &[], stream("Two."));
    let isolate = isolate(&[]);
    let socket = WebSocket::trusted(&isolate).unwrap();
    let send = async |message: Value| {
        let message = Bytes::from(message.to_string());
        match socket_handler(message, &socket, &host).await {
            Ok(mut streaming) => {
                let mut events = Vec::new();
                while let Some(event) = streaming.next(&host).await {
                    events.push(serde_json::from_str::<Value>(&event.to_message()).unwrap());
                }
                events
            }
            Err((message, _)) => vec![serde_json::from_str(&message).unwrap()],
        }
    };
    // A turn that fails binds nothing, and neither does one without a session.
    send(json!({ "session": true, "prompt": "failed" })).await;
    let events = send(json!({ "prompt": "alone" })).await;
    assert_eq!(events[0]["data"]["session"], Value::Null);
    let events = send(json!({ "session": true, "prompt": "first" })).await;
    let id = events[0]["data"]["session"].clone();
    assert!(id.is_string(), "{events:?}");
    // From now on a message needs no id.
    let events = send(json!({ "prompt": "second" })).await;
    assert_eq!(events[0]["data"]["session"], id);
    assert_eq!(sent(&host, 3)["messages"], messages(&["first", "One.", "second"]));
    for other in [json!(true), json!("0123456789abcdef0123456789abcdef")] {
        let events = send(json!({ "session": other, "prompt": "third" })).await;
        let message =
            "Error: session must be the one that this WebSocket carries: open another WebSocket";
        assert_eq!(events[0]["data"]["message"], message);
    }
}
