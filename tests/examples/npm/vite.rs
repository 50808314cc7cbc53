//! `examples/vite`: a page and its Worker, with `@cloudflare/vite-plugin`.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Project, path_with_node, run};
use crate::support::ExampleServer;

#[tokio::test]
async fn a_page_and_its_worker_run_with_the_vite_plugin_in_development_and_as_they_are_deployed() {
    let project = Project::install("vite", Some("examples/vite"), &[]).await;
    project.check_types().await;
    let page = ["--project", "tsconfig.page.json"];
    run(Command::new("tsc").args(page).current_dir(&project.0)).await;
    for (name, command) in [("npm-vite-dev", "dev"), ("npm-vite-preview", "preview")] {
        let vite = || {
            let mut vite = Command::new("node_modules/.bin/vite");
            vite.current_dir(&project.0)
                .env("PATH", path_with_node())
                .env("WRANGLER_SEND_METRICS", "false")
                .env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
            vite
        };
        let server = ExampleServer::start_with(name, "/ai/healthz", async |port, variables| {
            let vars: Vec<String> =
                variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            fs::write(project.0.join(".dev.vars"), vars.concat() + "AUTH=open\n").unwrap();
            if command == "preview" {
                run(vite().arg("build")).await;
            }
            let mut vite = vite();
            vite.args([command, "--strictPort", "--host=127.0.0.1", "--port", &port.to_string()]);
            vite
        })
        .await;
        let send = async |method, path: &str, body: Value| {
            let response = server.request(method, path).json(&body).send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        let (status, page) = send(Method::GET, "/", Value::Null).await;
        assert!(status == 200 && page.contains("<form>"), "{name}: {status} {page}");
        for _ in 0..2 {
            let (status, body) = send(Method::POST, "/ai", json!({ "prompt": "hi" })).await;
            assert!(status == 200 && body.contains("You said"), "{name}: {status} {body}");
        }
        let (status, events) = send(Method::GET, "/haiku", Value::Null).await;
        assert!(status == 200 && events.contains("event: done\n"), "{name}: {status} {events}");
        let (status, usage) = send(Method::GET, "/ai/usage", Value::Null).await;
        let usage: Value = serde_json::from_str(&usage).unwrap();
        assert_eq!((status, &usage["limited"]), (200, &json!(true)), "{name}: {usage}");
        let (status, _) = send(Method::GET, "/ai/nothing", Value::Null).await;
        assert_eq!(status, 404, "{name}");
        server.stop().await;
    }
}
