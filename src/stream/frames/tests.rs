use aws_smithy_types::DateTime;
use aws_smithy_types::event_stream::HeaderValue as Decoded;
use bedrock_stub::frames::{Frame, HeaderValue, encode, prelude};

use super::*;

fn frame(headers: Vec<(&str, HeaderValue)>, payload: Vec<u8>) -> Vec<u8> {
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    encode(&Frame { headers, payload })
}

/// What comes of these bytes.
fn message(bytes: &[u8]) -> Result<Option<Message>, FrameError> {
    let mut frames = Frames::default();
    frames.push(bytes);
    frames.message()
}

#[test]
fn every_type_of_header() {
    let uuid = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128;
    let cases = [
        ("0", HeaderValue::Bool(true), Decoded::Bool(true)),
        ("1", HeaderValue::Bool(false), Decoded::Bool(false)),
        ("2", HeaderValue::Byte(-1), Decoded::Byte(-1)),
        ("3", HeaderValue::Short(i16::MIN), Decoded::Int16(i16::MIN)),
        ("4", HeaderValue::Int(i32::MAX), Decoded::Int32(i32::MAX)),
        ("5", HeaderValue::Long(i64::MIN), Decoded::Int64(i64::MIN)),
        ("6", HeaderValue::ByteArray(vec![0, 255]), Decoded::ByteArray(vec![0, 255].into())),
        ("7", "日本語😀".into(), Decoded::String("日本語😀".into())),
        ("7, empty", "".into(), Decoded::String("".into())),
        (
            "8",
            HeaderValue::Timestamp(1_767_323_045_678),
            Decoded::Timestamp(DateTime::from_millis(1_767_323_045_678)),
        ),
        ("9", HeaderValue::Uuid(uuid.to_be_bytes()), Decoded::Uuid(uuid)),
    ];
    let headers = cases.iter().map(|(name, value, _)| (*name, value.clone())).collect();
    let all = message(&frame(headers, b"payload".to_vec())).unwrap().unwrap();
    assert_eq!(all.payload().as_ref(), b"payload");
    let decoded: Vec<_> = all.headers().iter().map(|it| (it.name().as_str(), it.value())).collect();
    let expected: Vec<_> = cases.iter().map(|(name, _, value)| (*name, value)).collect();
    assert_eq!(decoded, expected);
}

#[test]
fn what_is_not_a_frame() {
    let good = frame(vec![("name", "value".into())], b"payload".to_vec());
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x80;
        bytes
    };
    let sealed = |headers_length: u32, between: &[u8]| {
        let total = u32::try_from(between.len() + 16).unwrap();
        let mut bytes = [&prelude(total, headers_length)[..], between].concat();
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes
    };
    let longest = 16 << 20;
    let of = |length: u32| prelude(length, 0).to_vec();
    let wrong = |text: &str| Err(FrameError::Message(text.to_owned()));
    let crc = "message checksum 0x";
    #[rustfmt::skip]
    let cases = [
        ("a length with a flipped bit", changed(0)[..12].to_vec(), Err(FrameError::Prelude)),
        ("a headers' length with a flipped bit", changed(7)[..12].to_vec(), Err(FrameError::Prelude)),
        ("a prelude's CRC with a flipped bit", changed(11)[..12].to_vec(), Err(FrameError::Prelude)),
        ("a prelude without its end", changed(0)[..11].to_vec(), Ok(())),
        ("HTML", b"<!doctype html>".to_vec(), Err(FrameError::Prelude)),
        ("length 0", of(0), Err(FrameError::Length(0))),
        ("length 15", of(15), Err(FrameError::Length(15))),
        ("length 16", of(16), Ok(())),
        ("the longest", of(longest), Ok(())),
        ("one longer", of(longest + 1), Err(FrameError::Length(longest as usize + 1))),
        ("4 GiB", of(u32::MAX), Err(FrameError::Length(u32::MAX as usize))),
        ("a header with a flipped bit", changed(13), wrong("encountered invalid UTF-8 string")),
        ("a payload with a flipped bit", changed(good.len() - 6), wrong(crc)),
        ("a CRC with a flipped bit", changed(good.len() - 1), wrong(crc)),
        ("more headers than frame", sealed(9, &[0; 8]), wrong("invalid headers length")),
        ("headers of 4 GiB", sealed(u32::MAX, b""), wrong("invalid headers length")),
        ("headers of one byte", sealed(1, b"a"), wrong("invalid headers length")),
        ("a name beyond the headers", sealed(3, b"\x09a\x00"), wrong("invalid header name length")),
        ("a value beyond the headers", sealed(5, b"\x01a\x07\x00\x09"), wrong("invalid header value")),
        ("a value in the payload", sealed(5, b"\x01a\x07\x00\x02xx"), wrong("invalid header value")),
        ("type 10", sealed(3, b"\x01a\x0a"), wrong("invalid header value type: 10")),
        ("a name that is not UTF-8", sealed(3, b"\x01\xff\x00"), wrong("encountered invalid UTF-8 string")),
        ("a string that is not UTF-8", sealed(6, b"\x01a\x07\x00\x01\xff"), wrong("encountered invalid UTF-8 string")),
    ];
    let mut failures = Vec::new();
    for (name, bytes, expected) in cases {
        match (message(&bytes), expected) {
            (Ok(None), Ok(())) => {}
            (Err(FrameError::Message(it)), Err(FrameError::Message(text)))
                if it.starts_with(&text) => {}
            (Err(it), Err(error)) if it == error => {}
            (actual, _) => failures.push(format!("{name}: {actual:?}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_longest_frame() {
    let bytes = frame(vec![], vec![b'a'; MAX_FRAME_BYTES - 16]);
    assert_eq!(bytes.len(), 16 << 20);
    let mut frames = Frames::default();
    frames.push(&bytes[..bytes.len() - 1]);
    assert_eq!(frames.message(), Ok(None));
    frames.push(&bytes[bytes.len() - 1..]);
    assert_eq!(frames.message().unwrap().unwrap().payload().len(), MAX_FRAME_BYTES - 16);
    assert!(frames.is_empty());
}

#[test]
fn frames_come_one_at_a_time() {
    let [a, b] = [b"a", b"b"].map(|payload| frame(vec![], payload.to_vec()));
    let mut frames = Frames::default();
    assert!(frames.is_empty());
    frames.push(&[&a[..], &b, &a[..5]].concat());
    for expected in [b"a", b"b"] {
        assert_eq!(frames.message().unwrap().unwrap().payload().as_ref(), expected);
        assert!(!frames.is_empty());
    }
    assert_eq!(frames.message(), Ok(None));
}
