//! An issuer of JWTs: jose makes the tokens, and a server here has the keys.

use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_edge_tests::root;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::client::TIMEOUT;

/// What the server answers.
#[derive(Clone)]
pub struct JwksResponse {
    pub status: u16,
    pub body: String,
    pub delay: Duration,
}

pub struct Issuer {
    pub url: String,
    /// Of `tests/clients/issuer.mjs`.
    pub generated: Value,
    state: Arc<Mutex<(JwksResponse, Vec<String>)>>,
}

impl Issuer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let node = Command::new(root().join("node_modules/.bin/node"))
            .arg(root().join("tests/clients/issuer.mjs"))
            .arg(&url)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(TIMEOUT, node).await.expect("the issuer ends").unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let generated: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("issuer.mjs: {error}: {errors}"));

        let keys = JwksResponse {
            status: 200,
            body: generated["keys"].to_string(),
            delay: Duration::ZERO,
        };
        let state = Arc::new(Mutex::new((keys, Vec::new())));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { url, generated, state }
    }

    /// A token by its name there.
    pub fn token(&self, name: &str) -> &str {
        self.generated["tokens"][name].as_str().unwrap_or_else(|| panic!("no token is {name:?}"))
    }

    /// From now on it answers so.
    pub fn set_response(&self, change: impl FnOnce(&mut JwksResponse)) {
        change(&mut self.state.lock().unwrap().0);
    }

    /// The paths that were asked for so far.
    pub fn requested_paths(&self) -> Vec<String> {
        self.state.lock().unwrap().1.clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    state: Arc<Mutex<(JwksResponse, Vec<String>)>>,
) -> io::Result<()> {
    let mut received = Vec::new();
    loop {
        while !received.windows(4).any(|window| window == b"\r\n\r\n") {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&received).into_owned();
        received.clear();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let keys = {
            let mut state = state.lock().unwrap();
            state.1.push(path);
            state.0.clone()
        };
        sleep(keys.delay).await;
        let JwksResponse { status, body, .. } = keys;
        let response = format!(
            "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(response.as_bytes()).await?;
    }
}
