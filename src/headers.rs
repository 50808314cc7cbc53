//! The header tables: which headers of a request and of Bedrock's response the core reads, and which it sends.
//!
//! A header that is not in its table does not exist: the Worker copies only these into wasm, and debug builds
//! panic when another one is read or set.
//!
//! Out of scope: the headers that a SigV4 client signs, which can have any name.

use http::header::{
    ACCEPT, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, DATE, HOST, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

// Constants, because looking a name up by its text compiles one of http's largest functions into the first
// request of an isolate.
pub(crate) const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");
pub(crate) const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
pub(crate) const CF_ACCESS_JWT_ASSERTION: HeaderName =
    HeaderName::from_static("cf-access-jwt-assertion");
pub(crate) const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
pub(crate) const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
pub(crate) const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub(crate) const X_AMZ_INVOCATION_TYPE: HeaderName =
    HeaderName::from_static("x-amz-invocation-type");
pub(crate) const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
pub(crate) const X_AMZN_BEDROCK_CACHE_READ_INPUT_TOKEN_COUNT: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-cache-read-input-token-count");
pub(crate) const X_AMZN_BEDROCK_CACHE_WRITE_INPUT_TOKEN_COUNT: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-cache-write-input-token-count");
pub(crate) const X_AMZN_BEDROCK_INPUT_TOKEN_COUNT: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-input-token-count");
pub(crate) const X_AMZN_BEDROCK_OUTPUT_TOKEN_COUNT: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-output-token-count");
pub(crate) const X_AMZN_BEDROCK_ACCEPT: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-accept");
pub(crate) const X_AMZN_BEDROCK_PERFORMANCECONFIG_LATENCY: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-performanceconfig-latency");
pub(crate) const X_AMZN_BEDROCK_PROJECTIDENTIFIER: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-projectidentifier");
pub(crate) const X_AMZN_BEDROCK_REQUEST_METADATA: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-request-metadata");
pub(crate) const X_AMZN_BEDROCK_TRACE: HeaderName = HeaderName::from_static("x-amzn-bedrock-trace");
pub(crate) const AMZ_SDK_REQUEST: HeaderName = HeaderName::from_static("amz-sdk-request");
pub(crate) const X_AMZN_BEDROCK_SERVICE_TIER: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-service-tier");
pub(crate) const X_AMZN_ERRORTYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
pub(crate) const X_AMZN_BEDROCK_GUARDRAILIDENTIFIER: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-guardrailidentifier");
pub(crate) const X_AMZN_BEDROCK_GUARDRAILVERSION: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-guardrailversion");
pub(crate) const X_AMZN_REQUESTID: HeaderName = HeaderName::from_static("x-amzn-requestid");
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(crate) const X_CLAUDE_CODE_SESSION_ID: HeaderName =
    HeaderName::from_static("x-claude-code-session-id");

/// The request headers that the core reads, and whether it reads them of a POST to any path. The Worker lists all headers
/// of the other methods, of requests to Bedrock's own paths, and of every request if clients may sign.
pub(crate) const REQUEST: [(HeaderName, bool); 29] = [
    (CONTENT_TYPE, true),
    (CONTENT_LENGTH, true),
    (CONTENT_ENCODING, true),
    (ACCEPT, true),
    (AUTHORIZATION, true),
    (X_API_KEY, true),
    (CF_ACCESS_JWT_ASSERTION, true),
    (CF_CONNECTING_IP, true),
    (X_AMZ_INVOCATION_TYPE, true),
    (ANTHROPIC_VERSION, true),
    (ANTHROPIC_BETA, true),
    (X_CLAUDE_CODE_SESSION_ID, true),
    (ORIGIN, true),
    (HOST, true),
    (SEC_WEBSOCKET_PROTOCOL, false),
    (UPGRADE, false),
    (ACCESS_CONTROL_REQUEST_METHOD, false),
    (X_AMZ_CONTENT_SHA256, false),
    (X_AMZ_DATE, false),
    (X_AMZ_SECURITY_TOKEN, false),
    (AMZ_SDK_REQUEST, false),
    (X_AMZN_BEDROCK_ACCEPT, false),
    (X_AMZN_BEDROCK_GUARDRAILIDENTIFIER, false),
    (X_AMZN_BEDROCK_GUARDRAILVERSION, false),
    (X_AMZN_BEDROCK_PERFORMANCECONFIG_LATENCY, false),
    (X_AMZN_BEDROCK_PROJECTIDENTIFIER, false),
    (X_AMZN_BEDROCK_REQUEST_METADATA, false),
    (X_AMZN_BEDROCK_SERVICE_TIER, false),
    (X_AMZN_BEDROCK_TRACE, false),
];

/// The headers of Bedrock's, STS's and the JWT issuer's responses that the core reads, and whether it reads them
/// of a response with status 200. The Worker lists all headers of other responses, and of those that it passes on.
pub(crate) const UPSTREAM: [(HeaderName, bool); 9] = [
    (CONTENT_TYPE, true),
    (X_AMZN_REQUESTID, true),
    (DATE, true),
    (X_AMZN_ERRORTYPE, false),
    (RETRY_AFTER, false),
    (X_AMZN_BEDROCK_CACHE_READ_INPUT_TOKEN_COUNT, false),
    (X_AMZN_BEDROCK_CACHE_WRITE_INPUT_TOKEN_COUNT, false),
    (X_AMZN_BEDROCK_INPUT_TOKEN_COUNT, false),
    (X_AMZN_BEDROCK_OUTPUT_TOKEN_COUNT, false),
];

/// Returns the first value of a request header.
pub(crate) fn request<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    check(&REQUEST, name);
    headers.get(name)
}

/// Reports whether a request asks for a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    request(headers, &UPGRADE).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Reports whether a request has a signature of AWS's kind.
pub(crate) fn is_signed(headers: &HeaderMap) -> bool {
    request(headers, &AUTHORIZATION)
        .is_some_and(|it| it.as_bytes().starts_with(b"AWS4-HMAC-SHA256"))
}

/// Returns all values of a request header.
pub(crate) fn request_all<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a HeaderValue> {
    check(&REQUEST, name);
    headers.get_all(name).iter()
}

/// Returns the only value of a request header. Two values, or one that is not ASCII, count as an empty one.
pub(crate) fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = request_all(headers, name);
    let first = values.next()?.to_str().unwrap_or_default();
    Some(if values.next().is_some() { "" } else { first })
}

/// Returns the value of a response header as text.
pub(crate) fn upstream<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    check(&UPSTREAM, name);
    headers.get(name)?.to_str().ok()
}

fn check(table: &[(HeaderName, bool)], name: &HeaderName) {
    debug_assert!(table.iter().any(|(known, _)| known == name), "{name} is not in its table");
}

/// A response header: its name, and whether the pages of allowed origins may read it.
type ResponseHeader = (&'static str, bool);

const EXPOSED: bool = true;
/// Also the headers that a browser always lets a page read.
const NOT_EXPOSED: bool = false;

/// Every header of a response, in the order of their names.
const RESPONSE: [ResponseHeader; 34] = [
    ("Content-Type", NOT_EXPOSED),
    ("access-control-allow-headers", NOT_EXPOSED),
    ("access-control-allow-methods", NOT_EXPOSED),
    ("access-control-allow-origin", NOT_EXPOSED),
    ("access-control-expose-headers", NOT_EXPOSED),
    ("access-control-max-age", NOT_EXPOSED),
    ("allow", NOT_EXPOSED),
    ("cache-control", NOT_EXPOSED),
    ("request-id", EXPOSED),
    ("retry-after", EXPOSED),
    ("sec-websocket-protocol", NOT_EXPOSED),
    ("server-timing", EXPOSED),
    ("upgrade", NOT_EXPOSED),
    ("vary", NOT_EXPOSED),
    ("www-authenticate", EXPOSED),
    ("x-amz-executed-version", NOT_EXPOSED),
    ("x-amzn-bedrock-input-token-count", EXPOSED),
    ("x-amzn-bedrock-output-token-count", EXPOSED),
    ("x-amzn-errortype", EXPOSED),
    ("x-amzn-requestid", EXPOSED),
    ("x-bedrock-attempts", EXPOSED),
    ("x-bedrock-guardrail-action", EXPOSED),
    ("x-bedrock-region", EXPOSED),
    ("x-bedrock-removed", EXPOSED),
    ("x-bedrock-token-count", EXPOSED),
    ("x-content-type-options", NOT_EXPOSED),
    ("x-error-code", EXPOSED),
    ("x-ratelimit-limit-tokens", EXPOSED),
    ("x-ratelimit-remaining-tokens", EXPOSED),
    ("x-request-id", EXPOSED),
    ("x-session-dropped-turns", EXPOSED),
    ("x-session-id", EXPOSED),
    ("x-should-retry", EXPOSED),
    ("x-stop-reason", EXPOSED),
];

/// Checks in debug builds that a response header is in the table.
pub(crate) fn check_response(name: &str) {
    debug_assert!(RESPONSE.iter().any(|(known, _)| *known == name), "{name} is not in its table");
}

/// Returns the value of `access-control-expose-headers`.
pub(crate) fn exposed() -> String {
    let names = RESPONSE.iter().filter(|(_, is_exposed)| *is_exposed).map(|(name, _)| *name);
    names.collect::<Vec<_>>().join(", ")
}

/// Removes what the Worker would not copy into wasm, so that a unit test sees the headers that the Worker sees.
#[cfg(test)]
pub(crate) fn as_the_worker_copies_them(headers: &mut HeaderMap) {
    let is_read =
        |name: &HeaderName| REQUEST.iter().any(|(known, of_post)| known == name && *of_post);
    let names: Vec<HeaderName> = headers.keys().cloned().collect();
    for name in names.iter().filter(|name| !is_read(name)) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the strings of a constant array in `glue.js`.
    fn list(name: &str) -> Vec<String> {
        let source = include_str!("worker/glue.js");
        let (_, rest) = source.split_once(&format!("const {name} = [")).expect(name);
        let (list, _) = rest.split_once(']').unwrap();
        list.split(',')
            .map(|it| it.trim().trim_matches('"').to_owned())
            .filter(|it| !it.is_empty())
            .collect()
    }

    fn names(table: &[(HeaderName, bool)]) -> Vec<String> {
        table.iter().filter(|(_, is_read)| *is_read).map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn javascript_copies_the_headers_of_a_post_that_the_core_reads() {
        // An Origin is rare, and the Host is read only with it: JavaScript asks for these two by name.
        let mut expected = names(&REQUEST);
        expected.retain(|name| !["origin", "host"].contains(&&**name));
        assert_eq!(list("OF_POST"), expected);
    }

    #[test]
    fn javascript_copies_the_headers_of_a_good_response_that_the_core_reads() {
        assert_eq!(list("OF_RESPONSE"), names(&UPSTREAM));
    }
}
