use std::fs;

use super::*;
use crate::host::scripted::config;

#[test]
fn the_payload_is_pinned() {
    let cases = [
        (
            "the article's four fields",
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
        let request = Request::parse(body.as_bytes(), &config).unwrap();
        let payload = serde_json::to_string(&build_payload(&request)).unwrap();
        assert_eq!(payload, expected, "{name}");
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/replies/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn answers() {
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
    ];
    for (name, text, stop_reason, usage) in cases {
        let reply = Reply::parse(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(reply.text, text, "{name}");
        assert_eq!(reply.stop_reason.as_ref().map(Token::as_str), stop_reason, "{name}");
        assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), usage, "{name}");
    }
}

/// What else Claude may send does not cost the answer.
#[test]
fn fields_of_no_matter() {
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
        ("a stop reason that is no token", format!(r#"{{{text}, "stop_reason": "a b"}}"#)),
        ("a stop reason that is null", format!(r#"{{{text}, "stop_reason": null}}"#)),
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
fn no_answers() {
    let cases = [
        ("tool-use-only.json", "no block of text"),
        ("no-content.json", "no block of text"),
        ("empty-content.json", "no block of text"),
        ("null-text.json", "no block of text"),
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
        // The word in all of them, which stands for an answer.
        let shown = format!("{error} {error:?}").to_lowercase();
        assert!(!shown.contains("himitsu"), "{name}: {shown}");
    }
}

#[test]
fn error_types() {
    let long = "a".repeat(129);
    let cases = [
        ("ThrottlingException", Some("ThrottlingException")),
        (
            "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/",
            Some("ThrottlingException"),
        ),
        ("com.amazon.coral.service#AccessDeniedException", Some("AccessDeniedException")),
        (
            "aws.protocoltests.restjson#FooError:http://internal.amazon.com/coral/#fragment",
            Some("FooError"),
        ),
        (" ThrottlingException ", Some("ThrottlingException")),
        ("", None),
        (" ", None),
        (":http://internal.amazon.com/", None),
        ("com.amazon.coral.service#", None),
        ("Throttling Exception", None),
        ("<script>", None),
        ("例外", None),
        ("Throttling\nException", None),
        (&long, None),
    ];
    for (text, expected) in cases {
        assert_eq!(error_type(text).as_ref().map(Token::as_str), expected, "{text:?}");
    }
}
