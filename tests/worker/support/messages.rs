//! Workers that serve the Messages API, and its clients.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bedrock_edge_tests::root;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use super::client::Connection;
use super::fixture::Fixture;
use super::signer::sha256_hex;
use super::sse::SseResponse;

/// The token that the Workers of [`messages_fixture`] accept.
pub const TOKEN: &str = "messages-token-of-the-tests";

/// The time of a client with all of its requests, or of an installation.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(180);

/// Starts a Worker that allows every model, with these bindings in addition.
pub async fn messages_fixture(bindings: &Value) -> Fixture {
    let mut all = json!({
        "AUTH": null,
        "API_TOKENS": format!("claude:{}", sha256_hex(TOKEN)),
        "ALLOWED_MODELS": "*",
        "BEDROCK_MODEL_ID": "global.anthropic.claude-opus-5-5",
    });
    all.as_object_mut().unwrap().extend(bindings.as_object().unwrap().clone());
    Fixture::with_bindings(all).await
}

/// Returns a body with one message.
pub fn ask(prompt: &str, stream: bool) -> Value {
    json!({
        "model": "claude-opus-5-5",
        "max_tokens": 4096,
        "stream": stream,
        "messages": [{ "role": "user", "content": prompt }],
    })
}

/// Writes a request to the Messages API, and returns its connection.
pub async fn send<'a>(fixture: &'a Fixture, body: &Value) -> Connection<'a> {
    let mut connection = fixture.worker.connect().await;
    let body = body.to_string();
    let head = format!(
        "POST /v1/messages?beta=true HTTP/1.1\r\nhost: worker\r\ncontent-type: application/json\r\n\
         authorization: Bearer {TOKEN}\r\nanthropic-version: 2023-06-01\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write(head + &body).await;
    connection
}

/// Requests a streamed reply, and waits for the head of the response.
pub async fn stream<'a>(fixture: &'a Fixture, prompt: &str) -> SseResponse<'a> {
    SseResponse::from_connection(send(fixture, &ask(prompt, true)).await).await
}

/// Runs a program to its end. Panics if it takes too long or fails.
pub async fn stdout_of(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(CLIENT_TIMEOUT, output).await.expect("the client exits in time").unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    text
}

/// Runs one of the scripts that install a tool, and returns the path that it prints.
pub async fn installed(script: &str) -> PathBuf {
    let path = stdout_of(&mut Command::new(root().join("scripts").join(script))).await;
    PathBuf::from(path.trim_end())
}
