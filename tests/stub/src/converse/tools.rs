//! `toolConfig`.

use serde_json::{Map, Value, json};

use super::content::cache_control;
use super::fields::{
    TOOL_NAME, array, as_object, check_keys, constraint, join, missing, name, object, union,
};
use super::request::Reader;
use crate::error::AwsError;
use crate::makers::Feature;

/// The longest name of a tool. The Messages API takes 128 characters.
const MAX_NAME: usize = 64;

/// Reads the tools into `messages`. Returns whether there are any.
pub(super) fn read(
    reader: &Reader,
    body: &Map<String, Value>,
    messages: &mut Map<String, Value>,
) -> Result<bool, AwsError> {
    let path = "toolConfig";
    let Some(config) = object(body, path, "")? else { return Ok(false) };
    check_keys(config, &["toolChoice", "tools"], path)?;
    let given = array(config, "tools", path)?.ok_or_else(|| missing("toolConfig.tools"))?;
    if given.is_empty() {
        let problem = "have length greater than or equal to 1";
        return Err(constraint("toolConfig.tools", "[]", problem));
    }
    // langchain-ai/langchain-aws #447, earendil-works/pi #3739.
    reader.need(Feature::Tools, "This model doesn't support tool use.")?;
    if reader.is_stream {
        let message = "This model doesn't support tool use in streaming mode.";
        reader.need(Feature::StreamedTools, message)?;
    }
    let mut tools: Vec<Value> = Vec::new();
    for (index, tool) in given.iter().enumerate() {
        let path = format!("{path}.tools.{}.member", index + 1);
        match union(tool, &["toolSpec", "systemTool", "cachePoint"], "Tool", &path)? {
            ("toolSpec", spec) => tools.push(tool_spec(spec, &join(&path, "toolSpec"))?),
            ("cachePoint", point) => {
                let control = cache_control(reader, point, &path)?;
                match tools.last_mut() {
                    Some(tool) => tool["cache_control"] = control,
                    None => return Err(cache_point_first(&path)),
                }
            }
            _ => {
                return Err(AwsError::validation(
                    "This model doesn't support the systemTool field. Remove systemTool and try \
                     again.",
                ));
            }
        }
    }
    let names = tools.iter().map(|tool| &tool["name"]).collect::<Vec<_>>();
    if names.iter().enumerate().any(|(index, name)| names[..index].contains(name)) {
        return Err(AwsError::validation("The tool names in toolConfig.tools must be unique."));
    }
    if let Some(choice) = config.get("toolChoice") {
        let choice = tool_choice(reader, choice, &names)?;
        messages.insert("tool_choice".to_owned(), choice);
    }
    messages.insert("tools".to_owned(), Value::Array(tools));
    Ok(true)
}

fn tool_spec(spec: &Value, path: &str) -> Result<Value, AwsError> {
    let spec = as_object(spec, path)?;
    check_keys(spec, &["description", "inputSchema", "name", "strict"], path)?;
    let mut tool = Map::new();
    tool.insert("name".to_owned(), json!(name(spec, "name", &TOOL_NAME, MAX_NAME, path)?));
    match spec.get("description").map(Value::as_str) {
        None => {}
        Some(Some("")) => {
            let path = join(path, "description");
            return Err(constraint(&path, "", "have length greater than or equal to 1"));
        }
        Some(description) => {
            tool.insert("description".to_owned(), json!(description));
        }
    }
    let path = join(path, "inputSchema");
    let schema = object(spec, "inputSchema", &path)?.ok_or_else(|| missing(&path))?;
    let schema = object(schema, "json", &path)?.ok_or_else(|| missing(&join(&path, "json")))?;
    if schema.get("type") != Some(&json!("object")) {
        return Err(AwsError::validation(format!(
            "The value at {path}.json.type must be one of the following: object."
        )));
    }
    tool.insert("input_schema".to_owned(), json!(schema));
    if let Some(strict) = spec.get("strict") {
        tool.insert("strict".to_owned(), strict.clone());
    }
    Ok(Value::Object(tool))
}

fn tool_choice(reader: &Reader, choice: &Value, names: &[&Value]) -> Result<Value, AwsError> {
    let path = "toolConfig.toolChoice";
    let (kind, value) = union(choice, &["auto", "any", "tool"], "ToolChoice", path)?;
    if kind != "auto" {
        // strands-agents/harness-sdk #1241.
        reader.need(
            Feature::ForcedTools,
            &format!(
                "This model doesn't support the toolConfig.toolChoice.{kind} field. Remove \
                 toolConfig.toolChoice.{kind} and try again."
            ),
        )?;
    }
    if kind != "tool" {
        return Ok(json!({ "type": kind }));
    }
    let path = join(path, "tool");
    let name = name(as_object(value, &path)?, "name", &TOOL_NAME, MAX_NAME, &path)?;
    if !names.iter().any(|known| *known == name) {
        return Err(AwsError::validation(format!(
            "The tool {name} in {path} is not in toolConfig.tools."
        )));
    }
    Ok(json!({ "type": "tool", "name": name }))
}

/// Creates the error for a cache point that has nothing before it.
pub(super) fn cache_point_first(path: &str) -> AwsError {
    AwsError::validation(format!(
        "A cachePoint block at {path} must follow the content that it caches."
    ))
}
