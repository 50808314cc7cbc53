//! Temporary credentials: the stored key is valid only for assuming a role, whose credentials are valid for an
//! hour.
//!
//! Out of scope: credentials that a platform gives to a program (a Lambda's are variables), profiles, single
//! sign-on.

mod assume_role;
mod cache;
mod role;

pub use assume_role::{AssumeRoleError, read_assume_role};
pub(crate) use cache::RoleCredentials;
pub use role::{RoleSettings, TemporaryCredentials};

#[cfg(test)]
mod tests;
