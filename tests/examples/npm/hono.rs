//! `examples/hono`: the routes of bedrock-edge in a Hono app.

use reqwest::Method;
use serde_json::{Value, json};

use super::Project;
use crate::support::{ExampleServer, wrangler};

#[tokio::test]
async fn a_hono_app_gets_the_gateway_in_one_line() {
    let project = Project::install("hono", Some("examples/hono"), &["--omit=dev"]).await;
    project.check_types().await;
    let worker = ExampleServer::start("hono", "/ai/healthz", |port, variables| {
        let open = [("AUTH", "open".to_owned())];
        wrangler("hono", project.path(), &[], port, &[variables, &open].concat())
    })
    .await;
    let send = async |method, path: &str, body: Value| {
        let response = worker.request(method, path).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    for path in ["/ai", "/ai/"] {
        let (status, body) = send(Method::POST, path, json!({ "prompt": "こんにちは" })).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["input_prompt"]), (200, &json!("こんにちは")), "{path}: {body}");
    }
    let stream = json!({ "prompt": "hi", "stream": true });
    let (status, events) = send(Method::POST, "/ai", stream).await;
    assert_eq!(status, 200, "{events}");
    assert!(events.contains("event: done\n"), "{events}");
    let (status, usage) = send(Method::GET, "/ai/usage", json!({})).await;
    let usage: Value = serde_json::from_str(&usage).unwrap();
    assert_eq!((status, &usage["today"]["limit"]), (200, &json!(100_000)), "{usage}");
    assert!(usage["today"]["used"].as_u64().is_some_and(|used| used > 0), "{usage}");
    // Outside of its path, bedrock-edge has no routes.
    let (status, body) = send(Method::POST, "/", json!({})).await;
    assert_eq!((status, body.as_str()), (404, "404 Not Found"));
    worker.stop().await;
}
