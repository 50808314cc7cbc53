//! Responses that are not streamed: the envelope, the headers, and the fields of the request that
//! shape them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::Response;
use crate::support::fixture::{Fixture, json_body};

const DEFAULT_PROMPT: &str = "Hello, how can I help you?";

#[tokio::test]
async fn the_body_is_exactly_the_envelope() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let cases = [
        (
            "English",
            r#"{"prompt": "Good morning"}"#,
            r#"{"input_prompt":"Good morning","generated_text":"You said: \"Good morning\" (12 characters). This is the Bedrock stand-in."}"#,
        ),
        (
            "Japanese",
            r#"{"prompt": "東京の天気は?"}"#,
            r#"{"input_prompt":"東京の天気は?","generated_text":"「東京の天気は?」と受け取りました(7 文字)。これは Bedrock の代役です。"}"#,
        ),
        (
            "emoji of several code points",
            r#"{"prompt": "👩‍👩‍👧‍👦 🇯🇵"}"#,
            r#"{"input_prompt":"👩‍👩‍👧‍👦 🇯🇵","generated_text":"You said: \"👩‍👩‍👧‍👦 🇯🇵\" (10 characters). This is the Bedrock stand-in."}"#,
        ),
        (
            "escapes in the request",
            r#"{"prompt": "\u6771\u4eac \ud83d\ude00"}"#,
            r#"{"input_prompt":"東京 😀","generated_text":"「東京 😀」と受け取りました(4 文字)。これは Bedrock の代役です。"}"#,
        ),
        (
            "characters that JSON must escape",
            r#"{"prompt": "a \"b\" \\ \u002f \u0001\u0000\n"}"#,
            r#"{"input_prompt":"a \"b\" \\ / \u0001\u0000\n","generated_text":"You said: \"a \"b\" \\ / \u0001\u0000\n\" (13 characters). This is the Bedrock stand-in."}"#,
        ),
        (
            "markup, and JavaScript's line separators",
            "{\"prompt\": \"<b>&amp;\u{2028}\u{2029}\u{feff}</b>\"}",
            "{\"input_prompt\":\"<b>&amp;\u{2028}\u{2029}\u{feff}</b>\",\"generated_text\":\"You said: \\\"<b>&amp;\u{2028}\u{2029}\u{feff}</b>\\\" (15 characters). This is the Bedrock stand-in.\"}",
        ),
        (
            "a byte order mark, and unknown keys",
            "\u{feff}{\"top_k\": true, \"prompt\": \"BOM\", \"\": {}}",
            r#"{"input_prompt":"BOM","generated_text":"You said: \"BOM\" (3 characters). This is the Bedrock stand-in."}"#,
        ),
    ];
    for (case, body, expected) in cases {
        let response = worker.send(worker.request(Method::POST, "/").body(body)).await;
        assert_eq!(
            (response.status, response.body.as_str()),
            (200, expected),
            "{case}: {response}"
        );
    }
}

/// The search for characters to escape has a SIMD version in wasm, which unit tests do not run.
#[tokio::test]
async fn characters_that_json_must_escape_are_found_at_every_position() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let prompt: String = ('\0'..='\u{ff}')
        .flat_map(|character| {
            (0..17).map(move |before| format!("{}{character}", "a".repeat(before)))
        })
        .collect();
    let response = worker.prompt(&prompt).await;
    assert_eq!(response.status, 200, "{response}");
    let expected = format!(r#"{{"input_prompt":{},"#, serde_json::to_string(&prompt).unwrap());
    assert!(response.body.starts_with(&expected), "{response}");
}

#[tokio::test]
async fn headers_and_log_line_describe_the_call() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let response = worker.prompt("headers of a response").await;

    assert_eq!(
        response.header_names(),
        [
            "content-type",
            "server-timing",
            "x-amzn-bedrock-input-token-count",
            "x-amzn-bedrock-output-token-count",
            "x-amzn-requestid",
            "x-bedrock-attempts",
            "x-bedrock-region",
            "x-request-id",
            "x-stop-reason",
        ],
        "{response}"
    );
    assert_eq!(
        response.header("content-type"),
        Some("application/json; charset=utf-8"),
        "{response}"
    );
    assert_eq!(response.header("x-amzn-bedrock-input-token-count"), Some("4"), "{response}");
    assert_eq!(response.header("x-amzn-bedrock-output-token-count"), Some("22"), "{response}");
    assert_eq!(response.header("x-stop-reason"), Some("end_turn"), "{response}");
    let (bedrock, total) =
        parse_server_timing(&response).unwrap_or_else(|| panic!("server-timing: {response}"));
    assert!(bedrock <= total, "{response}");

    let line = worker.log_line(response.request_id()).await;
    let expected = json!({
        "level": "info",
        "outcome": "ok",
        "status": 200,
        "request_id": response.request_id(),
        "model": "apac.anthropic.claude-sonnet-4-20250514-v1:0",
        "region": "ap-northeast-1",
        "upstream_status": 200,
        "x_amzn_requestid": response.header("x-amzn-requestid"),
        "retries": 0,
        "input_tokens": 4,
        "output_tokens": 22,
        "stop_reason": "end_turn",
        "upstream_ms": bedrock,
        "total_ms": total,
    });
    assert_eq!(line, expected);
}

/// Parses the two durations of `bedrock;dur=1, total;dur=2`.
fn parse_server_timing(response: &Response) -> Option<(u64, u64)> {
    let (bedrock, total) = response.header("server-timing")?.split_once(", ")?;
    let bedrock = bedrock.strip_prefix("bedrock;dur=")?.parse().ok()?;
    Some((bedrock, total.strip_prefix("total;dur=")?.parse().ok()?))
}

#[tokio::test]
async fn the_request_id_of_bedrock_is_in_the_response() {
    // A stand-in of its own, because it numbers its requests from 0.
    let Fixture { worker, stub: _stub } = Fixture::with_bindings(json!({})).await;
    for number in 0..3 {
        let response = worker.prompt("whose id?").await;
        let expected = format!("00000000-0000-4000-8000-{number:012x}");
        assert_eq!(response.header("x-amzn-requestid"), Some(expected.as_str()), "{response}");
    }
}

#[tokio::test]
async fn a_request_without_a_prompt_gets_the_default_prompt() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let post = || worker.request(Method::POST, "/");
    let json = "application/json";
    let cases = [
        ("no body", post()),
        ("no body, but a content type", post().header("content-type", json)),
        ("an empty body", post().header("content-length", "0").body("")),
        ("a blank body", post().body(" \r\n")),
        ("an empty object", post().header("content-type", json).body("{}")),
        ("other keys only", post().body(r#"{"max_tokens": 100}"#)),
    ];
    let generated =
        format!("You said: \"{DEFAULT_PROMPT}\" (26 characters). This is the Bedrock stand-in.");
    for (case, request) in cases {
        worker.send(request).await.assert_envelope(case, 200, DEFAULT_PROMPT, &generated);
    }
}

#[tokio::test]
async fn the_callers_fields_reach_bedrock() {
    let fixture = Fixture::shared().await;
    // The request's fields, and the fields that Bedrock gets besides the version and the messages.
    let cases: [(&str, Value, Value); 7] = [
        ("the defaults", json!({}), json!({ "max_tokens": 100, "temperature": 0.7 })),
        (
            "fewer tokens",
            json!({ "max_tokens": 1 }),
            json!({ "max_tokens": 1, "temperature": 0.7 }),
        ),
        (
            "the lowest temperature",
            json!({ "temperature": 0 }),
            json!({ "max_tokens": 100, "temperature": 0.0 }),
        ),
        (
            "the highest temperature",
            json!({ "temperature": 1.0 }),
            json!({ "max_tokens": 100, "temperature": 1.0 }),
        ),
        (
            "a system prompt",
            json!({ "system": "簡潔に \"答えて\"" }),
            json!({ "max_tokens": 100, "temperature": 0.7, "system": "簡潔に \"答えて\"" }),
        ),
        (
            "stop sequences",
            json!({ "stop_sequences": ["\n\nHuman:", "。"] }),
            json!({ "max_tokens": 100, "temperature": 0.7, "stop_sequences": ["\n\nHuman:", "。"] }),
        ),
        (
            "all fields, and an unknown one",
            json!({ "max_tokens": 7, "temperature": 0.25, "system": "S", "stop_sequences": ["x"], "top_p": 1 }),
            json!({ "max_tokens": 7, "temperature": 0.25, "system": "S", "stop_sequences": ["x"] }),
        ),
    ];
    for (case, mut body, mut expected) in cases {
        let prompt = format!("to Bedrock: {case}");
        body["prompt"] = json!(prompt);
        expected["anthropic_version"] = json!("bedrock-2023-05-31");
        expected["messages"] = json!([{ "role": "user", "content": prompt }]);
        let response = fixture.worker.post(body).await;
        assert_eq!(response.status, 200, "{case}: {response}");
        assert_eq!(json_body(&fixture.bedrock_request(&prompt)), expected, "{case}");
    }
}

#[tokio::test]
async fn the_stop_reason_is_in_a_header() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let cases = [
        (
            "max_tokens",
            json!({ "prompt": "日本", "max_tokens": 3 }),
            "「日本",
            Some("max_tokens"),
            Some("3"),
        ),
        (
            "a stop sequence",
            json!({ "prompt": "日本", "stop_sequences": ["と受け"] }),
            "「日本」",
            Some("stop_sequence"),
            Some("4"),
        ),
    ];
    for (case, body, generated, stop_reason, tokens) in cases {
        let response = worker.post(body).await;
        response.assert_envelope(case, 200, "日本", generated);
        assert_eq!(response.header("x-stop-reason"), stop_reason, "{case}: {response}");
        let output_tokens = response.header("x-amzn-bedrock-output-token-count");
        assert_eq!(output_tokens, tokens, "{case}: {response}");
    }
}
