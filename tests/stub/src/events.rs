//! The events in which Claude streams a reply. Each one is the content of a `chunk` frame.
//!
//! Out of scope: frames ([`crate::frames`]) and timing ([`crate::stream`]).
//!
//! Source: Anthropic's documentation, "Streaming Messages"; and for [`METRICS`], Bedrock's
//! `message_stop` events.

use std::iter;

use serde_json::{Value, json};

use crate::converse;
use crate::reply::{Reply, tokens};

/// The key of the last event under which Bedrock reports the token counts and latencies of a
/// stream.
pub const METRICS: &str = "amazon-bedrock-invocationMetrics";

/// The key of the last event under which a stream in another form than Claude's finds the usage,
/// with the reason of the end.
pub(crate) const USAGE: &str = "amazon-bedrock-usage";

/// The prefix of the keys that Bedrock adds to a reply.
const OF_BEDROCK: &str = "amazon-bedrock-";

/// The words of a [`long`] text, which repeats them.
const WORDS: &[&str] = &[
    "the", "stream", "goes", "on", "and", "carries", "one", "word", "after", "another", "until",
    "all", "of", "them", "have", "come",
];

/// Returns the events of `message`, a complete reply in Claude's JSON. Each token is a delta, so
/// that the concatenated deltas of a text block are its text. The third event is a `ping`, or the
/// second if there is no content.
///
/// The latencies in [`METRICS`] are 0. [`crate::stream`] sets them.
pub fn events(message: &Value) -> Vec<Value> {
    let mut events = vec![message_start(message)];
    for (index, block) in message["content"].as_array().into_iter().flatten().enumerate() {
        events.extend(block_events(index, block));
    }
    events.insert(events.len().min(2), json!({ "type": "ping" }));
    events.extend(message_end(message));
    events
}

/// Like [`events`], with a text of `count` words in place of the reply's. The iterator is lazy: the
/// events need not fit in memory.
pub fn long(reply: &Reply, count: u64) -> impl Iterator<Item = Value> + Send + use<> {
    let mut message = reply.json();
    message["stop_reason"] = json!("end_turn");
    message["stop_sequence"] = Value::Null;
    message["usage"]["output_tokens"] = json!(count);
    let start = [
        message_start(&message),
        block_start(0, json!({ "type": "text", "text": "" })),
        json!({ "type": "ping" }),
    ];
    let words = (0..count).map(|index| text_delta(0, &word(index)));
    let stop = iter::once(block_stop(0)).chain(message_end(&message));
    start.into_iter().chain(words).chain(stop)
}

/// Returns the word at `index` of a [`long`] text, with the space before it.
pub fn word(index: u64) -> String {
    let length = WORDS.len() as u64;
    let word = WORDS[usize::try_from(index % length).expect("there are few words")];
    if index == 0 { word.to_owned() } else { format!(" {word}") }
}

/// Creates a `content_block_delta` event with a part of a text.
pub fn text_delta(index: usize, text: &str) -> Value {
    block_delta(index, json!({ "type": "text_delta", "text": text }))
}

/// Creates a `content_block_delta` event.
pub fn block_delta(index: usize, delta: Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

fn message_start(message: &Value) -> Value {
    json!({
        "type": "message_start",
        "message": {
            "id": message["id"],
            "type": "message",
            "role": "assistant",
            "model": message["model"],
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage_at_start(&message["usage"]),
        },
    })
}

/// Returns the usage of a reply that has not begun. It always has the counts of the cache.
fn usage_at_start(usage: &Value) -> Value {
    let mut usage = usage.clone();
    usage["output_tokens"] = json!(1);
    for count in ["cache_creation_input_tokens", "cache_read_input_tokens"] {
        if usage.get(count).is_none() {
            usage[count] = json!(0);
        }
    }
    usage
}

/// Returns the events of a content block: start, deltas, stop.
fn block_events(index: usize, block: &Value) -> Vec<Value> {
    let text = |key: &str| block[key].as_str().unwrap_or_default();
    let (start, deltas) = match text("type") {
        "text" => {
            let mut start = json!({ "type": "text", "text": "" });
            if block.get("citations").is_some() {
                start["citations"] = json!([]);
            }
            let citations = block["citations"].as_array().into_iter().flatten().map(|citation| {
                block_delta(index, json!({ "type": "citations_delta", "citation": citation }))
            });
            let text = tokens(text("text")).into_iter().map(|token| text_delta(index, token));
            (start, text.chain(citations).collect())
        }
        "thinking" => {
            let thinking = tokens(text("thinking")).into_iter().map(|token| {
                block_delta(index, json!({ "type": "thinking_delta", "thinking": token }))
            });
            let signature = json!({ "type": "signature_delta", "signature": block["signature"] });
            (
                json!({ "type": "thinking", "thinking": "", "signature": "" }),
                thinking.chain(iter::once(block_delta(index, signature))).collect(),
            )
        }
        "tool_use" => {
            let mut start = block.clone();
            start["input"] = json!({});
            // Claude's first delta is empty. Without arguments it is the only one.
            let input = block["input"].to_string();
            let input = if input == "{}" { "" } else { &input };
            let parts = iter::once("").chain(tokens(input));
            let delta = |part: &str| {
                block_delta(index, json!({ "type": "input_json_delta", "partial_json": part }))
            };
            (start, parts.map(delta).collect())
        }
        _ => (block.clone(), Vec::new()),
    };
    let mut events = vec![block_start(index, start)];
    events.extend::<Vec<Value>>(deltas);
    events.push(block_stop(index));
    events
}

fn block_start(index: usize, block: Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn block_stop(index: usize) -> Value {
    json!({ "type": "content_block_stop", "index": index })
}

/// Returns the events after the content.
fn message_end(message: &Value) -> [Value; 2] {
    let usage = &message["usage"];
    let mut delta = json!({
        "type": "message_delta",
        "delta": {
            "stop_reason": message["stop_reason"],
            "stop_sequence": message["stop_sequence"],
        },
        "usage": { "output_tokens": usage["output_tokens"] },
    });
    if let Some(management) = message.get("context_management") {
        delta["context_management"] = management.clone();
    }
    let mut metrics = json!({
        "inputTokenCount": usage["input_tokens"],
        "outputTokenCount": usage["output_tokens"],
        "invocationLatency": 0,
        "firstByteLatency": 0,
    });
    for (count, metric) in [
        ("cache_read_input_tokens", "cacheReadInputTokenCount"),
        ("cache_creation_input_tokens", "cacheWriteInputTokenCount"),
    ] {
        if let Some(count) = usage.get(count) {
            metrics[metric] = count.clone();
        }
    }
    let mut stop = json!({ "type": "message_stop", METRICS: metrics });
    for (key, value) in message.as_object().into_iter().flatten() {
        if key.starts_with(OF_BEDROCK) {
            stop[key] = value.clone();
        }
    }
    if let Some(extra) = message.get(converse::EXTRA) {
        delta[converse::EXTRA] = extra.clone();
        stop[USAGE] = usage.clone();
        stop[USAGE]["stop_reason"] = message["stop_reason"].clone();
    }
    [delta, stop]
}
