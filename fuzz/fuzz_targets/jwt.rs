//! Authenticates with a bearer token: the input itself, and a JWT of its parts. Every signature is
//! accepted, so an accepted token must satisfy all other checks.

#![no_main]

mod auth;
mod runtime;

use auth::{ISSUER, NOW, handle};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bedrock_edge::IncomingRequest;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use runtime::isolate;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let isolate = isolate(&[("JWT_ISSUER", ISSUER), ("JWT_AUDIENCE", "us")]);
    let caller = |token: &[u8]| {
        let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok()?;
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
        handle(IncomingRequest::from_http(Method::POST, "/", headers, Bytes::new()), &isolate)
            .caller
    };
    caller(bytes);

    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let parts = [header, claims, parts.next().unwrap_or_default()];
    let token = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let Some(caller) = caller(token.as_bytes()) else { return };

    let header: Value = serde_json::from_slice(header).unwrap();
    let claims: Value = serde_json::from_slice(claims).unwrap();
    assert_eq!(header["alg"], "ES256");
    assert!(header.get("crit").is_none());
    assert_eq!(claims["iss"], ISSUER);
    let aud = &claims["aud"];
    let is_in_array = aud.as_array().is_some_and(|many| many.iter().any(|it| it == "us"));
    assert!(aud == "us" || is_in_array || (aud.is_null() && claims["client_id"] == "us"));
    let now = NOW as f64;
    assert!(claims["exp"].as_f64().unwrap() > now - 60.0);
    for claim in ["nbf", "iat"] {
        assert!(claims.get(claim).is_none_or(|it| it.as_f64().unwrap() <= now + 60.0));
    }
    let name = caller.as_str();
    assert!(name.starts_with("jwt:") || name.starts_with("service:"));
    assert!(name.len() <= 800 && name.bytes().all(|byte| byte.is_ascii_graphic()));
});
