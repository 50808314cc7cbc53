//! The stand-in for STS, and the keys that it issues.

mod signer;
mod wire;

use std::time::Duration;

use bedrock_stub::{AccessKey, Settings, StsFault, Stub};
use signer::{Call, claude};
use wire::{HttpResponse, exchange};

async fn start(settings: Settings) -> Stub {
    // The example key may sign requests to STS only.
    Stub::start(Settings { keys: Vec::new(), ..settings }).await.unwrap()
}

const FORM: &str = "Action=AssumeRole&Version=2011-06-15\
                    &RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fedge&RoleSessionName=test";

async fn assume_role(stub: &Stub, change: impl FnOnce(&mut Call)) -> HttpResponse {
    let mut call = Call::new(FORM);
    call.target = "/sts/".to_owned();
    call.service = "sts";
    call.host = stub.url().replace("http://", "");
    change(&mut call);
    exchange(&stub.url(), &call.signed()).await
}

async fn invoke(stub: &Stub, key: AccessKey) -> HttpResponse {
    let mut call = Call::new(claude("Hello"));
    call.key = key;
    call.host = stub.url().replace("http://", "");
    exchange(&stub.url(), &call.signed()).await
}

fn element(response: &HttpResponse, name: &str) -> Option<String> {
    let text = response.text();
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0.to_owned())
}

fn key(response: &HttpResponse) -> AccessKey {
    AccessKey {
        id: element(response, "AccessKeyId").unwrap(),
        secret: element(response, "SecretAccessKey").unwrap(),
        session_token: element(response, "SessionToken"),
    }
}

#[tokio::test]
async fn an_issued_key_is_accepted_until_it_expires() {
    let stub = start(Settings::default()).await;
    assert_eq!(invoke(&stub, AccessKey::example()).await.status(), 403);
    let response = assume_role(&stub, |_| {}).await;
    assert_eq!(response.status(), 200, "{response:?}");
    let first = key(&response);
    assert_eq!(invoke(&stub, first.clone()).await.status(), 200);
    let second = key(&assume_role(&stub, |_| {}).await);
    assert_ne!(first.id, second.id);
    // A session token is valid with its own key only.
    let mixed = AccessKey { session_token: first.session_token.clone(), ..second.clone() };
    assert_eq!(invoke(&stub, mixed).await.status(), 403);
    stub.expire_keys();
    for key in [first, second] {
        let response = invoke(&stub, key).await;
        let error = response.header("x-amzn-errortype").unwrap();
        assert!(error.starts_with("ExpiredTokenException"), "{error}");
    }
    assert_eq!(stub.sts_calls(), 2);
}

#[tokio::test]
async fn an_invalid_request_gets_an_error_of_sts() {
    type Change = fn(&mut Call);
    let stub = start(Settings::default()).await;
    let cases: [(&str, Change, u16, &str); 5] = [
        ("another secret", |it| it.key.secret = "wrong".to_owned(), 403, "SignatureDoesNotMatch"),
        (
            "another key",
            |it| it.key.id = "AKIAI44QH8DHBEXAMPLE".to_owned(),
            403,
            "InvalidClientTokenId",
        ),
        ("for Bedrock", |it| it.service = "bedrock", 403, "SignatureDoesNotMatch"),
        (
            "another action",
            |it| it.body = "Action=GetCallerIdentity".to_owned(),
            400,
            "ValidationError",
        ),
        (
            "no role",
            |it| it.body = "Action=AssumeRole&Version=2011-06-15".to_owned(),
            400,
            "ValidationError",
        ),
    ];
    for (case, change, status, code) in cases {
        let response = assume_role(&stub, change).await;
        assert_eq!(response.status(), status, "{case}: {response:?}");
        assert_eq!(element(&response, "Code").as_deref(), Some(code), "{case}");
    }
}

#[tokio::test]
async fn a_fault_applies_to_one_call_of_sts() {
    let stub =
        start(Settings { sts_lifetime: Duration::from_secs(900), ..Settings::default() }).await;
    let cases = [
        (StsFault::AccessDenied, 403, Some("AccessDenied")),
        (StsFault::Throttled, 400, Some("Throttling")),
        (StsFault::InternalFailure, 500, Some("InternalFailure")),
        (StsFault::Html, 503, None),
        (StsFault::NotXml, 200, None),
        (StsFault::NoToken, 200, None),
        (StsFault::Silence, 0, None),
    ];
    stub.fail_sts(cases.map(|(fault, ..)| fault));
    for (fault, status, code) in cases {
        let response = assume_role(&stub, |_| {}).await;
        if status == 0 {
            assert_eq!(response.head, "", "{fault:?}");
            continue;
        }
        assert_eq!(response.status(), status, "{fault:?}");
        assert_eq!(element(&response, "Code").as_deref(), code, "{fault:?}");
        assert_eq!(element(&response, "SessionToken"), None, "{fault:?}");
    }
    assert!(key(&assume_role(&stub, |_| {}).await).session_token.is_some());
}
