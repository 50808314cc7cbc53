use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::HeaderValue as Decoded;
use bedrock_stub::frames::{Frame, HeaderValue, encode, prelude};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

fn frame(headers: Vec<(&str, HeaderValue)>, payload: Vec<u8>) -> Vec<u8> {
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    encode(&Frame { headers, payload })
}

/// Decodes bytes and drops the message.
fn check(bytes: &[u8]) -> Result<Option<()>, FrameError> {
    let mut frames = Frames::default();
    frames.push(bytes);
    frames.message().map(|message| message.map(drop))
}

/// Makes a frame with the correct CRCs and total length.
fn sealed(headers_length: u32, between: &[u8]) -> Vec<u8> {
    let total = u32::try_from(between.len() + 16).unwrap();
    let mut bytes = [&prelude(total, headers_length)[..], between].concat();
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

#[test]
fn strings_are_read_among_headers_of_every_type() {
    let bytes = frame(
        vec![
            ("0", HeaderValue::Bool(true)),
            ("1", HeaderValue::Bool(false)),
            ("2", HeaderValue::Byte(-1)),
            ("3", HeaderValue::Short(i16::MIN)),
            ("4", HeaderValue::Int(i32::MAX)),
            ("5", HeaderValue::Long(i64::MIN)),
            ("6", HeaderValue::ByteArray(vec![0, 255])),
            ("7", "日本語😀".into()),
            ("7, empty", "".into()),
            ("8", HeaderValue::Timestamp(1_767_323_045_678)),
            ("9", HeaderValue::Uuid([1; 16])),
            ("7, once more", "last".into()),
            ("7", "the second of the name".into()),
        ],
        b"payload".to_vec(),
    );
    let mut frames = Frames::default();
    frames.push(&bytes);
    let message = frames.message().unwrap().unwrap();
    assert_eq!(message.payload(), b"payload");
    let names =
        ["0", "1", "2", "3", "4", "5", "6", "7", "7, empty", "8", "9", "7, once more", "10"];
    let values = names.map(|name| message.header(name));
    assert_eq!(values, ["", "", "", "", "", "", "", "日本語😀", "", "", "", "last", ""]);
}

/// Makes a header of any type, also of types that do not exist, from any bytes.
fn any_header() -> impl Strategy<Value = Vec<u8>> {
    let value = (0_u8..12, vec(any::<u8>(), 0..20)).prop_map(|(kind, bytes)| {
        let fixed = |count| bytes.iter().copied().chain([0; 16]).take(count).collect();
        let value = match kind {
            0 | 1 => vec![],
            2 => fixed(1),
            3 => fixed(2),
            4 => fixed(4),
            5 | 8 => fixed(8),
            9 => fixed(16),
            _ => [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat(),
        };
        [vec![kind], value].concat()
    });
    ("[a-z:é-]{0,5}", value).prop_map(|(name, value)| {
        [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), &value].concat()
    })
}

proptest! {
    /// The headers are of any kind, and any byte between the CRCs may be changed.
    #[test]
    fn a_message_is_that_of_aws_smithy_eventstream(
        headers in vec(any_header(), 0..5),
        payload in vec(any::<u8>(), 0..40),
        change in proptest::option::of((any::<Index>(), any::<u8>())),
    ) {
        let headers = headers.concat();
        let mut between = [&headers[..], &payload].concat();
        if let Some((at, byte)) = change && !between.is_empty() {
            let at = at.index(between.len());
            between[at] = byte;
        }
        let bytes = sealed(u32::try_from(headers.len()).unwrap(), &between);
        let mut frames = Frames::default();
        frames.push(&bytes);
        match (frames.message(), read_message_from(&*bytes)) {
            (Ok(Some(message)), Ok(expected)) => {
                prop_assert_eq!(message.payload(), expected.payload());
                let expected: Vec<_> = expected
                    .headers()
                    .iter()
                    .map(|header| match header.value() {
                        Decoded::String(text) => (header.name().as_str(), text.as_str()),
                        _ => (header.name().as_str(), ""),
                    })
                    .collect();
                prop_assert_eq!(message.headers, expected);
            }
            (Err(FrameError::Headers), Err(_)) => {}
            (actual, expected) => prop_assert!(false, "{actual:?}, {expected:?}"),
        }
    }
}

#[test]
fn malformed_bytes_are_an_error_and_an_incomplete_frame_is_none() {
    let good = frame(vec![("name", "value".into())], b"payload".to_vec());
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x80;
        bytes
    };
    let longest = 16 << 20;
    let announced = |length: u32| prelude(length, 0).to_vec();
    #[rustfmt::skip]
    let cases = [
        ("a length with a flipped bit", changed(0)[..12].to_vec(), Err(FrameError::Prelude)),
        ("a headers' length with a flipped bit", changed(7)[..12].to_vec(), Err(FrameError::Prelude)),
        ("a prelude's CRC with a flipped bit", changed(11)[..12].to_vec(), Err(FrameError::Prelude)),
        ("a prelude without its end", changed(0)[..11].to_vec(), Ok(())),
        ("HTML", b"<!doctype html>".to_vec(), Err(FrameError::Prelude)),
        ("length 0", announced(0), Err(FrameError::Length(0))),
        ("length 15", announced(15), Err(FrameError::Length(15))),
        ("length 16", announced(16), Ok(())),
        ("the longest", announced(longest), Ok(())),
        ("one longer", announced(longest + 1), Err(FrameError::Length(longest as usize + 1))),
        ("4 GiB", announced(u32::MAX), Err(FrameError::Length(u32::MAX as usize))),
        ("a header with a flipped bit", changed(13), Err(FrameError::Message)),
        ("a payload with a flipped bit", changed(good.len() - 6), Err(FrameError::Message)),
        ("a CRC with a flipped bit", changed(good.len() - 1), Err(FrameError::Message)),
        ("more headers than frame", sealed(9, &[0; 8]), Err(FrameError::Headers)),
        ("headers of 4 GiB", sealed(u32::MAX, b""), Err(FrameError::Headers)),
        ("headers of one byte", sealed(1, b"a"), Err(FrameError::Headers)),
        ("a name beyond the headers", sealed(3, b"\x09a\x00"), Err(FrameError::Headers)),
        ("a value beyond the headers", sealed(5, b"\x01a\x07\x00\x09"), Err(FrameError::Headers)),
        ("a value in the payload", sealed(5, b"\x01a\x07\x00\x02xx"), Err(FrameError::Headers)),
        ("type 10", sealed(3, b"\x01a\x0a"), Err(FrameError::Headers)),
        ("a name that is not UTF-8", sealed(3, b"\x01\xff\x00"), Err(FrameError::Headers)),
        ("a string that is not UTF-8", sealed(6, b"\x01a\x07\x00\x01\xff"), Err(FrameError::Headers)),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(check(&bytes), expected.map(|()| None), "{name}");
    }
}

#[test]
fn a_frame_of_the_greatest_length_is_read() {
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
fn frames_are_returned_one_at_a_time() {
    let [a, b] = [b"a", b"b"].map(|payload| frame(vec![], payload.to_vec()));
    let mut frames = Frames::default();
    assert!(frames.is_empty());
    frames.push(&[&a[..], &b, &a[..5]].concat());
    for expected in [b"a", b"b"] {
        assert_eq!(frames.message().unwrap().unwrap().payload(), expected);
        assert!(!frames.is_empty());
    }
    assert_eq!(frames.message(), Ok(None));
}

proptest! {
    #[test]
    fn an_encoded_event_is_read_by_another_decoder_and_by_this_one(kind in "[A-Za-z]{0,40}", content_type in "[a-z/]{0,40}", payload in vec(any::<u8>(), 0..200), before in vec(any::<u8>(), 0..9)) {
        let mut bytes = before.clone();
        encode_event(&kind, &content_type, &payload, &mut bytes);
        let encoded = bytes.strip_prefix(&before[..]).unwrap();
        let headers = [(":message-type", "event"), (":event-type", &kind), (":content-type", &content_type)];
        let decoded = read_message_from(encoded).unwrap();
        let actual: Vec<(&str, &str)> = decoded
            .headers()
            .iter()
            .map(|header| (header.name().as_str(), header.value().as_string().unwrap().as_str()))
            .collect();
        prop_assert_eq!(actual, headers);
        prop_assert_eq!(&decoded.payload()[..], &payload[..]);

        let mut frames = Frames::default();
        frames.push(encoded);
        let message = frames.message().unwrap().unwrap();
        prop_assert_eq!(message, Message { headers: headers.to_vec(), payload: &payload });
    }
}
