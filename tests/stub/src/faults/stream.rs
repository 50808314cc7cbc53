//! Failing in a stream on purpose. `fault:NAME:N` of most: N frames are good, and then it happens;
//! [`DEFAULT_FRAMES`] if not told, and no more than the stream has.
//!
//! Out of scope: what the frames of a good stream are, see [`crate::events`].

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::{FAULTS, Fault, html, json_response, words};
use crate::error::AwsError;
use crate::events::{block_delta, events, long, text_delta};
use crate::frames::{self, Frame, chunk, chunk_of, chunk_padded, encode};
use crate::reply::{Reply, tokens};
use crate::stream::{EVENT_STREAM, Plan, Step};

/// `message_start`, `content_block_start`, `ping`, and one token.
pub const DEFAULT_FRAMES: usize = 4;

/// The text of `fault:stream_utf8`.
pub const UTF8_TEXT: &str =
    "こんにちは、世界。絵文字は😀と👨‍👩‍👧、漢字は𠮷野家、é と e\u{301} も届きます🎌";

/// More than the 16 MiB that the format allows a payload.
const HUGE: usize = 17 * 1024 * 1024;

/// A way for a stream to fail, or to be odd.
#[derive(Debug)]
pub struct StreamFault {
    /// What stands after `fault:`.
    pub name: &'static str,
    act: fn(&Asking) -> Result<StreamAct, AwsError>,
}

/// What comes of a stream's fault.
pub enum StreamAct {
    /// This stream.
    Stream(Plan),
    /// This in place of a stream.
    Answer(Response),
}

/// The fault that a stream's prompt asks for.
#[derive(Debug)]
pub enum Asked {
    /// One that an invoke has too.
    Either(&'static Fault),
    /// One that only a stream has.
    Stream(&'static StreamFault),
}

/// What a stream's fault may make its stream of.
struct Asking<'a> {
    name: &'static str,
    arguments: Vec<&'a str>,
    reply: &'a Reply,
}

use StreamAct::{Answer, Stream};

/// Every fault that only a stream has, beside those that it shares with an invoke
/// ([`Fault::streams`]).
pub const STREAM_FAULTS: &[StreamFault] = &[
    // `fault:pace:MILLISECONDS`, before each frame.
    fault("pace", |it| {
        let pace = it.number(0, 100, "milliseconds")?;
        Ok(Stream(Plan { pace: Some(Duration::from_millis(pace)), ..Plan::new(it.good()) }))
    }),
    // `fault:stream_long:WORDS:MILLISECONDS`, whatever `max_tokens` is.
    fault("stream_long", |it| {
        let words = it.number(0, 1000, "a number of words")?;
        let pace = it.number(1, 0, "milliseconds")?;
        let pace = (it.arguments.len() > 1).then(|| Duration::from_millis(pace));
        Ok(Stream(Plan { pace, ..Plan::new(long(it.reply, words).map(Step::Event)) }))
    }),
    fault("stream_exception", |it| {
        it.ending_with("throttlingException", "Too many requests, please wait before trying again.")
    }),
    fault("stream_model_error", |it| {
        it.ending_with(
            "modelStreamErrorException",
            "An error occurred while streaming the response. Retry your request.",
        )
    }),
    fault("stream_timeout", |it| {
        it.ending_with(
            "modelTimeoutException",
            "Model has timed out in processing the request. Try your request again.",
        )
    }),
    fault("stream_internal", |it| {
        it.ending_with(
            "internalServerException",
            "The system encountered an unexpected error during processing. Try your request again.",
        )
    }),
    fault("stream_validation", |it| {
        it.ending_with("validationException", "Output blocked by content filtering policy")
    }),
    fault("stream_unavailable", |it| {
        it.ending_with("serviceUnavailableException", "Bedrock is unable to process your request.")
    }),
    fault("stream_error", |it| {
        it.then(frame(&frames::error("InternalFailure", "An internal error occurred.")))
    }),
    // The rest of the stream follows, for who does not check.
    fault("stream_bad_crc", |it| {
        it.with_frame(|mut bytes| {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            Step::Bytes(bytes, 1)
        })
    }),
    // Who trusts the length before the CRC waits for 4 GB. The rest of the stream follows.
    fault("stream_bad_prelude", |it| {
        it.with_frame(|mut bytes| {
            bytes[..4].copy_from_slice(&0xffff_fff0_u32.to_be_bytes());
            Step::Bytes(bytes, 1)
        })
    }),
    // The body ends as HTTP says, the frame does not.
    fault("stream_cut", |it| it.then(it.half_a_frame()?)),
    fault("stream_hang_up", |it| {
        let half = it.half_a_frame()?;
        let steps = it.first()?.into_iter().chain([half, Step::HangUp]);
        Ok(Stream(Plan::new(steps)))
    }),
    // Without `message_stop`, and without a word.
    fault("stream_end", |it| Ok(Stream(Plan::new(it.first()?)))),
    fault("stream_stall", |it| it.then(Step::Stall)),
    // `fault:stream_not_frames:WHAT`: `html` if not told, `json` (the reply of an invoke), or
    // `mislabelled` (HTML that calls itself a stream).
    fault("stream_not_frames", |it| match it.arguments.first() {
        None | Some(&"html") => Ok(Answer(html(StatusCode::OK, "Welcome"))),
        Some(&"json") => Ok(Answer(json_response(StatusCode::OK, &it.reply.json()))),
        Some(&"mislabelled") => {
            let mut response = html(StatusCode::OK, "Welcome");
            let content_type = HeaderValue::from_static(EVENT_STREAM);
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            Ok(Answer(response))
        }
        Some(_) => Err(it.takes("html, json or mislabelled")),
    }),
    fault("stream_empty", |_| Ok(Stream(Plan::new([])))),
    // A good frame but for its size, and a good stream around it, for who does not mind.
    fault("stream_huge_frame", |it| {
        let huge = frame(&chunk_padded(&json!({ "type": "ping" }), HUGE));
        let mut steps = it.good();
        steps.insert(it.frames()?.min(steps.len()), huge);
        Ok(Stream(Plan::new(steps)))
    }),
    fault("stream_thinking", |it| Ok(Stream(Plan::new(thinking(it.reply))))),
    fault("stream_split", |it| {
        let steps = it.good().into_iter().flat_map(|step| {
            let bytes = encoded(&step);
            let last = bytes.len() - 1;
            bytes
                .into_iter()
                .enumerate()
                .map(move |(at, byte)| Step::Bytes(vec![byte], u64::from(at == last)))
        });
        Ok(Stream(Plan::new(steps)))
    }),
    fault("stream_glued", |it| {
        let steps = it.good();
        let bytes: Vec<u8> = steps.iter().flat_map(encoded).collect();
        Ok(Stream(Plan::new([Step::Bytes(bytes, steps.len() as u64)])))
    }),
    fault("stream_utf8", |it| Ok(Stream(Plan::new(utf8(it.reply))))),
];

const fn fault(name: &'static str, act: fn(&Asking) -> Result<StreamAct, AwsError>) -> StreamFault {
    StreamFault { name, act }
}

impl Asked {
    /// The fault that a stream's prompt asks for, if it asks for one.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException` with the names, if a stream has none of that name.
    pub fn by(prompt: &str) -> Result<Option<Self>, AwsError> {
        let Some(words) = words(prompt) else {
            return Ok(None);
        };
        let name = words.split(':').next().unwrap_or_default();
        let either = || FAULTS.iter().filter(|fault| fault.streams);
        if let Some(fault) = either().find(|fault| fault.name == name) {
            return Ok(Some(Self::Either(fault)));
        }
        if let Some(fault) = STREAM_FAULTS.iter().find(|fault| fault.name == name) {
            return Ok(Some(Self::Stream(fault)));
        }
        let names = either().map(|fault| fault.name);
        let names = names.chain(STREAM_FAULTS.iter().map(|fault| fault.name));
        Err(super::unknown(name, names))
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Either(fault) => fault.name,
            Self::Stream(fault) => fault.name,
        }
    }
}

impl StreamFault {
    /// What comes of it.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException`, if its argument is not what it takes.
    pub fn act(&self, prompt: &str, reply: &Reply) -> Result<StreamAct, AwsError> {
        let arguments = words(prompt).unwrap_or_default().split(':').skip(1).collect();
        (self.act)(&Asking { name: self.name, arguments, reply })
    }
}

impl Asking<'_> {
    fn number(&self, index: usize, default: u64, what: &str) -> Result<u64, AwsError> {
        let argument = self.arguments.get(index);
        argument.map_or(Ok(default), |text| text.parse()).map_err(|_| self.takes(what))
    }

    fn takes(&self, what: &str) -> AwsError {
        AwsError::validation(format!("fault:{} takes {what}.", self.name))
    }

    /// The N of most.
    fn frames(&self) -> Result<usize, AwsError> {
        let frames = self.number(0, DEFAULT_FRAMES as u64, "a number of frames")?;
        Ok(usize::try_from(frames).unwrap_or(usize::MAX))
    }

    fn good(&self) -> Vec<Step> {
        good(&self.reply.json())
    }

    /// The good frames.
    fn first(&self) -> Result<Vec<Step>, AwsError> {
        let mut steps = self.good();
        steps.truncate(self.frames()?);
        Ok(steps)
    }

    /// The good frames, and this.
    fn then(&self, step: Step) -> Result<StreamAct, AwsError> {
        let mut steps = self.first()?;
        steps.push(step);
        Ok(Stream(Plan::new(steps)))
    }

    fn ending_with(&self, kind: &str, message: &str) -> Result<StreamAct, AwsError> {
        self.then(frame(&frames::exception(kind, message)))
    }

    /// The whole stream, with the frame after the good ones changed.
    fn with_frame(&self, change: fn(Vec<u8>) -> Step) -> Result<StreamAct, AwsError> {
        let mut steps = self.good();
        let at = self.frames()?.min(steps.len() - 1);
        steps[at] = change(encoded(&steps[at]));
        Ok(Stream(Plan::new(steps)))
    }

    fn half_a_frame(&self) -> Result<Step, AwsError> {
        let steps = self.good();
        let mut bytes = encoded(&steps[self.frames()?.min(steps.len() - 1)]);
        bytes.truncate(bytes.len() / 2);
        Ok(Step::Bytes(bytes, 0))
    }
}

/// A good stream of a complete reply.
pub(crate) fn good(message: &Value) -> Vec<Step> {
    events(message).into_iter().map(Step::Event).collect()
}

fn frame(frame: &Frame) -> Step {
    Step::Bytes(encode(frame), 1)
}

fn encoded(step: &Step) -> Vec<u8> {
    match step {
        Step::Event(event) => encode(&chunk(event)),
        Step::Bytes(bytes, _) => bytes.clone(),
        Step::Stall | Step::HangUp => Vec::new(),
    }
}

/// Everything that Claude may stream beside text, and what it does not stream yet, before the reply's
/// text. The unknown ones hold a `text` that is not for the reader.
fn thinking(reply: &Reply) -> Vec<Step> {
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
    let mut steps = good(&message);

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
    let inside = chunk(&text_delta(unknown_block, "not text: a frame")).payload;
    let unknown = [
        Step::Event(block_delta(unknown_block, unknown_delta)),
        Step::Event(unknown_event),
        frame(&frames::event("aside", inside)),
    ];
    steps.splice(at..at, unknown);
    steps
}

/// [`UTF8_TEXT`] in place of the reply's, every other delta with its characters escaped: one outside
/// the Basic Multilingual Plane is then a surrogate pair. A delta cannot hold half a character.
fn utf8(reply: &Reply) -> Vec<Step> {
    let mut message = reply.json();
    message["content"] = json!([{ "type": "text", "text": UTF8_TEXT }]);
    message["usage"]["output_tokens"] = json!(tokens(UTF8_TEXT).len());
    let mut steps = good(&message);
    for step in steps.iter_mut().step_by(2) {
        if let Step::Event(event) = step
            && event["type"] == "content_block_delta"
        {
            *step = frame(&chunk_of(escaped(&event.to_string()).as_bytes()));
        }
    }
    steps
}

/// JSON with every character that is not ASCII as `\uXXXX`, one for each UTF-16 code unit.
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
