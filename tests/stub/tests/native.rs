//! The native endpoint, `POST /anthropic/v1/messages`.

mod signer;
mod wire;

use bedrock_stub::faults::STREAM_FAULTS;
use bedrock_stub::{Settings, Stub};
use serde_json::{Value, json};
use signer::Call;
use wire::{HttpResponse, exchange};

const MODEL_ID: &str = "global.anthropic.claude-opus-5-5";

async fn send(
    stub: &Stub,
    prompt: &str,
    stream: bool,
    change: impl FnOnce(&mut Call),
) -> HttpResponse {
    let body = json!({
        "model": MODEL_ID,
        "stream": stream,
        "max_tokens": 4096,
        "messages": [{ "role": "user", "content": prompt }],
    });
    let mut call = Call::new(body.to_string());
    call.host = stub.url().replace("http://", "");
    call.target = "/anthropic/v1/messages".to_owned();
    call.headers.push(("anthropic-version", "2023-06-01"));
    change(&mut call);
    exchange(&stub.url(), &call.signed()).await
}

/// Returns the events of a stream, whose names must be their types.
fn events(response: &HttpResponse) -> Vec<Value> {
    let body = String::from_utf8(response.chunks().chunks.concat()).unwrap();
    let event = |text: &str| {
        let (name, data) = text.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str(), "{text}");
        data
    };
    body.split_terminator("\n\n").map(event).collect()
}

#[tokio::test]
async fn a_reply_is_that_of_invoke_model_with_anthropics_headers() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let response = send(&stub, "Hi", false, |_| {}).await;
    assert_eq!(response.status(), 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert!(response.header("request-id").unwrap().starts_with("req_"), "{response:?}");
    assert_eq!(response.header("x-amzn-bedrock-input-token-count"), None);
    let reply = response.json();
    assert!(reply["id"].as_str().unwrap().starts_with("msg_bdrk_"), "{reply}");
    assert_eq!(reply["model"], "claude-opus-5-5");
}

#[tokio::test]
async fn a_stream_has_claudes_events_without_bedrocks_metrics() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let response = send(&stub, "Hi", true, |_| {}).await;
    assert_eq!(response.status(), 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let events = events(&response);
    assert_eq!(events[0]["type"], "message_start");
    assert_eq!(events.last(), Some(&json!({ "type": "message_stop" })));
    let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert!(text.starts_with("You said: \"Hi\""), "{text}");
    assert_eq!(stub.streams().finished, 1);
}

#[tokio::test]
async fn an_error_has_anthropics_form_and_that_of_authentication_has_awss() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    for (prompt, status, error_type) in [
        ("fault:throttled", 429, "rate_limit_error"),
        ("fault:unavailable", 529, "overloaded_error"),
        ("fault:server_error", 500, "api_error"),
        ("fault:model_timeout", 504, "timeout_error"),
        ("fault:access_denied", 403, "permission_error"),
        ("fault:not_found", 404, "not_found_error"),
        ("fault:validation", 400, "invalid_request_error"),
        ("[[tool x]]", 400, "invalid_request_error"),
    ] {
        for stream in [false, true] {
            let response = send(&stub, prompt, stream, |_| {}).await;
            assert_eq!(response.status(), status, "{prompt}");
            let error = response.json();
            assert_eq!(error["type"], "error", "{prompt}");
            assert_eq!(error["error"]["type"], error_type, "{prompt}");
            assert_eq!(error["request_id"].as_str(), response.header("request-id"), "{prompt}");
            assert_eq!(response.header("x-amzn-errortype"), None, "{prompt}");
        }
    }
    let response = send(&stub, "Hi", false, |call| call.headers.truncate(1)).await;
    let message = response.json()["error"]["message"].clone();
    assert_eq!(message, "anthropic-version: header is required");
    let response = send(&stub, "Hi", false, |call| call.service = "bedrock-mantle").await;
    assert_eq!(response.status(), 403);
    assert!(response.message().contains("correct service: 'bedrock'"), "{response:?}");
}

#[tokio::test]
async fn a_key_of_bedrock_may_be_in_either_header() {
    let settings = Settings { api_keys: vec!["key".to_owned()], ..Settings::default() };
    let stub = Stub::start(settings).await.unwrap();
    for (name, value, status) in [
        ("authorization", "Bearer key", 200),
        ("x-api-key", "key", 200),
        ("x-api-key", "another", 403),
    ] {
        let mut request = Call::new(
            json!({
                "model": MODEL_ID,
                "max_tokens": 16,
                "messages": [{ "role": "user", "content": "Hi" }],
            })
            .to_string(),
        )
        .signed();
        request.target = "/anthropic/v1/messages".to_owned();
        request.headers = [
            ("host", "x"),
            ("content-type", "application/json"),
            ("anthropic-version", "2023-06-01"),
            (name, value),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        let response = exchange(&stub.url(), &request).await;
        assert_eq!(response.status(), status, "{name}: {value}");
    }
}

#[tokio::test]
async fn the_faults_of_streams_are_played_as_server_sent_events() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    for (fault, error_type) in [
        ("stream_exception", "rate_limit_error"),
        ("stream_timeout", "timeout_error"),
        ("stream_internal", "api_error"),
        ("stream_validation", "invalid_request_error"),
        ("stream_unavailable", "overloaded_error"),
    ] {
        let events = events(&send(&stub, &format!("fault:{fault}"), true, |_| {}).await);
        assert_eq!(events.len(), 5, "{fault}");
        assert_eq!(events[4]["type"], "error", "{fault}");
        assert_eq!(events[4]["error"]["type"], error_type, "{fault}");
    }
    let ended = events(&send(&stub, "fault:stream_end:3", true, |_| {}).await);
    assert_eq!(ended.len(), 3);
    let whole = send(&stub, "fault:stream_glued", true, |_| {}).await;
    let split = send(&stub, "fault:stream_split", true, |_| {}).await;
    // The prompts have the same length, and the ids differ.
    assert_eq!(events(&whole).len(), events(&split).len());
    let cut = send(&stub, "fault:stream_cut", true, |_| {}).await;
    let body = cut.chunks().chunks.concat();
    assert!(cut.chunks().ended && !body.ends_with(b"\n\n"), "{cut:?}");
    for fault in STREAM_FAULTS.iter().filter(|fault| fault.frames_only) {
        let response = send(&stub, &format!("fault:{}", fault.name), true, |_| {}).await;
        assert_eq!(response.status(), 400, "{}", fault.name);
    }
}

#[tokio::test]
async fn a_fault_may_follow_the_reminders_of_an_agent() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let response = send(&stub, "x", false, |call| {
        let mut body: Value = serde_json::from_str(&call.body).unwrap();
        body["messages"][0]["content"] = json!([
            { "type": "text", "text": "<system-reminder>" },
            { "type": "text", "text": "fault:throttled" },
        ]);
        call.body = body.to_string();
    })
    .await;
    assert_eq!(response.status(), 429);
}
