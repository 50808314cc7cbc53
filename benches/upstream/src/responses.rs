//! The responses, which are encoded once.

use std::pin::Pin;
use std::task::{Context, Poll};

use bedrock_stub::encoding::Encoding;
use bedrock_stub::stream::Step;
use bedrock_stub::{events, frames};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// The number of frames of a stream, those before and after the text included.
const FRAMES: usize = 300;

/// The number of frames, or of Server-Sent Events, of a turn of Claude Code.
const TURN_FRAMES: usize = 600;

/// The number of frames of a stream that stalls.
const STALLED_FRAMES: usize = 20;

/// The size of a write in a batched stream, as of a server whose buffer fills faster than it
/// writes.
const BATCH_BYTES: usize = 16 << 10;

pub struct Responses {
    invoke: Bytes,
    frames: Vec<Bytes>,
    batches: Vec<Bytes>,
    converse: Vec<Bytes>,
    turn_frames: Vec<Bytes>,
    turn_events: Vec<Bytes>,
}

impl Responses {
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
        let around = events::events(&message(&words(1), 1)).len() - 1;
        let count = FRAMES - around;
        let frames: Vec<Bytes> = events::events(&message(&words(count), count))
            .iter()
            .map(|event| frames::encode(&frames::chunk(event)).into())
            .collect();
        assert_eq!(frames.len(), FRAMES);
        let batches = frames.concat().chunks(BATCH_BYTES).map(Bytes::copy_from_slice).collect();
        let converse = converse(&message);
        assert_eq!(converse.len(), FRAMES);
        let turn: Vec<Step> = turn().into_iter().map(type_first).collect();
        let encode = |encoding: Encoding| -> Vec<Bytes> {
            turn.iter().map(|event| encoding.encode(event).into()).collect()
        };
        Self {
            invoke: message(&words(80), 80).to_string().into(),
            frames,
            batches,
            converse,
            turn_frames: encode(Encoding::Frames),
            turn_events: encode(Encoding::Sse),
        }
    }

    /// The response of `InvokeModel`.
    pub fn invoke(&self) -> Response<ResponseBody> {
        let mut response =
            response(200, "application/json", ResponseBody::once(self.invoke.clone()));
        for (name, value) in [
            ("x-amzn-bedrock-input-token-count", "14"),
            ("x-amzn-bedrock-output-token-count", "80"),
            ("x-amzn-bedrock-invocation-latency", "0"),
        ] {
            response.headers_mut().insert(name, value.parse().expect("a number"));
        }
        response
    }

    /// A stream with one write for each frame.
    pub fn frames(&'static self) -> Response<ResponseBody> {
        event_stream(ResponseBody::stream(&self.frames, false))
    }

    /// The stream of the same reply, in writes of [`BATCH_BYTES`].
    pub fn batched(&'static self) -> Response<ResponseBody> {
        event_stream(ResponseBody::stream(&self.batches, false))
    }

    /// Returns the reply by `ConverseStream`, with one write for each frame.
    pub fn converse(&'static self) -> Response<ResponseBody> {
        event_stream(ResponseBody::stream(&self.converse, false))
    }

    /// A turn of Claude Code, with one write for each frame.
    pub fn turn(&'static self) -> Response<ResponseBody> {
        event_stream(ResponseBody::stream(&self.turn_frames, false))
    }

    /// Returns the turn in Server-Sent Events, with one write for each.
    pub fn native_turn(&'static self) -> Response<ResponseBody> {
        let body = ResponseBody::stream(&self.turn_events, false);
        response(200, Encoding::Sse.content_type(), body)
    }

    /// The beginning of the stream, which then stalls.
    pub fn stalled(&'static self) -> Response<ResponseBody> {
        event_stream(ResponseBody::stream(&self.frames[..STALLED_FRAMES], true))
    }

    /// A `ThrottlingException`.
    pub fn throttled(&self) -> Response<ResponseBody> {
        let body = ResponseBody::once(Bytes::from_static(br#"{"message":"Too many requests."}"#));
        let mut response = response(429, "application/json", body);
        let kind = "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/";
        for (name, value) in [("x-amzn-errortype", kind), ("retry-after", "2")] {
            response.headers_mut().insert(name, value.parse().expect("ASCII"));
        }
        response
    }
}

/// Returns the frames of `ConverseStream` for a reply.
fn converse(message: &impl Fn(&str, usize) -> Value) -> Vec<Bytes> {
    let frames = |count: usize| -> Vec<Bytes> {
        let mut reply = message(&words(count), count);
        // The stand-in reports the usage if this member is there.
        reply["amazon-bedrock-converse"] = json!({});
        let steps = events::events(&reply).into_iter().map(Step::Event);
        let frames = steps.map(|step| Bytes::from(Encoding::Converse.encode(&step)));
        // Some events have no frame there.
        frames.filter(|frame| !frame.is_empty()).collect()
    };
    let around = frames(1).len() - 1;
    frames(FRAMES - around)
}

/// Returns a text of so many words.
fn words(count: usize) -> String {
    (0..count).map(|index| events::word(index as u64)).collect()
}

/// Returns the events of a turn: thinking, a text, and a call of a tool.
fn turn() -> Vec<Value> {
    let reply = |count: usize| {
        events::events(&json!({
            "id": "msg_bdrk_01XFDUDYJgAACzvnptvVoYEL",
            "type": "message",
            "role": "assistant",
            "model": "claude-opus-5-5",
            "content": [
                { "type": "thinking", "thinking": words(200), "signature": "c2lnbmF0dXJl".repeat(40) },
                { "type": "text", "text": words(count) },
                { "type": "tool_use", "id": "toolu_bdrk_01A09q90qw90lq917835lq9", "name": "Bash", "input": { "command": words(60) } },
            ],
            "stop_reason": "tool_use",
            "stop_sequence": null,
            "usage": {
                "input_tokens": 214,
                "cache_creation_input_tokens": 1032,
                "cache_read_input_tokens": 74_801,
                "output_tokens": 571,
            },
        }))
    };
    let others = reply(1).len() - 1;
    let events = reply(TURN_FRAMES - others);
    assert_eq!(events.len(), TURN_FRAMES);
    events
}

/// Writes an event as Claude does, with the type first.
fn type_first(event: Value) -> Step {
    let mut rest = event.clone();
    let members = rest.as_object_mut().expect("an object");
    members.remove("type");
    let (kind, members) = (&event["type"], rest.to_string());
    Step::Json(match members.strip_prefix('{') {
        Some("}") | None => event.to_string(),
        Some(members) => format!(r#"{{"type":{kind},{members}"#),
    })
}

fn event_stream(body: ResponseBody) -> Response<ResponseBody> {
    response(200, "application/vnd.amazon.eventstream", body)
}

fn response(status: u16, content_type: &str, body: ResponseBody) -> Response<ResponseBody> {
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

/// The body of a response.
pub enum ResponseBody {
    Once(Option<Bytes>),
    Stream { chunks: std::slice::Iter<'static, Bytes>, stalls: bool, is_flushed: bool },
}

impl ResponseBody {
    fn once(bytes: Bytes) -> Self {
        Self::Once(Some(bytes))
    }

    fn stream(chunks: &'static [Bytes], stalls: bool) -> Self {
        Self::Stream { chunks: chunks.iter(), stalls, is_flushed: true }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let chunk = match self.get_mut() {
            Self::Once(bytes) => bytes.take(),
            Self::Stream { chunks, stalls, is_flushed } => {
                // hyper flushes its buffer when the body is pending.
                *is_flushed = !*is_flushed;
                if *is_flushed {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let chunk = chunks.next().cloned();
                if chunk.is_none() && *stalls {
                    return Poll::Pending;
                }
                chunk
            }
        };
        Poll::Ready(chunk.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Once(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream { .. } => SizeHint::default(),
        }
    }
}
