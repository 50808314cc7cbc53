//! A whole reply, and what replies and streams have in common: the words of their ends, and the usage.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::conversion::{put, put_next};
use super::names::ToolNames;
use crate::claude::{InvalidReply, object};
use crate::json::{elements, member, quoted, string};

/// The end of a reply, in Claude's words.
pub(super) struct Stop {
    /// The `stop_reason` as JSON.
    pub reason: Cow<'static, str>,
    pub guardrail_intervened: bool,
}

impl Stop {
    /// Reads a `stopReason`.
    ///
    /// # Errors
    ///
    /// If the model's reply could not be read by Bedrock.
    pub(super) fn parse(json: Option<&RawValue>) -> Result<Self, InvalidReply> {
        let word = json.and_then(string).unwrap_or_default();
        let reason = match &*word {
            "" => Cow::Borrowed("null"),
            "guardrail_intervened" | "content_filtered" => Cow::Borrowed(r#""refusal""#),
            "malformed_model_output" | "malformed_tool_use" => return Err(InvalidReply::Malformed),
            // All others are Claude's too.
            word => Cow::Owned(quoted(word)),
        };
        Ok(Self { reason, guardrail_intervened: word == "guardrail_intervened" })
    }

    /// Returns Bedrock's own member, by which InvokeModel reports that a guardrail intervened.
    pub(super) fn guardrail(&self) -> &'static str {
        match self.guardrail_intervened {
            true => r#","amazon-bedrock-guardrailAction":"INTERVENED""#,
            false => "",
        }
    }
}

/// Writes a usage as Claude does.
pub(super) fn usage(json: Option<&RawValue>) -> String {
    let mut out = String::from("{");
    for (name, name_in_converse) in [
        ("input_tokens", "inputTokens"),
        ("output_tokens", "outputTokens"),
        ("cache_read_input_tokens", "cacheReadInputTokens"),
        ("cache_creation_input_tokens", "cacheWriteInputTokens"),
    ] {
        if let Some(number) = json.and_then(|json| member(json, name_in_converse)) {
            put_next(&mut out, &["\"", name, "\":", number.get()]);
        }
    }
    out.push('}');
    out
}

/// Writes a value, or another text if there is none.
fn or<'a>(json: Option<&'a RawValue>, default: &'a str) -> &'a str {
    json.map_or(default, RawValue::get)
}

/// Writes the beginning of a tool call up to its input, with the caller's name of the tool.
pub(super) fn tool_use(tool: &RawValue, names: &ToolNames) -> String {
    let name = member(tool, "name").and_then(string).unwrap_or_default();
    let (id, name) = (or(member(tool, "toolUseId"), r#""""#), quoted(names.restore(&name)));
    [r#"{"type":"tool_use","id":"#, id, r#","name":"#, &name, r#","input":"#].concat()
}

/// Parses an object.
///
/// # Errors
///
/// If it is none.
pub(super) fn parse(json: &[u8]) -> Result<&RawValue, InvalidReply> {
    let value: &RawValue = object(json)?;
    match value.get().starts_with('{') {
        true => Ok(value),
        false => Err(InvalidReply::NoText),
    }
}

/// Returns the blocks of a reply of Converse.
pub(super) fn content(body: &RawValue) -> Option<Vec<&RawValue>> {
    let content = member(member(member(body, "output")?, "message")?, "content")?;
    content.get().starts_with('[').then(|| elements(content))
}

/// Converts the body of a response to Converse to Claude's reply. Returns `None` if it is not a reply of Converse: its reader
/// says what it is.
///
/// # Errors
///
/// If it is not JSON, or the model's reply could not be read by Bedrock.
pub(crate) fn to_claude(
    body: &[u8],
    names: &ToolNames,
    id: &str,
) -> Result<Option<String>, InvalidReply> {
    let body = parse(body)?;
    let Some(blocks) = content(body) else { return Ok(None) };
    let stop = Stop::parse(member(body, "stopReason"))?;
    let mut out = String::new();
    let start = r#","type":"message","role":"assistant","model":"","content":["#;
    put(&mut out, &[r#"{"id":"#, &quoted(id), start]);
    for block in blocks {
        write_block(block, names, &mut out);
    }
    put(
        &mut out,
        &[
            r#"],"stop_reason":"#,
            &stop.reason,
            r#","stop_sequence":null,"usage":"#,
            &usage(member(body, "usage")),
            stop.guardrail(),
            "}",
        ],
    );
    Ok(Some(out))
}

fn write_block(block: &RawValue, names: &ToolNames, out: &mut String) {
    let mut write_text = |text: &RawValue| {
        put_next(out, &[r#"{"type":"text","text":"#, text.get(), "}"]);
    };
    if let Some(text) = member(block, "text") {
        write_text(text);
    }
    let cited = member(block, "citationsContent").and_then(|it| member(it, "content"));
    for cited in cited.map(elements).unwrap_or_default() {
        if let Some(text) = member(cited, "text") {
            write_text(text);
        }
    }
    if let Some(tool) = member(block, "toolUse") {
        put_next(out, &[&tool_use(tool, names), or(member(tool, "input"), "{}"), "}"]);
    }
    let Some(reasoning) = member(block, "reasoningContent") else { return };
    if let Some(text) = member(reasoning, "reasoningText") {
        let signature = or(member(text, "signature"), r#""""#);
        let text = or(member(text, "text"), r#""""#);
        let start = r#"{"type":"thinking","thinking":"#;
        put_next(out, &[start, text, r#","signature":"#, signature, "}"]);
    }
    if let Some(data) = member(reasoning, "redactedContent") {
        put_next(out, &[r#"{"type":"redacted_thinking","data":"#, data.get(), "}"]);
    }
}
