//! The parts of a request in the order in which Claude reads them: tools, system prompt, messages.
//! A prompt cache keeps a prefix of them, which ends at a block with `cache_control`.

use serde_json::{Map, Value, json};

use crate::error::AwsError;

/// The most blocks of a request with `cache_control`.
const MAX_BREAKPOINTS: usize = 4;

/// A tool or a content block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block<'a> {
    /// Its place in the body, such as `messages.0.content.1`.
    pub(crate) path: String,
    /// The block, or a text that stands for a text block.
    value: &'a Value,
}

impl Block<'_> {
    pub(crate) fn cache_control(&self) -> Option<&Value> {
        self.value.get("cache_control")
    }

    /// Returns the block as Claude reads it: without `cache_control`, and a text as a block.
    pub(crate) fn canonical(&self) -> Value {
        canonical(self.value)
    }
}

/// Returns a block without `cache_control`, and a text as a text block.
pub(crate) fn canonical(block: &Value) -> Value {
    match block {
        Value::String(text) => json!({ "type": "text", "text": text }),
        Value::Object(block) => {
            let mut block = block.clone();
            block.remove("cache_control");
            Value::Object(block)
        }
        other => other.clone(),
    }
}

/// Returns every block of a body, in the order in which Claude reads them.
pub(super) fn all(body: &Map<String, Value>) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    for (key, path) in [("tools", "tools"), ("system", "system")] {
        blocks.extend(body.get(key).into_iter().flat_map(|it| of_list(path, it)));
    }
    for (index, message) in body["messages"].as_array().into_iter().flatten().enumerate() {
        let path = format!("messages.{index}.content");
        blocks.extend(message.get("content").into_iter().flat_map(|it| of_list(&path, it)));
    }
    blocks
}

fn of_list<'a>(path: &str, list: &'a Value) -> Vec<Block<'a>> {
    match list {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, value)| Block { path: format!("{path}.{index}"), value })
            .collect(),
        text => vec![Block { path: path.to_owned(), value: text }],
    }
}

/// Checks every `cache_control` of a body.
///
/// Sources: Anthropic's documentation, "Prompt caching"; `scope` is refused by Bedrock (claude-code
/// #49548).
pub(super) fn check_cache_control(body: &Map<String, Value>) -> Result<(), AwsError> {
    let mut breakpoints = 0;
    let mut is_behind_short = false;
    for block in all(body) {
        let Some(control) = block.cache_control().filter(|it| !it.is_null()) else { continue };
        breakpoints += 1;
        let path = format!("{}.cache_control", block.path);
        let Value::Object(control) = control else {
            return Err(AwsError::validation(format!("{path}: Input should be an object")));
        };
        if control.get("type").and_then(Value::as_str) != Some("ephemeral") {
            return Err(AwsError::validation(format!("{path}.type: Input should be 'ephemeral'")));
        }
        if let Some(key) = control.keys().find(|key| !["type", "ttl"].contains(&key.as_str())) {
            return Err(AwsError::validation(format!(
                "{path}.ephemeral.{key}: Extra inputs are not permitted"
            )));
        }
        match control.get("ttl").map_or(Some("5m"), Value::as_str) {
            Some("5m") => is_behind_short = true,
            Some("1h") if is_behind_short => {
                return Err(AwsError::validation(format!(
                    "{path}.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' \
                     cache_control block. Note that blocks are processed in the following order: \
                     `tools`, `system`, `messages`."
                )));
            }
            Some("1h") => {}
            _ => {
                return Err(AwsError::validation(format!(
                    "{path}.ephemeral.ttl: Input should be '5m' or '1h'"
                )));
            }
        }
    }
    if breakpoints > MAX_BREAKPOINTS {
        return Err(AwsError::validation(format!(
            "A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found \
             {breakpoints}."
        )));
    }
    Ok(())
}
