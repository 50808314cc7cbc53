//! Authentication, tested through the handler: a host that serves an issuer's keys, and accepts
//! every signature of a JWT.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bedrock_edge::host::{SignatureVerifier, TransportError, VerifyError, VerifyingKey};
use bedrock_edge::{Host, Http, IncomingRequest, Isolate, Record, Runtime, lambda_handler};
use bytes::Bytes;
use http::{Request, Response};

use crate::runtime::ready;

pub const NOW: u64 = 1_767_323_045;
#[allow(dead_code, reason = "the target sigv4 does not use it")]
pub const ISSUER: &str = "https://issuer.example";

const JWKS: &str = r#"{"keys":[
    {"kty":"EC","crv":"P-256","kid":"1","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;

struct AcceptingHost;

impl Runtime for AcceptingHost {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn random(&self) -> u128 {
        42
    }

    async fn sleep(&self, _: Duration) -> Result<(), TransportError> {
        panic!("no other task fetches the keys");
    }
}

impl Http for AcceptingHost {
    type Body = Bytes;

    async fn send(
        &self,
        request: Request<Bytes>,
        _: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let is_for_issuer = request.uri().host() == Some("issuer.example");
        Ok(Response::new(Bytes::from_static(if is_for_issuer { JWKS.as_bytes() } else { b"{}" })))
    }
}

impl Host for AcceptingHost {
    fn verifier(&self) -> Option<impl SignatureVerifier> {
        Some(self)
    }
}

impl SignatureVerifier for AcceptingHost {
    async fn verify(&self, _: &VerifyingKey, _: &[u8], _: &[u8]) -> Result<bool, VerifyError> {
        Ok(true)
    }
}

/// Runs the handler and returns its log record. Checks that a request without a caller gets 401 or
/// 413.
pub fn handle(event: IncomingRequest<Bytes>, isolate: &Isolate) -> Record {
    let (envelope, record) = ready(lambda_handler(event, isolate, &AcceptingHost));
    assert_eq!(record.caller.is_some(), ![401, 413].contains(&envelope.status_code));
    record
}
