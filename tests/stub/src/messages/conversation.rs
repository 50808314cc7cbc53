//! The messages: their roles and keys, and the pairs of tool calls and results.

use serde_json::{Map, Value};

use super::content::{self, Sender};
use super::{betas, extra, required_in, wrong_type};
use crate::error::AwsError;

/// A valid message.
pub(super) struct Turn {
    pub(super) role: Sender,
    /// Its texts, concatenated.
    pub(super) text: String,
}

/// Validates the messages of a body.
pub(super) fn check(messages: &Value, betas: &[String]) -> Result<Vec<Turn>, AwsError> {
    let Value::Array(messages) = messages else {
        return Err(wrong_type("messages", "JSONArray"));
    };
    if messages.is_empty() {
        return Err(AwsError::validation("messages: at least one message is required"));
    }
    let turns: Vec<Turn> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| check_message(message, index, betas))
        .collect::<Result<_, _>>()?;
    if turns.first().is_some_and(|turn| turn.role != Sender::User) {
        return Err(AwsError::validation("messages: first message must use the \"user\" role"));
    }
    check_pairs(messages)?;
    Ok(turns)
}

fn check_message(message: &Value, index: usize, given: &[String]) -> Result<Turn, AwsError> {
    let Value::Object(message) = message else {
        return Err(wrong_type(&format!("messages/{index}"), "JSONObject"));
    };
    let path = format!("messages.{index}");
    let role = match required_in(message, "role", &path)?.as_str() {
        Some("user") => Sender::User,
        Some("assistant") => Sender::Assistant,
        Some("system") => Sender::System,
        _ => {
            return Err(AwsError::validation(format!(
                "{path}.role: Input should be 'user' or 'assistant'"
            )));
        }
    };
    let takes_config = role == Sender::System && betas::has(given, "per-turn-control");
    let known =
        |key: &str| ["content", "role"].contains(&key) || key == "output_config" && takes_config;
    if let Some(key) = message.keys().find(|key| !known(key)) {
        return Err(extra(&format!("{path}.{key}")));
    }
    let content = required_in(message, "content", &path)?;
    let text = content::check(content, role, &format!("{path}.content"))?;
    let is_empty = |content: &Value| match content {
        Value::String(text) => text.is_empty(),
        content => content.as_array().is_some_and(Vec::is_empty),
    };
    if is_empty(content) {
        return Err(AwsError::validation(format!(
            "{path}: all messages must have non-empty content"
        )));
    }
    if content.is_string() && text.trim().is_empty() {
        return Err(AwsError::validation(
            "messages: text content blocks must contain non-whitespace text",
        ));
    }
    Ok(Turn { role, text })
}

/// Checks that each tool call has its result at the start of the next user message, and each result
/// its call in the assistant message before it. Messages of the role `system` may stand in between.
fn check_pairs(messages: &[Value]) -> Result<(), AwsError> {
    let mut calls: Vec<(usize, &str)> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        match message["role"].as_str() {
            Some("assistant") => {
                check_answered(&calls, &[])?;
                calls = ids(blocks, "tool_use", "id").map(|(_, id)| (index, id)).collect();
            }
            Some("user") => {
                let results: Vec<_> = ids(blocks, "tool_result", "tool_use_id").collect();
                let unknown =
                    results.iter().find(|(_, id)| !calls.iter().any(|(_, call)| call == id));
                if let Some((at, id)) = unknown {
                    return Err(AwsError::validation(format!(
                        "messages.{index}.content.{at}: unexpected `tool_use_id` found in \
                         `tool_result` blocks: {id}. Each `tool_result` block must have a \
                         corresponding `tool_use` block in the previous message."
                    )));
                }
                // A result behind another block does not count.
                let first: Vec<_> = results
                    .iter()
                    .enumerate()
                    .filter(|(count, (at, _))| count == at)
                    .map(|(_, (_, id))| *id)
                    .collect();
                check_answered(&calls, &first)?;
                calls.clear();
            }
            _ => {}
        }
    }
    // Calls of the last message have no results yet.
    match messages.last() {
        Some(last) if last["role"] == "assistant" => Ok(()),
        _ => check_answered(&calls, &[]),
    }
}

fn check_answered(calls: &[(usize, &str)], results: &[&str]) -> Result<(), AwsError> {
    let missing: Vec<&(usize, &str)> =
        calls.iter().filter(|(_, id)| !results.contains(id)).collect();
    let Some((index, _)) = missing.first() else { return Ok(()) };
    let ids = missing.iter().map(|(_, id)| *id).collect::<Vec<_>>().join(", ");
    Err(AwsError::validation(format!(
        "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately \
         after: {ids}. Each `tool_use` block must have a corresponding `tool_result` block in the \
         next message."
    )))
}

/// Returns the ids of the blocks of a kind, with their indices.
fn ids<'a>(
    blocks: &'a [Value],
    kind: &'a str,
    key: &'a str,
) -> impl Iterator<Item = (usize, &'a str)> {
    let blocks = blocks.iter().enumerate().filter(move |(_, block)| block["type"] == kind);
    blocks.map(move |(index, block)| (index, block[key].as_str().unwrap_or_default()))
}

/// Returns the index of the last message of the user.
pub(super) fn last_user(body: &Map<String, Value>) -> Option<usize> {
    body["messages"].as_array()?.iter().rposition(|message| message["role"] == "user")
}
