//! Invalid and missing variables, and the log level.

use reqwest::Method;
use serde_json::json;

use crate::support::fixture::Fixture;

#[tokio::test]
async fn every_invalid_variable_is_named_in_the_log_and_none_in_the_response() {
    // The log must not contain the values: one of them may be a secret under the wrong name.
    let bindings = json!({
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "ftp://leaked-endpoint",
        "AWS_ACCESS_KEY_ID": "leaked key id",
        "AWS_SECRET_ACCESS_KEY": "leaked secret",
        "AWS_SESSION_TOKEN": "leaked\ttoken",
        "BEDROCK_MODEL_ID": "leaked model",
        "BEDROCK_REGION": "Leaked_Region",
        "LOG_LEVEL": "leaked",
        "MAX_BODY_BYTES": "-leaked",
        "MAX_TOKENS": "leaked",
        "TEMPERATURE": "leaked",
    });
    let fixture = Fixture::with_bindings(bindings.clone()).await;
    let worker = &fixture.worker;
    let requests = [
        ("a prompt", worker.request(Method::POST, "/").json(&json!({ "prompt": "Hello" }))),
        ("health", worker.request(Method::GET, "/healthz")),
        ("another path", worker.request(Method::GET, "/nowhere")),
        ("another method", worker.request(Method::GET, "/")),
        ("not JSON", worker.request(Method::POST, "/").body("Hello")),
    ];
    for (case, request) in requests {
        let response = worker.send(request).await;
        response.assert_envelope(case, 500, "", "Error: Internal server error");
        assert_eq!(response.header("x-error-code"), Some("misconfigured"), "{case}: {response}");
        let names = ["content-type", "x-error-code", "x-request-id"];
        assert_eq!(response.header_names(), names, "{case}: {response}");

        let line = worker.log_line(response.request_id()).await;
        let expected = json!({
            "level": "error",
            "outcome": "misconfigured",
            "status": 500,
            "request_id": response.request_id(),
            "retries": 0,
            "total_ms": line["total_ms"],
            "error": line["error"],
        });
        assert_eq!(line, expected, "{case}");
        let error = line["error"].as_str().unwrap();
        for name in bindings.as_object().unwrap().keys() {
            assert!(error.contains(name), "{case}: {name} is not in {error}");
        }
    }
    assert!(fixture.stub.requests().is_empty());
    let output = worker.output();
    assert!(!output.to_ascii_lowercase().contains("leaked"), "{output}");
}

#[tokio::test]
async fn the_log_says_what_is_wrong_with_each_variable() {
    let cases = [
        (
            "no credentials",
            json!({ "AWS_ACCESS_KEY_ID": null, "AWS_SECRET_ACCESS_KEY": null }),
            "AWS_ACCESS_KEY_ID is not set; AWS_SECRET_ACCESS_KEY is not set",
        ),
        (
            "an empty secret",
            json!({ "AWS_SECRET_ACCESS_KEY": " \n" }),
            "AWS_SECRET_ACCESS_KEY is not set",
        ),
        (
            "plain http to another machine",
            json!({ "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://192.0.2.1" }),
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME must be https: plain http is for a loopback address only",
        ),
        (
            "a region without the default model's profile",
            json!({ "BEDROCK_REGION": "eu-west-1" }),
            "BEDROCK_MODEL_ID has an inference profile that does not exist in the region that it is called in: \
             its prefix, such as us. or eu., must be that of the region",
        ),
        (
            "an ARN of another region",
            json!({ "ALLOWED_MODELS": "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1" }),
            "ALLOWED_MODELS has an ARN of another region than the one that it is called in",
        ),
        (
            "two invalid values",
            json!({ "MAX_TOKENS": "ten", "TEMPERATURE": "warm" }),
            "MAX_TOKENS must be a whole number from 1; TEMPERATURE must be a number from 0 to 1, or empty",
        ),
    ];
    for (case, bindings, error) in cases {
        let Fixture { worker, stub } = Fixture::with_bindings(bindings).await;
        let health = worker.health().await;
        health.assert_envelope(case, 500, "", "Error: Internal server error");
        let response = worker.prompt("Hello").await;
        response.assert_envelope(case, 500, "", "Error: Internal server error");
        let line = worker.log_line(response.request_id()).await;
        assert_eq!(line["error"], error, "{case}");
        assert!(stub.requests().is_empty(), "{case}");
    }
}

#[tokio::test]
async fn log_lines_below_the_log_level_are_not_written() {
    // The log level, and the statuses of the requests that have a line.
    let cases: [(&str, &[u16]); 5] = [
        ("debug", &[200, 400, 500]),
        ("info", &[200, 400, 500]),
        ("WARNING", &[400, 500]),
        ("warn", &[400, 500]),
        ("error", &[500]),
    ];
    for (level, expected) in cases {
        let Fixture { worker, stub: _stub } =
            Fixture::with_bindings(json!({ "LOG_LEVEL": level })).await;
        worker.prompt("Hello").await;
        worker.prompt(" ").await;
        let last = worker.prompt("fault:unavailable").await;
        // Log lines are in the order of the responses, so all are there when this one is.
        worker.log_line(last.request_id()).await;
        let lines = worker.log_lines();
        let statuses: Vec<_> = lines.iter().map(|line| line["status"].as_u64().unwrap()).collect();
        assert!(
            statuses.iter().copied().eq(expected.iter().map(|it| u64::from(*it))),
            "{level}: {statuses:?}"
        );
    }
}
