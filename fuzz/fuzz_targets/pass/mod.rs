//! Requests that are passed on, to a host whose upstream responds with a body in parts.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Duration;

use bedrock_edge::host::{ReadError, TransportError};
use bedrock_edge::{
    Body, BodyStream, Handled, Host, Http, IncomingRequest, Isolate, Record, Runtime, handle,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};

use crate::runtime::{isolate, ready};

/// A body that arrives in parts.
#[derive(Debug)]
pub struct Parts(VecDeque<Bytes>);

impl Body for Parts {
    async fn read(self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        let all: Vec<u8> = self.0.into_iter().flatten().collect();
        Bytes::from(all).read(limit, within).await
    }
}

impl BodyStream for Parts {
    async fn chunk(&mut self, _: Duration) -> Result<Option<Bytes>, TransportError> {
        Ok(self.0.pop_front())
    }
}

/// A host whose upstream has one response, and which keeps the last request.
pub struct PartsHost {
    pub status: u16,
    pub headers: HeaderMap,
    pub parts: Vec<Bytes>,
    pub sent: RefCell<Option<Request<Bytes>>>,
}

fixed_runtime!(PartsHost);

impl Http for PartsHost {
    type Body = Parts;

    async fn send(
        &self,
        request: Request<Bytes>,
        _: Duration,
    ) -> Result<Response<Parts>, TransportError> {
        self.sent.replace(Some(request));
        let parts = self.parts.iter().filter(|part| !part.is_empty()).cloned().collect();
        let mut response = Response::new(Parts(parts));
        *response.status_mut() = self.status.try_into().unwrap_or_default();
        *response.headers_mut() = self.headers.clone();
        Ok(response)
    }
}

impl Host for PartsHost {}

/// The response to a request.
pub struct Passed {
    pub status: u16,
    pub body: Vec<u8>,
    /// Whether it is Bedrock's, and not an error.
    pub is_passed: bool,
    pub is_broken: bool,
    pub record: Record,
}

static ISOLATE: LazyLock<Isolate> = LazyLock::new(|| {
    isolate(&[
        ("AUTH", "open"),
        ("BEDROCK_MODEL_ID", "global.anthropic.claude-opus-5-5"),
        ("ALLOWED_MODELS", "*, amazon.*, arn:aws:bedrock:*"),
        ("BEDROCK_MAX_ATTEMPTS", "1"),
    ])
});

/// Sends a POST, and passes the response on.
pub fn post(target: &str, headers: HeaderMap, body: Bytes, host: &PartsHost) -> Passed {
    let request = IncomingRequest::from_http(Method::POST, target, headers, body);
    let passed = ready(async {
        match handle(request, &ISOLATE, host).await {
            Handled::Passed(envelope, mut passing) => {
                for (name, value) in &passing.headers {
                    assert!(name.as_str().starts_with("x-amzn-"), "{name}: {value:?}");
                }
                let mut body = Vec::new();
                let is_broken = loop {
                    match passing.next().await {
                        Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                        Ok(None) => break false,
                        Err(_) => break true,
                    }
                };
                let (record, _) = passing.passage.finish(host.now());
                Passed { status: envelope.status_code, body, is_passed: true, is_broken, record }
            }
            Handled::Whole(envelope, record) => {
                for (name, value) in &envelope.headers {
                    assert!(HeaderValue::from_str(value).is_ok(), "{name}: {value:?}");
                }
                let (status, body) = (envelope.status_code, envelope.body.into_bytes());
                Passed { status, body, is_passed: false, is_broken: false, record }
            }
            other => panic!("{other:?}"),
        }
    });
    let line = passed.record.line(None).unwrap();
    assert!(!line.contains("wJalrXUtnFEMI"));
    serde_json::from_str::<serde_json::Value>(&line).unwrap();
    passed
}
