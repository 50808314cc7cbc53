//! The Messages API on the wire: routes, credentials, models, streams and errors.
//!
//! What clients make of it is in `anthropic_sdks` and `claude_code`, what arrives at Bedrock in
//! `translation`.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::support::client::Response;
use crate::support::fixture::{Fixture, json_body};
use crate::support::messages::{TOKEN, ask, messages_fixture, send, stream};

const ENDPOINTS: [&str; 2] = ["invoke", "native"];

async fn fixture(endpoint: &str) -> Fixture {
    messages_fixture(&json!({ "BEDROCK_MESSAGES": endpoint })).await
}

fn request(fixture: &Fixture, method: Method, path: &str) -> RequestBuilder {
    let request = fixture.worker.request(method, path).header("x-api-key", TOKEN);
    request.header("anthropic-version", "2023-06-01")
}

async fn post(fixture: &Fixture, path: &str, body: &Value) -> Response {
    fixture.worker.send(request(fixture, Method::POST, path).json(body)).await
}

fn json_of(response: &Response) -> Value {
    serde_json::from_str(&response.body).unwrap_or_else(|error| panic!("{error}: {response}"))
}

/// Asserts that a response is an error in Anthropic's form. Returns its message.
fn assert_error(case: &str, response: &Response, status: u16, error_type: &str) -> String {
    assert_eq!(response.status, status, "{case}: {response}");
    let error = json_of(response);
    assert_eq!(error["type"], "error", "{case}: {error}");
    assert_eq!(error["error"]["type"], error_type, "{case}: {error}");
    assert_eq!(error["request_id"].as_str(), response.header("request-id"), "{case}: {response}");
    error["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn everybody_may_probe_the_gateway_and_no_probe_calls_bedrock() {
    for base in ["", "/ai"] {
        let fixture = messages_fixture(&json!({ "BASE_PATH": base })).await;
        for path in ["/", "/api/hello"] {
            for method in [Method::GET, Method::HEAD] {
                let path = format!("{base}{path}");
                let response =
                    fixture.worker.send(fixture.worker.request(method.clone(), &path)).await;
                assert_eq!(response.status, 200, "{method} {path}: {response}");
            }
        }
        assert!(fixture.stub.requests().is_empty(), "{base}");
    }
}

#[tokio::test]
async fn a_token_may_be_in_either_header_or_the_same_one_in_both() {
    let fixture = fixture("invoke").await;
    for (case, key, bearer, status) in [
        ("x-api-key", Some(TOKEN), None, 200),
        ("bearer", None, Some(TOKEN), 200),
        ("both", Some(TOKEN), Some(TOKEN), 200),
        ("another key beside it", Some("another"), Some(TOKEN), 401),
        ("another bearer beside it", Some(TOKEN), Some("another"), 401),
        ("a wrong key", Some("another"), None, 401),
        ("none", None, None, 401),
    ] {
        let mut request = fixture.worker.request(Method::POST, "/v1/messages");
        request = request.header("anthropic-version", "2023-06-01").json(&ask("Hi", false));
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        let response = fixture.worker.send(request).await;
        assert_eq!(response.status, status, "{case}: {response}");
        if status == 401 {
            assert_error(case, &response, 401, "authentication_error");
            assert_eq!(response.header("x-should-retry"), Some("false"), "{case}: {response}");
        }
    }
    assert_eq!(fixture.stub.requests().len(), 3);
}

#[tokio::test]
async fn an_error_before_the_body_has_anthropics_form() {
    // So low that the body is sent before the Worker closes the connection.
    let fixture = messages_fixture(&json!({ "MAX_MESSAGES_BODY_BYTES": "50000" })).await;
    let worker = &fixture.worker;
    let post = |path: &str| request(&fixture, Method::POST, path);
    #[rustfmt::skip]
    let rows = [
        ("another method", request(&fixture, Method::GET, "/v1/messages"), 405, "invalid_request_error"),
        ("no version", worker.request(Method::POST, "/v1/messages").header("x-api-key", TOKEN).json(&ask("Hi", false)), 400, "invalid_request_error"),
        ("another content type", post("/v1/messages").header("content-type", "text/plain").body("{}"), 415, "invalid_request_error"),
        ("no JSON", post("/v1/messages").header("content-type", "application/json").body("{"), 400, "invalid_request_error"),
        ("no JSON to count", post("/v1/messages/count_tokens").header("content-type", "application/json").body("{"), 400, "invalid_request_error"),
        ("a long body", post("/v1/messages").json(&ask(&"x".repeat(60_000), false)), 413, "request_too_large"),
        ("an unknown model of the list", request(&fixture, Method::GET, "/v1/models/claude-2"), 404, "not_found_error"),
        ("an unknown cursor", request(&fixture, Method::GET, "/v1/models?after_id=claude-2"), 400, "invalid_request_error"),
        ("a limit of 0", request(&fixture, Method::GET, "/v1/models?limit=0"), 400, "invalid_request_error"),
    ];
    for (case, request, status, error_type) in rows {
        assert_error(case, &worker.send(request).await, status, error_type);
    }
    assert!(fixture.stub.requests().is_empty());
}

#[tokio::test]
async fn an_unknown_version_passes_and_is_logged() {
    let fixture = fixture("invoke").await;
    for (version, logged) in
        [("2023-06-01", None), ("2026-10-21", None), ("2027-01-01", Some("2027-01-01"))]
    {
        let request = fixture.worker.request(Method::POST, "/v1/messages");
        let request = request.header("x-api-key", TOKEN).header("anthropic-version", version);
        let response = fixture.worker.send(request.json(&ask("Hi", false))).await;
        assert_eq!(response.status, 200, "{version}: {response}");
        let line = fixture.worker.log_line(response.request_id()).await;
        assert_eq!(line["anthropic_version"].as_str(), logged, "{version}: {line}");
    }
}

#[tokio::test]
async fn a_model_is_called_by_its_name_or_its_id_and_the_reply_has_what_the_caller_said() {
    const PROFILE: &str =
        "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/abc123";
    for endpoint in ENDPOINTS {
        let fixture = messages_fixture(&json!({
            "BEDROCK_MESSAGES": endpoint,
            "BEDROCK_MODEL_ID": "jp.anthropic.claude-opus-5-5",
            "ALLOWED_MODELS": format!("jp.anthropic.claude-haiku-4-5-20251001-v1:0 claude-sonnet-5-5={PROFILE}"),
        }))
        .await;
        for (model, called) in [
            ("claude-opus-5-5", "jp.anthropic.claude-opus-5-5"),
            ("jp.anthropic.claude-opus-5-5", "jp.anthropic.claude-opus-5-5"),
            ("claude-haiku-4-5", "jp.anthropic.claude-haiku-4-5-20251001-v1:0"),
            ("claude-haiku-4-5-20251001", "jp.anthropic.claude-haiku-4-5-20251001-v1:0"),
            ("claude-sonnet-5-5", PROFILE),
        ] {
            for streams in [false, true] {
                let mut body = ask("Hi", streams);
                body["model"] = json!(model);
                let response = post(&fixture, "/v1/messages", &body).await;
                assert_eq!(response.status, 200, "{endpoint}, {model}: {response}");
                let said = format!("\"model\":\"{model}\"");
                assert!(response.body.contains(&said), "{endpoint}, {model}: {response}");
                let call = fixture.stub.requests().pop().unwrap();
                let path = call.target.replace("%3A", ":").replace("%2F", "/");
                let is_called = match endpoint {
                    "native" => json_body(&call)["model"] == called,
                    _ => path.starts_with(&format!("/model/{called}/invoke")),
                };
                assert!(is_called, "{endpoint}, {model}: {path}");
            }
        }
        let calls = fixture.stub.requests().len();
        for model in ["claude-opus-5", "global.anthropic.claude-opus-5-5", "gpt-5"] {
            let mut body = ask("Hi", false);
            body["model"] = json!(model);
            let response = post(&fixture, "/v1/messages", &body).await;
            let message = assert_error(model, &response, 404, "not_found_error");
            let secrets = ["123456789012", "haiku", "jp."];
            let told = message.replace(model, "");
            assert!(!secrets.iter().any(|secret| told.contains(secret)), "{model}: {message}");
        }
        assert_eq!(fixture.stub.requests().len(), calls);

        let list =
            fixture.worker.send(request(&fixture, Method::GET, "/v1/models?limit=1000")).await;
        let list = json_of(&list);
        let mut ids: Vec<_> =
            list["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["claude-haiku-4-5", "claude-opus-5-5", "claude-sonnet-5-5"], "{list}");
    }
}

#[tokio::test]
async fn a_stream_has_the_same_events_from_both_endpoints_and_nothing_of_bedrocks_own() {
    let mut streams = Vec::new();
    for endpoint in ENDPOINTS {
        let fixture = fixture(endpoint).await;
        let mut response = stream(&fixture, "fault:stream_thinking").await;
        assert_eq!(response.head.status, 200, "{}", response.head);
        let content_type = response.head.header("content-type");
        assert_eq!(content_type, Some("text/event-stream; charset=utf-8"), "{endpoint}");
        assert!(response.head.header("request-id").is_some(), "{}", response.head);
        let mut events = response.remaining_events().await;
        for event in &mut events {
            assert_eq!(event.data["type"], *event.name, "{endpoint}");
            // It depends on the body, which the endpoints have in different forms.
            if let Some(message) = event.data.get_mut("message") {
                assert!(message["id"].take().as_str().unwrap().starts_with("msg_"), "{endpoint}");
            }
        }
        let last = &events.last().unwrap().data;
        assert_eq!(*last, json!({ "type": "message_stop" }), "{endpoint}");
        let delta = &events[events.len() - 2].data;
        assert!(delta["usage"]["input_tokens"].is_u64(), "{endpoint}: {delta}");
        assert!(delta["usage"]["output_tokens"].is_u64(), "{endpoint}: {delta}");
        let has = |name: &str, kind: &str| {
            events.iter().any(|it| it.name == name && it.data.to_string().contains(kind))
        };
        for (name, kind) in [
            ("content_block_start", "\"redacted_thinking\""),
            ("content_block_start", "\"sculpture\""),
            ("content_block_delta", "\"signature_delta\""),
            ("content_block_delta", "\"input_json_delta\""),
            ("content_block_delta", "\"sculpture_delta\""),
            ("content_block_aside", "not text: an event"),
        ] {
            assert!(has(name, kind), "{endpoint}: {name} with {kind}");
        }
        streams.push(events);
    }
    // InvokeModel's stream has one more frame, of a type that is not a chunk.
    let [invoke, native] = streams.try_into().unwrap();
    let differences = invoke.iter().zip(&native).filter(|(a, b)| a != b).collect::<Vec<_>>();
    assert!(invoke.len() == native.len() && differences.is_empty(), "{differences:#?}");
}

#[tokio::test]
async fn a_failure_in_the_middle_of_a_stream_is_its_last_event() {
    for endpoint in ENDPOINTS {
        let fixture = fixture(endpoint).await;
        for (fault, error_type) in [
            ("fault:stream_exception", "rate_limit_error"),
            ("fault:stream_validation", "invalid_request_error"),
            ("fault:stream_end", "api_error"),
            ("fault:stream_cut", "api_error"),
        ] {
            let mut response = stream(&fixture, fault).await;
            assert_eq!(response.head.status, 200, "{endpoint}, {fault}: {}", response.head);
            let events = response.remaining_events().await;
            let errors = events.iter().filter(|event| event.name == "error").count();
            assert_eq!(errors, 1, "{endpoint}, {fault}: {events:?}");
            let last = events.last().unwrap();
            assert_eq!(last.data["error"]["type"], error_type, "{endpoint}, {fault}: {events:?}");
            let id = response.head.header("request-id");
            assert_eq!(last.data["request_id"].as_str(), id, "{endpoint}, {fault}");
        }
    }
}

#[tokio::test]
async fn a_failure_before_the_first_event_has_its_status() {
    for endpoint in ENDPOINTS {
        let bindings = json!({ "BEDROCK_MESSAGES": endpoint, "BEDROCK_MAX_ATTEMPTS": "1" });
        let fixture = messages_fixture(&bindings).await;
        for (fault, status, error_type) in [
            ("fault:stream_exception:0", 429, "rate_limit_error"),
            ("fault:stream_unavailable:0", 529, "overloaded_error"),
            ("fault:throttled", 429, "rate_limit_error"),
            ("fault:stream_empty", 500, "api_error"),
        ] {
            let response = stream(&fixture, fault).await;
            assert_error(&format!("{endpoint}, {fault}"), &response.head, status, error_type);
        }
    }
}

#[tokio::test]
async fn a_client_that_disconnects_cancels_the_call() {
    for endpoint in ENDPOINTS {
        let fixture = fixture(endpoint).await;
        let mut response = stream(&fixture, "fault:stream_long:100000:5").await;
        for _ in 0..5 {
            response.next().await.unwrap();
        }
        let id = response.head.request_id().to_owned();
        drop(response);
        fixture.wait_for_streams("the cancelled stream", |it| it.cancelled == 1).await;
        let line = fixture.worker.log_line(&id).await;
        assert_eq!(line["outcome"], "cancelled", "{endpoint}: {line}");

        // Before the first frame.
        let connection = send(&fixture, &ask("fault:stream_stall:0", true)).await;
        fixture.wait_for_streams("the stalled stream", |it| it.opened == 2).await;
        connection.reset();
        fixture.wait_for_streams("the cancelled stream", |it| it.cancelled == 2).await;
    }
}

#[tokio::test]
async fn a_silent_stream_has_pings() {
    for endpoint in ENDPOINTS {
        let fixture = fixture(endpoint).await;
        let mut response = stream(&fixture, "fault:stream_stall:4").await;
        for name in ["message_start", "content_block_start", "ping", "content_block_delta"] {
            assert_eq!(response.next().await.unwrap().name, name, "{endpoint}");
        }
        let silent = Instant::now();
        let ping = response.next().await.unwrap();
        assert_eq!((&*ping.name, &ping.data), ("ping", &json!({ "type": "ping" })), "{endpoint}");
        assert!(silent.elapsed() > Duration::from_secs(10), "{endpoint}: {:?}", silent.elapsed());
    }
}

#[tokio::test]
async fn a_token_count_is_bedrocks_where_it_has_one_and_else_says_that_it_is_an_estimate() {
    for endpoint in ENDPOINTS {
        let fixture = fixture(endpoint).await;
        for (model, is_counted) in [("claude-sonnet-4-6", true), ("claude-opus-5-5", false)] {
            let body = json!({
                "model": model,
                "system": "Be brief.",
                "messages": [{ "role": "user", "content": "one two three" }],
            });
            let response = post(&fixture, "/v1/messages/count_tokens?beta=true", &body).await;
            assert_eq!(response.status, 200, "{endpoint}, {model}: {response}");
            let tokens = json_of(&response)["input_tokens"].as_u64().unwrap();
            let header = response.header("x-bedrock-token-count");
            if is_counted {
                assert_eq!((tokens, header), (6, None), "{endpoint}, {model}: {response}");
            } else {
                assert!(tokens >= 6, "{endpoint}, {model}: {response}");
                assert_eq!(header, Some("estimate"), "{endpoint}, {model}: {response}");
            }
        }
        let calls = fixture.stub.requests();
        assert_eq!(calls.len(), 1, "{endpoint}");
        assert_eq!(calls[0].target, "/model/anthropic.claude-sonnet-4-6/count-tokens");
    }
}

#[tokio::test]
async fn a_body_of_nearly_20_mb_arrives() {
    for endpoint in ENDPOINTS {
        let fixture = fixture(endpoint).await;
        let data = "A".repeat(6_200_000);
        let source = json!({ "type": "base64", "media_type": "image/png", "data": data });
        let image = json!({ "type": "image", "source": source });
        let mut body = ask("", false);
        body["messages"][0]["content"] =
            json!([image, image, image, { "type": "text", "text": "Compare." }]);
        let response = post(&fixture, "/v1/messages", &body).await;
        assert_eq!(response.status, 200, "{endpoint}: {response}");
        assert!(response.body.contains("Compare."), "{endpoint}: {response}");
    }
}

#[tokio::test]
async fn a_page_may_send_the_headers_of_the_sdk() {
    let fixture = messages_fixture(&json!({ "ALLOWED_ORIGINS": "https://app.example.com" })).await;
    let headers = "anthropic-beta,anthropic-dangerous-direct-browser-access,anthropic-version,\
                   content-type,x-api-key,x-stainless-arch,x-stainless-helper-method,\
                   x-stainless-lang,x-stainless-os,x-stainless-package-version,\
                   x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,\
                   x-stainless-timeout";
    for (path, method) in [
        ("/v1/messages", "POST"),
        ("/v1/messages/count_tokens", "POST"),
        ("/v1/models", "GET"),
        ("/v1/models/claude-opus-5-5", "GET"),
    ] {
        let preflight = fixture
            .worker
            .request(Method::OPTIONS, path)
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", method)
            .header("access-control-request-headers", format!("x-forwarded-for,{headers}"));
        let response = fixture.worker.send(preflight).await;
        assert_eq!(response.status, 204, "{path}: {response}");
        let allowed = response.header("access-control-allow-headers").unwrap_or_default();
        let allowed: Vec<&str> = allowed.split(", ").collect();
        for header in headers.split(',') {
            assert!(allowed.contains(&header), "{path}: {header} in {allowed:?}");
        }
        assert!(!allowed.contains(&"x-forwarded-for"), "{path}: {allowed:?}");
    }
}
