mod conversations;

use super::*;
use crate::claude::build_payload;
use crate::testing::config;

fn defaults() -> Config {
    config(&[]).unwrap()
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

fn prompts(prompt: &str) -> Request<'_> {
    Request::new(prompt, 100)
}

#[test]
fn a_body_is_parsed_into_a_request() {
    let default = || prompts("Hello, how can I help you?");
    let cases = [
        ("nothing", "", default()),
        ("white space", " \t\r\n", default()),
        ("a byte order mark and nothing else", "\u{feff}", default()),
        ("an empty object", "{}", default()),
        (
            "null for every field",
            r#"{"prompt": null, "messages": null, "max_tokens": null, "temperature": null, "system": null, "stop_sequences": null, "model": null, "stream": null}"#,
            default(),
        ),
        (
            "null beside a prompt",
            r#"{"prompt": "a", "messages": null, "max_tokens": null, "stream": false}"#,
            Request { stream: Some(false), ..prompts("a") },
        ),
        (
            "an event of a scheduler",
            r#"{"source": "aws.scheduler", "detail": {}, "time": "t"}"#,
            default(),
        ),
        ("no prompt", r#"{"max_tokens": 5}"#, Request { max_tokens: 5, ..default() }),
        ("a byte order mark", "\u{feff}{\"prompt\": \"a\"}", prompts("a")),
        ("white space around", "\r\n{\"prompt\": \"a\"}\n", prompts("a")),
        ("white space in the prompt stays", r#"{"prompt": " a\n"}"#, prompts(" a\n")),
        (
            "escapes",
            r#"{"prompt": "\"\\\/\b\f\n\r\t\u3042\uD83C\uDF8C"}"#,
            prompts("\"\\/\u{8}\u{c}\n\r\tあ🎌"),
        ),
        ("an escaped name", r#"{"\u0070rompt": "a"}"#, prompts("a")),
        ("a NUL", r#"{"prompt": "\u0000"}"#, prompts("\0")),
        (
            "unknown names",
            r#"{"Prompt": 1, "models": "x", "models": [], "prompt": "a"}"#,
            prompts("a"),
        ),
        ("a lone surrogate that is not ours", r#"{"x": "\ud800", "prompt": "a"}"#, prompts("a")),
        ("a number too large that is not ours", r#"{"x": 1e999, "prompt": "a"}"#, prompts("a")),
        (
            "the lowest numbers",
            r#"{"prompt": "a", "max_tokens": 1, "temperature": 0}"#,
            Request { max_tokens: 1, temperature: Some(0.0), ..prompts("a") },
        ),
        (
            "the highest numbers",
            r#"{"prompt": "a", "max_tokens": 100, "temperature": 1.0}"#,
            Request { max_tokens: 100, temperature: Some(1.0), ..prompts("a") },
        ),
        (
            "a temperature with an exponent",
            r#"{"prompt": "a", "temperature": 25e-2}"#,
            Request { temperature: Some(0.25), ..prompts("a") },
        ),
        (
            "system and stop sequences",
            r#"{"prompt": "a", "system": " \u3042 ", "stop_sequences": ["END", "\n\nHuman:"]}"#,
            Request {
                system: Some(" あ ".into()),
                stop_sequences: vec!["END".into(), "\n\nHuman:".into()],
                ..prompts("a")
            },
        ),
        ("no stop sequences", r#"{"prompt": "a", "stop_sequences": []}"#, prompts("a")),
    ];
    for (name, body, expected) in cases {
        assert_eq!(parse(body.as_bytes(), &defaults()), Ok(expected), "{name}");
    }
}

#[test]
fn an_invalid_body_is_refused_with_a_message_that_names_the_field() {
    const MAX_TOKENS: &str = "max_tokens must be a whole number from 1 to 100";
    const TEMPERATURE: &str = "temperature must be a number from 0 to 1";
    const STOP_SEQUENCES: &str = "stop_sequences must be an array of strings";
    const NO_OBJECT: &str = "the body must be a JSON object";
    let cases: [(&str, &[u8], &str); 64] = [
        ("prompt: empty", br#"{"prompt": ""}"#, "prompt must not be blank"),
        ("prompt: blank", br#"{"prompt": " \t\r\n"}"#, "prompt must not be blank"),
        (
            "prompt: ideographic space",
            "{\"prompt\": \"\u{3000}\"}".as_bytes(),
            "prompt must not be blank",
        ),
        (
            "prompt: escaped ideographic space",
            br#"{"prompt": "\u3000"}"#,
            "prompt must not be blank",
        ),
        ("prompt: number", br#"{"prompt": 1}"#, "prompt must be a string"),
        ("prompt: boolean", br#"{"prompt": true}"#, "prompt must be a string"),
        ("prompt: object", br#"{"prompt": {"text": "a"}}"#, "prompt must be a string"),
        ("prompt: array", br#"{"prompt": ["a"]}"#, "prompt must be a string"),
        ("prompt: too large a number", br#"{"prompt": 1e999}"#, "prompt must be a string"),
        ("prompt: twice", br#"{"prompt": "a", "prompt": "a"}"#, "prompt is there twice"),
        (
            "prompt: twice, once escaped",
            br#"{"prompt": "a", "\u0070rompt": "b"}"#,
            "prompt is there twice",
        ),
        (
            "prompt: leading surrogate",
            br#"{"prompt": "\ud83c"}"#,
            "prompt is not a valid string: unexpected end of hex escape",
        ),
        (
            "prompt: leading surrogate, then text",
            br#"{"prompt": "\ud83ca"}"#,
            "prompt is not a valid string: unexpected end of hex escape",
        ),
        (
            "prompt: two leading surrogates",
            br#"{"prompt": "\ud83c\ud83c"}"#,
            "prompt is not a valid string: lone leading surrogate in hex escape",
        ),
        (
            "prompt: trailing surrogate",
            br#"{"prompt": "\udf8c"}"#,
            "prompt is not a valid string: lone leading surrogate in hex escape",
        ),
        ("max_tokens: 0", br#"{"max_tokens": 0}"#, MAX_TOKENS),
        ("max_tokens: over the configured", br#"{"max_tokens": 101}"#, MAX_TOKENS),
        ("max_tokens: over 32 bits", br#"{"max_tokens": 4294967297}"#, MAX_TOKENS),
        ("max_tokens: over 64 bits", br#"{"max_tokens": 18446744073709551617}"#, MAX_TOKENS),
        ("max_tokens: fraction", br#"{"max_tokens": 1.5}"#, MAX_TOKENS),
        ("max_tokens: whole, with a point", br#"{"max_tokens": 5.0}"#, MAX_TOKENS),
        ("max_tokens: exponent", br#"{"max_tokens": 1e2}"#, MAX_TOKENS),
        ("max_tokens: string", br#"{"max_tokens": "5"}"#, MAX_TOKENS),
        ("max_tokens: negative", br#"{"max_tokens": -1}"#, MAX_TOKENS),
        ("max_tokens: boolean", br#"{"max_tokens": true}"#, MAX_TOKENS),
        ("max_tokens: array", br#"{"max_tokens": [5]}"#, MAX_TOKENS),
        (
            "max_tokens: twice",
            br#"{"max_tokens": 1, "max_tokens": 1}"#,
            "max_tokens is there twice",
        ),
        ("temperature: negative", br#"{"temperature": -0.1}"#, TEMPERATURE),
        ("temperature: over 1", br#"{"temperature": 1.1}"#, TEMPERATURE),
        ("temperature: hardly over 1", br#"{"temperature": 1.0000000000000003}"#, TEMPERATURE),
        ("temperature: infinite", br#"{"temperature": 1e999}"#, TEMPERATURE),
        ("temperature: string", br#"{"temperature": "0.5"}"#, TEMPERATURE),
        ("temperature: array", br#"{"temperature": [0.5]}"#, TEMPERATURE),
        ("system: empty", br#"{"system": ""}"#, "system must not be blank"),
        ("system: blank", "{\"system\": \" \u{3000}\"}".as_bytes(), "system must not be blank"),
        ("system: number", br#"{"system": 1}"#, "system must be a string"),
        (
            "system: array of blocks",
            br#"{"system": [{"type": "text", "text": "a"}]}"#,
            "system must be a string",
        ),
        ("stop_sequences: string", br#"{"stop_sequences": "END"}"#, STOP_SEQUENCES),
        ("stop_sequences: object", br#"{"stop_sequences": {}}"#, STOP_SEQUENCES),
        (
            "stop_sequences: of a number",
            br#"{"stop_sequences": [1]}"#,
            "stop_sequences[0] must be a string",
        ),
        (
            "stop_sequences: of null",
            br#"{"stop_sequences": ["a", null]}"#,
            "stop_sequences[1] must be a string",
        ),
        (
            "stop_sequences: of nothing",
            br#"{"stop_sequences": [""]}"#,
            "stop_sequences[0] must not be blank",
        ),
        (
            "stop_sequences: of a newline",
            br#"{"stop_sequences": ["a", "b", "\n"]}"#,
            "stop_sequences[2] must not be blank",
        ),
        (
            "stop_sequences: lone surrogate",
            br#"{"stop_sequences": ["\udf8c"]}"#,
            "stop_sequences[0] is not a valid string: lone leading surrogate in hex escape",
        ),
        ("prompt: null twice", br#"{"prompt": null, "prompt": "a"}"#, "prompt is there twice"),
        ("body: array", br#"["prompt"]"#, NO_OBJECT),
        ("body: string", br#""prompt""#, NO_OBJECT),
        ("body: number", b"1", NO_OBJECT),
        ("body: null", b"null", NO_OBJECT),
        (
            "body: truncated name",
            br#"{"pro"#,
            "the body is not JSON: EOF while parsing a string at line 1 column 5",
        ),
        (
            "body: truncated string",
            br#"{"prompt": "a"#,
            "the body is not JSON: EOF while parsing a string at line 1 column 13",
        ),
        (
            "body: truncated object",
            br#"{"prompt": "a""#,
            "the body is not JSON: EOF while parsing an object at line 1 column 14",
        ),
        (
            "body: trailing text",
            br#"{"prompt": "a"} b"#,
            "the body is not JSON: trailing characters at line 1 column 17",
        ),
        (
            "body: trailing comma",
            br#"{"prompt": "a",}"#,
            "the body is not JSON: trailing comma at line 1 column 16",
        ),
        (
            "body: a raw newline in a string",
            b"{\"prompt\": \"a\nb\"}",
            "the body is not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 13",
        ),
        (
            "body: single quotes",
            b"{'prompt': 'a'}",
            "the body is not JSON: key must be a string at line 1 column 2",
        ),
        ("body: a form", b"prompt=a", "the body is not JSON: expected value at line 1 column 1"),
        (
            "body: NaN",
            br#"{"temperature": NaN}"#,
            "the body is not JSON: expected value at line 1 column 17",
        ),
        ("body: NUL", b"\0", "the body is not JSON: expected value at line 1 column 1"),
        ("body: not UTF-8", b"{\"prompt\": \"\x82\xa0\"}", "the body is not UTF-8 at byte 12"),
        ("body: UTF-16", b"\xff\xfe{\0}\0", "the body is not UTF-8 at byte 0"),
        (
            "body: cut within a character",
            "{\"prompt\": \"あ".as_bytes().split_at(14).0,
            "the body is not UTF-8 at byte 12",
        ),
        (
            "body: an encoded surrogate",
            b"{\"prompt\": \"\xed\xa0\x80\"}",
            "the body is not UTF-8 at byte 12",
        ),
        (
            "body: two byte order marks",
            "\u{feff}\u{feff}{}".as_bytes(),
            "the body is not JSON: expected value at line 1 column 1",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, body, message) in cases {
        let actual = parse(body, &defaults());
        if actual != Err(Error::new(Code::InvalidRequest, message)) {
            wrong.push(format!("{name}: {actual:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_field_may_be_null_and_is_known() {
    for field in FIELDS {
        let body = format!(r#"{{"{field}": null}}"#);
        assert_eq!(parse(body.as_bytes(), &defaults()), parse(b"{}", &defaults()), "{field}");
        let body = format!(r#"{{"{field}": null, "{field}": null}}"#);
        let error = parse(body.as_bytes(), &defaults()).unwrap_err();
        assert_eq!(error.message, format!("{field} is there twice"));
    }
    for field in EVENT_FIELDS {
        let body = format!(r#"{{"{field}": "x"}}"#);
        assert_eq!(parse(body.as_bytes(), &defaults()), parse(b"{}", &defaults()), "{field}");
    }
}

#[test]
fn a_body_of_another_shape_is_refused_instead_of_getting_the_default_prompt() {
    let message = |name: &str| {
        format!(
            "the body has no prompt and no messages, but the unknown member {name:?}: the known members are \
             prompt, messages, max_tokens, temperature, system, stop_sequences, model, stream, session"
        )
    };
    let long = format!(r#"{{"{}": 1}}"#, "x".repeat(100));
    let shapes = [
        ("type", r#"{"type": "ping"}"#),
        ("Records", r#"{"Records": [{"eventSource": "aws:sqs", "body": "{\"prompt\": \"a\"}"}]}"#),
        ("input", r#"{"input": "Hello"}"#),
        ("inputs", r#"{"inputs": "Hello", "parameters": {}}"#),
        ("mesages", r#"{"mesages": [{"role": "user", "content": "a"}]}"#),
        ("Prompt", r#"{"Prompt": "Hello"}"#),
        ("query", r#"{"query": "{ me }"}"#),
        ("jsonrpc", r#"{"jsonrpc": "2.0", "method": "initialize", "id": 1}"#),
        ("requestContext", r#"{"requestContext": {"routeKey": "$connect"}}"#),
        ("body", r#"{"body": 1}"#),
        ("challenge", r#"{"source": "x", "challenge": "y", "type": "url_verification"}"#),
        ("contents", r#"{"max_tokens": 5, "contents": []}"#),
        ("x", r#"{"prompt": null, "x": 1}"#),
        (&"x".repeat(64), &long),
    ];
    for (name, body) in shapes {
        let error = parse(body.as_bytes(), &defaults()).unwrap_err();
        assert_eq!(error, Error::new(Code::InvalidRequest, message(name)), "{body}");
        // Beside a prompt nothing is unknown.
        let with_prompt =
            body.replacen('{', r#"{"messages": [{"role": "user", "content": "a"}], "#, 1);
        let with_prompt = with_prompt.replace(r#""prompt": null, "#, "");
        assert!(parse(with_prompt.as_bytes(), &defaults()).is_ok(), "{with_prompt}");
    }
}

#[test]
fn a_member_that_is_nested_too_deeply_is_refused() {
    let deep = nested(100_000);
    let (deepest, too_deep) = (nested(MAX_DEPTH), nested(MAX_DEPTH + 1));
    let cases = [
        ("in an unknown field", format!(r#"{{"x": {deep}}}"#), Err("x is nested too deeply")),
        ("in prompt", format!(r#"{{"prompt": {deep}}}"#), Err("prompt is nested too deeply")),
        ("in system", format!(r#"{{"system": {deep}}}"#), Err("system is nested too deeply")),
        (
            "in max_tokens",
            format!(r#"{{"max_tokens": {deep}}}"#),
            Err("max_tokens is nested too deeply"),
        ),
        (
            "in stop_sequences",
            format!(r#"{{"stop_sequences": [{deep}]}}"#),
            Err("stop_sequences is nested too deeply"),
        ),
        (
            "of objects",
            format!(r#"{{"x": {}1{}}}"#, r#"{"y":"#.repeat(65), "}".repeat(65)),
            Err("x is nested too deeply"),
        ),
        ("no object around it", deep.clone(), Err("the body must be a JSON object")),
        (
            "a level too many",
            format!(r#"{{"prompt": "a", "x": {too_deep}}}"#),
            Err("x is nested too deeply"),
        ),
        ("as deep as may be", format!(r#"{{"prompt": "a", "x": {deepest}}}"#), Ok("a")),
        (
            "wide, not deep",
            format!(r#"{{"prompt": "a", "x": [{}[]]}}"#, "[], {}, ".repeat(100)),
            Ok("a"),
        ),
        (
            "brackets in strings",
            format!(r#"{{"prompt": "a", "x": ["{deep}"], "y": "{deep}"}}"#),
            Ok("a"),
        ),
        (
            "brackets after an escaped quote",
            format!(r#"{{"prompt": "a", "x": ["\"{deep}\\\"{deep}"]}}"#),
            Ok("a"),
        ),
        (
            "after a string that ends in a backslash",
            format!(r#"{{"x": ["\\", {too_deep}]}}"#),
            Err("x is nested too deeply"),
        ),
    ];
    for (name, body, expected) in cases {
        let config = defaults();
        let actual = parse(body.as_bytes(), &config);
        let actual = actual.as_ref().map(Request::prompt).map_err(|error| &*error.message);
        assert_eq!(actual, expected, "{name}");
    }
    let prompt = format!(r#"{{"prompt": "{deep}"}}"#);
    assert_eq!(
        parse(prompt.as_bytes(), &defaults()).unwrap().prompt(),
        deep,
        "a prompt of brackets"
    );
}

#[test]
fn a_text_without_escapes_is_borrowed() {
    let cases = [
        ("nothing escaped", r#"{"prompt": "あ", "system": "い", "stop_sequences": ["う"]}"#, true),
        (
            "all escaped",
            r#"{"prompt": "\u3042", "system": "\n.", "stop_sequences": ["\t."]}"#,
            false,
        ),
    ];
    for (name, body, expected) in cases {
        let config = defaults();
        let request = parse(body.as_bytes(), &config).unwrap();
        let system = request.system.as_ref().unwrap();
        let Messages::Prompt(prompt) = &request.messages else { panic!("{name}") };
        for (field, text) in
            [("prompt", prompt), ("system", system), ("stop_sequences", &request.stop_sequences[0])]
        {
            assert_eq!(matches!(text, Cow::Borrowed(_)), expected, "{name}: {field}");
        }
    }
}

#[test]
fn half_a_megabyte_of_japanese_is_parsed() {
    let prompt = "長い日本語の文章です。🎌👨‍👩‍👧".repeat(10_000);
    assert!(prompt.len() > 500_000);
    let body = format!(r#"{{"prompt":"{prompt}"}}"#);
    let config = defaults();
    let request = parse(body.as_bytes(), &config).unwrap();
    assert!(matches!(request.messages, Messages::Prompt(Cow::Borrowed(text)) if text == prompt));

    let escaped: String = prompt.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let body = format!(r#"{{"prompt":"{escaped}"}}"#);
    assert!(parse(body.as_bytes(), &config).unwrap().prompt() == prompt);
}

#[test]
fn the_configuration_sets_the_defaults_and_the_limits() {
    let cases = [
        ("MAX_TOKENS", "5", r#"{}"#, Ok((5, Some(0.7)))),
        ("MAX_TOKENS", "5", r#"{"max_tokens": 5}"#, Ok((5, Some(0.7)))),
        (
            "MAX_TOKENS",
            "5",
            r#"{"max_tokens": 6}"#,
            Err("max_tokens must be a whole number from 1 to 5"),
        ),
        ("TEMPERATURE", "", r#"{}"#, Ok((100, None))),
        ("TEMPERATURE", "", r#"{"temperature": 0.5}"#, Ok((100, Some(0.5)))),
        ("TEMPERATURE", "0", r#"{}"#, Ok((100, Some(0.0)))),
    ];
    for (variable, value, body, expected) in cases {
        let config = config(&[(variable, value)]).unwrap();
        let actual = parse(body.as_bytes(), &config);
        let actual = actual
            .as_ref()
            .map(|request| build_payload(request, config.temperature))
            .map(|payload| (payload.max_tokens, payload.temperature))
            .map_err(|error| &*error.message);
        assert_eq!(actual, expected, "{variable}={value} {body}");
    }
}

#[test]
fn a_model_must_be_the_default_or_an_allowed_one() {
    const DEFAULT: &str = "apac.anthropic.claude-sonnet-4-20250514-v1:0";
    let cases = [
        ("none", "", r#"{}"#.to_owned(), Ok(None)),
        ("the default", "", format!(r#"{{"model": "{DEFAULT}"}}"#), Ok(Some(DEFAULT))),
        ("an allowed one", "a,b", r#"{"model": "b"}"#.to_owned(), Ok(Some("b"))),
        ("an escaped one", "a,b", r#"{"model": "\u0062"}"#.to_owned(), Ok(Some("b"))),
        (
            "the default beside a list",
            "a",
            format!(r#"{{"model": "{DEFAULT}"}}"#),
            Ok(Some(DEFAULT)),
        ),
        ("another", "a,b", r#"{"model": "c"}"#.to_owned(), Err(Code::ModelNotAllowed)),
        ("another without a list", "", r#"{"model": "a"}"#.to_owned(), Err(Code::ModelNotAllowed)),
        ("with a space", "a", r#"{"model": " a"}"#.to_owned(), Err(Code::ModelNotAllowed)),
        ("a number", "a", r#"{"model": 1}"#.to_owned(), Err(Code::InvalidRequest)),
        ("null", "a", r#"{"model": null}"#.to_owned(), Ok(None)),
        ("blank", "a", r#"{"model": ""}"#.to_owned(), Err(Code::InvalidRequest)),
        ("twice", "a", r#"{"model": "a", "model": "a"}"#.to_owned(), Err(Code::InvalidRequest)),
    ];
    for (name, allowed, body, expected) in cases {
        let config = config(&[("ALLOWED_MODELS", allowed)]).unwrap();
        let actual = parse(body.as_bytes(), &config);
        let actual = actual.as_ref().map(|it| it.model.as_deref()).map_err(|error| error.code);
        assert_eq!(actual, expected, "{name}");
    }
}
