//! Sessions from the request to the response, with the store in memory.

mod encryption;
mod isolation;
mod refusals;
mod streams;
mod transports;
mod trimming;
mod views;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::auth::{Caller, Session};
use crate::host::Runtime;
use crate::log::Record;
use crate::server::{Handled, Isolate, handle_for};
use crate::testing::sessions::{MemorySessions, check};
use crate::testing::{Scripted, isolate, request_in_the_worker};

#[tokio::test]
async fn the_store_in_memory_conforms() {
    check(&MemorySessions::default(), Scripted::new().now()).await;
}

/// A response, whole or streamed.
struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    /// The body, or the events of a stream.
    body: Value,
    record: Record,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// Returns the id of the session.
    fn session(&self) -> &str {
        self.header("x-session-id").expect("a session")
    }

    fn text(&self) -> &str {
        self.body["generated_text"].as_str().unwrap()
    }
}

/// A client of an isolate, with a name or with none.
struct Client<'a> {
    isolate: &'a Isolate,
    host: &'a Scripted,
    name: Option<&'a str>,
}

impl Client<'_> {
    /// Sends a request. A stream is read to its end.
    async fn send(&self, method: &str, path: &str, body: &str) -> Response {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let request = request_in_the_worker(method, path, &[], body);
        let session = self.name.map(|name| Session::new(Caller::new("app", name)));
        let handled = handle_for(session, request, self.isolate, self.host).await;
        let (envelope, record, body) = match handled {
            Handled::Whole(envelope, record) => {
                let body = serde_json::from_str(&envelope.body).unwrap_or_default();
                (envelope, record, body)
            }
            Handled::Stream(envelope, mut streaming) => {
                let mut events = Vec::new();
                while let Some(event) = streaming.next(self.host).await {
                    events.push(serde_json::from_str(&event.to_message()).unwrap());
                }
                let (record, remainder) = streaming.generation.finish(self.host.now());
                if let Some(remainder) = remainder {
                    remainder.send(self.host).await.unwrap();
                }
                (envelope, record, Value::Array(events))
            }
            other => panic!("{other:?}"),
        };
        Response { status: envelope.status_code, headers: envelope.headers, body, record }
    }

    async fn post(&self, body: &Value) -> Response {
        self.send("POST", "/", &body.to_string()).await
    }

    /// Sends a prompt in a session, to which the model replies.
    async fn ask(&self, session: impl Into<Value>, prompt: &str) -> Response {
        self.post(&json!({ "session": session.into(), "prompt": prompt })).await
    }

    async fn get(&self, path: &str) -> Response {
        self.send("GET", path, "").await
    }
}

/// Returns a platform with sessions on which Bedrock replies with these texts.
fn replying(texts: &[&str]) -> Scripted {
    let texts = texts.iter();
    texts.fold(Scripted::new().with_sessions(), |host, it| host.then(200, &[], text(it)))
}

/// Returns a reply with these content blocks.
fn reply(content: &Value) -> String {
    let usage = json!({ "input_tokens": 10, "output_tokens": 5 });
    json!({ "content": content, "stop_reason": "end_turn", "usage": usage }).to_string()
}

fn text(text: &str) -> String {
    reply(&json!([{ "type": "text", "text": text }]))
}

/// Returns a body that was sent to Bedrock, counted from 0.
fn sent(host: &Scripted, number: usize) -> Value {
    serde_json::from_slice(host.requests.borrow()[number].body()).unwrap()
}

/// Returns the messages of these texts, of the user and the assistant by turns.
fn messages(texts: &[&str]) -> Value {
    let message = |(at, text): (usize, &&str)| match at % 2 {
        0 => json!({ "role": "user", "content": text }),
        _ => json!({ "role": "assistant", "content": [{ "type": "text", "text": text }] }),
    };
    texts.iter().enumerate().map(message).collect()
}

#[tokio::test]
async fn each_turn_has_the_turns_before_it_in_front() {
    for name in [None, Some("alice")] {
        let host = replying(&["One.", "Two.", "Three."]);
        let isolate = isolate(&[]);
        let client = Client { isolate: &isolate, host: &host, name };
        let response = client.ask(true, "first").await;
        assert_eq!((response.status, response.text()), (200, "One."));
        let id = response.session().to_owned();
        assert!(id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit()), "{id}");
        assert_eq!(client.ask(&*id, "second").await.session(), id);
        let response = client.ask(&*id, "third").await;
        assert_eq!((response.session(), response.text()), (&*id, "Three."));
        assert_eq!(response.header("x-session-dropped-turns"), None);
        assert_eq!(sent(&host, 0)["messages"], messages(&["first"]));
        assert_eq!(sent(&host, 1)["messages"], messages(&["first", "One.", "second"]));
        assert_eq!(
            sent(&host, 2)["messages"],
            messages(&["first", "One.", "second", "Two.", "third"])
        );
        // An id can be all that proves whose a session is.
        let line = response.record.line(None).unwrap();
        assert!(!line.contains(&id), "{line}");
    }
}

#[tokio::test]
async fn a_body_without_a_session_is_not_remembered() {
    let host = replying(&["One.", "Two."]);
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    for body in [json!({ "prompt": "a" }), json!({ "prompt": "a", "session": null })] {
        let response = client.post(&body).await;
        assert_eq!((response.status, response.header("x-session-id")), (200, None));
    }
    assert_eq!(sent(&host, 1)["messages"], messages(&["a"]));
    assert!(host.sessions.as_ref().unwrap().bytes().is_empty());
}

#[tokio::test]
async fn a_caller_with_a_name_chooses_ids() {
    let host = replying(&["One.", "Two.", "Three."]);
    let isolate = isolate(&[]);
    let client = |name| Client { isolate: &isolate, host: &host, name: Some(name) };
    for id in ["a", "A-b_9", &"x".repeat(128)] {
        let response = client("alice").ask(id, "hi").await;
        assert_eq!((response.status, response.session()), (200, id));
        assert_eq!(client("bob").get(&format!("/sessions/{id}")).await.status, 404, "{id}");
        assert_eq!(client("alice").get(&format!("/sessions/{id}")).await.status, 200, "{id}");
    }
}

#[tokio::test]
async fn of_a_conversation_only_its_own_messages_are_added() {
    let host = replying(&["One.", "Two.", "Three."]);
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    let own = r#"[{"role":"user","content":[{"type":"text", "text":"\u3053"}]}, {"role":"assistant","content":"b"}, {"role":"user","content":"c"}]"#;
    let body = format!(r#"{{"session": "s", "messages": {own}}}"#);
    assert_eq!(client.send("POST", "/", &body).await.status, 200);
    assert_eq!(client.ask("s", "d").await.body["input_prompt"], "d");
    let payload = String::from_utf8(host.requests.borrow()[1].body().to_vec()).unwrap();
    let one = r#"{"role":"assistant","content":[{"text":"One.","type":"text"}]}"#;
    let own = own.replace("}, {\"role", "},{\"role");
    let own = own.strip_suffix(']').unwrap();
    let expected = format!(r#""messages":{own},{one},{{"role":"user","content":"d"}}],"#);
    assert!(payload.contains(&expected), "{payload}\n{expected}");
    let body = json!({ "session": "s", "messages": [{ "role": "user", "content": "e" }] });
    assert_eq!(client.post(&body).await.body["input_prompt"], "e");
    assert_eq!(sent(&host, 2)["messages"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn a_session_expires_a_day_after_its_last_turn() {
    for (vars, ttl) in [(&[][..], 86_400), (&[("SESSION_TTL_SECONDS", "60")], 60)] {
        let host = replying(&["One.", "Two.", "Three."]);
        let isolate = isolate(vars);
        let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
        client.ask("s", "first").await;
        host.pass(Duration::from_secs(ttl - 1));
        client.ask("s", "second").await;
        assert_eq!(sent(&host, 1)["messages"].as_array().unwrap().len(), 3);
        host.pass(Duration::from_secs(ttl - 1));
        assert_eq!(client.get("/sessions/s").await.status, 200);
        host.pass(Duration::from_secs(1));
        assert_eq!(client.get("/sessions/s").await.status, 404);
        client.ask("s", "third").await;
        assert_eq!(sent(&host, 2)["messages"], messages(&["third"]));
    }
}

/// The reply, and what goes in front of the next prompt.
#[tokio::test]
async fn replies_are_stored_verbatim_with_signed_thinking() {
    let thinking = json!({ "type": "thinking", "thinking": "Hm.", "signature": "a/b=" });
    let text = json!({ "type": "text", "text": "One.", "citations": null });
    let unknown = json!({ "type": "new_block", "text": "x", "of": [1, { "a": 1.50 }] });
    let all = json!([thinking, text, unknown]);
    let opus = "claude-opus-5";
    for (name, changed, expected, removed) in [
        ("nothing", json!({}), &all, None),
        (
            "another model",
            json!({ "model": opus }),
            &json!([text, unknown]),
            Some("session.thinking"),
        ),
        (
            "another system prompt",
            json!({ "system": "b" }),
            &json!([text, unknown]),
            Some("session.thinking"),
        ),
    ] {
        let host = Scripted::new().with_sessions();
        let host = host.then(200, &[], reply(&all)).then(200, &[], super::tests::text("Two."));
        let isolate = isolate(&[
            ("BEDROCK_MODEL_ID", "global.anthropic.claude-sonnet-5-5"),
            ("ALLOWED_MODELS", "global.anthropic.claude-opus-5"),
            ("BEDROCK_REGION", "us-east-1"),
        ]);
        let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
        let body = json!({ "session": "s", "prompt": "first", "system": "a" });
        assert_eq!(client.post(&body).await.status, 200);
        let mut body = json!({ "session": "s", "prompt": "second", "system": "a" });
        body.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        let response = client.post(&body).await;
        assert_eq!(
            (response.status, response.header("x-bedrock-removed")),
            (200, removed),
            "{name}"
        );
        assert_eq!(sent(&host, 1)["messages"][1]["content"], *expected, "{name}");
        let page = client.get("/sessions/s").await.body;
        assert_eq!(page["messages"][1]["content"], all, "{name}");
    }
}

#[tokio::test]
async fn the_earlier_turns_are_reserved_as_input() {
    let host = Scripted::new().with_limits().with_sessions();
    let host = host.then(200, &[], text("One.")).then(200, &[], text("Two."));
    let isolate = isolate(&[("DAILY_TOKENS", "10000")]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    client.ask("s", "first").await;
    client.ask("s", "second").await;
    let told = host.told.borrow();
    let reserved: Vec<u64> = told
        .iter()
        .filter(|(_, message)| message["reserve"].is_string())
        .map(|(_, message)| message["tokens"].as_u64().unwrap())
        .collect();
    let earlier = r#"{"role":"user","content":"first"},{"role":"assistant","content":[{"text":"One.","type":"text"}]}"#;
    assert_eq!(reserved, [5 + 32 + 100, 6 + earlier.len() as u64 + 2 * 8 + 32 + 100]);
    drop(told);
    assert_eq!(host.standing().today.used, 30);
}
