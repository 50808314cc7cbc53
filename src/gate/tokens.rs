//! API tokens: `API_TOKENS`, names and the SHA-256 of what they stand for.
//!
//! Out of scope: making tokens (`npm run token`).

use std::fmt;

use ctutils::{CtAssign, CtEq};
use sha2::{Digest, Sha256};

use super::Caller;

/// Every token that gets in. The tokens themselves are nowhere.
#[derive(Default)]
pub(crate) struct Tokens(Vec<(Caller, [u8; 32])>);

impl Tokens {
    /// `name:sha256` entries, between them commas or white space: `.dev.vars` has no lines within a
    /// value. A name may stand there twice, while its token is replaced.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be entries of the form name:sha256, between them a new line, a space or a comma, \
             the name of up to 64 letters, digits, -, _ and ., the hash of 64 hexadecimal digits";
        let mut tokens: Vec<(Caller, [u8; 32])> = Vec::new();
        for entry in entries(text) {
            let (name, hash) =
                entry.split_once(':').filter(|(name, _)| is_name(name)).ok_or(FORM)?;
            let hash = from_hex(hash).ok_or(FORM)?;
            if tokens.iter().any(|(_, known)| *known == hash) {
                return Err("has the same hash twice");
            }
            tokens.push((Caller::new("token", name), hash));
        }
        Ok(Self(tokens))
    }

    /// Whose token it is.
    ///
    /// In constant time: whatever was presented, it is compared with every entry, every byte of it,
    /// and which entry it was is selected without a branch.
    pub(super) fn find(&self, token: &str) -> Option<Caller> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let mut found = u32::MAX;
        for (index, (_, known)) in (0_u32..).zip(&self.0) {
            found.ct_assign(&index, known.as_slice().ct_eq(hash.as_slice()));
        }
        self.0.get(usize::try_from(found).ok()?).map(|(caller, _)| caller.clone())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(caller, _)| caller.as_str())).finish()
    }
}

/// The entries of a list in a variable.
pub(super) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\r', '\n']).filter(|entry| !entry.is_empty())
}

pub(super) fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// 64 hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}
