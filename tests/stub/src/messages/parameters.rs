//! The other parameters of a request: thinking, output, context management, metadata.
//!
//! Source: Anthropic's documentation of each. What depends on the model is in [`crate::models`].

use serde_json::{Map, Value};

use super::content::unexpected_tag;
use super::{betas, extra, malformed, wrong_type};
use crate::error::AwsError;

/// The fewest tokens of a thinking budget.
const MIN_BUDGET: u64 = 1024;

/// The edits of `context_management`. LiteLLM reports `clear_thinking_20251015` as refused, a
/// measurement of 2026-09 as taken with its beta; Claude Code sends it in every request.
const EDITS: &[&str] = &["clear_thinking_20251015", "clear_tool_uses_20250919"];

/// The characters of `metadata.user_id` at the native endpoint, beside letters, digits and white
/// space (agentgateway #1739).
const USER_ID_CHARACTERS: &str = ":_@$#=/+,-.";

/// The longest `metadata.user_id`.
const MAX_USER_ID: usize = 256;

/// Validates the parameters.
pub(super) fn check(
    body: &Map<String, Value>,
    given: &[String],
    max_tokens: u64,
    is_native: bool,
) -> Result<(), AwsError> {
    check_unit_interval(body, "temperature")?;
    check_unit_interval(body, "top_p")?;
    check_thinking(body, given, max_tokens)?;
    if let Some(config) = body.get("output_config") {
        check_keys(config, &["effort", "format", "task_budget"], "output_config")?;
    }
    check_context_management(body)?;
    check_metadata(body, is_native)
}

fn check_unit_interval(body: &Map<String, Value>, key: &str) -> Result<(), AwsError> {
    let Some(value) = body.get(key) else { return Ok(()) };
    match value.as_f64() {
        Some(number) if number < 0.0 => {
            Err(malformed(&format!("#/{key}: {value} is not greater or equal to 0")))
        }
        Some(number) if number > 1.0 => {
            Err(malformed(&format!("#/{key}: {value} is not less or equal to 1")))
        }
        Some(_) => Ok(()),
        None => Err(wrong_type(key, "Number")),
    }
}

fn check_thinking(
    body: &Map<String, Value>,
    given: &[String],
    max_tokens: u64,
) -> Result<(), AwsError> {
    let Some(thinking) = body.get("thinking") else { return Ok(()) };
    let Some(kind) = thinking.get("type").and_then(Value::as_str) else {
        return Err(AwsError::validation("thinking.type: Field required"));
    };
    let keys: &[&str] = match kind {
        "disabled" => &["type"],
        "adaptive" => &["type", "block_binding", "display"],
        "enabled" => &["type", "block_binding", "budget_tokens", "display"],
        _ => {
            let expected = ["adaptive", "disabled", "enabled"];
            return Err(unexpected_tag("thinking", kind, expected.into_iter()));
        }
    };
    let path = format!("thinking.{kind}");
    check_keys(thinking, keys, &path)?;
    if thinking.get("block_binding").is_some() && !betas::has(given, "thinking-binding-controls") {
        return Err(extra(&format!("{path}.block_binding")));
    }
    match thinking.get("display").map(Value::as_str) {
        None | Some(Some("summarized" | "omitted")) => {}
        // `updates` needs a beta that Bedrock does not have yet.
        Some(_) => {
            return Err(AwsError::validation(format!(
                "{path}.display: Input should be 'summarized' or 'omitted'"
            )));
        }
    }
    if kind == "enabled" {
        let Some(budget) = thinking.get("budget_tokens").and_then(Value::as_u64) else {
            return Err(AwsError::validation(format!("{path}.budget_tokens: Field required")));
        };
        if budget < MIN_BUDGET {
            return Err(AwsError::validation(format!(
                "{path}.budget_tokens: Input should be greater than or equal to {MIN_BUDGET}"
            )));
        }
        if budget >= max_tokens {
            return Err(AwsError::validation(
                "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our \
                 documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking",
            ));
        }
    }
    if kind != "disabled" && body.get("temperature").is_some_and(|it| it.as_f64() != Some(1.0)) {
        return Err(AwsError::validation(
            "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.",
        ));
    }
    Ok(())
}

fn check_context_management(body: &Map<String, Value>) -> Result<(), AwsError> {
    let Some(management) = body.get("context_management") else { return Ok(()) };
    check_keys(management, &["edits"], "context_management")?;
    for (index, edit) in management["edits"].as_array().into_iter().flatten().enumerate() {
        let kind = edit.get("type").and_then(Value::as_str).unwrap_or_default();
        if !EDITS.contains(&kind) {
            let path = format!("context_management.edits.{index}");
            return Err(unexpected_tag(&path, kind, EDITS.iter().copied()));
        }
    }
    Ok(())
}

fn check_metadata(body: &Map<String, Value>, is_native: bool) -> Result<(), AwsError> {
    let Some(metadata) = body.get("metadata") else { return Ok(()) };
    check_keys(metadata, &["user_id"], "metadata")?;
    let user_id = metadata.get("user_id").and_then(Value::as_str).unwrap_or_default();
    if user_id.chars().count() > MAX_USER_ID {
        return Err(AwsError::validation(format!(
            "metadata.user_id: String should have at most {MAX_USER_ID} characters"
        )));
    }
    let is_known = |character: char| {
        character.is_ascii_alphanumeric()
            || character.is_whitespace()
            || USER_ID_CHARACTERS.contains(character)
    };
    if is_native && !user_id.chars().all(is_known) {
        return Err(AwsError::validation(
            "metadata.user_id: String should match pattern '^[a-zA-Z0-9\\s:_@$#=/+,-.]{0,256}$'",
        ));
    }
    Ok(())
}

fn check_keys(value: &Value, known: &[&str], path: &str) -> Result<(), AwsError> {
    let Value::Object(object) = value else {
        return Err(AwsError::validation(format!("{path}: Input should be an object")));
    };
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(extra(&format!("{path}.{key}"))),
        None => Ok(()),
    }
}
