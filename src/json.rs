//! JSON at the level of text: strings written fast, objects whose values stay raw, and edits.
//!
//! Out of scope: everything else about JSON, which is serde's.

mod edits;
mod fields;
mod scan;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(crate) use edits::Edits;
pub(crate) use fields::{fields, fields_of_all};
pub(crate) use scan::{Found, Scan};

/// A JSON object's members in the order in which they are written, duplicates included, with raw values.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Returns the first member with a name, unless it is `null`.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        (value.get() != "null").then_some(*value)
    }
}

/// Returns a member of an object that is not `null`. Any other value has none.
pub(crate) fn member<'a>(json: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    serde_json::from_str::<Members>(json.get()).ok()?.get(name)
}

/// Writes a text as a JSON string.
#[inline(never)]
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_string(&mut out, text);
    out
}

/// Returns the elements of an array. Any other value has none.
pub(crate) fn elements(json: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(json.get()).unwrap_or_default()
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Reports whether the text between a valid JSON string's quotation marks has no escapes.
fn is_plain(text: &str) -> bool {
    // memchr compares 16 bytes at a time, the standard library 8.
    memchr::memchr(b'\\', text.as_bytes()).is_none()
}

/// Reads a string. Borrows it if it has no escapes.
pub(crate) fn string(json: &RawValue) -> Option<Cow<'_, str>> {
    let text = json.get().strip_prefix('"')?.strip_suffix('"')?;
    if is_plain(text) {
        return Some(Cow::Borrowed(text));
    }
    serde_json::from_str(json.get()).ok().map(Cow::Owned)
}

/// Reads a member that must be a string with more than white space in it. Borrows it if it has no escapes.
///
/// # Errors
///
/// A message for the caller that names the field.
pub(crate) fn non_blank_text<'a>(
    field: impl fmt::Display,
    json: &'a RawValue,
) -> Result<Cow<'a, str>, String> {
    let Some(quoted) = json.get().strip_prefix('"') else {
        return Err(format!("{field} must be a string"));
    };
    let text = match quoted.strip_suffix('"') {
        // Parsing the string once more would take 3 % of the time of a request with a 500 KB prompt.
        Some(text) if is_plain(text) => Cow::Borrowed(text),
        _ => {
            let text = serde_json::from_str(json.get());
            text.map(Cow::Owned).map_err(|error| {
                format!("{field} is not a valid string: {}", without_position(&error))
            })?
        }
    };
    if text.trim().is_empty() {
        return Err(format!("{field} must not be blank"));
    }
    Ok(text)
}

/// Returns serde_json's message without the position, which counts from the start of the field.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(words, _)| words).to_owned()
}

/// Returns how deep arrays and objects are nested in a valid JSON text. Does not recurse.
pub(crate) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    if !json.starts_with(['[', '{']) {
        return 0;
    }
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Writes JSON. Structs of strings and numbers always serialize.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Appends a text as a JSON string, byte for byte as `serde_json` writes it.
///
/// `serde_json` looks at each byte by itself, which took a quarter of the time of a request with a
/// 500 KB prompt: the prompt is written twice, to Bedrock and to the client.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    while let Some((plain, byte, tail)) = split_at_escape(rest) {
        out.push_str(plain);
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            _ => out.push_str(&format!("\\u{byte:04x}")),
        }
        rest = tail;
    }
    out.push_str(rest);
    out.push('"');
}

/// Splits a text at the first character that must be escaped: the text before it, its byte, the rest.
fn split_at_escape(text: &str) -> Option<(&str, u8, &str)> {
    let (blocks, _) = text.as_bytes().as_chunks::<16>();
    let plain = blocks.iter().take_while(|block| !has_escape(block)).count() * 16;
    let at = plain + text.as_bytes().get(plain..)?.iter().position(must_be_escaped)?;
    let (before, behind) = text.split_at_checked(at)?;
    Some((before, *behind.as_bytes().first()?, behind.get(1..)?))
}

fn must_be_escaped(byte: &u8) -> bool {
    *byte < b' ' || *byte == b'"' || *byte == b'\\'
}

/// Reports whether one of sixteen bytes must be escaped.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
fn has_escape(block: &[u8; 16]) -> bool {
    block.iter().any(must_be_escaped)
}

/// Reports whether one of sixteen bytes must be escaped, with SIMD: 4 % fewer instructions for a request with
/// a 500 KB prompt (`npm run instructions -- long`) than a search in words of eight bytes. At opt-level "s"
/// the compiler does not vectorize the portable version.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
fn has_escape(block: &[u8; 16]) -> bool {
    use std::arch::wasm32::{u8x16_eq, u8x16_lt, u8x16_splat, u64x2, v128_any_true, v128_or};

    let [low, high] = block.as_chunks::<8>().0 else { return true };
    let block = u64x2(u64::from_le_bytes(*low), u64::from_le_bytes(*high));
    let controls = u8x16_lt(block, u8x16_splat(b' '));
    let quotes = u8x16_eq(block, u8x16_splat(b'"'));
    let backslashes = u8x16_eq(block, u8x16_splat(b'\\'));
    v128_any_true(v128_or(controls, v128_or(quotes, backslashes)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = String::new();
        write_string(&mut out, text);
        out
    }

    #[test]
    fn every_character_below_256_is_written_as_by_serde_json() {
        for character in '\0'..='\u{ff}' {
            for before in 0..17 {
                let text =
                    format!("{}{character}{}{character}", "a".repeat(before), "b".repeat(16));
                assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_by_serde_json(text in any::<String>()) {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
