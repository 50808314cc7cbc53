//! Faults of the network and of proxies between the Worker and Bedrock, with and without streaming.
//! Faults of Bedrock itself are in faults.rs and stream_faults.rs.
//!
//! The cases run concurrently, with a timeout that leaves time for three attempts.

mod cases;

use std::collections::HashMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use self::cases::Expected::{self, Breaks, Fails, Good};
use self::cases::Operation::{self, Invoke, Stream};
use self::cases::{Case, cases, script};
use crate::support::client::Response;
use crate::support::fixture::Fixture;
use crate::support::raw_server::RawServer;
use crate::support::raw_server::Step::{self, Hang};

const FAILED: &str = "Error: Bedrock invocation failed";
const INVALID: &str = "Error: Invalid Bedrock response";

/// Longer than the waits before the second and the third attempt.
const TIMEOUT_MS: u64 = 4000;
const STALL_MS: u64 = 1000;

#[tokio::test]
async fn every_network_fault_without_streaming_has_its_error_code_and_number_of_attempts() {
    check(Invoke).await;
}

#[tokio::test]
async fn every_network_fault_of_a_stream_has_its_error_code_and_number_of_attempts() {
    check(Stream).await;
}

async fn check(operation: Operation) {
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let scripts: HashMap<String, Vec<Step>> =
        cases.iter().map(|case| (case.name.to_owned(), script(&case.steps, operation))).collect();
    let hanging = scripts.values().filter(|steps| matches!(steps.last(), Some(Hang))).count();
    let server = RawServer::start(scripts).await;
    let fixture = Fixture::with_bindings(json!({
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": server.url(),
        "BEDROCK_TIMEOUT_MS": TIMEOUT_MS,
        "BEDROCK_STALL_MS": STALL_MS,
    }))
    .await;
    let run = async |case: &Case| {
        let expected = if operation == Invoke { &case.invoke } else { &case.stream };
        let mismatch = mismatch(&fixture, &server, operation, case.name, expected).await;
        mismatch.map(|seen| format!("{}: {seen}", case.name))
    };
    let together = join_all(cases.iter().map(&run)).await;
    // A call on a connection that the server is about to close is lost: an attempt that the server has not seen. Alone, a
    // case has no connections of others.
    let mut mismatches = Vec::new();
    for (case, first) in cases.iter().zip(together) {
        let Some(first) = first else { continue };
        if let Some(second) = run(case).await {
            mismatches.push(format!("{first}\nand alone {second}"));
        }
    }
    assert!(
        mismatches.is_empty(),
        "{operation:?}: {} of {} cases failed\n{}",
        mismatches.len(),
        cases.len(),
        mismatches.join("\n")
    );
    fixture
        .wait_until("all hanging connections to be closed", || server.abandoned() >= hanging)
        .await;
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
    let response = fixture.worker.prompt("good").await;
    assert_eq!(response.status, if operation == Invoke { 200 } else { 500 }, "{response}");
}

/// Sends the request of a case. Returns what happened if it is not as expected.
async fn mismatch(
    fixture: &Fixture,
    server: &RawServer,
    operation: Operation,
    prompt: &str,
    expected: &Expected,
) -> Option<String> {
    let before = server.calls(prompt);
    let mut events = Vec::new();
    let head: Response = match operation {
        Invoke => fixture.worker.prompt(prompt).await,
        Stream => {
            let mut response = fixture.worker.stream(prompt).await;
            if response.head.status == 200 {
                events = response.remaining_events().await;
            }
            response.head
        }
    };
    let line = fixture.worker.log_line(head.request_id()).await;
    let calls = server.calls(prompt) - before;
    let body: Value = serde_json::from_str(&head.body).unwrap_or_default();
    let last = events.last();
    let seen = format!("{head}\n{line}\n{last:?}\n{calls} calls");
    let error = line["error"].as_str().unwrap_or_default();
    let code = head.header("x-error-code");
    let as_expected = match expected {
        Good => {
            let text = last.map_or(&body["generated_text"], |last| &last.data["generated_text"]);
            head.status == 200 && text == "はい" && line["outcome"] == "ok" && calls == 1
        }
        Fails(expected, upstream_status, start, expected_calls) => {
            let message =
                if ["invalid_response", "truncated"].contains(expected) { INVALID } else { FAILED };
            let retries = line["retries"].as_u64();
            head.status == 500
                && code == Some(expected)
                && body == json!({ "input_prompt": prompt, "generated_text": message })
                && head.header("x-bedrock-attempts") == Some(&*calls.to_string())
                && head.header("retry-after").is_some()
                    == (*expected == "unavailable" || *expected_calls == 3)
                && calls == *expected_calls
                && line["outcome"] == *expected
                && line["status"] == 500
                && line["level"] == "error"
                && line["upstream_status"] == json!(upstream_status)
                && retries == Some(calls as u64 - 1)
                && error.starts_with(start)
        }
        Breaks(expected, start) => {
            head.status == 200
                && last.is_some_and(|last| last.name == "error" && last.data["code"] == *expected)
                && events.iter().filter(|event| event.is_last()).count() == 1
                && calls == 1
                && line["outcome"] == *expected
                && line["level"] == "error"
                && error.starts_with(start)
        }
    };
    (!as_expected).then_some(seen)
}
