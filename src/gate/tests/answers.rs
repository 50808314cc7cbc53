//! What a stranger is told: the same, whatever was wrong.

use std::time::Duration;

use super::*;
use crate::envelope::Envelope;
use crate::handler::{lambda_handler, socket_handler, upgrade_handler};
use crate::host::scripted::{ONCE, Scripted, Watched};
use crate::log::Record;

const KEY: &str = "EDGEIOSFODNN7EXAMPLE:edgeXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1";

async fn answer(headers: &[(&str, &str)]) -> (Envelope, Record) {
    let config = closed(&[
        ("API_TOKENS", &format!("ci:{}", hash(TOKEN))),
        ("CLIENT_KEYS", KEY),
        ("JWT_ISSUER", "https://issuer.example"),
        ("JWT_AUDIENCE", "us"),
    ]);
    let body = Watched::from("{}");
    let was_read = body.was_read.clone();
    let event = post(headers, "").map(|_| body);
    let host = Scripted::new();
    let answer = lambda_handler(event, &config, &host).await;
    assert!(!was_read.get(), "{headers:?}");
    assert!(host.requests.borrow().is_empty(), "{headers:?}");
    answer
}

#[tokio::test]
async fn strangers_are_told_the_same() {
    let (expected, _) = answer(&[]).await;
    assert_eq!(expected.status_code, 401);
    let almost = format!("{}H", &TOKEN[..TOKEN.len() - 1]);
    let bearer = |text: &str| vec![("authorization", format!("Bearer {text}"))];
    let header = |name, value: &str| vec![(name, value.to_owned())];
    let mut causes = std::collections::BTreeSet::new();
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
        header("x-api-key", &almost),
        header("authorization", "Basic YTpi"),
        [bearer(TOKEN), header("x-api-key", TOKEN)].concat(),
        [bearer(TOKEN), bearer(TOKEN)].concat(),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let (envelope, record) = answer(&headers).await;
        // To the byte: the request's id is the script's.
        assert_eq!(envelope, expected, "{headers:?}");
        assert_eq!(record.caller, None);
        causes.insert(record.error.unwrap().as_str().to_owned());
    }
    // And the log is told all of it.
    assert!(causes.len() >= 8, "{causes:?}");
}

#[tokio::test]
async fn signatures_are_told_the_same() {
    let signed = |id: &str, signature: &str| {
        let headers = "host;x-amz-content-sha256;x-amz-date";
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/20260102/ap-northeast-1/bedrock/aws4_request, \
             SignedHeaders={headers}, Signature={signature}"
        )
    };
    let of = async |id: &str, signature: &str| {
        answer(&[
            ("host", "worker"),
            ("x-amz-date", "20260102T030405Z"),
            ("x-amz-content-sha256", &hash("{}")),
            ("authorization", &signed(id, signature)),
        ])
        .await
    };
    let (known, first) = of("EDGEIOSFODNN7EXAMPLE", &"0".repeat(64)).await;
    let (unknown, second) = of("EDGEUNKNOWN7EXAMPLES", &"0".repeat(64)).await;
    let (short, _) = of("EDGEIOSFODNN7EXAMPLE", "0").await;
    assert_eq!(known, unknown);
    assert_eq!(known, short);
    assert!(known.body.contains("does not match the signature you provided"), "{}", known.body);
    assert_ne!(first.error, second.error);
}

#[tokio::test]
async fn a_challenge_for_each_method() {
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
        let event = post(&[], "");
        let (envelope, _) = lambda_handler(event, &closed(vars), &Scripted::new()).await;
        let found = envelope.headers.iter().find(|(name, _)| *name == "www-authenticate");
        assert_eq!(found.map(|(_, value)| &**value), Some(challenge), "{vars:?}");
    }
}

#[tokio::test]
async fn a_web_socket_ends_with_its_proof() {
    let config = closed(&[("API_TOKENS", &format!("ci:{}", hash(TOKEN))), ONCE]);
    let protocols = format!("bearer.{TOKEN}, bedrock-edge");
    let event = post(&[("sec-websocket-protocol", &protocols)], "");
    let host = Scripted::new();
    let mut upgrade = upgrade_handler(event, &config, &host).await.unwrap();
    assert_eq!(upgrade.session.caller.as_ref().unwrap().as_str(), "token:ci");
    assert_eq!(upgrade.protocol, Some("bedrock-edge"));

    upgrade.session.expires = Some(host.now() + Duration::from_secs(60));
    let host = Scripted::new().then_fail("no such host");
    let message = || Bytes::from("{}");
    let (_, record) = socket_handler(message(), &upgrade, &host).await.unwrap_err();
    assert_eq!(record.outcome, "unavailable");
    assert_eq!(record.caller, upgrade.session.caller);

    host.pass(Duration::from_secs(60));
    let (event, record) = socket_handler(message(), &upgrade, &host).await.unwrap_err();
    assert_eq!((record.status, record.outcome), (401, "unauthorized"));
    assert!(event.to_message().contains("unauthorized"), "{}", event.to_message());
    assert_eq!(host.requests.borrow().len(), 1);
}
