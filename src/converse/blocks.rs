//! The messages and the system prompt: turns of content blocks.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::conversion::{Conversion, put, put_next};
use super::names::call_id;
use crate::claude::Feature;
use crate::json::{Members, quoted, string};

/// The types of images that Converse takes.
const IMAGES: [&str; 4] = ["png", "jpeg", "gif", "webp"];

/// The longest name of a document, without what tells it from others.
const MAX_DOCUMENT_NAME: usize = 100;

/// Returns the media type of a source. PHP writes it with an escaped slash.
fn media_type<'a>(source: &Members<'a>) -> Cow<'a, str> {
    source.get("media_type").and_then(string).unwrap_or_default()
}

/// Messages of one role that follow each other: roles must alternate in Converse.
pub(super) struct Turn<'a> {
    is_user: bool,
    blocks: Vec<Block<'a>>,
}

/// A block.
struct Block<'a> {
    /// Its place, such as `messages.0.content.1`.
    place: String,
    members: Members<'a>,
    /// The text that stands for a list of one block.
    text: Option<&'a RawValue>,
}

impl<'a> Block<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        match (name, self.text) {
            ("text", Some(text)) => Some(text),
            _ => self.members.get(name),
        }
    }

    /// Returns the type.
    fn kind(&self) -> &'a str {
        let kind = self.get("type").map_or(r#""text""#, RawValue::get);
        kind.trim_matches('"')
    }

    fn is_tool_block(&self) -> bool {
        matches!(self.kind(), "tool_use" | "tool_result")
    }

    fn is_blank(&self) -> bool {
        let is_blank = |text| string(text).is_some_and(|it| it.trim().is_empty());
        self.kind() == "text" && self.get("text").is_none_or(is_blank)
    }
}

impl Turn<'_> {
    pub(super) fn has_tool_blocks(&self) -> bool {
        self.blocks.iter().any(Block::is_tool_block)
    }

    fn has(&self, kind: &str) -> bool {
        self.blocks.iter().any(|block| block.kind() == kind)
    }
}

impl<'a> Conversion<'a, '_> {
    /// Parses blocks, or a text that stands for one.
    fn blocks(&mut self, place: &str, json: &'a RawValue) -> Vec<Block<'a>> {
        if json.get().starts_with('"') {
            let (place, members) = (place.to_owned(), Members(Vec::new()));
            return vec![Block { place, members, text: Some(json) }];
        }
        let mut blocks = Vec::new();
        for (index, json) in self.list(&[place], json).into_iter().enumerate() {
            let place = [place, ".", &index.to_string()].concat();
            let members = self.object(&[&place], json);
            blocks.push(Block { place, members, text: None });
        }
        blocks
    }

    /// Returns a member that a block must have.
    fn required(&mut self, block: &Block<'a>, name: &str) -> &'a RawValue {
        match block.get(name) {
            Some(json) => json,
            None => {
                self.missing(&[&block.place, ".", name]);
                RawValue::NULL
            }
        }
    }

    /// Parses the messages, without the blocks that the model would refuse and that say nothing to it.
    pub(super) fn turns(&mut self) -> Vec<Turn<'a>> {
        let mut turns: Vec<Turn<'a>> = Vec::new();
        let Some(json) = self.member("messages") else {
            self.missing(&["messages"]);
            return turns;
        };
        for (index, message) in self.list(&["messages"], json).into_iter().enumerate() {
            let place = ["messages.", &index.to_string()].concat();
            let message = self.object(&[&place], message);
            let role = message.get("role").map_or("", RawValue::get);
            match role {
                r#""user""# | r#""assistant""# => {}
                r#""system""# => self.tell(&[&place, ".role"]),
                _ => {
                    let problem = "Input should be 'user' or 'assistant'";
                    self.invalid(&[&place, ".role"], &[problem]);
                }
            }
            let is_user = role != r#""assistant""#;
            if message.get("output_config").is_some() {
                self.tell(&[&place, ".output_config"]);
            }
            let place = place + ".content";
            let Some(content) = message.get("content") else {
                self.missing(&[&place]);
                continue;
            };
            let mut kept = self.blocks(&place, content);
            kept.retain(|block| self.is_kept(block));
            match turns.last_mut() {
                _ if kept.is_empty() => {
                    if is_user {
                        self.invalid(&[&place], &["it must have text that is not blank"]);
                    }
                }
                Some(last) if last.is_user == is_user => last.blocks.append(&mut kept),
                _ => turns.push(Turn { is_user, blocks: kept }),
            }
        }
        if turns.is_empty() {
            self.invalid(&["messages"], &["at least one message is required"]);
        }
        turns
    }

    fn is_kept(&mut self, block: &Block<'_>) -> bool {
        let is_kept = match block.kind() {
            "thinking" => {
                // A signature is of another model.
                let is_signed = block.get("signature").is_some_and(|it| it.get().len() > 2);
                !is_signed && self.takes(Feature::ThinkingHistory)
            }
            // Only Claude takes it back (LiteLLM 1.110, seen in 2026-10).
            "redacted_thinking" => false,
            _ => !block.is_blank(),
        };
        if !is_kept {
            self.tell(&[&block.place]);
        }
        is_kept
    }

    /// Writes a turn.
    pub(super) fn turn(&mut self, turn: &Turn<'a>, out: &mut String) {
        if turn.has("document") && !turn.has("text") {
            let place = turn.blocks.first().map_or("", |block| &block.place);
            let problem = "Converse takes a document beside a text only: add one";
            self.invalid(&[place], &[problem]);
        }
        let feature =
            if turn.is_user { Feature::TextBesideResults } else { Feature::TextBesideCalls };
        let is_split = turn.has_tool_blocks() && self.refuses(feature);
        let role = if turn.is_user { "user" } else { "assistant" };
        put_next(out, &[r#"{"role":""#, role, r#"","content":["#]);
        // The model refuses tool blocks beside others: the last result takes the others in.
        let is_other = |block: &&Block<'a>| is_split && !block.is_tool_block();
        let last = turn.blocks.iter().rfind(|block| !is_other(block));
        for block in turn.blocks.iter().filter(|block| !is_other(block)) {
            let is_last = turn.is_user && last.is_some_and(|last| std::ptr::eq(last, block));
            let others = turn.blocks.iter().filter(|block| is_last && is_other(block));
            self.block(block, others, out);
        }
        for block in turn.blocks.iter().filter(is_other) {
            self.tell(&[&block.place]);
        }
        out.push_str("]}");
    }

    /// Writes a block. `others` are written into it if it is a tool's result.
    fn block<'b>(
        &mut self,
        block: &Block<'a>,
        others: impl Iterator<Item = &'b Block<'a>>,
        out: &mut String,
    ) where
        'a: 'b,
    {
        match block.kind() {
            "thinking" => {
                let text = self.required(block, "thinking").get();
                let start = r#"{"reasoningContent":{"reasoningText":{"text":"#;
                put_next(out, &[start, text, "}}}"]);
            }
            "tool_use" => {
                let id = string(self.required(block, "id")).unwrap_or_default();
                let name = string(self.required(block, "name")).unwrap_or_default();
                let (id, name) = (quoted(&call_id(&id)), quoted(&self.names.shorten(&name)));
                let input = block.get("input").map_or("{}", RawValue::get);
                put_next(out, &[r#"{"toolUse":{"toolUseId":"#, &id, r#","name":"#, &name]);
                put(out, &[r#","input":"#, input, "}}"]);
            }
            "tool_result" => {
                let id = string(self.required(block, "tool_use_id")).unwrap_or_default();
                let id = quoted(&call_id(&id));
                put_next(out, &[r#"{"toolResult":{"toolUseId":"#, &id, r#","content":["#]);
                if let Some(content) = block.get("content") {
                    for inner in self.blocks(&[&block.place, ".content"].concat(), content) {
                        if !inner.is_blank() {
                            self.content(&inner, out);
                        }
                        self.cache_point(&inner.place, inner.get("cache_control"), false, out);
                    }
                }
                for other in others {
                    self.content(other, out);
                }
                if out.ends_with('[') {
                    // It must have something.
                    out.push_str(r#"{"json":{}}"#);
                }
                out.push(']');
                if block.get("is_error").is_some_and(|it| it.get() == "true") {
                    // "This field is only supported by Amazon Nova and Anthropic Claude" (ToolResultBlock in AWS's reference).
                    if self.is_made_by("amazon.nova") {
                        out.push_str(r#","status":"error""#);
                    } else {
                        self.tell(&[&block.place, ".is_error"]);
                    }
                }
                out.push_str("}}");
            }
            _ => self.content(block, out),
        }
        self.cache_point(&block.place, block.get("cache_control"), true, out);
    }

    /// Writes a block that can also stand in a tool's result.
    fn content(&mut self, block: &Block<'a>, out: &mut String) {
        let place = &*block.place;
        match block.kind() {
            "text" => put_next(out, &[r#"{"text":"#, self.required(block, "text").get(), "}"]),
            "image" => {
                self.check(&[place], Feature::Images, "images");
                let source = self.source(block);
                let media_type = media_type(&source);
                let format = media_type.strip_prefix("image/").unwrap_or_default();
                if !IMAGES.contains(&format) {
                    let problem =
                        "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'";
                    self.invalid(&[place, ".source.media_type"], &[problem]);
                }
                let bytes = self.data(place, &source, "data").get();
                put_next(out, &[r#"{"image":{"format":""#, format, r#"","source":{"bytes":"#]);
                put(out, &[bytes, "}}}"]);
            }
            "document" => self.document(block, out),
            kind => {
                let problem = "only Claude takes blocks of the type ";
                let kind: String = kind.chars().take(64).collect();
                self.invalid(&[place, ".type"], &[problem, &kind]);
            }
        }
    }

    fn document(&mut self, block: &Block<'a>, out: &mut String) {
        let place = &*block.place;
        self.check(&[place], Feature::Documents, "documents");
        let source = self.source(block);
        let (mut text, mut is_pdf) = (String::new(), false);
        match (source.get("type").map_or("", RawValue::get), &*media_type(&source)) {
            (r#""base64""#, "application/pdf") => is_pdf = true,
            (r#""text""#, _) => {
                text += &string(self.data(place, &source, "data")).unwrap_or_default();
            }
            (r#""content""#, _) => {
                let content = self.data(place, &source, "content");
                for block in self.blocks(&[place, ".source.content"].concat(), content) {
                    if block.kind() != "text" {
                        let problem = "Converse takes text in a document only";
                        self.invalid(&[&block.place, ".type"], &[problem]);
                    }
                    text += &block.get("text").and_then(string).unwrap_or_default();
                    text.push('\n');
                }
            }
            _ => {
                let problem = "Converse takes a text or a PDF in base64: got another document";
                self.invalid(&[place, ".source"], &[problem]);
            }
        }
        let (format, bytes) = match is_pdf {
            true => ("pdf", Cow::Borrowed(self.data(place, &source, "data").get())),
            false => ("txt", Cow::Owned(quoted(&STANDARD.encode(text)))),
        };
        if let Some(context) = block.get("context") {
            put_next(out, &[r#"{"text":"#, context.get(), "}"]);
        }
        let title = block.get("title").and_then(string).unwrap_or_default();
        let name = self.document_name(&title);
        put_next(out, &[r#"{"document":{"format":""#, format, r#"","name":""#, &name]);
        put(out, &[r#"","source":{"bytes":"#, &bytes, "}}}"]);
    }

    /// Makes a name of a title: one that no other document has, in the characters that Converse takes.
    fn document_name(&mut self, title: &str) -> String {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-()[]".contains(c);
        let words = title.split(|c| !is_allowed(c)).filter(|word| !word.is_empty());
        let joined = words.collect::<Vec<_>>().join(" ");
        let name = joined.get(..MAX_DOCUMENT_NAME).unwrap_or(&joined).trim_end();
        let name = if name.is_empty() { "Document" } else { name };
        let mut unique = name.to_owned();
        let mut count = 1_usize;
        while self.documents.contains(&unique) {
            count += 1;
            unique = [name, " (", &count.to_string(), ")"].concat();
        }
        self.documents.push(unique.clone());
        unique
    }

    /// Returns the source of an image or a document.
    fn source(&mut self, block: &Block<'a>) -> Members<'a> {
        let json = self.required(block, "source");
        self.object(&[&block.place, ".source"], json)
    }

    /// Returns a member that a source must have.
    fn data(&mut self, place: &str, source: &Members<'a>, name: &str) -> &'a RawValue {
        source.get(name).unwrap_or_else(|| {
            self.missing(&[place, ".source.", name]);
            RawValue::NULL
        })
    }

    /// Writes the system prompt.
    pub(super) fn system(&mut self, out: &mut String) {
        let Some(json) = self.member("system") else { return };
        let mut blocks = self.blocks("system", json);
        blocks.retain(|block| self.is_kept(block));
        if blocks.is_empty() {
            return;
        }
        self.check(&["system"], Feature::SystemPrompt, "a system prompt");
        out.push_str(r#","system":["#);
        for block in &blocks {
            if block.kind() != "text" {
                self.invalid(&[&block.place, ".type"], &["Input should be 'text'"]);
            }
            self.content(block, out);
            self.cache_point(&block.place, block.get("cache_control"), true, out);
        }
        out.push(']');
    }
}
