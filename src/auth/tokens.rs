//! API tokens.
//!
//! Out of scope: making tokens (`npm run token`).

use ctutils::{CtAssign, CtEq};
use sha2::{Digest, Sha256};

use super::caller::Caller;
use crate::config::ApiToken;

/// Finds whose token this is.
///
/// Takes the same time for every token: it compares the hash with every entry and every byte of it, and selects the
/// entry without a branch.
pub(super) fn find(tokens: &[ApiToken], token: &str) -> Option<Caller> {
    let hash: [u8; 32] = Sha256::digest(token).into();
    let mut found = u32::MAX;
    for (index, known) in (0_u32..).zip(tokens) {
        found.ct_assign(&index, known.hash.as_slice().ct_eq(hash.as_slice()));
    }
    let known = tokens.get(usize::try_from(found).ok()?)?;
    Some(Caller::new("token", &known.name))
}
