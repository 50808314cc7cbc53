//! The prompt cache: how many tokens of a request are read from it, and how many are written.
//!
//! A prefix that ends at a block with `cache_control` is kept for its `ttl`. A later request reads
//! the longest kept prefix that ends at one of its breakpoints, or at one of the blocks before it.
//!
//! Source: Anthropic's documentation, "Prompt caching".

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::messages::Messages;
use crate::models::Model;
use crate::reply::tokens;

/// The number of blocks before a breakpoint at which a kept prefix may end.
const LOOKBACK: usize = 20;

/// The tokens of an image or a PDF, whatever is in it.
const MEDIA_TOKENS: usize = 1500;

type Prefix = [u8; 32];

/// The kept prefixes of all models.
#[derive(Default)]
pub(crate) struct PromptCache(Mutex<HashMap<Prefix, Instant>>);

/// The tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputTokens {
    /// The tokens behind the last breakpoint, or all of them without one.
    pub uncached: usize,
    /// The tokens that were read from the cache.
    pub cache_read: usize,
    /// The tokens that were written to the cache for five minutes.
    pub written_5m: usize,
    /// The tokens that were written to the cache for an hour.
    pub written_1h: usize,
}

impl InputTokens {
    /// Counts the tokens of a request, without a cache.
    pub fn count(messages: &Messages) -> Self {
        let uncached = messages.blocks().map(|block| block_tokens(&block.canonical())).sum();
        Self { uncached, ..Self::default() }
    }

    /// Returns the tokens that were written to the cache.
    pub fn written(&self) -> usize {
        self.written_5m + self.written_1h
    }
}

impl PromptCache {
    /// Counts the tokens of a request, reads the cache, and writes to it.
    pub(crate) fn account(&self, model_id: &str, messages: &Messages) -> InputTokens {
        let model = Model::find(model_id);
        let now = Instant::now();
        let mut hash = Sha256::new_with_prefix(model_id);
        let mut total = 0;
        let mut prefixes: Vec<(Prefix, usize)> = Vec::new();
        let mut breakpoints: Vec<(usize, Duration)> = Vec::new();
        for block in messages.blocks() {
            let canonical = block.canonical();
            total += block_tokens(&canonical);
            // A role is part of a prefix: `messages.0.content` and `system.0` differ by their paths.
            hash.update(block.path.split('.').next().unwrap_or_default());
            hash.update(canonical.to_string());
            prefixes.push((hash.clone().finalize().into(), total));
            if let Some(control) = block.cache_control()
                && total >= model.cached_tokens
            {
                let hours = u64::from(control["ttl"] == "1h");
                let ttl = Duration::from_secs(5 * 60 + hours * 55 * 60);
                breakpoints.push((prefixes.len() - 1, ttl));
            }
        }

        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, expiry| *expiry > now);
        let cache_read = breakpoints
            .iter()
            .rev()
            .find_map(|(at, _)| {
                let candidates = prefixes[at.saturating_sub(LOOKBACK)..=*at].iter().rev();
                candidates.clone().find(|(prefix, _)| kept.contains_key(prefix))
            })
            .map_or(0, |(_, tokens)| *tokens);
        let mut input = InputTokens { cache_read, ..InputTokens::default() };
        let mut written_to = cache_read;
        for (at, ttl) in breakpoints {
            let (prefix, tokens) = prefixes[at];
            let written = tokens.saturating_sub(written_to);
            written_to += written;
            if ttl > Duration::from_secs(5 * 60) {
                input.written_1h += written;
            } else {
                input.written_5m += written;
            }
            // A read renews the lifetime too.
            kept.insert(prefix, now + ttl);
        }
        input.uncached = total - written_to;
        input
    }
}

/// Counts the tokens of a block: of the text of a text block, else of its JSON.
fn block_tokens(block: &Value) -> usize {
    if let Some(text) = block["text"].as_str() {
        return tokens(text).len();
    }
    if block["source"]["type"] == "base64" {
        return MEDIA_TOKENS;
    }
    if block["type"] == "tool_result" {
        let content = match &block["content"] {
            Value::String(text) => return tokens(text).len(),
            Value::Array(blocks) => blocks,
            _ => return 0,
        };
        return content.iter().map(block_tokens).sum();
    }
    tokens(&block.to_string()).len()
}

/// Returns the `usage` of a reply in Anthropic's JSON. A request without breakpoints has no counts
/// of the cache.
pub(crate) fn usage(input: &InputTokens, output_tokens: usize) -> Value {
    let mut usage = json!({ "input_tokens": input.uncached, "output_tokens": output_tokens });
    if input.written() + input.cache_read > 0 {
        usage["cache_creation_input_tokens"] = json!(input.written());
        usage["cache_read_input_tokens"] = json!(input.cache_read);
        usage["cache_creation"] = json!({
            "ephemeral_5m_input_tokens": input.written_5m,
            "ephemeral_1h_input_tokens": input.written_1h,
        });
    }
    usage
}
