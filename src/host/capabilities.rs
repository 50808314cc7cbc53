//! The capabilities that every platform has, and the trait that names the [optional](super::optional) ones.

use std::future::{Future, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use sha2::{Digest, Sha256};

use super::body::{BodyStream, KeptBody};
use super::errors::TransportError;
use super::optional::{Cipher, LedgerStore, RateLimiter, SignatureVerifier, Unsupported};
use super::sessions::SessionStore;

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
