mod rate;
mod settlement;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::config::{Budget, Level};
use crate::host::{IncomingRequest, LedgerStore, LimitError, Runtime};
use crate::server::{Handled, Isolate, WebSocket, handle, lambda_handler, socket_handler};
use crate::testing::{ONCE, Scripted, Watched, config, isolate, request_in_the_worker};

/// 5 bytes of text, for which 37 + `max_tokens` are reserved.
const BODY: &str = r#"{"prompt": "Hello"}"#;
const REPLY: &str = r#"{"content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 12, "output_tokens": 7, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 1000}}"#;

fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> IncomingRequest<Bytes> {
    request_in_the_worker(method, path, headers, Bytes::copy_from_slice(body.as_bytes()))
}

/// Returns the status, the headers about limits, and the body of the response.
async fn send(
    request: IncomingRequest<Bytes>,
    isolate: &Isolate,
    host: &Scripted,
) -> (u16, Vec<(&'static str, String)>, String) {
    let (envelope, _) = lambda_handler(request, isolate, host).await;
    let mut headers = envelope.headers;
    headers.retain(|(name, _)| {
        ["x-error-code", "retry-after"].contains(name) || name.starts_with("x-ratelimit")
    });
    (envelope.status_code, headers, envelope.body)
}

#[tokio::test]
async fn without_a_limit_neither_the_limiter_nor_a_ledger_is_called() {
    let host = Scripted::new().then(200, &[], REPLY).then(200, &[], REPLY).with_limits();
    let isolate = isolate(&[]);
    assert_eq!(send(request("POST", "/", &[], BODY), &isolate, &host).await.0, 200);
    let (status, _, body) = send(request("GET", "/usage", &[], ""), &isolate, &host).await;
    assert_eq!((status, &*body), (200, r#"{"caller":"anonymous","limited":false}"#));
    assert!(host.told.borrow().is_empty());
    assert!(host.counted.borrow().is_empty());
}

#[tokio::test]
async fn a_request_reserves_a_token_for_each_byte_and_max_tokens() {
    let cases = [
        ("ASCII", r#"{"prompt": "Hello"}"#, 137),
        ("Japanese, a token for each byte", r#"{"prompt": "こんにちは"}"#, 147),
        ("escaped", r#"{"prompt": "\u3053\u3093"}"#, 138),
        ("a system prompt", r#"{"prompt": "Hello", "system": "Be brief."}"#, 146),
        ("fewer tokens", r#"{"prompt": "Hello", "max_tokens": 1}"#, 38),
        ("the default prompt", "", 158),
        (
            "a conversation of one message",
            r#"{"messages": [{"role": "user", "content": "Hello"}]}"#,
            137,
        ),
        (
            "every text of a conversation, and 8 for each further message",
            r#"{"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": [{"type": "text", "text": "\u3053"}, {"type": "text", "text": "bc"}]}]}"#,
            160,
        ),
        (
            "a conversation and a system prompt",
            r#"{"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}], "system": "Be brief."}"#,
            156,
        ),
    ];
    for (name, body, tokens) in cases {
        let host = Scripted::new().then(200, &[], REPLY).with_limits();
        let isolate = isolate(&[("MAX_IN_FLIGHT", "1")]);
        send(request("POST", "/", &[], body), &isolate, &host).await;
        let (account, message) = host.told.borrow()[0].clone();
        let id = message["reserve"].as_str().unwrap();
        let expected = json!({ "reserve": id, "tokens": tokens, "lease": 900, "max_in_flight": 1 });
        assert_eq!((&*account, &message), ("anonymous", &expected), "{name}");
        assert_eq!(host.told.borrow()[1].1["settle"], id, "{name}");
    }
}

#[tokio::test]
async fn a_request_that_exceeds_a_limit_gets_a_429_with_a_time_to_wait() {
    /// The tokens reserved before, and what they were settled on.
    type Before<'a> = &'a [(u64, Option<u64>)];
    type Variable<'a> = (&'a str, &'a str);
    let cases: [(&str, Variable, Before, Value, &str); 8] = [
        (
            "in flight",
            ("MAX_IN_FLIGHT", "2"),
            &[(1, None), (1, None)],
            json!({ "x-error-code": "too_many_in_flight", "retry-after": "1" }),
            "too many requests are in flight",
        ),
        (
            "a day",
            ("DAILY_TOKENS", "1000"),
            &[(900, Some(864))],
            // 2026-01-02T03:04:05Z
            json!({ "x-error-code": "budget_exceeded", "retry-after": "75355", "x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "136" }),
            "the request may use 137 tokens, and 136 of 1000 are left today",
        ),
        (
            "a day, reserved",
            ("DAILY_TOKENS", "1000"),
            &[(900, Some(500)), (500, None)],
            json!({ "x-error-code": "budget_exceeded", "retry-after": "1", "x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "0" }),
            "the request may use 137 tokens, and 0 of 1000 are left today",
        ),
        (
            "a month",
            ("MONTHLY_TOKENS", "1000"),
            &[(1000, Some(1000))],
            json!({ "x-error-code": "budget_exceeded", "retry-after": "2580955", "x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "0" }),
            "the request may use 137 tokens, and 0 of 1000 are left this month",
        ),
        (
            "used beyond the limit",
            ("DAILY_TOKENS", "1000"),
            &[(1000, Some(1219))],
            json!({ "x-error-code": "budget_exceeded", "retry-after": "75355", "x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "0" }),
            "the request may use 137 tokens, and 0 of 1000 are left today",
        ),
        (
            "more than a whole day's",
            ("DAILY_TOKENS", "136"),
            &[],
            json!({ "x-error-code": "budget_exceeded", "x-ratelimit-limit-tokens": "136", "x-ratelimit-remaining-tokens": "136" }),
            "the request may use 137 tokens, and 136 of 136 are left today",
        ),
        ("just enough", ("DAILY_TOKENS", "1000"), &[(900, Some(863))], json!({}), ""),
        ("one in flight", ("MAX_IN_FLIGHT", "2"), &[(1, None)], json!({}), ""),
    ];
    for (name, variable, before, headers, message) in cases {
        let host = Scripted::new().then(200, &[], REPLY).with_limits();
        for (index, (tokens, settled)) in before.iter().enumerate() {
            let budget = Budget::default();
            let id = index.to_string();
            let reserve = Message::Reserve {
                id: id.clone(),
                tokens: *tokens,
                lease: 900,
                budget,
                replaces: None,
            };
            LedgerStore::exchange(&host, "anonymous", reserve.to_json()).await.unwrap();
            if let Some(tokens) = *settled {
                let settle = Message::Settle { id, tokens };
                LedgerStore::exchange(&host, "anonymous", settle.to_json()).await.unwrap();
            }
        }
        let isolate = isolate(&[variable]);
        let response = send(request("POST", "/", &[], BODY), &isolate, &host).await;
        let (status, actual, body) = response;
        let actual: Value = actual
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        assert_eq!(actual, headers, "{name}");
        if message.is_empty() {
            assert_eq!(status, 200, "{name}: {body}");
        } else {
            let prompt = r#""input_prompt":"Hello""#;
            let expected = format!(r#"{{{prompt},"generated_text":"Error: {message}"}}"#);
            assert_eq!((status, body), (429, expected), "{name}");
            assert!(host.requests.borrow().is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_limit_that_cannot_be_enforced_fails_every_request() {
    const MISSING: &str = "the host platform does not have it";
    let missing = Scripted::new;
    let broken = || {
        let mut host = Scripted::new().with_limits();
        host.broken = Some(LimitError("overloaded".to_owned()));
        host
    };
    let cases = [
        ("a budget", ("DAILY_TOKENS", "1000"), missing(), MISSING, 500, "misconfigured"),
        ("a budget", ("MAX_IN_FLIGHT", "1"), broken(), "overloaded", 503, "limits_unavailable"),
        ("a rate", ("RATE_LIMITER", "on"), missing(), MISSING, 500, "misconfigured"),
        ("a rate", ("RATE_LIMITER", "on"), broken(), "overloaded", 503, "limits_unavailable"),
    ];
    for (name, variable, host, error, status, code) in cases {
        let name = format!("{name}: {error}");
        let isolate = isolate(&[variable]);
        let (envelope, record) =
            lambda_handler(request("POST", "/", &[], BODY), &isolate, &host).await;
        assert_eq!((envelope.status_code, record.outcome), (status, code), "{name}");
        assert_eq!(record.level, Level::Error, "{name}");
        let binding = if variable.0 == "RATE_LIMITER" { "RATE_LIMITER" } else { "LEDGER" };
        let cause = serde_json::to_value(&record).unwrap()["error"].clone();
        assert_eq!(cause, format!("{binding}: {error}"), "{name}");
        let usage = send(request("GET", "/usage", &[], ""), &isolate, &host).await;
        assert_eq!(usage.0, status, "{name}");

        let socket = WebSocket::trusted(&isolate).unwrap();
        let (message, record) = socket_handler(BODY.into(), &socket, &host).await.unwrap_err();
        let message: Value = serde_json::from_str(&message).unwrap();
        assert_eq!((&message["event"], record.status), (&json!("error"), status), "{name}");
    }
}

#[tokio::test]
async fn a_platform_without_a_limiter_and_ledgers_is_misconfigured() {
    for variable in [("RATE_LIMITER", "1"), ("MAX_IN_FLIGHT", "1")] {
        let request = request("POST", "/", &[], BODY);
        let (envelope, record) =
            lambda_handler(request, &isolate(&[variable]), &Scripted::new()).await;
        assert_eq!((envelope.status_code, record.outcome), (500, "misconfigured"), "{variable:?}");
    }
}

#[tokio::test]
async fn the_numbers_of_an_account_are_pinned() {
    let host = Scripted::new().then(200, &[], REPLY).with_limits();
    let all = [("MAX_IN_FLIGHT", "2"), ("DAILY_TOKENS", "2000"), ("MONTHLY_TOKENS", "30000")];
    let (isolate, one) = (isolate(&all), isolate(&all[1..2]));
    send(request("POST", "/", &[], BODY), &isolate, &host).await;
    let reserve = Message::Reserve {
        id: "a".to_owned(),
        tokens: 100,
        lease: 900,
        budget: Budget::default(),
        replaces: None,
    };
    LedgerStore::exchange(&host, "anonymous", reserve.to_json()).await.unwrap();
    let (status, _, body) = send(request("GET", "/usage", &[], ""), &isolate, &host).await;
    let expected = r#"{"caller":"anonymous","limited":true,"in_flight":{"requests":1,"limit":2},"today":{"used":1219,"reserved":100,"limit":2000,"remaining":681,"resets_at":"2026-01-03T00:00:00Z"},"this_month":{"used":1219,"reserved":100,"limit":30000,"remaining":28681,"resets_at":"2026-02-01T00:00:00Z"}}"#;
    assert_eq!((status, &*body), (200, expected));
    let (_, _, body) = send(request("GET", "/usage", &[], ""), &one, &host).await;
    let expected = r#"{"caller":"anonymous","limited":true,"in_flight":{"requests":1,"limit":null},"today":{"used":1219,"reserved":100,"limit":2000,"remaining":681,"resets_at":"2026-01-03T00:00:00Z"},"this_month":{"used":1219,"reserved":100,"limit":null,"remaining":null,"resets_at":"2026-02-01T00:00:00Z"}}"#;
    assert_eq!(body, expected);
    assert_eq!(send(request("HEAD", "/usage", &[], ""), &isolate, &host).await.2, "");
    let (status, headers, _) = send(request("POST", "/usage", &[], ""), &isolate, &host).await;
    assert_eq!((status, headers), (405, vec![("x-error-code", "method_not_allowed".to_owned())]));
}

#[test]
fn the_variables_of_the_limits_are_read_and_checked() {
    type Vars<'a> = &'a [(&'a str, &'a str)];
    let budget = |max_in_flight, daily_tokens, monthly_tokens| {
        Ok((Some(Budget { max_in_flight, daily_tokens, monthly_tokens }), None))
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    type Read<'a> = Result<(Option<Budget>, Option<Duration>), &'a str>;
    let cases: [(&str, Vars, Read); 13] = [
        ("none", &[], Ok((None, None))),
        ("empty", &[("DAILY_TOKENS", " "), ("RATE_LIMITER", "")], Ok((None, None))),
        ("in flight", &[("MAX_IN_FLIGHT", "1")], budget(Some(1), None, None)),
        ("most in flight", &[("MAX_IN_FLIGHT", "1000")], budget(Some(1000), None, None)),
        ("a day", &[("DAILY_TOKENS", " 1\n")], budget(None, Some(1), None)),
        (
            "a month",
            &[("MONTHLY_TOKENS", "18446744073709551615")],
            budget(None, None, Some(u64::MAX)),
        ),
        ("a rate", &[("RATE_LIMITER", "[object Object]")], Ok((None, seconds(60)))),
        (
            "a short period",
            &[("RATE_LIMITER", "x"), ("RATE_LIMIT_PERIOD", "10")],
            Ok((None, seconds(10))),
        ),
        (
            "nobody in flight",
            &[("MAX_IN_FLIGHT", "0")],
            Err("MAX_IN_FLIGHT must be a whole number from 1 to 1000"),
        ),
        (
            "too many",
            &[("MAX_IN_FLIGHT", "1001")],
            Err("MAX_IN_FLIGHT must be a whole number from 1 to 1000"),
        ),
        ("no tokens", &[("DAILY_TOKENS", "0")], Err("DAILY_TOKENS must be a whole number from 1")),
        (
            "no number",
            &[("MONTHLY_TOKENS", "1e6")],
            Err("MONTHLY_TOKENS must be a whole number from 1"),
        ),
        (
            "another period",
            &[("RATE_LIMIT_PERIOD", "30")],
            Err("RATE_LIMIT_PERIOD must be 10 or 60, the period of RATE_LIMITER in seconds"),
        ),
    ];
    for (name, vars, expected) in cases {
        let actual = config(vars)
            .map(|config| (config.limits.budget, config.limits.requests))
            .map_err(|error| error.to_string());
        assert_eq!(actual, expected.map_err(str::to_owned), "{name}");
    }
}
