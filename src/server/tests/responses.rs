//! The responses to every path, method, header and body.

use super::*;

struct Row {
    name: &'static str,
    request: (&'static str, &'static str, &'static [(&'static str, &'static str)]),
    body: &'static str,
    status: u16,
    error_code: Option<&'static str>,
    allow: Option<&'static str>,
    response: &'static str,
    /// Whether the body of the request is read.
    is_read: bool,
}

const OK: Row = Row {
    name: "",
    request: ("POST", "/", &[]),
    body: BODY,
    status: 200,
    error_code: None,
    allow: None,
    response: r#"{"input_prompt":"お元気ですか","generated_text":"はい、\"元気\"です。"}"#,
    is_read: true,
};

const HEALTH: Row = Row {
    request: ("GET", "/healthz", &[]),
    response: r#"{"input_prompt":"","generated_text":"ok"}"#,
    is_read: false,
    ..OK
};

const PREFLIGHT: Row = Row { status: 204, response: "", is_read: false, ..OK };

const NOT_FOUND: Row = Row {
    status: 404,
    error_code: Some("not_found"),
    response: r#"{"input_prompt":"","generated_text":"Error: there is nothing at this path"}"#,
    is_read: false,
    ..OK
};

const WRONG_METHOD: Row = Row {
    status: 405,
    error_code: Some("method_not_allowed"),
    allow: Some("GET, HEAD, OPTIONS, POST"),
    response: r#"{"input_prompt":"","generated_text":"Error: the method must be one of GET, HEAD, OPTIONS, POST"}"#,
    is_read: false,
    ..OK
};

const WRONG_HEALTH_METHOD: Row = Row {
    allow: Some("GET, HEAD, OPTIONS"),
    response: r#"{"input_prompt":"","generated_text":"Error: the method must be one of GET, HEAD, OPTIONS"}"#,
    ..WRONG_METHOD
};

const WRONG_TYPE: Row = Row {
    status: 415,
    error_code: Some("unsupported_media_type"),
    response: r#"{"input_prompt":"","generated_text":"Error: the Content-Type must be application/json"}"#,
    is_read: false,
    ..OK
};

const WRONG_CHARSET: Row = Row {
    response: r#"{"input_prompt":"","generated_text":"Error: the charset must be utf-8"}"#,
    ..WRONG_TYPE
};

const ENCODED: Row = Row {
    response: r#"{"input_prompt":"","generated_text":"Error: the body must come without a Content-Encoding"}"#,
    ..WRONG_TYPE
};

const TOO_LARGE: Row = Row {
    status: 413,
    error_code: Some("payload_too_large"),
    response: r#"{"input_prompt":"","generated_text":"Error: the body must have 64 bytes at most"}"#,
    is_read: false,
    ..OK
};

const INVALID: Row = Row { status: 400, error_code: Some("invalid_request"), ..OK };

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "a prompt", ..OK },
    Row {
        name: "no body",
        body: "",
        response: r#"{"input_prompt":"Hello, how can I help you?","generated_text":"はい、\"元気\"です。"}"#,
        ..OK
    },
    Row { name: "JSON", request: ("POST", "/", &[("content-type", "application/json")]), ..OK },
    Row { name: "JSON in UTF-8", request: ("POST", "/", &[("content-type", "Application/JSON ; Charset=\"UTF-8\"")]), ..OK },
    Row { name: "JSON with another parameter", request: ("POST", "/", &[("content-type", "application/json; profile=x; charset=utf-8")]), ..OK },
    Row { name: "a type derived from JSON", request: ("POST", "/", &[("content-type", "application/vnd.example+json")]), ..OK },
    Row { name: "the identity encoding", request: ("POST", "/", &[("content-encoding", "Identity")]), ..OK },
    Row { name: "a length", request: ("POST", "/", &[("content-length", "32")]), ..OK },
    Row { name: "the longest length", request: ("POST", "/", &[("content-length", "64")]), ..OK },
    Row { name: "a length that is not a number", request: ("POST", "/", &[("content-length", "many")]), ..OK },
    Row { name: "health", ..HEALTH },
    Row { name: "health: HEAD", request: ("HEAD", "/healthz", &[]), response: "", ..HEALTH },
    Row { name: "health: the type does not matter", request: ("GET", "/healthz", &[("content-type", "text/plain")]), ..HEALTH },
    Row { name: "health: OPTIONS", request: ("OPTIONS", "/healthz", &[]), allow: Some("GET, HEAD, OPTIONS"), ..PREFLIGHT },
    Row { name: "health: POST", request: ("POST", "/healthz", &[]), ..WRONG_HEALTH_METHOD },
    Row { name: "health: DELETE", request: ("DELETE", "/healthz", &[]), ..WRONG_HEALTH_METHOD },
    Row { name: "OPTIONS", request: ("OPTIONS", "/", &[("content-type", "text/plain")]), allow: Some("GET, HEAD, OPTIONS, POST"), ..PREFLIGHT },
    Row { name: "a probe", request: ("GET", "/", &[]), ..HEALTH },
    Row { name: "PUT", request: ("PUT", "/", &[]), ..WRONG_METHOD },
    Row { name: "post in small letters", request: ("post", "/", &[]), ..WRONG_METHOD },
    Row { name: "a probe: HEAD", request: ("HEAD", "/", &[]), response: "", ..HEALTH },
    Row { name: "no such path", request: ("POST", "/prompt", &[]), ..NOT_FOUND },
    Row { name: "no such path: OPTIONS", request: ("OPTIONS", "/prompt", &[]), ..NOT_FOUND },
    Row { name: "no such path: HEAD", request: ("HEAD", "/prompt", &[]), response: "", ..NOT_FOUND },
    Row { name: "text", request: ("POST", "/", &[("content-type", "text/plain")]), ..WRONG_TYPE },
    Row { name: "a form", request: ("POST", "/", &[("content-type", "application/x-www-form-urlencoded")]), ..WRONG_TYPE },
    Row { name: "JSON lines", request: ("POST", "/", &[("content-type", "application/jsonl")]), ..WRONG_TYPE },
    Row { name: "an image type derived from JSON", request: ("POST", "/", &[("content-type", "image/x+json")]), ..WRONG_TYPE },
    Row { name: "an empty type", request: ("POST", "/", &[("content-type", "")]), ..WRONG_TYPE },
    Row { name: "a type that is not ASCII", request: ("POST", "/", &[("content-type", "日本語")]), ..WRONG_TYPE },
    Row { name: "JSON in Shift_JIS", request: ("POST", "/", &[("content-type", "application/json; charset=Shift_JIS")]), ..WRONG_CHARSET },
    Row { name: "gzip", request: ("POST", "/", &[("content-encoding", "gzip")]), ..ENCODED },
    Row { name: "an encoding that is not ASCII", request: ("POST", "/", &[("content-encoding", "日本語")]), ..ENCODED },
    Row { name: "the type before the length", request: ("POST", "/", &[("content-type", "text/plain"), ("content-length", "65")]), ..WRONG_TYPE },
    Row { name: "a length too large", request: ("POST", "/", &[("content-length", "65")]), ..TOO_LARGE },
    Row { name: "a length over 64 bits", request: ("POST", "/", &[("content-length", "18446744073709551617")]), ..TOO_LARGE },
    Row {
        name: "a body too long",
        body: r#"{"prompt": "0123456789 0123456789 0123456789 0123456789 0123456"}"#,
        is_read: true,
        ..TOO_LARGE
    },
    Row {
        name: "a body longer than announced",
        request: ("POST", "/", &[("content-length", "5")]),
        body: r#"{"prompt": "0123456789 0123456789 0123456789 0123456789 0123456"}"#,
        is_read: true,
        ..TOO_LARGE
    },
    Row {
        name: "the longest body",
        body: r#"{"prompt": "0123456789 0123456789 0123456789 0123456789 012345"}"#,
        response: r#"{"input_prompt":"0123456789 0123456789 0123456789 0123456789 012345","generated_text":"はい、\"元気\"です。"}"#,
        ..OK
    },
    Row {
        name: "not JSON",
        body: "prompt=a",
        response: r#"{"input_prompt":"","generated_text":"Error: the body is not JSON: expected value at line 1 column 1"}"#,
        ..INVALID
    },
    Row {
        name: "a wrong field",
        body: r#"{"prompt": "a", "max_tokens": 0}"#,
        response: r#"{"input_prompt":"","generated_text":"Error: max_tokens must be a whole number from 1 to 100"}"#,
        ..INVALID
    },
];

#[tokio::test]
async fn the_response_follows_from_path_method_headers_and_body() {
    let isolate = isolate(&[("MAX_BODY_BYTES", "64")]);
    let mut wrong = Vec::new();
    for row in ROWS {
        let name = row.name;
        let (method, path, headers) = row.request;
        let body = Watched::from(row.body);
        let was_read = body.was_read.clone();
        let host = replying();
        let request = request_in_the_worker(method, path, headers, body);
        let (envelope, record) = lambda_handler(request, &isolate, &host).await;

        let calls = usize::from(row.is_read && row.status == 200);
        let actual = (
            envelope.status_code,
            header(&envelope, "x-error-code"),
            header(&envelope, "allow"),
            &*envelope.body,
            was_read.get(),
            host.requests.borrow().len(),
        );
        let expected = (row.status, row.error_code, row.allow, row.response, row.is_read, calls);
        if actual != expected {
            wrong.push(format!("{name}: {actual:?}, not {expected:?}"));
        }
        check_form(name, &envelope, &record);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
