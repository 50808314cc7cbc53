//! The models of other makers than Anthropic: which features of `Converse` each has. What a model
//! does not have is refused with 400.
//!
//! Sources: Amazon Bedrock User Guide, "Supported models and model features" and the model cards;
//! the messages from bug reports that quote them, named where they are used.

use crate::error::AwsError;

/// A feature of a model in `Converse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `ConverseStream` and `InvokeModelWithResponseStream`.
    Streaming,
    /// `system`.
    System,
    /// `document` blocks.
    Documents,
    /// `image` blocks.
    Images,
    /// `video` blocks.
    Video,
    /// `toolConfig`.
    Tools,
    /// `toolConfig` in `ConverseStream`.
    StreamedTools,
    /// `toolConfig.toolChoice.any` and `.tool`.
    ForcedTools,
    /// A tool's result and other content in one message.
    MixedToolResults,
    /// `inferenceConfig.stopSequences`.
    StopSequences,
    /// `cachePoint` blocks.
    Caching,
    /// `reasoningContent` in each reply, asked for or not.
    Reasoning,
    /// `reasoningContent` in a reply that `reasoningConfig` asks for.
    ReasoningOnRequest,
}

use Feature::{
    Caching, Documents, ForcedTools, Images, MixedToolResults, Reasoning, ReasoningOnRequest,
    StopSequences, StreamedTools, Streaming, System, Tools, Video,
};

/// The form of the bodies that `InvokeModel` has for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Amazon Nova's, which are close to those of `Converse`.
    Nova,
    /// Meta's: a prompt, and a generation.
    Llama,
    /// OpenAI's chat completions.
    Chat,
    /// Amazon Titan's embeddings of a text. Such a model has no conversations.
    Embedding,
}

/// A model, or a family of models that do not differ.
#[derive(Debug)]
pub struct OtherModel {
    /// The start of the model id, without the prefix of an inference profile.
    pub id: &'static str,
    /// The features that it has.
    pub features: &'static [Feature],
    /// The highest `maxTokens`.
    pub max_tokens: u64,
    /// The bodies of `InvokeModel`.
    pub body: Body,
    /// Whether it is called by an inference profile only.
    pub needs_profile: bool,
}

const NOVA: &[Feature] = &[
    Streaming,
    System,
    Documents,
    Images,
    Video,
    Tools,
    StreamedTools,
    ForcedTools,
    MixedToolResults,
    StopSequences,
    Caching,
];
const NOVA_2: &[Feature] = &[
    Streaming,
    System,
    Documents,
    Images,
    Video,
    Tools,
    StreamedTools,
    ForcedTools,
    MixedToolResults,
    StopSequences,
    Caching,
    ReasoningOnRequest,
];
const NOVA_MICRO: &[Feature] = &[
    Streaming,
    System,
    Tools,
    StreamedTools,
    ForcedTools,
    MixedToolResults,
    StopSequences,
    Caching,
];
const LLAMA_4: &[Feature] = &[Streaming, System, Documents, Images, Tools];
const LLAMA_3: &[Feature] = &[Streaming, System, Documents, Tools];
const MISTRAL_LARGE: &[Feature] =
    &[Streaming, System, Documents, Tools, ForcedTools, StopSequences];
const MISTRAL_LARGE_3: &[Feature] =
    &[Streaming, System, Documents, Images, Tools, StreamedTools, ForcedTools, StopSequences];
const MISTRAL_7B: &[Feature] = &[Streaming, Documents, StopSequences];
const DEEPSEEK_R1: &[Feature] = &[Streaming, System, Documents, StopSequences, Reasoning];
const DEEPSEEK_V3: &[Feature] =
    &[Streaming, System, Documents, Tools, StreamedTools, StopSequences];
const QWEN_3: &[Feature] = &[Streaming, System, Tools, StreamedTools, StopSequences];
const GPT_OSS: &[Feature] = &[Streaming, System, Tools, StreamedTools, Reasoning];

/// The first row whose id a model id begins with.
#[rustfmt::skip]
const MODELS: &[OtherModel] = &[
    row("amazon.nova-2-lite", NOVA_2, 65_535, Body::Nova),
    row("amazon.nova-micro", NOVA_MICRO, 10_000, Body::Nova),
    row("amazon.nova-", NOVA, 10_000, Body::Nova),
    row("amazon.titan-embed-text-v2", &[], 0, Body::Embedding),
    row("meta.llama4", LLAMA_4, 8_192, Body::Llama).behind_profile(),
    row("meta.llama3", LLAMA_3, 8_192, Body::Llama),
    row("mistral.mistral-large-3", MISTRAL_LARGE_3, 32_768, Body::Chat),
    row("mistral.mistral-large", MISTRAL_LARGE, 8_192, Body::Chat),
    row("mistral.mistral-7b", MISTRAL_7B, 8_192, Body::Chat),
    row("mistral.mixtral-8x7b", MISTRAL_7B, 4_096, Body::Chat),
    row("deepseek.r1", DEEPSEEK_R1, 32_768, Body::Chat).behind_profile(),
    row("deepseek.v3", DEEPSEEK_V3, 81_920, Body::Chat),
    row("qwen.qwen3", QWEN_3, 65_536, Body::Chat),
    row("openai.gpt-oss", GPT_OSS, 128_000, Body::Chat),
];

/// The prefixes of inference profiles.
const PROFILES: &[&str] =
    &["global.", "us.", "us-gov.", "eu.", "apac.", "au.", "jp.", "ca.", "sa."];

const fn row(
    id: &'static str,
    features: &'static [Feature],
    max_tokens: u64,
    body: Body,
) -> OtherModel {
    OtherModel { id, features, max_tokens, body, needs_profile: false }
}

impl OtherModel {
    const fn behind_profile(mut self) -> Self {
        self.needs_profile = true;
        self
    }

    /// Finds the model of an id, with or without the prefix of an inference profile, or in an ARN.
    pub fn find(model_id: &str) -> Option<&'static Self> {
        let base = without_profile(model_id);
        MODELS.iter().find(|model| base.starts_with(model.id))
    }

    /// Tells whether the model has a feature.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Checks that the id names an inference profile, if the model is called by profiles only.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException`.
    pub fn check_profile(&self, model_id: &str) -> Result<(), AwsError> {
        let resource = model_id.rsplit('/').next().unwrap_or_default();
        if self.needs_profile && resource == without_profile(model_id) {
            return Err(crate::models::on_demand_unsupported(model_id));
        }
        Ok(())
    }
}

fn without_profile(model_id: &str) -> &str {
    let resource = model_id.rsplit('/').next().unwrap_or_default();
    PROFILES.iter().find_map(|prefix| resource.strip_prefix(prefix)).unwrap_or(resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_of_another_maker_is_found_by_its_id_its_profiles_and_their_arns() {
        for (model_id, expected) in [
            ("amazon.nova-2-lite-v1:0", Some("amazon.nova-2-lite")),
            ("us.amazon.nova-2-lite-v1:0", Some("amazon.nova-2-lite")),
            ("us.amazon.nova-pro-v1:0", Some("amazon.nova-")),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.meta.llama4-scout-17b-instruct-v1:0",
                Some("meta.llama4"),
            ),
            ("openai.gpt-oss-120b-1:0", Some("openai.gpt-oss")),
            ("global.anthropic.claude-opus-5-5", None),
            ("acme.model-v1:0", None),
        ] {
            assert_eq!(OtherModel::find(model_id).map(|it| it.id), expected, "{model_id}");
        }
    }

    #[test]
    fn some_models_are_called_by_profiles_only() {
        for (model_id, is_allowed) in [
            ("amazon.nova-2-lite-v1:0", true),
            ("us.deepseek.r1-v1:0", true),
            ("deepseek.r1-v1:0", false),
            ("us.meta.llama4-scout-17b-instruct-v1:0", true),
            ("meta.llama4-scout-17b-instruct-v1:0", false),
        ] {
            let model = OtherModel::find(model_id).unwrap();
            assert_eq!(model.check_profile(model_id).is_ok(), is_allowed, "{model_id}");
        }
    }
}
