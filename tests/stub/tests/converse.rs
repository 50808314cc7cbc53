//! `Converse` and `ConverseStream` over real HTTP.

mod decode;
mod signer;
mod wire;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bedrock_stub::faults::STREAM_FAULTS;
use bedrock_stub::{Settings, Stub};
use decode::{decode, header};
use serde_json::{Value, json};
use signer::Call;
use wire::{HttpResponse, exchange};

const OPUS: &str = "global.anthropic.claude-opus-5-5";
const SONNET_4: &str = "apac.anthropic.claude-sonnet-4-20250514-v1:0";
const NOVA: &str = "us.amazon.nova-2-lite-v1:0";
const LLAMA_3: &str = "meta.llama3-1-70b-instruct-v1:0";
const LLAMA_4: &str = "us.meta.llama4-scout-17b-instruct-v1:0";
const MISTRAL_7B: &str = "mistral.mistral-7b-instruct-v0:2";
const DEEPSEEK_R1: &str = "us.deepseek.r1-v1:0";
const GPT_OSS: &str = "openai.gpt-oss-120b-1:0";

async fn start() -> Stub {
    Stub::start(Settings::default()).await.unwrap()
}

async fn send(stub: &Stub, model_id: &str, operation: &str, body: &Value) -> HttpResponse {
    let mut call = Call::new(body.to_string());
    call.host = stub.url().replace("http://", "");
    call.target = format!("/model/{}/{operation}", model_id.replace(':', "%3A"));
    exchange(&stub.url(), &call.signed()).await
}

async fn converse(stub: &Stub, model_id: &str, body: &Value) -> Value {
    let response = send(stub, model_id, "converse", body).await;
    assert_eq!(response.status(), 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("x-amzn-bedrock-input-token-count"), None);
    response.json()
}

/// Returns the types and the payloads of the frames of a valid stream, without their padding.
async fn stream(stub: &Stub, model_id: &str, body: &Value) -> Vec<(String, Value)> {
    let response = send(stub, model_id, "converse-stream", body).await;
    assert_eq!(response.status(), 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/vnd.amazon.eventstream"));
    assert_eq!(response.header("x-amzn-bedrock-content-type"), None);
    let decoded = decode(&response.chunks().chunks.concat());
    assert_eq!((decoded.left, &decoded.error), (0, &None));
    let event = |frame| {
        assert_eq!(header(frame, ":message-type"), Some("event"));
        assert_eq!(header(frame, ":content-type"), Some("application/json"));
        let mut payload: Value = serde_json::from_slice(frame.payload()).unwrap();
        let padding = payload.as_object_mut().unwrap().remove("p").unwrap();
        assert!(padding.as_str().unwrap().starts_with('a'), "{padding}");
        (header(frame, ":event-type").unwrap().to_owned(), payload)
    };
    decoded.frames.iter().map(event).collect()
}

fn user(content: Value) -> Value {
    json!({ "messages": [{ "role": "user", "content": content }] })
}

fn ask(text: &str) -> Value {
    user(json!([{ "text": text }]))
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

fn tools() -> Value {
    let schema =
        json!({ "json": { "type": "object", "properties": { "city": { "type": "string" } } } });
    json!({ "tools": [{ "toolSpec": { "name": "get_weather", "inputSchema": schema } }] })
}

#[tokio::test]
async fn a_reply_has_the_shape_of_the_operation() {
    let stub = start().await;
    let body = json!({
        "messages": [
            { "role": "user", "content": [{ "text": "one" }] },
            { "role": "assistant", "content": [{ "text": "two" }] },
            { "role": "user", "content": [{ "text": "three" }] },
        ],
        "system": [{ "text": "Be brief." }],
        "inferenceConfig": { "maxTokens": 100, "temperature": 0.5, "stopSequences": ["END"] },
        "requestMetadata": { "tenant": "example" },
        "serviceTier": { "type": "flex" },
        "performanceConfig": { "latency": "standard" },
        "additionalModelRequestFields": { "top_k": 5 },
        "additionalModelResponseFieldPaths": ["/stop_sequence", "/absent"],
    });
    let mut reply = converse(&stub, SONNET_4, &body).await;
    let text = reply["output"]["message"]["content"][0]["text"].take();
    assert!(text.as_str().is_some_and(|it| it.contains("three") && it.contains("Be brief.")));
    let output = reply["usage"]["outputTokens"].as_u64().unwrap();
    assert!(output > 0, "{reply}");
    assert_eq!(
        reply,
        json!({
            "output": { "message": { "role": "assistant", "content": [{ "text": null }] } },
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": 6,
                "outputTokens": output,
                "totalTokens": 6 + output,
                "cacheReadInputTokens": 0,
                "cacheWriteInputTokens": 0,
            },
            "metrics": { "latencyMs": 0 },
            "serviceTier": { "type": "flex" },
            "performanceConfig": { "latency": "standard" },
            "additionalModelResponseFields": { "stop_sequence": null },
        })
    );
}

#[tokio::test]
async fn a_stream_has_a_frame_of_its_own_type_for_each_event() {
    let stub = start().await;
    let mut events = stream(&stub, OPUS, &ask("[[say Hi there]]")).await;
    let latency = events[5].1["metrics"]["latencyMs"].take();
    assert!(latency.is_u64(), "{latency}");
    let text = |text: &str| json!({ "contentBlockIndex": 0, "delta": { "text": text } });
    let usage = json!({
        "inputTokens": 7,
        "outputTokens": 2,
        "totalTokens": 9,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
    });
    let expected = [
        ("messageStart", json!({ "role": "assistant" })),
        ("contentBlockDelta", text("Hi")),
        ("contentBlockDelta", text(" there")),
        ("contentBlockStop", json!({ "contentBlockIndex": 0 })),
        ("messageStop", json!({ "stopReason": "end_turn" })),
        ("metadata", json!({ "usage": usage, "metrics": { "latencyMs": null } })),
    ];
    assert_eq!(events, expected.map(|(name, payload)| (name.to_owned(), payload)));
}

#[tokio::test]
async fn the_members_of_a_payload_are_in_alphabetical_order_with_the_padding_among_them() {
    let stub = start().await;
    let response = send(&stub, OPUS, "converse-stream", &ask("[[say Hi]]")).await;
    let decoded = decode(&response.chunks().chunks.concat());
    let payload =
        |index: usize| String::from_utf8(decoded.frames[index].payload().to_vec()).unwrap();
    assert!(payload(0).starts_with(r#"{"p":"abc"#), "{}", payload(0));
    assert!(payload(0).ends_with(r#"","role":"assistant"}"#), "{}", payload(0));
    let delta = r#"{"contentBlockIndex":0,"delta":{"text":"Hi"},"p":"a"#;
    assert!(payload(1).starts_with(delta), "{}", payload(1));
}

#[tokio::test]
async fn tools_are_called_and_their_results_are_taken() {
    let stub = start().await;
    for model_id in [OPUS, NOVA, GPT_OSS] {
        let prompt = r#"[[tool get_weather {"city":"東京"}]]"#;
        let first = with(ask(prompt), "toolConfig", tools());
        let reply = converse(&stub, model_id, &first).await;
        assert_eq!(reply["stopReason"], "tool_use", "{model_id}: {reply}");
        let content = reply["output"]["message"]["content"].as_array().unwrap();
        let call = content.last().unwrap()["toolUse"].clone();
        let id = call["toolUseId"].as_str().unwrap();
        assert!(id.starts_with("tooluse_"), "{model_id}: {id}");
        assert_eq!(call["input"], json!({ "city": "東京" }), "{model_id}");

        let events = stream(&stub, model_id, &first).await;
        let start = events.iter().find(|(name, _)| name == "contentBlockStart").unwrap();
        let of_tool = json!({ "toolUse": { "toolUseId": id, "name": "get_weather" } });
        assert_eq!(start.1["start"], of_tool, "{model_id}");
        let input: String = events
            .iter()
            .filter_map(|(_, payload)| payload["delta"]["toolUse"]["input"].as_str())
            .collect();
        assert_eq!(input, r#"{"city":"東京"}"#, "{model_id}");

        let result = json!({ "toolUseId": id, "content": [{ "json": { "degrees": 21 } }], "status": "success" });
        let mut second = first.clone();
        second["messages"].as_array_mut().unwrap().extend([
            json!({ "role": "assistant", "content": [{ "toolUse": call }] }),
            json!({ "role": "user", "content": [{ "toolResult": result }] }),
        ]);
        let reply = converse(&stub, model_id, &second).await;
        let text = reply["output"]["message"]["content"].as_array().unwrap().last().unwrap();
        assert!(
            text["text"].as_str().unwrap().contains(r#"{"degrees":21}"#),
            "{model_id}: {reply}"
        );
    }
}

#[tokio::test]
async fn reasoning_comes_first_and_its_signature_is_claudes() {
    let stub = start().await;
    let asked = json!({ "thinking": { "type": "adaptive" } });
    let config = json!({ "reasoningConfig": { "type": "enabled", "maxReasoningEffort": "low" } });
    for (model_id, fields, is_signed) in
        [(OPUS, asked, true), (NOVA, config, false), (DEEPSEEK_R1, json!({}), false)]
    {
        let body = with(ask("Hi"), "additionalModelRequestFields", fields);
        let reply = converse(&stub, model_id, &body).await;
        let content = &reply["output"]["message"]["content"];
        let reasoning = &content[0]["reasoningContent"]["reasoningText"];
        assert!(reasoning["text"].is_string(), "{model_id}: {reply}");
        assert_eq!(reasoning["signature"].is_string(), is_signed, "{model_id}: {reply}");
        assert!(content[1]["text"].is_string(), "{model_id}: {reply}");

        let events = stream(&stub, model_id, &body).await;
        let deltas = |key: &str| {
            let deltas = events.iter().map(|(_, payload)| &payload["delta"]["reasoningContent"]);
            deltas.filter(|delta| delta[key].is_string()).count()
        };
        assert!(deltas("text") > 1, "{model_id}");
        assert_eq!(deltas("signature"), usize::from(is_signed), "{model_id}");

        if is_signed {
            let mut next = body.clone();
            next["messages"].as_array_mut().unwrap().extend([
                reply["output"]["message"].clone(),
                json!({ "role": "user", "content": [{ "text": "And?" }] }),
            ]);
            converse(&stub, model_id, &next).await;
        }
    }
    let redacted = stream(&stub, OPUS, &ask("[[redacted]]")).await;
    let delta = &redacted[1].1["delta"]["reasoningContent"];
    assert!(delta["redactedContent"].is_string(), "{redacted:?}");
}

#[tokio::test]
async fn images_and_documents_are_taken() {
    let stub = start().await;
    let bytes = BASE64_STANDARD.encode("The sky is blue.");
    let image = json!({ "image": { "format": "png", "source": { "bytes": bytes } } });
    let document = json!({ "document": {
        "format": "txt",
        "name": "My document",
        "source": { "bytes": bytes },
        "citations": { "enabled": true },
    } });
    let text = json!({ "text": "Which colour?" });
    let reply = converse(&stub, OPUS, &user(json!([image, document, text]))).await;
    let cited = &reply["output"]["message"]["content"][0]["citationsContent"];
    assert_eq!(
        cited["citations"][0],
        json!({
            "title": "My document",
            "sourceContent": [{ "text": "The sky is blue." }],
            "location": { "documentChar": { "documentIndex": 0, "start": 0, "end": 16 } },
        }),
        "{reply}"
    );
    assert!(reply["usage"]["inputTokens"].as_u64().unwrap() > 1500, "an image: {reply}");
    let events = stream(&stub, OPUS, &user(json!([document, text]))).await;
    assert!(events.iter().any(|(_, payload)| payload["delta"]["citation"].is_object()));
}

#[tokio::test]
async fn a_cache_point_is_counted_when_it_is_written_and_when_it_is_read() {
    let stub = start().await;
    let prefix = "word ".repeat(2000);
    let point = json!({ "cachePoint": { "type": "default", "ttl": "1h" } });
    let body = with(ask("Hi"), "system", json!([{ "text": prefix }, point]));
    for (read, written) in [(0, 2000), (2000, 0)] {
        let usage = converse(&stub, OPUS, &body).await["usage"].take();
        assert_eq!(usage["cacheReadInputTokens"], read, "{usage}");
        assert_eq!(usage["cacheWriteInputTokens"], written, "{usage}");
        let total: u64 =
            ["inputTokens", "outputTokens"].map(|key| usage[key].as_u64().unwrap()).iter().sum();
        assert_eq!(usage["totalTokens"], total + 2000, "{usage}");
        if written > 0 {
            assert_eq!(usage["cacheDetails"], json!([{ "ttl": "1h", "inputTokens": 2000 }]));
        }
    }
}

#[tokio::test]
async fn a_guardrail_blocks_a_request_or_masks_a_reply_and_traces_it() {
    let stub = start().await;
    let guarded = |text: &str| {
        let config =
            json!({ "guardrailIdentifier": "abc123", "guardrailVersion": "1", "trace": "enabled" });
        with(ask(text), "guardrailConfig", config)
    };
    let blocked = converse(&stub, OPUS, &guarded("a forbidden word")).await;
    assert_eq!(blocked["stopReason"], "guardrail_intervened", "{blocked}");
    assert_eq!(
        blocked["output"]["message"]["content"],
        json!([{ "text": bedrock_stub::guardrails::BLOCKED_MESSAGE }])
    );
    assert_eq!(blocked["usage"]["totalTokens"], 0, "the model was not called: {blocked}");
    let trace = &blocked["trace"]["guardrail"];
    assert_eq!(trace["actionReason"], "Guardrail blocked.", "{trace}");
    let words = &trace["inputAssessment"]["abc123"]["wordPolicy"]["customWords"];
    assert_eq!(words[0]["match"], "forbidden", "{trace}");

    let masked = converse(&stub, OPUS, &guarded("[[say Write to jane@example.com.]]")).await;
    assert_eq!(
        masked["output"]["message"]["content"],
        json!([{ "text": "Write to {EMAIL}." }]),
        "{masked}"
    );
    let entities = &masked["trace"]["guardrail"]["outputAssessments"]["abc123"][0];
    assert_eq!(entities["sensitiveInformationPolicy"]["piiEntities"][0]["type"], "EMAIL");

    let events = stream(&stub, OPUS, &guarded("a forbidden word")).await;
    let payload = |kind: &str| &events.iter().find(|(name, _)| name == kind).unwrap().1;
    assert_eq!(payload("messageStop")["stopReason"], "guardrail_intervened");
    assert!(payload("metadata")["trace"]["guardrail"]["inputAssessment"]["abc123"].is_object());

    let passed = converse(&stub, OPUS, &guarded("Hi")).await;
    assert_eq!(passed["stopReason"], "end_turn");
    assert_eq!(passed["trace"]["guardrail"]["actionReason"], "No action.");
}

#[tokio::test]
async fn every_fault_of_a_stream_has_the_frames_of_the_operation() {
    let stub = start().await;
    for fault in STREAM_FAULTS {
        if matches!(fault.name, "stream_stall" | "stream_huge_frame" | "pace") {
            continue;
        }
        let prompt = format!("fault:{}", fault.name);
        let response = send(&stub, OPUS, "converse-stream", &ask(&prompt)).await;
        assert_eq!(response.status(), 200, "{prompt}: {response:?}");
        if response.header("transfer-encoding").is_none() {
            continue;
        }
        let frames = decode(&response.chunks().chunks.concat()).frames;
        let of_invoke = frames.iter().find(|frame| header(frame, ":event-type") == Some("chunk"));
        assert!(of_invoke.is_none(), "{prompt}: {of_invoke:?}");
    }
    let response = send(&stub, OPUS, "converse-stream", &ask("fault:stream_exception:2")).await;
    let frames = decode(&response.chunks().chunks.concat()).frames;
    assert_eq!(frames.len(), 3);
    assert_eq!(header(&frames[2], ":message-type"), Some("exception"));
    assert_eq!(header(&frames[2], ":exception-type"), Some("throttlingException"));
}

#[tokio::test]
async fn a_fault_of_invoke_model_has_the_form_of_converse() {
    let stub = start().await;
    for (fault, status, name) in [
        ("throttled", 429, "ThrottlingException"),
        ("model_timeout", 408, "ModelTimeoutException"),
        ("server_error", 500, "InternalServerException"),
    ] {
        for operation in ["converse", "converse-stream"] {
            let response = send(&stub, NOVA, operation, &ask(&format!("fault:{fault}"))).await;
            assert_eq!(response.status(), status, "{fault}");
            assert!(response.header("x-amzn-errortype").unwrap().starts_with(name), "{fault}");
        }
    }
    let reply = converse(&stub, NOVA, &ask("fault:max_tokens_before_text")).await;
    assert_eq!(reply["stopReason"], "max_tokens");
    assert_eq!(reply["output"]["message"]["content"], json!([]));
    let response = send(&stub, NOVA, "converse", &ask("fault:cut_off")).await;
    assert!(response.text().starts_with(r#"{"metrics""#), "{response:?}");
}

/// A case, the model, the body, and the message of the refusal.
type Row = (&'static str, &'static str, Value, &'static str);

async fn assert_refused(stub: &Stub, operation: &str, rows: &[Row]) {
    for (case, model_id, body, expected) in rows {
        let response = send(stub, model_id, operation, body).await;
        assert_eq!(response.status(), 400, "{case}: {response:?}");
        let kind = response.header("x-amzn-errortype").unwrap_or_default();
        assert!(kind.starts_with("ValidationException:"), "{case}: {kind}");
        assert!(response.message().contains(expected), "{case}: {}", response.message());
    }
}

fn called(id: &str, behind: &[Value]) -> Value {
    let call = json!({ "toolUseId": id, "name": "get_weather", "input": {} });
    let mut messages = vec![
        json!({ "role": "user", "content": [{ "text": "Hi" }] }),
        json!({ "role": "assistant", "content": [{ "toolUse": call }] }),
    ];
    messages.extend_from_slice(behind);
    json!({ "messages": messages, "toolConfig": tools() })
}

fn result(id: &str) -> Value {
    json!({ "toolResult": { "toolUseId": id, "content": [{ "text": "done" }] } })
}

fn from_user(content: Value) -> Value {
    json!({ "role": "user", "content": content })
}

#[tokio::test]
async fn what_the_operation_refuses_is_400_with_its_place() {
    let stub = start().await;
    let document = |name: &str| json!({ "document": { "format": "pdf", "name": name, "source": { "bytes": "QUJD" } } });
    let tool = |name: &str| {
        let mut tools = tools();
        tools["tools"][0]["toolSpec"]["name"] = json!(name);
        with(ask("Hi"), "toolConfig", tools)
    };
    let large = BASE64_STANDARD.encode(vec![0; 3_800_000]);
    let image = json!({ "image": { "format": "png", "source": { "bytes": "QUJD" } } });
    let rows: Vec<Row> = vec![
        ("no messages", OPUS, json!({}), "Value null at 'messages'"),
        (
            "an unknown key",
            OPUS,
            with(ask("Hi"), "max_tokens", json!(1)),
            "max_tokens is not a member",
        ),
        (
            "no content",
            OPUS,
            user(json!([])),
            "The content field in the Message object at messages.0 is empty.",
        ),
        (
            "a string for content",
            OPUS,
            user(json!("Hi")),
            "Unexpected field type at messages.1.member.content",
        ),
        (
            "a string for a block",
            OPUS,
            user(json!(["Hi"])),
            "The format of the value at messages.0.content.0 is invalid.",
        ),
        (
            "a block without a key",
            OPUS,
            user(json!([{}])),
            "The ContentBlock object at messages.0.content.0 must set one of the following keys: text, image",
        ),
        (
            "a block with two keys",
            OPUS,
            user(json!([{ "text": "a", "cachePoint": { "type": "default" } }])),
            "must set one of the following keys",
        ),
        (
            "a blank text",
            OPUS,
            ask(" \n"),
            "The text field in the ContentBlock object at messages.0.content.0 is blank.",
        ),
        (
            "an unknown role",
            OPUS,
            json!({ "messages": [{ "role": "tool", "content": [{ "text": "Hi" }] }] }),
            "Member must satisfy enum value set: [assistant, system, user]",
        ),
        (
            "an assistant first",
            OPUS,
            json!({ "messages": [{ "role": "assistant", "content": [{ "text": "Hi" }] }] }),
            "A conversation must start with a user message.",
        ),
        (
            "a string for the system prompt",
            OPUS,
            with(ask("Hi"), "system", json!("x")),
            "Unexpected field type at system",
        ),
        (
            "no tokens",
            OPUS,
            with(ask("Hi"), "inferenceConfig", json!({ "maxTokens": 0 })),
            "'inferenceConfig.maxTokens' failed to satisfy constraint",
        ),
        (
            "too hot",
            OPUS,
            with(ask("Hi"), "inferenceConfig", json!({ "temperature": 1.5 })),
            "less than or equal to 1",
        ),
        (
            "no tools",
            OPUS,
            with(ask("Hi"), "toolConfig", json!({ "tools": [] })),
            "'toolConfig.tools' failed",
        ),
        (
            "a tool with a dot",
            OPUS,
            tool("get.weather"),
            "'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+",
        ),
        ("a long name", OPUS, tool(&"x".repeat(65)), "length less than or equal to 64"),
        (
            "a tool that is not there",
            OPUS,
            with(
                ask("Hi"),
                "toolConfig",
                with(tools(), "toolChoice", json!({ "tool": { "name": "x" } })),
            ),
            "The tool x in toolConfig.toolChoice.tool is not in",
        ),
        (
            "tools in the conversation only",
            OPUS,
            {
                let mut body = called("a", &[from_user(json!([result("a")]))]);
                body.as_object_mut().unwrap().remove("toolConfig");
                body
            },
            "The toolConfig field must be defined",
        ),
        (
            "an id with a space",
            OPUS,
            called("a b", &[]),
            "toolUse.toolUseId' failed to satisfy constraint",
        ),
        (
            "a call without a result",
            OPUS,
            called("a", &[from_user(json!([{ "text": "Hi" }]))]),
            "Expected toolResult blocks at messages.2.content for the following Ids: a",
        ),
        (
            "a result without a call",
            OPUS,
            with(user(json!([result("a")])), "toolConfig", tools()),
            "The number of toolResult blocks at messages.0.content exceeds the number of toolUse blocks of previous turn.",
        ),
        (
            "two results for one call",
            OPUS,
            called("a", &[from_user(json!([result("a"), result("b")]))]),
            "exceeds the number of toolUse blocks",
        ),
        (
            "a document with a dot",
            OPUS,
            user(json!([document("a.pdf"), { "text": "Hi" }])),
            "The document file name can only contain",
        ),
        (
            "a document with two spaces",
            OPUS,
            user(json!([document("a  b"), { "text": "Hi" }])),
            "more than one consecutive whitespace",
        ),
        (
            "two documents of one name",
            OPUS,
            user(json!([document("a"), document("a"), { "text": "Hi" }])),
            "duplicate document names",
        ),
        (
            "six documents",
            OPUS,
            user(
                json!([document("a"), document("b"), document("c"), document("d"), document("e"), document("f"), { "text": "Hi" }]),
            ),
            "exceeds the limit of 5",
        ),
        (
            "a document without a text",
            OPUS,
            user(json!([document("a")])),
            "must include a text block",
        ),
        (
            "a large image",
            OPUS,
            user(json!([{ "image": { "format": "png", "source": { "bytes": large } } }])),
            "exceeds the limit of 3750000 bytes",
        ),
        ("21 images", OPUS, user(json!(vec![image; 21])), "exceeds the limit of 20"),
        (
            "an image that is not base64",
            OPUS,
            user(json!([{ "image": { "format": "png", "source": { "bytes": "?" } } }])),
            "not valid base64",
        ),
        (
            "an unknown format",
            OPUS,
            user(json!([{ "image": { "format": "bmp", "source": { "bytes": "QUJD" } } }])),
            "enum value set: [png, jpeg, gif, webp]",
        ),
        (
            "a cache point first",
            OPUS,
            user(json!([{ "cachePoint": { "type": "default" } }])),
            "must follow the content",
        ),
        (
            "odd metadata",
            OPUS,
            with(ask("Hi"), "requestMetadata", json!({ "a": "{" })),
            "requestMetadata",
        ),
        (
            "half a guardrail",
            OPUS,
            with(ask("Hi"), "guardrailConfig", json!({ "guardrailIdentifier": "a" })),
            "both its identifier and its version",
        ),
        (
            "a missing guardrail",
            OPUS,
            with(
                ask("Hi"),
                "guardrailConfig",
                json!({ "guardrailIdentifier": "missing1", "guardrailVersion": "1" }),
            ),
            "does not exist",
        ),
        (
            "reasoning of the user",
            OPUS,
            user(json!([{ "reasoningContent": { "reasoningText": { "text": "x" } } }])),
            "must set one of the following keys",
        ),
        (
            "a field that claude does not have",
            OPUS,
            with(ask("Hi"), "additionalModelRequestFields", json!({ "speed": "fast" })),
            "The model returned the following errors: speed: Extra inputs are not permitted",
        ),
        (
            "an unknown model",
            "acme.model-v1:0",
            ask("Hi"),
            "The provided model identifier is invalid.",
        ),
        (
            "a model of embeddings",
            "amazon.titan-embed-text-v2:0",
            ask("Hi"),
            "This action doesn't support the model that you provided.",
        ),
        (
            "a base id of a model with profiles",
            "anthropic.claude-opus-5-5",
            ask("Hi"),
            "on-demand throughput",
        ),
        ("another such id", "deepseek.r1-v1:0", ask("Hi"), "on-demand throughput"),
    ];
    assert_refused(&stub, "converse", &rows).await;
}

#[tokio::test]
async fn what_a_model_of_another_maker_cannot_do_is_400_that_names_it() {
    let stub = start().await;
    let image = json!({ "image": { "format": "png", "source": { "bytes": "QUJD" } } });
    let document =
        json!({ "document": { "format": "pdf", "name": "a", "source": { "bytes": "QUJD" } } });
    let text = json!({ "text": "Hi" });
    let with_tools = with(ask("Hi"), "toolConfig", tools());
    let forced = with(ask("Hi"), "toolConfig", with(tools(), "toolChoice", json!({ "any": {} })));
    let mixed = called("a", &[from_user(json!([result("a"), { "text": "Hi" }]))]);
    let twice = json!({ "messages": [from_user(json!([text])), from_user(json!([text]))] });
    let rows: Vec<Row> = vec![
        (
            "a system prompt",
            MISTRAL_7B,
            with(ask("Hi"), "system", json!([text])),
            "This model doesn't support system messages.",
        ),
        ("tools", DEEPSEEK_R1, with_tools.clone(), "This model doesn't support tool use."),
        (
            "a forced tool",
            LLAMA_3,
            forced,
            "This model doesn't support the toolConfig.toolChoice.any field. Remove toolConfig.toolChoice.any and try again.",
        ),
        (
            "a result with other content",
            LLAMA_3,
            mixed,
            "messages.2.content: Conversation blocks and tool result blocks cannot be provided in the same turn.",
        ),
        (
            "an image",
            LLAMA_3,
            user(json!([image, text])),
            "This model doesn't support the image field for user messages.",
        ),
        (
            "a document",
            GPT_OSS,
            user(json!([document, text])),
            "This model doesn't support the document field for user messages.",
        ),
        (
            "a stop sequence",
            GPT_OSS,
            with(ask("Hi"), "inferenceConfig", json!({ "stopSequences": ["x"] })),
            "This model doesn't support the stopSequences field.",
        ),
        (
            "two turns of the user",
            NOVA,
            twice,
            "A conversation must alternate between user and assistant roles.",
        ),
        (
            "a field of another model",
            NOVA,
            with(ask("Hi"), "additionalModelRequestFields", json!({ "thinking": {} })),
            "extraneous key [thinking] is not permitted",
        ),
        (
            "a schema",
            NOVA,
            with(ask("Hi"), "outputConfig", json!({ "effort": "low" })),
            "This model doesn't support the outputConfig field.",
        ),
        (
            "too many tokens",
            LLAMA_3,
            with(ask("Hi"), "inferenceConfig", json!({ "maxTokens": 10_000 })),
            "exceeds the model limit of 8192",
        ),
    ];
    assert_refused(&stub, "converse", &rows).await;
    let streamed: Vec<Row> = vec![(
        "tools in a stream",
        LLAMA_4,
        with_tools,
        "This model doesn't support tool use in streaming mode.",
    )];
    assert_refused(&stub, "converse-stream", &streamed).await;

    let cached = user(json!([text, { "cachePoint": { "type": "default" } }]));
    let response = send(&stub, LLAMA_3, "converse", &cached).await;
    assert_eq!(response.status(), 403);
    assert!(response.header("x-amzn-errortype").unwrap().starts_with("AccessDeniedException:"));
}

#[tokio::test]
async fn the_signature_and_the_content_type_are_checked() {
    let stub = start().await;
    for operation in ["converse", "converse-stream", "count-tokens"] {
        let mut call = Call::new(ask("Hi").to_string());
        call.host = stub.url().replace("http://", "");
        call.target = format!("/model/{OPUS}/{operation}");
        let mut changed = call.signed();
        changed.body.push(b' ');
        let response = exchange(&stub.url(), &changed).await;
        assert_eq!(response.status(), 403, "{operation}");
        assert!(response.header("x-amzn-errortype").unwrap().starts_with("InvalidSignature"));
        call.service = "s3";
        assert_eq!(exchange(&stub.url(), &call.signed()).await.status(), 403, "{operation}");
    }
    let mut call = Call::new(ask("Hi").to_string());
    call.host = stub.url().replace("http://", "");
    call.target = format!("/model/{OPUS}/converse");
    call.headers = vec![("content-type", "text/plain")];
    assert_eq!(exchange(&stub.url(), &call.signed()).await.status(), 415);
}

#[tokio::test]
async fn the_tokens_of_a_conversation_are_counted() {
    let stub = start().await;
    const SONNET_4_6: &str = "anthropic.claude-sonnet-4-6";
    let converse = json!({ "input": { "converse": with(ask("one two"), "system", json!([{ "text": "three" }])) } });
    let response = send(&stub, SONNET_4_6, "count-tokens", &converse).await;
    assert_eq!(response.json(), json!({ "inputTokens": 3 }), "{response:?}");
    let rows: Vec<Row> = vec![
        ("a profile", OPUS, converse.clone(), "doesn't support counting tokens"),
        ("another maker", NOVA, converse, "doesn't support counting tokens"),
        ("a blank text", SONNET_4_6, json!({ "input": { "converse": ask(" ") } }), "is blank"),
    ];
    assert_refused(&stub, "count-tokens", &rows).await;
}
