//! The stand-in over real HTTP.

mod signer;
mod wire;

use bedrock_stub::{AccessKey, Received, Settings, Stub};
use serde_json::json;
use signer::{Call, MODEL_TARGET, claude};
use wire::{HttpResponse, exchange};

async fn ask(stub: &Stub, call: &mut Call) -> HttpResponse {
    call.host = stub.url().replace("http://", "");
    exchange(&stub.url(), &call.signed()).await
}

#[tokio::test]
async fn a_signed_request_gets_a_reply_in_claudes_json() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let response = ask(&stub, &mut Call::new(claude("Hello, world!"))).await;
    assert_eq!(response.status(), 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("x-amzn-requestid"), Some("00000000-0000-4000-8000-000000000000"));
    assert_eq!(response.header("x-amzn-bedrock-input-token-count"), Some("4"));
    assert_eq!(response.header("x-amzn-bedrock-output-token-count"), Some("22"));
    let latency = response.header("x-amzn-bedrock-invocation-latency");
    assert!(latency.is_some_and(|latency| latency.parse::<u64>().is_ok()));
    let mut body = response.json();
    let id = body["id"].take();
    assert!(id.as_str().is_some_and(|id| id.starts_with("msg_bdrk_") && id.len() == 33), "{id}");
    assert_eq!(
        body,
        json!({
            "id": null,
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-20250514",
            "content": [{ "type": "text", "text": "You said: \"Hello, world!\" (13 characters). This is the Bedrock stand-in." }],
            "stop_reason": "end_turn",
            "stop_sequence": null,
            "usage": { "input_tokens": 4, "output_tokens": 22 },
        })
    );
}

#[tokio::test]
async fn a_japanese_reply_is_not_escaped() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let response = ask(&stub, &mut Call::new(claude("東京の天気は?"))).await;
    let expected = "「東京の天気は?」と受け取りました(7 文字)。これは Bedrock の代役です。";
    assert!(response.text().contains(expected), "{}", response.text());
}

#[tokio::test]
async fn the_model_id_is_percent_decoded_once() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let profile = "arn%3Aaws%3Abedrock%3Aap-northeast-1%3A123456789012%3Ainference-profile%2Fapac.anthropic.claude-sonnet-4-20250514-v1%3A0";
    let cases = [
        ("a colon encoded", "anthropic.claude-3-haiku-20240307-v1%3A0", 200, ""),
        ("a colon not encoded", "anthropic.claude-3-haiku-20240307-v1:0", 200, ""),
        ("an ARN", profile, 200, ""),
        (
            "encoded twice",
            "anthropic.claude-3-haiku-20240307-v1%253A0",
            400,
            "The provided model identifier is invalid.",
        ),
        (
            "a model of another company",
            "amazon.titan-text-express-v1",
            400,
            "The provided model identifier is invalid.",
        ),
    ];
    for (case, model_id, status, message) in cases {
        let mut call = Call::new(claude("Hello"));
        call.target = format!("/model/{model_id}/invoke");
        let response = ask(&stub, &mut call).await;
        assert_eq!(response.status(), status, "{case}: {response:?}");
        if status != 200 {
            assert_eq!(response.message(), message, "{case}");
        }
    }
}

#[tokio::test]
async fn a_reply_ends_at_max_tokens_or_a_stop_sequence() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let cases = [
        ("max_tokens", 3, vec![], json!(["You said:", "max_tokens", null])),
        ("stop sequence", 99, vec![" said"], json!(["You", "stop_sequence", " said"])),
    ];
    for (case, max_tokens, stop_sequences, expected) in cases {
        let body = json!({
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": max_tokens,
            "stop_sequences": stop_sequences,
            "messages": [{ "role": "user", "content": "Hello" }],
        });
        let reply = ask(&stub, &mut Call::new(body.to_string())).await.json();
        let actual =
            json!([reply["content"][0]["text"], reply["stop_reason"], reply["stop_sequence"]]);
        assert_eq!(actual, expected, "{case}");
    }
}

#[tokio::test]
async fn an_error_has_the_type_header_and_the_json_of_aws() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let mut unknown_key = Call::new(claude("Hello"));
    unknown_key.key.id = "AKIDEXAMPLE".to_owned();
    let mut bad_secret = Call::new(claude("Hello"));
    bad_secret.key.secret.push('x');
    let cases = [
        (
            "an unknown key",
            unknown_key,
            403,
            "UnrecognizedClientException:http://internal.amazon.com/coral/com.amazon.coral.service/",
        ),
        (
            "a wrong secret",
            bad_secret,
            403,
            "InvalidSignatureException:http://internal.amazon.com/coral/com.amazon.coral.service/",
        ),
        (
            "a bad body",
            Call::new("{}"),
            400,
            "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/",
        ),
        // An unauthenticated caller is not told what is wrong with the body.
        (
            "an unknown key, a bad body",
            {
                let mut call = Call::new("{}");
                call.key.id = "AKIDEXAMPLE".to_owned();
                call
            },
            403,
            "UnrecognizedClientException:http://internal.amazon.com/coral/com.amazon.coral.service/",
        ),
    ];
    for (case, mut call, status, error_type) in cases {
        let response = ask(&stub, &mut call).await;
        assert_eq!(response.status(), status, "{case}");
        assert_eq!(response.header("x-amzn-errortype"), Some(error_type), "{case}");
        assert_eq!(response.header("content-type"), Some("application/json"), "{case}");
        assert!(response.header("x-amzn-requestid").is_some(), "{case}");
        assert!(!response.message().is_empty(), "{case}");
    }
}

#[tokio::test]
async fn the_settings_determine_the_accepted_keys_and_region() {
    let key = AccessKey {
        id: "ASIAIOSFODNN7EXAMPLE".to_owned(),
        secret: "another".to_owned(),
        session_token: Some("AQoDYXdzEPT//wEXAMPLE+token==".to_owned()),
    };
    let settings = Settings {
        region: "us-west-2".to_owned(),
        keys: vec![key.clone()],
        api_keys: vec!["bedrock-api-key-known".to_owned()],
        ..Settings::default()
    };
    let stub = Stub::start(settings).await.unwrap();
    let mut call = Call::new(claude("Hello"));
    call.key = key;
    call.region = "us-west-2";
    assert_eq!(ask(&stub, &mut call).await.status(), 200, "a key and region of the settings");
    assert_eq!(ask(&stub, &mut Call::new(claude("Hello"))).await.status(), 403, "the defaults");

    let mut with_api_key = Received {
        method: "POST".to_owned(),
        target: MODEL_TARGET.to_owned(),
        headers: [
            ("host", "x"),
            ("content-type", "application/json"),
            ("authorization", "Bearer bedrock-api-key-known"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        body: claude("Hello").into_bytes(),
    };
    assert_eq!(exchange(&stub.url(), &with_api_key).await.status(), 200, "a known API key");
    with_api_key.headers[2].1.push('x');
    assert_eq!(exchange(&stub.url(), &with_api_key).await.status(), 403, "an unknown API key");
}

#[tokio::test]
async fn an_unknown_path_or_method_gets_the_200_of_an_unknown_operation() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let cases = [
        ("another path", "POST", "/"),
        ("another method", "GET", MODEL_TARGET),
        (
            "another operation",
            "POST",
            "/model/anthropic.claude-3-haiku-20240307-v1%3A0/apply-guardrail",
        ),
        (
            "a slash not encoded",
            "POST",
            "/model/arn:aws:bedrock:ap-northeast-1:123456789012:inference-profile/a/invoke",
        ),
    ];
    for (case, method, target) in cases {
        let request = Received {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("host".to_owned(), "x".to_owned())],
            body: Vec::new(),
        };
        let response = exchange(&stub.url(), &request).await;
        assert_eq!(response.status(), 200, "{case}");
        assert_eq!(
            response.text(),
            r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
            "{case}"
        );
    }
}

#[tokio::test]
async fn every_request_is_recorded_without_decoding() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let mut call = Call::new(claude("Hello"));
    call.target.push_str("?b=%41&a=%2F");
    ask(&stub, &mut call).await;
    let unsigned = Received {
        method: "PUT".to_owned(),
        target: "/a//b/../%7e".to_owned(),
        headers: vec![
            ("host".to_owned(), "x".to_owned()),
            ("x-a".to_owned(), "1".to_owned()),
            ("x-a".to_owned(), "2".to_owned()),
        ],
        body: vec![0, 255],
    };
    exchange(&stub.url(), &unsigned).await;
    let requests = stub.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].target, call.target);
    assert_eq!(requests[0].body, call.body.as_bytes());
    assert_eq!(requests[0].header("Host"), Some(call.host.as_str()));
    assert_eq!(requests[1].method, "PUT");
    assert_eq!(requests[1].target, "/a//b/../%7e");
    assert_eq!(requests[1].body, [0, 255]);
    let repeated: Vec<&str> = requests[1]
        .headers
        .iter()
        .filter(|(name, _)| name == "x-a")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(repeated, ["1", "2"]);
}

#[tokio::test]
async fn a_dropped_stand_in_no_longer_listens() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let address = stub.url().replace("http://", "");
    assert!(tokio::net::TcpStream::connect(&address).await.is_ok());
    drop(stub);
    let mut refused = false;
    for _ in 0..100 {
        refused = tokio::net::TcpStream::connect(&address).await.is_err();
        if refused {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(refused);
}
