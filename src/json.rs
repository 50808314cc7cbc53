//! JSON strings, written fast: a long prompt is written twice, to Bedrock and to the client, and with
//! a look at each byte, as `serde_json` does it, that was a quarter of such a request's time.
//!
//! Out of scope: everything else of JSON, which is serde's.

/// Appends the text as a JSON string, as `serde_json` writes it.
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

/// What is before and after the first character that cannot stand in a string as it is, and its byte.
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

/// Whether one of sixteen bytes must be escaped.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
fn has_escape(block: &[u8; 16]) -> bool {
    block.iter().any(must_be_escaped)
}

/// The same with SIMD, which the compiler does not come to by itself where it optimizes for size: of the
/// instructions of a request with a long prompt that is 4 %, against a search by words of eight bytes.
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
    fn every_character_below_256_is_as_serde_json_writes_it() {
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
        fn any_text_is_as_serde_json_writes_it(text in any::<String>()) {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
