//! Assertions about a response together with its log line.

use serde_json::json;

use super::client::Response;
use super::workerd::Workerd;

/// Asserts that the Worker rejected a request without calling Bedrock: the status, error code,
/// message and headers of the response, and the whole log line.
pub async fn assert_rejected(
    case: &str,
    worker: &Workerd,
    response: &Response,
    (status, code): (u16, &str),
    message: &str,
) {
    response.assert_envelope(case, status, "", &format!("Error: {message}"));
    assert_eq!(response.header("x-error-code"), Some(code), "{case}: {response}");
    let mut names = vec!["content-type", "x-error-code", "x-request-id"];
    if status == 405 {
        names.insert(0, "allow");
    }
    assert_eq!(response.header_names(), names, "{case}: {response}");

    let line = worker.log_line(response.request_id()).await;
    let expected = json!({
        "level": "warn",
        "outcome": code,
        "status": status,
        "request_id": response.request_id(),
        "model": "apac.anthropic.claude-sonnet-4-20250514-v1:0",
        "region": "ap-northeast-1",
        "retries": 0,
        "total_ms": line["total_ms"],
    });
    assert_eq!(line, expected, "{case}");
}
