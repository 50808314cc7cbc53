//! What a client is told of a stream, in either form.

use std::fmt;

use serde_json::Value;

/// An event as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `start`, `delta`, `done`, `error`; of a comment, which is none, all of it.
    pub name: String,
    /// Of a comment: null.
    pub data: Value,
}

impl Event {
    pub fn is_last(&self) -> bool {
        ["done", "error"].contains(&self.name.as_str())
    }

    /// The piece of a `delta`.
    pub fn text(&self) -> &str {
        self.data["text"].as_str().unwrap_or_default()
    }
}

/// One answer from its first event to its last.
#[derive(Debug)]
pub struct StreamedReply {
    /// The data of `start`: null if it failed before.
    pub start: Value,
    /// The texts of the deltas.
    pub deltas: Vec<String>,
    /// `done` or `error`.
    pub last: Event,
}

impl StreamedReply {
    /// Panics unless it is one `start`, any number of `delta`s, one last event, and all of them
    /// have exactly the fields that they are to have.
    pub fn from_events(case: &str, events: &[Event]) -> Self {
        let Some((last, before)) = events.split_last() else { panic!("{case}: no event") };
        let (start, deltas) = match before.split_first() {
            Some((start, deltas)) => {
                assert_eq!(start.name, "start", "{case}: {events:?}");
                assert_eq!(fields(&start.data), ["model", "request_id"], "{case}: {start:?}");
                (start.data.clone(), deltas)
            }
            // Only a WebSocket's: over HTTP it would have been an envelope.
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

    pub fn text(&self) -> String {
        self.deltas.concat()
    }

    /// As in the `x-request-id` header and the log.
    pub fn request_id(&self) -> &str {
        self.start["request_id"].as_str().unwrap_or_else(|| panic!("no request id: {self}"))
    }

    /// Panics unless it ended with this error.
    pub fn assert_error(&self, case: &str, code: &str, message: &str, retryable: bool) {
        assert_eq!(self.last.name, "error", "{case}: {self}");
        assert_eq!(self.last.data["code"], code, "{case}: {self}");
        assert_eq!(self.last.data["message"], message, "{case}: {self}");
        assert_eq!(self.last.data["retryable"], retryable, "{case}: {self}");
    }
}

/// Sorted.
fn fields(data: &Value) -> Vec<&str> {
    data.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

impl fmt::Display for StreamedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (deltas, text) = (self.deltas.len(), self.text());
        write!(f, "{}, {deltas} pieces: {text:.500}, {:?}", self.start, self.last)
    }
}
