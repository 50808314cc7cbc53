//! A scripted TCP server: it reads an HTTP request, and then does things to the connection that no
//! HTTP server would do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::fixture::runtime;

/// A step of the script for a connection. After the last step the server closes the connection.
#[derive(Clone)]
pub enum Step {
    Send(Vec<u8>),
    /// Sends the same bytes until the client disconnects.
    Repeat(Vec<u8>),
    Wait(Duration),
    /// Sends nothing until the client disconnects.
    Hang,
    /// Resets the connection.
    Reset,
}

/// A server that chooses its script by the prompt of the request.
pub struct RawServer {
    url: String,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    calls: HashMap<String, usize>,
    abandoned: usize,
}

impl RawServer {
    /// Starts a server with a script for each prompt.
    pub async fn start(scripts: HashMap<String, Vec<Step>>) -> Self {
        let counts = Arc::<Mutex<Counts>>::default();
        let (scripts, shared) = (Arc::new(scripts), counts.clone());
        let listener = runtime().spawn(TcpListener::bind("127.0.0.1:0")).await.unwrap().unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, scripts.clone(), shared.clone()));
            }
        });
        Self { url, counts }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The number of requests with this prompt.
    pub fn calls(&self, prompt: &str) -> usize {
        self.counts.lock().unwrap().calls.get(prompt).copied().unwrap_or(0)
    }

    /// The number of hanging connections that the client has closed.
    pub fn abandoned(&self) -> usize {
        self.counts.lock().unwrap().abandoned
    }
}

async fn serve(
    mut stream: TcpStream,
    scripts: Arc<HashMap<String, Vec<Step>>>,
    counts: Arc<Mutex<Counts>>,
) {
    stream.set_nodelay(true).unwrap();
    let Some(prompt) = read_prompt(&mut stream).await else { return };
    *counts.lock().unwrap().calls.entry(prompt.clone()).or_default() += 1;
    for step in &scripts[&prompt] {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(bytes).await.is_err() {
                    return;
                }
            }
            Step::Repeat(bytes) => while stream.write_all(bytes).await.is_ok() {},
            Step::Wait(time) => sleep(*time).await,
            Step::Hang => {
                while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
                counts.lock().unwrap().abandoned += 1;
            }
            Step::Reset => return stream.set_zero_linger().unwrap(),
        }
    }
}

/// Reads a whole request and returns its prompt.
async fn read_prompt(stream: &mut TcpStream) -> Option<String> {
    let mut received = Vec::new();
    loop {
        let end = received.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.unwrap().trim().parse().unwrap();
            if received.len() >= end + 4 + length {
                let body: Value = serde_json::from_slice(&received[end + 4..]).unwrap();
                return Some(body["messages"][0]["content"].as_str().unwrap().to_owned());
            }
        }
        if stream.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
    }
}
