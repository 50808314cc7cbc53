//! The responses to unauthenticated callers: the same, whatever was wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::api::Envelope;
use crate::host::Runtime;
use crate::log::Record;
use crate::server::{Handled, handle, lambda_handler, socket_handler};
use crate::testing::{ONCE, Scripted, Watched, header};

const KEY: &str = "EDGEIOSFODNN7EXAMPLE:edgeXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1";

/// Sends a request that is refused before anything is read or sent.
async fn refused(headers: &[(&str, &str)]) -> (Envelope, Record) {
    let isolate = closed_isolate(&[
        ("API_TOKENS", &format!("ci:{}", hash(TOKEN))),
        ("CLIENT_KEYS", KEY),
        ("JWT_ISSUER", "https://issuer.example"),
        ("JWT_AUDIENCE", "us"),
    ]);
    let body = Watched::from("{}");
    let was_read = body.was_read.clone();
    let host = Scripted::new();
    let response = lambda_handler(request("POST", "/", headers, body), &isolate, &host).await;
    assert!(!was_read.get(), "{headers:?}");
    assert!(host.requests.borrow().is_empty(), "{headers:?}");
    response
}

#[tokio::test]
async fn every_wrong_token_gets_the_same_response_and_the_log_has_the_cause() {
    let (expected, _) = refused(&[]).await;
    assert_eq!(expected.status_code, 401);
    let almost = format!("{}H", &TOKEN[..TOKEN.len() - 1]);
    let bearer = |text: &str| vec![("authorization", format!("Bearer {text}"))];
    let named = |name, value: &str| vec![(name, value.to_owned())];
    let mut causes = BTreeSet::new();
    for headers in [
        bearer(&almost),
        bearer("ci"),
        bearer(&hash(TOKEN)),
        bearer("a b"),
        bearer("a.b"),
        bearer("a.b.c"),
        // {"alg":"none"}, {"alg":"HS256"} and {"alg":"RS256","crit":[]}, all with {}
        bearer("eyJhbGciOiJub25lIn0.e30."),
        bearer("eyJhbGciOiJIUzI1NiJ9.e30.AAAA"),
        bearer("eyJhbGciOiJSUzI1NiIsImNyaXQiOltdfQ.e30.AAAA"),
        named("x-api-key", &almost),
        named("authorization", "Basic YTpi"),
        [bearer(TOKEN), named("x-api-key", &almost)].concat(),
        [bearer(&almost), named("x-api-key", TOKEN)].concat(),
        [bearer(&almost), named("x-api-key", &almost)].concat(),
        [bearer(TOKEN), bearer(TOKEN)].concat(),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let (envelope, record) = refused(&headers).await;
        // To the byte: the platform gives every request the same id.
        assert_eq!(envelope, expected, "{headers:?}");
        assert_eq!(record.caller, None);
        causes.insert(record.error.unwrap().as_str().to_owned());
    }
    assert!(causes.len() >= 8, "{causes:?}");
}

#[tokio::test]
async fn an_unknown_key_and_a_wrong_signature_get_the_same_response() {
    let signed = |id: &str, signature: &str| {
        let headers = "host;x-amz-content-sha256;x-amz-date";
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/20260102/ap-northeast-1/bedrock/aws4_request, \
             SignedHeaders={headers}, Signature={signature}"
        )
    };
    let refused_signature = async |id: &str, signature: &str| {
        refused(&[
            ("host", "worker"),
            ("x-amz-date", "20260102T030405Z"),
            ("x-amz-content-sha256", &hash("{}")),
            ("authorization", &signed(id, signature)),
        ])
        .await
    };
    let (known, first) = refused_signature("EDGEIOSFODNN7EXAMPLE", &"0".repeat(64)).await;
    let (unknown, second) = refused_signature("EDGEUNKNOWN7EXAMPLES", &"0".repeat(64)).await;
    let (short, _) = refused_signature("EDGEIOSFODNN7EXAMPLE", "0").await;
    assert_eq!(known, unknown);
    assert_eq!(known, short);
    assert!(known.body.contains("does not match the signature you provided"), "{}", known.body);
    assert_ne!(first.error, second.error);
}

#[tokio::test]
async fn the_response_has_a_challenge_for_each_configured_method() {
    let hash = format!("ci:{}", hash(TOKEN));
    let bearer = r#"Bearer realm="bedrock-edge""#;
    let both = format!("{bearer}, AWS4-HMAC-SHA256");
    let jwt = [("JWT_ISSUER", "https://issuer.example"), ("JWT_AUDIENCE", "us")];
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[], bearer),
        (&[("API_TOKENS", &hash)], bearer),
        (&jwt, bearer),
        (&[("CLIENT_KEYS", KEY)], "AWS4-HMAC-SHA256"),
        (&[("CLIENT_KEYS", KEY), ("API_TOKENS", &hash)], &both),
    ];
    for (vars, challenge) in cases {
        let event = request("POST", "/", &[], Bytes::new());
        let (envelope, _) = lambda_handler(event, &closed_isolate(vars), &Scripted::new()).await;
        assert_eq!(header(&envelope, "www-authenticate"), Some(challenge), "{vars:?}");
    }
}

#[tokio::test]
async fn a_subprotocol_is_a_credential_only_of_a_request_for_a_websocket() {
    let token = format!("ci:{}", hash(TOKEN));
    // With CLIENT_KEYS the Worker passes every header of a POST on.
    let isolate = closed_isolate(&[("API_TOKENS", &token), ("CLIENT_KEYS", KEY), ONCE]);
    let protocols = format!("bearer.{TOKEN}");
    for (method, path) in [("POST", "/"), ("GET", "/usage"), ("GET", "/ws")] {
        let event =
            request(method, path, &[("sec-websocket-protocol", &protocols)], Bytes::from("{}"));
        let (envelope, _) = lambda_handler(event, &isolate, &Scripted::new()).await;
        assert_eq!(envelope.status_code, 401, "{method} {path}");
    }
}

#[tokio::test]
async fn a_web_socket_is_of_no_use_after_its_credential_has_expired() {
    let isolate = closed_isolate(&[("API_TOKENS", &format!("ci:{}", hash(TOKEN))), ONCE]);
    let protocols = format!("bearer.{TOKEN}, bedrock-edge");
    let headers = [("upgrade", "websocket"), ("sec-websocket-protocol", &protocols)];
    let host = Scripted::new();
    let upgrade = request("GET", "/ws", &headers, Bytes::new());
    let Handled::WebSocket(mut socket, _) = handle(upgrade, &isolate, &host).await else {
        panic!("no WebSocket");
    };
    assert_eq!(socket.session.caller.as_ref().unwrap().as_str(), "token:ci");
    assert_eq!(socket.protocol, Some("bedrock-edge"));

    socket.session.expires = Some(host.now() + Duration::from_secs(60));
    let host = Scripted::new().then_fail("no such host");
    let message = || Bytes::from("{}");
    let (_, record) = socket_handler(message(), &socket, &host).await.unwrap_err();
    assert_eq!(record.outcome, "unavailable");
    assert_eq!(record.caller, socket.session.caller);

    host.pass(Duration::from_secs(60));
    let (message, record) = socket_handler(message(), &socket, &host).await.unwrap_err();
    assert_eq!((record.status, record.outcome), (401, "unauthorized"));
    assert!(message.contains("unauthorized"), "{message}");
    assert_eq!(host.requests.borrow().len(), 1);
}
