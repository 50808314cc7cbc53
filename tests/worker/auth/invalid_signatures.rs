//! Signatures that let nobody in.

use super::*;
use crate::support::fixture;

/// SigV4 clients that do something wrong.
pub fn rows(address: &str) -> Vec<(&'static str, Request, Expected)> {
    let call = || Call::new(address, BODY);
    let request = |call: &Call| Request::with(call.signed());
    let row = |case, call: Call, expected| (case, request(&call), expected);
    // The request after the signature was made.
    let altered = |case, call: Call, expected, change: &dyn Fn(&mut Request)| {
        let mut request = request(&call);
        change(&mut request);
        (case, request, expected)
    };
    let set = |request: &mut Request, name: &str, change: &dyn Fn(&str) -> String| {
        let header = request.headers.iter_mut().find(|(it, _)| it == name).unwrap();
        header.1 = change(&header.1);
    };
    let in_authorization = |case, from: &'static str, to: &'static str, expected| {
        altered(case, call().hashed(), expected, &|request| {
            set(request, "authorization", &|value| {
                assert!(value.contains(from), "{case}: {value}");
                value.replacen(from, to, 1)
            });
        })
    };
    vec![
        row(
            "SigV4: an unknown key",
            call().hashed().with(|it| it.id = "EDGEUNKNOWN7EXAMPLES".into()),
            INVALID,
        ),
        row(
            "SigV4: an unknown key, the hash left out",
            call().with(|it| it.id = "EDGEUNKNOWN7EXAMPLES".into()),
            INVALID,
        ),
        row("SigV4: a wrong secret", call().hashed().with(|it| it.secret.push('x')), INVALID),
        row(
            "SigV4: the secret of another key",
            call().hashed().with(|it| it.id = "EDGEI44QH8DHBEXAMPLE".into()),
            INVALID,
        ),
        row(
            "SigV4: the Worker's own key for Bedrock",
            call().hashed().with(|it| {
                it.id = fixture::ACCESS_KEY_ID.into();
                it.secret = fixture::SECRET_ACCESS_KEY.into();
            }),
            INVALID,
        ),
        row("SigV4: six minutes old", call().hashed().with(|it| it.time = at(-360)), INVALID),
        row("SigV4: a day old", call().hashed().with(|it| it.time = at(-86400)), INVALID),
        row("SigV4: of the future", call().hashed().with(|it| it.time = at(360)), INVALID),
        row(
            "SigV4: the scope of another day",
            call().hashed().with(|it| it.scope_date = Some("20200101".into())),
            INVALID,
        ),
        row(
            "SigV4: another region",
            call().hashed().with(|it| it.region = "us-east-1".into()),
            INVALID,
        ),
        row("SigV4: another service", call().hashed().with(|it| it.service = "s3".into()), INVALID),
        row("SigV4: no date", call().hashed().with(|it| it.time.clear()), INCOMPLETE),
        row(
            "SigV4: a date that is none",
            call().hashed().with(|it| it.time = "20260231T000000Z".into()),
            INCOMPLETE,
        ),
        row(
            "SigV4: a date with dashes",
            call().hashed().with(|it| it.time = "2026-01-02T03:04:05Z".into()),
            INCOMPLETE,
        ),
        row(
            "SigV4: an unsigned payload",
            call().header("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            INVALID,
        ),
        row(
            "SigV4: a payload in chunks",
            call().header("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            INVALID,
        ),
        row(
            "SigV4: a session token",
            call().hashed().header("x-amz-security-token", "FwoGZXIvYXdzEXAMPLE"),
            Aws("UnrecognizedClientException"),
        ),
        row(
            "SigV4: host not signed",
            call().hashed().with(|it| it.headers.retain(|(name, _)| name != "host")),
            INVALID,
        ),
        altered("SigV4: another host", call().hashed(), INVALID, &|it| {
            set(it, "host", &|_| "another".into())
        }),
        altered("SigV4: another date", call().hashed(), INVALID, &|it| {
            set(it, "x-amz-date", &|_| at(-1))
        }),
        altered("SigV4: another method", call().hashed(), INVALID, &|it| it.method = "PUT"),
        altered("SigV4: another path", call().hashed(), INVALID, &|it| {
            it.target = "/nowhere".into()
        }),
        altered("SigV4: another query", call().hashed(), INVALID, &|it| {
            it.target = "/?stream=true".into()
        }),
        altered("SigV4: another hash", call().hashed(), INVALID, &|it| {
            set(it, "x-amz-content-sha256", &|_| sha256("{}"))
        }),
        altered("SigV4: a header of AWS's smuggled in", call().hashed(), INVALID, &|it| {
            it.headers.push(header("x-amz-target", "Admin.Everything"));
        }),
        altered("SigV4: the hash smuggled in", call(), INVALID, &|it| {
            it.headers.push(header("x-amz-content-sha256", &sha256(BODY)));
        }),
        altered(
            "SigV4: a signed header taken out",
            call().hashed().header("x-purpose", "test"),
            INCOMPLETE,
            &|it| {
                it.headers.retain(|(name, _)| name != "x-purpose");
            },
        ),
        altered(
            "SigV4: a signed header changed",
            call().hashed().header("x-purpose", "test"),
            INVALID,
            &|it| {
                set(it, "x-purpose", &|_| "another".into());
            },
        ),
        altered(
            "SigV4: a signed header twice",
            call().hashed().header("x-purpose", "test"),
            INVALID,
            &|it| {
                it.headers.push(header("x-purpose", "test"));
            },
        ),
        altered("SigV4: two dates", call().hashed(), INCOMPLETE, &|it| {
            it.headers.push(header("x-amz-date", &at(0)));
        }),
        altered("SigV4: two hosts", call().hashed(), Aws("InvalidSignatureException"), &|it| {
            set(it, "host", &|host| format!("{host}, another"));
        }),
        altered("SigV4: Authorization twice", call().hashed(), INCOMPLETE, &|it| {
            let second = it.headers.last().unwrap().clone();
            it.headers.push(second);
        }),
        altered("SigV4: a token beside it", call().hashed(), Stranger, &|it| {
            it.headers.push(header("x-api-key", TOKEN))
        }),
        altered("SigV4: a token in the same Authorization", call().hashed(), INCOMPLETE, &|it| {
            set(it, "authorization", &|value| format!("{value}, Bearer {TOKEN}"));
        }),
        altered("SigV4: presigned", Call::new(address, ""), INCOMPLETE, &|it| {
            it.headers.clear();
            it.target = format!(
                "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY_ID}&X-Amz-Signature=00"
            );
        }),
        in_authorization("SigV4: no signature", ", Signature=", ", Sig=", INCOMPLETE),
        in_authorization("SigV4: a signature that is none", "Signature=", "Signature=x", INVALID),
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
        in_authorization("SigV4: SigV4a", "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", Stranger),
    ]
}

#[tokio::test]
async fn a_signed_body_that_was_altered() {
    let issuer = Issuer::start().await;
    let fixture = Fixture::with(bindings(&issuer)).await;
    let worker = &fixture.worker;
    let address = worker.address.to_string();
    let call = || Call::new(&address, BODY);
    // Here the body comes: it is what is wrong.
    for (case, call, body) in [
        ("another body", call(), r#"{"prompt":"Hullo"}"#),
        ("another body, its hash signed", call().hashed(), r#"{"prompt":"Hullo"}"#),
        ("no body", call(), ""),
        ("no body, its hash signed", call().hashed(), ""),
        ("a byte more", call().hashed(), "{\"prompt\":\"Hello\"} "),
    ] {
        let mut request = Request::with(call.signed());
        request.body = Some(body.to_owned());
        let answer = request.send(worker).await;
        assert_refused(case, worker, &answer, &INVALID).await;
        let line = worker.log_line(answer.request_id()).await;
        assert_eq!(line["error"], "the signature is of another body", "{case}");
        assert!(line.get("caller").is_none(), "{case}: {line}");
    }
    assert!(fixture.stub.requests().is_empty());
    // A body that is too long is read of nobody.
    let mut request = Request::with(Call::new(&address, "x").hashed().signed());
    request.body = Some("x".repeat(1_048_577));
    let answer = request.send(worker).await;
    assert_eq!(answer.status, 413, "{answer}");
}
