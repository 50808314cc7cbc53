//! The checks of a valid request against what its model refuses.

use serde_json::Value;

use super::Model;
use super::Refusal::{
    AdaptiveThinking, BillingHeader, CacheTtl, ForcedToolChoice, ForcedToolChoiceWhileThinking,
    Prefill, Sampling, StructuredOutput, SystemMessage, TemperatureWithTopP, ThinkingBudget,
    ThinkingDisabled, ToolSearch, TurnConfig,
};
use crate::error::AwsError;
use crate::messages::Messages;

/// Checks that the model takes the parameters of a valid request.
///
/// # Errors
///
/// 400 `ValidationException`, for the first parameter that the model refuses.
pub fn check_parameters(model_id: &str, messages: &Messages) -> Result<(), AwsError> {
    let model = Model::find(model_id);
    match CHECKS.iter().find_map(|check| check(model, messages)) {
        Some(message) => Err(AwsError::validation(message)),
        None => Ok(()),
    }
}

/// The checks, each of which returns the message of its error.
const CHECKS: &[fn(&Model, &Messages) -> Option<String>] =
    &[sampling, conversation, thinking, edits, tools, output_config, caching, limits];

fn sampling(model: &Model, messages: &Messages) -> Option<String> {
    let has = |name: &str| messages.body.contains_key(name);
    let sent = ["temperature", "top_p", "top_k"].into_iter().find(|name| has(name))?;
    if model.refuses(Sampling) {
        return Some(format!("`{sent}` is deprecated for this model."));
    }
    if has("temperature") && has("top_p") && model.refuses(TemperatureWithTopP) {
        return Some(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only \
             one."
                .to_owned(),
        );
    }
    None
}

fn conversation(model: &Model, messages: &Messages) -> Option<String> {
    for (index, message) in messages.messages().enumerate() {
        if message["role"] == "system" && model.refuses(SystemMessage) {
            return Some(format!("messages.{index}.role: Input should be 'user' or 'assistant'"));
        }
        if message.get("output_config").is_some() && model.refuses(TurnConfig) {
            return Some(format!("messages.{index}.output_config: Extra inputs are not permitted"));
        }
    }
    if model.refuses(BillingHeader)
        && messages.system.as_deref().is_some_and(|it| it.contains("x-anthropic-billing-header:"))
    {
        return Some(
            "system: x-anthropic-billing-header is a reserved keyword and may not be used in the \
             system prompt."
                .to_owned(),
        );
    }
    let is_prefilled = messages.messages().last().is_some_and(|it| it["role"] == "assistant");
    (is_prefilled && model.refuses(Prefill)).then(|| {
        "This model does not support assistant message prefill. The conversation must end with a \
         user message."
            .to_owned()
    })
}

fn thinking(model: &Model, messages: &Messages) -> Option<String> {
    match messages.thinking_type()? {
        "enabled" if model.refuses(ThinkingBudget) => Some(
            "\"thinking.type.enabled\" is not supported for this model. Use \
             \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking behavior."
                .to_owned(),
        ),
        "disabled" if model.refuses(ThinkingDisabled) => {
            Some("\"thinking.type.disabled\" is not supported for this model.".to_owned())
        }
        "adaptive" if model.refuses(AdaptiveThinking) => {
            Some("adaptive thinking is not supported on this model".to_owned())
        }
        _ => None,
    }
}

/// Checks that an edit of thinking is for a model that thinks. Some do without being asked.
fn edits(model: &Model, messages: &Messages) -> Option<String> {
    let edits = messages.body.get("context_management")?["edits"].as_array()?;
    let thinks = match messages.thinking_type() {
        None => model.refuses(ThinkingDisabled),
        Some(kind) => kind != "disabled",
    };
    let clears = edits.iter().any(|edit| edit["type"] == "clear_thinking_20251015");
    (clears && !thinks).then(|| {
        "`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive"
            .to_owned()
    })
}

fn tools(model: &Model, messages: &Messages) -> Option<String> {
    for (index, tool) in messages.tools().enumerate() {
        if tool.get("strict").is_some() && model.refuses(StructuredOutput) {
            return Some(format!("tools.{index}.custom.strict: Extra inputs are not permitted"));
        }
        if tool.get("defer_loading").is_some() && model.refuses(ToolSearch) {
            return Some(format!(
                "tools.{index}.custom.defer_loading: Extra inputs are not permitted"
            ));
        }
    }
    if !matches!(messages.body.get("tool_choice")?["type"].as_str(), Some("any" | "tool")) {
        return None;
    }
    if model.refuses(ForcedToolChoice) {
        return Some(
            "tool_choice: forced tool use is not supported for this model. Use \"auto\" or \
             \"none\"."
                .to_owned(),
        );
    }
    let thinks = matches!(messages.thinking_type(), Some("enabled" | "adaptive"));
    (thinks && model.refuses(ForcedToolChoiceWhileThinking))
        .then(|| "Thinking may not be enabled when tool_choice forces tool use.".to_owned())
}

fn output_config(model: &Model, messages: &Messages) -> Option<String> {
    let of_turns = messages
        .messages()
        .enumerate()
        .filter_map(|(index, it)| Some((format!("messages.{index}."), it.get("output_config")?)));
    let of_request = messages.body.get("output_config").map(|it| (String::new(), it));
    for (path, config) in of_request.into_iter().chain(of_turns) {
        if config.get("format").is_some() && model.refuses(StructuredOutput) {
            return Some(format!("{path}output_config.format: Extra inputs are not permitted"));
        }
        let Some(effort) = config.get("effort").and_then(|it| it.as_str()) else { continue };
        if model.efforts.is_empty() {
            return Some("This model does not support the effort parameter.".to_owned());
        }
        if !model.efforts.contains(&effort) {
            let known: Vec<String> = model.efforts.iter().map(|it| format!("'{it}'")).collect();
            let known = known.join(", ");
            return Some(format!("{path}output_config.effort: Input should be one of {known}"));
        }
    }
    None
}

fn caching(model: &Model, messages: &Messages) -> Option<String> {
    if !model.refuses(CacheTtl) {
        return None;
    }
    let has_ttl = |control: &Value| control.get("ttl").is_some();
    let block = messages.blocks().find(|it| it.cache_control().is_some_and(has_ttl))?;
    Some(format!("{}.cache_control.ephemeral.ttl: Extra inputs are not permitted", block.path))
}

fn limits(model: &Model, messages: &Messages) -> Option<String> {
    (messages.max_tokens > model.max_tokens).then(|| {
        format!(
            "max_tokens: {} > {}, which is the maximum allowed number of output tokens for {}",
            messages.max_tokens, model.max_tokens, model.id
        )
    })
}
