//! Callers of a Lambda who change only the URL: boto3 and the AWS CLI against bedrock-edge.

use std::time::Duration;

use bedrock_edge_tests::root;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::support::{PATIENCE, Running, SECRET_ACCESS_KEY, wrangler};

/// A caller's key, which is not the one that Bedrock knows.
const KEY_ID: &str = "EDGEI44QH8DHBEXAMPLE";

/// With the gate closed to everybody else.
async fn bedrock_edge(name: &'static str) -> Running {
    Running::start(name, "/healthz", |port, variables| {
        let keys = ("CLIENT_KEYS", format!("{KEY_ID}:{SECRET_ACCESS_KEY}"));
        wrangler(name, ".", &["wrangler.toml"], port, &[variables, &[keys]].concat())
    })
    .await
}

/// With a caller's key, and nothing else of AWS's that this machine may have.
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
fn prompts(running: &Running) -> Vec<String> {
    let prompt = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).unwrap();
        body["messages"][0]["content"].as_str().unwrap().to_owned()
    };
    running.stub.requests().iter().map(|request| prompt(&request.body)).collect()
}

#[tokio::test]
async fn boto3() {
    let worker = bedrock_edge("boto3").await;
    let mut python = client("python");
    python.arg(root().join("tests/clients/lambda.py")).arg(worker.url(""));
    let told: Value = serde_json::from_str(&worker.told(&mut python).await).unwrap();

    let cases = [
        ("name", "こんにちは"),
        ("arn", "こんにちは"),
        ("partial arn", "こんにちは"),
        ("name and alias", "こんにちは"),
        ("qualifier", "こんにちは"),
        ("no payload", "Hello, how can I help you?"),
    ];
    for (case, prompt) in cases {
        let answer = &told[case];
        assert_eq!(answer["status"], 200, "{case}: {answer}");
        assert_eq!(answer["version"], "$LATEST", "{case}: {answer}");
        assert_eq!(answer["function_error"], Value::Null, "{case}: {answer}");
        let payload: Value = serde_json::from_str(answer["payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload["statusCode"], 200, "{case}: {payload}");
        assert_eq!(payload["headers"]["x-request-id"], answer["request_id"], "{case}: {payload}");
        let body: Value = serde_json::from_str(payload["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["input_prompt"], prompt, "{case}: {payload}");
    }
    for (case, status) in [("event", 202), ("dry run", 204)] {
        let answer = &told[case];
        assert_eq!((&answer["status"], &answer["payload"]), (&json!(status), &json!("")), "{case}");
        assert!(answer["request_id"].is_string(), "{case}: {answer}");
    }
    let payload: Value =
        serde_json::from_str(told["wrong prompt"]["payload"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&told["wrong prompt"]["status"], &payload["statusCode"]),
        (&json!(200), &json!(400))
    );
    let error = &told["not json"];
    assert_eq!(error["status"], 400, "{error}");
    assert_eq!(error["error"]["Code"], "InvalidRequestContentException", "{error}");

    let error = &told["wrong key"];
    assert_eq!(error["status"], 401, "{error}");
    assert_eq!(error["error"]["Code"], "InvalidSignatureException", "{error}");

    // The event runs on when its answer is out; the dry run never does.
    let begun = Instant::now();
    while !prompts(&worker).iter().any(|prompt| prompt == "asynchronously") {
        assert!(begun.elapsed() < PATIENCE, "{:?}", prompts(&worker));
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(prompts(&worker).len(), cases.len() + 1, "{:?}", prompts(&worker));
    let id = told["event"]["request_id"].as_str().unwrap();
    while !worker.printed().contains(id) {
        assert!(begun.elapsed() < PATIENCE, "no log line of {id}: {}", worker.printed());
        sleep(Duration::from_millis(50)).await;
    }
    let is_its = |line: &&str| line.contains(id);
    let line: Value = serde_json::from_str(worker.printed().lines().find(is_its).unwrap()).unwrap();
    assert_eq!(line["caller"], format!("key:{KEY_ID}"), "{line}");
    worker.stop().await;
}

#[tokio::test]
async fn the_aws_cli() {
    let worker = bedrock_edge("aws-cli").await;
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("aws-cli.json");
    let mut aws = client("aws");
    aws.args(["lambda", "invoke", "--function-name", "my-function", "--region", "ap-northeast-1"])
        .args(["--payload", r#"{"prompt": "Hello, CLI"}"#, "--endpoint-url", &worker.url("")])
        .arg(&file);
    let told: Value = serde_json::from_str(&worker.told(&mut aws).await).unwrap();
    assert_eq!(told, json!({ "StatusCode": 200, "ExecutedVersion": "$LATEST" }));
    let payload: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(payload["statusCode"], 200, "{payload}");
    assert!(payload["body"].as_str().unwrap().contains("Hello, CLI"), "{payload}");
    worker.stop().await;
}
