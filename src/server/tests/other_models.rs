//! Models of other makers, from a request to what Converse and the client get.

use bedrock_stub::frames::{encode, event, exception};
use serde_json::Value;

use super::*;
use crate::host::Runtime;

const NOVA: (&str, &str) = ("BEDROCK_MODEL_ID", "amazon.nova-2-lite-v1:0");
const REQUEST_ID: (&str, &str) = ("x-amzn-requestid", "0a1b2c3d-1111-4222-8333-444455556666");

/// A reply of Converse.
const REPLY: &str = r#"{"metrics":{"latencyMs":5},"output":{"message":{"role":"assistant","content":[{"text":"はい、\"元気\"です。"}]}},"stopReason":"end_turn","usage":{"inputTokens":12,"outputTokens":7,"totalTokens":19}}"#;

fn replying() -> Scripted {
    Scripted::new().then(200, &[REQUEST_ID], REPLY)
}

/// Writes events of ConverseStream as Bedrock does.
fn frames(events: &[(&str, &str)]) -> Vec<u8> {
    let frame = |(kind, payload): &(&str, &str)| encode(&event(kind, payload.as_bytes().to_vec()));
    events.iter().flat_map(frame).collect()
}

const TEXT: [(&str, &str); 6] = [
    ("messageStart", r#"{"p":"abcdef","role":"assistant"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"はい、\"元"},"p":"abc"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"気\"です。"},"p":"ab"}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":0,"p":"abcd"}"#),
    ("messageStop", r#"{"p":"abcdefgh","stopReason":"end_turn"}"#),
    (
        "metadata",
        r#"{"metrics":{"latencyMs":5},"p":"a","usage":{"inputTokens":12,"outputTokens":7,"totalTokens":19}}"#,
    ),
];

#[tokio::test]
async fn the_lambdas_prompt_is_answered_by_converse() {
    for model in ["amazon.nova-2-lite-v1:0", "jp.amazon.nova-2-lite-v1:0", "zai.glm-9", "m"] {
        let host = replying();
        let isolate = isolate(&[("BEDROCK_MODEL_ID", model)]);
        let (envelope, record) = lambda_handler(post(Bytes::from(BODY)), &isolate, &host).await;
        assert_eq!(
            (envelope.status_code, &*envelope.body),
            (200, r#"{"input_prompt":"お元気ですか","generated_text":"はい、\"元気\"です。"}"#),
            "{model}"
        );
        for (name, value) in [
            ("x-stop-reason", "end_turn"),
            ("x-amzn-bedrock-input-token-count", "12"),
            ("x-amzn-bedrock-output-token-count", "7"),
        ] {
            assert_eq!(header(&envelope, name), Some(value), "{model}");
        }
        check_form(model, &envelope, &record);
        let requests = host.requests.borrow();
        let path = format!("/model/{}/converse", model.replace(':', "%3A"));
        assert_eq!(requests[0].uri().path(), path);
        assert_eq!(
            std::str::from_utf8(requests[0].body()).unwrap(),
            r#"{"messages":[{"role":"user","content":[{"text":"お元気ですか"}]}],"inferenceConfig":{"maxTokens":100,"temperature":0.7}}"#
        );
    }
}

#[tokio::test]
async fn the_lambdas_prompt_is_streamed_by_converse_stream() {
    let host = Scripted::new().then(200, &[REQUEST_ID], frames(&TEXT));
    let isolate = isolate(&[NOVA]);
    let socket = WebSocket::trusted(&isolate).unwrap();
    let mut streaming = socket_handler(BODY.into(), &socket, &host).await.unwrap();
    let mut messages = Vec::new();
    while let Some(event) = streaming.next(&host).await {
        messages.push(event.to_message());
    }
    assert_eq!(
        host.requests.borrow()[0].uri().path(),
        "/model/amazon.nova-2-lite-v1%3A0/converse-stream"
    );
    assert_eq!(messages.len(), 4, "{messages:?}");
    let done: Value = serde_json::from_str(&messages[3]).unwrap();
    assert_eq!(
        done,
        json!({
            "event": "done",
            "data": {
                "input_prompt": "お元気ですか",
                "generated_text": "はい、\"元気\"です。",
                "stop_reason": "end_turn",
                "usage": { "input_tokens": 12, "output_tokens": 7 },
            },
        })
    );
    let (record, _) = streaming.generation.finish(host.now());
    assert_eq!(
        (record.outcome, record.input_tokens, record.output_tokens),
        ("ok", Some(12), Some(7))
    );
}

/// Makes a request to the Messages API.
fn messages(body: &Value) -> IncomingRequest<Bytes> {
    let headers = [("anthropic-version", "2023-06-01")];
    request_in_the_worker("POST", "/v1/messages", &headers, Bytes::from(body.to_string()))
}

/// Makes a body for the Messages API with members beside a prompt.
fn body(members: Value) -> Value {
    let mut body = json!({
        "model": "nova-2-lite",
        "max_tokens": 50,
        "messages": [{ "role": "user", "content": "a" }],
    });
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

async fn whole(body: &Value, isolate: &Isolate, host: &Scripted) -> (Envelope, Record) {
    match handle(messages(body), isolate, host).await {
        Handled::Whole(envelope, record) => (envelope, record),
        _ => panic!("not a whole response"),
    }
}

/// Returns the events as the client gets them, and the record.
async fn streamed(body: &Value, isolate: &Isolate, host: &Scripted) -> (String, Record) {
    let mut streaming = match handle(messages(body), isolate, host).await {
        Handled::Stream(_, streaming) => streaming,
        Handled::Whole(envelope, _) => panic!("{envelope:?}"),
        _ => panic!("not a stream"),
    };
    let mut out = Vec::new();
    while let Some(event) = streaming.next(host).await {
        streaming.generation.encode(&event, &mut out);
    }
    (String::from_utf8(out).unwrap(), streaming.generation.finish(host.now()).0)
}

fn sent(host: &Scripted, index: usize) -> Value {
    serde_json::from_slice(host.requests.borrow()[index].body()).unwrap()
}

#[tokio::test]
async fn the_name_of_a_member_is_no_header_of_its_own() {
    for (member, told) in [
        ("a\r\nx-evil: 1", "a??x-evil:?1"),
        ("a\nx-evil:1", "a?x-evil:1"),
        ("a, b", "a??b"),
        ("\0", "?"),
        ("日本", "??"),
        (&"x".repeat(100_000), &"x".repeat(128)),
    ] {
        let (host, isolate) = (replying(), isolate(&[NOVA]));
        let (envelope, record) = whole(&body(json!({ member: 1 })), &isolate, &host).await;
        assert_eq!(envelope.status_code, 200, "{member:?}");
        assert_eq!(header(&envelope, "x-bedrock-removed"), Some(told), "{member:?}");
        for (name, value) in &envelope.headers {
            assert!(http::HeaderValue::from_str(value).is_ok(), "{name}: {value:?}");
        }
        let line = record.line(None).unwrap();
        assert!(line.len() < 2000 && line.contains(&format!("\"removed\":[\"{told}\"]")), "{line}");
    }
}

#[tokio::test]
async fn the_messages_api_tells_what_was_removed_and_has_claudes_reply() {
    let (host, isolate) = (replying(), isolate(&[NOVA]));
    let members = json!({ "metadata": {}, "service_tier": "flex", "tools": [{ "name": "a", "strict": true, "input_schema": {} }] });
    let (envelope, record) = whole(&body(members), &isolate, &host).await;
    assert_eq!(
        envelope.body,
        r#"{"id":"msg_0a1b2c3d111142228333444455556666","type":"message","role":"assistant","model":"nova-2-lite","content":[{"type":"text","text":"はい、\"元気\"です。"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":7}}"#
    );
    let removed = ["tools.0.strict", "tools.0.input_schema.type", "metadata"];
    assert_eq!(record.removed, removed);
    assert_eq!(header(&envelope, "x-bedrock-removed"), Some(&*removed.join(", ")));
    let json = sent(&host, 0);
    assert_eq!(json["serviceTier"], json!({ "type": "flex" }));
    assert_eq!(
        json["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"],
        json!({ "type": "object" })
    );
    assert!(!host.requests.borrow()[0].headers().contains_key("x-amzn-bedrock-service-tier"));
}

#[tokio::test]
async fn a_guardrail_is_in_the_body_and_its_intervention_is_told_whole_and_streamed() {
    let vars = [NOVA, ("BEDROCK_GUARDRAIL_ID", "a1b2c3"), ("BEDROCK_GUARDRAIL_VERSION", "1")];
    let isolate = isolate(&vars);
    let blocked = REPLY.replace("end_turn", "guardrail_intervened");
    let host = Scripted::new().then(200, &[REQUEST_ID], blocked);
    let (envelope, record) = lambda_handler(post(Bytes::from(BODY)), &isolate, &host).await;
    assert_eq!(header(&envelope, "x-bedrock-guardrail-action"), Some("INTERVENED"));
    assert!(record.guardrail_intervened);
    let expected = json!({ "guardrailIdentifier": "a1b2c3", "guardrailVersion": "1" });
    assert_eq!(sent(&host, 0)["guardrailConfig"], expected);
    assert!(
        !host.requests.borrow()[0].headers().contains_key("x-amzn-bedrock-guardrailidentifier")
    );

    let mut events = TEXT;
    events[4].1 = r#"{"stopReason":"guardrail_intervened"}"#;
    let host = Scripted::new().then(200, &[REQUEST_ID], frames(&events));
    let (out, record) = streamed(&body(json!({ "stream": true })), &isolate, &host).await;
    assert!(out.contains(r#""stop_reason":"refusal""#), "{out}");
    assert!(!out.contains("amazon-bedrock"), "{out}");
    assert!(record.guardrail_intervened);
}

#[tokio::test]
async fn a_cache_that_the_model_does_not_have_is_left_out_once_and_from_then_on() {
    let refusal = r#"{"message":"You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more information."}"#;
    let isolate = isolate(&[NOVA, ONCE]);
    let host = Scripted::new()
        .then(403, &[("x-amzn-errortype", "AccessDeniedException")], refusal)
        .then(200, &[], REPLY)
        .then(200, &[], REPLY);
    let system = json!([{ "type": "text", "text": "s", "cache_control": { "type": "ephemeral" } }]);
    let body = body(json!({ "system": system }));
    let (envelope, record) = whole(&body, &isolate, &host).await;
    assert_eq!((envelope.status_code, record.attempts), (200, 2), "{envelope:?}");
    assert_eq!(record.dropped_field.as_deref(), Some("cache_control"));
    let point = json!({ "cachePoint": { "type": "default" } });
    assert_eq!(sent(&host, 0)["system"], json!([{ "text": "s" }, point]));
    assert_eq!(sent(&host, 1)["system"], json!([{ "text": "s" }]));
    let (_, record) = whole(&body, &isolate, &host).await;
    assert_eq!((record.attempts, record.dropped_field.as_deref()), (1, None));
    assert_eq!(record.removed, ["system.0.cache_control"]);
    assert_eq!(sent(&host, 2)["system"], json!([{ "text": "s" }]));
}

#[tokio::test]
async fn the_default_temperature_that_a_model_refuses_is_left_out_for_converse_too() {
    let refusal = r#"{"message":"This model doesn't support the temperature field. Remove temperature and try again."}"#;
    let host = Scripted::new()
        .then(400, &[("x-amzn-errortype", "ValidationException")], refusal)
        .then(200, &[], REPLY);
    let isolate = isolate(&[NOVA, ONCE]);
    let (envelope, record) = lambda_handler(post(Bytes::from(BODY)), &isolate, &host).await;
    assert_eq!(envelope.status_code, 200, "{envelope:?}");
    assert_eq!(record.dropped_field.as_deref(), Some("temperature"));
    assert_eq!(sent(&host, 1)["inferenceConfig"], json!({ "maxTokens": 100 }));
}

#[tokio::test]
async fn a_stream_of_converse_that_ends_early_ends_with_one_typed_error_and_an_unknown_usage() {
    let throttled = encode(&exception("throttlingException", r#"{"message": "Too many tokens"}"#));
    let malformed = frames(&[("messageStop", r#"{"stopReason":"malformed_tool_use"}"#)]);
    let without_usage = frames(&TEXT[4..5]);
    for (name, rest, kind, outcome) in [
        ("cut off", Vec::new(), "api_error", "truncated"),
        ("an exception", throttled, "rate_limit_error", "throttled"),
        ("a malformed call", malformed, "api_error", "model_error"),
        ("no usage", without_usage, "api_error", "truncated"),
    ] {
        let bytes = [frames(&TEXT[..2]), rest].concat();
        let host = Scripted::new().then(200, &[REQUEST_ID], bytes);
        let isolate = isolate(&[NOVA, ONCE]);
        let (events, record) = streamed(&body(json!({ "stream": true })), &isolate, &host).await;
        let (_, last) = events.rsplit_once("event: error\ndata: ").expect(name);
        let json: Value = serde_json::from_str(last.trim_end()).unwrap();
        assert_eq!(json["error"]["type"], kind, "{name}");
        assert_eq!((record.outcome, record.input_tokens), (outcome, None), "{name}");
    }
}

#[tokio::test]
async fn a_stream_with_tools_is_made_of_a_whole_reply_if_the_model_takes_none_in_a_stream() {
    const LLAMA: (&str, &str) = ("BEDROCK_MODEL_ID", "meta.llama3-1-8b-instruct-v1:0");
    let call = r#"{"output":{"message":{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"a","input":{"b":1}}}]}},"stopReason":"tool_use","usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7}}"#;
    let isolate = isolate(&[LLAMA, ONCE]);
    let tools = json!([{ "name": "a", "input_schema": { "type": "object" } }]);
    let members = json!({ "model": "llama-3.1-8b", "stream": true, "tools": tools });
    let host = Scripted::new().then(200, &[REQUEST_ID, ("content-type", "application/json")], call);
    let (events, record) = streamed(&body(members.clone()), &isolate, &host).await;
    let path = "/model/meta.llama3-1-8b-instruct-v1%3A0/converse";
    assert_eq!(host.requests.borrow()[0].uri().path(), path);
    assert!(events.contains(r#""partial_json":"{\"b\":1}""#), "{events}");
    assert!(
        events.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
        "{events}"
    );
    assert_eq!((record.outcome, record.output_tokens), ("ok", Some(4)));

    // Without tools it is a stream, and a failure has its own status.
    let host = Scripted::new().then(200, &[REQUEST_ID], frames(&TEXT));
    let without = json!({ "model": "llama-3.1-8b", "stream": true });
    streamed(&body(without), &isolate, &host).await;
    assert!(host.requests.borrow()[0].uri().path().ends_with("/converse-stream"));
    for (reply, status) in [(r#"{"message":"Too many requests"}"#, 429), ("<html>", 500)] {
        let host = Scripted::new().then(200, &[], reply);
        let (envelope, _) = whole(&body(members.clone()), &isolate, &host).await;
        assert_eq!(envelope.status_code, status, "{reply}");
    }
}

#[tokio::test]
async fn tokens_are_estimated_for_models_of_other_makers() {
    let headers = [("anthropic-version", "2023-06-01")];
    let json = r#"{"model":"nova-2-lite","messages":[{"role":"user","content":"one two three"}]}"#;
    let request =
        request_in_the_worker("POST", "/v1/messages/count_tokens", &headers, Bytes::from(json));
    let host = Scripted::new();
    let isolate = isolate(&[NOVA]);
    let Handled::Whole(envelope, _) = handle(request, &isolate, &host).await else {
        panic!("not a whole response")
    };
    assert_eq!(header(&envelope, "x-bedrock-token-count"), Some("estimate"), "{envelope:?}");
    assert!(host.requests.borrow().is_empty());
}
