//! Lambda's events through the whole function: whatever comes is answered, in the envelope.

#![no_main]

mod common;

use bedrock_edge::Event;
use bytes::Bytes;
use common::{Answering, check, run};
use http::Response;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let answer = |_: &[u8]| {
        Response::new(Bytes::from_static(br#"{"content": [{"type": "text", "text": "a"}]}"#))
    };
    let (envelope, record) = run(Event::from_lambda(bytes), &Answering(answer, Vec::new()));
    check(&envelope, &record);
    // Bedrock is good, so what fails is the caller's fault.
    assert!(envelope.status_code < 500, "{envelope:?}");
    assert_eq!(envelope.status_code == 200, record.outcome == "ok" && !envelope.body.is_empty());
});
