//! The gate as a request meets it. With real keys, and over HTTP: tests/worker/gate.rs.

mod access;
mod answers;
mod jwt;
mod tokens;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::*;
use crate::config::ConfigError;
use crate::host::scripted::config;

pub(super) const TOKEN: &str = "bedge_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// `vars`, and not `AUTH=open`.
pub(super) fn closed(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    config(&[vars, &[("AUTH", "")]].concat())
}

pub(super) fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn post(headers: &[(&str, &str)], body: impl Into<Bytes>) -> Event<Bytes> {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        })
        .collect();
    Event::from_http(http::Method::POST, "/", headers, body.into())
}
