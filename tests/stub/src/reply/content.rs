//! The content blocks of a reply: thinking, text with its citations, and calls of tools.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::text::{excerpt, quoting, truncate};
use super::tokens;
use crate::error::AwsError;
use crate::makers::{Feature, OtherModel};
use crate::messages::Messages;
use crate::schema::instance;
use crate::script::{Script, ToolCall};
use crate::signatures::{Seal, redacted_block};

/// The number of characters of a tool's result that the reply quotes.
const QUOTED_OF_RESULT: usize = 500;

/// The number of characters of a document that a citation quotes.
const QUOTED_OF_DOCUMENT: usize = 40;

/// The content of a reply.
#[derive(Default)]
pub(super) struct Content {
    pub(super) blocks: Vec<Value>,
    pub(super) stop_reason: &'static str,
    pub(super) stop_sequence: Option<String>,
    pub(super) tokens: usize,
}

/// Composes the content of the reply to a valid request. `seed` determines the ids of tool calls.
pub(super) fn compose(
    model_id: &str,
    messages: &Messages,
    seed: &str,
) -> Result<Content, AwsError> {
    let script = Script::from_messages(messages)?;
    if script.is_refused {
        return Ok(Content { stop_reason: "refusal", ..Content::default() });
    }
    let mut content = Content { stop_reason: "end_turn", ..Content::default() };
    let max_tokens = usize::try_from(messages.max_tokens).unwrap_or(usize::MAX);
    let calls = calls(messages, &script);

    let other = OtherModel::find(model_id);
    let seal = Seal::new(model_id, &messages.body, usize::MAX);
    if let Some(text) = thinking(messages, &script, other) {
        let tokens = tokens(&text);
        let kept = tokens.get(..max_tokens).unwrap_or(&tokens).concat();
        content.tokens = tokens.len().min(max_tokens);
        let is_omitted = messages.body.get("thinking").is_some_and(|it| it["display"] == "omitted");
        let shown = if is_omitted { String::new() } else { kept };
        // Only Claude signs its thinking.
        let signature = other.is_none().then(|| seal.sign(&shown));
        content
            .blocks
            .push(json!({ "type": "thinking", "thinking": shown, "signature": signature }));
    }
    if script.is_redacted {
        content.blocks.push(redacted_block(&seal));
    }
    let left = max_tokens - content.tokens;
    if left == 0 {
        content.stop_reason = "max_tokens";
        return Ok(content);
    }

    if let Some(text) = text(messages, &script, !calls.is_empty()) {
        let (text, stop_reason, stop_sequence) = truncate(&text, left, &messages.stop_sequences);
        content.tokens += tokens(&text).len();
        (content.stop_reason, content.stop_sequence) = (stop_reason, stop_sequence);
        if !text.is_empty() {
            let mut block = json!({ "type": "text", "text": text });
            if let Some(citation) = citation(messages) {
                block["citations"] = json!([citation]);
            }
            content.blocks.push(block);
        }
    }
    if content.stop_reason != "end_turn" {
        return Ok(content);
    }

    for (index, call) in calls.into_iter().enumerate() {
        let tokens = tokens(&call.input.to_string()).len();
        if content.tokens + tokens > max_tokens {
            content.stop_reason = "max_tokens";
            return Ok(content);
        }
        content.tokens += tokens;
        let mut id = hex::encode(Sha256::digest(format!("{seed} {index}")));
        id.truncate(24);
        content.blocks.push(json!({
            "type": "tool_use",
            "id": format!("toolu_bdrk_{id}"),
            "name": call.name,
            "input": call.input,
        }));
        content.stop_reason = "tool_use";
    }
    Ok(content)
}

/// Returns the thinking of a request that asks for it, whose prompt scripts it, or whose model always
/// thinks.
fn thinking(messages: &Messages, script: &Script, other: Option<&OtherModel>) -> Option<String> {
    let is_asked = matches!(messages.thinking_type(), Some("enabled" | "adaptive"))
        || other.is_some_and(|model| model.has(Feature::Reasoning));
    let text = || "The user wants a reply from the stand-in.".to_owned();
    script.thinking.clone().or_else(|| is_asked.then(text))
}

/// Returns the calls that the prompt scripts. Without any, a tool that `tool_choice` forces is
/// called with an instance of its schema, except if the last call was answered.
fn calls(messages: &Messages, script: &Script) -> Vec<ToolCall> {
    let choice = messages.body.get("tool_choice").unwrap_or(&Value::Null);
    let mut calls = if choice["type"] == "none" { Vec::new() } else { script.calls.clone() };
    if calls.is_empty() && results(messages).is_empty() {
        let is_forced = |tool: &&Value| match choice["type"].as_str() {
            Some("any") => true,
            Some("tool") => tool["name"] == choice["name"],
            _ => false,
        };
        calls.extend(messages.tools().find(is_forced).map(|tool| ToolCall {
            name: tool["name"].as_str().unwrap_or_default().to_owned(),
            input: instance(&tool["input_schema"]),
        }));
    }
    if choice["disable_parallel_tool_use"] == true {
        calls.truncate(1);
    }
    calls
}

fn text(messages: &Messages, script: &Script, has_calls: bool) -> Option<String> {
    if let Some(text) = &script.text {
        return Some(text.clone());
    }
    if has_calls {
        return None;
    }
    let format = messages.body.get("output_config").and_then(|config| config.get("format"));
    if let Some(format) = format {
        return Some(instance(&format["schema"]).to_string());
    }
    let results = results(messages);
    if results.is_empty() {
        return Some(quoting(&messages.text_of_user(), messages.system.as_deref()));
    }
    let quotes: Vec<String> =
        results.iter().map(|text| format!("\"{}\"", excerpt(text, QUOTED_OF_RESULT))).collect();
    Some(format!("The tools returned: {}.", quotes.join(", ")))
}

/// Returns the texts of the tool results in the last user message.
fn results(messages: &Messages) -> Vec<String> {
    let blocks = messages.last_user_blocks().iter();
    let results = blocks.filter(|block| block["type"] == "tool_result");
    let text = |result: &Value| match &result["content"] {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks
            .iter()
            .filter_map(|block| block["text"].as_str().or(block["tool_name"].as_str()))
            .collect(),
        _ => String::new(),
    };
    results.map(text).collect()
}

/// Returns a citation of the first text document of the last user message that allows citations.
fn citation(messages: &Messages) -> Option<Value> {
    let documents = messages.last_user_blocks().iter().filter(|block| block["type"] == "document");
    let (index, document) = documents
        .enumerate()
        .find(|(_, it)| it["citations"]["enabled"] == true && it["source"]["type"] == "text")?;
    let quoted: String =
        document["source"]["data"].as_str()?.chars().take(QUOTED_OF_DOCUMENT).collect();
    Some(json!({
        "type": "char_location",
        "document_index": index,
        "document_title": document["title"],
        "start_char_index": 0,
        "end_char_index": quoted.chars().count(),
        "cited_text": quoted,
    }))
}
