//! Requests that this project's signer signed, verified as they arrive.

use bytes::Bytes;
use http::{HeaderValue, Request};

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
