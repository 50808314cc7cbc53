//! HTTP clients: reqwest, and plain TCP connections for requests that reqwest would never send.

use std::fmt;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::workerd::Workerd;

/// The limit for operations that normally take milliseconds. Longer than the interval of a stream's
/// keep-alive comments.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A response of the Worker. Its `Display` is for the messages of failed assertions.
pub struct Response {
    /// The status code, or 0 if there was no response. The body then says why, and the test's own
    /// assertion about the status says which of its cases failed.
    pub status: u16,
    /// Sorted by name. The names are in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the names of the headers that are specific to this response. Panics if a header that
    /// every response must have is missing.
    pub fn header_names(&self) -> Vec<&str> {
        let cache_control = self.header("cache-control").unwrap_or_default();
        assert!(cache_control.starts_with("no-store"), "{self}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self}");
        let others = ["cache-control", "connection", "content-length", "x-content-type-options"];
        let names = self.headers.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !others.contains(name)).collect()
    }

    /// Returns `x-request-id`. Panics if it is not a UUID.
    pub fn request_id(&self) -> &str {
        let id = self.header("x-request-id").unwrap_or_else(|| panic!("no x-request-id: {self}"));
        let groups: Vec<usize> = id.split('-').map(str::len).collect();
        let is_hex = id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        assert!(groups == [8, 4, 4, 4, 12] && is_hex, "x-request-id is not a UUID: {self}");
        id
    }

    /// Asserts the status, and that the body is exactly this envelope, with its content type.
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
        // The beginning of a long body is enough.
        write!(f, "\n{:.2000}", self.body)
    }
}

impl Workerd {
    /// Builds a request to `path`, which begins with a slash.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // A client belongs to the runtime of one test, so each request has its own. A proxy from
        // the environment cannot reach this address.
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap();
        client.request(method, format!("http://{}{path}", self.address))
    }

    /// Sends a request and reads the whole response.
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
        let body = format!("no response: {why}\nthe end of workerd's output:\n{last}");
        Response { status: 0, headers: Vec::new(), body }
    }

    /// POSTs JSON to `/`.
    pub async fn post(&self, body: Value) -> Response {
        self.send(self.request(Method::POST, "/").json(&body)).await
    }

    /// POSTs a prompt without other fields to `/`.
    pub async fn prompt(&self, prompt: &str) -> Response {
        self.post(json!({ "prompt": prompt })).await
    }

    /// Requests `/healthz`.
    pub async fn health(&self) -> Response {
        self.send(self.request(Method::GET, "/healthz")).await
    }

    /// Opens a TCP connection, on which a test writes whatever it wants.
    pub async fn connect(&self) -> Connection<'_> {
        self.new_connection(TcpStream::connect(self.address).await.unwrap())
    }

    /// Opens a TCP connection with a small receive buffer. By default the kernel buffers megabytes.
    pub async fn connect_with_small_buffer(&self) -> Connection<'_> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        self.new_connection(socket.connect(self.address).await.unwrap())
    }

    fn new_connection(&self, stream: TcpStream) -> Connection<'_> {
        stream.set_nodelay(true).unwrap();
        // `read_more` reads up to this capacity at once.
        Connection { worker: self, stream, received: Vec::with_capacity(16 << 10) }
    }
}

async fn exchange(request: RequestBuilder) -> reqwest::Result<Response> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the response is UTF-8");
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
    /// The bytes that were read and not yet consumed.
    pub received: Vec<u8>,
}

impl Connection<'_> {
    /// Writes to the connection. Ignores errors.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // A server that responds early may also close early. The test then reads that response.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Resets the connection. An ordinary close only tells the server that the client sends no
    /// more; a reset tells it that the client is gone.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Reads one response, with a body of `content-length` bytes.
    pub async fn response(&mut self) -> Response {
        let mut response = self.head().await;
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        if response.status != 0 {
            response.body = self.body(length).await;
        }
        response
    }

    /// Reads the head of a response. Any bytes behind it stay in `received`.
    pub async fn head(&mut self) -> Response {
        match timeout(TIMEOUT, self.read_head()).await {
            Ok(Some(response)) => response,
            ended => {
                let why =
                    if ended.is_ok() { "the connection ended" } else { "the timeout expired" };
                let received = String::from_utf8_lossy(&self.received);
                self.worker.no_response(&format!("{why} after {received:?}"))
            }
        }
    }

    /// Reads exactly `length` bytes. Panics if they do not arrive.
    pub async fn body(&mut self, length: usize) -> String {
        while self.received.len() < length {
            let read = timeout(TIMEOUT, self.read_more()).await;
            read.expect("the body arrives in time")
                .expect("the body arrives before the connection ends");
        }
        String::from_utf8(self.received.drain(..length).collect()).unwrap()
    }

    /// Returns `None` if the connection ends before the head is complete.
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

    /// Reads into `received`. Returns `None` at the end of the connection.
    pub async fn read_more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.received).await;
        read.is_ok_and(|read| read > 0).then_some(())
    }
}
