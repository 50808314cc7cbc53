//! Calls models of other makers by the Messages API. The first byte of the input says what is arbitrary: the body, the
//! assistant's blocks, which Bedrock then repeats, Bedrock's reply, or the frames of its stream.

#![no_main]

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::Duration;

use bedrock_edge::host::TransportError;
use bedrock_edge::{
    Codec, Envelope, Handled, Host, Http, IncomingRequest, Isolate, Model, Record, StreamEvent,
    handle,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

#[macro_use]
mod runtime;

use runtime::{isolate, ready};

/// A host that keeps the last request.
struct Bedrock {
    sent: RefCell<Option<Value>>,
    /// The body of every response. `None`: a reply with the assistant's last turn.
    reply: Option<Bytes>,
}

fixed_runtime!(Bedrock);

impl Http for Bedrock {
    type Body = Bytes;

    async fn send(
        &self,
        request: Request<Bytes>,
        _: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let path = request.uri().path();
        assert!(path.ends_with("/converse") || path.ends_with("/converse-stream"), "{path}");
        let sent = serde_json::from_slice(request.body()).unwrap();
        check_request(&sent);
        let reply = self.reply.clone().unwrap_or_else(|| echo(&sent));
        *self.sent.borrow_mut() = Some(sent);
        Ok(Response::new(reply))
    }
}

impl Host for Bedrock {}

/// Checks what Converse requires of every request.
fn check_request(sent: &Value) {
    let mut last = None;
    let mut has_tool_blocks = false;
    for message in sent["messages"].as_array().unwrap() {
        assert_ne!(last, Some(&message["role"]), "{sent}");
        last = Some(&message["role"]);
        let content = message["content"].as_array().unwrap();
        assert!(!content.is_empty(), "{sent}");
        for block in content {
            assert_eq!(block.as_object().unwrap().len(), 1, "{block}");
            for (name, word) in
                [("toolUse", "toolUseId"), ("toolUse", "name"), ("toolResult", "toolUseId")]
            {
                let Some(text) = block[name][word].as_str() else { continue };
                has_tool_blocks = true;
                let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
                assert!((1..=64).contains(&text.len()) && text.bytes().all(is_word), "{block}");
            }
        }
    }
    assert!(!has_tool_blocks || sent["toolConfig"]["tools"].is_array(), "{sent}");
}

/// Replies with the assistant's last turn.
fn echo(sent: &Value) -> Bytes {
    let turns = sent["messages"].as_array().unwrap();
    let turn = turns.iter().rfind(|turn| turn["role"] == "assistant");
    let content = turn.map_or(json!([]), |turn| turn["content"].clone());
    json!({
        "output": { "message": { "role": "assistant", "content": content } },
        "stopReason": "end_turn",
        "usage": { "inputTokens": 1, "outputTokens": 2, "totalTokens": 3 },
    })
    .to_string()
    .into()
}

static ISOLATE: LazyLock<Isolate> = LazyLock::new(|| {
    isolate(&[
        ("AWS_BEARER_TOKEN_BEDROCK", "key"),
        ("AUTH", "open"),
        ("BEDROCK_REGION", "us-east-1"),
        ("BEDROCK_MODEL_ID", "us.amazon.nova-2-lite-v1:0"),
        ("ALLOWED_MODELS", "*"),
        ("BEDROCK_MAX_ATTEMPTS", "1"),
    ])
});

fn post<'a>(body: String, host: &Bedrock) -> Handled<'a, Bytes> {
    let mut headers = HeaderMap::new();
    headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    let body = Bytes::from(body);
    let request = IncomingRequest::from_http(Method::POST, "/v1/messages", headers, body);
    ready(handle(request, &ISOLATE, host))
}

fn whole(body: String, host: &Bedrock) -> (Envelope, Record) {
    match post(body, host) {
        Handled::Whole(envelope, record) => (envelope, record),
        _ => panic!("not a whole response"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [kind, choice, rest @ ..] = bytes else { return };
    let others = || Model::ALL.iter().filter(|model| model.codec == Codec::Converse);
    let model = others().nth(usize::from(*choice) % others().count()).unwrap().name;
    match kind % 4 {
        0 => body(model, &String::from_utf8_lossy(rest)),
        1 => blocks(rest),
        2 => reply(rest),
        _ => stream(rest),
    }
});

/// An arbitrary body is the caller's fault, or valid for Converse.
fn body(model: &str, rest: &str) {
    let host = Bedrock { sent: RefCell::default(), reply: None };
    let body = format!(r#"{{"model":"{model}","max_tokens":100,{rest}"#);
    let envelope = match post(body, &host) {
        Handled::Whole(envelope, _) => envelope,
        Handled::Stream(_, mut streaming) => {
            while ready(streaming.next(&host)).is_some() {}
            return;
        }
        _ => panic!("neither a reply nor a stream"),
    };
    let response: Value = serde_json::from_str(&envelope.body).unwrap();
    match host.sent.take() {
        // A stream of the reply that is not one is refused.
        Some(_) => assert!([200, 500, 529].contains(&envelope.status_code), "{envelope:?}"),
        None => {
            assert!((400..500).contains(&envelope.status_code), "{envelope:?}");
            assert_eq!(response["type"], "error");
        }
    }
}

/// The blocks that have a counterpart come back as they were.
fn blocks(bytes: &[u8]) {
    let mut sent = Vec::new();
    let mut tools: Vec<Value> = Vec::new();
    let mut results = Vec::new();
    for (index, part) in bytes.split(|byte| *byte == 0).enumerate() {
        let [kind, text @ ..] = part else { continue };
        let text = String::from_utf8_lossy(text);
        let block = match kind % 3 {
            0 if text.trim().is_empty() => continue,
            0 => json!({ "type": "text", "text": text }),
            1 => json!({ "type": "thinking", "thinking": text, "signature": "" }),
            _ => {
                let id = format!("toolu_{index}");
                results.push(json!({ "type": "tool_result", "tool_use_id": id, "content": text }));
                tools.push(json!({ "name": text, "input_schema": { "type": "object" } }));
                json!({ "type": "tool_use", "id": id, "name": text, "input": { "text": text } })
            }
        };
        sent.push(block);
    }
    results.push(json!({ "type": "text", "text": "Go on." }));
    let mut body = json!({
        "model": "nova-2-lite",
        "max_tokens": 100,
        "messages": [{ "role": "user", "content": "Begin." }],
    });
    if !sent.is_empty() {
        let messages = body["messages"].as_array_mut().unwrap();
        messages.push(json!({ "role": "assistant", "content": sent }));
        messages.push(json!({ "role": "user", "content": results }));
    }
    if !tools.is_empty() {
        body["tools"] = Value::from(tools);
    }
    let host = Bedrock { sent: RefCell::default(), reply: None };
    let (envelope, _) = whole(body.to_string(), &host);
    assert_eq!(envelope.status_code, 200, "{body}: {envelope:?}");
    let reply: Value = serde_json::from_str(&envelope.body).unwrap();
    assert_eq!(reply["content"], Value::from(sent));
    assert_eq!(reply["stop_reason"], "end_turn");
}

/// An arbitrary reply is Claude's afterwards, or a failure of ours.
fn reply(bytes: &[u8]) {
    let reply = Some(Bytes::copy_from_slice(bytes));
    let host = Bedrock { sent: RefCell::default(), reply };
    let body =
        r#"{"model":"nova-2-lite","max_tokens":100,"messages":[{"role":"user","content":"a"}]}"#;
    let (envelope, record) = whole(body.to_owned(), &host);
    let response: Value = serde_json::from_str(&envelope.body).unwrap();
    match envelope.status_code {
        200 => {
            assert_eq!(
                (&response["type"], &response["model"]),
                (&json!("message"), &json!("nova-2-lite"))
            );
            assert!(
                response["content"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|block| block["type"].is_string())
            );
        }
        status => assert!(status >= 400 && response["type"] == "error", "{envelope:?}"),
    }
    assert!(record.line(None).is_some());
}

const EVENTS: [&str; 8] = [
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
    "unknown",
];

/// Arbitrary events are Claude's in Claude's order, up to one last event.
fn stream(bytes: &[u8]) {
    let mut frames = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let [kind, payload @ ..] = line else { continue };
        frame(EVENTS[usize::from(kind % 8)], payload, &mut frames);
    }
    let host = Bedrock { sent: RefCell::default(), reply: Some(frames.into()) };
    let body = r#"{"model":"nova-2-lite","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"a"}]}"#;
    let mut streaming = match post(body.to_owned(), &host) {
        Handled::Whole(envelope, _) => return assert!(envelope.status_code >= 400, "{envelope:?}"),
        Handled::Stream(_, streaming) => streaming,
        _ => panic!("neither a reply nor a stream"),
    };
    let mut open: Vec<u64> = Vec::new();
    let mut begun = 0;
    let mut is_over = false;
    while let Some(event) = ready(streaming.next(&host)) {
        assert!(!is_over, "{event:?}");
        let event = match event {
            StreamEvent::Passed(event) => event,
            StreamEvent::Start { .. } => continue,
            event => {
                is_over = event.is_last();
                continue;
            }
        };
        let json: Value = serde_json::from_str(&event.json).unwrap();
        assert_eq!(json["type"], event.name);
        let index = json["index"].as_u64();
        match &*event.name {
            "content_block_start" => {
                assert_eq!(index, Some(begun));
                begun += 1;
                open.extend(index);
            }
            "content_block_delta" => assert!(open.contains(&index.unwrap()), "{json}"),
            "content_block_stop" => {
                assert!(open.contains(&index.unwrap()), "{json}");
                open.retain(|it| Some(*it) != index);
            }
            "message_delta" => assert_eq!(open, [0; 0]),
            name => assert!(["message_start", "message_stop"].contains(&name), "{name}"),
        }
    }
    assert!(is_over);
}

/// Appends an event in a frame with correct CRCs.
fn frame(kind: &str, payload: &[u8], out: &mut Vec<u8>) {
    let mut headers = Vec::new();
    for (name, value) in [(":message-type", "event"), (":event-type", kind)] {
        headers.push(name.len() as u8);
        headers.extend(name.bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.bytes());
    }
    let start = out.len();
    let length = 16 + headers.len() + payload.len();
    out.extend((length as u32).to_be_bytes());
    out.extend((headers.len() as u32).to_be_bytes());
    out.extend(crc32fast::hash(&out[start..]).to_be_bytes());
    out.extend(headers);
    out.extend(payload);
    out.extend(crc32fast::hash(&out[start..]).to_be_bytes());
}
