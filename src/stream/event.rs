//! What a client gets of a stream, in its two forms.

use serde::Serialize;

use crate::error::{Code, Error};
use crate::log::Token;
use crate::model::Usage;

/// An event of an answer that is streamed: one `start`, any number of `delta`s, then one `done` or
/// one `error`, and nothing after that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum StreamEvent {
    /// Bedrock has begun to answer.
    Start {
        /// As in the `x-request-id` header and the log.
        request_id: Token,
        /// The model that answers.
        model: String,
    },
    /// A piece of text. It ends between two characters.
    Delta {
        /// The piece.
        text: String,
    },
    /// The answer is whole: the envelope's body, and more.
    Done {
        /// The prompt.
        input_prompt: String,
        /// All pieces, joined.
        generated_text: String,
        /// Why the model stopped, such as `end_turn` or `max_tokens`.
        stop_reason: Option<Token>,
        /// What the call is billed by.
        usage: Usage,
    },
    /// The answer ends here, and is not whole.
    Error {
        /// One of the words of `x-error-code`.
        code: Code,
        /// Plain words.
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
    /// `start`, `delta`, `done` or `error`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Delta { .. } => "delta",
            Self::Done { .. } => "done",
            Self::Error { .. } => "error",
        }
    }

    /// Whether nothing comes after it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Error { .. })
    }

    /// Appends it in the form of Server-Sent Events: its name as `event`, its fields as JSON.
    ///
    /// <https://html.spec.whatwg.org/multipage/server-sent-events.html>
    pub fn write_sse(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(self.name().as_bytes());
        // JSON has no line break in it, so it is one `data` line.
        out.extend_from_slice(b"\ndata: ");
        self.write_json(out);
        out.extend_from_slice(b"\n\n");
    }

    /// The form of a WebSocket's message: `{"event": "delta", "data": {"text": "…"}}`.
    pub fn to_message(&self) -> String {
        #[derive(Serialize)]
        struct Message<'a> {
            event: &'static str,
            data: &'a StreamEvent,
        }
        // Strings and numbers always serialize.
        serde_json::to_string(&Message { event: self.name(), data: self }).unwrap_or_default()
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        // Writing into a Vec does not fail, and neither does the serialization of strings.
        let _ = serde_json::to_writer(out, self);
    }
}
