//! The consequences of a model's row in the table, and replies without text.

use bedrock_stub::events::events;
use bedrock_stub::frames::{chunk, encode};
use serde_json::Value;

use super::*;
use crate::claude::{Codec, Feature, Model};
use crate::host::Runtime;
use crate::testing::config;

const PROFILE: &str = "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/x";

/// Returns every model of Claude with the values of `BEDROCK_MODEL_ID` that mean it.
fn models() -> impl Iterator<Item = (&'static Model, String)> {
    let claudes = Model::ALL.iter().filter(|model| model.codec == Codec::Claude);
    claudes.flat_map(|model| {
        let by_id = format!("global.{}", model.id);
        [by_id, format!("{}={PROFILE}", model.name)].map(|variable| (model, variable))
    })
}

async fn send(body: &str, isolate: &Isolate, host: &Scripted) -> (Envelope, Record) {
    lambda_handler(post(Bytes::copy_from_slice(body.as_bytes())), isolate, host).await
}

/// Returns the only request to Bedrock: its path and its payload.
fn sent(host: &Scripted) -> (String, Value) {
    let requests = host.requests.borrow();
    assert_eq!(requests.len(), 1);
    let payload = serde_json::from_slice(requests[0].body()).unwrap();
    (requests[0].uri().path().to_owned(), payload)
}

fn assert_refused(name: &str, envelope: &Envelope, host: &Scripted, message: &str) {
    let body: Value = serde_json::from_str(&envelope.body).unwrap();
    let actual = (envelope.status_code, &body["generated_text"]);
    assert_eq!(actual, (400, &json!(format!("Error: {message}"))), "{name}");
    assert!(host.requests.borrow().is_empty(), "{name}");
}

#[tokio::test]
async fn the_default_temperature_is_sent_unless_the_model_refuses_it() {
    for (model, variable) in models() {
        let host = replying();
        let isolate = isolate(&[("BEDROCK_MODEL_ID", &variable)]);
        let (envelope, record) = send(BODY, &isolate, &host).await;
        assert_eq!(envelope.status_code, 200, "{variable}: {envelope:?}");
        assert_eq!(record.dropped_field, None, "{variable}");
        let (_, payload) = sent(&host);
        let is_sent = !model.refuses(Feature::Sampling);
        assert_eq!(payload.get("temperature"), is_sent.then_some(&json!(0.7)), "{variable}");
    }
}

#[tokio::test]
async fn a_callers_temperature_is_refused_by_name_if_the_model_refuses_it() {
    for (model, variable) in models() {
        let host = replying();
        let isolate = isolate(&[("BEDROCK_MODEL_ID", &variable)]);
        let (envelope, _) = send(r#"{"prompt": "a", "temperature": 0.2}"#, &isolate, &host).await;
        if model.refuses(Feature::Sampling) {
            let message = format!("temperature is not taken by {}: leave it out", model.name);
            assert_refused(&variable, &envelope, &host, &message);
        } else {
            assert_eq!(envelope.status_code, 200, "{variable}: {envelope:?}");
            assert_eq!(sent(&host).1["temperature"], 0.2, "{variable}");
        }
    }
}

#[tokio::test]
async fn a_prefill_is_refused_by_index_if_the_model_refuses_it() {
    const MESSAGES: &str = r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#;
    let body = format!(r#"{{"messages":{MESSAGES}}}"#);
    for (model, variable) in models() {
        let host = replying();
        let isolate = isolate(&[("BEDROCK_MODEL_ID", &variable)]);
        let (envelope, _) = send(&body, &isolate, &host).await;
        if model.refuses(Feature::Prefill) {
            let message = format!(
                "messages[1].role must be \"user\": {} does not continue a message of the assistant",
                model.name
            );
            assert_refused(&variable, &envelope, &host, &message);
        } else {
            assert_eq!(envelope.status_code, 200, "{variable}: {envelope:?}");
            let expected: Value = serde_json::from_str(MESSAGES).unwrap();
            assert_eq!(sent(&host).1["messages"], expected, "{variable}");
        }
    }
}

#[tokio::test]
async fn a_caller_may_name_a_model_by_its_id_or_by_its_name() {
    for (model, variable) in models() {
        let id = variable.rsplit('=').next().unwrap();
        for key in ["BEDROCK_MODEL_ID", "ALLOWED_MODELS"] {
            let isolate = isolate(&[(key, &variable)]);
            for name in [model.name, id] {
                let host = replying();
                let body = json!({ "prompt": "a", "model": name }).to_string();
                let (envelope, record) = send(&body, &isolate, &host).await;
                assert_eq!(envelope.status_code, 200, "{key}={variable}, {name}: {envelope:?}");
                let path = format!("/model/{}/invoke", id.replace(':', "%3A").replace('/', "%2F"));
                assert_eq!(sent(&host).0, path, "{key}={variable}, {name}");
                assert_eq!(record.model.as_deref(), Some(id), "{key}={variable}, {name}");
            }
            // The name before the = is no part of the id.
            if variable != id {
                let body = json!({ "prompt": "a", "model": variable }).to_string();
                let (envelope, record) = send(&body, &isolate, &Scripted::new()).await;
                assert_eq!(envelope.status_code, 403, "{key}={variable}");
                assert_eq!(record.outcome, "model_not_allowed", "{key}={variable}");
            }
        }
    }
}

#[tokio::test]
async fn the_rules_are_those_of_the_model_that_the_caller_names() {
    let vars = [
        ("BEDROCK_MODEL_ID", "global.anthropic.claude-sonnet-5-5"),
        ("ALLOWED_MODELS", "global.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ];
    let isolate = isolate(&vars);
    for (model, temperature) in
        [("claude-sonnet-5-5", None), ("claude-haiku-4-5", Some(&json!(0.7)))]
    {
        let host = replying();
        let body = json!({ "prompt": "a", "model": model }).to_string();
        send(&body, &isolate, &host).await;
        assert_eq!(sent(&host).1.get("temperature"), temperature, "{model}");
    }
    let host = replying();
    let body = r#"{"prompt": "a", "model": "claude-haiku-4-5", "temperature": 0.2}"#;
    send(body, &isolate, &host).await;
    assert_eq!(sent(&host).1["temperature"], 0.2);
    let host = Scripted::new();
    let (envelope, _) = send(r#"{"prompt": "a", "temperature": 0.2}"#, &isolate, &host).await;
    let message = "temperature is not taken by claude-sonnet-5-5: leave it out";
    assert_refused("the default", &envelope, &host, message);
}

#[test]
fn an_unknown_name_before_the_equals_sign_is_a_problem_of_the_configuration() {
    for (variable, value, problem) in [
        (
            "BEDROCK_MODEL_ID",
            format!("claude-9={PROFILE}"),
            "BEDROCK_MODEL_ID has a name before its = that is not in the table of models: \
             expected one such as claude-sonnet-5-5",
        ),
        (
            "BEDROCK_MODEL_ID",
            format!("={PROFILE}"),
            "BEDROCK_MODEL_ID has a name before its = that is not in the table of models: \
             expected one such as claude-sonnet-5-5",
        ),
        (
            "ALLOWED_MODELS",
            format!("a,claude-9={PROFILE}"),
            "ALLOWED_MODELS has a name before its = that is not in the table of models: \
             expected one such as claude-sonnet-5-5",
        ),
    ] {
        let error = config(&[(variable, &value)]).unwrap_err();
        assert_eq!(error.problems, [problem], "{variable}={value}");
    }
}

/// Replies that ended before they had any text: their content, why they ended, and what the caller gets.
const WITHOUT_TEXT: [(&str, &str, &str, &str, &str, &str); 6] = [
    (
        "no content",
        "[]",
        "max_tokens",
        "no_text",
        "the reply ended at max_tokens (7) before it had any text",
        "the reply ended at max_tokens before any text",
    ),
    (
        "thinking",
        r#"[{"type": "thinking", "thinking": "Well", "signature": "s"}]"#,
        "max_tokens",
        "no_text",
        "the reply ended at max_tokens (7) before it had any text",
        "the reply ended at max_tokens before any text",
    ),
    (
        "an empty text",
        r#"[{"type": "text", "text": ""}]"#,
        "max_tokens",
        "no_text",
        "the reply ended at max_tokens (7) before it had any text",
        "the reply ended at max_tokens before any text",
    ),
    (
        "the end of the context window",
        "[]",
        "model_context_window_exceeded",
        "no_text",
        "the reply ended at max_tokens (7) before it had any text",
        "the reply ended at max_tokens before any text",
    ),
    (
        "a refusal",
        "[]",
        "refusal",
        "refusal",
        "the model refused to reply",
        "the model refused to reply",
    ),
    (
        "a refusal with an empty text",
        r#"[{"type": "text", "text": ""}]"#,
        "refusal",
        "refusal",
        "the model refused to reply",
        "the model refused to reply",
    ),
];

/// Returns Claude's JSON of such a reply.
fn without_text(content: &str, stop_reason: &str) -> Value {
    json!({
        "content": serde_json::from_str::<Value>(content).unwrap(),
        "stop_reason": stop_reason,
        "usage": { "input_tokens": 12, "output_tokens": 7 },
    })
}

#[tokio::test]
async fn a_reply_that_ends_before_any_text_is_a_500_that_says_why() {
    for (name, content, stop_reason, code, message, cause) in WITHOUT_TEXT {
        let reply = without_text(content, stop_reason).to_string();
        let host = Scripted::new().then(200, &[], reply);
        let body = r#"{"prompt": "a", "max_tokens": 7}"#;
        let (envelope, record) = send(body, &isolate(&[]), &host).await;
        assert_eq!(envelope.status_code, 500, "{name}");
        let expected = format!(r#"{{"input_prompt":"a","generated_text":"Error: {message}"}}"#);
        assert_eq!(envelope.body, expected, "{name}");
        assert_eq!(header(&envelope, "x-error-code"), Some(code), "{name}");
        assert_eq!(header(&envelope, "retry-after"), None, "{name}");
        assert_eq!(header(&envelope, "x-stop-reason"), Some(stop_reason), "{name}");
        assert_eq!(header(&envelope, "x-amzn-bedrock-output-token-count"), Some("7"), "{name}");
        assert_eq!(record.error.as_ref().unwrap().as_str(), cause, "{name}");
        check_form(name, &envelope, &record);
    }
}

#[tokio::test]
async fn a_stream_that_ends_before_any_text_ends_with_an_error_event_that_says_why() {
    for (name, content, stop_reason, code, message, cause) in WITHOUT_TEXT {
        let reply = without_text(content, stop_reason);
        let frames: Vec<u8> = events(&reply).iter().flat_map(|it| encode(&chunk(it))).collect();
        let host = Scripted::new().then(200, &[], frames);
        let isolate = isolate(&[]);
        let body = Bytes::from(r#"{"prompt": "a", "max_tokens": 7, "stream": true}"#);
        let Handled::Stream(_, mut streaming) = handle(post(body), &isolate, &host).await else {
            panic!("{name}: not a stream");
        };
        assert_eq!(streaming.next(&host).await.unwrap().name(), "start", "{name}");
        let last: Value =
            serde_json::from_str(&streaming.next(&host).await.unwrap().to_message()).unwrap();
        let message = format!("Error: {message}");
        let data = json!({ "code": code, "message": message, "retryable": false });
        assert_eq!(last, json!({ "event": "error", "data": data }), "{name}");
        assert!(streaming.next(&host).await.is_none(), "{name}");
        let (record, _) = streaming.generation.finish(host.now());
        let reason = record.stop_reason.as_ref().map(crate::Identifier::as_str);
        assert_eq!((record.outcome, reason), (code, Some(stop_reason)), "{name}");
        assert_eq!(record.error.unwrap().as_str(), cause, "{name}");
        assert_eq!((record.input_tokens, record.output_tokens), (Some(12), Some(7)), "{name}");
    }
}

#[tokio::test]
async fn a_reply_with_text_is_a_200_whatever_ended_it() {
    for stop_reason in ["max_tokens", "refusal", "end_turn"] {
        let content = r#"[{"type": "text", "text": "Hi"}]"#;
        let reply = without_text(content, stop_reason).to_string();
        let host = Scripted::new().then(200, &[], reply);
        let (envelope, _) = send(r#"{"prompt": "a"}"#, &isolate(&[]), &host).await;
        assert_eq!(envelope.status_code, 200, "{stop_reason}");
        assert_eq!(envelope.body, r#"{"input_prompt":"a","generated_text":"Hi"}"#, "{stop_reason}");
    }
}

#[test]
fn the_start_warns_of_a_model_that_thinks_longer_than_max_tokens() {
    let warning = |tokens: &str, name: &str| {
        let warning = format!(
            "MAX_TOKENS is {tokens}, and {name} always thinks before it replies, which counts: \
             replies may have no text. Set MAX_TOKENS to 1024 or more"
        );
        format!(r#"{{"level":"warn","warning":"{warning}"}}"#)
    };
    for (model, variable) in models() {
        let expected = model.always_thinks().then(|| warning("100", model.name));
        let fallback = format!("ap-northeast-1={variable}");
        for key in ["BEDROCK_MODEL_ID", "ALLOWED_MODELS", "BEDROCK_FALLBACK_REGIONS"] {
            let value = if key == "BEDROCK_FALLBACK_REGIONS" { &fallback } else { &variable };
            let warnings = isolate(&[(key, value)]).warnings();
            assert_eq!(warnings, Vec::from_iter(expected.clone()), "{key}={value}");
        }
    }
    let thinking = ("BEDROCK_MODEL_ID", "global.anthropic.claude-sonnet-5-5");
    let name = "claude-sonnet-5-5";
    let cases = [
        ("one token too few", vec![thinking, ("MAX_TOKENS", "1023")], vec![warning("1023", name)]),
        ("enough", vec![thinking, ("MAX_TOKENS", "1024")], vec![]),
        ("logged from warn", vec![thinking, ("LOG_LEVEL", "warn")], vec![warning("100", name)]),
        ("logged from error", vec![thinking, ("LOG_LEVEL", "error")], vec![]),
        ("an invalid configuration", vec![thinking, ("TEMPERATURE", "2")], vec![]),
        ("an unknown model", vec![("BEDROCK_MODEL_ID", PROFILE)], vec![]),
    ];
    for (name, vars, expected) in cases {
        assert_eq!(isolate(&vars).warnings(), expected, "{name}");
    }
}
