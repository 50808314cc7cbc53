//! AWS Signature Version 4, from the side of the one who checks it: pure functions over a
//! request as it was received, named for the specification's steps.
//!
//! Written from the specification and on purpose not with a signing crate, so that a mistake of
//! the signer cannot cancel out here. AWS's own test suite and botocore's vectors run over it.
//!
//! Out of scope: query (presigned) signatures, SigV4a, chunked and unsigned payloads.
//!
//! Source: AWS Identity and Access Management User Guide, "Create a signed AWS API request".

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};

/// The only algorithm of this module, as it stands in `Authorization` and the string to sign.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

const TERMINATOR: &str = "aws4_request";

/// "UriEncode every byte except the unreserved characters" (RFC 3986).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// In a path the separator stays.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// A request as it came, before anything decoded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// `POST`
    pub method: String,
    /// Path and query of the request line, undecoded: `/model/a%3A0/invoke?x=1`
    pub target: String,
    /// In the order received, a repeated header repeated. Names in any case.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Received {
    /// Reads the text of an HTTP/1.1 request. `None` if its first line is not a request line.
    ///
    /// Accepts what AWS's test suite has and a server would refuse: a space or non-ASCII in the
    /// target, header values continued on the next line, and a request line without a version. Lines
    /// end in a bare LF, as there.
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

    /// The first value of a header, trimmed. The name in any case.
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

/// How the received path becomes the canonical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathEncoding {
    /// Percent-encoded exactly once, however it came. Amazon S3, and AWS's test suite.
    Once,
    /// What stands on the wire is encoded once more: `%3A` becomes `%253A`. Bedrock, and every
    /// service but S3.
    Twice,
}

/// The credential scope, without the access key ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `YYYYMMDD`
    pub date: String,
    /// `ap-northeast-1`
    pub region: String,
    /// `bedrock`
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
    /// The part of `Credential` before the scope.
    pub access_key_id: String,
    /// The rest of `Credential`.
    pub scope: Scope,
    /// `SignedHeaders`, as the client listed them.
    pub signed_headers: Vec<String>,
    /// `Signature`: 64 hexadecimal digits when well formed.
    pub signature: String,
}

impl Authorization {
    /// Parses the header's value.
    ///
    /// # Errors
    ///
    /// What is wrong, in the words of AWS's `IncompleteSignatureException`.
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

/// Step 1, the canonical request.
///
/// `normalize` removes dot segments and doubled slashes from the path, as every service but S3
/// does. The payload hash is always that of the body, never the client's own claim.
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

/// Step 2, the string to sign. `time` is the request's `x-amz-date`.
pub fn string_to_sign(time: &str, scope: &Scope, canonical_request: &str) -> String {
    let hash = hex::encode(Sha256::digest(canonical_request));
    format!("{ALGORITHM}\n{time}\n{scope}\n{hash}")
}

/// Step 3, the signature: the signing key is derived, and signs. Lower-case hexadecimal.
pub fn signature(secret_access_key: &str, scope: &Scope, string_to_sign: &str) -> String {
    let mut key = format!("AWS4{secret_access_key}").into_bytes();
    for part in [&scope.date, &scope.region, &scope.service, TERMINATOR] {
        key = hmac(&key, part);
    }
    hex::encode(hmac(&key, string_to_sign))
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
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

/// RFC 3986, section 5.2.4, and empty segments removed too.
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
    // "Sort after encoding": by the encoded name, then by the encoded value.
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Decoding first makes `ሴ` and `%E1%88%B4`, ` ` and `%20`, the same.
fn encoded_once(text: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(text).collect();
    percent_encode(&decoded, UNRESERVED).to_string()
}

/// Trimmed, inner white space single, the values of a repeated header joined in order.
fn canonical_value(received: &Received, name: &str) -> String {
    received
        .values(name)
        .map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(",")
}
