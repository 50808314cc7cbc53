//! HTTP/1.1 over a bare socket, so that a test sees what is really sent, cut-off answers too.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::time::Duration;

use bedrock_stub::Received;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer as it came. Empty if the connection closed without one.
#[derive(Debug)]
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        let status = self.head.split(' ').nth(1).expect("a status line");
        status.parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(given, value)| given.eq_ignore_ascii_case(name).then(|| value.trim()))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("JSON: {self:?}"))
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }
}

/// A chunked body.
#[derive(Debug, Default)]
pub struct Chunks {
    pub chunks: Vec<Vec<u8>>,
    /// Whether the chunk of length 0 came.
    pub ended: bool,
}

impl Answer {
    /// What came of a chunked body, perhaps not all of it. Half a chunk counts as one.
    pub fn chunks(&self) -> Chunks {
        assert_eq!(self.header("transfer-encoding"), Some("chunked"), "{}", self.head);
        let mut chunks = Chunks::default();
        let mut rest = self.body.as_slice();
        while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
            let length = std::str::from_utf8(&rest[..end]).unwrap();
            let length = usize::from_str_radix(length, 16).unwrap();
            rest = &rest[end + 2..];
            if length == 0 {
                chunks.ended = true;
                assert_eq!(rest, b"\r\n", "nothing after the end");
                break;
            }
            chunks.chunks.push(rest[..length.min(rest.len())].to_vec());
            rest = rest.get(length + 2..).unwrap_or_default();
        }
        chunks
    }
}

/// Sends a request on a connection of its own, and reads until the other side closes it, is silent
/// for long, or has sent more than any test wants.
pub async fn exchange(url: &str, request: &Received) -> Answer {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, request).await;
    let mut answer = Vec::new();
    while answer.len() < 32 << 20 {
        match timeout(Duration::from_secs(1), stream.read_buf(&mut answer)).await {
            Ok(Ok(1..)) => {}
            _ => break,
        }
    }
    split(&answer)
}

/// Sends a request that asks for the connection to be closed after the answer.
pub async fn send(stream: &mut TcpStream, request: &Received) {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = request.body.len();
    bytes.push_str(&format!("connection: close\r\ncontent-length: {length}\r\n\r\n"));
    let mut bytes = bytes.into_bytes();
    bytes.extend(&request.body);
    stream.write_all(&bytes).await.unwrap();
}

/// Head and body of what was read so far.
pub fn split(answer: &[u8]) -> Answer {
    let end_of_head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end_of_head.map_or(answer.len(), |end| end + 4));
    Answer { head: String::from_utf8_lossy(head).into_owned(), body: body.to_vec() }
}
