//! The messages and the system prompt: turns of content blocks.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::conversion::{Conversion, comma, object};
use super::names::call_id;
use crate::claude::{Feature, part};
use crate::error::Error;
use crate::json::{Members, string, to_json};

/// The types of images that Converse takes.
const IMAGES: [(&str, &str); 4] =
    [("image/png", "png"), ("image/jpeg", "jpeg"), ("image/gif", "gif"), ("image/webp", "webp")];

/// The longest name of a document, without what tells it from others.
const MAX_DOCUMENT_NAME: usize = 100;

/// Messages of one role that follow each other: roles must alternate in Converse.
pub(super) struct Turn<'a> {
    is_user: bool,
    blocks: Vec<Placed<'a>>,
}

/// A block and its place, such as `messages.0.content.1`.
struct Placed<'a> {
    place: String,
    block: Block<'a>,
}

struct Block<'a> {
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

    /// Returns a member that it must have.
    fn required(&self, place: &str, name: &str) -> Result<&'a RawValue, Error> {
        self.get(name).ok_or_else(|| Error::invalid(format!("{place}.{name}: Field required")))
    }

    /// Returns the string of a member that it must have.
    fn word(&self, place: &str, name: &str) -> Result<Cow<'a, str>, Error> {
        Ok(string(self.required(place, name)?).unwrap_or_default())
    }
}

impl Turn<'_> {
    pub(super) fn has_tool_blocks(&self) -> bool {
        self.blocks.iter().any(|placed| placed.block.is_tool_block())
    }

    fn has(&self, kind: &str) -> bool {
        self.blocks.iter().any(|placed| placed.block.kind() == kind)
    }
}

/// Parses blocks, or a text that stands for one.
fn blocks<'a>(place: &str, json: &'a RawValue) -> Result<Vec<Placed<'a>>, Error> {
    if json.get().starts_with('"') {
        let block = Block { members: Members(Vec::new()), text: Some(json) };
        return Ok(vec![Placed { place: place.to_owned(), block }]);
    }
    let blocks: Vec<&RawValue> = part(place, json, "a string or a valid list of objects")?;
    let placed = |(index, json)| {
        let place = format!("{place}.{index}");
        let block = Block { members: object(&place, json)?, text: None };
        Ok(Placed { place, block })
    };
    blocks.into_iter().enumerate().map(placed).collect()
}

impl<'a> Conversion<'a, '_> {
    /// Parses the messages, without the blocks that the model would refuse and that say nothing to it.
    pub(super) fn turns(&mut self) -> Result<Vec<Turn<'a>>, Error> {
        let json = self.member("messages");
        let json = json.ok_or_else(|| Error::invalid("messages: Field required"))?;
        let messages: Vec<&RawValue> = part("messages", json, "a valid list of objects")?;
        let mut turns: Vec<Turn<'a>> = Vec::new();
        for (index, message) in messages.into_iter().enumerate() {
            let place = format!("messages.{index}");
            let message = object(&place, message)?;
            let is_user = match message.get("role").map(RawValue::get) {
                Some(r#""assistant""#) => false,
                Some(r#""user""#) => true,
                Some(r#""system""#) => {
                    self.tell(format!("{place}.role"));
                    true
                }
                _ => {
                    let message = format!("{place}.role: Input should be 'user' or 'assistant'");
                    return Err(Error::invalid(message));
                }
            };
            if message.get("output_config").is_some() {
                self.tell(format!("{place}.output_config"));
            }
            let place = format!("{place}.content");
            let content = message.get("content");
            let content =
                content.ok_or_else(|| Error::invalid(format!("{place}: Field required")))?;
            let mut kept = blocks(&place, content)?;
            kept.retain(|placed| self.is_kept(placed));
            if kept.is_empty() && is_user {
                return Err(Error::invalid(format!(
                    "{place}: it must have text that is not blank"
                )));
            }
            match turns.last_mut() {
                _ if kept.is_empty() => {}
                Some(last) if last.is_user == is_user => last.blocks.append(&mut kept),
                _ => turns.push(Turn { is_user, blocks: kept }),
            }
        }
        if turns.is_empty() {
            return Err(Error::invalid("messages: at least one message is required"));
        }
        Ok(turns)
    }

    fn is_kept(&mut self, Placed { place, block }: &Placed<'_>) -> bool {
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
            self.tell(place);
        }
        is_kept
    }

    /// Writes a turn.
    pub(super) fn turn(&mut self, turn: &Turn<'a>, out: &mut String) -> Result<(), Error> {
        if turn.has("document") && !turn.has("text") {
            let place = turn.blocks.first().map_or("messages", |placed| &placed.place);
            let message = format!("{place}: Converse takes a document beside a text only: add one");
            return Err(Error::invalid(message));
        }
        let is_split = turn.has_tool_blocks() && self.refuses(Feature::MixedBlocks);
        // Of a turn that the model refuses as it is, the tool blocks stay.
        let (blocks, others): (Vec<_>, Vec<_>) =
            turn.blocks.iter().partition(|placed| !is_split || placed.block.is_tool_block());
        comma(out);
        let role = if turn.is_user { "user" } else { "assistant" };
        *out += &format!(r#"{{"role":"{role}","content":["#);
        for (index, placed) in blocks.iter().enumerate() {
            let is_last = index + 1 == blocks.len();
            let others = if is_last && turn.is_user { &others[..] } else { &[] };
            self.block(placed, others, out)?;
        }
        for placed in others.iter().filter(|_| !others.is_empty()) {
            self.tell(&placed.place);
        }
        out.push_str("]}");
        Ok(())
    }

    /// Writes a block. `others` are written into it if it is a tool's result.
    fn block(
        &mut self,
        Placed { place, block }: &Placed<'a>,
        others: &[&Placed<'a>],
        out: &mut String,
    ) -> Result<(), Error> {
        match block.kind() {
            "thinking" => {
                comma(out);
                let text = block.required(place, "thinking")?;
                *out += r#"{"reasoningContent":{"reasoningText":{"text":"#;
                *out += text.get();
                *out += "}}}";
            }
            "tool_use" => self.tool_use(place, block, out)?,
            "tool_result" => self.tool_result(place, block, others, out)?,
            _ => self.content(place, block, out)?,
        }
        self.cache_point(place, block.get("cache_control"), true, out);
        Ok(())
    }

    /// Writes a block that can also stand in a tool's result.
    fn content(&mut self, place: &str, block: &Block<'a>, out: &mut String) -> Result<(), Error> {
        match block.kind() {
            "text" => {
                comma(out);
                *out += r#"{"text":"#;
                *out += block.required(place, "text")?.get();
                out.push('}');
                Ok(())
            }
            "image" => {
                self.check(place, Feature::Images, "images")?;
                let source = source(place, block)?;
                let media_type = source.get("media_type").and_then(string).unwrap_or_default();
                let format = IMAGES.iter().find(|(known, _)| *known == media_type);
                let Some((_, format)) = format else {
                    let message = format!(
                        "{place}.source.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
                    );
                    return Err(Error::invalid(message));
                };
                comma(out);
                *out += &format!(r#"{{"image":{{"format":"{format}","source":{{"bytes":"#);
                *out += data(place, &source)?.get();
                *out += "}}}";
                Ok(())
            }
            "document" => self.document(place, block, out),
            kind => {
                let kind: String = kind.chars().take(64).collect();
                let message = format!("{place}.type: only Claude takes blocks of the type {kind}");
                Err(Error::invalid(message))
            }
        }
    }

    fn document(&mut self, place: &str, block: &Block<'a>, out: &mut String) -> Result<(), Error> {
        self.check(place, Feature::Documents, "documents")?;
        let source = source(place, block)?;
        let (format, bytes) = match (
            source.get("type").map_or("", RawValue::get),
            source.get("media_type").map_or("", RawValue::get),
        ) {
            (r#""base64""#, r#""application/pdf""#) => {
                ("pdf", Cow::Borrowed(data(place, &source)?.get()))
            }
            (r#""text""#, _) => {
                let text = string(data(place, &source)?).unwrap_or_default();
                ("txt", in_base64(&text))
            }
            (r#""content""#, _) => {
                let place = format!("{place}.source.content");
                let mut text = String::new();
                let content = source.get("content");
                let content =
                    content.ok_or_else(|| Error::invalid(format!("{place}: Field required")))?;
                for Placed { place, block } in blocks(&place, content)? {
                    if block.kind() != "text" {
                        let message =
                            format!("{place}.type: Converse takes text in a document only");
                        return Err(Error::invalid(message));
                    }
                    text += &string(block.required(&place, "text")?).unwrap_or_default();
                    text.push('\n');
                }
                ("txt", in_base64(&text))
            }
            _ => {
                let message = format!(
                    "{place}.source: Converse takes a text or a PDF in base64: got another document"
                );
                return Err(Error::invalid(message));
            }
        };
        if let Some(context) = block.get("context") {
            comma(out);
            *out += r#"{"text":"#;
            *out += context.get();
            out.push('}');
        }
        let title = block.get("title").and_then(string).unwrap_or_default();
        let name = to_json(&self.document_name(&title));
        comma(out);
        *out += &format!(
            r#"{{"document":{{"format":"{format}","name":{name},"source":{{"bytes":{bytes}}}}}}}"#
        );
        Ok(())
    }

    /// Makes a name of a title: one that no other document has, in the characters that Converse takes.
    fn document_name(&mut self, title: &str) -> String {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-()[]".contains(c);
        let words = title.split(|c| !is_allowed(c)).filter(|word| !word.is_empty());
        let joined = words.collect::<Vec<_>>().join(" ");
        let name: String = joined.chars().take(MAX_DOCUMENT_NAME).collect();
        let name = if name.is_empty() { "Document" } else { name.trim_end() };
        let mut unique = name.to_owned();
        let mut count = 1;
        while self.documents.contains(&unique) {
            count += 1;
            unique = format!("{name} ({count})");
        }
        self.documents.push(unique.clone());
        unique
    }

    fn tool_use(&mut self, place: &str, block: &Block<'a>, out: &mut String) -> Result<(), Error> {
        let id = block.word(place, "id")?;
        let name = block.word(place, "name")?;
        let name = to_json(&self.names.shorten(&name));
        let input = block.get("input").map_or("{}", RawValue::get);
        comma(out);
        *out += &format!(
            r#"{{"toolUse":{{"toolUseId":{},"name":{name},"input":"#,
            to_json(&call_id(&id))
        );
        *out += input;
        *out += "}}";
        Ok(())
    }

    fn tool_result(
        &mut self,
        place: &str,
        block: &Block<'a>,
        others: &[&Placed<'a>],
        out: &mut String,
    ) -> Result<(), Error> {
        let id = block.word(place, "tool_use_id")?;
        comma(out);
        *out += &format!(r#"{{"toolResult":{{"toolUseId":{},"content":["#, to_json(&call_id(&id)));
        let inner = match block.get("content") {
            Some(content) => blocks(&format!("{place}.content"), content)?,
            None => Vec::new(),
        };
        for placed in inner.iter().filter(|placed| !placed.block.is_blank()) {
            self.content(&placed.place, &placed.block, out)?;
            self.cache_point(&placed.place, placed.block.get("cache_control"), false, out);
        }
        for placed in others {
            self.content(&placed.place, &placed.block, out)?;
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
                self.tell(format!("{place}.is_error"));
            }
        }
        out.push_str("}}");
        Ok(())
    }

    /// Writes the system prompt.
    pub(super) fn system(&mut self, out: &mut String) -> Result<(), Error> {
        let Some(json) = self.member("system") else { return Ok(()) };
        let mut blocks = blocks("system", json)?;
        blocks.retain(|placed| self.is_kept(placed));
        if blocks.is_empty() {
            return Ok(());
        }
        self.check("system", Feature::SystemPrompt, "a system prompt")?;
        out.push_str(r#","system":["#);
        for Placed { place, block } in &blocks {
            if block.kind() != "text" {
                return Err(Error::invalid(format!("{place}.type: Input should be 'text'")));
            }
            self.content(place, block, out)?;
            self.cache_point(place, block.get("cache_control"), true, out);
        }
        out.push(']');
        Ok(())
    }
}

/// Returns the source of an image or a document.
fn source<'a>(place: &str, block: &Block<'a>) -> Result<Members<'a>, Error> {
    object(&format!("{place}.source"), block.required(place, "source")?)
}

/// Returns the data of a source.
fn data<'a>(place: &str, source: &Members<'a>) -> Result<&'a RawValue, Error> {
    let data = source.get("data");
    data.ok_or_else(|| Error::invalid(format!("{place}.source.data: Field required")))
}

/// Writes a text as a JSON string of base64.
fn in_base64<'a>(text: &str) -> Cow<'a, str> {
    Cow::Owned(format!(r#""{}""#, STANDARD.encode(text.as_bytes())))
}
