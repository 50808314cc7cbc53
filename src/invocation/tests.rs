use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::host::scripted::{RANDOM_ID, Scripted, config};

const REPLY: &str = r#"{"content": [{"type": "text", "text": "はい"}], "stop_reason": "end_turn"}"#;

fn request(kind: Option<&str>, payload: &str) -> Event<LambdaBody> {
    let path = "/2015-03-31/functions/my-function/invocations";
    let mut headers = HeaderMap::new();
    if let Some(kind) = kind {
        headers.insert("x-amz-invocation-type", kind.parse().unwrap());
    }
    Event::from_http(Method::POST, path, headers, LambdaBody::from(Bytes::from(payload.to_owned())))
}

fn header<'a>(envelope: &'a Envelope, name: &str) -> Option<&'a str> {
    let mut found = envelope.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} is there twice: {envelope:?}");
    value
}

#[test]
fn paths() {
    let cases = [
        ("a name", "/2015-03-31/functions/my-function/invocations", true),
        ("a name and an alias", "/2015-03-31/functions/my-function%3Aprod/invocations", true),
        (
            "an ARN, as the SDKs write it",
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af/invocations",
            true,
        ),
        ("a part of one", "/2015-03-31/functions/123456789012:function:f/invocations", true),
        ("no name", "/2015-03-31/functions//invocations", false),
        ("a slash in the name", "/2015-03-31/functions/a/b/invocations", false),
        ("another operation", "/2015-03-31/functions/f/configuration", false),
        ("the deprecated one", "/2014-11-13/functions/f/invoke-async/", false),
        ("streaming", "/2021-11-15/functions/f/response-streaming-invocations", false),
    ];
    for (name, path, expected) in cases {
        assert_eq!(is_path(path), expected, "{name}");
    }
}

#[tokio::test]
async fn the_answer_is_what_the_function_returns() {
    let payloads = [
        ("a direct event", r#"{"prompt": "元気?"}"#.to_owned(), "元気?"),
        ("an event that asks for a stream", r#"{"prompt": "a", "stream": true}"#.to_owned(), "a"),
        ("nothing", String::new(), "Hello, how can I help you?"),
        (
            "a proxy event",
            json!({
                "requestContext": { "http": { "method": "POST" } },
                "rawPath": "/prod",
                "headers": { "content-type": "application/json" },
                "body": r#"{"prompt": "inner"}"#,
            })
            .to_string(),
            "inner",
        ),
    ];
    for (name, payload, prompt) in payloads {
        for kind in [None, Some("RequestResponse")] {
            let host = Scripted::new().then(200, &[], REPLY);
            let request = request(kind, &payload);
            let Invoked::Answered(envelope, record) =
                invocation_handler(request, &config(&[]), &host).await
            else {
                panic!("{name}: it is synchronous");
            };
            assert_eq!(envelope.status_code, 200, "{name}: {envelope:?}");
            assert_eq!(header(&envelope, "content-type"), Some("application/json"), "{name}");
            assert_eq!(header(&envelope, "x-amz-executed-version"), Some("$LATEST"), "{name}");
            assert_eq!(header(&envelope, "x-amzn-requestid"), Some(RANDOM_ID), "{name}");
            assert_eq!(header(&envelope, "x-amz-function-error"), None, "{name}");
            let returned: Value = serde_json::from_str(&envelope.body).unwrap();
            assert_eq!(returned["statusCode"], 200, "{name}: {returned}");
            assert_eq!(returned["isBase64Encoded"], false, "{name}: {returned}");
            assert_eq!(returned["headers"]["x-request-id"], RANDOM_ID, "{name}: {returned}");
            let body = json!({ "input_prompt": prompt, "generated_text": "はい" }).to_string();
            let body: Value = serde_json::from_str(&body).unwrap();
            let actual: Value = serde_json::from_str(returned["body"].as_str().unwrap()).unwrap();
            assert_eq!(actual, body, "{name}");
            assert_eq!((record.status, record.outcome), (200, "ok"), "{name}");
        }
    }
}

/// As in Lambda: the invocation succeeds, and what the function says is in the payload.
#[tokio::test]
async fn an_error_of_the_function_is_its_answer() {
    let config = config(&[]);
    let cases = [
        ("a wrong prompt", r#"{"prompt": 5}"#, Scripted::new(), 400, "invalid_request"),
        ("not an object", "[1]", Scripted::new(), 400, "invalid_request"),
        (
            "Bedrock refuses",
            r#"{"prompt": "a"}"#,
            Scripted::new().then(403, &[("x-amzn-errortype", "AccessDeniedException")], "{}"),
            500,
            "access_denied",
        ),
    ];
    for (name, payload, host, status, code) in cases {
        let Invoked::Answered(envelope, record) =
            invocation_handler(request(None, payload), &config, &host).await
        else {
            panic!("{name}: it is synchronous");
        };
        let returned: Value = serde_json::from_str(&envelope.body).unwrap();
        assert_eq!(
            (envelope.status_code, header(&envelope, "x-error-code")),
            (200, None),
            "{name}"
        );
        assert_eq!(returned["statusCode"], status, "{name}: {returned}");
        assert_eq!(returned["headers"]["x-error-code"], code, "{name}: {returned}");
        assert_eq!((record.status, record.outcome), (status, code), "{name}");
    }
}

#[tokio::test]
async fn a_dry_run_calls_nothing() {
    let host = Scripted::new();
    let Invoked::Answered(envelope, record) =
        invocation_handler(request(Some("DryRun"), "{}"), &config(&[]), &host).await
    else {
        panic!("nothing is to be run");
    };
    assert_eq!((envelope.status_code, envelope.body.as_str()), (204, ""));
    assert_eq!(header(&envelope, "x-amzn-requestid"), Some(RANDOM_ID));
    assert_eq!((record.status, record.outcome), (204, "ok"));
    assert!(host.requests.borrow().is_empty());
}

#[tokio::test]
async fn an_asynchronous_invocation_is_answered_first() {
    let host = Scripted::new().then(200, &[], REPLY);
    let config = config(&[]);
    let Invoked::Accepted(envelope, event) =
        invocation_handler(request(Some("Event"), r#"{"prompt": "later"}"#), &config, &host).await
    else {
        panic!("the event is to be run");
    };
    assert_eq!((envelope.status_code, envelope.body.as_str()), (202, ""));
    assert_eq!(header(&envelope, "x-amz-executed-version"), None);
    assert!(host.requests.borrow().is_empty());

    let (returned, record) = run(event, &config, &host).await;
    assert!(returned.body.contains("later"), "{returned:?}");
    assert_eq!(Some(record.request_id.as_str()), header(&envelope, "x-amzn-requestid"));
}

#[tokio::test]
async fn what_is_refused_is_refused_in_awss_form() {
    const JSON: &str = "InvalidRequestContentException";
    let long = format!(r#"{{"prompt": "{}"}}"#, "a".repeat(100));
    let put = Event { method: Method::PUT, ..request(None, "{}") };
    struct Row {
        name: &'static str,
        vars: &'static [(&'static str, &'static str)],
        request: Event<LambdaBody>,
        status: u16,
        kind: &'static str,
        message: &'static str,
    }
    let row = |name, request, status, kind, message| Row {
        name,
        vars: &[],
        request,
        status,
        kind,
        message,
    };
    let rows = [
        row(
            "not JSON",
            request(None, "prompt=Hello"),
            400,
            JSON,
            "Could not parse request body into json: expected value at line 1 column 1",
        ),
        row(
            "not JSON, asynchronously",
            request(Some("Event"), "{"),
            400,
            JSON,
            "Could not parse request body into json: EOF while parsing an object at line 1 column 1",
        ),
        row(
            "an unknown type",
            request(Some("event"), "{}"),
            400,
            "InvalidParameterValueException",
            "X-Amz-Invocation-Type must be RequestResponse, Event or DryRun",
        ),
        Row {
            vars: &[("MAX_BODY_BYTES", "50")],
            ..row(
                "too long",
                request(Some("DryRun"), &long),
                413,
                "RequestTooLargeException",
                "the body must have 50 bytes at most",
            )
        },
        row("a wrong method", put, 405, JSON, "the method must be one of OPTIONS, POST"),
        Row {
            vars: &[("MAX_TOKENS", "many")],
            ..row(
                "misconfigured",
                request(None, "{}"),
                500,
                "ServiceException",
                "Internal server error",
            )
        },
    ];
    for Row { name, vars, request, status, kind, message } in rows {
        let fault = if status == 500 { "Service" } else { "User" };
        let host = Scripted::new();
        let Invoked::Answered(envelope, record) =
            invocation_handler(request, &config(vars), &host).await
        else {
            panic!("{name}: it is accepted");
        };
        assert_eq!(envelope.status_code, status, "{name}: {envelope:?}");
        assert_eq!(header(&envelope, "x-amzn-errortype"), Some(kind), "{name}");
        assert_eq!(header(&envelope, "x-amzn-requestid"), Some(RANDOM_ID), "{name}");
        let body: Value = serde_json::from_str(&envelope.body).unwrap();
        assert_eq!(body, json!({ "Type": fault, "Message": message }), "{name}");
        assert_eq!(record.status, status, "{name}");
        assert_ne!(record.outcome, "ok", "{name}");
        assert!(host.requests.borrow().is_empty(), "{name}");
    }
}

/// The token `secret` of the caller `ci`.
const TOKENS: (&str, &str) =
    ("API_TOKENS", "ci:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");

fn with_token(mut request: Event<LambdaBody>, token: &str) -> Event<LambdaBody> {
    request.headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test]
async fn the_gate_asks_who_invokes_and_not_who_is_in_the_event() {
    let config = config(&[("AUTH", ""), TOKENS]);
    // An event with a credential of its own, which does not count.
    let payload = json!({
        "requestContext": { "http": { "method": "POST" } },
        "headers": { "authorization": "Bearer wrong", "origin": "https://elsewhere.example.com" },
        "body": r#"{"prompt": "a"}"#,
    });
    let host = Scripted::new().then(200, &[], REPLY);
    let request = with_token(request(None, &payload.to_string()), "secret");
    let Invoked::Answered(envelope, record) = invocation_handler(request, &config, &host).await
    else {
        panic!("it is synchronous");
    };
    let returned: Value = serde_json::from_str(&envelope.body).unwrap();
    assert_eq!(returned["statusCode"], 200, "{returned}");
    assert_eq!(record.caller.unwrap().as_str(), "token:ci");
}

#[tokio::test]
async fn a_stranger_is_refused_in_awss_form() {
    let config = config(&[("AUTH", ""), TOKENS]);
    let payload = json!({
        "requestContext": { "http": { "method": "POST" } },
        "headers": { "authorization": "Bearer secret" },
    });
    let cases = [
        ("no credential", request(None, "{}")),
        ("a wrong one", with_token(request(Some("DryRun"), "{}"), "wrong")),
        ("one in the event alone", request(Some("Event"), &payload.to_string())),
    ];
    for (name, request) in cases {
        let host = Scripted::new();
        let Invoked::Answered(envelope, record) = invocation_handler(request, &config, &host).await
        else {
            panic!("{name}: it is accepted");
        };
        assert_eq!(envelope.status_code, 401, "{name}: {envelope:?}");
        assert_eq!(header(&envelope, "x-amzn-errortype"), Some("AccessDeniedException"), "{name}");
        let expected = r#"{"Type":"User","Message":"Unauthorized"}"#;
        assert_eq!(envelope.body, expected, "{name}");
        assert_eq!((record.status, record.outcome), (401, "unauthorized"), "{name}");
    }
}
