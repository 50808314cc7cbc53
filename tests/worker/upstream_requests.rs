//! The requests that reach Bedrock.

use reqwest::Method;
use serde_json::json;

use crate::support::fixture::{ACCESS_KEY_ID, Fixture, header_names, json_body};

/// The headers of a signed request. workerd adds `content-length` and `host`, and no others.
const SIGNED: [&str; 6] =
    ["accept", "authorization", "content-length", "content-type", "host", "x-amz-date"];

#[tokio::test]
async fn the_request_to_bedrock_has_exactly_these_headers_and_this_body() {
    let fixture = Fixture::shared().await;
    let prompt = "exactly this: 日本語";
    let response = fixture.worker.prompt(prompt).await;
    assert_eq!(response.status, 200, "{response}");

    let received = fixture.bedrock_request(prompt);
    assert_eq!(received.method, "POST");
    let target = "/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke";
    assert_eq!(received.target, target);
    let body = format!(
        "{{\"anthropic_version\":\"bedrock-2023-05-31\",\
         \"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}],\
         \"max_tokens\":100,\"temperature\":0.7}}"
    );
    assert_eq!(String::from_utf8_lossy(&received.body), body);

    assert_eq!(header_names(&received), SIGNED);
    let header = |name| received.header(name).unwrap();
    assert_eq!(header("accept"), "application/json");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("content-length"), body.len().to_string());
    assert_eq!(format!("http://{}", header("host")), fixture.stub.url());
    // The stand-in has checked the time and the signature.
    let (credential, _signature) = header("authorization").split_once(" Signature=").unwrap();
    let day = header("x-amz-date").split('T').next().unwrap();
    assert_eq!(
        credential,
        format!(
            "AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{day}/ap-northeast-1/bedrock/aws4_request, \
             SignedHeaders=accept;content-type;host;x-amz-date,"
        )
    );
}

#[tokio::test]
async fn no_header_and_no_query_of_the_client_is_passed_on() {
    let fixture = Fixture::shared().await;
    let prompt = "with all the headers";
    let request = fixture
        .worker
        .request(Method::POST, "/?x-amz-date=1&X-Amz-Signature=2")
        .header("content-type", "application/json; charset=utf-8")
        .header("accept", "text/html")
        .header("accept-encoding", "gzip")
        .header("accept-language", "ja")
        .header("authorization", "Bearer of-the-client")
        .header("cf-connecting-ip", "203.0.113.1")
        .header("cf-ray", "0123456789abcdef-NRT")
        .header("cookie", "session=of-the-client")
        .header("origin", format!("http://{}", fixture.worker.address))
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("user-agent", "of-the-client/1.0")
        .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        .header("x-amz-date", "20000101T000000Z")
        .header("x-amz-security-token", "of-the-client")
        .header("x-amzn-bedrock-guardrailidentifier", "of-the-client")
        .header("x-api-key", "of-the-client")
        .header("x-forwarded-for", "203.0.113.1")
        .header("x-request-id", "of-the-client")
        .body(json!({ "prompt": prompt }).to_string());
    let response = fixture.worker.send(request).await;
    assert_eq!(response.status, 200, "{response}");
    assert_ne!(response.request_id(), "of-the-client");

    let received = fixture.bedrock_request(prompt);
    assert_eq!(header_names(&received), SIGNED);
    assert!(!received.target.contains('?'), "{}", received.target);
    let values = received.headers.iter().map(|(_, value)| value.as_str());
    assert!(!values.into_iter().any(|value| value.contains("of-the-client")));
    assert_eq!(received.header("accept"), Some("application/json"));
}

#[tokio::test]
async fn variables_set_the_defaults_of_the_request() {
    // A number without quotes in wrangler.toml is a number in the Worker's bindings too.
    let numbers = json!({ "MAX_TOKENS": 50, "TEMPERATURE": 0.5, "MAX_BODY_BYTES": 2000 });
    let cases = [
        ("numbers", numbers, json!({ "max_tokens": 50, "temperature": 0.5 })),
        (
            "strings",
            json!({ "MAX_TOKENS": "50", "TEMPERATURE": "0" }),
            json!({ "max_tokens": 50, "temperature": 0.0 }),
        ),
        ("no temperature", json!({ "TEMPERATURE": "" }), json!({ "max_tokens": 100 })),
        (
            "a trailing line feed, as `echo 50 | wrangler secret put` leaves it",
            json!({ "MAX_TOKENS": "50\n", "BEDROCK_REGION": "\n" }),
            json!({ "max_tokens": 50, "temperature": 0.7 }),
        ),
    ];
    for (case, bindings, expected) in cases {
        let fixture = Fixture::with_bindings(bindings).await;
        let response = fixture.worker.prompt("set so").await;
        assert_eq!(response.status, 200, "{case}: {response}");
        let mut sent = json_body(&fixture.bedrock_request("set so"));
        sent.as_object_mut()
            .unwrap()
            .retain(|name, _| !["anthropic_version", "messages"].contains(&name.as_str()));
        assert_eq!(sent, expected, "{case}");
    }
}

#[tokio::test]
async fn the_model_id_is_percent_encoded_once() {
    let cases = [
        (
            "an inference profile's ARN",
            "arn:aws:bedrock:ap-northeast-1:123456789012:inference-profile/apac.anthropic.claude-sonnet-4-20250514-v1:0",
            "/model/arn%3Aaws%3Abedrock%3Aap-northeast-1%3A123456789012%3Ainference-profile%2Fapac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke",
        ),
        (
            "nothing to encode",
            "global.anthropic.claude-sonnet-4-6",
            "/model/global.anthropic.claude-sonnet-4-6/invoke",
        ),
    ];
    for (case, model_id, target) in cases {
        let fixture = Fixture::with_bindings(json!({ "BEDROCK_MODEL_ID": model_id })).await;
        let response = fixture.worker.prompt("to which model?").await;
        // The status is 200, so the signature covers the same path.
        assert_eq!(response.status, 200, "{case}: {response}");
        assert_eq!(fixture.bedrock_request("to which model?").target, target, "{case}");
        let line = fixture.worker.log_line(response.request_id()).await;
        assert_eq!(line["model"], model_id, "{case}");
    }
}

#[tokio::test]
async fn the_configured_guardrail_is_signed_and_no_caller_can_take_it_off() {
    let arn = "arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/a1b2c3";
    let bindings = json!({ "BEDROCK_GUARDRAIL_ID": arn, "BEDROCK_GUARDRAIL_VERSION": 7 });
    let fixture = Fixture::with_bindings(bindings).await;
    for stream in [false, true] {
        let prompt = format!("guarded, stream: {stream}");
        let request = fixture
            .worker
            .request(Method::POST, "/")
            .header("x-amzn-bedrock-guardrailidentifier", "of-the-client")
            .header("x-amzn-bedrock-guardrailversion", "DRAFT")
            .body(json!({ "prompt": prompt, "stream": stream }).to_string());
        // The stand-in has checked the signature.
        let response = fixture.worker.send(request).await;
        assert_eq!(response.status, 200, "{response}");
        let received = fixture.bedrock_request(&prompt);
        assert_eq!(received.header("x-amzn-bedrock-guardrailidentifier"), Some(arn));
        assert_eq!(received.header("x-amzn-bedrock-guardrailversion"), Some("7"));
        let signed = received.header("authorization").unwrap();
        let names =
            "x-amz-date;x-amzn-bedrock-guardrailidentifier;x-amzn-bedrock-guardrailversion,";
        assert!(signed.contains(names), "{signed}");
    }
}
