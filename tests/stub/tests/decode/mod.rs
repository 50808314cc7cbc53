//! The decoder of these tests: the aws-smithy-eventstream crate, which shares nothing with the
//! encoder under test.

#![allow(dead_code, reason = "no test file uses all of it")]

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, Bytes};
use serde_json::Value;

/// What could be made of some bytes.
#[derive(Debug)]
pub struct Decoded {
    pub frames: Vec<Message>,
    /// How many bytes come after the last whole frame.
    pub left: usize,
    /// Why it did not go on.
    pub error: Option<String>,
}

/// Decodes until the end, or a mistake.
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
    /// The events of a stream that is good to its end, [`event`] of each.
    pub fn events(&self) -> Vec<Value> {
        assert_eq!((self.left, &self.error), (0, &None));
        self.frames.iter().map(event).collect()
    }
}

/// A header that is text.
pub fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
    Some(header.value().as_string().expect("a text").as_str())
}

/// The JSON in a `chunk`; of another frame, its payload.
pub fn event(message: &Message) -> Value {
    let payload: Value = serde_json::from_slice(message.payload()).expect("JSON");
    if header(message, ":event-type") != Some("chunk") {
        return payload;
    }
    let bytes = BASE64_STANDARD.decode(payload["bytes"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&bytes).expect("JSON in the chunk")
}

/// The deltas' text, joined.
pub fn text(events: &[Value]) -> String {
    let deltas = events.iter().filter(|event| event["type"] == "content_block_delta");
    deltas
        .filter(|event| event["delta"]["type"] == "text_delta")
        .map(|event| event["delta"]["text"].as_str().unwrap())
        .collect()
}

/// The types of the events, one after another the same only once.
pub fn types(events: &[Value]) -> Vec<&str> {
    let mut types: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    types.dedup();
    types
}
