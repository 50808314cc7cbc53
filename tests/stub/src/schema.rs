//! An instance of a JSON schema, for structured output and for a tool that the caller forces.
//!
//! Out of scope: `$ref`, `pattern`, `not`, and bounds of numbers and lengths.

use serde_json::{Map, Value, json};

/// The depth at which an instance ends, since schemas can be deep.
const MAX_DEPTH: usize = 16;

/// Returns an instance of a schema, with all of its properties.
pub(crate) fn instance(schema: &Value) -> Value {
    at_depth(schema, 0)
}

fn at_depth(schema: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    let first = |key: &str| schema[key].as_array().and_then(|items| items.first());
    if let Some(value) = schema.get("const").or(first("enum")) {
        return value.clone();
    }
    if let Some(schema) = first("anyOf").or(first("oneOf")).or(first("allOf")) {
        return at_depth(schema, depth + 1);
    }
    let kind = schema["type"].as_str().or(first("type").and_then(Value::as_str));
    match kind.unwrap_or("object") {
        "string" => json!("text"),
        "integer" | "number" => json!(1),
        "boolean" => json!(true),
        "null" => Value::Null,
        "array" => json!([at_depth(&schema["items"], depth + 1)]),
        _ => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let properties = properties.map(|(name, it)| (name.clone(), at_depth(it, depth + 1)));
            Value::Object(properties.collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_every_property_of_its_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string" },
                "count": { "type": ["integer", "null"] },
                "kind": { "enum": ["a", "b"] },
                "list": { "type": "array", "items": { "anyOf": [{ "type": "boolean" }] } },
                "inner": { "type": "object", "properties": { "fixed": { "const": 7 } } },
            },
        });
        assert_eq!(
            instance(&schema),
            json!({ "name": "text", "count": 1, "kind": "a", "list": [true], "inner": { "fixed": 7 } })
        );
        assert_eq!(instance(&json!({})), json!({}));
    }
}
