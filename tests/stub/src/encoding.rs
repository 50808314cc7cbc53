//! The encodings of a stream: frames of `application/vnd.amazon.eventstream`, with Claude's events or
//! with those of `ConverseStream`, and the server-sent events of the native endpoint.

use serde_json::{Value, json};

use crate::converse;
use crate::error::anthropic_type;
use crate::events::METRICS;
use crate::frames::{chunk, chunk_of, encode, exception};
use crate::stream::{EVENT_STREAM, Step};
use crate::{invoke, makers};

/// An encoding of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The frames of `InvokeModelWithResponseStream`.
    Frames,
    /// The frames of `ConverseStream`.
    Converse,
    /// The frames of a model of another maker.
    Other(makers::Body),
    /// The server-sent events of the native endpoint. They have nothing of Bedrock's own.
    Sse,
}

impl Encoding {
    /// Returns the content type of a response.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Frames | Self::Converse | Self::Other(_) => EVENT_STREAM,
            Self::Sse => "text/event-stream; charset=utf-8",
        }
    }

    /// Tells whether a stream consists of frames.
    pub(crate) fn has_frames(self) -> bool {
        self != Self::Sse
    }

    /// Encodes what a step sends. Some of Claude's events have no frame in `ConverseStream`.
    pub fn encode(self, step: &Step) -> Vec<u8> {
        match (step, self) {
            (Step::Event(event), Self::Frames) => encode(&chunk(event)),
            (Step::Event(event), Self::Converse) => converse_frame(event),
            (Step::Event(event), Self::Other(body)) => other_chunk(body, event),
            (Step::Json(json), Self::Other(body)) => {
                other_chunk(body, &serde_json::from_str(json).unwrap_or_default())
            }
            (Step::Json(json), Self::Converse) => {
                converse_frame(&serde_json::from_str(json).unwrap_or_default())
            }
            (Step::Event(event), Self::Sse) => {
                let mut event = event.clone();
                if let Some(event) = event.as_object_mut() {
                    event.remove(METRICS);
                }
                sse(&event["type"], &event.to_string())
            }
            (Step::Json(json), Self::Frames) => encode(&chunk_of(json.as_bytes())),
            (Step::Json(json), Self::Sse) => {
                let event: Value = serde_json::from_str(json).unwrap_or_default();
                sse(&event["type"], json)
            }
            (Step::Exception(kind, message), Self::Frames | Self::Converse | Self::Other(_)) => {
                encode(&exception(kind, message))
            }
            (Step::Exception(kind, message), Self::Sse) => {
                // In a stream the names begin with a small letter.
                let mut name = kind.to_string();
                name[..1].make_ascii_uppercase();
                let (_, error_type) = anthropic_type(&name, 500);
                let error = json!({ "type": error_type, "message": message });
                sse(&json!("error"), &json!({ "type": "error", "error": error }).to_string())
            }
            (Step::Bytes(bytes, _), _) => bytes.clone(),
            (Step::Stall | Step::HangUp, _) => Vec::new(),
        }
    }
}

fn converse_frame(event: &Value) -> Vec<u8> {
    converse::frame(event).map(|frame| encode(&frame)).unwrap_or_default()
}

fn other_chunk(body: makers::Body, event: &Value) -> Vec<u8> {
    invoke::chunk(body, event).map(|json| encode(&chunk(&json))).unwrap_or_default()
}

fn sse(event_type: &Value, json: &str) -> Vec<u8> {
    let event_type = event_type.as_str().unwrap_or_default();
    format!("event: {event_type}\ndata: {json}\n\n").into_bytes()
}
