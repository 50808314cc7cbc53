//! The canonical request.
//!
//! `aws-sigv4` makes one only for a request that it signs: with its own choice of headers, from a URI that it
//! parses again. A verifier needs the one that the client signed.

use percent_encoding::{percent_decode_str, percent_encode, utf8_percent_encode};

use crate::percent::{RESERVED, RESERVED_IN_PATH};

/// Returns all lines of a canonical request but the last, which is the hash of the payload.
///
/// `path` and `query` are as they go over the wire. The path is encoded once more and is not normalized: no route
/// and no path of Bedrock's has an empty or a dot segment. `headers` are the signed headers in the order of their
/// names, in lower case; the values of a repeated header are joined by commas.
pub(crate) fn canonical_request(
    method: &str,
    path: &str,
    query: &str,
    headers: &[(&str, impl AsRef<str>)],
) -> String {
    let path = utf8_percent_encode(path, RESERVED_IN_PATH).to_string();
    canonical_request_at(&path, method, query, headers)
}

/// Like [`canonical_request`], with a path that is encoded as the service demands.
pub(super) fn canonical_request_at(
    path: &str,
    method: &str,
    query: &str,
    headers: &[(&str, impl AsRef<str>)],
) -> String {
    let mut text = format!("{method}\n{path}\n");
    push_query(&mut text, query);
    text.push('\n');
    for (name, value) in headers {
        text.extend([name, ":"]);
        push_joined(&mut text, " ", value.as_ref().split_ascii_whitespace());
        text.push('\n');
    }
    text.push('\n');
    push_joined(&mut text, ";", headers.iter().map(|(name, _)| *name));
    text
}

/// Appends the parameters, sorted by their encoded names and values.
fn push_query(text: &mut String, query: &str) {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs: Vec<_> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encode_once(name), encode_once(value)))
        .collect();
    // The type of the headers, too, which sort with the same code: another type's is 2 KiB of the upload.
    let mut pairs: Vec<(&str, &str)> =
        pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
    pairs.sort_unstable();
    push_joined(text, "&", pairs.iter().map(|(name, value)| format!("{name}={value}")));
}

/// Encodes text that may be encoded already: `%7e`, `%7E` and `~` become the same.
fn encode_once(text: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(text).collect();
    percent_encode(&decoded, RESERVED).to_string()
}

fn push_joined(text: &mut String, separator: &str, parts: impl Iterator<Item = impl AsRef<str>>) {
    for (at, part) in parts.enumerate() {
        if at > 0 {
            text.push_str(separator);
        }
        text.push_str(part.as_ref());
    }
}
