use serde_json::{Value, json};

use super::*;
use crate::claude::Model;
use crate::error::Code;

/// Converts a body for a model of the table, or an unknown one.
fn convert(model: &str, body: &Value) -> Result<Converted, crate::Error> {
    convert_text(model, &body.to_string())
}

fn convert_text(model: &str, body: &str) -> Result<Converted, crate::Error> {
    let target = Target {
        model: Model::by_name(model),
        guardrail: None,
        service_tier: None,
        has_refused: &|_| false,
    };
    from_claude(body, &target)
}

fn converted(model: &str, body: &Value) -> (Value, Vec<String>) {
    let Converted { json, removed, .. } = convert(model, body).unwrap();
    (serde_json::from_str(&json).unwrap_or_else(|_| panic!("{json}")), removed)
}

/// Makes a body with messages.
fn with_messages(messages: Value) -> Value {
    json!({ "anthropic_version": "bedrock-2023-05-31", "messages": messages, "max_tokens": 100 })
}

/// Makes a body with members beside one message.
fn with(members: Value) -> Value {
    let mut body = with_messages(json!([{ "role": "user", "content": "Hi" }]));
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn tool(name: &str) -> Value {
    json!({ "name": name, "description": "d", "input_schema": { "type": "object", "properties": { "a": {} } } })
}

fn tool_spec(name: &str) -> Value {
    json!({ "toolSpec": { "name": name, "description": "d", "inputSchema": { "json": { "type": "object", "properties": { "a": {} } } } } })
}

/// The content of a user's message, that for Converse, and what is told, for Nova 2.
#[test]
fn content_blocks_have_their_counterparts() {
    let user = |content: Value, expected: Value, told: &[&str]| {
        let body = with_messages(json!([{ "role": "user", "content": content }]));
        let (json, removed) = converted("nova-2-lite", &body);
        assert_eq!(json["messages"], json!([{ "role": "user", "content": expected }]), "{content}");
        assert_eq!(removed, told, "{content}");
    };
    user(json!("Hi \"there\"\n"), json!([{ "text": "Hi \"there\"\n" }]), &[]);
    user(
        json!([{ "type": "text", "text": "a" }, { "type": "text", "text": " " }]),
        json!([{ "text": "a" }]),
        &["messages.0.content.1"],
    );
    for (media_type, format) in
        [("image/png", "png"), ("image/jpeg", "jpeg"), ("image/gif", "gif"), ("image/webp", "webp")]
    {
        let source = json!({ "type": "base64", "media_type": media_type, "data": "aWJt" });
        user(
            json!([{ "type": "image", "source": source }]),
            json!([{ "image": { "format": format, "source": { "bytes": "aWJt" } } }]),
            &[],
        );
    }
    let pdf = json!({ "type": "base64", "media_type": "application/pdf", "data": "JVBERg==" });
    let document = |format: &str, name: &str, bytes: &str| json!({ "document": { "format": format, "name": name, "source": { "bytes": bytes } } });
    user(
        json!([
            { "type": "text", "text": "Read." },
            { "type": "document", "source": pdf, "title": "plan/2026 (b).pdf", "context": "old" },
            { "type": "document", "source": pdf, "title": "計画" },
            { "type": "document", "source": pdf },
            { "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "hé" } },
            { "type": "document", "source": { "type": "content", "content": "a" } },
            { "type": "document", "source": { "type": "content", "content": [{ "type": "text", "text": "b" }] } },
        ]),
        json!([
            { "text": "Read." },
            { "text": "old" },
            document("pdf", "plan 2026 (b) pdf", "JVBERg=="),
            document("pdf", "Document", "JVBERg=="),
            document("pdf", "Document (2)", "JVBERg=="),
            document("txt", "Document (3)", "aMOp"),
            document("txt", "Document (4)", "YQo="),
            document("txt", "Document (5)", "Ygo="),
        ]),
        &[],
    );
    user(
        json!([
            { "type": "text", "text": "a", "cache_control": { "type": "ephemeral" } },
            { "type": "text", "text": "b", "cache_control": { "type": "ephemeral", "ttl": "1h" } },
        ]),
        json!([
            { "text": "a" },
            { "cachePoint": { "type": "default" } },
            { "text": "b" },
            { "cachePoint": { "type": "default" } },
        ]),
        &["messages.0.content.1.cache_control.ttl"],
    );
}

#[test]
fn a_media_type_with_an_escaped_slash_is_read() {
    let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "a/b=" } });
    let pdf = json!({ "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "a/b=" } });
    let body = with_messages(
        json!([{ "role": "user", "content": [image, pdf, { "type": "text", "text": "a" }] }]),
    );
    let (expected, _) = converted("nova-2-lite", &body);
    let escaped = body.to_string().replace('/', r"\/");
    let Converted { json, .. } = convert_text("nova-2-lite", &escaped).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), expected);
}

/// A conversation with tools and thinking, for each kind of model.
#[test]
fn tool_calls_and_thinking_of_earlier_turns_are_written_as_the_model_takes_them() {
    let messages = json!([
        { "role": "user", "content": "Weather?" },
        { "role": "assistant", "content": [
            { "type": "thinking", "thinking": "hm", "signature": "" },
            { "type": "redacted_thinking", "data": "eA==" },
            { "type": "thinking", "thinking": "of Claude", "signature": "c2ln" },
            { "type": "text", "text": "Let me see." },
            { "type": "tool_use", "id": "t 1", "name": "get.weather", "input": {} },
            { "type": "tool_use", "id": "t2", "name": "b", "input": { "city": "東京" } },
        ] },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "t 1", "content": "sunny" },
            { "type": "tool_result", "tool_use_id": "t2", "is_error": true },
            { "type": "text", "text": "And?" },
        ] },
    ]);
    let mut body = with_messages(messages);
    body["tools"] = json!([tool("get.weather"), tool("b")]);
    let convert = |model: &str| {
        let (json, removed) = converted(model, &body);
        let id = json["messages"][2]["content"][0]["toolResult"]["toolUseId"].clone();
        let name = json["toolConfig"]["tools"][0]["toolSpec"]["name"].clone();
        let call = &json["messages"][1]["content"].as_array().unwrap().iter().rev().nth(1).unwrap()
            ["toolUse"];
        assert_eq!((&call["toolUseId"], &call["name"]), (&id, &name), "{model}");
        assert!(name.as_str().unwrap().starts_with("t_get_weather_"), "{name}");
        (json["messages"].clone(), id, name, removed)
    };
    let calls = |id: &Value, name: &Value| {
        [
            json!({ "toolUse": { "toolUseId": id, "name": name, "input": {} } }),
            json!({ "toolUse": { "toolUseId": "t2", "name": "b", "input": { "city": "東京" } } }),
        ]
    };
    let thinking = json!({ "reasoningContent": { "reasoningText": { "text": "hm" } } });
    let claudes = ["messages.1.content.1", "messages.1.content.2"];

    let (messages, id, name, removed) = convert("nova-2-lite");
    let [first, second] = calls(&id, &name);
    assert_eq!(messages[1]["content"], json!([thinking, { "text": "Let me see." }, first, second]));
    assert_eq!(
        messages[2]["content"],
        json!([
            { "toolResult": { "toolUseId": id, "content": [{ "text": "sunny" }] } },
            { "toolResult": { "toolUseId": "t2", "content": [{ "json": {} }], "status": "error" } },
            { "text": "And?" },
        ])
    );
    assert_eq!(removed, claudes);

    let (messages, id, name, removed) = convert("llama-4-scout-17b");
    let [first, second] = calls(&id, &name);
    assert_eq!(messages[1]["content"], json!([first, second]));
    assert_eq!(
        messages[2]["content"],
        json!([
            { "toolResult": { "toolUseId": id, "content": [{ "text": "sunny" }] } },
            { "toolResult": { "toolUseId": "t2", "content": [{ "text": "And?" }] } },
        ])
    );
    let of_llama =
        ["messages.1.content.3", "messages.2.content.1.is_error", "messages.2.content.2"];
    assert_eq!(removed, [&["messages.1.content.0"], &claudes[..], &of_llama].concat());

    let (messages, .., removed) = convert("gpt-oss-120b");
    assert_eq!(messages[1]["content"][0], thinking);
    let of_gpt = ["messages.2.content.1.is_error", "messages.2.content.2"];
    assert_eq!(removed, [&claudes[..], &of_gpt].concat());
    let (messages, .., removed) = convert("unknown");
    assert_eq!(messages[1]["content"][0], json!({ "text": "Let me see." }));
    assert_eq!(removed[0], "messages.1.content.0");
}

#[test]
fn messages_of_one_role_become_one_turn() {
    let body = with_messages(json!([
        { "role": "user", "content": "a" },
        { "role": "system", "content": "b", "output_config": { "effort": "low" } },
        { "role": "assistant", "content": [{ "type": "redacted_thinking", "data": "eA==" }] },
        { "role": "user", "content": [{ "type": "text", "text": "c" }] },
        { "role": "assistant", "content": "d" },
    ]));
    let (json, removed) = converted("nova-pro", &body);
    assert_eq!(
        json["messages"],
        json!([
            { "role": "user", "content": [{ "text": "a" }, { "text": "b" }, { "text": "c" }] },
            { "role": "assistant", "content": [{ "text": "d" }] },
        ])
    );
    let told = ["messages.1.role", "messages.1.output_config", "messages.2.content.0"];
    assert_eq!(removed, told);
}

/// The model, members of a body, those of Converse beside `messages`, and what is told.
#[test]
fn options_have_their_counterparts() {
    let cases = [
        ("nova-2-lite", json!({}), json!({}), &[][..]),
        (
            "nova-2-lite",
            json!({ "temperature": 0.2, "top_p": 0.9, "top_k": 5, "stop_sequences": ["x"], "max_tokens": 7, "system": null }),
            json!({
                "inferenceConfig": { "maxTokens": 7, "temperature": 0.2, "topP": 0.9, "stopSequences": ["x"] },
                "additionalModelRequestFields": { "inferenceConfig": { "topK": 5 } },
            }),
            &[],
        ),
        ("qwen3-32b", json!({ "top_k": 5 }), json!({}), &["top_k"]),
        ("nova-2-lite", json!({ "system": "s" }), json!({ "system": [{ "text": "s" }] }), &[]),
        ("nova-2-lite", json!({ "system": " " }), json!({}), &["system"]),
        (
            "nova-2-lite",
            json!({ "system": [{ "type": "text", "text": "s", "cache_control": { "type": "ephemeral" } }] }),
            json!({ "system": [{ "text": "s" }, { "cachePoint": { "type": "default" } }] }),
            &[],
        ),
        (
            "qwen3-32b",
            json!({ "system": [{ "type": "text", "text": "s", "cache_control": { "type": "ephemeral" } }] }),
            json!({ "system": [{ "text": "s" }] }),
            &["system.0.cache_control"],
        ),
        ("unknown", json!({ "metadata": {}, "new": 1 }), json!({}), &["metadata", "new"]),
        // Thinking.
        (
            "nova-2-lite",
            json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } }),
            json!({ "additionalModelRequestFields": { "reasoningConfig": { "type": "enabled", "maxReasoningEffort": "low" } } }),
            &[],
        ),
        (
            "nova-2-lite",
            json!({ "thinking": { "type": "adaptive" }, "output_config": { "effort": "max" } }),
            json!({ "additionalModelRequestFields": { "reasoningConfig": { "type": "enabled", "maxReasoningEffort": "medium" } } }),
            &[],
        ),
        ("nova-2-lite", json!({ "thinking": { "type": "disabled" } }), json!({}), &[]),
        (
            "nova-2-lite",
            json!({ "output_config": { "effort": "low" } }),
            json!({}),
            &["output_config.effort"],
        ),
        (
            "nova-pro",
            json!({ "thinking": { "type": "adaptive" }, "output_config": { "effort": "low" } }),
            json!({}),
            &["thinking", "output_config.effort"],
        ),
        (
            "gpt-oss-20b",
            json!({ "output_config": { "effort": "xhigh" } }),
            json!({ "additionalModelRequestFields": { "reasoning_effort": "high" } }),
            &[],
        ),
        (
            "gpt-oss-20b",
            json!({ "thinking": { "type": "enabled", "budget_tokens": 5000 } }),
            json!({ "additionalModelRequestFields": { "reasoning_effort": "medium" } }),
            &[],
        ),
        (
            "deepseek-v3.2",
            json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } }),
            json!({ "additionalModelRequestFields": { "reasoning_effort": "high" } }),
            &[],
        ),
        ("unknown", json!({ "thinking": { "type": "adaptive" } }), json!({}), &["thinking"]),
        // The form of the reply.
        (
            "qwen3-32b",
            json!({ "output_config": { "format": { "type": "json_schema", "schema": { "type": "object" } } } }),
            json!({ "outputConfig": { "textFormat": { "type": "json_schema", "structure": { "jsonSchema": { "schema": "{\"type\":\"object\"}" } } } } }),
            &[],
        ),
        // Tools.
        ("deepseek-r1", json!({ "tools": [] }), json!({}), &[]),
        (
            "qwen3-32b",
            json!({ "tools": [tool("a")] }),
            json!({ "toolConfig": { "tools": [tool_spec("a")] } }),
            &[],
        ),
        (
            "qwen3-32b",
            json!({ "tools": [{ "type": "custom", "name": "a", "description": " ", "strict": true, "defer_loading": false, "input_schema": { "$schema": "x", "type": "object" } }] }),
            json!({ "toolConfig": { "tools": [{ "toolSpec": { "name": "a", "inputSchema": { "json": { "$schema": "x", "type": "object" } } } }] } }),
            &["tools.0.strict"],
        ),
        (
            "nova-lite",
            json!({ "tools": [{ "name": "a", "cache_control": { "type": "ephemeral" }, "input_schema": { "$schema": "x", "type": "object", "required": [], "additionalProperties": false } }] }),
            json!({ "toolConfig": { "tools": [{ "toolSpec": { "name": "a", "inputSchema": { "json": { "type": "object", "required": [] } } } }] } }),
            &[
                "tools.0.input_schema.$schema",
                "tools.0.input_schema.additionalProperties",
                "tools.0.cache_control",
            ],
        ),
        (
            "qwen3-32b",
            json!({ "tools": [tool("a")], "tool_choice": { "type": "auto", "disable_parallel_tool_use": true } }),
            json!({ "toolConfig": { "tools": [tool_spec("a")] } }),
            &["tool_choice.disable_parallel_tool_use"],
        ),
        (
            "qwen3-32b",
            json!({ "tools": [tool("a")], "tool_choice": { "type": "any" } }),
            json!({ "toolConfig": { "tools": [tool_spec("a")], "toolChoice": { "any": {} } } }),
            &[],
        ),
        (
            "qwen3-32b",
            json!({ "tools": [tool("a")], "tool_choice": { "type": "tool", "name": "a" } }),
            json!({ "toolConfig": { "tools": [tool_spec("a")], "toolChoice": { "tool": { "name": "a" } } } }),
            &[],
        ),
        (
            "qwen3-32b",
            json!({ "tools": [tool("a")], "tool_choice": { "type": "none" } }),
            json!({}),
            &[],
        ),
    ];
    for (model, members, expected, told) in cases {
        let (mut json, removed) = converted(model, &with(members.clone()));
        let messages = json.as_object_mut().unwrap().remove("messages").unwrap();
        assert_eq!(messages, json!([{ "role": "user", "content": [{ "text": "Hi" }] }]));
        let mut all = json!({ "inferenceConfig": { "maxTokens": 100 } });
        all.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
        assert_eq!(
            (json, &removed[..]),
            (all, told.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>().as_slice()),
            "{model} {members}"
        );
    }
}

#[test]
fn the_operators_guardrail_and_the_service_tier_are_in_the_body() {
    let target = Target {
        model: None,
        guardrail: Some(("a1b2", "DRAFT")),
        service_tier: Some("flex"),
        has_refused: &|_| false,
    };
    let Converted { json, .. } = from_claude(&with(json!({})).to_string(), &target).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    let guardrail = json!({ "guardrailIdentifier": "a1b2", "guardrailVersion": "DRAFT" });
    assert_eq!(json["guardrailConfig"], guardrail);
    assert_eq!(json["serviceTier"], json!({ "type": "flex" }));
}

#[test]
fn breakpoints_of_the_cache_are_left_out_when_the_model_has_refused_them() {
    let body = with(json!({ "system": [{ "type": "text", "text": "s", "cache_control": {} }] }));
    let target = Target {
        model: Model::by_name("nova-pro"),
        guardrail: None,
        service_tier: None,
        has_refused: &|part| part == CACHE_CONTROL,
    };
    let Converted { json, removed, .. } = from_claude(&body.to_string(), &target).unwrap();
    assert!(!json.contains("cachePoint"), "{json}");
    assert_eq!(removed, ["system.0.cache_control"]);
}

/// The model, the body, and the beginning of the message.
#[test]
fn what_a_model_or_converse_does_not_take_is_a_400_with_the_place() {
    let one = |block: Value| {
        with_messages(
            json!([{ "role": "user", "content": [{ "type": "text", "text": "a" }, block] }]),
        )
    };
    let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "eA==" } });
    let pdf = json!({ "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "eA==" } });
    let results = json!([
        { "role": "user", "content": "a" },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "a", "input": {} }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t", "content": [image] }] },
    ]);
    let mut of_tools = with_messages(results.clone());
    of_tools["tools"] = json!([tool("a")]);
    let mut none = of_tools.clone();
    none["tool_choice"] = json!({ "type": "none" });
    let cases = [
        (
            "mistral-7b",
            with(json!({ "system": "s" })),
            "system: mistral-7b does not take a system prompt",
        ),
        (
            "deepseek-r1",
            with(json!({ "tools": [tool("a")] })),
            "tools: deepseek-r1 does not take tools",
        ),
        ("deepseek-r1", of_tools.clone(), "tools: deepseek-r1 does not take tools"),
        (
            "gpt-oss-20b",
            one(image.clone()),
            "messages.0.content.1: gpt-oss-20b does not take images",
        ),
        (
            "gpt-oss-20b",
            of_tools,
            "messages.2.content.0.content.0: gpt-oss-20b does not take images",
        ),
        (
            "nova-micro",
            one(pdf.clone()),
            "messages.0.content.1: nova-micro does not take documents",
        ),
        (
            "mistral-large-2407",
            with(json!({ "tools": [tool("a")], "tool_choice": { "type": "tool", "name": "a" } })),
            "tool_choice.type: mistral-large-2407 does not take the name of one tool",
        ),
        ("nova-pro", with_messages(results), "tools: Field required"),
        ("nova-pro", none, "tool_choice.type: "),
        (
            "nova-pro",
            with_messages(json!([{ "role": "user", "content": [pdf] }])),
            "messages.0.content.0: Converse takes a document beside a text only",
        ),
        (
            "nova-pro",
            one(
                json!({ "type": "image", "source": { "type": "base64", "media_type": "image/bmp", "data": "eA==" } }),
            ),
            "messages.0.content.1.source.media_type: ",
        ),
        (
            "nova-pro",
            one(json!({ "type": "image" })),
            "messages.0.content.1.source: Field required",
        ),
        (
            "nova-pro",
            one(json!({ "type": "image", "source": 1 })),
            "messages.0.content.1.source: Input should be a valid object",
        ),
        (
            "nova-pro",
            one(
                json!({ "type": "document", "source": { "type": "base64", "media_type": "text/html", "data": "" } }),
            ),
            "messages.0.content.1.source: ",
        ),
        (
            "nova-pro",
            one(json!({ "type": "document", "source": { "type": "content", "content": [image] } })),
            "messages.0.content.1.source.content.0.type: ",
        ),
        (
            "nova-pro",
            one(json!({ "type": "search_result" })),
            "messages.0.content.1.type: only Claude takes blocks of the type search_result",
        ),
        ("nova-pro", one(json!({ "type": "tool_use" })), "messages.0.content.1.id: Field required"),
        (
            "nova-pro",
            one(json!({ "type": "tool_result" })),
            "messages.0.content.1.tool_use_id: Field required",
        ),
        (
            "nova-pro",
            with(json!({ "tools": [{ "type": "bash_20250124", "name": "bash" }] })),
            "tools.0.type: only Claude has this tool",
        ),
        (
            "nova-pro",
            with(json!({ "tools": [{ "name": "a" }] })),
            "tools.0.input_schema: Field required",
        ),
        (
            "nova-pro",
            with(json!({ "tools": [{ "input_schema": {} }] })),
            "tools.0.name: Field required",
        ),
        ("nova-pro", with(json!({ "tools": [1] })), "tools.0: Input should be a valid object"),
        (
            "nova-pro",
            with(json!({ "tools": [tool("a")], "tool_choice": { "type": "x" } })),
            "tool_choice.type: Input should be",
        ),
        (
            "nova-pro",
            with(json!({ "system": [{ "type": "image" }] })),
            "system.0.type: Input should be 'text'",
        ),
        ("nova-pro", with(json!({ "thinking": 1 })), "thinking: Input should be a valid object"),
        (
            "qwen3-32b",
            with(json!({ "output_config": { "format": {} } })),
            "output_config.format.schema: Field required",
        ),
        ("nova-pro", with_messages(json!([])), "messages: at least one message is required"),
        (
            "nova-pro",
            with_messages(json!([{ "role": "user", "content": " " }])),
            "messages.0.content: ",
        ),
        (
            "nova-pro",
            with_messages(json!([{ "role": "user" }])),
            "messages.0.content: Field required",
        ),
        ("nova-pro", with_messages(json!([{ "role": "x", "content": "a" }])), "messages.0.role: "),
        ("nova-pro", json!({}), "messages: Field required"),
        ("nova-pro", json!([]), "the body is not a JSON object"),
    ];
    for (model, body, message) in cases {
        let error = convert(model, &body).unwrap_err();
        assert_eq!(error.code, Code::InvalidRequest, "{body}");
        assert!(error.message.starts_with(message), "{body}: {}", error.message);
    }
}

/// Converts a reply of Converse to Claude's.
fn reply(message: Value, stop_reason: &str) -> Value {
    let body = json!({
        "output": { "message": { "role": "assistant", "content": message } },
        "stopReason": stop_reason,
        "usage": { "inputTokens": 3, "outputTokens": 4, "totalTokens": 12, "cacheReadInputTokens": 5, "cacheWriteInputTokens": 0 },
        "metrics": { "latencyMs": 1 },
    });
    let json = to_claude(body.to_string().as_bytes(), &ToolNames::default(), "msg_1");
    serde_json::from_str(&json.unwrap().unwrap()).unwrap()
}

/// The blocks of Converse and Claude's.
fn counterparts() -> (Value, Value) {
    let own = json!([
        { "reasoningContent": { "reasoningText": { "text": "hm", "signature": "c2ln" } } },
        { "reasoningContent": { "reasoningText": { "text": "hm" } } },
        { "reasoningContent": { "redactedContent": "eA==" } },
        { "text": "a\"b" },
        { "citationsContent": { "content": [{ "text": "c" }], "citations": [{}] } },
        { "toolUse": { "toolUseId": "tooluse_1", "name": "n", "input": { "b": 1, "a": 2 } } },
        { "toolUse": { "toolUseId": "tooluse_2", "name": "m" } },
        { "image": {} },
    ]);
    let claudes = json!([
        { "type": "thinking", "thinking": "hm", "signature": "c2ln" },
        { "type": "thinking", "thinking": "hm", "signature": "" },
        { "type": "redacted_thinking", "data": "eA==" },
        { "type": "text", "text": "a\"b" },
        { "type": "text", "text": "c" },
        { "type": "tool_use", "id": "tooluse_1", "name": "n", "input": { "b": 1, "a": 2 } },
        { "type": "tool_use", "id": "tooluse_2", "name": "m", "input": {} },
    ]);
    (own, claudes)
}

#[test]
fn a_whole_reply_becomes_claudes() {
    let (own, claudes) = counterparts();
    assert_eq!(
        reply(own, "tool_use"),
        json!({
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "",
            "content": claudes,
            "stop_reason": "tool_use",
            "stop_sequence": null,
            "usage": { "input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 0 },
        })
    );
    assert_eq!(reply(json!([]), "end_turn")["content"], json!([]));
}

const STOP_REASONS: [(&str, Option<&str>, bool); 10] = [
    ("end_turn", Some("end_turn"), false),
    ("tool_use", Some("tool_use"), false),
    ("max_tokens", Some("max_tokens"), false),
    ("stop_sequence", Some("stop_sequence"), false),
    ("model_context_window_exceeded", Some("model_context_window_exceeded"), false),
    ("guardrail_intervened", Some("refusal"), true),
    ("content_filtered", Some("refusal"), false),
    ("something_new", Some("something_new"), false),
    ("malformed_model_output", None, false),
    ("malformed_tool_use", None, false),
];

#[test]
fn the_reason_of_the_end_is_in_claudes_words() {
    for (word, expected, intervened) in STOP_REASONS {
        let body = format!(r#"{{"output":{{"message":{{"content":[]}}}},"stopReason":"{word}"}}"#);
        let whole = to_claude(body.as_bytes(), &ToolNames::default(), "m");
        let mut events = Events::new(ToolNames::default(), "m".to_owned());
        let streamed = events.push("messageStop", body.as_bytes());
        let Some(expected) = expected else {
            assert_eq!(whole.unwrap_err(), crate::InvalidReply::Malformed, "{word}");
            assert_eq!(streamed.unwrap_err(), crate::InvalidReply::Malformed, "{word}");
            continue;
        };
        let whole: Value = serde_json::from_str(&whole.unwrap().unwrap()).unwrap();
        assert_eq!(whole["stop_reason"], expected);
        let action = Value::from(intervened.then_some("INTERVENED"));
        assert_eq!(whole["amazon-bedrock-guardrailAction"], action, "{word}");
        events.push("metadata", b"{}").unwrap();
        let [delta, stop] = [events.pop(), events.pop()]
            .map(|json| serde_json::from_str::<Value>(&json.unwrap()).unwrap());
        assert_eq!(delta["delta"]["stop_reason"], expected);
        assert_eq!(stop["amazon-bedrock-guardrailAction"], action, "{word}");
    }
}

#[test]
fn what_is_not_a_reply_of_converse_is_left_to_its_reader() {
    for body in [r#"{"message":"Too many requests"}"#, "{}", r#"{"output":{}}"#, r#"{"output":1}"#]
    {
        assert_eq!(to_claude(body.as_bytes(), &ToolNames::default(), "m"), Ok(None), "{body}");
    }
    for body in ["", "[]", "<html>"] {
        assert!(to_claude(body.as_bytes(), &ToolNames::default(), "m").is_err(), "{body}");
    }
}

/// Converts events of ConverseStream to Claude's.
fn events(all: &[(&str, Value)], names: ToolNames) -> Vec<Value> {
    let mut events = Events::new(names, "msg_1".to_owned());
    let mut out = Vec::new();
    for (kind, payload) in all {
        events.push(kind, payload.to_string().as_bytes()).unwrap();
        while let Some(event) = events.pop() {
            out.push(serde_json::from_str(&event).unwrap_or_else(|_| panic!("{event}")));
        }
    }
    out
}

fn delta(index: u32, delta: Value) -> (&'static str, Value) {
    ("contentBlockDelta", json!({ "contentBlockIndex": index, "delta": delta, "p": "abc" }))
}

#[test]
fn a_stream_has_claudes_events_in_claudes_order() {
    let mut names = ToolNames::default();
    let short = names.shorten("get.weather").into_owned();
    let start = |index: u32, id: &str, name: &str| {
        let start = json!({ "toolUse": { "toolUseId": id, "name": name } });
        ("contentBlockStart", json!({ "contentBlockIndex": index, "start": start }))
    };
    let stop = |index: u32| ("contentBlockStop", json!({ "contentBlockIndex": index }));
    let out = events(
        &[
            ("messageStart", json!({ "role": "assistant" })),
            delta(0, json!({ "reasoningContent": { "text": "h" } })),
            delta(0, json!({ "reasoningContent": { "signature": "c2ln" } })),
            // gpt-oss goes on with the same number.
            delta(0, json!({ "text": "a" })),
            delta(0, json!({ "text": "b" })),
            stop(0),
            delta(1, json!({ "reasoningContent": { "redactedContent": "eA==" } })),
            stop(1),
            start(2, "t1", &short),
            delta(2, json!({ "toolUse": { "input": "" } })),
            start(3, "t2", "n"),
            delta(2, json!({ "toolUse": { "input": "{\"a\":" } })),
            delta(3, json!({ "toolUse": { "input": "{}" } })),
            delta(2, json!({ "toolUse": { "input": "1}" } })),
            delta(9, json!({ "citation": {} })),
            ("somethingNew", json!({})),
            ("messageStop", json!({ "stopReason": "tool_use" })),
            (
                "metadata",
                json!({ "usage": { "inputTokens": 3, "outputTokens": 4, "totalTokens": 7 }, "metrics": {} }),
            ),
        ],
        names,
    );
    let start = |index: u32, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let delta = |index: u32, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let stop = |index: u32| json!({ "type": "content_block_stop", "index": index });
    let expected = [
        json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "model": "", "content": [], "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 0, "output_tokens": 0 } } }),
        start(0, json!({ "type": "thinking", "thinking": "", "signature": "" })),
        delta(0, json!({ "type": "thinking_delta", "thinking": "h" })),
        delta(0, json!({ "type": "signature_delta", "signature": "c2ln" })),
        stop(0),
        start(1, json!({ "type": "text", "text": "" })),
        delta(1, json!({ "type": "text_delta", "text": "a" })),
        delta(1, json!({ "type": "text_delta", "text": "b" })),
        stop(1),
        start(2, json!({ "type": "redacted_thinking", "data": "eA==" })),
        stop(2),
        start(3, json!({ "type": "tool_use", "id": "t1", "name": "get.weather", "input": {} })),
        delta(3, json!({ "type": "input_json_delta", "partial_json": "" })),
        start(4, json!({ "type": "tool_use", "id": "t2", "name": "n", "input": {} })),
        delta(3, json!({ "type": "input_json_delta", "partial_json": "{\"a\":" })),
        delta(4, json!({ "type": "input_json_delta", "partial_json": "{}" })),
        delta(3, json!({ "type": "input_json_delta", "partial_json": "1}" })),
        stop(3),
        stop(4),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use", "stop_sequence": null }, "usage": { "input_tokens": 3, "output_tokens": 4 } }),
        json!({ "type": "message_stop" }),
    ];
    assert_eq!(out, expected);
}

#[test]
fn a_whole_reply_becomes_the_events_of_a_stream() {
    let (own, claudes) = counterparts();
    let body = json!({
        "output": { "message": { "role": "assistant", "content": own } },
        "stopReason": "tool_use",
        "usage": { "inputTokens": 3, "outputTokens": 4, "totalTokens": 7 },
    });
    let mut events = Events::new(ToolNames::default(), "msg_1".to_owned());
    events.push_reply(body.to_string().as_bytes()).unwrap();
    let all: Vec<Value> = std::iter::from_fn(|| events.pop())
        .map(|event| serde_json::from_str(&event).unwrap_or_else(|_| panic!("{event}")))
        .collect();
    // As an SDK accumulates them.
    let mut content: Vec<Value> = Vec::new();
    for event in &all {
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!(event["index"], content.len());
                content.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let block = content.last_mut().unwrap();
                let delta = event["delta"].as_object().unwrap();
                let (name, value) = delta.iter().find(|(name, _)| *name != "type").unwrap();
                match &**name {
                    "partial_json" => {
                        block["input"] = serde_json::from_str(value.as_str().unwrap()).unwrap();
                    }
                    name => block[name] = value.clone(),
                }
            }
            _ => {}
        }
    }
    // Cited text has no events.
    let expected = claudes.as_array().unwrap().iter().filter(|block| block["text"] != "c");
    assert_eq!(content, expected.cloned().collect::<Vec<_>>());
    let last = &all[all.len() - 2];
    assert_eq!(last["delta"]["stop_reason"], "tool_use");
    assert_eq!(last["usage"], json!({ "input_tokens": 3, "output_tokens": 4 }));
    assert_eq!(all[all.len() - 1]["type"], "message_stop");

    let mut events = Events::new(ToolNames::default(), "msg_1".to_owned());
    let error = events.push_reply(br#"{"message":"Too many requests"}"#).unwrap_err();
    assert!(matches!(error, crate::InvalidReply::Error { .. }), "{error}");
}

#[test]
fn a_call_without_a_beginning_and_events_in_another_form_are_errors() {
    for (kind, payload) in [
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{}"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":-1,"delta":{"text":"a"}}"#),
        ("contentBlockDelta", "[]"),
        ("messageStop", ""),
        ("metadata", "1"),
    ] {
        let mut events = Events::new(ToolNames::default(), "m".to_owned());
        assert!(events.push(kind, payload.as_bytes()).is_err(), "{kind} {payload}");
    }
}
