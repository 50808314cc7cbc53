//! The canonical request of a request as it came.
//!
//! Not with the signer of `aws-sigv4`, which makes one for a request that is to be sent: it takes
//! its own choice of headers, and a URI that it parses again.

use http::HeaderMap;
use percent_encoding::percent_encode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::event::Event;

/// "UriEncode every byte except the unreserved characters" (RFC 3986).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// In a path the separator stays.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// All lines but the last, the payload's hash.
pub(super) fn request<B>(event: &Event<B>, signed_headers: &[&str]) -> String {
    let mut text = format!(
        "{}\n{}\n{}\n",
        event.method,
        // Encoded once more than it came. Not normalized: no path of ours has a dot segment or an
        // empty one.
        utf8_percent_encode(event.path(), PATH),
        query(event.query())
    );
    for name in signed_headers {
        text.push_str(name);
        text.push(':');
        text.push_str(&values(&event.headers, name));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&signed_headers.join(";"));
    text
}

fn query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded_once(name), encoded_once(value)))
        .collect();
    // By the encoded name, then by the encoded value.
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// However it came: `%7e`, `%7E` and `~` are one.
fn encoded_once(text: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(text).collect();
    percent_encode(&decoded, UNRESERVED).to_string()
}

/// Trimmed, inner white space single, the values of a repeated header joined in order. In
/// JavaScript a repeated header has become one, with a space behind the comma: its signature does
/// not match, and signers repeat none.
fn values(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    });
    values.collect::<Vec<_>>().join(",")
}
