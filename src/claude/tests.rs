//! Payloads, replies, and the table of models.

use std::fs;

use super::*;
use crate::api::parse_request;
use crate::identifier::Identifier;
use crate::testing::config;

#[test]
fn the_payload_is_exactly_this() {
    let cases = [
        (
            "the four fields of the Lambda",
            "0.7",
            r#"{"prompt": "こんにちは"}"#,
            r#"{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"こんにちは"}],"max_tokens":100,"temperature":0.7}"#,
        ),
        (
            "every field",
            "0.7",
            r#"{"stop_sequences": ["END", "。"], "system": "Be brief.", "temperature": 0, "max_tokens": 1, "prompt": "\"\\\n\u0001/"}"#,
            r#"{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"\"\\\n\u0001/"}],"max_tokens":1,"temperature":0.0,"system":"Be brief.","stop_sequences":["END","。"]}"#,
        ),
        (
            "no temperature",
            "",
            r#"{"prompt": "Hello"}"#,
            r#"{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"Hello"}],"max_tokens":100}"#,
        ),
        (
            "a temperature where none is configured",
            "",
            r#"{"prompt": "Hello", "temperature": 1}"#,
            r#"{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"Hello"}],"max_tokens":100,"temperature":1.0}"#,
        ),
    ];
    for (name, temperature, body, expected) in cases {
        let config = config(&[("TEMPERATURE", temperature)]).unwrap();
        let request = parse_request(body.as_bytes(), &config).unwrap();
        let payload = build_payload(&request, config.temperature).to_json().unwrap();
        assert_eq!(payload, expected, "{name}");
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/replies/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_text_blocks_of_a_reply_are_joined() {
    let cases = [
        (
            "text.json",
            "サーバーレスの利点は次の三つです。\n\n1. **運用** が要らない 🎌\n2. \"使った分\"だけ払う\n3. 伸び縮みする",
            Some("end_turn"),
            (Some(26), Some(58)),
        ),
        ("thinking-first.json", "こんにちは。", Some("max_tokens"), (Some(43), Some(100))),
        (
            "two-text-blocks.json",
            "The first half, and the second.",
            Some("stop_sequence"),
            (None, Some(9)),
        ),
        ("empty-text.json", "", None, (None, None)),
        ("null-text.json", "", Some("end_turn"), (None, None)),
        ("no-content.json", "", Some("end_turn"), (None, None)),
        ("empty-content.json", "", Some("end_turn"), (None, None)),
    ];
    for (name, text, stop_reason, usage) in cases {
        let reply = Reply::parse(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(reply.text, text, "{name}");
        assert_eq!(reply.stop_reason.as_ref().map(Identifier::as_str), stop_reason, "{name}");
        assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), usage, "{name}");
    }
}

#[test]
fn unknown_and_odd_fields_do_not_discard_a_reply() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = r#""content": [{"type": "text", "text": "はい"}]"#;
    let cases = [
        ("deep nesting in an unknown field", format!(r#"{{"unknown": {deep}, {text}}}"#)),
        (
            "deep nesting in a block",
            format!(
                r#"{{"content": [{{"type": "x", "input": {deep}}}, {{"type": "text", "text": "はい"}}]}}"#
            ),
        ),
        ("deep nesting in usage", format!(r#"{{{text}, "usage": {{"unknown": {deep}}}}}"#)),
        ("escapes in a type", r#"{"content": [{"type": "te\u0078t", "text": "はい"}]}"#.to_owned()),
        ("a stop reason that is not an identifier", format!(r#"{{{text}, "stop_reason": "a b"}}"#)),
        ("a stop reason that is a number", format!(r#"{{{text}, "stop_reason": 5}}"#)),
        ("a stop reason that is null", format!(r#"{{{text}, "stop_reason": null}}"#)),
        (
            "blocks of other types, in any form",
            r#"{"content": [null, {}, {"type": "sculpture", "text": {"a": 1}}, {"text": ["a"], "type": "x"}, {"type": null, "text": 1}, {"text": "no type"}, {"text": "はい", "type": "text"}]}"#.to_owned(),
        ),
        (
            "text blocks without a text",
            r#"{"content": [{"type": "text"}, {"type": "text", "text": null}, {"type": "text", "text": "はい"}]}"#.to_owned(),
        ),
        ("usage that is null", format!(r#"{{{text}, "usage": null}}"#)),
    ];
    let mut wrong = Vec::new();
    for (name, body) in cases {
        let reply = Reply::parse(body.as_bytes());
        if !matches!(&reply, Ok(Reply { text, stop_reason: None, .. }) if text == "はい") {
            wrong.push(format!("{name}: {reply:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_body_without_text_has_its_reason_and_is_not_quoted() {
    let cases = [
        ("tool-use-only.json", "expected a text block in the reply, got none"),
        ("unknown-operation.json", "an error with status 200: UnknownOperationException"),
        ("unknown-operation-odd-type.json", "an error with status 200: ?"),
        ("html.html", "the body of 109 bytes is not Claude's JSON: syntax at 1:1"),
        ("empty", "the body of 0 bytes is not Claude's JSON: end at 1:0"),
        ("cut-off.json", "the body of 59 bytes is not Claude's JSON: end at 1:59"),
        ("content-not-an-array.json", "the body of 61 bytes is not Claude's JSON: data at 1:28"),
        ("text-not-a-string.json", "the body of 75 bytes is not Claude's JSON: data at 1:51"),
        ("string.json", "the body of 9 bytes is not Claude's JSON: data at 1:9"),
    ];
    for (name, expected) in cases {
        let error = Reply::parse(&fixture(name)).unwrap_err();
        assert_eq!(error.to_string(), expected, "{name}");
        // A word in every fixture, which stands for generated text. The message of an error is none.
        if matches!(error, InvalidReply::Error { .. }) {
            continue;
        }
        let shown = format!("{error} {error:?}").to_lowercase();
        assert!(!shown.contains("himitsu"), "{name}: {shown}");
    }
}

#[test]
fn a_reply_that_ended_before_any_text_says_why() {
    let body = |content: &str, reason: &str| {
        format!(
            r#"{{"content": {content}, "stop_reason": "{reason}", "usage": {{"output_tokens": 3}}}}"#
        )
    };
    let thinking = r#"[{"type": "thinking", "thinking": "hm", "signature": "s"}]"#;
    let empty = r#"[{"type": "text", "text": ""}]"#;
    for (content, reason, expected) in [
        ("[]", "max_tokens", InvalidReply::MaxTokens),
        (thinking, "max_tokens", InvalidReply::MaxTokens),
        (empty, "max_tokens", InvalidReply::MaxTokens),
        ("[]", "refusal", InvalidReply::Refusal),
        (empty, "refusal", InvalidReply::Refusal),
        ("[]", "guardrail_intervened", InvalidReply::Guardrail),
        ("[]", "pause_turn", InvalidReply::NoText),
        (thinking, "tool_use", InvalidReply::NoText),
    ] {
        let body = body(content, reason);
        assert_eq!(Reply::parse(body.as_bytes()), Err(expected), "{body}");
        let (stop_reason, usage, _) = Reply::parse_facts(body.as_bytes());
        assert_eq!(stop_reason.unwrap().as_str(), reason, "{body}");
        assert_eq!(usage.output_tokens, Some(3), "{body}");
    }
    let partial = body(r#"[{"type": "text", "text": "I"}]"#, "refusal");
    assert_eq!(Reply::parse(partial.as_bytes()).unwrap().text, "I");
}

#[test]
fn a_reply_that_the_model_ended_at_once_is_an_empty_text() {
    let thinking = r#"[{"type": "thinking", "thinking": "hm", "signature": "s"}]"#;
    for content in ["[]", "null", thinking, r#"[{"type": "text", "text": ""}]"#] {
        for reason in ["end_turn", "stop_sequence"] {
            let body = format!(r#"{{"content": {content}, "stop_reason": "{reason}"}}"#);
            let reply = Reply::parse(body.as_bytes()).unwrap();
            assert_eq!((&*reply.text, reply.stop_reason), ("", Identifier::new(reason)), "{body}");
        }
    }
}

#[test]
fn half_a_surrogate_pair_does_not_discard_a_reply() {
    let body = r#"{"content": [{"type": "text", "text": "a\ud83d"}, {"type": "text", "text": "\ude00b\ud83d"}]}"#;
    assert_eq!(Reply::parse(body.as_bytes()).unwrap().text, "a😀b\u{fffd}");
}

#[test]
fn an_error_in_place_of_a_reply_is_that_error() {
    #[rustfmt::skip]
    let cases = [
        (r#"{"message": "Too many requests"}"#, Some("ThrottlingException"), "Too many requests"),
        (r#"{"Message": "Too many requests"}"#, Some("ThrottlingException"), "Too many requests"),
        (r#"{"__type": "com.amazon#ThrottlingException", "message": "m"}"#, Some("ThrottlingException"), "m"),
        (r#"{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}"#, Some("overloaded_error"), "Overloaded"),
        (r#"{"error": "Too many requests"}"#, Some("ThrottlingException"), "Too many requests"),
        (r#"{"message": "Something new"}"#, None, "Something new"),
        (r#"{"type": "ThrottlingException", "message": "m"}"#, Some("ThrottlingException"), "m"),
        (r#"{"error": {}}"#, None, ""),
        (r#"{"Output": {"__type": "UnknownOperationException"}, "Version": "1.0"}"#, Some("UnknownOperationException"), ""),
    ];
    for (body, kind, message) in cases {
        let kind = kind.and_then(Identifier::new);
        let expected = InvalidReply::Error { kind, message: message.to_owned() };
        assert_eq!(Reply::parse(body.as_bytes()), Err(expected), "{body}");
    }
    // With content it is a reply, whatever else it has.
    let reply = r#"{"message": "m", "error": null, "content": [{"type": "text", "text": "a"}]}"#;
    assert_eq!(Reply::parse(reply.as_bytes()).unwrap().text, "a");
    assert_eq!(Reply::parse(b"{}"), Err(InvalidReply::NoText));
}

#[test]
fn a_guardrail_that_intervened_is_noted() {
    let body = |text: &str, action: &str| {
        format!(
            r#"{{"content": [{{"type": "text", "text": "{text}"}}], "stop_reason": "end_turn", "amazon-bedrock-guardrailAction": {action}}}"#
        )
    };
    for (action, expected) in [
        (r#""INTERVENED""#, true),
        (r#""GUARDRAIL_INTERVENED""#, true),
        (r#""NONE""#, false),
        ("null", false),
    ] {
        let reply = Reply::parse(body("Blocked.", action).as_bytes()).unwrap();
        assert_eq!(reply.guardrail_intervened, expected, "{action}");
        let empty = body("", action);
        assert_eq!(Reply::parse_facts(empty.as_bytes()).2, expected, "{action}");
        match Reply::parse(empty.as_bytes()) {
            Err(error) => assert!(expected && error == InvalidReply::Guardrail, "{action}"),
            Ok(_) => assert!(!expected, "{action}"),
        }
    }
}

#[test]
fn a_model_is_found_by_its_name_and_by_every_form_of_its_id() {
    for model in Model::ALL {
        assert_eq!(Model::by_name(model.name), Some(model));
        for prefix in ["", "global.", "us.", "eu.", "au.", "jp."] {
            let id = format!("{prefix}{}", model.id);
            assert_eq!(Model::by_id(&id), Some(model), "{id}");
            let arn = format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/{id}");
            assert_eq!(Model::by_id(&arn), Some(model), "{arn}");
        }
        let arn = format!("arn:aws:bedrock:us-east-1::foundation-model/{}", model.id);
        assert_eq!(Model::by_id(&arn), Some(model), "{arn}");
    }
    for id in [
        "",
        "claude-opus-5",
        "anthropic.claude-opus",
        "anthropic.claude-opus-5-5-x",
        "anthropic.claude-v2",
        "amazon.nova-pro-v9:0",
        "xamazon.nova-pro-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
    ] {
        assert_eq!(Model::by_id(id), None, "{id}");
    }
}

fn claudes() -> impl Iterator<Item = &'static Model> {
    Model::ALL.iter().filter(|model| model.codec == Codec::Claude)
}

/// The rules of the source, by the names of the models that they list.
#[test]
fn every_model_refuses_what_its_source_says() {
    let every = |test: fn(&str) -> bool| {
        claudes().map(|it| it.name).filter(|name| test(name)).collect::<Vec<_>>()
    };
    let is_5 = |name: &str| name.contains("-5") && !name.contains("-4-");
    let rules: [(Feature, Vec<&str>); 14] = [
        (
            Feature::Sampling,
            every(|name| {
                name.ends_with("4-7")
                    || name.ends_with("4-8")
                    || (name.contains("-5") && !name.contains("-4-"))
            }),
        ),
        (Feature::TemperatureWithTopP, every(|name| name.ends_with("-4-5"))),
        (Feature::Prefill, every(|name| !name.ends_with("-4-5"))),
        (
            Feature::ForcedToolChoice,
            vec!["claude-fable-5-1", "claude-opus-5-5", "claude-sonnet-5-5"],
        ),
        (Feature::ThinkingBudget, every(|name| !name.ends_with("-4-5") && !name.ends_with("-4-6"))),
        (
            Feature::ThinkingDisabled,
            vec!["claude-fable-5-1", "claude-fable-5", "claude-opus-5-5", "claude-sonnet-5-5"],
        ),
        (Feature::CountTokens, every(|name| !name.ends_with("-4-5") && !name.ends_with("-4-6"))),
        (Feature::ThinkingAdaptive, every(|name| name.ends_with("-4-5"))),
        (
            Feature::PerTurnControl,
            every(|name| !["claude-opus-5-5", "claude-sonnet-5-5"].contains(&name)),
        ),
        (
            Feature::StructuredOutput,
            every(|name| !name.ends_with("-4-5") && !name.ends_with("-4-6")),
        ),
        (Feature::Effort, vec!["claude-sonnet-4-5", "claude-haiku-4-5"]),
        (Feature::EffortXhigh, vec!["claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-4-5"]),
        (Feature::EffortMax, vec!["claude-opus-4-5"]),
        (Feature::SystemMessage, every(|name| name.contains("-4-") && !name.ends_with("-4-8"))),
    ];
    for (feature, names) in rules {
        let actual: Vec<&str> =
            claudes().filter(|it| it.refuses(feature)).map(|it| it.name).collect();
        assert_eq!(actual, names, "{feature:?}");
    }
    assert!(claudes().filter(|it| is_5(it.name)).all(|it| it.refuses(Feature::Sampling)));
}
