//! Text whose characters may be split across deltas.

use serde::de::{Deserialize, Deserializer, Visitor};
use std::fmt;

/// A JSON string as bytes. They need not be UTF-8, because the rest of a character may be in the next delta. An
/// escaped half of a surrogate pair is three bytes, as UTF-8 would encode it.
#[derive(Debug, Default)]
pub(crate) struct RawText(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for RawText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawTextVisitor;

        impl Visitor<'_> for RawTextVisitor {
            type Value = RawText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<RawText, E> {
                Ok(RawText(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(RawTextVisitor)
    }
}

/// Joins deltas. Holds back an incomplete character: three bytes, or a half of a surrogate pair.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    tail: Vec<u8>,
}

impl Joiner {
    /// Adds a delta and returns the characters that are complete.
    pub(crate) fn push(&mut self, delta: &[u8]) -> String {
        self.tail.extend_from_slice(delta);
        let held_back = incomplete(&self.tail);
        let rest = self.tail.split_off(self.tail.len() - held_back);
        lossy(std::mem::replace(&mut self.tail, rest))
    }

    /// Returns what was held back, if the text ends inside a character.
    pub(crate) fn finish(&mut self) -> String {
        lossy(std::mem::take(&mut self.tail))
    }
}

/// Returns how many bytes at the end are the start of an incomplete character.
fn incomplete(bytes: &[u8]) -> usize {
    for length in 1..=bytes.len().min(3) {
        let Some(tail) = bytes.get(bytes.len() - length..) else { break };
        let whole = match tail {
            // The first half of a surrogate pair: three bytes, and three more for the second half.
            [0xed, 0xa0..=0xaf, ..] => 6,
            [0xf0..=0xf7, ..] => 4,
            [0xe0..=0xef, ..] => 3,
            [0xc0..=0xdf, ..] => 2,
            // Inside a character, which starts further back.
            [0x80..=0xbf, ..] => continue,
            _ => return 0,
        };
        return if length < whole { length } else { 0 };
    }
    0
}

/// Decodes UTF-8. Joins surrogate pairs, and replaces lone halves and invalid bytes by U+FFFD.
fn lossy(bytes: Vec<u8>) -> String {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return text,
        Err(error) => error.into_bytes(),
    };
    let is_half = |bytes: &[u8]| matches!(bytes, [0xed, 0xa0..=0xbf, 0x80..=0xbf]);
    let (mut text, mut rest) = (String::new(), bytes.as_slice());
    while let Some(at) = rest.windows(3).position(is_half) {
        let (before, after) = rest.split_at(at);
        let count = after.chunks_exact(3).take_while(|bytes| is_half(bytes)).count();
        let (halves, after) = after.split_at(3 * count);
        let units = halves
            .chunks(3)
            .map(|half| half.iter().fold(0, |unit: u16, byte| unit << 6 | u16::from(byte & 0x3f)));
        text += &String::from_utf8_lossy(before);
        text.extend(char::decode_utf16(units).map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)));
        rest = after;
    }
    text + &String::from_utf8_lossy(rest)
}

#[cfg(test)]
mod tests;
