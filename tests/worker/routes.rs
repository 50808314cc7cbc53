//! Routing by path and method.

use reqwest::Method;
use serde_json::json;

use crate::support::assertions::assert_rejected;
use crate::support::client::Response;
use crate::support::fixture::Fixture;
use crate::support::workerd::Workerd;

const NOT_FOUND: (u16, &str) = (404, "not_found");
const METHOD_NOT_ALLOWED: (u16, &str) = (405, "method_not_allowed");

const GENERATE: &str = "GET, HEAD, OPTIONS, POST";
const HEALTH: &str = "GET, HEAD, OPTIONS";
const USAGE: &str = "GET, HEAD, OPTIONS";
const SOCKET: &str = "GET, OPTIONS";

/// Sends a request line exactly as given. reqwest would normalize the URL.
async fn send_raw(worker: &Workerd, method: &str, target: &str) -> Response {
    let mut connection = worker.connect().await;
    let head = format!("{method} {target} HTTP/1.1\r\nhost: worker\r\ncontent-length: 0\r\n\r\n");
    connection.write(head).await;
    connection.response().await
}

#[tokio::test]
async fn the_health_check_is_ok() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let targets = ["/healthz", "/healthz?", "/healthz?verbose=1", "http://another/healthz"];
    for path in targets {
        let response = send_raw(worker, "GET", path).await;
        response.assert_envelope(path, 200, "", "ok");
        assert_eq!(response.header_names(), ["content-type", "x-request-id"], "{path}: {response}");
    }
}

#[tokio::test]
async fn the_query_is_ignored() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let targets = ["/?", "/?x=1", "/?prompt=other", "/?a=/healthz", "/?%", "/?/healthz?//"];
    for target in targets {
        let response = send_raw(worker, "POST", target).await;
        assert_eq!(response.status, 200, "{target}: {response}");
        let default = r#"{"input_prompt":"Hello, how can I help you?","#;
        assert!(response.body.starts_with(default), "{target}: {response}");
    }
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let long = format!("/{}", "a".repeat(8000));
    let targets = [
        "//",
        "///",
        "//healthz",
        "/healthz/",
        "/healthz//",
        "/HEALTHZ",
        "/healthz%3Fx",
        "/health%7A",
        "/ws/",
        "/WS",
        "/healthz%00",
        "/healthz;x",
        "/index.html",
        "/favicon.ico",
        "/%2F",
        "/%2f%2e%2e",
        "/%",
        "/%zz",
        "/%ff%fe",
        "/%00",
        "/%0d%0ax-injected:%201",
        "/日本語",
        "/%E6%97%A5",
        "/:@[]",
        // workerd does not normalize paths.
        "/.",
        "/../healthz",
        "/%2e%2e/healthz",
        "/\\",
        "/\\healthz",
        "*",
        &long,
    ];
    for target in targets {
        for method in ["GET", "POST", "OPTIONS"] {
            let case = format!("{method} {target:.40}");
            let response = send_raw(worker, method, target).await;
            let message = "there is nothing at this path";
            assert_rejected(&case, worker, &response, NOT_FOUND, message).await;
        }
    }
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let cases = [
        ("/", vec!["PUT", "DELETE", "PATCH", "TRACE"], GENERATE),
        ("/healthz", vec!["POST", "PUT", "DELETE", "PATCH", "TRACE"], HEALTH),
        ("/ws", vec!["POST", "PUT", "DELETE", "PATCH", "TRACE"], SOCKET),
        ("/usage", vec!["POST", "PUT", "DELETE", "PATCH", "TRACE"], USAGE),
    ];
    for (path, methods, allow) in cases {
        for method in methods {
            let case = format!("{method} {path}");
            let response = send_raw(worker, method, path).await;
            let message = format!("the method must be one of {allow}");
            assert_rejected(&case, worker, &response, METHOD_NOT_ALLOWED, &message).await;
            assert_eq!(response.header("allow"), Some(allow), "{case}: {response}");
        }
    }
}

#[tokio::test]
async fn responses_to_options_and_head_have_no_body() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let cases = [
        (Method::OPTIONS, "/", 204, Some(GENERATE), None),
        (Method::OPTIONS, "/healthz", 204, Some(HEALTH), None),
        (Method::OPTIONS, "/usage", 204, Some(USAGE), None),
        (Method::HEAD, "/usage", 200, None, None),
        (Method::OPTIONS, "/ws", 204, Some(SOCKET), None),
        (Method::HEAD, "/healthz", 200, None, None),
        (Method::HEAD, "/ws", 405, Some(SOCKET), Some("method_not_allowed")),
        (Method::HEAD, "/", 200, None, None),
        (Method::HEAD, "/nowhere", 404, None, Some("not_found")),
    ];
    for (method, path, status, allow, code) in cases {
        let case = format!("{method} {path}");
        let response = worker.send(worker.request(method, path)).await;
        assert_eq!(response.status, status, "{case}: {response}");
        assert_eq!(response.body, "", "{case}: {response}");
        assert_eq!(response.header("allow"), allow, "{case}: {response}");
        assert_eq!(response.header("x-error-code"), code, "{case}: {response}");
        let line = worker.log_line(response.request_id()).await;
        assert_eq!(line["status"], status, "{case}: {line}");
        assert_eq!(line["outcome"], code.unwrap_or("ok"), "{case}: {line}");
    }
}

#[tokio::test]
async fn the_websocket_path_requires_an_upgrade() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let message = "this path takes WebSockets only";
    for upgrade in [None, Some("h2c"), Some("")] {
        let mut request = worker.request(Method::GET, "/ws?x=1");
        if let Some(upgrade) = upgrade {
            request = request.header("upgrade", upgrade);
        }
        let response = worker.send(request).await;
        let case = format!("upgrade: {upgrade:?}");
        // Without `upgrade: websocket`: workerd removes hop-by-hop headers from the response.
        assert_rejected(&case, worker, &response, (426, "upgrade_required"), message).await;
    }
    // The header has no effect on other paths.
    let response =
        worker.send(worker.request(Method::GET, "/healthz").header("upgrade", "websocket")).await;
    response.assert_envelope("health", 200, "", "ok");
}

#[tokio::test]
async fn a_connection_serves_pipelined_requests_in_order() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let mut connection = worker.connect().await;
    // Pipelined. The body of a rejected request must not be parsed as the next request.
    let body = "GET /healthz HTTP/1.1\r\n\r\n";
    connection
        .write(format!(
            "GET /healthz HTTP/1.1\r\nhost: worker\r\n\r\n\
             POST / HTTP/1.1\r\nhost: worker\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}\
             POST / HTTP/1.1\r\nhost: worker\r\ncontent-length: 2\r\n\r\n{{}}\
             GET /nowhere HTTP/1.1\r\nhost: worker\r\n\r\n",
            body.len()
        ))
        .await;
    for status in [200, 415, 200, 404] {
        let response = connection.response().await;
        assert_eq!(response.status, status, "{response}");
    }
}

#[tokio::test]
async fn all_routes_are_under_the_base_path() {
    let fixture = Fixture::with_bindings(json!({ "BASE_PATH": "/ai" })).await;
    let worker = &fixture.worker;
    for (target, status) in
        [("/ai", 200), ("/ai/", 200), ("/ai?x=/", 200), ("/", 404), ("/aims", 404)]
    {
        let response = send_raw(worker, "POST", target).await;
        assert_eq!(response.status, status, "{target}: {response}");
    }
    for (target, status) in [("/ai/healthz", 200), ("/healthz", 404), ("/ai/ws", 426), ("/ws", 404)]
    {
        let response = send_raw(worker, "GET", target).await;
        assert_eq!(response.status, status, "{target}: {response}");
    }
    let invocation = "/ai/2015-03-31/functions/f/invocations";
    let response = send_raw(worker, "POST", invocation).await;
    assert_eq!(response.header("x-amz-executed-version"), Some("$LATEST"), "{response}");
}
