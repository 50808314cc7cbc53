//! Requests as browsers send them: CORS preflights, responses that a page may read, and WebSockets.

use reqwest::Method;
use serde_json::json;

use crate::support::client::Response;
use crate::support::fixture::Fixture;
use crate::support::signer::sha256_hex;
use crate::support::websocket::Subprotocol;

const PAGE: &str = "https://app.example.com";
const TOKEN: &str = "bedge_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

async fn fixture() -> Fixture {
    Fixture::with_bindings(json!({
        "AUTH": null,
        "API_TOKENS": format!("page:{}", sha256_hex(TOKEN)),
        "ALLOWED_ORIGINS": format!("{PAGE}, http://localhost:3000"),
        "ALLOWED_HEADERS": "Sentry-Trace, baggage",
    }))
    .await
}

/// Asserts that CORS lets the page read the response.
fn assert_readable(case: &str, response: &Response) {
    assert_eq!(response.header("access-control-allow-origin"), Some(PAGE), "{case}: {response}");
    assert_eq!(response.header("vary"), Some("Origin"), "{case}: {response}");
    assert_eq!(response.header("access-control-allow-credentials"), None, "{case}: {response}");
    let exposed = response.header("access-control-expose-headers").unwrap_or_default();
    for name in ["x-request-id", "x-error-code", "retry-after", "www-authenticate"] {
        assert!(exposed.split(", ").any(|it| it == name), "{case}: {name}: {response}");
    }
}

#[tokio::test]
async fn an_allowed_page_passes_the_preflight_and_can_read_every_response() {
    let fixture = fixture().await;
    let worker = &fixture.worker;
    // The headers that Chromium sends for a fetch() with JSON and a token.
    let preflight = worker
        .request(Method::OPTIONS, "/")
        .header("accept", "*/*")
        .header("access-control-request-headers", "authorization,content-type")
        .header("access-control-request-method", "POST")
        .header("origin", PAGE)
        .header("sec-fetch-dest", "empty")
        .header("sec-fetch-mode", "cors")
        .header("sec-fetch-site", "cross-site");
    let response = worker.send(preflight).await;
    assert_eq!((response.status, &*response.body), (204, ""), "{response}");
    assert_readable("preflight", &response);
    assert_eq!(
        response.header("access-control-allow-methods"),
        Some("GET, HEAD, POST"),
        "{response}"
    );
    let allowed = response.header("access-control-allow-headers");
    assert_eq!(
        allowed,
        Some("content-type, authorization, x-api-key, sentry-trace, baggage"),
        "{response}"
    );
    assert_eq!(response.header("access-control-max-age"), Some("3600"), "{response}");

    let post = |prompt: &str, token: &str| {
        let body = json!({ "prompt": prompt, "stream": prompt.contains("stream") });
        let request = worker.request(Method::POST, "/").header("origin", PAGE).json(&body);
        worker.send(request.bearer_auth(token))
    };
    for (case, prompt, token, status) in [
        ("a reply", "Hello", TOKEN, 200),
        ("a stream", "stream", TOKEN, 200),
        ("an invalid request", " ", TOKEN, 400),
        ("a failure of Bedrock", "fault:throttled", TOKEN, 500),
        ("an unauthenticated caller", "Hello", "wrong", 401),
    ] {
        let response = post(prompt, token).await;
        assert_eq!(response.status, status, "{case}: {response}");
        assert_readable(case, &response);
    }
    // `GET /healthz` needs neither a preflight nor authentication.
    let health = worker.request(Method::GET, "/healthz").header("origin", PAGE);
    assert_readable("health", &worker.send(health).await);
}

#[tokio::test]
async fn other_origins_get_no_cors_headers() {
    let fixture = fixture().await;
    let worker = &fixture.worker;
    let allow_origin = "access-control-allow-origin";
    for origin in [None, Some("https://evil.example"), Some("null")] {
        let case = format!("{origin:?}");
        let mut health = worker.request(Method::GET, "/healthz");
        let mut unauthenticated = worker.request(Method::POST, "/").bearer_auth("wrong");
        if let Some(origin) = origin {
            health = health.header("origin", origin);
            unauthenticated = unauthenticated.header("origin", origin);
        }
        for (request, status) in [(health, 200), (unauthenticated, 401)] {
            let response = worker.send(request).await;
            assert_eq!(response.status, status, "{case}: {response}");
            assert_eq!(response.header(allow_origin), None, "{case}: {response}");
            // Without it a cache could serve one origin's response to another.
            assert_eq!(response.header("vary"), Some("Origin"), "{case}: {response}");
        }
    }
    // A preflight for a path that does not exist.
    let nowhere = worker
        .request(Method::OPTIONS, "/nowhere")
        .header("origin", PAGE)
        .header("access-control-request-method", "POST");
    assert_eq!(worker.send(nowhere).await.status, 401);
}

#[tokio::test]
async fn without_allowed_origins_every_page_is_forbidden() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let preflight = worker
        .request(Method::OPTIONS, "/")
        .header("origin", PAGE)
        .header("access-control-request-method", "POST");
    let page = worker.request(Method::POST, "/").header("origin", PAGE).body("{}");
    // This Worker needs no authentication, so a page of another site could spend its tokens.
    for request in [preflight, page] {
        let response = worker.send(request).await;
        assert_eq!(response.status, 403, "{response}");
        assert_eq!(response.header("access-control-allow-origin"), None, "{response}");
        assert_eq!(response.header("vary"), None, "{response}");
    }
}

#[tokio::test]
async fn a_browsers_websocket_needs_an_allowed_origin_and_a_token() {
    let fixture = fixture().await;
    let worker = &fixture.worker;
    let offer = format!("bedrock-edge, bearer.{TOKEN}");
    let handshake =
        |origin, protocols: &str| worker.handshake_with(origin, Some(protocols.to_owned()));
    for origin in [None, Some(PAGE), Some("https://worker")] {
        let mut socket = handshake(origin, &offer).await.unwrap_or_else(|it| panic!("{it}"));
        // The response does not contain the token.
        assert_eq!(socket.subprotocol, Subprotocol::BedrockEdge, "{origin:?}");
        socket.prompt("Hello").await;
        let reply = socket.reply("Hello").await;
        assert_eq!(reply.last.name, "done", "{reply}");
    }
    let line = worker.nth_log_line(1).await;
    assert_eq!(line["caller"], "token:page", "{line}");
    // Without `bedrock-edge` among the protocols the server chooses none, and a browser fails.
    let socket =
        handshake(None, &format!("bearer.{TOKEN}")).await.unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(socket.subprotocol, Subprotocol::None);

    for (case, origin, offer, status) in [
        ("no token", Some(PAGE), "bedrock-edge", 401),
        ("another page", Some("https://evil.example"), &*offer, 403),
        ("a page without an origin", Some("null"), &*offer, 403),
        // DNS rebinding: a name of the page's own that leads to this machine.
        ("a name over plain HTTP", Some("http://worker"), &*offer, 403),
    ] {
        let Err(response) = handshake(origin, offer).await else { panic!("{case}") };
        assert_eq!(response.status, status, "{case}: {response}");
    }
}

/// Sends a prompt to the open Worker with these header lines.
async fn send_raw(lines: &[u8]) -> Response {
    let Fixture { worker, .. } = Fixture::shared().await;
    let mut connection = worker.connect().await;
    let body = r#"{"prompt":"Hello"}"#;
    let head = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    connection.write([head.as_bytes(), lines, b"\r\n\r\n", body.as_bytes()].concat()).await;
    connection.response().await
}

#[tokio::test]
async fn a_header_value_that_http_does_not_allow_is_refused_and_not_ignored() {
    for (line, name) in [
        (&b"host: worker\r\norigin: https://evil.example\x7f"[..], "origin"),
        (b"host: worker\r\norigin: https://evil.example\x01", "origin"),
        (b"host: worker\r\ncontent-type: text/plain\x7f", "content-type"),
        (b"host: worker\r\nauthorization: Bearer a\x7f", "authorization"),
        (b"host: worker\x7f\r\norigin: https://evil.example", "host"),
    ] {
        let response = send_raw(line).await;
        assert_eq!(response.status, 400, "{name}: {response}");
        // workerd refuses some of them by itself.
        if let Some(code) = response.header("x-error-code") {
            assert_eq!(code, "invalid_request", "{response}");
            let message =
                format!("the value of the header {name} has a character that HTTP does not allow");
            assert!(response.body.contains(&message), "{response}");
        }
    }
}

#[tokio::test]
async fn a_page_whose_name_leads_to_this_machine_is_forbidden() {
    for (line, status) in [
        (&b"host: attacker.example\r\norigin: http://attacker.example"[..], 403),
        (b"host: attacker.example:8787\r\norigin: http://attacker.example:8787", 403),
        (b"host: localhost:8787\r\norigin: http://localhost:8787", 200),
        (b"host: edge.example\r\norigin: https://edge.example", 200),
    ] {
        let response = send_raw(line).await;
        assert_eq!(response.status, status, "{}: {response}", String::from_utf8_lossy(line));
    }
}
