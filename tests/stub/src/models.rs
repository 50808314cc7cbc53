//! The request parameters that some of Claude's models refuse.
//!
//! Out of scope: every other difference between the models, such as `thinking`, `tool_choice` and
//! the effort.
//!
//! Source: bug reports that quote Bedrock's responses: cline #10572 and promptfoo #10307
//! (sampling), opencode #29760 (prefill).

use crate::error::AwsError;
use crate::messages::Messages;

/// Parts of the ids of the models that refuse `temperature`, `top_p` and `top_k`: Opus 4.7 and
/// later, and the generation 5. They refuse prefill too.
const WITHOUT_SAMPLING: &[&str] = &[
    "claude-fable-5",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-haiku-5",
    "claude-opus-4-7",
    "claude-opus-4-8",
];

/// Parts of the ids of the models that refuse prefill, but not sampling.
const WITHOUT_PREFILL: &[&str] = &["claude-opus-4-6", "claude-sonnet-4-6"];

/// The end of the ARN of an application inference profile that refuses sampling as the model
/// behind it does. Nothing else in the ARN names a model.
const PROFILE_WITHOUT_SAMPLING: &str = ":application-inference-profile/refuses-temperature";

/// Checks that the model takes the parameters of a valid request.
///
/// # Errors
///
/// 400 `ValidationException`, for the first parameter that the model refuses.
pub fn check_parameters(model_id: &str, messages: &Messages) -> Result<(), AwsError> {
    if let Some(name) = messages.sampling_parameter
        && refuses_sampling(model_id)
    {
        return Err(AwsError::validation(format!("`{name}` is deprecated for this model.")));
    }
    if messages.is_prefilled && refuses_prefill(model_id) {
        return Err(AwsError::validation(
            "This model does not support assistant message prefill. The conversation must end \
             with a user message.",
        ));
    }
    Ok(())
}

fn refuses_sampling(model_id: &str) -> bool {
    is_one_of(WITHOUT_SAMPLING, model_id) || model_id.ends_with(PROFILE_WITHOUT_SAMPLING)
}

fn refuses_prefill(model_id: &str) -> bool {
    is_one_of(WITHOUT_SAMPLING, model_id) || is_one_of(WITHOUT_PREFILL, model_id)
}

fn is_one_of(models: &[&str], model_id: &str) -> bool {
    models.iter().any(|part| model_id.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_id_tells_whether_sampling_and_prefill_are_refused() {
        const PROFILE: &str =
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/";
        let without_model = format!("{PROFILE}abc123");
        let without_sampling = format!("{PROFILE}refuses-temperature");
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
            (&without_model, false, false),
            (&without_sampling, true, false),
        ];
        for (model_id, sampling, prefill) in cases {
            assert_eq!(refuses_sampling(model_id), sampling, "{model_id}: sampling");
            assert_eq!(refuses_prefill(model_id), prefill, "{model_id}: prefill");
        }
    }
}
