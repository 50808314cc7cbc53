//! A whole reply, and what replies and streams have in common: the words of their ends, and the usage.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::conversion::{put, put_next};
use super::names::ToolNames;
use crate::claude::{InvalidReply, object};
use crate::json::{Members, elements, string, to_json};

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
            word => Cow::Owned(to_json(&word)),
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
    let members = json.map_or(Members(Vec::new()), Members::of);
    let mut out = String::from("{");
    for (name, name_in_converse) in [
        ("input_tokens", "inputTokens"),
        ("output_tokens", "outputTokens"),
        ("cache_read_input_tokens", "cacheReadInputTokens"),
        ("cache_creation_input_tokens", "cacheWriteInputTokens"),
    ] {
        if let Some(number) = members.get(name_in_converse) {
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
pub(super) fn tool_use(tool: &Members<'_>, names: &ToolNames) -> String {
    let name = tool.get("name").and_then(string).unwrap_or_default();
    let (id, name) = (or(tool.get("toolUseId"), r#""""#), to_json(&names.restore(&name)));
    [r#"{"type":"tool_use","id":"#, id, r#","name":"#, &name, r#","input":"#].concat()
}

/// Returns the blocks of a reply of Converse.
pub(super) fn content<'a>(body: &Members<'a>) -> Option<Vec<&'a RawValue>> {
    let message = Members::of(body.get("output")?).get("message")?;
    let content = Members::of(message).get("content")?;
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
    let body: Members = object(body)?;
    let Some(blocks) = content(&body) else { return Ok(None) };
    let stop = Stop::parse(body.get("stopReason"))?;
    let mut out = String::new();
    let start = r#","type":"message","role":"assistant","model":"","content":["#;
    put(&mut out, &[r#"{"id":"#, &to_json(&id), start]);
    for block in blocks {
        write_block(&Members::of(block), names, &mut out);
    }
    put(
        &mut out,
        &[
            r#"],"stop_reason":"#,
            &stop.reason,
            r#","stop_sequence":null,"usage":"#,
            &usage(body.get("usage")),
            stop.guardrail(),
            "}",
        ],
    );
    Ok(Some(out))
}

fn write_block(block: &Members<'_>, names: &ToolNames, out: &mut String) {
    let mut write_text = |text: &RawValue| {
        put_next(out, &[r#"{"type":"text","text":"#, text.get(), "}"]);
    };
    if let Some(text) = block.get("text") {
        write_text(text);
    }
    let cited = block.get("citationsContent").and_then(|it| Members::of(it).get("content"));
    for cited in cited.map(elements).unwrap_or_default() {
        if let Some(text) = Members::of(cited).get("text") {
            write_text(text);
        }
    }
    if let Some(tool) = block.get("toolUse").map(Members::of) {
        put_next(out, &[&tool_use(&tool, names), or(tool.get("input"), "{}"), "}"]);
    }
    let Some(reasoning) = block.get("reasoningContent").map(Members::of) else { return };
    if let Some(text) = reasoning.get("reasoningText").map(Members::of) {
        let signature = or(text.get("signature"), r#""""#);
        let text = or(text.get("text"), r#""""#);
        let start = r#"{"type":"thinking","thinking":"#;
        put_next(out, &[start, text, r#","signature":"#, signature, "}"]);
    }
    if let Some(data) = reasoning.get("redactedContent") {
        put_next(out, &[r#"{"type":"redacted_thinking","data":"#, data.get(), "}"]);
    }
}
