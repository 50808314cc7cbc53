//! The Worker's credentials for Bedrock: each kind of them, and each way in which Bedrock refuses
//! them.

use bedrock_stub::{AccessKey, Settings};
use serde_json::{Value, json};

use crate::support::fixture::header_names;
use crate::support::fixture::{Fixture, SECRET_ACCESS_KEY};

const SESSION_TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaDmFwLW5vcnRoZWFzdC0x+/=";
const API_KEY: &str = "ABSKQmVkcm9ja0FQSUtleS1leGFtcGxl+/=";

fn temporary_key() -> AccessKey {
    AccessKey {
        id: "ASIAIOSFODNN7EXAMPLE".to_owned(),
        secret: SECRET_ACCESS_KEY.to_owned(),
        session_token: Some(SESSION_TOKEN.to_owned()),
    }
}

fn temporary_bindings() -> Value {
    json!({ "AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE", "AWS_SESSION_TOKEN": SESSION_TOKEN })
}

#[tokio::test]
async fn temporary_credentials_send_the_session_token() {
    let settings = Settings { keys: vec![temporary_key()], ..Settings::default() };
    let fixture = Fixture::with_stub_settings(temporary_bindings(), settings).await;
    let response = fixture.worker.prompt("for an hour").await;
    assert_eq!(response.status, 200, "{response}");

    let received = fixture.bedrock_request("for an hour");
    assert_eq!(
        header_names(&received),
        [
            "accept",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "x-amz-date",
            "x-amz-security-token",
        ]
    );
    assert_eq!(received.header("x-amz-security-token"), Some(SESSION_TOKEN));
}

/// AWS quotes the canonical request in its error, and the session token is a line of it.
#[tokio::test]
async fn the_log_of_a_refused_signature_redacts_the_session_token() {
    let settings = Settings { keys: vec![temporary_key()], ..Settings::default() };
    let mut bindings = temporary_bindings();
    bindings["LOG_UPSTREAM_MESSAGES"] = json!("full");
    let fixture = Fixture::with_stub_settings(bindings, settings).await;
    let response = fixture.worker.prompt("fault:bad_signature").await;
    response.assert_envelope(
        "bad_signature",
        500,
        "fault:bad_signature",
        "Error: Bedrock invocation failed",
    );

    let line = fixture.worker.log_line(response.request_id()).await;
    let error = line["error"].as_str().unwrap();
    let received = fixture.bedrock_request("fault:bad_signature");
    let date = received.header("x-amz-date").unwrap();
    // The rest helps to find the mistake: the headers, the path and the time.
    let canonical = format!(
        "POST\n/model/apac.anthropic.claude-sonnet-4-20250514-v1%253A0/invoke\n\n\
         accept:application/json\ncontent-type:application/json\nhost:{}\nx-amz-date:{date}\n\
         x-amz-security-token:[redacted]\n\n\
         accept;content-type;host;x-amz-date;x-amz-security-token\n",
        received.header("host").unwrap()
    );
    let start = "403 Forbidden InvalidSignatureException: the canonical request is the same, so \
                 the secret access key is not\nThe request signature we calculated";
    assert!(error.starts_with(start) && error.contains(&canonical), "{error}");
    assert!(!fixture.worker.output().contains(SESSION_TOKEN));
}

/// The first difference between the Worker's and AWS's canonical request shows the cause.
#[tokio::test]
async fn the_log_of_a_refused_signature_has_the_first_line_that_differs() {
    let settings = Settings { keys: vec![temporary_key()], ..Settings::default() };
    let fixture = Fixture::with_stub_settings(temporary_bindings(), settings).await;
    let host = fixture.stub.url().replace("http://", "");
    let cases = [
        (
            "host",
            format!("line 6 of the canonical request\nours: host:{host}\nAWS's: host:changed\n"),
        ),
        (
            "accept",
            "line 4 of the canonical request\nours: accept:application/json\n\
             AWS's: accept:changed\n"
                .to_owned(),
        ),
        (
            "x-amz-s",
            "line 8 of the canonical request\nours: x-amz-security-token:[redacted]\n\
             AWS's: x-amz-security-token:[redacted]\n"
                .to_owned(),
        ),
    ];
    for (header, difference) in cases {
        let prompt = format!("fault:bad_signature:{header}");
        for response in
            [fixture.worker.prompt(&prompt).await, fixture.worker.stream(&prompt).await.head]
        {
            assert_eq!(
                response.header("x-error-code"),
                Some("access_denied"),
                "{header}: {response}"
            );
            let line = fixture.worker.log_line(response.request_id()).await;
            let start = format!("403 Forbidden InvalidSignatureException: {difference}");
            let error = line["error"].as_str().unwrap();
            assert!(error.starts_with(&start), "{header}: {error}");
        }
    }
    assert!(!fixture.worker.output().contains(SESSION_TOKEN));
}

#[tokio::test]
async fn an_api_key_takes_precedence_over_a_signature() {
    let settings = Settings { api_keys: vec![API_KEY.to_owned()], ..Settings::default() };
    let bindings = json!({ "AWS_BEARER_TOKEN_BEDROCK": API_KEY });
    let fixture = Fixture::with_stub_settings(bindings, settings).await;
    let response = fixture.worker.prompt("with a key").await;
    assert_eq!(response.status, 200, "{response}");

    let received = fixture.bedrock_request("with a key");
    assert_eq!(
        header_names(&received),
        ["accept", "authorization", "content-length", "content-type", "host"]
    );
    let expected = format!("Bearer {API_KEY}");
    assert_eq!(received.header("authorization"), Some(expected.as_str()));
}

#[tokio::test]
async fn credentials_that_bedrock_refuses_are_access_denied() {
    let cases = [
        (
            "a wrong secret",
            json!({ "AWS_SECRET_ACCESS_KEY": "wrongsecretwrongsecretwrongsecretwrongse" }),
            "403 Forbidden InvalidSignatureException: the canonical request is the same, so the \
             secret access key is not\nThe request signature we calculated does",
        ),
        (
            "an unknown key",
            json!({ "AWS_ACCESS_KEY_ID": "AKIAI44QH8DHBEXAMPLE" }),
            "403 Forbidden UnrecognizedClientException: The security token included in the",
        ),
        (
            "a session token for a long-term key",
            json!({ "AWS_SESSION_TOKEN": SESSION_TOKEN }),
            "403 Forbidden UnrecognizedClientException: The security token included in the",
        ),
        (
            "another region",
            json!({
                "BEDROCK_REGION": "us-east-1",
                "BEDROCK_MODEL_ID": "us.anthropic.claude-sonnet-4-20250514-v1:0",
            }),
            "403 Forbidden InvalidSignatureException: Credential should be scoped to a valid",
        ),
        (
            "a wrong API key",
            json!({ "AWS_BEARER_TOKEN_BEDROCK": API_KEY }),
            "403 Forbidden AccessDeniedException: Authentication failed: Please make sure your",
        ),
    ];
    for (case, bindings, error) in cases {
        let Fixture { worker, stub: _stub } = Fixture::with_bindings(bindings.clone()).await;
        let response = worker.prompt("let me in").await;
        response.assert_envelope(case, 500, "let me in", "Error: Bedrock invocation failed");
        assert_eq!(response.header("x-error-code"), Some("access_denied"), "{case}: {response}");

        let line = worker.log_line(response.request_id()).await;
        assert_eq!(
            (&line["outcome"], &line["upstream_status"]),
            (&json!("access_denied"), &json!(403)),
            "{case}"
        );
        let logged = line["error"].as_str().unwrap_or_default();
        assert!(logged.starts_with(error), "{case}: {logged}");
        for name in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"] {
            let Some(secret) = bindings[name].as_str() else { continue };
            assert!(!worker.output().contains(secret), "{case}: {}", worker.output());
        }
    }
}
