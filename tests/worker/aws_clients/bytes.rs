//! Responses, byte for byte: what a client receives through the Worker is what the stand-in sent.

use bedrock_stub::faults::{FAULTS, STREAM_FAULTS};
use bedrock_stub::{Sent, Settings};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::aws_clients::ALLOWED_MODELS;
use crate::support::fixture::Fixture;
use crate::support::messages::TOKEN;
use crate::support::signer::sha256_hex;

const CLAUDE: &str = "global.anthropic.claude-opus-5-5";
const NOVA: &str = "amazon.nova-2-lite-v1%3A0";

/// The faults after which a reply is not complete.
const INCOMPLETE: [&str; 10] = [
    "cut_off",
    "empty",
    "hang_up",
    "not_json",
    "stream_bad_prelude",
    "stream_cut",
    "stream_empty",
    "stream_end",
    "stream_hang_up",
    "stream_not_frames",
];

/// The response that a client received.
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether the body came to its end.
    is_whole: bool,
}

async fn fixture() -> Fixture {
    let bindings = json!({
        "AUTH": null,
        "API_TOKENS": format!("bytes:{}", sha256_hex(TOKEN)),
        "ALLOWED_MODELS": ALLOWED_MODELS,
        "BEDROCK_MODEL_ID": CLAUDE,
        "BEDROCK_MAX_ATTEMPTS": "1",
    });
    let settings = Settings { record_responses: true, ..Settings::default() };
    Fixture::with_stub_settings(bindings, settings).await
}

fn messages(prompt: &str) -> Value {
    json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1024,
        "messages": [{ "role": "user", "content": prompt }],
    })
}

fn conversation(prompt: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": [{ "text": prompt }] }] })
}

/// Sends a request with the token. Reads until the end, or until the connection breaks.
///
/// # Errors
///
/// If the connection breaks before the head of the response.
async fn send(fixture: &Fixture, path: &str, body: &Value) -> reqwest::Result<Response> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(format!("http://{}{path}", fixture.worker.address))
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(body.to_string());
    let response = request.send().await?;
    let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), text(value))).collect();
    let status = response.status().as_u16();
    let (mut body, mut is_whole) = (Vec::new(), true);
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        match part {
            Ok(part) => body.extend(part),
            Err(_) => is_whole = false,
        }
    }
    Ok(Response { status, headers, body, is_whole })
}

/// Asserts that a response is the one that the stand-in sent.
fn assert_same(case: &str, received: &Response, sent: &Sent) {
    assert_eq!(received.status, sent.status, "{case}");
    assert!(
        received.body == sent.body,
        "{case}: sent {:?}, received {:?}",
        String::from_utf8_lossy(&sent.body),
        String::from_utf8_lossy(&received.body)
    );
    let passed = |name: &str| name.starts_with("x-amzn-") || name == "content-type";
    for (name, value) in sent.headers.iter().filter(|(name, _)| passed(name)) {
        let own = received.headers.iter().find(|(known, _)| known == name);
        let own = own.map(|(_, value)| value.as_str());
        assert_eq!(own, Some(value.as_str()), "{case}: {name}");
    }
}

/// Asserts that no client takes a part of a stream for a whole one: it ends with an exception of its protocol, or the
/// connection is closed without an end, with which the last bytes may be lost. A whole response may pass as it came:
/// its client parses it.
fn assert_broken(case: &str, received: reqwest::Result<Response>, sent: &Sent) {
    let Ok(Response { body, is_whole, .. }) = received else { return };
    match body.strip_prefix(&*sent.body) {
        Some(tail) if is_whole => {
            let tail = String::from_utf8_lossy(tail);
            let passed = !case.contains("stream: ") && tail.is_empty();
            assert!(passed || tail.contains(":exception-type"), "{case}: {tail}");
        }
        _ => assert!(!is_whole && sent.body.starts_with(&body), "{case}"),
    }
}

/// The operations, with a body for each.
fn operations(prompt: &str) -> [(String, Value); 6] {
    [
        (format!("/model/{CLAUDE}/invoke"), messages(prompt)),
        (format!("/model/{CLAUDE}/invoke-with-response-stream"), messages(prompt)),
        (format!("/model/{CLAUDE}/converse"), conversation(prompt)),
        (format!("/model/{CLAUDE}/converse-stream"), conversation(prompt)),
        (format!("/model/{NOVA}/converse"), conversation(prompt)),
        (format!("/model/{NOVA}/converse-stream"), conversation(prompt)),
    ]
}

#[tokio::test]
async fn replies_and_frames_arrive_as_they_were_sent() {
    let fixture = fixture().await;
    let prompts = [
        "Hello, 世界 👋",
        "[[think Hm.]] [[redacted]] Hello",
        "[[say {\"usage\":{\"inputTokens\":1}} \"metadata\" messageStop]]",
        "[[refuse]]",
    ];
    for prompt in prompts {
        for (path, body) in operations(prompt) {
            let before = fixture.stub.responses().len();
            let received = send(&fixture, &path, &body).await.unwrap();
            let sent = &fixture.stub.responses()[before..];
            assert_eq!(sent.len(), 1, "{path}: {prompt}");
            assert_eq!(received.status, 200, "{path}: {prompt}");
            assert_same(&format!("{path}: {prompt}"), &received, &sent[0]);
        }
    }
}

#[tokio::test]
async fn errors_and_broken_streams_arrive_as_they_were_sent() {
    let fixture = fixture().await;
    // Those that never end, those without a response, those whose body is not worth its time, and a request id that
    // is not one.
    let skipped = [
        "endless",
        "garbage_headers",
        "hang_up_before",
        "huge",
        "redirect",
        "slow",
        "stall",
        "stream_huge_frame",
        "stream_stall",
        "unknown_operation",
    ];
    let whole = FAULTS.iter().map(|fault| (fault.name, fault.streams, true));
    let streamed = STREAM_FAULTS.iter().map(|fault| (fault.name, true, false));
    for (fault, streams, is_whole) in whole.chain(streamed) {
        if skipped.contains(&fault) {
            continue;
        }
        for (path, body) in operations(&format!("fault:{fault}")) {
            let is_stream = path.ends_with("stream");
            if if is_stream { !streams } else { !is_whole } {
                continue;
            }
            let case = format!("{path}: {fault}");
            let before = fixture.stub.responses().len();
            let received = send(&fixture, &path, &body).await;
            let sent = &fixture.stub.responses()[before..];
            assert_eq!(sent.len(), 1, "{case}");
            if INCOMPLETE.contains(&fault) {
                assert_broken(&case, received, &sent[0]);
                continue;
            }
            let received = received.unwrap_or_else(|error| panic!("{case}: {error}"));
            if ["bad_signature", "expired_token"].contains(&fault) {
                // The credentials are the Worker's own, and the message quotes what was signed.
                assert_eq!(received.status, 500, "{case}");
                let body = String::from_utf8_lossy(&received.body);
                assert!(!body.contains("Canonical"), "{case}: {body}");
                continue;
            }
            assert_same(&case, &received, &sent[0]);
        }
    }
}
