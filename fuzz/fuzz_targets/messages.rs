//! Passes bodies to the Messages API. What Bedrock gets is valid, translates to itself, and has every byte of the members
//! that no rule touched.

#![no_main]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use bedrock_edge::host::TransportError;
use bedrock_edge::{
    Codec, Envelope, Host, Http, IncomingRequest, Isolate, Model, Record, lambda_handler,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

#[macro_use]
mod runtime;

use runtime::{isolate, ready};

/// A host that keeps the last request, and whose upstream always replies.
#[derive(Default)]
struct Recorder(RefCell<Option<Bytes>>);

fixed_runtime!(Recorder);

impl Http for Recorder {
    type Body = Bytes;

    async fn send(
        &self,
        request: Request<Bytes>,
        _: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        *self.0.borrow_mut() = Some(request.into_body());
        Ok(Response::new(Bytes::from_static(br#"{"content": []}"#)))
    }
}

impl Host for Recorder {}

static ISOLATE: LazyLock<Isolate> = LazyLock::new(|| {
    isolate(&[("AWS_BEARER_TOKEN_BEDROCK", "key"), ("AUTH", "open"), ("ALLOWED_MODELS", "*")])
});

/// Posts a body. Returns the response, the record, and what Bedrock got.
fn post(body: Bytes) -> (Envelope, Record, Option<Bytes>) {
    let mut headers = HeaderMap::new();
    headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    let request = IncomingRequest::from_http(Method::POST, "/v1/messages", headers, body);
    let host = Recorder::default();
    let (envelope, record) = ready(lambda_handler(request, &ISOLATE, &host));
    (envelope, record, host.0.take())
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

fuzz_target!(|bytes: &[u8]| {
    // Most models have rules of their own.
    let Some((choice, rest)) = bytes.split_first() else { return };
    let claudes = || Model::ALL.iter().filter(|model| model.codec == Codec::Claude);
    let model = claudes().nth(usize::from(*choice) % claudes().count()).unwrap().name;
    let rest = String::from_utf8_lossy(rest);
    let body = format!(r#"{{"model":"{model}","max_tokens":100,{rest}"#);
    let (envelope, record, sent) = post(Bytes::from(body.clone()));
    let response: Value = serde_json::from_str(&envelope.body).unwrap();
    let Some(sent) = sent else {
        assert!((400..500).contains(&envelope.status_code), "{envelope:?}");
        assert_eq!(response["type"], "error");
        return;
    };
    assert_eq!(envelope.status_code, 200);
    let members: Members = serde_json::from_slice(&sent).unwrap();
    assert!(!members.contains_key("model") && !members.contains_key("stream"));
    assert_eq!(members["anthropic_version"].get(), r#""bedrock-2023-05-31""#);
    if record.removed.is_empty() {
        let original: Members = serde_json::from_str(&body).unwrap();
        for (name, value) in &members {
            let is_moved = name.starts_with("anthropic_") || original.contains_key("cache_control");
            assert!(is_moved || original[name].get() == value.get(), "{name}");
        }
    }

    let again = [format!(r#"{{"model":"{model}","#).as_bytes(), &sent[1..]].concat();
    let (_, record, resent) = post(Bytes::from(again));
    assert_eq!(record.removed, Vec::<String>::new());
    let resent: Value = serde_json::from_slice(&resent.unwrap()).unwrap();
    assert_eq!(resent, serde_json::from_slice::<Value>(&sent).unwrap());
});
