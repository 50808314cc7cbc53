//! The credential of a request: one, or the request is refused. The same token in `Authorization` and in `x-api-key`,
//! as Claude Code's `apiKeyHelper` sends it, is one.
//!
//! Out of scope: whether the credential is valid.

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName};

use super::refusal::Refusal;
use crate::aws::sigv4::ALGORITHM;
use crate::config::Access;
use crate::headers::{CF_ACCESS_JWT_ASSERTION, X_API_KEY, is_upgrade, request_all};

/// Longer than any token that is accepted. A token of Entra ID has 8.7 KB with 157 groups.
const MAX_CREDENTIAL_BYTES: usize = 16 << 10;

/// The credential of a request.
pub(super) enum Credential<'a> {
    None,
    /// `Authorization: Bearer …`, or `bearer.…` among the protocols of a WebSocket.
    Bearer(&'a str),
    /// `x-api-key`.
    ApiKey(&'a str),
    /// `Cf-Access-Jwt-Assertion`, which Cloudflare Access adds.
    ///
    /// <https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/validating-json/>
    Assertion(&'a str),
    /// The whole value of `Authorization: AWS4-HMAC-SHA256 …`.
    Signature(&'a str),
}

impl<'a> Credential<'a> {
    /// Finds the credential of a request. Refuses two, except for one token in both headers of tokens.
    pub(super) fn find(
        headers: &'a HeaderMap,
        query: &str,
        access: &Access,
    ) -> Result<Self, Refusal> {
        let mut found = None;
        let mut add = |credential| match (&found, &credential) {
            (None, _) => {
                found = Some(credential);
                Ok(())
            }
            (Some(Self::Bearer(bearer)), Self::ApiKey(key)) if bearer == key => Ok(()),
            _ => Err("more than one credential in the request"),
        };
        if let Some(value) = single(headers, AUTHORIZATION)? {
            add(authorization(value, access)?)?;
        }
        if let Some(value) = single(headers, X_API_KEY)? {
            add(Self::ApiKey(b64token(value)?))?;
        }
        // Without JWT_ISSUER, Cloudflare Access may stand in front and its header means nothing here.
        if access.issuer.is_some()
            && let Some(value) = single(headers, CF_ACCESS_JWT_ASSERTION)?
        {
            add(Self::Assertion(b64token(value)?))?;
        }
        // A page can set this header only for a WebSocket, and may then set no other.
        if is_upgrade(headers) {
            for token in protocols(headers).filter_map(|it| it.strip_prefix("bearer.")) {
                add(Self::Bearer(b64token(token)?))?;
            }
        }
        if is_presigned(query) && !access.keys.is_empty() {
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

/// The WebSocket subprotocol of this service.
const PROTOCOL: &str = "bedrock-edge";

/// Chooses the subprotocol of a WebSocket: this service's, if the client offers it, and never the one that holds
/// the client's token.
pub(crate) fn websocket_protocol(headers: &HeaderMap) -> Option<&'static str> {
    protocols(headers).any(|it| it == PROTOCOL).then_some(PROTOCOL)
}

/// Returns the subprotocols that a WebSocket client offers.
fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values =
        request_all(headers, &SEC_WEBSOCKET_PROTOCOL).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn authorization<'a>(value: &'a str, access: &Access) -> Result<Credential<'a>, &'static str> {
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Credential::Bearer(b64token(rest.trim_matches(' '))?));
    }
    if scheme == ALGORITHM && !access.keys.is_empty() {
        return Ok(Credential::Signature(value));
    }
    Err("the scheme of Authorization is not one that is configured")
}

/// Returns the only value of a header. JavaScript's `Headers` joins several values with commas, which no token
/// contains, and which the parser of signatures refuses.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, &'static str> {
    let mut values = request_all(headers, &name);
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

/// Accepts RFC 6750's `b64token`, which every API token and JWT is.
fn b64token(text: &str) -> Result<&str, &'static str> {
    let body = text.trim_end_matches('=');
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if !body.is_empty() && body.bytes().all(is_allowed) {
        Ok(text)
    } else {
        Err("the token has characters that no token has")
    }
}

/// Reports whether a query is that of a presigned URL.
///
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>
fn is_presigned(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        name.eq_ignore_ascii_case("x-amz-signature") || name.eq_ignore_ascii_case("x-amz-algorithm")
    })
}
