//! Validation of bodies and model IDs, and the messages of the errors.

use bedrock_stub::messages::{Messages, check_model_id};
use serde_json::{Value, json};

fn valid_body() -> Value {
    json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 16,
        "messages": [{ "role": "user", "content": "Hello" }],
    })
}

/// Returns a valid body with some keys changed; `null` removes a key.
fn body_with(changes: &Value) -> Vec<u8> {
    let mut body = valid_body();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            body.as_object_mut().unwrap().remove(key);
        } else {
            body[key] = value.clone();
        }
    }
    body.to_string().into_bytes()
}

fn user(content: Value) -> Value {
    json!({ "messages": [{ "role": "user", "content": content }] })
}

#[test]
fn a_valid_body_is_parsed_to_its_last_user_text_and_its_system_prompt() {
    let conversation = json!([
        { "role": "user", "content": "One" },
        { "role": "user", "content": [{ "type": "text", "text": "Two, " }, { "type": "text", "text": "three" }] },
        { "role": "assistant", "content": "Four" },
    ]);
    let cases = [
        ("a minimal body", json!({}), "Hello", None),
        (
            "the last user message is the prompt",
            json!({ "messages": conversation }),
            "Two, three",
            None,
        ),
        ("a system prompt", json!({ "system": "Be brief." }), "Hello", Some("Be brief.")),
        (
            "a system prompt in blocks",
            json!({ "system": [{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral" } }] }),
            "Hello",
            Some("Be brief."),
        ),
        (
            "every number at its minimum",
            json!({ "max_tokens": 1, "temperature": 0, "top_p": 0 }),
            "Hello",
            None,
        ),
        (
            "every number at its maximum",
            json!({ "max_tokens": 64000, "temperature": 1.0, "top_p": 1 }),
            "Hello",
            None,
        ),
        (
            "other keys that are valid if they are empty",
            json!({ "tools": [], "thinking": { "type": "disabled" }, "anthropic_beta": [], "metadata": {}, "output_config": {}, "top_k": 5 }),
            "Hello",
            None,
        ),
    ];
    for (case, changes, prompt, system) in cases {
        let messages =
            Messages::parse(Some("application/json; charset=utf-8"), &body_with(&changes))
                .unwrap_or_else(|error| panic!("{case}: {}", error.message));
        assert_eq!(messages.prompt, prompt, "{case}");
        assert_eq!(messages.system.as_deref(), system, "{case}");
    }
}

#[test]
fn an_invalid_body_gets_a_validation_exception_that_names_the_problem() {
    let cases = [
        ("an unknown key", json!({ "stream": true }), "stream: Extra inputs are not permitted"),
        (
            "an unknown key in a message",
            json!({ "messages": [{ "role": "user", "content": "a", "name": "b" }] }),
            "messages.0.name: Extra inputs are not permitted",
        ),
        (
            "no version",
            json!({ "anthropic_version": null }),
            "Malformed input request: #: required key [anthropic_version] not found, please reformat your input and try again.",
        ),
        (
            "another version",
            json!({ "anthropic_version": "2023-01-01" }),
            "anthropic_version: Invalid API version",
        ),
        ("no max_tokens", json!({ "max_tokens": null }), "required key [max_tokens] not found"),
        (
            "max_tokens of 0",
            json!({ "max_tokens": 0 }),
            "#/max_tokens: 0 is not greater or equal to 1",
        ),
        (
            "max_tokens below 0",
            json!({ "max_tokens": -1 }),
            "#/max_tokens: -1 is not greater or equal to 1",
        ),
        (
            "max_tokens with a fraction",
            json!({ "max_tokens": 1.5 }),
            "#/max_tokens: expected type: Integer",
        ),
        (
            "max_tokens as text",
            json!({ "max_tokens": "16" }),
            "#/max_tokens: expected type: Integer",
        ),
        (
            "temperature above 1",
            json!({ "temperature": 1.1 }),
            "#/temperature: 1.1 is not less or equal to 1",
        ),
        (
            "temperature below 0",
            json!({ "temperature": -0.1 }),
            "#/temperature: -0.1 is not greater or equal to 0",
        ),
        (
            "temperature as text",
            json!({ "temperature": "1" }),
            "#/temperature: expected type: Number",
        ),
        ("no messages", json!({ "messages": null }), "required key [messages] not found"),
        (
            "an empty array of messages",
            json!({ "messages": [] }),
            "messages: at least one message is required",
        ),
        (
            "messages as text",
            json!({ "messages": "Hello" }),
            "#/messages: expected type: JSONArray",
        ),
        (
            "a message as text",
            json!({ "messages": ["Hello"] }),
            "#/messages/0: expected type: JSONObject",
        ),
        (
            "the assistant first",
            json!({ "messages": [{ "role": "assistant", "content": "Hello" }] }),
            "messages: first message must use the \"user\" role",
        ),
        (
            "another role",
            json!({ "messages": [{ "role": "tool", "content": "Hello" }] }),
            "messages.0.role: Input should be 'user' or 'assistant'",
        ),
        (
            "a message without content",
            json!({ "messages": [{ "role": "user" }] }),
            "messages.0.content: Field required",
        ),
        (
            "a message without a role",
            json!({ "messages": [{ "content": "Hello" }] }),
            "messages.0.role: Field required",
        ),
        (
            "content that is empty",
            user(json!("")),
            "messages.0: all messages must have non-empty content",
        ),
        (
            "content without blocks",
            user(json!([])),
            "messages.0: all messages must have non-empty content",
        ),
        (
            "blank content",
            user(json!(" \u{3000}\n")),
            "messages: text content blocks must contain non-whitespace text",
        ),
        (
            "an empty block",
            user(json!([{ "type": "text", "text": "" }])),
            "messages: text content blocks must be non-empty",
        ),
        (
            "a blank block beside another",
            user(json!([{ "type": "text", "text": "a" }, { "type": "text", "text": " " }])),
            "messages: text content blocks must contain non-whitespace text",
        ),
        (
            "an empty block of the system prompt",
            json!({ "system": [{ "type": "text", "text": "" }] }),
            "system: text content blocks must be non-empty",
        ),
        (
            "a block without text",
            user(json!([{ "type": "text" }])),
            "messages.0.content.0.text.text: Field required",
        ),
        (
            "a kind of block that does not exist",
            user(json!([{ "type": "sculpture" }])),
            "messages.0.content.0: Input tag 'sculpture' found using 'type' does not match any of the expected tags: 'text', 'image', 'document'",
        ),
        (
            "an unknown key in a block",
            user(json!([{ "type": "text", "text": "a", "id": 1 }])),
            "messages.0.content.0.text.id: Extra inputs are not permitted",
        ),
        (
            "content as a number",
            user(json!(1)),
            "messages.0.content: Input should be a valid string or a valid list",
        ),
        (
            "system as a number",
            json!({ "system": 1 }),
            "system: Input should be a valid string or a valid list",
        ),
        (
            "a blank stop sequence",
            json!({ "stop_sequences": [" "] }),
            "stop_sequences: each stop sequence must contain non-whitespace",
        ),
        (
            "a stop sequence as a number",
            json!({ "stop_sequences": ["a", 1] }),
            "#/stop_sequences/1: expected type: String",
        ),
    ];
    for (case, changes, message) in cases {
        let error =
            Messages::parse(Some("application/json"), &body_with(&changes)).expect_err(case);
        assert_eq!(error.name, "ValidationException", "{case}");
        assert_eq!(error.status, 400, "{case}");
        assert!(error.message.contains(message), "{case}: {}", error.message);
    }
}

#[test]
fn a_body_that_is_not_a_json_object_is_rejected() {
    let valid = body_with(&json!({}));
    let cases: [(&str, Option<&str>, &[u8], &str); 5] = [
        ("another content type", Some("text/plain"), &valid, "content type"),
        ("an empty body", Some("application/json"), b"", "Malformed input request"),
        ("an array", Some("application/json"), b"[]", "Malformed input request"),
        ("truncated JSON", Some("application/json"), &valid[..9], "Malformed input request"),
        ("not UTF-8", Some("application/json"), b"{\"a\":\"\xff\"}", "Malformed input request"),
    ];
    for (case, content_type, body, message) in cases {
        let error = Messages::parse(content_type, body).expect_err(case);
        assert_eq!(error.name, "ValidationException", "{case}");
        assert!(error.message.contains(message), "{case}: {}", error.message);
    }
}

#[test]
fn a_model_id_must_be_that_of_anthropic_or_an_arn() {
    let cases = [
        ("anthropic.claude-3-haiku-20240307-v1:0", true),
        ("apac.anthropic.claude-sonnet-4-20250514-v1:0", true),
        ("arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/abc123", true),
        ("", false),
        ("amazon.titan-text-express-v1", false),
        ("anthropic.claude v1", false),
        ("anthropic.claude\n", false),
        // Percent-encoded twice on the wire.
        ("apac.anthropic.claude-sonnet-4-20250514-v1%3A0", false),
    ];
    for (model_id, is_valid) in cases {
        assert_eq!(check_model_id(model_id).is_ok(), is_valid, "{model_id:?}");
    }
}
