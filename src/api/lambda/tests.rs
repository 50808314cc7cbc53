use std::fs;

use http::header::CONTENT_TYPE;

use super::*;
use crate::server::lambda_handler;
use crate::testing::{Scripted, isolate};

/// Reads one of AWS's example events, with a body of this project:
///
/// - `direct`, `direct-empty`: the test events of a Lambda that has no trigger
///   <https://docs.aws.amazon.com/lambda/latest/dg/testing-functions.html>
/// - `scheduled`:
///   <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html>
/// - `api-gateway-v1`, `api-gateway-v2`:
///   <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
/// - `function-url`, `function-url-base64`:
///   <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>
/// - `alb`, `alb-multi-value`:
///   <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>
/// - `vpc-lattice-v1`, `vpc-lattice-v2`:
///   <https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html>
/// - `console`: a body alone, as a test event of the console
fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[tokio::test]
async fn each_shape_of_event_becomes_a_post() {
    struct Row {
        name: &'static str,
        content_type: Option<&'static str>,
        request_id: Option<&'static str>,
        /// `None`: the event itself is the body.
        body: Option<&'static str>,
    }
    let rows = [
        Row { name: "direct", content_type: None, request_id: None, body: None },
        Row { name: "direct-empty", content_type: None, request_id: None, body: None },
        Row { name: "scheduled", content_type: None, request_id: None, body: None },
        Row {
            name: "api-gateway-v1",
            content_type: Some("application/json; charset=utf-8"),
            request_id: Some("c6af9ac6-7b61-11e6-9a41-93e8deadbeef"),
            body: Some(r#"{"prompt":"こんにちは"}"#),
        },
        Row {
            name: "api-gateway-v2",
            content_type: Some("application/json"),
            request_id: Some("JKJaXmPLvHcESHA="),
            body: Some("{\"prompt\":\"Hello, v2\"}\r\n"),
        },
        Row {
            name: "function-url",
            content_type: Some("application/json"),
            request_id: Some("e1506fd5-9e7b-434f-bd42-4f8fa224b599"),
            body: Some(r#"{"prompt":"Hello"}"#),
        },
        Row {
            name: "alb",
            content_type: Some("application/json"),
            request_id: None,
            body: Some(r#"{"prompt":"Hello, ALB"}"#),
        },
        Row {
            name: "alb-multi-value",
            content_type: Some("application/json"),
            request_id: None,
            body: Some(r#"{"prompt":"Hello, ALB"}"#),
        },
        Row {
            name: "vpc-lattice-v1",
            content_type: Some("application/json"),
            request_id: None,
            body: Some(r#"{"prompt":"Hello, Lattice"}"#),
        },
        Row {
            name: "vpc-lattice-v2",
            content_type: Some("application/json"),
            request_id: None,
            body: Some(r#"{"prompt":"Hello, Lattice"}"#),
        },
        Row {
            name: "console",
            content_type: None,
            request_id: None,
            body: Some(r#"{"prompt":"Hello, console"}"#),
        },
        Row {
            name: "function-url-base64",
            content_type: Some("application/vnd.example+json"),
            request_id: Some("7b1d0a2c-93c5-4d0e-8f37-6a0c7d8f1e42"),
            body: Some(r#"{"prompt":"お元気ですか 🎌"}"#),
        },
    ];
    for Row { name, content_type, request_id, body } in rows {
        let json = fixture(name);
        let event = IncomingRequest::from_lambda(&json);
        assert_eq!(event.method, Method::POST, "{name}");
        assert_eq!(event.routed_path, Some("/"), "{name}");
        let actual = event.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
        assert_eq!(actual, content_type, "{name}");
        assert_eq!(event.request_id.as_ref().map(Identifier::as_str), request_id, "{name}");
        let bytes = event.body.clone().read(json.len(), Duration::ZERO).await.unwrap();
        assert_eq!(bytes, body.map_or(&json[..], str::as_bytes), "{name}");

        let too_long = event.body.read(bytes.len() - 1, Duration::ZERO).await;
        assert_eq!(too_long, Err(ReadError::TooLong), "{name}");
    }
}

#[tokio::test]
async fn every_fixture_gets_a_reply_in_the_form_of_its_sender() {
    const REPLY: &str = r#"{"content": [{"type": "text", "text": "はい"}]}"#;
    let isolate = isolate(&[]);
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events");
    let mut count = 0;
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let event = IncomingRequest::from_lambda(&fixture(&name));
        let host = Scripted::new().then(200, &[], REPLY);
        let (envelope, _) = lambda_handler(event, &isolate, &host).await;
        let json = serde_json::to_value(&envelope).unwrap();
        assert_eq!(json["statusCode"], 200, "{name}: {json}");
        assert_eq!(json["isBase64Encoded"], false, "{name}: {json}");
        let is_alb = name.starts_with("alb");
        let description = if is_alb { "200 OK".into() } else { serde_json::Value::Null };
        assert_eq!(json["statusDescription"], description, "{name}: {json}");
        let content_type = "application/json; charset=utf-8";
        if name == "alb-multi-value" {
            assert_eq!(json["headers"], serde_json::Value::Null, "{json}");
            let expected = serde_json::json!([content_type]);
            assert_eq!(json["multiValueHeaders"]["Content-Type"], expected, "{json}");
        } else {
            assert_eq!(json["headers"]["Content-Type"], content_type, "{name}: {json}");
            assert_eq!(json["multiValueHeaders"], serde_json::Value::Null, "{name}: {json}");
        }
        assert!(json["body"].as_str().unwrap().contains("はい"), "{name}: {json}");
        count += 1;
    }
    assert!(count >= 12, "{count} fixtures");
}

#[tokio::test]
async fn an_error_has_the_form_of_its_sender_too() {
    let event = |headers: &str| {
        format!(
            r#"{{"requestContext": {{"elb": {{}}}}, "httpMethod": "POST", "path": "/", {headers}, "body": "x"}}"#
        )
    };
    for (headers, member) in [
        (r#""headers": {"content-type": "text/plain"}"#, "headers"),
        (r#""multiValueHeaders": {"content-type": ["text/plain"]}"#, "multiValueHeaders"),
    ] {
        let event = IncomingRequest::from_lambda(event(headers).as_bytes());
        let (envelope, _) = lambda_handler(event, &isolate(&[]), &Scripted::new()).await;
        let json = serde_json::to_value(&envelope).unwrap();
        assert_eq!(json["statusDescription"], "415 Unsupported Media Type", "{json}");
        assert!(json[member]["x-error-code"].to_string().contains("unsupported"), "{json}");
    }
}

#[test]
fn an_event_is_a_request_only_if_it_carries_one() {
    // The event, the method, and whether the event itself is the body.
    for (json, method, is_direct) in [
        (r#"{"body": "{}"}"#, "POST", false),
        (r#"{"body": "{}", "httpMethod": "GET"}"#, "GET", false),
        (r#"{"body": "{}", "prompt": "a"}"#, "POST", true),
        (r#"{"body": "{}", "messages": []}"#, "POST", true),
        (r#"{"body": {"prompt": "a"}}"#, "POST", true),
        (r#"{"body": null}"#, "POST", true),
        (r#"{"method": "POST", "params": {}}"#, "POST", true),
        (r#"{"path": "/", "method": "GET"}"#, "POST", true),
        (r#"{"raw_path": "/healthz?a", "method": "GET"}"#, "GET", false),
        (r#"{"requestContext": {"serviceArn": "a"}, "method": "PUT", "path": "/"}"#, "PUT", false),
        (r#"{"Records": [{"body": "{}"}]}"#, "POST", true),
    ] {
        let request = IncomingRequest::from_lambda(json.as_bytes());
        assert_eq!(request.method, method, "{json}");
        let body = request.body.0.unwrap();
        assert_eq!(body == json.as_bytes(), is_direct, "{json}");
    }
    let health = IncomingRequest::from_lambda(br#"{"raw_path": "/a/healthz?b", "method": "GET"}"#);
    assert_eq!((health.routed_path, health.query()), (Some("/healthz"), "b"));
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

#[test]
fn valid_headers_are_taken_over_and_others_are_dropped() {
    let cases: [(&str, &str, Pairs); 9] = [
        (
            "names in mixed case",
            r#"{"requestContext": {}, "headers": {"cOnTeNt-TyPe": "text/plain", "X-A": "1"}}"#,
            &[("content-type", "text/plain"), ("x-a", "1")],
        ),
        (
            "multiValueHeaders besides",
            r#"{"requestContext": {}, "headers": {"a": "1"}, "multiValueHeaders": {"a": ["1"]}}"#,
            &[("a", "1")],
        ),
        (
            "multiValueHeaders, of which headers has the last line",
            r#"{"requestContext": {}, "headers": {"A": "2", "b": "3"}, "multiValueHeaders": {"a": ["1", "2"]}}"#,
            &[("a", "1"), ("a", "2"), ("b", "3")],
        ),
        (
            "multiValueHeaders alone",
            r#"{"requestContext": {"elb": {}}, "multiValueHeaders": {"a": ["1"], "b": [], "c": null}}"#,
            &[("a", "1")],
        ),
        (
            "lists",
            r#"{"requestContext": {}, "headers": {"a": ["1", "2"], "b": "3"}}"#,
            &[("a", "1"), ("a", "2"), ("b", "3")],
        ),
        (
            "a null among them",
            r#"{"requestContext": {}, "headers": {"a": null, "b": "1"}}"#,
            &[("b", "1")],
        ),
        (
            "null, as in the test console of API Gateway",
            r#"{"requestContext": {}, "headers": null, "multiValueHeaders": null}"#,
            &[],
        ),
        (
            "invalid names",
            r#"{"requestContext": {}, "headers": {"": "1", "a b": "1", "ヘッダー": "1", "c": "1"}}"#,
            &[("c", "1")],
        ),
        (
            "an invalid value",
            r#"{"requestContext": {}, "headers": {"a": "1\r\nb: 2", "c": "1"}}"#,
            &[("c", "1")],
        ),
    ];
    for (name, json, expected) in cases {
        let headers = IncomingRequest::from_lambda(json.as_bytes()).headers;
        let mut actual: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        actual.sort_unstable();
        assert_eq!(actual, expected, "{name}");
    }
}

#[tokio::test]
async fn an_event_that_is_not_a_valid_request_gets_an_error() {
    let cases: [(&str, &[u8], u16, &str); 17] = [
        (
            "not base64",
            br#"{"requestContext": {"http": {"method": "POST"}}, "body": "eyJ9!", "isBase64Encoded": true}"#,
            400,
            "Error: the body is not base64, as isBase64Encoded says: Invalid symbol 33, offset 4.",
        ),
        (
            "base64 of another alphabet",
            br#"{"requestContext": {"http": {"method": "POST"}}, "body": "eyJ9_w==", "isBase64Encoded": true}"#,
            400,
            "Error: the body is not base64, as isBase64Encoded says: Invalid symbol 95, offset 4.",
        ),
        (
            "a body that is not a string",
            br#"{"requestContext": {"http": {"method": "POST"}}, "body": 5}"#,
            400,
            "Error: the proxy event is malformed: body must be a string",
        ),
        (
            "a requestContext that is not an object",
            br#"{"requestContext": 5}"#,
            400,
            "Error: the proxy event is malformed: requestContext must be an object",
        ),
        (
            "requestContext null is a direct event",
            br#"{"requestContext": null, "prompt": 1}"#,
            400,
            "Error: prompt must be a string",
        ),
        // https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html
        (
            "a WebSocket message",
            br#"{
                "requestContext": {
                    "routeKey": "$default", "messageId": "JJbxmplHYosCFVQ=", "eventType": "MESSAGE",
                    "extendedRequestId": "JJbxmplHYosFVYQ=", "messageDirection": "IN", "stage": "prod",
                    "connectedAt": 1583348638390, "requestTimeEpoch": 1583349317135,
                    "identity": {"sourceIp": "192.0.2.1"}, "requestId": "JJbxmplHYosFVYQ=",
                    "domainName": "id.execute-api.us-east-1.amazonaws.com",
                    "connectionId": "JJbxmplHYosCIAA=", "apiId": "id"
                },
                "body": "{\"prompt\": \"Hello\"}", "isBase64Encoded": false
            }"#,
            405,
            "Error: the method must be one of OPTIONS, POST",
        ),
        (
            "a WebSocket that opens",
            br#"{
                "headers": {"Host": "id.execute-api.us-east-1.amazonaws.com"}, "multiValueHeaders": {},
                "requestContext": {"routeKey": "$connect", "eventType": "CONNECT", "connectionId": "JJbxmplHYosCIAA="},
                "isBase64Encoded": false
            }"#,
            405,
            "Error: the method must be one of OPTIONS, POST",
        ),
        (
            "GET",
            br#"{"requestContext": {"http": {"method": "GET"}}, "rawPath": "/"}"#,
            405,
            "Error: the method must be one of OPTIONS, POST",
        ),
        (
            "a header with a control character",
            b"{\"requestContext\": {}, \"httpMethod\": \"POST\", \"headers\": {\"Origin\": \"https://evil.example\x7f\"}}",
            400,
            "Error: the value of the header origin has a character that HTTP does not allow",
        ),
        (
            "another media type",
            br#"{"requestContext": {}, "httpMethod": "POST", "headers": {"CONTENT-TYPE": "text/plain"}}"#,
            415,
            "Error: the Content-Type must be application/json",
        ),
        (
            "health behind a stage",
            br#"{"requestContext": {"http": {"method": "GET"}}, "rawPath": "/prod/healthz"}"#,
            200,
            "ok",
        ),
        ("not JSON", b"prompt=Hello", 400, "Error: the body is not JSON: expected value at line 1 column 1"),
        ("not UTF-8", b"{\"prompt\": \"\xff\"}", 400, "Error: the body is not UTF-8 at byte 12"),
        ("null", b"null", 400, "Error: the body must be a JSON object"),
        ("a string", br#""prompt""#, 400, "Error: the body must be a JSON object"),
        ("an array", br#"["prompt"]"#, 400, "Error: the body must be a JSON object"),
        ("an empty array", b"[]", 400, "Error: the body must be a JSON object"),
    ];
    let isolate = isolate(&[]);
    let mut wrong = Vec::new();
    for (name, json, status, text) in cases {
        let event = IncomingRequest::from_lambda(json);
        let (envelope, _) = lambda_handler(event, &isolate, &Scripted::new()).await;
        let body: serde_json::Value = serde_json::from_str(&envelope.body).unwrap();
        if (envelope.status_code, &body["generated_text"]) != (status, &text.into()) {
            wrong.push(format!("{name}: {envelope:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_request_id_that_is_not_an_identifier_is_dropped() {
    for (id, expected) in [
        (r#""abc-1=""#, Some("abc-1=")),
        (r#""""#, None),
        (r#""a\r\nb""#, None),
        (r#""<script>""#, None),
        ("null", None),
    ] {
        let json = format!(r#"{{"requestContext": {{"requestId": {id}}}}}"#);
        let event = IncomingRequest::from_lambda(json.as_bytes());
        assert_eq!(event.request_id.as_ref().map(Identifier::as_str), expected, "{id}");
    }
}
