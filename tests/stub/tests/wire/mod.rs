//! HTTP/1.1 over a plain socket, so that a test sees the bytes on the wire, truncated responses
//! too.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::time::Duration;

use bedrock_stub::Received;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A response as it was received. It is empty if the connection closed without one.
#[derive(Debug)]
pub struct HttpResponse {
    pub head: String,
    pub body: Vec<u8>,
}

impl HttpResponse {
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
    /// Whether the chunk of length 0 was received.
    pub ended: bool,
}

impl HttpResponse {
    /// Parses a chunked body, which may be truncated. A partial chunk counts as a chunk.
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

/// Sends a request on a new connection. Reads until the server closes it, sends nothing for a
/// second, or has sent 32 MiB.
pub async fn exchange(url: &str, request: &Received) -> HttpResponse {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, request).await;
    let mut response = Vec::new();
    while response.len() < 32 << 20 {
        match timeout(Duration::from_secs(1), stream.read_buf(&mut response)).await {
            Ok(Ok(1..)) => {}
            _ => break,
        }
    }
    split(&response)
}

/// Sends a request with `connection: close`.
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

/// Splits a response, which may be incomplete, into head and body.
pub fn split(response: &[u8]) -> HttpResponse {
    let end_of_head = response.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = response.split_at(end_of_head.map_or(response.len(), |end| end + 4));
    HttpResponse { head: String::from_utf8_lossy(head).into_owned(), body: body.to_vec() }
}
