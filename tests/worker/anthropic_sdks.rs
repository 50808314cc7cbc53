//! Anthropic's SDKs for Python and JavaScript, with their own helpers: the accumulation of streams,
//! tool runners, structured output, pages of models, typed errors and retries.
//!
//! Both SDKs run the same cases (tests/clients/anthropic_sdk.py and .mjs) and must report the same.

use bedrock_edge_tests::root;
use bedrock_stub::Received;
use serde_json::{Map, Value, json};
use tokio::process::Command;

use crate::support::fixture::{Fixture, json_body};
use crate::support::messages::{TOKEN, installed, messages_fixture, stdout_of};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sdk {
    Python,
    JavaScript,
}

const SDKS: [Sdk; 2] = [Sdk::Python, Sdk::JavaScript];

/// Runs cases of a script, and returns their outcomes by name.
async fn outcomes(sdk: Sdk, fixture: &Fixture, model: &str, cases: &[&str]) -> Value {
    let (program, script) = match sdk {
        Sdk::Python => (installed("python-tools").await.join("python"), "anthropic_sdk.py"),
        Sdk::JavaScript => (root().join("node_modules/.bin/node"), "anthropic_sdk.mjs"),
    };
    let mut command = Command::new(program);
    command.arg(root().join("tests/clients").join(script));
    command.arg(format!("http://{}", fixture.worker.address)).arg(TOKEN).args(cases);
    command.env_remove("ANTHROPIC_API_KEY").env_remove("ANTHROPIC_AUTH_TOKEN").env("MODEL", model);
    let outcomes = stdout_of(&mut command).await;
    serde_json::from_str(&outcomes).unwrap_or_else(|error| panic!("{sdk:?}: {error}: {outcomes}"))
}

/// Runs cases with both SDKs, against both of Bedrock's endpoints, and compares each outcome.
async fn assert_outcomes(bindings: &Value, expected: &Value) {
    let cases: Vec<&str> = expected.as_object().unwrap().keys().map(String::as_str).collect();
    for endpoint in ["invoke", "native"] {
        for sdk in SDKS {
            let mut bindings = bindings.clone();
            bindings["BEDROCK_MESSAGES"] = json!(endpoint);
            let fixture = messages_fixture(&bindings).await;
            let outcomes = outcomes(sdk, &fixture, "claude-opus-5-5", &cases).await;
            let is_native = |request: &Received| request.target == "/anthropic/v1/messages";
            let counts = |request: &Received| request.target.ends_with("/count-tokens");
            for request in fixture.stub.requests().iter().filter(|request| !counts(request)) {
                assert_eq!(is_native(request), endpoint == "native", "{}", request.target);
            }
            for case in &cases {
                let (outcome, expected) = (&outcomes[case], &expected[case]);
                for (name, expected) in expected.as_object().into_iter().flatten() {
                    assert_eq!(&outcome[name], expected, "{sdk:?}, {endpoint}, {case}: {name}");
                }
                assert_eq!(outcome, expected, "{sdk:?}, {endpoint}, {case}");
            }
        }
    }
}

#[tokio::test]
async fn the_sdks_get_replies_whole_and_accumulated_from_a_stream() {
    let types = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    let expected = json!({
        "create": {
            "text": "You said: \"Hello\" (5 characters). System: \"Be brief.\". This is the Bedrock stand-in.",
            "model": "claude-opus-5-5",
            "role": "assistant",
            "stop_reason": "end_turn",
            "input_tokens": 4,
            "output_tokens": 27,
            "has_id": true,
            "has_request_id": true,
        },
        "stream": {
            "types": types,
            "text": "「Hello, 世界 👋」と受け取りました(11 文字)。これは Bedrock の代役です。",
            "model": "claude-opus-5-5",
            "stop_reason": "end_turn",
            "output_tokens": 42,
            "is_that_of_create": true,
        },
        "content": {
            "whole": ["The sky is blue."],
            "streamed": ["The sky is blue."],
            "refused": ["refusal", 0],
            "cut": "max_tokens",
            "stopped": "said",
        },
        "cache": [[1, 600, 0], [1, 0, 600], [1, 0, 600]],
        "beta": {
            "text": "You said: \"Hello\" (5 characters). This is the Bedrock stand-in.",
            "removed": "betas.prompt-caching-scope-2026-01-05",
        },
    });
    assert_outcomes(&json!({}), &expected).await;
}

#[tokio::test]
async fn the_tool_runners_structured_output_and_thinking_of_the_sdks_work() {
    let calls = json!([["get_weather", { "city": "東京" }], ["get_time", {}]]);
    let twice: Vec<&Value> =
        [&calls, &calls].into_iter().flat_map(|it| it.as_array().unwrap()).collect();
    let recipe = json!({ "title": "お茶", "minutes": 3, "steps": ["Boil", "Wait"] });
    let text = "The tools returned: \"sunny in 東京\", \"9:00\".";
    let expected = json!({
        "tools": { "calls": twice, "whole": text, "streamed": text },
        "parse": { "parsed": recipe, "streamed": recipe },
        "thinking": {
            "first": ["thinking", "tool_use"],
            "thinking": "Hm.",
            "input": {},
            "second": "The tools returned: \"9:00\".",
            "altered": {
                "class": "BadRequestError",
                "status": 400,
                "type": "invalid_request_error",
                "message": "messages.1.content.0: Invalid `signature` in `thinking` block",
                "has_request_id": true,
                "requests": 1,
            },
        },
    });
    assert_outcomes(&json!({}), &expected).await;
}

#[tokio::test]
async fn the_sdks_call_models_of_other_makers() {
    let types = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    let calls = json!([["get_weather", { "city": "東京" }], ["get_time", {}]]);
    let twice: Vec<&Value> =
        [&calls, &calls].into_iter().flat_map(|it| it.as_array().unwrap()).collect();
    let text = "The tools returned: \"sunny in 東京\", \"9:00\".";
    // The model, how a stream with tools is called, and the tokens of two replies.
    for (model, operation, tokens) in [
        ("nova-2-lite", "converse-stream", [27, 42]),
        ("gpt-oss-120b", "converse-stream", [38, 42]),
        ("mistral-large-2407", "converse", [27, 31]),
    ] {
        let expected = json!({
            "create": {
                "text": "You said: \"Hello\" (5 characters). System: \"Be brief.\". This is the Bedrock stand-in.",
                "model": model,
                "role": "assistant",
                "stop_reason": "end_turn",
                "input_tokens": 4,
                "output_tokens": tokens[0],
                "has_id": true,
                "has_request_id": true,
            },
            "stream": {
                "types": types,
                "text": "「Hello, 世界 👋」と受け取りました(11 文字)。これは Bedrock の代役です。",
                "model": model,
                "stop_reason": "end_turn",
                "output_tokens": tokens[1],
                "is_that_of_create": true,
            },
            "tools": { "calls": twice, "whole": text, "streamed": text },
            "thinking": {
                "first": ["thinking", "tool_use"],
                "thinking": "Hm.",
                "input": {},
                "second": "The tools returned: \"9:00\".",
                // It has no seal.
                "altered": { "requests": 1 },
            },
        });
        let cases = ["create", "stream", "tools", "thinking"];
        for sdk in SDKS {
            let fixture = messages_fixture(&json!({ "BEDROCK_MESSAGES": "native" })).await;
            let outcomes = outcomes(sdk, &fixture, model, &cases).await;
            for case in cases {
                assert_eq!(outcomes[case], expected[case], "{sdk:?}, {model}, {case}");
            }
            let requests = fixture.stub.requests();
            let with_tools: Vec<&Received> =
                requests.iter().filter(|it| json_body(it)["toolConfig"].is_object()).collect();
            let has = |operation: &str| {
                with_tools.iter().any(|it| it.target.ends_with(&format!("/{operation}")))
            };
            assert!(has("converse") && has(operation), "{sdk:?}, {model}");
            assert_eq!(has("converse-stream"), operation == "converse-stream", "{sdk:?}, {model}");
        }
    }
}

#[tokio::test]
async fn the_sdks_list_models_in_pages_and_count_tokens() {
    let expected = json!({
        "models": {
            "pages": true,
            "is_all": true,
            "has_other_makers": true,
            "has_more": false,
            "after": true,
            "opus": ["claude-opus-5-5", "model", true, true],
            "unknown": {
                "class": "NotFoundError",
                "status": 404,
                "type": "not_found_error",
                "message": "model: claude-2 is not available here: GET /v1/models lists those that are",
                "has_request_id": true,
                "requests": 1,
            },
        },
        "count_tokens": { "counted": 10, "is_estimated": true },
    });
    assert_outcomes(&json!({}), &expected).await;
}

#[tokio::test]
async fn the_sdks_raise_a_typed_error_for_each_kind_of_failure() {
    const FAILED: &str = "Bedrock invocation failed";
    #[rustfmt::skip]
    let rows = [
        ("wrong token", "AuthenticationError", 401, "authentication_error", "Unauthorized"),
        ("wrong key", "AuthenticationError", 401, "authentication_error", "Unauthorized"),
        ("unknown model", "NotFoundError", 404, "not_found_error", "model: claude-2 is not available here: GET /v1/models lists those that are"),
        ("max_tokens of 0", "BadRequestError", 400, "invalid_request_error", "max_tokens: Input should be greater than or equal to 1"),
        ("an image by URL", "BadRequestError", 400, "invalid_request_error", "messages.0.content.0.source.type: Bedrock takes base64 only: send the data itself"),
        ("web search", "BadRequestError", 400, "invalid_request_error", "tools.0.type: Bedrock does not have the tool web_search_20250305: remove it from the request"),
        ("mcp_servers", "BadRequestError", 400, "invalid_request_error", "mcp_servers: Bedrock does not have it: remove it from the request"),
        ("a large body", "ContentTooLargeError", 413, "request_too_large", "the body must have 50000 bytes at most"),
        ("throttled", "RateLimitError", 429, "rate_limit_error", FAILED),
        ("unavailable", "OverloadedError", 529, "overloaded_error", FAILED),
        ("server_error", "OverloadedError", 529, "overloaded_error", FAILED),
        ("model_timeout", "GatewayTimeoutError", 504, "timeout_error", FAILED),
        ("access_denied", "InternalServerError", 500, "api_error", FAILED),
        ("not_found", "InternalServerError", 500, "api_error", FAILED),
        ("validation", "BadRequestError", 400, "invalid_request_error", "messages.0.content: the prompt \"fault:validation\" is not allowed"),
        ("hang_up_before", "OverloadedError", 529, "overloaded_error", FAILED),
        ("not_json", "InternalServerError", 500, "api_error", "Invalid Bedrock response"),
    ];
    let rows = rows.map(|(name, class, status, error_type, message)| {
        let error = json!({
            "class": class,
            "status": status,
            "type": error_type,
            "message": message,
            "has_request_id": true,
            "requests": 1,
        });
        (name.to_owned(), error)
    });
    let expected = json!({ "errors": Map::from_iter(rows) });
    assert_outcomes(
        &json!({ "MAX_MESSAGES_BODY_BYTES": "50000", "BEDROCK_MAX_ATTEMPTS": "1" }),
        &expected,
    )
    .await;
}

#[tokio::test]
async fn the_sdks_raise_the_error_of_a_broken_stream() {
    let expected = json!({
        "stream_errors": {
            "stream_exception": "rate_limit_error",
            "stream_timeout": "timeout_error",
            "stream_internal": "overloaded_error",
            "stream_end": "api_error",
            "stream_cut": "api_error",
            "stream_hang_up": "overloaded_error",
        },
    });
    assert_outcomes(&json!({ "BEDROCK_MAX_ATTEMPTS": "1" }), &expected).await;
}

#[tokio::test]
async fn the_sdks_retry_only_what_a_retry_may_help() {
    let expected = json!({
        "retries": { "throttled": 2, "access_denied": 1, "validation": 1, "wrong token": 1 },
    });
    assert_outcomes(&json!({ "BEDROCK_MAX_ATTEMPTS": "1" }), &expected).await;
    let spent = json!({ "budget": ["RateLimitError", 429, 1] });
    assert_outcomes(&json!({ "MONTHLY_TOKENS": "10" }), &spent).await;
}
