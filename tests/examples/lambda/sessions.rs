//! Sessions in `examples/lambda`: two processes of the function, and a local DynamoDB behind both.

use std::collections::BTreeSet;
use std::time::Duration;

use bedrock_edge_tests::root;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{FOLDER, invoke, watch};
use crate::dynamodb::local::LocalDynamoDb;
use crate::support::{ExampleServer, TIMEOUT};

/// A key for AES-256: 32 bytes in base64.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The time to live of the second process's sessions.
const SHORT_TTL: Duration = Duration::from_secs(4);

async fn start(name: &'static str, dynamodb: &LocalDynamoDb, ttl: &str) -> ExampleServer {
    let start = |port, variables: &[(&str, String)]| {
        let mut command = watch(port, variables, "RESPONSE_STREAM");
        command
            .envs(dynamodb.variables())
            .env("SESSION_KEY", KEY)
            .env("SESSION_TTL_SECONDS", ttl)
            .env("SESSION_MAX_BYTES", "4194304");
        command
    };
    ExampleServer::start(name, "/healthz", start).await
}

/// A response whose body was read to its end. The function in cargo-lambda exits if its client
/// disconnects early, and the next request then waits for it in vain.
struct Read {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

async fn send(request: RequestBuilder) -> Read {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Read { status, headers, body: response.text().await.unwrap() }
}

async fn post(lambda: &ExampleServer, session: &Value, prompt: &str) -> Read {
    let body = json!({ "session": session, "prompt": prompt });
    send(lambda.request(Method::POST, "/").json(&body)).await
}

/// Generates a reply, which must succeed. Returns the id of the session.
async fn generate(lambda: &ExampleServer, session: &Value, prompt: &str) -> Value {
    let Read { status, headers, body } = post(lambda, session, prompt).await;
    assert_eq!(status, 200, "{body}\n{}", lambda.logs());
    json!(headers["x-session-id"].to_str().unwrap())
}

/// Returns the messages of the last call to Bedrock.
fn messages(lambda: &ExampleServer) -> Vec<Value> {
    let requests = lambda.stub.requests();
    let body: Value = serde_json::from_slice(&requests.last().unwrap().body).unwrap();
    body["messages"].as_array().unwrap().clone()
}

#[tokio::test]
async fn two_processes_share_the_sessions_in_dynamodb() {
    let dynamodb = LocalDynamoDb::start().await;
    let one = start("lambda-sessions", &dynamodb, "86400").await;
    let ttl = SHORT_TTL.as_secs().to_string();
    let other = start("lambda-sessions-other", &dynamodb, &ttl).await;

    // The second turn has the first in front, in another process.
    let id = generate(&one, &json!(true), "Name a poet.").await;
    assert_eq!(generate(&other, &id, "Another one.").await, id);
    let sent = messages(&other);
    let texts: Vec<_> = [&sent[0], &sent[2]].map(|it| it["content"].to_string()).into();
    assert_eq!((sent.len(), &sent[1]["role"]), (3, &json!("assistant")), "{sent:?}");
    assert!(texts[0].contains("Name a poet.") && texts[1].contains("Another one."), "{texts:?}");

    // A stream is a turn too.
    let body = json!({ "session": id, "prompt": "A third.", "stream": true });
    let events = send(one.request(Method::POST, "/").json(&body)).await.body;
    assert!(events.contains("event: done\n"), "{events}");
    assert_eq!(messages(&one).len(), 5);

    // A turn under way in one process makes the session busy in the other.
    let slow = post(&one, &id, "fault:slow:3000");
    let busy = async {
        let begun = Instant::now();
        while messages(&one).len() < 7 {
            assert!(begun.elapsed() < TIMEOUT, "the slow call did not begin");
            sleep(Duration::from_millis(20)).await;
        }
        post(&other, &id, "At the same time.").await
    };
    let (slow, busy) = tokio::join!(slow, busy);
    assert_eq!(slow.status, 200);
    assert_eq!(busy.status, 409);
    assert_eq!(busy.headers["x-error-code"], "session_busy");
    assert_eq!(busy.headers["retry-after"], "1");

    // A turn that is longer than an item of DynamoDB.
    let long = "long ".repeat(90_000);
    generate(&one, &id, &long).await;
    let items = dynamodb.items().await;
    let parts = items.iter().filter(|item| item["parts"]["N"].as_str().is_some_and(|it| it != "1"));
    assert!(parts.count() > 1);
    assert!(items.iter().all(|item| item.to_string().len() * 3 / 4 < 400_000));
    generate(&other, &id, "After that.").await;
    let sent = messages(&other);
    assert_eq!(sent.len(), 11);
    assert!(sent[8]["content"].to_string().contains(&long));

    // All of it can be read and deleted. The deletion is an event of API Gateway, whose response is not streamed:
    // cargo-lambda does not read a streamed 204 to its end, and the function then exits.
    let path = format!("/sessions/{}", id.as_str().unwrap());
    let read = async |lambda: &ExampleServer| send(lambda.request(Method::GET, &path)).await;
    let session: Value = serde_json::from_str(&read(&one).await.body).unwrap();
    assert_eq!((&session["turns"], &session["id"]), (&json!(6), &id), "{session}");
    let deletion = json!({ "requestContext": {}, "httpMethod": "DELETE", "path": path });
    let deleted = invoke(&one, &["--data-ascii", &deletion.to_string()]).await;
    assert_eq!(deleted["statusCode"], 204, "{deleted}");
    assert_eq!(read(&other).await.status, 404);
    assert_eq!(dynamodb.items().await, [Value::Null; 0]);

    // An expired session is not read, although DynamoDB has not deleted it yet.
    let id = generate(&other, &json!(true), "Hello").await;
    sleep(SHORT_TTL + Duration::from_millis(100)).await;
    let expired = post(&one, &id, "Hello again").await;
    assert_eq!(
        (expired.status.as_u16(), expired.headers["x-error-code"].as_bytes()),
        (404, &b"not_found"[..])
    );
    let items = dynamodb.items().await;
    assert_eq!(items.len(), 3, "{items:?}");
    for item in &items {
        let seconds = item["expires_at"]["N"].as_str().unwrap();
        assert!(seconds.parse::<u64>().is_ok_and(|it| it > 1_700_000_000), "{item}");
    }

    for lambda in [&one, &other] {
        assert!(!lambda.logs().contains("poet"), "{}", lambda.logs());
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_table_that_does_not_exist_is_an_error_whose_cause_is_logged() {
    let dynamodb = LocalDynamoDb::start().await;
    let lambda = ExampleServer::start("lambda-no-table", "/healthz", |port, variables| {
        let mut command = watch(port, variables, "RESPONSE_STREAM");
        command.envs(dynamodb.variables()).env("SESSIONS_TABLE", "another");
        command
    })
    .await;
    let response = post(&lambda, &json!(true), "Name a poet.").await;
    assert_eq!(response.status, 503);
    assert_eq!(response.headers["x-error-code"], "sessions_unavailable");
    assert!(lambda.stub.requests().is_empty());
    let cause = "SESSIONS: DynamoDB Query: 400 ResourceNotFoundException, request ";
    let logs = lambda.logs();
    assert!(logs.contains(cause) && logs.contains("Requested resource not found"), "{logs}");
    assert!(!logs.contains("poet"), "{logs}");
    lambda.stop().await;
}

#[test]
fn the_template_has_the_table_and_the_permissions_that_the_store_needs() {
    let template = std::fs::read_to_string(root().join(FOLDER).join("template.yaml")).unwrap();
    let (_, table) = template.split_once("Type: AWS::DynamoDB::Table").unwrap();
    let lines: Vec<&str> = table.lines().map(str::trim).collect();
    let follows = |line: &str, next: &str| lines.windows(2).any(|it| it == [line, next]);
    for (line, next) in [
        ("- AttributeName: pk", "AttributeType: S"),
        ("- AttributeName: sk", "AttributeType: S"),
        ("- AttributeName: pk", "KeyType: HASH"),
        ("- AttributeName: sk", "KeyType: RANGE"),
        ("AttributeName: expires_at", "Enabled: true"),
    ] {
        assert!(follows(line, next), "{line} {next}");
    }
    let allowed = template.lines().filter_map(|line| line.trim().strip_prefix("- dynamodb:"));
    let source = std::fs::read_to_string(root().join("src/dynamodb/client.rs")).unwrap();
    let called = source.split(".call(\"").skip(1).filter_map(|rest| rest.split('"').next());
    assert_eq!(allowed.collect::<BTreeSet<_>>(), called.collect::<BTreeSet<_>>());
}
