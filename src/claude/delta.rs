//! The events of Claude's stream.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Error;

use super::reply::InvalidReply;
use super::text::RawText;
use super::usage::Usage;
use crate::aws::error_type;
use crate::identifier::Identifier;

/// The part of a stream event that matters here.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum Delta {
    /// `message_start`.
    Start(Usage),
    /// Text, from the start of a block or a delta.
    Text(RawText),
    /// `message_delta`: why the model stopped, and what the reply is billed by.
    Stop { reason: Option<Identifier>, usage: Usage },
    /// `message_stop`: the reply is complete.
    End,
    /// `error`, an event of Claude's own API: the reply ends early.
    Error { kind: Option<Identifier>, message: String },
    /// Thinking, tool input, pings, and unknown events.
    Other,
}

impl Delta {
    /// Parses an event.
    ///
    /// # Errors
    ///
    /// If it is not JSON, or a known event has another form.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, InvalidReply> {
        /// A text delta. Nearly all events are one, so it is parsed in one pass and the others in up to three.
        #[derive(Deserialize)]
        struct TextEvent<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            #[serde(borrow)]
            delta: TextDelta<'a>,
        }
        #[derive(Deserialize)]
        struct TextDelta<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            text: RawText,
        }
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(rename = "type", borrow, default)]
            kind: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct Event<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct MessageStart {
            message: Start,
        }
        #[derive(Deserialize)]
        struct Start {
            usage: Option<Usage>,
        }
        /// `content_block_start` and `content_block_delta`.
        #[derive(Deserialize)]
        struct Content<T> {
            #[serde(alias = "content_block")]
            delta: T,
        }
        #[derive(Deserialize)]
        struct Text {
            #[serde(default)]
            text: RawText,
        }
        #[derive(Deserialize)]
        struct MessageDelta {
            delta: Stop,
            usage: Option<Usage>,
        }
        #[derive(Deserialize)]
        struct Stop {
            stop_reason: Option<String>,
        }
        #[derive(Deserialize)]
        struct Failure {
            error: Fault,
        }
        #[derive(Deserialize)]
        struct Fault {
            #[serde(rename = "type", default)]
            kind: String,
            #[serde(default)]
            message: String,
        }

        if json.starts_with(b"{")
            && let Ok(TextEvent { kind, delta }) = serde_json::from_slice(json)
            && (&*kind, &*delta.kind) == ("content_block_delta", "text_delta")
        {
            return Ok(Self::Text(delta.text));
        }
        // By the type first: an event that is ignored may have any form.
        Ok(match &*object::<Event>(json)?.kind {
            "message_start" => {
                Self::Start(object::<MessageStart>(json)?.message.usage.unwrap_or_default())
            }
            "content_block_start" | "content_block_delta" => {
                match &*object::<Content<Typed>>(json)?.delta.kind {
                    "text" | "text_delta" => Self::Text(object::<Content<Text>>(json)?.delta.text),
                    _ => Self::Other,
                }
            }
            "message_delta" => {
                let MessageDelta { delta, usage } = object(json)?;
                let reason = delta.stop_reason.as_deref().and_then(Identifier::new);
                Self::Stop { reason, usage: usage.unwrap_or_default() }
            }
            "message_stop" => Self::End,
            "error" => {
                let Fault { kind, message } = object::<Failure>(json)?.error;
                Self::Error { kind: error_type(&kind), message }
            }
            _ => Self::Other,
        })
    }
}

/// Parses a JSON object. serde accepts an array in place of a struct.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, InvalidReply> {
    let is_array = json.trim_ascii_start().starts_with(b"[");
    let result =
        if is_array { Err(Error::custom("an array")) } else { serde_json::from_slice(json) };
    result.map_err(|error| InvalidReply::not_json(json, &error))
}
