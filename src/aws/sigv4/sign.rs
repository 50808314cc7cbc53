//! Signing of any request, by the `aws-sigv4` crate.

use std::time::SystemTime;

use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningSettings, sign as sign_request,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use http::{HeaderName, HeaderValue, Request};

use super::parts::{Scope, SignError, remove_signature, seconds_of};
use crate::aws::access_key::Credentials;
use crate::secret::Secret;

/// Adds `authorization`, `x-amz-date` and, for temporary credentials, `x-amz-security-token`.
///
/// Signs all headers that the request has, and `host`, which need not be among them. The request must hold what
/// AWS is to see and nothing that a proxy or an HTTP client changes on the way, such as `content-length` or
/// `connection`. Hashes the body as it is.
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
/// If the URI has no scheme or no host, the time is not between the years 1970 and 9999, or a header's value is
/// not visible ASCII. The request then has no signature.
pub fn sign<B: AsRef<[u8]>>(
    request: &mut Request<B>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: SystemTime,
) -> Result<(), SignError> {
    sign_with(request, credentials, scope, now, SigningSettings::default())
}

/// Signs with settings that only AWS's test suite changes: it has cases for S3's rules.
fn sign_with<B: AsRef<[u8]>>(
    request: &mut Request<B>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: SystemTime,
    settings: SigningSettings,
) -> Result<(), SignError> {
    // `aws-sigv4` panics on a time and a URI that it cannot use.
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
    let identity = identity(credentials);
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

fn identity(credentials: &Credentials) -> Identity {
    aws_credential_types::Credentials::new(
        &*credentials.access_key_id,
        credentials.secret_access_key.expose(),
        credentials.session_token.as_ref().map(Secret::expose).map(str::to_owned),
        None,
        "bedrock-edge",
    )
    .into()
}

#[cfg(test)]
mod tests;
