//! The frames of an event stream, of which only those are looked at that say something of the bill.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::counts::{Counts, MAX_VALUE_BYTES, word};
use crate::aws::{Prelude, header_in};
use crate::bedrock::error::{InvokeError, capitalized};
use crate::claude::Usage;
use crate::json::{Found, Scan};

/// The most bytes of the headers of a frame. Bedrock's have less than 200.
const MAX_HEADER_BYTES: usize = 4 << 10;

/// The most bytes of a `chunk` that is decoded. One that is longer says nothing of the bill.
const MAX_CHUNK_BYTES: usize = 64 << 10;

/// The beginning of the payload of most of Claude's chunks: `{"type":"content_block_delta",` in base64.
const DELTA: &[u8] = br#"{"bytes":"eyJ0eXBlIjoiY29udGVudF9ibG9ja19kZWx0YSIs"#;

/// The members of a payload that matter.
const OF_A_PAYLOAD: &[&str] = &["usage", "stopReason", "message", "originalMessage"];

/// The state between two chunks.
#[derive(Debug, Default)]
pub(super) struct Frames {
    part: Part,
    /// The bytes of the part that have arrived and are looked at.
    bytes: Vec<u8>,
}

/// The part of a frame that comes next.
#[derive(Debug, Default)]
enum Part {
    #[default]
    Prelude,
    Headers(Prelude),
    /// The rest of a payload, and of the CRC behind it.
    Payload {
        left: usize,
        looked_at: Payload,
    },
    /// The bytes are not frames.
    Lost,
}

/// The payload of a frame.
#[derive(Debug)]
enum Payload {
    /// It says nothing of the bill.
    Skipped,
    /// An event of a model in base64, whose bytes are gathered.
    Chunk,
    /// An event of Converse, or an exception with this type.
    Json { scan: Box<Scan>, kind: String, is_exception: bool },
}

impl Frames {
    pub(super) fn push(&mut self, mut chunk: &[u8], counts: &mut Counts) {
        while !chunk.is_empty() {
            match &mut self.part {
                Part::Lost => return,
                Part::Prelude => {
                    if let Some(prelude) = self.gather(&mut chunk, Prelude::BYTES) {
                        self.part = match Prelude::parse(&prelude) {
                            Some(it) if it.headers <= MAX_HEADER_BYTES => Part::Headers(it),
                            _ => Part::Lost,
                        };
                        self.skip_empty_headers(counts);
                    }
                }
                Part::Headers(prelude) => {
                    let prelude = *prelude;
                    if let Some(headers) = self.gather(&mut chunk, prelude.headers) {
                        self.begin(prelude, &headers, counts);
                    }
                }
                Part::Payload { left, looked_at } => {
                    let (bytes, behind) = chunk.split_at((*left).min(chunk.len()));
                    chunk = behind;
                    *left -= bytes.len();
                    match looked_at {
                        Payload::Skipped => {}
                        Payload::Json { scan, .. } => scan.push(bytes),
                        Payload::Chunk if self.bytes.is_empty() && bytes.starts_with(DELTA) => {
                            *looked_at = Payload::Skipped;
                        }
                        Payload::Chunk => {
                            self.bytes.extend_from_slice(bytes);
                            let is_delta = self.bytes.starts_with(DELTA);
                            if is_delta || self.bytes.len() > MAX_CHUNK_BYTES {
                                self.bytes.clear();
                                *looked_at = Payload::Skipped;
                            }
                        }
                    }
                    if *left == 0 {
                        self.end(counts);
                    }
                }
            }
        }
    }

    /// Reports whether the bytes end between two frames.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.part, Part::Prelude) && self.bytes.is_empty()
    }

    /// Returns the number of bytes that are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gathers so many bytes. Returns them when they are complete.
    fn gather(&mut self, chunk: &mut &[u8], length: usize) -> Option<Vec<u8>> {
        let missing = length.saturating_sub(self.bytes.len());
        let (bytes, behind) = chunk.split_at(missing.min(chunk.len()));
        *chunk = behind;
        self.bytes.extend_from_slice(bytes);
        (self.bytes.len() == length).then(|| std::mem::take(&mut self.bytes))
    }

    fn skip_empty_headers(&mut self, counts: &mut Counts) {
        if let Part::Headers(prelude @ Prelude { headers: 0, .. }) = self.part {
            self.begin(prelude, &[], counts);
        }
    }

    /// Begins the payload of a frame with these headers.
    fn begin(&mut self, prelude: Prelude, headers: &[u8], counts: &mut Counts) {
        let json = |kind: &str, is_exception| Payload::Json {
            scan: Box::new(Scan::new(OF_A_PAYLOAD, MAX_VALUE_BYTES)),
            kind: kind.to_owned(),
            is_exception,
        };
        let kind = header_in(headers, ":event-type");
        let looked_at = match (header_in(headers, ":message-type"), kind) {
            ("event", "chunk") => Payload::Chunk,
            ("event", "metadata" | "messageStop") => json(kind, false),
            ("event", "messageStart") => {
                counts.has_begun = true;
                Payload::Skipped
            }
            ("event", _) => Payload::Skipped,
            ("exception", _) => json(header_in(headers, ":exception-type"), true),
            ("error", _) => {
                counts.fail(InvokeError::Exception {
                    kind: capitalized(header_in(headers, ":error-code")),
                    message: header_in(headers, ":error-message").to_owned(),
                    original: None,
                });
                Payload::Skipped
            }
            _ => Payload::Skipped,
        };
        self.part = Part::Payload { left: prelude.payload + Prelude::BYTES_OF_CRC, looked_at };
    }

    /// Ends a frame.
    fn end(&mut self, counts: &mut Counts) {
        let Part::Payload { looked_at, .. } = std::mem::take(&mut self.part) else { return };
        let bytes = std::mem::take(&mut self.bytes);
        match looked_at {
            Payload::Skipped => {}
            Payload::Chunk => {
                let end = bytes.len().saturating_sub(Prelude::BYTES_OF_CRC);
                if let Some(event) = decode(bytes.get(..end).unwrap_or_default()) {
                    counts.take(&event);
                }
            }
            Payload::Json { scan, kind, is_exception: true } => {
                let text = |name| match scan.found(name) {
                    Found::Once(json) => serde_json::from_slice::<String>(json).ok(),
                    _ => None,
                };
                counts.fail(InvokeError::Exception {
                    kind: capitalized(&kind),
                    message: text("message").unwrap_or_default(),
                    original: text("originalMessage"),
                });
            }
            Payload::Json { scan, kind, is_exception: false } => {
                counts.has_ended |= kind == "messageStop";
                if let Found::Once(reason) = scan.found("stopReason") {
                    counts.stop(word(reason));
                }
                if let Found::Once(usage) = scan.found("usage") {
                    counts.is_final = true;
                    counts.usage.update(Usage::parse_any(usage));
                }
            }
        }
    }
}

/// Decodes the event in the payload of a `chunk`.
fn decode(payload: &[u8]) -> Option<Vec<u8>> {
    let mut scan = Scan::new(&["bytes"], MAX_CHUNK_BYTES);
    scan.push(payload);
    let Found::Once(bytes) = scan.found("bytes") else { return None };
    STANDARD.decode(bytes.strip_prefix(b"\"")?.strip_suffix(b"\"")?).ok()
}
