//! Signing of any request, by its parts.
//!
//! [`sign`](super::sign()) does the same with the `aws-sigv4` crate, whose code would be 33 KiB of the gzipped upload. A
//! test compares the two.

use std::time::SystemTime;

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use http::HeaderMap;
use percent_encoding::{percent_decode_str, percent_encode, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::canonical::canonical_request_at;
use super::parts::{ALGORITHM, Scope, SignError, seconds_of};
use crate::aws::access_key::Credentials;
use crate::date;
use crate::hex::to_hex;
use crate::percent::RESERVED_IN_PATH;

/// A request that is to be signed.
pub(crate) struct Unsigned<'a> {
    pub method: &'a str,
    /// The value of `host`.
    pub host: &'a str,
    /// Path and query as they go over the wire.
    pub target: &'a str,
    /// The headers. An earlier signature among them is ignored.
    pub headers: &'a HeaderMap,
    /// The SHA-256 of the body.
    pub payload_hash: [u8; 32],
}

impl Unsigned<'_> {
    /// Returns the headers of the signature: `x-amz-date`, for temporary credentials `x-amz-security-token`, for S3
    /// `x-amz-content-sha256`, and `authorization`.
    ///
    /// Signs `host`, `content-type` and `x-amz-*`, which AWS requires. A runtime may change others on the way.
    ///
    /// # Errors
    ///
    /// If the path has an empty or a dot segment, which AWS would normalize, or a signed header is not visible ASCII.
    pub fn sign(
        &self,
        credentials: &Credentials,
        scope: Scope<'_>,
        now: SystemTime,
    ) -> Result<Vec<(&'static str, String)>, SignError> {
        let Scope { region, service } = scope;
        let is_s3 = service.starts_with("s3");
        let date = date::to_amz(seconds_of(now)?);
        let payload_hash = String::from_utf8_lossy(&to_hex(&self.payload_hash)).into_owned();

        // 1. The headers.
        let mut signature = vec![("x-amz-date", date.clone())];
        if let Some(token) = &credentials.session_token {
            signature.push(("x-amz-security-token", token.expose().to_owned()));
        }
        if is_s3 {
            signature.push(("x-amz-content-sha256", payload_hash.clone()));
        }
        let mut headers = vec![("host", self.host)];
        for (name, value) in self.headers {
            let name = name.as_str();
            let is_signed = name == "content-type" || name.starts_with("x-amz-");
            if is_signed && !SIGNATURE.contains(&name) {
                headers.push((name, value.to_str().map_err(SignError::from_any)?));
            }
        }
        headers.extend(signature.iter().map(|(name, value)| (*name, value.as_str())));
        headers.sort_unstable();

        // 2. The canonical request.
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let path = if is_s3 { s3_path(path) } else { canonical_path(path)? };
        let canonical = canonical_request_at(&path, self.method, query, &headers);
        let signed_headers = canonical.rsplit('\n').next().unwrap_or_default();

        // 3. The string to sign.
        let day = date.get(..8).unwrap_or_default();
        let scope = format!("{day}/{region}/{service}/aws4_request");
        let hash = to_hex(&Sha256::digest(format!("{canonical}\n{payload_hash}")).into());
        let to_sign = [format!("{ALGORITHM}\n{date}\n{scope}\n").as_bytes(), &hash].concat();

        // 4. The signature's header.
        let secret = credentials.secret_access_key.expose();
        let key = generate_signing_key(secret, now, region, service);
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={}",
            credentials.access_key_id,
            calculate_signature(key, &to_sign)
        );
        signature.push(("authorization", authorization));
        Ok(signature)
    }
}

/// The headers of an earlier signature that would be signed.
const SIGNATURE: [&str; 3] = ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

fn canonical_path(path: &str) -> Result<String, SignError> {
    if path.contains("//") || path.split('/').any(|segment| [".", ".."].contains(&segment)) {
        return Err(SignError("its path is not normalized".to_owned()));
    }
    Ok(utf8_percent_encode(path, RESERVED_IN_PATH).to_string())
}

/// S3 encodes a path once, and does not normalize it.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
fn s3_path(path: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    percent_encode(&decoded, RESERVED_IN_PATH).to_string()
}

#[cfg(test)]
mod tests;
