//! Signature Version 4 from the side of the one who checks it: a client signs with a key that the
//! operator issued (`CLIENT_KEYS`), as any AWS SDK and `curl --aws-sigv4` do.
//!
//! A signature covers the body, and the gate is before the body. So it is in two steps: [`verify`]
//! with the headers, [`Signed::check`] with the body, and the caller's name is only behind the
//! second. Where `x-amz-content-sha256` says what the body's hash is, the first step checks the
//! whole signature. Where it does not (curl and botocore leave it out), the signature cannot be
//! checked before the body is read: then it is read only for a key that there is. So whoever has
//! the id of a key can learn from our reading on that the key still exists. Ids are no secrets; in
//! return a stranger cannot make us read anything.
//!
//! In AWS's words a client is told about what it wrote itself: the header's form, the date, the
//! scope. Of the key and the signature it is told only that they do not fit, and the work is the
//! same for a key that does not exist.
//!
//! Out of scope: presigned URLs, session tokens, chunked and unsigned payloads, SigV4a, S3's path
//! rule.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use ctutils::CtEq;
use http::HeaderMap;
use sha2::{Digest, Sha256};
use time::{Date, Month, OffsetDateTime};

use super::tokens::{entries, from_hex};
use super::{Caller, Refusal, only_value};
use crate::config::Secret;
use crate::event::Event;
use crate::header::{X_AMZ_CONTENT_SHA256, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN};
use crate::sign::hex;
use authorization::Authorization;

mod authorization;
mod canonical;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// In seconds, AWS's. So long a request can be sent again by whoever sees it.
const MAX_SKEW: u64 = 5 * 60;

/// What a client may take this for: Bedrock, the API Gateway in front of the Lambda, or the Lambda.
const SERVICES: [&str; 3] = ["bedrock", "execute-api", "lambda"];

/// The keys that were issued: `CLIENT_KEYS`.
#[derive(Default)]
pub(crate) struct Keys(Vec<Key>);

struct Key {
    id: String,
    secret: Secret,
}

impl Keys {
    /// `id:secret` entries, between them commas or white space.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be entries of the form id:secret, between them a new line, a space or a comma, \
             the id of 16 to 128 letters, digits and _, the secret of 32 to 128 printable characters";
        let mut keys: Vec<Key> = Vec::new();
        for entry in entries(text) {
            let (id, secret) = entry.split_once(':').ok_or(FORM)?;
            // As IAM's access key ids.
            let is_id = (16..=128).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let is_secret = (32..=128).contains(&secret.len())
                && secret.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_id || !is_secret {
                return Err(FORM);
            }
            if keys.iter().any(|key| key.id == id) {
                return Err("has the same id twice");
            }
            keys.push(Key { id: id.to_owned(), secret: Secret::new(secret) });
        }
        Ok(Self(keys))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// A signature that is right as far as the headers tell. [`check`](Self::check) tells the rest.
#[derive(Debug)]
pub(super) struct Signed {
    caller: Caller,
    payload: Payload,
}

#[derive(Debug)]
enum Payload {
    /// The signature is right for a body with this hash.
    Hash([u8; 32]),
    /// The signature, and what it must be once the body's hash is known.
    Unknown { unsigned: Unsigned, signature: String },
}

/// A request as far as it is known without the hash of its body.
struct Unsigned {
    canonical: String,
    /// The string to sign without its last line.
    to_sign: String,
    signing_key: Vec<u8>,
}

impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsigned([redacted])")
    }
}

impl Unsigned {
    fn signature(&self, payload_hash: &[u8; 32]) -> String {
        let canonical = [self.canonical.as_bytes(), b"\n", &hex(payload_hash)].concat();
        let canonical_hash = Sha256::digest(canonical).into();
        let to_sign = [self.to_sign.as_bytes(), b"\n", &hex(&canonical_hash)].concat();
        calculate_signature(&self.signing_key, &to_sign)
    }
}

/// Checks all that the headers tell, in an order in which nothing before the signature depends on
/// the key.
///
/// 1. `Authorization` has its parts, and the credential scope is ours.
/// 2. `x-amz-date` is of now and of the scope's day.
/// 3. All that must be signed is, and all that is signed is there.
/// 4. The payload's hash is one, or is not there.
/// 5. The signature is the key's. A key that does not exist has a secret too, which nobody knows.
pub(super) fn verify<B>(
    authorization: &str,
    event: &Event<B>,
    keys: &Keys,
    region: &str,
    now: SystemTime,
) -> Result<Signed, Refusal> {
    let headers = &event.headers;
    // 1.
    let Authorization { id, date, scope, signed_headers, signature } =
        Authorization::parse(authorization)?;
    if headers.contains_key(X_AMZ_SECURITY_TOKEN) {
        return Err(Refusal::Aws {
            kind: "UnrecognizedClientException",
            message: "The security token included in the request is invalid.".to_owned(),
            cause: "the signature came with a session token, which no key of ours has".into(),
        });
    }
    if scope.region != region {
        // The space is AWS's.
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
    let payload_hash = match only_value(headers, &X_AMZ_CONTENT_SHA256) {
        None => None,
        Some(text) => Some(from_hex(text).ok_or_else(|| {
            let message = "The value of 'x-amz-content-sha256' must be the SHA-256 of the payload.";
            invalid(message, "the payload is not signed")
        })?),
    };
    // 5.
    let mut known = None;
    for key in &keys.0 {
        // Of all, as if an id were a secret.
        if key.id.as_bytes().ct_eq(id.as_bytes()).to_bool() {
            known = Some(key);
        }
    }
    let secret =
        known.map_or("the-secret-of-a-key-that-does-not-exist!", |key| key.secret.expose());
    let unsigned = Unsigned {
        canonical: canonical::request(event, &signed_headers),
        to_sign: format!(
            "{ALGORITHM}\n{}\n{date}/{}/{}/aws4_request",
            amz_date(time),
            scope.region,
            scope.service
        ),
        signing_key: generate_signing_key(secret, at(time), scope.region, scope.service)
            .as_ref()
            .to_vec(),
    };
    let is_right = match payload_hash {
        Some(hash) => is_signature(&unsigned.signature(&hash), signature),
        // The same work, with a result of no meaning.
        None => is_signature(&unsigned.signature(&[0; 32]), signature) | true,
    };
    let Some(key) = known else { return Err(mismatch("the access key does not exist")) };
    if !is_right {
        return Err(mismatch("the signature does not match"));
    }
    let payload = match payload_hash {
        Some(hash) => Payload::Hash(hash),
        None => Payload::Unknown { unsigned, signature: signature.to_owned() },
    };
    Ok(Signed { caller: Caller::new("key", &key.id), payload })
}

impl Signed {
    /// The caller, if the body is the one that was signed.
    pub(super) fn check(self, body: &[u8]) -> Result<Caller, Refusal> {
        let hash = Sha256::digest(body);
        let is_right = match &self.payload {
            Payload::Hash(signed) => signed.as_slice().ct_eq(hash.as_slice()).to_bool(),
            Payload::Unknown { unsigned, signature } => {
                is_signature(&unsigned.signature(&hash.into()), signature)
            }
        };
        if is_right { Ok(self.caller) } else { Err(mismatch("the signature is of another body")) }
    }
}

/// In constant time.
fn is_signature(expected: &str, presented: &str) -> bool {
    expected.as_bytes().ct_eq(presented.as_bytes()).to_bool()
}

fn check_date(headers: &HeaderMap, scope_date: &str, now: SystemTime) -> Result<u64, Refusal> {
    let Some(text) = only_value(headers, &X_AMZ_DATE) else {
        let message =
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
        return Err(incomplete(message, "there is no x-amz-date"));
    };
    let Some(time) = parse_amz_date(text) else {
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
    let now = amz_date(now);
    if time < earliest {
        let earliest = amz_date(earliest);
        let message =
            format!("Signature expired: {text} is now earlier than {earliest} ({now} - 5 min.)");
        return Err(invalid(&message, "the signature has expired"));
    }
    if time > latest {
        let latest = amz_date(latest);
        let message = format!(
            "Signature not yet current: {text} is still later than {latest} ({now} + 5 min.)"
        );
        return Err(invalid(&message, "the signature is of the future"));
    }
    Ok(time)
}

/// `20150830T123600Z`, in seconds since the epoch.
fn parse_amz_date(text: &str) -> Option<u64> {
    let is_digits = text.len() == 16
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u8>().ok();
    if !is_digits {
        return None;
    }
    let year = text.get(..4)?.parse().ok()?;
    let date = Date::from_calendar_date(year, Month::try_from(number(4..6)?).ok()?, number(6..8)?);
    let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
    let time = date.ok()?.with_hms(hour, minute, second).ok()?.assume_utc();
    u64::try_from(time.unix_timestamp()).ok()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn amz_date(seconds: u64) -> String {
    let time = OffsetDateTime::from(at(seconds));
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.to_hms();
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

fn check_signed_headers(headers: &HeaderMap, signed: &[&str]) -> Result<(), Refusal> {
    if !signed.contains(&"host") {
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
        if !headers.contains_key(*name) {
            let message = format!(
                "'{name}' is named as a SignedHeader, but it does not exist in the HTTP request."
            );
            return Err(incomplete(&message, "a signed header is not there"));
        }
    }
    Ok(())
}

/// One answer for a key that does not exist, a wrong secret and a request that was changed.
fn mismatch(cause: &'static str) -> Refusal {
    let message = "The request signature we calculated does not match the signature you provided. \
                   Check your AWS Secret Access Key and signing method. Consult the service \
                   documentation for details.";
    invalid(message, cause)
}

fn invalid(message: &str, cause: &'static str) -> Refusal {
    refusal("InvalidSignatureException", message, cause)
}

fn incomplete(message: &str, cause: &'static str) -> Refusal {
    refusal("IncompleteSignatureException", message, cause)
}

#[inline(never)] // It is in many places.
fn refusal(kind: &'static str, message: &str, cause: &'static str) -> Refusal {
    Refusal::Aws { kind, message: message.to_owned(), cause: cause.into() }
}

#[cfg(test)]
mod tests;
