//! The body of `InvokeModel` and `InvokeModelWithResponseStream` for Claude: Anthropic's Messages
//! request, validated as Bedrock does.
//!
//! Out of scope: content blocks other than text, and limits that differ by model, such as the
//! highest `max_tokens`. `tools`, `tool_choice`, `thinking` and `anthropic_beta` are accepted
//! without validation.
//!
//! Source: Amazon Bedrock User Guide, "Anthropic Claude Messages API".

use serde_json::{Map, Value};

use crate::error::AwsError;

/// The only `anthropic_version` that Bedrock accepts.
pub const ANTHROPIC_VERSION: &str = "bedrock-2023-05-31";

/// The largest body in bytes. Bedrock's documentation: "maximum length of 25000000".
pub const MAX_BODY: usize = 25_000_000;

const BODY_KEYS: &[&str] = &[
    "anthropic_beta",
    "anthropic_version",
    "max_tokens",
    "messages",
    "stop_sequences",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];
const SAMPLING_KEYS: [&str; 3] = ["temperature", "top_p", "top_k"];
const MESSAGE_KEYS: &[&str] = &["content", "role"];
const TEXT_BLOCK_KEYS: &[&str] = &["cache_control", "text", "type"];

/// The parts of a valid request that the reply depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages {
    /// The text of the last user message, its blocks concatenated.
    pub prompt: String,
    /// The system prompt, its blocks concatenated.
    pub system: Option<String>,
    /// The most tokens that the reply may have, at least 1.
    pub max_tokens: u64,
    /// The stop sequences, in the order of the request.
    pub stop_sequences: Vec<String>,
    /// All texts that the model reads: the system prompt, and then the messages.
    pub texts: Vec<String>,
    /// The first of `temperature`, `top_p` and `top_k` that is in the body.
    pub sampling_parameter: Option<&'static str>,
    /// Whether the last message is the assistant's ("prefill").
    pub is_prefilled: bool,
}

/// Validates the percent-decoded model ID of the path: the ID of a foundation model or of an
/// inference profile, or an ARN.
///
/// # Errors
///
/// 400 `ValidationException`, if it is not the ID of a model of Anthropic or an ARN.
pub fn check_model_id(model_id: &str) -> Result<(), AwsError> {
    let well_formed = !model_id.is_empty()
        && model_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte));
    if well_formed && (model_id.starts_with("arn:") || model_id.contains("anthropic")) {
        Ok(())
    } else {
        Err(AwsError::validation("The provided model identifier is invalid."))
    }
}

impl Messages {
    /// Validates a body and its `content-type`.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException`, for the first problem.
    pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Self, AwsError> {
        let media_type = content_type.and_then(|value| value.split(';').next());
        if !media_type.is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json")) {
            return Err(AwsError::validation(
                "The provided content type is invalid. It must be application/json.",
            ));
        }
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
            return Err(AwsError::validation(
                "Malformed input request, please reformat your input and try again.",
            ));
        };
        check_keys(&body, BODY_KEYS, "")?;
        check_version(required(&body, "anthropic_version")?)?;
        let max_tokens = parse_max_tokens(required(&body, "max_tokens")?)?;
        check_unit_interval(&body, "temperature")?;
        check_unit_interval(&body, "top_p")?;
        let stop_sequences = parse_stop_sequences(&body)?;
        let system = body.get("system").map(|system| text_of(system, "system")).transpose()?;
        let conversation = parse_conversation(required(&body, "messages")?)?;
        let sampling_parameter = SAMPLING_KEYS.into_iter().find(|key| body.contains_key(*key));
        let is_prefilled = conversation.last().is_some_and(|(role, _)| *role == Role::Assistant);

        let prompt = conversation
            .iter()
            .rfind(|(role, _)| *role == Role::User)
            .map(|(_, text)| text.clone())
            .unwrap_or_default();
        let texts =
            system.iter().cloned().chain(conversation.into_iter().map(|(_, text)| text)).collect();
        Ok(Self {
            prompt,
            system,
            max_tokens,
            stop_sequences,
            texts,
            sampling_parameter,
            is_prefilled,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    Assistant,
}

fn parse_conversation(messages: &Value) -> Result<Vec<(Role, String)>, AwsError> {
    let Value::Array(messages) = messages else {
        return Err(wrong_type("messages", "JSONArray"));
    };
    if messages.is_empty() {
        return Err(AwsError::validation("messages: at least one message is required"));
    }
    let conversation: Vec<(Role, String)> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| parse_message(message, index))
        .collect::<Result<_, _>>()?;
    match conversation.first() {
        Some((Role::User, _)) => Ok(conversation),
        _ => Err(AwsError::validation("messages: first message must use the \"user\" role")),
    }
}

fn parse_message(message: &Value, index: usize) -> Result<(Role, String), AwsError> {
    let Value::Object(message) = message else {
        return Err(wrong_type(&format!("messages/{index}"), "JSONObject"));
    };
    check_keys(message, MESSAGE_KEYS, &format!("/messages/{index}"))?;
    let field = |key: &str| {
        message
            .get(key)
            .ok_or_else(|| AwsError::validation(format!("messages.{index}.{key}: Field required")))
    };
    let role = match field("role")?.as_str() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => {
            return Err(AwsError::validation(format!(
                "messages.{index}.role: Input should be 'user' or 'assistant'"
            )));
        }
    };
    let content = field("content")?;
    let text = text_of(content, &format!("messages.{index}.content"))?;
    if text.is_empty() {
        return Err(AwsError::validation(format!(
            "messages.{index}: all messages must have non-empty content"
        )));
    }
    if text.trim().is_empty() {
        return Err(AwsError::validation(
            "messages: text content blocks must contain non-whitespace text",
        ));
    }
    Ok((role, text))
}

/// Concatenates the text of `content`: a string, or an array of text blocks. `path` is its place in
/// the body, for the error.
fn text_of(content: &Value, path: &str) -> Result<String, AwsError> {
    match content {
        Value::String(text) => Ok(text.clone()),
        Value::Array(blocks) => blocks
            .iter()
            .enumerate()
            .map(|(index, block)| text_of_block(block, &format!("{path}.{index}")))
            .collect(),
        _ => Err(AwsError::validation(format!(
            "{path}: Input should be a valid string or a valid list"
        ))),
    }
}

fn text_of_block<'a>(block: &'a Value, path: &str) -> Result<&'a str, AwsError> {
    if block.get("type").and_then(Value::as_str) != Some("text") {
        return Err(AwsError::validation(format!(
            "{path}: Input tag found using 'type' does not match any of the expected tags: 'text'"
        )));
    }
    if let Some(key) = block.as_object().and_then(|block| extraneous(block, TEXT_BLOCK_KEYS)) {
        return Err(AwsError::validation(format!(
            "{path}.text.{key}: Extra inputs are not permitted"
        )));
    }
    // Bedrock's message names only the top-level key.
    let key = path.split('.').next().unwrap_or_default();
    match block.get("text").and_then(Value::as_str) {
        Some("") => {
            Err(AwsError::validation(format!("{key}: text content blocks must be non-empty")))
        }
        Some(text) if text.trim().is_empty() => Err(AwsError::validation(format!(
            "{key}: text content blocks must contain non-whitespace text"
        ))),
        Some(text) => Ok(text),
        None => Err(AwsError::validation(format!("{path}.text.text: Field required"))),
    }
}

fn check_version(version: &Value) -> Result<(), AwsError> {
    if version == ANTHROPIC_VERSION {
        Ok(())
    } else {
        Err(AwsError::validation("anthropic_version: Invalid API version"))
    }
}

fn parse_max_tokens(value: &Value) -> Result<u64, AwsError> {
    match value {
        Value::Number(number) if !number.is_f64() => {
            number.as_u64().filter(|max_tokens| *max_tokens >= 1).ok_or_else(|| {
                malformed(&format!("#/max_tokens: {number} is not greater or equal to 1"))
            })
        }
        _ => Err(wrong_type("max_tokens", "Integer")),
    }
}

fn check_unit_interval(body: &Map<String, Value>, key: &str) -> Result<(), AwsError> {
    let Some(value) = body.get(key) else {
        return Ok(());
    };
    match value.as_f64() {
        Some(number) if number < 0.0 => {
            Err(malformed(&format!("#/{key}: {value} is not greater or equal to 0")))
        }
        Some(number) if number > 1.0 => {
            Err(malformed(&format!("#/{key}: {value} is not less or equal to 1")))
        }
        Some(_) => Ok(()),
        None => Err(wrong_type(key, "Number")),
    }
}

fn parse_stop_sequences(body: &Map<String, Value>) -> Result<Vec<String>, AwsError> {
    let Some(value) = body.get("stop_sequences") else {
        return Ok(Vec::new());
    };
    let Value::Array(sequences) = value else {
        return Err(wrong_type("stop_sequences", "JSONArray"));
    };
    sequences
        .iter()
        .enumerate()
        .map(|(index, sequence)| match sequence {
            Value::String(sequence) if sequence.trim().is_empty() => Err(AwsError::validation(
                "stop_sequences: each stop sequence must contain non-whitespace",
            )),
            Value::String(sequence) => Ok(sequence.clone()),
            _ => Err(wrong_type(&format!("stop_sequences/{index}"), "String")),
        })
        .collect()
}

fn required<'a>(body: &'a Map<String, Value>, key: &str) -> Result<&'a Value, AwsError> {
    body.get(key).ok_or_else(|| malformed(&format!("#: required key [{key}] not found")))
}

fn check_keys(object: &Map<String, Value>, known: &[&str], path: &str) -> Result<(), AwsError> {
    let Some(key) = extraneous(object, known) else {
        return Ok(());
    };
    // Bedrock's message has a path only below the top level.
    let prefix = if path.is_empty() { String::new() } else { format!("#{path}: ") };
    Err(malformed(&format!("{prefix}extraneous key [{key}] is not permitted")))
}

fn extraneous<'a>(object: &'a Map<String, Value>, known: &[&str]) -> Option<&'a str> {
    object.keys().map(String::as_str).find(|key| !known.contains(key))
}

fn wrong_type(key: &str, expected: &str) -> AwsError {
    malformed(&format!("#/{key}: expected type: {expected}"))
}

fn malformed(problem: &str) -> AwsError {
    AwsError::validation(format!(
        "Malformed input request: {problem}, please reformat your input and try again."
    ))
}
