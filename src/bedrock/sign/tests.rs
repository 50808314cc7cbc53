use http::HeaderMap;

use crate::aws::sigv4::Unsigned;
use crate::error::Code;
use crate::testing::{Scripted, isolate};

const ROLE: (&str, &str) = ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/demo");

fn file(name: &str) -> String {
    let path = format!("{}/tests/sts/{name}.xml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// Signs a request, and returns the credential scope and whether there is a session token.
async fn sign(
    vars: &[(&str, &str)],
    host: &Scripted,
    region: Option<&str>,
    target: &str,
) -> Result<(String, bool), (Code, String)> {
    let isolate = isolate(vars);
    let bedrock = isolate.bedrock(host).unwrap();
    let headers = HeaderMap::new();
    let unsigned = Unsigned {
        method: "GET",
        host: "logs.eu-west-1.amazonaws.com",
        target,
        headers: &headers,
        payload_hash: [0; 32],
    };
    match bedrock.sign(&unsigned, "logs", region).await {
        Ok(signature) => {
            let value = |name| signature.iter().find(|(it, _)| *it == name).map(|(_, it)| it);
            let authorization = value("authorization").unwrap();
            let (_, scope) = authorization.split_once("Credential=").unwrap();
            let scope = scope.split(',').next().unwrap().to_owned();
            Ok((scope, value("x-amz-security-token").is_some()))
        }
        Err(error) => {
            Err((error.code, error.cause.map_or(error.message, |it| it.as_str().to_owned())))
        }
    }
}

#[tokio::test]
async fn a_signature_has_the_credentials_of_the_configuration() {
    let sts = || Scripted::new().then(200, &[], file("granted"));
    let cases = [
        ("a key", &[][..], Scripted::new(), Some("eu-west-1"), "AKIA", "/eu-west-1/logs/", false),
        (
            "the configured region",
            &[],
            Scripted::new(),
            None,
            "AKIA",
            "/ap-northeast-1/logs/",
            false,
        ),
        ("a role", &[ROLE], sts(), Some("eu-west-1"), "ASIA", "/eu-west-1/logs/", true),
    ];
    for (name, vars, host, region, key, scope, has_token) in cases {
        let signed = sign(vars, &host, region, "/").await;
        let (credential, token) = signed.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(credential.starts_with(key) && credential.contains(scope), "{name}: {credential}");
        assert_eq!(token, has_token, "{name}");
    }
}

#[tokio::test]
async fn a_request_is_not_signed_without_credentials_or_with_a_path_that_aws_would_change() {
    let denied = Scripted::new().then(403, &[], file("access-denied"));
    let api_key = ("AWS_BEARER_TOKEN_BEDROCK", "example");
    #[rustfmt::skip]
    let cases = [
        ("a Bedrock API key", &[api_key][..], Scripted::new(), "/", Code::Misconfigured, "AWS_BEARER_TOKEN_BEDROCK cannot sign"),
        ("a role that may not be assumed", &[ROLE], denied, "/", Code::AccessDenied, "cannot assume the role"),
        ("a path with an empty segment", &[], Scripted::new(), "/a//b", Code::InvalidRequest, "its path is not normalized"),
    ];
    for (name, vars, host, target, code, text) in cases {
        let (actual, message) = sign(vars, &host, None, target).await.expect_err(name);
        assert!(actual == code && message.contains(text), "{name}: {actual:?} {message}");
    }
}
