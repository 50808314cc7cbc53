//! Bedrock's own API: requests, responses and frames pass as they came.

use std::fmt::Write as _;
use std::time::Duration;

use bedrock_stub::Settings;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::client::Connection;
use crate::support::fixture::{ACCESS_KEY_ID, Fixture, SECRET_ACCESS_KEY, header_names, runtime};
use crate::support::messages::TOKEN;
use crate::support::signer::{CLIENT_KEY_ID, CLIENT_SECRET, UnsignedRequest, sha256_hex};
use crate::support::workerd::resident_memory;

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

/// Returns a body without the time that the stand-in took, which is in the last frame of a stream, or in the JSON.
fn without_latency(body: &[u8]) -> String {
    let (mut frames, mut rest) = (Vec::new(), body);
    while let Some(length) = rest.first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((frame, behind)) = rest.split_at_checked(length) else { break };
        frames.push(frame);
        rest = behind;
    }
    if frames.len() > 1 && rest.is_empty() {
        frames.pop();
        return format!("{frames:?}");
    }
    let text = String::from_utf8(body.to_vec()).unwrap();
    match text.split_once("\"latencyMs\":") {
        Some((before, behind)) => before.to_owned() + behind.trim_start_matches(char::is_numeric),
        None => text,
    }
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
        let direct = call_directly(&fixture, &path, &body).await;
        let [comparable, expected] = [&passed, &direct].map(|it| without_latency(&it.body));
        assert!(comparable == expected, "{operation}: {direct:?}\n{passed:?}");
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

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_by_bedrock_itself() {
    let fixture = native_fixture(json!({})).await;
    for operation in ["invoke", "invoke-with-response-stream", "converse", "converse-stream"] {
        for body in ["", "null", "[]", "{", "not JSON"] {
            let path = format!("{PATH}/{operation}");
            let before = fixture.stub.requests().len();
            let passed = call(&fixture, &path, body).await;
            let received = fixture.stub.requests()[before..].to_vec();
            assert_eq!(received.len(), 1, "{operation} {body:?}: {passed:?}");
            assert_eq!(received[0].body, body.as_bytes(), "{operation} {body:?}");
            let direct = call_directly(&fixture, &path, body).await;
            assert_eq!((passed.status, error_type(&passed)), (400, "ValidationException"));
            assert_eq!(passed.body, direct.body, "{operation} {body:?}");
        }
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

/// A stream that lasts far longer than any test.
const ENDLESS: &str = "fault:stream_long:100000:5";

/// Begins a stream, and waits until some of its frames have come.
async fn begin_stream<'a>(fixture: &'a Fixture, prompt: &str) -> (Connection<'a>, String) {
    let body = invoke_body(prompt);
    let mut connection = fixture.worker.connect().await;
    let head = format!(
        "POST {PATH}/invoke-with-response-stream HTTP/1.1\r\nhost: worker\r\n\
         content-type: application/json\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    connection.write(head + &body).await;
    let head = connection.head().await;
    assert_eq!(head.status, 200, "{head}");
    assert_eq!(head.header("content-type"), Some("application/vnd.amazon.eventstream"));
    let id = head.request_id().to_owned();
    for _ in 0..5 {
        connection.read_more().await.expect("a frame");
    }
    (connection, id)
}

#[tokio::test]
async fn a_client_that_disconnects_cancels_bedrock_and_is_settled_on_what_it_received() {
    let fixture = native_fixture(json!({ "DAILY_TOKENS": "1000000" })).await;
    for is_reset in [false, true] {
        let (connection, id) = begin_stream(&fixture, ENDLESS).await;
        match is_reset {
            true => connection.reset(),
            false => drop(connection),
        }
        let line = fixture.worker.log_line(&id).await;
        assert_eq!(line["outcome"], "cancelled", "{line}");
        assert!(line["input_tokens"].is_u64(), "{line}");
        fixture.wait_for_streams("the end of the stream", |it| it.open() == 0).await;
    }
    let bearer = format!("Bearer {TOKEN}");
    let url = format!("http://{}/usage", fixture.worker.address);
    let usage = send(Method::GET, &url, &[("authorization", &bearer)], "").await;
    let usage: Value = serde_json::from_slice(&usage.body).unwrap();
    let today = &usage["today"];
    assert_eq!(today["reserved"], 0, "{usage}");
    assert!((1..=200).contains(&today["used"].as_u64().unwrap()), "{usage}");
}

#[tokio::test]
async fn failures_of_bedrock_are_repeated_or_pass_as_they_came() {
    let fixture = native_fixture(json!({ "BEDROCK_MAX_ATTEMPTS": "2" })).await;
    let url = format!("http://{}{PATH}/invoke", fixture.worker.address);
    let bearer = format!("Bearer {TOKEN}");
    #[rustfmt::skip]
    let cases = [
        ("once", "fault:throttled#1", "", 200, "", 2),
        ("always", "fault:throttled", "", 429, "ThrottlingException", 2),
        ("and the SDK repeats", "fault:throttled 2", "attempt=1; max=3", 429, "ThrottlingException", 1),
        ("a rejection", "fault:validation", "", 400, "ValidationException", 1),
        ("a failure of the model", "fault:model_error", "", 424, "ModelErrorException", 1),
        ("no permission", "fault:expired_token", "", 500, "InternalServerException", 1),
    ];
    for (name, prompt, sdk, status, kind, calls) in cases {
        let before = fixture.stub.requests().len();
        let mut headers = vec![("authorization", &*bearer), ("content-type", "application/json")];
        if !sdk.is_empty() {
            headers.push(("amz-sdk-request", sdk));
        }
        let response = send(Method::POST, &url, &headers, &invoke_body(prompt)).await;
        assert_eq!(
            (response.status, error_type(&response)),
            (status, kind),
            "{name}: {response:?}"
        );
        let received = &fixture.stub.requests()[before..];
        assert_eq!(received.len(), calls, "{name}");
        let body = invoke_body(prompt);
        assert!(received.iter().all(|it| it.body == body.as_bytes()), "{name}");
    }
}

#[tokio::test]
async fn a_request_of_20_mb_takes_the_memory_of_its_body_once() {
    /// The permitted growth in MiB.
    const GROWTH: u64 = 30;
    let settings = Settings { record: false, ..Settings::default() };
    let bindings = json!({
        "AUTH": "open",
        "BEDROCK_MODEL_ID": MODEL,
        "ALLOWED_MODELS": "*",
    });
    let fixture = Fixture::with_stub_settings(bindings, settings).await;
    let pid = fixture.worker.pid().await;
    let image = |length: usize| {
        let data = "A".repeat(length);
        json!({
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 64,
            "messages": [{ "role": "user", "content": [
                { "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": data } },
                { "type": "text", "text": "what is it?" },
            ] }],
        })
        .to_string()
    };
    for _ in 0..20 {
        let response = call(&fixture, &format!("{PATH}/invoke"), &image(100_000)).await;
        assert_eq!(response.status, 200, "{response:?}");
    }
    let Some(before) = resident_memory(pid) else { return };
    let watch = runtime().spawn(async move {
        let mut most = 0;
        while let Some(now) = resident_memory(pid) {
            most = most.max(now);
            sleep(Duration::from_millis(5)).await;
        }
        most
    });
    let body = image(19_800_000);
    let response = call(&fixture, &format!("{PATH}/invoke"), &body).await;
    assert_eq!(response.status, 200, "{:?}", response.message());
    let mut connection = fixture.worker.connect().await;
    let head =
        format!("POST {PATH}/invoke HTTP/1.1\r\nhost: worker\r\ncontent-length: 20000001\r\n\r\n");
    connection.write(head).await;
    let too_long = connection.response().await;
    let kind = too_long.header("x-amzn-errortype");
    assert_eq!((too_long.status, kind), (413, Some("RequestEntityTooLargeException")));
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
    drop(fixture);
    let growth = watch.await.unwrap().saturating_sub(before) >> 20;
    println!("{} MiB, and {growth} MiB more", before >> 20);
    assert!(growth < GROWTH, "{growth} MiB");
}
