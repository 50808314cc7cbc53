//! Server-Sent Events of Bedrock's own Messages API.
//!
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>
//!
//! Out of scope: the names and ids of events, because their data has a type.

/// The longest event. Longer than any of Claude's, and short enough for the memory of an isolate.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// An event is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an event of at most {MAX_EVENT_BYTES} bytes, got a longer one")]
pub struct TooLong;

/// Splits bytes into events: chunks go in, data comes out.
#[derive(Debug, Default)]
pub(crate) struct Events {
    buffer: Vec<u8>,
    /// Where the next line begins.
    at: usize,
    /// The data of the event so far.
    data: Option<Vec<u8>>,
}

impl Events {
    /// Adds a chunk.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the data of the next whole event, or `None` until more has arrived. An event without data is none.
    ///
    /// # Errors
    ///
    /// If an event is too long.
    pub(crate) fn data(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
                let waiting = rest.len() + self.data.as_ref().map_or(0, Vec::len);
                return if waiting > MAX_EVENT_BYTES { Err(TooLong) } else { Ok(None) };
            };
            let (line, behind) = rest.split_at(end);
            let length = match behind {
                // The line feed of a pair may be in the next chunk.
                [b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] => 2,
                _ => 1,
            };
            self.at += end + length;
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Ok(Some(data));
                }
            } else if let Some(value) = line.strip_prefix(b"data:") {
                let value = value.strip_prefix(b" ").unwrap_or(value);
                let data = self.data.get_or_insert_default();
                if !data.is_empty() {
                    data.push(b'\n');
                }
                data.extend_from_slice(value);
                if data.len() > MAX_EVENT_BYTES {
                    return Err(TooLong);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data_of(chunks: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        let mut all = Vec::new();
        for chunk in chunks {
            events.push(chunk);
            while let Some(data) = events.data().unwrap() {
                all.push(String::from_utf8(data).unwrap());
            }
        }
        all
    }

    const STREAM: &str = "event: a\ndata: {\"a\":1}\n\n: comment\r\n\r\nid: 1\rdata:b\rdata: c\r\rdata\n\nretry: 3\r\ndata:  d\r\n\r\ndata: cut";

    #[test]
    fn lines_of_data_are_joined_and_all_line_ends_are_taken() {
        assert_eq!(data_of(&[STREAM.as_bytes()]), ["{\"a\":1}", "b\nc", " d"]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut events = Events::default();
        let chunk = vec![b'a'; MAX_EVENT_BYTES / 2 + 1];
        events.push(&chunk);
        assert_eq!(events.data(), Ok(None));
        events.push(&chunk);
        assert_eq!(events.data(), Err(TooLong));
    }

    proptest! {
        #[test]
        fn the_events_are_the_same_in_whatever_chunks_they_come(cuts in prop::collection::vec(0..STREAM.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut at = 0;
            for cut in cuts {
                chunks.push(&STREAM.as_bytes()[at..cut]);
                at = cut;
            }
            chunks.push(&STREAM.as_bytes()[at..]);
            prop_assert_eq!(data_of(&chunks), data_of(&[STREAM.as_bytes()]));
        }
    }
}
