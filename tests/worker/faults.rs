//! Bedrock fails in every way that the stand-in knows, and the network too.

use bedrock_stub::faults::FAULTS;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::support::client::Response;
use crate::support::fixture::Fixture;

const FAILED: &str = "Error: Bedrock invocation failed";
const INVALID: &str = "Error: Invalid Bedrock response";

/// What is to come of a fault.
struct Expected {
    /// The fault's name.
    fault: &'static str,
    /// `generated_text`.
    words: &'static str,
    /// `x-error-code`, and `outcome` in the log.
    code: &'static str,
    /// `upstream_status` in the log: what Bedrock's head said, if one came.
    upstream_status: Option<u16>,
    /// `error` in the log.
    error: &'static str,
}

const fn fails(
    fault: &'static str,
    words: &'static str,
    code: &'static str,
    upstream_status: Option<u16>,
    error: &'static str,
) -> Expected {
    Expected { fault, words, code, upstream_status, error }
}

const FAILURES: &[Expected] = &[
    fails(
        "throttled",
        FAILED,
        "throttled",
        Some(429),
        "429 Too Many Requests ThrottlingException: Too many requests, please wait before trying again.",
    ),
    fails(
        "type_in_body",
        FAILED,
        "throttled",
        Some(429),
        "429 Too Many Requests ThrottlingException: Too many requests, please wait before trying again.",
    ),
    fails(
        "server_error",
        FAILED,
        "unavailable",
        Some(500),
        "500 Internal Server Error InternalServerException: The system encountered an unexpected error during processing. Try your request again.",
    ),
    fails(
        "unavailable",
        FAILED,
        "unavailable",
        Some(503),
        "503 Service Unavailable ServiceUnavailableException: Bedrock is unable to process your request.",
    ),
    fails("overloaded", FAILED, "unavailable", Some(503), "503 Service Unavailable without a type"),
    fails(
        "hang_up",
        FAILED,
        "unavailable",
        Some(200),
        "the answer broke off: Network connection lost.",
    ),
    fails("hang_up_before", FAILED, "unavailable", None, "no answer: Network connection lost."),
    fails(
        "model_timeout",
        FAILED,
        "timeout",
        Some(408),
        "408 Request Timeout ModelTimeoutException: Model has timed out in processing the request. Try your request again.",
    ),
    fails(
        "access_denied",
        FAILED,
        "access_denied",
        Some(403),
        "403 Forbidden AccessDeniedException: You don't have access to the model with the specified model ID.",
    ),
    fails(
        "expired_token",
        FAILED,
        "access_denied",
        Some(403),
        "403 Forbidden ExpiredTokenException: The security token included in the request is expired",
    ),
    fails(
        "not_found",
        FAILED,
        "model_not_found",
        Some(404),
        "404 Not Found ResourceNotFoundException: Could not resolve the foundation model from the provided model identifier.",
    ),
    // AWS quotes the prompt.
    fails(
        "validation",
        FAILED,
        "rejected",
        Some(400),
        "400 Bad Request ValidationException: messages.0.content: the prompt \"[redacted]\" is not allowed",
    ),
    fails("redirect", INVALID, "invalid_response", Some(302), "302 Found without a type"),
    fails(
        "not_json",
        INVALID,
        "invalid_response",
        Some(200),
        "the body of 78 bytes is not Claude's JSON: syntax at 1:1",
    ),
    fails(
        "empty",
        INVALID,
        "invalid_response",
        Some(200),
        "the body of 0 bytes is not Claude's JSON: end at 1:0",
    ),
    fails(
        "cut_off",
        INVALID,
        "invalid_response",
        Some(200),
        "the body of 158 bytes is not Claude's JSON: end at 1:158",
    ),
    fails("no_text", INVALID, "invalid_response", Some(200), "no block of text"),
    fails("tool_only", INVALID, "invalid_response", Some(200), "no block of text"),
    fails(
        "unknown_operation",
        INVALID,
        "invalid_response",
        Some(200),
        "an error with status 200: UnknownOperationException",
    ),
];

/// Not failures: `successes` has them; and what depends on credentials, in authentication.rs.
const ELSEWHERE: &[&str] = &[
    "bad_signature",
    "endless",
    "garbage_headers",
    "huge",
    "slow",
    "stall",
    "thinking_first",
    "unknown_stop_reason",
];

#[test]
fn every_fault_is_expected() {
    let mut expected: Vec<&str> =
        FAILURES.iter().map(|row| row.fault).chain(ELSEWHERE.iter().copied()).collect();
    let mut faults: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    expected.sort_unstable();
    faults.sort_unstable();
    assert_eq!(expected, faults);
}

/// How many calls are made, of three that may be.
fn calls(fault: &str) -> usize {
    match fault {
        "throttled" | "type_in_body" | "server_error" | "unavailable" | "overloaded"
        | "hang_up" | "hang_up_before" => 3,
        "model_timeout" => 2,
        _ => 1,
    }
}

#[tokio::test]
async fn failures() {
    let fixture = Fixture::with_bindings(json!({})).await;
    // At once, because of the waits.
    let check = async |row: &Expected| {
        let case = row.fault;
        let prompt = format!("fault:{case}");
        let response = fixture.worker.prompt(&prompt).await;
        response.assert_envelope(case, 500, &prompt, row.words);
        assert_eq!(response.header("x-error-code"), Some(row.code), "{case}: {response}");
        let retry_after = match (case, row.code) {
            // Bedrock's.
            ("throttled", _) => Some("1"),
            // As long as the next wait would have been at most.
            (_, "throttled" | "unavailable") => Some("4"),
            _ => None,
        };
        assert_eq!(response.header("retry-after"), retry_after, "{case}: {response}");
        // Nothing else, so nothing of AWS's words.
        let mut names = vec!["content-type", "server-timing", "x-error-code", "x-request-id"];
        names.extend(retry_after.map(|_| "retry-after"));
        names.extend(row.upstream_status.map(|_| "x-amzn-requestid"));
        names.extend(["x-bedrock-attempts", "x-bedrock-region"]);
        if ["no_text", "tool_only"].contains(&case) {
            // It is billed all the same.
            names.push("x-amzn-bedrock-input-token-count");
            names.push("x-amzn-bedrock-output-token-count");
        }
        names.sort_unstable();
        assert_eq!(response.header_names(), names, "{case}: {response}");
        // A redirect is not followed, and nothing is repeated that would be refused again.
        let calls = calls(case);
        assert_eq!(fixture.bedrock_requests(&prompt).len(), calls, "{case}");
        let attempts = calls.to_string();
        assert_eq!(response.header("x-bedrock-attempts"), Some(&*attempts), "{case}: {response}");

        let line = fixture.worker.log_line(response.request_id()).await;
        assert_eq!(line["level"], "error", "{case}: {line}");
        assert_eq!(line["status"], 500, "{case}: {line}");
        assert_eq!(line["outcome"], row.code, "{case}: {line}");
        assert_eq!(line["upstream_status"], json!(row.upstream_status), "{case}: {line}");
        assert_eq!(line["error"], row.error, "{case}: {line}");
        let requestid = response.header("x-amzn-requestid");
        assert_eq!(line["x_amzn_requestid"], json!(requestid), "{case}: {line}");
        assert_eq!(line["retries"], calls - 1, "{case}: {line}");
    };
    join_all(FAILURES.iter().map(check)).await;
    // In the same isolate.
    let response = fixture.worker.prompt("after all the failures").await;
    assert_eq!(response.status, 200, "{response}");
}

#[tokio::test]
async fn successes() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let plain = |prompt: &str| {
        let characters = prompt.chars().count();
        format!("You said: \"{prompt}\" ({characters} characters). This is the Bedrock stand-in.")
    };
    // What it shows, the prompt, the text, the stop reason.
    let cases = [
        (
            "two texts after a thought",
            "fault:thinking_first",
            "The first part, and the second.".to_owned(),
            Some("end_turn"),
        ),
        (
            "a stop reason of the future",
            "fault:unknown_stop_reason",
            plain("fault:unknown_stop_reason"),
            Some("ran_out_of_ink"),
        ),
        (
            "a stop reason that is no header's value",
            "fault:garbage_headers",
            plain("fault:garbage_headers"),
            None,
        ),
        ("a slow answer", "fault:slow:1500", plain("fault:slow:1500"), Some("end_turn")),
    ];
    for (case, prompt, generated, stop_reason) in cases {
        let response = worker.prompt(prompt).await;
        response.assert_envelope(case, 200, prompt, &generated);
        assert_eq!(response.header("x-stop-reason"), stop_reason, "{case}: {response}");
        assert_eq!(response.header("x-error-code"), None, "{case}: {response}");
        assert_eq!(response.header("x-injected"), None, "{case}: {response}");
        // From the body, which is where they are right.
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

fn took_at_least(milliseconds: u64, response: &Response, line: &Value) -> bool {
    let told = response.header("server-timing").unwrap_or_default();
    let upstream = line["upstream_ms"].as_u64().unwrap_or_default();
    upstream >= milliseconds && told.starts_with(&format!("bedrock;dur={upstream}, "))
}

/// AWS's words quote what it was sent, and not always as it was.
#[tokio::test]
async fn a_quoted_prompt_is_not_logged() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let cases = [
        ("as it is", "fault:validation 内緒の話 tellnoone", "内緒の話"),
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
async fn nobody_listens() {
    // A port that is taken, so that nobody else takes it, and refuses connections.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let bindings = json!({ "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url });
    let Fixture { worker, stub: _stub } = Fixture::with_bindings(bindings).await;

    let response = worker.prompt("is anybody there?").await;
    response.assert_envelope("nobody listens", 500, "is anybody there?", FAILED);
    assert_eq!(response.header("x-error-code"), Some("unavailable"), "{response}");
    let line = worker.log_line(response.request_id()).await;
    assert_eq!(line["outcome"], "unavailable", "{line}");
    assert_eq!(line["upstream_status"], Value::Null, "{line}");
    let error = line["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("no answer: "), "{line}");
    // It does not depend on Bedrock.
    let health = worker.health().await;
    health.assert_envelope("health", 200, "", "ok");
}
