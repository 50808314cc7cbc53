//! Every fault of a stream that the stand-in can simulate. Before the first frame it becomes an
//! envelope, as without streaming; after it, the last event of the stream.

use std::collections::BTreeSet;

use bedrock_stub::events::word;
use bedrock_stub::faults::{FAULTS, Fault, STREAM_FAULTS, UTF8_TEXT};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::fixture::Fixture;

const FAILED: &str = "Error: Bedrock invocation failed";
const INVALID: &str = "Error: Invalid Bedrock response";

/// The expected outcome of a stream.
enum Expected {
    /// An envelope: `generated_text`, `x-error-code`, and `error` in the log.
    Envelope(&'static str, &'static str, &'static str),
    /// Some text and then an `error` event: the text, `code`, `message`, `retryable`, and `error`
    /// in the log.
    Error(&'static str, &'static str, &'static str, bool, &'static str),
    /// A complete reply with this text.
    Done(fn() -> String),
    /// A complete reply with the stand-in's usual text.
    Usual,
}

use Expected::{Done, Envelope, Error, Usual};

/// The fault, without `fault:`, and its outcome. Faults that take a number of valid frames to send
/// first are tested with the default, with 0, and with more frames than the reply has.
const CASES: &[(&str, Expected)] = &[
    ("pace:1", Usual),
    ("stream_long:40", Done(|| (0..40).map(word).collect())),
    // An empty block of text is a valid reply.
    ("stream_long:0", Done(String::new)),
    (
        "stream_exception",
        Error(
            "You",
            "throttled",
            FAILED,
            true,
            "ThrottlingException: Too many requests, please wait before trying again.",
        ),
    ),
    (
        "stream_exception:1",
        Error(
            "",
            "throttled",
            FAILED,
            true,
            "ThrottlingException: Too many requests, please wait before trying again.",
        ),
    ),
    (
        "stream_exception:0",
        Envelope(
            FAILED,
            "throttled",
            "ThrottlingException: Too many requests, please wait before trying again.",
        ),
    ),
    ("stream_exception:9999", Usual),
    (
        "stream_model_error",
        Error(
            "You",
            "model_error",
            FAILED,
            true,
            "ModelStreamErrorException: An error occurred while streaming the response. Retry your request.",
        ),
    ),
    (
        "stream_model_error:0",
        Envelope(
            FAILED,
            "model_error",
            "ModelStreamErrorException: An error occurred while streaming the response. Retry your request.",
        ),
    ),
    (
        "stream_timeout:6",
        Error(
            "You said:",
            "timeout",
            FAILED,
            true,
            "ModelTimeoutException: Model has timed out in processing the request. Try your request again.",
        ),
    ),
    (
        "stream_timeout:0",
        Envelope(
            FAILED,
            "timeout",
            "ModelTimeoutException: Model has timed out in processing the request. Try your request again.",
        ),
    ),
    (
        "stream_internal",
        Error(
            "You",
            "unavailable",
            FAILED,
            true,
            "InternalServerException: The system encountered an unexpected error during processing. Try your request again.",
        ),
    ),
    (
        "stream_validation",
        Error(
            "You",
            "rejected",
            FAILED,
            false,
            "ValidationException: Output blocked by content filtering policy",
        ),
    ),
    (
        "stream_unavailable",
        Error(
            "You",
            "unavailable",
            FAILED,
            true,
            "ServiceUnavailableException: Bedrock is unable to process your request.",
        ),
    ),
    (
        "stream_error",
        Error("You", "unavailable", FAILED, true, "InternalFailure: An internal error occurred."),
    ),
    (
        "stream_error:0",
        Envelope(FAILED, "unavailable", "InternalFailure: An internal error occurred."),
    ),
    (
        "stream_bad_crc",
        Error("You", "invalid_response", INVALID, false, "the CRC of a frame does not match"),
    ),
    (
        "stream_bad_crc:0",
        Envelope(INVALID, "invalid_response", "the CRC of a frame does not match"),
    ),
    (
        "stream_bad_prelude",
        Error(
            "You",
            "invalid_response",
            INVALID,
            false,
            "the CRC of a frame's prelude does not match",
        ),
    ),
    (
        "stream_bad_prelude:0",
        Envelope(INVALID, "invalid_response", "the CRC of a frame's prelude does not match"),
    ),
    (
        "stream_cut",
        Error("You", "truncated", INVALID, true, "the stream ended before the reply did"),
    ),
    ("stream_cut:0", Envelope(INVALID, "truncated", "the stream ended before the reply did")),
    ("stream_hang_up", Error("You", "unavailable", FAILED, true, HUNG_UP)),
    ("stream_hang_up:0", Envelope(FAILED, "unavailable", HUNG_UP)),
    (
        "stream_end",
        Error("You", "truncated", INVALID, true, "the stream ended before the reply did"),
    ),
    // Every frame but `message_stop`, without which the reply is incomplete.
    (
        "stream_end:30",
        Error(
            r#"You said: "fault:stream_end:30" (19 characters). This is the Bedrock stand-in."#,
            "truncated",
            INVALID,
            true,
            "the stream ended before the reply did",
        ),
    ),
    ("stream_end:0", Envelope(INVALID, "truncated", "the stream ended before the reply did")),
    ("stream_empty", Envelope(INVALID, "truncated", "the stream ended before the reply did")),
    ("stream_not_frames", Envelope(INVALID, "invalid_response", "")),
    ("stream_not_frames:json", Envelope(INVALID, "invalid_response", "")),
    ("stream_not_frames:mislabelled", Envelope(INVALID, "invalid_response", "")),
    (
        "stream_huge_frame",
        Error(
            "You",
            "invalid_response",
            INVALID,
            false,
            "expected a frame of 16 to 16777216 bytes, got 17825922",
        ),
    ),
    ("stream_thinking", Usual),
    ("stream_split", Usual),
    ("stream_glued", Usual),
    ("stream_utf8", Done(|| UTF8_TEXT.to_owned())),
];

/// workerd's message for a lost connection.
const HUNG_UP: &str = "cannot read the response: Network connection lost.";

/// Faults that other tests cover: this stream does not end (keep_alive.rs, deadlines.rs).
const ELSEWHERE: &[&str] = &["stream_stall"];

#[test]
fn every_stream_fault_of_the_stand_in_has_an_expectation() {
    let name = |fault: &'static str| fault.split(':').next().unwrap();
    let expected: BTreeSet<&str> =
        CASES.iter().map(|(fault, _)| name(fault)).chain(ELSEWHERE.iter().copied()).collect();
    let faults: BTreeSet<&str> = STREAM_FAULTS.iter().map(|fault| fault.name).collect();
    assert_eq!(expected, faults);
}

#[tokio::test]
async fn every_fault_of_a_stream_is_an_envelope_before_the_first_frame_and_an_error_event_after_it()
{
    let Fixture { worker, stub: _stub } = Fixture::with_bindings(json!({})).await;
    // Concurrently, because retries wait.
    let check = async |(case, expected): &(&str, Expected)| {
        let prompt = format!("fault:{case}");
        let mut response = worker.stream(&prompt).await;
        let line = async |id: &str, outcome: &str, error: &str| {
            let line = worker.log_line(id).await;
            assert_eq!(line["outcome"], outcome, "{case}: {line}");
            let logged = line["error"].as_str().unwrap_or_default();
            assert!(logged.contains(error), "{case}: {line}");
            line
        };
        if let Envelope(message, code, error) = expected {
            response.head.assert_envelope(case, 500, &prompt, message);
            assert_eq!(
                response.head.header("x-error-code"),
                Some(*code),
                "{case}: {}",
                response.head
            );
            let line = line(response.head.request_id(), code, error).await;
            assert_eq!((&line["status"], &line["level"]), (&json!(500), &json!("error")), "{case}");
            let retries = match *code {
                "throttled" | "unavailable" | "truncated" => 2,
                "timeout" => 1,
                _ => 0,
            };
            assert_eq!(line["retries"], retries, "{case}: {line}");
            return;
        }
        let reply = response.reply(case).await;
        assert_eq!(reply.request_id(), response.head.request_id(), "{case}: {reply}");
        let text = match expected {
            Done(text) => text(),
            Error(text, ..) => (*text).to_owned(),
            Usual | Envelope(..) => {
                let length = prompt.chars().count();
                format!(
                    "You said: \"{prompt}\" ({length} characters). This is the Bedrock stand-in."
                )
            }
        };
        assert_eq!(reply.text(), text, "{case}");
        if let Error(_, code, message, retryable, error) = expected {
            reply.assert_error(case, code, message, *retryable);
            let line = line(reply.request_id(), code, error).await;
            // The status is the one that the client got. The level reflects the later failure.
            assert_eq!((&line["status"], &line["level"]), (&json!(200), &json!("error")), "{case}");
        } else {
            assert_eq!(reply.last.name, "done", "{case}: {reply}");
            assert_eq!(reply.last.data["input_prompt"], prompt, "{case}: {reply}");
            assert_eq!(reply.last.data["stop_reason"], "end_turn", "{case}: {reply}");
            let line = line(reply.request_id(), "ok", "").await;
            let usage = &reply.last.data["usage"];
            for name in ["input_tokens", "output_tokens"] {
                assert!(usage[name].is_u64(), "{case}: {reply}");
                assert_eq!(line[name], usage[name], "{case}: {line}");
            }
            assert_eq!(line["level"], "info", "{case}: {line}");
        }
    };
    join_all(CASES.iter().map(check)).await;
    // The same isolate still serves requests.
    let response = worker.prompt("after all that came of streams").await;
    assert_eq!(response.status, 200, "{response}");
}

/// If Bedrock responds with an error, the response is the same with and without streaming. If it
/// responds with a reply, the streamed text is the same as the text without streaming.
#[tokio::test]
async fn faults_before_the_first_frame_have_the_same_outcome_with_and_without_streaming() {
    // Whether a reply has text is known only at its end, long after the first event.
    const WITHOUT_TEXT: [(&str, &str, &str); 3] = [
        (
            "max_tokens_before_text",
            "no_text",
            "Error: the reply ended at max_tokens (100) before it had any text",
        ),
        ("refusal", "refusal", "Error: the model refused to reply"),
        ("tool_only", "invalid_response", INVALID),
    ];

    let Fixture { worker, stub: _stub } = Fixture::with_bindings(json!({})).await;
    // Concurrently, because retries wait.
    let check = async |fault: &Fault| {
        let case = fault.name;
        let prompt =
            if case == "slow" { "fault:slow:50".to_owned() } else { format!("fault:{case}") };
        let buffered = worker.prompt(&prompt).await;
        let mut response = worker.stream(&prompt).await;
        if buffered.status == 200 {
            let body: Value = serde_json::from_str(&buffered.body).unwrap();
            let reply = response.reply(case).await;
            assert_eq!(reply.last.data["input_prompt"], body["input_prompt"], "{case}: {reply}");
            assert_eq!(reply.text(), body["generated_text"].as_str().unwrap(), "{case}: {reply}");
            let stop_reason = json!(buffered.header("x-stop-reason"));
            assert_eq!(reply.last.data["stop_reason"], stop_reason, "{case}: {reply}");
            assert_eq!(response.head.header("x-injected"), None, "{case}: {}", response.head);
        } else if let Some((_, code, message)) =
            WITHOUT_TEXT.iter().find(|(fault, ..)| *fault == case)
        {
            let reply = response.reply(case).await;
            assert_eq!(reply.text(), "", "{case}: {reply}");
            reply.assert_error(case, code, message, false);
            assert_eq!(buffered.header("x-error-code"), Some(*code), "{case}: {buffered}");
        } else {
            let head = &response.head;
            assert_eq!(
                (head.status, &head.body),
                (buffered.status, &buffered.body),
                "{case}: {head}"
            );
            assert_eq!(head.header_names(), buffered.header_names(), "{case}: {head}");
            for name in ["content-type", "retry-after", "x-error-code"] {
                assert_eq!(head.header(name), buffered.header(name), "{case}: {head}");
            }
            let line = worker.log_line(head.request_id()).await;
            let buffered_line = worker.log_line(buffered.request_id()).await;
            for name in ["level", "outcome", "status", "upstream_status", "retries"] {
                assert_eq!(line[name], buffered_line[name], "{case}: {line}");
            }
        }
    };
    join_all(FAULTS.iter().filter(|fault| fault.streams).map(check)).await;
}

#[tokio::test]
async fn an_invalid_streaming_request_gets_an_envelope() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let cases = [
        ("a blank prompt", json!({ "prompt": " ", "stream": true }), 400, "invalid_request"),
        ("too many tokens", json!({ "max_tokens": 101, "stream": true }), 400, "invalid_request"),
        ("not an object", json!([true]), 400, "invalid_request"),
        (
            "too long",
            json!({ "prompt": "x".repeat(1 << 20), "stream": true }),
            413,
            "payload_too_large",
        ),
    ];
    for (case, body, status, code) in cases {
        let response = worker.stream_with_body(&body).await.head;
        assert_eq!(response.status, status, "{case}: {response}");
        assert_eq!(response.header("x-error-code"), Some(code), "{case}: {response}");
        assert!(response.body.starts_with(r#"{"input_prompt":"","#), "{case}: {response}");
    }
}
