//! Every fault of Bedrock that the stand-in can simulate, without streaming.

use bedrock_stub::faults::FAULTS;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::support::client::Response;
use crate::support::fixture::Fixture;

const FAILED: &str = "Error: Bedrock invocation failed";
const INVALID: &str = "Error: Invalid Bedrock response";

/// The expected outcome of a fault.
struct Expected {
    /// The name of the fault.
    fault: &'static str,
    /// `generated_text` in the envelope.
    generated_text: &'static str,
    /// `x-error-code` in the response and `outcome` in the log.
    code: &'static str,
    /// `upstream_status` in the log: the status of Bedrock's response, if there was one.
    upstream_status: Option<u16>,
    /// `error` in the log.
    error: &'static str,
}

const fn failure(
    fault: &'static str,
    generated_text: &'static str,
    code: &'static str,
    upstream_status: Option<u16>,
    error: &'static str,
) -> Expected {
    Expected { fault, generated_text, code, upstream_status, error }
}

const FAILURES: &[Expected] = &[
    failure(
        "throttled",
        FAILED,
        "throttled",
        Some(429),
        "429 Too Many Requests ThrottlingException: Too many requests, please wait before trying again.",
    ),
    failure(
        "type_in_body",
        FAILED,
        "throttled",
        Some(429),
        "429 Too Many Requests ThrottlingException: Too many requests, please wait before trying again.",
    ),
    failure(
        "server_error",
        FAILED,
        "unavailable",
        Some(500),
        "500 Internal Server Error InternalServerException: The system encountered an unexpected error during processing. Try your request again.",
    ),
    failure(
        "unavailable",
        FAILED,
        "unavailable",
        Some(503),
        "503 Service Unavailable ServiceUnavailableException: Bedrock is unable to process your request.",
    ),
    failure(
        "overloaded",
        FAILED,
        "unavailable",
        Some(503),
        "503 Service Unavailable without a type",
    ),
    failure(
        "hang_up",
        FAILED,
        "unavailable",
        Some(200),
        "cannot read the response: Network connection lost.",
    ),
    failure("hang_up_before", FAILED, "unavailable", None, "no response: Network connection lost."),
    failure(
        "model_timeout",
        FAILED,
        "timeout",
        Some(408),
        "408 Request Timeout ModelTimeoutException: Model has timed out in processing the request. Try your request again.",
    ),
    failure(
        "model_error",
        FAILED,
        "model_error",
        Some(424),
        "424 Failed Dependency ModelErrorException: a message of 72 bytes with the SHA-256 31c4f0f4… (LOG_UPSTREAM_MESSAGES=full logs it)",
    ),
    failure(
        "model_not_ready",
        FAILED,
        "unavailable",
        Some(429),
        "429 Too Many Requests ModelNotReadyException: The model is not ready for inference. Wait and try your request again.",
    ),
    failure(
        "quota",
        FAILED,
        "throttled",
        Some(400),
        "400 Bad Request ServiceQuotaExceededException: Your request was denied due to exceeding the account quotas for Amazon Bedrock.",
    ),
    failure(
        "access_denied",
        FAILED,
        "access_denied",
        Some(403),
        "403 Forbidden AccessDeniedException: You don't have access to the model with the specified model ID.",
    ),
    failure(
        "expired_token",
        FAILED,
        "access_denied",
        Some(403),
        "403 Forbidden ExpiredTokenException: The security token included in the request is expired",
    ),
    failure(
        "not_found",
        FAILED,
        "model_not_found",
        Some(404),
        "404 Not Found ResourceNotFoundException: Could not resolve the foundation model from the provided model identifier.",
    ),
    // AWS quotes the prompt in its message.
    failure(
        "validation",
        FAILED,
        "rejected",
        Some(400),
        "400 Bad Request ValidationException: a message of 64 bytes with the SHA-256 8a29e0c5… (LOG_UPSTREAM_MESSAGES=full logs it)",
    ),
    failure("redirect", INVALID, "invalid_response", Some(302), "302 Found without a type"),
    failure(
        "not_json",
        INVALID,
        "invalid_response",
        Some(200),
        "the body of 78 bytes is not Claude's JSON: syntax at 1:1",
    ),
    failure(
        "empty",
        INVALID,
        "invalid_response",
        Some(200),
        "the body of 0 bytes is not Claude's JSON: end at 1:0",
    ),
    failure(
        "cut_off",
        INVALID,
        "invalid_response",
        Some(200),
        "the body of 158 bytes is not Claude's JSON: end at 1:158",
    ),
    failure(
        "max_tokens_before_text",
        "Error: the reply ended at max_tokens (100) before it had any text",
        "no_text",
        Some(200),
        "the reply ended at max_tokens before any text",
    ),
    failure(
        "refusal",
        "Error: the model refused to reply",
        "refusal",
        Some(200),
        "the model refused to reply",
    ),
    failure(
        "tool_only",
        INVALID,
        "invalid_response",
        Some(200),
        "expected a text block in the reply, got none",
    ),
    failure(
        "unknown_operation",
        INVALID,
        "invalid_response",
        Some(200),
        "UnknownOperationException",
    ),
];

/// Faults that other tests cover: those that are not failures (below), those of credentials
/// (bedrock_credentials.rs), of time (deadlines.rs), and of the size of the body
/// (network_faults.rs).
const ELSEWHERE: &[&str] = &[
    "bad_signature",
    "endless",
    "garbage_headers",
    "huge",
    "no_text",
    "slow",
    "stall",
    "thinking_first",
    "unknown_stop_reason",
];

#[test]
fn every_fault_of_the_stand_in_has_an_expectation() {
    let mut expected: Vec<&str> =
        FAILURES.iter().map(|failure| failure.fault).chain(ELSEWHERE.iter().copied()).collect();
    let mut faults: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    expected.sort_unstable();
    faults.sort_unstable();
    assert_eq!(expected, faults);
}

/// The number of calls of Bedrock, with at most three attempts.
fn expected_calls(fault: &str) -> usize {
    match fault {
        "throttled" | "type_in_body" | "server_error" | "unavailable" | "overloaded"
        | "hang_up" | "hang_up_before" | "model_not_ready" => 3,
        "model_timeout" => 2,
        _ => 1,
    }
}

#[tokio::test]
async fn every_failure_of_bedrock_is_an_error_envelope_and_only_transient_failures_are_retried() {
    let fixture = Fixture::with_bindings(json!({})).await;
    // Concurrently, because retries wait.
    let check = async |expected: &Expected| {
        let case = expected.fault;
        let prompt = format!("fault:{case}");
        let response = fixture.worker.prompt(&prompt).await;
        response.assert_envelope(case, 500, &prompt, expected.generated_text);
        assert_eq!(response.header("x-error-code"), Some(expected.code), "{case}: {response}");
        let retry_after = match (case, expected.code) {
            // From Bedrock's response.
            ("throttled", _) => Some("1"),
            // A retry does not help.
            ("quota", _) => None,
            // The longest wait before the attempt that would come next.
            (_, "throttled" | "unavailable") => Some("4"),
            _ => None,
        };
        assert_eq!(response.header("retry-after"), retry_after, "{case}: {response}");
        // No other header, so none with AWS's message.
        let mut names = vec!["content-type", "server-timing", "x-error-code", "x-request-id"];
        names.extend(retry_after.map(|_| "retry-after"));
        names.extend(expected.upstream_status.map(|_| "x-amzn-requestid"));
        names.extend(["x-bedrock-attempts", "x-bedrock-region"]);
        if ["max_tokens_before_text", "refusal", "tool_only"].contains(&case) {
            names.push("x-stop-reason");
            // Bedrock bills these tokens although there is no text.
            names.push("x-amzn-bedrock-input-token-count");
            names.push("x-amzn-bedrock-output-token-count");
        }
        names.sort_unstable();
        assert_eq!(response.header_names(), names, "{case}: {response}");
        // Redirects are not followed, and permanent failures are not retried.
        let calls = expected_calls(case);
        assert_eq!(fixture.bedrock_requests(&prompt).len(), calls, "{case}");
        let attempts = calls.to_string();
        assert_eq!(response.header("x-bedrock-attempts"), Some(&*attempts), "{case}: {response}");

        let line = fixture.worker.log_line(response.request_id()).await;
        assert_eq!(line["level"], "error", "{case}: {line}");
        assert_eq!(line["status"], 500, "{case}: {line}");
        assert_eq!(line["outcome"], expected.code, "{case}: {line}");
        assert_eq!(line["upstream_status"], json!(expected.upstream_status), "{case}: {line}");
        assert_eq!(line["error"], expected.error, "{case}: {line}");
        let requestid = response.header("x-amzn-requestid");
        assert_eq!(line["x_amzn_requestid"], json!(requestid), "{case}: {line}");
        assert_eq!(line["retries"], calls - 1, "{case}: {line}");
    };
    join_all(FAILURES.iter().map(check)).await;
    // The same isolate still serves requests.
    let response = fixture.worker.prompt("after all the failures").await;
    assert_eq!(response.status, 200, "{response}");
}

#[tokio::test]
async fn unusual_but_valid_replies_are_successes() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let usual_text = |prompt: &str| {
        let characters = prompt.chars().count();
        format!("You said: \"{prompt}\" ({characters} characters). This is the Bedrock stand-in.")
    };
    // The case, the prompt, the generated text, the stop reason.
    let cases = [
        (
            "two blocks of text after a block of thinking",
            "fault:thinking_first",
            "The first part, and the second.".to_owned(),
            Some("end_turn"),
        ),
        ("a reply that the model ended at once", "fault:no_text", String::new(), Some("end_turn")),
        (
            "an unknown stop reason",
            "fault:unknown_stop_reason",
            usual_text("fault:unknown_stop_reason"),
            Some("ran_out_of_ink"),
        ),
        (
            "a stop reason that is not a valid header value",
            "fault:garbage_headers",
            usual_text("fault:garbage_headers"),
            None,
        ),
        ("a slow reply", "fault:slow:1500", usual_text("fault:slow:1500"), Some("end_turn")),
    ];
    for (case, prompt, generated, stop_reason) in cases {
        let response = worker.prompt(prompt).await;
        response.assert_envelope(case, 200, prompt, &generated);
        assert_eq!(response.header("x-stop-reason"), stop_reason, "{case}: {response}");
        assert_eq!(response.header("x-error-code"), None, "{case}: {response}");
        assert_eq!(response.header("x-injected"), None, "{case}: {response}");
        // The counts come from the body of Bedrock's response, not from its headers.
        let tokens = response.header("x-amzn-bedrock-output-token-count").unwrap_or_default();
        assert!(tokens.parse::<u32>().is_ok(), "{case}: {response}");

        let line = worker.log_line(response.request_id()).await;
        assert_eq!(line["outcome"], "ok", "{case}: {line}");
        assert_eq!(line["stop_reason"], json!(stop_reason), "{case}: {line}");
        if prompt == "fault:garbage_headers" {
            assert_eq!(response.header("x-amzn-requestid"), None, "{case}: {response}");
            assert_eq!(line["x_amzn_requestid"], Value::Null, "{case}: {line}");
        }
        if prompt.starts_with("fault:slow") {
            assert!(took_at_least(1500, &response, &line), "{case}: {response}\n{line}");
        }
    }
}

/// Whether `upstream_ms` is at least this long, and `server-timing` says the same.
fn took_at_least(milliseconds: u64, response: &Response, line: &Value) -> bool {
    let server_timing = response.header("server-timing").unwrap_or_default();
    let upstream = line["upstream_ms"].as_u64().unwrap_or_default();
    upstream >= milliseconds && server_timing.starts_with(&format!("bedrock;dur={upstream}, "))
}

/// AWS's messages quote the prompt, and sometimes escape it.
#[tokio::test]
async fn a_prompt_that_aws_quotes_is_not_logged() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let cases = [
        ("unchanged", "fault:validation 内緒の話 tellnoone", "内緒の話"),
        ("with quotes", "fault:validation \"内緒の話\" tellnoone", "tellnoone"),
        ("with line ends", "fault:validation\n内緒の話\ttellnoone\r\n", "tellnoone"),
        ("with a backslash", r"fault:validation \ tellnoone", "tellnoone"),
    ];
    for (case, prompt, secret) in cases {
        let response = worker.prompt(prompt).await;
        response.assert_envelope(case, 500, prompt, FAILED);
        let line = worker.log_line(response.request_id()).await;
        assert_eq!(line["outcome"], "rejected", "{case}: {line}");
        assert!(!line.to_string().contains(secret), "{case}: {line}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    // A port that is bound, so that no other process can use it, but does not accept connections.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let bindings = json!({ "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url });
    let Fixture { worker, stub: _stub } = Fixture::with_bindings(bindings).await;

    let response = worker.prompt("is anybody there?").await;
    response.assert_envelope("a refused connection", 500, "is anybody there?", FAILED);
    assert_eq!(response.header("x-error-code"), Some("unavailable"), "{response}");
    let line = worker.log_line(response.request_id()).await;
    assert_eq!(line["outcome"], "unavailable", "{line}");
    assert_eq!(line["upstream_status"], Value::Null, "{line}");
    let error = line["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("no response: "), "{line}");
    // The health check does not depend on Bedrock.
    let health = worker.health().await;
    health.assert_envelope("health", 200, "", "ok");
}
