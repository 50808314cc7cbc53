//! Browsers: preflights, answers that a page may read, and WebSockets, as browsers ask for them.

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
    }))
    .await
}

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
async fn a_preflight_and_what_follows() {
    let fixture = fixture().await;
    let worker = &fixture.worker;
    // As Chromium sends it for a fetch() with JSON and a token.
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
    assert_eq!(response.header("access-control-allow-methods"), Some("POST"), "{response}");
    let allowed = response.header("access-control-allow-headers");
    assert_eq!(allowed, Some("content-type, authorization, x-api-key"), "{response}");
    assert_eq!(response.header("access-control-max-age"), Some("3600"), "{response}");

    let post = |prompt: &str, token: &str| {
        let body = json!({ "prompt": prompt, "stream": prompt.contains("stream") });
        let request = worker.request(Method::POST, "/").header("origin", PAGE).json(&body);
        worker.send(request.bearer_auth(token))
    };
    for (case, prompt, token, status) in [
        ("an answer", "Hello", TOKEN, 200),
        ("a stream", "stream", TOKEN, 200),
        ("the caller's fault", " ", TOKEN, 400),
        ("Bedrock's fault", "fault:throttled", TOKEN, 500),
        ("a stranger", "Hello", "wrong", 401),
    ] {
        let response = post(prompt, token).await;
        assert_eq!(response.status, status, "{case}: {response}");
        assert_readable(case, &response);
    }
    // `GET` of health needs no preflight, and is for all.
    let health = worker.request(Method::GET, "/healthz").header("origin", PAGE);
    assert_readable("health", &worker.send(health).await);
}

#[tokio::test]
async fn who_else_asks() {
    let fixture = fixture().await;
    let worker = &fixture.worker;
    let allow_origin = "access-control-allow-origin";
    for origin in [None, Some("https://evil.example"), Some("null")] {
        let case = format!("{origin:?}");
        let mut health = worker.request(Method::GET, "/healthz");
        let mut stranger = worker.request(Method::POST, "/").bearer_auth("wrong");
        if let Some(origin) = origin {
            health = health.header("origin", origin);
            stranger = stranger.header("origin", origin);
        }
        for (request, status) in [(health, 200), (stranger, 401)] {
            let response = worker.send(request).await;
            assert_eq!(response.status, status, "{case}: {response}");
            assert_eq!(response.header(allow_origin), None, "{case}: {response}");
            // So that no cache gives the one's answer to the other.
            assert_eq!(response.header("vary"), Some("Origin"), "{case}: {response}");
        }
    }
    // A preflight for what there is not.
    let nowhere = worker
        .request(Method::OPTIONS, "/nowhere")
        .header("origin", PAGE)
        .header("access-control-request-method", "POST");
    assert_eq!(worker.send(nowhere).await.status, 401);
}

#[tokio::test]
async fn off_by_default() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let preflight = worker
        .request(Method::OPTIONS, "/")
        .header("origin", PAGE)
        .header("access-control-request-method", "POST");
    let page = worker.request(Method::POST, "/").header("origin", PAGE).body("{}");
    // Nobody is asked who they are, so this page would spend somebody else's tokens.
    for request in [preflight, page] {
        let response = worker.send(request).await;
        assert_eq!(response.status, 403, "{response}");
        assert_eq!(response.header("access-control-allow-origin"), None, "{response}");
        assert_eq!(response.header("vary"), None, "{response}");
    }
}

#[tokio::test]
async fn a_web_socket() {
    let fixture = fixture().await;
    let worker = &fixture.worker;
    let offer = format!("bedrock-edge, bearer.{TOKEN}");
    let asked = |origin, protocols: &str| worker.handshake_with(origin, Some(protocols.to_owned()));
    for origin in [None, Some(PAGE), Some("http://worker")] {
        let mut socket = asked(origin, &offer).await.unwrap_or_else(|it| panic!("{it}"));
        // The token is not repeated.
        assert_eq!(socket.subprotocol, Subprotocol::BedrockEdge, "{origin:?}");
        socket.prompt("Hello").await;
        let reply = socket.reply("Hello").await;
        assert_eq!(reply.last.name, "done", "{reply}");
    }
    let line = worker.nth_log_line(1).await;
    assert_eq!(line["caller"], "token:page", "{line}");
    // Without our protocol none is chosen, which a browser takes for a failure.
    let socket = asked(None, &format!("bearer.{TOKEN}")).await.unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(socket.subprotocol, Subprotocol::None);

    for (case, origin, offer, status) in [
        ("no token", Some(PAGE), "bedrock-edge", 401),
        ("another page", Some("https://evil.example"), &*offer, 403),
        ("a page that has none", Some("null"), &*offer, 403),
    ] {
        let Err(response) = asked(origin, offer).await else { panic!("{case}") };
        assert_eq!(response.status, status, "{case}: {response}");
    }
}
