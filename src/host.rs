//! The capabilities of the platform that the core runs on, and the request that the platform hands over.
//!
//! The core never reads a clock, an environment or a socket: everything that is not pure comes in through
//! these traits. A platform implements [`Runtime`] and [`Http`], and returns from [`Host`] the optional
//! capabilities that it has. A Worker is one platform, a Lambda another, a test in virtual time a third.

mod body;
mod capabilities;
mod errors;
mod optional;
mod request;
mod sessions;

pub(crate) use body::RequestBody;
pub use body::{Body, BodyStream, Kept, KeptBody};
pub use capabilities::{Host, Http, Runtime};
pub use errors::{CipherError, LimitError, ReadError, TransportError, VerifyError};
pub(crate) use optional::Algorithm;
pub use optional::{
    Cipher, LedgerStore, RateLimiter, SignatureVerifier, Unsupported, VerifyingKey,
};
pub use request::IncomingRequest;
pub(crate) use request::ResponseForm;
pub use sessions::{
    Begun, Lease, NewTurn, SessionError, SessionInfo, SessionMark, SessionPage, SessionPlace,
    SessionStore, StoredTurn,
};
