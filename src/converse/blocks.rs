//! The messages and the system prompt: turns of content blocks.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::conversion::{Conversion, at, comma, invalid, missing, object, put};
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
        self.get(name).ok_or_else(|| missing(place, name))
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
    let placed = |(index, json): (usize, &'a RawValue)| {
        let place = at(place, ".", &index.to_string());
        let block = Block { members: object(&place, json)?, text: None };
        Ok(Placed { place, block })
    };
    blocks.into_iter().enumerate().map(placed).collect()
}

impl<'a> Conversion<'a, '_> {
    /// Parses the messages, without the blocks that the model would refuse and that say nothing to it.
    pub(super) fn turns(&mut self) -> Result<Vec<Turn<'a>>, Error> {
        let json = self.member("messages");
        let json = json.ok_or_else(|| invalid("messages", "Field required"))?;
        let messages: Vec<&RawValue> = part("messages", json, "a valid list of objects")?;
        let mut turns: Vec<Turn<'a>> = Vec::new();
        for (index, message) in messages.into_iter().enumerate() {
            let place = at("messages", ".", &index.to_string());
            let message = object(&place, message)?;
            let is_user = match message.get("role").map(RawValue::get) {
                Some(r#""assistant""#) => false,
                Some(r#""user""#) => true,
                Some(r#""system""#) => {
                    self.tell(at(&place, ".", "role"));
                    true
                }
                _ => {
                    let problem = "Input should be 'user' or 'assistant'";
                    return Err(invalid(&at(&place, ".", "role"), problem));
                }
            };
            if message.get("output_config").is_some() {
                self.tell(at(&place, ".", "output_config"));
            }
            let content = message.get("content");
            let content = content.ok_or_else(|| missing(&place, "content"))?;
            let place = at(&place, ".", "content");
            let mut kept = blocks(&place, content)?;
            kept.retain(|placed| self.is_kept(placed));
            if kept.is_empty() && is_user {
                return Err(invalid(&place, "it must have text that is not blank"));
            }
            match turns.last_mut() {
                _ if kept.is_empty() => {}
                Some(last) if last.is_user == is_user => last.blocks.append(&mut kept),
                _ => turns.push(Turn { is_user, blocks: kept }),
            }
        }
        if turns.is_empty() {
            return Err(invalid("messages", "at least one message is required"));
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
            let problem = "Converse takes a document beside a text only: add one";
            return Err(invalid(place, problem));
        }
        let is_split = turn.has_tool_blocks() && self.refuses(Feature::MixedBlocks);
        // Of a turn that the model refuses as it is, the tool blocks stay.
        let (blocks, others): (Vec<_>, Vec<_>) =
            turn.blocks.iter().partition(|placed| !is_split || placed.block.is_tool_block());
        comma(out);
        let role = if turn.is_user { "user" } else { "assistant" };
        put(out, &[r#"{"role":""#, role, r#"","content":["#]);
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
                let text = block.required(place, "thinking")?.get();
                put(out, &[r#"{"reasoningContent":{"reasoningText":{"text":"#, text, "}}}"]);
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
                put(out, &[r#"{"text":"#, block.required(place, "text")?.get(), "}"]);
                Ok(())
            }
            "image" => {
                self.check(place, Feature::Images, "images")?;
                let source = source(place, block)?;
                let media_type = source.get("media_type").and_then(string).unwrap_or_default();
                let format = IMAGES.iter().find(|(known, _)| *known == media_type);
                let Some((_, format)) = format else {
                    let problem =
                        "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'";
                    return Err(invalid(&at(place, ".", "source.media_type"), problem));
                };
                comma(out);
                let bytes = data(place, &source)?.get();
                put(
                    out,
                    &[r#"{"image":{"format":""#, format, r#"","source":{"bytes":"#, bytes, "}}}"],
                );
                Ok(())
            }
            "document" => self.document(place, block, out),
            kind => {
                let kind: String = kind.chars().take(64).collect();
                let problem = at("only Claude takes blocks of the type", " ", &kind);
                Err(invalid(&at(place, ".", "type"), &problem))
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
                let mut text = String::new();
                let content = source.get("content");
                let content = content.ok_or_else(|| missing(place, "source.content"))?;
                let place = at(place, ".", "source.content");
                for Placed { place, block } in blocks(&place, content)? {
                    if block.kind() != "text" {
                        let problem = "Converse takes text in a document only";
                        return Err(invalid(&at(&place, ".", "type"), problem));
                    }
                    text += &string(block.required(&place, "text")?).unwrap_or_default();
                    text.push('\n');
                }
                ("txt", in_base64(&text))
            }
            _ => {
                let problem = "Converse takes a text or a PDF in base64: got another document";
                return Err(invalid(&at(place, ".", "source"), problem));
            }
        };
        if let Some(context) = block.get("context") {
            comma(out);
            put(out, &[r#"{"text":"#, context.get(), "}"]);
        }
        let title = block.get("title").and_then(string).unwrap_or_default();
        let name = to_json(&self.document_name(&title));
        comma(out);
        put(
            out,
            &[
                r#"{"document":{"format":""#,
                format,
                r#"","name":"#,
                &name,
                r#","source":{"bytes":"#,
                &bytes,
                "}}}",
            ],
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
            unique = [name, " (", &count.to_string(), ")"].concat();
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
        let id = to_json(&call_id(&id));
        put(
            out,
            &[
                r#"{"toolUse":{"toolUseId":"#,
                &id,
                r#","name":"#,
                &name,
                r#","input":"#,
                input,
                "}}",
            ],
        );
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
        let id = to_json(&call_id(&id));
        put(out, &[r#"{"toolResult":{"toolUseId":"#, &id, r#","content":["#]);
        let inner = match block.get("content") {
            Some(content) => blocks(&at(place, ".", "content"), content)?,
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
                self.tell(at(place, ".", "is_error"));
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
                return Err(invalid(&at(place, ".", "type"), "Input should be 'text'"));
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
    object(&at(place, ".", "source"), block.required(place, "source")?)
}

/// Returns the data of a source.
fn data<'a>(place: &str, source: &Members<'a>) -> Result<&'a RawValue, Error> {
    let data = source.get("data");
    data.ok_or_else(|| missing(place, "source.data"))
}

/// Writes a text as a JSON string of base64.
fn in_base64<'a>(text: &str) -> Cow<'a, str> {
    Cow::Owned(["\"", &STANDARD.encode(text.as_bytes()), "\""].concat())
}
