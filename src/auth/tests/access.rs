//! The variables of authentication and CORS, and the problems that an operator is told about.

use super::*;

type Vars<'a> = &'a [(&'a str, &'a str)];

#[test]
fn an_invalid_variable_is_a_problem_that_names_it_and_no_secret() {
    let hash = hash(TOKEN);
    let (entry, twice) = (format!("ci:{hash}"), format!("a:{hash} b:{hash}"));
    let (long_name, short) = (format!("{}:{hash}", "a".repeat(65)), format!("ci:{}", &hash[1..]));
    let issuer = ("JWT_ISSUER", "https://issuer.example");
    let audience = ("JWT_AUDIENCE", "us");
    let key = "EDGEIOSFODNN7EXAMPLE:edgeXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1";
    let same_id = format!("{key} {key}");
    const TOKENS: &str = "API_TOKENS must be entries of the form name:sha256";
    const KEYS: &str = "CLIENT_KEYS must be entries of the form id:secret";
    const URL: &str = "must be an https URL without a user or fragment";
    const ORIGINS: &str = "ALLOWED_ORIGINS must be origins as a browser sends them";
    let cases: &[(&str, Vars, &str)] = &[
        ("AUTH", &[("AUTH", "none")], "AUTH must be open, or not set"),
        (
            "open, and tokens",
            &[("AUTH", "open"), ("API_TOKENS", &entry)],
            "API_TOKENS is set, and AUTH is open: take one of them out",
        ),
        (
            "open, and an issuer",
            &[("AUTH", "open"), issuer, audience],
            "JWT_ISSUER is set, and AUTH is open: take one of them out",
        ),
        (
            "open, and keys",
            &[("AUTH", "open"), ("CLIENT_KEYS", key)],
            "CLIENT_KEYS is set, and AUTH is open: take one of them out",
        ),
        ("a token itself", &[("API_TOKENS", TOKEN)], TOKENS),
        ("a token behind its name", &[("API_TOKENS", &format!("ci:{TOKEN}"))], TOKENS),
        ("a hash without a name", &[("API_TOKENS", &hash)], TOKENS),
        ("a short hash", &[("API_TOKENS", &short)], TOKENS),
        ("a hash of other letters", &[("API_TOKENS", &format!("ci:{}", "g".repeat(64)))], TOKENS),
        ("a hash with a sign", &[("API_TOKENS", &format!("ci:{}", "+1".repeat(32)))], TOKENS),
        ("a long name", &[("API_TOKENS", &long_name)], TOKENS),
        ("a name with a slash", &[("API_TOKENS", &format!("a/b:{hash}"))], TOKENS),
        ("the same hash twice", &[("API_TOKENS", &twice)], "API_TOKENS has the same hash twice"),
        ("an issuer without an audience", &[issuer], "JWT_AUDIENCE is not set, and JWT_ISSUER is"),
        (
            "an audience without an issuer",
            &[audience],
            "JWT_AUDIENCE is set, and JWT_ISSUER is not",
        ),
        (
            "a key set without an issuer",
            &[("JWT_JWKS_URL", "https://a/")],
            "JWT_JWKS_URL is set, and JWT_ISSUER is not",
        ),
        (
            "a scope without an issuer",
            &[("JWT_REQUIRED_SCOPE", "a")],
            "JWT_REQUIRED_SCOPE is set, and JWT_ISSUER is not",
        ),
        ("an issuer that is not a URL", &[("JWT_ISSUER", "issuer.example"), audience], URL),
        ("an issuer over http", &[("JWT_ISSUER", "http://issuer.example"), audience], URL),
        (
            "a key set over http",
            &[issuer, audience, ("JWT_JWKS_URL", "http://issuer.example/keys")],
            URL,
        ),
        (
            "a key set with a user",
            &[issuer, audience, ("JWT_JWKS_URL", "https://a@issuer.example/keys")],
            URL,
        ),
        (
            "two scopes",
            &[issuer, audience, ("JWT_REQUIRED_SCOPE", "a b")],
            "JWT_REQUIRED_SCOPE must be one scope",
        ),
        (
            "a scope with a quote",
            &[issuer, audience, ("JWT_REQUIRED_SCOPE", "a\"b")],
            "JWT_REQUIRED_SCOPE must be one scope",
        ),
        ("a key without a secret", &[("CLIENT_KEYS", "EDGEIOSFODNN7EXAMPLE")], KEYS),
        ("a short secret", &[("CLIENT_KEYS", "EDGEIOSFODNN7EXAMPLE:short")], KEYS),
        ("a short id", &[("CLIENT_KEYS", "EDGE:edgeXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1")], KEYS),
        (
            "an id with a slash",
            &[("CLIENT_KEYS", "EDGE/SFODNN7EXAMPLE:edgeXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1")],
            KEYS,
        ),
        ("the same id twice", &[("CLIENT_KEYS", &same_id)], "CLIENT_KEYS has the same id twice"),
        (
            "every header",
            &[("ALLOWED_HEADERS", "*")],
            "ALLOWED_HEADERS must be names of headers, such as baggage and sentry-trace",
        ),
        (
            "a header with a colon",
            &[("ALLOWED_HEADERS", "baggage:")],
            "ALLOWED_HEADERS must be names of headers, such as baggage and sentry-trace",
        ),
        ("every origin", &[("ALLOWED_ORIGINS", "*")], ORIGINS),
        ("the opaque origin", &[("ALLOWED_ORIGINS", "null")], ORIGINS),
        ("an origin without a scheme", &[("ALLOWED_ORIGINS", "example.com")], ORIGINS),
        ("an origin with a path", &[("ALLOWED_ORIGINS", "https://example.com/")], ORIGINS),
        ("an origin in upper case", &[("ALLOWED_ORIGINS", "https://Example.com")], ORIGINS),
        (
            "an origin with its default port",
            &[("ALLOWED_ORIGINS", "https://example.com:443")],
            ORIGINS,
        ),
        (
            "an origin with a port that is not a number",
            &[("ALLOWED_ORIGINS", "https://example.com:0x1")],
            ORIGINS,
        ),
        ("a pattern", &[("ALLOWED_ORIGINS", "https://*.example.com")], ORIGINS),
        ("a user", &[("ALLOWED_ORIGINS", "https://a@example.com")], ORIGINS),
        (
            "the second of two origins",
            &[("ALLOWED_ORIGINS", "https://example.com https://")],
            ORIGINS,
        ),
    ];
    for (case, vars, problem) in cases {
        let error = closed_config(vars).unwrap_err();
        assert!(error.to_string().contains(problem), "{case}: {error}");
        for secret in [TOKEN, &hash, "edgeXUtnFEMI"] {
            assert!(!error.to_string().contains(secret), "{case}: {error}");
        }
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let vars = [
        ("AUTH", "closed"),
        ("API_TOKENS", "x"),
        ("JWT_ISSUER", "x"),
        ("CLIENT_KEYS", "x"),
        ("ALLOWED_ORIGINS", "x"),
        ("MAX_TOKENS", "x"),
    ];
    let error = closed_config(&vars).unwrap_err().to_string();
    for (name, _) in vars {
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn valid_variables_are_accepted() {
    let hash = hash(TOKEN);
    let cases = [
        ("API_TOKENS", format!("ci:{hash}")),
        ("API_TOKENS", format!("\n a:{hash}, b-2.x:{} \n", super::hash("2").to_uppercase())),
        ("CLIENT_KEYS", "EDGEIOSFODNN7EXAMPLE:edgeXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1".to_owned()),
        (
            "ALLOWED_ORIGINS",
            "https://a.example https://a.example:8443,http://localhost:3000".to_owned(),
        ),
        (
            "ALLOWED_ORIGINS",
            "chrome-extension://abcdefghijklmnop http://[::1]:80000".replace(":80000", ":8000"),
        ),
    ];
    for (name, value) in cases {
        closed_config(&[(name, &value)]).unwrap_or_else(|error| panic!("{name}={value}: {error}"));
    }
}

#[test]
fn the_debug_output_shows_no_secret() {
    let vars = [
        ("API_TOKENS", &*format!("ci:{}", hash(TOKEN))),
        ("CLIENT_KEYS", "EDGEIOSFODNN7EXAMPLE:edgeXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1"),
        ("JWT_ISSUER", "https://issuer.example"),
        ("JWT_AUDIENCE", "us"),
    ];
    let shown = format!("{:?}", closed_config(&vars).unwrap().access);
    assert_eq!(
        shown,
        r#"Access { is_open: false, tokens: [ci], issuer: Some(Issuer { issuer: "https://issuer.example", audiences: ["us"], required_scope: None, jwks_url: https://issuer.example/.well-known/jwks.json }), keys: [EDGEIOSFODNN7EXAMPLE], origins: [], headers: [], challenge: "Bearer realm=\"bedrock-edge\", AWS4-HMAC-SHA256" }"#
    );
}

#[test]
fn the_key_set_is_where_most_issuers_or_cloudflare_access_publish_it() {
    for (issuer, url) in [
        (
            "https://cognito-idp.ap-northeast-1.amazonaws.com/ap-northeast-1_abc",
            "https://cognito-idp.ap-northeast-1.amazonaws.com/ap-northeast-1_abc/.well-known/jwks.json",
        ),
        ("https://tenant.auth0.com/", "https://tenant.auth0.com/.well-known/jwks.json"),
        (
            "https://team.cloudflareaccess.com",
            "https://team.cloudflareaccess.com/cdn-cgi/access/certs",
        ),
        (
            "https://cloudflareaccess.com.evil.example",
            "https://cloudflareaccess.com.evil.example/.well-known/jwks.json",
        ),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/.well-known/jwks.json"),
    ] {
        let config = closed_config(&[("JWT_ISSUER", issuer), ("JWT_AUDIENCE", "us")]).unwrap();
        assert_eq!(config.access.issuer.unwrap().jwks_url, url, "{issuer}");
    }
}
