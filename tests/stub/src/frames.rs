//! An encoder for the frames of `application/vnd.amazon.eventstream`, and the frames that Bedrock
//! sends.
//!
//! It is written from the specification and shares no code with the decoder under test, so that a
//! mistake in common code cannot go unnoticed.
//!
//! Out of scope: decoding, and signed messages, which only clients send.
//!
//! Source: Smithy specification, "Amazon Event Stream Specification".

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// The length of the prelude: total length, headers length, and the CRC of both.
const PRELUDE: usize = 12;

/// The length of the CRC at the end of a frame.
const CHECKSUM: usize = 4;

/// The padding `p` is a prefix of this text. Bedrock's padding hides the length of a token from an
/// observer of the encrypted connection.
pub(crate) const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// A frame: one message of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// The headers, in the order on the wire. A name has 1 to 255 bytes.
    pub headers: Vec<(String, HeaderValue)>,
    /// The raw payload.
    pub payload: Vec<u8>,
}

/// The value of a header. The format has ten types, of which `Bool` is two.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderValue {
    /// Types 0 (true) and 1 (false), which have no value on the wire.
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Short(i16),
    /// Type 4.
    Int(i32),
    /// Type 5.
    Long(i64),
    /// Type 6. The length field can express 65535 bytes. The format allows 32767.
    ByteArray(Vec<u8>),
    /// Type 7, with the same limits as a byte array.
    String(String),
    /// Type 8, in milliseconds since 1970.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl HeaderValue {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Bool(true) => bytes.push(0),
            Self::Bool(false) => bytes.push(1),
            Self::Byte(value) => write_value(bytes, 2, &value.to_be_bytes()),
            Self::Short(value) => write_value(bytes, 3, &value.to_be_bytes()),
            Self::Int(value) => write_value(bytes, 4, &value.to_be_bytes()),
            Self::Long(value) => write_value(bytes, 5, &value.to_be_bytes()),
            Self::ByteArray(value) => write_with_length(bytes, 6, value),
            Self::String(value) => write_with_length(bytes, 7, value.as_bytes()),
            Self::Timestamp(value) => write_value(bytes, 8, &value.to_be_bytes()),
            Self::Uuid(value) => write_value(bytes, 9, value),
        }
    }
}

fn write_value(bytes: &mut Vec<u8>, number: u8, value: &[u8]) {
    bytes.push(number);
    bytes.extend(value);
}

fn write_with_length(bytes: &mut Vec<u8>, number: u8, value: &[u8]) {
    let length = u16::try_from(value.len()).expect("the value of a header has at most 65535 bytes");
    write_value(bytes, number, &length.to_be_bytes());
    bytes.extend(value);
}

/// Encodes a frame. Lengths that the format forbids are written as they are, as long as the length
/// field can express them, so that decoders can be tested with them.
///
/// # Panics
///
/// If the name or the value of a header is longer than its length field can express, or the frame
/// is longer than 4 GiB.
pub fn encode(frame: &Frame) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in &frame.headers {
        headers.push(u8::try_from(name.len()).expect("the name of a header has at most 255 bytes"));
        headers.extend(name.as_bytes());
        value.write(&mut headers);
    }
    let total = PRELUDE + headers.len() + frame.payload.len() + CHECKSUM;
    let length = |length: usize| u32::try_from(length).expect("a frame is shorter than 4 GiB");
    let mut bytes = Vec::with_capacity(total);
    bytes.extend(prelude(length(total), length(headers.len())));
    bytes.extend(headers);
    bytes.extend(&frame.payload);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend(checksum.to_be_bytes());
    bytes
}

/// Encodes a prelude with these lengths, valid or not, and their correct CRC.
pub fn prelude(total_length: u32, headers_length: u32) -> [u8; PRELUDE] {
    let mut prelude = [0; PRELUDE];
    prelude[..4].copy_from_slice(&total_length.to_be_bytes());
    prelude[4..8].copy_from_slice(&headers_length.to_be_bytes());
    let checksum = crc32fast::hash(&prelude[..8]);
    prelude[8..].copy_from_slice(&checksum.to_be_bytes());
    prelude
}

/// Creates a `chunk` event with an event of the model.
pub fn chunk(json: &Value) -> Frame {
    chunk_of(json.to_string().as_bytes())
}

/// Creates a `chunk` event with these bytes, for JSON that must keep its own encoding.
///
/// The payload is `{"bytes":"…","p":"abc…"}`. The length of `p` depends on the bytes.
pub fn chunk_of(bytes: &[u8]) -> Frame {
    let padding = crc32fast::hash(bytes) as usize % PADDING.len();
    event("chunk", padded(bytes, &PADDING[..=padding]))
}

/// Creates a `chunk` event with `padding` bytes of padding.
pub fn chunk_padded(json: &Value, padding: usize) -> Frame {
    event("chunk", padded(json.to_string().as_bytes(), &"a".repeat(padding)))
}

fn padded(bytes: &[u8], padding: &str) -> Vec<u8> {
    format!(r#"{{"bytes":"{}","p":"{padding}"}}"#, BASE64_STANDARD.encode(bytes)).into_bytes()
}

/// Creates an event of any type. `InvokeModelWithResponseStream` has only `chunk`.
pub fn event(event_type: &str, payload: Vec<u8>) -> Frame {
    let headers = [
        (":event-type", event_type),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    Frame { headers: text_headers(headers), payload }
}

/// Creates an exception: an error that the API of Bedrock declares. `kind` is its name in the API,
/// such as `throttlingException`.
///
/// A `modelStreamErrorException` has the `originalStatusCode` and `originalMessage` of the model
/// too.
pub fn exception(kind: &str, message: &str) -> Frame {
    let mut payload = json!({ "message": message });
    if kind == "modelStreamErrorException" {
        payload["originalStatusCode"] = json!(500);
        payload["originalMessage"] = json!("The model stopped in the middle of its answer.");
    }
    let headers = [
        (":exception-type", kind),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    Frame { headers: text_headers(headers), payload: payload.to_string().into_bytes() }
}

/// Creates an error that the API of Bedrock does not declare. It has no payload.
pub fn error(code: &str, message: &str) -> Frame {
    let headers = [(":error-code", code), (":error-message", message), (":message-type", "error")];
    Frame { headers: text_headers(headers), payload: Vec::new() }
}

fn text_headers<const N: usize>(headers: [(&str, &str); N]) -> Vec<(String, HeaderValue)> {
    headers.map(|(name, value)| (name.to_owned(), value.into())).to_vec()
}
