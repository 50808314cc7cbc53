//! Passes responses of Bedrock to the handler. The first byte of the input is the status. Then come
//! the values of the headers, one per line, an empty line, and the body.

#![no_main]

#[macro_use]
mod runtime;
mod common;

use bedrock_edge::{IncomingRequest, Reply};
use bytes::Bytes;
use common::{FixedHost, check, run};
use http::{HeaderName, HeaderValue, Response};
use libfuzzer_sys::fuzz_target;

const STATUSES: [u16; 16] =
    [200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 408, 424, 429, 500, 503, 599];

const HEADERS: [&str; 5] =
    ["x-amzn-errortype", "x-amzn-requestid", "retry-after", "date", "content-type"];

fuzz_target!(|bytes: &[u8]| {
    let host = FixedHost(response, bytes.to_vec());
    let (envelope, record) = run(IncomingRequest::from_lambda(br#"{"prompt": "a"}"#), &host);
    check(&envelope, &record);
    let response = response(bytes);
    let is_reply = response.status() == 200 && Reply::parse(response.body()).is_ok();
    match envelope.status_code {
        200 => assert!(is_reply),
        // Bedrock said that the prompt is too long.
        400 => assert!(
            !is_reply && envelope.body.to_lowercase().contains("too long")
                || envelope.body.contains("context limit")
        ),
        status => assert!(!is_reply && status == 500),
    }
    assert!((1..=3).contains(&record.attempts));
    assert!(!is_reply || record.attempts == 1);
});

fn response(bytes: &[u8]) -> Response<Bytes> {
    let (status, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let mut response = Response::builder().status(STATUSES[usize::from(status % 16)]);
    let (head, body) = match rest.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&rest[..at], &rest[at + 2..]),
        None => (&[][..], rest),
    };
    for (name, value) in HEADERS.iter().zip(head.split(|byte| *byte == b'\n')) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            response = response.header(HeaderName::from_static(name), value);
        }
    }
    response.body(Bytes::copy_from_slice(body)).unwrap()
}
