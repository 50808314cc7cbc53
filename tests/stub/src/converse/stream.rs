//! The events of `ConverseStream`, from those that Claude streams. Each is a frame of its own type,
//! and its padding `p` is a member among the others, in alphabetical order as Bedrock writes them
//! (aws-sdk-js-v3 #6919).

use serde_json::{Value, json};

use super::EXTRA;
use super::reply::{citation, stop_reason, tool_use_id, usage};
use crate::events::{METRICS, USAGE};
use crate::frames::{self, Frame, PADDING};

/// Converts an event of Claude. Some have no event here, such as the start of a text, and `ping`.
pub(crate) fn frame(event: &Value) -> Option<Frame> {
    let (event_type, mut payload) = self::event(event)?;
    let padding = crc32fast::hash(payload.to_string().as_bytes()) as usize % PADDING.len();
    payload["p"] = json!(PADDING[..=padding]);
    Some(frames::event(event_type, payload.to_string().into_bytes()))
}

/// Converts an event of Claude to the type and the payload of an event.
pub(crate) fn event(event: &Value) -> Option<(&str, Value)> {
    let index = &event["index"];
    let delta = |delta: Value| {
        Some(("contentBlockDelta", json!({ "contentBlockIndex": index, "delta": delta })))
    };
    match event["type"].as_str()? {
        "message_start" => Some(("messageStart", json!({ "role": "assistant" }))),
        "content_block_start" => {
            let block = &event["content_block"];
            match block["type"].as_str()? {
                "tool_use" => {
                    let id = tool_use_id(&block["id"]);
                    let start = json!({ "toolUse": { "toolUseId": id, "name": block["name"] } });
                    Some((
                        "contentBlockStart",
                        json!({ "contentBlockIndex": index, "start": start }),
                    ))
                }
                "redacted_thinking" => {
                    delta(json!({ "reasoningContent": { "redactedContent": block["data"] } }))
                }
                _ => None,
            }
        }
        "content_block_delta" => {
            let given = &event["delta"];
            match given["type"].as_str()? {
                "text_delta" => delta(json!({ "text": given["text"] })),
                "thinking_delta" => {
                    delta(json!({ "reasoningContent": { "text": given["thinking"] } }))
                }
                // Models of other makers have no signature.
                "signature_delta" if given["signature"].is_null() => None,
                "signature_delta" => {
                    delta(json!({ "reasoningContent": { "signature": given["signature"] } }))
                }
                "input_json_delta" => {
                    delta(json!({ "toolUse": { "input": given["partial_json"] } }))
                }
                "citations_delta" => delta(json!({ "citation": citation(&given["citation"]) })),
                // A kind that the API does not have yet.
                kind => delta(json!({ kind: { "text": given["text"] } })),
            }
        }
        "content_block_stop" => Some(("contentBlockStop", json!({ "contentBlockIndex": index }))),
        "message_delta" => {
            let mut stop = json!({ "stopReason": stop_reason(&event["delta"]["stop_reason"]) });
            if let Some(fields) = event[EXTRA].get("additionalModelResponseFields") {
                stop["additionalModelResponseFields"] = fields.clone();
            }
            Some(("messageStop", stop))
        }
        "message_stop" => {
            let mut metadata = json!({
                "usage": usage(&event[USAGE]),
                "metrics": { "latencyMs": event[METRICS]["invocationLatency"] },
            });
            for (key, value) in event[EXTRA].as_object().into_iter().flatten() {
                if key != "additionalModelResponseFields" {
                    metadata[key] = value.clone();
                }
            }
            Some(("metadata", metadata))
        }
        "content_block_aside" => Some(("contentBlockAside", json!({ "contentBlockIndex": index }))),
        _ => None,
    }
}
