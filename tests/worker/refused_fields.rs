//! Models that refuse a field: those of the table, and those that only Bedrock knows.

use bedrock_stub::Received;
use serde_json::json;

use crate::support::fixture::{Fixture, json_body};

const HIDDEN: &str =
    "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/refuses-temperature";

/// Returns the temperature of each request to Bedrock.
fn temperatures(requests: &[Received]) -> Vec<serde_json::Value> {
    requests.iter().map(|request| json_body(request)["temperature"].clone()).collect()
}

#[tokio::test]
async fn the_default_temperature_is_not_sent_to_a_model_of_the_table_that_refuses_it() {
    for model in
        ["global.anthropic.claude-sonnet-5-5".to_owned(), format!("claude-sonnet-5-5={HIDDEN}")]
    {
        let bindings = json!({ "BEDROCK_MODEL_ID": model, "MAX_TOKENS": "2000" });
        let fixture = Fixture::with_bindings(bindings).await;
        let response = fixture.worker.prompt("no temperature").await;
        assert_eq!(response.status, 200, "{model}: {response}");
        let sent = temperatures(&fixture.bedrock_requests("no temperature"));
        assert_eq!(sent, [json!(null)], "{model}");

        let body = json!({ "prompt": "by name", "model": "claude-sonnet-5-5" });
        assert_eq!(fixture.worker.post(body).await.status, 200, "{model}");

        let body = json!({ "prompt": "warm", "temperature": 0.5 });
        let response = fixture.worker.post(body).await;
        let message = "Error: temperature is not taken by claude-sonnet-5-5: leave it out";
        response.assert_envelope(&model, 400, "", message);
        assert!(fixture.bedrock_requests("warm").is_empty(), "{model}");
    }
}

#[tokio::test]
async fn a_default_that_bedrock_refuses_is_dropped_once_and_then_remembered() {
    let bindings = json!({ "BEDROCK_MODEL_ID": HIDDEN, "BEDROCK_MAX_ATTEMPTS": "1" });
    for stream in [false, true] {
        let fixture = Fixture::with_bindings(bindings.clone()).await;
        let body = |prompt: &str| json!({ "prompt": prompt, "stream": stream });
        let first = fixture.worker.post(body("first")).await;
        assert_eq!(first.status, 200, "{first}");
        assert!(stream || first.header("x-bedrock-attempts") == Some("2"), "{first}");
        let sent = temperatures(&fixture.bedrock_requests("first"));
        assert_eq!(sent, [json!(0.7), json!(null)], "stream: {stream}");
        let line = fixture.worker.log_line(first.request_id()).await;
        assert_eq!(
            (&line["outcome"], &line["dropped_field"]),
            (&json!("ok"), &json!("temperature"))
        );

        let second = fixture.worker.post(body("second")).await;
        assert_eq!(second.status, 200, "{second}");
        assert_eq!(temperatures(&fixture.bedrock_requests("second")), [json!(null)]);
        let line = fixture.worker.log_line(second.request_id()).await;
        assert_eq!(line["dropped_field"], json!(null), "{line}");

        // The caller's own temperature is the caller's to drop.
        let body = json!({ "prompt": "third", "stream": stream, "temperature": 0.5 });
        let third = fixture.worker.post(body).await;
        assert_eq!(third.header("x-error-code"), Some("rejected"), "{third}");
        assert_eq!(temperatures(&fixture.bedrock_requests("third")), [json!(0.5)]);
    }
}

#[tokio::test]
async fn a_prefill_is_rejected_for_a_model_that_refuses_it() {
    let bindings = json!({ "BEDROCK_MODEL_ID": "global.anthropic.claude-sonnet-4-6" });
    let fixture = Fixture::with_bindings(bindings).await;
    let messages = json!([
        { "role": "user", "content": "a" },
        { "role": "assistant", "content": "b" },
    ]);
    let response = fixture.worker.post(json!({ "messages": messages })).await;
    assert_eq!(response.status, 400, "{response}");
    assert!(response.body.contains("messages[1].role must be"), "{response}");
    assert!(response.body.contains("claude-sonnet-4-6"), "{response}");
}

#[tokio::test]
async fn few_tokens_for_a_model_that_always_thinks_are_a_warning_at_start() {
    let bindings = json!({ "BEDROCK_MODEL_ID": "global.anthropic.claude-opus-5-5" });
    let Fixture { worker, stub: _stub } = Fixture::with_bindings(bindings).await;
    for _ in 0..2 {
        worker.health().await;
    }
    let output = worker.output();
    let warning =
        r#"{"level":"warn","warning":"MAX_TOKENS is 100, and claude-opus-5-5 always thinks"#;
    assert_eq!(output.matches(warning).count(), 1, "{output}");
}
