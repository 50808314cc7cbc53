//! HTTP/1.1 over a bare socket, so that a test sees what is really sent, cut-off answers too.

#![allow(dead_code, reason = "no test file uses all of it")]

use bedrock_stub::Received;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

/// Sends a request on a connection of its own, and reads until the other side closes it.
pub async fn exchange(url: &str, request: &Received) -> Answer {
    let address = url.strip_prefix("http://").unwrap();
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = request.body.len();
    bytes.push_str(&format!("connection: close\r\ncontent-length: {length}\r\n\r\n"));
    let mut bytes = bytes.into_bytes();
    bytes.extend(&request.body);

    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end_of_head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end_of_head.map_or(answer.len(), |end| end + 4));
    Answer { head: String::from_utf8_lossy(&answer).into_owned(), body }
}
