//! The events of a streamed reply, as SSE and WebSocket clients receive them.

use std::fmt;

use serde_json::Value;

/// An event, or an SSE comment.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `start`, `delta`, `done` or `error`. For a comment, its whole text.
    pub name: String,
    /// Null for a comment.
    pub data: Value,
}

impl Event {
    /// Whether this event ends a reply.
    pub fn is_last(&self) -> bool {
        ["done", "error"].contains(&self.name.as_str())
    }

    /// The text of a `delta`.
    pub fn text(&self) -> &str {
        self.data["text"].as_str().unwrap_or_default()
    }
}

/// The events of one reply, from the first to the last.
#[derive(Debug)]
pub struct StreamedReply {
    /// The data of `start`, or null if the reply failed before it.
    pub start: Value,
    /// The texts of the deltas.
    pub deltas: Vec<String>,
    /// `done` or `error`.
    pub last: Event,
}

impl StreamedReply {
    /// Panics unless the events are one `start`, any number of `delta`s and one `done` or `error`,
    /// each with exactly its documented fields.
    pub fn from_events(case: &str, events: &[Event]) -> Self {
        let Some((last, before)) = events.split_last() else { panic!("{case}: no events") };
        let (start, deltas) = match before.split_first() {
            Some((start, deltas)) => {
                assert_eq!(start.name, "start", "{case}: {events:?}");
                let mut names = fields(&start.data);
                names.retain(|name| !["session", "dropped_turns"].contains(name));
                assert_eq!(names, ["model", "request_id"], "{case}: {start:?}");
                (start.data.clone(), deltas)
            }
            // Only over a WebSocket. Over HTTP the response would be an envelope.
            None => (Value::Null, before),
        };
        let deltas: Vec<String> = deltas
            .iter()
            .map(|delta| {
                assert_eq!(delta.name, "delta", "{case}: {events:?}");
                assert_eq!(fields(&delta.data), ["text"], "{case}: {delta:?}");
                assert_ne!(delta.text(), "", "{case}: {delta:?}");
                delta.text().to_owned()
            })
            .collect();
        if last.name == "done" {
            let names = ["generated_text", "input_prompt", "stop_reason", "usage"];
            assert_eq!(fields(&last.data), names, "{case}: {last:?}");
            assert_eq!(last.data["generated_text"], deltas.concat(), "{case}");
        } else {
            assert_eq!(last.name, "error", "{case}: {events:?}");
            assert_eq!(fields(&last.data), ["code", "message", "retryable"], "{case}: {last:?}");
        }
        Self { start, deltas, last: last.clone() }
    }

    /// The concatenated deltas.
    pub fn text(&self) -> String {
        self.deltas.concat()
    }

    /// The request ID from `start`, which is also in the `x-request-id` header and in the log.
    pub fn request_id(&self) -> &str {
        self.start["request_id"].as_str().unwrap_or_else(|| panic!("no request ID: {self}"))
    }

    /// Asserts that the reply ended with this error.
    pub fn assert_error(&self, case: &str, code: &str, message: &str, retryable: bool) {
        assert_eq!(self.last.name, "error", "{case}: {self}");
        assert_eq!(self.last.data["code"], code, "{case}: {self}");
        assert_eq!(self.last.data["message"], message, "{case}: {self}");
        assert_eq!(self.last.data["retryable"], retryable, "{case}: {self}");
    }
}

/// The names of an object's fields, sorted.
fn fields(data: &Value) -> Vec<&str> {
    data.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

impl fmt::Display for StreamedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (deltas, text) = (self.deltas.len(), self.text());
        write!(f, "{}, {deltas} deltas: {text:.500}, {:?}", self.start, self.last)
    }
}
