//! The models that a caller may choose.

use serde_json::json;

use crate::support::fixture::Fixture;

#[tokio::test]
async fn a_caller_may_choose_only_allowed_models() {
    const DEFAULT: &str = "apac.anthropic.claude-sonnet-4-20250514-v1:0";
    const OTHER: &str = "jp.anthropic.claude-sonnet-4-5-20250929-v1:0";
    const ARN: &str =
        "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/a1b2";
    let allowed = json!({ "ALLOWED_MODELS": format!("{OTHER}, {ARN}") });
    let (fixture, closed) =
        (Fixture::with_bindings(allowed).await, Fixture::with_bindings(json!({})).await);
    let cases = [
        ("the default model by name", &closed, DEFAULT, true),
        ("another model without a list", &closed, OTHER, false),
        ("the default model with a list", &fixture, DEFAULT, true),
        ("another allowed model", &fixture, OTHER, true),
        ("an ARN", &fixture, ARN, true),
        ("in another case", &fixture, "JP.anthropic.claude-sonnet-4-5-20250929-v1:0", false),
        ("a prefix of an allowed model", &fixture, "jp.anthropic.claude-sonnet-4-5", false),
        ("two models", &fixture, "jp.anthropic.claude-sonnet-4-5-20250929-v1:0, x", false),
        ("percent-encoded", &fixture, "jp.anthropic.claude-sonnet-4-5-20250929-v1%3A0", false),
        ("a path", &fixture, "../x", false),
    ];
    for (case, fixture, model, is_allowed) in cases {
        let prompt = format!("model: {case}");
        let body = json!({ "prompt": prompt, "model": model });
        let response = fixture.worker.post(body).await;
        if is_allowed {
            assert_eq!(response.status, 200, "{case}: {response}");
            let path = model.replace(':', "%3A").replace('/', "%2F");
            assert_eq!(
                fixture.bedrock_request(&prompt).target,
                format!("/model/{path}/invoke"),
                "{case}"
            );
            let line = fixture.worker.log_line(response.request_id()).await;
            assert_eq!(line["model"], model, "{case}");
        } else {
            assert_eq!(response.status, 403, "{case}: {response}");
            assert_eq!(response.header("x-error-code"), Some("model_not_allowed"), "{case}");
            assert!(!response.body.contains(OTHER), "{case}: {response}");
        }
    }
    let body = json!({ "prompt": "another model in events", "model": OTHER, "stream": true });
    let response = fixture.worker.post(body).await;
    assert!(response.body.contains(&format!(r#""model":"{OTHER}""#)), "{response}");
    for (case, model) in [("a number", json!(1)), ("blank", json!(" "))] {
        let response = fixture.worker.post(json!({ "prompt": "hi", "model": model })).await;
        assert_eq!(response.status, 400, "{case}: {response}");
    }
}
