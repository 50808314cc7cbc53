//! `Converse`, as far as it can be put into Claude's own form: for Workers that sign calls of other
//! operations with the crate.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
//!
//! Out of scope: content blocks other than text, tools, guardrails, faults.

use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::error::AwsError;
use crate::messages::{ANTHROPIC_VERSION, Messages};
use crate::models::check_parameters;
use crate::reply::Reply;

/// Answers a request whose signature is checked.
///
/// # Errors
///
/// 400 `ValidationException`.
pub fn answer(
    model_id: &str,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Response, AwsError> {
    let messages = serde_json::to_vec(&claudes_form(body)?).unwrap_or_default();
    let messages = Messages::parse(content_type, &messages)?;
    check_parameters(model_id, &messages)?;
    let reply = Reply::new(model_id, &messages, body);
    let (input, output) = (reply.input_tokens, reply.output_tokens);
    let answer = json!({
        "output": { "message": { "role": "assistant", "content": [{ "text": reply.text }] } },
        "stopReason": reply.stop_reason,
        "usage": { "inputTokens": input, "outputTokens": output, "totalTokens": input + output },
        "metrics": { "latencyMs": 0 },
    });
    Ok(([("content-type", "application/json")], answer.to_string()).into_response())
}

fn claudes_form(body: &[u8]) -> Result<Value, AwsError> {
    let Ok(Value::Object(mut body)) = serde_json::from_slice(body) else {
        return Err(AwsError::validation("The request body is not a JSON object."));
    };
    let mut settings = match body.remove("inferenceConfig") {
        Some(Value::Object(settings)) => settings,
        _ => Map::new(),
    };
    let mut form = Map::new();
    form.insert("anthropic_version".to_owned(), ANTHROPIC_VERSION.into());
    // Converse has a default, Claude's own form has none.
    form.insert("max_tokens".to_owned(), settings.remove("maxTokens").unwrap_or(json!(4096)));
    let names = [("temperature", "temperature"), ("stopSequences", "stop_sequences")];
    for (name, claudes) in names {
        if let Some(value) = settings.remove(name) {
            form.insert(claudes.to_owned(), value);
        }
    }
    for name in ["messages", "system"] {
        if let Some(value) = body.remove(name) {
            form.insert(name.to_owned(), with_types(value));
        }
    }
    match body.keys().chain(settings.keys()).next() {
        Some(key) => Err(AwsError::validation(format!("{key} is not known to the stand-in."))),
        None => Ok(Value::Object(form)),
    }
}

/// Converse tells the kinds of blocks apart by their key, Claude by a type; and Claude takes a string
/// for a list of blocks, which Converse does not: null is neither's.
fn with_types(mut value: Value) -> Value {
    match &mut value {
        Value::String(_) => return Value::Null,
        Value::Array(items) => {
            for item in items {
                *item = with_types(item.take());
            }
        }
        Value::Object(block) if block.contains_key("text") => {
            block.insert("type".to_owned(), "text".into());
        }
        Value::Object(message) => {
            if let Some(content) = message.get_mut("content") {
                *content = with_types(content.take());
            }
        }
        _ => {}
    }
    value
}
