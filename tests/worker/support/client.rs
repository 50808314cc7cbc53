//! Those who call the Worker: reqwest, as most do, and bare TCP for what it would never send.

use std::fmt;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::workerd::Workerd;

/// How long a client waits for what normally takes milliseconds. More than a stream is ever silent.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// What the Worker answered. Its Display is for failing tests.
pub struct Response {
    /// 0 where no answer came: then the body tells why, and the test that wants another status
    /// tells which of its rows it was.
    pub status: u16,
    /// Names in lower case, sorted.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Of every header that the Worker sets itself, but those that every answer has. Panics without
    /// the latter.
    pub fn header_names(&self) -> Vec<&str> {
        let cache_control = self.header("cache-control").unwrap_or_default();
        assert!(cache_control.starts_with("no-store"), "{self}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self}");
        let others = ["cache-control", "connection", "content-length", "x-content-type-options"];
        let names = self.headers.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !others.contains(name)).collect()
    }

    /// `x-request-id`. Panics if it is not a UUID.
    pub fn request_id(&self) -> &str {
        let id = self.header("x-request-id").unwrap_or_else(|| panic!("no x-request-id: {self}"));
        let groups: Vec<usize> = id.split('-').map(str::len).collect();
        let is_hex = id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        assert!(groups == [8, 4, 4, 4, 12] && is_hex, "x-request-id is no UUID: {self}");
        id
    }

    /// The body must be exactly this envelope, and of its type.
    pub fn assert_envelope(&self, case: &str, status: u16, prompt: &str, generated: &str) {
        let expected = format!(
            r#"{{"input_prompt":{},"generated_text":{}}}"#,
            Value::from(prompt),
            Value::from(generated)
        );
        assert_eq!(self.status, status, "{case}: {self}");
        assert_eq!(self.body, expected, "{case}: {self}");
        let content_type = self.header("content-type");
        assert_eq!(content_type, Some("application/json; charset=utf-8"), "{case}: {self}");
        self.request_id();
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        // Enough of a long one.
        write!(f, "\n{:.2000}", self.body)
    }
}

impl Workerd {
    /// A request to `path`, which begins with a slash.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // A new client each, because it belongs to the runtime of one test. The environment may
        // name a proxy, which does not know this address.
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap();
        client.request(method, format!("http://{}{path}", self.address))
    }

    /// Sends a request, and reads the whole answer.
    pub async fn send(&self, request: RequestBuilder) -> Response {
        match exchange(request).await {
            Ok(response) => response,
            Err(error) => self.no_response(&format!("{error:?}")),
        }
    }

    fn no_response(&self, why: &str) -> Response {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        let body = format!("no answer: {why}\nworkerd printed last:\n{last}");
        Response { status: 0, headers: Vec::new(), body }
    }

    /// A POST of JSON to the function.
    pub async fn post(&self, body: Value) -> Response {
        self.send(self.request(Method::POST, "/").json(&body)).await
    }

    /// A POST of nothing but a prompt.
    pub async fn prompt(&self, prompt: &str) -> Response {
        self.post(json!({ "prompt": prompt })).await
    }

    pub async fn health(&self) -> Response {
        self.send(self.request(Method::GET, "/healthz")).await
    }

    /// A connection on which everything is written by hand.
    pub async fn connect(&self) -> Connection<'_> {
        self.connection_of(TcpStream::connect(self.address).await.unwrap())
    }

    /// One for which the kernel keeps little of what is not read: its own choice is megabytes.
    pub async fn connect_with_small_buffer(&self) -> Connection<'_> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        self.connection_of(socket.connect(self.address).await.unwrap())
    }

    fn connection_of(&self, stream: TcpStream) -> Connection<'_> {
        stream.set_nodelay(true).unwrap();
        // As much is read at once.
        Connection { worker: self, stream, received: Vec::with_capacity(16 << 10) }
    }
}

async fn exchange(request: RequestBuilder) -> reqwest::Result<Response> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("an answer is UTF-8");
    let headers = response.headers().iter();
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect();
    headers.sort();
    Ok(Response { status, headers, body: text(&response.bytes().await?) })
}

/// A TCP connection to the Worker.
pub struct Connection<'a> {
    worker: &'a Workerd,
    stream: TcpStream,
    /// What was read and not taken yet.
    pub received: Vec<u8>,
}

impl Connection<'_> {
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // Who answers early may close early: what came is the answer's business.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Goes away at once: whoever waits for an answer is told that the connection was reset. An
    /// ordinary close tells only that nothing more will be sent.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Reads one answer, whose body is as long as its `content-length` says.
    pub async fn response(&mut self) -> Response {
        let mut response = self.head().await;
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        if response.status != 0 {
            response.body = self.body(length).await;
        }
        response
    }

    /// Reads the head of an answer. What came behind it is in `received`.
    pub async fn head(&mut self) -> Response {
        match timeout(TIMEOUT, self.read_head()).await {
            Ok(Some(response)) => response,
            ended => {
                let why = if ended.is_ok() { "the connection ended" } else { "it takes too long" };
                let received = String::from_utf8_lossy(&self.received);
                self.worker.no_response(&format!("{why} after {received:?}"))
            }
        }
    }

    /// Reads so many bytes. Panics if they do not come.
    pub async fn body(&mut self, length: usize) -> String {
        while self.received.len() < length {
            let read = timeout(TIMEOUT, self.read_more()).await;
            read.expect("more of the body").expect("the body before the connection ends");
        }
        String::from_utf8(self.received.drain(..length).collect()).unwrap()
    }

    /// `None` if the connection ends before the head does.
    async fn read_head(&mut self) -> Option<Response> {
        let end = loop {
            match self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.read_more().await?,
            }
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).unwrap();
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        headers.sort();
        Some(Response { status, headers, body: String::new() })
    }

    /// `None` at the end of the connection.
    pub async fn read_more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.received).await;
        read.is_ok_and(|read| read > 0).then_some(())
    }
}
