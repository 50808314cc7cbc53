//! The meter of a response that is passed on as it came: what it is billed by, and whether it is whole.
//!
//! It looks at the bytes while they pass, and holds no more than a part of one frame or one value of a JSON object. The same
//! bytes give the same numbers in whatever chunks they come.
//!
//! Out of scope: the bytes themselves, which it does not change, and whether their checksums are right.

mod counts;
mod events;
mod frames;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::error::InvokeError;
use super::operations::Bill;
use crate::aws::encode_exception;
use crate::claude::Usage;
use crate::headers::{
    X_AMZN_BEDROCK_CACHE_READ_INPUT_TOKEN_COUNT as CACHE_READ,
    X_AMZN_BEDROCK_CACHE_WRITE_INPUT_TOKEN_COUNT as CACHE_WRITE,
    X_AMZN_BEDROCK_INPUT_TOKEN_COUNT as INPUT, X_AMZN_BEDROCK_OUTPUT_TOKEN_COUNT as OUTPUT,
    upstream,
};
use crate::host::TransportError;
use crate::json::{Found, Scan};
use counts::{Counts, GUARDRAIL, MAX_VALUE_BYTES, word};
use events::Events;
use frames::Frames;

/// The exception at the end of a stream that broke off. Every operation that streams has it.
const BROKEN: &str = "modelStreamErrorException";

/// A meter of one response.
#[derive(Debug)]
pub(crate) struct Meter {
    source: Source,
    counts: Counts,
    /// The bytes so far that may be text.
    received: usize,
}

#[derive(Debug)]
enum Source {
    /// A JSON object.
    Json(Box<Scan>),
    /// AWS's event stream.
    Frames(Frames),
    /// The Server-Sent Events of Anthropic's API.
    Events(Events),
}

/// The end of a response.
#[derive(Debug)]
pub(crate) struct End {
    /// The bytes to send after those that have passed, so that the client learns of the failure.
    pub tail: Vec<u8>,
    /// Whether the client can learn of the failure only by a broken connection.
    pub is_broken: bool,
    /// The failure.
    pub error: Option<InvokeError>,
}

/// The members of a whole reply that matter.
const OF_A_REPLY: &[&str] = &["usage", "stop_reason", "stopReason", GUARDRAIL];

impl Meter {
    /// Makes the meter of a successful response, or returns what its headers tell, if they tell everything.
    pub(crate) fn new(bill: Bill, headers: &HeaderMap) -> Result<Self, Usage> {
        let is_of_type = |expected: &str| {
            upstream(headers, &CONTENT_TYPE).is_some_and(|it| it.starts_with(expected))
        };
        let source = match bill {
            Bill::Free | Bill::NotInTokens => return Err(Usage::default()),
            Bill::Whole => {
                let number = |name| upstream(headers, name)?.parse().ok();
                let usage = Usage {
                    input_tokens: number(&INPUT),
                    output_tokens: number(&OUTPUT),
                    cache_read_input_tokens: number(&CACHE_READ),
                    cache_creation_input_tokens: number(&CACHE_WRITE),
                    cache_creation_1h_input_tokens: None,
                };
                if usage.input_tokens.is_some() && usage.output_tokens.is_some() {
                    return Err(usage);
                }
                Source::Json(Box::new(Scan::new(OF_A_REPLY, MAX_VALUE_BYTES)))
            }
            Bill::Events if is_of_type("text/event-stream") => Source::Events(Events::default()),
            Bill::Events => Source::Json(Box::new(Scan::new(OF_A_REPLY, MAX_VALUE_BYTES))),
            Bill::Frames => Source::Frames(Frames::default()),
        };
        Ok(Self { source, counts: Counts::default(), received: 0 })
    }

    /// Looks at a chunk.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.received += chunk.len();
        match &mut self.source {
            Source::Json(scan) => scan.push(chunk),
            Source::Frames(frames) => frames.push(chunk, &mut self.counts),
            Source::Events(events) => events.push(chunk, &mut self.counts),
        }
    }

    /// Returns the number of bytes so far. A token takes one or more.
    pub(crate) fn received(&self) -> usize {
        self.received
    }

    /// Returns what is known so far.
    pub(crate) fn counts(&mut self) -> &Counts {
        if let Source::Json(scan) = &self.source {
            if let Found::Once(usage) = scan.found("usage") {
                self.counts.usage = Usage::parse_any(usage);
                self.counts.is_final = self.counts.usage.output_tokens.is_some();
            }
            for name in ["stop_reason", "stopReason"] {
                if let Found::Once(reason) = scan.found(name) {
                    self.counts.stop(word(reason));
                }
            }
            if let Found::Once(action) = scan.found(GUARDRAIL) {
                self.counts.guardrail(word(action));
            }
        }
        &self.counts
    }

    /// Ends the bytes, by a failure or by themselves.
    pub(crate) fn close(&mut self, failure: Option<TransportError>) -> End {
        let Counts { has_begun, has_ended, exception, .. } = &mut self.counts;
        // A stream without an event is none.
        let is_cut = (*has_begun || self.received == 0) && !*has_ended;
        let (is_between, is_incomplete) = match &self.source {
            Source::Json(scan) => (false, !scan.is_over()),
            Source::Frames(frames) => (frames.is_between(), is_cut),
            Source::Events(events) => (events.is_between(), is_cut),
        };
        if let Some(error) = exception.take() {
            return End { tail: Vec::new(), is_broken: false, error: Some(error) };
        }
        let is_json = matches!(self.source, Source::Json(_));
        let error = match failure {
            Some(error) => InvokeError::Read(error.into()),
            None if is_incomplete || !is_between && !is_json => InvokeError::Truncated,
            None => return End { tail: Vec::new(), is_broken: false, error: None },
        };
        let tail = if is_between { self.tail() } else { Vec::new() };
        End { is_broken: tail.is_empty(), tail, error: Some(error) }
    }

    /// Returns the end of a stream that broke off between two of its parts.
    fn tail(&self) -> Vec<u8> {
        const MESSAGE: &str =
            r#""message":"The stream ended before the reply did. Retry your request.""#;
        let mut tail = Vec::new();
        match self.source {
            Source::Json(_) => {}
            Source::Frames(_) => {
                let payload = format!("{{{MESSAGE}}}");
                encode_exception(BROKEN, payload.as_bytes(), &mut tail);
            }
            Source::Events(_) => {
                let data =
                    format!(r#"{{"error":{{{MESSAGE},"type":"api_error"}},"type":"error"}}"#);
                tail.extend_from_slice(format!("event: error\ndata: {data}\n\n").as_bytes());
            }
        }
        tail
    }
}

#[cfg(test)]
mod tests;
