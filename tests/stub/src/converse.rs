//! The operation `Converse`, for Workers that sign its calls with the crate. A request is converted
//! to Claude's Messages request, which is validated and replied to as for `InvokeModel`.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
//!
//! Out of scope: content blocks other than text, tools, guardrails, faults.

use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::error::AwsError;
use crate::messages::{ANTHROPIC_VERSION, Messages};
use crate::models::check_parameters;
use crate::reply::Reply;

/// Responds to an authenticated request.
///
/// # Errors
///
/// 400 `ValidationException`.
pub fn respond(
    model_id: &str,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Response, AwsError> {
    let messages = serde_json::to_vec(&messages_request(body)?).unwrap_or_default();
    let messages = Messages::parse(content_type, &messages)?;
    check_parameters(model_id, &messages)?;
    let reply = Reply::new(model_id, &messages, body)?;
    let (input, output) = (reply.input.uncached, reply.output_tokens);
    let response = json!({
        "output": { "message": { "role": "assistant", "content": [{ "text": reply.text() }] } },
        "stopReason": reply.stop_reason,
        "usage": { "inputTokens": input, "outputTokens": output, "totalTokens": input + output },
        "metrics": { "latencyMs": 0 },
    });
    Ok(([("content-type", "application/json")], response.to_string()).into_response())
}

/// Converts the body of a request to that of a Messages request.
fn messages_request(body: &[u8]) -> Result<Value, AwsError> {
    let Ok(Value::Object(mut body)) = serde_json::from_slice(body) else {
        return Err(AwsError::validation("The request body is not a JSON object."));
    };
    let mut settings = match body.remove("inferenceConfig") {
        Some(Value::Object(settings)) => settings,
        _ => Map::new(),
    };
    let mut request = Map::new();
    request.insert("anthropic_version".to_owned(), ANTHROPIC_VERSION.into());
    // Converse has a default. The Messages API has none.
    request.insert("max_tokens".to_owned(), settings.remove("maxTokens").unwrap_or(json!(4096)));
    let names = [("temperature", "temperature"), ("stopSequences", "stop_sequences")];
    for (name, name_in_messages) in names {
        if let Some(value) = settings.remove(name) {
            request.insert(name_in_messages.to_owned(), value);
        }
    }
    for name in ["messages", "system"] {
        if let Some(value) = body.remove(name) {
            request.insert(name.to_owned(), with_block_types(value));
        }
    }
    match body.keys().chain(settings.keys()).next() {
        Some(key) => Err(AwsError::validation(format!("The stand-in does not support {key}."))),
        None => Ok(Value::Object(request)),
    }
}

/// Adds the `type` that a content block has in the Messages API; in Converse, its key says the
/// type. Replaces a string that stands for a list of blocks with null: Converse accepts neither,
/// and the Messages API rejects only null.
fn with_block_types(mut value: Value) -> Value {
    match &mut value {
        Value::String(_) => return Value::Null,
        Value::Array(items) => {
            for item in items {
                *item = with_block_types(item.take());
            }
        }
        Value::Object(block) if block.contains_key("text") => {
            block.insert("type".to_owned(), "text".into());
        }
        Value::Object(message) => {
            if let Some(content) = message.get_mut("content") {
                *content = with_block_types(content.take());
            }
        }
        _ => {}
    }
    value
}
