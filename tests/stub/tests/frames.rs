//! The encoder, tested with published test data and an independent decoder.

mod decode;

use aws_smithy_types::DateTime;
use aws_smithy_types::event_stream::HeaderValue as DecodedValue;
use bedrock_stub::frames::{
    Frame, HeaderValue, chunk, chunk_of, chunk_padded, encode, error, event, exception, prelude,
};
use decode::{decode, header};
use serde_json::json;

fn frame(headers: Vec<(&str, HeaderValue)>, payload: &str) -> Frame {
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Frame { headers, payload: payload.as_bytes().to_vec() }
}

const UUID: [u8; 16] = [
    0xb7, 0x9b, 0xc9, 0x14, 0xde, 0x21, 0x4e, 0x13, 0xb8, 0xb2, 0xbc, 0x47, 0xe8, 0x5b, 0x7f, 0x0b,
];

fn all_headers() -> Vec<(&'static str, HeaderValue)> {
    vec![
        ("true", HeaderValue::Bool(true)),
        ("false", HeaderValue::Bool(false)),
        ("byte", HeaderValue::Byte(50)),
        ("short", HeaderValue::Short(20_000)),
        ("int", HeaderValue::Int(500_000)),
        ("long", HeaderValue::Long(50_000_000_000)),
        ("bytes", HeaderValue::ByteArray(b"some bytes".to_vec())),
        ("str", "some str".into()),
        ("time", HeaderValue::Timestamp(5_000_000_000)),
        ("uuid", HeaderValue::Uuid(UUID)),
    ]
}

/// The data is that of AWS's own implementations: awslabs/aws-c-event-stream (`empty_message`,
/// `payload_no_headers`, `payload_one_str_header`) and smithy-lang/smithy-rs (`valid_..`).
#[test]
fn a_frame_has_the_published_bytes() {
    let foo = "{'foo':'bar'}";
    let cases = [
        ("empty_message", frame(vec![], ""), "000000100000000005c248eb7d98c8ff"),
        (
            "payload_no_headers",
            frame(vec![], foo),
            "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936",
        ),
        (
            "payload_one_str_header",
            frame(vec![("content-type", "application/json".into())], foo),
            "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e\
             7b27666f6f273a27626172277d8d9c08b1",
        ),
        (
            "valid_no_headers",
            frame(vec![], "another test payload"),
            "0000002400000000516356ad616e6f746865722074657374207061796c6f61648df80e65",
        ),
        (
            "valid_empty_payload",
            frame(vec![("some-header", HeaderValue::Short(500))], ""),
            "0000001f0000000f172dc2ab0b736f6d652d6865616465720301f4933c5cad",
        ),
        (
            "valid_with_all_headers_and_payload",
            frame(all_headers(), "some payload"),
            "000000960000007a8bb495fb0474727565000566616c736501046279746502320573686f7274034e2003696e74\
             040007a120046c6f6e67050000000ba43b740005627974657306000a736f6d65206279746573037374720700\
             08736f6d65207374720474696d6508000000012a05f200047575696409b79bc914de214e13b8b2bc47e85b7f0b\
             736f6d65207061796c6f616401a05860",
        ),
    ];
    for (case, frame, expected) in cases {
        assert_eq!(hex::encode(encode(&frame)), expected, "{case}");
    }
}

#[test]
fn a_header_of_every_type_is_decoded_to_its_value() {
    let cases = [
        ("true", HeaderValue::Bool(true), DecodedValue::Bool(true)),
        ("false", HeaderValue::Bool(false), DecodedValue::Bool(false)),
        ("byte", HeaderValue::Byte(i8::MIN), DecodedValue::Byte(i8::MIN)),
        ("short", HeaderValue::Short(i16::MIN), DecodedValue::Int16(i16::MIN)),
        ("int", HeaderValue::Int(i32::MIN), DecodedValue::Int32(i32::MIN)),
        ("long", HeaderValue::Long(i64::MIN), DecodedValue::Int64(i64::MIN)),
        (
            "bytes",
            HeaderValue::ByteArray(vec![0, 255]),
            DecodedValue::ByteArray(vec![0, 255].into()),
        ),
        ("an empty string", "".into(), DecodedValue::String("".into())),
        ("a string", "日本語😀".into(), DecodedValue::String("日本語😀".into())),
        (
            "time",
            HeaderValue::Timestamp(1_767_323_045_678),
            DecodedValue::Timestamp(DateTime::from_millis(1_767_323_045_678)),
        ),
        (
            "before 1970",
            HeaderValue::Timestamp(-1),
            DecodedValue::Timestamp(DateTime::from_millis(-1)),
        ),
        ("uuid", HeaderValue::Uuid(UUID), DecodedValue::Uuid(u128::from_be_bytes(UUID))),
        (
            "the longest",
            HeaderValue::ByteArray(vec![7; 32767]),
            DecodedValue::ByteArray(vec![7; 32767].into()),
        ),
    ];
    let headers = cases.iter().map(|(name, value, _)| (*name, value.clone())).collect();
    let decoded = decode(&encode(&frame(headers, "payload")));
    assert_eq!((decoded.left, decoded.error), (0, None));
    let message = &decoded.frames[0];
    assert_eq!(message.payload().as_ref(), b"payload");
    assert_eq!(message.headers().len(), cases.len());
    for (header, (name, _, expected)) in message.headers().iter().zip(&cases) {
        assert_eq!(header.name().as_str(), *name);
        assert_eq!(header.value(), expected, "{name}");
    }
}

#[test]
fn a_length_that_its_field_cannot_express_panics() {
    let cases = [
        ("a name", frame(vec![(&"n".repeat(256), HeaderValue::Bool(true))], "")),
        ("bytes", frame(vec![("n", HeaderValue::ByteArray(vec![0; 65536]))], "")),
        ("a string", frame(vec![("n", HeaderValue::String("v".repeat(65536)))], "")),
    ];
    for (case, frame) in cases {
        assert!(std::panic::catch_unwind(|| encode(&frame)).is_err(), "{case}");
    }
    let longest = frame(vec![(&"n".repeat(255), HeaderValue::ByteArray(vec![0; 65535]))], "");
    assert_eq!(encode(&longest).len(), 12 + 1 + 255 + 1 + 2 + 65535 + 4);
}

#[test]
fn a_prelude_is_the_beginning_of_a_frame() {
    let bytes = encode(&frame(all_headers(), "some payload"));
    assert_eq!(prelude(0x96, 0x7a), bytes[..12]);
}

#[test]
fn a_chunk_has_the_headers_and_the_payload_of_bedrock() {
    let frame = chunk(&json!({ "type": "ping" }));
    assert_eq!(
        String::from_utf8(frame.payload.clone()).unwrap(),
        r#"{"bytes":"eyJ0eXBlIjoicGluZyJ9","p":"abcdefghijklmnopqrstuvwxyzABCDEFGHI"}"#
    );
    let decoded = decode(&encode(&frame));
    let message = &decoded.frames[0];
    assert_eq!(message.headers().len(), 3);
    for (name, value) in [
        (":event-type", "chunk"),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ] {
        assert_eq!(header(message, name), Some(value));
    }
    assert_eq!(chunk_of(br#"{"type":"ping"}"#), frame);
}

#[test]
fn the_padding_of_a_chunk_varies_and_is_never_empty() {
    let lengths: std::collections::BTreeSet<usize> = (0..200)
        .map(|number| {
            let payload = chunk(&json!(number)).payload;
            let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            payload["p"].as_str().unwrap().len()
        })
        .collect();
    assert!(lengths.len() > 30, "{lengths:?}");
    assert!(lengths.iter().all(|length| (1..=62).contains(length)), "{lengths:?}");
    let longer = chunk_padded(&json!({}), 101).payload.len();
    assert_eq!(longer - chunk_padded(&json!({}), 1).payload.len(), 100);
}

#[test]
fn exceptions_errors_and_other_events_have_their_headers_and_payloads() {
    type Row = (&'static str, Frame, &'static [(&'static str, &'static str)], &'static str);
    let cases: [Row; 4] = [
        (
            "an exception",
            exception("throttlingException", "Slow down."),
            &[
                (":exception-type", "throttlingException"),
                (":content-type", "application/json"),
                (":message-type", "exception"),
            ],
            r#"{"message":"Slow down."}"#,
        ),
        (
            "an exception with its cause",
            exception("modelStreamErrorException", "Broken."),
            &[
                (":exception-type", "modelStreamErrorException"),
                (":content-type", "application/json"),
                (":message-type", "exception"),
            ],
            r#"{"message":"Broken.","originalMessage":"The model stopped in the middle of its answer.","originalStatusCode":500}"#,
        ),
        (
            "an error",
            error("InternalFailure", "Something."),
            &[
                (":error-code", "InternalFailure"),
                (":error-message", "Something."),
                (":message-type", "error"),
            ],
            "",
        ),
        (
            "another event",
            event("aside", b"{}".to_vec()),
            &[
                (":event-type", "aside"),
                (":content-type", "application/json"),
                (":message-type", "event"),
            ],
            "{}",
        ),
    ];
    for (case, frame, headers, payload) in cases {
        let decoded = decode(&encode(&frame));
        let message = &decoded.frames[0];
        assert_eq!(message.headers().len(), headers.len(), "{case}");
        for (name, value) in headers {
            assert_eq!(header(message, name), Some(*value), "{case}");
        }
        assert_eq!(std::str::from_utf8(message.payload()).unwrap(), payload, "{case}");
    }
}
