//! The table of Claude's models on Bedrock: the ids that exist, and what each model refuses.
//!
//! It is written from the same sources as the product's table and shares no code with it, so that a
//! mistake in one of them shows up. A model that is not in the table is an older one
//! ([`Model::OLDER`]), and an application inference profile hides its model ([`Model::HIDDEN`]).
//!
//! Sources: LiteLLM 1.110's price list (ids, profiles); AWS's and Anthropic's documentation (cached
//! prefixes, counted tokens, output limits); each [`Refusal`] names its own.

mod checks;

use crate::error::AwsError;

pub use checks::check_parameters;

/// A part of a request that some models refuse with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `temperature`, `top_p` and `top_k` (cline #10572, promptfoo #10307).
    Sampling,
    /// `temperature` and `top_p` together (bedrock-access-gateway #191).
    TemperatureWithTopP,
    /// A last message of the assistant (opencode #29760).
    Prefill,
    /// `tool_choice` of type `any` or `tool`.
    ForcedToolChoice,
    /// `tool_choice` of type `any` or `tool` while thinking (vercel/ai #11227).
    ForcedToolChoiceWhileThinking,
    /// `thinking` of type `enabled`, with a budget.
    ThinkingBudget,
    /// `thinking` of type `disabled`.
    ThinkingDisabled,
    /// `thinking` of type `adaptive`, which came with the 4.6 generation.
    AdaptiveThinking,
    /// `output_config.format` and `tools[].strict` (anthropic-sdk-python #1759, lobehub #19876).
    StructuredOutput,
    /// A message of the role `system`.
    SystemMessage,
    /// `messages[].output_config`, which only Opus 5.5 and Sonnet 5.5 take.
    TurnConfig,
    /// `cache_control.ttl`, which came with the 4.5 generation.
    CacheTtl,
    /// The system block `x-anthropic-billing-header` of Claude Code (claude-code-action #928).
    BillingHeader,
    /// `defer_loading` and the tools `tool_search_…`, which came with the 4.5 generation.
    ToolSearch,
}

use Refusal::{
    AdaptiveThinking, BillingHeader, CacheTtl, ForcedToolChoice, ForcedToolChoiceWhileThinking,
    Prefill, Sampling, StructuredOutput, SystemMessage, TemperatureWithTopP, ThinkingBudget,
    ThinkingDisabled, ToolSearch, TurnConfig,
};

/// A model of Claude.
#[derive(Debug)]
pub struct Model {
    /// The id behind `anthropic.`.
    pub id: &'static str,
    /// The prefixes of its inference profiles. If there are none, the model is not checked for one.
    pub profiles: &'static [&'static str],
    /// What it refuses.
    pub refuses: &'static [Refusal],
    /// The values of `output_config.effort` that it takes (Anthropic's documentation, "Effort").
    pub efforts: &'static [&'static str],
    /// The fewest tokens of a prefix that is cached.
    pub cached_tokens: usize,
    /// The highest `max_tokens`.
    pub max_tokens: u64,
    /// Whether `CountTokens` takes it. It takes base ids only (AWS, "Monitor your token usage").
    pub counts_tokens: bool,
    /// Whether a thinking block is bound to its model and to the messages before it (opencode
    /// #48637).
    pub binds_thinking: bool,
}

const ALL_PROFILES: &[&str] = &["global", "us", "eu", "au", "jp"];
const NO_JAPAN: &[&str] = &["global", "us", "eu", "au"];

const UP_TO_HIGH: &[&str] = &["low", "medium", "high"];
const WITHOUT_XHIGH: &[&str] = &["low", "medium", "high", "max"];
const ALL_EFFORTS: &[&str] = &["low", "medium", "high", "xhigh", "max"];

const OF_5_5: &[Refusal] =
    &[Sampling, Prefill, ForcedToolChoice, ThinkingBudget, ThinkingDisabled, StructuredOutput];
const OF_FABLE_5_1: &[Refusal] = &[
    Sampling,
    Prefill,
    ForcedToolChoice,
    ThinkingBudget,
    ThinkingDisabled,
    StructuredOutput,
    TurnConfig,
];
const OF_FABLE_5: &[Refusal] = &[
    Sampling,
    Prefill,
    ForcedToolChoiceWhileThinking,
    ThinkingBudget,
    ThinkingDisabled,
    StructuredOutput,
    TurnConfig,
];
const OF_HAIKU_5_5: &[Refusal] = &[Sampling, Prefill, ThinkingBudget, StructuredOutput, TurnConfig];
const OF_5: &[Refusal] = &[
    Sampling,
    Prefill,
    ForcedToolChoiceWhileThinking,
    ThinkingBudget,
    StructuredOutput,
    TurnConfig,
];
const OF_OPUS_4_7: &[Refusal] = &[
    Sampling,
    Prefill,
    ForcedToolChoiceWhileThinking,
    ThinkingBudget,
    StructuredOutput,
    SystemMessage,
    TurnConfig,
];
/// The sources name Sonnet 4.6 and Opus 4.7 as refusing a system message, and Opus 4.8 as the first
/// that takes one, so that the models in between and before are taken to refuse it too.
const OF_4_6: &[Refusal] = &[Prefill, ForcedToolChoiceWhileThinking, SystemMessage, TurnConfig];
const OF_4_5: &[Refusal] = &[
    TemperatureWithTopP,
    ForcedToolChoiceWhileThinking,
    AdaptiveThinking,
    SystemMessage,
    TurnConfig,
];

#[rustfmt::skip]
const MODELS: [Model; 14] = [
    row("claude-fable-5-1", NO_JAPAN, OF_FABLE_5_1, ALL_EFFORTS, 512, 128_000).binding(),
    row("claude-fable-5", NO_JAPAN, OF_FABLE_5, ALL_EFFORTS, 1024, 128_000),
    row("claude-opus-5-5", ALL_PROFILES, OF_5_5, ALL_EFFORTS, 512, 128_000).binding(),
    row("claude-sonnet-5-5", ALL_PROFILES, OF_5_5, ALL_EFFORTS, 512, 128_000).binding(),
    row("claude-haiku-5-5", ALL_PROFILES, OF_HAIKU_5_5, ALL_EFFORTS, 512, 128_000).binding(),
    row("claude-opus-5", ALL_PROFILES, OF_5, ALL_EFFORTS, 512, 128_000),
    row("claude-sonnet-5", ALL_PROFILES, OF_5, ALL_EFFORTS, 1024, 128_000),
    row("claude-opus-4-8", ALL_PROFILES, OF_5, ALL_EFFORTS, 1024, 128_000),
    row("claude-opus-4-7", ALL_PROFILES, OF_OPUS_4_7, ALL_EFFORTS, 2048, 128_000),
    row("claude-opus-4-6-v1", NO_JAPAN, OF_4_6, WITHOUT_XHIGH, 4096, 128_000).counting(),
    row("claude-sonnet-4-6", ALL_PROFILES, OF_4_6, WITHOUT_XHIGH, 1024, 128_000).counting(),
    row("claude-opus-4-5-20251101-v1:0", NO_JAPAN, OF_4_5, UP_TO_HIGH, 4096, 64_000).counting(),
    row("claude-sonnet-4-5-20250929-v1:0", ALL_PROFILES, OF_4_5, &[], 1024, 64_000).counting(),
    row("claude-haiku-4-5-20251001-v1:0", ALL_PROFILES, OF_4_5, &[], 4096, 64_000).counting(),
];

const fn row(
    id: &'static str,
    profiles: &'static [&'static str],
    refuses: &'static [Refusal],
    efforts: &'static [&'static str],
    cached_tokens: usize,
    max_tokens: u64,
) -> Model {
    Model {
        id,
        profiles,
        refuses,
        efforts,
        cached_tokens,
        max_tokens,
        counts_tokens: false,
        binds_thinking: false,
    }
}

/// The end of the ARN of an application inference profile that refuses sampling as the model
/// behind it does. Nothing else in the ARN names a model.
const PROFILE_WITHOUT_SAMPLING: &str = ":application-inference-profile/refuses-temperature";

impl Model {
    /// Every model of the table.
    pub const ALL: &[Self] = &MODELS;

    /// The models before the 4.5 generation. They are called by base ids or profiles.
    pub const OLDER: Self = row(
        "",
        &[],
        &[
            AdaptiveThinking,
            ForcedToolChoiceWhileThinking,
            StructuredOutput,
            SystemMessage,
            TurnConfig,
            CacheTtl,
            BillingHeader,
            ToolSearch,
        ],
        &[],
        1024,
        u64::MAX,
    )
    .counting();

    /// The model behind an application inference profile, of which nothing is known.
    pub const HIDDEN: Self = row("", &[], &[], ALL_EFFORTS, 1024, u64::MAX);

    /// Like [`Self::HIDDEN`], for the profile that refuses sampling.
    pub const HIDDEN_WITHOUT_SAMPLING: Self =
        row("", &[], &[Sampling], ALL_EFFORTS, 1024, u64::MAX);

    const fn counting(mut self) -> Self {
        self.counts_tokens = true;
        self
    }

    const fn binding(mut self) -> Self {
        self.binds_thinking = true;
        self
    }

    /// Finds the model of an id: with or without the prefix of an inference profile, or in an ARN.
    pub fn find(model_id: &str) -> &'static Self {
        if model_id.ends_with(PROFILE_WITHOUT_SAMPLING) {
            return &Self::HIDDEN_WITHOUT_SAMPLING;
        }
        let resource = model_id.rsplit('/').next().unwrap_or_default();
        match resource.split_once("anthropic.") {
            Some((_, id)) => Self::ALL.iter().find(|model| model.id == id).unwrap_or(&Self::OLDER),
            None => &Self::HIDDEN,
        }
    }

    /// Tells whether the model refuses a part of a request.
    pub fn refuses(&self, refusal: Refusal) -> bool {
        self.refuses.contains(&refusal)
    }
}

/// Checks that the id names an inference profile, if the model is called by profiles only.
///
/// # Errors
///
/// 400 `ValidationException`, for a base id and for a profile that does not exist.
pub fn check_profile(model_id: &str) -> Result<(), AwsError> {
    let model = Model::find(model_id);
    let resource = model_id.rsplit('/').next().unwrap_or_default();
    let prefix = resource.split_once("anthropic.").map_or("", |(prefix, _)| prefix);
    if model.profiles.is_empty() || model.profiles.iter().any(|it| prefix == format!("{it}.")) {
        return Ok(());
    }
    if prefix.is_empty() {
        return Err(on_demand_unsupported(model_id));
    }
    Err(AwsError::validation("The provided model identifier is invalid."))
}

/// Creates the error for a base id of a model that is called by profiles only.
pub(crate) fn on_demand_unsupported(model_id: &str) -> AwsError {
    AwsError::validation(format!(
        "Invocation of model ID {model_id} with on-demand throughput isn\u{2019}t supported. Retry \
         your request with the ID or ARN of an inference profile that contains this model."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_its_id_its_profiles_and_their_arns() {
        const APPLICATION: &str =
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/";
        let hidden = format!("{APPLICATION}abc123");
        let without_sampling = format!("{APPLICATION}refuses-temperature");
        // Model id; sampling is refused, prefill is refused.
        let cases = [
            ("global.anthropic.claude-fable-5-1", true, true),
            ("global.anthropic.claude-opus-5-5", true, true),
            ("us.anthropic.claude-sonnet-5", true, true),
            ("eu.anthropic.claude-haiku-5-5", true, true),
            ("jp.anthropic.claude-opus-4-8", true, true),
            ("au.anthropic.claude-opus-4-7", true, true),
            ("global.anthropic.claude-opus-4-6-v1", false, true),
            ("global.anthropic.claude-sonnet-4-6", false, true),
            ("global.anthropic.claude-opus-4-5-20251101-v1:0", false, false),
            ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", false, false),
            ("apac.anthropic.claude-sonnet-4-20250514-v1:0", false, false),
            ("anthropic.claude-3-5-haiku-20241022-v1:0", false, false),
            (&hidden, false, false),
            (&without_sampling, true, false),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5",
                true,
                true,
            ),
        ];
        for (model_id, sampling, prefill) in cases {
            let model = Model::find(model_id);
            assert_eq!(model.refuses(Sampling), sampling, "{model_id}: sampling");
            assert_eq!(model.refuses(Prefill), prefill, "{model_id}: prefill");
        }
    }

    #[test]
    fn a_current_model_is_called_by_a_profile_that_exists() {
        for (model_id, expected) in [
            ("global.anthropic.claude-opus-5-5", ""),
            ("jp.anthropic.claude-sonnet-4-6", ""),
            ("jp.anthropic.claude-opus-4-6-v1", "model identifier is invalid"),
            ("jp.anthropic.claude-fable-5-1", "model identifier is invalid"),
            ("sa.anthropic.claude-opus-5-5", "model identifier is invalid"),
            ("anthropic.claude-opus-5-5", "with on-demand throughput isn\u{2019}t supported"),
            ("anthropic.claude-3-haiku-20240307-v1:0", ""),
            ("apac.anthropic.claude-sonnet-4-20250514-v1:0", ""),
        ] {
            match check_profile(model_id) {
                Ok(()) => assert_eq!(expected, "", "{model_id}"),
                Err(error) => assert!(
                    !expected.is_empty() && error.message.contains(expected),
                    "{model_id}: {}",
                    error.message
                ),
            }
        }
    }
}
