//! Authentication as a request meets it. With real keys, and over HTTP: tests/worker.

mod access;
mod jwt;
mod origins;
mod refusals;
mod tokens;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::*;
use crate::config::{Config, ConfigError};
use crate::host::IncomingRequest;
use crate::server::Isolate;
use crate::testing::{config, request};

const TOKEN: &str = "bedge_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// Returns the hash of a token, as `API_TOKENS` has it.
fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes a request for a reply, whose body is apart.
fn post(headers: &[(&str, &str)]) -> IncomingRequest<()> {
    request("POST", "/", headers, ())
}

/// Makes a configuration whose callers need a credential.
fn closed_config(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    config(&[vars, &[("AUTH", "")]].concat())
}

/// Makes an isolate with such a configuration.
fn closed_isolate(vars: &[(&str, &str)]) -> Isolate {
    Isolate::new(closed_config(vars))
}
