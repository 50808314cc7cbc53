//! The response of `Converse`, from the reply in Claude's JSON.

use serde_json::{Map, Value, json};

use super::EXTRA;

/// Converts a reply. `latency` is in milliseconds.
pub(crate) fn body(reply: &Value, latency: u64) -> Value {
    let content: Vec<Value> =
        reply["content"].as_array().into_iter().flatten().map(block).collect();
    let mut body = json!({
        "output": { "message": { "role": "assistant", "content": content } },
        "stopReason": stop_reason(&reply["stop_reason"]),
        "usage": usage(&reply["usage"]),
        "metrics": { "latencyMs": latency },
    });
    for (key, value) in reply[EXTRA].as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

fn block(block: &Value) -> Value {
    match block["type"].as_str() {
        Some("text") => match block["citations"].as_array() {
            Some(citations) => {
                let citations: Vec<Value> = citations.iter().map(citation).collect();
                json!({ "citationsContent": {
                    "content": [{ "text": block["text"] }],
                    "citations": citations,
                } })
            }
            None => json!({ "text": block["text"] }),
        },
        Some("thinking") => {
            let mut text = Map::from_iter([("text".to_owned(), block["thinking"].clone())]);
            if block["signature"].is_string() {
                text.insert("signature".to_owned(), block["signature"].clone());
            }
            json!({ "reasoningContent": { "reasoningText": text } })
        }
        Some("redacted_thinking") => {
            json!({ "reasoningContent": { "redactedContent": block["data"] } })
        }
        Some("tool_use") => json!({ "toolUse": {
            "toolUseId": tool_use_id(&block["id"]),
            "name": block["name"],
            "input": block["input"],
        } }),
        // A kind that the API does not have yet.
        Some(kind) => json!({ kind: { "text": block["text"] } }),
        None => Value::Null,
    }
}

/// Converts a citation.
pub(super) fn citation(citation: &Value) -> Value {
    json!({
        "title": citation["document_title"],
        "sourceContent": [{ "text": citation["cited_text"] }],
        "location": { "documentChar": {
            "documentIndex": citation["document_index"],
            "start": citation["start_char_index"],
            "end": citation["end_char_index"],
        } },
    })
}

/// Converts the id of a call of a tool: every model has the same in `Converse`.
pub(super) fn tool_use_id(id: &Value) -> String {
    id.as_str().unwrap_or_default().replacen("toolu_bdrk_", "tooluse_", 1)
}

/// Converts a reason. One that is not known stays as it is.
pub(super) fn stop_reason(reason: &Value) -> &str {
    match reason.as_str().unwrap_or_default() {
        "refusal" => "content_filtered",
        other => other,
    }
}

/// Converts the usage of a reply.
pub(crate) fn usage(usage: &Value) -> Value {
    let count = |key: &str| usage[key].as_u64().unwrap_or_default();
    let written = |key: &str| usage["cache_creation"][key].as_u64().unwrap_or_default();
    let details: Vec<Value> =
        [("5m", "ephemeral_5m_input_tokens"), ("1h", "ephemeral_1h_input_tokens")]
            .into_iter()
            .filter(|(_, key)| written(key) > 0)
            .map(|(ttl, key)| json!({ "ttl": ttl, "inputTokens": written(key) }))
            .collect();
    let [input, output] = [count("input_tokens"), count("output_tokens")];
    let [read, write] = [count("cache_read_input_tokens"), count("cache_creation_input_tokens")];
    let mut converted = json!({
        "inputTokens": input,
        "outputTokens": output,
        "totalTokens": input + output + read + write,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": write,
    });
    if !details.is_empty() {
        converted["cacheDetails"] = json!(details);
    }
    converted
}
