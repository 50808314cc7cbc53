//! A whole reply, and what replies and streams have in common: the words of their ends, and the usage.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::conversion::comma;
use super::names::ToolNames;
use crate::claude::{InvalidReply, object};
use crate::json::{Members, string, to_json};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    output: Option<Output<'a>>,
    #[serde(rename = "stopReason", borrow)]
    stop_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<Vec<Block<'a>>>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(rename = "toolUse", borrow)]
    tool_use: Option<ToolUse<'a>>,
    #[serde(rename = "reasoningContent", borrow)]
    reasoning: Option<Reasoning<'a>>,
    #[serde(rename = "citationsContent", borrow)]
    citations: Option<Citations<'a>>,
}

/// A call of a tool, or its beginning in a stream.
#[derive(Deserialize)]
pub(super) struct ToolUse<'a> {
    #[serde(rename = "toolUseId", borrow)]
    pub id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Reasoning<'a> {
    #[serde(rename = "reasoningText", borrow)]
    text: Option<ReasoningText<'a>>,
    #[serde(rename = "redactedContent", borrow)]
    redacted: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ReasoningText<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    signature: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Citations<'a> {
    #[serde(borrow)]
    content: Option<Vec<Cited<'a>>>,
}

#[derive(Deserialize)]
struct Cited<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

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
    let members = json.and_then(|json| serde_json::from_str(json.get()).ok());
    let Members(members) = members.unwrap_or(Members(Vec::new()));
    let mut out = String::from("{");
    for (name, name_in_converse) in [
        ("input_tokens", "inputTokens"),
        ("output_tokens", "outputTokens"),
        ("cache_read_input_tokens", "cacheReadInputTokens"),
        ("cache_creation_input_tokens", "cacheWriteInputTokens"),
    ] {
        if let Some((_, number)) = members.iter().find(|(known, _)| known == name_in_converse) {
            comma(&mut out);
            out += &format!(r#""{name}":{}"#, number.get());
        }
    }
    out.push('}');
    out
}

/// Writes a value, or another text if there is none.
pub(super) fn or<'a>(json: Option<&'a RawValue>, default: &'a str) -> &'a str {
    json.map(RawValue::get).filter(|text| *text != "null").unwrap_or(default)
}

/// Writes the beginning of a tool call up to its input, with the caller's name of the tool.
pub(super) fn tool_use(tool: &ToolUse<'_>, names: &ToolNames) -> String {
    let name = tool.name.and_then(string).unwrap_or_default();
    format!(
        r#"{{"type":"tool_use","id":{},"name":{},"input":"#,
        or(tool.id, r#""""#),
        to_json(&names.restore(&name))
    )
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
    let Body { output, stop_reason, usage: counted } = object(body)?;
    let content = output.and_then(|it| it.message).and_then(|it| it.content);
    let Some(blocks) = content else { return Ok(None) };
    let stop = Stop::parse(stop_reason)?;
    let mut out = format!(
        r#"{{"id":{},"type":"message","role":"assistant","model":"","content":["#,
        to_json(&id)
    );
    for block in blocks {
        write_block(&block, names, &mut out);
    }
    out += &format!(
        r#"],"stop_reason":{},"stop_sequence":null,"usage":{}{}}}"#,
        stop.reason,
        usage(counted),
        stop.guardrail()
    );
    Ok(Some(out))
}

fn write_block(block: &Block<'_>, names: &ToolNames, out: &mut String) {
    let Block { text, tool_use: tool, reasoning, citations } = block;
    let mut write_text = |text: &str| {
        comma(out);
        *out += r#"{"type":"text","text":"#;
        *out += text;
        out.push('}');
    };
    if let Some(text) = text {
        write_text(text.get());
    }
    let cited = citations.iter().flat_map(|it| it.content.iter().flatten());
    for text in cited.filter_map(|it| it.text) {
        write_text(text.get());
    }
    if let Some(tool) = tool {
        comma(out);
        *out += &tool_use(tool, names);
        *out += or(tool.input, "{}");
        out.push('}');
    }
    let Some(Reasoning { text, redacted }) = reasoning else { return };
    if let Some(ReasoningText { text, signature }) = text {
        comma(out);
        *out += r#"{"type":"thinking","thinking":"#;
        *out += or(*text, r#""""#);
        *out += r#","signature":"#;
        *out += or(*signature, r#""""#);
        out.push('}');
    }
    if let Some(data) = redacted {
        comma(out);
        *out += &format!(r#"{{"type":"redacted_thinking","data":{}}}"#, data.get());
    }
}
