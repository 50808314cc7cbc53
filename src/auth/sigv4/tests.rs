//! Requests that this project's signer and AWS's SDKs signed, verified as they arrive.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use serde_json::Value;

use super::*;
use crate::aws::{Credentials, Scope, sign};
use crate::config::Config;
use crate::date::from_seconds;
use crate::testing::config;

const ID: &str = "EDGEIOSFODNN7EXAMPLE";
const SECRET: &str = "edgeXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1";
const NOW: u64 = 1_767_323_045;

/// Makes a configuration with the key.
fn with_key() -> Config {
    config(&[("AUTH", ""), ("CLIENT_KEYS", &format!("{ID}:{SECRET}"))]).unwrap()
}

fn signed(
    target: &str,
    headers: &[(&'static str, &str)],
    body: &str,
    time: u64,
) -> IncomingRequest<Bytes> {
    let uri = format!("https://worker.example{target}");
    let mut request = Request::post(uri).body(Bytes::from(body.to_owned())).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
    }
    let credentials = Credentials::new(ID, SECRET, None);
    let scope = Scope { region: "ap-northeast-1", service: "bedrock" };
    sign(&mut request, &credentials, scope, from_seconds(time)).unwrap();
    let (mut head, body) = request.into_parts();
    head.headers.insert("host", HeaderValue::from_static("worker.example"));
    IncomingRequest::from_http(head.method, target, head.headers, body)
}

fn check(request: &IncomingRequest<Bytes>, now: u64) -> Result<Caller, Refusal> {
    let authorization = request.headers["authorization"].to_str().unwrap();
    let keys = with_key().access.keys;
    let signed = verify(authorization, request, &keys, "ap-northeast-1", from_seconds(now))?;
    signed.check(&Sha256::digest(&request.body).into())
}

#[test]
fn a_signature_of_this_projects_signer_is_accepted_for_its_body_only() {
    let hash = to_hex(&Sha256::digest("{}").into());
    let hash = str::from_utf8(&hash).unwrap();
    let targets =
        ["/", "/?", "/?a=1&b=2", "/?b=2&a=1&a=0", "/?empty=&x", "/a%3Ab/c", "/?a=%E3%81%82"];
    let header_sets: [&[(&str, &str)]; 4] = [
        &[],
        &[("content-type", "application/json")],
        &[("x-amz-content-sha256", hash)],
        &[("x-a", "  a   b  "), ("x-b", ""), ("x-c", "1"), ("x-c", "2")],
    ];
    for target in targets {
        for headers in header_sets {
            let case = format!("{target} {headers:?}");
            let request = signed(target, headers, "{}", NOW);
            assert_eq!(
                check(&request, NOW).unwrap().as_str(),
                "key:EDGEIOSFODNN7EXAMPLE",
                "{case}"
            );
            let other = request.map_body(|_| Bytes::from_static(b"{ }"));
            assert!(check(&other, NOW).is_err(), "{case}");
        }
    }
}

#[test]
fn a_signature_is_accepted_up_to_five_minutes_before_and_after_its_time() {
    let request = signed("/", &[], "{}", NOW);
    for (now, is_good) in
        [(NOW - 301, false), (NOW - 300, true), (NOW, true), (NOW + 300, true), (NOW + 301, false)]
    {
        assert_eq!(check(&request, now).is_ok(), is_good, "{now}");
    }
    let Err(Refusal::Aws { message, .. }) = check(&request, NOW + 301) else {
        panic!("it is accepted");
    };
    assert_eq!(
        message,
        "Signature expired: 20260102T030405Z is now earlier than 20260102T030406Z \
         (20260102T030906Z - 5 min.)"
    );
}

#[test]
fn the_form_of_x_amz_date_is_read_and_written() {
    for (text, seconds) in [
        ("19700101T000000Z", Some(0)),
        ("20150830T123600Z", Some(1_440_938_160)),
        ("20240229T235959Z", Some(1_709_251_199)),
        ("20230229T000000Z", None),
        ("20150830T240000Z", None),
        ("20150830T123660Z", None),
        ("20150830T12360Z", None),
        ("20150830 123600Z", None),
        ("+0150830T123600Z", None),
        ("19691231T235959Z", None),
        ("2015083OT123600Z", None),
        ("あ0830T123600Z", None),
        ("", None),
    ] {
        assert_eq!(date::parse_amz(text), seconds, "{text}");
        if let Some(seconds) = seconds {
            assert_eq!(date::to_amz(seconds), text);
        }
    }
}

#[test]
fn the_canonical_request_has_the_normalized_query_and_headers() {
    let request = signed("/a%3Ab?b=%7e&a=+&c", &[("x-a", "1  2")], "{}", NOW);
    let names = ["host", "x-a", "x-amz-date"];
    assert_eq!(
        canonical(&request, &names),
        [
            "POST\n/a%253Ab\na=%2B&b=~&c=\nhost:worker.example\nx-a:1 2\nx-amz-date:20260102T030405Z\n\n\
         host;x-a;x-amz-date"
        ]
    );
}

/// Reads the requests that an SDK sent, and the time of each.
fn recorded(name: &str) -> Vec<(IncomingRequest<Bytes>, u64)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/clients");
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let requests: Vec<Value> = serde_json::from_str(&text).unwrap();
    let requests = requests.iter().map(|request| {
        let text = |key: &str| request[key].as_str().unwrap().to_owned();
        let headers = request["headers"].as_object().unwrap().iter();
        let headers: HeaderMap = headers
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), value)
            })
            .collect();
        let time = date::parse_amz(headers["x-amz-date"].to_str().unwrap()).unwrap();
        let method = text("method").parse().unwrap();
        let body = Bytes::from(text("body"));
        (IncomingRequest::from_http(method, &text("target"), headers, body), time)
    });
    requests.collect()
}

/// Returns the names of the signed headers.
fn signed_headers(request: &IncomingRequest<Bytes>) -> Vec<String> {
    let authorization = request.headers["authorization"].to_str().unwrap();
    let names = Authorization::parse(authorization).unwrap().signed_headers;
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn requests_of_the_sdks_for_rust_go_java_and_javascript_are_accepted_as_they_were_signed() {
    // Without the headers that depend on the request: a GET has no content, and `accept` is an option of InvokeModel.
    let rust = "content-length content-type host x-amz-date x-amz-user-agent";
    let go = "amz-sdk-invocation-id amz-sdk-request content-length content-type host x-amz-date";
    let java = "amz-sdk-invocation-id amz-sdk-request content-length content-type host \
                x-amz-content-sha256 x-amz-date";
    for (name, usual, count) in
        [("rust.json", rust, 8), ("go.json", go, 11), ("java.json", java, 9)]
    {
        let requests = recorded(name);
        assert_eq!(requests.len(), count, "{name}");
        for (request, time) in requests {
            let case = format!("{name}: {} {}", request.method, request.path());
            let signed = signed_headers(&request);
            let varies =
                |it: &str| it == "accept" || request.method == "GET" && it.starts_with("content-");
            let expected: Vec<&str> = usual.split(' ').filter(|it| !varies(it)).collect();
            let others: Vec<&str> =
                signed.iter().map(String::as_str).filter(|it| !varies(it)).collect();
            assert_eq!(others, expected, "{case}");
            let caller = check(&request, time).unwrap_or_else(|error| panic!("{case}: {error:?}"));
            assert_eq!(caller.as_str(), "key:EDGEIOSFODNN7EXAMPLE", "{case}");

            for name in &signed {
                let mut altered = request.clone();
                let name = name.strip_prefix(":authority").map_or(name.as_str(), |_| "host");
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                altered.headers.insert(name, HeaderValue::from_static("20000101T000000Z"));
                assert!(check(&altered, time).is_err(), "{case}: {signed:?}");
            }
            assert!(
                check(&request.map_body(|_| Bytes::from_static(b"{ }")), time).is_err(),
                "{case}"
            );
        }
    }
}

#[test]
fn a_signature_of_a_stream_of_events_is_verified_without_its_body_and_refused_as_not_served() {
    let requests = recorded("events.json");
    assert_eq!(requests.len(), 3);
    for (request, time) in requests {
        let signed = signed_headers(&request);
        let verified = |request: &IncomingRequest<Bytes>| {
            let authorization = request.headers["authorization"].to_str().unwrap();
            verify(
                authorization,
                request,
                &with_key().access.keys,
                "ap-northeast-1",
                from_seconds(time),
            )
        };
        let Err(Refusal::EventStream(session)) = verified(&request) else {
            panic!("{signed:?}: {:?}", verified(&request));
        };
        assert_eq!(session.caller.unwrap().as_str(), "key:EDGEIOSFODNN7EXAMPLE", "{signed:?}");

        let mut altered = request.clone();
        altered.headers.insert(HOST, HeaderValue::from_static("another.example"));
        let Err(Refusal::Aws { kind, .. }) = verified(&altered) else { panic!("{signed:?}") };
        assert_eq!(kind, "InvalidSignatureException", "{signed:?}");
    }
}
