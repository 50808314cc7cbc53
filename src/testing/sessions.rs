//! Sessions of the test platform: the store in memory, the rules of every store, and AES-GCM of RustCrypto.

#[path = "../../tests/conformance/memory.rs"]
mod memory;
#[path = "../../tests/conformance/sessions.rs"]
mod rules;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};

pub(crate) use memory::MemorySessions;
pub(crate) use rules::check;

use super::Scripted;
use crate::host::{Cipher, CipherError};

impl Scripted {
    /// Gives the platform a store of sessions and a cipher. Its random numbers count from 1.
    pub(crate) fn with_sessions(self) -> Self {
        self.chance.set(0);
        Self { sessions: Some(MemorySessions::default()), counts: true, ..self }
    }
}

impl Cipher for Scripted {
    async fn encrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let payload = Payload { msg: text, aad: associated };
        let encrypted = Aes256Gcm::new(key.into()).encrypt(nonce.into(), payload);
        encrypted.map_err(|error| CipherError(error.to_string()))
    }

    async fn decrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let payload = Payload { msg: text, aad: associated };
        let decrypted = Aes256Gcm::new(key.into()).decrypt(nonce.into(), payload);
        decrypted.map_err(|error| CipherError(error.to_string()))
    }
}
