//! A streamed reply: events of ConverseStream become Claude's.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>
//!
//! ConverseStream announces only the blocks of tools, and reports the usage behind the end of the message.

use std::collections::VecDeque;

use serde_json::value::RawValue;

use super::names::ToolNames;
use super::reply::{Stop, content, parse, tool_use, usage};
use crate::claude::{InvalidReply, Reply};
use crate::json::{member, quoted};

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
        let payload = parse(payload)?;
        let at = match member(payload, "contentBlockIndex") {
            Some(number) => serde_json::from_str(number.get())
                .map_err(|error| InvalidReply::not_json(number.get().as_bytes(), &error))?,
            None => 0,
        };
        match kind {
            "messageStart" => {
                let id = quoted(&self.id);
                // Its usage comes last. The SDKs want a number here.
                const REST: &str = r#","type":"message","role":"assistant","model":"","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}"#;
                self.emit(&[r#"{"type":"message_start","message":{"id":"#, &id, REST]);
            }
            "contentBlockStart" => {
                let start = member(payload, "start");
                if let Some(tool) = start.and_then(|it| member(it, "toolUse")) {
                    self.close(|it| it.at == at);
                    let block = tool_use(tool, &self.names) + "{}}";
                    self.start(at, Kind::Tool, &block);
                }
            }
            "contentBlockDelta" => {
                if let Some(delta) = member(payload, "delta") {
                    self.delta(at, delta)?;
                }
            }
            "contentBlockStop" => self.close(|it| it.at == at),
            "messageStop" => {
                self.close(|_| true);
                let stop = Stop::parse(member(payload, "stopReason"))?;
                let start = r#"{"type":"message_delta","delta":{"stop_reason":"#;
                let rest = r#","stop_sequence":null},"usage":"#;
                let end = [start, &stop.reason, rest].concat();
                self.end = Some((end, stop.guardrail()));
            }
            "metadata" => {
                if let Some((end, guardrail)) = self.end.take() {
                    self.emit(&[&end, &usage(member(payload, "usage")), "}"]);
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
        let Some(blocks) = content(parse(body)?) else {
            return Err(Reply::parse(body).err().unwrap_or(InvalidReply::NoText));
        };
        self.push("messageStart", b"{}")?;
        for block in blocks {
            if let Some(tool) = member(block, "toolUse") {
                self.start(0, Kind::Tool, &(tool_use(tool, &self.names) + "{}}"));
                let input = quoted(member(tool, "input").map_or("{}", RawValue::get));
                self.add(0, Kind::Tool, "input_json_delta", "partial_json", &input)?;
                self.close(|_| true);
                continue;
            }
            let reasoning = member(block, "reasoningContent");
            match reasoning.and_then(|it| member(it, "reasoningText")) {
                Some(text) => self.reasoning(0, text)?,
                None => self.delta(0, block)?,
            }
            self.close(|_| true);
        }
        // Both read what they need of it.
        self.push("messageStop", body)?;
        self.push("metadata", body)
    }

    fn delta(&mut self, at: u64, delta: &RawValue) -> Result<(), InvalidReply> {
        if let Some(text) = member(delta, "text") {
            self.add(at, Kind::Text, "text_delta", "text", text.get())?;
        }
        if let Some(input) = member(delta, "toolUse").and_then(|it| member(it, "input")) {
            self.add(at, Kind::Tool, "input_json_delta", "partial_json", input.get())?;
        }
        match member(delta, "reasoningContent") {
            Some(reasoning) => self.reasoning(at, reasoning),
            None => Ok(()),
        }
    }

    fn reasoning(&mut self, at: u64, reasoning: &RawValue) -> Result<(), InvalidReply> {
        if let Some(text) = member(reasoning, "text") {
            self.add(at, Kind::Thinking, "thinking_delta", "thinking", text.get())?;
        }
        if let Some(signature) = member(reasoning, "signature") {
            self.add(at, Kind::Thinking, "signature_delta", "signature", signature.get())?;
        }
        if let Some(data) = member(reasoning, "redactedContent") {
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
