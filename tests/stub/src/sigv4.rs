//! Verification of AWS Signature Version 4: pure functions over a received request, named after the
//! steps of the specification.
//!
//! It is written from the specification and shares no code with the signer under test, so that a
//! mistake in common code cannot go unnoticed. AWS's own test suite and botocore's vectors test it.
//!
//! Out of scope: presigned URLs, SigV4a, and chunked and unsigned payloads.
//!
//! Source: AWS Identity and Access Management User Guide, "Create a signed AWS API request".

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};

/// The algorithm in the `Authorization` header and the string to sign.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

const TERMINATOR: &str = "aws4_request";

/// The bytes that are percent-encoded: all but the unreserved characters of RFC 3986.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The bytes that are percent-encoded in a path.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// An HTTP request as it was received, without any decoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The method, such as `POST`.
    pub method: String,
    /// The path and query of the request line, not decoded, such as `/model/a%3A0/invoke?x=1`.
    pub target: String,
    /// The headers in the order of arrival, repeated headers included. Names have any case.
    pub headers: Vec<(String, String)>,
    /// The complete body.
    pub body: Vec<u8>,
}

impl Received {
    /// Parses the text of an HTTP/1.1 request. Returns `None` if the first line is not a request
    /// line.
    ///
    /// Lines end in a bare LF, as in AWS's test suite. Some of its requests are not valid HTTP, and
    /// are accepted: a space or non-ASCII text in the target, header values that continue on the
    /// next line, and a request line without a version.
    pub fn from_text(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let request_line = lines.next()?;
        let (method, target) =
            request_line.strip_suffix(" HTTP/1.1").unwrap_or(request_line).split_once(' ')?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let (_, value) = headers.last_mut()?;
                value.push('\n');
                value.push_str(line);
            } else {
                let (name, value) = line.split_once(':')?;
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        Some(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body: body.as_bytes().to_vec(),
        })
    }

    /// Returns the first value of a header, trimmed. The name may have any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next().map(str::trim)
    }

    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(received, _)| received.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// The encoding of the received path in the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathEncoding {
    /// The path is decoded and percent-encoded once. For Amazon S3, and in AWS's test suite.
    Once,
    /// The path on the wire is percent-encoded once more: `%3A` becomes `%253A`. For Bedrock, and
    /// all services but S3.
    Twice,
}

/// The credential scope: `Credential` without the access key ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The date, `YYYYMMDD`.
    pub date: String,
    /// The region, such as `ap-northeast-1`.
    pub region: String,
    /// The service, such as `bedrock`.
    pub service: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, region, service } = self;
        write!(f, "{date}/{region}/{service}/{TERMINATOR}")
    }
}

/// The parts of an `Authorization: AWS4-HMAC-SHA256 …` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The access key ID, the part of `Credential` before the scope.
    pub access_key_id: String,
    /// The credential scope, the rest of `Credential`.
    pub scope: Scope,
    /// `SignedHeaders`, in the order and case of the client.
    pub signed_headers: Vec<String>,
    /// `Signature`, which should be 64 hexadecimal digits.
    pub signature: String,
}

impl Authorization {
    /// Parses the value of the header.
    ///
    /// # Errors
    ///
    /// The message of AWS's `IncompleteSignatureException`.
    pub fn parse(value: &str) -> Result<Self, String> {
        let parameters = value.trim().strip_prefix(ALGORITHM).unwrap_or_default();
        let parameter = |name: &str| {
            parameters
                .split(',')
                .filter_map(|pair| pair.trim().split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
        };
        let [Some(credential), Some(signed_headers), Some(signature)] =
            ["Credential", "SignedHeaders", "Signature"].map(parameter)
        else {
            let missing: String = ["Credential", "Signature", "SignedHeaders"]
                .iter()
                .filter(|name| parameter(name).is_none())
                .map(|name| format!("Authorization header requires '{name}' parameter. "))
                .collect();
            return Err(missing.trim_end().to_owned());
        };
        let elements: Vec<&str> = credential.split('/').collect();
        let [access_key_id, date, region, service, TERMINATOR] = elements[..] else {
            return Err(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/{TERMINATOR}, got '{credential}'"
            ));
        };
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            scope: Scope {
                date: date.to_owned(),
                region: region.to_owned(),
                service: service.to_owned(),
            },
            signed_headers: signed_headers.split(';').map(str::to_owned).collect(),
            signature: signature.to_owned(),
        })
    }
}

/// Creates the canonical request (step 1 of the specification).
///
/// With `normalize`, dot segments and repeated slashes are removed from the path, as all services
/// but S3 do. The payload hash is computed from the body. `x-amz-content-sha256` is not trusted.
pub fn canonical_request(
    received: &Received,
    signed_headers: &[String],
    path_encoding: PathEncoding,
    normalize: bool,
) -> String {
    let (path, query) = received.target.split_once('?').unwrap_or((&received.target, ""));
    let mut names: Vec<String> =
        signed_headers.iter().map(|name| name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    let headers: String =
        names.iter().map(|name| format!("{name}:{}\n", canonical_value(received, name))).collect();
    [
        received.method.as_str(),
        &canonical_path(path, path_encoding, normalize),
        &canonical_query(query),
        &headers,
        &names.join(";"),
        &hex::encode(Sha256::digest(&received.body)),
    ]
    .join("\n")
}

/// Creates the string to sign (step 2). `time` is the value of `x-amz-date`.
pub fn string_to_sign(time: &str, scope: &Scope, canonical_request: &str) -> String {
    let hash = hex::encode(Sha256::digest(canonical_request));
    format!("{ALGORITHM}\n{time}\n{scope}\n{hash}")
}

/// Calculates the signature (step 3) in lower-case hexadecimal, with the signing key that it
/// derives.
pub fn signature(secret_access_key: &str, scope: &Scope, string_to_sign: &str) -> String {
    let mut key = format!("AWS4{secret_access_key}").into_bytes();
    for part in [&scope.date, &scope.region, &scope.service, TERMINATOR] {
        key = hmac(&key, part);
    }
    hex::encode(hmac(&key, string_to_sign))
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC accepts a key of any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn canonical_path(path: &str, encoding: PathEncoding, normalize: bool) -> String {
    let path = if normalize { normalized(path) } else { path.to_owned() };
    match encoding {
        PathEncoding::Once => path.split('/').map(encoded_once).collect::<Vec<_>>().join("/"),
        PathEncoding::Twice => percent_encode(path.as_bytes(), PATH).to_string(),
    }
}

/// Removes dot segments as in RFC 3986, section 5.2.4, and empty segments.
fn normalized(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded_once(name), encoded_once(value)))
        .collect();
    // The specification sorts after encoding, by name and then by value.
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Percent-encodes a text that may be encoded already: `ሴ` and `%E1%88%B4` have the same result.
fn encoded_once(text: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(text).collect();
    percent_encode(&decoded, UNRESERVED).to_string()
}

/// Returns the canonical value of a header: trimmed, with runs of white space collapsed, and the
/// values of a repeated header joined in order.
fn canonical_value(received: &Received, name: &str) -> String {
    received
        .values(name)
        .map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(",")
}
