//! `examples/embedded` under `wrangler dev`: a Rust Worker with routes of its own.

use std::collections::BTreeSet;

use bedrock_edge_tests::root;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{ExampleServer, target, wrangler};

const TOKEN: &str = "Token example";

trait WithToken {
    /// Adds the token that this Worker's own authentication expects.
    fn with_token(self) -> Self;
}

impl WithToken for RequestBuilder {
    fn with_token(self) -> Self {
        self.header("authorization", TOKEN)
    }
}

/// Sends a request, and returns the status and the body.
async fn send(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_rust_worker_can_embed_the_handler_the_core_and_the_signer() {
    let worker = ExampleServer::start("embedded", "/ai/healthz", |port, variables| {
        let variables = [variables, &[("APP_TOKEN", "example".to_owned())]].concat();
        let mut wrangler = wrangler("embedded", "examples/embedded", &[], port, &variables);
        wrangler.env("CARGO_TARGET_DIR", target("embedded"));
        wrangler
    })
    .await;
    let post = |path, body: Value| worker.request(Method::POST, path).with_token().json(&body);

    // The Worker's own authentication protects every route.
    for path in ["/ai", "/ai/healthz", "/haiku", "/chat", "/"] {
        let (status, body) = send(worker.request(Method::POST, path)).await;
        assert_eq!((status, body.as_str()), (401, "who are you?"), "{path}");
    }

    // The handler of bedrock-edge, with all its routes under a path.
    let (status, body) = send(post("/ai", json!({ "prompt": "こんにちは" }))).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["input_prompt"]), (200, &json!("こんにちは")), "{body}");
    let (status, events) = send(post("/ai", json!({ "prompt": "hi", "stream": true }))).await;
    assert_eq!(status, 200, "{events}");
    assert!(events.contains("event: done\n"), "{events}");
    let (status, body) = send(worker.request(Method::GET, "/ai/ws").with_token()).await;
    assert_eq!(status, 426, "{body}");
    let (status, body) = send(post("/ai/nothing", json!({}))).await;
    assert_eq!(status, 404, "{body}");
    let (status, body) = send(worker.request(Method::GET, "/ai/usage").with_token()).await;
    let usage: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &usage["today"]["limit"]), (200, &json!(100_000)), "{body}");
    assert!(usage["today"]["used"].as_u64().is_some_and(|used| used > 0), "{body}");
    // No route of bedrock-edge exists outside that path.
    let (status, body) = send(post("/", json!({}))).await;
    assert_eq!((status, body.contains("generated_text")), (404, false), "{body}");

    // The core, with the Worker's own prompt and response.
    let before = worker.stub.requests().len();
    for is_new in [true, false] {
        let (status, body) = send(post("/haiku", json!({ "subject": "rain" }))).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["is_new"]), (200, &json!(is_new)), "{body}");
        assert!(body["haiku"].as_str().unwrap().contains("A haiku about rain."), "{body}");
    }
    let sent = worker.stub.requests().split_off(before);
    assert_eq!(sent.len(), 1, "the second haiku comes from the Worker's own KV namespace");
    let sent: Value = serde_json::from_slice(&sent[0].body).unwrap();
    assert_eq!(sent["system"], "You are Bashō.");
    let (status, body) = send(post("/haiku", json!({ "prompt": "rain" }))).await;
    assert_eq!((status, body.as_str()), (400, r#"the body must be {"subject": "…"}"#));

    // The signer, for another operation of Bedrock.
    let turns = json!([
        { "role": "user", "text": "one" },
        { "role": "assistant", "text": "two" },
        { "role": "user", "text": "three" },
    ]);
    let (status, body) = send(post("/chat", turns)).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["role"]), (200, &json!("assistant")), "{body}");
    assert!(body["text"].as_str().unwrap().contains("three"), "{body}");
    let sent = worker.stub.requests().pop().unwrap();
    assert!(sent.target.ends_with("/converse"), "{}", sent.target);

    worker.stop().await;
    assert_bedrock_edge_exports_nothing().await;
}

/// The names of a wasm's exports, without the hashes of closures.
async fn exports(folder: &str) -> BTreeSet<String> {
    const LIST: &str = r#"
        const wasm = new WebAssembly.Module(require("fs").readFileSync(process.argv[1]));
        console.log(JSON.stringify(WebAssembly.Module.exports(wasm).map(({ name }) => name)));
    "#;
    let wasm = root().join(folder).join("build/index_bg.wasm");
    // The version in package-lock.json, because the system's may be too old.
    let node = Command::new(root().join("node_modules/.bin/node"))
        .args(["-e", LIST])
        .arg(&wasm)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&node.stderr);
    assert!(node.status.success(), "{}: {errors}", wasm.display());
    let names: Vec<String> = serde_json::from_slice(&node.stdout).unwrap();
    // wasm-bindgen puts a hash into the export of a closure's type:
    // https://github.com/wasm-bindgen/wasm-bindgen.
    let without_hash = |name: String| match name.rsplit_once("__h") {
        Some((name, _)) if name.starts_with("wasm_bindgen__convert__closures") => name.to_owned(),
        _ => name,
    };
    names.into_iter().map(without_hash).collect()
}

/// Asserts that the example has the same exports as a Worker without bedrock-edge, apart from its
/// own Durable Object.
async fn assert_bedrock_edge_exports_nothing() {
    let build = Command::new(root().join("scripts/with-tools"))
        .args(["worker-build", "--release"])
        .current_dir(root().join("tests/plain-worker"))
        // This target directory already has the compiled crate `worker`.
        .env("CARGO_TARGET_DIR", target("embedded"))
        .output()
        .await
        .unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    let embedded = exports("examples/embedded").await;
    let plain = exports("tests/plain-worker").await;
    assert!(plain.contains("fetch"), "{plain:?}");
    let (own, added): (Vec<&String>, Vec<&String>) =
        embedded.difference(&plain).partition(|name| name.contains("haikuledger"));
    assert!(!own.is_empty(), "{embedded:?}");
    assert!(added.is_empty(), "{added:?}");
}
