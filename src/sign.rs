//! AWS Signature Version 4: [`sign`] for any request, a thin face on the `aws-sigv4` crate, and
//! [`sign_post`] for those that are sent to Bedrock.
//!
//! It follows the rule of Bedrock and of every AWS service but S3: the path goes over the wire
//! percent-encoded once (`%3A`), and the canonical request encodes that once more (`%253A`).
//!
//! Out of scope: presigned URLs, chunked and unsigned payloads, S3's path rule, verification.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningSettings, sign as sign_request,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

use crate::config::Secret;
use crate::date::YEAR_10000;
use crate::header::{X_AMZ_DATE, X_AMZ_SECURITY_TOKEN};

pub(crate) use difference::difference;
pub use post::sign_post;

mod difference;
mod post;

/// What AWS's UriEncode takes: every byte but RFC 3986's unreserved characters.
pub(crate) const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// In a path the separator stays.
pub(crate) const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// An access key, and the session token that belongs to it if it is a temporary one.
#[derive(Clone)]
pub struct Credentials {
    access_key_id: String,
    secret_access_key: Secret,
    session_token: Option<Secret>,
    /// Of the last request.
    cache: post::Cache,
}

impl Credentials {
    /// Long-term credentials, or temporary ones with their session token.
    pub fn new(
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
        session_token: Option<String>,
    ) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret_access_key: Secret::new(secret_access_key),
            session_token: session_token.map(Secret::new),
            cache: post::Cache::default(),
        }
    }

    fn identity(&self) -> Identity {
        aws_credential_types::Credentials::new(
            &*self.access_key_id,
            self.secret_access_key.expose(),
            self.session_token.as_ref().map(|token| token.expose().to_owned()),
            None,
            "bedrock-edge",
        )
        .into()
    }

    /// What must never reach a log or a client. The key's id is not secret, but tells a stranger
    /// whose account it is.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        [self.access_key_id.as_str(), self.secret_access_key.expose()]
            .into_iter()
            .chain(self.session_token.as_ref().map(Secret::expose))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

/// What a signature is good for, besides its day: SigV4's credential scope.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The region, such as `ap-northeast-1`.
    pub region: &'a str,
    /// The service's signing name, such as `bedrock`.
    pub service: &'a str,
}

/// The request cannot be signed: its URI, its time or one of its headers is not as it must be.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign the request: {0}")]
pub struct SignError(String);

/// Adds `authorization`, `x-amz-date` and, with temporary credentials, `x-amz-security-token`.
///
/// All headers that the request has are signed, and `host`, which need not be among them. So it
/// must hold what AWS is to see, and nothing that a proxy or an HTTP client changes on the way,
/// such as `content-length` or `connection`. The body is hashed as it is.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use bedrock_edge::{Credentials, Scope, sign};
///
/// let mut request = http::Request::get("https://bedrock.us-east-1.amazonaws.com/foundation-models")
///     .body(b"")?;
/// let credentials =
///     Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None);
/// let scope = Scope { region: "us-east-1", service: "bedrock" };
/// sign(&mut request, &credentials, scope, UNIX_EPOCH + Duration::from_secs(1_440_938_160))?;
///
/// assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
/// assert!(request.headers()["authorization"].to_str()?.starts_with(
///     "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20150830/us-east-1/bedrock/aws4_request, \
///      SignedHeaders=host;x-amz-date, Signature="
/// ));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Where the URI has no scheme or no host, the time is not between the years 1970 and 9999, or a
/// header's value is not visible ASCII. Then the request has no signature.
pub fn sign<B: AsRef<[u8]>>(
    request: &mut Request<B>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: SystemTime,
) -> Result<(), SignError> {
    sign_with(request, credentials, scope, now, SigningSettings::default())
}

/// The settings are a parameter for AWS's test suite, which has cases that no service but S3 uses.
fn sign_with<B: AsRef<[u8]>>(
    request: &mut Request<B>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: SystemTime,
    settings: SigningSettings,
) -> Result<(), SignError> {
    // Of these two `aws-sigv4` takes for granted that they are right.
    seconds_of(now)?;
    if request.uri().scheme().is_none() || request.uri().host().is_none_or(str::is_empty) {
        return Err(SignError("its URI is not absolute".to_owned()));
    }
    remove_signature(request.headers_mut());
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| Ok((name.as_str(), value.to_str().map_err(SignError::from_any)?)))
        .collect::<Result<Vec<_>, SignError>>()?;
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers.into_iter(),
        SignableBody::Bytes(request.body().as_ref()),
    )
    .map_err(SignError::from_any)?;
    let identity = credentials.identity();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(now)
        .settings(settings)
        .build()
        .map_err(SignError::from_any)?
        .into();
    let (instructions, _) =
        sign_request(signable, &params).map_err(SignError::from_any)?.into_parts();

    let headers = instructions.into_parts().0.into_iter().map(|header| {
        let mut value = HeaderValue::from_str(header.value()).map_err(SignError::from_any)?;
        value.set_sensitive(true);
        Ok((HeaderName::from_static(header.name()), value))
    });
    let headers = headers.collect::<Result<Vec<_>, SignError>>()?;
    request.headers_mut().extend(headers);
    Ok(())
}

/// Since the epoch.
fn seconds_of(now: SystemTime) -> Result<u64, SignError> {
    let time = now.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs());
    time.filter(|seconds| *seconds < YEAR_10000)
        .ok_or_else(|| SignError("its time is out of range".to_owned()))
}

/// An earlier one.
fn remove_signature(headers: &mut HeaderMap) {
    for name in [AUTHORIZATION, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN] {
        headers.remove(name);
    }
}

/// A SHA-256 in small letters, as SigV4 has it.
pub(crate) fn hex(hash: &[u8; 32]) -> [u8; 64] {
    let digit = |value| value + if value < 10 { b'0' } else { b'a' - 10 };
    let mut text = [0; 64];
    for (digits, byte) in text.as_chunks_mut().0.iter_mut().zip(hash) {
        *digits = [byte >> 4, byte & 15].map(digit);
    }
    text
}

impl SignError {
    /// With the causes, since `aws-sigv4` prints only the outermost.
    fn from_any(error: impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

#[cfg(test)]
mod tests;
