//! SHA-256 hashes in hexadecimal digits.

/// Writes a hash in lower-case digits, as SigV4 has it.
pub(crate) fn to_hex(hash: &[u8; 32]) -> [u8; 64] {
    let digit = |value| value + if value < 10 { b'0' } else { b'a' - 10 };
    let mut text = [0; 64];
    for (digits, byte) in text.as_chunks_mut().0.iter_mut().zip(hash) {
        *digits = [byte >> 4, byte & 15].map(digit);
    }
    text
}

/// Parses 64 digits of either case.
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}
