//! A client for Server-Sent Events on a plain TCP connection. It shows when each chunk arrives, can
//! stop reading, and can disconnect in the middle of a stream.

use serde_json::{Value, json};
use tokio::time::timeout;

use super::client::{Connection, Response, TIMEOUT};
use super::events::{Event, StreamedReply};
use super::workerd::Workerd;

/// A streaming response.
pub struct SseResponse<'a> {
    /// The status and headers. For an envelope, the body too.
    pub head: Response,
    pub connection: Connection<'a>,
    /// The number of chunks received so far.
    pub chunks: usize,
    /// The content of the chunks that is not a whole event yet.
    text: Vec<u8>,
    ended: bool,
}

impl Workerd {
    /// Requests a streamed reply to a prompt, and waits for the head of the response.
    pub async fn stream(&self, prompt: &str) -> SseResponse<'_> {
        self.stream_with_body(&json!({ "prompt": prompt, "stream": true })).await
    }

    /// POSTs JSON to `/`, and waits for the head of the response.
    pub async fn stream_with_body(&self, body: &Value) -> SseResponse<'_> {
        let mut connection = self.connect().await;
        connection.post(body).await;
        SseResponse::from_connection(connection).await
    }
}

impl Connection<'_> {
    /// Writes a POST of JSON to `/`.
    pub async fn post(&mut self, body: &Value) {
        let body = body.to_string();
        let length = body.len();
        let head = "POST / HTTP/1.1\r\nhost: worker\r\ncontent-type: application/json\r\n";
        self.write(format!("{head}content-length: {length}\r\n\r\n{body}")).await;
    }
}

impl<'a> SseResponse<'a> {
    /// Reads the head of the response to a request that was written before.
    pub async fn from_connection(mut connection: Connection<'a>) -> Self {
        let head = connection.head().await;
        let mut sse = Self { head, connection, chunks: 0, text: Vec::new(), ended: false };
        if let Some(length) = sse.head.header("content-length") {
            let length = length.parse().unwrap();
            sse.head.body = sse.connection.body(length).await;
            sse.ended = true;
        }
        sse
    }

    /// Reads the next event, or returns `None` at the end of the response. Panics on a timeout, and
    /// if the connection ends before the response does.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(at) = self.text.windows(2).position(|window| window == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..at + 2).collect();
                return Some(event(&String::from_utf8(block).expect("an event is UTF-8")));
            }
            if self.ended {
                assert_eq!(self.text, b"", "incomplete event at the end");
                return None;
            }
            self.read_chunk().await;
        }
    }

    /// Reads all events to the end of the response.
    pub async fn remaining_events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Reads the whole reply. Panics if the response is an envelope, or if the events are not a
    /// valid reply.
    pub async fn reply(&mut self, case: &str) -> StreamedReply {
        assert_eq!(self.head.status, 200, "{case}: {}", self.head);
        let events = self.remaining_events().await;
        StreamedReply::from_events(case, &events)
    }

    /// Reads one chunk: <https://www.rfc-editor.org/rfc/rfc9112#section-7.1>.
    async fn read_chunk(&mut self) {
        let received = &self.connection.received;
        let size = received.windows(2).position(|window| window == b"\r\n").map(|at| {
            let size = std::str::from_utf8(&received[..at]).unwrap();
            (at + 2, usize::from_str_radix(size, 16).expect("the size of a chunk"))
        });
        match size {
            Some((start, size)) if received.len() >= start + size + 2 => {
                self.text.extend_from_slice(&received[start..start + size]);
                self.connection.received.drain(..start + size + 2);
                self.ended = size == 0;
                self.chunks += 1;
            }
            _ => {
                let read = timeout(TIMEOUT, self.connection.read_more()).await;
                let so_far = String::from_utf8_lossy(&self.text);
                read.expect("the response arrives in time").unwrap_or_else(|| {
                    panic!("the connection ended before the response did, after {so_far:?}")
                });
            }
        }
    }
}

/// Parses an event. Accepts only the documented form, not every form that the SSE standard allows.
fn event(block: &str) -> Event {
    if block.starts_with(':') {
        return Event { name: block.to_owned(), data: Value::Null };
    }
    let parts = block
        .strip_prefix("event: ")
        .and_then(|rest| rest.strip_suffix("\n\n"))
        .and_then(|rest| rest.split_once("\ndata: "));
    let Some((name, data)) = parts else { panic!("not an event: {block:?}") };
    assert!(!data.contains(['\n', '\r']), "{block:?}");
    Event { name: name.to_owned(), data: serde_json::from_str(data).unwrap() }
}
