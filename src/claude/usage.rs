//! The numbers of tokens by which a call is billed.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::json::{Members, member};

/// More tokens than a call can have are not a number of tokens.
const MAX_TOKENS: u64 = u32::MAX as u64;

/// Numbers of tokens. `None` where Bedrock did not report one, or not one that can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// The tokens of the prompt, without those that were read from or written to the cache.
    pub input_tokens: Option<u64>,
    /// The tokens of the reply.
    pub output_tokens: Option<u64>,
    /// The tokens of the prompt that were read from Bedrock's cache.
    #[serde(skip_serializing_if = "is_zero_or_unknown")]
    pub cache_read_input_tokens: Option<u64>,
    /// The tokens of the prompt that were written to Bedrock's cache.
    #[serde(skip_serializing_if = "is_zero_or_unknown")]
    pub cache_creation_input_tokens: Option<u64>,
    /// Those of them that were written for an hour instead of five minutes.
    #[serde(skip)]
    pub cache_creation_1h_input_tokens: Option<u64>,
}

/// Never fails on valid JSON: a number that cannot be read must not discard a reply that was paid for.
impl<'de> Deserialize<'de> for Usage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&Box::<RawValue>::deserialize(deserializer)?))
    }
}

/// The names of the numbers in what Bedrock's operations report: Anthropic's, those of Converse, of the metrics of an
/// invocation, and of models of other makers.
const NAMES: [&[&str]; 4] = [
    &["input_tokens", "inputTokens", "inputTokenCount", "prompt_tokens", "prompt_token_count"],
    &[
        "output_tokens",
        "outputTokens",
        "outputTokenCount",
        "completion_tokens",
        "generation_token_count",
    ],
    &["cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount"],
    &["cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount"],
];

/// Reads a number of tokens, also with a fraction of zeros.
fn tokens(json: &str) -> Option<u64> {
    let (whole, fraction) = json.split_once('.').unwrap_or((json, "0"));
    let is_whole = fraction.bytes().all(|digit| digit == b'0');
    whole.parse().ok().filter(|tokens| is_whole && *tokens <= MAX_TOKENS)
}

impl Usage {
    /// Reads the numbers by Claude's names.
    pub(super) fn parse(json: &RawValue) -> Self {
        let Members(members) = serde_json::from_str(json.get()).unwrap_or(Members(Vec::new()));
        let mut usage = Self::default();
        for (name, value) in members {
            let number = match &*name {
                "input_tokens" => &mut usage.input_tokens,
                "output_tokens" => &mut usage.output_tokens,
                "cache_read_input_tokens" => &mut usage.cache_read_input_tokens,
                "cache_creation_input_tokens" => &mut usage.cache_creation_input_tokens,
                "cache_creation" => {
                    let hour = member(value, "ephemeral_1h_input_tokens");
                    usage.cache_creation_1h_input_tokens = hour.and_then(|it| tokens(it.get()));
                    continue;
                }
                _ => continue,
            };
            *number = tokens(value.get());
        }
        usage
    }

    /// Reads the numbers of a JSON object, under any of the names that Bedrock's operations have for them.
    pub(crate) fn parse_any(json: &[u8]) -> Self {
        let Members(members) = serde_json::from_slice(json).unwrap_or(Members(Vec::new()));
        let [input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens] =
            NAMES.map(|names| {
                let mut numbers = members.iter().filter(|(name, _)| names.contains(&&**name));
                numbers.find_map(|(_, value)| tokens(value.get()))
            });
        Self {
            input_tokens,
            output_tokens,
            cache_read_input_tokens,
            cache_creation_input_tokens,
            cache_creation_1h_input_tokens: None,
        }
    }

    /// Takes over the numbers of a later event. A stream reports them in parts, and each part again when it has
    /// grown.
    pub(crate) fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cache_read_input_tokens =
            later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_creation_1h_input_tokens =
            later.cache_creation_1h_input_tokens.or(self.cache_creation_1h_input_tokens);
    }
}

/// Reports whether a number says nothing: without caching Bedrock reports zeros or leaves them out.
pub(crate) fn is_zero_or_unknown(tokens: &Option<u64>) -> bool {
    matches!(tokens, None | Some(0))
}
