//! Authentication and CORS: who calls, and whether they may.
//!
//! A caller proves who it is by one of the configured methods: an API token, a JWT, or a SigV4 signature with a key
//! that the operator issued. If none is configured nobody gets in, unless `AUTH=open`. All of this happens before
//! the body is read; a signature that covers the body is the exception, and `sigv4` says how far.
//!
//! An unauthenticated caller gets 401 and never learns why: the log does. A SigV4 client is told in AWS's words what
//! is wrong with the form or the date of its signature, which it must know to correct it, but not whether its key
//! exists.
//!
//! Out of scope: how much a caller may use, more than one issuer.

mod authenticate;
mod caller;
mod cors;
mod credential;
mod jwks;
mod jwt;
mod refusal;
mod sigv4;
mod tokens;

pub(crate) use authenticate::{Intake, State, authenticate, check_origin};
pub use caller::{Caller, Session};
pub(crate) use cors::{allow_origin, is_preflight, preflight_headers};
pub(crate) use credential::websocket_protocol;

#[cfg(test)]
mod tests;
