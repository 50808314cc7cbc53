//! Passes requests on whose path and headers are arbitrary. What reaches Bedrock is a path of one of its operations and
//! headers of the table, and the body as it came.

#![no_main]

#[macro_use]
mod runtime;
mod pass;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use pass::{PartsHost, post};

const SENT: [&str; 14] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "authorization",
    "content-type",
    "x-amz-date",
    "x-amzn-bedrock-accept",
    "x-amzn-bedrock-guardrailidentifier",
    "x-amzn-bedrock-guardrailversion",
    "x-amzn-bedrock-performanceconfig-latency",
    "x-amzn-bedrock-request-metadata",
    "x-amzn-bedrock-service-tier",
    "x-amzn-bedrock-trace",
    "x-amz-security-token",
];

fuzz_target!(|input: (&str, &str, Vec<(&str, &str)>, &[u8])| {
    let (name, operation, headers, body) = input;
    let headers: HeaderMap = headers
        .into_iter()
        .filter_map(|(name, value)| {
            let name = match name.len() % 3 {
                // The fuzzer does not find the names by itself.
                0 => SENT[name.len() / 3 % SENT.len()].parse().ok()?,
                _ => name.to_ascii_lowercase().parse::<HeaderName>().ok()?,
            };
            Some((name, HeaderValue::from_str(value).ok()?))
        })
        .collect();
    for target in [
        format!("/{name}"),
        format!("/model/{name}/{operation}"),
        format!("/model/{name}/converse"),
        format!("/model/amazon.{name}/invoke"),
        format!("/model/arn:aws:bedrock:{name}/invoke-with-response-stream"),
        format!("/guardrail/{name}/version/{operation}/apply"),
        format!("/inference-profiles/{name}"),
    ] {
        let host = PartsHost {
            status: 200,
            headers: HeaderMap::new(),
            parts: vec![Bytes::from_static(b"{}")],
            sent: Default::default(),
        };
        let body = Bytes::copy_from_slice(body);
        let passed = post(&target, headers.clone(), body.clone(), &host);
        assert!((200..600).contains(&passed.status));
        let Some(request) = host.sent.take() else {
            assert!(passed.status >= 400 && !passed.is_passed, "{target}");
            continue;
        };
        if !passed.is_passed {
            continue;
        }
        let path = request.uri().path();
        assert!(path.starts_with("/model/") || path.starts_with("/guardrail/"), "{path}");
        assert!(request.uri().query().is_none() && !path.contains("//"), "{path}");
        assert!(path.split('/').all(|it| ![".", ".."].contains(&it)), "{path}");
        assert_eq!(request.uri().host(), Some("bedrock-runtime.ap-northeast-1.amazonaws.com"));
        assert_eq!(request.body(), &body);
        // A stream without frames is a broken one.
        let is_broken = path.ends_with("-stream");
        assert!(passed.body.starts_with(b"{}") && passed.is_broken == is_broken, "{path}");
        for name in request.headers().keys() {
            assert!(SENT.contains(&name.as_str()), "{name}");
        }
    }
});
