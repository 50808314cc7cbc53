//! `ApplyGuardrail`, and the guardrail of `InvokeModel`.

mod signer;
mod wire;

use bedrock_stub::guardrails::BLOCKED_MESSAGE;
use bedrock_stub::{Settings, Stub};
use serde_json::{Value, json};
use signer::{Call, claude};
use wire::{HttpResponse, exchange};

async fn apply(stub: &Stub, guardrail: &str, body: &Value) -> HttpResponse {
    let mut call = Call::new(body.to_string());
    call.host = stub.url().replace("http://", "");
    call.target = format!("/guardrail/{guardrail}/apply");
    exchange(&stub.url(), &call.signed()).await
}

fn content(source: &str, text: &str) -> Value {
    json!({ "source": source, "content": [{ "text": { "text": text } }] })
}

#[tokio::test]
async fn a_guardrail_is_applied_to_a_text() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    // Source, text; action, outputs.
    for (source, text, action, outputs) in [
        ("INPUT", "Hi", "NONE", json!([])),
        ("INPUT", "a forbidden word", "GUARDRAIL_INTERVENED", json!([{ "text": BLOCKED_MESSAGE }])),
        ("INPUT", "jane@example.com", "NONE", json!([])),
        (
            "OUTPUT",
            "Ask jane@example.com!",
            "GUARDRAIL_INTERVENED",
            json!([{ "text": "Ask {EMAIL}!" }]),
        ),
    ] {
        let response = apply(&stub, "abc123/version/DRAFT", &content(source, text)).await;
        assert_eq!(response.status(), 200, "{text}: {response:?}");
        let body = response.json();
        assert_eq!(body["action"], action, "{text}: {body}");
        assert_eq!(body["outputs"], outputs, "{text}: {body}");
        assert_eq!(body["usage"]["wordPolicyUnits"], 1, "{text}: {body}");
        assert_eq!(body["assessments"].as_array().map(Vec::len), Some(1), "{text}: {body}");
    }
}

#[tokio::test]
async fn a_guardrail_or_a_body_that_is_not_valid_is_refused() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let valid = content("INPUT", "Hi");
    for (guardrail, body, status) in [
        ("missing1/version/1", valid.clone(), 404),
        ("ABC/version/1", valid.clone(), 400),
        ("abc/version/01", valid.clone(), 400),
        ("abc/version/latest", valid, 400),
        ("abc/version/1", content("BOTH", "Hi"), 400),
        ("abc/version/1", json!({ "source": "INPUT", "content": [] }), 400),
        ("abc/version/1", json!({ "source": "INPUT", "content": [{ "word": "x" }] }), 400),
    ] {
        let response = apply(&stub, guardrail, &body).await;
        assert_eq!(response.status(), status, "{guardrail} {body}: {response:?}");
    }
    let mut unsigned = Call::new("{}").signed();
    unsigned.target = "/guardrail/abc/version/1/apply".to_owned();
    assert_eq!(exchange(&stub.url(), &unsigned).await.status(), 403);
}

#[tokio::test]
async fn the_guardrail_of_invoke_model_is_in_headers() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    for (prompt, action, text) in
        [("a forbidden word", "INTERVENED", BLOCKED_MESSAGE), ("[[say Hi]]", "NONE", "Hi")]
    {
        let mut call = Call::new(claude(prompt));
        call.host = stub.url().replace("http://", "");
        call.headers.extend([
            ("x-amzn-bedrock-guardrailidentifier", "abc123"),
            ("x-amzn-bedrock-guardrailversion", "2"),
            ("x-amzn-bedrock-trace", "ENABLED"),
        ]);
        let body = exchange(&stub.url(), &call.signed()).await.json();
        assert_eq!(body["amazon-bedrock-guardrailAction"], action, "{body}");
        assert_eq!(body["content"][0]["text"], text, "{body}");
        let trace = &body["amazon-bedrock-trace"]["guardrail"];
        assert!(trace["input"]["abc123"].is_object(), "{body}");
        call.headers.truncate(2);
        assert_eq!(exchange(&stub.url(), &call.signed()).await.status(), 400, "no version");
    }
}
