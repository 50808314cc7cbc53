//! Reads sessions from a store that returns arbitrary turns, and replies of a store that is reached by bytes.
//!
//! A turn that the core did not write is an error. Of others Bedrock gets a body whose last message is the prompt, and what is
//! stored is the same prompt and the model's reply.

#![no_main]

#[macro_use]
mod runtime;

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bedrock_edge::host::{
    Begun, Lease, NewTurn, SessionError, SessionInfo, SessionMark, SessionPage, SessionPlace,
    SessionStore, StoredTurn, TransportError,
};
use bedrock_edge::sessions::SessionReply;
use bedrock_edge::{Handled, Host, Http, IncomingRequest, Isolate, handle};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use libfuzzer_sys::fuzz_target;
use runtime::{isolate, ready};
use serde_json::Value;

const ID: &str = "0123456789abcdef0123456789abcdef";
const REPLY: &str = r#"{"content":[{"type":"text","text":"Hi."}],"stop_reason":"end_turn"}"#;

/// A host with a session of these turns.
struct SessionHost {
    turns: Vec<StoredTurn>,
    sent: RefCell<Option<Bytes>>,
    stored: RefCell<Option<NewTurn>>,
}

fixed_runtime!(SessionHost);

impl Http for SessionHost {
    type Body = Bytes;

    async fn send(
        &self,
        request: Request<Bytes>,
        _: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        self.sent.replace(Some(request.into_body()));
        Ok(Response::new(Bytes::from_static(REPLY.as_bytes())))
    }
}

impl Host for SessionHost {
    fn sessions(&self) -> Option<impl SessionStore> {
        Some(self)
    }
}

impl SessionHost {
    fn info(&self) -> SessionInfo {
        let next = self.turns.len() as u64;
        let (updated, expires) = (UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(1));
        SessionInfo { id: ID.to_owned(), first: 0, next, updated, expires }
    }
}

impl SessionStore for SessionHost {
    async fn begin(
        &self,
        _: &SessionPlace,
        _: &Lease,
        _: bool,
        _: SystemTime,
    ) -> Result<Begun, SessionError> {
        Ok(Begun::Turns(self.turns.clone()))
    }

    async fn commit(
        &self,
        _: &SessionPlace,
        turn: &NewTurn,
        _: SystemTime,
    ) -> Result<bool, SessionError> {
        self.stored.replace(Some(turn.clone()));
        Ok(true)
    }

    async fn abort(&self, _: &SessionPlace, _: &str) -> Result<(), SessionError> {
        Ok(())
    }

    async fn read(
        &self,
        _: &SessionPlace,
        from: u64,
        limit: u32,
        _: SystemTime,
    ) -> Result<Option<SessionPage>, SessionError> {
        let Some(last) = self.turns.last().cloned() else { return Ok(None) };
        let turns = self.turns.iter().filter(|turn| turn.position >= from);
        let turns = turns.take(limit as usize).cloned().collect();
        Ok(Some(SessionPage { info: self.info(), turns, last }))
    }

    async fn delete(&self, _: &SessionPlace, _: SystemTime) -> Result<bool, SessionError> {
        Ok(true)
    }

    async fn list(
        &self,
        _: &str,
        _: Option<&SessionMark>,
        _: u32,
        _: SystemTime,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        Ok(vec![self.info()])
    }
}

static ISOLATE: LazyLock<Isolate> = LazyLock::new(|| {
    isolate(&[
        ("AUTH", "open"),
        ("BEDROCK_MODEL_ID", "global.anthropic.claude-opus-5-5"),
        ("ALLOWED_MODELS", "*"),
        ("SESSION_MAX_TURNS", "4"),
        ("SESSION_MAX_BYTES", "1024"),
        ("BEDROCK_MAX_ATTEMPTS", "1"),
    ])
});

fn send(method: Method, target: &str, body: String, host: &SessionHost) -> (u16, String) {
    let request = IncomingRequest::from_http(method, target, HeaderMap::new(), Bytes::from(body));
    let Handled::Whole(envelope, record) = ready(handle(request, &ISOLATE, host)) else {
        panic!("{target}")
    };
    let line = record.line(None).unwrap();
    serde_json::from_str::<Value>(&line).unwrap();
    assert!(!line.contains(ID), "{line}");
    (envelope.status_code, envelope.body)
}

/// Makes the bytes of a turn: these, or a turn with messages and a content that may be JSON.
fn turn((kind, first, messages, content): (u8, u8, &str, &str)) -> Vec<u8> {
    let model = ["claude-opus-5-5", "claude-sonnet-5-5", "m"][usize::from(kind) % 3];
    match kind % 8 {
        0 => content.as_bytes().to_vec(),
        1 => [b"\0", content.as_bytes()].concat(),
        _ => {
            let messages = if kind % 8 == 2 {
                messages.to_owned()
            } else {
                format!(r#"[{{"role":"user","content":{}}}]"#, Value::from(messages))
            };
            let content = if kind % 8 == 3 {
                content.to_owned()
            } else {
                let block = ["text", "thinking", "tool_use", ""][usize::from(first) % 4];
                format!(r#"[{{"type":"{block}","text":{}}}]"#, Value::from(content))
            };
            let system = "e3b0c44298fc1c149afbf4c8996fb924";
            format!(
                "\0{{\"model\":\"{model}\",\"system\":\"{system}\",\"first\":{first},\"messages\":{messages},\
                 \"content\":{content},\"total\":{{\"input_tokens\":{kind}}},\"cost\":{first}}}"
            )
            .into_bytes()
        }
    }
}

fuzz_target!(|input: (Vec<(u8, u8, &str, &str)>, &str, &str, &[u8])| {
    let (turns, prompt, query, wire) = input;
    if let Ok(reply) = SessionReply::new(Bytes::copy_from_slice(wire)) {
        let _ = (reply.clone().begun(), reply.clone().done(), reply.clone().page(), reply.list());
    }

    let turns = turns
        .into_iter()
        .zip(0..)
        .map(|(it, position)| StoredTurn { position, sealed: Bytes::from(turn(it)) });
    let host = SessionHost {
        turns: turns.collect(),
        sent: RefCell::default(),
        stored: RefCell::default(),
    };
    let path = format!("/sessions/{ID}");
    if let Ok(target) = format!("{path}?{query}").parse::<http::Uri>() {
        let (status, body) = send(Method::GET, &target.to_string(), String::new(), &host);
        assert!([200, 400, 404, 500].contains(&status), "{status}");
        serde_json::from_str::<Value>(&body).unwrap();
    }
    let (status, read) = send(Method::GET, &path, String::new(), &host);
    if status == 200 {
        let page: Value = serde_json::from_str(&read).unwrap();
        assert!(page["messages"].is_array() || page["messages"].is_null(), "{page}");
    }

    let body = serde_json::json!({ "session": ID, "prompt": prompt });
    let (status, _) = send(Method::POST, "/", body.to_string(), &host);
    let (sent, stored) = (host.sent.take(), host.stored.take());
    assert_eq!((status == 200, status == 200), (sent.is_some(), stored.is_some()), "{status}");
    let (Some(sent), Some(stored)) = (sent, stored) else { return };
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    let messages = sent["messages"].as_array().unwrap();
    let own = serde_json::json!({ "role": "user", "content": prompt });
    assert_eq!(messages.last(), Some(&own));
    assert!(messages.len() < 2 || messages[messages.len() - 2]["role"] == "assistant");
    let count = host.turns.len() as u64;
    assert_eq!(stored.turn.position, count);
    assert!(stored.keep_from <= count && count - stored.keep_from < 4);
    let stored: Value = serde_json::from_slice(&stored.turn.sealed[1..]).unwrap();
    assert_eq!(stored["messages"], serde_json::json!([own]));
    assert_eq!(stored["content"][0]["text"], "Hi.");
});
