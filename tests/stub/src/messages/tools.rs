//! The tools of a request, and its `tool_choice`.

use serde_json::{Map, Value};

use super::content::{is_word, unexpected_tag};
use super::{betas, extra, required_in, wrong_type};
use crate::error::AwsError;

/// The keys of a tool of the caller.
///
/// `eager_input_streaming` (claude-code #33180) and every other key of Anthropic's API are refused.
/// `strict` depends on the model.
const CUSTOM_KEYS: &[&str] = &[
    "cache_control",
    "defer_loading",
    "description",
    "input_examples",
    "input_schema",
    "name",
    "strict",
    "type",
];

/// The tools of Anthropic that Bedrock takes, without their dates (AWS's documentation). It runs no
/// tool by itself: web search, web fetch, code execution, advisor and MCP are refused.
const KNOWN_TYPES: &[&str] = &[
    "bash",
    "computer",
    "custom",
    "memory",
    "text_editor",
    "tool_search_tool_bm25",
    "tool_search_tool_regex",
];

/// The longest name of a tool.
const MAX_NAME: usize = 128;

/// Validates `tools` and `tool_choice`.
pub(super) fn check(body: &Map<String, Value>, given: &[String]) -> Result<(), AwsError> {
    let tools = match body.get("tools") {
        None => &[],
        Some(Value::Array(tools)) => tools.as_slice(),
        Some(_) => return Err(wrong_type("tools", "JSONArray")),
    };
    for (index, tool) in tools.iter().enumerate() {
        check_tool(tool, &format!("tools.{index}"), given)?;
    }
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    if names.iter().enumerate().any(|(index, name)| names[..index].contains(name)) {
        return Err(AwsError::validation("tools: Tool names must be unique."));
    }
    if !tools.is_empty() && tools.iter().all(|tool| tool["defer_loading"] == true) {
        return Err(AwsError::validation(
            "At least one tool must have defer_loading=false. All tools cannot be deferred.",
        ));
    }
    body.get("tool_choice").map_or(Ok(()), |choice| check_choice(choice, &names))
}

fn check_tool(tool: &Value, path: &str, given: &[String]) -> Result<(), AwsError> {
    let Value::Object(tool) = tool else {
        return Err(wrong_type(&path.replace('.', "/"), "JSONObject"));
    };
    let tag = tool.get("type").map_or("custom", |tag| tag.as_str().unwrap_or_default());
    let stem = tag.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
    if !KNOWN_TYPES.contains(&stem) {
        return Err(unexpected_tag(path, tag, KNOWN_TYPES.iter().copied()));
    }
    let path = format!("{path}.{stem}");
    if tool.contains_key("defer_loading") && !betas::has(given, "tool-search-tool") {
        return Err(extra(&format!("{path}.defer_loading")));
    }
    if stem != "custom" {
        return required_in(tool, "name", &path).map(|_| ());
    }
    if let Some(key) = tool.keys().find(|key| !CUSTOM_KEYS.contains(&key.as_str())) {
        return Err(extra(&format!("{path}.{key}")));
    }
    let name = required_in(tool, "name", &path)?.as_str().unwrap_or_default();
    if !is_word(name) || name.len() > MAX_NAME {
        return Err(AwsError::validation(format!(
            "{path}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        )));
    }
    match required_in(tool, "input_schema", &path)?.get("type").map(Value::as_str) {
        Some(Some("object")) => Ok(()),
        Some(_) => {
            Err(AwsError::validation(format!("{path}.input_schema.type: Input should be 'object'")))
        }
        None => Err(AwsError::validation(format!("{path}.input_schema.type: Field required"))),
    }
}

fn check_choice(choice: &Value, names: &[&str]) -> Result<(), AwsError> {
    let Some(kind) = choice.get("type") else {
        return Err(AwsError::validation("tool_choice.type: Field required"));
    };
    let kind = kind.as_str().unwrap_or_default();
    let expected = ["auto", "any", "none", "tool"];
    if !expected.contains(&kind) {
        return Err(unexpected_tag("tool_choice", kind, expected.into_iter()));
    }
    if names.is_empty() {
        return Err(AwsError::validation(
            "tool_choice: may only be specified while providing tools.",
        ));
    }
    let keys: &[&str] = match kind {
        "none" => &["type"],
        "tool" => &["type", "disable_parallel_tool_use", "name"],
        _ => &["type", "disable_parallel_tool_use"],
    };
    let Some(choice) = choice.as_object() else { return Ok(()) };
    if let Some(key) = choice.keys().find(|key| !keys.contains(&key.as_str())) {
        return Err(extra(&format!("tool_choice.{kind}.{key}")));
    }
    if kind != "tool" {
        return Ok(());
    }
    let name = required_in(choice, "name", "tool_choice.tool")?.as_str().unwrap_or_default();
    if names.contains(&name) {
        return Ok(());
    }
    Err(AwsError::validation(format!("Tool '{name}' not found in provided tools")))
}
