//! The beta features: which values of `anthropic_beta` Bedrock takes, and which fields need one.

use serde_json::{Map, Value};

use crate::error::AwsError;

/// The betas that Bedrock takes, without their dates.
///
/// Sources: third parties' measurements of 2026-09 and 2026-10; LiteLLM 1.110; `compact` and the
/// rest below it from AWS's documentation of the request body.
const TAKEN: &[&str] = &[
    "claude-code",
    "interleaved-thinking",
    "thinking-token-count",
    "context-management",
    "mid-conversation-system",
    "per-turn-control",
    "mid-conversation-tool-changes",
    "effort",
    "dangerous-tool-use",
    "afk-mode",
    "tool-search-tool",
    "thinking-binding-controls",
    "compact",
    "computer-use",
    "context-1m",
    "tool-examples",
];

/// Fields of the top level that are refused without their beta.
const NEED_BETA: &[(&str, &str)] = &[
    ("safeguards", "dangerous-tool-use"),
    ("context_management", "context-management"),
    ("compaction", "compact"),
];

/// Returns a beta's name without its date: `effort` for `effort-2025-11-24`.
fn stem(beta: &str) -> &str {
    beta.trim_end_matches(|character: char| character.is_ascii_digit() || character == '-')
}

/// Tells whether one of the betas has this name, whatever its date.
pub(crate) fn has(betas: &[String], name: &str) -> bool {
    betas.iter().any(|beta| stem(beta) == name)
}

/// Reads the array `anthropic_beta` of a body.
pub(super) fn of_body(body: &Map<String, Value>) -> Result<Vec<String>, AwsError> {
    let Some(value) = body.get("anthropic_beta") else { return Ok(Vec::new()) };
    let betas = value.as_array().and_then(|betas| {
        betas.iter().map(|beta| beta.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    });
    betas.ok_or_else(|| AwsError::validation("anthropic_beta: Input should be a valid list"))
}

/// Reads the header `anthropic-beta` of the native endpoint.
pub(super) fn of_header(value: Option<&str>) -> Vec<String> {
    let betas = value.unwrap_or_default().split(',').map(str::trim);
    betas.filter(|beta| !beta.is_empty()).map(str::to_owned).collect()
}

/// Checks the betas, and that each field has the beta that it needs.
pub(super) fn check(betas: &[String], body: &Map<String, Value>) -> Result<(), AwsError> {
    let unexpected: Vec<String> = betas
        .iter()
        .filter(|beta| !TAKEN.contains(&stem(beta)))
        .map(|beta| format!("`{beta}`"))
        .collect();
    if !unexpected.is_empty() {
        return Err(AwsError::validation(format!(
            "Unexpected value(s) {} for the `anthropic-beta` header. Please consult our \
             documentation at docs.claude.com or try again without the header.",
            unexpected.join(", ")
        )));
    }
    let without = NEED_BETA.iter().find(|(key, beta)| body.contains_key(*key) && !has(betas, beta));
    match without {
        Some((key, _)) => {
            Err(AwsError::validation(format!("{key}: Extra inputs are not permitted")))
        }
        None => Ok(()),
    }
}
