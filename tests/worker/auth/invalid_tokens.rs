//! Invalid API tokens, JWTs and origins.

use super::*;

/// Requests with an invalid token, JWT or origin.
pub fn cases(issuer: &Issuer) -> Vec<(String, Request, Expected)> {
    let is_refused = |name: &&String| {
        let mut accepted = ACCEPTED_JWTS.iter().map(|(name, _)| *name);
        let others = ["the next key", "a subject with spaces"];
        !accepted.any(|it| it == name.as_str())
            && !name.contains("scope")
            && !others.contains(&name.as_str())
    };
    let tokens = issuer.generated["tokens"].as_object().unwrap();
    let jwts = tokens.keys().filter(is_refused).map(|name| {
        let case = format!("JWT: {name}");
        (case, Request::new(vec![bearer(issuer.token(name))]), Unauthorized)
    });

    let good = issuer.token("good");
    let with_headers = |case: &str, headers| (case.to_owned(), Request::new(headers), Unauthorized);
    let upgrade = |protocol: &str| {
        let mut headers = vec![header("upgrade", "websocket"), header("connection", "Upgrade")];
        headers.push(header("sec-websocket-version", "13"));
        headers.push(header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="));
        headers.push(header("sec-websocket-protocol", protocol));
        Request { method: "GET", target: "/ws".to_owned(), headers, body: None }
    };
    let at_path = |method, target: &str| {
        let target = target.to_owned();
        Request { method, target, headers: Vec::new(), body: None }
    };
    let mut wrong = TOKEN.to_owned();
    wrong.pop();
    wrong.push('H');
    let plain = vec![
        with_headers("nothing", vec![]),
        with_headers("an empty Authorization", vec![header("authorization", "")]),
        with_headers("Bearer without a token", vec![header("authorization", "Bearer")]),
        with_headers("a wrong token", vec![bearer(&wrong)]),
        with_headers("a token cut short", vec![bearer(&TOKEN[..TOKEN.len() - 1])]),
        with_headers("a token with an additional letter", vec![bearer(&format!("{TOKEN}H"))]),
        with_headers("a token in another case", vec![bearer(&TOKEN.to_uppercase())]),
        with_headers("the hash of a token", vec![bearer(&sha256_hex(TOKEN))]),
        with_headers("the name of a token", vec![bearer("ci")]),
        with_headers(
            "a token with the wrong scheme",
            vec![header("authorization", &format!("Token {TOKEN}"))],
        ),
        with_headers("a token without a scheme", vec![header("authorization", TOKEN)]),
        with_headers(
            "a token as a password",
            vec![header("authorization", "Basic Y2k6YmVkZ2VfMDEyMzQ1Njc4OQ==")],
        ),
        with_headers("a token that is not ASCII", vec![bearer("日本語")]),
        with_headers("a token of 9,000 letters", vec![bearer(&"a".repeat(9000))]),
        with_headers("a wrong x-api-key", vec![header("x-api-key", &wrong)]),
        with_headers(
            "a scheme in x-api-key",
            vec![header("x-api-key", &format!("Bearer {TOKEN}"))],
        ),
        with_headers("a JWT in x-api-key", vec![header("x-api-key", good)]),
        with_headers(
            "a token in the header of Cloudflare Access",
            vec![header("cf-access-jwt-assertion", TOKEN)],
        ),
        with_headers("a token in another header", vec![header("x-auth-token", TOKEN)]),
        with_headers(
            "a token in a cookie",
            vec![header("cookie", &format!("CF_Authorization={good}; token={TOKEN}"))],
        ),
        with_headers("Authorization twice", vec![bearer(TOKEN), bearer(TOKEN)]),
        with_headers("Authorization twice, the second wrong", vec![bearer(TOKEN), bearer(&wrong)]),
        with_headers(
            "two tokens in one Authorization",
            vec![bearer(&format!("{TOKEN}, {OTHER_TOKEN}"))],
        ),
        with_headers(
            "x-api-key twice",
            vec![header("x-api-key", TOKEN), header("X-API-Key", TOKEN)],
        ),
        with_headers("two tokens at once", vec![bearer(TOKEN), header("x-api-key", &wrong)]),
        with_headers("two valid tokens", vec![bearer(TOKEN), header("x-api-key", OTHER_TOKEN)]),
        with_headers("a JWT and a token at once", vec![bearer(good), header("x-api-key", TOKEN)]),
        with_headers(
            "a JWT in both headers",
            vec![bearer(good), header("cf-access-jwt-assertion", good)],
        ),
        with_headers(
            "an invalid JWT of Cloudflare Access, and a valid token",
            vec![bearer(TOKEN), header("cf-access-jwt-assertion", "a.b.c")],
        ),
        (
            "a token in the query".to_owned(),
            at_path("POST", &format!("/?access_token={TOKEN}&x-api-key={TOKEN}")),
            Unauthorized,
        ),
        ("another path".to_owned(), at_path("POST", "/nowhere"), Unauthorized),
        ("another method".to_owned(), at_path("DELETE", "/"), Unauthorized),
        (
            "a path similar to the health check's".to_owned(),
            at_path("GET", "/healthz/"),
            Unauthorized,
        ),
        ("OPTIONS that is not a preflight".to_owned(), at_path("OPTIONS", "/"), Unauthorized),
        ("a WebSocket without a token".to_owned(), upgrade("bedrock-edge"), Unauthorized),
        (
            "a WebSocket with a wrong token".to_owned(),
            upgrade(&format!("bedrock-edge, bearer.{wrong}")),
            Unauthorized,
        ),
        (
            "a WebSocket with two tokens".to_owned(),
            upgrade(&format!("bearer.{TOKEN}, bearer.{TOKEN}")),
            Unauthorized,
        ),
    ];

    let preflight = |origin: &str| {
        let headers =
            vec![header("origin", origin), header("access-control-request-method", "POST")];
        let target = "/".to_owned();
        let request = Request { method: "OPTIONS", target, headers, body: None };
        (format!("a preflight from {origin}"), request, Unauthorized)
    };
    let from = |origin: &str| {
        let headers = vec![bearer(TOKEN), header("origin", origin)];
        (format!("a valid token from {origin}"), Request::new(headers), Forbidden)
    };
    let origins = LOOK_ALIKES.iter().flat_map(|origin| [preflight(origin), from(origin)]);
    let mut foreign_socket = upgrade(&format!("bedrock-edge, bearer.{TOKEN}"));
    foreign_socket.headers.push(header("origin", "https://evil.example"));
    let two_origins =
        vec![bearer(TOKEN), header("origin", PAGE), header("origin", "https://evil.example")];

    jwts.chain(plain)
        .chain(origins)
        .chain([
            ("a WebSocket from another origin".to_owned(), foreign_socket, Forbidden),
            ("Origin twice".to_owned(), Request::new(two_origins), Forbidden),
        ])
        .collect()
}

/// Origins that resemble `https://app.example.com` or `http://localhost:3000`.
const LOOK_ALIKES: [&str; 14] = [
    "null",
    "*",
    "https://app.example.com.evil.example",
    "https://evilapp.example.com",
    "https://evil.app.example.com",
    "https://example.com",
    "https://app.example.com:8443",
    "https://app.example.com:443",
    "https://app.example.com/",
    "https://APP.example.com",
    "http://app.example.com",
    "https://app.example.com@evil.example",
    "https://app-example.com",
    "http://localhost:30000",
];
