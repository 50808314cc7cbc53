//! The decoder of these tests. It is that of the aws-smithy-eventstream crate, which shares no code
//! with the encoder under test.

#![allow(dead_code, reason = "no test file uses all of it")]

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, Bytes};
use serde_json::Value;

/// The decoded part of some bytes.
#[derive(Debug)]
pub struct Decoded {
    pub frames: Vec<Message>,
    /// The number of bytes after the last complete frame.
    pub left: usize,
    /// The error of the decoder.
    pub error: Option<String>,
}

/// Decodes until the end or an error.
pub fn decode(bytes: &[u8]) -> Decoded {
    let mut buffer = Bytes::copy_from_slice(bytes);
    let mut decoder = MessageFrameDecoder::new();
    let mut decoded = Decoded { frames: Vec::new(), left: bytes.len(), error: None };
    while buffer.has_remaining() {
        match decoder.decode_frame(&mut buffer) {
            Ok(DecodedFrame::Complete(message)) => decoded.frames.push(message),
            Ok(DecodedFrame::Incomplete) => return decoded,
            Err(error) => {
                decoded.error = Some(error.to_string());
                return decoded;
            }
        }
        decoded.left = buffer.remaining();
    }
    decoded
}

impl Decoded {
    /// Returns the [`event`] of each frame of a valid stream.
    pub fn events(&self) -> Vec<Value> {
        assert_eq!((self.left, &self.error), (0, &None));
        self.frames.iter().map(event).collect()
    }
}

/// Returns the value of a header that is a string.
pub fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
    Some(header.value().as_string().expect("a string").as_str())
}

/// Returns the JSON in a `chunk`, or the payload of another frame.
pub fn event(message: &Message) -> Value {
    let payload: Value = serde_json::from_slice(message.payload()).expect("JSON");
    if header(message, ":event-type") != Some("chunk") {
        return payload;
    }
    let bytes = BASE64_STANDARD.decode(payload["bytes"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&bytes).expect("JSON in the chunk")
}

/// Concatenates the text of the deltas.
pub fn text(events: &[Value]) -> String {
    let deltas = events.iter().filter(|event| event["type"] == "content_block_delta");
    deltas
        .filter(|event| event["delta"]["type"] == "text_delta")
        .map(|event| event["delta"]["text"].as_str().unwrap())
        .collect()
}

/// Returns the types of the events, without consecutive repetitions.
pub fn types(events: &[Value]) -> Vec<&str> {
    let mut types: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    types.dedup();
    types
}
