//! A streamed reply: events of ConverseStream become Claude's.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>
//!
//! ConverseStream announces only the blocks of tools, and reports the usage behind the end of the message.

use std::collections::VecDeque;

use serde_json::value::RawValue;

use super::names::ToolNames;
use super::reply::{Stop, content, tool_use, usage};
use crate::claude::{InvalidReply, Reply, object};
use crate::json::{Members, to_json};

/// The events of one reply: events of ConverseStream go in, Claude's come out as JSON.
#[derive(Debug)]
pub(crate) struct Events {
    names: ToolNames,
    /// The id of the message.
    id: String,
    /// The events that were not taken yet.
    events: VecDeque<String>,
    /// The blocks that have begun and not ended.
    open: Vec<Open>,
    /// The number of blocks so far.
    blocks: usize,
    /// The last event of Claude's, up to the usage, and what follows it.
    end: Option<(String, &'static str)>,
}

/// A block that has begun.
#[derive(Debug)]
struct Open {
    /// ConverseStream's number of the block.
    at: u64,
    kind: Kind,
    /// Claude's number of the block.
    index: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Tool,
}

impl Events {
    pub(crate) fn new(names: ToolNames, id: String) -> Self {
        let (events, open) = (VecDeque::new(), Vec::new());
        Self { names, id, events, open, blocks: 0, end: None }
    }

    /// Returns the next event.
    pub(crate) fn pop(&mut self) -> Option<String> {
        self.events.pop_front()
    }

    /// Adds an event of ConverseStream: its type and its payload. Ignores events and deltas of an unknown type.
    ///
    /// # Errors
    ///
    /// If a known one has another form.
    pub(crate) fn push(&mut self, kind: &str, payload: &[u8]) -> Result<(), InvalidReply> {
        let payload: Members = object(payload)?;
        let at = match payload.get("contentBlockIndex") {
            Some(number) => serde_json::from_str(number.get())
                .map_err(|error| InvalidReply::not_json(number.get().as_bytes(), &error))?,
            None => 0,
        };
        match kind {
            "messageStart" => {
                let id = to_json(&self.id);
                // Its usage comes last. The SDKs want a number here.
                const REST: &str = r#","type":"message","role":"assistant","model":"","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}"#;
                self.emit(&[r#"{"type":"message_start","message":{"id":"#, &id, REST]);
            }
            "contentBlockStart" => {
                let start = payload.get("start").map(Members::of);
                if let Some(tool) = start.and_then(|it| it.get("toolUse")) {
                    self.close(|it| it.at == at);
                    let block = tool_use(&Members::of(tool), &self.names) + "{}}";
                    self.start(at, Kind::Tool, &block);
                }
            }
            "contentBlockDelta" => {
                if let Some(delta) = payload.get("delta") {
                    self.delta(at, &Members::of(delta))?;
                }
            }
            "contentBlockStop" => self.close(|it| it.at == at),
            "messageStop" => {
                self.close(|_| true);
                let stop = Stop::parse(payload.get("stopReason"))?;
                let start = r#"{"type":"message_delta","delta":{"stop_reason":"#;
                let rest = r#","stop_sequence":null},"usage":"#;
                let end = [start, &stop.reason, rest].concat();
                self.end = Some((end, stop.guardrail()));
            }
            "metadata" => {
                if let Some((end, guardrail)) = self.end.take() {
                    self.emit(&[&end, &usage(payload.get("usage")), "}"]);
                    self.emit(&[r#"{"type":"message_stop""#, guardrail, "}"]);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds a whole reply of Converse.
    ///
    /// # Errors
    ///
    /// If it is not one.
    pub(crate) fn push_reply(&mut self, body: &[u8]) -> Result<(), InvalidReply> {
        let Some(blocks) = content(&object(body)?) else {
            return Err(Reply::parse(body).err().unwrap_or(InvalidReply::NoText));
        };
        self.push("messageStart", b"{}")?;
        for block in blocks {
            let block = Members::of(block);
            if let Some(tool) = block.get("toolUse").map(Members::of) {
                self.start(0, Kind::Tool, &(tool_use(&tool, &self.names) + "{}}"));
                let input = to_json(&tool.get("input").map_or("{}", RawValue::get));
                self.add(0, Kind::Tool, "input_json_delta", "partial_json", &input)?;
                self.close(|_| true);
                continue;
            }
            let reasoning = block.get("reasoningContent").map(Members::of);
            match reasoning.and_then(|it| it.get("reasoningText")) {
                Some(text) => self.reasoning(0, &Members::of(text))?,
                None => self.delta(0, &block)?,
            }
            self.close(|_| true);
        }
        // Both read what they need of it.
        self.push("messageStop", body)?;
        self.push("metadata", body)
    }

    fn delta(&mut self, at: u64, delta: &Members<'_>) -> Result<(), InvalidReply> {
        if let Some(text) = delta.get("text") {
            self.add(at, Kind::Text, "text_delta", "text", text.get())?;
        }
        if let Some(input) = delta.get("toolUse").and_then(|it| Members::of(it).get("input")) {
            self.add(at, Kind::Tool, "input_json_delta", "partial_json", input.get())?;
        }
        match delta.get("reasoningContent") {
            Some(reasoning) => self.reasoning(at, &Members::of(reasoning)),
            None => Ok(()),
        }
    }

    fn reasoning(&mut self, at: u64, reasoning: &Members<'_>) -> Result<(), InvalidReply> {
        if let Some(text) = reasoning.get("text") {
            self.add(at, Kind::Thinking, "thinking_delta", "thinking", text.get())?;
        }
        if let Some(signature) = reasoning.get("signature") {
            self.add(at, Kind::Thinking, "signature_delta", "signature", signature.get())?;
        }
        if let Some(data) = reasoning.get("redactedContent") {
            self.close(|it| it.at == at);
            let block = [r#"{"type":"redacted_thinking","data":"#, data.get(), "}"].concat();
            self.start(at, Kind::Thinking, &block);
            self.close(|it| it.at == at);
        }
        Ok(())
    }

    /// Adds a delta to its block, which it may begin.
    fn add(
        &mut self,
        at: u64,
        kind: Kind,
        delta: &str,
        name: &str,
        value: &str,
    ) -> Result<(), InvalidReply> {
        let known = self.open.iter().find(|it| it.at == at && it.kind == kind);
        let index = match (known, kind) {
            (Some(open), _) => open.index,
            // A call without a name is none.
            (None, Kind::Tool) => return Err(InvalidReply::Malformed),
            (None, Kind::Text | Kind::Thinking) => {
                self.close(|it| it.at == at);
                let block = match kind {
                    Kind::Thinking => r#"{"type":"thinking","thinking":"","signature":""}"#,
                    _ => r#"{"type":"text","text":""}"#,
                };
                self.start(at, kind, block)
            }
        };
        let index = index.to_string();
        self.emit(&[
            r#"{"type":"content_block_delta","index":"#,
            &index,
            r#","delta":{"type":""#,
            delta,
            r#"",""#,
            name,
            r#"":"#,
            value,
            "}}",
        ]);
        Ok(())
    }

    fn start(&mut self, at: u64, kind: Kind, block: &str) -> usize {
        let index = self.blocks;
        self.blocks += 1;
        self.open.push(Open { at, kind, index });
        let number = index.to_string();
        let start = r#"{"type":"content_block_start","index":"#;
        self.emit(&[start, &number, r#","content_block":"#, block, "}"]);
        index
    }

    fn emit(&mut self, texts: &[&str]) {
        self.events.push_back(texts.concat());
    }

    /// Ends the blocks that match.
    fn close(&mut self, matches: impl Fn(&Open) -> bool) {
        let events = &mut self.events;
        self.open.retain(|open| {
            let is_over = matches(open);
            if is_over {
                let index = open.index.to_string();
                events
                    .push_back([r#"{"type":"content_block_stop","index":"#, &index, "}"].concat());
            }
            !is_over
        });
    }
}
