//! The table of Claude's models on Bedrock: their names, their ids, and what each of them refuses.
//!
//! It was checked in 2026-11. The ids and the longest replies are those of LiteLLM 1.110's price list, which is made from AWS's. A refusal is listed
//! if its source, named beside it, has seen the 400; what is not listed is sent. Bedrock may know better: a field
//! that the Worker adds by itself and that Bedrock refuses is left out from then on ([`bedrock`](crate::bedrock)).
//!
//! Out of scope: prices, and models of other makers.

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
}

use Feature::{
    CountTokens, Effort, EffortMax, EffortXhigh, ForcedToolChoice, PerTurnControl, Prefill,
    Sampling, StructuredOutput, SystemMessage, TemperatureWithTopP, ThinkingAdaptive,
    ThinkingBudget, ThinkingDisabled,
};

/// A model of Claude.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Model {
    /// The public name, which callers may use.
    pub name: &'static str,
    /// The id on Bedrock, without the inference profile's prefix and `anthropic.`.
    pub id: &'static str,
    /// The most tokens that it generates in one reply.
    pub max_output_tokens: u32,
    /// The features that it refuses.
    pub refuses: &'static [Feature],
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

#[rustfmt::skip]
const MODELS: [Model; 14] = [
    row("claude-fable-5-1", "claude-fable-5-1", 128_000, &[Sampling, Prefill, ForcedToolChoice, ThinkingBudget, ThinkingDisabled, StructuredOutput, PerTurnControl, CountTokens]),
    row("claude-fable-5", "claude-fable-5", 128_000, &[Sampling, Prefill, ThinkingBudget, ThinkingDisabled, StructuredOutput, PerTurnControl, CountTokens]),
    row("claude-opus-5-5", "claude-opus-5-5", 128_000, OF_5_5),
    row("claude-sonnet-5-5", "claude-sonnet-5-5", 128_000, OF_5_5),
    row("claude-haiku-5-5", "claude-haiku-5-5", 128_000, OF_5),
    row("claude-opus-5", "claude-opus-5", 128_000, OF_5),
    row("claude-sonnet-5", "claude-sonnet-5", 128_000, OF_5),
    row("claude-opus-4-8", "claude-opus-4-8", 128_000, OF_5),
    row("claude-opus-4-7", "claude-opus-4-7", 128_000, &[Sampling, Prefill, ThinkingBudget, StructuredOutput, SystemMessage, PerTurnControl, CountTokens]),
    row("claude-opus-4-6", "claude-opus-4-6-v1", 128_000, &[Prefill, EffortXhigh, SystemMessage, PerTurnControl]),
    row("claude-sonnet-4-6", "claude-sonnet-4-6", 64_000, &[Prefill, EffortXhigh, SystemMessage, PerTurnControl]),
    row("claude-opus-4-5", "claude-opus-4-5-20251101-v1:0", 64_000, &[TemperatureWithTopP, ThinkingAdaptive, EffortXhigh, EffortMax, SystemMessage, PerTurnControl]),
    row("claude-sonnet-4-5", "claude-sonnet-4-5-20250929-v1:0", 64_000, &[TemperatureWithTopP, ThinkingAdaptive, Effort, SystemMessage, PerTurnControl]),
    row("claude-haiku-4-5", "claude-haiku-4-5-20251001-v1:0", 64_000, &[TemperatureWithTopP, ThinkingAdaptive, Effort, SystemMessage, PerTurnControl]),
];

const fn row(
    name: &'static str,
    id: &'static str,
    max_output_tokens: u32,
    refuses: &'static [Feature],
) -> Model {
    Model { name, id, max_output_tokens, refuses }
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
        let dated = self.id.strip_suffix("-v1:0").unwrap_or(self.id);
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
        let (_, id) = id.rsplit_once("anthropic.")?;
        Self::ALL.iter().find(|model| model.id == id)
    }

    /// Returns the id of the model's inference profile with the prefix of another profile, or with `global.`, which
    /// every model has.
    pub(crate) fn profile(&self, other_id: &str) -> String {
        let prefix = other_id.split_once('.').map_or("", |(prefix, _)| prefix);
        let is_there = match prefix {
            "us" | "eu" | "au" => true,
            "jp" => !self.name.contains("fable") && !self.name.contains("opus-4-"),
            _ => false,
        };
        let prefix = if is_there { prefix } else { "global" };
        format!("{prefix}.anthropic.{}", self.id)
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
