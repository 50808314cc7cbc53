//! `InvokeModel` and `InvokeModelWithResponseStream` for the models of other makers: each has its own
//! body, reply and events.
//!
//! Out of scope: tools and images in OpenAI's form, and models that make images.
//!
//! Source: Amazon Bedrock User Guide, "Inference request parameters and response fields for
//! foundation models"; for the last event of a stream, third parties' captures.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::converse::{self, usage};
use crate::error::AwsError;
use crate::events::{METRICS, USAGE};
use crate::makers::{Body, Feature, OtherModel};
use crate::messages::Messages;
use crate::reply::tokens;

/// The numbers of dimensions that an embedding may have.
const DIMENSIONS: [u64; 3] = [256, 512, 1024];

/// The id of every chat completion of a stream, whose events know nothing of each other.
const CHAT_ID: &str = "chatcmpl-00000000000000000000000000000000";

/// Validates a body.
///
/// # Errors
///
/// 400 `ValidationException`, for the first problem.
pub(crate) fn parse(
    model_id: &str,
    model: &OtherModel,
    body: &[u8],
    is_stream: bool,
) -> Result<Messages, AwsError> {
    if is_stream && !model.has(Feature::Streaming) {
        return Err(AwsError::validation("The model is unsupported for streaming."));
    }
    let body = object(body)?;
    match model.body {
        Body::Nova => nova(model_id, body, is_stream),
        Body::Llama => llama(&body),
        Body::Chat => chat(&body),
        Body::Embedding => Err(AwsError::validation("The model makes embeddings.")),
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, AwsError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(body)) => Ok(body),
        _ => Err(AwsError::validation(
            "Malformed input request, please reformat your input and try again.",
        )),
    }
}

fn check_keys(body: &Map<String, Value>, known: &[&str]) -> Result<(), AwsError> {
    match body.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(AwsError::validation(format!(
            "Malformed input request: #: extraneous key [{key}] is not permitted, please reformat \
             your input and try again."
        ))),
        None => Ok(()),
    }
}

/// Reads Nova's body, which is that of `Converse` with a version.
fn nova(
    model_id: &str,
    mut body: Map<String, Value>,
    is_stream: bool,
) -> Result<Messages, AwsError> {
    const KEYS: &[&str] = &[
        "inferenceConfig",
        "messages",
        "reasoningConfig",
        "schemaVersion",
        "system",
        "toolConfig",
    ];
    check_keys(&body, KEYS)?;
    body.remove("schemaVersion");
    if let Some(config) = body.remove("reasoningConfig") {
        let fields = json!({ "reasoningConfig": config });
        body.insert("additionalModelRequestFields".to_owned(), fields);
    }
    if let Some(Value::Object(config)) = body.get_mut("inferenceConfig") {
        config.remove("topK");
        if let Some(tokens) = config.remove("max_new_tokens") {
            config.insert("maxTokens".to_owned(), tokens);
        }
    }
    let body = Value::Object(body).to_string();
    Ok(converse::parse(model_id, body.as_bytes(), is_stream)?.messages)
}

fn llama(body: &Map<String, Value>) -> Result<Messages, AwsError> {
    check_keys(body, &["images", "max_gen_len", "prompt", "temperature", "top_p"])?;
    let Some(prompt) = body.get("prompt").and_then(Value::as_str) else {
        return Err(AwsError::validation(
            "Malformed input request: #: required key [prompt] not found, please reformat your \
             input and try again.",
        ));
    };
    let max_tokens = body.get("max_gen_len").and_then(Value::as_u64).unwrap_or(512);
    Ok(messages(vec![json!({ "role": "user", "content": text(prompt) })], None, max_tokens, None))
}

fn chat(body: &Map<String, Value>) -> Result<Messages, AwsError> {
    const KEYS: &[&str] = &[
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "reasoning_effort",
        "stop",
        "stream",
        "temperature",
        "top_p",
    ];
    check_keys(body, KEYS)?;
    let given = body.get("messages").and_then(Value::as_array);
    let given = given.filter(|messages| !messages.is_empty()).ok_or_else(|| {
        AwsError::validation("Malformed input request: #: required key [messages] not found")
    })?;
    let (mut turns, mut system) = (Vec::new(), None);
    for message in given {
        let content = match &message["content"] {
            Value::String(content) => content.clone(),
            parts => parts
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|part| part["text"].as_str())
                .collect(),
        };
        match message["role"].as_str() {
            Some("system" | "developer") => system = Some(content),
            Some(role @ ("user" | "assistant")) => {
                turns.push(json!({ "role": role, "content": text(&content) }));
            }
            _ => return Err(AwsError::validation("messages: unknown role")),
        }
    }
    let max_tokens = body.get("max_completion_tokens").or_else(|| body.get("max_tokens"));
    let max_tokens = max_tokens.and_then(Value::as_u64).unwrap_or(4096);
    Ok(messages(turns, system.as_deref(), max_tokens, body.get("stop")))
}

fn text(text: &str) -> Value {
    json!([{ "type": "text", "text": text }])
}

fn messages(
    turns: Vec<Value>,
    system: Option<&str>,
    max_tokens: u64,
    stop: Option<&Value>,
) -> Messages {
    let mut body = Map::new();
    body.insert("messages".to_owned(), Value::Array(turns));
    body.insert("max_tokens".to_owned(), json!(max_tokens));
    if let Some(system) = system {
        body.insert("system".to_owned(), text(system));
    }
    if let Some(stop) = stop {
        let stop = if stop.is_string() { json!([stop]) } else { stop.clone() };
        body.insert("stop_sequences".to_owned(), stop);
    }
    Messages::of_another_maker(body)
}

/// Converts a reply in Claude's JSON to that of a model's own body.
pub(crate) fn reply(body: Body, reply: &Value) -> Value {
    let [input, output] = ["input_tokens", "output_tokens"].map(|key| reply["usage"][key].clone());
    let blocks = reply["content"].as_array().into_iter().flatten();
    let generated: String = blocks.filter_map(|block| block["text"].as_str()).collect();
    let stop = stop_reason(body, &reply["stop_reason"]);
    let mut converted = match body {
        Body::Nova => {
            let mut converted = converse::body(reply, 0);
            if let Some(converted) = converted.as_object_mut() {
                converted.remove("metrics");
            }
            converted
        }
        Body::Llama => json!({
            "generation": generated,
            "prompt_token_count": input,
            "generation_token_count": output,
            "stop_reason": stop,
        }),
        Body::Chat | Body::Embedding => json!({
            "id": CHAT_ID,
            "object": "chat.completion",
            "created": 0,
            "model": reply["model"],
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": generated },
                "finish_reason": stop,
            }],
            "usage": chat_usage(&reply["usage"]),
        }),
    };
    for (key, value) in reply.as_object().into_iter().flatten() {
        if key.starts_with("amazon-bedrock-guardrail") || key == "amazon-bedrock-trace" {
            converted[key] = value.clone();
        }
    }
    converted
}

/// Converts an event of Claude to the chunk of a model's own stream. Some have none.
pub(crate) fn chunk(body: Body, event: &Value) -> Option<Value> {
    let kind = event["type"].as_str()?;
    let mut chunk = match body {
        Body::Nova => {
            let (name, payload) = converse::event(event)?;
            json!({ name: payload })
        }
        Body::Llama => match kind {
            "content_block_delta" => json!({
                "generation": event["delta"]["text"].as_str()?,
                "prompt_token_count": null,
                "generation_token_count": null,
                "stop_reason": null,
            }),
            "message_stop" => json!({
                "generation": "",
                "prompt_token_count": event[USAGE]["input_tokens"],
                "generation_token_count": event[USAGE]["output_tokens"],
                "stop_reason": stop_reason(body, &event[USAGE]["stop_reason"]),
            }),
            _ => return None,
        },
        Body::Chat | Body::Embedding => {
            let choice = |delta: Value, stop: Option<&str>| {
                json!({
                    "id": CHAT_ID,
                    "object": "chat.completion.chunk",
                    "created": 0,
                    "choices": [{ "index": 0, "delta": delta, "finish_reason": stop }],
                })
            };
            match kind {
                "message_start" => choice(json!({ "role": "assistant", "content": "" }), None),
                "content_block_delta" => {
                    choice(json!({ "content": event["delta"]["text"].as_str()? }), None)
                }
                "message_delta" => {
                    let reason = stop_reason(body, &event["delta"]["stop_reason"]);
                    choice(json!({}), Some(reason))
                }
                "message_stop" => json!({
                    "id": CHAT_ID,
                    "object": "chat.completion.chunk",
                    "created": 0,
                    "choices": [],
                    "usage": chat_usage(&event[USAGE]),
                }),
                _ => return None,
            }
        }
    };
    if let Some(metrics) = event.get(METRICS) {
        chunk[METRICS] = metrics.clone();
    }
    Some(chunk)
}

fn stop_reason(body: Body, reason: &Value) -> &str {
    let reason = reason.as_str().unwrap_or_default();
    match (body, reason) {
        (Body::Nova, reason) => reason,
        (_, "max_tokens") => "length",
        (_, "tool_use") => "tool_calls",
        _ => "stop",
    }
}

fn chat_usage(given: &Value) -> Value {
    let usage = usage(given);
    json!({
        "prompt_tokens": usage["inputTokens"],
        "completion_tokens": usage["outputTokens"],
        "total_tokens": usage["totalTokens"],
    })
}

/// Responds to a request for the embedding of a text. Returns the reply, and its number of tokens.
///
/// # Errors
///
/// 400 `ValidationException`.
pub(crate) fn embedding(body: &[u8]) -> Result<(Value, usize), AwsError> {
    let body = object(body)?;
    check_keys(&body, &["dimensions", "embeddingTypes", "inputText", "normalize"])?;
    let text = body.get("inputText").and_then(Value::as_str).unwrap_or_default();
    if text.is_empty() {
        return Err(AwsError::validation(
            "Malformed input request: expected minLength: 1, actual: 0, please reformat your input \
             and try again.",
        ));
    }
    let dimensions = body.get("dimensions").map_or(Some(1024), Value::as_u64).unwrap_or_default();
    if !DIMENSIONS.contains(&dimensions) {
        return Err(AwsError::validation(format!(
            "Malformed input request: #/dimensions: {dimensions} is not a valid enum value, please \
             reformat your input and try again."
        )));
    }
    let hash = Sha256::digest(text);
    let bytes = hash.iter().cycle().take(usize::try_from(dimensions).unwrap_or_default());
    let embedding: Vec<f64> = bytes.map(|byte| (f64::from(*byte) - 127.5) / 1024.0).collect();
    let count = tokens(text).len();
    let reply = json!({
        "embedding": embedding,
        "embeddingsByType": { "float": embedding },
        "inputTextTokenCount": count,
    });
    Ok((reply, count))
}
