//! The optional capabilities of a platform, beside the [store of sessions](super::sessions): one trait for each.

use std::future::Future;
use std::time::SystemTime;

use super::errors::{CipherError, LimitError, VerifyError};
use super::sessions::{
    Begun, Lease, NewTurn, SessionError, SessionInfo, SessionMark, SessionPage, SessionPlace,
    SessionStore,
};

/// Verifies signatures of public keys.
pub trait SignatureVerifier {
    /// Reports whether a signature of a message was made with the key: RSASSA-PKCS1-v1_5 or ECDSA in RFC 7518's
    /// form, with SHA-256.
    ///
    /// # Errors
    ///
    /// If the platform does not accept the key.
    fn verify(
        &self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> impl Future<Output = Result<bool, VerifyError>>;
}

/// Counts requests.
pub trait RateLimiter {
    /// Counts one request for a key and reports whether it is within the limit.
    ///
    /// # Errors
    ///
    /// If the limiter cannot be reached.
    fn admit(&self, key: &str) -> impl Future<Output = Result<bool, LimitError>>;
}

/// Keeps one [`Ledger`](crate::limits::Ledger) for each account.
pub trait LedgerStore {
    /// Applies a message to the ledger of an account by [`Ledger::exchange`](crate::limits::Ledger::exchange),
    /// and returns the ledger's reply.
    ///
    /// # Errors
    ///
    /// If the ledger cannot be reached.
    fn exchange(
        &self,
        account: &str,
        message: String,
    ) -> impl Future<Output = Result<String, LimitError>>;

    /// Sends a settlement, a message whose reply nobody needs. It may return before the message has arrived if
    /// the platform completes it in the background.
    ///
    /// # Errors
    ///
    /// If the ledger cannot be reached.
    fn settle(
        &self,
        account: &str,
        message: String,
    ) -> impl Future<Output = Result<(), LimitError>> {
        async move { self.exchange(account, message).await.map(drop) }
    }
}

/// Encrypts and decrypts with AES-256-GCM, whose tag of 16 bytes is behind the ciphertext.
pub trait Cipher {
    /// Encrypts a text. A nonce is never used twice with one key.
    ///
    /// # Errors
    ///
    /// If the platform fails.
    fn encrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, CipherError>>;

    /// Decrypts a text.
    ///
    /// # Errors
    ///
    /// If the text was not encrypted with this key, this nonce and this associated data.
    fn decrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, CipherError>>;
}

/// The implementation of every optional capability that a platform does not have. It has no values.
#[derive(Clone, Copy, Debug)]
pub enum Unsupported {}

impl SignatureVerifier for Unsupported {
    async fn verify(&self, _: &VerifyingKey, _: &[u8], _: &[u8]) -> Result<bool, VerifyError> {
        match *self {}
    }
}

impl RateLimiter for Unsupported {
    async fn admit(&self, _: &str) -> Result<bool, LimitError> {
        match *self {}
    }
}

impl LedgerStore for Unsupported {
    async fn exchange(&self, _: &str, _: String) -> Result<String, LimitError> {
        match *self {}
    }
}

impl Cipher for Unsupported {
    async fn encrypt(
        &self,
        _: &[u8; 32],
        _: &[u8; 12],
        _: &[u8],
        _: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        match *self {}
    }

    async fn decrypt(
        &self,
        _: &[u8; 32],
        _: &[u8; 12],
        _: &[u8],
        _: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        match *self {}
    }
}

impl SessionStore for Unsupported {
    async fn begin(
        &self,
        _: &SessionPlace,
        _: &Lease,
        _: bool,
        _: SystemTime,
    ) -> Result<Begun, SessionError> {
        match *self {}
    }

    async fn commit(
        &self,
        _: &SessionPlace,
        _: &NewTurn,
        _: SystemTime,
    ) -> Result<bool, SessionError> {
        match *self {}
    }

    async fn abort(&self, _: &SessionPlace, _: &str) -> Result<(), SessionError> {
        match *self {}
    }

    async fn read(
        &self,
        _: &SessionPlace,
        _: u64,
        _: u32,
        _: SystemTime,
    ) -> Result<Option<SessionPage>, SessionError> {
        match *self {}
    }

    async fn delete(&self, _: &SessionPlace, _: SystemTime) -> Result<bool, SessionError> {
        match *self {}
    }

    async fn list(
        &self,
        _: &str,
        _: Option<&SessionMark>,
        _: u32,
        _: SystemTime,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        match *self {}
    }
}

impl<T: SignatureVerifier> SignatureVerifier for &T {
    fn verify(
        &self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> impl Future<Output = Result<bool, VerifyError>> {
        (**self).verify(key, message, signature)
    }
}

impl<T: RateLimiter> RateLimiter for &T {
    fn admit(&self, key: &str) -> impl Future<Output = Result<bool, LimitError>> {
        (**self).admit(key)
    }
}

impl<T: LedgerStore> LedgerStore for &T {
    fn exchange(
        &self,
        account: &str,
        message: String,
    ) -> impl Future<Output = Result<String, LimitError>> {
        (**self).exchange(account, message)
    }

    fn settle(
        &self,
        account: &str,
        message: String,
    ) -> impl Future<Output = Result<(), LimitError>> {
        (**self).settle(account, message)
    }
}

impl<T: Cipher> Cipher for &T {
    fn encrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, CipherError>> {
        (**self).encrypt(key, nonce, text, associated)
    }

    fn decrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, CipherError>> {
        (**self).decrypt(key, nonce, text, associated)
    }
}

/// The signature algorithms that a JWT may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    /// Finds an algorithm by its name in a JWT.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// A public key, and the one algorithm that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    pub(crate) algorithm: Algorithm,
    /// Only the members that make up the key.
    pub(crate) jwk: String,
}

impl VerifyingKey {
    /// Returns `RS256` or `ES256`.
    pub fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
        }
    }

    /// Returns the key as a JSON Web Key: `{"kty":"RSA","n":"…","e":"…"}` or
    /// `{"kty":"EC","crv":"P-256","x":"…","y":"…"}`.
    pub fn jwk(&self) -> &str {
        &self.jwk
    }
}
