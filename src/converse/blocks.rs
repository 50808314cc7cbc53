//! The messages and the system prompt: turns of content blocks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::conversion::{Conversion, comma};
use super::names::call_id;
use crate::claude::{Feature, part};
use crate::error::Error;
use crate::json::{string, to_json};

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

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    output_config: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    signature: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    title: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    is_error: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Source<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    media_type: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl<'a> Block<'a> {
    /// Makes a block of a text that stands for a list of blocks.
    fn from_text(text: &'a RawValue) -> Self {
        Self { text: Some(text), ..Self::default() }
    }

    /// Returns the type.
    fn kind(&self) -> &'a str {
        let kind = self.kind.map_or(r#""text""#, RawValue::get);
        kind.trim_matches('"')
    }

    fn is_tool_block(&self) -> bool {
        matches!(self.kind(), "tool_use" | "tool_result")
    }

    fn is_blank(&self) -> bool {
        self.kind() == "text"
            && self.text.is_none_or(|text| string(text).is_some_and(|it| it.trim().is_empty()))
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
        return Ok(vec![Placed { place: place.to_owned(), block: Block::from_text(json) }]);
    }
    let blocks: Vec<Block> = part(place, json, "a string or a valid list of objects")?;
    let blocks = blocks.into_iter().enumerate();
    Ok(blocks.map(|(index, block)| Placed { place: format!("{place}.{index}"), block }).collect())
}

impl<'a> Conversion<'a, '_> {
    /// Parses the messages, without the blocks that the model would refuse and that say nothing to it.
    pub(super) fn turns(&mut self) -> Result<Vec<Turn<'a>>, Error> {
        let json = self.member("messages");
        let json = json.ok_or_else(|| Error::invalid("messages: Field required"))?;
        let messages: Vec<Message> = part("messages", json, "a valid list of objects")?;
        let mut turns: Vec<Turn<'a>> = Vec::new();
        for (index, Message { role, content, output_config }) in messages.into_iter().enumerate() {
            let place = format!("messages.{index}");
            let is_user = match role.map(RawValue::get) {
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
            if output_config.is_some() {
                self.tell(format!("{place}.output_config"));
            }
            let place = format!("{place}.content");
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
                let is_signed = block.signature.is_some_and(|it| it.get().len() > 2);
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
                let text = required(place, "thinking", block.thinking)?;
                *out += r#"{"reasoningContent":{"reasoningText":{"text":"#;
                *out += text.get();
                *out += "}}}";
            }
            "tool_use" => self.tool_use(place, block, out)?,
            "tool_result" => self.tool_result(place, block, others, out)?,
            _ => self.content(place, block, out)?,
        }
        self.cache_point(place, block.cache_control, true, out);
        Ok(())
    }

    /// Writes a block that can also stand in a tool's result.
    fn content(&mut self, place: &str, block: &Block<'a>, out: &mut String) -> Result<(), Error> {
        match block.kind() {
            "text" => {
                comma(out);
                *out += r#"{"text":"#;
                *out += required(place, "text", block.text)?.get();
                out.push('}');
                Ok(())
            }
            "image" => {
                self.check(place, Feature::Images, "images")?;
                let Source { media_type, data, .. } = source(place, block)?;
                let media_type = media_type.and_then(string).unwrap_or_default();
                let format = IMAGES.iter().find(|(known, _)| *known == media_type);
                let Some((_, format)) = format else {
                    let message = format!(
                        "{place}.source.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
                    );
                    return Err(Error::invalid(message));
                };
                comma(out);
                *out += &format!(r#"{{"image":{{"format":"{format}","source":{{"bytes":"#);
                *out += required(place, "source.data", data)?.get();
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
        let Source { kind, media_type, data, content } = source(place, block)?;
        let (format, bytes) = match (
            kind.map(RawValue::get).unwrap_or_default(),
            media_type.map(RawValue::get).unwrap_or_default(),
        ) {
            (r#""base64""#, r#""application/pdf""#) => {
                ("pdf", required(place, "source.data", data)?.get().to_owned())
            }
            (r#""text""#, _) => {
                let text = string(required(place, "source.data", data)?).unwrap_or_default();
                ("txt", format!(r#""{}""#, STANDARD.encode(text.as_bytes())))
            }
            (r#""content""#, _) => {
                let place = format!("{place}.source.content");
                let mut text = String::new();
                for Placed { place, block } in
                    blocks(&place, required(&place, "source.content", content)?)?
                {
                    if block.kind() != "text" {
                        let message =
                            format!("{place}.type: Converse takes text in a document only");
                        return Err(Error::invalid(message));
                    }
                    text += &string(required(&place, "text", block.text)?).unwrap_or_default();
                    text.push('\n');
                }
                ("txt", format!(r#""{}""#, STANDARD.encode(text.as_bytes())))
            }
            _ => {
                let message = format!(
                    "{place}.source: Converse takes a text or a PDF in base64: got another document"
                );
                return Err(Error::invalid(message));
            }
        };
        if let Some(context) = block.context.filter(|it| it.get() != "null") {
            comma(out);
            *out += r#"{"text":"#;
            *out += context.get();
            out.push('}');
        }
        let title = block.title.and_then(string).unwrap_or_default();
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
        let id = string(required(place, "id", block.id)?).unwrap_or_default();
        let name = string(required(place, "name", block.name)?).unwrap_or_default();
        let name = to_json(&self.names.shorten(&name));
        let input = block.input.map_or("{}", RawValue::get);
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
        let id = string(required(place, "tool_use_id", block.tool_use_id)?).unwrap_or_default();
        comma(out);
        *out += &format!(r#"{{"toolResult":{{"toolUseId":{},"content":["#, to_json(&call_id(&id)));
        let inner = match block.content.filter(|it| it.get() != "null") {
            Some(content) => blocks(&format!("{place}.content"), content)?,
            None => Vec::new(),
        };
        for placed in inner.iter().filter(|placed| !placed.block.is_blank()) {
            self.content(&placed.place, &placed.block, out)?;
            self.cache_point(&placed.place, placed.block.cache_control, false, out);
        }
        for placed in others {
            self.content(&placed.place, &placed.block, out)?;
        }
        if out.ends_with('[') {
            // It must have something.
            out.push_str(r#"{"json":{}}"#);
        }
        out.push(']');
        if block.is_error.is_some_and(|it| it.get() == "true") {
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
            self.cache_point(place, block.cache_control, true, out);
        }
        out.push(']');
        Ok(())
    }
}

/// Returns a member that a block must have.
fn required<'a>(
    place: &str,
    name: &str,
    json: Option<&'a RawValue>,
) -> Result<&'a RawValue, Error> {
    json.ok_or_else(|| Error::invalid(format!("{place}.{name}: Field required")))
}

/// Returns the source of an image or a document.
fn source<'a>(place: &str, block: &Block<'a>) -> Result<Source<'a>, Error> {
    let json = required(place, "source", block.source)?;
    part(format!("{place}.source"), json, "a valid object")
}
