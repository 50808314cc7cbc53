//! Authentication: which requests are accepted, and the error of AWS for each of the others.

mod signer;

use std::time::{Duration, SystemTime};

use bedrock_stub::auth::verify;
use bedrock_stub::{AccessKey, Received, Settings};
use signer::{Call, claude};

/// 2026-01-02T03:04:05Z
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
}

fn temporary_key() -> AccessKey {
    AccessKey {
        id: "ASIAIOSFODNN7EXAMPLE".to_owned(),
        secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: Some("AQoDYXdzEPT//wEXAMPLE+token==".to_owned()),
    }
}

fn settings() -> Settings {
    Settings {
        keys: vec![AccessKey::example(), temporary_key()],
        api_keys: vec!["bedrock-api-key-known".to_owned()],
        ..Settings::default()
    }
}

struct Case {
    name: &'static str,
    /// Changes the request before it is signed.
    call: fn(&mut Call),
    /// Changes the signed request.
    altered: fn(&mut Received),
    /// The name of the error and a part of its message, or `None` if the request is accepted.
    error: Option<(&'static str, &'static str)>,
}

fn set(received: &mut Received, name: &str, value: &str) {
    received.headers.retain(|(given, _)| given != name);
    received.headers.push((name.to_owned(), value.to_owned()));
}

fn edit(received: &mut Received, name: &str, from: &str, to: &str) {
    let value = received.header(name).unwrap().replace(from, to);
    set(received, name, &value);
}

const INVALID: &str = "InvalidSignatureException";
const INCOMPLETE: &str = "IncompleteSignatureException";
const UNRECOGNIZED: &str = "UnrecognizedClientException";
const MISMATCH: &str = "The request signature we calculated does not match";
const BAD_TOKEN: &str = "The security token included in the request is invalid.";

#[test]
fn a_request_is_accepted_or_gets_the_error_of_the_first_failed_check() {
    const SAME: fn(&mut Call) = |_| {};
    const UNALTERED: fn(&mut Received) = |_| {};
    let cases = [
        Case { name: "a valid signature", call: SAME, altered: UNALTERED, error: None },
        Case {
            name: "a valid session token",
            call: |call| call.key = temporary_key(),
            altered: UNALTERED,
            error: None,
        },
        Case {
            name: "an ARN in the path",
            call: |call| {
                call.target = "/model/arn%3Aaws%3Abedrock%3Aap-northeast-1%3A123456789012%3Ainference-profile%2Fapac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke".to_owned()
            },
            altered: UNALTERED,
            error: None,
        },
        Case {
            name: "five minutes late",
            call: |call| call.time = now() - Duration::from_secs(300),
            altered: UNALTERED,
            error: None,
        },
        Case {
            name: "five minutes early",
            call: |call| call.time = now() + Duration::from_secs(300),
            altered: UNALTERED,
            error: None,
        },
        Case {
            name: "an unsigned header added",
            call: SAME,
            altered: |it| set(it, "user-agent", "x"),
            error: None,
        },
        Case {
            name: "expired",
            call: |call| call.time = now() - Duration::from_secs(301),
            altered: UNALTERED,
            error: Some((
                INVALID,
                "Signature expired: 20260102T025904Z is now earlier than 20260102T025905Z (20260102T030405Z - 5 min.)",
            )),
        },
        Case {
            name: "not yet valid",
            call: |call| call.time = now() + Duration::from_secs(301),
            altered: UNALTERED,
            error: Some((
                INVALID,
                "Signature not yet current: 20260102T030906Z is still later than 20260102T030905Z (20260102T030405Z + 5 min.)",
            )),
        },
        Case {
            name: "a changed body",
            call: SAME,
            altered: |it| it.body.push(b' '),
            error: Some((INVALID, MISMATCH)),
        },
        Case {
            name: "a changed path",
            call: SAME,
            altered: |it| it.target = it.target.replace("v1", "v2"),
            error: Some((INVALID, MISMATCH)),
        },
        Case {
            name: "a colon not encoded as signed",
            call: SAME,
            altered: |it| it.target = it.target.replace("%3A", ":"),
            error: Some((INVALID, MISMATCH)),
        },
        Case {
            name: "a query added",
            call: SAME,
            altered: |it| it.target.push_str("?a=b"),
            error: Some((INVALID, MISMATCH)),
        },
        Case {
            name: "a changed method",
            call: SAME,
            altered: |it| it.method = "PUT".to_owned(),
            error: Some((INVALID, MISMATCH)),
        },
        Case {
            name: "another host",
            call: SAME,
            altered: |it| set(it, "host", "127.0.0.1:8789"),
            error: Some((INVALID, MISMATCH)),
        },
        Case {
            name: "a changed signed header",
            call: SAME,
            altered: |it| set(it, "content-type", "text/plain"),
            error: Some((INVALID, MISMATCH)),
        },
        Case {
            name: "another secret",
            call: |call| call.key.secret.push('x'),
            altered: UNALTERED,
            error: Some((INVALID, MISMATCH)),
        },
        Case {
            name: "an unsigned host",
            call: SAME,
            altered: |it| edit(it, "authorization", "host;", ""),
            error: Some((
                INVALID,
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
            )),
        },
        Case {
            name: "an unsigned x-amz header",
            call: SAME,
            altered: |it| set(it, "x-amz-meta", "1"),
            error: Some((
                INVALID,
                "'x-amz-meta' must be a 'SignedHeader' in the AWS Authorization.",
            )),
        },
        Case {
            name: "a signed header that is missing",
            call: SAME,
            altered: |it| it.headers.retain(|(name, _)| name != "content-type"),
            error: Some((
                INCOMPLETE,
                "'content-type' is named as a SignedHeader, but it does not exist in the HTTP request.",
            )),
        },
        Case {
            name: "an unknown key",
            call: |call| call.key.id = "AKIDEXAMPLE".to_owned(),
            altered: UNALTERED,
            error: Some((UNRECOGNIZED, BAD_TOKEN)),
        },
        Case {
            name: "a wrong token",
            call: |call| {
                call.key = AccessKey { session_token: Some("other".to_owned()), ..temporary_key() }
            },
            altered: UNALTERED,
            error: Some((UNRECOGNIZED, BAD_TOKEN)),
        },
        Case {
            name: "a temporary key without a token",
            call: |call| call.key = AccessKey { session_token: None, ..temporary_key() },
            altered: UNALTERED,
            error: Some((UNRECOGNIZED, BAD_TOKEN)),
        },
        Case {
            name: "a long-term key with a token",
            call: |call| call.key.session_token = Some("other".to_owned()),
            altered: UNALTERED,
            error: Some((UNRECOGNIZED, BAD_TOKEN)),
        },
        Case {
            name: "another region",
            call: |call| call.region = "us-east-1",
            altered: UNALTERED,
            error: Some((INVALID, "Credential should be scoped to a valid region.")),
        },
        Case {
            name: "another service",
            call: |call| call.service = "bedrock-runtime",
            altered: UNALTERED,
            error: Some((INVALID, "correct service: 'bedrock'.")),
        },
        Case {
            name: "another day in the scope",
            call: SAME,
            altered: |it| edit(it, "authorization", "/20260102/", "/20260101/"),
            error: Some((INVALID, "'20260101' != '20260102', from '20260102T030405Z'.")),
        },
        Case {
            name: "a date in another format",
            call: SAME,
            altered: |it| set(it, "x-amz-date", "20260102"),
            error: Some((INCOMPLETE, "ISO-8601 'basic format'. Got '20260102'")),
        },
        Case {
            name: "no date",
            call: SAME,
            altered: |it| it.headers.retain(|(name, _)| name != "x-amz-date"),
            error: Some((
                INCOMPLETE,
                "requires existence of either a 'X-Amz-Date' or a 'Date' header",
            )),
        },
        Case {
            name: "a scope of four parts",
            call: SAME,
            altered: |it| edit(it, "authorization", "/aws4_request", ""),
            error: Some((INCOMPLETE, "Credential must have exactly 5 slash-delimited elements")),
        },
        Case {
            name: "a truncated header",
            call: SAME,
            altered: |it| edit(it, "authorization", "Signature=", ""),
            error: Some((INCOMPLETE, "Authorization header requires 'Signature' parameter.")),
        },
        Case {
            name: "another scheme",
            call: SAME,
            altered: |it| set(it, "authorization", "Basic eDp5"),
            error: Some((INCOMPLETE, "'Credential' parameter.")),
        },
        Case {
            name: "no Authorization header",
            call: SAME,
            altered: |it| it.headers.retain(|(name, _)| name != "authorization"),
            error: Some(("MissingAuthenticationTokenException", "Missing Authentication Token")),
        },
        Case {
            name: "a known API key",
            call: SAME,
            altered: |it| set(it, "authorization", "Bearer bedrock-api-key-known"),
            error: None,
        },
        Case {
            name: "an unknown API key",
            call: SAME,
            altered: |it| set(it, "authorization", "Bearer bedrock-api-key-other"),
            error: Some((
                "AccessDeniedException",
                "Authentication failed: Please make sure your API Key is valid.",
            )),
        },
    ];
    for case in cases {
        let mut call = Call::new(claude("Hello"));
        call.time = now();
        (case.call)(&mut call);
        let mut received = call.signed();
        (case.altered)(&mut received);
        let outcome = verify(&received, "bedrock", &settings(), now());
        match (case.error, outcome) {
            (None, Ok(())) => {}
            (Some((name, message)), Err(error)) => {
                assert_eq!(error.name, name, "{}", case.name);
                assert_eq!(error.status, 403, "{}", case.name);
                assert!(error.message.contains(message), "{}: {}", case.name, error.message);
            }
            (expected, outcome) => panic!("{}: expected {expected:?}, got {outcome:?}", case.name),
        }
    }
}

#[test]
fn a_signature_mismatch_quotes_the_canonical_request_and_the_string_to_sign() {
    let mut call = Call::new("{}");
    call.time = now();
    call.key = temporary_key();
    let mut received = call.signed();
    received.body = b"[]".to_vec();
    let error = verify(&received, "bedrock", &settings(), now()).unwrap_err();
    assert_eq!(
        error.message,
        "The request signature we calculated does not match the signature you provided. Check your \
         AWS Secret Access Key and signing method. Consult the service documentation for details.\n\
         \n\
         The Canonical String for this request should have been\n\
         'POST\n\
         /model/apac.anthropic.claude-sonnet-4-20250514-v1%253A0/invoke\n\
         \n\
         content-type:application/json\n\
         host:127.0.0.1:8788\n\
         x-amz-date:20260102T030405Z\n\
         x-amz-security-token:AQoDYXdzEPT//wEXAMPLE+token==\n\
         \n\
         content-type;host;x-amz-date;x-amz-security-token\n\
         4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945'\n\
         \n\
         The String-to-Sign should have been\n\
         'AWS4-HMAC-SHA256\n\
         20260102T030405Z\n\
         20260102/ap-northeast-1/bedrock/aws4_request\n\
         1b36a3ab8a457d58ab5f118e4be21d449e8ee5709f548cb9098802d867c1739f'\n"
    );
}
