//! The numbers of tokens by which a call is billed.

use serde::{Deserialize, Serialize};

/// Numbers of tokens. `None` where Bedrock did not report one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
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
}

impl Usage {
    /// Takes over the numbers of a later event. A stream reports them in parts, and each part again when it has
    /// grown.
    pub(crate) fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cache_read_input_tokens =
            later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
    }
}

/// Reports whether a number says nothing: without caching Bedrock reports zeros or leaves them out.
pub(crate) fn is_zero_or_unknown(tokens: &Option<u64>) -> bool {
    matches!(tokens, None | Some(0))
}
