//! Decodes and encodes `application/vnd.amazon.eventstream`: bytes in any chunks become messages.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html> describes the
//! format: a prelude of the message's length, its headers' length and a CRC of both, then headers,
//! payload, and a CRC of all.
//!
//! The crate aws-smithy-eventstream does the same and serves as the reference in the tests. It computes a CRC
//! byte by byte and allocates three times for each header, which took 23 % of the instructions of a stream in
//! large chunks (`npm run instructions -- batched`, 2026-11) and 4 KiB of the upload.
//!
//! Out of scope: header values that are not strings.

/// The longest message that AWS sends, in bytes, with prelude and CRCs.
const MAX_FRAME_BYTES: usize = 16 << 20;

/// The length of a prelude: total length, headers' length and the CRC of both, 4 bytes each.
const PRELUDE_BYTES: usize = 12;

/// The usual number of headers: `:message-type`, `:event-type` and `:content-type`.
const HEADERS_OF_A_CHUNK: usize = 3;

// The types of header values.
const TRUE: u8 = 0;
const FALSE: u8 = 1;
const BYTE: u8 = 2;
const SHORT: u8 = 3;
const INTEGER: u8 = 4;
const LONG: u8 = 5;
const BYTE_ARRAY: u8 = 6;
const STRING: u8 = 7;
const TIMESTAMP: u8 = 8;
const UUID: u8 = 9;

/// The bytes that have arrived and are not a whole message yet.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    /// The length of the messages at the start of the buffer that were returned.
    read: usize,
}

/// A message: its headers and its payload.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    headers: Vec<(&'a str, &'a str)>,
    payload: &'a [u8],
}

/// The bytes do not have this format. Nothing after them can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The CRC of a prelude is wrong, so its lengths mean nothing.
    #[error("the CRC of a frame's prelude does not match")]
    Prelude,
    /// A length is shorter than an empty message or longer than AWS's longest.
    #[error("expected a frame of 16 to 16777216 bytes, got {0}")]
    Length(usize),
    /// The CRC of a message is wrong.
    #[error("the CRC of a frame does not match")]
    Message,
    /// A header is malformed.
    #[error("the headers of a frame are malformed")]
    Headers,
}

impl Frames {
    /// Adds a chunk.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Reports whether the bytes so far end between two messages.
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == self.read
    }

    /// Returns the next whole message, or `None` until more has arrived.
    ///
    /// # Errors
    ///
    /// If the bytes do not have this format.
    pub fn message(&mut self) -> Result<Option<Message<'_>>, FrameError> {
        let arrived = self.buffer.get(self.read..).unwrap_or_default();
        let Some((prelude, crc)) =
            arrived.first_chunk::<PRELUDE_BYTES>().and_then(|prelude| prelude.split_last_chunk())
        else {
            return Ok(None);
        };
        // Checked before the length is trusted: a flipped bit in it would mean waiting forever.
        if crc32fast::hash(prelude) != u32::from_be_bytes(*crc) {
            return Err(FrameError::Prelude);
        }
        let length = prelude.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        if !(PRELUDE_BYTES + 4..=MAX_FRAME_BYTES).contains(&length) {
            return Err(FrameError::Length(length));
        }
        let Some(frame) = arrived.get(..length) else { return Ok(None) };
        self.read += length;
        Message::parse(frame).map(Some)
    }
}

impl<'a> Message<'a> {
    /// Parses a whole frame.
    fn parse(frame: &'a [u8]) -> Result<Self, FrameError> {
        let (frame, crc) = frame.split_last_chunk().ok_or(FrameError::Message)?;
        if crc32fast::hash(frame) != u32::from_be_bytes(*crc) {
            return Err(FrameError::Message);
        }
        let (mut headers, payload) = divide(frame).ok_or(FrameError::Headers)?;
        let mut fields = Vec::with_capacity(HEADERS_OF_A_CHUNK);
        while !headers.is_empty() {
            fields.push(header(&mut headers).ok_or(FrameError::Headers)?);
        }
        Ok(Self { headers: fields, payload })
    }

    /// Returns the value of a header: empty if the header is missing or not a string.
    pub fn header(&self, name: &str) -> &'a str {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Returns the payload.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// The lengths of a frame, by its prelude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prelude {
    /// The length of the headers.
    pub headers: usize,
    /// The length of the payload.
    pub payload: usize,
}

impl Prelude {
    /// The length of a prelude.
    pub(crate) const BYTES: usize = PRELUDE_BYTES;
    /// The length of the CRC at the end of a frame.
    pub(crate) const BYTES_OF_CRC: usize = 4;

    /// Parses a prelude. Returns `None` if its CRC is wrong, or its lengths do not fit.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (lengths, crc) = bytes.split_last_chunk()?;
        if crc32fast::hash(lengths) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (total, headers) = lengths.split_first_chunk()?;
        let total = u32::from_be_bytes(*total) as usize;
        let headers = u32::from_be_bytes(*headers.first_chunk()?) as usize;
        let around = headers.checked_add(Self::BYTES + Self::BYTES_OF_CRC)?;
        let payload = total.checked_sub(around).filter(|_| total <= MAX_FRAME_BYTES)?;
        Some(Self { headers, payload })
    }
}

/// Returns the value of a header in the headers of a frame: empty if it is missing or not a string.
pub(crate) fn header_in<'a>(mut headers: &'a [u8], name: &str) -> &'a str {
    while !headers.is_empty() {
        match header(&mut headers) {
            Some((known, value)) if known == name => return value,
            Some(_) => {}
            None => break,
        }
    }
    ""
}

/// Splits a frame without its last CRC into headers and payload.
fn divide(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = frame.get(4..)?.first_chunk()?;
    frame.get(PRELUDE_BYTES..)?.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// Takes a header from the front: its name, and its value, which is empty if it is not a string. Returns `None`
/// if it is malformed.
fn header<'a>(headers: &mut &'a [u8]) -> Option<(&'a str, &'a str)> {
    let length = *headers.split_off_first()?;
    let name = str::from_utf8(headers.split_off(..length.into())?).ok()?;
    let kind = *headers.split_off_first()?;
    let length = match kind {
        TRUE | FALSE => 0,
        BYTE => 1,
        SHORT => 2,
        INTEGER => 4,
        LONG | TIMESTAMP => 8,
        UUID => 16,
        BYTE_ARRAY | STRING => {
            let (length, rest) = headers.split_first_chunk()?;
            *headers = rest;
            u16::from_be_bytes(*length).into()
        }
        _ => return None,
    };
    let value = headers.split_off(..length)?;
    Some((name, if kind == STRING { str::from_utf8(value).ok()? } else { "" }))
}

/// Appends an event: a message with headers that are strings, each shorter than 256 bytes, and a payload.
pub(crate) fn encode_event(kind: &str, content_type: &str, payload: &[u8], out: &mut Vec<u8>) {
    encode("event", (":event-type", kind), content_type, payload, out);
}

/// Appends an exception like an event.
pub(crate) fn encode_exception(kind: &str, payload: &[u8], out: &mut Vec<u8>) {
    encode("exception", (":exception-type", kind), "application/json", payload, out);
}

fn encode(
    message: &str,
    kind: (&str, &str),
    content_type: &str,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let headers = [(":message-type", message), kind, (":content-type", content_type)];
    let length = |text: &str| text.len() as u32;
    let headers_length: u32 =
        headers.iter().map(|(name, value)| 1 + length(name) + 3 + length(value)).sum();
    let total = PRELUDE_BYTES as u32 + headers_length + payload.len() as u32 + 4;
    let start = out.len();
    let append_crc = |out: &mut Vec<u8>| {
        let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_be_bytes());
    };
    out.extend_from_slice(&total.to_be_bytes());
    out.extend_from_slice(&headers_length.to_be_bytes());
    append_crc(out);
    for (name, value) in headers {
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        out.push(STRING);
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(payload);
    append_crc(out);
}

#[cfg(test)]
mod tests;
