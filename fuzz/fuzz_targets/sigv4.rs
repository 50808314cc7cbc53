//! Authenticates with a signature: an arbitrary text, which must be rejected; and that of a request
//! which aws-sigv4 has signed, which must be accepted, and rejected with another body.

#![no_main]

mod auth;
mod runtime;

use std::time::{Duration, UNIX_EPOCH};

use auth::{NOW, handle};
use bedrock_edge::{Credentials, IncomingRequest, Scope, sign};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use runtime::isolate;

const ID: &str = "EDGEIOSFODNN7EXAMPLE";
const SECRET: &str = "edgeXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1";

fuzz_target!(|input: (&str, Vec<(&str, &str)>, &[u8])| {
    let (text, headers, body) = input;
    let isolate = isolate(&[("CLIENT_KEYS", &format!("{ID}:{SECRET}"))]);
    let headers: HeaderMap = headers
        .into_iter()
        .filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase().parse::<HeaderName>().ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        })
        .collect();

    let mut forged = headers.clone();
    forged.entry("host").or_insert(HeaderValue::from_static("worker"));
    forged.entry("x-amz-date").or_insert(HeaderValue::from_static("20260102T030405Z"));
    for prefix in [
        "",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=EDGEIOSFODNN7EXAMPLE/20260102/ap-northeast-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=",
    ] {
        let Ok(value) = HeaderValue::from_str(&format!("{prefix}{text}")) else { continue };
        forged.insert("authorization", value);
        let event = IncomingRequest::from_http(
            Method::POST,
            "/",
            forged.clone(),
            Bytes::copy_from_slice(body),
        );
        assert!(handle(event, &isolate).caller.is_none());
    }

    // aws-sigv4 canonicalizes these targets differently: it normalizes the path, decodes + to a
    // space, and replaces invalid UTF-8.
    let target = format!("/{}", text.trim_start_matches('/'));
    let path = target.split('?').next().unwrap_or_default();
    if path.contains("//")
        || path.split('/').any(|it| [".", ".."].contains(&it))
        || target.contains('+')
        || percent_decode_str(&target).decode_utf8().is_err()
    {
        return;
    }
    let Ok(mut request) =
        Request::post(format!("https://worker{target}")).body(Bytes::copy_from_slice(body))
    else {
        return;
    };
    if request.uri().path_and_query().is_none_or(|it| it.as_str() != target) {
        return;
    }
    let reserved = [
        "authorization",
        "host",
        "x-api-key",
        "sec-websocket-protocol",
        "x-amz-security-token",
        "x-amz-content-sha256",
        "origin",
    ];
    let unsigned = ["user-agent", "x-amzn-trace-id", "transfer-encoding"];
    for (name, value) in &headers {
        // aws-sigv4 does not collapse tabs, as other signers do.
        let is_plain = value.to_str().is_ok_and(|it| !it.contains('\t'));
        if is_plain && !reserved.contains(&name.as_str()) && !unsigned.contains(&name.as_str()) {
            request.headers_mut().append(name, value.clone());
        }
    }
    let scope = Scope { region: "ap-northeast-1", service: "bedrock" };
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    if sign(&mut request, &Credentials::new(ID, SECRET, None), scope, now).is_err() {
        return;
    }
    request.headers_mut().insert("host", HeaderValue::from_static("worker"));
    let (head, body) = request.into_parts();
    let handle = |body| {
        handle(
            IncomingRequest::from_http(Method::POST, &target, head.headers.clone(), body),
            &isolate,
        )
    };
    let is_presigned = target.to_ascii_lowercase().contains("x-amz-");
    let record = handle(body.clone());
    assert!(is_presigned || record.caller.is_some(), "{record:?}");
    assert!(handle([&body[..], b"."].concat().into()).caller.is_none());
});
