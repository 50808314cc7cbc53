//! Calls to DynamoDB: their signatures, retries and errors. `tests/examples/dynamodb.rs` runs the store.

use std::time::Duration;

use bedrock_stub::{AccessKey, Received, Settings, auth};
use http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::host::{
    Begun, Lease, NewTurn, Runtime, SessionError, SessionPlace, SessionStore, StoredTurn,
};
use crate::testing::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Scripted};

const REGION: &str = "ap-northeast-1";

fn table(vars: &[(&str, &str)]) -> SessionsTable {
    let table = SessionsTable::from_vars(|name| {
        let set = vars.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let value = set.or(match name {
            "SESSIONS_TABLE" => Some("sessions"),
            "AWS_REGION" => Some(REGION),
            "AWS_ACCESS_KEY_ID" => Some(ACCESS_KEY_ID),
            "AWS_SECRET_ACCESS_KEY" => Some(SECRET_ACCESS_KEY),
            _ => None,
        });
        value.map(str::to_owned)
    });
    table.unwrap().unwrap()
}

fn place() -> SessionPlace {
    SessionPlace { owner: "token:alice".to_owned(), id: "s".to_owned() }
}

fn lease(host: &Scripted) -> Lease {
    Lease { token: "t-1".to_owned(), expires: host.now() + Duration::from_secs(30) }
}

fn turn(host: &Scripted) -> NewTurn {
    let turn = StoredTurn { position: 0, sealed: "SECRET TEXT".into() };
    let expires = host.now() + Duration::from_secs(600);
    NewTurn { token: "t-1".to_owned(), turn, keep_from: 0, expires }
}

/// Fails a test in which something is left behind.
fn nothing(problem: &SessionError) {
    panic!("{problem}");
}

async fn begin(host: &Scripted, table: &SessionsTable) -> Result<Begun, SessionError> {
    let store = DynamoDbSessions::new(table, host, nothing);
    store.begin(&place(), &lease(host), true, host.now()).await
}

async fn commit(host: &Scripted, table: &SessionsTable) -> Result<bool, SessionError> {
    let store = DynamoDbSessions::new(table, host, nothing);
    store.commit(&place(), &turn(host), host.now()).await
}

/// Returns the operations and the inputs of the calls so far.
fn calls(host: &Scripted) -> Vec<(String, Value)> {
    let requests = host.requests.borrow();
    let call = |request: &http::Request<bytes::Bytes>| {
        let target = request.headers()["x-amz-target"].to_str().unwrap();
        let operation = target.strip_prefix("DynamoDB_20120810.").unwrap().to_owned();
        (operation, serde_json::from_slice(request.body()).unwrap())
    };
    requests.iter().map(call).collect()
}

fn operations(host: &Scripted) -> Vec<String> {
    calls(host).into_iter().map(|(operation, _)| operation).collect()
}

/// The head of a session whose first turn is under way.
fn begun(host: &Scripted) -> String {
    let expires = host.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() + 30_000;
    let number = |number: u128| json!({ "N": number.to_string() });
    let text = |text: &str| json!({ "S": text });
    json!({ "Item": {
        "pk": text("session#token:alice#s"), "sk": text("head"),
        "epoch": text("t-1"), "version": number(1),
        "first_position": number(0), "next_position": number(0),
        "updated": number(0), "expires": number(0), "turns_expire_at": number(0),
        "lease_token": text("t-1"), "lease_expires": number(expires),
    }})
    .to_string()
}

const EMPTY: &str = r#"{"Count":0,"Items":[]}"#;
const WRITTEN: &str = r#"{"UnprocessedItems":{}}"#;

fn error(name: &str, message: &str) -> String {
    format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{name}","message":"{message}"}}"#)
}

#[tokio::test]
async fn a_call_is_a_signed_post_of_the_json_protocol() {
    let host = Scripted::new().then(200, &[], EMPTY).then(200, &[], "{}");
    let table = table(&[("AWS_SESSION_TOKEN", "token")]);
    assert_eq!(begin(&host, &table).await, Ok(Begun::Turns(Vec::new())));
    assert_eq!(operations(&host), ["Query", "PutItem"]);
    let key = AccessKey { session_token: Some("token".to_owned()), ..AccessKey::example() };
    let settings = Settings { keys: vec![key], region: REGION.to_owned(), ..Settings::default() };
    for request in host.requests.borrow().iter() {
        assert_eq!(request.uri(), "https://dynamodb.ap-northeast-1.amazonaws.com/");
        assert_eq!(request.headers()["content-type"], "application/x-amz-json-1.0");
        let received = Received {
            method: request.method().to_string(),
            target: request.uri().path().to_owned(),
            headers: headers(request.headers(), "dynamodb.ap-northeast-1.amazonaws.com"),
            body: request.body().to_vec(),
        };
        auth::verify(&received, "dynamodb", &settings, host.now()).unwrap();
    }
}

fn headers(headers: &HeaderMap, host: &str) -> Vec<(String, String)> {
    let pairs = headers.iter();
    let pairs = pairs.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    pairs.chain([("host".to_owned(), host.to_owned())]).collect()
}

#[tokio::test]
async fn throttling_and_failures_of_dynamodb_and_of_the_network_are_retried() {
    let throttled = |name| (400, error(name, "Rate exceeded"));
    for (name, (status, body)) in [
        ("throughput", throttled("ProvisionedThroughputExceededException")),
        ("throttling", throttled("ThrottlingException")),
        ("request limit", throttled("RequestLimitExceeded")),
        ("internal error", (500, error("InternalServerError", "Internal"))),
        ("unavailable", (503, String::new())),
    ] {
        let host = Scripted::new().then(status, &[], body.clone()).then(status, &[], body);
        let host = host.then(200, &[], EMPTY).then(200, &[], "{}");
        assert_eq!(begin(&host, &table(&[])).await, Ok(Begun::Turns(Vec::new())), "{name}");
        let sleeps = host.sleeps.borrow();
        assert_eq!(sleeps.len(), 2, "{name}");
        assert!(
            sleeps.iter().all(|wait| *wait <= Duration::from_millis(100)),
            "{name}: {sleeps:?}"
        );
    }
    let host = Scripted::new().then_fail("reset").then_time_out();
    let host = host.then(200, &[], EMPTY).then(200, &[], "{}");
    assert_eq!(begin(&host, &table(&[])).await, Ok(Begun::Turns(Vec::new())));
}

#[tokio::test]
async fn a_write_whose_response_is_lost_counts_as_done() {
    const FAILED: &str = "The conditional request failed";
    let failed = error("ConditionalCheckFailedException", FAILED);
    // The lease was taken, and the second attempt found that out.
    let host = Scripted::new();
    let queried = begun(&host).replace(r#"{"Item":"#, r#"{"Items":["#).replace("}}}", "}}]}");
    let host = host.then(200, &[], EMPTY).then_fail("reset").then(400, &[], failed.clone());
    let host = host.then(200, &[], queried).then(200, &[], "{}");
    assert_eq!(begin(&host, &table(&[])).await, Ok(Begun::Turns(Vec::new())));
    // The turn was added.
    let host = Scripted::new();
    let head = begun(&host);
    let added = head.replace("lease_token", "committed_token");
    let host = host.then(200, &[], head).then(200, &[], WRITTEN).then_fail("reset");
    let host = host.then(400, &[], failed).then(200, &[], added);
    assert_eq!(commit(&host, &table(&[])).await, Ok(true));
    assert_eq!(host.left(), 0);
}

#[tokio::test]
async fn a_retry_ends_with_the_time_of_the_operation() {
    let mut host = Scripted::new();
    host.chance.set(u128::MAX);
    for _ in 0..20 {
        host = host.then(500, &[], error("InternalServerError", "Internal"));
    }
    let began = host.now();
    let SessionError(problem) = begin(&host, &table(&[])).await.unwrap_err();
    assert!(problem.starts_with("DynamoDB Query: 500 InternalServerError"), "{problem}");
    let took = host.now().duration_since(began).unwrap();
    assert!(took <= Duration::from_secs(3) && took > Duration::from_millis(1500), "{took:?}");
    // A call that hangs is made again, in half of the time that is left.
    let host = Scripted::new().then(200, &[], EMPTY).taking(Duration::from_secs(60));
    let host = host.then(200, &[], EMPTY).then(200, &[], "{}");
    assert_eq!(begin(&host, &table(&[])).await, Ok(Begun::Turns(Vec::new())));
}

#[tokio::test]
async fn items_that_a_batch_left_out_are_written_again() {
    let host = Scripted::new();
    let left = r#"{"PutRequest":{"Item":{"pk":{"S":"owner#token:alice"},"sk":{"S":"left"}}}}"#;
    let unprocessed = format!(r#"{{"UnprocessedItems":{{"sessions":[{left}]}}}}"#);
    let head = begun(&host);
    let host = host.then(200, &[], head).then(200, &[], unprocessed).then(200, &[], WRITTEN);
    let host = host.then(200, &[], "{}");
    assert_eq!(commit(&host, &table(&[])).await, Ok(true));
    assert_eq!(operations(&host), ["GetItem", "BatchWriteItem", "BatchWriteItem", "PutItem"]);
    let (_, input) = &calls(&host)[2];
    let expected: Value = serde_json::from_str(left).unwrap();
    assert_eq!(input["RequestItems"]["sessions"], json!([expected]));
    assert_eq!(host.sleeps.borrow().len(), 1);
}

#[tokio::test]
async fn an_error_says_what_happened_and_quotes_no_text() {
    const ID: (&str, &str) = ("x-amzn-requestid", "ABC123");
    let denied = "User: arn:aws:sts::123456789012:assumed-role/lambda/bedrock is not authorized to \
                  perform: dynamodb:Query on resource: arn:aws:dynamodb:ap-northeast-1:123456789012:table/sessions \
                  because no identity-based policy allows the dynamodb:Query action";
    for (name, status, body, expected) in [
        (
            "no table",
            400,
            error("ResourceNotFoundException", "Requested resource not found"),
            "DynamoDB GetItem: 400 ResourceNotFoundException, request ABC123: Requested resource not found",
        ),
        (
            "a quotation",
            400,
            error("ValidationException", "SECRET TEXT is invalid"),
            "DynamoDB GetItem: 400 ValidationException, request ABC123: a message of 22 bytes",
        ),
        (
            "no permission",
            400,
            error("AccessDeniedException", denied),
            "DynamoDB GetItem: 400 AccessDeniedException, request ABC123: User: arn:",
        ),
        (
            "a type that is a sentence",
            400,
            r#"{"__type":"SECRET TEXT"}"#.to_owned(),
            "DynamoDB GetItem: 400 without a type, request ABC123: ",
        ),
        ("not JSON", 200, "SECRET TEXT".to_owned(), "DynamoDB GetItem: the response is not JSON"),
        (
            "another form",
            200,
            r#"{"Item":"SECRET TEXT"}"#.to_owned(),
            "DynamoDB GetItem: the response has another form",
        ),
        (
            "another item",
            200,
            r#"{"Item":{"a":{"S":"SECRET TEXT"}}}"#.to_owned(),
            "the head of a session has another form",
        ),
    ] {
        let host = Scripted::new().then(status, &[ID], body);
        let SessionError(problem) = commit(&host, &table(&[])).await.unwrap_err();
        assert!(problem.starts_with(expected), "{name}: {problem}");
        assert!(!problem.contains("SECRET"), "{name}: {problem}");
        assert_eq!(host.requests.borrow().len(), 1, "{name} is not retried");
    }
    let host = Scripted::new().then_leave();
    let SessionError(problem) = commit(&host, &table(&[])).await.unwrap_err();
    assert_eq!(problem, "DynamoDB GetItem: the client disconnected");
}

#[tokio::test]
async fn messages_are_logged_in_full_on_demand_without_secrets() {
    let message = format!("the key {SECRET_ACCESS_KEY} is odd");
    let body = error("ValidationException", &message);
    let host = Scripted::new().then(400, &[], body);
    let table = table(&[("LOG_UPSTREAM_MESSAGES", "full")]);
    let SessionError(problem) = commit(&host, &table).await.unwrap_err();
    assert!(problem.ends_with(": the key [redacted] is odd"), "{problem}");
}

#[tokio::test]
async fn what_cannot_be_deleted_is_reported_and_fails_nothing() {
    thread_local! {
        static REPORTED: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let host = Scripted::new();
    let counts_a_turn =
        begun(&host).replace(r#""next_position":{"N":"0"}"#, r#""next_position":{"N":"1"}"#);
    let counts_a_turn = counts_a_turn
        .replace(r#""turns_expire_at":{"N":"0"}"#, r#""turns_expire_at":{"N":"9999999999"}"#);
    let host = host.then(200, &[], counts_a_turn).then(200, &[], WRITTEN).then(200, &[], "{}");
    let host = host.then(400, &[], error("AccessDeniedException", "no"));
    let table = table(&[]);
    let store = DynamoDbSessions::new(&table, &host, |problem| {
        REPORTED.with_borrow_mut(|it| it.push(problem.to_string()));
    });
    let mut turn = turn(&host);
    turn.turn.position = 1;
    assert_eq!(store.commit(&place(), &turn, host.now()).await, Ok(true));
    REPORTED.with_borrow(|reported| {
        let [problem] = &reported[..] else { panic!("{reported:?}") };
        let expected =
            "a session leaves something behind: DynamoDB BatchWriteItem: 400 AccessDeniedException";
        assert!(problem.starts_with(expected), "{problem}");
    });
}
