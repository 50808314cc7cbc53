use std::time::UNIX_EPOCH;

use proptest::array::uniform2;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::sign;
use super::*;
use crate::date::{YEAR_10000, from_seconds};

const MAX_SECONDS: u64 = YEAR_10000 - 1;

fn hash(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

fn text(pattern: &'static str) -> impl Strategy<Value = String> {
    proptest::string::string_regex(pattern).unwrap()
}

proptest! {
    #[test]
    fn the_signature_is_that_of_aws_sigv4(
        uris in uniform2(text("https?://[a-zA-Z0-9.-]{1,20}[a-z](:[1-9][0-9]{3})?(/([a-zA-Z0-9~_-]|%3A|%2F|[!$'()*+,;=:@]){1,9}){0,4}/?")),
        accepts in uniform2(proptest::option::of(text("[!-~]{1,8}( [!-~]{1,8}){0,2}"))),
        content_types in uniform2(proptest::option::of(text("[!-~]{1,8}( [!-~]{1,8}){0,2}"))),
        bedrock in uniform2(vec((text("x-amzn-bedrock-[a-z-]{1,9}"), text("[!-~]{1,8}")), 0..3)),
        token in proptest::option::of(text("[!-~]{1,40}")),
        scopes in uniform2((text("[a-z0-9-]{1,14}"), text("[a-z]{1,8}"))),
        times in uniform2(0..=MAX_SECONDS),
        // Which of the two values above each request has, and its body.
        requests in vec((any::<[bool; 6]>(), vec(any::<u8>(), 0..80)), 1..16),
    ) {
        // All share the credentials and the cache.
        let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI", token);
        let cache = SigningCache::default();
        for (which, body) in requests {
            let [uri, accept, content_type, scope, time, headers] = which.map(usize::from);
            let mut request = Request::post(&uris[uri]).body(body.clone()).unwrap();
            for (name, value) in
                [(ACCEPT, &accepts[accept]), (CONTENT_TYPE, &content_types[content_type])]
            {
                if let Some(value) = value {
                    request.headers_mut().insert(name, value.parse().unwrap());
                }
            }
            for (name, value) in &bedrock[headers] {
                request.headers_mut().insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            let mut expected = request.clone();
            let (region, service) = &scopes[scope];
            let scope = Scope { region, service };
            let now = from_seconds(times[time]);
            sign(&mut expected, &credentials, scope, now).unwrap();
            sign_post(&mut request, &hash(&body), &credentials, scope, now, &cache).unwrap();
            prop_assert_eq!(request.headers(), expected.headers());
        }
    }
}

/// Hosts that differ only in case are the same to `Uri`, but not to a signature.
#[test]
fn the_host_is_signed_in_its_own_case() {
    let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI", None);
    let scope = Scope { region: "us-east-1", service: "bedrock" };
    let cache = SigningCache::default();
    let signature = |uri: &str| {
        let mut request = Request::post(uri).body(()).unwrap();
        sign_post(&mut request, &hash(b""), &credentials, scope, UNIX_EPOCH, &cache).unwrap();
        request.headers()[AUTHORIZATION].clone()
    };
    assert_ne!(signature("https://example.com/"), signature("https://EXAMPLE.com/"));
    assert_eq!(signature("https://example.com/"), signature("https://example.com/"));
}

#[test]
fn a_request_that_it_cannot_sign_is_an_error_and_keeps_no_signature() {
    const MALFORMED: &str = "failed to parse header value";
    const SPACES: &str = "a header has more spaces than one between words";
    const TARGET: &str = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m%3A0/invoke";
    let uri = |uri: &str| Request::post(uri);
    let header = |name: &str, value: &str| Request::post(TARGET).header(name, value);
    let key = |id: &str, token: Option<&str>| Credentials::new(id, "s", token.map(str::to_owned));
    let good = || key("AKIAIOSFODNN7EXAMPLE", None);

    let failures: Vec<String> = [
        ("a path only", uri("/model/m/invoke"), good(), "its URI is not absolute"),
        ("a port and no host", uri("http://:80/model"), good(), "its URI is not absolute"),
        ("a user", uri("https://me@localhost/"), good(), "its authority is not only a host"),
        ("a default port", uri("http://localhost:80/"), good(), "its authority is not only a host"),
        ("a dot segment", uri("https://localhost/a/../b"), good(), "its path is not normalized"),
        ("an empty segment", uri("https://localhost/a//b"), good(), "its path is not normalized"),
        ("a query", uri("https://localhost/?a"), good(), "it is not a POST without a query"),
        ("a GET", Request::get(TARGET), good(), "it is not a POST without a query"),
        ("two spaces", header("accept", "a  b"), good(), SPACES),
        ("a space at the end", header("content-type", "a\t"), good(), SPACES),
        (
            "UTF-8 in a header",
            header("accept", "東京"),
            good(),
            "failed to convert header to a str",
        ),
        (
            "another header",
            header("x-name", "value"),
            good(),
            "it has other headers than accept, content-type and Bedrock's",
        ),
        (
            "one of Bedrock's headers twice",
            header("x-amzn-bedrock-trace", "a").header("x-amzn-bedrock-trace", "b"),
            good(),
            "it has other headers than accept, content-type and Bedrock's",
        ),
        (
            "a header twice",
            header("accept", "a").header("accept", "b"),
            good(),
            "it has other headers than accept, content-type and Bedrock's",
        ),
        (
            "a newline in the token",
            Request::post(TARGET),
            key("AKID", Some("two\nlines")),
            MALFORMED,
        ),
        ("a newline in the key's id", Request::post(TARGET), key("two\nlines", None), MALFORMED),
    ]
    .into_iter()
    .filter_map(|(name, request, credentials, expected)| {
        let mut request =
            request.header(AUTHORIZATION, "of an earlier signature").body(()).unwrap();
        let scope = Scope { region: "us-east-1", service: "bedrock" };
        let (hash, cache) = (hash(b""), SigningCache::default());
        let signed = sign_post(&mut request, &hash, &credentials, scope, UNIX_EPOCH, &cache);
        let error = match signed {
            Ok(()) => "signed".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(!request.headers().contains_key(AUTHORIZATION), "{name}");
        let expected = format!("cannot sign the request: {expected}");
        (error != expected).then(|| format!("{name}: {error}"))
    })
    .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_time_from_1970_to_9999_can_be_signed() {
    let scope = Scope { region: "us-east-1", service: "bedrock" };
    let key = Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI", None);
    for (seconds, expected) in [
        (0, Some("19700101T000000Z")),
        (MAX_SECONDS, Some("99991231T235959Z")),
        (MAX_SECONDS + 1, None),
    ] {
        let mut request = Request::post("https://localhost/").body(()).unwrap();
        let (now, cache) = (from_seconds(seconds), SigningCache::default());
        let signed = sign_post(&mut request, &hash(b""), &key, scope, now, &cache);
        let date = request.headers().get(X_AMZ_DATE).map(|value| value.to_str().unwrap());
        assert_eq!((signed.is_ok(), date), (expected.is_some(), expected));
    }
}
