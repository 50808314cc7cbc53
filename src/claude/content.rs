//! The content of a streamed reply, put together again: what a whole reply has in its `content`.
//!
//! <https://docs.claude.com/en/docs/build-with-claude/streaming>
//!
//! Out of scope: what the blocks mean.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::delta::object;
use super::reply::InvalidReply;
use super::text::{Joiner, RawText};
use crate::json::to_json;

/// The content blocks of a stream so far: events go in, the JSON of an array comes out.
#[derive(Debug, Default)]
pub(crate) struct Content {
    blocks: Vec<Part>,
    /// The bytes of the deltas so far.
    length: usize,
}

/// A block and the members that deltas add to.
#[derive(Debug)]
struct Part {
    index: u64,
    /// The block as it began, without the members below.
    members: Map<String, Value>,
    text: Joined,
    thinking: Joined,
    /// The JSON of `input`.
    input: Joined,
}

/// A member that arrives in deltas.
#[derive(Debug, Default)]
struct Joined {
    text: Option<String>,
    joiner: Joiner,
}

impl Joined {
    fn push(&mut self, delta: RawText) {
        let text = self.joiner.push(&delta.0);
        self.text.get_or_insert_default().push_str(&text);
    }

    fn finish(mut self) -> Option<String> {
        let rest = self.joiner.finish();
        self.text.map(|text| text + &rest)
    }
}

#[derive(Deserialize)]
struct Known<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DeltaOfBlock<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    text: Option<RawText>,
    thinking: Option<RawText>,
    partial_json: Option<RawText>,
    signature: Option<String>,
    citation: Option<Value>,
}

impl Content {
    /// Takes an event of the stream. Ignores those that say nothing of the content.
    ///
    /// # Errors
    ///
    /// If an event of a content block has another form.
    pub(crate) fn push(&mut self, json: &[u8]) -> Result<(), InvalidReply> {
        let Ok(Known { kind, index, content_block, delta }) = object(json) else { return Ok(()) };
        let (Some(block), None) = (content_block, delta) else {
            return match delta {
                Some(delta) if kind == "content_block_delta" => self.add(index, delta),
                _ => Ok(()),
            };
        };
        if kind != "content_block_start" {
            return Ok(());
        }
        self.length += block.get().len();
        // Texts are read as bytes: a character may be split across deltas.
        let start: DeltaOfBlock = object(block.get().as_bytes())?;
        let mut members: Map<String, Value> = object(block.get().as_bytes())?;
        let (mut text, mut thinking) = (Joined::default(), Joined::default());
        if let Some(delta) = start.text {
            members.remove("text");
            text.push(delta);
        }
        if let Some(delta) = start.thinking {
            members.remove("thinking");
            thinking.push(delta);
        }
        let input = Joined::default();
        self.blocks.push(Part { index, members, text, thinking, input });
        Ok(())
    }

    fn add(&mut self, index: u64, delta: &RawValue) -> Result<(), InvalidReply> {
        self.length += delta.get().len();
        let delta: DeltaOfBlock = object(delta.get().as_bytes())?;
        let Some(part) = self.blocks.iter_mut().rev().find(|part| part.index == index) else {
            return Ok(());
        };
        match &*delta.kind {
            "text_delta" => part.text.push(delta.text.unwrap_or_default()),
            "thinking_delta" => part.thinking.push(delta.thinking.unwrap_or_default()),
            "input_json_delta" => part.input.push(delta.partial_json.unwrap_or_default()),
            "signature_delta" => {
                part.members
                    .insert("signature".to_owned(), delta.signature.unwrap_or_default().into());
            }
            "citations_delta" => {
                let citations = part.members.entry("citations").or_insert(Value::Null);
                if !citations.is_array() {
                    *citations = Value::Array(Vec::new());
                }
                if let (Value::Array(citations), Some(citation)) = (citations, delta.citation) {
                    citations.push(citation);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the bytes of the deltas so far.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Returns the content as a JSON array.
    ///
    /// # Errors
    ///
    /// If the input of a tool is not JSON.
    pub(crate) fn into_json(self) -> Result<String, InvalidReply> {
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for Part { mut members, text, thinking, input, .. } in self.blocks {
            if let Some(text) = text.finish() {
                members.insert("text".to_owned(), text.into());
            }
            if let Some(thinking) = thinking.finish() {
                members.insert("thinking".to_owned(), thinking.into());
            }
            if let Some(input) = input.finish().filter(|input| !input.is_empty()) {
                members.insert("input".to_owned(), object::<Value>(input.as_bytes())?);
            }
            blocks.push(members);
        }
        Ok(to_json(&blocks))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn content(events: &[&str]) -> Value {
        let mut content = Content::default();
        for event in events {
            content.push(event.as_bytes()).unwrap();
        }
        serde_json::from_str(&content.into_json().unwrap()).unwrap()
    }

    #[test]
    fn the_blocks_of_a_stream_are_those_of_a_whole_reply() {
        let events = [
            r#"{"type":"message_start","message":{"content":[]}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"One "}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"two"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"a/b="}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"x"}}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":"","citations":null}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"\ud83d"}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"\ude00!"}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"a":1}}}"#,
            r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#,
            r#"{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"u","name":"n","input":{}}}"#,
            r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":""}}"#,
            r#"{"type":"content_block_delta","index":4,"delta":{"type":"unknown_delta","text":"x"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}"#,
            r#"{"type":"message_stop"}"#,
        ];
        let expected = json!([
            { "type": "thinking", "thinking": "One two", "signature": "a/b=" },
            { "type": "redacted_thinking", "data": "x" },
            { "type": "text", "text": "😀!", "citations": [{ "a": 1 }] },
            { "type": "tool_use", "id": "t", "name": "n", "input": { "a": 1 } },
            { "type": "tool_use", "id": "u", "name": "n", "input": {} },
        ]);
        assert_eq!(content(&events), expected);
    }

    #[test]
    fn a_stream_without_blocks_has_an_empty_content() {
        assert_eq!(content(&[r#"{"type":"message_stop"}"#, "[]", "1"]), json!([]));
    }

    #[test]
    fn an_input_that_is_not_json_is_refused() {
        let mut content = Content::default();
        for event in [
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","input":{}}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a"}}"#,
        ] {
            content.push(event.as_bytes()).unwrap();
        }
        assert!(content.into_json().is_err());
    }
}
