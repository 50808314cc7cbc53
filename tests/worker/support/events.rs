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
pub struct Story {
    /// The data of `start`: null if it failed before.
    pub start: Value,
    /// The texts of the deltas.
    pub pieces: Vec<String>,
    /// `done` or `error`.
    pub end: Event,
}

impl Story {
    /// Panics unless it is one `start`, any number of `delta`s, one last event, and all of them
    /// have exactly the fields that they are to have.
    pub fn of(case: &str, events: &[Event]) -> Self {
        let Some((end, before)) = events.split_last() else { panic!("{case}: no event") };
        let (start, deltas) = match before.split_first() {
            Some((start, deltas)) => {
                assert_eq!(start.name, "start", "{case}: {events:?}");
                assert_eq!(fields(&start.data), ["model", "request_id"], "{case}: {start:?}");
                (start.data.clone(), deltas)
            }
            // Only a WebSocket's: over HTTP it would have been an envelope.
            None => (Value::Null, before),
        };
        let pieces: Vec<String> = deltas
            .iter()
            .map(|delta| {
                assert_eq!(delta.name, "delta", "{case}: {events:?}");
                assert_eq!(fields(&delta.data), ["text"], "{case}: {delta:?}");
                assert_ne!(delta.text(), "", "{case}: {delta:?}");
                delta.text().to_owned()
            })
            .collect();
        if end.name == "done" {
            let names = ["generated_text", "input_prompt", "stop_reason", "usage"];
            assert_eq!(fields(&end.data), names, "{case}: {end:?}");
            assert_eq!(end.data["generated_text"], pieces.concat(), "{case}");
        } else {
            assert_eq!(end.name, "error", "{case}: {events:?}");
            assert_eq!(fields(&end.data), ["code", "message", "retryable"], "{case}: {end:?}");
        }
        Self { start, pieces, end: end.clone() }
    }

    pub fn text(&self) -> String {
        self.pieces.concat()
    }

    /// As in the `x-request-id` header and the log.
    pub fn request_id(&self) -> &str {
        self.start["request_id"].as_str().unwrap_or_else(|| panic!("no request id: {self}"))
    }

    /// Panics unless it ended with this error.
    pub fn assert_error(&self, case: &str, code: &str, message: &str, retryable: bool) {
        assert_eq!(self.end.name, "error", "{case}: {self}");
        assert_eq!(self.end.data["code"], code, "{case}: {self}");
        assert_eq!(self.end.data["message"], message, "{case}: {self}");
        assert_eq!(self.end.data["retryable"], retryable, "{case}: {self}");
    }
}

/// Sorted.
fn fields(data: &Value) -> Vec<&str> {
    data.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pieces, text) = (self.pieces.len(), self.text());
        write!(f, "{}, {pieces} pieces: {text:.500}, {:?}", self.start, self.end)
    }
}
