//! A signature: any text in its place, which must get nobody in; and any request that aws-sigv4 has
//! signed, which must get its client in, and with another body must not.

#![no_main]

mod gate;

use std::time::{Duration, UNIX_EPOCH};

use bedrock_edge::{Credentials, Event, Scope, sign};
use bytes::Bytes;
use gate::{NOW, ask, config};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;

const ID: &str = "EDGEIOSFODNN7EXAMPLE";
const SECRET: &str = "edgeXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1";

fuzz_target!(|input: (&str, Vec<(&str, &str)>, &[u8])| {
    let (text, headers, body) = input;
    let config = config(&[("CLIENT_KEYS", &format!("{ID}:{SECRET}"))]);
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
    for start in [
        "",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=EDGEIOSFODNN7EXAMPLE/20260102/ap-northeast-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=",
    ] {
        let Ok(value) = HeaderValue::from_str(&format!("{start}{text}")) else { continue };
        forged.insert("authorization", value);
        let event =
            Event::from_http(Method::POST, "/", forged.clone(), Bytes::copy_from_slice(body));
        assert!(ask(event, &config).caller.is_none());
    }

    // Of these each side has its own idea: aws-sigv4 normalizes the path, takes a + for a space, and
    // replaces what is not UTF-8.
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
    let ours = [
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
        // Of white space aws-sigv4 knows the space only; every other signer takes a tab for one.
        let is_plain = value.to_str().is_ok_and(|it| !it.contains('\t'));
        if is_plain && !ours.contains(&name.as_str()) && !unsigned.contains(&name.as_str()) {
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
    let ask =
        |body| ask(Event::from_http(Method::POST, &target, head.headers.clone(), body), &config);
    let is_presigned = target.to_ascii_lowercase().contains("x-amz-");
    let record = ask(body.clone());
    assert!(is_presigned || record.caller.is_some(), "{record:?}");
    assert!(ask([&body[..], b"."].concat().into()).caller.is_none());
});
