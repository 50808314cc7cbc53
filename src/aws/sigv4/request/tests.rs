//! Every signature is compared with that of the `aws-sigv4` crate.

use std::time::Duration;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;

use super::*;

const NOW: Duration = Duration::from_secs(1_440_938_160);

/// Signs with the crate, by the rules of S3 or by those of the others.
fn expected(
    (method, url, headers, body): (&str, &str, &[(&str, &str)], &str),
    credentials: &Credentials,
    scope: Scope<'_>,
) -> Vec<(String, String)> {
    let mut settings = SigningSettings::default();
    if scope.service.starts_with("s3") {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    let token = credentials.session_token.as_ref().map(|token| token.expose().to_owned());
    let identity = aws_credential_types::Credentials::new(
        &*credentials.access_key_id,
        credentials.secret_access_key.expose(),
        token,
        None,
        "test",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(SystemTime::UNIX_EPOCH + NOW)
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let body = SignableBody::Bytes(body.as_bytes());
    let request = SignableRequest::new(method, url, headers.iter().copied(), body).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let headers = instructions.headers();
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    headers.sort();
    headers
}

#[test]
fn a_signature_is_that_of_the_aws_sigv4_crate() {
    let json = &[("content-type", "application/json")][..];
    let target = ("x-amz-target", "Logs.Get");
    #[rustfmt::skip]
    let cases = [
        ("a GET", "bedrock", "GET", "https://bedrock.us-east-1.amazonaws.com/foundation-models", &[][..], ""),
        ("a root", "sts", "POST", "https://sts.us-east-1.amazonaws.com/", json, "Action=GetCallerIdentity"),
        ("a query", "bedrock", "GET", "https://bedrock.us-east-1.amazonaws.com/foundation-models?byProvider=Anthropic&a=%7E~&b", &[], ""),
        ("an encoded path", "bedrock", "POST", "https://bedrock-runtime.us-east-1.amazonaws.com/model/m%3A0/invoke", json, "{}"),
        ("a path that could be encoded", "bedrock", "POST", "https://bedrock-runtime.us-east-1.amazonaws.com/model/m:0/invoke", json, "{}"),
        ("a header of AWS", "logs", "POST", "https://logs.us-east-1.amazonaws.com/", &[("content-type", "application/x-amz-json-1.1"), target], "{}"),
        ("spaces in a header", "logs", "POST", "https://logs.us-east-1.amazonaws.com/", &[("x-amz-meta-a", " a  b "), target], "{}"),
        ("a port", "bedrock", "POST", "http://127.0.0.1:8788/model/m%3A0/invoke", json, "{}"),
        ("an object of S3", "s3", "PUT", "https://bucket.s3.us-east-1.amazonaws.com/a%20b//c%281%29.txt?x-id=PutObject", &[("content-type", "text/plain")], "hi"),
        ("an object of S3 without a body", "s3", "GET", "https://bucket.s3.us-east-1.amazonaws.com/%E3%81%82", &[], ""),
    ];
    for token in [None, Some("token".to_owned())] {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", secret, token);
        for (name, service, method, url, headers, body) in cases {
            let scope = Scope { region: "us-east-1", service };
            let (_, rest) = url.split_once("//").unwrap();
            let (host, _) = rest.split_once('/').unwrap();
            let map = headers.iter().map(|(name, value)| {
                (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
            });
            let mut map: HeaderMap = map.collect();
            // They are those of an earlier signature, or change on the way.
            map.insert("x-amz-date", "20000101T000000Z".parse().unwrap());
            map.insert("authorization", "AWS4-HMAC-SHA256 old".parse().unwrap());
            map.insert("user-agent", "test".parse().unwrap());
            let unsigned = Unsigned {
                method,
                host,
                target: rest.get(host.len()..).unwrap(),
                headers: &map,
                payload_hash: Sha256::digest(body).into(),
            };
            let signature = unsigned.sign(&credentials, scope, SystemTime::UNIX_EPOCH + NOW);
            let mut signature: Vec<_> =
                signature.unwrap().into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
            signature.sort();
            let expected = expected((method, url, headers, body), &credentials, scope);
            assert_eq!(signature, expected, "{name}");
        }
    }
}

#[test]
fn s3_signs_the_name_of_an_object_however_the_path_is_encoded() {
    let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "example", None);
    let sign = |target| {
        let host = "bucket.s3.us-east-1.amazonaws.com";
        let headers = &HeaderMap::new();
        let unsigned = Unsigned { method: "GET", host, target, headers, payload_hash: [0; 32] };
        let scope = Scope { region: "us-east-1", service: "s3" };
        unsigned.sign(&credentials, scope, SystemTime::UNIX_EPOCH + NOW).unwrap()
    };
    assert_eq!(sign("/c(1)~.txt"), sign("/c%281%29%7E.txt"));
    assert_ne!(sign("/c(1).txt"), sign("/c(2).txt"));
}

#[test]
fn a_request_that_cannot_be_signed_is_refused() {
    let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "example", None);
    let odd = http::HeaderValue::from_bytes("é".as_bytes()).unwrap();
    #[rustfmt::skip]
    let cases = [
        ("an empty segment", "/a//b", HeaderMap::new(), NOW),
        ("a dot segment", "/a/../b", HeaderMap::new(), NOW),
        ("a header that is not ASCII", "/", HeaderMap::from_iter([("x-amz-meta-a".parse().unwrap(), odd)]), NOW),
        ("the year 10000", "/", HeaderMap::new(), Duration::from_secs(253_402_300_800)),
    ];
    for (name, target, headers, now) in cases {
        let unsigned = Unsigned {
            method: "GET",
            host: "logs.us-east-1.amazonaws.com",
            target,
            headers: &headers,
            payload_hash: [0; 32],
        };
        let scope = Scope { region: "us-east-1", service: "logs" };
        let signed = unsigned.sign(&credentials, scope, SystemTime::UNIX_EPOCH + now);
        assert!(signed.is_err(), "{name}");
    }
}
