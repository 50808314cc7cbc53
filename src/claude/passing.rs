//! Replies of InvokeModel, passed on as those of Anthropic's Messages API: what Bedrock adds goes, what only Anthropic has
//! comes, and every other byte stays.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::delta::object;
use super::reply::InvalidReply;
use super::usage::Usage;
use crate::json::{Edits, Members, fields, member, to_json};

/// How the names of Bedrock's own members begin, such as `amazon-bedrock-invocationMetrics`.
const BEDROCKS_OWN: &str = "amazon-bedrock-";

/// An event of a stream, in one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedEvent {
    /// The type, such as `content_block_delta`.
    pub name: String,
    /// The event as JSON.
    pub json: String,
}

impl Serialize for PassedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json: &RawValue =
            serde_json::from_str(&self.json).map_err(serde::ser::Error::custom)?;
        json.serialize(serializer)
    }
}

impl PassedEvent {
    /// Passes an event on. `model` is the one that the caller named, and `usage` what earlier events have reported.
    ///
    /// # Errors
    ///
    /// If it is not a JSON object with a type.
    pub(crate) fn new(json: &[u8], model: &str, usage: &Usage) -> Result<Self, InvalidReply> {
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
        }
        let name = object::<Typed>(json)?.kind.into_owned();
        // serde_json has checked it.
        let text = std::str::from_utf8(json).unwrap_or_default();
        let mut edits = Edits::new(text);
        match &*name {
            "content_block_delta" => {}
            "message_start" => {
                if let Ok([Some(message)]) = fields(text, ["message"])
                    && let Some(own) = member(message, "model")
                {
                    edits.replace(own, to_json(&model));
                }
            }
            "message_delta" => {
                if let Ok([Some(reported)]) = fields(text, ["usage"]) {
                    complete(&mut edits, reported, usage);
                }
            }
            _ => remove_bedrocks_own(&mut edits, text),
        }
        let json = if edits.is_empty() { text.to_owned() } else { edits.apply() };
        // A line break between two values would end the event's line.
        let has_break = memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some();
        let json = if has_break { json.replace(['\n', '\r'], " ") } else { json };
        Ok(Self { name, json })
    }
}

/// Passes a complete reply on.
pub(crate) fn pass_reply(json: &str, model: &str) -> String {
    let mut edits = Edits::new(json);
    if let Ok([Some(own)]) = fields(json, ["model"]) {
        edits.replace(own, to_json(&model));
    }
    remove_bedrocks_own(&mut edits, json);
    edits.apply()
}

fn remove_bedrocks_own<'a>(edits: &mut Edits<'a>, json: &'a str) {
    if !json.contains(BEDROCKS_OWN) {
        return;
    }
    let members = serde_json::from_str(json).unwrap_or(Members(Vec::new())).0;
    for (name, value) in members.iter().filter(|(name, _)| name.starts_with(BEDROCKS_OWN)) {
        edits.remove_member(name, value);
    }
}

/// Adds the numbers that Anthropic repeats in the last usage of a stream and Bedrock reports at its start only.
fn complete<'a>(edits: &mut Edits<'a>, reported: &'a RawValue, usage: &Usage) {
    let Ok(Members(members)) = serde_json::from_str(reported.get()) else { return };
    let mut added = String::new();
    for (name, number) in [
        ("input_tokens", usage.input_tokens),
        ("cache_creation_input_tokens", usage.cache_creation_input_tokens),
        ("cache_read_input_tokens", usage.cache_read_input_tokens),
    ] {
        if let Some(number) = number
            && !members.iter().any(|(known, _)| known == name)
        {
            added += &format!(r#""{name}":{number},"#);
        }
    }
    if !members.is_empty() && !added.is_empty() {
        edits.insert(reported.get(), added);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage {
        input_tokens: Some(3),
        output_tokens: Some(1),
        cache_read_input_tokens: Some(5),
        cache_creation_input_tokens: None,
        cache_creation_1h_input_tokens: None,
    };

    #[test]
    fn events_pass_untouched_except_for_the_model_the_usage_and_bedrocks_own() {
        for (json, expected) in [
            (
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"a\/b="}}"#,
                None,
            ),
            (
                r#"{"index": 1, "type": "content_block_start", "content_block": {"input": {}}}"#,
                None,
            ),
            (r#"{"type":"unknown_event","amazon":1}"#, None),
            (
                r#"{"type":"message_start","message":{"id":"msg_bdrk_1","model":"claude-x","usage":{"input_tokens":3}}}"#,
                Some(
                    r#"{"type":"message_start","message":{"id":"msg_bdrk_1","model":"mine","usage":{"input_tokens":3}}}"#,
                ),
            ),
            (
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
                Some(
                    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":3,"cache_read_input_tokens":5,"output_tokens":9}}"#,
                ),
            ),
            (
                r#"{"type":"message_delta","delta":{},"usage":{"output_tokens":9,"input_tokens":1,"cache_read_input_tokens":0}}"#,
                None,
            ),
            (r#"{"type":"message_delta","delta":{},"usage":{}}"#, None),
            (
                r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3}}"#,
                Some(r#"{"type":"message_stop"}"#),
            ),
            ("{\"type\":\"ping\",\r\n\"a\":1}", Some(r#"{"type":"ping",  "a":1}"#)),
        ] {
            let event = PassedEvent::new(json.as_bytes(), "mine", &USAGE).unwrap();
            assert_eq!(event.json, expected.unwrap_or(json));
        }
        assert!(PassedEvent::new(b"[]", "mine", &USAGE).is_err());
        assert!(PassedEvent::new(b"{\"a\":1}", "mine", &USAGE).is_err());
    }

    #[test]
    fn a_whole_reply_has_the_callers_model_and_nothing_of_bedrocks_own() {
        assert_eq!(
            pass_reply(
                r#"{"model":"claude-x","amazon-bedrock-trace":{},"content":[{"type":"text","text":"\u3053"}]}"#,
                "mine",
            ),
            r#"{"model":"mine","content":[{"type":"text","text":"\u3053"}]}"#
        );
    }
}
