//! The parts with blocks: tools, the system prompt, and the messages.

use serde_json::value::RawValue;

use super::{BILLING_HEADER, Translation, object, objects, part};
use crate::claude::betas::TOOL_SEARCH;
use crate::claude::models::Feature;
use crate::error::Error;
use crate::json::{fields, fields_of_all, string, to_json};

/// The most `cache_control`s of a request.
const MAX_BREAKPOINTS: usize = 4;

/// The most tokens of an image: one of 2,576 pixels at its long edge.
///
/// <https://docs.claude.com/en/docs/build-with-claude/vision>
const TOKENS_OF_AN_IMAGE: u64 = 5000;

/// The tool types that run on Anthropic's servers, without their dates.
const SERVER_TOOLS: [&str; 6] =
    ["web_search", "web_fetch", "code_execution", "advisor", "mcp", "mcp_toolset"];

/// The members of a tool that the rules are about.
const TOOL: [&str; 7] = [
    "type",
    "eager_input_streaming",
    "strict",
    "defer_loading",
    "custom",
    "input_schema",
    "cache_control",
];

/// A content block, by the members that the rules are about.
struct Block<'a> {
    kind: Option<&'a RawValue>,
    text: Option<&'a RawValue>,
    source: Option<&'a RawValue>,
    content: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    tool_use_id: Option<&'a RawValue>,
    cache_control: Option<&'a RawValue>,
}

/// The names of these members, in the same order.
const BLOCK: [&str; 7] =
    ["type", "text", "source", "content", "id", "tool_use_id", "cache_control"];

impl<'a> From<[Option<&'a RawValue>; BLOCK.len()]> for Block<'a> {
    fn from(values: [Option<&'a RawValue>; BLOCK.len()]) -> Self {
        let [kind, text, source, content, id, tool_use_id, cache_control] = values;
        Self { kind, text, source, content, id, tool_use_id, cache_control }
    }
}

/// Parses a list of tools, if it can, in one pass: tools are half of Claude Code's request.
fn parse_tools(json: &RawValue) -> Result<Vec<[Option<&RawValue>; TOOL.len()]>, Error> {
    if let Ok(tools) = fields_of_all(json.get(), TOOL) {
        return Ok(tools);
    }
    let tools: Vec<&RawValue> = part("tools", json, "a valid list")?;
    let tools = tools.into_iter().enumerate();
    tools.map(|(index, tool)| object(format!("tools.{index}"), tool, TOOL)).collect()
}

/// Parses a list of content blocks.
fn parse_blocks<'a>(place: &str, json: &'a RawValue) -> Result<Vec<Block<'a>>, Error> {
    Ok(objects(place, json, BLOCK)?.into_iter().map(Block::from).collect())
}

impl<'a> Translation<'a, '_> {
    /// Applies the rules about tools.
    pub(super) fn tools(&mut self) -> Result<(), Error> {
        let Some(tools) = self.body.member("tools") else { return Ok(()) };
        let parsed = parse_tools(tools)?;
        let has_custom = parsed.iter().any(|[.., custom, _, _]| custom.is_some());
        let raw: Vec<&RawValue> =
            if has_custom { part("tools", tools, "a valid list")? } else { Vec::new() };
        let mut defers = false;
        for (index, tool) in parsed.into_iter().enumerate() {
            let [kind, eager_input_streaming, strict, defer_loading, custom, schema, cache_control] =
                tool;
            let place = format!("tools.{index}");
            let kind = kind.and_then(string).unwrap_or_default();
            let family = kind.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
            if SERVER_TOOLS.contains(&family) {
                return Err(Error::invalid(format!(
                    "{place}.type: Bedrock does not have the tool {kind}: remove it from the request"
                )));
            }
            if let Some(value) = eager_input_streaming {
                let name = "eager_input_streaming";
                self.remove(format!("{place}.{name}"), name, value);
            }
            if let Some(value) = strict
                && self.refuses(Feature::StructuredOutput)
            {
                self.remove(format!("{place}.strict"), "strict", value);
            }
            defers |= defer_loading.is_some_and(|it| it.get() == "true");
            if let (Some(custom), Some(json)) = (custom, raw.get(index)) {
                defers |= self.lift_custom(&place, json, custom)?;
            }
            if let Some(schema) = schema {
                self.schema(&place, schema);
            }
            self.breakpoint(&place, cache_control)?;
        }
        if defers && !self.has_beta(TOOL_SEARCH) {
            self.betas.push(TOOL_SEARCH.to_owned());
        }
        Ok(())
    }

    /// Moves `custom.defer_loading` one level up, where Bedrock takes it. Returns whether it is `true`.
    fn lift_custom(
        &mut self,
        place: &str,
        tool: &'a RawValue,
        custom: &'a RawValue,
    ) -> Result<bool, Error> {
        let [defer_loading] = object(format!("{place}.custom"), custom, ["defer_loading"])?;
        if let Some(value) = defer_loading
            && self.edits.remove_member("custom", custom)
        {
            self.edits.insert(tool.get(), format!(r#""defer_loading":{},"#, value.get()));
            self.tell(format!("{place}.custom"));
        }
        Ok(defer_loading.is_some_and(|it| it.get() == "true"))
    }

    /// Adds the type of a schema, which Bedrock wants.
    fn schema(&mut self, place: &str, schema: &'a RawValue) {
        let Ok([None]) = fields(schema.get(), ["type"]) else { return };
        let is_empty = schema.get().trim_start_matches('{').trim_ascii() == "}";
        if is_empty {
            self.edits.replace(schema, r#"{"type":"object"}"#);
        } else {
            self.edits.insert(schema.get(), r#""type":"object","#);
        }
        self.tell(format!("{place}.input_schema.type"));
    }

    /// Applies the rules about the system prompt.
    pub(super) fn system(&mut self) -> Result<(), Error> {
        let Some(system) = self.body.member("system") else { return Ok(()) };
        if !system.get().starts_with('[') {
            return Ok(());
        }
        if (self.target.has_refused)(BILLING_HEADER) {
            let blocks = parse_blocks("system", system)?;
            for (index, block) in blocks.iter().enumerate() {
                let text = block.text.map_or("", RawValue::get);
                if text.trim_start_matches('"').starts_with(BILLING_HEADER) {
                    self.remove_block(&format!("system.{index}"), system, index)?;
                }
            }
        }
        self.blocks("system", system, 0)
    }

    /// Applies the rules about messages.
    pub(super) fn messages(&mut self) -> Result<(), Error> {
        let Some(json) = self.body.member("messages") else {
            return Err(Error::invalid("messages: Field required"));
        };
        let messages = objects("messages", json, ["role", "content", "output_config"])?;
        let Some(last) = messages.len().checked_sub(1) else {
            return Err(Error::invalid("messages: at least one message is required"));
        };
        for (index, [role, content, output_config]) in messages.iter().enumerate() {
            let place = format!("messages.{index}");
            if let Some(role) = role {
                match role.get() {
                    r#""system""# if self.refuses(Feature::SystemMessage) => {
                        self.edits.replace(role, r#""user""#);
                        self.tell(format!("{place}.role"));
                    }
                    r#""assistant""# if index == last && self.refuses(Feature::Prefill) => {
                        return Err(Error::invalid(format!(
                            "{place}.role: This model does not support assistant message prefill. The \
                             conversation must end with a user message."
                        )));
                    }
                    _ => {}
                }
            }
            if let Some(config) = output_config {
                let place = format!("{place}.output_config");
                if self.drops_per_turn_control || self.refuses(Feature::PerTurnControl) {
                    self.remove(place, "output_config", config);
                } else {
                    let [effort] = object(&place, config, ["effort"])?;
                    self.effort(&format!("{place}.effort"), effort);
                }
            }
            if let Some(content) = content.filter(|content| content.get().starts_with('[')) {
                self.blocks(&format!("{place}.content"), content, 0)?;
            }
        }
        if let Some(cache) = self.body.member("cache_control")
            && let Some([_, Some(content), _]) = messages.last()
        {
            self.cache_last(content, cache)?;
        }
        Ok(())
    }

    /// Applies the rules about content blocks. `depth` counts the blocks that contain them.
    fn blocks(&mut self, place: &str, json: &'a RawValue, depth: usize) -> Result<(), Error> {
        // A tool's result has blocks, and a document's source in it may have some.
        const DEEPEST: usize = 3;

        let blocks = parse_blocks(place, json)?;
        let are_empty = blocks.iter().map(Block::is_empty_text).collect::<Vec<_>>();
        let has_others = are_empty.iter().any(|is_empty| !is_empty);
        for (index, block) in blocks.iter().enumerate() {
            let at = || format!("{place}.{index}");
            if has_others && block.is_empty_text() {
                self.remove_block(&at(), json, index)?;
                continue;
            }
            if let Some(source) = block.source {
                self.source(&at(), block, source, depth)?;
            }
            for (name, id) in [("id", block.id), ("tool_use_id", block.tool_use_id)] {
                if let Some(id) = id {
                    self.tool_id(|| format!("{}.{name}", at()), id);
                }
            }
            if let Some(content) = block.content
                && content.get().starts_with('[')
                && depth < DEEPEST
            {
                self.blocks(&format!("{}.content", at()), content, depth + 1)?;
            }
            if block.cache_control.is_some() {
                self.breakpoint(&at(), block.cache_control)?;
            }
        }
        Ok(())
    }

    /// Removes a block of text without text, which Bedrock refuses.
    fn remove_block(
        &mut self,
        place: &str,
        blocks: &'a RawValue,
        index: usize,
    ) -> Result<(), Error> {
        let blocks: Vec<&RawValue> = part(place, blocks, "a valid list")?;
        if let Some(block) = blocks.get(index) {
            self.edits.remove_element(block);
            self.tell(place);
        }
        Ok(())
    }

    /// Checks that an image or a document is in the request, and bounds its tokens.
    fn source(
        &mut self,
        place: &str,
        block: &Block<'a>,
        json: &'a RawValue,
        depth: usize,
    ) -> Result<(), Error> {
        // A citation's source is a text.
        let Ok([kind, data, content]) = fields(json.get(), ["type", "data", "content"]) else {
            return Ok(());
        };
        match kind.map(RawValue::get) {
            Some(r#""base64""#) => {
                let bytes = data.map_or(0, |data| data.get().len() as u64);
                self.media_bytes += bytes;
                self.media_tokens += match block.kind.map(RawValue::get) {
                    Some(r#""image""#) => TOKENS_OF_AN_IMAGE,
                    // A tokenizer that works on bytes makes no more tokens of the text of a document; its pages are
                    // images as well.
                    _ => (bytes / 4 * 3).max(TOKENS_OF_AN_IMAGE),
                };
                Ok(())
            }
            Some(r#""url""# | r#""file""#) => Err(Error::invalid(format!(
                "{place}.source.type: Bedrock takes base64 only: send the data itself"
            ))),
            _ => match content.filter(|content| content.get().starts_with('[')) {
                Some(content) if depth < 3 => {
                    self.blocks(&format!("{place}.source.content"), content, depth + 1)
                }
                _ => Ok(()),
            },
        }
    }

    /// Replaces the characters of a tool call's id that Bedrock refuses, in the call and in its result alike.
    fn tool_id(&mut self, place: impl Fn() -> String, json: &'a RawValue) {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let Some(id) = string(json) else { return };
        if id.chars().all(is_allowed) {
            return;
        }
        let id: String = id.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
        self.edits.replace(json, to_json(&id));
        self.tell(place());
    }

    /// Notes a breakpoint of the cache, without its scope.
    fn breakpoint(&mut self, place: &str, json: Option<&'a RawValue>) -> Result<(), Error> {
        let Some(json) = json else { return Ok(()) };
        let place = format!("{place}.cache_control");
        let [scope] = object(&place, json, ["scope"])?;
        if let Some(scope) = scope {
            self.remove(format!("{place}.scope"), "scope", scope);
        }
        self.breakpoints.push((place, json));
        Ok(())
    }

    /// Removes the breakpoints that are too many: not the first two, behind the tools and the system prompt, and
    /// not the last two.
    pub(super) fn breakpoints(&mut self) {
        let breakpoints = std::mem::take(&mut self.breakpoints);
        let too_many = breakpoints.len().saturating_sub(MAX_BREAKPOINTS);
        for (place, value) in breakpoints.into_iter().skip(MAX_BREAKPOINTS / 2).take(too_many) {
            self.remove(place, "cache_control", value);
        }
    }

    /// Turns the `cache_control` of the body, which Bedrock does not take, into a breakpoint at the end of the last
    /// message.
    fn cache_last(&mut self, content: &'a RawValue, cache: &'a RawValue) -> Result<(), Error> {
        const PLACE: &str = "cache_control";
        let [scope] = object(PLACE, cache, ["scope"])?;
        if self.breakpoints.len() >= MAX_BREAKPOINTS {
            self.tell(PLACE);
            return Ok(());
        }
        // A breakpoint of an hour may not stand behind one of five minutes.
        let is_long = |json: &RawValue| json.get().contains(r#""1h""#);
        let is_behind = is_long(cache) && self.breakpoints.iter().any(|(_, json)| !is_long(json));
        let cache = match () {
            () if is_behind => {
                self.tell("cache_control.ttl");
                r#"{"type":"ephemeral"}"#
            }
            () if scope.is_some() => {
                self.tell("cache_control.scope");
                if is_long(cache) {
                    r#"{"type":"ephemeral","ttl":"1h"}"#
                } else {
                    r#"{"type":"ephemeral"}"#
                }
            }
            () => cache.get(),
        };
        if content.get().starts_with('"') {
            let block =
                format!(r#"[{{"type":"text","text":{},"cache_control":{cache}}}]"#, content.get());
            self.edits.replace(content, block);
            return Ok(());
        }
        let blocks: Vec<&RawValue> = part(PLACE, content, "a valid list")?;
        let Some(last) = blocks.last() else { return Ok(()) };
        let block = Block::from(object(PLACE, last, BLOCK)?);
        let kind = block.kind.map_or("", RawValue::get);
        if block.cache_control.is_none() && !kind.contains("thinking") && !block.is_empty_text() {
            self.edits.insert(last.get(), format!(r#""cache_control":{cache},"#));
        }
        Ok(())
    }
}

impl Block<'_> {
    fn is_empty_text(&self) -> bool {
        self.kind.map(RawValue::get) == Some(r#""text""#)
            && self.text.map(RawValue::get) == Some(r#""""#)
    }
}
