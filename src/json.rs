//! JSON strings, written fast: a long prompt is written twice, to Bedrock and to the client, and with
//! a look at each byte, as `serde_json` does it, that was a quarter of such a request's time.
//!
//! Out of scope: everything else of JSON, which is serde's.

/// Appends the text as a JSON string, as `serde_json` writes it.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((plain, byte, tail)) = split_at_escape(rest) {
        out.extend_from_slice(plain);
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// What is before and after the first byte that cannot stand in a string as it is, and the byte.
fn split_at_escape(bytes: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let (words, _) = bytes.as_chunks::<8>();
    let plain = words.iter().take_while(|word| !has_escape(u64::from_ne_bytes(**word))).count() * 8;
    let must_be_escaped = |byte: &u8| *byte < b' ' || b"\"\\".contains(byte);
    let at = plain + bytes.get(plain..)?.iter().position(must_be_escaped)?;
    let (before, behind) = bytes.split_at_checked(at)?;
    let (byte, tail) = behind.split_first()?;
    Some((before, *byte, tail))
}

/// Whether one of eight bytes must be escaped.
///
/// <https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord>
fn has_escape(word: u64) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let less = |word: u64, than: u8| word.wrapping_sub(EACH * u64::from(than)) & !word;
    let equal = |byte: u8| less(word ^ (EACH * u64::from(byte)), 1);
    (less(word, b' ') | equal(b'"') | equal(b'\\')) & (EACH * 0x80) != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_character_below_256_is_as_serde_json_writes_it() {
        for character in '\0'..='\u{ff}' {
            for before in 0..9 {
                let text = format!("{}{character}12345678{character}", "a".repeat(before));
                assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_as_serde_json_writes_it(text in any::<String>()) {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn one_of_eight_bytes_is_found(bytes in any::<[u8; 8]>()) {
            let is_escaped = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
            prop_assert_eq!(has_escape(u64::from_ne_bytes(bytes)), bytes.iter().any(is_escaped));
        }
    }
}
