//! Passes arbitrary responses on. The client gets every byte, and the numbers are the same if the bytes come in two parts.

#![no_main]

#[macro_use]
mod runtime;
mod pass;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use pass::{PartsHost, Passed, post};

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // With correct CRCs, which a fuzzer does not find.
    check(&with_crcs(bytes));
});

fn check(bytes: &[u8]) {
    // The last two bytes of the input determine the position of the split.
    let position = bytes.last_chunk().map_or(0, |last| usize::from(u16::from_le_bytes(*last)));
    let (before, after) = bytes.split_at(position % (bytes.len() + 1));
    for operation in ["invoke", "invoke-with-response-stream", "converse", "converse-stream"] {
        let (whole, parts) = (pass(operation, &[bytes]), pass(operation, &[before, after]));
        assert_eq!(whole.body, parts.body);
        assert_eq!(whole.is_broken, parts.is_broken);
        assert!(whole.body.starts_with(bytes));
        let [whole, parts] = [whole, parts].map(|it| it.record);
        let numbers = |record: &bedrock_edge::Record| {
            (record.input_tokens, record.output_tokens, record.cache_read_input_tokens)
        };
        assert_eq!(numbers(&whole), numbers(&parts));
        assert_eq!((whole.outcome, &whole.stop_reason), (parts.outcome, &parts.stop_reason));
    }
}

fn pass(operation: &str, parts: &[&[u8]]) -> Passed {
    let content_type = HeaderValue::from_static("application/json");
    let host = PartsHost {
        status: 200,
        headers: HeaderMap::from_iter([(http::header::CONTENT_TYPE, content_type)]),
        parts: parts.iter().map(|part| Bytes::copy_from_slice(part)).collect(),
        sent: Default::default(),
    };
    let target = format!("/model/claude-opus-5-5/{operation}");
    let passed = post(&target, HeaderMap::new(), Bytes::from_static(b"{}"), &host);
    assert!(passed.is_passed && passed.status == 200);
    passed
}

/// Sets the CRCs of the frames in some bytes.
fn with_crcs(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut rest = bytes.as_mut_slice();
    while rest.len() >= 16 {
        let crc = crc32fast::hash(&rest[..8]);
        rest[8..12].copy_from_slice(&crc.to_be_bytes());
        let length = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        if !(16..=rest.len()).contains(&length) {
            break;
        }
        let (frame, after) = rest.split_at_mut(length);
        let (content, end) = frame.split_at_mut(length - 4);
        end.copy_from_slice(&crc32fast::hash(content).to_be_bytes());
        rest = after;
    }
    bytes
}
