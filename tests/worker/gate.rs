//! Who gets in, and who does not.
//!
//! Every request that is refused is sent without the body that it announces, so an answer shows
//! that the body was not waited for.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::fixture::Fixture;
use crate::issuer::Issuer;
use crate::signer::{Call, KEY_ID, SECRET, at, sha256};
use crate::workerd::Workerd;

/// What `npm run token` prints, so to say.
const TOKEN: &str = "bedge_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const OTHER_TOKEN: &str = "bedge_GFEDCBAzyxwvutsrqponmlkjihgfedcba9876543210";
const PAGE: &str = "https://app.example.com";
const BODY: &str = r#"{"prompt":"Hello"}"#;

const CHALLENGE: &str = r#"Bearer realm="bedrock-edge", AWS4-HMAC-SHA256"#;

/// Every method at once.
pub fn bindings(issuer: &Issuer) -> Value {
    json!({
        "AUTH": null,
        "API_TOKENS": format!("ci:{}\nphone:{}", sha256(TOKEN), sha256(OTHER_TOKEN)),
        "JWT_ISSUER": issuer.url,
        "JWT_AUDIENCE": "bedrock-edge second",
        "CLIENT_KEYS": format!("{KEY_ID}:{SECRET}, EDGEI44QH8DHBEXAMPLE:{}", SECRET.replace('e', "f")),
        "ALLOWED_ORIGINS": format!("{PAGE} http://localhost:3000"),
    })
}

fn bearer(token: &str) -> (String, String) {
    header("authorization", &format!("Bearer {token}"))
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A request as it is written here.
#[derive(Clone)]
struct Request {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    /// `None`: 18 bytes are announced, and none come.
    body: Option<String>,
}

impl Request {
    fn with(headers: Vec<(String, String)>) -> Self {
        Self { method: "POST", target: "/".to_owned(), headers, body: None }
    }

    async fn send(&self, worker: &Workerd) -> Answer {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head += "host: worker\r\n";
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let length = self.body.as_ref().map_or(BODY.len(), String::len);
        if self.method == "POST" {
            head += &format!("content-length: {length}\r\n");
        }
        head += "\r\n";
        let mut connection = worker.connect().await;
        connection.write(head + self.body.as_deref().unwrap_or_default()).await;
        connection.answer().await
    }
}

/// Its status and error code, and what it says to a SigV4 client.
enum Expected {
    /// 401, and nothing more.
    Stranger,
    /// 401, and this type of AWS's.
    Aws(&'static str),
    /// 403
    Forbidden,
}
use Expected::{Aws, Forbidden, Stranger};

const INCOMPLETE: Expected = Aws("IncompleteSignatureException");
const INVALID: Expected = Aws("InvalidSignatureException");

fn strangers(issuer: &Issuer) -> Vec<(String, Request, Expected)> {
    let is_refused = |name: &&String| {
        let mut good = ACCEPTED_JWTS.iter().map(|(name, _)| *name);
        let others = ["the next key", "a subject with spaces"];
        !good.any(|it| it == name.as_str())
            && !name.contains("scope")
            && !others.contains(&name.as_str())
    };
    let tokens = issuer.made["tokens"].as_object().unwrap();
    let jwts = tokens.keys().filter(is_refused).map(|name| {
        let case = format!("JWT: {name}");
        (case, Request::with(vec![bearer(issuer.token(name))]), Stranger)
    });

    let good = issuer.token("good");
    let row = |case: &str, headers| (case.to_owned(), Request::with(headers), Stranger);
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
        row("nothing", vec![]),
        row("an empty Authorization", vec![header("authorization", "")]),
        row("Bearer without a token", vec![header("authorization", "Bearer")]),
        row("a wrong token", vec![bearer(&wrong)]),
        row("a token cut short", vec![bearer(&TOKEN[..TOKEN.len() - 1])]),
        row("a token with one letter more", vec![bearer(&format!("{TOKEN}H"))]),
        row("a token in another case", vec![bearer(&TOKEN.to_uppercase())]),
        row("the hash of a token", vec![bearer(&sha256(TOKEN))]),
        row("the name of a token", vec![bearer("ci")]),
        row(
            "a token with the wrong scheme",
            vec![header("authorization", &format!("Token {TOKEN}"))],
        ),
        row("a token without a scheme", vec![header("authorization", TOKEN)]),
        row(
            "a token as a password",
            vec![header("authorization", "Basic Y2k6YmVkZ2VfMDEyMzQ1Njc4OQ==")],
        ),
        row("a token that is not ASCII", vec![bearer("日本語")]),
        row("a token of 9,000 letters", vec![bearer(&"a".repeat(9000))]),
        row("a wrong x-api-key", vec![header("x-api-key", &wrong)]),
        row("a scheme in x-api-key", vec![header("x-api-key", &format!("Bearer {TOKEN}"))]),
        row("a JWT in x-api-key", vec![header("x-api-key", good)]),
        row("a token in Access's header", vec![header("cf-access-jwt-assertion", TOKEN)]),
        row("a token in another header", vec![header("x-auth-token", TOKEN)]),
        row(
            "a token in a cookie",
            vec![header("cookie", &format!("CF_Authorization={good}; token={TOKEN}"))],
        ),
        row("Authorization twice", vec![bearer(TOKEN), bearer(TOKEN)]),
        row("Authorization twice, the second wrong", vec![bearer(TOKEN), bearer(&wrong)]),
        row("two tokens in one Authorization", vec![bearer(&format!("{TOKEN}, {OTHER_TOKEN}"))]),
        row("x-api-key twice", vec![header("x-api-key", TOKEN), header("X-API-Key", TOKEN)]),
        row("two methods at once", vec![bearer(TOKEN), header("x-api-key", TOKEN)]),
        row("a JWT and a token at once", vec![bearer(good), header("x-api-key", TOKEN)]),
        row(
            "a JWT in both its headers",
            vec![bearer(good), header("cf-access-jwt-assertion", good)],
        ),
        row(
            "a wrong JWT of Access, and a token",
            vec![bearer(TOKEN), header("cf-access-jwt-assertion", "a.b.c")],
        ),
        (
            "a token in the query".to_owned(),
            at_path("POST", &format!("/?access_token={TOKEN}&x-api-key={TOKEN}")),
            Stranger,
        ),
        ("another path".to_owned(), at_path("POST", "/nowhere"), Stranger),
        ("another method".to_owned(), at_path("DELETE", "/"), Stranger),
        ("a path that only looks like health".to_owned(), at_path("GET", "/healthz/"), Stranger),
        ("OPTIONS that is no preflight".to_owned(), at_path("OPTIONS", "/"), Stranger),
        ("a WebSocket without a token".to_owned(), upgrade("bedrock-edge"), Stranger),
        (
            "a WebSocket with a wrong token".to_owned(),
            upgrade(&format!("bedrock-edge, bearer.{wrong}")),
            Stranger,
        ),
        (
            "a WebSocket with two tokens".to_owned(),
            upgrade(&format!("bearer.{TOKEN}, bearer.{TOKEN}")),
            Stranger,
        ),
    ];

    let preflight = |origin: &str| {
        let headers =
            vec![header("origin", origin), header("access-control-request-method", "POST")];
        let target = "/".to_owned();
        let request = Request { method: "OPTIONS", target, headers, body: None };
        (format!("a preflight from {origin}"), request, Stranger)
    };
    let from = |origin: &str| {
        let headers = vec![bearer(TOKEN), header("origin", origin)];
        (format!("a good token from {origin}"), Request::with(headers), Forbidden)
    };
    let origins = LOOK_ALIKES.iter().flat_map(|origin| [preflight(origin), from(origin)]);
    let mut foreign_socket = upgrade(&format!("bedrock-edge, bearer.{TOKEN}"));
    foreign_socket.headers.push(header("origin", "https://evil.example"));
    let two_origins =
        vec![bearer(TOKEN), header("origin", PAGE), header("origin", "https://evil.example")];

    jwts.chain(plain)
        .chain(origins)
        .chain([
            ("a WebSocket of another page".to_owned(), foreign_socket, Forbidden),
            ("Origin twice".to_owned(), Request::with(two_origins), Forbidden),
        ])
        .collect()
}

/// Of `https://app.example.com`.
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

/// SigV4 clients that do something wrong.
fn signed(address: &str) -> Vec<(&'static str, Request, Expected)> {
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
                it.id = crate::fixture::ACCESS_KEY_ID.into();
                it.secret = crate::fixture::SECRET_ACCESS_KEY.into();
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

async fn assert_refused(case: &str, worker: &Workerd, answer: &Answer, expected: &Expected) {
    let (status, code) = match expected {
        Stranger | Aws(_) => (401, "unauthorized"),
        Forbidden => (403, "forbidden"),
    };
    assert_eq!(answer.status, status, "{case}: {answer}");
    assert_eq!(answer.header("x-error-code"), Some(code), "{case}: {answer}");
    let challenge = (status == 401).then_some(CHALLENGE);
    assert_eq!(answer.header("www-authenticate"), challenge, "{case}: {answer}");
    let kind = if let Aws(kind) = expected { Some(*kind) } else { None };
    assert_eq!(answer.header("x-amzn-errortype"), kind, "{case}: {answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}: {answer}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{case}: {answer}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["input_prompt"], "", "{case}: {answer}");
    if let Stranger = expected {
        answer.assert_envelope(case, 401, "", "Error: Unauthorized");
    }
    let line = worker.log_line(answer.request_id()).await;
    assert_eq!(line["outcome"], code, "{case}: {line}");
    match expected {
        // The log says what was wrong.
        Stranger | Aws(_) => assert!(line["error"].is_string(), "{case}: {line}"),
        Forbidden => assert_eq!(line["caller"], "token:ci", "{case}: {line}"),
    }
}

#[tokio::test]
async fn who_does_not_get_in() {
    let issuer = Issuer::start().await;
    let fixture = Fixture::with(bindings(&issuer)).await;
    let worker = &fixture.worker;
    let address = worker.address.to_string();
    let rows = strangers(&issuer);
    let signed = signed(&address);
    let mut count = 0;
    let signed = signed.into_iter().map(|(case, request, it)| (case.to_owned(), request, it));
    for (case, request, expected) in rows.into_iter().chain(signed) {
        let answer = request.send(worker).await;
        assert_refused(&case, worker, &answer, &expected).await;
        count += 1;
    }
    assert!(count >= 60, "{count} rows");
    println!("{count} refused requests");
    assert!(fixture.stub.requests().is_empty());
    let output = worker.output();
    for secret in [TOKEN, OTHER_TOKEN, SECRET, issuer.token("good"), issuer.token("expired")] {
        assert!(!output.contains(secret), "a credential is in the log");
    }
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

/// And the callers' names.
const ACCEPTED_JWTS: [(&str, &str); 13] = [
    ("good", "jwt:alice"),
    ("ES256", "jwt:alice"),
    ("an array of audiences", "jwt:alice"),
    ("a second audience", "jwt:alice"),
    ("no kid", "jwt:alice"),
    ("no nbf or iat", "jwt:alice"),
    ("a fraction of a second", "jwt:alice"),
    ("expired within the leeway", "jwt:alice"),
    ("valid within the leeway", "jwt:alice"),
    ("Cognito's access token", "jwt:alice"),
    ("Cognito's id token", "jwt:alice"),
    ("a service token of Access", "service:ci.access"),
    ("Auth0's subject", "jwt:auth0|abc"),
];

async fn assert_accepted(case: &str, worker: &Workerd, answer: &Answer, caller: &str) {
    assert_eq!(answer.status, 200, "{case}: {answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}: {answer}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{case}: {answer}");
    let line = worker.log_line(answer.request_id()).await;
    assert_eq!(line["caller"], caller, "{case}: {line}");
}

#[tokio::test]
async fn who_gets_in() {
    let issuer = Issuer::start().await;
    let fixture = Fixture::with(bindings(&issuer)).await;
    let worker = &fixture.worker;
    let token = |name| bearer(issuer.token(name));
    let rows = ACCEPTED_JWTS.map(|(name, caller)| (name, vec![token(name)], caller));
    let others = vec![
        ("a token", vec![bearer(TOKEN)], "token:ci"),
        ("another token", vec![bearer(OTHER_TOKEN)], "token:phone"),
        (
            "bearer in another case",
            vec![header("authorization", &format!("bEARER  {TOKEN}"))],
            "token:ci",
        ),
        ("x-api-key", vec![header("x-api-key", TOKEN)], "token:ci"),
        (
            "Access's header",
            vec![header("cf-access-jwt-assertion", issuer.token("good"))],
            "jwt:alice",
        ),
        ("a subject with spaces", vec![token("a subject with spaces")], "jwt:Zo%C3%AB%20B%0A"),
        ("a page", vec![bearer(TOKEN), header("origin", PAGE)], "token:ci"),
        ("its own page", vec![bearer(TOKEN), header("origin", "https://worker")], "token:ci"),
        (
            "another page's own",
            vec![bearer(TOKEN), header("origin", "http://localhost:3000")],
            "token:ci",
        ),
    ];
    for (case, headers, caller) in rows.into_iter().chain(others) {
        let mut request = Request::with(headers);
        request.body = Some(BODY.to_owned());
        let answer = request.send(worker).await;
        assert_accepted(case, worker, &answer, caller).await;
    }
    let address = worker.address.to_string();
    let call = || Call::new(&address, BODY);
    for (case, call) in [
        ("SigV4", call()),
        ("SigV4 with the hash", call().hashed()),
        ("SigV4 for API Gateway", call().with(|it| it.service = "execute-api".into())),
        ("SigV4 for Lambda", call().with(|it| it.service = "lambda".into())),
        ("SigV4 four minutes late", call().with(|it| it.time = at(-240))),
        ("SigV4 four minutes early", call().with(|it| it.time = at(240))),
        ("SigV4 with a query", call().with(|it| it.target = "/?b=2&a=%7e+%20&c&a=1".into())),
        (
            "SigV4 with more headers",
            call().header("content-type", "application/json").header("x-a", "a  b"),
        ),
    ] {
        let mut request = Request::with(call.signed());
        request.target.clone_from(&call.target);
        request.body = Some(call.body.clone());
        let answer = request.send(worker).await;
        assert_accepted(case, worker, &answer, &format!("key:{KEY_ID}")).await;
    }
    // Whoever is known is told more.
    for (method, target, status) in [
        ("POST", "/nowhere", 404),
        ("DELETE", "/", 405),
        ("OPTIONS", "/", 204),
        ("GET", "/ws", 426),
    ] {
        let request = Request {
            method,
            target: target.to_owned(),
            headers: vec![bearer(TOKEN)],
            body: Some(String::new()),
        };
        let answer = request.send(worker).await;
        assert_eq!(answer.status, status, "{method} {target}: {answer}");
    }
}

#[tokio::test]
async fn with_nothing_configured_nobody_gets_in() {
    let fixture = Fixture::with(json!({ "AUTH": null })).await;
    let worker = &fixture.worker;
    let health = worker.send(worker.request(Method::GET, "/healthz")).await;
    health.assert_envelope("health", 200, "", "ok");
    for (case, headers) in [
        ("nothing", vec![]),
        ("a token", vec![bearer(TOKEN)]),
        ("a signature", Call::new("worker", BODY).signed()),
    ] {
        let answer = Request::with(headers).send(worker).await;
        answer.assert_envelope(case, 401, "", "Error: Unauthorized");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some(r#"Bearer realm="bedrock-edge""#), "{case}: {answer}");
        let line = worker.log_line(answer.request_id()).await;
        if case == "nothing" {
            assert_eq!(
                line["error"],
                "no access method is configured: set API_TOKENS, JWT_ISSUER or CLIENT_KEYS, or \
                 AUTH=open",
            );
        }
    }
    assert!(fixture.stub.requests().is_empty());
}

#[tokio::test]
async fn a_required_scope() {
    let issuer = Issuer::start().await;
    let mut bindings = bindings(&issuer);
    bindings["JWT_REQUIRED_SCOPE"] = "chat".into();
    let fixture = Fixture::with(bindings).await;
    let worker = &fixture.worker;
    for name in ["the scope", "the scope in scp"] {
        let mut request = Request::with(vec![bearer(issuer.token(name))]);
        request.body = Some(BODY.to_owned());
        let answer = request.send(worker).await;
        assert_accepted(name, worker, &answer, "jwt:alice").await;
    }
    for name in ["another scope", "no scope"] {
        let answer = Request::with(vec![bearer(issuer.token(name))]).send(worker).await;
        answer.assert_envelope(name, 403, "", "Error: the token lacks the scope chat");
        assert_eq!(answer.header("x-error-code"), Some("forbidden"), "{name}: {answer}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some(r#"Bearer realm="bedrock-edge", error="insufficient_scope", scope="chat""#),
            "{name}: {answer}"
        );
        let line = worker.log_line(answer.request_id()).await;
        assert_eq!(line["caller"], "jwt:alice", "{name}: {line}");
    }
    assert_eq!(fixture.stub.requests().len(), 2);
}

#[tokio::test]
async fn what_the_scripts_issue_gets_in() {
    let printed = |script: &str, argument: &str| {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut node = std::process::Command::new(root.join("node_modules/.bin/node"));
        let output = node.arg(root.join("scripts").join(script)).arg(argument).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("  ").map(str::to_owned));
        lines.collect::<Vec<_>>()
    };
    let [token, api_tokens] = &*printed("token.mjs", "ci") else { panic!() };
    assert!(token.starts_with("bedge_") && token.len() == 49, "{token}");
    let [id, secret, client_keys] = &*printed("client-key.mjs", "") else { panic!() };
    let fixture = Fixture::with(json!({
        "AUTH": null,
        "API_TOKENS": api_tokens,
        "CLIENT_KEYS": client_keys,
    }))
    .await;
    let worker = &fixture.worker;
    let call = Call::new(&worker.address.to_string(), BODY).with(|it| {
        it.id = id.split_once('=').unwrap().1.to_owned();
        it.secret = secret.split_once('=').unwrap().1.to_owned();
    });
    let caller = format!("key:{}", call.id);
    for (headers, caller) in [(vec![bearer(token)], "token:ci"), (call.signed(), &*caller)] {
        let mut request = Request::with(headers);
        request.body = Some(BODY.to_owned());
        let answer = request.send(worker).await;
        assert_accepted("issued", worker, &answer, caller).await;
    }
}
