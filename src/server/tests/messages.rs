//! Anthropic's Messages API, from a request to what Bedrock and the client get.

use bedrock_stub::frames::{chunk, encode, exception};
use serde_json::Value;

use super::*;
use crate::error::Code;
use crate::host::Runtime;

const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");
const MODELS: (&str, &str) = ("ALLOWED_MODELS", "*");
const MESSAGES: &str = r#""messages":[{"role":"user","content":"こんにちは"}]"#;

fn messages(headers: &[(&str, &str)], body: &str) -> IncomingRequest<Bytes> {
    let headers = [&[VERSION], headers].concat();
    let body = Bytes::copy_from_slice(body.as_bytes());
    request_in_the_worker("POST", "/v1/messages?beta=true", &headers, body)
}

fn body(model: &str, members: &str) -> String {
    format!(r#"{{"model":"{model}",{members}"max_tokens":50,{MESSAGES}}}"#)
}

const REPLY: &str = r#"{"id":"msg_bdrk_1","type":"message","role":"assistant","model":"claude-opus-5","content":[{"type":"thinking","thinking":"","signature":"a\/b=="},{"type":"tool_use","id":"t","name":"n","input":{}}],"stop_reason":"tool_use","usage":{"input_tokens":3,"cache_read_input_tokens":5,"output_tokens":9},"amazon-bedrock-trace":{}}"#;

fn replying() -> Scripted {
    Scripted::new().then(200, &[], REPLY)
}

async fn whole(
    request: IncomingRequest<Bytes>,
    vars: &[(&str, &str)],
    host: &Scripted,
) -> (Envelope, Record) {
    whole_in(request, &isolate(&[&[MODELS, ONCE], vars].concat()), host).await
}

async fn whole_in(
    request: IncomingRequest<Bytes>,
    isolate: &Isolate,
    host: &Scripted,
) -> (Envelope, Record) {
    match handle(request, isolate, host).await {
        Handled::Whole(envelope, record) => (envelope, record),
        _ => panic!("not a whole response"),
    }
}

fn error_of(envelope: &Envelope) -> (u16, String, String) {
    let json: Value = serde_json::from_str(&envelope.body).unwrap();
    assert_eq!(json["type"], "error", "{envelope:?}");
    assert_eq!(json["request_id"], header(envelope, "request-id").unwrap(), "{envelope:?}");
    let text = |name: &str| json["error"][name].as_str().unwrap().to_owned();
    (envelope.status_code, text("type"), text("message"))
}

#[tokio::test]
async fn a_request_and_its_reply_pass_with_every_byte_that_no_rule_touches() {
    let host = replying();
    let headers = [
        ("anthropic-beta", "claude-code-20250219, prompt-caching-scope-2026-01-05"),
        ("x-claude-code-session-id", "s-1"),
        ("accept", "text/event-stream"),
    ];
    let request = messages(&headers, &body("claude-opus-5", r#""temperature":1,"top_k": 5,"#));
    let (envelope, record) = whole(request, &[], &host).await;

    let requests = host.requests.borrow();
    assert_eq!(requests[0].uri().path(), "/model/global.anthropic.claude-opus-5/invoke");
    assert_eq!(
        std::str::from_utf8(requests[0].body()).unwrap(),
        format!(
            r#"{{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["claude-code-20250219"],"max_tokens":50,{MESSAGES}}}"#
        )
    );
    assert_eq!(envelope.status_code, 200);
    assert_eq!(envelope.body, REPLY.replace(r#","amazon-bedrock-trace":{}"#, ""));
    let removed = "betas.prompt-caching-scope-2026-01-05, temperature, top_k";
    assert_eq!(header(&envelope, "x-bedrock-removed"), Some(removed));
    assert_eq!(header(&envelope, "request-id"), Some(RANDOM_ID));
    assert_eq!(record.removed.join(", "), removed);
    assert_eq!(record.session.unwrap().as_str(), "s-1");
    assert_eq!(
        (record.outcome, record.input_tokens, record.output_tokens),
        ("ok", Some(3), Some(9))
    );
    assert_eq!(record.cache_read_input_tokens, Some(5));
    assert_eq!(record.stop_reason.unwrap().as_str(), "tool_use");
    assert_eq!(record.anthropic_version, None);
}

#[tokio::test]
async fn the_response_names_the_model_as_the_caller_did() {
    for (name, id) in [
        ("claude-haiku-4-5-20251001", "global.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5", "global.anthropic.claude-haiku-4-5-20251001-v1:0"),
        (
            "global.anthropic.claude-haiku-4-5-20251001-v1:0",
            "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        ("global.anthropic.claude-sonnet-4-6", "global.anthropic.claude-sonnet-4-6"),
        ("claude-sonnet-4-6", "global.anthropic.claude-sonnet-4-6"),
    ] {
        let host = replying();
        let default = if name.ends_with("sonnet-4-6") {
            "global.anthropic.claude-sonnet-4-6"
        } else {
            "global.anthropic.claude-opus-5"
        };
        let vars = [("BEDROCK_MODEL_ID", default)];
        let (envelope, record) = whole(messages(&[], &body(name, "")), &vars, &host).await;
        let json: Value = serde_json::from_str(&envelope.body).unwrap();
        assert_eq!(json["model"], name, "{envelope:?}");
        assert_eq!(record.model.as_deref(), Some(id));
    }
}

fn frames(events: &[&str]) -> Vec<u8> {
    let frame = |json: &&str| encode(&chunk(&serde_json::from_str(json).unwrap()));
    events.iter().flat_map(frame).collect()
}

const START: &str = r#"{"message":{"id":"m","model":"x","usage":{"input_tokens":3,"output_tokens":1}},"type":"message_start"}"#;
const DELTA: &str = r#"{"delta":{"signature":"ab=","type":"signature_delta"},"index":0,"type":"content_block_delta"}"#;
const END: &str =
    r#"{"delta":{"stop_reason":"end_turn"},"type":"message_delta","usage":{"output_tokens":4}}"#;
const STOP: &str =
    r#"{"amazon-bedrock-invocationMetrics":{"outputTokenCount":4},"type":"message_stop"}"#;

/// Returns the events as the client gets them, and the record.
async fn stream(host: &Scripted) -> (String, Record) {
    stream_with(host, &[]).await
}

async fn stream_with(host: &Scripted, vars: &[(&str, &str)]) -> (String, Record) {
    let isolate = isolate(&[&[MODELS, ONCE], vars].concat());
    let request = messages(&[], &body("claude-opus-5", r#""stream":true,"#));
    let Handled::Stream(envelope, mut streaming) = handle(request, &isolate, host).await else {
        panic!("not a stream");
    };
    assert_eq!(header(&envelope, "request-id"), Some(RANDOM_ID));
    let mut out = Vec::new();
    while let Some(event) = streaming.next(host).await {
        streaming.generation.encode(&event, &mut out);
    }
    (String::from_utf8(out).unwrap(), streaming.generation.finish(host.now()).0)
}

#[tokio::test]
async fn events_of_a_stream_pass_untouched_but_for_the_model_the_usage_and_bedrocks_own() {
    let host = Scripted::new().then(200, &[], frames(&[START, DELTA, END, STOP]));
    let (events, record) = stream(&host).await;
    let start = START.replace(r#""model":"x""#, r#""model":"claude-opus-5""#);
    let end = END.replace(r#""output_tokens":4"#, r#""input_tokens":3,"output_tokens":4"#);
    assert_eq!(
        events,
        format!(
            "event: message_start\ndata: {start}\n\nevent: content_block_delta\ndata: {DELTA}\n\n\
             event: message_delta\ndata: {end}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
        )
    );
    assert_eq!(
        (record.outcome, record.input_tokens, record.output_tokens),
        ("ok", Some(3), Some(4))
    );
}

#[tokio::test]
async fn a_stream_that_ends_early_ends_with_one_typed_error() {
    let throttled = encode(&exception("throttlingException", r#"{"message": "Too many tokens"}"#));
    for (name, rest, kind, outcome) in [
        ("cut off", Vec::new(), "api_error", "truncated"),
        ("an exception", throttled, "rate_limit_error", "throttled"),
        (
            "an error of Claude's",
            frames(&[
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            ]),
            "overloaded_error",
            "unavailable",
        ),
    ] {
        let host = Scripted::new().then(200, &[], [frames(&[START, DELTA]), rest].concat());
        let (events, record) = stream(&host).await;
        let (_, last) = events.rsplit_once("event: error\ndata: ").expect(name);
        let json: Value = serde_json::from_str(last.trim_end()).unwrap();
        assert_eq!(
            (&json["type"], &json["error"]["type"]),
            (&json!("error"), &json!(kind)),
            "{name}"
        );
        assert_eq!(json["request_id"], RANDOM_ID);
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.ends_with("Bedrock response") || message == "Bedrock invocation failed");
        assert_eq!(events.matches("event: ").count(), 3, "{events}");
        assert_eq!(record.outcome, outcome, "{name}");
    }
}

#[tokio::test]
async fn errors_have_anthropics_form_and_say_whether_to_retry() {
    let rejection = r#"{"message":"messages.0.content: text content blocks must be non-empty"}"#;
    let refused = |status: u16, kind: &'static str, body: &'static str| {
        Scripted::new().then(status, &[("x-amzn-errortype", kind)], body)
    };
    let ok = body("claude-opus-5", "");
    let none = Scripted::new;
    let cases = [
        ("not JSON", "{", none(), (400, "invalid_request_error"), None),
        ("no length", r#"{"model":"claude-opus-5"}"#, none(), (400, "invalid_request_error"), None),
        ("an unknown model", &body("gpt-5", ""), none(), (404, "not_found_error"), None),
        (
            "a server's tool",
            &body("claude-opus-5", r#""tools":[{"type":"web_search_20250305"}],"#),
            none(),
            (400, "invalid_request_error"),
            None,
        ),
        (
            "Bedrock's 400",
            &ok,
            refused(400, "ValidationException", rejection),
            (400, "invalid_request_error"),
            None,
        ),
        (
            "throttled",
            &ok,
            refused(429, "ThrottlingException", "{}"),
            (429, "rate_limit_error"),
            None,
        ),
        (
            "a prompt that is too long",
            &ok,
            refused(
                400,
                "ValidationException",
                r#"{"message": "The model returned the following errors: prompt is too long: 5 tokens > 4 maximum"}"#,
            ),
            (400, "invalid_request_error"),
            None,
        ),
        (
            "throttled for the day",
            &ok,
            refused(429, "ThrottlingException", r#"{"message": "Too many tokens per day"}"#),
            (429, "rate_limit_error"),
            Some("false"),
        ),
        (
            "unavailable",
            &ok,
            refused(503, "ServiceUnavailableException", "{}"),
            (529, "overloaded_error"),
            None,
        ),
        ("timeout", &ok, refused(408, "ModelTimeoutException", "{}"), (504, "timeout_error"), None),
        ("model error", &ok, refused(424, "ModelErrorException", "{}"), (500, "api_error"), None),
        (
            "our credentials",
            &ok,
            refused(403, "AccessDeniedException", "{}"),
            (500, "api_error"),
            Some("false"),
        ),
        (
            "no such model",
            &ok,
            refused(404, "ResourceNotFoundException", "{}"),
            (500, "api_error"),
            Some("false"),
        ),
        (
            "no connection",
            &ok,
            Scripted::new().then_fail("refused"),
            (529, "overloaded_error"),
            None,
        ),
        ("HTML", &ok, Scripted::new().then(200, &[], "<html>"), (500, "api_error"), Some("false")),
    ];
    for (name, body, host, (status, kind), retry) in cases {
        let (envelope, record) = whole(messages(&[], body), &[], &host).await;
        let (actual, actual_kind, message) = error_of(&envelope);
        assert_eq!((actual, &*actual_kind), (status, kind), "{name}: {message}");
        assert_eq!(header(&envelope, "x-should-retry"), retry, "{name}");
        assert_eq!(record.status, status, "{name}");
        if name == "a prompt that is too long" {
            assert!(message.contains("prompt is too long: 5 tokens > 4 maximum"), "{message}");
        }
        if name == "Bedrock's 400" {
            assert_eq!(message, "messages.0.content: text content blocks must be non-empty");
        }
    }
}

#[test]
fn every_code_has_a_status_whose_exception_the_sdks_have() {
    for code in Code::ALL {
        let (status, kind) = code.anthropic_error();
        let expected = match status {
            400 | 405 | 408 | 409 | 415 | 426 => "invalid_request_error",
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            500 | 503 => "api_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            _ => panic!("{code:?}: {status}"),
        };
        assert_eq!(kind, expected, "{code:?}");
    }
}

#[tokio::test]
async fn a_version_is_required_and_an_unknown_one_is_logged() {
    let ok = body("claude-opus-5", "");
    for (version, expected) in [
        (Some("2023-06-01"), Ok(None)),
        (Some("2026-10-21"), Ok(None)),
        (Some("2027-01-01"), Ok(Some("2027-01-01"))),
        (Some("a b"), Err(400)),
        (Some(""), Err(400)),
        (None, Err(400)),
    ] {
        let headers: Vec<_> = version.iter().map(|it| ("anthropic-version", *it)).collect();
        let body = Bytes::copy_from_slice(ok.as_bytes());
        let request = request_in_the_worker("POST", "/v1/messages", &headers, body);
        let (envelope, record) = whole(request, &[], &replying()).await;
        match expected {
            Ok(logged) => {
                assert_eq!(envelope.status_code, 200, "{version:?}");
                assert_eq!(record.anthropic_version.as_ref().map(|it| it.as_str()), logged);
            }
            Err(status) => {
                assert!(error_of(&envelope).2.starts_with("anthropic-version: "), "{envelope:?}");
                assert_eq!(envelope.status_code, status, "{version:?}");
            }
        }
    }
    for beta in ["日本", "a b", "<x>", &"x,".repeat(65)] {
        let (envelope, _) =
            whole(messages(&[("anthropic-beta", beta)], &ok), &[], &replying()).await;
        assert!(error_of(&envelope).2.starts_with("anthropic-beta: "), "{beta}");
    }
}

#[tokio::test]
async fn what_bedrock_refuses_by_name_is_left_out_once_and_from_then_on() {
    const MESSAGE: &str = r#"{"message":"Unexpected value(s) `new-2027-01-01`, `newer-2027-01-02` for the `anthropic-beta` header."}"#;
    let isolate = isolate(&[MODELS, ONCE]);
    let headers = [("anthropic-beta", "new-2027-01-01,effort-2025-11-24,newer-2027-01-02")];
    let request = || messages(&headers, &body("claude-opus-5", ""));
    let host = Scripted::new()
        .then(400, &[("x-amzn-errortype", "ValidationException")], MESSAGE)
        .then(200, &[], REPLY)
        .then(200, &[], REPLY);
    let removed = "betas.new-2027-01-01,betas.newer-2027-01-02";
    let (envelope, record) = whole_in(request(), &isolate, &host).await;
    assert_eq!(envelope.status_code, 200, "{envelope:?}");
    assert_eq!(record.dropped_field.as_deref(), Some(removed));
    assert_eq!(record.removed.join(","), removed);
    assert_eq!(header(&envelope, "x-bedrock-removed"), Some(&*removed.replace(',', ", ")));

    let (envelope, record) = whole_in(request(), &isolate, &host).await;
    assert_eq!((envelope.status_code, record.dropped_field), (200, None));
    assert_eq!(record.removed.join(","), removed);
    let requests = host.requests.borrow();
    assert_eq!(requests.len(), 3);
    for (at, expected) in [
        (0, r#""anthropic_beta":["new-2027-01-01","effort-2025-11-24","newer-2027-01-02"]"#),
        (1, r#""anthropic_beta":["effort-2025-11-24"]"#),
        (2, r#""anthropic_beta":["effort-2025-11-24"]"#),
    ] {
        let sent = std::str::from_utf8(requests[at].body()).unwrap();
        assert!(sent.contains(expected), "{at}: {sent}");
        assert!(sent.ends_with(&format!(r#""max_tokens":50,{MESSAGES}}}"#)), "{at}: {sent}");
    }
}

#[tokio::test]
async fn each_part_that_the_reply_does_not_depend_on_is_left_out_if_bedrock_names_it() {
    let members = r#""context_management":{"edits":[{"type":"clear_thinking_20251015"}]},"thinking":{"type":"adaptive","display":"summarized"},"system":[{"type":"text","text":"x-anthropic-billing-header: a"},{"type":"text","text":"b"}],"#;
    for (message, part, gone) in [
        (
            "context_management.edits.0: Input tag 'clear_thinking_20251015' found",
            "context_management.edits.clear_thinking_20251015",
            "edits",
        ),
        ("context_management: Extra inputs are not permitted", "context_management", "edits"),
        (
            "thinking.adaptive.display: Extra inputs are not permitted",
            "thinking.display.summarized",
            "display",
        ),
        (
            "system.0.text: x-anthropic-billing-header is a reserved keyword",
            "x-anthropic-billing-header",
            "billing",
        ),
    ] {
        let error = json!({ "message": message }).to_string();
        let host = Scripted::new()
            .then(400, &[("x-amzn-errortype", "ValidationException")], error)
            .then(200, &[], REPLY);
        let (envelope, record) =
            whole(messages(&[], &body("claude-opus-5", members)), &[], &host).await;
        assert_eq!(envelope.status_code, 200, "{message}");
        assert_eq!(record.dropped_field.as_deref(), Some(part));
        let requests = host.requests.borrow();
        let sent = |at: usize| std::str::from_utf8(requests[at].body()).unwrap().to_owned();
        assert!(sent(0).contains(gone) && !sent(1).contains(gone), "{}", sent(1));
    }
    // Nothing else is.
    for message in [
        "messages.0: Input should be a valid object",
        "max_tokens: too large",
        "context_management.edits.0.keep: Input should be a valid string",
        "context_management.extra: Extra inputs are not permitted",
    ] {
        let error = json!({ "message": message }).to_string();
        let host = Scripted::new().then(400, &[("x-amzn-errortype", "ValidationException")], error);
        let (envelope, _) = whole(messages(&[], &body("claude-opus-5", members)), &[], &host).await;
        assert_eq!((envelope.status_code, host.left()), (400, 0), "{message}");
    }
}

#[tokio::test]
async fn a_body_has_a_limit_of_its_own_and_a_request_the_time_of_the_sdks() {
    let long = body("claude-opus-5", &format!(r#""system":"{}","#, "a".repeat(2_000_000)));
    let host = replying().taking(Duration::from_secs(599));
    let (envelope, _) = whole(messages(&[], &long), &[], &host).await;
    assert_eq!(envelope.status_code, 200, "{envelope:?}");

    let limit = [("MAX_MESSAGES_BODY_BYTES", "1000000")];
    let (envelope, _) = whole(messages(&[], &long), &limit, &Scripted::new()).await;
    assert_eq!(error_of(&envelope).1, "request_too_large");

    let host = replying().taking(Duration::from_secs(601));
    let ok = body("claude-opus-5", "");
    let (envelope, _) = whole(messages(&[], &ok), &[], &host).await;
    assert_eq!(error_of(&envelope).1, "timeout_error");
}

#[tokio::test]
async fn a_spent_budget_is_an_error_that_is_not_retried() {
    let host = Scripted::new().with_limits();
    let vars = [("DAILY_TOKENS", "100")];
    let (envelope, _) = whole(messages(&[], &body("claude-opus-5", "")), &vars, &host).await;
    assert_eq!(error_of(&envelope).1, "rate_limit_error");
    assert_eq!(header(&envelope, "x-should-retry"), Some("false"));
}

#[tokio::test]
async fn a_reply_settles_on_its_real_usage_with_its_caches() {
    let host = replying().with_limits();
    let vars = [("DAILY_TOKENS", "100000")];
    let (envelope, _) = whole(messages(&[], &body("claude-opus-5", "")), &vars, &host).await;
    assert_eq!(envelope.status_code, 200);
    assert_eq!(host.settled(), [3 + 5 + 9]);
}

#[tokio::test]
async fn a_fallback_region_stands_in_only_with_the_same_model() {
    const DEFAULT: (&str, &str) = ("BEDROCK_MODEL_ID", "global.anthropic.claude-opus-5");
    for (fallback, calls) in [
        ("us-east-1=us.anthropic.claude-opus-5", 2),
        ("us-east-1=global.anthropic.claude-opus-4-6-v1", 1),
    ] {
        let host = Scripted::new().then_fail("refused").then(200, &[], REPLY);
        let vars = [DEFAULT, ("BEDROCK_FALLBACK_REGIONS", fallback)];
        whole(messages(&[], &body("claude-opus-5", "")), &vars, &host).await;
        assert_eq!(host.requests.borrow().len(), calls, "{fallback}");
    }
}

/// Returns the response to a GET.
async fn get(target: &str, vars: &[(&str, &str)]) -> (u16, Value) {
    let request = request_in_the_worker("GET", target, &[], Bytes::new());
    let (envelope, _) = whole_in(request, &isolate(vars), &Scripted::new()).await;
    (envelope.status_code, serde_json::from_str(&envelope.body).unwrap())
}

#[tokio::test]
async fn the_list_of_models_has_the_models_that_callers_may_name() {
    let arn = "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/x";
    let vars = [
        ("BEDROCK_MODEL_ID", "global.anthropic.claude-opus-4-5-20251101-v1:0"),
        (
            "ALLOWED_MODELS",
            &*format!(
                "{arn} claude-sonnet-5-5={arn}2 global.anthropic.claude-new global.anthropic.claude-opus-4-5-20251101-v1:0"
            ),
        ),
    ];
    let (status, page) = get("/v1/models", &vars).await;
    assert_eq!(status, 200);
    assert_eq!(
        page["data"][0],
        json!({ "type": "model", "id": "claude-opus-4-5", "display_name": "Claude Opus 4.5", "created_at": "1970-01-01T00:00:00Z" })
    );
    let ids = |page: &Value| {
        let data = page["data"].as_array().unwrap().iter();
        data.map(|entry| entry["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(&page), "claude-opus-4-5 claude-sonnet-5-5 global.anthropic.claude-new");
    assert_eq!(
        (&page["first_id"], &page["last_id"], &page["has_more"]),
        (&json!("claude-opus-4-5"), &json!("global.anthropic.claude-new"), &json!(false))
    );

    for (query, expected, has_more) in [
        ("limit=1000", "claude-opus-4-5 claude-sonnet-5-5 global.anthropic.claude-new", false),
        ("limit=2", "claude-opus-4-5 claude-sonnet-5-5", true),
        ("limit=2&after_id=claude-sonnet-5-5", "global.anthropic.claude-new", false),
        ("limit=1&before_id=global.anthropic.claude-new", "claude-sonnet-5-5", true),
        ("after_id=global.anthropic.claude%2Dnew", "", false),
    ] {
        let (_, page) = get(&format!("/v1/models?{query}"), &vars).await;
        assert_eq!((&*ids(&page), &page["has_more"]), (expected, &json!(has_more)), "{query}");
    }
    for query in ["limit=0", "limit=1001", "limit=a", "after_id=x"] {
        let (status, json) = get(&format!("/v1/models?{query}"), &vars).await;
        assert_eq!(
            (status, &json["error"]["type"]),
            (400, &json!("invalid_request_error")),
            "{query}"
        );
    }
    let (status, one) =
        get("/v1/models/global.anthropic.claude-opus-4-5-20251101-v1%3A0", &vars).await;
    assert_eq!((status, &one["id"]), (200, &json!("claude-opus-4-5")));
    let (status, json) = get("/v1/models/gpt-5", &vars).await;
    assert_eq!((status, &json["error"]["type"]), (404, &json!("not_found_error")));
    let (_, all) = get("/v1/models?limit=1000", &[MODELS]).await;
    // The article's model, which is not in the table, and the table without the models that are not in Japan.
    assert_eq!(all["data"].as_array().unwrap().len(), 43);
}

#[tokio::test]
async fn probes_need_no_credential_and_errors_before_the_body_have_anthropics_form() {
    let closed = [("AUTH", "")];
    for path in ["/", "/api/hello"] {
        for method in ["GET", "HEAD"] {
            let request = request_in_the_worker(method, path, &[], Bytes::new());
            let (envelope, _) = whole_in(request, &isolate(&closed), &Scripted::new()).await;
            assert_eq!(envelope.status_code, 200, "{method} {path}");
        }
    }
    let (envelope, _) = whole(messages(&[], "{}"), &closed, &Scripted::new()).await;
    assert_eq!(error_of(&envelope).1, "authentication_error");
    assert_eq!(header(&envelope, "x-should-retry"), Some("false"));
    let (status, json) = get("/v1/models", &closed).await;
    assert_eq!((status, &json["error"]["type"]), (401, &json!("authentication_error")));
    let (envelope, _) = whole(
        request_in_the_worker("PUT", "/v1/messages", &[], Bytes::new()),
        &[],
        &Scripted::new(),
    )
    .await;
    assert_eq!(
        error_of(&envelope),
        (
            405,
            "invalid_request_error".to_owned(),
            "the method must be one of OPTIONS, POST".to_owned()
        )
    );
}

const NATIVE: (&str, &str) = ("BEDROCK_MESSAGES", "native");

#[tokio::test]
async fn the_native_endpoint_gets_the_model_in_the_body_and_the_betas_in_a_header() {
    let host = replying();
    let headers = [("anthropic-beta", "claude-code-20250219,effort-2025-11-24")];
    let members = r#""metadata":{"user_id":"{\"device\":1}"},"service_tier":"flex","#;
    let (envelope, record) =
        whole(messages(&headers, &body("claude-opus-5", members)), &[NATIVE], &host).await;
    let requests = host.requests.borrow();
    let [sent] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(sent.uri().path(), "/anthropic/v1/messages");
    let of = |name: &str| sent.headers().get(name).map(|it| it.to_str().unwrap());
    assert_eq!(of("anthropic-version"), Some("2023-06-01"));
    assert_eq!(of("anthropic-beta"), Some("claude-code-20250219,effort-2025-11-24"));
    assert_eq!(of("x-amzn-bedrock-service-tier"), Some("flex"));
    let signed = of("authorization").unwrap();
    assert!(signed.contains("/bedrock/aws4_request"), "{signed}");
    assert!(signed.contains(";x-amzn-bedrock-service-tier"), "{signed}");
    let json: Value = serde_json::from_slice(sent.body()).unwrap();
    let user = json["metadata"]["user_id"].as_str().unwrap();
    assert!(user.len() == 64 && user.bytes().all(|it| it.is_ascii_hexdigit()), "{user}");
    assert_eq!(
        std::str::from_utf8(sent.body()).unwrap(),
        format!(
            r#"{{"model":"global.anthropic.claude-opus-5","metadata":{{"user_id":"{user}"}},"max_tokens":50,{MESSAGES}}}"#
        )
    );
    assert_eq!(record.removed, ["metadata.user_id"]);
    let json: Value = serde_json::from_str(&envelope.body).unwrap();
    assert_eq!(json["model"], "claude-opus-5");
}

fn sse(events: &[&str]) -> String {
    events.iter().map(|json| format!("event: x\ndata: {json}\n\n")).collect()
}

#[tokio::test]
async fn a_native_stream_is_the_same_stream() {
    let invoked = Scripted::new().then(200, &[], frames(&[START, DELTA, END, STOP]));
    let of_invoke = stream(&invoked).await;
    let type_of = [("content-type", "text/event-stream; charset=utf-8")];
    let native = Scripted::new().then(200, &type_of, sse(&[START, DELTA, END, STOP]));
    let of_native = stream_with(&native, &[NATIVE]).await;
    assert_eq!(of_native.0, of_invoke.0);
    assert_eq!(of_native.1.usage(), of_invoke.1.usage());
    let sent = native.requests.borrow()[0].body().clone();
    assert!(sent.starts_with(br#"{"model":"global.anthropic.claude-opus-5","stream":true,"#));

    for (name, events, kind) in [
        ("cut off", sse(&[START, DELTA]), "api_error"),
        (
            "an error",
            sse(&[START, r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#]),
            "overloaded_error",
        ),
        ("not JSON", sse(&[START, "{"]), "api_error"),
    ] {
        let host = Scripted::new().then(200, &type_of, events);
        let (events, _) = stream_with(&host, &[NATIVE]).await;
        let (_, last) = events.rsplit_once("event: error\ndata: ").expect(name);
        let json: Value = serde_json::from_str(last.trim_end()).unwrap();
        assert_eq!(json["error"]["type"], kind, "{name}");
    }
}

#[tokio::test]
async fn an_error_of_the_native_endpoint_has_the_form_of_anthropic() {
    let error = |kind: &str| {
        json!({ "type": "error", "error": { "type": kind, "message": "messages: wrong" } })
            .to_string()
    };
    for (status, kind, expected) in [
        (400, "invalid_request_error", 400),
        (429, "rate_limit_error", 429),
        (529, "overloaded_error", 529),
        (403, "permission_error", 500),
    ] {
        let host = Scripted::new().then(status, &[], error(kind));
        let (envelope, _) =
            whole(messages(&[], &body("claude-opus-5", "")), &[NATIVE], &host).await;
        let (status, _, message) = error_of(&envelope);
        assert_eq!(status, expected, "{message}");
        assert_eq!(message == "messages: wrong", status == 400, "{message}");
    }
    // Left out, and named in the header of the second call.
    let refusal = error("invalid_request_error")
        .replace("messages: wrong", "Unexpected value(s) `new-2027-01-01`");
    let host = Scripted::new().then(400, &[], refusal).then(200, &[], REPLY);
    let headers = [("anthropic-beta", "new-2027-01-01,effort-2025-11-24")];
    let (envelope, _) =
        whole(messages(&headers, &body("claude-opus-5", "")), &[NATIVE], &host).await;
    assert_eq!(envelope.status_code, 200);
    let requests = host.requests.borrow();
    assert_eq!(requests[1].headers()["anthropic-beta"], "effort-2025-11-24");
    assert_eq!(requests[0].body(), requests[1].body());
}

#[tokio::test]
async fn a_fallback_region_of_the_native_endpoint_gets_its_own_model_id() {
    let vars = [
        NATIVE,
        ("BEDROCK_MODEL_ID", "global.anthropic.claude-opus-5"),
        ("BEDROCK_FALLBACK_REGIONS", "us-east-1=us.anthropic.claude-opus-5"),
    ];
    let host = Scripted::new().then_fail("refused").then(200, &[], REPLY);
    whole(messages(&[], &body("claude-opus-5", "")), &vars, &host).await;
    let requests = host.requests.borrow();
    for (request, id) in requests.iter().zip(["global", "us"]) {
        let expected =
            format!(r#"{{"model":"{id}.anthropic.claude-opus-5","max_tokens":50,{MESSAGES}}}"#);
        assert_eq!(std::str::from_utf8(request.body()).unwrap(), expected);
    }
    assert_eq!(requests.len(), 2);
}

/// Returns the response to a request for the number of tokens.
async fn count(model: &str, host: &Scripted) -> (Envelope, Record) {
    let body = format!(r#"{{"model":"{model}",{MESSAGES}}}"#);
    let body = Bytes::from(body);
    let request = request_in_the_worker("POST", "/v1/messages/count_tokens", &[VERSION], body);
    whole(request, &[], host).await
}

#[tokio::test]
async fn tokens_are_counted_by_bedrock_where_it_can_and_else_estimated() {
    let host = Scripted::new().then(200, &[], r#"{"inputTokens": 17}"#);
    let (envelope, record) = count("claude-sonnet-4-5", &host).await;
    assert_eq!(envelope.body, r#"{"input_tokens":17}"#);
    assert_eq!(header(&envelope, "x-bedrock-token-count"), None);
    assert_eq!((record.outcome, record.attempts), ("ok", 1));
    {
        let requests = host.requests.borrow();
        let path = "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens";
        assert_eq!(requests[0].uri().path(), path);
        let json: Value = serde_json::from_slice(requests[0].body()).unwrap();
        let inner = json["input"]["invokeModel"]["body"].as_str().unwrap();
        let inner = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, inner);
        assert_eq!(
            String::from_utf8(inner.unwrap()).unwrap(),
            format!(
                r#"{{"anthropic_version":"bedrock-2023-05-31","max_tokens":64000,{MESSAGES}}}"#
            )
        );
    }
    // The models that CountTokens does not know.
    let (envelope, _) = count("claude-opus-5", &Scripted::new()).await;
    assert_eq!(header(&envelope, "x-bedrock-token-count"), Some("estimate"));
    let estimate: Value = serde_json::from_str(&envelope.body).unwrap();
    assert!((10..40).contains(&estimate["input_tokens"].as_u64().unwrap()), "{estimate}");
    // A count that Bedrock does not give to this account.
    let refusal = [("x-amzn-errortype", "AccessDeniedException")];
    let (envelope, record) =
        count("claude-sonnet-4-5", &Scripted::new().then(403, &refusal, "{}")).await;
    assert_eq!(header(&envelope, "x-bedrock-token-count"), Some("estimate"));
    assert!(record.error.unwrap().as_str().contains("AccessDeniedException"));
    // A body that Bedrock refuses.
    let rejection = [("x-amzn-errortype", "ValidationException")];
    let host = Scripted::new().then(400, &rejection, r#"{"message":"messages: wrong"}"#);
    let (envelope, _) = count("claude-sonnet-4-5", &host).await;
    assert_eq!(
        error_of(&envelope),
        (400, "invalid_request_error".to_owned(), "messages: wrong".to_owned())
    );
    let (envelope, _) = count("gpt-5", &Scripted::new()).await;
    assert_eq!(error_of(&envelope).0, 404);
}

/// The form that makes the tool runners of the SDKs go on without a thread.
#[tokio::test]
async fn a_thread_is_refused_in_the_form_that_the_sdks_know() {
    let request = messages(&[], &body("claude-opus-5", r#""thread":{"type":"create"},"#));
    let (envelope, _) = whole(request, &[], &Scripted::new()).await;
    let json: Value = serde_json::from_str(&envelope.body).unwrap();
    assert_eq!(envelope.status_code, 400);
    assert_eq!(
        json["error"]["details"],
        json!({ "error_code": "thread_unsupported_request", "unsupported": ["thread"] })
    );
}

#[tokio::test]
async fn a_page_may_send_the_headers_of_the_sdk() {
    let token = format!("ci:{}", "a".repeat(64));
    let vars =
        [("AUTH", ""), ("API_TOKENS", &*token), ("ALLOWED_ORIGINS", "https://app.example.com")];
    let headers = [
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "anthropic-version,x-stainless-os"),
    ];
    let request = request_in_the_worker("OPTIONS", "/v1/messages", &headers, Bytes::new());
    let (envelope, _) = whole(request, &vars, &Scripted::new()).await;
    assert_eq!(envelope.status_code, 204);
    let allowed = header(&envelope, "access-control-allow-headers").unwrap();
    for name in
        ["content-type", "authorization", "x-api-key", "anthropic-version", "x-stainless-os"]
    {
        assert!(allowed.split(", ").filter(|it| *it == name).count() == 1, "{name}: {allowed}");
    }
}
