//! Passes Lambda events to the handler. Every event must get a response in the envelope.

#![no_main]

#[macro_use]
mod runtime;
mod common;

use bedrock_edge::IncomingRequest;
use bytes::Bytes;
use common::{FixedHost, check, run};
use http::Response;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let response = |_: &[u8]| {
        Response::new(Bytes::from_static(br#"{"content": [{"type": "text", "text": "a"}]}"#))
    };
    let (envelope, record) =
        run(IncomingRequest::from_lambda(bytes), &FixedHost(response, Vec::new()));
    check(&envelope, &record);
    // Bedrock always succeeds, so every failure is the caller's error.
    assert!(envelope.status_code < 500, "{envelope:?}");
    assert_eq!(envelope.status_code == 200, record.outcome == "ok" && !envelope.body.is_empty());
});
