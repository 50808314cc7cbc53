//! The bytes of `InvokeModelWithResponseStream` into events for a client, without I/O: frames,
//! what is in them, and what that means for the answer.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html>
//!
//! Out of scope: who reads the bytes, and who gets the events.

use std::borrow::Cow;
use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

pub use event::StreamEvent;
pub use frames::{FrameError, Frames, Message};
pub use generation::{Generation, Streaming};
use text::{Joiner, RawText};

use crate::invoke::{InvokeError, capitalized};
use crate::log::Token;
use crate::model::{Delta, InvalidReply, Usage, object};

mod event;
mod frames;
mod generation;
pub(crate) mod text;

/// The answer as far as it has come: bytes go in, [`Step`]s come out. The same bytes give the same
/// text and the same end, however they are cut.
///
/// ```
/// use bedrock_edge::stream::{Decoder, Step};
///
/// let mut decoder = Decoder::default();
/// decoder.push(b"not an event stream");
/// assert!(matches!(decoder.step(), Some(Step::Failed(_))));
/// assert!(decoder.step().is_none());
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    frames: Frames,
    /// Of frames.
    count: u64,
    joiner: Joiner,
    generated: Generated,
    /// Steps that one frame led to and that were not taken yet.
    steps: VecDeque<Step>,
    started: bool,
    has_text: bool,
    /// Why nothing more will arrive, if nothing more will.
    end: Option<InvokeError>,
    ended: bool,
}

/// What the bytes so far have led to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// The first frame has arrived, and it is not an exception.
    Start,
    /// A piece of text, which is not empty and ends between two characters.
    Text(String),
    /// The answer is whole. Nothing comes after it.
    Done(Generated),
    /// The answer is broken off. Nothing comes after it.
    Failed(InvokeError),
}

/// An answer, whole in [`Step::Done`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Generated {
    /// All pieces, joined.
    pub text: String,
    /// Why the model stopped.
    pub stop_reason: Option<Token>,
    /// What the call is billed by.
    pub usage: Usage,
}

impl Decoder {
    /// Takes in what has arrived. What comes after the end is not kept.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.ended {
            self.frames.push(bytes);
        }
    }

    /// Says that nothing more will arrive.
    pub fn close(&mut self) {
        // An end without `message_stop` is none, inside a frame or between two.
        self.fail(InvokeError::Truncated);
    }

    /// Says that nothing more will arrive, and why.
    pub(crate) fn fail(&mut self, error: InvokeError) {
        self.end.get_or_insert(error);
    }

    /// Whether no step will come any more.
    pub fn is_over(&self) -> bool {
        self.ended && self.steps.is_empty()
    }

    /// How many frames have been read.
    pub fn frames(&self) -> u64 {
        self.count
    }

    /// What is known of the answer so far.
    pub fn so_far(&self) -> &Generated {
        &self.generated
    }

    /// The next step, or `None` until more has arrived. After [`Step::Done`] and [`Step::Failed`]
    /// always `None`.
    pub fn step(&mut self) -> Option<Step> {
        while self.steps.is_empty() && !self.ended {
            let result = match self.frames.message() {
                Ok(Some(message)) => {
                    self.count += 1;
                    read(&message).map(|delta| self.take(delta))
                }
                Ok(None) => match self.end.take() {
                    Some(error) => Err(error),
                    None => return None,
                },
                Err(error) => Err(error.into()),
            };
            if let Err(error) = result {
                self.ended = true;
                self.steps.push_back(Step::Failed(error));
            }
        }
        self.steps.pop_front()
    }

    fn take(&mut self, delta: Delta) {
        if !self.started {
            self.started = true;
            self.steps.push_back(Step::Start);
        }
        match delta {
            Delta::Start(usage) => self.generated.usage.update(usage),
            Delta::Text(RawText(piece)) => {
                self.has_text = true;
                let text = self.joiner.push(&piece);
                self.emit(text);
            }
            Delta::Stop { reason, usage } => {
                // There may be several, and the last need not say it again.
                if reason.is_some() {
                    self.generated.stop_reason = reason;
                }
                self.generated.usage.update(usage);
            }
            Delta::End => {
                let text = self.joiner.finish();
                self.emit(text);
                self.ended = true;
                self.steps.push_back(if self.has_text {
                    Step::Done(self.generated.clone())
                } else {
                    Step::Failed(InvalidReply::NoText.into())
                });
            }
            Delta::Error { .. } | Delta::Other => {}
        }
    }

    fn emit(&mut self, text: String) {
        if !text.is_empty() {
            self.generated.text += &text;
            self.steps.push_back(Step::Text(text));
        }
    }
}

/// What a message says.
fn read(message: &Message<'_>) -> Result<Delta, InvokeError> {
    /// The payload of a `chunk`. Beside the bytes it has padding, against those who count them.
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        bytes: Cow<'a, str>,
    }

    match (message.header(":message-type"), message.header(":event-type")) {
        ("event", "chunk") => {}
        // Kinds of events that are to come.
        ("event", _) => return Ok(Delta::Other),
        ("error", _) => {
            return Err(InvokeError::Exception {
                kind: capitalized(message.header(":error-code")),
                message: message.header(":error-message").to_owned(),
            });
        }
        ("exception", _) => {
            return Err(InvokeError::exception(
                message.header(":exception-type"),
                message.payload(),
            ));
        }
        _ => return Err(InvalidReply::NoMessageType.into()),
    }
    let chunk: Chunk = object(message.payload())?;
    let json = STANDARD.decode(chunk.bytes.as_bytes()).map_err(|_| InvalidReply::NotBase64)?;
    match Delta::parse(&json)? {
        Delta::Error { kind, message } => Err(InvokeError::Exception { kind, message }),
        delta => Ok(delta),
    }
}

#[cfg(test)]
mod tests;
