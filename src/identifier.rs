//! Identifiers that are safe in a header and in the log.

use std::time::Duration;

use serde::Serialize;

/// An identifier: 1 to 128 letters, digits, `-`, `_`, `.`, `:`, `=` or `/`. It is a valid header value and
/// cannot hold a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identifier(String);

impl Identifier {
    /// Returns the identifier, or `None` if the text has another form.
    pub fn new(text: &str) -> Option<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=/".contains(&byte);
        let is_identifier = (1..=128).contains(&text.len()) && text.bytes().all(is_allowed);
        is_identifier.then(|| Self(text.to_owned()))
    }

    /// Makes a version 4 UUID of random bits.
    pub fn random(bits: u128) -> Self {
        let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        Self(id.hyphenated().to_string())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns a text of a caller's as it may stand in a list in a header and in the log: up to 128 visible ASCII characters
/// without a comma. Others become `?`.
pub(crate) fn readable(text: &str) -> String {
    let is_allowed = |character: &char| character.is_ascii_graphic() && *character != ',';
    let characters = text.chars().take(128);
    characters.map(|it| if is_allowed(&it) { it } else { '?' }).collect()
}

/// Returns whole milliseconds. A `u64` is enough and avoids 1.2 KiB of code for 128-bit numbers in the upload.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_caller_is_made_safe_for_a_list_in_a_header() {
        for (text, expected) in [
            ("tools.0.input_schema.$schema", "tools.0.input_schema.$schema"),
            ("a\r\nx-evil: 1", "a??x-evil:?1"),
            ("a, b\0", "a??b?"),
            ("日本", "??"),
            ("", ""),
        ] {
            assert_eq!(readable(text), expected, "{text:?}");
        }
        assert_eq!(readable(&"x".repeat(1000)).len(), 128);
    }

    #[test]
    fn an_identifier_has_128_safe_characters_at_most() {
        let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
        for (name, text, accepted) in [
            ("one character", "x", true),
            ("a UUID", "6f1c1c9e-4d5c-4f5e-9d3e-0c8b6a1f2e3d", true),
            ("every punctuation", "-_.:=/", true),
            ("a trace id", "Root=1-67891233-abcdef012345678912345678", true),
            ("the longest", &longest, true),
            ("empty", "", false),
            ("too long", &too_long, false),
            ("a space", "two words", false),
            ("a newline", "x\n", false),
            ("a quote", "x\"", false),
            ("a semicolon", "x;y", false),
            ("a NUL", "\0", false),
            ("not ASCII", "é", false),
        ] {
            let identifier = Identifier::new(text);
            assert_eq!(
                identifier.as_ref().map(Identifier::as_str),
                accepted.then_some(text),
                "{name}"
            );
        }
    }

    #[test]
    fn a_random_identifier_is_a_uuid_of_version_4() {
        for (bits, expected) in [
            (0, "00000000-0000-4000-8000-000000000000"),
            (u128::MAX, "ffffffff-ffff-4fff-bfff-ffffffffffff"),
            (0x0011_2233_4455_6677_8899_aabb_ccdd_eeff, "00112233-4455-4677-8899-aabbccddeeff"),
        ] {
            assert_eq!(Identifier::random(bits).as_str(), expected);
        }
    }
}
