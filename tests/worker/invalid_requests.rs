//! Requests with invalid headers, bodies and fields. Each gets a 4xx with an error code and a
//! message.
//!
//! Out of scope: the length of bodies (request_bodies.rs), paths and methods (routes.rs).

use reqwest::Method;

use crate::support::assertions::assert_rejected;
use crate::support::fixture::Fixture;

const INVALID: (u16, &str) = (400, "invalid_request");
const UNSUPPORTED: (u16, &str) = (415, "unsupported_media_type");

#[tokio::test]
async fn bodies_that_are_not_a_json_object_are_rejected() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let deep = |opening: &str| opening.repeat(100_000).into_bytes();
    let in_prompt = [br#"{"prompt":"#.to_vec(), deep("["), deep("]"), b"}".to_vec()].concat();
    let in_another =
        [br#"{"metadata":"#.to_vec(), deep(r#"{"a":"#), b"1".to_vec(), deep("}"), b"}".to_vec()]
            .concat();
    let cases: [(&str, Vec<u8>, &str); 16] = [
        ("text", b"Hello".to_vec(), "the body is not JSON: expected value at line 1 column 1"),
        (
            "a form, as curl sends it",
            b"prompt=Hello".to_vec(),
            "the body is not JSON: expected value at line 1 column 1",
        ),
        (
            "cut off",
            br#"{"prompt": "Hello"#.to_vec(),
            "the body is not JSON: EOF while parsing a string at line 1 column 17",
        ),
        (
            "trailing characters",
            b"{} {}".to_vec(),
            "the body is not JSON: trailing characters at line 1 column 4",
        ),
        (
            "single quotes",
            b"{'prompt': 'Hello'}".to_vec(),
            "the body is not JSON: key must be a string at line 1 column 2",
        ),
        (
            "a control character in a string",
            b"{\"prompt\": \"a\nb\"}".to_vec(),
            "the body is not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 13",
        ),
        (
            "half a surrogate pair",
            br#"{"prompt": "\ud83d"}"#.to_vec(),
            "prompt is not a valid string: unexpected end of hex escape",
        ),
        ("an array", br#"[{"prompt": "Hello"}]"#.to_vec(), "the body must be a JSON object"),
        ("a string", br#""Hello""#.to_vec(), "the body must be a JSON object"),
        ("null", b"null".to_vec(), "the body must be a JSON object"),
        ("a field twice", br#"{"prompt": "a", "prompt": "b"}"#.to_vec(), "prompt is there twice"),
        (
            "Shift_JIS",
            b"{\"prompt\": \"\x93\xfa\x96\x7b\"}".to_vec(),
            "the body is not UTF-8 at byte 12",
        ),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec(), "the body is not UTF-8 at byte 0"),
        ("100,000 arrays", [deep("["), deep("]")].concat(), "the body must be a JSON object"),
        ("100,000 arrays in prompt", in_prompt, "prompt is nested too deeply"),
        ("100,000 objects in another key", in_another, "metadata is nested too deeply"),
    ];
    for (case, body, message) in cases {
        let request = worker.request(Method::POST, "/").header("content-type", "application/json");
        let response = worker.send(request.body(body)).await;
        assert_rejected(case, worker, &response, INVALID, message).await;
    }
}

#[tokio::test]
async fn fields_of_the_wrong_type_or_size_are_rejected() {
    let Fixture { worker, .. } = Fixture::shared().await;
    const MAX_TOKENS: &str = "max_tokens must be a whole number from 1 to 100";
    const TEMPERATURE: &str = "temperature must be a number from 0 to 1";
    const STOP_SEQUENCES: &str = "stop_sequences must be an array of strings";
    const STREAM: &str = "stream must be true or false";
    let cases = [
        (r#""prompt": 1"#, "prompt must be a string"),
        (r#""prompt": true"#, "prompt must be a string"),
        (r#""prompt": ["Hello"]"#, "prompt must be a string"),
        (r#""prompt": {"text": "Hello"}"#, "prompt must be a string"),
        (r#""prompt": """#, "prompt must not be blank"),
        (r#""prompt": " \n\u3000""#, "prompt must not be blank"),
        (r#""max_tokens": "10""#, MAX_TOKENS),
        (r#""max_tokens": 0"#, MAX_TOKENS),
        (r#""max_tokens": -1"#, MAX_TOKENS),
        (r#""max_tokens": 1.5"#, MAX_TOKENS),
        (r#""max_tokens": 101"#, MAX_TOKENS),
        (r#""max_tokens": 4294967297"#, MAX_TOKENS),
        (r#""temperature": "0.5""#, TEMPERATURE),
        (r#""temperature": -0.1"#, TEMPERATURE),
        (r#""temperature": 1.1"#, TEMPERATURE),
        (r#""temperature": 1e999"#, TEMPERATURE),
        (r#""system": 1"#, "system must be a string"),
        (r#""system": " ""#, "system must not be blank"),
        (r#""stop_sequences": "x""#, STOP_SEQUENCES),
        (r#""stop_sequences": {"0": "x"}"#, STOP_SEQUENCES),
        (r#""stop_sequences": ["x", 1]"#, "stop_sequences[1] must be a string"),
        (r#""stop_sequences": ["\n"]"#, "stop_sequences[0] must not be blank"),
        (r#""stream": "true""#, STREAM),
        (r#""stream": 1"#, STREAM),
    ];
    for (case, message) in cases {
        let response =
            worker.send(worker.request(Method::POST, "/").body(format!("{{{case}}}"))).await;
        assert_rejected(case, worker, &response, INVALID, message).await;
    }
}

#[tokio::test]
async fn bodies_of_another_shape_are_rejected_and_not_billed() {
    let Fixture { worker, stub } = Fixture::with_bindings(serde_json::json!({})).await;
    for (name, body) in [
        ("type", r#"{"type": "ping"}"#),
        ("Records", r#"{"Records": [{"body": "x"}]}"#),
        ("input", r#"{"input": "Hello"}"#),
        ("mesages", r#"{"mesages": []}"#),
    ] {
        let message = format!(
            "the body has no prompt and no messages, but the unknown member {name:?}: the known members are \
             prompt, messages, max_tokens, temperature, system, stop_sequences, model, stream, session"
        );
        let response = worker.send(worker.request(Method::POST, "/").body(body)).await;
        assert_rejected(body, &worker, &response, INVALID, &message).await;
    }
    assert!(stub.requests().is_empty(), "nothing is sent to Bedrock, and nothing billed");
}

#[tokio::test]
async fn media_types_other_than_json_are_rejected() {
    let Fixture { worker, .. } = Fixture::shared().await;
    const TYPE: &str = "the Content-Type must be application/json";
    const CHARSET: &str = "the charset must be utf-8";
    const ENCODING: &str = "the body must come without a Content-Encoding";
    let cases: [(&str, &[u8], &str); 13] = [
        ("content-type", b"text/plain", TYPE),
        ("content-type", b"text/json", TYPE),
        ("content-type", b"application/x-www-form-urlencoded", TYPE),
        ("content-type", b"multipart/form-data; boundary=x", TYPE),
        ("content-type", b"application/jsonp", TYPE),
        ("content-type", b"application/json, text/plain", TYPE),
        ("content-type", b"application/json\xff", TYPE),
        ("content-type", b"json", TYPE),
        ("content-type", b"application/json; charset=shift_jis", CHARSET),
        ("content-type", b"application/json;charset=\"UTF-16\"", CHARSET),
        ("content-encoding", b"gzip", ENCODING),
        ("content-encoding", b"br", ENCODING),
        ("content-encoding", b"identity, gzip", ENCODING),
    ];
    for (header, value, message) in cases {
        let case = format!("{header}: {}", String::from_utf8_lossy(value));
        let request = worker.request(Method::POST, "/").header(header, value);
        let response = worker.send(request.body(r#"{"prompt": "Hello"}"#)).await;
        assert_rejected(&case, worker, &response, UNSUPPORTED, message).await;
    }
}

#[tokio::test]
async fn every_media_type_of_json_is_accepted() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let cases = [
        ("content-type", "application/json"),
        ("content-type", "APPLICATION/JSON; CHARSET=UTF-8"),
        ("content-type", "application/json;charset=\"utf-8\""),
        ("content-type", "application/json; profile=\"x\"; charset=utf-8"),
        ("content-type", "application/json; charset=utf8"),
        ("content-type", "application/vnd.api+json"),
        ("content-type", "application/json, application/json"),
        // workerd treats an empty header as a missing one.
        ("content-type", ""),
        ("content-encoding", "identity"),
    ];
    for (header, value) in cases {
        let request = worker.request(Method::POST, "/").header(header, value);
        let response = worker.send(request.body(r#"{"prompt": "Hello"}"#)).await;
        assert_eq!(response.status, 200, "{header}: {value}: {response}");
    }
}
