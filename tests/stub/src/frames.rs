//! The frames of `application/vnd.amazon.eventstream`: an encoder, and the frames that Bedrock sends.
//!
//! Written from the specification and on purpose not with the crate that the product decodes with,
//! so that a mistake cannot cancel out here.
//!
//! Out of scope: decoding, and signed messages (only a client sends those).
//!
//! Source: Smithy specification, "Amazon Event Stream Specification".

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// Total length, headers length, and the CRC of both.
const PRELUDE: usize = 12;

/// The CRC at the end.
const CHECKSUM: usize = 4;

/// What `p` is cut from. The padding hides from who counts encrypted bytes how long a token is.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// One message of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// Written in this order. A name is 1 to 255 bytes long.
    pub headers: Vec<(String, HeaderValue)>,
    /// As it is.
    pub payload: Vec<u8>,
}

/// A header's value: the ten types of the format, of which `Bool` is two.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderValue {
    /// Types 0 (true) and 1 (false): the type is the value.
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Short(i16),
    /// Type 4.
    Int(i32),
    /// Type 5.
    Long(i64),
    /// Type 6. At most 65535 bytes fit; the format allows 32767.
    ByteArray(Vec<u8>),
    /// Type 7. As long as a byte array.
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
            Self::Byte(value) => typed(bytes, 2, &value.to_be_bytes()),
            Self::Short(value) => typed(bytes, 3, &value.to_be_bytes()),
            Self::Int(value) => typed(bytes, 4, &value.to_be_bytes()),
            Self::Long(value) => typed(bytes, 5, &value.to_be_bytes()),
            Self::ByteArray(value) => measured(bytes, 6, value),
            Self::String(value) => measured(bytes, 7, value.as_bytes()),
            Self::Timestamp(value) => typed(bytes, 8, &value.to_be_bytes()),
            Self::Uuid(value) => typed(bytes, 9, value),
        }
    }
}

fn typed(bytes: &mut Vec<u8>, number: u8, value: &[u8]) {
    bytes.push(number);
    bytes.extend(value);
}

fn measured(bytes: &mut Vec<u8>, number: u8, value: &[u8]) {
    let length = u16::try_from(value.len()).expect("a header's value is at most 65535 bytes long");
    typed(bytes, number, &length.to_be_bytes());
    bytes.extend(value);
}

/// A frame's bytes.
///
/// # Panics
///
/// If a header's name or value is longer than its length field can say, or the frame is longer
/// than 4 GiB. What the field can say is written, also where a decoder must refuse it.
pub fn encode(frame: &Frame) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in &frame.headers {
        headers.push(u8::try_from(name.len()).expect("a header's name is at most 255 bytes long"));
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

/// A prelude with a good CRC, whatever it announces.
pub fn prelude(total_length: u32, headers_length: u32) -> [u8; PRELUDE] {
    let mut prelude = [0; PRELUDE];
    prelude[..4].copy_from_slice(&total_length.to_be_bytes());
    prelude[4..8].copy_from_slice(&headers_length.to_be_bytes());
    let checksum = crc32fast::hash(&prelude[..8]);
    prelude[8..].copy_from_slice(&checksum.to_be_bytes());
    prelude
}

/// The `chunk` event with a model's JSON in it.
pub fn chunk(json: &Value) -> Frame {
    chunk_of(json.to_string().as_bytes())
}

/// The `chunk` event with these bytes in it, for JSON that is to be written in its own way.
///
/// The payload is `{"bytes":"…","p":"abc…"}`, where the length of `p` depends on the bytes.
pub fn chunk_of(bytes: &[u8]) -> Frame {
    let padding = crc32fast::hash(bytes) as usize % PADDING.len();
    event("chunk", padded(bytes, &PADDING[..=padding]))
}

/// A `chunk` event of any size: its padding is as long as told.
pub fn chunk_padded(json: &Value, padding: usize) -> Frame {
    event("chunk", padded(json.to_string().as_bytes(), &"a".repeat(padding)))
}

fn padded(bytes: &[u8], padding: &str) -> Vec<u8> {
    format!(r#"{{"bytes":"{}","p":"{padding}"}}"#, BASE64_STANDARD.encode(bytes)).into_bytes()
}

/// An event of any type. Bedrock has only `chunk`.
pub fn event(event_type: &str, payload: Vec<u8>) -> Frame {
    let headers = [
        (":event-type", event_type),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    Frame { headers: text_headers(headers), payload }
}

/// An error that the model of the API has. `kind` is its member's name there:
/// `throttlingException`.
///
/// `modelStreamErrorException` also has the `originalStatusCode` and `originalMessage` of the model.
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

/// An error that the model of the API does not have. It has no payload.
pub fn error(code: &str, message: &str) -> Frame {
    let headers = [(":error-code", code), (":error-message", message), (":message-type", "error")];
    Frame { headers: text_headers(headers), payload: Vec::new() }
}

fn text_headers<const N: usize>(headers: [(&str, &str); N]) -> Vec<(String, HeaderValue)> {
    headers.map(|(name, value)| (name.to_owned(), value.into())).to_vec()
}
