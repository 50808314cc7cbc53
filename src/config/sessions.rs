//! The settings of sessions.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::variables::{Variables, entries};

/// A year in seconds.
const MAX_TTL: u64 = 31_536_000;

/// The most turns that a session may keep.
const MAX_TURNS: usize = 1000;

/// The most bytes that a session may keep. A request holds all of them in memory.
const MAX_BYTES: usize = 4 << 20;

/// The settings of sessions, which take effect where the platform keeps sessions.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sessions {
    /// `SESSION_TTL_SECONDS`: how long a session is kept after its last turn. `None`: there are no sessions.
    pub ttl: Option<Duration>,
    /// `SESSION_MAX_TURNS`: the most turns that a session keeps.
    pub max_turns: usize,
    /// `SESSION_MAX_BYTES`: the most bytes of turns with which a request is sent.
    pub max_bytes: usize,
    /// `SESSION_KEY`: the first key encrypts, all of them decrypt. Without one, turns are stored as they are.
    pub(crate) keys: Vec<SessionKey>,
}

/// A key of AES-256-GCM.
pub(crate) struct SessionKey {
    bytes: [u8; 32],
    /// The beginning of every text that was encrypted with this key.
    pub id: [u8; SessionKey::ID_BYTES],
}

impl SessionKey {
    pub(crate) const ID_BYTES: usize = 8;

    fn new(bytes: [u8; 32]) -> Self {
        let hash = Sha256::new_with_prefix("bedrock-edge session key\n").chain_update(bytes);
        let mut id = [0; Self::ID_BYTES];
        id.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Self { bytes, id }
    }

    /// Returns the key. Pass it on to what needs it; never store or print it.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// Reads the settings of sessions.
    pub(super) fn sessions(&mut self) -> Option<Sessions> {
        let ttl = self.read("SESSION_TTL_SECONDS", "86400", |text| match text.parse() {
            Ok(seconds @ 0..=MAX_TTL) => Ok(Duration::from_secs(seconds)),
            _ => Err("must be a whole number of seconds from 0 to 31536000"),
        });
        let max_turns = self.read("SESSION_MAX_TURNS", "100", |text| match text.parse() {
            Ok(turns @ 1..=MAX_TURNS) => Ok(turns),
            _ => Err("must be a whole number from 1 to 1000"),
        });
        let max_bytes = self.read("SESSION_MAX_BYTES", "524288", |text| match text.parse() {
            Ok(bytes @ 1..=MAX_BYTES) => Ok(bytes),
            _ => Err("must be a whole number from 1 to 4194304"),
        });
        let keys = self.read("SESSION_KEY", "", parse_keys);
        Some(Sessions {
            ttl: Some(ttl?).filter(|ttl| !ttl.is_zero()),
            max_turns: max_turns?,
            max_bytes: max_bytes?,
            keys: keys?,
        })
    }
}

fn parse_keys(text: &str) -> Result<Vec<SessionKey>, &'static str> {
    let key = |entry| STANDARD.decode(entry).ok()?.try_into().ok().map(SessionKey::new);
    match entries(text).map(key).collect::<Option<Vec<_>>>() {
        Some(keys) if keys.len() <= 2 => Ok(keys),
        _ => Err("must be one or two keys of 32 bytes in base64"),
    }
}
