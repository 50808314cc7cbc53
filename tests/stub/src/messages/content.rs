//! Content blocks: which kinds each role may send, their keys, and what is in them.
//!
//! Sources: Anthropic's documentation, "Messages" (kinds and keys); AWS's documentation (images and
//! documents in base64 only, 5 MB each).

use serde_json::{Map, Value};

use super::{extra, required_in};
use crate::error::AwsError;

/// The sender of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    User,
    Assistant,
    /// A message of the role `system`, and the system prompt.
    System,
    /// The content of a `tool_result`.
    Tool,
}

use Sender::{Assistant, System, Tool, User};

/// A kind of block.
struct Kind {
    name: &'static str,
    senders: &'static [Sender],
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        name: "text",
        senders: &[User, Assistant, System, Tool],
        required: &["text"],
        optional: &["cache_control", "citations"],
    },
    Kind {
        name: "image",
        senders: &[User, Tool],
        required: &["source"],
        optional: &["cache_control"],
    },
    Kind {
        name: "document",
        senders: &[User, Tool],
        required: &["source"],
        optional: &["cache_control", "citations", "context", "title"],
    },
    Kind {
        name: "search_result",
        senders: &[User, Tool],
        required: &["content", "source", "title"],
        optional: &["cache_control", "citations"],
    },
    Kind { name: "tool_reference", senders: &[Tool], required: &["tool_name"], optional: &[] },
    Kind {
        name: "tool_result",
        senders: &[User],
        required: &["tool_use_id"],
        optional: &["cache_control", "content", "is_error"],
    },
    Kind {
        name: "tool_use",
        senders: &[Assistant],
        required: &["id", "input", "name"],
        optional: &["cache_control"],
    },
    Kind {
        name: "thinking",
        senders: &[Assistant],
        required: &["signature", "thinking"],
        optional: &[],
    },
    Kind { name: "redacted_thinking", senders: &[Assistant], required: &["data"], optional: &[] },
    Kind {
        name: "compaction",
        senders: &[Assistant],
        required: &["content"],
        optional: &["cache_control"],
    },
];

/// The kinds of `source` that Bedrock takes. It fetches no URL and has no Files API.
const IMAGE_SOURCES: &[&str] = &["base64"];
const DOCUMENT_SOURCES: &[&str] = &["base64", "text", "content"];

const IMAGE_TYPES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];

/// The largest image or document in bytes, before it is encoded.
const MAX_SOURCE: usize = 5 * 1024 * 1024;

/// Validates `content`: a string, or an array of blocks. Returns its texts, concatenated.
///
/// `path` is its place in the body, for the error.
pub(super) fn check(content: &Value, sender: Sender, path: &str) -> Result<String, AwsError> {
    match content {
        Value::String(text) => Ok(text.clone()),
        Value::Array(blocks) => blocks
            .iter()
            .enumerate()
            .map(|(index, block)| check_block(block, sender, &format!("{path}.{index}")))
            .collect(),
        _ => Err(AwsError::validation(format!(
            "{path}: Input should be a valid string or a valid list"
        ))),
    }
}

/// Validates a block. Returns its text.
fn check_block(block: &Value, sender: Sender, path: &str) -> Result<String, AwsError> {
    let name = block.get("type").and_then(Value::as_str).unwrap_or_default();
    let expected = || KINDS.iter().filter(|kind| kind.senders.contains(&sender));
    let Some((kind, block)) = expected().find(|kind| kind.name == name).zip(block.as_object())
    else {
        return Err(unexpected_tag(path, name, expected().map(|kind| kind.name)));
    };
    let path = format!("{path}.{name}");
    let known =
        |key: &str| key == "type" || kind.required.contains(&key) || kind.optional.contains(&key);
    if let Some(key) = block.keys().find(|key| !known(key)) {
        return Err(extra(&format!("{path}.{key}")));
    }
    for key in kind.required {
        required_in(block, key, &path)?;
    }
    match name {
        "text" => check_text(block, &path),
        "image" => check_source(&block["source"], IMAGE_SOURCES, &path).map(|()| String::new()),
        "document" => {
            check_source(&block["source"], DOCUMENT_SOURCES, &path)?;
            Ok(block["source"]["data"].as_str().map_or_else(String::new, |data| {
                let is_text = block["source"]["type"] == "text";
                if is_text { data.to_owned() } else { String::new() }
            }))
        }
        "tool_result" => match block.get("content") {
            Some(content) => check(content, Tool, &format!("{path}.content")),
            None => Ok(String::new()),
        },
        "tool_use" => check_tool_use(block, &path).map(|()| String::new()),
        // Bedrock takes an empty signature for a missing one (oh-my-pi PR 10486).
        "thinking" if block["signature"].as_str().is_none_or(str::is_empty) => {
            Err(AwsError::validation(format!("{path}.signature: Field required")))
        }
        _ => Ok(String::new()),
    }
}

pub(super) fn unexpected_tag(
    path: &str,
    tag: &str,
    expected: impl Iterator<Item = &'static str>,
) -> AwsError {
    let expected = expected.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    AwsError::validation(format!(
        "{path}: Input tag '{tag}' found using 'type' does not match any of the expected tags: \
         {expected}"
    ))
}

fn check_text(block: &Map<String, Value>, path: &str) -> Result<String, AwsError> {
    // Bedrock's message names only the top-level key.
    let key = path.split('.').next().unwrap_or_default();
    match block["text"].as_str() {
        Some("") => {
            Err(AwsError::validation(format!("{key}: text content blocks must be non-empty")))
        }
        Some(text) if text.trim().is_empty() => Err(AwsError::validation(format!(
            "{key}: text content blocks must contain non-whitespace text"
        ))),
        Some(text) => Ok(text.to_owned()),
        None => Err(AwsError::validation(format!("{path}.text: Input should be a valid string"))),
    }
}

fn check_source(
    source: &Value,
    kinds: &'static [&'static str],
    path: &str,
) -> Result<(), AwsError> {
    let path = format!("{path}.source");
    let kind = source.get("type").and_then(Value::as_str).unwrap_or_default();
    if !kinds.contains(&kind) {
        return Err(unexpected_tag(&path, kind, kinds.iter().copied()));
    }
    if kind != "base64" {
        return Ok(());
    }
    let field = |key: &str| source.get(key).and_then(Value::as_str);
    let (Some(media_type), Some(data)) = (field("media_type"), field("data")) else {
        return Err(AwsError::validation(format!("{path}.base64.data: Field required")));
    };
    if kinds == IMAGE_SOURCES && !IMAGE_TYPES.contains(&media_type) {
        return Err(AwsError::validation(format!(
            "{path}.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or \
             'image/webp'"
        )));
    }
    let bytes = data.len() / 4 * 3;
    if bytes > MAX_SOURCE {
        return Err(AwsError::validation(format!(
            "{path}.base64: image exceeds 5 MB maximum: {bytes} bytes > {MAX_SOURCE} bytes"
        )));
    }
    Ok(())
}

fn check_tool_use(block: &Map<String, Value>, path: &str) -> Result<(), AwsError> {
    let id = block["id"].as_str().unwrap_or_default();
    if !is_word(id) {
        return Err(AwsError::validation(format!(
            "{path}.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
        )));
    }
    if !block["input"].is_object() {
        return Err(AwsError::validation(format!(
            "{path}.input: Input should be a valid dictionary"
        )));
    }
    Ok(())
}

/// Tells whether a text matches `^[a-zA-Z0-9_-]+$`.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it))
}
