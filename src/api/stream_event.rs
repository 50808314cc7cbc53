//! The events of a streamed reply, in their two forms: Server-Sent Events and WebSocket messages.

use serde::Serialize;

use crate::claude::{PassedEvent, Usage};
use crate::error::{Code, Error};
use crate::identifier::Identifier;
use crate::json::to_json;

/// An event of a streamed reply: one `start`, any number of `delta`s, then one `done` or one `error`, and nothing
/// after that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum StreamEvent {
    /// Bedrock has begun to reply.
    Start {
        /// The request's id, as in the `x-request-id` header and the log.
        request_id: Identifier,
        /// The model that replies.
        model: String,
        /// The id of the session, if the request is of one.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// The number of oldest turns that the session loses with this one, if any.
        #[serde(skip_serializing_if = "Option::is_none")]
        dropped_turns: Option<u64>,
    },
    /// More text. It ends between two characters.
    Delta {
        /// The text.
        text: String,
    },
    /// The reply is complete: the members of the envelope's body, and more.
    Done {
        /// The user's last text.
        input_prompt: String,
        /// All deltas, joined.
        generated_text: String,
        /// Why the model stopped, such as `end_turn` or `max_tokens`.
        stop_reason: Option<Identifier>,
        /// The tokens that the call is billed by.
        usage: Usage,
        /// `INTERVENED` if a guardrail has blocked or masked something.
        #[serde(skip_serializing_if = "Option::is_none")]
        guardrail_action: Option<&'static str>,
    },
    /// An event of Claude's own stream, in the interfaces that pass it on between `start` and `done`.
    Passed(PassedEvent),
    /// The reply ends early.
    Error {
        /// The code, as in `x-error-code`.
        code: Code,
        /// The message for the caller.
        message: String,
        /// Whether the same request may succeed at another time.
        retryable: bool,
    },
}

impl From<&Error> for StreamEvent {
    fn from(error: &Error) -> Self {
        let message = format!("Error: {error}");
        Self::Error { code: error.code, message, retryable: error.code.is_retryable() }
    }
}

impl StreamEvent {
    /// Returns `start`, `delta`, `done`, `passed` or `error`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Delta { .. } => "delta",
            Self::Done { .. } => "done",
            Self::Passed(_) => "passed",
            Self::Error { .. } => "error",
        }
    }

    /// Reports whether nothing follows.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Error { .. })
    }

    /// Appends the event as a Server-Sent Event: its name, or the type of Claude's event, as `event`, its fields as JSON.
    ///
    /// <https://html.spec.whatwg.org/multipage/server-sent-events.html>
    pub fn write_sse(&self, out: &mut Vec<u8>) {
        match self {
            Self::Passed(event) => write_sse(&event.name, event.json.as_bytes(), out),
            _ => write_event(self.name(), |out| self.write_json(out), out),
        }
    }

    /// Returns the event as a WebSocket message: `{"event": "delta", "data": {"text": "…"}}`.
    pub fn to_message(&self) -> String {
        #[derive(Serialize)]
        struct Message<'a> {
            event: &'static str,
            data: &'a StreamEvent,
        }
        to_json(&Message { event: self.name(), data: self })
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        // Writing into a Vec does not fail, and neither does the serialization of strings.
        let _ = serde_json::to_writer(out, self);
    }
}

/// Appends JSON without line breaks as a Server-Sent Event.
pub(super) fn write_sse(name: &str, json: &[u8], out: &mut Vec<u8>) {
    write_event(name, |out| out.extend_from_slice(json), out);
}

fn write_event(name: &str, write_json: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    // JSON has no line break, so one `data` line is enough.
    out.extend_from_slice(b"\ndata: ");
    let start = out.len();
    write_json(out);
    escape_line_separators(out, start);
    out.extend_from_slice(b"\n\n");
}

/// Escapes the characters behind `start`, in JSON, at which clients in Python and others break lines besides those of
/// the standard: U+0085, U+2028 and U+2029.
fn escape_line_separators(out: &mut Vec<u8>, start: usize) {
    let mut escaped: Vec<u8> = Vec::new();
    let (mut copied, mut from) = (start, start);
    while let Some(at) = out.get(from..).and_then(|rest| memchr::memchr2(0xc2, 0xe2, rest)) {
        from += at;
        let (length, escape) = match out.get(from..).unwrap_or_default() {
            [0xc2, 0x85, ..] => (2, br"\u0085"),
            [0xe2, 0x80, 0xa8, ..] => (3, br"\u2028"),
            [0xe2, 0x80, 0xa9, ..] => (3, br"\u2029"),
            _ => {
                from += 1;
                continue;
            }
        };
        escaped.extend_from_slice(out.get(copied..from).unwrap_or_default());
        escaped.extend_from_slice(escape);
        from += length;
        copied = from;
    }
    if copied > start {
        escaped.extend_from_slice(out.get(copied..).unwrap_or_default());
        out.truncate(start);
        out.append(&mut escaped);
    }
}

#[cfg(test)]
mod tests;
