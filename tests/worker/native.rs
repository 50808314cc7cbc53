//! Bedrock's own API: requests, responses and frames pass as they came.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::fixture::{ACCESS_KEY_ID, Fixture, SECRET_ACCESS_KEY, header_names};
use crate::support::messages::TOKEN;
use crate::support::signer::{CLIENT_KEY_ID, CLIENT_SECRET, UnsignedRequest, sha256_hex};

const MODEL: &str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";
const PATH: &str = "/model/global.anthropic.claude-sonnet-4-5-20250929-v1%3A0";

/// Starts a Worker with a token and a key for clients that sign.
async fn native_fixture(bindings: Value) -> Fixture {
    let mut all = json!({
        "AUTH": null,
        "API_TOKENS": format!("native:{}", sha256_hex(TOKEN)),
        "CLIENT_KEYS": format!("{CLIENT_KEY_ID}:{CLIENT_SECRET}"),
        "BEDROCK_MODEL_ID": MODEL,
    });
    all.as_object_mut().unwrap().extend(bindings.as_object().unwrap().clone());
    Fixture::with_bindings(all).await
}

fn invoke_body(prompt: &str) -> String {
    // White space and a member order that no serializer would write.
    format!(
        "{{ \"max_tokens\" : 64,\n\t\"anthropic_version\":\"bedrock-2023-05-31\",\
         \"messages\": [ {{\"role\":\"user\",\"content\":\"{prompt}\"}} ] }}"
    )
}

fn converse_body(prompt: &str) -> String {
    format!("{{\"messages\": [ {{\"role\":\"user\",\"content\":[{{\"text\":\"{prompt}\"}}]}} ] }}")
}

/// A response, with its body as bytes.
struct Raw {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Raw {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn message(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:?}\n{body}", self.status, self.headers)
    }
}

/// Sends a request to a URL.
async fn send(method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> Raw {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method, url).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let mut headers: Vec<_> = headers.collect();
    headers.sort();
    Raw { status, headers, body: response.bytes().await.unwrap().to_vec() }
}

/// Sends a request to the Worker with the token.
async fn call(fixture: &Fixture, path: &str, body: &str) -> Raw {
    let url = format!("http://{}{path}", fixture.worker.address);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", &*bearer), ("content-type", "application/json")];
    send(Method::POST, &url, &headers, body).await
}

/// Sends a request to the stand-in with the Worker's own key.
async fn call_directly(fixture: &Fixture, path: &str, body: &str) -> Raw {
    let host = fixture.stub.url().replace("http://", "");
    let unsigned = UnsignedRequest::new(&host, body).header("content-type", "application/json");
    let unsigned = unsigned.with(|it| {
        it.target = path.to_owned();
        (it.key_id, it.secret) = (ACCESS_KEY_ID.to_owned(), SECRET_ACCESS_KEY.to_owned());
    });
    let headers = unsigned.signed_headers();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    send(Method::POST, &format!("{}{path}", fixture.stub.url()), &headers, body).await
}

#[tokio::test]
async fn bodies_frames_and_headers_pass_byte_for_byte() {
    let fixture = native_fixture(json!({})).await;
    let bodies = [
        ("invoke", invoke_body("bytes: 日本語")),
        ("invoke-with-response-stream", invoke_body("bytes: 日本語")),
        ("converse", converse_body("bytes: 日本語")),
        ("converse-stream", converse_body("bytes: 日本語")),
    ];
    for (operation, body) in bodies {
        let path = format!("{PATH}/{operation}");
        let before = fixture.stub.requests().len();
        let passed = call(&fixture, &path, &body).await;
        assert_eq!(passed.status, 200, "{operation}: {passed:?}");
        // The stand-in reports how long it took, in milliseconds.
        let mut direct = call_directly(&fixture, &path, &body).await;
        for _ in 0..50 {
            if direct.body == passed.body {
                break;
            }
            direct = call_directly(&fixture, &path, &body).await;
        }
        assert!(direct.body == passed.body, "{operation}: {direct:?}\n{passed:?}");
        for (name, value) in &direct.headers {
            let of_call = ["x-amzn-requestid", "x-amzn-bedrock-invocation-latency"];
            if name == "content-type" || name.starts_with("x-amzn-") && !of_call.contains(&&**name)
            {
                assert_eq!(passed.header(name), value, "{operation}: {name} of {passed:?}");
            }
        }
        let received = &fixture.stub.requests()[before..];
        assert_eq!(received[0].target, path);
        assert_eq!(received[0].body, body.as_bytes(), "{operation}");
        let mut expected =
            ["accept", "authorization", "content-length", "content-type", "host", "x-amz-date"];
        expected.sort_unstable();
        assert_eq!(header_names(&received[0]), expected, "{operation}");

        let line = fixture.worker.log_line(passed.header("x-request-id")).await;
        let mut problems = String::new();
        for field in ["input_tokens", "output_tokens"] {
            if !line[field].is_u64() {
                write!(problems, "{field} ").unwrap();
            }
        }
        assert_eq!(problems, "", "{operation}: {line}");
        assert_eq!((&line["outcome"], &line["caller"]), (&json!("ok"), &json!("token:native")));
    }
}

/// Returns the type of an error as the SDKs read it.
fn error_type(response: &Raw) -> &str {
    response.header("x-amzn-errortype").split(':').next().unwrap_or_default()
}

#[tokio::test]
async fn a_signed_request_is_served_in_every_form_that_sdks_sign() {
    let fixture = native_fixture(json!({})).await;
    let address = fixture.worker.address.to_string();
    let host = address.split(':').next().unwrap();
    let body = invoke_body("signed");
    let raw = format!("/model/{MODEL}/invoke");
    let encoded = format!("{PATH}/invoke");
    let length = body.len().to_string();
    let request =
        || UnsignedRequest::new(&address, &body).with(|it| it.target.clone_from(&encoded));
    let cases = [
        ("boto3", request()),
        ("with the hash of the body", request().with_body_hash()),
        ("Anthropic's SDK", request().with(|it| it.target.clone_from(&raw))),
        ("for Mantle", request().with(|it| it.service = "bedrock-mantle".to_owned())),
        (
            "httpx",
            request()
                .header("accept-encoding", "gzip, deflate, br, zstd")
                .header("content-length", &length),
        ),
        (
            "boto3, Converse",
            request()
                .header("content-type", "application/json")
                .header("accept-encoding", "identity"),
        ),
        (
            "the SDK for JavaScript",
            request()
                .header("amz-sdk-invocation-id", "a-b-c")
                .header("amz-sdk-request", "attempt=1; max=3")
                .header("x-amz-user-agent", "aws-sdk-js/3")
                .header("x-amzn-bedrock-accept", "application/json")
                .with_body_hash(),
        ),
        ("without the port", request().with(|it| it.headers[0].1 = host.to_owned())),
    ];
    for (name, unsigned) in cases {
        let headers = unsigned.signed_headers();
        let mut headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        headers.retain(|(name, _)| *name != "host");
        for header in &mut headers {
            if header.0 == "accept-encoding" {
                // As Cloudflare sends it on.
                header.1 = "br, gzip";
            }
        }
        let url = format!("http://{address}{}", unsigned.target);
        let response = send(Method::POST, &url, &headers, &body).await;
        assert_eq!(response.status, 200, "{name}: {response:?}");
        let line = fixture.worker.log_line(response.header("x-request-id")).await;
        assert_eq!(line["caller"], format!("key:{CLIENT_KEY_ID}"), "{name}");
    }
}

#[tokio::test]
async fn refusals_have_the_status_the_type_and_the_words_of_aws() {
    let fixture = native_fixture(json!({})).await;
    let address = fixture.worker.address.to_string();
    let (path, body) = (format!("{PATH}/invoke"), invoke_body("refused"));
    let signed = |change: &dyn Fn(&mut UnsignedRequest)| {
        let unsigned = UnsignedRequest::new(&address, &body).with(|it| {
            it.target.clone_from(&path);
            change(it);
        });
        let mut headers = unsigned.signed_headers();
        headers.retain(|(name, _)| name != "host");
        headers
    };
    let bearer = |token: &str| vec![("authorization".to_owned(), format!("Bearer {token}"))];
    let unknown = "The security token included in the request is invalid.";
    let mismatch = "The request signature we calculated does not match";
    let operation = "The requested operation is not recognized by the service.";
    let no_access = "You don't have access to the model with the specified model ID.";
    #[rustfmt::skip]
    let cases = [
        ("no credential", "POST", &*path, vec![], 403, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        ("Claude Code's probe", "GET", "/inference-profiles?type=SYSTEM_DEFINED", vec![], 403, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        ("an unknown token", "POST", &path, bearer("unknown"), 403, "AccessDeniedException", "Authentication failed"),
        ("a wrong secret", "POST", &path, signed(&|it| it.secret = "x".repeat(32)), 403, "InvalidSignatureException", mismatch),
        ("another region", "POST", &path, signed(&|it| it.region = "us-east-1".to_owned()), 403, "InvalidSignatureException", "Credential should be scoped to a valid region"),
        ("a session token", "POST", &path, signed(&|it| it.headers.push(("x-amz-security-token".to_owned(), "t".to_owned()))), 403, "UnrecognizedClientException", unknown),
        ("another model", "POST", "/model/amazon.nova-lite-v1%3A0/converse", bearer(TOKEN), 403, "AccessDeniedException", no_access),
        ("an unknown operation", "POST", "/model/m/invoke-with-bidirectional-stream", bearer(TOKEN), 404, "UnknownOperationException", operation),
        ("another method", "GET", &path, bearer(TOKEN), 404, "UnknownOperationException", operation),
        ("asynchronous invocations", "GET", "/async-invoke", bearer(TOKEN), 404, "UnknownOperationException", operation),
        ("an unknown profile", "GET", "/inference-profiles/us.anthropic.claude-3", bearer(TOKEN), 404, "ResourceNotFoundException", "The provided model identifier is invalid."),
    ];
    let before = fixture.stub.requests().len();
    for (name, method, path, headers, status, kind, message) in cases {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let url = format!("http://{address}{path}");
        let response = send(method.parse().unwrap(), &url, &headers, &body).await;
        assert_eq!(
            (response.status, error_type(&response)),
            (status, kind),
            "{name}: {response:?}"
        );
        assert!(response.message().starts_with(message), "{name}: {response:?}");
        assert_eq!(response.header("content-type"), "application/json", "{name}");
        assert_ne!(response.header("x-amzn-requestid"), "", "{name}");
    }
    assert_eq!(fixture.stub.requests().len(), before);
}
