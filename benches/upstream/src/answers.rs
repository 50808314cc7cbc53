//! The answers, encoded once.

use std::pin::Pin;
use std::task::{Context, Poll};

use bedrock_stub::{events, frames};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Response, StatusCode};
use serde_json::json;

/// Of a stream, the frames of Claude's beginning and end included.
const FRAMES: usize = 300;

/// What a stream that is held has sent.
const HELD_FRAMES: usize = 20;

/// What a server's buffer makes of frames that come faster than it writes.
const BATCH_BYTES: usize = 16 << 10;

pub struct Answers {
    whole: Bytes,
    frames: Vec<Bytes>,
    batches: Vec<Bytes>,
}

impl Answers {
    pub fn new() -> Self {
        let message = |text: &str, tokens: usize| {
            json!({
                "id": "msg_bdrk_01XFDUDYJgAACzvnptvVoYEL",
                "type": "message",
                "role": "assistant",
                "model": "claude-sonnet-4-20250514",
                "content": [{ "type": "text", "text": text }],
                "stop_reason": "end_turn",
                "stop_sequence": null,
                "usage": { "input_tokens": 14, "output_tokens": tokens },
            })
        };
        let words = |count: usize| -> String {
            (0..count).map(|index| events::word(index as u64)).collect()
        };
        let around = events::events(&message(&words(1), 1)).len() - 1;
        let count = FRAMES - around;
        let frames: Vec<Bytes> = events::events(&message(&words(count), count))
            .iter()
            .map(|event| frames::encode(&frames::chunk(event)).into())
            .collect();
        assert_eq!(frames.len(), FRAMES);
        let batches = frames.concat().chunks(BATCH_BYTES).map(Bytes::copy_from_slice).collect();
        Self { whole: message(&words(80), 80).to_string().into(), frames, batches }
    }

    /// InvokeModel's.
    pub fn whole(&self) -> Response<Answer> {
        let mut response = response(200, "application/json", Answer::once(self.whole.clone()));
        for (name, value) in [
            ("x-amzn-bedrock-input-token-count", "14"),
            ("x-amzn-bedrock-output-token-count", "80"),
            ("x-amzn-bedrock-invocation-latency", "0"),
        ] {
            response.headers_mut().insert(name, value.parse().expect("a number"));
        }
        response
    }

    /// A stream, a write for each frame.
    pub fn frames(&'static self) -> Response<Answer> {
        event_stream(Answer::stream(&self.frames, false))
    }

    /// The same stream in a few large writes.
    pub fn batched(&'static self) -> Response<Answer> {
        event_stream(Answer::stream(&self.batches, false))
    }

    /// The beginning of the stream. The rest never comes.
    pub fn held(&'static self) -> Response<Answer> {
        event_stream(Answer::stream(&self.frames[..HELD_FRAMES], true))
    }

    pub fn throttled(&self) -> Response<Answer> {
        let body = Answer::once(Bytes::from_static(br#"{"message":"Too many requests."}"#));
        let mut response = response(429, "application/json", body);
        let kind = "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/";
        for (name, value) in [("x-amzn-errortype", kind), ("retry-after", "2")] {
            response.headers_mut().insert(name, value.parse().expect("ASCII"));
        }
        response
    }
}

fn event_stream(body: Answer) -> Response<Answer> {
    response(200, "application/vnd.amazon.eventstream", body)
}

fn response(status: u16, content_type: &str, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    for (name, value) in [
        ("content-type", content_type),
        ("x-amzn-requestid", "0d5e7c6a-6f0b-4e8f-9d2a-5b1c3f4a7e90"),
    ] {
        response.headers_mut().insert(name, value.parse().expect("ASCII"));
    }
    response
}

/// A body.
pub enum Answer {
    Once(Option<Bytes>),
    Stream { pieces: std::slice::Iter<'static, Bytes>, is_held: bool, is_flushed: bool },
}

impl Answer {
    fn once(bytes: Bytes) -> Self {
        Self::Once(Some(bytes))
    }

    fn stream(pieces: &'static [Bytes], is_held: bool) -> Self {
        Self::Stream { pieces: pieces.iter(), is_held, is_flushed: true }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = match self.get_mut() {
            Self::Once(bytes) => bytes.take(),
            Self::Stream { pieces, is_held, is_flushed } => {
                // hyper writes what it has when the body has nothing for it.
                *is_flushed = !*is_flushed;
                if *is_flushed {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let piece = pieces.next().cloned();
                if piece.is_none() && *is_held {
                    return Poll::Pending;
                }
                piece
            }
        };
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Once(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream { .. } => SizeHint::default(),
        }
    }
}
