//! The faults of a stream. Most take a number of frames: `fault:NAME:N` happens after the first N
//! frames of the stream, by default [`DEFAULT_FRAMES`], and after its last frame if it has fewer.
//!
//! Out of scope: the frames of a stream without a fault, see [`crate::events`].

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::{FAULTS, Fault, directive, html};
use crate::encoding::Encoding;
use crate::error::AwsError;
use crate::events::{block_delta, events, long, text_delta};
use crate::frames::{self, Frame, chunk, chunk_padded, encode};
use crate::reply::{Reply, tokens};
use crate::stream::{Plan, Step};

/// The number of frames before a fault: `message_start`, `content_block_start`, `ping`, and one
/// token.
pub const DEFAULT_FRAMES: usize = 4;

/// The text of `fault:stream_utf8`.
pub const UTF8_TEXT: &str =
    "こんにちは、世界。絵文字は😀と👨‍👩‍👧、漢字は𠮷野家、é と e\u{301} も届きます🎌";

/// The padding of `fault:stream_huge_frame`: more than the 16 MiB that the format allows a payload.
const HUGE_PADDING: usize = 17 * 1024 * 1024;

/// A fault of a stream, or a stream that is unusual and valid.
#[derive(Debug)]
pub struct StreamFault {
    /// The name after `fault:`.
    pub name: &'static str,
    /// Whether server-sent events have no such fault.
    pub frames_only: bool,
    run: fn(&StreamContext) -> Result<StreamOutcome, AwsError>,
}

/// The outcome of a fault of a stream.
pub enum StreamOutcome {
    /// A stream.
    Stream(Plan),
    /// A response in place of a stream.
    Respond(Response),
}

/// The fault that the prompt of an `InvokeModelWithResponseStream` demands.
#[derive(Debug)]
pub enum RequestedFault {
    /// A fault that `InvokeModel` has too.
    Shared(&'static Fault),
    /// A fault that only a stream has.
    StreamOnly(&'static StreamFault),
}

/// The arguments of a stream's fault, and the reply without it.
struct StreamContext<'a> {
    name: &'static str,
    arguments: Vec<&'a str>,
    reply: &'a Reply,
    encoding: Encoding,
}

use StreamOutcome::{Respond, Stream};

/// The faults that only a stream has. It shares others with `InvokeModel` ([`Fault::streams`]).
pub const STREAM_FAULTS: &[StreamFault] = &[
    // `fault:pace:MILLISECONDS`: the delay before each frame, by default 100.
    fault("pace", |context| {
        let frame_delay = Duration::from_millis(context.number(0, 100, "milliseconds")?);
        Ok(Stream(Plan { frame_delay: Some(frame_delay), ..Plan::new(context.complete_stream()) }))
    }),
    // `fault:stream_long:WORDS:MILLISECONDS`: a text of this many words, whatever `max_tokens` is,
    // and the delay before each frame.
    fault("stream_long", |context| {
        let words = context.number(0, 1000, "a number of words")?;
        let delay = context.number(1, 0, "milliseconds")?;
        let frame_delay = (context.arguments.len() > 1).then(|| Duration::from_millis(delay));
        Ok(Stream(Plan { frame_delay, ..Plan::new(long(context.reply, words).map(Step::Event)) }))
    }),
    fault("stream_exception", |context| {
        context.ending_with_exception(
            "throttlingException",
            "Too many requests, please wait before trying again.",
        )
    }),
    fault("stream_model_error", |context| {
        context.ending_with_exception(
            "modelStreamErrorException",
            "An error occurred while streaming the response. Retry your request.",
        )
    }),
    fault("stream_timeout", |context| {
        context.ending_with_exception(
            "modelTimeoutException",
            "Model has timed out in processing the request. Try your request again.",
        )
    }),
    fault("stream_internal", |context| {
        context.ending_with_exception(
            "internalServerException",
            "The system encountered an unexpected error during processing. Try your request again.",
        )
    }),
    fault("stream_validation", |context| {
        context.ending_with_exception(
            "validationException",
            "Output blocked by content filtering policy",
        )
    }),
    fault("stream_unavailable", |context| {
        context.ending_with_exception(
            "serviceUnavailableException",
            "Bedrock is unable to process your request.",
        )
    }),
    of_frames("stream_error", |context| {
        context.ending_with(frame(&frames::error("InternalFailure", "An internal error occurred.")))
    }),
    // The rest of the stream follows, to catch a client that ignores the CRC.
    of_frames("stream_bad_crc", |context| {
        context.with_changed_frame(|mut bytes| {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            Step::Bytes(bytes, 1)
        })
    }),
    // A client that trusts the length before it has checked the CRC waits for 4 GiB. The rest of
    // the stream follows.
    of_frames("stream_bad_prelude", |context| {
        context.with_changed_frame(|mut bytes| {
            bytes[..4].copy_from_slice(&0xffff_fff0_u32.to_be_bytes());
            Step::Bytes(bytes, 1)
        })
    }),
    // The HTTP body is complete, and the last frame is truncated.
    fault("stream_cut", |context| context.ending_with(context.half_frame()?)),
    fault("stream_hang_up", |context| {
        let half = context.half_frame()?;
        let steps = context.steps_before()?.into_iter().chain([half, Step::HangUp]);
        Ok(Stream(Plan::new(steps)))
    }),
    // The body ends without `message_stop` and without an error.
    fault("stream_end", |context| Ok(Stream(Plan::new(context.steps_before()?)))),
    fault("stream_stall", |context| context.ending_with(Step::Stall)),
    // `fault:stream_not_frames:KIND`: `html` (the default), `json` (the response of `InvokeModel`),
    // or `mislabelled` (HTML with the content type of a stream).
    fault("stream_not_frames", |context| match context.arguments.first() {
        None | Some(&"html") => Ok(Respond(html(StatusCode::OK, "Welcome"))),
        Some(&"json") => Ok(Respond(context.reply.response(context.reply.body()))),
        Some(&"mislabelled") => {
            let mut response = html(StatusCode::OK, "Welcome");
            let content_type = HeaderValue::from_static(context.encoding.content_type());
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            Ok(Respond(response))
        }
        Some(_) => Err(context.unexpected(0, "html, json or mislabelled")),
    }),
    fault("stream_empty", |_| Ok(Stream(Plan::new([])))),
    // A frame that is valid except for its size, in a valid stream.
    of_frames("stream_huge_frame", |context| {
        let huge = frame(&chunk_padded(&json!({ "type": "ping" }), HUGE_PADDING));
        let mut steps = context.complete_stream();
        steps.insert(context.frames()?.min(steps.len()), huge);
        Ok(Stream(Plan::new(steps)))
    }),
    fault("stream_thinking", |context| {
        Ok(Stream(Plan::new(thinking(context.reply, context.encoding))))
    }),
    fault("stream_split", |context| {
        let encoding = context.encoding;
        let steps = context.complete_stream().into_iter().flat_map(move |step| {
            let bytes = encoding.encode(&step);
            let last = bytes.len().saturating_sub(1);
            bytes
                .into_iter()
                .enumerate()
                .map(move |(at, byte)| Step::Bytes(vec![byte], u64::from(at == last)))
        });
        Ok(Stream(Plan::new(steps)))
    }),
    fault("stream_glued", |context| {
        let steps = context.complete_stream();
        let bytes: Vec<u8> = steps.iter().flat_map(|it| context.encoding.encode(it)).collect();
        Ok(Stream(Plan::new([Step::Bytes(bytes, steps.len() as u64)])))
    }),
    fault("stream_utf8", |context| Ok(Stream(Plan::new(utf8(context.reply))))),
];

const fn fault(
    name: &'static str,
    run: fn(&StreamContext) -> Result<StreamOutcome, AwsError>,
) -> StreamFault {
    StreamFault { name, frames_only: false, run }
}

/// Creates a fault of a frame's format.
const fn of_frames(
    name: &'static str,
    run: fn(&StreamContext) -> Result<StreamOutcome, AwsError>,
) -> StreamFault {
    StreamFault { name, frames_only: true, run }
}

impl RequestedFault {
    /// Finds the fault of a stream that a prompt demands, if any.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException` that lists the names, if there is no fault of that name.
    pub fn from_prompt(prompt: &str, encoding: Encoding) -> Result<Option<Self>, AwsError> {
        let Some(directive) = directive(prompt) else {
            return Ok(None);
        };
        let name = directive.split(':').next().unwrap_or_default();
        let shared = || FAULTS.iter().filter(|fault| fault.streams);
        if let Some(fault) = shared().find(|fault| fault.name == name) {
            return Ok(Some(Self::Shared(fault)));
        }
        let stream_only =
            || STREAM_FAULTS.iter().filter(|it| encoding.has_frames() || !it.frames_only);
        if let Some(fault) = stream_only().find(|fault| fault.name == name) {
            return Ok(Some(Self::StreamOnly(fault)));
        }
        let names = shared().map(|fault| fault.name);
        let names = names.chain(stream_only().map(|fault| fault.name));
        Err(super::unknown_fault(name, names))
    }

    /// Returns the name of the fault.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Shared(fault) => fault.name,
            Self::StreamOnly(fault) => fault.name,
        }
    }
}

impl StreamFault {
    /// Runs the fault.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException`, if the prompt has an argument that the fault does not accept.
    pub fn run(
        &self,
        prompt: &str,
        reply: &Reply,
        encoding: Encoding,
    ) -> Result<StreamOutcome, AwsError> {
        let arguments = directive(prompt).unwrap_or_default().split(':').skip(1).collect();
        (self.run)(&StreamContext { name: self.name, arguments, reply, encoding })
    }
}

impl StreamContext<'_> {
    fn number(&self, index: usize, default: u64, expected: &str) -> Result<u64, AwsError> {
        let argument = self.arguments.get(index);
        let number = argument.map_or(Ok(default), |text| text.parse());
        number.map_err(|_| self.unexpected(index, expected))
    }

    fn unexpected(&self, index: usize, expected: &str) -> AwsError {
        let argument = self.arguments.get(index).copied().unwrap_or_default();
        super::unexpected_argument(self.name, expected, argument)
    }

    /// Returns the number of frames before the fault.
    fn frames(&self) -> Result<usize, AwsError> {
        let frames = self.number(0, DEFAULT_FRAMES as u64, "a number of frames")?;
        Ok(usize::try_from(frames).unwrap_or(usize::MAX))
    }

    /// Returns the steps of the reply, each of which sends a frame.
    fn complete_stream(&self) -> Vec<Step> {
        let mut steps = complete_stream(&self.reply.json());
        steps.retain(|step| !self.encoding.encode(step).is_empty());
        steps
    }

    /// Returns the steps before the fault.
    fn steps_before(&self) -> Result<Vec<Step>, AwsError> {
        let mut steps = self.complete_stream();
        steps.truncate(self.frames()?);
        Ok(steps)
    }

    /// Creates a stream that ends with this step.
    fn ending_with(&self, step: Step) -> Result<StreamOutcome, AwsError> {
        let mut steps = self.steps_before()?;
        steps.push(step);
        Ok(Stream(Plan::new(steps)))
    }

    fn ending_with_exception(
        &self,
        kind: &'static str,
        message: &str,
    ) -> Result<StreamOutcome, AwsError> {
        self.ending_with(Step::Exception(kind, message.to_owned()))
    }

    /// Creates a complete stream in which one frame is changed.
    fn with_changed_frame(&self, change: fn(Vec<u8>) -> Step) -> Result<StreamOutcome, AwsError> {
        let mut steps = self.complete_stream();
        let at = self.frames()?.min(steps.len() - 1);
        steps[at] = change(self.encoding.encode(&steps[at]));
        Ok(Stream(Plan::new(steps)))
    }

    /// Returns the first half of the next frame.
    fn half_frame(&self) -> Result<Step, AwsError> {
        let steps = self.complete_stream();
        let mut bytes = self.encoding.encode(&steps[self.frames()?.min(steps.len() - 1)]);
        bytes.truncate(bytes.len() / 2);
        Ok(Step::Bytes(bytes, 0))
    }
}

/// Returns the steps that stream a complete reply.
pub(crate) fn complete_stream(message: &Value) -> Vec<Step> {
    events(message).into_iter().map(Step::Event).collect()
}

fn frame(frame: &Frame) -> Step {
    Step::Bytes(encode(frame), 1)
}

/// Returns a stream with all kinds of content other than text, and with kinds that Claude does not
/// have yet, before the text of the reply. The unknown kinds have a `text` that is not part of the
/// reply.
fn thinking(reply: &Reply, encoding: Encoding) -> Vec<Step> {
    let mut message = reply.json();
    let text = message["content"].take();
    let mut content = vec![
        json!({ "type": "thinking", "thinking": "Which tool tells the weather?", "signature": "c2lnbmF0dXJl" }),
        json!({ "type": "redacted_thinking", "data": "cmVkYWN0ZWQ=" }),
        json!({ "type": "tool_use", "id": "toolu_bdrk_0123456789abcdef01234567", "name": "get_weather", "input": { "city": "東京" } }),
        json!({ "type": "sculpture", "text": "not text: a block" }),
    ];
    let unknown_block = content.len() - 1;
    content.extend(text.as_array().cloned().unwrap_or_default());
    message["content"] = json!(content);
    let mut steps = complete_stream(&message);

    let is_stop_of_unknown = |step: &Step| {
        matches!(step, Step::Event(event)
            if event["type"] == "content_block_stop" && event["index"] == unknown_block)
    };
    let at = steps.iter().position(is_stop_of_unknown).unwrap_or(steps.len());
    let unknown_delta = json!({ "type": "sculpture_delta", "text": "not text: a delta" });
    let unknown_event = json!({
        "type": "content_block_aside",
        "index": unknown_block,
        "delta": { "type": "text_delta", "text": "not text: an event" },
    });
    let payload = chunk(&text_delta(unknown_block, "not text: a frame")).payload;
    let mut unknown =
        vec![Step::Event(block_delta(unknown_block, unknown_delta)), Step::Event(unknown_event)];
    if encoding.has_frames() {
        unknown.push(frame(&frames::event("aside", payload)));
    }
    steps.splice(at..at, unknown);
    steps
}

/// Returns a stream of [`UTF8_TEXT`]. In every other delta the characters are escaped, so that
/// those outside the Basic Multilingual Plane are surrogate pairs.
fn utf8(reply: &Reply) -> Vec<Step> {
    let mut message = reply.json();
    message["content"] = json!([{ "type": "text", "text": UTF8_TEXT }]);
    message["usage"]["output_tokens"] = json!(tokens(UTF8_TEXT).len());
    let mut steps = complete_stream(&message);
    for step in steps.iter_mut().step_by(2) {
        if let Step::Event(event) = step
            && event["type"] == "content_block_delta"
        {
            *step = Step::Json(escaped(&event.to_string()));
        }
    }
    steps
}

/// Escapes every character of a JSON text that is not ASCII as `\uXXXX`, one for each UTF-16 code
/// unit.
fn escaped(json: &str) -> String {
    let mut text = String::new();
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}
