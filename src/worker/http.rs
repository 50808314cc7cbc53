//! HTTP messages on their way between wasm and JavaScript.

use std::cell::RefCell;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use wasm_bindgen::{JsCast, JsValue};

use super::glue;
use crate::api::Envelope;
use crate::headers::{
    CF_ACCESS_JWT_ASSERTION, CF_CONNECTING_IP, X_AMZ_INVOCATION_TYPE, X_AMZN_REQUESTID, X_API_KEY,
};
use crate::host::TransportError;

/// The longest body, in bytes, that goes to JavaScript as a string. A buffer is outside of JavaScript's heap and takes longer
/// to make and to collect, but a string is copied once more.
const SHORT: usize = 16 << 10;

/// Passes the first line and the header lines of a Request or a Response to `read`.
pub(super) fn with_head<T>(
    message: &JsValue,
    is_whole: bool,
    read: impl FnOnce(&str, &str) -> T,
) -> T {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 4096]);
    }
    BUFFER.with_borrow_mut(|buffer| {
        let mut length = glue::head(message, is_whole, buffer) as usize;
        if length > buffer.len() {
            buffer.resize(length, 0);
            length = glue::head(message, is_whole, buffer) as usize;
        }
        // JavaScript writes UTF-8.
        let head = buffer.get(..length).and_then(|head| str::from_utf8(head).ok());
        let head = head.unwrap_or_default();
        let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
        read(line, headers)
    })
}

/// Returns path and query of an absolute URL, as they came: workerd does not resolve dot segments.
pub(super) fn target_of(url: &str) -> &str {
    let start = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at);
    url.get(start..).and_then(|target| target.split('#').next()).unwrap_or_default()
}

/// Parses header lines. Returns also the name of a header whose value HTTP does not allow: workerd passes some on.
pub(super) fn header_map(lines: &str) -> (HeaderMap, Option<&str>) {
    let mut headers = HeaderMap::new();
    let mut malformed = None;
    for line in lines.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        match (header_name(name), HeaderValue::from_bytes(value.as_bytes())) {
            (Some(name), Ok(value)) => drop(headers.append(name, value)),
            (Some(_), Err(_)) => malformed = Some(name),
            (None, _) => {}
        }
    }
    (headers, malformed)
}

/// Finds the names that `glue.js` asks for without http's search for every name, which would be a sixteenth of what the
/// first request compiles.
fn header_name(name: &str) -> Option<HeaderName> {
    Some(match name {
        "content-type" => CONTENT_TYPE,
        "content-length" => CONTENT_LENGTH,
        "content-encoding" => CONTENT_ENCODING,
        "accept" => ACCEPT,
        "authorization" => AUTHORIZATION,
        "x-api-key" => X_API_KEY,
        "cf-access-jwt-assertion" => CF_ACCESS_JWT_ASSERTION,
        "cf-connecting-ip" => CF_CONNECTING_IP,
        "x-amz-invocation-type" => X_AMZ_INVOCATION_TYPE,
        "origin" => ORIGIN,
        "host" => HOST,
        "x-amzn-requestid" => X_AMZN_REQUESTID,
        "date" => DATE,
        other => other.parse().ok()?,
    })
}

/// Makes a Response of a complete envelope.
pub(super) fn response(envelope: &Envelope) -> Result<JsValue, JsValue> {
    let decoded =
        envelope.is_base64_encoded.then(|| STANDARD.decode(&envelope.body).unwrap_or_default());
    let body = decoded.as_deref().unwrap_or(envelope.body.as_bytes());
    let (text, bytes) = text_or_bytes(body);
    Ok(glue::respond(envelope.status_code, &lines(envelope), text, bytes)?.into())
}

/// Writes headers for JavaScript: names and values by turns, a line each.
pub(super) fn lines(envelope: &Envelope) -> String {
    let headers: Vec<&str> =
        envelope.headers.iter().flat_map(|(name, value)| [*name, value.as_str()]).collect();
    headers.join("\n")
}

/// Chooses the form in which a body goes to JavaScript.
pub(super) fn text_or_bytes(body: &[u8]) -> (Option<&str>, Option<&[u8]>) {
    let text = if body.len() <= SHORT { std::str::from_utf8(body).ok() } else { None };
    (text, text.is_none().then_some(body))
}

/// Returns a time in JavaScript's unit.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_millis() as f64
}

/// Reads what a promise of `glue.js` was rejected with: `undefined` when the client disconnected, `null` on a timeout.
pub(super) fn transport_error(error: &JsValue) -> TransportError {
    if error.is_undefined() {
        return TransportError::Cancelled;
    }
    if error.is_null() {
        return TransportError::TimedOut;
    }
    let text = error.dyn_ref::<js_sys::Error>().map(|error| error.message().into());
    let text = text.or_else(|| error.as_string()).unwrap_or_else(|| "unknown".to_owned());
    TransportError::Failed(text)
}
