//! Content blocks and messages.

mod media;

use serde_json::{Map, Value, json};

use super::fields::{
    TOOL_NAME, TOOL_USE_ID, array, as_object, check_keys, join, missing, name, one_of, text, union,
};
use super::request::Reader;
use super::tools::cache_point_first;
use crate::error::AwsError;
use crate::makers::Feature;
use media::Media;

/// The sender of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    User,
    Assistant,
    /// `system`, and a message of the role `system`.
    System,
    /// The content of a `toolResult`.
    Tool,
}

use Sender::{Assistant, System, Tool, User};

/// The keys of a content block, and who may send each.
const KINDS: &[(&str, &[Sender])] = &[
    ("text", &[User, Assistant, System, Tool]),
    ("image", &[User, Tool]),
    ("document", &[User, Tool]),
    ("video", &[User, Tool]),
    ("toolUse", &[Assistant]),
    ("toolResult", &[User]),
    ("guardContent", &[User, System]),
    ("cachePoint", &[User, Assistant, System]),
    ("reasoningContent", &[Assistant]),
    ("citationsContent", &[Assistant]),
    ("searchResult", &[User, Tool]),
    ("json", &[Tool]),
];

/// Reads `messages`.
pub(super) fn conversation(
    reader: &Reader,
    messages: &[Value],
    has_tools: bool,
) -> Result<Value, AwsError> {
    let turns: Vec<Turn> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| turn(reader, message, index))
        .collect::<Result<_, _>>()?;
    if turns.first().is_none_or(|turn| turn.sender != User) {
        return Err(AwsError::validation(
            "A conversation must start with a user message. Try again with a conversation that \
             starts with a user message.",
        ));
    }
    // Claude merges turns of one role. Portkey #748 has the message for the others.
    let alternates = turns.windows(2).all(|pair| pair[0].sender != pair[1].sender);
    if reader.other.is_some() && !alternates {
        return Err(AwsError::validation(
            "A conversation must alternate between user and assistant roles. Make sure the \
             conversation alternates between user and assistant roles and try again.",
        ));
    }
    let of_kind = |kind: &str| turns.iter().flat_map(|it| &it.blocks).any(|it| it["type"] == kind);
    if !has_tools && (of_kind("tool_use") || of_kind("tool_result")) {
        // patriceckhart/zot PR 18.
        return Err(AwsError::validation(
            "The toolConfig field must be defined when using toolUse and toolResult content \
             blocks.",
        ));
    }
    check_tool_results(reader, &turns)?;
    Media::check(&turns.iter().flat_map(|turn| &turn.blocks).collect::<Vec<_>>())?;
    let role = |sender| match sender {
        Assistant => "assistant",
        System => "system",
        User | Tool => "user",
    };
    let messages = turns
        .into_iter()
        .map(|turn| json!({ "role": role(turn.sender), "content": turn.blocks }))
        .collect();
    Ok(Value::Array(messages))
}

struct Turn {
    sender: Sender,
    /// In Claude's form.
    blocks: Vec<Value>,
}

fn turn(reader: &Reader, message: &Value, index: usize) -> Result<Turn, AwsError> {
    let member = format!("messages.{}.member", index + 1);
    let message = as_object(message, &member)?;
    check_keys(message, &["content", "role"], &member)?;
    let roles: &[&str] = if reader.other.is_none() {
        &["assistant", "system", "user"]
    } else {
        &["assistant", "user"]
    };
    let sender = match one_of(message, "role", roles, &member)? {
        "user" => User,
        "assistant" => Assistant,
        _ => System,
    };
    let content =
        array(message, "content", &member)?.ok_or_else(|| missing(&join(&member, "content")))?;
    if content.is_empty() {
        return Err(AwsError::validation(format!(
            "The content field in the Message object at messages.{index} is empty. Add a \
             ContentBlock object to the content field and try again."
        )));
    }
    let path = format!("messages.{index}.content");
    let blocks = blocks(reader, content, sender, &path)?;
    let has = |kind: &str| blocks.iter().any(|block| block["type"] == kind);
    if has("document") && !has("text") {
        return Err(AwsError::validation(format!(
            "{path}: A message with a document must include a text block too."
        )));
    }
    Ok(Turn { sender, blocks })
}

/// Reads a list of blocks.
pub(super) fn blocks(
    reader: &Reader,
    blocks: &[Value],
    sender: Sender,
    path: &str,
) -> Result<Vec<Value>, AwsError> {
    let mut read: Vec<Value> = Vec::new();
    for (index, value) in blocks.iter().enumerate() {
        let path = format!("{path}.{index}");
        let kinds = KINDS.iter().filter(|(_, senders)| senders.contains(&sender));
        let known: Vec<&str> = kinds.map(|(kind, _)| *kind).collect();
        let kind = match sender {
            System => "SystemContentBlock",
            Tool => "ToolResultContentBlock",
            User | Assistant => "ContentBlock",
        };
        match union(value, &known, kind, &path)? {
            ("cachePoint", point) => {
                let control = cache_control(reader, point, &path)?;
                match read.last_mut() {
                    Some(block) => block["cache_control"] = control,
                    None => return Err(cache_point_first(&path)),
                }
            }
            (kind, value) => read.push(block(reader, kind, value, &path)?),
        }
    }
    Ok(read)
}

/// Reads a block that is not a cache point.
fn block(reader: &Reader, kind: &str, value: &Value, path: &str) -> Result<Value, AwsError> {
    if kind == "text" {
        return text_block(value, path);
    }
    if kind == "json" {
        return Ok(json!({ "type": "text", "text": value.to_string() }));
    }
    let path = join(path, kind);
    let object = as_object(value, &path)?;
    match kind {
        "image" => media::image(reader, object, &path),
        "document" => media::document(reader, object, &path),
        "video" => media::video(reader, object, &path),
        "toolUse" => tool_use(object, &path),
        "toolResult" => tool_result(reader, object, &path),
        "guardContent" => match union(value, &["text", "image"], "GuardContent", &path)? {
            ("text", value) => {
                let value = as_object(value, &path)?;
                check_keys(value, &["qualifiers", "text"], &path)?;
                text_block(value.get("text").unwrap_or(&Value::Null), &path)
            }
            (_, value) => media::image(reader, as_object(value, &path)?, &path),
        },
        "reasoningContent" => reasoning(value, &path),
        "citationsContent" => {
            let content = array(object, "content", &path)?.unwrap_or_default();
            let text: String = content.iter().filter_map(|it| it["text"].as_str()).collect();
            text_block(&json!(text), &path)
        }
        _ => {
            let content = array(object, "content", &path)?.unwrap_or_default();
            let blocks = self::blocks(reader, content, Tool, &join(&path, "content"))?;
            let [title, source] = [text(object, "title", &path)?, text(object, "source", &path)?];
            let block = json!({ "type": "search_result", "title": title, "source": source });
            Ok(with(block, "content", Value::Array(blocks)))
        }
    }
}

fn with(mut block: Value, key: &str, value: Value) -> Value {
    block[key] = value;
    block
}

/// Reads a text, which must not be blank (botocore #3525, OpenHands #5339).
fn text_block(value: &Value, path: &str) -> Result<Value, AwsError> {
    match value.as_str() {
        Some(text) if text.trim().is_empty() => Err(AwsError::validation(format!(
            "The text field in the ContentBlock object at {path} is blank. Add text to the text \
             field, and try again."
        ))),
        Some(text) => Ok(json!({ "type": "text", "text": text })),
        None => Err(missing(&join(path, "text"))),
    }
}

fn tool_use(object: &Map<String, Value>, path: &str) -> Result<Value, AwsError> {
    check_keys(object, &["input", "name", "toolUseId", "type"], path)?;
    let id = name(object, "toolUseId", &TOOL_USE_ID, 64, path)?;
    let name = name(object, "name", &TOOL_NAME, 64, path)?;
    match object.get("input") {
        Some(input @ Value::Object(_)) => {
            Ok(json!({ "type": "tool_use", "id": id, "name": name, "input": input }))
        }
        _ => Err(AwsError::validation(format!(
            "The format of the value at {path}.input is invalid. Provide a json object for the \
             field and try again."
        ))),
    }
}

fn tool_result(
    reader: &Reader,
    object: &Map<String, Value>,
    path: &str,
) -> Result<Value, AwsError> {
    check_keys(object, &["content", "status", "toolUseId", "type"], path)?;
    let id = name(object, "toolUseId", &TOOL_USE_ID, 64, path)?;
    let content = array(object, "content", path)?.ok_or_else(|| missing(&join(path, "content")))?;
    let content = blocks(reader, content, Tool, &join(path, "content"))?;
    let mut block = json!({ "type": "tool_result", "tool_use_id": id, "content": content });
    if object.contains_key("status") {
        let status = one_of(object, "status", &["success", "error"], path)?;
        block["is_error"] = json!(status == "error");
    }
    Ok(block)
}

fn reasoning(value: &Value, path: &str) -> Result<Value, AwsError> {
    let known = ["reasoningText", "redactedContent"];
    match union(value, &known, "ReasoningContentBlock", path)? {
        ("reasoningText", value) => {
            let reasoning = as_object(value, path)?;
            check_keys(reasoning, &["signature", "text"], path)?;
            let signature = reasoning.get("signature").cloned().unwrap_or_default();
            let text = text(reasoning, "text", path)?;
            Ok(json!({ "type": "thinking", "thinking": text, "signature": signature }))
        }
        (_, data) => Ok(json!({ "type": "redacted_thinking", "data": data })),
    }
}

/// Reads a cache point, as the `cache_control` of the block before it.
pub(super) fn cache_control(reader: &Reader, point: &Value, path: &str) -> Result<Value, AwsError> {
    if reader.other.is_some_and(|model| !model.has(Feature::Caching)) {
        return Err(AwsError::bedrock(
            axum::http::StatusCode::FORBIDDEN,
            "AccessDeniedException",
            "You invoked an unsupported model or your request did not allow prompt caching. See \
             the documentation for more information.",
        ));
    }
    let path = join(path, "cachePoint");
    let point = as_object(point, &path)?;
    check_keys(point, &["ttl", "type"], &path)?;
    one_of(point, "type", &["default"], &path)?;
    let mut control = json!({ "type": "ephemeral" });
    if point.contains_key("ttl") {
        control["ttl"] = json!(one_of(point, "ttl", &["5m", "1h"], &path)?);
    }
    Ok(control)
}

/// Checks that each call has its result in the next message, and each result its call
/// (langgenius/dify-official-plugins #765).
fn check_tool_results(reader: &Reader, turns: &[Turn]) -> Result<(), AwsError> {
    let mut calls: Vec<&str> = Vec::new();
    for (index, turn) in turns.iter().enumerate() {
        let ids = |kind: &str, key: &str| -> Vec<&str> {
            let blocks = turn.blocks.iter().filter(|block| block["type"] == kind);
            blocks.filter_map(|block| block[key].as_str()).collect()
        };
        let results = ids("tool_result", "tool_use_id");
        if results.len() > calls.len() {
            return Err(AwsError::validation(format!(
                "The number of toolResult blocks at messages.{index}.content exceeds the number \
                 of toolUse blocks of previous turn."
            )));
        }
        let missing: Vec<&str> = calls.iter().filter(|id| !results.contains(id)).copied().collect();
        if !missing.is_empty() {
            return Err(AwsError::validation(format!(
                "Expected toolResult blocks at messages.{index}.content for the following Ids: {}",
                missing.join(", ")
            )));
        }
        // langchain-ai/langchain-aws #141, browser-use #710.
        if !results.is_empty() && results.len() < turn.blocks.len() {
            reader.need(
                Feature::MixedToolResults,
                &format!(
                    "messages.{index}.content: Conversation blocks and tool result blocks cannot \
                     be provided in the same turn."
                ),
            )?;
        }
        calls = ids("tool_use", "id");
    }
    Ok(())
}
