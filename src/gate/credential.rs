//! Which credential a request carries: one, or it is refused.
//!
//! Out of scope: whether the credential is good.

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName};

use super::{Access, Refusal};
use crate::header::{CF_ACCESS_JWT_ASSERTION, X_API_KEY};

/// RFC 7230 gives a header of 8 KiB and more no promise, and no token that we take is as long.
const MAX_CREDENTIAL_BYTES: usize = 8192;

pub(crate) enum Credential<'a> {
    None,
    /// `Authorization: Bearer …`, or `bearer.…` among a WebSocket's protocols, the only header that
    /// a page can set there.
    Bearer(&'a str),
    /// `x-api-key`
    ApiKey(&'a str),
    /// `Cf-Access-Jwt-Assertion`, which Cloudflare Access adds.
    ///
    /// <https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/validating-json/>
    Assertion(&'a str),
    /// The whole of an `Authorization: AWS4-HMAC-SHA256 …`
    Signature(&'a str),
}

impl<'a> Credential<'a> {
    /// The credential of a request. Refuses two, even if they are the same.
    pub(super) fn of(
        headers: &'a HeaderMap,
        query: &str,
        access: &Access,
    ) -> Result<Self, Refusal> {
        let mut found = None;
        let mut add = |credential| match found.replace(credential) {
            None => Ok(()),
            Some(_) => Err("more than one credential in the request"),
        };
        if let Some(value) = single(headers, AUTHORIZATION)? {
            add(authorization(value, access)?)?;
        }
        if let Some(value) = single(headers, X_API_KEY)? {
            add(Self::ApiKey(token(value)?))?;
        }
        // Where Access is only the outer wall, what it adds is none of ours.
        if access.issuer().is_some()
            && let Some(value) = single(headers, CF_ACCESS_JWT_ASSERTION)?
        {
            add(Self::Assertion(token(value)?))?;
        }
        for protocol in protocols(headers) {
            if let Some(value) = protocol.strip_prefix("bearer.") {
                add(Self::Bearer(token(value)?))?;
            }
        }
        if is_presigned(query) && !access.keys().is_empty() {
            return Err(Refusal::Aws {
                kind: "IncompleteSignatureException",
                message: "A signature in the query is not accepted: sign with the Authorization \
                          header."
                    .to_owned(),
                cause: "the signature is in the query".into(),
            });
        }
        Ok(found.unwrap_or(Self::None))
    }
}

/// The protocol of a WebSocket that we speak.
const OURS: &str = "bedrock-edge";

/// The protocol to answer a WebSocket's client with. Never the one that holds its token.
pub(crate) fn protocol(headers: &HeaderMap) -> Option<&'static str> {
    protocols(headers).any(|it| it == OURS).then_some(OURS)
}

/// The protocols that a WebSocket's client offers.
fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values =
        headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn authorization<'a>(value: &'a str, access: &Access) -> Result<Credential<'a>, &'static str> {
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Credential::Bearer(token(rest.trim_matches(' '))?));
    }
    if scheme == "AWS4-HMAC-SHA256" && !access.keys().is_empty() {
        return Ok(Credential::Signature(value));
    }
    Err("the scheme of Authorization is not one that is configured")
}

/// The only value of a header. Of several that it has, JavaScript's `Headers` makes one with commas,
/// which no token has in it, and which a signature's parser counts.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("a credential's header is there twice");
    }
    match value.to_str() {
        Ok(text) if text.len() <= MAX_CREDENTIAL_BYTES => Ok(Some(text.trim())),
        Ok(_) => Err("the credential is too long"),
        Err(_) => Err("the credential is not ASCII"),
    }
}

/// RFC 6750's `b64token`, which every API token and JWT is.
fn token(text: &str) -> Result<&str, &'static str> {
    let body = text.trim_end_matches('=');
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if !body.is_empty() && body.bytes().all(is_allowed) {
        Ok(text)
    } else {
        Err("the token has characters that no token has")
    }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>: a presigned URL.
fn is_presigned(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        name.eq_ignore_ascii_case("x-amz-signature") || name.eq_ignore_ascii_case("x-amz-algorithm")
    })
}
