//! A SigV4 signer in which a test can falsify every part. It uses the stand-in's implementation of
//! SigV4, which shares no code with the Worker's.

use std::time::{Duration, SystemTime};

use bedrock_stub::Received;
use bedrock_stub::sigv4::{PathEncoding, Scope, canonical_request, signature, string_to_sign};
use time::OffsetDateTime;

/// The ID of a client key: a key for callers of the Worker, which AWS does not know.
pub const CLIENT_KEY_ID: &str = "EDGEIOSFODNN7EXAMPLE";
/// The secret of [`CLIENT_KEY_ID`].
pub const CLIENT_SECRET: &str = "edgeXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1";

/// Formats the current time plus `offset` seconds as `x-amz-date`.
#[expect(clippy::disallowed_methods, reason = "tests may read the system clock")]
pub fn amz_date(offset: i64) -> String {
    let now = SystemTime::now();
    let time = match u64::try_from(offset) {
        Ok(later) => now + Duration::from_secs(later),
        Err(_) => now - Duration::from_secs(offset.unsigned_abs()),
    };
    let time = OffsetDateTime::from(time);
    let (hour, minute, second) = time.to_hms();
    format!(
        "{:04}{:02}{:02}T{hour:02}{minute:02}{second:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day()
    )
}

/// Everything that goes into a signature. A test changes the part that it is about.
#[derive(Clone)]
pub struct UnsignedRequest {
    pub key_id: String,
    pub secret: String,
    pub region: String,
    pub service: String,
    pub time: String,
    pub scope_date: Option<String>,
    pub method: String,
    pub target: String,
    /// The signed headers, without `x-amz-date`.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl UnsignedRequest {
    pub fn new(host: &str, body: &str) -> Self {
        Self {
            key_id: CLIENT_KEY_ID.to_owned(),
            secret: CLIENT_SECRET.to_owned(),
            region: "ap-northeast-1".to_owned(),
            service: "bedrock".to_owned(),
            time: amz_date(0),
            scope_date: None,
            method: "POST".to_owned(),
            target: "/".to_owned(),
            headers: vec![("host".to_owned(), host.to_owned())],
            body: body.to_owned(),
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Adds a signed header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds the hash of the body to the signed headers.
    pub fn with_body_hash(self) -> Self {
        let hash = sha256_hex(&self.body);
        self.header("x-amz-content-sha256", &hash)
    }

    /// Signs the request, and returns all its headers, with `authorization` last.
    pub fn signed_headers(&self) -> Vec<(String, String)> {
        let mut headers = self.headers.clone();
        if !self.time.is_empty() {
            headers.push(("x-amz-date".to_owned(), self.time.clone()));
        }
        headers.sort();
        let received = Received {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: headers.clone(),
            body: self.body.clone().into_bytes(),
        };
        let date = self.time.get(..8).unwrap_or("20260102").to_owned();
        let scope = Scope {
            date: self.scope_date.clone().unwrap_or(date),
            region: self.region.clone(),
            service: self.service.clone(),
        };
        let mut names: Vec<String> = headers.iter().map(|(name, _)| name.clone()).collect();
        names.dedup();
        let canonical = canonical_request(&received, &names, PathEncoding::Twice, false);
        let to_sign = string_to_sign(&self.time, &scope, &canonical);
        let signature = signature(&self.secret, &scope, &to_sign);
        let (key_id, names) = (&self.key_id, names.join(";"));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        headers.push(("authorization".to_owned(), authorization));
        headers
    }
}

pub fn sha256_hex(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
