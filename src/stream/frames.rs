//! Bytes into the messages of `application/vnd.amazon.eventstream`, however they are cut.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html> describes the
//! format: a prelude of the message's length, its headers' length and a CRC of both, then headers,
//! payload, and a CRC of all.

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use bytes::BytesMut;

/// A message of AWS's is at most this long, in bytes, prelude and CRCs included.
const MAX_FRAME_BYTES: usize = 16 << 20;

/// Total length, length of the headers, CRC of the two: 4 bytes each.
const PRELUDE_BYTES: usize = 12;

/// What has arrived and is not a whole message yet.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: BytesMut,
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
    /// The message's CRC is another, or a header is not as it must be.
    #[error("a frame cannot be read: {0}")]
    Message(String),
}

impl Frames {
    /// Takes in what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether what has arrived ends between two messages.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next whole message, or `None` until more has arrived.
    ///
    /// # Errors
    ///
    /// Where the bytes are not of this format.
    pub fn message(&mut self) -> Result<Option<Message>, FrameError> {
        let Some((prelude, crc)) = self
            .buffer
            .first_chunk::<PRELUDE_BYTES>()
            .and_then(|prelude| prelude.split_last_chunk::<4>())
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
        if self.buffer.len() < length {
            return Ok(None);
        }
        read_message_from(self.buffer.split_to(length).freeze())
            .map(Some)
            .map_err(|error| FrameError::Message(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
