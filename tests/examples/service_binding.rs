//! `examples/service-binding` and bedrock-edge under one `wrangler dev`.

use std::fs;
use std::path::{Path, PathBuf};

use bedrock_edge_tests::root;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{ExampleServer, wrangler};

const FOLDER: &str = "examples/service-binding";

const TOKEN: &str = "example-token-of-the-callers-own-00000000000";
const TOKEN_SHA256: &str = "944f9bf30c5889fc9ac0cfbe54acaba7826f42ee0c5f29028f97a7af7f9cea62";

/// Writes the configuration of bedrock-edge to a folder of its own, because wrangler reads the
/// variables of a second Worker only from its folder, and the project's has the developer's.
fn bedrock_edge(variables: &[(&str, String)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bedrock-edge");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(root().join("build"), folder.join("build")).unwrap();
    let mut vars: String =
        variables.iter().map(|(name, value)| format!("{name}=\"{value}\"\n")).collect();
    // `fetch` requires this token; the RPC methods do not.
    vars += &format!("API_TOKENS=\"caller:{TOKEN_SHA256}\"\n");
    fs::write(folder.join(".dev.vars"), vars).unwrap();
    // Remove the build command: the Worker is already built.
    let configuration = fs::read_to_string(root().join("wrangler.toml")).unwrap();
    let (before, rest) = configuration.split_once("[build]").unwrap();
    let after = rest.split_once("\n\n").unwrap().1;
    let file = folder.join("wrangler.toml");
    fs::write(&file, format!("{before}\n{after}")).unwrap();
    file
}

#[tokio::test]
async fn a_typescript_worker_can_call_fetch_generate_and_stream_through_a_service_binding() {
    let workers = ExampleServer::start("service-binding", "/", |port, variables| {
        let callee = bedrock_edge(variables);
        let both = ["wrangler.toml", callee.to_str().unwrap()];
        let token = [("BEDROCK_TOKEN", TOKEN.to_owned())];
        wrangler("service-binding", FOLDER, &both, port, &token)
    })
    .await;
    let post = async |path: &str, prompt: &str| {
        let request = workers.request(Method::POST, path).body(prompt.to_owned());
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        (status, content_type, response.text().await.unwrap())
    };
    let json_of = |text: &str| serde_json::from_str::<Value>(text).unwrap();

    // The binding's `fetch`, whose response is passed on unchanged.
    let (status, content_type, body) = post("/fetch", "こんにちは").await;
    assert_eq!((status, content_type.as_str()), (200, "application/json; charset=utf-8"));
    assert_eq!(json_of(&body)["input_prompt"], "こんにちは", "{body}");
    let (status, _, body) = post("/fetch", " ").await;
    assert_eq!(status, 400, "{body}");

    // RPC.
    let (status, _, body) = post("/call", "hi").await;
    let result = json_of(&body);
    assert_eq!(status, 200, "{body}");
    assert_eq!(result["text"], "You said: \"hi\" (2 characters). This is the Bedrock stand-in.");
    assert_eq!(result["tokens"], 19, "{body}");
    let sent: Value = serde_json::from_slice(&workers.stub.requests().pop().unwrap().body).unwrap();
    assert_eq!(sent["max_tokens"], 50, "{sent}");
    let errors = [
        (" ", 502, "invalid_request", "prompt must not be blank"),
        ("fault:access_denied", 502, "access_denied", "Bedrock invocation failed"),
    ];
    for (prompt, status, code, message) in errors {
        let (actual, _, body) = post("/call", prompt).await;
        assert_eq!(actual, status, "{prompt}: {body}");
        assert_eq!(json_of(&body), json!({ "code": code, "message": message }), "{prompt}");
    }

    // RPC, streaming.
    let (status, content_type, events) = post("/stream", "hi").await;
    assert_eq!((status, content_type.as_str()), (200, "text/event-stream; charset=utf-8"));
    assert!(events.starts_with("event: start\n"), "{events}");
    assert!(events.matches("event: delta\n").count() > 5, "{events}");
    let done = json_of(events.trim_end().rsplit_once("event: done\ndata: ").unwrap().1);
    assert_eq!(done["generated_text"], result["text"], "{done}");
    let request = workers.request(Method::POST, "/stream").body("fault:pace:50");
    let mut stream = request.send().await.unwrap();
    let mut chunks = 0;
    while stream.chunk().await.unwrap().is_some() {
        chunks += 1;
    }
    assert!(chunks > 5, "the chunks do not arrive one by one: {chunks}");

    // The log of bedrock-edge has the caller.
    for caller in ["token:caller", "binding:caller"] {
        let logged = workers.logs().contains(&format!(r#""caller":"{caller}""#));
        assert!(logged, "{caller}: {}", workers.logs());
    }
    workers.stop().await;
}

#[tokio::test]
async fn the_type_declarations_pass_tsc() {
    let check = Command::new(root().join("node_modules/.bin/tsc"))
        .args(["--noEmit", "--project"])
        .arg(root().join(FOLDER))
        .output()
        .await
        .expect("tsc: npm ci installs it");
    let found = String::from_utf8_lossy(&check.stdout);
    assert!(check.status.success(), "{found}{}", String::from_utf8_lossy(&check.stderr));
}
