//! One trait for each capability of a platform.

use std::future::{Future, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use sha2::{Digest, Sha256};

use super::body::{BodyStream, KeptBody};
use super::errors::{CipherError, LimitError, TransportError, VerifyError};
use super::sessions::{
    Begun, Lease, NewTurn, SessionError, SessionInfo, SessionMark, SessionPage, SessionPlace,
    SessionStore,
};

/// The clock and the random numbers of a platform.
pub trait Runtime {
    /// Returns the time of day. On Cloudflare the clock stands still between two I/O operations.
    fn now(&self) -> SystemTime;

    /// Returns 128 random bits, good enough to tell requests apart. Where the platform has sessions or a cipher nobody can
    /// guess them: they are ids and nonces.
    fn random(&self) -> u128;

    /// Waits.
    ///
    /// # Errors
    ///
    /// [`TransportError::Cancelled`] if the client disconnects during the wait.
    fn sleep(&self, time: Duration) -> impl Future<Output = Result<(), TransportError>>;
}

/// The HTTP client of a platform.
pub trait Http: Runtime {
    /// The body of a response, unread.
    type Body: BodyStream;

    /// Sends a request and waits for the head of the response.
    ///
    /// The platform adds `host` and `content-length` and no other header. It must not follow redirects, because
    /// a signature is valid for one URL, and must not encode or decode the path. When the response takes longer
    /// than `within`, the platform closes the connection and returns [`TransportError::TimedOut`].
    fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> impl Future<Output = Result<Response<Self::Body>, TransportError>>;

    /// Returns the SHA-256 of a request body. Override it where the platform has a faster one.
    fn sha256(&self, bytes: &[u8]) -> impl Future<Output = [u8; 32]> {
        ready(Sha256::digest(bytes).into())
    }

    /// Sends a request like [`send`](Self::send), with a body that the platform keeps, and returns all headers of the
    /// response. Override it, and [`sha256_kept`](Self::sha256_kept), where bodies keep something else than bytes.
    fn send_kept(
        &self,
        request: Request<KeptBody>,
        within: Duration,
    ) -> impl Future<Output = Result<Response<Self::Body>, TransportError>> {
        async move {
            let (head, body) = request.into_parts();
            let Some(bytes) = body.content::<Bytes>() else {
                let problem = "the host platform does not know the body that it is to send";
                return Err(TransportError::Failed(problem.to_owned()));
            };
            self.send(Request::from_parts(head, bytes.clone()), within).await
        }
    }

    /// Returns the SHA-256 of a body that the platform keeps.
    fn sha256_kept(&self, body: &KeptBody) -> impl Future<Output = [u8; 32]> {
        let mut hash = Sha256::new();
        body.scan(|part| {
            hash.update(part);
            true
        });
        ready(hash.finalize().into())
    }
}

/// A platform: an HTTP client, a clock, and the optional capabilities that a configuration may ask for.
///
/// Each method returns `None` unless it is overridden. A configuration that needs a capability which the
/// platform does not have makes each response 500 `misconfigured`, and the log names the capability.
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// # use bedrock_edge::host::{Host, Http, Runtime, TransportError};
/// # use bytes::Bytes;
/// # struct MyPlatform;
/// # impl Runtime for MyPlatform {
/// #     fn now(&self) -> SystemTime { SystemTime::UNIX_EPOCH }
/// #     fn random(&self) -> u128 { 4 }
/// #     async fn sleep(&self, _: Duration) -> Result<(), TransportError> { Ok(()) }
/// # }
/// # impl Http for MyPlatform {
/// #     type Body = Bytes;
/// #     async fn send(&self, _: http::Request<Bytes>, _: Duration)
/// #         -> Result<http::Response<Bytes>, TransportError> { Ok(http::Response::default()) }
/// # }
/// /// Calls Bedrock, and limits nobody.
/// impl Host for MyPlatform {}
/// ```
pub trait Host: Http {
    /// Returns what verifies the signatures of JWTs. `JWT_ISSUER` needs it.
    fn verifier(&self) -> Option<impl SignatureVerifier> {
        None::<Unsupported>
    }

    /// Returns what counts requests. `RATE_LIMITER` needs it.
    fn rate_limiter(&self) -> Option<impl RateLimiter> {
        None::<Unsupported>
    }

    /// Returns what keeps ledgers. `MAX_IN_FLIGHT`, `DAILY_TOKENS` and `MONTHLY_TOKENS` need it.
    fn ledgers(&self) -> Option<impl LedgerStore> {
        None::<Unsupported>
    }

    /// Returns what keeps sessions. Without it a request for a session is refused.
    fn sessions(&self) -> Option<impl SessionStore> {
        None::<Unsupported>
    }

    /// Returns what encrypts. `SESSION_KEY` needs it.
    fn cipher(&self) -> Option<impl Cipher> {
        None::<Unsupported>
    }
}

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
