//! Browsers: whose pages may call (CORS), and what they are told.
//!
//! Nothing is sent with a browser's own credentials (`Access-Control-Allow-Credentials`): a page
//! sends a token itself.
//!
//! Out of scope: origins by pattern.
//!
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN};
use http::{HeaderMap, Method};

use super::tokens::entries;
use super::{Access, only_value};
use crate::envelope::{Envelope, build_response};
use crate::event::{Event, Route};

/// The headers of an answer that a page may read, beside those that it always may.
const EXPOSED: &str = "retry-after, server-timing, www-authenticate, \
    x-amzn-bedrock-input-token-count, x-amzn-bedrock-output-token-count, x-amzn-errortype, \
    x-amzn-requestid, x-bedrock-attempts, x-bedrock-region, x-error-code, \
    x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-request-id, x-stop-reason";

/// In seconds. The longest that Chromium keeps a preflight's answer is two hours.
const MAX_AGE: &str = "3600";

/// `ALLOWED_ORIGINS`, as browsers write them.
#[derive(Debug, Default)]
pub(crate) struct Origins(Vec<String>);

impl Origins {
    /// Origins, between them commas or white space.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let origins = entries(text).map(|origin| is_origin(origin).then(|| origin.to_owned()));
        origins.collect::<Option<_>>().map(Self).ok_or(
            "must be origins as a browser sends them, such as https://example.com or \
             http://localhost:3000: in lower case, without a path, a default port or *",
        )
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn allows(&self, origin: &str) -> bool {
        self.0.iter().any(|it| it == origin)
    }
}

/// A tuple origin in its serialized form, which is what is compared, byte by byte.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => ":",
    };
    let is_authority =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
    let port = match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => Some(port),
        _ => None,
    };
    is_scheme
        && !authority.is_empty()
        && !authority.starts_with(':')
        && authority.bytes().all(is_authority)
        && !authority.ends_with(default_port)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|it| it.to_string() == port))
}

/// Whether a browser sent it for a page that is neither the Worker's own nor of a listed origin.
///
/// A browser keeps such a page from reading an answer, and not from sending a request: with nothing
/// else to prove who calls than what the browser itself adds (Access's cookie, an open Worker on
/// this machine), any page could make one, and over a WebSocket read the answer too.
pub(super) fn is_foreign(headers: &HeaderMap, origins: &Origins) -> bool {
    let Some(origin) = only_value(headers, &ORIGIN) else { return false };
    let own = only_value(headers, &HOST).filter(|host| !host.is_empty());
    // TLS may have ended in front of us, so the scheme does not tell.
    let is_own = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"))
        .is_some_and(|it| own.is_some_and(|host| it.eq_ignore_ascii_case(host)));
    !is_own && !origins.allows(origin)
}

/// The headers that let a page of a listed origin read an answer.
pub(crate) fn allow_origin(headers: &HeaderMap, access: &Access) -> Vec<(&'static str, String)> {
    if access.origins().is_empty() {
        return Vec::new();
    }
    let mut allowed = vec![("vary", "Origin".to_owned())];
    if let Some(origin) = only_value(headers, &ORIGIN).filter(|it| access.origins().allows(it)) {
        allowed.push(("access-control-allow-origin", origin.to_owned()));
        allowed.push(("access-control-expose-headers", EXPOSED.to_owned()));
    }
    allowed
}

/// The answer to a preflight of a listed origin, for a path that there is. A browser sends it
/// without a credential. Any other `OPTIONS` goes the way of every request.
pub(crate) fn preflight<B>(event: &Event<B>, access: &Access) -> Option<Envelope> {
    let methods = match event.route {
        Route::Generate | Route::Invocation => "POST",
        Route::Health | Route::Usage => "GET, HEAD",
        // WebSockets know no preflight.
        Route::Socket | Route::Unknown => return None,
    };
    let is_preflight = event.method == Method::OPTIONS
        && event.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && only_value(&event.headers, &ORIGIN)
            .is_some_and(|origin| access.origins().allows(origin));
    is_preflight.then(|| {
        let mut envelope = build_response("", "", 204);
        envelope.body.clear();
        envelope.set_header("access-control-allow-methods", methods);
        envelope.set_header("access-control-allow-headers", access.headers());
        envelope.set_header("access-control-max-age", MAX_AGE);
        envelope
    })
}
