//! The content of a streamed reply, put together again: what a whole reply has in its `content`.
//!
//! <https://docs.claude.com/en/docs/build-with-claude/streaming>
//!
//! Out of scope: what the blocks mean.

use serde_json::value::RawValue;

use super::delta::object;
use super::reply::InvalidReply;
use super::text::{Joiner, RawText};
use crate::json::{Members, string, write_string};

/// The members of a block that arrive in deltas: their names, the types of the deltas, and the names there.
const JOINED: [[&str; 3]; 3] = [
    ["text", "text_delta", "text"],
    ["thinking", "thinking_delta", "thinking"],
    ["input", "input_json_delta", "partial_json"],
];

/// The content blocks of a stream so far: events go in, the JSON of an array comes out.
#[derive(Debug, Default)]
pub(crate) struct Content {
    blocks: Vec<Part>,
    /// The bytes of the blocks and deltas so far.
    length: usize,
}

/// A block.
#[derive(Debug, Default)]
struct Part {
    /// Its number in the stream, in JSON.
    index: String,
    /// The members with which it began, in JSON, except for those that deltas add to.
    members: Vec<(String, String)>,
    /// The members of [`JOINED`].
    joined: [Joined; 3],
    /// The citations that deltas add, in JSON.
    citations: Vec<String>,
}

/// A member that arrives in deltas.
#[derive(Debug, Default)]
struct Joined {
    text: Option<String>,
    joiner: Joiner,
}

impl Joined {
    /// Adds a string. A character may be split across two of them.
    fn push(&mut self, json: &RawValue) -> Result<(), InvalidReply> {
        let RawText(delta) = read(json)?;
        let text = self.joiner.push(&delta);
        self.text.get_or_insert_default().push_str(&text);
        Ok(())
    }

    fn finish(mut self) -> Option<String> {
        let rest = self.joiner.finish();
        self.text.map(|text| text + &rest)
    }
}

fn read<'a, T: serde::Deserialize<'a>>(json: &'a RawValue) -> Result<T, InvalidReply> {
    serde_json::from_str(json.get())
        .map_err(|error| InvalidReply::not_json(json.get().as_bytes(), &error))
}

/// Returns a member of an object.
fn member<'a>(members: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    members.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}

impl Content {
    /// Takes an event of the stream. Ignores those that say nothing of the content.
    ///
    /// # Errors
    ///
    /// If an event of a content block has another form.
    pub(crate) fn push(&mut self, json: &[u8]) -> Result<(), InvalidReply> {
        let Ok(event) = object::<Members>(json) else { return Ok(()) };
        let kind = member(&event, "type").and_then(string).unwrap_or_default();
        let name = match &*kind {
            "content_block_start" => "content_block",
            "content_block_delta" => "delta",
            _ => return Ok(()),
        };
        let Some(value) = member(&event, name) else { return Ok(()) };
        let index = member(&event, "index").map_or("0", RawValue::get);
        self.length += value.get().len();
        match name {
            "delta" => self.add(index, &read(value)?),
            _ => self.start(index, read(value)?),
        }
    }

    fn start(&mut self, index: &str, Members(members): Members<'_>) -> Result<(), InvalidReply> {
        let mut part = Part { index: index.to_owned(), ..Part::default() };
        for (name, value) in members {
            match JOINED.iter().position(|[known, ..]| *known == name) {
                // The input of a tool begins as an empty object.
                Some(at) if value.get().starts_with('"') => {
                    if let Some(joined) = part.joined.get_mut(at) {
                        joined.push(value)?;
                    }
                }
                _ => part.members.push((name.into_owned(), value.get().to_owned())),
            }
        }
        self.blocks.push(part);
        Ok(())
    }

    fn add(&mut self, index: &str, delta: &Members<'_>) -> Result<(), InvalidReply> {
        let Some(part) = self.blocks.iter_mut().rev().find(|part| part.index == index) else {
            return Ok(());
        };
        let kind = member(delta, "type").and_then(string).unwrap_or_default();
        if let Some(at) = JOINED.iter().position(|[_, known, _]| *known == kind)
            && let (Some([.., name]), Some(joined)) = (JOINED.get(at), part.joined.get_mut(at))
            && let Some(value) = member(delta, name)
        {
            return joined.push(value);
        }
        match &*kind {
            "signature_delta" => {
                if let Some(signature) = member(delta, "signature") {
                    part.members.retain(|(name, _)| name != "signature");
                    part.members.push(("signature".to_owned(), signature.get().to_owned()));
                }
            }
            "citations_delta" => {
                let citation = member(delta, "citation").map(|it| it.get().to_owned());
                part.citations.extend(citation);
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the bytes of the blocks and deltas so far.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Returns the content as a JSON array.
    ///
    /// # Errors
    ///
    /// If the input of a tool is not JSON.
    pub(crate) fn into_json(self) -> Result<String, InvalidReply> {
        let mut out = "[".to_owned();
        for Part { mut members, joined: [text, thinking, input], citations, .. } in self.blocks {
            if !citations.is_empty() {
                members.retain(|(name, _)| name != "citations");
                members.push(("citations".to_owned(), format!("[{}]", citations.join(","))));
            }
            for (name, joined) in [("text", text), ("thinking", thinking)] {
                if let Some(text) = joined.finish() {
                    let mut json = String::new();
                    write_string(&mut json, &text);
                    members.push((name.to_owned(), json));
                }
            }
            if let Some(input) = input.finish().filter(|input| !input.is_empty()) {
                object::<Members>(input.as_bytes())?;
                members.retain(|(name, _)| name != "input");
                members.push(("input".to_owned(), input));
            }
            out.push_str(if out.len() > 1 { ",{" } else { "{" });
            for (at, (name, value)) in members.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write_string(&mut out, name);
                out.extend([":", value]);
            }
            out.push('}');
        }
        out.push(']');
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
