//! Bytes into the messages of `application/vnd.amazon.eventstream`, however they are cut.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html> describes the
//! format: a prelude of the message's length, its headers' length and a CRC of both, then headers,
//! payload, and a CRC of all.
//!
//! The crate aws-smithy-eventstream is not used but compared with: it makes a message's CRC of the
//! smallest parts, and three allocations for each header. That was 23 % of a stream's instructions,
//! where it came in large pieces, and 4 KiB of the upload.
//!
//! Out of scope: the values of headers that are no strings.

/// A message of AWS's is at most this long, in bytes, prelude and CRCs included.
const MAX_FRAME_BYTES: usize = 16 << 20;

/// Total length, length of the headers, CRC of the two: 4 bytes each.
const PRELUDE_BYTES: usize = 12;

/// `:message-type`, `:event-type` and `:content-type`.
const HEADERS_OF_A_CHUNK: usize = 3;

// The types of a header's value.
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

/// What has arrived and is not a whole message yet.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    /// How much of the buffer was read as messages.
    read: usize,
}

/// A message: headers and a payload.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    headers: Vec<(&'a str, &'a str)>,
    payload: &'a [u8],
}

/// The bytes are not of this format. What comes after them cannot be read either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The prelude's CRC is another: its lengths mean nothing.
    #[error("a frame's prelude has another CRC")]
    Prelude,
    /// The length is shorter than an empty message, or longer than AWS's longest.
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// The message's CRC is another.
    #[error("a frame has another CRC")]
    Message,
    /// A header is not as it must be.
    #[error("a frame's headers cannot be read")]
    Headers,
}

impl Frames {
    /// Takes in what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether what has arrived ends between two messages.
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == self.read
    }

    /// The next whole message, or `None` until more has arrived.
    ///
    /// # Errors
    ///
    /// Where the bytes are not of this format.
    pub fn message(&mut self) -> Result<Option<Message<'_>>, FrameError> {
        let arrived = self.buffer.get(self.read..).unwrap_or_default();
        let Some((prelude, crc)) =
            arrived.first_chunk::<PRELUDE_BYTES>().and_then(|prelude| prelude.split_last_chunk())
        else {
            return Ok(None);
        };
        // Before the length is trusted: a flipped bit in it would make us wait for ever.
        if crc32fast::hash(prelude) != u32::from_be_bytes(*crc) {
            return Err(FrameError::Prelude);
        }
        let length = prelude.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        if !(PRELUDE_BYTES + 4..=MAX_FRAME_BYTES).contains(&length) {
            return Err(FrameError::Length(length));
        }
        let Some(frame) = arrived.get(..length) else { return Ok(None) };
        self.read += length;
        Message::of(frame).map(Some)
    }
}

impl<'a> Message<'a> {
    /// Of a whole frame.
    fn of(frame: &'a [u8]) -> Result<Self, FrameError> {
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

    /// The value of a header, or nothing where there is none, or it is no string.
    pub fn header(&self, name: &str) -> &'a str {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// What the message is about.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A frame without its last CRC, into headers and payload.
fn divide(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = frame.get(4..)?.first_chunk()?;
    frame.get(PRELUDE_BYTES..)?.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// Takes a header from the front: its name, and its value, which is empty if it is no string. `None`
/// if it is not as it must be.
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

#[cfg(test)]
mod tests;
