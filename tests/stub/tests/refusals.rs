//! What Bedrock refuses, by field and by model, and what it takes. The tables follow the sources
//! that the tables of the stand-in name.

use bedrock_stub::messages::{Messages, NativeMessages};
use bedrock_stub::models::check_parameters;
use serde_json::{Value, json};

const OPUS_5_5: &str = "global.anthropic.claude-opus-5-5";
const SONNET_5_5: &str = "global.anthropic.claude-sonnet-5-5";
const HAIKU_5_5: &str = "global.anthropic.claude-haiku-5-5";
const FABLE_5_1: &str = "global.anthropic.claude-fable-5-1";
const OPUS_5: &str = "global.anthropic.claude-opus-5";
const OPUS_4_8: &str = "global.anthropic.claude-opus-4-8";
const OPUS_4_7: &str = "global.anthropic.claude-opus-4-7";
const OPUS_4_6: &str = "global.anthropic.claude-opus-4-6-v1";
const SONNET_4_6: &str = "global.anthropic.claude-sonnet-4-6";
const OPUS_4_5: &str = "global.anthropic.claude-opus-4-5-20251101-v1:0";
const SONNET_4_5: &str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";
const HAIKU_4_5: &str = "global.anthropic.claude-haiku-4-5-20251001-v1:0";
const SONNET_4: &str = "apac.anthropic.claude-sonnet-4-20250514-v1:0";

fn body_with(changes: &Value) -> Value {
    let mut body = json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 4096,
        "messages": [{ "role": "user", "content": "Hello" }],
    });
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// Returns the message of the refusal, or an empty text.
fn refusal(model_id: &str, changes: &Value) -> String {
    let body = body_with(changes).to_string();
    Messages::parse(Some("application/json"), body.as_bytes())
        .and_then(|messages| check_parameters(model_id, &messages))
        .map_or_else(|error| error.message, |()| String::new())
}

/// A change of a valid body, and a part of the message of its refusal, or an empty text.
type Row = (&'static str, Value, &'static str);

fn assert_rows(model_id: &str, rows: &[Row]) {
    for (case, changes, expected) in rows {
        let message = refusal(model_id, changes);
        assert!(message.contains(expected), "{case}: {message:?}");
        assert_eq!(message.is_empty(), expected.is_empty(), "{case}: {message:?}");
    }
}

fn tool(changes: &Value) -> Value {
    let mut tool = json!({ "name": "a", "input_schema": { "type": "object" } });
    for (key, value) in changes.as_object().unwrap() {
        tool[key] = value.clone();
    }
    json!({ "tools": [tool, { "name": "b", "input_schema": { "type": "object" } }] })
}

fn user(content: Value) -> Value {
    json!({ "messages": [{ "role": "user", "content": content }] })
}

fn image(source: Value) -> Value {
    user(json!([{ "type": "image", "source": source }]))
}

/// Returns a conversation with a call of a tool, and these messages behind it.
fn called(id: &str, input: Value, behind: &[Value]) -> Value {
    let call = json!({ "type": "tool_use", "id": id, "name": "a", "input": input });
    let mut messages = vec![
        json!({ "role": "user", "content": "Hello" }),
        json!({ "role": "assistant", "content": [call] }),
    ];
    messages.extend_from_slice(behind);
    json!({ "messages": messages })
}

fn result(id: &str) -> Value {
    json!({ "type": "tool_result", "tool_use_id": id, "content": "done" })
}

fn user_message(blocks: Value) -> Value {
    json!({ "role": "user", "content": blocks })
}

#[test]
fn a_field_that_bedrock_does_not_have_is_refused_by_its_path() {
    const EXTRA: &str = "Extra inputs are not permitted";
    for field in [
        "speed",
        "mcp_servers",
        "container",
        "inference_geo",
        "fallbacks",
        "cache_control",
        "service_tier",
        "stream",
        "model",
        "output_format",
    ] {
        let message = refusal(OPUS_5_5, &json!({ field: {} }));
        assert_eq!(message, format!("{field}: {EXTRA}"));
    }
    let thinking = json!({ "type": "adaptive" });
    assert_rows(
        OPUS_5_5,
        &[
            (
                "every field",
                json!({
                    "anthropic_beta": ["context-management-2025-06-27", "dangerous-tool-use-2026-09-03", "compact-2026-09-04"],
                    "compaction": {}, "safeguards": {}, "thinking": thinking,
                    "context_management": { "edits": [{ "type": "clear_thinking_20251015", "keep": "all" }] },
                    "metadata": { "user_id": "{\"device_id\":\"1\"}" }, "output_config": { "effort": "max" },
                    "stop_sequences": ["x"], "system": "y",
                }),
                "",
            ),
            (
                "safeguards without its beta",
                json!({ "safeguards": {} }),
                "safeguards: Extra inputs",
            ),
            (
                "compaction without its beta",
                json!({ "compaction": {} }),
                "compaction: Extra inputs",
            ),
            (
                "context_management without its beta",
                json!({ "context_management": {} }),
                "context_management: Extra",
            ),
            (
                "an unknown edit",
                json!({
                    "anthropic_beta": ["context-management-2025-06-27"],
                    "context_management": { "edits": [{ "type": "compact_20260112" }] },
                }),
                "context_management.edits.0: Input tag 'compact_20260112'",
            ),
            (
                "metadata with another key",
                json!({ "metadata": { "tenant": "x" } }),
                "metadata.tenant: Extra",
            ),
            (
                "a long user_id",
                json!({ "metadata": { "user_id": "x".repeat(257) } }),
                "at most 256 characters",
            ),
            (
                "display: updates",
                json!({ "thinking": { "type": "adaptive", "display": "updates" } }),
                "thinking.adaptive.display: Input should be",
            ),
            (
                "binding controls without their beta",
                json!({ "thinking": { "type": "adaptive", "block_binding": {} } }),
                "thinking.adaptive.block_binding: Extra",
            ),
        ],
    );
    // A model that always thinks needs not be asked to.
    let cleared = json!({
        "anthropic_beta": ["context-management-2025-06-27"],
        "context_management": { "edits": [{ "type": "clear_thinking_20251015" }] },
    });
    assert_rows(OPUS_5_5, &[("cleared thinking", cleared.clone(), "")]);
    let message = "requires `thinking` to be enabled or adaptive";
    assert_rows(OPUS_5, &[("cleared thinking without any", cleared, message)]);
}

#[test]
fn an_unknown_beta_is_refused_by_name() {
    let unexpected =
        |beta: &str| refusal(OPUS_5_5, &json!({ "anthropic_beta": ["effort-2025-11-24", beta] }));
    for beta in [
        "prompt-caching-scope-2026-01-05",
        "advisor-tool-2026-03-01",
        "code-execution-2025-08-25",
        "files-api-2025-04-14",
        "mcp-client-2025-11-20",
        "skills-2025-10-02",
        "fast-mode-2026-02-01",
        "web-search-2025-03-05",
        "web-fetch-2025-09-10",
        "output-128k-2025-02-19",
        "token-efficient-tools-2025-02-19",
        "structured-outputs-2025-11-13",
        "advanced-tool-use-2025-11-20",
        "thinking-display-updates-2026-08-18",
    ] {
        let expected = format!("Unexpected value(s) `{beta}` for the `anthropic-beta` header.");
        assert!(unexpected(beta).starts_with(&expected), "{beta}: {}", unexpected(beta));
    }
    for beta in [
        "claude-code-20250219",
        "interleaved-thinking-2025-05-14",
        "thinking-token-count-2026-05-13",
        "context-management-2025-06-27",
        "per-turn-control-2026-07-01",
        "mid-conversation-tool-changes-2026-07-01",
        "tool-search-tool-2025-10-19",
        "thinking-binding-controls-2026-08-01",
    ] {
        assert_eq!(unexpected(beta), "", "{beta}");
    }
}

#[test]
fn a_tool_is_refused_by_its_path() {
    let typed = |kind: &str| json!({ "tools": [{ "type": kind, "name": "a" }] });
    let choice = |choice: Value| {
        let mut changes = tool(&json!({}));
        changes["tool_choice"] = choice;
        changes
    };
    assert_rows(
        OPUS_5,
        &[
            ("a tool", tool(&json!({ "description": "x", "type": "custom" })), ""),
            (
                "eager_input_streaming",
                tool(&json!({ "eager_input_streaming": true })),
                "tools.0.custom.eager_input_streaming: Extra inputs are not permitted",
            ),
            (
                "a key custom",
                tool(&json!({ "custom": { "defer_loading": true } })),
                "tools.0.custom.custom: Extra inputs are not permitted",
            ),
            (
                "defer_loading without its beta",
                tool(&json!({ "defer_loading": true })),
                "tools.0.custom.defer_loading: Extra inputs are not permitted",
            ),
            (
                "a schema of another type",
                tool(&json!({ "input_schema": { "type": "string" } })),
                "tools.0.custom.input_schema.type: Input should be 'object'",
            ),
            (
                "a schema without a type",
                tool(&json!({ "input_schema": {} })),
                "tools.0.custom.input_schema.type: Field required",
            ),
            (
                "a name with a dot",
                tool(&json!({ "name": "a.b" })),
                "tools.0.custom.name: String should match pattern",
            ),
            (
                "a long name",
                tool(&json!({ "name": "a".repeat(129) })),
                "tools.0.custom.name: String should match pattern",
            ),
            ("a name twice", tool(&json!({ "name": "b" })), "Tool names must be unique"),
            (
                "web search",
                typed("web_search_20250305"),
                "tools.0: Input tag 'web_search_20250305' found using 'type' does not match any of the expected tags: 'bash'",
            ),
            ("web fetch", typed("web_fetch_20250910"), "tools.0: Input tag 'web_fetch_20250910'"),
            (
                "code execution",
                typed("code_execution_20250825"),
                "tools.0: Input tag 'code_execution_20250825'",
            ),
            ("advisor", typed("advisor_20260301"), "tools.0: Input tag 'advisor_20260301'"),
            ("MCP", typed("mcp_toolset"), "tools.0: Input tag 'mcp_toolset'"),
            ("bash", typed("bash_20250124"), ""),
            ("text editor", typed("text_editor_20250728"), ""),
            ("memory", typed("memory_20250818"), ""),
            ("computer", typed("computer_20251124"), ""),
            ("tool search", typed("tool_search_tool_bm25_20251119"), ""),
            (
                "a choice without tools",
                json!({ "tool_choice": { "type": "auto" } }),
                "tool_choice: may only be specified while providing tools",
            ),
            ("a choice without a type", choice(json!({})), "tool_choice.type: Field required"),
            (
                "a choice of a tool that does not exist",
                choice(json!({ "type": "tool", "name": "c" })),
                "Tool 'c' not found in provided tools",
            ),
            (
                "a choice with another key",
                choice(json!({ "type": "none", "disable_parallel_tool_use": true })),
                "tool_choice.none.disable_parallel_tool_use: Extra",
            ),
            (
                "a forced choice",
                choice(json!({ "type": "any", "disable_parallel_tool_use": true })),
                "",
            ),
        ],
    );
    let mut deferred = tool(&json!({ "defer_loading": true }));
    deferred["anthropic_beta"] = json!(["tool-search-tool-2025-10-19"]);
    assert_rows(SONNET_4_5, &[("defer_loading", deferred.clone(), "")]);
    assert_rows(SONNET_4, &[("defer_loading", deferred.clone(), "custom.defer_loading: Extra")]);
    deferred["tools"][1]["defer_loading"] = json!(true);
    assert_rows(OPUS_5_5, &[("all deferred", deferred, "must have defer_loading=false")]);
}

#[test]
fn a_cache_mark_is_refused_by_its_path_and_five_are_too_many() {
    let text = |control: Value| json!({ "type": "text", "text": "x", "cache_control": control });
    let five_minutes = || text(json!({ "type": "ephemeral", "ttl": "5m" }));
    let one_hour = || text(json!({ "type": "ephemeral", "ttl": "1h" }));
    let marks = |count| user(json!(vec![five_minutes(); count]));
    assert_rows(
        HAIKU_4_5,
        &[
            ("a mark", user(json!([text(json!({ "type": "ephemeral" }))])), ""),
            ("an hour before five minutes", user(json!([one_hour(), five_minutes()])), ""),
            (
                "an hour behind five minutes",
                user(json!([five_minutes(), one_hour()])),
                "messages.0.content.1.cache_control.ttl: a ttl='1h'",
            ),
            (
                "scope",
                json!({ "system": [text(json!({ "type": "ephemeral", "scope": "global" }))] }),
                "system.0.cache_control.ephemeral.scope: Extra inputs are not permitted",
            ),
            (
                "another ttl",
                user(json!([text(json!({ "type": "ephemeral", "ttl": "1d" }))])),
                "ephemeral.ttl: Input should be '5m' or '1h'",
            ),
            (
                "another type",
                user(json!([text(json!({ "type": "forever" }))])),
                "cache_control.type: Input should be 'ephemeral'",
            ),
            ("four", marks(4), ""),
            (
                "five",
                marks(5),
                "A maximum of 4 blocks with cache_control may be provided. Found 5.",
            ),
        ],
    );
    assert_rows(
        SONNET_4,
        &[(
            "an older model",
            user(json!([one_hour()])),
            "messages.0.content.0.cache_control.ephemeral.ttl: Extra",
        )],
    );
    let mut of_tool = tool(&json!({ "cache_control": { "type": "ephemeral" } }));
    of_tool["messages"] = marks(4)["messages"].clone();
    assert_rows(HAIKU_4_5, &[("tools count too", of_tool, "Found 5.")]);
}

#[test]
fn content_is_refused_by_its_path() {
    let png = |data: &str| json!({ "type": "base64", "media_type": "image/png", "data": data });
    let document = |source: Value| user(json!([{ "type": "document", "source": source }]));
    assert_rows(
        SONNET_5_5,
        &[
            ("an image", image(png("AAAA")), ""),
            (
                "an image by URL",
                image(json!({ "type": "url", "url": "https://example.com/a.png" })),
                "messages.0.content.0.image.source: Input tag 'url' found using 'type' does not match any of the expected tags: 'base64'",
            ),
            (
                "an image of the Files API",
                image(json!({ "type": "file", "file_id": "f" })),
                "messages.0.content.0.image.source: Input tag 'file'",
            ),
            (
                "an image of another type",
                image(json!({ "type": "base64", "media_type": "image/tiff", "data": "AAAA" })),
                "image.source.base64.media_type: Input should be",
            ),
            ("a large image", image(png(&"A".repeat(7_000_000))), "image exceeds 5 MB maximum"),
            (
                "a document by URL",
                document(json!({ "type": "url", "url": "https://example.com" })),
                "messages.0.content.0.document.source: Input tag 'url'",
            ),
            (
                "a document of the Files API",
                document(json!({ "type": "file", "file_id": "f" })),
                "document.source: Input tag 'file'",
            ),
            (
                "a text document",
                document(json!({ "type": "text", "media_type": "text/plain", "data": "x" })),
                "",
            ),
            (
                "an image in a system prompt",
                json!({ "system": [{ "type": "image", "source": png("AAAA") }] }),
                "system.0: Input tag 'image'",
            ),
            ("a large request", user(json!("x".repeat(20_000_001))), "Input is too long"),
            (
                "a call in a user message",
                user(json!([{ "type": "tool_use", "id": "a", "name": "a", "input": {} }])),
                "messages.0.content.0: Input tag 'tool_use'",
            ),
            (
                "an empty signature",
                json!({ "messages": [{ "role": "user", "content": "a" }, { "role": "assistant", "content": [{ "type": "thinking", "thinking": "", "signature": "" }] }] }),
                "messages.1.content.0.thinking.signature: Field required",
            ),
            (
                "a marked thinking block",
                json!({ "messages": [{ "role": "user", "content": "a" }, { "role": "assistant", "content": [{ "type": "thinking", "thinking": "", "signature": "x", "cache_control": { "type": "ephemeral" } }] }] }),
                "messages.1.content.0.thinking.cache_control: Extra inputs",
            ),
        ],
    );
}

#[test]
fn each_call_of_a_tool_needs_its_result_at_the_start_of_the_next_user_message() {
    let done = || user_message(json!([result("t")]));
    let system = || json!({ "role": "system", "content": "Be brief." });
    let text = json!({ "type": "text", "text": "x" });
    const MISSING: &str =
        "`tool_use` ids were found without `tool_result` blocks immediately after: t";
    assert_rows(
        OPUS_5_5,
        &[
            ("a result", called("t", json!({}), &[done()]), ""),
            ("a result behind a system message", called("t", json!({}), &[system(), done()]), ""),
            (
                "a text behind the result",
                called("t", json!({}), &[user_message(json!([result("t"), text]))]),
                "",
            ),
            (
                "a text before the result",
                called("t", json!({}), &[user_message(json!([text, result("t")]))]),
                MISSING,
            ),
            ("no result", called("t", json!({}), &[user_message(json!("x"))]), MISSING),
            (
                "another result",
                called("t", json!({}), &[user_message(json!([result("u")]))]),
                "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: u",
            ),
            (
                "a result twice removed",
                called("t", json!({}), &[done(), user_message(json!([result("t")]))]),
                "messages.3.content.0: unexpected `tool_use_id`",
            ),
            (
                "an id with a colon",
                called("t:1", json!({}), &[user_message(json!([result("t:1")]))]),
                "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
            ),
            (
                "an input of null",
                called("t", Value::Null, &[done()]),
                "messages.1.content.0.tool_use.input: Input should be a valid dictionary",
            ),
        ],
    );
}

#[test]
fn a_model_refuses_what_its_generation_does_not_support() {
    let thinking = |kind: &str| json!({ "thinking": { "type": kind } });
    let budget = || json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } });
    let forced = |more: Value| {
        let mut changes = tool(&json!({}));
        changes["tool_choice"] = json!({ "type": "tool", "name": "a" });
        for (key, value) in more.as_object().unwrap() {
            changes[key] = value.clone();
        }
        changes
    };
    let effort = |effort: &str| json!({ "output_config": { "effort": effort } });
    let format =
        || json!({ "output_config": { "format": { "type": "json_schema", "schema": {} } } });
    let last = |role: &str| json!({ "messages": [{ "role": "user", "content": "a" }, { "role": role, "content": "b" }] });
    let turn_config = || {
        let mut changes = last("system");
        changes["messages"][1]["output_config"] = json!({ "effort": "low" });
        changes["anthropic_beta"] = json!(["per-turn-control-2026-07-01"]);
        changes
    };
    let billing = || json!({ "system": "x-anthropic-billing-header: cc_version=2" });
    let both = || json!({ "temperature": 1, "top_p": 1 });
    const TAKEN: &str = "";
    const DEPRECATED: &str = "` is deprecated for this model.";
    const PREFILL: &str = "does not support assistant message prefill";
    const FORCED: &str = "forced tool use is not supported for this model";
    const WHILE_THINKING: &str = "Thinking may not be enabled when tool_choice forces tool use.";
    const BUDGET: &str = "\"thinking.type.enabled\" is not supported for this model.";
    const DISABLED: &str = "\"thinking.type.disabled\" is not supported for this model.";
    const NO_EFFORT: &str = "does not support the effort parameter";
    const EFFORT: &str = "output_config.effort: Input should be one of";
    const ROLE: &str = "messages.1.role: Input should be 'user' or 'assistant'";
    let rows: &[(&str, Value, &str)] = &[
        (OPUS_5_5, json!({ "temperature": 1 }), DEPRECATED),
        (HAIKU_5_5, json!({ "top_p": 1 }), DEPRECATED),
        (OPUS_4_7, json!({ "top_k": 1 }), DEPRECATED),
        (OPUS_4_6, both(), TAKEN),
        (SONNET_4_5, both(), "`temperature` and `top_p` cannot both be specified"),
        (SONNET_4_5, json!({ "temperature": 1 }), TAKEN),
        (SONNET_4_6, last("assistant"), PREFILL),
        (SONNET_4_5, last("assistant"), TAKEN),
        (OPUS_5_5, forced(json!({})), FORCED),
        (FABLE_5_1, forced(json!({})), FORCED),
        (OPUS_5, forced(json!({})), TAKEN),
        (OPUS_5, forced(thinking("adaptive")), WHILE_THINKING),
        (OPUS_4_5, forced(budget()), WHILE_THINKING),
        (HAIKU_5_5, forced(thinking("adaptive")), TAKEN),
        (OPUS_4_7, budget(), BUDGET),
        (SONNET_5_5, budget(), BUDGET),
        (OPUS_4_6, budget(), TAKEN),
        (HAIKU_4_5, budget(), TAKEN),
        (OPUS_4_6, thinking("adaptive"), TAKEN),
        (OPUS_4_5, thinking("adaptive"), "adaptive thinking is not supported"),
        (SONNET_5_5, thinking("disabled"), DISABLED),
        (FABLE_5_1, thinking("disabled"), DISABLED),
        (HAIKU_5_5, thinking("disabled"), TAKEN),
        (OPUS_4_5, format(), TAKEN),
        (SONNET_4_6, format(), TAKEN),
        (OPUS_4_7, format(), "output_config.format: Extra inputs are not permitted"),
        (SONNET_5_5, format(), "output_config.format: Extra inputs are not permitted"),
        (SONNET_4_5, tool(&json!({ "strict": true })), TAKEN),
        (SONNET_5_5, tool(&json!({ "strict": true })), "tools.0.custom.strict: Extra inputs"),
        (OPUS_4_5, effort("high"), TAKEN),
        (OPUS_4_5, effort("max"), EFFORT),
        (OPUS_4_6, effort("max"), TAKEN),
        (OPUS_4_6, effort("xhigh"), EFFORT),
        (OPUS_5_5, effort("xhigh"), TAKEN),
        (HAIKU_4_5, effort("low"), NO_EFFORT),
        (HAIKU_4_5, last("system"), ROLE),
        (OPUS_4_7, last("system"), ROLE),
        (SONNET_4_6, last("system"), ROLE),
        (OPUS_4_8, last("system"), TAKEN),
        (OPUS_5_5, last("system"), TAKEN),
        (SONNET_5_5, turn_config(), TAKEN),
        (HAIKU_5_5, turn_config(), "messages.1.output_config: Extra inputs are not permitted"),
        (SONNET_4, billing(), "reserved keyword"),
        (HAIKU_4_5, billing(), TAKEN),
        (OPUS_5_5, json!({ "max_tokens": 128_001 }), "max_tokens: 128001 > 128000"),
    ];
    for (index, (model_id, changes, expected)) in rows.iter().enumerate() {
        let message = refusal(model_id, changes);
        assert!(message.contains(expected), "row {index}, {model_id}: {message:?}");
        assert_eq!(message.is_empty(), expected.is_empty(), "row {index}, {model_id}: {message:?}");
    }
    let without_beta = json!({ "messages": turn_config()["messages"] });
    assert!(refusal(SONNET_5_5, &without_beta).contains("messages.1.output_config: Extra inputs"));
}

#[test]
fn a_thinking_budget_has_bounds_and_allows_no_temperature() {
    let budget = |tokens: u64| json!({ "type": "enabled", "budget_tokens": tokens });
    assert_rows(
        SONNET_4_5,
        &[
            ("the least", json!({ "thinking": budget(1024) }), ""),
            (
                "too little",
                json!({ "thinking": budget(1023) }),
                "budget_tokens: Input should be greater",
            ),
            (
                "all of max_tokens",
                json!({ "thinking": budget(4096) }),
                "`max_tokens` must be greater than `thinking.budget_tokens`.",
            ),
            (
                "no budget",
                json!({ "thinking": { "type": "enabled" } }),
                "thinking.enabled.budget_tokens: Field required",
            ),
            (
                "a temperature",
                json!({ "thinking": budget(1024), "temperature": 0.5 }),
                "`temperature` may only be set to 1",
            ),
            (
                "an unknown type",
                json!({ "thinking": { "type": "deep" } }),
                "thinking: Input tag 'deep'",
            ),
        ],
    );
}

#[test]
fn the_native_endpoint_has_its_own_top_level_and_checks_the_user_id() {
    let parse = |changes: &Value, beta: Option<&str>| {
        let mut body = body_with(&json!({ "model": OPUS_5_5 }));
        body.as_object_mut().unwrap().remove("anthropic_version");
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        let body = body.to_string();
        NativeMessages::parse(Some("application/json"), beta, body.as_bytes())
            .map_or_else(|error| error.message, |it| format!("{} {}", it.model_id, it.stream))
    };
    let claude_code = json!({ "metadata": { "user_id": "{\"device_id\":\"1\"}" } });
    let hashed = json!({ "metadata": { "user_id": "a1b2c3" } });
    for (case, changes, beta, expected) in [
        ("a body", json!({}), None, format!("{OPUS_5_5} false")),
        (
            "a stream",
            json!({ "stream": true }),
            Some("effort-2025-11-24, claude-code-20250219"),
            format!("{OPUS_5_5} true"),
        ),
        (
            "a beta",
            json!({}),
            Some("fast-mode-2026-02-01"),
            "Unexpected value(s) `fast-mode-2026-02-01`".to_owned(),
        ),
        (
            "a version",
            json!({ "anthropic_version": "x" }),
            None,
            "anthropic_version: Extra inputs are not permitted".to_owned(),
        ),
        (
            "betas in the body",
            json!({ "anthropic_beta": [] }),
            None,
            "anthropic_beta: Extra inputs are not permitted".to_owned(),
        ),
        ("no model", json!({ "model": null }), None, "model: Field required".to_owned()),
        (
            "JSON as user_id",
            claude_code,
            None,
            "metadata.user_id: String should match pattern".to_owned(),
        ),
        ("a hash as user_id", hashed, None, format!("{OPUS_5_5} false")),
    ] {
        let outcome = parse(&changes, beta);
        assert!(outcome.starts_with(&expected), "{case}: {outcome}");
    }
}
