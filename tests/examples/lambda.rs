//! `examples/lambda` under `cargo lambda watch`.

use bedrock_edge_tests::root;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{ExampleServer, target};

mod sessions;

const FOLDER: &str = "examples/lambda";

/// Builds the command for `cargo lambda watch`.
fn watch(port: u16, variables: &[(&str, String)], mode: &str) -> Command {
    let mut command = Command::new("cargo");
    command
        .current_dir(root().join(FOLDER))
        .args(["lambda", "watch", "--ignore-changes", "--invoke-address=127.0.0.1"])
        .args(["--invoke-port", &port.to_string()])
        .env("CARGO_TARGET_DIR", target("lambda"))
        .env("INVOKE_MODE", mode)
        .env("AUTH", "open")
        .envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

/// Runs `cargo lambda invoke` with these options, which name the event.
async fn invoke(lambda: &ExampleServer, event: &[&str]) -> Value {
    let mut command = Command::new("cargo");
    command
        .args(["lambda", "invoke", "--invoke-address=127.0.0.1"])
        .args(["--invoke-port", &lambda.port.to_string()])
        .args(event);
    serde_json::from_str(&lambda.stdout_of(&mut command).await).unwrap()
}

/// Runs `cargo lambda invoke` with an event of tests/events.
async fn invoke_file(lambda: &ExampleServer, event: &str) -> Value {
    let file = root().join("tests/events").join(event).with_extension("json");
    invoke(lambda, &["--data-file", file.to_str().unwrap()]).await
}

/// The events, and their prompts.
const EVENTS: [(&str, &str); 4] = [
    ("direct", "サーバーレスの利点を三つ挙げてください。"),
    ("api-gateway-v1", "こんにちは"),
    ("api-gateway-v2", "Hello, v2"),
    ("function-url", "Hello"),
];

#[tokio::test]
async fn every_shape_of_event_gets_a_proxy_response_with_the_envelope() {
    let lambda = ExampleServer::start("lambda-buffered", "/healthz", |port, variables| {
        watch(port, variables, "BUFFERED")
    })
    .await;
    for (event, prompt) in EVENTS {
        let envelope = invoke_file(&lambda, event).await;
        assert_eq!(envelope["statusCode"], 200, "{event}: {envelope}");
        assert_eq!(envelope["isBase64Encoded"], false, "{event}: {envelope}");
        let content_type = &envelope["headers"]["Content-Type"];
        assert_eq!(content_type, "application/json; charset=utf-8", "{event}: {envelope}");
        let body: Value = serde_json::from_str(envelope["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["input_prompt"], prompt, "{event}");
        assert!(body["generated_text"].as_str().unwrap().contains(prompt), "{event}: {body}");
    }
    assert_eq!(lambda.stub.requests().len(), EVENTS.len());
    let lines = lambda.logs();
    let logged = lines.lines().filter(|line| line.contains(r#""upstream_status":200"#));
    assert_eq!(logged.count(), EVENTS.len(), "{lines}");
    lambda.stop().await;
}

#[tokio::test]
async fn a_function_url_streams_a_reply_and_sends_errors_before_the_first_event() {
    let lambda = ExampleServer::start("lambda-streaming", "/healthz", |port, variables| {
        watch(port, variables, "RESPONSE_STREAM")
    })
    .await;

    // For a response that is not streamed, a Function URL passes on the body alone.
    let body = invoke_file(&lambda, "function-url").await;
    assert_eq!(body["input_prompt"], "Hello", "{body}");
    let envelope = invoke_file(&lambda, "api-gateway-v1").await;
    assert_eq!(envelope["statusCode"], 200, "{envelope}");

    // The pace of the stream makes the chunks arrive one by one.
    let prompt = "fault:pace:100";
    let call = lambda.request(Method::POST, "/").json(&json!({ "prompt": prompt, "stream": true }));
    let mut response = call.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let mut chunks: Vec<String> = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        chunks.push(String::from_utf8(chunk.to_vec()).unwrap());
    }
    assert!(chunks.len() > 5, "{chunks:?}");
    let events = chunks.concat();
    assert!(events.starts_with("event: start\n"), "{events}");
    let done = events.trim_end().rsplit_once("event: done\ndata: ").unwrap().1;
    let done: Value = serde_json::from_str(done).unwrap();
    assert_eq!(done["input_prompt"], prompt, "{done}");

    // An error has its status before the first event.
    let call = lambda.request(Method::POST, "/").json(&json!({ "prompt": "", "stream": true }));
    let response = call.send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["x-error-code"], "invalid_request");
    lambda.stop().await;
}

#[tokio::test]
async fn the_sam_template_passes_cfn_lint() {
    let lint = Command::new("cfn-lint")
        .arg(root().join(FOLDER).join("template.yaml"))
        .output()
        .await
        .expect("cfn-lint: scripts/python-tools installs it");
    let found = String::from_utf8_lossy(&lint.stdout);
    assert!(lint.status.success(), "{found}{}", String::from_utf8_lossy(&lint.stderr));
}
