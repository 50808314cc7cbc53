//! Decodes `InvokeModelWithResponseStream` without I/O: bytes, frames, Claude's events, text.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html>
//!
//! Out of scope: where the bytes come from, and what becomes of the text.

use std::borrow::Cow;
use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::error::{InvokeError, capitalized};
use crate::aws::{Frames, Message};
use crate::claude::{Delta, Event, InvalidReply, Joiner, RawText, Usage, object, with_text};
use crate::identifier::Identifier;

/// A decoder of one streamed reply: bytes go in, [`Step`]s come out. The same bytes give the same text and the same
/// end in whatever chunks they come.
///
/// ```
/// use bedrock_edge::bedrock::{Decoder, Step};
///
/// let mut decoder = Decoder::default();
/// decoder.push(b"not an event stream");
/// assert!(matches!(decoder.step(), Some(Step::Failed(_))));
/// assert!(decoder.step().is_none());
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    frames: Frames,
    /// The number of frames so far.
    count: u64,
    joiner: Joiner,
    generated: Generated,
    /// The steps that were not taken yet.
    steps: VecDeque<Step>,
    started: bool,
    has_text: bool,
    has_final_usage: bool,
    /// Why no more bytes will come, if so.
    end: Option<InvokeError>,
    ended: bool,
}

/// A step of a reply.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// The first frame has arrived and is not an exception.
    Start,
    /// A delta, which is not empty and ends between two characters.
    Text(String),
    /// The reply is complete. Nothing follows.
    Done(Generated),
    /// The reply ended early. Nothing follows.
    Failed(InvokeError),
}

/// A reply so far, complete in [`Step::Done`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Generated {
    /// All deltas, joined.
    pub text: String,
    /// Why the model stopped.
    pub stop_reason: Option<Identifier>,
    /// The tokens that the call is billed by.
    pub usage: Usage,
    /// Whether a guardrail has blocked or masked something. The text may be its message.
    pub guardrail_intervened: bool,
}

impl Decoder {
    /// Adds a chunk. Ignores what comes after the end.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.ended {
            self.frames.push(bytes);
        }
    }

    /// Ends the bytes.
    pub fn close(&mut self) {
        // Without `message_stop` the reply is incomplete, inside a frame or between two.
        self.fail(InvokeError::Truncated);
    }

    /// Ends the bytes because of an error.
    pub(crate) fn fail(&mut self, error: InvokeError) {
        self.end.get_or_insert(error);
    }

    /// Reports whether there will be no further step.
    pub fn is_over(&self) -> bool {
        self.ended && self.steps.is_empty()
    }

    /// Returns the number of frames so far.
    pub fn frames(&self) -> u64 {
        self.count
    }

    /// Returns the reply so far.
    pub fn so_far(&self) -> &Generated {
        &self.generated
    }

    /// Reports whether Bedrock has said how many tokens the whole reply has.
    pub(crate) fn has_final_usage(&self) -> bool {
        self.has_final_usage
    }

    /// Returns the next step, or `None` until more has arrived, and after [`Step::Done`] and [`Step::Failed`].
    pub fn step(&mut self) -> Option<Step> {
        while self.steps.is_empty() && !self.ended {
            let result = match self.frames.message() {
                Ok(Some(message)) => {
                    self.count += 1;
                    read(&message).map(|event| self.take(event))
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

    fn take(&mut self, Event { delta, guardrail_intervened }: Event) {
        if !self.started {
            self.started = true;
            self.steps.push_back(Step::Start);
        }
        self.generated.guardrail_intervened |= guardrail_intervened;
        match delta {
            Delta::Start(usage) => self.generated.usage.update(usage),
            Delta::Text(RawText(delta)) => {
                self.has_text = true;
                let text = self.joiner.push(&delta);
                self.emit(text);
            }
            Delta::Stop { reason, usage } => {
                // There may be several, and the last need not repeat it.
                if reason.is_some() {
                    self.generated.stop_reason = reason;
                }
                self.has_final_usage |= usage.output_tokens.is_some();
                self.generated.usage.update(usage);
            }
            Delta::End => {
                let text = self.joiner.finish();
                self.emit(text);
                self.ended = true;
                let Generated { text, stop_reason, guardrail_intervened, .. } = &mut self.generated;
                let text = self.has_text.then(|| std::mem::take(text));
                let text = with_text(text, stop_reason.as_ref(), *guardrail_intervened);
                self.steps.push_back(match text {
                    Ok(text) => {
                        self.generated.text = text;
                        Step::Done(self.generated.clone())
                    }
                    Err(error) => Step::Failed(error.into()),
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

/// Reads the event in a message.
fn read(message: &Message<'_>) -> Result<Event, InvokeError> {
    /// The payload of a `chunk`. It also has padding, so that its length tells nothing.
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        bytes: Option<Cow<'a, str>>,
    }

    match (message.header(":message-type"), message.header(":event-type")) {
        ("event", "chunk") => {}
        // Unknown events.
        ("event", _) => return Ok(Event::EMPTY),
        ("error", _) => {
            return Err(InvokeError::Exception {
                kind: capitalized(message.header(":error-code")),
                message: message.header(":error-message").to_owned(),
                original: None,
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
    if message.payload().is_empty() {
        return Ok(Event::EMPTY);
    }
    let Some(bytes) = object::<Chunk>(message.payload())?.bytes.filter(|it| !it.is_empty()) else {
        return Ok(Event::EMPTY);
    };
    let json = STANDARD.decode(bytes.as_bytes()).map_err(|_| InvalidReply::NotBase64)?;
    match Event::parse(&json)? {
        Event { delta: Delta::Error { kind, message }, .. } => {
            Err(InvokeError::Exception { kind, message, original: None })
        }
        event => Ok(event),
    }
}

#[cfg(test)]
mod tests;
