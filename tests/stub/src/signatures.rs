//! The signatures of thinking blocks. Claude signs each block, and refuses one that was altered. On
//! some models the block is also bound to the model, the system prompt and the messages before it
//! ([`Model::binds_thinking`]).
//!
//! The prefix is signed as Claude reads it: cache marks, and whether a text is a string or a block,
//! do not matter. Thinking blocks before it may be left out. Tools are not part of it, because a
//! search for tools adds some between two turns.
//!
//! Sources: Anthropic's documentation, "Extended thinking"; the messages as opencode #48637 quotes
//! them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::error::AwsError;
use crate::messages::{Messages, canonical};
use crate::models::Model;
use crate::reply::model_name;

/// The key. It is no secret: a signature tells altered text from unaltered text.
const KEY: &[u8] = b"bedrock-stub";

/// The bytes of each of the four parts of a signature.
const PART: usize = 12;

/// What a thinking block is bound to.
pub(crate) struct Seal {
    model: [u8; PART],
    system: [u8; PART],
    messages: [u8; PART],
}

impl Seal {
    /// Creates the seal of a block that follows the first `count` messages of a request.
    pub(crate) fn new(model_id: &str, body: &Map<String, Value>, count: usize) -> Self {
        let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let prefix = conversation(&messages[..count.min(messages.len())]);
        Self {
            model: mac(&[b"model", model_name(model_id).as_bytes()]),
            system: mac(&[b"system", texts(body.get("system")).to_string().as_bytes()]),
            messages: mac(&[b"messages", prefix.to_string().as_bytes()]),
        }
    }

    /// Signs the text of a thinking block, or the data of a redacted one.
    pub(crate) fn sign(&self, text: &str) -> String {
        let text = mac(&[b"text", text.as_bytes()]);
        BASE64_STANDARD.encode([text, self.model, self.system, self.messages].concat())
    }
}

/// Creates a `redacted_thinking` block, whose data carries its signature.
pub(crate) fn redacted_block(seal: &Seal) -> Value {
    json!({ "type": "redacted_thinking", "data": seal.sign("redacted") })
}

/// Verifies every thinking block of a request.
///
/// # Errors
///
/// 400 `ValidationException`, for the first block that is not valid in its place.
pub fn check(model_id: &str, messages: &Messages) -> Result<(), AwsError> {
    let model = Model::find(model_id);
    let drops_mismatches = messages.body.get("thinking").is_some_and(|thinking| {
        thinking["block_binding"]["prefix_mismatch_behavior"] == "drop_block"
    });
    for (index, message) in messages.messages().enumerate() {
        for (at, block) in message["content"].as_array().into_iter().flatten().enumerate() {
            let (kind, text, signature) = match block["type"].as_str() {
                Some("thinking") => ("thinking", &block["thinking"], &block["signature"]),
                Some("redacted_thinking") => {
                    ("redacted_thinking", &json!("redacted"), &block["data"])
                }
                _ => continue,
            };
            let invalid = |detail: &str| {
                AwsError::validation(format!(
                    "messages.{index}.content.{at}: Invalid `signature` in `{kind}` block{detail}"
                ))
            };
            let seal = Seal::new(model_id, &messages.body, index);
            let expected = seal.sign(text.as_str().unwrap_or_default());
            let expected = BASE64_STANDARD.decode(expected).unwrap_or_default();
            let signature = signature.as_str().unwrap_or_default();
            let signature = BASE64_STANDARD.decode(signature).unwrap_or_default();
            let differs = |part: usize| {
                let range = part * PART..(part + 1) * PART;
                signature.get(range.clone()) != expected.get(range)
            };
            if signature.len() != expected.len() || differs(0) {
                return Err(invalid(""));
            }
            if !model.binds_thinking || drops_mismatches {
                continue;
            }
            let parts = ["model", "`system` prompt", "conversation before it"];
            if let Some(part) = (1..=3).find(|part| differs(*part)) {
                return Err(invalid(&format!(
                    ". The block is bound to a different conversation. Remove the block, or set \
                     `thinking.block_binding.prefix_mismatch_behavior` to \"drop_block\". That \
                     setting requires the `thinking-binding-controls-2026-08-01` value in the \
                     `anthropic-beta` header. The {} differs from the one this block was created \
                     with.",
                    parts[part - 1]
                )));
            }
        }
    }
    Ok(())
}

/// Returns a conversation as Claude reads it: neighbours of one role merged, without thinking.
fn conversation(messages: &[Value]) -> Value {
    let mut turns: Vec<(&Value, Vec<Value>)> = Vec::new();
    for message in messages {
        let Value::Array(blocks) = texts(message.get("content")) else { continue };
        match turns.last_mut() {
            Some((role, merged)) if **role == message["role"] => merged.extend(blocks),
            _ => turns.push((&message["role"], blocks)),
        }
    }
    json!(turns)
}

/// Returns content as blocks, without thinking and cache marks.
fn texts(content: Option<&Value>) -> Value {
    let blocks = match content {
        None => &[],
        Some(Value::Array(blocks)) => blocks.as_slice(),
        Some(text) => std::slice::from_ref(text),
    };
    let is_thinking =
        |block: &&Value| block["type"] == "thinking" || block["type"] == "redacted_thinking";
    json!(blocks.iter().filter(|it| !is_thinking(it)).map(canonical).collect::<Vec<_>>())
}

fn mac(parts: &[&[u8]]) -> [u8; PART] {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
        mac.update(&[0]);
    }
    let mut short = [0; PART];
    short.copy_from_slice(&mac.finalize().into_bytes()[..PART]);
    short
}
