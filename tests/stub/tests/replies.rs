//! Replies with thinking, calls of tools, citations and cached prompts, over HTTP.

mod decode;
mod signer;
mod wire;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bedrock_stub::{Settings, Stub};
use decode::decode;
use serde_json::{Value, json};
use signer::Call;
use wire::{HttpResponse, exchange};

const OPUS_5_5: &str = "global.anthropic.claude-opus-5-5";
const SONNET_5_5: &str = "us.anthropic.claude-sonnet-5-5";
const OPUS_4_8: &str = "global.anthropic.claude-opus-4-8";
const HAIKU_4_5: &str = "global.anthropic.claude-haiku-4-5-20251001-v1%3A0";

async fn start() -> Stub {
    Stub::start(Settings::default()).await.unwrap()
}

fn body_with(messages: &Value, changes: &Value) -> Value {
    let mut body = json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 4096,
        "messages": messages,
    });
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

async fn post(stub: &Stub, target: &str, body: &Value) -> HttpResponse {
    let mut call = Call::new(body.to_string());
    call.host = stub.url().replace("http://", "");
    call.target = target.to_owned();
    exchange(&stub.url(), &call.signed()).await
}

/// Sends a request as a whole. Returns the reply.
async fn reply(stub: &Stub, model_id: &str, messages: &Value, changes: &Value) -> Value {
    let target = format!("/model/{model_id}/invoke");
    let response = post(stub, &target, &body_with(messages, changes)).await;
    assert_eq!(response.status(), 200, "{response:?}");
    response.json()
}

async fn refusal(stub: &Stub, model_id: &str, messages: &Value, changes: &Value) -> String {
    let target = format!("/model/{model_id}/invoke");
    let response = post(stub, &target, &body_with(messages, changes)).await;
    assert_eq!(response.status(), 400, "{response:?}");
    response.message()
}

async fn events(stub: &Stub, model_id: &str, messages: &Value, changes: &Value) -> Vec<Value> {
    let target = format!("/model/{model_id}/invoke-with-response-stream");
    let response = post(stub, &target, &body_with(messages, changes)).await;
    assert_eq!(response.status(), 200, "{response:?}");
    decode(&response.chunks().chunks.concat()).events()
}

fn ask(prompt: &str) -> Value {
    json!([{ "role": "user", "content": prompt }])
}

fn tools() -> Value {
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    json!([
        { "name": "get_weather", "input_schema": schema },
        { "name": "get_time", "input_schema": { "type": "object" } },
    ])
}

#[tokio::test]
async fn a_prompt_makes_the_model_call_tools_whose_results_it_quotes() {
    let stub = start().await;
    let tools = json!({ "tools": tools() });
    let prompt = "Look. [[tool get_weather {\"city\":\"東京\"}]] [[tool get_time]]";
    let called = reply(&stub, OPUS_5_5, &ask(prompt), &tools).await;
    assert_eq!(called["stop_reason"], "tool_use");
    let calls = called["content"].as_array().unwrap();
    let inputs: Vec<_> = calls.iter().map(|call| (&call["name"], &call["input"])).collect();
    assert_eq!(
        inputs,
        [(&json!("get_weather"), &json!({ "city": "東京" })), (&json!("get_time"), &json!({}))]
    );
    assert_ne!(calls[0]["id"], calls[1]["id"]);

    let result = |index: usize, content: Value| json!({ "type": "tool_result", "tool_use_id": calls[index]["id"], "content": content });
    let text = json!([{ "type": "text", "text": "9:00" }]);
    let answered = json!([
        { "role": "user", "content": prompt },
        { "role": "assistant", "content": calls },
        { "role": "user", "content": [result(0, json!("晴れ")), result(1, text)] },
    ]);
    let last = reply(&stub, OPUS_5_5, &answered, &tools).await;
    assert_eq!(last["stop_reason"], "end_turn");
    assert_eq!(last["content"][0]["text"], "The tools returned: \"晴れ\", \"9:00\".");
}

#[tokio::test]
async fn the_deltas_of_a_call_are_its_arguments_and_empty_without_any() {
    let stub = start().await;
    let prompt = "[[tool get_weather {\"city\":\"a\"}]] [[tool get_time]]";
    let events = events(&stub, OPUS_5_5, &ask(prompt), &json!({ "tools": tools() })).await;
    let parts = |index: u64| {
        let deltas = events
            .iter()
            .filter(move |event| event["type"] == "content_block_delta" && event["index"] == index);
        deltas.map(|event| event["delta"]["partial_json"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(parts(0).concat(), "{\"city\":\"a\"}");
    assert_eq!(parts(0)[0], "");
    assert_eq!(parts(1), [""]);
    let starts: Vec<_> =
        events.iter().filter(|event| event["type"] == "content_block_start").collect();
    assert_eq!(starts[1]["content_block"]["input"], json!({}));
    let delta = events.iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!(delta["delta"]["stop_reason"], "tool_use");
}

#[tokio::test]
async fn a_call_of_an_unknown_tool_is_refused_and_text_in_brackets_is_text() {
    let stub = start().await;
    let message = refusal(&stub, OPUS_5_5, &ask("[[tool Bash {}]]"), &json!({})).await;
    assert_eq!(message, "[[tool Bash]]: expected the name of a tool of the request.");
    let text = reply(&stub, OPUS_5_5, &ask("see [[notes]]"), &json!({})).await;
    assert!(text["content"][0]["text"].as_str().unwrap().contains("see [[notes]]"), "{text}");
}

#[tokio::test]
async fn a_reply_quotes_the_user_and_not_the_reminders_of_an_agent() {
    let stub = start().await;
    let blocks = json!([
        { "type": "text", "text": "<system-reminder>Be careful.</system-reminder>" },
        { "type": "text", "text": "Say hello" },
    ]);
    let messages = json!([{ "role": "user", "content": blocks }]);
    let reply = reply(&stub, OPUS_5_5, &messages, &json!({})).await;
    let text = reply["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("You said: \"Say hello\" (9 characters)."), "{text}");
}

#[tokio::test]
async fn a_forced_tool_and_a_schema_get_an_instance() {
    let stub = start().await;
    let mut forced =
        json!({ "tools": tools(), "tool_choice": { "type": "tool", "name": "get_weather" } });
    let called = reply(&stub, HAIKU_4_5, &ask("Hi"), &forced).await;
    assert_eq!(called["content"][0]["input"], json!({ "city": "text" }));
    forced["tool_choice"] = json!({ "type": "auto", "disable_parallel_tool_use": true });
    let prompt = "[[tool get_time]] [[tool get_weather]]";
    let called = reply(&stub, HAIKU_4_5, &ask(prompt), &forced).await;
    assert_eq!(called["content"].as_array().unwrap().len(), 1);
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    let format =
        json!({ "output_config": { "format": { "type": "json_schema", "schema": schema } } });
    let structured = reply(&stub, HAIKU_4_5, &ask("Hi"), &format).await;
    assert_eq!(structured["content"][0]["text"], "{\"n\":1}");
    let said = reply(&stub, HAIKU_4_5, &ask("[[say {\"n\":2}]]"), &format).await;
    assert_eq!(said["content"][0]["text"], "{\"n\":2}");
}

#[tokio::test]
async fn thinking_is_signed_and_an_altered_or_unsigned_block_is_refused() {
    let stub = start().await;
    let thinking = json!({ "thinking": { "type": "adaptive" }, "system": "Be brief." });
    for model_id in [OPUS_5_5, OPUS_4_8] {
        let first = reply(&stub, model_id, &ask("[[think Hm.]] [[redacted]]"), &thinking).await;
        let content = first["content"].as_array().unwrap();
        assert_eq!(content[0]["thinking"], "Hm.", "{model_id}");
        assert_eq!(content[1]["type"], "redacted_thinking", "{model_id}");
        assert_eq!(content[2]["type"], "text", "{model_id}");

        let conversation = |content: &Value| {
            json!([
                { "role": "user", "content": "[[think Hm.]] [[redacted]]" },
                { "role": "assistant", "content": content },
                { "role": "user", "content": "Go on." },
            ])
        };
        reply(&stub, model_id, &conversation(&first["content"]), &thinking).await;
        for (block, key) in [(0, "thinking"), (0, "signature"), (1, "data")] {
            let mut altered = first["content"].clone();
            altered[block][key] = json!(BASE64_STANDARD.encode("altered"));
            let message = refusal(&stub, model_id, &conversation(&altered), &thinking).await;
            let start = format!("messages.1.content.{block}: Invalid `signature` in `");
            assert!(message.starts_with(&start), "{model_id}, {block}, {key}: {message}");
        }
    }
}

#[tokio::test]
async fn thinking_of_a_5_5_model_is_bound_to_its_model_and_to_what_is_before_it() {
    let stub = start().await;
    let parameters =
        json!({ "thinking": { "type": "adaptive", "display": "omitted" }, "system": "Be brief." });
    let system = json!({ "role": "system", "content": "Now." });
    let prompt = json!({ "role": "user", "content": "One" });
    for (model_id, other, is_bound) in
        [(OPUS_5_5, SONNET_5_5, true), (OPUS_4_8, "global.anthropic.claude-opus-5", false)]
    {
        let first = reply(&stub, model_id, &json!([prompt, system]), &parameters).await;
        let assistant = json!({ "role": "assistant", "content": first["content"] });
        assert_eq!(first["content"][0]["thinking"], "", "{model_id}: display is omitted");
        let go_on = json!({ "role": "user", "content": "Two" });
        let messages = json!([prompt, system, assistant, go_on]);

        // As Claude Code moves its cache marks.
        let mark = json!({ "type": "ephemeral" });
        let mut moved = messages.clone();
        moved[0]["content"] = json!([{ "type": "text", "text": "One" }]);
        moved[1]["content"] = json!([{ "type": "text", "text": "Now.", "cache_control": mark }]);
        reply(&stub, model_id, &moved, &parameters).await;

        let mut of_system = parameters.clone();
        of_system["system"] = json!("Be verbose.");
        let mut of_messages = messages.clone();
        of_messages[0]["content"] = json!("Zero");
        for (part, model_id, messages, parameters) in [
            ("`system` prompt", model_id, &messages, &of_system),
            ("conversation before it", model_id, &of_messages, &parameters),
            ("model", other, &messages, &parameters),
        ] {
            if !is_bound {
                reply(&stub, model_id, messages, parameters).await;
                continue;
            }
            let message = refusal(&stub, model_id, messages, parameters).await;
            let end = format!("The {part} differs from the one this block was created with.");
            assert!(message.ends_with(&end), "{part}: {message}");
            let mut dropping = parameters.clone();
            dropping["anthropic_beta"] = json!(["thinking-binding-controls-2026-08-01"]);
            dropping["thinking"]["block_binding"] =
                json!({ "prefix_mismatch_behavior": "drop_block" });
            reply(&stub, model_id, messages, &dropping).await;
        }
    }
}

#[tokio::test]
async fn a_streamed_signature_is_that_of_the_whole_reply() {
    let stub = start().await;
    let thinking = json!({ "thinking": { "type": "adaptive" } });
    let events = events(&stub, OPUS_5_5, &ask("Hi"), &thinking).await;
    let signature = events.iter().find(|event| event["delta"]["type"] == "signature_delta");
    let whole = reply(&stub, OPUS_5_5, &ask("Hi"), &thinking).await;
    assert_eq!(signature.unwrap()["delta"]["signature"], whole["content"][0]["signature"]);
}

#[tokio::test]
async fn max_tokens_ends_thinking_text_or_a_call() {
    let stub = start().await;
    let limited = |max_tokens: u64| json!({ "max_tokens": max_tokens, "tools": tools(), "thinking": { "type": "adaptive" } });
    let prompt = "[[think one two three]] [[say four five]] [[tool get_time]]";
    for (max_tokens, kinds, stop_reason) in [
        (2, vec!["thinking"], "max_tokens"),
        (4, vec!["thinking", "text"], "max_tokens"),
        (6, vec!["thinking", "text"], "max_tokens"),
        (9, vec!["thinking", "text", "tool_use"], "tool_use"),
    ] {
        let reply = reply(&stub, OPUS_5_5, &ask(prompt), &limited(max_tokens)).await;
        let content = reply["content"].as_array().unwrap();
        let got: Vec<_> = content.iter().map(|block| block["type"].as_str().unwrap()).collect();
        assert_eq!(got, kinds, "{max_tokens}: {reply}");
        assert_eq!(reply["stop_reason"], stop_reason, "{max_tokens}");
        let tokens = reply["usage"]["output_tokens"].as_u64().unwrap();
        assert!(tokens <= max_tokens, "{max_tokens}: {reply}");
    }
}

#[tokio::test]
async fn a_refusal_has_no_content() {
    let stub = start().await;
    let refused = reply(&stub, OPUS_5_5, &ask("[[refuse]]"), &json!({})).await;
    assert_eq!((&refused["content"], &refused["stop_reason"]), (&json!([]), &json!("refusal")));
}

#[tokio::test]
async fn a_text_document_is_cited() {
    let stub = start().await;
    let document = json!({
        "type": "document",
        "title": "Notes",
        "source": { "type": "text", "media_type": "text/plain", "data": "The sky is blue." },
        "citations": { "enabled": true },
    });
    let messages =
        json!([{ "role": "user", "content": [document, { "type": "text", "text": "Why?" }] }]);
    let citation = json!({
        "type": "char_location",
        "document_index": 0,
        "document_title": "Notes",
        "start_char_index": 0,
        "end_char_index": 16,
        "cited_text": "The sky is blue.",
    });
    let whole = reply(&stub, OPUS_5_5, &messages, &json!({})).await;
    assert_eq!(whole["content"][0]["citations"], json!([citation]));
    let events = events(&stub, OPUS_5_5, &messages, &json!({})).await;
    let delta = events.iter().find(|event| event["delta"]["type"] == "citations_delta").unwrap();
    assert_eq!(delta["delta"]["citation"], citation);
}

#[tokio::test]
async fn a_cached_prefix_is_written_once_and_then_read() {
    let stub = start().await;
    let text = |words: usize| "word ".repeat(words);
    let system = |ttl: &str| {
        let control = json!({ "type": "ephemeral", "ttl": ttl });
        json!({ "system": [{ "type": "text", "text": text(600), "cache_control": control }] })
    };
    let usage = async |messages: &Value, changes: &Value| {
        let reply = reply(&stub, OPUS_5_5, messages, changes).await;
        let count = |name: &str| reply["usage"][name].as_u64().unwrap_or_default();
        [
            count("input_tokens"),
            count("cache_creation_input_tokens"),
            count("cache_read_input_tokens"),
        ]
    };
    assert_eq!(usage(&ask("one"), &system("1h")).await, [1, 600, 0]);
    assert_eq!(usage(&ask("two words"), &system("1h")).await, [2, 0, 600]);

    // The prefix grows by two messages, and the mark moves to the last one.
    let mark = json!({ "type": "ephemeral" });
    let longer = json!([
        { "role": "user", "content": text(100) },
        { "role": "assistant", "content": "yes" },
        { "role": "user", "content": [{ "type": "text", "text": "more", "cache_control": mark }] },
    ]);
    assert_eq!(usage(&longer, &system("1h")).await, [0, 102, 600]);
    assert_eq!(usage(&longer, &system("1h")).await, [0, 0, 702]);

    let whole = reply(&stub, SONNET_5_5, &ask("one"), &system("1h")).await;
    assert_eq!(
        whole["usage"]["cache_creation"],
        json!({ "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 600 })
    );
    let events = events(&stub, SONNET_5_5, &ask("one"), &system("1h")).await;
    assert_eq!(events[0]["message"]["usage"]["cache_read_input_tokens"], 600);
    let metrics = &events.last().unwrap()["amazon-bedrock-invocationMetrics"];
    assert_eq!(metrics["cacheReadInputTokenCount"], 600);
    assert_eq!(metrics["inputTokenCount"], 1);

    // Below the fewest tokens that the model caches.
    let usage = reply(&stub, HAIKU_4_5, &ask("one"), &system("5m")).await["usage"].clone();
    assert_eq!(usage["input_tokens"], 601, "{usage}");
    assert_eq!(usage.get("cache_read_input_tokens"), None, "{usage}");
}

#[tokio::test]
async fn context_management_is_reported_whole_and_in_a_stream() {
    let stub = start().await;
    let managed = json!({
        "anthropic_beta": ["context-management-2025-06-27"],
        "thinking": { "type": "adaptive" },
        "context_management": { "edits": [{ "type": "clear_thinking_20251015" }] },
    });
    let expected = json!({ "applied_edits": [] });
    let whole = reply(&stub, OPUS_5_5, &ask("Hi"), &managed).await;
    assert_eq!(whole["context_management"], expected);
    let events = events(&stub, OPUS_5_5, &ask("Hi"), &managed).await;
    let delta = events.iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!(delta["context_management"], expected);
}

#[tokio::test]
async fn tokens_are_counted_for_base_ids_of_models_that_have_it() {
    let stub = start().await;
    let body = body_with(&ask("one two"), &json!({ "system": "three" }));
    let input = |body: &Value| {
        let body = BASE64_STANDARD.encode(body.to_string());
        json!({ "input": { "invokeModel": { "body": body } } })
    };
    let count = async |model_id: &str, request: &Value| {
        post(&stub, &format!("/model/{model_id}/count-tokens"), request).await
    };
    for model_id in ["anthropic.claude-sonnet-4-6", "anthropic.claude-haiku-4-5-20251001-v1%3A0"] {
        let response = count(model_id, &input(&body)).await;
        assert_eq!((response.status(), response.json()), (200, json!({ "inputTokens": 3 })));
    }
    for model_id in ["anthropic.claude-opus-4-7", "global.anthropic.claude-sonnet-4-6", OPUS_5_5] {
        let response = count(model_id, &input(&body)).await;
        assert_eq!(response.status(), 400, "{model_id}");
        assert_eq!(response.message(), "The provided model doesn't support counting tokens.");
    }
    let no_version = count("anthropic.claude-sonnet-4-6", &input(&json!({}))).await;
    assert!(no_version.message().contains("required key [anthropic_version]"), "{no_version:?}");
    let no_input = count("anthropic.claude-sonnet-4-6", &json!({})).await;
    assert!(no_input.message().contains("Malformed input request"), "{no_input:?}");
}

#[tokio::test]
async fn a_service_tier_is_echoed_if_it_exists() {
    let stub = start().await;
    for (tier, status) in [("priority", 200), ("express", 400)] {
        let mut call = Call::new(body_with(&ask("Hi"), &json!({})).to_string());
        call.host = stub.url().replace("http://", "");
        call.headers.push(("x-amzn-bedrock-service-tier", tier));
        let response = exchange(&stub.url(), &call.signed()).await;
        assert_eq!(response.status(), status, "{tier}");
        let expected = (status == 200).then_some(tier);
        assert_eq!(response.header("x-amzn-bedrock-service-tier"), expected, "{tier}");
    }
}
