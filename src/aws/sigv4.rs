//! AWS Signature Version 4: signing, and the canonical request that signing, verifying and explaining share.
//!
//! The path follows the rule of Bedrock and of every AWS service but S3, which `request` knows too: it goes over the wire percent-encoded
//! once (`%3A`), and the canonical request encodes that once more (`%253A`).
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//!
//! Out of scope: presigned URLs, chunked and unsigned payloads, verification
//! ([`auth`](crate::auth)).

mod canonical;
mod explain;
mod parts;
mod post;
#[cfg(any(feature = "entry", test))]
mod request;
mod sign;

pub(crate) use canonical::canonical_request;
pub(crate) use explain::explain;
pub(crate) use parts::ALGORITHM;
pub use parts::{Scope, SignError};
pub use post::{SigningCache, sign_post};
#[cfg(any(feature = "entry", test))]
pub(crate) use request::Unsigned;
pub use sign::sign;
