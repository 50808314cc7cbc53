//! Authentication: which requests are accepted, and which are rejected.
//!
//! Every request that must be rejected is sent without the body that its `content-length`
//! announces, so the response shows that the Worker did not wait for the body.

mod invalid_signatures;
mod invalid_tokens;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::Response;
use crate::support::fixture::Fixture;
use crate::support::issuer::Issuer;
use crate::support::signer::{CLIENT_KEY_ID, CLIENT_SECRET, UnsignedRequest, amz_date, sha256_hex};
use crate::support::workerd::Workerd;

/// An API token as `npm run token` prints it.
const TOKEN: &str = "bedge_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const OTHER_TOKEN: &str = "bedge_GFEDCBAzyxwvutsrqponmlkjihgfedcba9876543210";
const PAGE: &str = "https://app.example.com";
const BODY: &str = r#"{"prompt":"Hello"}"#;

const CHALLENGE: &str = r#"Bearer realm="bedrock-edge", AWS4-HMAC-SHA256"#;

/// Bindings that enable every access method.
pub fn bindings(issuer: &Issuer) -> Value {
    json!({
        "AUTH": null,
        "API_TOKENS": format!("ci:{}\nphone:{}", sha256_hex(TOKEN), sha256_hex(OTHER_TOKEN)),
        "JWT_ISSUER": issuer.url,
        "JWT_AUDIENCE": "bedrock-edge second",
        "CLIENT_KEYS": format!("{CLIENT_KEY_ID}:{CLIENT_SECRET}, EDGEI44QH8DHBEXAMPLE:{}", CLIENT_SECRET.replace('e', "f")),
        "ALLOWED_ORIGINS": format!("{PAGE} http://localhost:3000"),
    })
}

fn bearer(token: &str) -> (String, String) {
    header("authorization", &format!("Bearer {token}"))
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A request that is sent exactly as given.
#[derive(Clone)]
struct Request {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    /// If `None`, the request announces a body of 18 bytes, and the client does not send it.
    body: Option<String>,
}

impl Request {
    fn new(headers: Vec<(String, String)>) -> Self {
        Self { method: "POST", target: "/".to_owned(), headers, body: None }
    }

    async fn send(&self, worker: &Workerd) -> Response {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head += "host: worker\r\n";
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let length = self.body.as_ref().map_or(BODY.len(), String::len);
        if self.method == "POST" {
            head += &format!("content-length: {length}\r\n");
        }
        head += "\r\n";
        let mut connection = worker.connect().await;
        connection.write(head + self.body.as_deref().unwrap_or_default()).await;
        connection.response().await
    }
}

/// How a request is rejected.
enum Expected {
    /// 401 without an error type of AWS.
    Unauthorized,
    /// 401 with this error type of AWS.
    AwsError(&'static str),
    /// 403.
    Forbidden,
}
use Expected::{AwsError, Forbidden, Unauthorized};

const INCOMPLETE: Expected = AwsError("IncompleteSignatureException");
const INVALID: Expected = AwsError("InvalidSignatureException");

/// Asserts the status, headers, body and log line of a rejected request.
async fn assert_rejected(case: &str, worker: &Workerd, response: &Response, expected: &Expected) {
    let (status, code) = match expected {
        Unauthorized | AwsError(_) => (401, "unauthorized"),
        Forbidden => (403, "forbidden"),
    };
    assert_eq!(response.status, status, "{case}: {response}");
    assert_eq!(response.header("x-error-code"), Some(code), "{case}: {response}");
    let challenge = (status == 401).then_some(CHALLENGE);
    assert_eq!(response.header("www-authenticate"), challenge, "{case}: {response}");
    let error_type = if let AwsError(name) = expected { Some(*name) } else { None };
    assert_eq!(response.header("x-amzn-errortype"), error_type, "{case}: {response}");
    assert_eq!(response.header("cache-control"), Some("no-store"), "{case}: {response}");
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{case}: {response}");
    let body: Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!(body["input_prompt"], "", "{case}: {response}");
    if let Unauthorized = expected {
        response.assert_envelope(case, 401, "", "Error: Unauthorized");
    }
    let line = worker.log_line(response.request_id()).await;
    assert_eq!(line["outcome"], code, "{case}: {line}");
    match expected {
        // The log says what is wrong with the request.
        Unauthorized | AwsError(_) => assert!(line["error"].is_string(), "{case}: {line}"),
        Forbidden => assert_eq!(line["caller"], "token:ci", "{case}: {line}"),
    }
}

#[tokio::test]
async fn every_invalid_credential_is_rejected_before_the_body_and_not_logged() {
    let issuer = Issuer::start().await;
    let fixture = Fixture::with_bindings(bindings(&issuer)).await;
    let worker = &fixture.worker;
    let address = worker.address.to_string();
    let cases = invalid_tokens::cases(&issuer);
    let signed = invalid_signatures::cases(&address);
    let mut count = 0;
    let signed = signed.into_iter().map(|(case, request, it)| (case.to_owned(), request, it));
    for (case, request, expected) in cases.into_iter().chain(signed) {
        let response = request.send(worker).await;
        assert_rejected(&case, worker, &response, &expected).await;
        count += 1;
    }
    assert!(count >= 60, "{count} cases");
    println!("{count} refused requests");
    assert!(fixture.stub.requests().is_empty());
    let output = worker.output();
    for secret in [TOKEN, OTHER_TOKEN, CLIENT_SECRET, issuer.token("good"), issuer.token("expired")]
    {
        assert!(!output.contains(secret), "a credential is in the log");
    }
}

/// The JWTs that are accepted, and the names of their callers.
const ACCEPTED_JWTS: [(&str, &str); 14] = [
    ("good", "jwt:alice"),
    ("ES256", "jwt:alice"),
    ("an array of audiences", "jwt:alice"),
    ("a second audience", "jwt:alice"),
    ("no kid", "jwt:alice"),
    ("no nbf or iat", "jwt:alice"),
    ("a fraction of a second", "jwt:alice"),
    ("expired within the leeway", "jwt:alice"),
    ("157 groups", "jwt:alice"),
    ("valid within the leeway", "jwt:alice"),
    ("Cognito's access token", "jwt:alice"),
    ("Cognito's id token", "jwt:alice"),
    ("a service token of Access", "service:ci.access"),
    ("Auth0's subject", "jwt:auth0|abc"),
];

/// Asserts the status, headers and caller of an accepted request.
async fn assert_accepted(case: &str, worker: &Workerd, response: &Response, caller: &str) {
    assert_eq!(response.status, 200, "{case}: {response}");
    assert_eq!(response.header("cache-control"), Some("no-store"), "{case}: {response}");
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{case}: {response}");
    let line = worker.log_line(response.request_id()).await;
    assert_eq!(line["caller"], caller, "{case}: {line}");
}

#[tokio::test]
async fn every_valid_credential_is_accepted_and_its_caller_is_logged() {
    let issuer = Issuer::start().await;
    let fixture = Fixture::with_bindings(bindings(&issuer)).await;
    let worker = &fixture.worker;
    let token = |name| bearer(issuer.token(name));
    let jwts = ACCEPTED_JWTS.map(|(name, caller)| (name, vec![token(name)], caller));
    let others = vec![
        ("a token", vec![bearer(TOKEN)], "token:ci"),
        ("another token", vec![bearer(OTHER_TOKEN)], "token:phone"),
        (
            "bearer in mixed case",
            vec![header("authorization", &format!("bEARER  {TOKEN}"))],
            "token:ci",
        ),
        ("x-api-key", vec![header("x-api-key", TOKEN)], "token:ci"),
        (
            "the same token in both headers",
            vec![bearer(TOKEN), header("x-api-key", TOKEN)],
            "token:ci",
        ),
        (
            "the header of Cloudflare Access",
            vec![header("cf-access-jwt-assertion", issuer.token("good"))],
            "jwt:alice",
        ),
        ("a subject with spaces", vec![token("a subject with spaces")], "jwt:Zo%C3%AB%20B%0A"),
        ("an allowed origin", vec![bearer(TOKEN), header("origin", PAGE)], "token:ci"),
        (
            "the Worker's own origin",
            vec![bearer(TOKEN), header("origin", "https://worker")],
            "token:ci",
        ),
        (
            "another allowed origin",
            vec![bearer(TOKEN), header("origin", "http://localhost:3000")],
            "token:ci",
        ),
    ];
    for (case, headers, caller) in jwts.into_iter().chain(others) {
        let mut request = Request::new(headers);
        request.body = Some(BODY.to_owned());
        let response = request.send(worker).await;
        assert_accepted(case, worker, &response, caller).await;
    }
    let address = worker.address.to_string();
    let call = || UnsignedRequest::new(&address, BODY);
    for (case, call) in [
        ("SigV4", call()),
        ("SigV4 with the body's hash", call().with_body_hash()),
        ("SigV4 for API Gateway", call().with(|it| it.service = "execute-api".into())),
        ("SigV4 for Lambda", call().with(|it| it.service = "lambda".into())),
        ("SigV4 from four minutes ago", call().with(|it| it.time = amz_date(-240))),
        ("SigV4 four minutes in the future", call().with(|it| it.time = amz_date(240))),
        ("SigV4 with a query", call().with(|it| it.target = "/?b=2&a=%7e+%20&c&a=1".into())),
        (
            "SigV4 with more headers",
            call().header("content-type", "application/json").header("x-a", "a  b"),
        ),
    ] {
        let mut request = Request::new(call.signed_headers());
        request.target.clone_from(&call.target);
        request.body = Some(call.body.clone());
        let response = request.send(worker).await;
        assert_accepted(case, worker, &response, &format!("key:{CLIENT_KEY_ID}")).await;
    }
    // Routing errors are for authenticated callers only.
    for (method, target, status) in [
        ("POST", "/nowhere", 404),
        ("DELETE", "/", 405),
        ("OPTIONS", "/", 204),
        ("GET", "/ws", 426),
    ] {
        let request = Request {
            method,
            target: target.to_owned(),
            headers: vec![bearer(TOKEN)],
            body: Some(String::new()),
        };
        let response = request.send(worker).await;
        assert_eq!(response.status, status, "{method} {target}: {response}");
    }
}

#[tokio::test]
async fn without_an_access_method_every_request_is_rejected() {
    let fixture = Fixture::with_bindings(json!({ "AUTH": null })).await;
    let worker = &fixture.worker;
    let health = worker.send(worker.request(Method::GET, "/healthz")).await;
    health.assert_envelope("health", 200, "", "ok");
    for (case, headers) in [
        ("nothing", vec![]),
        ("a token", vec![bearer(TOKEN)]),
        ("a signature", UnsignedRequest::new("worker", BODY).signed_headers()),
    ] {
        let response = Request::new(headers).send(worker).await;
        response.assert_envelope(case, 401, "", "Error: Unauthorized");
        let challenge = response.header("www-authenticate");
        assert_eq!(challenge, Some(r#"Bearer realm="bedrock-edge""#), "{case}: {response}");
        let line = worker.log_line(response.request_id()).await;
        if case == "nothing" {
            assert_eq!(
                line["error"],
                "no access method is configured: set API_TOKENS, JWT_ISSUER or CLIENT_KEYS, or \
                 AUTH=open",
            );
        }
    }
    assert!(fixture.stub.requests().is_empty());
}

#[tokio::test]
async fn a_jwt_without_the_required_scope_is_forbidden() {
    let issuer = Issuer::start().await;
    let mut bindings = bindings(&issuer);
    bindings["JWT_REQUIRED_SCOPE"] = "chat".into();
    let fixture = Fixture::with_bindings(bindings).await;
    let worker = &fixture.worker;
    for name in ["the scope", "the scope in scp", "the scope in roles", "the scope in permissions"]
    {
        let mut request = Request::new(vec![bearer(issuer.token(name))]);
        request.body = Some(BODY.to_owned());
        let response = request.send(worker).await;
        assert_accepted(name, worker, &response, "jwt:alice").await;
    }
    for name in ["another scope", "no scope"] {
        let response = Request::new(vec![bearer(issuer.token(name))]).send(worker).await;
        response.assert_envelope(name, 403, "", "Error: the token lacks the scope chat");
        assert_eq!(response.header("x-error-code"), Some("forbidden"), "{name}: {response}");
        assert_eq!(
            response.header("www-authenticate"),
            Some(r#"Bearer realm="bedrock-edge", error="insufficient_scope", scope="chat""#),
            "{name}: {response}"
        );
        let line = worker.log_line(response.request_id()).await;
        assert_eq!(line["caller"], "jwt:alice", "{name}: {line}");
    }
    assert_eq!(fixture.stub.requests().len(), 4);
}

#[tokio::test]
async fn credentials_issued_by_the_scripts_are_accepted() {
    let run_script = |script: &str, argument: &str| {
        let root = bedrock_edge_tests::root();
        let mut node = std::process::Command::new(root.join("node_modules/.bin/node"));
        let output = node.arg(root.join("scripts").join(script)).arg(argument).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("  ").map(str::to_owned));
        lines.collect::<Vec<_>>()
    };
    let [token, api_tokens] = &*run_script("token.mjs", "ci") else { panic!() };
    assert!(token.starts_with("bedge_") && token.len() == 49, "{token}");
    let [id, secret, client_keys] = &*run_script("client-key.mjs", "") else { panic!() };
    let fixture = Fixture::with_bindings(json!({
        "AUTH": null,
        "API_TOKENS": api_tokens,
        "CLIENT_KEYS": client_keys,
    }))
    .await;
    let worker = &fixture.worker;
    let call = UnsignedRequest::new(&worker.address.to_string(), BODY).with(|it| {
        it.key_id = id.split_once('=').unwrap().1.to_owned();
        it.secret = secret.split_once('=').unwrap().1.to_owned();
    });
    let caller = format!("key:{}", call.key_id);
    for (headers, caller) in [(vec![bearer(token)], "token:ci"), (call.signed_headers(), &*caller)]
    {
        let mut request = Request::new(headers);
        request.body = Some(BODY.to_owned());
        let response = request.send(worker).await;
        assert_accepted("issued", worker, &response, caller).await;
    }
}
