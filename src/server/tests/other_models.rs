//! Models of other makers, from a request to what Converse and the client get.

use bedrock_stub::frames::{encode, event};
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
