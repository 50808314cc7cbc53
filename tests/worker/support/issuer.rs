//! A JWT issuer: jose generates the tokens, and a server in this process serves the JWKS.

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

/// The response to a request for the JWKS.
#[derive(Clone)]
pub struct JwksResponse {
    pub status: u16,
    pub body: String,
    pub delay: Duration,
}

/// A running issuer.
pub struct Issuer {
    pub url: String,
    /// The output of `tests/clients/issuer.mjs`: key sets, and tokens by name.
    pub generated: Value,
    state: Arc<Mutex<(JwksResponse, Vec<String>)>>,
}

impl Issuer {
    /// Generates keys and tokens, and starts the server.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let node = Command::new(root().join("node_modules/.bin/node"))
            .arg(root().join("tests/clients/issuer.mjs"))
            .arg(&url)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(TIMEOUT, node).await.expect("issuer.mjs exits in time").unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let generated: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("issuer.mjs: {error}: {errors}"));

        let response = JwksResponse {
            status: 200,
            body: generated["keys"].to_string(),
            delay: Duration::ZERO,
        };
        let state = Arc::new(Mutex::new((response, Vec::new())));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { url, generated, state }
    }

    /// Returns a generated token by its name. Panics if there is none.
    pub fn token(&self, name: &str) -> &str {
        self.generated["tokens"][name]
            .as_str()
            .unwrap_or_else(|| panic!("issuer.mjs generates no token {name:?}"))
    }

    /// Changes the response to all further requests.
    pub fn set_response(&self, change: impl FnOnce(&mut JwksResponse)) {
        change(&mut self.state.lock().unwrap().0);
    }

    /// The path of each request so far.
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
        let response = {
            let mut state = state.lock().unwrap();
            state.1.push(path);
            state.0.clone()
        };
        sleep(response.delay).await;
        let JwksResponse { status, body, .. } = response;
        let response = format!(
            "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(response.as_bytes()).await?;
    }
}
