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
use super::sse;
use crate::aws::{Frames, Message};
use crate::claude::{
    Content, Delta, Event, InvalidReply, Joiner, PassedEvent, RawText, Usage, object, with_text,
};
use crate::converse;
use crate::host::ReadError;
use crate::identifier::Identifier;

/// The longest reply in bytes, whole, or the longest text of a stream: far longer than any, and short enough for the 128 MB of
/// an isolate.
pub(crate) const MAX_REPLY_BYTES: usize = 8 << 20;

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
    source: Source,
    /// The model that the caller named, if Claude's events are passed on.
    passes_for: Option<String>,
    /// The bytes of the events that were passed on.
    passed: usize,
    /// The number of frames so far.
    count: u64,
    joiner: Joiner,
    /// The content blocks, if they are to be remembered.
    content: Option<Content>,
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

/// The format of the bytes.
#[derive(Debug)]
enum Source {
    /// AWS's event stream.
    Frames(Frames),
    /// Server-Sent Events of Bedrock's own Messages API.
    Events(sse::Events),
    /// AWS's event stream with the events of ConverseStream.
    Converse(Frames, Box<converse::Events>),
    /// A whole reply of Converse, which becomes events at its end.
    Whole(Vec<u8>, Box<converse::Events>),
}

impl Default for Source {
    fn default() -> Self {
        Self::Frames(Frames::default())
    }
}

impl Source {
    fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Frames(frames) | Self::Converse(frames, _) => frames.push(bytes),
            Self::Events(events) => events.push(bytes),
            Self::Whole(body, _) => body.extend_from_slice(bytes),
        }
    }

    /// Returns the next frame or event: the JSON of an event of Claude's, or `None` in it if it has none.
    fn next(&mut self) -> Result<Option<Option<Vec<u8>>>, InvokeError> {
        match self {
            Self::Frames(frames) => match frames.message()? {
                Some(message) => read_chunk(&message).map(Some),
                None => Ok(None),
            },
            Self::Events(events) => Ok(events.data()?.map(Some)),
            Self::Converse(frames, events) => {
                if let Some(event) = events.pop() {
                    return Ok(Some(Some(event.into_bytes())));
                }
                let Some(message) = frames.message()? else { return Ok(None) };
                if let Some(kind) = event_type(&message)? {
                    events.push(kind, message.payload())?;
                }
                Ok(Some(events.pop().map(String::into_bytes)))
            }
            Self::Whole(body, _) if body.len() > MAX_REPLY_BYTES => Err(ReadError::TooLong.into()),
            Self::Whole(_, events) => Ok(events.pop().map(String::into_bytes).map(Some)),
        }
    }
}

/// A step of a reply.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// The first frame has arrived and is not an exception.
    Start,
    /// A delta, which is not empty and ends between two characters.
    Text(String),
    /// An event of Claude's, if events are passed on.
    Event(PassedEvent),
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
    /// Makes a decoder of Server-Sent Events.
    pub(super) fn of_sse() -> Self {
        Self { source: Source::Events(sse::Events::default()), ..Self::default() }
    }

    /// Makes a decoder of ConverseStream, or of a reply of Converse.
    pub(super) fn of_converse(events: converse::Events, is_whole: bool) -> Self {
        let events = Box::new(events);
        let source = match is_whole {
            true => Source::Whole(Vec::new(), events),
            false => Source::Converse(Frames::default(), events),
        };
        Self { source, ..Self::default() }
    }

    /// Passes Claude's events on, to a caller who named this model.
    pub(super) fn passing(self, model: &str) -> Self {
        Self { passes_for: Some(model.to_owned()), ..self }
    }

    /// Keeps the content blocks.
    pub(crate) fn keeping_content(self) -> Self {
        Self { content: Some(Content::default()), ..self }
    }

    /// Takes the content blocks, if they were kept.
    pub(crate) fn take_content(&mut self) -> Content {
        self.content.take().unwrap_or_default()
    }

    /// Adds a chunk. Ignores what comes after the end.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.ended {
            self.source.push(bytes);
        }
    }

    /// Ends the bytes.
    pub fn close(&mut self) {
        if let Source::Whole(body, events) = &mut self.source
            && let Err(error) = events.push_reply(body)
        {
            return self.fail(error.into());
        }
        // Without `message_stop` the reply is incomplete, inside a frame or between two.
        self.fail(InvokeError::Truncated);
    }

    /// Ends the bytes because of an error.
    pub(crate) fn fail(&mut self, error: InvokeError) {
        self.end.get_or_insert(error);
    }

    /// Ends the reply at once, whatever has arrived.
    pub(crate) fn abort(&mut self, error: InvokeError) {
        self.ended = true;
        self.steps.clear();
        self.steps.push_back(Step::Failed(error));
    }

    /// Reports whether the last step is there, taken or not.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reports whether there will be no further step.
    pub fn is_over(&self) -> bool {
        self.ended && self.steps.is_empty()
    }

    /// Returns the number of frames so far.
    pub fn frames(&self) -> u64 {
        self.count
    }

    /// Returns how many bytes of generated text there are so far, or more.
    pub(crate) fn received(&self) -> usize {
        self.generated.text.len() + self.passed
    }

    /// Returns the length of the longest text in memory: of the reply, or of the content blocks.
    pub(crate) fn kept(&self) -> usize {
        let content = self.content.as_ref().map_or(0, Content::len);
        self.generated.text.len().max(content)
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
            let result = match self.source.next() {
                Ok(Some(json)) => {
                    self.count += 1;
                    self.take_json(json.as_deref())
                }
                Ok(None) => match self.end.take() {
                    Some(error) => Err(error),
                    None => return None,
                },
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                self.ended = true;
                self.steps.push_back(Step::Failed(error));
            }
        }
        self.steps.pop_front()
    }

    fn take_json(&mut self, json: Option<&[u8]>) -> Result<(), InvokeError> {
        let Some(json) = json else {
            self.take(Event::EMPTY);
            return Ok(());
        };
        let passed = match &self.passes_for {
            None => None,
            Some(model) => Some(PassedEvent::new(json, model, &self.generated.usage)?),
        };
        if let Some(content) = &mut self.content {
            content.push(json)?;
        }
        let event = match &passed {
            Some(event) if event.name == "content_block_delta" => Event::EMPTY,
            _ => Event::parse(json)?,
        };
        if let Delta::Error { kind, message } = event.delta {
            return Err(InvokeError::Exception { kind, message, original: None });
        }
        if let Some(event) = passed {
            self.start();
            self.passed += event.json.len();
            self.steps.push_back(Step::Event(event));
        }
        self.take(event);
        Ok(())
    }

    fn start(&mut self) {
        if !self.started {
            self.started = true;
            self.steps.push_back(Step::Start);
        }
    }

    fn take(&mut self, Event { delta, guardrail_intervened }: Event) {
        self.start();
        self.generated.guardrail_intervened |= guardrail_intervened;
        match delta {
            // ConverseStream reports its usage at the end.
            Delta::Start(_) if matches!(self.source, Source::Converse(..) | Source::Whole(..)) => {}
            Delta::Start(usage) => self.generated.usage.update(usage),
            Delta::Text(_) if self.passes_for.is_some() => {}
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
            Delta::End if self.passes_for.is_some() => {
                self.ended = true;
                self.steps.push_back(Step::Done(self.generated.clone()));
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

/// Returns the type of the event in a message, or its error. `None`: it has no type.
fn event_type<'m>(message: &'m Message<'_>) -> Result<Option<&'m str>, InvokeError> {
    match (message.header(":message-type"), message.header(":event-type")) {
        ("event", "") => Ok(None),
        ("event", kind) => Ok(Some(kind)),
        ("error", _) => Err(InvokeError::Exception {
            kind: capitalized(message.header(":error-code")),
            message: message.header(":error-message").to_owned(),
            original: None,
        }),
        ("exception", _) => {
            Err(InvokeError::exception(message.header(":exception-type"), message.payload()))
        }
        _ => Err(InvalidReply::NoMessageType.into()),
    }
}

/// Reads the event in a message: JSON of Claude's, or `None` if it has none.
fn read_chunk(message: &Message<'_>) -> Result<Option<Vec<u8>>, InvokeError> {
    /// The payload of a `chunk`. It also has padding, so that its length tells nothing.
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        bytes: Option<Cow<'a, str>>,
    }

    // Events of another type are unknown.
    if event_type(message)? != Some("chunk") || message.payload().is_empty() {
        return Ok(None);
    }
    let Some(bytes) = object::<Chunk>(message.payload())?.bytes.filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    let json = STANDARD.decode(bytes.as_bytes()).map_err(|_| InvalidReply::NotBase64)?;
    Ok(Some(json))
}

#[cfg(test)]
mod tests;
