//! Verification of Signature Version 4: a client signs with a key that the operator issued (`CLIENT_KEYS`), as every
//! AWS SDK and `curl --aws-sigv4` do.
//!
//! A signature covers the body, and authentication comes before the body. So it has two steps: [`verify`] with the
//! headers, [`Signed::check`] with the body, and only the second returns the caller. If `x-amz-content-sha256` has
//! the hash of the body, the first step checks the whole signature. If it is missing (curl and botocore leave it
//! out), the signature cannot be checked before the body is read, and the body is read only for a known key. Whoever
//! knows the id of a key can thus find out that the key still exists. Ids are no secrets, and in return an
//! unauthenticated caller cannot make the Worker read anything.
//!
//! A client is told in AWS's words about what it wrote itself: the form of the header, the date, the scope. Of the
//! key and the signature it learns only that they do not match, and an unknown key takes the same work.
//!
//! A body of events, each with a signature of its own, is refused as not served once the signature of its head is
//! verified: it need not end.
//!
//! Out of scope: presigned URLs, session tokens, chunked and unsigned payloads, SigV4a, S3's path rule.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

mod authorization;
mod refusals;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use ctutils::CtEq;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST};
use sha2::{Digest, Sha256};

use super::caller::{Caller, Session};
use super::refusal::Refusal;
use crate::aws::sigv4::{ALGORITHM, canonical_request};
use crate::config::ClientKey;
use crate::date;
use crate::headers::{self, X_AMZ_CONTENT_SHA256, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN};
use crate::hex::{from_hex, to_hex};
use crate::host::IncomingRequest;
use authorization::Authorization;
use refusals::{incomplete, invalid, mismatch};

/// AWS's limit for the difference of clocks, in seconds. An observer can replay a request for so long.
const MAX_SKEW: u64 = 5 * 60;

/// The services for which a client may sign: Bedrock, its endpoint of Anthropic's API, the API Gateway in front of the
/// Lambda, and the Lambda.
const SERVICES: [&str; 4] = ["bedrock", "bedrock-mantle", "execute-api", "lambda"];

/// The name under which the SDK for JavaScript signs the host of a request by HTTP/2. It arrives as `host`.
const AUTHORITY: &str = ":authority";

/// The values of `accept-encoding` that clients sign: those of httpx, of requests, of Node, and of AWS's SDKs. Cloudflare
/// replaces the client's own on the way. To try them is safe: the header decides nothing.
const ACCEPT_ENCODINGS: [&str; 8] = [
    "gzip, deflate",
    "gzip, deflate, br",
    "gzip, deflate, br, zstd",
    "gzip, deflate, zstd",
    "br, gzip, deflate",
    "gzip",
    "identity",
    "*",
];

/// The value of `x-amz-content-sha256` for a body of events, as the SDKs for Go, Java and JavaScript send it.
const EVENTS: &str = "STREAMING-AWS4-HMAC-SHA256-EVENTS";

/// The SHA-256 of nothing, with which the SDK for Rust signs the head of such a request. It does not send it.
const HASH_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A signature that is right as far as the headers tell. [`check`](Self::check) completes the verification.
#[derive(Debug)]
pub(super) struct Signed {
    caller: Caller,
    payload: Payload,
}

#[derive(Debug)]
enum Payload {
    /// The signature is right for a body with this hash.
    Hash([u8; 32]),
    /// The signature depends on the hash of the body.
    Unknown { unsigned: Unsigned, signature: String },
}

/// The inputs of a signature, without the hash of the body.
struct Unsigned {
    /// All lines of the canonical request but the last, as the client may have signed them.
    canonical: Vec<String>,
    /// All lines of the string to sign but the last.
    to_sign: String,
    signing_key: Vec<u8>,
}

impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsigned([redacted])")
    }
}

/// The payload, as the headers state it.
enum Stated {
    Nothing,
    Hash([u8; 32]),
    /// Events, and the last line of the canonical request.
    Events(&'static str),
}

impl Stated {
    fn from_headers(headers: &HeaderMap) -> Result<Self, Refusal> {
        let is_of_events = || {
            let content_type = headers::request(headers, &CONTENT_TYPE);
            content_type.is_some_and(|it| it.as_bytes() == b"application/vnd.amazon.eventstream")
        };
        match headers::only_value(headers, &X_AMZ_CONTENT_SHA256) {
            None if is_of_events() => Ok(Self::Events(HASH_OF_NOTHING)),
            None => Ok(Self::Nothing),
            Some(EVENTS) => Ok(Self::Events(EVENTS)),
            Some(text) => from_hex(text).map(Self::Hash).ok_or_else(|| {
                let message =
                    "The value of 'x-amz-content-sha256' must be the SHA-256 of the payload.";
                invalid(message, "the payload is not signed")
            }),
        }
    }
}

impl Unsigned {
    /// Reports whether a signature is that of a request with this last line of the canonical request, the hash of the
    /// payload.
    fn has_signature(&self, presented: &str, payload: &[u8]) -> bool {
        let signature = |canonical: &String| {
            let canonical = [canonical.as_bytes(), b"\n", payload].concat();
            let canonical_hash = Sha256::digest(canonical).into();
            let to_sign = [self.to_sign.as_bytes(), b"\n", &to_hex(&canonical_hash)].concat();
            calculate_signature(&self.signing_key, &to_sign)
        };
        self.canonical.iter().any(|it| is_signature(&signature(it), presented))
    }
}

/// Checks everything that the headers tell. Nothing before the signature itself depends on the key.
///
/// 1. `Authorization` has its parts, and the credential scope is that of this service.
/// 2. `x-amz-date` is close to now and on the day of the scope.
/// 3. Every header that must be signed is, and every signed header is there.
/// 4. The hash of the payload is a SHA-256, is missing, or says that the payload is events.
/// 5. The signature was made with the key. An unknown key gets a secret that nobody knows.
pub(super) fn verify<B>(
    authorization: &str,
    request: &IncomingRequest<B>,
    keys: &[ClientKey],
    region: &str,
    now: SystemTime,
) -> Result<Signed, Refusal> {
    let headers = &request.headers;
    // 1.
    let Authorization { id, date, scope, signed_headers, signature } =
        Authorization::parse(authorization)?;
    if headers::request(headers, &X_AMZ_SECURITY_TOKEN).is_some() {
        return Err(Refusal::Aws {
            kind: "UnrecognizedClientException",
            message: "The security token included in the request is invalid.".to_owned(),
            cause: "the signature came with a session token, which no key of ours has".into(),
        });
    }
    if scope.region != region {
        // AWS's message ends in a space.
        let message = "Credential should be scoped to a valid region. ";
        return Err(invalid(message, "the credential scope is of another region"));
    }
    if !SERVICES.contains(&scope.service) {
        let message = "Credential should be scoped to correct service: 'bedrock'. ";
        return Err(invalid(message, "the credential scope is of another service"));
    }
    // 2.
    let time = check_date(headers, date, now)?;
    // 3.
    check_signed_headers(headers, &signed_headers)?;
    // 4.
    let stated = Stated::from_headers(headers)?;
    // 5.
    let mut known = None;
    for key in keys {
        // Compares with every key, as if an id were a secret.
        if key.id.as_bytes().ct_eq(id.as_bytes()).to_bool() {
            known = Some(key);
        }
    }
    let secret =
        known.map_or("the-secret-of-a-key-that-does-not-exist!", |key| key.secret.expose());
    let unsigned = Unsigned {
        canonical: canonical(request, &signed_headers),
        to_sign: format!(
            "{ALGORITHM}\n{}\n{date}/{}/{}/aws4_request",
            date::to_amz(time),
            scope.region,
            scope.service
        ),
        signing_key: generate_signing_key(
            secret,
            date::from_seconds(time),
            scope.region,
            scope.service,
        )
        .as_ref()
        .to_vec(),
    };
    let is_right = match stated {
        Stated::Hash(hash) => unsigned.has_signature(signature, &to_hex(&hash)),
        Stated::Events(payload) => unsigned.has_signature(signature, payload.as_bytes()),
        // The same work, and a meaningless result.
        Stated::Nothing => unsigned.has_signature(signature, &[0; 64]) | true,
    };
    let Some(key) = known else { return Err(mismatch("the access key does not exist")) };
    if !is_right {
        return Err(mismatch("the signature does not match"));
    }
    let caller = Caller::new("key", &key.id);
    let payload = match stated {
        Stated::Hash(hash) => Payload::Hash(hash),
        Stated::Nothing => Payload::Unknown { unsigned, signature: signature.to_owned() },
        Stated::Events(_) => return Err(Refusal::EventStream(Session::new(caller))),
    };
    Ok(Signed { caller, payload })
}

impl Signed {
    /// Returns the caller if the body with this SHA-256 is the signed one.
    pub(super) fn check(self, hash: &[u8; 32]) -> Result<Caller, Refusal> {
        let is_right = match &self.payload {
            Payload::Hash(signed) => signed.as_slice().ct_eq(hash.as_slice()).to_bool(),
            Payload::Unknown { unsigned, signature } => {
                unsigned.has_signature(signature, &to_hex(hash))
            }
        };
        if is_right { Ok(self.caller) } else { Err(mismatch("the signature is of another body")) }
    }
}

/// Compares two signatures in constant time.
fn is_signature(expected: &str, presented: &str) -> bool {
    expected.as_bytes().ct_eq(presented.as_bytes()).to_bool()
}

/// Checks the date and returns it in seconds since the epoch.
fn check_date(headers: &HeaderMap, scope_date: &str, now: SystemTime) -> Result<u64, Refusal> {
    let Some(text) = headers::only_value(headers, &X_AMZ_DATE) else {
        let message =
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
        return Err(incomplete(message, "there is no x-amz-date"));
    };
    let Some(time) = date::parse_amz(text) else {
        let message = "Date must be in ISO-8601 'basic format'.";
        return Err(incomplete(message, "x-amz-date is not a date"));
    };
    if text.get(..8) != Some(scope_date) {
        let message = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of \
                       date from HTTP.";
        return Err(invalid(message, "the credential scope is of another day"));
    }
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (earliest, latest) = (now.saturating_sub(MAX_SKEW), now.saturating_add(MAX_SKEW));
    let now = date::to_amz(now);
    if time < earliest {
        let earliest = date::to_amz(earliest);
        let message =
            format!("Signature expired: {text} is now earlier than {earliest} ({now} - 5 min.)");
        return Err(invalid(&message, "the signature has expired"));
    }
    if time > latest {
        let latest = date::to_amz(latest);
        let message = format!(
            "Signature not yet current: {text} is still later than {latest} ({now} + 5 min.)"
        );
        return Err(invalid(&message, "the signature is of the future"));
    }
    Ok(time)
}

/// Returns all lines of the canonical request but the last, for each form in which the client may have signed what
/// changes on the way: `accept-encoding`, and `host`, which some clients sign without its port.
///
/// JavaScript joins the values of a repeated header with a comma and a space, so that the signature of such a request
/// does not match in a Worker. Signers repeat no header.
fn canonical<B>(request: &IncomingRequest<B>, signed_headers: &[&str]) -> Vec<String> {
    let joined = |name: &str| {
        let name = if name == AUTHORITY { HOST.as_str() } else { name };
        let values = request.headers.get_all(name).iter();
        let values = values.map(|it| String::from_utf8_lossy(it.as_bytes()).trim().to_owned());
        values.collect::<Vec<_>>().join(",")
    };
    let headers: Vec<(&str, String)> =
        signed_headers.iter().map(|name| (*name, joined(name))).collect();
    let mut forms = vec![headers];
    let mut vary = |name: &str, values: &[&str]| {
        let Some(at) = signed_headers.iter().position(|it| *it == name) else { return };
        for form in forms.clone() {
            let others =
                values.iter().filter(|value| form.get(at).is_some_and(|it| it.1 != **value));
            for value in others {
                let mut other = form.clone();
                if let Some(header) = other.get_mut(at) {
                    header.1 = (*value).to_owned();
                }
                forms.push(other);
            }
        }
    };
    let host = joined(HOST.as_str());
    if let Some((name, port)) = host.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        vary(HOST.as_str(), &[name]);
        vary(AUTHORITY, &[name]);
    }
    vary(ACCEPT_ENCODING.as_str(), &ACCEPT_ENCODINGS);
    let (method, path, query) = (request.method.as_str(), request.path(), request.query());
    forms.iter().map(|headers| canonical_request(method, path, query, headers)).collect()
}

fn check_signed_headers(headers: &HeaderMap, signed: &[&str]) -> Result<(), Refusal> {
    if !signed.contains(&HOST.as_str()) && !signed.contains(&AUTHORITY) {
        let message = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
        return Err(invalid(message, "host is not signed"));
    }
    for name in headers.keys() {
        if name.as_str().starts_with("x-amz-") && !signed.contains(&name.as_str()) {
            let message = format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.");
            return Err(invalid(&message, "a header of AWS's is not signed"));
        }
    }
    for name in signed {
        // A proxy on the way may take `accept-encoding` out.
        let is_there = match *name {
            AUTHORITY => headers.contains_key(HOST),
            name => name == ACCEPT_ENCODING.as_str() || headers.contains_key(name),
        };
        if !is_there {
            let message = format!(
                "'{name}' is named as a SignedHeader, but it does not exist in the HTTP request."
            );
            return Err(incomplete(&message, "a signed header is not there"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
