//! A reply as Claude streams it: the events that stand, one each, in the `chunk` frames.
//!
//! Out of scope: how they are framed and paced.
//!
//! Source: Anthropic's documentation, "Streaming Messages", and what Bedrock adds to
//! `message_stop`.

use std::iter;

use serde_json::{Value, json};

use crate::reply::{Reply, tokens};

/// Where Bedrock tells the counts and times of a stream, in its last event.
pub const METRICS: &str = "amazon-bedrock-invocationMetrics";

/// The words of [`long`], over and over.
const WORDS: &[&str] = &[
    "the", "stream", "goes", "on", "and", "carries", "one", "word", "after", "another", "until",
    "all", "of", "them", "have", "come",
];

/// The events of `message`, which is Claude's JSON of a complete reply: one delta a token, so that
/// the deltas of a text block join to its text. A `ping` comes after the first event that is about
/// content.
///
/// The times in [`METRICS`] are 0: who sends the event knows them.
pub fn events(message: &Value) -> Vec<Value> {
    let mut events = vec![message_start(message)];
    for (index, block) in message["content"].as_array().into_iter().flatten().enumerate() {
        events.extend(block_events(index, block));
    }
    events.insert(events.len().min(2), json!({ "type": "ping" }));
    events.extend(closing(message));
    events
}

/// Like [`events`], with a text of `count` words instead of the reply's. Made as they are asked for:
/// there may be more of them than fit in memory.
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
    let stop = iter::once(block_stop(0)).chain(closing(&message));
    start.into_iter().chain(words).chain(stop)
}

/// The word at `index` of a [`long`] text, with the space before it.
pub fn word(index: u64) -> String {
    let length = WORDS.len() as u64;
    let word = WORDS[usize::try_from(index % length).expect("there are few words")];
    if index == 0 { word.to_owned() } else { format!(" {word}") }
}

/// A piece of text.
pub fn text_delta(index: usize, text: &str) -> Value {
    block_delta(index, json!({ "type": "text_delta", "text": text }))
}

/// A piece of a content block.
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
            "usage": {
                "input_tokens": message["usage"]["input_tokens"],
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 1,
            },
        },
    })
}

/// Start, deltas, stop.
fn block_events(index: usize, block: &Value) -> Vec<Value> {
    let text = |key: &str| block[key].as_str().unwrap_or_default();
    let (start, deltas) = match text("type") {
        "text" => (
            json!({ "type": "text", "text": "" }),
            tokens(text("text")).into_iter().map(|token| text_delta(index, token)).collect(),
        ),
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
            let input = block["input"].to_string();
            // Claude begins with an empty piece.
            let pieces = iter::once("").chain(tokens(&input));
            let delta = |piece: &str| {
                block_delta(index, json!({ "type": "input_json_delta", "partial_json": piece }))
            };
            (start, pieces.map(delta).collect())
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

/// What comes after the content.
fn closing(message: &Value) -> [Value; 2] {
    let usage = &message["usage"];
    [
        json!({
            "type": "message_delta",
            "delta": {
                "stop_reason": message["stop_reason"],
                "stop_sequence": message["stop_sequence"],
            },
            "usage": { "output_tokens": usage["output_tokens"] },
        }),
        json!({
            "type": "message_stop",
            METRICS: {
                "inputTokenCount": usage["input_tokens"],
                "outputTokenCount": usage["output_tokens"],
                "invocationLatency": 0,
                "firstByteLatency": 0,
            },
        }),
    ]
}
