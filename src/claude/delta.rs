//! The events of Claude's stream.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Error;

use super::block::{Block, Word};
use super::reply::InvalidReply;
use super::text::RawText;
use super::usage::Usage;
use crate::aws::error_type;
use crate::identifier::Identifier;
use crate::json::{Members, member, string};

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

/// A stream event.
#[derive(Debug)]
pub(crate) struct Event {
    /// What it adds to the reply.
    pub delta: Delta,
    /// Whether a guardrail has blocked or masked something.
    pub guardrail_intervened: bool,
}

impl Event {
    /// An event that adds nothing.
    pub(crate) const EMPTY: Self = Self { delta: Delta::Other, guardrail_intervened: false };

    /// Parses an event.
    ///
    /// # Errors
    ///
    /// If it is not JSON, or a known event has another form.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, InvalidReply> {
        /// Any event, if it is not one of an unknown type that has another form.
        #[derive(Deserialize)]
        struct Known<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            #[serde(alias = "content_block")]
            delta: Option<Block>,
            #[serde(rename = "amazon-bedrock-guardrailAction", default)]
            guardrail: Word,
        }
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            #[serde(rename = "amazon-bedrock-guardrailAction", default)]
            guardrail: Word,
        }

        // Nearly all events are deltas of a text, which this parses in one pass.
        let (kind, block, guardrail) = match object::<Known>(json) {
            Ok(Known { kind, delta, guardrail }) => (kind, Ok(delta), guardrail),
            Err(error) => {
                let Typed { kind, guardrail } = object(json)?;
                (kind, Err(error), guardrail)
            }
        };
        // By the type first: an event that is ignored may have any form.
        let mut guardrail_intervened = guardrail.is_intervened();
        let delta = match &*kind {
            "content_block_start" | "content_block_delta" => match block? {
                Some(Block(Some(text))) => Delta::Text(text),
                _ => Delta::Other,
            },
            "message_start" => {
                let event: Members = object(json)?;
                let usage = event.get("message").and_then(|message| member(message, "usage"));
                Delta::Start(usage.map(Usage::parse).unwrap_or_default())
            }
            "message_delta" => {
                let event: Members = object(json)?;
                let reason = event.get("delta").and_then(|delta| member(delta, "stop_reason"));
                let reason = reason.map(Word::parse).unwrap_or_default();
                guardrail_intervened |= reason.is_intervened();
                let usage = event.get("usage").map(Usage::parse).unwrap_or_default();
                Delta::Stop { reason: reason.0, usage }
            }
            "message_stop" => Delta::End,
            "error" => {
                let event: Members = object(json)?;
                let error = event.get("error");
                let text = |name| string(member(error?, name)?);
                let (kind, message) = (text("type"), text("message").unwrap_or_default());
                Delta::Error { kind: kind.and_then(|it| error_type(&it)), message: message.into() }
            }
            _ => Delta::Other,
        };
        Ok(Self { delta, guardrail_intervened })
    }
}

/// Parses a JSON object. serde accepts an array in place of a struct.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, InvalidReply> {
    let is_array = json.trim_ascii_start().starts_with(b"[");
    let result =
        if is_array { Err(Error::custom("an array")) } else { serde_json::from_slice(json) };
    result.map_err(|error| InvalidReply::not_json(json, &error))
}
