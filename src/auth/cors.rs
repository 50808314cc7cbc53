//! CORS: which pages of browsers may call, and what they may read.
//!
//! Browser credentials (`Access-Control-Allow-Credentials`) are not used: a page sends a token itself.
//!
//! Out of scope: origins by pattern.
//!
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Method};

use crate::config::{Access, is_loopback};
use crate::headers::{exposed, only_value, request};

/// The value of `access-control-max-age`: a browser may keep the response to a preflight for so many seconds.
/// Chromium keeps it two hours at most.
const MAX_AGE: u32 = 3600;

type Headers = Vec<(&'static str, String)>;

/// Reports whether a browser sent a request for a page that is neither the Worker's own nor of a listed origin.
///
/// A browser keeps such a page from reading a response, but not from sending a request. If nothing but what the
/// browser adds by itself proves who calls (Access's cookie, an open Worker on this machine), any page could call,
/// and read the response of a WebSocket.
pub(super) fn is_foreign(headers: &HeaderMap, origins: &[String]) -> bool {
    let Some(origin) = only_value(headers, &ORIGIN) else { return false };
    let own = only_value(headers, &HOST).filter(|host| !host.is_empty());
    let is_own = match origin.split_once("://") {
        Some((scheme, name)) if own.is_some_and(|host| name.eq_ignore_ascii_case(host)) => {
            // Over plain HTTP a name of anybody's may lead to this machine (DNS rebinding): a page of it has that name
            // as its origin, and sends it as the host. With TLS such a page has no certificate to show.
            scheme == "https" || scheme == "http" && is_loopback_name(name)
        }
        _ => false,
    };
    !is_own && !allows(origins, origin)
}

/// Reports whether an authority names this machine whatever a DNS server says.
///
/// <https://www.rfc-editor.org/rfc/rfc6761#section-6.3>
fn is_loopback_name(authority: &str) -> bool {
    let Ok(authority) = authority.to_ascii_lowercase().parse::<Authority>() else { return false };
    is_loopback(authority.host()) || authority.host().ends_with(".localhost")
}

fn allows(origins: &[String], origin: &str) -> bool {
    origins.iter().any(|it| it == origin)
}

/// Returns the headers that let a page of a listed origin read a response.
pub(crate) fn allow_origin(headers: &HeaderMap, access: &Access) -> Headers {
    if access.origins.is_empty() {
        return Vec::new();
    }
    let mut allowed = vec![("vary", "Origin".to_owned())];
    if let Some(origin) = only_value(headers, &ORIGIN).filter(|it| allows(&access.origins, it)) {
        allowed.push(("access-control-allow-origin", origin.to_owned()));
        allowed.push(("access-control-expose-headers", exposed()));
    }
    allowed
}

/// Reports whether a request is the preflight of a listed origin. A browser sends it without a credential. Any
/// other `OPTIONS` is a request like all others.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap, access: &Access) -> bool {
    *method == Method::OPTIONS
        && request(headers, &ACCESS_CONTROL_REQUEST_METHOD).is_some()
        && only_value(headers, &ORIGIN).is_some_and(|origin| allows(&access.origins, origin))
}

/// Returns the headers of the response to a preflight, for a route with these methods, to which pages may send `more` headers.
pub(crate) fn preflight_headers(methods: &str, more: &[&str], access: &Access) -> Headers {
    let mut names = vec!["content-type"];
    if !access.is_open {
        names.push("authorization");
    }
    if !access.tokens.is_empty() {
        names.push("x-api-key");
    }
    if !access.keys.is_empty() {
        // The headers of the AWS SDK for JavaScript.
        names.extend(["x-amz-date", "x-amz-content-sha256", "x-amz-user-agent"]);
        names.extend(["amz-sdk-invocation-id", "amz-sdk-request"]);
    }
    names.extend(more);
    names.extend(access.headers.iter().map(String::as_str));
    vec![
        ("access-control-allow-methods", methods.to_owned()),
        ("access-control-allow-headers", names.join(", ")),
        ("access-control-max-age", MAX_AGE.to_string()),
    ]
}
