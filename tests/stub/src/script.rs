//! What a prompt makes Claude do. A directive is anywhere in the last user message:
//!
//! | directive | the reply |
//! | --- | --- |
//! | `[[tool NAME {"key":1}]]` | calls a tool of the request; without JSON, without arguments |
//! | `[[say TEXT]]` | this text |
//! | `[[think TEXT]]` | a thinking block with this text first |
//! | `[[redacted]]` | a `redacted_thinking` block first |
//! | `[[refuse]]` | no content, and `refusal` |
//!
//! Several tools are called in parallel. Other text in double brackets is not a directive.

use serde_json::{Map, Value};

use crate::error::AwsError;
use crate::messages::Messages;

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    pub(crate) input: Value,
}

/// The directives of a prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Script {
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) text: Option<String>,
    pub(crate) thinking: Option<String>,
    pub(crate) is_redacted: bool,
    pub(crate) is_refused: bool,
}

impl Script {
    /// Reads the directives of the last user message. One with tool results has none, so that a
    /// result cannot be taken for a directive.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException`, for a call of a tool that the request does not have, and for
    /// arguments that are not an object.
    pub(crate) fn from_messages(messages: &Messages) -> Result<Self, AwsError> {
        if messages.last_user_blocks().iter().any(|block| block["type"] == "tool_result") {
            return Ok(Self::default());
        }
        let script = Self::parse(&messages.prompt)?;
        let has = |name: &str| messages.tools().any(|tool| tool["name"] == name);
        if let Some(call) = script.calls.iter().find(|call| !has(&call.name)) {
            return Err(AwsError::validation(format!(
                "[[tool {}]]: expected the name of a tool of the request.",
                call.name
            )));
        }
        Ok(script)
    }

    fn parse(prompt: &str) -> Result<Self, AwsError> {
        let mut script = Self::default();
        let mut rest = prompt;
        while let Some((_, directive)) = rest.split_once("[[") {
            rest = directive;
            let end = directive.find(|c: char| c.is_whitespace() || c == ']');
            let (name, argument) = directive.split_at(end.unwrap_or(directive.len()));
            let text = || Some(text_argument(argument)?.to_owned());
            match name {
                "tool" => {
                    let (call, after) = tool_call(argument)?;
                    script.calls.push(call);
                    rest = after;
                }
                "say" => script.text = text(),
                "think" => script.thinking = text(),
                "redacted" => script.is_redacted = true,
                "refuse" => script.is_refused = true,
                _ => {}
            }
        }
        Ok(script)
    }
}

/// Returns the text before `]]`. A JSON value may have brackets of its own.
fn text_argument(argument: &str) -> Option<&str> {
    let argument = argument.trim_start();
    let mut values = serde_json::Deserializer::from_str(argument).into_iter::<Value>();
    let is_json = argument.starts_with(['{', '[']) && values.next().is_some_and(|it| it.is_ok());
    let start = if is_json { values.byte_offset() } else { 0 };
    let end = start + argument[start..].find("]]")?;
    Some(argument[..end].trim_end())
}

/// Parses ` NAME {…}]]`. Returns the text behind it too.
fn tool_call(argument: &str) -> Result<(ToolCall, &str), AwsError> {
    let argument = argument.trim_start();
    let end = argument.find(|c: char| c.is_whitespace() || c == ']').unwrap_or(argument.len());
    let (name, json) = argument.split_at(end);
    let error = || {
        AwsError::validation(format!(
            "[[tool {name}]]: expected a JSON object or nothing, and then ]]."
        ))
    };
    let (input, after) = if json.trim_start().starts_with("]]") {
        (Map::new(), json)
    } else {
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<Map<String, Value>>();
        let input = values.next().and_then(Result::ok).ok_or_else(error)?;
        let end = values.byte_offset();
        (input, &json[end..])
    };
    let after = after.trim_start().strip_prefix("]]").ok_or_else(error)?;
    Ok((ToolCall { name: name.to_owned(), input: Value::Object(input) }, after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_directive_is_found_anywhere_in_a_prompt() {
        let call = |name: &str, input: Value| ToolCall { name: name.to_owned(), input };
        let text = |text: &str| Some(text.to_owned());
        let cases: [(&str, Script); 8] = [
            ("hello [[wiki link]] [[]] [[", Script::default()),
            (
                "first [[tool Bash {\"command\":\"[[ -f a ]] && echo ']]'\"}]] then",
                Script {
                    calls: vec![call("Bash", json!({ "command": "[[ -f a ]] && echo ']]'" }))],
                    ..Script::default()
                },
            ),
            (
                "[[tool one {\"a\":[[1]]}]][[tool two]]",
                Script {
                    calls: vec![call("one", json!({ "a": [[1]] })), call("two", json!({}))],
                    ..Script::default()
                },
            ),
            ("[[say Hi there]]", Script { text: text("Hi there"), ..Script::default() }),
            ("[[say {\"a\":[[1]]}]]", Script { text: text("{\"a\":[[1]]}"), ..Script::default() }),
            ("[[say [[1]]]]", Script { text: text("[[1]]"), ..Script::default() }),
            (
                "[[think Two\nlines]] [[redacted]]",
                Script { thinking: text("Two\nlines"), is_redacted: true, ..Script::default() },
            ),
            ("[[refuse]]", Script { is_refused: true, ..Script::default() }),
        ];
        for (prompt, expected) in cases {
            assert_eq!(Script::parse(prompt).ok(), Some(expected), "{prompt}");
        }
        for prompt in ["[[tool Bash {]]", "[[tool Bash 1]]", "[[tool Bash {} and]]", "[[tool Bash"]
        {
            assert!(Script::parse(prompt).is_err(), "{prompt}");
        }
    }
}
