//! The Worker itself from the npm package: Node.js alone, without Rust, a clone, or an AWS account.

use std::fs;
use std::time::Duration;

use bedrock_edge_tests::processes::free_port;
use bedrock_edge_tests::root;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

use super::{Project, path_with_node, run};
use crate::support::ExampleServer;

/// The time from an empty folder to the first reply, with the packages in npm's cache.
const FIRST_REPLY: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_empty_folder_gets_its_first_reply_within_a_minute_with_node_only() {
    super::tarball().await;
    let start = Instant::now();
    let wrangler = fs::read_to_string(root().join("package.json")).unwrap();
    let wrangler: Value = serde_json::from_str(&wrangler).unwrap();
    let wrangler =
        format!("wrangler@{}", wrangler["devDependencies"]["wrangler"].as_str().unwrap());
    let project = Project::install("template", None, &[&wrangler]).await;
    let copy = ["-r", "node_modules/bedrock-edge/template/.", "."];
    run(Command::new("cp").args(copy).current_dir(&project.0)).await;
    // The ports of the documentation may be in use.
    let stand_in = free_port();
    let file = project.0.join(".dev.vars");
    let vars = fs::read_to_string(&file).unwrap();
    assert!(vars.contains("127.0.0.1:8788"), "{vars}");
    fs::write(&file, vars.replace("8788", &stand_in.to_string())).unwrap();
    let worker = ExampleServer::start("npm-template", "/healthz", |port, _| {
        let mut command = Command::new("npx");
        command
            .args(["bedrock-edge-stand-in", "--port", &stand_in.to_string()])
            .args(["npx", "wrangler", "dev", "--ip", "127.0.0.1", "--port", &port.to_string()])
            .args(["--inspector-port", "0"])
            .current_dir(&project.0)
            .env("PATH", path_with_node())
            .env("WRANGLER_SEND_METRICS", "false")
            .env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
        command
    })
    .await;
    let post = async |body: Value| {
        let response = worker.request(Method::POST, "/").json(&body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    const REPLY: &str = "You said: \"こんにちは\" (5 characters). This is the Bedrock stand-in.";
    let (status, body) = post(json!({ "prompt": "こんにちは" })).await;
    let took = start.elapsed();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["generated_text"]), (200, &json!(REPLY)), "{body}");
    println!("the first reply after {took:?}");
    assert!(took < FIRST_REPLY, "{took:?}");

    let (status, events) = post(json!({ "prompt": "こんにちは", "stream": true })).await;
    assert_eq!(status, 200, "{events}");
    assert!(events.matches("event: delta\n").count() > 3, "{events}");
    let done = events.trim_end().rsplit_once("event: done\ndata: ").unwrap().1;
    let done: Value = serde_json::from_str(done).unwrap();
    assert_eq!(
        (&done["generated_text"], &done["stop_reason"]),
        (&json!(REPLY), &json!("end_turn"))
    );
    let (status, cut) = post(json!({ "prompt": "hi", "max_tokens": 2 })).await;
    assert_eq!(status, 200, "{cut}");
    assert!(cut.contains(r#""You said: ""#), "{cut}");
    worker.stop().await;

    // What `wrangler deploy` would send.
    let output = run(Command::new("npx")
        .args(["wrangler", "deploy", "--dry-run"])
        .current_dir(&project.0)
        .env("NO_COLOR", "1")
        .env("WRANGLER_SEND_METRICS", "false"))
    .await;
    assert!(output.contains("Total Upload: ") && !output.contains("WARNING"), "{output}");
    println!("{}", output.lines().find(|line| line.starts_with("Total Upload")).unwrap());
}
