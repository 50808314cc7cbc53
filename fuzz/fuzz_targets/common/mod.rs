//! A host whose upstream always has the same response, and the handler that runs in it.

use std::time::Duration;

use bedrock_edge::host::TransportError;
use bedrock_edge::{Body, Envelope, Host, Http, IncomingRequest, Record, lambda_handler};
use bytes::Bytes;
use http::{Request, Response};

use crate::runtime::{isolate, ready};

/// A host that responds to every request with the result of a function of some bytes.
pub struct FixedHost(pub fn(&[u8]) -> Response<Bytes>, pub Vec<u8>);

fixed_runtime!(FixedHost);

impl Http for FixedHost {
    type Body = Bytes;

    async fn send(
        &self,
        _: Request<Bytes>,
        _: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        Ok((self.0)(&self.1))
    }
}

impl Host for FixedHost {}

/// Runs the handler to its end. It never waits, because nothing in the host does.
pub fn run<B: Body>(event: IncomingRequest<B>, host: &FixedHost) -> (Envelope, Record) {
    let isolate = isolate(&[("AUTH", "open"), ("MAX_BODY_BYTES", "2048")]);
    ready(lambda_handler(event, &isolate, host))
}

/// Checks the properties of every response and its log line.
pub fn check(envelope: &Envelope, record: &Record) {
    assert!((200..600).contains(&envelope.status_code));
    for (index, (name, value)) in envelope.headers.iter().enumerate() {
        assert!(http::HeaderValue::from_str(value).is_ok(), "{name}: {value:?}");
        assert!(envelope.headers[..index].iter().all(|(other, _)| other != name), "{name} twice");
    }
    if !envelope.body.is_empty() {
        let body: serde_json::Value = serde_json::from_str(&envelope.body).unwrap();
        assert!(body["input_prompt"].is_string() && body["generated_text"].is_string());
        assert_eq!(body.as_object().unwrap().len(), 2);
    }
    let line = record.line(None).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["status"], envelope.status_code);
    assert!(!line.to_string().contains("wJalrXUtnFEMI"));
}
