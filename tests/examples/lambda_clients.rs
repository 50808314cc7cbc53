//! Clients of AWS Lambda that call bedrock-edge with only the endpoint URL changed: boto3 and the
//! AWS CLI.

use std::time::Duration;

use bedrock_edge_tests::root;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::support::{ExampleServer, SECRET_ACCESS_KEY, TIMEOUT, wrangler};

/// A client key, which Bedrock does not know.
const KEY_ID: &str = "EDGEI44QH8DHBEXAMPLE";

/// Starts a Worker that accepts only this client key.
async fn bedrock_edge(name: &'static str) -> ExampleServer {
    ExampleServer::start(name, "/healthz", |port, variables| {
        let keys = ("CLIENT_KEYS", format!("{KEY_ID}:{SECRET_ACCESS_KEY}"));
        wrangler(name, ".", &["wrangler.toml"], port, &[variables, &[keys]].concat())
    })
    .await
}

/// Builds a command with the client key, isolated from the AWS configuration of this machine.
fn client(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("NO_PROXY", "127.0.0.1");
    command
}

/// The prompts that have reached Bedrock.
fn prompts(server: &ExampleServer) -> Vec<String> {
    let prompt = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).unwrap();
        body["messages"][0]["content"].as_str().unwrap().to_owned()
    };
    server.stub.requests().iter().map(|request| prompt(&request.body)).collect()
}

#[tokio::test]
async fn boto3_can_invoke_the_worker_like_a_lambda_function() {
    let worker = bedrock_edge("boto3").await;
    let mut python = client("python");
    python.arg(root().join("tests/clients/lambda.py")).arg(worker.url(""));
    let results: Value = serde_json::from_str(&worker.stdout_of(&mut python).await).unwrap();

    let cases = [
        ("name", "こんにちは"),
        ("arn", "こんにちは"),
        ("partial arn", "こんにちは"),
        ("name and alias", "こんにちは"),
        ("qualifier", "こんにちは"),
        ("no payload", "Hello, how can I help you?"),
    ];
    for (case, prompt) in cases {
        let response = &results[case];
        assert_eq!(response["status"], 200, "{case}: {response}");
        assert_eq!(response["version"], "$LATEST", "{case}: {response}");
        assert_eq!(response["function_error"], Value::Null, "{case}: {response}");
        let payload: Value = serde_json::from_str(response["payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload["statusCode"], 200, "{case}: {payload}");
        assert_eq!(payload["headers"]["x-request-id"], response["request_id"], "{case}: {payload}");
        let body: Value = serde_json::from_str(payload["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["input_prompt"], prompt, "{case}: {payload}");
    }
    for (case, status) in [("event", 202), ("dry run", 204)] {
        let response = &results[case];
        assert_eq!(
            (&response["status"], &response["payload"]),
            (&json!(status), &json!("")),
            "{case}"
        );
        assert!(response["request_id"].is_string(), "{case}: {response}");
    }
    let response = &results["stream"];
    assert_eq!(response["status"], 200, "{response}");
    assert_eq!(response["version"], "$LATEST", "{response}");
    assert_eq!(response["content_type"], "application/vnd.amazon.eventstream", "{response}");
    assert_eq!(response["complete"], json!({}), "{response}");
    let chunks = response["chunks"].as_array().unwrap();
    assert!(chunks.len() > 3, "{response}");
    let text: String = chunks.iter().filter_map(Value::as_str).collect();
    let id = response["request_id"].as_str().unwrap();
    assert!(text.starts_with("event: start\n") && text.contains(id), "{text}");
    assert!(text.contains("event: done\n") && text.contains("こんにちは"), "{text}");
    let response = &results["whole"];
    let payload: Value = serde_json::from_str(response["chunks"][0].as_str().unwrap()).unwrap();
    assert_eq!(payload["statusCode"], 200, "{payload}");
    assert!(payload["body"].as_str().unwrap().contains("whole"), "{payload}");
    assert_eq!(response["complete"], json!({}), "{response}");
    let response = &results["broken stream"];
    assert_eq!(response["complete"]["ErrorCode"], "throttled", "{response}");
    let error = &results["wrong stream"];
    assert_eq!(error["error"]["Code"], "InvalidRequestContentException", "{error}");

    let payload: Value =
        serde_json::from_str(results["wrong prompt"]["payload"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&results["wrong prompt"]["status"], &payload["statusCode"]),
        (&json!(200), &json!(400))
    );
    let error = &results["not json"];
    assert_eq!(error["status"], 400, "{error}");
    assert_eq!(error["error"]["Code"], "InvalidRequestContentException", "{error}");

    let error = &results["wrong key"];
    assert_eq!(error["status"], 401, "{error}");
    assert_eq!(error["error"]["Code"], "InvalidSignatureException", "{error}");

    // The asynchronous event is processed after its response; the dry run is not processed at all.
    let begun = Instant::now();
    while !prompts(&worker).iter().any(|prompt| prompt == "asynchronously") {
        assert!(begun.elapsed() < TIMEOUT, "{:?}", prompts(&worker));
        sleep(Duration::from_millis(50)).await;
    }
    // One call each, and of the three streams.
    assert_eq!(prompts(&worker).len(), cases.len() + 4, "{:?}", prompts(&worker));
    let id = results["event"]["request_id"].as_str().unwrap();
    while !worker.logs().contains(id) {
        assert!(begun.elapsed() < TIMEOUT, "no log line of {id}: {}", worker.logs());
        sleep(Duration::from_millis(50)).await;
    }
    let matches = |line: &&str| line.contains(id);
    let line: Value = serde_json::from_str(worker.logs().lines().find(matches).unwrap()).unwrap();
    assert_eq!(line["caller"], format!("key:{KEY_ID}"), "{line}");
    worker.stop().await;
}

#[tokio::test]
async fn the_aws_cli_can_invoke_the_worker_like_a_lambda_function() {
    let worker = bedrock_edge("aws-cli").await;
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("aws-cli.json");
    let mut aws = client("aws");
    aws.args(["lambda", "invoke", "--function-name", "my-function", "--region", "ap-northeast-1"])
        .args(["--payload", r#"{"prompt": "Hello, CLI"}"#, "--endpoint-url", &worker.url("")])
        .arg(&file);
    let results: Value = serde_json::from_str(&worker.stdout_of(&mut aws).await).unwrap();
    assert_eq!(results, json!({ "StatusCode": 200, "ExecutedVersion": "$LATEST" }));
    let payload: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(payload["statusCode"], 200, "{payload}");
    assert!(payload["body"].as_str().unwrap().contains("Hello, CLI"), "{payload}");
    worker.stop().await;
}
