//! Invalid SigV4 signatures.

use super::*;
use crate::support::fixture;

/// Requests with an invalid signature.
pub fn cases(address: &str) -> Vec<(&'static str, Request, Expected)> {
    let call = || UnsignedRequest::new(address, BODY);
    let sign = |call: &UnsignedRequest| Request::new(call.signed_headers());
    let signed = |case, call: UnsignedRequest, expected| (case, sign(&call), expected);
    // Changes the request after it was signed.
    let altered = |case, call: UnsignedRequest, expected, change: &dyn Fn(&mut Request)| {
        let mut request = sign(&call);
        change(&mut request);
        (case, request, expected)
    };
    let set = |request: &mut Request, name: &str, change: &dyn Fn(&str) -> String| {
        let header = request.headers.iter_mut().find(|(it, _)| it == name).unwrap();
        header.1 = change(&header.1);
    };
    let in_authorization = |case, from: &'static str, to: &'static str, expected| {
        altered(case, call().with_body_hash(), expected, &|request| {
            set(request, "authorization", &|value| {
                assert!(value.contains(from), "{case}: {value}");
                value.replacen(from, to, 1)
            });
        })
    };
    vec![
        signed(
            "SigV4: an unknown key",
            call().with_body_hash().with(|it| it.key_id = "EDGEUNKNOWN7EXAMPLES".into()),
            INVALID,
        ),
        signed(
            "SigV4: an unknown key, without the hash",
            call().with(|it| it.key_id = "EDGEUNKNOWN7EXAMPLES".into()),
            INVALID,
        ),
        signed(
            "SigV4: a wrong secret",
            call().with_body_hash().with(|it| it.secret.push('x')),
            INVALID,
        ),
        signed(
            "SigV4: the secret of another key",
            call().with_body_hash().with(|it| it.key_id = "EDGEI44QH8DHBEXAMPLE".into()),
            INVALID,
        ),
        signed(
            "SigV4: the Worker's own key for Bedrock",
            call().with_body_hash().with(|it| {
                it.key_id = fixture::ACCESS_KEY_ID.into();
                it.secret = fixture::SECRET_ACCESS_KEY.into();
            }),
            INVALID,
        ),
        signed(
            "SigV4: six minutes old",
            call().with_body_hash().with(|it| it.time = amz_date(-360)),
            INVALID,
        ),
        signed(
            "SigV4: a day old",
            call().with_body_hash().with(|it| it.time = amz_date(-86400)),
            INVALID,
        ),
        signed(
            "SigV4: six minutes in the future",
            call().with_body_hash().with(|it| it.time = amz_date(360)),
            INVALID,
        ),
        signed(
            "SigV4: a scope with another date",
            call().with_body_hash().with(|it| it.scope_date = Some("20200101".into())),
            INVALID,
        ),
        signed(
            "SigV4: another region",
            call().with_body_hash().with(|it| it.region = "us-east-1".into()),
            INVALID,
        ),
        signed(
            "SigV4: another service",
            call().with_body_hash().with(|it| it.service = "s3".into()),
            INVALID,
        ),
        signed("SigV4: no date", call().with_body_hash().with(|it| it.time.clear()), INCOMPLETE),
        signed(
            "SigV4: a date that does not exist",
            call().with_body_hash().with(|it| it.time = "20260231T000000Z".into()),
            INCOMPLETE,
        ),
        signed(
            "SigV4: a date with dashes",
            call().with_body_hash().with(|it| it.time = "2026-01-02T03:04:05Z".into()),
            INCOMPLETE,
        ),
        signed(
            "SigV4: an unsigned payload",
            call().header("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            INVALID,
        ),
        signed(
            "SigV4: a payload in chunks",
            call().header("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            INVALID,
        ),
        signed(
            "SigV4: a session token",
            call().with_body_hash().header("x-amz-security-token", "FwoGZXIvYXdzEXAMPLE"),
            AwsError("UnrecognizedClientException"),
        ),
        signed(
            "SigV4: host not signed",
            call().with_body_hash().with(|it| it.headers.retain(|(name, _)| name != "host")),
            INVALID,
        ),
        altered("SigV4: another host", call().with_body_hash(), INVALID, &|it| {
            set(it, "host", &|_| "another".into())
        }),
        altered("SigV4: another date", call().with_body_hash(), INVALID, &|it| {
            set(it, "x-amz-date", &|_| amz_date(-1))
        }),
        altered("SigV4: another method", call().with_body_hash(), INVALID, &|it| it.method = "PUT"),
        altered("SigV4: another path", call().with_body_hash(), INVALID, &|it| {
            it.target = "/nowhere".into()
        }),
        altered("SigV4: another query", call().with_body_hash(), INVALID, &|it| {
            it.target = "/?stream=true".into()
        }),
        altered("SigV4: another hash", call().with_body_hash(), INVALID, &|it| {
            set(it, "x-amz-content-sha256", &|_| sha256_hex("{}"))
        }),
        altered("SigV4: an unsigned x-amz header added", call().with_body_hash(), INVALID, &|it| {
            it.headers.push(header("x-amz-target", "Admin.Everything"));
        }),
        altered("SigV4: an unsigned hash added", call(), INVALID, &|it| {
            it.headers.push(header("x-amz-content-sha256", &sha256_hex(BODY)));
        }),
        altered(
            "SigV4: a signed header removed",
            call().with_body_hash().header("x-purpose", "test"),
            INCOMPLETE,
            &|it| {
                it.headers.retain(|(name, _)| name != "x-purpose");
            },
        ),
        altered(
            "SigV4: a signed header changed",
            call().with_body_hash().header("x-purpose", "test"),
            INVALID,
            &|it| {
                set(it, "x-purpose", &|_| "another".into());
            },
        ),
        altered(
            "SigV4: a signed header twice",
            call().with_body_hash().header("x-purpose", "test"),
            INVALID,
            &|it| {
                it.headers.push(header("x-purpose", "test"));
            },
        ),
        altered("SigV4: two dates", call().with_body_hash(), INCOMPLETE, &|it| {
            it.headers.push(header("x-amz-date", &amz_date(0)));
        }),
        altered(
            "SigV4: two hosts",
            call().with_body_hash(),
            AwsError("InvalidSignatureException"),
            &|it| {
                set(it, "host", &|host| format!("{host}, another"));
            },
        ),
        altered("SigV4: Authorization twice", call().with_body_hash(), INCOMPLETE, &|it| {
            let second = it.headers.last().unwrap().clone();
            it.headers.push(second);
        }),
        altered("SigV4: an API token in addition", call().with_body_hash(), Unauthorized, &|it| {
            it.headers.push(header("x-api-key", TOKEN))
        }),
        altered(
            "SigV4: a token in the same Authorization",
            call().with_body_hash(),
            INCOMPLETE,
            &|it| {
                set(it, "authorization", &|value| format!("{value}, Bearer {TOKEN}"));
            },
        ),
        altered("SigV4: presigned", UnsignedRequest::new(address, ""), INCOMPLETE, &|it| {
            it.headers.clear();
            it.target = format!(
                "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={CLIENT_KEY_ID}&X-Amz-Signature=00"
            );
        }),
        in_authorization("SigV4: no signature", ", Signature=", ", Sig=", INCOMPLETE),
        in_authorization(
            "SigV4: a signature that is not hexadecimal",
            "Signature=",
            "Signature=x",
            INVALID,
        ),
        in_authorization("SigV4: an empty signature", "Signature=", "Signature=,x=", INCOMPLETE),
        in_authorization("SigV4: no credential", "Credential=", "credential=", INCOMPLETE),
        in_authorization("SigV4: a credential of four parts", "/aws4_request", "", INCOMPLETE),
        in_authorization("SigV4: another terminator", "aws4_request", "aws5_request", INCOMPLETE),
        in_authorization(
            "SigV4: headers in another order",
            "host;x-amz-content-sha256",
            "x-amz-content-sha256;host",
            INCOMPLETE,
        ),
        in_authorization("SigV4: a header listed twice", "host;", "host;host;", INCOMPLETE),
        in_authorization("SigV4: headers in upper case", "host;", "Host;", INCOMPLETE),
        in_authorization("SigV4a", "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", Unauthorized),
    ]
}

#[tokio::test]
async fn a_body_altered_after_signing_is_rejected() {
    let issuer = Issuer::start().await;
    let fixture = Fixture::with_bindings(bindings(&issuer)).await;
    let worker = &fixture.worker;
    let address = worker.address.to_string();
    let call = || UnsignedRequest::new(&address, BODY);
    // These requests include their body, because it is the part that is wrong.
    for (case, call, body) in [
        ("another body", call(), r#"{"prompt":"Hullo"}"#),
        ("another body, its hash signed", call().with_body_hash(), r#"{"prompt":"Hullo"}"#),
        ("no body", call(), ""),
        ("no body, its hash signed", call().with_body_hash(), ""),
        ("an additional byte", call().with_body_hash(), "{\"prompt\":\"Hello\"} "),
    ] {
        let mut request = Request::new(call.signed_headers());
        request.body = Some(body.to_owned());
        let response = request.send(worker).await;
        assert_rejected(case, worker, &response, &INVALID).await;
        let line = worker.log_line(response.request_id()).await;
        assert_eq!(line["error"], "the signature is of another body", "{case}");
        assert!(line.get("caller").is_none(), "{case}: {line}");
    }
    assert!(fixture.stub.requests().is_empty());
    // A body that is too long is rejected before its hash is checked.
    let mut request =
        Request::new(UnsignedRequest::new(&address, "x").with_body_hash().signed_headers());
    request.body = Some("x".repeat(1_048_577));
    let response = request.send(worker).await;
    assert_eq!(response.status, 413, "{response}");
}

#[tokio::test]
async fn a_signed_stream_of_events_gets_404_before_it_is_sent() {
    let issuer = Issuer::start().await;
    let fixture = Fixture::with_bindings(bindings(&issuer)).await;
    let worker = &fixture.worker;
    let target = "/model/amazon.nova-sonic-v1%3A0/invoke-with-bidirectional-stream";
    // The SDK for Rust signs it as a request without a body.
    let call = UnsignedRequest::new(&worker.address.to_string(), "")
        .header("content-type", "application/vnd.amazon.eventstream")
        .with(|it| it.target = target.to_owned());
    let request = Request { target: target.to_owned(), ..Request::new(call.signed_headers()) };
    let response = request.send(worker).await;
    assert_eq!(response.status, 404, "{response}");
    assert_eq!(response.header("x-amzn-errortype"), Some("UnknownOperationException"));
    let line = worker.log_line(response.request_id()).await;
    assert_eq!(line["caller"], format!("key:{CLIENT_KEY_ID}"), "{line}");
}
