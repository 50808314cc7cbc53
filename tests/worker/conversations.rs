//! Conversations, on each way by which a body reaches the Worker.

use serde_json::{Value, json};

use crate::support::assertions::assert_rejected;
use crate::support::fixture::Fixture;
use crate::support::websocket::TEXT;

/// Returns a conversation in odd JSON, which must reach Bedrock byte for byte, and its last user text.
fn conversation(place: &str) -> (String, String) {
    let last = format!("会話 {place}");
    let json = format!(
        r#"[ {{"role" : "user","content":"caf\u00e9 {place}"}},
          {{"content":[ {{"text":"は\u3044","type":"text"}} , {{"type":"text","text":"b"}}],"role":"assistant"}},{{"role":"user","content":[{{"type":"text","text":"first"}},{{"type":"text","text":"{last}"}}]}} ]"#
    );
    (json, last)
}

/// Asserts that Bedrock got exactly these messages.
fn assert_sent(fixture: &Fixture, place: &str, messages: &str) {
    let requests = fixture.stub.requests();
    let found = requests.iter().any(|request| {
        let body = String::from_utf8_lossy(&request.body);
        body.contains(&format!(r#""messages":{messages},"max_tokens":"#))
    });
    assert!(found, "{place}: Bedrock did not get {messages}");
}

#[tokio::test]
async fn a_conversation_is_replied_to_on_every_interface_and_sent_byte_for_byte() {
    let fixture = Fixture::with_bindings(json!({})).await;
    let worker = &fixture.worker;

    let (messages, last) = conversation("POST /");
    let body = format!(r#"{{"messages":{messages}}}"#);
    let request = worker.request(reqwest::Method::POST, "/").body(body);
    let response = worker.send(request).await;
    let envelope: Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(envelope["input_prompt"], last, "{response}");
    assert!(envelope["generated_text"].as_str().unwrap().contains(&last), "{response}");
    assert_sent(&fixture, "POST /", &messages);

    let (messages, last) = conversation("stream");
    let body = format!(r#"{{"stream":true,"messages":{messages}}}"#);
    let request = worker.request(reqwest::Method::POST, "/").body(body);
    let response = worker.send(request).await;
    assert!(response.body.contains(&format!(r#""input_prompt":"{last}""#)), "{response}");
    assert_sent(&fixture, "stream", &messages);

    let (messages, last) = conversation("WebSocket");
    let mut socket = worker.open_websocket().await;
    socket.send(TEXT, format!(r#"{{"messages":{messages}}}"#).as_bytes()).await;
    let reply = socket.reply("a conversation").await;
    assert_eq!(reply.last.data["input_prompt"], last, "{reply}");
    assert_sent(&fixture, "WebSocket", &messages);

    // A direct event, and a proxy event with the body in a string.
    for place in ["invocation", "proxy event"] {
        let (messages, last) = conversation(place);
        let body = format!(r#"{{"messages":{messages}}}"#);
        let payload = match place {
            "invocation" => body,
            _ => json!({
                "requestContext": { "http": { "method": "POST" } },
                "rawPath": "/prod",
                "body": body,
            })
            .to_string(),
        };
        let path = "/2015-03-31/functions/my-function/invocations";
        let request = worker.request(reqwest::Method::POST, path).body(payload);
        let response = worker.send(request).await;
        let returned: Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(returned["statusCode"], 200, "{place}: {response}");
        let envelope: Value = serde_json::from_str(returned["body"].as_str().unwrap()).unwrap();
        assert_eq!(envelope["input_prompt"], last, "{place}: {response}");
        assert_sent(&fixture, place, &messages);
    }
}

#[tokio::test]
async fn an_invalid_conversation_is_rejected_with_the_place_of_the_fault() {
    let Fixture { worker, stub } = &Fixture::with_bindings(json!({})).await;
    let user = json!({ "role": "user", "content": "a" });
    let reply = json!({ "role": "assistant", "content": "b" });
    let text = |text: &str| json!({ "type": "text", "text": text });
    let cases = [
        (
            "a prompt beside it",
            json!({ "prompt": "a", "messages": [user] }),
            "prompt and messages exclude each other: send one of them",
        ),
        (
            "not an array",
            json!({ "messages": { "role": "user" } }),
            "messages must be an array of messages",
        ),
        (
            "an empty array",
            json!({ "messages": [] }),
            "messages must not be empty: expected a user's message as messages[0]",
        ),
        (
            "no text of the user",
            json!({ "messages": [reply] }),
            "messages[0].role must be \"user\": a conversation begins with the user",
        ),
        (
            "a wrong role",
            json!({ "messages": [user, { "role": "system", "content": "a" }] }),
            "messages[1].role must be \"user\" or \"assistant\"",
        ),
        (
            "a blank text",
            json!({ "messages": [user, reply, { "role": "user", "content": " \n" }] }),
            "messages[2].content must not be blank",
        ),
        (
            "a blank text in a block",
            json!({ "messages": [user, reply, { "role": "user", "content": [text("a"), text("")] }] }),
            "messages[2].content[1].text must not be blank",
        ),
        (
            "another block",
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image" }] }] }),
            "messages[0].content[0].type must be \"text\"",
        ),
        (
            "no content",
            json!({ "messages": [{ "role": "user" }] }),
            "messages[0].content is missing",
        ),
        ("a number", json!({ "messages": [user, 1] }), "messages[1] must be an object"),
    ];
    for (case, body, message) in cases {
        let response = worker.post(body).await;
        assert_rejected(case, worker, &response, (400, "invalid_request"), message).await;
    }
    assert!(stub.requests().is_empty(), "nothing is sent to Bedrock, and nothing billed");
}
