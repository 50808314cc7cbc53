//! Temporary credentials of a role, from the stand-in for STS.

use std::time::Duration;

use bedrock_stub::{Settings, StsFault};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::fixture::{ACCESS_KEY_ID, Fixture, SECRET_ACCESS_KEY};

const ROLE: &str = "arn:aws:iam::123456789012:role/edge";

/// Starts a Worker with a role. The stand-in accepts the Worker's own key for STS only, not for
/// Bedrock.
async fn with_role(bindings: Value, settings: Settings) -> Fixture {
    let mut all = json!({ "AWS_ROLE_ARN": ROLE });
    all.as_object_mut().unwrap().extend(bindings.as_object().unwrap().clone());
    let settings = Settings { keys: Vec::new(), ..settings };
    Fixture::with_sts(all, settings).await
}

/// Asserts that no part of the Worker's own key or of a temporary key is in the log.
fn assert_private(fixture: &Fixture) {
    let output = fixture.worker.output();
    let secrets = [ACCESS_KEY_ID, SECRET_ACCESS_KEY, "ASIASTANDIN", "temporary/secret", "FwoGZX"];
    for secret in secrets {
        assert!(!output.contains(secret), "{secret}: {output}");
    }
}

#[tokio::test]
async fn bedrock_is_called_with_temporary_credentials_that_are_fetched_once() {
    let fixture = with_role(json!({}), Settings::default()).await;
    for prompt in ["by a role", "and again"] {
        let response = fixture.worker.prompt(prompt).await;
        assert_eq!(response.status, 200, "{response}\n{}", fixture.worker.output());
        assert_eq!(response.header("x-bedrock-attempts"), Some("1"), "{response}");
        let received = fixture.bedrock_request(prompt);
        let authorization = received.header("authorization").unwrap();
        assert!(authorization.contains("Credential=ASIASTANDIN000000001/"), "{authorization}");
        assert!(received.header("x-amz-security-token").unwrap().starts_with("FwoGZX"));
    }
    assert_eq!(fixture.stub.sts_calls(), 1);
    let first = &fixture.stub.requests()[0];
    let body = String::from_utf8_lossy(&first.body);
    assert!(body.starts_with("Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3A"), "{body}");
    assert_private(&fixture);
}

#[tokio::test]
async fn fifty_concurrent_first_requests_share_one_call_of_sts() {
    let settings = Settings { sts_delay: Duration::from_millis(500), ..Settings::default() };
    let fixture = with_role(json!({}), settings).await;
    let send = async |number: usize| fixture.worker.prompt(&format!("number {number}")).await;
    for response in join_all((0..50).map(send)).await {
        assert_eq!(response.status, 200, "{response}");
    }
    assert_eq!(fixture.stub.sts_calls(), 1);
}

/// The client whose request calls STS for all of them disconnects. Another request calls STS again,
/// and none waits for the cancelled call.
#[tokio::test]
async fn when_the_client_that_calls_sts_disconnects_another_request_calls_it() {
    let settings = Settings { sts_delay: Duration::from_millis(1000), ..Settings::default() };
    let fixture = with_role(json!({}), settings).await;
    let mut first = fixture.worker.connect().await;
    first.post(&json!({ "prompt": "the first" })).await;
    fixture.wait_until("the call of STS", || fixture.stub.sts_calls() == 1).await;
    let send = async |number: usize| fixture.worker.prompt(&format!("number {number}")).await;
    let disconnect = async {
        sleep(Duration::from_millis(300)).await;
        first.reset();
    };
    let (responses, ()) = tokio::join!(join_all((0..49).map(send)), disconnect);
    for response in responses {
        assert_eq!(response.status, 200, "{response}");
    }
    assert_eq!(fixture.stub.sts_calls(), 2);
    // The log line of the first request, whose client got no response.
    let line = fixture.worker.nth_log_line(1).await;
    assert_eq!((&line["outcome"], &line["status"]), (&json!("cancelled"), &json!(499)), "{line}");
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
}

/// Five minutes before the credentials expire, one request fetches new ones. The other requests use
/// the old ones and do not wait.
#[tokio::test]
async fn expiring_credentials_are_refreshed_by_one_request_while_the_others_do_not_wait() {
    // A refresh of these credentials is due after two seconds.
    let settings = Settings {
        sts_lifetime: Duration::from_secs(5 * 60 + 2),
        sts_delay: Duration::from_millis(700),
        ..Settings::default()
    };
    let fixture = with_role(json!({}), settings).await;
    assert_eq!(fixture.worker.prompt("the first").await.status, 200);
    sleep(Duration::from_millis(2500)).await;
    let send = async |number: usize| fixture.worker.prompt(&format!("number {number}")).await;
    let responses = join_all((0..20).map(send)).await;
    let mut waited = 0;
    for response in responses {
        assert_eq!(response.status, 200, "{response}");
        let line = fixture.worker.log_line(response.request_id()).await;
        waited += usize::from(line["upstream_ms"].as_u64().unwrap() >= 700);
    }
    assert_eq!((fixture.stub.sts_calls(), waited), (2, 1));
}

#[tokio::test]
async fn credentials_that_bedrock_calls_expired_are_replaced() {
    let fixture = with_role(json!({}), Settings::default()).await;
    assert_eq!(fixture.worker.prompt("before").await.status, 200);
    fixture.stub.expire_keys();
    let response = fixture.worker.prompt("after").await;
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(response.header("x-bedrock-attempts"), Some("2"), "{response}");
    assert_eq!(fixture.stub.sts_calls(), 2);
    // The same for a stream.
    fixture.stub.expire_keys();
    let reply = fixture.worker.stream("a stream").await.reply("a stream").await;
    assert_eq!(reply.last.name, "done", "{reply}");
    assert_eq!(fixture.stub.sts_calls(), 3);
    assert_private(&fixture);
}

#[tokio::test]
async fn failures_of_sts_have_their_error_codes_and_transient_ones_are_retried() {
    use StsFault::{AccessDenied, Html, InternalFailure, NoToken, NotXml, Silence, Throttled};
    let cases = [
        ("denied", vec![AccessDenied], 500, Some("access_denied"), 1),
        ("not XML", vec![NotXml], 500, Some("unavailable"), 1),
        ("no token", vec![NoToken], 500, Some("unavailable"), 1),
        ("throttled once", vec![Throttled], 200, None, 2),
        ("down, then HTML", vec![InternalFailure, Html], 200, None, 3),
        ("down", vec![InternalFailure; 3], 500, Some("unavailable"), 3),
        ("silent", vec![Silence], 500, Some("timeout"), 1),
    ];
    let check =
        async |(case, faults, status, code, calls): (&str, Vec<_>, u16, Option<&str>, u64)| {
            let bindings = json!({ "BEDROCK_TIMEOUT_MS": 6000 });
            let fixture = with_role(bindings, Settings::default()).await;
            fixture.stub.fail_sts(faults);
            let response = fixture.worker.prompt("by a role").await;
            assert_eq!(
                (response.status, response.header("x-error-code")),
                (status, code),
                "{case}"
            );
            assert_eq!(fixture.stub.sts_calls(), calls, "{case}");
            let line = fixture.worker.log_line(response.request_id()).await;
            assert_eq!(line["outcome"], code.unwrap_or("ok"), "{case}: {line}");
            if let Some(error) = line["error"].as_str() {
                assert!(error.starts_with("cannot assume the role: "), "{case}: {line}");
                assert_eq!(response.header("x-bedrock-attempts"), None, "{case}: {response}");
            }
            assert_private(&fixture);
        };
    join_all(cases.into_iter().map(check)).await;
}

#[tokio::test]
async fn a_wrong_secret_for_sts_is_access_denied() {
    let fixture = with_role(
        json!({ "AWS_SECRET_ACCESS_KEY": "wrongsecretwrongsecretwrongsecretwrongse" }),
        Settings::default(),
    )
    .await;
    let response = fixture.worker.prompt("by a role").await;
    assert_eq!(response.header("x-error-code"), Some("access_denied"), "{response}");
    let line = fixture.worker.log_line(response.request_id()).await;
    let start = "cannot assume the role: 403 Forbidden SignatureDoesNotMatch: the canonical \
                 request is the same, so the secret access key is not\n";
    assert!(line["error"].as_str().unwrap().starts_with(start), "{line}");
    assert_private(&fixture);
}
