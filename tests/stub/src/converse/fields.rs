//! Members of an object, by type. Each error names the place of the member as Bedrock does.

use serde_json::{Map, Value};

use crate::error::AwsError;

type Result<T> = std::result::Result<T, AwsError>;

/// The pattern of the ids of tool calls (botocore's model of the service).
pub(super) const TOOL_USE_ID: Pattern = Pattern { text: "[a-zA-Z0-9_.:-]+", others: "_.:-" };
/// The pattern of the names of tools.
pub(super) const TOOL_NAME: Pattern = Pattern { text: "[a-zA-Z0-9_-]+", others: "_-" };
/// The pattern of the keys and values of `requestMetadata`.
pub(super) const METADATA: Pattern =
    Pattern { text: "[a-zA-Z0-9\\s:_@$#=/+,-.]{0,256}", others: " \t\n:_@$#=/+,-." };

/// A pattern of letters, digits, and other characters.
pub(super) struct Pattern {
    text: &'static str,
    others: &'static str,
}

/// Creates the error of a constraint of the API's model. `path` is as in `messages.1.member.role`.
pub(super) fn constraint(path: &str, value: &str, problem: &str) -> AwsError {
    AwsError::validation(format!(
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: \
         Member must {problem}"
    ))
}

/// Returns a member that is an object, if it is there.
pub(super) fn object<'a>(
    parent: &'a Map<String, Value>,
    key: &str,
    path: &str,
) -> Result<Option<&'a Map<String, Value>>> {
    match parent.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(unexpected_type(&join(path, key))),
    }
}

/// Returns a member that is an array, if it is there.
pub(super) fn array<'a>(
    parent: &'a Map<String, Value>,
    key: &str,
    path: &str,
) -> Result<Option<&'a [Value]>> {
    match parent.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(_) => Err(unexpected_type(&join(path, key))),
    }
}

/// Returns a member that is a text.
pub(super) fn text<'a>(parent: &'a Map<String, Value>, key: &str, path: &str) -> Result<&'a str> {
    match parent.get(key) {
        None | Some(Value::Null) => Err(missing(&join(path, key))),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(unexpected_type(&join(path, key))),
    }
}

/// Returns a member that is one of these texts.
pub(super) fn one_of<'a>(
    parent: &'a Map<String, Value>,
    key: &str,
    values: &[&str],
    path: &str,
) -> Result<&'a str> {
    let value = text(parent, key, path)?;
    if values.contains(&value) {
        return Ok(value);
    }
    let path = join(path, key);
    Err(constraint(&path, value, &format!("satisfy enum value set: [{}]", values.join(", "))))
}

/// Returns a member that is a text of 1 to `max` bytes and matches a pattern.
pub(super) fn name<'a>(
    parent: &'a Map<String, Value>,
    key: &str,
    pattern: &Pattern,
    max: usize,
    path: &str,
) -> Result<&'a str> {
    let value = text(parent, key, path)?;
    let path = join(path, key);
    if value.len() > max {
        let problem = format!("have length less than or equal to {max}");
        return Err(constraint(&path, value, &problem));
    }
    if value.is_empty() {
        return Err(constraint(&path, value, "have length greater than or equal to 1"));
    }
    check_pattern(value, pattern, &path)?;
    Ok(value)
}

/// Checks that a text matches a pattern.
pub(super) fn check_pattern(value: &str, pattern: &Pattern, path: &str) -> Result<()> {
    let is_known = |it: char| it.is_ascii_alphanumeric() || pattern.others.contains(it);
    if value.chars().all(is_known) {
        return Ok(());
    }
    let problem = format!("satisfy regular expression pattern: {}", pattern.text);
    Err(constraint(path, value, &problem))
}

/// Checks that an object has no other keys.
pub(super) fn check_keys(object: &Map<String, Value>, known: &[&str], path: &str) -> Result<()> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(AwsError::validation(format!(
            "{} is not a member of the API. Known: {}.",
            join(path, key),
            known.join(", ")
        ))),
        None => Ok(()),
    }
}

/// Returns the one key of a union, and its value as an object, which it is for all keys but `text`.
pub(super) fn union<'a>(
    value: &'a Value,
    known: &[&str],
    kind: &str,
    path: &str,
) -> Result<(&'a str, &'a Value)> {
    let Value::Object(object) = value else {
        return Err(AwsError::validation(format!(
            "The format of the value at {path} is invalid. Provide a json object for the field and \
             try again."
        )));
    };
    let mut members = object.iter().filter(|(_, value)| !value.is_null());
    match (members.next(), members.next()) {
        (Some((key, value)), None) if known.contains(&key.as_str()) => Ok((key, value)),
        _ => Err(AwsError::validation(format!(
            "The {kind} object at {path} must set one of the following keys: {}.",
            known.join(", ")
        ))),
    }
}

/// Returns a value that must be an object.
pub(super) fn as_object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| unexpected_type(path))
}

/// Creates the error for a member that is required.
pub(super) fn missing(path: &str) -> AwsError {
    AwsError::validation(format!(
        "1 validation error detected: Value null at '{path}' failed to satisfy constraint: Member \
         must not be null"
    ))
}

pub(super) fn unexpected_type(path: &str) -> AwsError {
    AwsError::validation(format!("Unexpected field type at {path}"))
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
