//! A WebSocket client on a plain TCP connection, which can also disconnect without a close frame.
//!
//! <https://www.rfc-editor.org/rfc/rfc6455>

use serde_json::{Value, json};
use tokio::time::timeout;

use super::client::{Connection, Response, TIMEOUT};
use super::events::{Event, StreamedReply};
use super::workerd::Workerd;

/// A handshake with the example key of RFC 6455, section 1.3.
const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nhost: worker\r\nupgrade: websocket\r\n\
    connection: Upgrade\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// The value of `sec-websocket-accept` for that key.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// An open WebSocket.
pub struct WebSocket<'a> {
    pub connection: Connection<'a>,
    pub subprotocol: Subprotocol,
}

/// The subprotocol that the server has chosen.
#[derive(Debug, PartialEq, Eq)]
pub enum Subprotocol {
    None,
    BedrockEdge,
}

/// A message from the server.
#[derive(Debug)]
pub enum ServerMessage {
    Event(Event),
    /// A close frame, with its code and reason.
    Close(u16, String),
}

impl Workerd {
    /// Opens a WebSocket. Panics if the server refuses it.
    pub async fn open_websocket(&self) -> WebSocket<'_> {
        match self.handshake().await {
            Ok(socket) => socket,
            Err(response) => panic!("the handshake failed: {response}"),
        }
    }

    /// Opens a WebSocket. If the server refuses it, returns its response as the error.
    pub async fn handshake(&self) -> Result<WebSocket<'_>, Response> {
        self.handshake_with(None, None).await
    }

    /// Like [`Self::handshake`], with the headers that a browser sends: `origin` and
    /// `sec-websocket-protocol`.
    pub async fn handshake_with(
        &self,
        origin: Option<&str>,
        protocols: Option<String>,
    ) -> Result<WebSocket<'_>, Response> {
        let mut connection = self.connect().await;
        let mut head = HANDSHAKE.to_owned();
        if let Some(origin) = origin {
            head += &format!("origin: {origin}\r\n");
        }
        if let Some(protocols) = protocols {
            head += &format!("sec-websocket-protocol: {protocols}\r\n");
        }
        connection.write(head + "\r\n").await;
        let mut response = connection.head().await;
        if response.status == 101 {
            assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT), "{response}");
            let subprotocol = match response.header("sec-websocket-protocol") {
                None => Subprotocol::None,
                Some("bedrock-edge") => Subprotocol::BedrockEdge,
                Some(_) => panic!("unexpected subprotocol: {response}"),
            };
            return Ok(WebSocket { connection, subprotocol });
        }
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        response.body = connection.body(length).await;
        Err(response)
    }
}

impl WebSocket<'_> {
    /// Sends a prompt without other fields.
    pub async fn prompt(&mut self, prompt: &str) {
        self.send(TEXT, json!({ "prompt": prompt }).to_string().as_bytes()).await;
    }

    /// Sends a message in one frame.
    pub async fn send(&mut self, opcode: u8, payload: &[u8]) {
        const FIN: u8 = 0x80;
        const MASKED: u8 = 0x80;
        let mut frame = vec![FIN | opcode];
        match payload.len() {
            short @ ..126 => frame.push(MASKED | u8::try_from(short).unwrap()),
            long => {
                frame.push(MASKED | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        // XOR with a masking key of zeros does not change the payload.
        frame.extend([0; 4]);
        frame.extend(payload);
        self.connection.write(frame).await;
    }

    /// Sends a close frame, as a browser does.
    pub async fn close(&mut self) {
        self.send(CLOSE, &1000_u16.to_be_bytes()).await;
    }

    /// Reads the next message. Panics on a timeout, and if the connection ends.
    pub async fn next_message(&mut self) -> ServerMessage {
        let message = timeout(TIMEOUT, self.read()).await.expect("a message arrives in time");
        message.expect("a message arrives before the connection ends")
    }

    /// Reads the next event. Panics if the server closes the WebSocket instead.
    pub async fn next_event(&mut self) -> Event {
        match self.next_message().await {
            ServerMessage::Event(event) => event,
            close => panic!("expected an event, got {close:?}"),
        }
    }

    /// Reads the whole reply to the next prompt.
    pub async fn reply(&mut self, case: &str) -> StreamedReply {
        let mut events = vec![self.next_event().await];
        while !events.last().is_some_and(Event::is_last) {
            events.push(self.next_event().await);
        }
        StreamedReply::from_events(case, &events)
    }

    async fn read(&mut self) -> Option<ServerMessage> {
        let (opcode, payload) = self.frame().await?;
        let text = |payload| String::from_utf8(payload).expect("the text is UTF-8");
        match opcode {
            TEXT => {
                let mut message: Value = serde_json::from_str(&text(payload)).unwrap();
                let fields: Vec<&String> = message.as_object().unwrap().keys().collect();
                assert_eq!(fields, ["data", "event"], "{message}");
                let name = message["event"].as_str().unwrap().to_owned();
                Some(ServerMessage::Event(Event { name, data: message["data"].take() }))
            }
            CLOSE => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                Some(ServerMessage::Close(
                    code,
                    text(payload.get(2..).unwrap_or_default().to_vec()),
                ))
            }
            other => panic!("unexpected opcode {other}"),
        }
    }

    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let received = &self.connection.received;
            let length = match received.get(1) {
                None => None,
                Some(126) => {
                    received[2..].first_chunk().map(|it| (4, u16::from_be_bytes(*it).into()))
                }
                Some(127) => received[2..].first_chunk().map(|it| (10, u64::from_be_bytes(*it))),
                Some(short) => Some((2, u64::from(*short))),
            };
            let end =
                length.map(|(start, length)| (start, start + usize::try_from(length).unwrap()));
            match end {
                Some((start, end)) if received.len() >= end => {
                    let frame: Vec<u8> = self.connection.received.drain(..end).collect();
                    assert_eq!(frame[0] & 0xf0, 0x80, "expected a whole message in one frame");
                    return Some((frame[0] & 0x0f, frame[start..].to_vec()));
                }
                _ => self.connection.read_more().await?,
            }
        }
    }
}
