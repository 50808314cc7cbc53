use std::cell::{Cell, RefCell};
use std::time::SystemTime;

use bedrock_stub::events::{events, text_delta};
use bedrock_stub::frames::{chunk, encode, exception};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use serde_json::{Value, json};

use super::*;
use crate::config::ConfigError;
use crate::event::{Event, LambdaBody};
use crate::handler::{Answer, Upgrade, lambda_handler, socket_handler, streaming_handler};
use crate::host::TransportError;
use crate::host::scripted::{ONCE, Scripted, Watched, config};
use crate::invocation::{Invoked, invocation_handler};
use crate::log::Level;

/// 5 bytes, so that 37 + `max_tokens` are reserved.
const BODY: &str = r#"{"prompt": "Hello"}"#;
const ANSWER: &str = r#"{"content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 12, "output_tokens": 7, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 1000}}"#;

/// A Host with the means to limit.
struct Limited {
    host: Scripted,
    ledger: RefCell<Option<String>>,
    /// Accounts and messages.
    told: RefCell<Vec<(String, Value)>>,
    /// Keys of requests that were counted.
    counted: RefCell<Vec<String>>,
    /// How many requests are within the limit.
    allowed: usize,
    broken: Option<LimitError>,
    random: Cell<u128>,
}

impl Limited {
    fn new(host: Scripted) -> Self {
        Self {
            host,
            ledger: RefCell::default(),
            told: RefCell::default(),
            counted: RefCell::default(),
            allowed: usize::MAX,
            broken: None,
            random: Cell::new(0),
        }
    }

    /// What was settled, in tokens.
    fn settled(&self) -> Vec<u64> {
        let told = self.told.borrow();
        let settlements = told.iter().filter(|(_, message)| message["settle"].is_string());
        settlements.map(|(_, message)| message["tokens"].as_u64().unwrap()).collect()
    }

    fn standing(&self) -> Standing {
        let now = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let ledger = self.ledger.borrow();
        let (_, reply) = Ledger::exchange(ledger.as_deref(), r#"{"usage":true}"#, now).unwrap();
        Reply::parse(&reply).unwrap().standing
    }
}

impl Host for Limited {
    type Body = Watched;

    fn now(&self) -> SystemTime {
        self.host.now()
    }

    fn random(&self) -> u128 {
        self.random.set(self.random.get() + 1);
        self.random.get()
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        self.host.sleep(time).await
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<Watched>, TransportError> {
        self.host.send(request, within).await
    }

    async fn admit(&self, key: &str) -> Result<bool, LimitError> {
        self.counted.borrow_mut().push(key.to_owned());
        match &self.broken {
            Some(error) => Err(error.clone()),
            None => Ok(self.counted.borrow().len() <= self.allowed),
        }
    }

    async fn ledger(&self, account: &str, message: String) -> Result<String, LimitError> {
        let json = serde_json::from_str(&message).unwrap();
        self.told.borrow_mut().push((account.to_owned(), json));
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let now = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let stored = self.ledger.borrow().clone();
        let (changed, reply) = Ledger::exchange(stored.as_deref(), &message, now).unwrap();
        self.ledger.replace(changed.or(stored));
        Ok(reply)
    }
}

fn event(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Event<Bytes> {
    let headers = headers.iter().map(|(name, value)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    });
    let body = Bytes::copy_from_slice(body.as_bytes());
    Event::from_http(method.parse().unwrap(), path, headers.collect(), body)
}

/// The status, the headers that matter, and the body.
async fn ask(
    event: Event<Bytes>,
    config: &Result<Config, ConfigError>,
    host: &Limited,
) -> (u16, Vec<(&'static str, String)>, String) {
    let (envelope, _) = lambda_handler(event, config, host).await;
    let mut headers = envelope.headers;
    headers.retain(|(name, _)| {
        ["x-error-code", "retry-after"].contains(name) || name.starts_with("x-ratelimit")
    });
    (envelope.status_code, headers, envelope.body)
}

fn message_of(text: &str) -> Value {
    json!({
        "content": [{ "type": "text", "text": text }],
        "stop_reason": "end_turn",
        "usage": { "input_tokens": 12, "output_tokens": 7 },
    })
}

fn frames(message: &Value) -> Vec<Vec<u8>> {
    events(message).iter().map(|event| encode(&chunk(event))).collect()
}

#[tokio::test]
async fn without_a_limit_nothing_is_called() {
    let host = Limited::new(Scripted::new().then(200, &[], ANSWER).then(200, &[], ANSWER));
    let config = config(&[]);
    assert_eq!(ask(event("POST", "/", &[], BODY), &config, &host).await.0, 200);
    let (status, _, body) = ask(event("GET", "/usage", &[], ""), &config, &host).await;
    assert_eq!((status, &*body), (200, r#"{"caller":"anonymous","limited":false}"#));
    assert!(host.told.borrow().is_empty());
    assert!(host.counted.borrow().is_empty());
}

/// What each end of a call is settled on, of 137 reserved tokens.
#[tokio::test]
async fn what_a_call_is_settled_on() {
    let no_text = r#"{"content": [], "usage": {"input_tokens": 12, "output_tokens": 3}}"#;
    let no_usage = r#"{"content": [{"type": "text", "text": "Hi"}]}"#;
    let half = r#"{"content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 12}}"#;
    let unknown = r#"{"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}}"#;
    let broken = || Watched::broken("reset");
    let answers = |status, body: &str| Scripted::new().then(status, &[], body.to_owned());
    let cases = [
        ("an answer, with its caches", answers(200, ANSWER), 1219),
        ("an answer without numbers", answers(200, no_usage), 137),
        ("half the numbers", answers(200, half), 112),
        ("an answer without a text", answers(200, no_text), 15),
        ("not an answer", answers(200, "<html>"), 137),
        ("an answer that breaks off", Scripted::new().then(200, &[], broken()), 137),
        ("an unknown operation", answers(200, unknown), 0),
        ("refused", answers(400, "{}"), 0),
        ("throttled", answers(429, "{}"), 0),
        ("a failure of Bedrock's", answers(503, "{}"), 0),
        ("a model that failed", answers(424, "{}"), 0),
        ("a model that took too long", answers(408, "{}"), 137),
        ("no connection", Scripted::new().then_fail("refused"), 0),
        ("the second call is answered", answers(408, "{}").then(200, &[], ANSWER), 137 + 1219),
        ("and refused", answers(408, "{}").then(400, &[], "{}"), 137),
        ("what was refused is not billed", answers(503, "{}").then(200, &[], ANSWER), 1219),
        ("the caller left", Scripted::new().then_leave(), 137),
        ("too late", Scripted::new().then_time_out(), 137),
    ];
    for (name, script, tokens) in cases {
        let attempts = script.left().to_string();
        let host = Limited::new(script);
        let config = config(&[("DAILY_TOKENS", "5000"), ("BEDROCK_MAX_ATTEMPTS", &attempts)]);
        ask(event("POST", "/", &[], BODY), &config, &host).await;
        assert_eq!(host.settled(), [tokens], "{name}");
        let standing = host.standing();
        assert_eq!((standing.in_flight, standing.today.used), (0, tokens), "{name}");
    }
}

/// The same of streams, which are left after some frames or not.
#[tokio::test]
async fn what_a_stream_is_settled_on() {
    const ALL: usize = usize::MAX;
    let start = |usage: Value| {
        encode(&chunk(&json!({ "type": "message_start", "message": { "usage": usage } })))
    };
    let text = |text: &str| encode(&chunk(&text_delta(0, text)));
    let known = json!({ "input_tokens": 12, "output_tokens": 1 });
    let cached = json!({ "input_tokens": 12, "cache_read_input_tokens": 30, "output_tokens": 1 });
    let throttled = encode(&exception("throttlingException", "{}"));
    let timeout = encode(&exception("modelTimeoutException", "{}"));
    let cases = [
        ("whole", frames(&message_of("Hi")), ALL, 19),
        ("left after the first frame", vec![start(known.clone()), text("Hi")], 1, 13),
        ("left in the middle", vec![start(known.clone()), text("Hello"), text("!")], 2, 17),
        ("in Japanese", vec![start(known.clone()), text("はい"), text("!")], 2, 18),
        ("with a cache", vec![start(cached), text("Hello"), text("!")], 2, 47),
        ("much", vec![start(known.clone()), text(&"x".repeat(500)), text("!")], 2, 112),
        ("without numbers", vec![start(json!({})), text("Hello"), text("!")], 2, 42),
        ("broken off", vec![start(known.clone()), text("Hello")], ALL, 17),
        ("an exception", vec![start(known), text("Hello"), throttled.clone()], ALL, 17),
        ("an exception at once", vec![throttled], ALL, 0),
        ("a model that took too long", vec![timeout], ALL, 137),
        ("no frame", vec![], ALL, 137),
        ("no event stream", vec![b"<html>".to_vec()], ALL, 137),
    ];
    for (name, frames, taken, tokens) in cases {
        for is_socket in [false, true] {
            let name = format!("{name}, {}", if is_socket { "WebSocket" } else { "SSE" });
            let script = Scripted::new().then(200, &[], Watched::in_pieces(frames.clone()));
            let host = Limited::new(script);
            let config = config(&[("DAILY_TOKENS", "5000"), ONCE]);
            let streaming = if is_socket {
                let upgrade = Upgrade::trusted(config.as_ref().unwrap());
                socket_handler(BODY.into(), &upgrade, &host).await.ok()
            } else {
                let event = event("POST", "/", &[("accept", "text/event-stream")], BODY);
                match streaming_handler(event, &config, &host).await {
                    Answer::Stream(_, streaming) => Some(streaming),
                    Answer::Whole(..) => None,
                }
            };
            if let Some(mut streaming) = streaming {
                assert_eq!(host.standing().in_flight, 1, "{name}");
                assert_eq!(host.standing().today.reserved, 137, "{name}");
                // `start` is an event, and the first frame is not.
                for _ in 0..taken {
                    if streaming.next().await.is_none() {
                        break;
                    }
                }
                let (_, settlement) = streaming.generation.finish(host.now());
                host.settle(settlement.unwrap()).await.unwrap();
            }
            assert_eq!(host.settled(), [tokens], "{name}");
            assert_eq!(host.standing().in_flight, 0, "{name}");
        }
    }
}

#[tokio::test]
async fn what_a_request_reserves() {
    let cases = [
        ("ASCII", r#"{"prompt": "Hello"}"#, 137),
        ("Japanese, a token for each byte", r#"{"prompt": "こんにちは"}"#, 147),
        ("escaped", r#"{"prompt": "\u3053\u3093"}"#, 138),
        ("a system prompt", r#"{"prompt": "Hello", "system": "Be brief."}"#, 146),
        ("fewer tokens", r#"{"prompt": "Hello", "max_tokens": 1}"#, 38),
        ("the default prompt", "", 158),
    ];
    for (name, body, tokens) in cases {
        let host = Limited::new(Scripted::new().then(200, &[], ANSWER));
        let config = config(&[("MAX_IN_FLIGHT", "1")]);
        ask(event("POST", "/", &[], body), &config, &host).await;
        let (account, message) = host.told.borrow()[0].clone();
        let id = message["reserve"].as_str().unwrap();
        let expected = json!({ "reserve": id, "tokens": tokens, "lease": 900, "max_in_flight": 1 });
        assert_eq!((&*account, &message), ("anonymous", &expected), "{name}");
        assert_eq!(host.told.borrow()[1].1["settle"], id, "{name}");
    }
}

#[tokio::test]
async fn refusals() {
    /// What is reserved and settled before.
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
        let host = Limited::new(Scripted::new().then(200, &[], ANSWER));
        for (index, (tokens, settled)) in before.iter().enumerate() {
            let budget = Budget::default();
            let id = index.to_string();
            let reserve = Message::Reserve { id: id.clone(), tokens: *tokens, lease: 900, budget };
            host.ledger("anonymous", reserve.to_json()).await.unwrap();
            if let Some(tokens) = *settled {
                let settle = Message::Settle { id, tokens };
                host.ledger("anonymous", settle.to_json()).await.unwrap();
            }
        }
        let config = config(&[variable]);
        let answer = ask(event("POST", "/", &[], BODY), &config, &host).await;
        let (status, actual, body) = answer;
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
            assert!(host.host.requests.borrow().is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_limit_that_cannot_be_enforced_lets_nobody_through() {
    let unreachable = LimitError::Unreachable("overloaded".to_owned());
    let cases = [
        ("a budget", ("DAILY_TOKENS", "1000"), LimitError::Missing, 500, "misconfigured"),
        ("a budget", ("MAX_IN_FLIGHT", "1"), unreachable.clone(), 503, "limits_unavailable"),
        ("a rate", ("RATE_LIMITER", "on"), LimitError::Missing, 500, "misconfigured"),
        ("a rate", ("RATE_LIMITER", "on"), unreachable, 503, "limits_unavailable"),
    ];
    for (name, variable, error, status, code) in cases {
        let name = format!("{name}: {error}");
        let host = Limited { broken: Some(error.clone()), ..Limited::new(Scripted::new()) };
        let config = config(&[variable]);
        let (envelope, record) =
            lambda_handler(event("POST", "/", &[], BODY), &config, &host).await;
        assert_eq!((envelope.status_code, record.outcome), (status, code), "{name}");
        assert_eq!(record.level, Level::Error, "{name}");
        let binding = if variable.0 == "RATE_LIMITER" { "RATE_LIMITER" } else { "LEDGER" };
        let cause = serde_json::to_value(&record).unwrap()["error"].clone();
        assert_eq!(cause, format!("{binding}: {error}"), "{name}");
        let usage = ask(event("GET", "/usage", &[], ""), &config, &host).await;
        assert_eq!(usage.0, status, "{name}");

        let upgrade = Upgrade::trusted(config.as_ref().unwrap());
        let answer = socket_handler(BODY.into(), &upgrade, &host).await;
        let (event, record) = answer.unwrap_err();
        assert_eq!((event.name(), record.status), ("error", status), "{name}");
    }
}

/// The default methods of a Host have no means.
#[tokio::test]
async fn a_host_without_means() {
    for variable in [("RATE_LIMITER", "1"), ("MAX_IN_FLIGHT", "1")] {
        let (envelope, record) =
            lambda_handler(event("POST", "/", &[], BODY), &config(&[variable]), &Scripted::new())
                .await;
        assert_eq!((envelope.status_code, record.outcome), (500, "misconfigured"), "{variable:?}");
    }
}

#[tokio::test]
async fn a_settlement_that_fails_is_in_the_log() {
    struct Forgetful(Limited);

    impl Host for Forgetful {
        type Body = Watched;

        fn now(&self) -> SystemTime {
            self.0.now()
        }

        fn random(&self) -> u128 {
            self.0.random()
        }

        async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
            self.0.sleep(time).await
        }

        async fn send(
            &self,
            request: Request<Bytes>,
            within: Duration,
        ) -> Result<Response<Watched>, TransportError> {
            self.0.send(request, within).await
        }

        async fn ledger(&self, account: &str, message: String) -> Result<String, LimitError> {
            if message.contains("settle") {
                return Err(LimitError::Unreachable("gone".to_owned()));
            }
            self.0.ledger(account, message).await
        }
    }

    let host = Forgetful(Limited::new(Scripted::new().then(200, &[], ANSWER)));
    let config = config(&[("MAX_IN_FLIGHT", "1")]);
    let (envelope, record) = lambda_handler(event("POST", "/", &[], BODY), &config, &host).await;
    assert_eq!((envelope.status_code, record.outcome), (200, "ok"));
    let line = serde_json::to_value(&record).unwrap();
    assert_eq!(line["error"], "the tokens used are not in the ledger: gone");
}

#[tokio::test]
async fn requests_are_counted_before_the_body_is_read() {
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let address = |it| [("cf-connecting-ip", it)];
    let cases: [(&str, &str, &str, Headers, Option<&str>); 10] = [
        ("a request", "POST", "/", &address("192.0.2.1"), Some("192.0.2.1")),
        ("IPv6", "POST", "/", &address("2001:db8:1:2:3:4:5:6"), Some("2001:db8:1:2::/64")),
        ("its neighbour", "POST", "/", &address("2001:db8:1:2:ffff::1"), Some("2001:db8:1:2::/64")),
        ("no address", "POST", "/", &[], Some("unknown")),
        ("another header", "POST", "/", &[("x-forwarded-for", "192.0.2.1")], Some("unknown")),
        ("the numbers", "GET", "/usage", &address("192.0.2.1"), Some("192.0.2.1")),
        ("health", "GET", "/healthz", &address("192.0.2.1"), None),
        ("a question", "OPTIONS", "/", &address("192.0.2.1"), None),
        ("nowhere", "POST", "/nowhere", &address("192.0.2.1"), None),
        ("another method", "PUT", "/", &address("192.0.2.1"), None),
    ];
    for (name, method, path, headers, key) in cases {
        let host = Limited { allowed: 0, ..Limited::new(Scripted::new()) };
        let config = config(&[("RATE_LIMITER", "[object Object]")]);
        let body = Watched::from(BODY);
        let was_read = body.was_read.clone();
        let event = event(method, path, headers, "");
        let event = Event::from_http(event.method, path, event.headers, body);
        let (envelope, record) = lambda_handler(event, &config, &host).await;
        assert_eq!(
            host.counted.borrow().iter().map(String::as_str).collect::<Vec<_>>(),
            Vec::from_iter(key),
            "{name}"
        );
        assert_eq!(record.outcome == "rate_limited", key.is_some(), "{name}");
        if key.is_some() {
            assert_eq!(envelope.status_code, 429, "{name}");
            assert!(envelope.headers.contains(&("retry-after", "60".to_owned())), "{name}");
        }
        assert!(!was_read.get(), "{name}");
    }
    // Each prompt of a WebSocket.
    let host = Limited { allowed: 0, ..Limited::new(Scripted::new()) };
    let config = config(&[("RATE_LIMITER", "on"), ("RATE_LIMIT_PERIOD", "10")]).unwrap();
    let address = Address::of(&event("GET", "/ws", &address("192.0.2.1"), "").headers);
    let upgrade = Upgrade { address, ..Upgrade::trusted(&config) };
    let (_, record) = socket_handler(BODY.into(), &upgrade, &host).await.unwrap_err();
    assert_eq!((record.outcome, record.status), ("rate_limited", 429));
    assert_eq!(*host.counted.borrow(), ["192.0.2.1"]);
    assert_eq!(config.limits.requests, Some(Duration::from_secs(10)));
}

/// A request that is reserved on one day and settled on the next, which ends a year too.
#[tokio::test]
async fn over_a_midnight() {
    let host = Limited::new(Scripted::new().then(200, &[], ANSWER).then(200, &[], ANSWER));
    let config = config(&[("DAILY_TOKENS", "140"), ("MONTHLY_TOKENS", "140")]);
    // From 2026-01-02T03:04:05Z to the last moment of the year: an answer takes 250 ms.
    host.host.pass(Duration::from_secs(363 * 86_400 + 75_355) - Duration::from_millis(100));
    assert_eq!(ask(event("POST", "/", &[], BODY), &config, &host).await.0, 200);
    let (_, _, usage) = ask(event("GET", "/usage", &[], ""), &config, &host).await;
    assert!(usage.contains(r#""today":{"used":0,"reserved":0,"limit":140"#), "{usage}");
    assert!(usage.contains(r#""resets_at":"2027-01-02T00:00:00Z""#), "{usage}");
    assert!(usage.contains(r#""this_month":{"used":0,"reserved":0,"limit":140"#), "{usage}");
    assert!(usage.contains(r#""resets_at":"2027-02-01T00:00:00Z""#), "{usage}");
    // So there is room for one more, and then there is none.
    assert_eq!(ask(event("POST", "/", &[], BODY), &config, &host).await.0, 200);
    assert_eq!(ask(event("POST", "/", &[], BODY), &config, &host).await.0, 429);
    assert_eq!(host.settled(), [1219, 1219]);
}

#[tokio::test]
async fn usage_unchanged() {
    let host = Limited::new(Scripted::new().then(200, &[], ANSWER));
    let all = [("MAX_IN_FLIGHT", "2"), ("DAILY_TOKENS", "2000"), ("MONTHLY_TOKENS", "30000")];
    let (config, one) = (config(&all), config(&all[1..2]));
    ask(event("POST", "/", &[], BODY), &config, &host).await;
    let reserve =
        Message::Reserve { id: "a".to_owned(), tokens: 100, lease: 900, budget: Budget::default() };
    host.ledger("anonymous", reserve.to_json()).await.unwrap();
    let (status, _, body) = ask(event("GET", "/usage", &[], ""), &config, &host).await;
    let expected = r#"{"caller":"anonymous","limited":true,"in_flight":{"requests":1,"limit":2},"today":{"used":1219,"reserved":100,"limit":2000,"remaining":681,"resets_at":"2026-01-03T00:00:00Z"},"this_month":{"used":1219,"reserved":100,"limit":30000,"remaining":28681,"resets_at":"2026-02-01T00:00:00Z"}}"#;
    assert_eq!((status, &*body), (200, expected));
    let (_, _, body) = ask(event("GET", "/usage", &[], ""), &one, &host).await;
    let expected = r#"{"caller":"anonymous","limited":true,"in_flight":{"requests":1,"limit":null},"today":{"used":1219,"reserved":100,"limit":2000,"remaining":681,"resets_at":"2026-01-03T00:00:00Z"},"this_month":{"used":1219,"reserved":100,"limit":null,"remaining":null,"resets_at":"2026-02-01T00:00:00Z"}}"#;
    assert_eq!(body, expected);
    assert_eq!(ask(event("HEAD", "/usage", &[], ""), &config, &host).await.2, "");
    let (status, headers, _) = ask(event("POST", "/usage", &[], ""), &config, &host).await;
    assert_eq!((status, headers), (405, vec![("x-error-code", "method_not_allowed".to_owned())]));
}

#[test]
fn variables() {
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

/// Lambda's Invoke API: an event in a request.
#[tokio::test]
async fn an_invocation_is_one_request() {
    let config = config(&[("RATE_LIMITER", "on")]);
    let host = Limited { allowed: 1, ..Limited::new(Scripted::new().then(200, &[], ANSWER)) };
    let path = "/2015-03-31/functions/f/invocations";
    for (number, status, error) in [(1, 200, None), (2, 429, Some("TooManyRequestsException"))] {
        let request = event("POST", path, &[], BODY).map(LambdaBody::from);
        let Invoked::Answered(envelope, _) = invocation_handler(request, &config, &host).await
        else {
            panic!("it is synchronous");
        };
        assert_eq!(envelope.status_code, status, "{number}: {envelope:?}");
        let mut names = envelope.headers.iter().filter(|(name, _)| *name == "x-amzn-errortype");
        assert_eq!(names.next().map(|(_, value)| value.as_str()), error, "{number}");
        assert_eq!(host.counted.borrow().len(), number);
    }
}
