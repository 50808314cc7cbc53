//! The table of models on Bedrock: their names, their ids, the codec and the price of each, and what it refuses.
//!
//! It was checked in 2026-11. The ids and the longest replies are those of LiteLLM 1.110's price list, which is made from AWS's. A refusal is listed
//! if its source, named beside it, has seen the 400; what is not listed is sent. Bedrock may know better: a field
//! that the Worker adds by itself and that Bedrock refuses is left out from then on ([`bedrock`](crate::bedrock)).

use super::prices::Price;

/// A part of a request that some models refuse with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feature {
    /// Any of `temperature`, `top_p` and `top_k` (cline #10572, promptfoo #10307).
    Sampling,
    /// `temperature` and `top_p` together (bedrock-access-gateway #191).
    TemperatureWithTopP,
    /// A last message of the assistant, with which the reply would begin.
    Prefill,
    /// `tool_choice` of type `any` or `tool`.
    ForcedToolChoice,
    /// `thinking` of type `enabled`, with a budget.
    ThinkingBudget,
    /// `thinking` of type `disabled`: the model always thinks.
    ThinkingDisabled,
    /// `thinking` of type `adaptive`.
    ThinkingAdaptive,
    /// `output_config.format` and `tools[].strict` (anthropic-sdk-python #1759, lobehub #19876).
    StructuredOutput,
    /// Any `output_config.effort`.
    Effort,
    /// An `output_config.effort` of `xhigh`.
    EffortXhigh,
    /// An `output_config.effort` of `max`.
    EffortMax,
    /// A message of the role `system` among the others (seen for Opus 4.7, Sonnet 4.6 and Haiku 4.5, and taken by Opus 4.8
    /// and later; so it is not sent to the models between).
    SystemMessage,
    /// CountTokens of its base id.
    CountTokens,
    /// `messages[].output_config`, with its beta per-turn-control.
    PerTurnControl,
    /// A system prompt ([AWS's table of features]; 567-labs/instructor #1753).
    ///
    /// [AWS's table of features]: https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html
    SystemPrompt,
    /// Tools (AWS's table of features; langchain-aws #447).
    Tools,
    /// Tools in a stream, which is then made of a whole reply (AWS's table of features; n8n #14206, pi #3739).
    StreamedTools,
    /// `tool_choice` of type `tool` alone (langchain-aws PR 688 and 1.7).
    NamedToolChoice,
    /// Text beside tool results in one message (browser-use #710, strands harness-sdk #1223).
    TextBesideResults,
    /// Text beside tool calls in one message (quarkus-langchain4j #1983).
    TextBesideCalls,
    /// `stop_sequences` (crewAI #3317, dify-official-plugins #1767).
    StopSequences,
    /// Images (AWS's table of features).
    Images,
    /// Documents (AWS's table of features).
    Documents,
    /// Breakpoints of the prompt cache (opencode #782; LiteLLM 1.110).
    CachePoint,
    /// A setting of thinking or of its effort: the model has none, or thinks as it likes.
    Thinking,
    /// Thinking of earlier turns (langchain-aws #401; the models that take it are those of langchain-aws 1.7).
    ThinkingHistory,
}

use Feature::{
    CachePoint, CountTokens, Documents, Effort, EffortMax, EffortXhigh, ForcedToolChoice, Images,
    NamedToolChoice, PerTurnControl, Prefill, Sampling, StopSequences, StreamedTools,
    StructuredOutput, SystemMessage, SystemPrompt, TemperatureWithTopP, TextBesideCalls,
    TextBesideResults, Thinking, ThinkingAdaptive, ThinkingBudget, ThinkingDisabled,
    ThinkingHistory, Tools,
};

/// The format in which a model is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// InvokeModel with Claude's Messages format.
    Claude,
    /// Converse, which is the same for all makers.
    Converse,
}

impl Codec {
    /// Chooses the codec of a model that is not in the table. The ARN of an application inference profile or of
    /// provisioned throughput hides the model: it counts as Claude, unless a name before it says otherwise.
    ///
    /// ```
    /// use bedrock_edge::Codec;
    ///
    /// assert_eq!(Codec::of_unknown("us.anthropic.claude-opus-9"), Codec::Claude);
    /// assert_eq!(Codec::of_unknown("zai.glm-5"), Codec::Converse);
    /// ```
    pub fn of_unknown(id: &str) -> Self {
        let hides = [":application-inference-profile/", ":provisioned-model/"];
        let is_claude = id.contains("anthropic.") || hides.iter().any(|kind| id.contains(kind));
        if is_claude { Self::Claude } else { Self::Converse }
    }
}

/// A model on Bedrock.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Model {
    /// The public name, which callers may use.
    pub name: &'static str,
    /// The id on Bedrock, without the prefix of an inference profile: `anthropic.claude-opus-5`.
    pub id: &'static str,
    /// The prefixes of its inference profiles, such as `us`. Empty: the id itself can be called.
    pub profiles: &'static [&'static str],
    /// The format in which it is called.
    pub codec: Codec,
    /// The most tokens that it generates in one reply.
    pub max_output_tokens: u32,
    /// The features that it refuses.
    pub refuses: &'static [Feature],
    /// The prices, if they are known.
    pub(crate) price: Option<Price>,
}

/// The refusals of Opus 5.5 and Sonnet 5.5.
const OF_5_5: &[Feature] = &[
    Sampling,
    Prefill,
    ForcedToolChoice,
    ThinkingBudget,
    ThinkingDisabled,
    StructuredOutput,
    CountTokens,
];
/// The refusals of the 5 generation, Opus 4.8 and Haiku 5.5.
const OF_5: &[Feature] =
    &[Sampling, Prefill, ThinkingBudget, StructuredOutput, PerTurnControl, CountTokens];

/// The profiles of most of Claude's models, and of those that Japan does not have.
const ALL: &[&str] = &["global", "us", "eu", "au", "jp"];
const NOT_JP: &[&str] = &["global", "us", "eu", "au"];

/// The refusals of Nova 2 and of Nova.
const OF_NOVA_2: &[Feature] = &[StructuredOutput];
const OF_NOVA: &[Feature] = &[Thinking, ThinkingHistory, StructuredOutput];
/// The refusals of the models of Llama with images and without.
#[rustfmt::skip]
const OF_LLAMA_4: &[Feature] =
    &[Prefill, StopSequences, ForcedToolChoice, StreamedTools, TextBesideResults, TextBesideCalls, CachePoint, Thinking, ThinkingHistory, StructuredOutput];
#[rustfmt::skip]
const OF_LLAMA_3: &[Feature] =
    &[Prefill, StopSequences, ForcedToolChoice, StreamedTools, TextBesideResults, TextBesideCalls, Images, CachePoint, Thinking, ThinkingHistory, StructuredOutput];
/// The refusals of models with text alone.
const OF_TEXT: &[Feature] = &[
    Prefill,
    StopSequences,
    Tools,
    Images,
    CachePoint,
    Thinking,
    ThinkingHistory,
    StructuredOutput,
];
/// The refusals of Mistral's models, by their age.
const OF_MISTRAL_3: &[Feature] = &[TextBesideResults, CachePoint, Thinking, ThinkingHistory];
#[rustfmt::skip]
const OF_MISTRAL_LARGE: &[Feature] =
    &[Prefill, NamedToolChoice, StreamedTools, TextBesideResults, TextBesideCalls, Images, CachePoint, Thinking, ThinkingHistory, StructuredOutput];
#[rustfmt::skip]
const OF_MISTRAL_7B: &[Feature] =
    &[SystemPrompt, Prefill, Tools, Images, CachePoint, Thinking, ThinkingHistory, StructuredOutput];
/// The refusals of open weights that have text and tools.
const OF_OPEN_WEIGHTS: &[Feature] =
    &[TextBesideResults, Images, CachePoint, Thinking, ThinkingHistory];
/// The refusals of Qwen's models, with images and without.
const OF_QWEN_VL: &[Feature] =
    &[StopSequences, TextBesideResults, CachePoint, Thinking, ThinkingHistory];
const OF_QWEN: &[Feature] =
    &[StopSequences, TextBesideResults, Images, CachePoint, Thinking, ThinkingHistory];
/// The refusals of OpenAI's open weights.
const OF_GPT_OSS: &[Feature] =
    &[StopSequences, TextBesideResults, Images, CachePoint, ThinkingDisabled];

#[rustfmt::skip]
const MODELS: [Model; 55] = [
    row("claude-fable-5-1", "anthropic.claude-fable-5-1", NOT_JP, 128_000, Price::FABLE_5_1, &[Sampling, Prefill, ForcedToolChoice, ThinkingBudget, ThinkingDisabled, StructuredOutput, PerTurnControl, CountTokens]),
    row("claude-fable-5", "anthropic.claude-fable-5", NOT_JP, 128_000, Price::FABLE_5, &[Sampling, Prefill, ThinkingBudget, ThinkingDisabled, StructuredOutput, PerTurnControl, CountTokens]),
    row("claude-opus-5-5", "anthropic.claude-opus-5-5", ALL, 128_000, Price::OPUS_5_5, OF_5_5),
    row("claude-sonnet-5-5", "anthropic.claude-sonnet-5-5", ALL, 128_000, Price::SONNET_5_5, OF_5_5),
    row("claude-haiku-5-5", "anthropic.claude-haiku-5-5", ALL, 128_000, Price::HAIKU_5_5, OF_5),
    row("claude-opus-5", "anthropic.claude-opus-5", ALL, 128_000, Price::OPUS, OF_5),
    row("claude-sonnet-5", "anthropic.claude-sonnet-5", ALL, 128_000, Price::SONNET_5, OF_5),
    row("claude-opus-4-8", "anthropic.claude-opus-4-8", NOT_JP, 128_000, Price::OPUS, OF_5),
    row("claude-opus-4-7", "anthropic.claude-opus-4-7", NOT_JP, 128_000, Price::OPUS, &[Sampling, Prefill, ThinkingBudget, StructuredOutput, SystemMessage, PerTurnControl, CountTokens]),
    row("claude-opus-4-6", "anthropic.claude-opus-4-6-v1", NOT_JP, 128_000, Price::OPUS, &[Prefill, EffortXhigh, SystemMessage, PerTurnControl]),
    row("claude-sonnet-4-6", "anthropic.claude-sonnet-4-6", ALL, 64_000, Price::SONNET_4_6, &[Prefill, EffortXhigh, SystemMessage, PerTurnControl]),
    row("claude-opus-4-5", "anthropic.claude-opus-4-5-20251101-v1:0", NOT_JP, 64_000, Price::OPUS, &[TemperatureWithTopP, ThinkingAdaptive, EffortXhigh, EffortMax, SystemMessage, PerTurnControl]),
    row("claude-sonnet-4-5", "anthropic.claude-sonnet-4-5-20250929-v1:0", ALL, 64_000, Price::SONNET_4_5, &[TemperatureWithTopP, ThinkingAdaptive, Effort, SystemMessage, PerTurnControl]),
    row("claude-haiku-4-5", "anthropic.claude-haiku-4-5-20251001-v1:0", ALL, 64_000, Price::HAIKU_4_5, &[TemperatureWithTopP, ThinkingAdaptive, Effort, SystemMessage, PerTurnControl]),
    other("nova-2-lite", "amazon.nova-2-lite-v1:0", &["us", "eu", "jp", "global"], 64_000, OF_NOVA_2),
    other("nova-premier", "amazon.nova-premier-v1:0", &["us"], 10_000, OF_NOVA),
    other("nova-pro", "amazon.nova-pro-v1:0", &["us", "eu", "apac"], 10_000, OF_NOVA),
    other("nova-lite", "amazon.nova-lite-v1:0", &["us", "eu", "apac"], 10_000, OF_NOVA),
    other("nova-micro", "amazon.nova-micro-v1:0", &["us", "eu", "apac"], 10_000, &[Images, Documents, Thinking, ThinkingHistory, StructuredOutput]),
    other("llama-4-maverick-17b", "meta.llama4-maverick-17b-instruct-v1:0", &["us"], 8_192, OF_LLAMA_4),
    other("llama-4-scout-17b", "meta.llama4-scout-17b-instruct-v1:0", &["us"], 8_192, OF_LLAMA_4),
    other("llama-3.3-70b", "meta.llama3-3-70b-instruct-v1:0", &["us"], 4_096, OF_LLAMA_3),
    other("llama-3.2-90b", "meta.llama3-2-90b-instruct-v1:0", &["us"], 4_096, OF_LLAMA_4),
    other("llama-3.2-11b", "meta.llama3-2-11b-instruct-v1:0", &["us"], 4_096, OF_LLAMA_4),
    other("llama-3.2-3b", "meta.llama3-2-3b-instruct-v1:0", &["us", "eu"], 4_096, OF_TEXT),
    other("llama-3.2-1b", "meta.llama3-2-1b-instruct-v1:0", &["us", "eu"], 4_096, OF_TEXT),
    other("llama-3.1-405b", "meta.llama3-1-405b-instruct-v1:0", &["us"], 4_096, OF_LLAMA_3),
    other("llama-3.1-70b", "meta.llama3-1-70b-instruct-v1:0", &["us"], 4_096, OF_LLAMA_3),
    other("llama-3.1-8b", "meta.llama3-1-8b-instruct-v1:0", &["us"], 4_096, OF_LLAMA_3),
    other("mistral-large-3", "mistral.mistral-large-3-675b-instruct", &[], 32_000, OF_MISTRAL_3),
    other("ministral-3-14b", "mistral.ministral-3-14b-instruct", &[], 8_000, OF_MISTRAL_3),
    other("ministral-3-8b", "mistral.ministral-3-8b-instruct", &[], 8_000, OF_MISTRAL_3),
    other("ministral-3-3b", "mistral.ministral-3-3b-instruct", &[], 8_000, OF_MISTRAL_3),
    other("magistral-small", "mistral.magistral-small-2509", &[], 40_000, OF_MISTRAL_3),
    other("devstral-2", "mistral.devstral-2-123b", &[], 32_000, OF_OPEN_WEIGHTS),
    other("pixtral-large", "mistral.pixtral-large-2502-v1:0", &["us", "eu"], 16_384, &[ForcedToolChoice, StreamedTools, TextBesideResults, CachePoint, Thinking, ThinkingHistory, StructuredOutput]),
    other("mistral-large-2407", "mistral.mistral-large-2407-v1:0", &[], 8_191, OF_MISTRAL_LARGE),
    other("mistral-large-2402", "mistral.mistral-large-2402-v1:0", &[], 4_096, OF_MISTRAL_LARGE),
    other("mistral-small-2402", "mistral.mistral-small-2402-v1:0", &[], 4_096, OF_MISTRAL_LARGE),
    other("mixtral-8x7b", "mistral.mixtral-8x7b-instruct-v0:1", &[], 4_096, OF_MISTRAL_7B),
    other("mistral-7b", "mistral.mistral-7b-instruct-v0:2", &[], 4_096, OF_MISTRAL_7B),
    other("deepseek-v3.2", "deepseek.v3.2", &[], 8_000, &[TextBesideResults, Images, CachePoint]),
    other("deepseek-v3.1", "deepseek.v3-v1:0", &[], 8_000, &[TextBesideResults, Images, CachePoint, NamedToolChoice]),
    other("deepseek-r1", "deepseek.r1-v1:0", &["us"], 8_192, &[Tools, Images, CachePoint, Thinking, ThinkingDisabled, ThinkingHistory, StructuredOutput]),
    other("qwen3-235b", "qwen.qwen3-235b-a22b-2507-v1:0", &[], 8_192, OF_QWEN),
    other("qwen3-32b", "qwen.qwen3-32b-v1:0", &[], 8_192, OF_QWEN),
    other("qwen3-next-80b", "qwen.qwen3-next-80b-a3b", &[], 8_000, OF_QWEN),
    other("qwen3-vl-235b", "qwen.qwen3-vl-235b-a22b", &[], 8_000, OF_QWEN_VL),
    other("qwen3-coder-480b", "qwen.qwen3-coder-480b-a35b-v1:0", &[], 16_384, OF_QWEN),
    other("qwen3-coder-30b", "qwen.qwen3-coder-30b-a3b-v1:0", &[], 16_384, OF_QWEN),
    other("qwen3-coder-next", "qwen.qwen3-coder-next", &[], 16_000, OF_QWEN),
    other("gpt-oss-120b", "openai.gpt-oss-120b-1:0", &[], 16_384, OF_GPT_OSS),
    other("gpt-oss-20b", "openai.gpt-oss-20b-1:0", &[], 16_384, OF_GPT_OSS),
    other("gpt-oss-safeguard-120b", "openai.gpt-oss-safeguard-120b", &[], 16_000, OF_GPT_OSS),
    other("gpt-oss-safeguard-20b", "openai.gpt-oss-safeguard-20b", &[], 16_000, OF_GPT_OSS),
];

const fn row(
    name: &'static str,
    id: &'static str,
    profiles: &'static [&'static str],
    max_output_tokens: u32,
    price: Price,
    refuses: &'static [Feature],
) -> Model {
    let price = Some(price);
    Model { name, id, profiles, codec: Codec::Claude, max_output_tokens, refuses, price }
}

/// A row of a model of another maker.
const fn other(
    name: &'static str,
    id: &'static str,
    profiles: &'static [&'static str],
    max_output_tokens: u32,
    refuses: &'static [Feature],
) -> Model {
    Model { name, id, profiles, codec: Codec::Converse, max_output_tokens, refuses, price: None }
}

impl Model {
    /// Every model of the table.
    pub const ALL: &[Self] = &MODELS;

    /// Finds a model by its public name, with or without its date: `claude-haiku-4-5-20251001`.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|model| model.is_named(name))
    }

    /// Reports whether a text is the public name, with or without its date.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        let id = self.id.strip_prefix("anthropic.").unwrap_or(self.id);
        let dated = id.strip_suffix("-v1:0").unwrap_or(id);
        self.name == name || dated == name
    }

    /// Finds a model by its id on Bedrock: with or without an inference profile's prefix, or in an ARN. The ARN of
    /// an application inference profile hides the model.
    ///
    /// ```
    /// use bedrock_edge::{Feature, Model};
    ///
    /// let model = Model::by_id("global.anthropic.claude-sonnet-5-5").unwrap();
    /// assert_eq!(model.name, "claude-sonnet-5-5");
    /// assert!(model.refuses(Feature::Sampling));
    /// ```
    pub fn by_id(id: &str) -> Option<&'static Self> {
        let id = id.rsplit_once('/').map_or(id, |(_, resource)| resource);
        let is = |model: &&Self| {
            let prefix = id.strip_suffix(model.id);
            prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        };
        Self::ALL.iter().find(is)
    }

    /// Returns the id with the prefix of another id's profile, or with `global.`, or by itself. `None`: it has no profile
    /// there.
    pub(crate) fn profile(&self, other_id: &str) -> Option<String> {
        let prefix = other_id.split_once('.').map_or("", |(prefix, _)| prefix);
        let known = |prefix: &&&str| self.profiles.contains(prefix);
        match [prefix, "global"].iter().find(known) {
            Some(prefix) => Some(format!("{prefix}.{}", self.id)),
            None => self.profiles.is_empty().then(|| self.id.to_owned()),
        }
    }

    /// Reports whether the model refuses a feature.
    pub fn refuses(&self, feature: Feature) -> bool {
        self.refuses.contains(&feature)
    }

    /// Reports whether the model thinks before every reply. Thinking counts as output.
    pub fn always_thinks(&self) -> bool {
        self.refuses(Feature::ThinkingDisabled)
    }
}
