//! The issuer's JWKS: fetched once for all waiting requests, cached, and refreshed.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::client::{Response, TIMEOUT};
use crate::support::fixture::Fixture;
use crate::support::issuer::Issuer;
use crate::support::workerd::Workerd;

const JWKS: &str = "/.well-known/jwks.json";

async fn fixture(issuer: &Issuer) -> Fixture {
    let bindings =
        json!({ "AUTH": null, "JWT_ISSUER": issuer.url, "JWT_AUDIENCE": "bedrock-edge" });
    Fixture::with_bindings(bindings).await
}

async fn post_with_token(worker: &Workerd, issuer: &Issuer, token: &str) -> Response {
    let request = worker.request(reqwest::Method::POST, "/").body("{}");
    worker.send(request.bearer_auth(issuer.token(token))).await
}

async fn wait_for_fetches(issuer: &Issuer, times: usize) {
    let begun = Instant::now();
    while issuer.requested_paths().len() < times {
        assert!(begun.elapsed() < TIMEOUT, "{:?}", issuer.requested_paths());
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn fifty_concurrent_first_requests_share_one_fetch() {
    let issuer = Issuer::start().await;
    issuer.set_response(|it| it.delay = Duration::from_millis(300));
    let fixture = fixture(&issuer).await;
    let names = ["good", "ES256", "no kid", "expired", "an unknown kid"];
    let names: Vec<&str> = names.iter().copied().cycle().take(50).collect();
    let responses =
        join_all(names.iter().map(|name| post_with_token(&fixture.worker, &issuer, name)));
    for (name, response) in names.iter().zip(responses.await) {
        let status = if ["expired", "an unknown kid"].contains(name) { 401 } else { 200 };
        assert_eq!(response.status, status, "{name}: {response}");
    }
    assert_eq!(issuer.requested_paths(), [JWKS]);
    // Later requests use the cache.
    assert_eq!(post_with_token(&fixture.worker, &issuer, "good").await.status, 200);
    assert_eq!(issuer.requested_paths(), [JWKS]);
    assert!(fixture.worker.unexpected_output().is_empty(), "{}", fixture.worker.output());
}

#[tokio::test]
async fn when_the_client_that_fetches_disconnects_another_request_fetches() {
    let issuer = Issuer::start().await;
    issuer.set_response(|it| it.delay = Duration::from_secs(3600));
    let fixture = fixture(&issuer).await;
    let mut first = fixture.worker.connect().await;
    let token = issuer.token("good");
    let head = format!(
        "POST / HTTP/1.1\r\nhost: worker\r\nauthorization: Bearer {token}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    first.write(head).await;
    wait_for_fetches(&issuer, 1).await;
    // These requests wait for a fetch that never ends.
    let waiting = join_all((0..20).map(|_| post_with_token(&fixture.worker, &issuer, "good")));
    let disconnect = async {
        sleep(Duration::from_millis(200)).await;
        assert_eq!(issuer.requested_paths().len(), 1);
        issuer.set_response(|it| it.delay = Duration::ZERO);
        first.reset();
    };
    let (responses, ()) = tokio::join!(waiting, disconnect);
    for response in responses {
        assert_eq!(response.status, 200, "{response}");
    }
    assert_eq!(issuer.requested_paths(), [JWKS, JWKS]);
    assert_eq!(fixture.worker.nth_log_line(1).await["status"], 499);
}

#[tokio::test]
async fn without_keys_jwts_cannot_be_verified_and_the_failure_is_cached() {
    let html = "<html>".to_owned();
    let encryption = r#"{"keys":[{"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"}]}"#.to_owned();
    for (case, status, body) in [
        ("an error", 500, String::new()),
        ("not found", 404, "{}".to_owned()),
        ("a redirect", 302, String::new()),
        ("not JSON", 200, html),
        ("no keys", 200, r#"{"keys":[]}"#.to_owned()),
        ("no usable key", 200, encryption),
        ("an array", 200, "[]".to_owned()),
        ("too long", 200, format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(256 << 10))),
    ] {
        let issuer = Issuer::start().await;
        issuer.set_response(|it| (it.status, it.body) = (status, body));
        let fixture = fixture(&issuer).await;
        for name in ["good", "expired", "none with a signature"] {
            let response = post_with_token(&fixture.worker, &issuer, name).await;
            if name == "none with a signature" {
                assert_eq!(response.status, 401, "{case}: {name}: {response}");
                continue;
            }
            let message = "Error: callers cannot be verified for now";
            response.assert_envelope(&format!("{case}: {name}"), 503, "", message);
            assert_eq!(response.header("x-error-code"), Some("issuer_unavailable"), "{case}");
            assert_eq!(response.header("retry-after"), Some("5"), "{case}: {response}");
            let line = fixture.worker.log_line(response.request_id()).await;
            let error = line["error"].as_str().unwrap();
            assert!(error.starts_with("the issuer's keys cannot be fetched: "), "{case}: {error}");
        }
        // The failure is cached too.
        assert_eq!(issuer.requested_paths(), [JWKS], "{case}");
        assert!(fixture.stub.requests().is_empty(), "{case}");
    }
}

#[tokio::test]
async fn an_unreachable_jwks_url_is_503() {
    let issuer = Issuer::start().await;
    let fixture = Fixture::with_bindings(json!({
        "AUTH": null,
        "JWT_ISSUER": issuer.url,
        "JWT_AUDIENCE": "bedrock-edge",
        "JWT_JWKS_URL": "http://127.0.0.1:9/keys",
    }))
    .await;
    let response = post_with_token(&fixture.worker, &issuer, "good").await;
    assert_eq!(response.status, 503, "{response}");
    assert!(issuer.requested_paths().is_empty());
}

#[tokio::test]
async fn rotated_keys_are_fetched_at_most_once_a_minute() {
    let issuer = Issuer::start().await;
    let fixture = fixture(&issuer).await;
    let worker = &fixture.worker;
    assert_eq!(post_with_token(worker, &issuer, "good").await.status, 200);
    issuer.set_response(|it| it.body = issuer.generated["next"].to_string());
    // A known key does not cause a fetch.
    assert_eq!(post_with_token(worker, &issuer, "good").await.status, 200);
    assert_eq!(issuer.requested_paths().len(), 1);
    assert_eq!(post_with_token(worker, &issuer, "the next key").await.status, 200);
    assert_eq!(issuer.requested_paths().len(), 2);
    assert_eq!(post_with_token(worker, &issuer, "good").await.status, 401);
    // Unknown keys cause at most one fetch a minute.
    for _ in 0..20 {
        assert_eq!(post_with_token(worker, &issuer, "an unknown kid").await.status, 401);
    }
    assert_eq!(issuer.requested_paths().len(), 2);
}

#[tokio::test]
async fn cached_keys_stay_valid_when_a_refresh_fails() {
    let issuer = Issuer::start().await;
    let fixture = fixture(&issuer).await;
    let worker = &fixture.worker;
    assert_eq!(post_with_token(worker, &issuer, "good").await.status, 200);
    issuer.set_response(|it| it.status = 500);
    // Without the JWKS it is unknown whether this key is the issuer's.
    assert_eq!(post_with_token(worker, &issuer, "the next key").await.status, 503);
    assert_eq!(issuer.requested_paths().len(), 2);
    assert_eq!(post_with_token(worker, &issuer, "good").await.status, 200);
    assert_eq!(post_with_token(worker, &issuer, "the next key").await.status, 503);
    assert_eq!(issuer.requested_paths().len(), 2);
}

#[tokio::test]
async fn keys_in_padded_base64_verify_and_a_token_may_have_many_groups() {
    let issuer = Issuer::start().await;
    let padded = issuer.generated["padded"].to_string();
    assert!(padded.contains('='), "{padded}");
    issuer.set_response(|it| it.body = padded);
    let fixture = fixture(&issuer).await;
    assert!(issuer.token("157 groups").len() > 8192);
    for name in ["good", "ES256", "157 groups"] {
        let response = post_with_token(&fixture.worker, &issuer, name).await;
        assert_eq!(response.status, 200, "{name}: {response}");
    }
}
