//! The Server-Sent Events of Anthropic's API, of which only those are looked at that say something of the bill.

use super::counts::Counts;

/// The most bytes of a line that is looked at. One that is longer says nothing of the bill.
const MAX_LINE_BYTES: usize = 64 << 10;

/// The beginning of most lines, which say nothing of the bill.
const CONTENT: &[u8] = br#"data: {"type":"content_block_"#;

/// The state between two chunks.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The line so far, if it is looked at.
    line: Vec<u8>,
    /// Whether the rest of the line is not looked at.
    is_skipped: bool,
    /// Whether the last whole line was empty, with which an event ends.
    is_after_event: bool,
    has_begun: bool,
}

impl Events {
    pub(super) fn push(&mut self, mut chunk: &[u8], counts: &mut Counts) {
        self.has_begun |= !chunk.is_empty();
        while !chunk.is_empty() {
            let end = memchr::memchr(b'\n', chunk);
            let (line, behind) = chunk.split_at(end.unwrap_or(chunk.len()));
            if !self.is_skipped {
                self.line.extend_from_slice(line);
                if self.line.len() > MAX_LINE_BYTES || self.line.starts_with(CONTENT) {
                    self.is_skipped = true;
                    self.line.clear();
                }
            }
            chunk = behind.get(1..).unwrap_or_default();
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                let line = line.strip_suffix(b"\r").unwrap_or(&line);
                self.is_after_event = line.is_empty() && !self.is_skipped;
                self.is_skipped = false;
                if let Some(data) = line.strip_prefix(b"data:") {
                    counts.take(data);
                }
            }
        }
    }

    /// Reports whether the bytes end between two events.
    pub(super) fn is_between(&self) -> bool {
        let is_at_line = self.line.is_empty() && !self.is_skipped;
        !self.has_begun || self.is_after_event && is_at_line
    }
}
