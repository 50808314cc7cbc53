//! Retries in virtual time.

use super::*;

/// The result of a call, with its latency in milliseconds.
enum Call {
    /// A status and headers.
    Status(u16, &'static [(&'static str, &'static str)], u64),
    Reset(u64),
    Good(u64),
}

use Call::{Good, Reset, Status};

fn script(calls: &[Call]) -> Scripted {
    calls.iter().fold(Scripted::new(), |host, call| match call {
        Status(status, headers, took) => host.then(*status, headers, "{}").taking(ms(*took)),
        Reset(took) => host.then_fail("reset").taking(ms(*took)),
        Good(took) => host.then(200, &[], REPLY).taking(ms(*took)),
    })
}

struct Row {
    name: &'static str,
    calls: &'static [Call],
    /// The waits in milliseconds: the longest of the jitter's range, or those that `retry-after` asks for.
    waits: &'static [u64],
    /// The values of `x-error-code` and `retry-after`.
    ends: (Option<&'static str>, Option<&'static str>),
    total_ms: u64,
}

const TYPE: &str = "x-amzn-errortype";
const THROTTLED: Call = Status(429, &[(TYPE, "ThrottlingException")], 100);
const MODEL_TIMEOUT: Call = Status(408, &[(TYPE, "ModelTimeoutException")], 100);

/// The sequences of calls, with three attempts and 10 seconds.
const ROWS: &[Row] = &[
    Row { name: "good", calls: &[Good(100)], waits: &[], ends: (None, None), total_ms: 100 },
    Row {
        name: "good the second time",
        calls: &[THROTTLED, Good(100)],
        waits: &[1000],
        ends: (None, None),
        total_ms: 1200,
    },
    Row {
        name: "good the third time",
        calls: &[Reset(100), Status(503, &[], 100), Good(100)],
        waits: &[1000, 2000],
        ends: (None, None),
        total_ms: 3300,
    },
    Row {
        name: "never good",
        calls: &[Status(500, &[], 100), Status(502, &[], 100), Status(504, &[], 100)],
        waits: &[1000, 2000],
        ends: (Some("timeout"), Some("4")),
        total_ms: 3300,
    },
    Row {
        name: "throttled to the end",
        calls: &[THROTTLED, THROTTLED, THROTTLED],
        waits: &[1000, 2000],
        ends: (Some("throttled"), Some("4")),
        total_ms: 3300,
    },
    Row {
        name: "Retry-After in the place of our own wait",
        calls: &[Status(429, &[("retry-after", "3")], 100), Good(100)],
        waits: &[3000],
        ends: (None, None),
        total_ms: 3200,
    },
    Row {
        name: "Retry-After: 0",
        calls: &[Status(429, &[("retry-after", "0")], 100), Good(100)],
        waits: &[],
        ends: (None, None),
        total_ms: 200,
    },
    Row {
        name: "Retry-After as a time",
        calls: &[
            Status(503, &[("date", DATE), ("retry-after", "Fri, 02 Jan 2026 03:04:07 GMT")], 100),
            Good(100),
        ],
        waits: &[2000],
        ends: (None, None),
        total_ms: 2200,
    },
    Row {
        name: "Retry-After that is over behind the deadline",
        calls: &[Status(429, &[("retry-after", "60")], 100)],
        waits: &[],
        ends: (Some("throttled"), Some("60")),
        total_ms: 100,
    },
    Row {
        name: "a wait that is over behind the deadline",
        calls: &[Status(503, &[], 9500)],
        waits: &[],
        ends: (Some("unavailable"), Some("1")),
        total_ms: 9500,
    },
    Row {
        name: "the model takes too long twice",
        calls: &[MODEL_TIMEOUT, MODEL_TIMEOUT],
        waits: &[1000],
        ends: (Some("timeout"), None),
        total_ms: 1200,
    },
    Row {
        name: "and once, among others",
        calls: &[THROTTLED, MODEL_TIMEOUT, Good(100)],
        waits: &[1000, 2000],
        ends: (None, None),
        total_ms: 3300,
    },
    Row {
        name: "what is refused is not repeated",
        calls: &[Status(400, &[(TYPE, "ValidationException")], 100)],
        waits: &[],
        ends: (Some("rejected"), None),
        total_ms: 100,
    },
    Row {
        name: "nor behind what is",
        calls: &[THROTTLED, Status(403, &[(TYPE, "AccessDeniedException")], 100)],
        waits: &[1000],
        ends: (Some("access_denied"), None),
        total_ms: 1200,
    },
    Row {
        name: "the deadline in a call",
        calls: &[Good(10_001)],
        waits: &[],
        ends: (Some("timeout"), None),
        total_ms: 10_000,
    },
    Row {
        name: "the deadline in the second call",
        calls: &[Reset(6000), Good(3002)],
        waits: &[1000],
        ends: (Some("timeout"), None),
        total_ms: 10_000,
    },
    Row {
        name: "just in time",
        calls: &[Reset(6000), Good(3000)],
        waits: &[1000],
        ends: (None, None),
        total_ms: 10_000,
    },
];

#[tokio::test]
async fn transient_failures_are_retried_within_the_deadline_and_the_attempts() {
    for Row { name, calls, waits, ends, total_ms } in ROWS {
        let isolate = isolate(&[("BEDROCK_TIMEOUT_MS", "10000")]);
        let host = script(calls);
        host.chance.set(u128::MAX);
        let (envelope, record) = ask(&isolate, &host).await;
        assert_eq!(host.left(), 0, "{name}: calls that were not made");
        // Chance gives at most a millisecond less than the longest wait.
        let slept = host.sleeps.borrow();
        assert_eq!(slept.len(), waits.len(), "{name}: {slept:?}");
        for (slept, expected) in slept.iter().zip(*waits) {
            assert!(slept.abs_diff(ms(*expected)) <= ms(1), "{name}: {slept:?}");
        }
        let (code, retry_after) = ends;
        assert_eq!(header(&envelope, "x-error-code"), *code, "{name}");
        assert_eq!(header(&envelope, "retry-after"), *retry_after, "{name}");
        assert_eq!(envelope.status_code, if code.is_some() { 500 } else { 200 }, "{name}");
        assert_eq!(record.outcome, code.unwrap_or("ok"), "{name}");
        let count = calls.len().to_string();
        assert_eq!(header(&envelope, "x-bedrock-attempts"), Some(&*count), "{name}");
        assert_eq!(record.retries as usize, calls.len() - 1, "{name}");
        let total = record.total_time.unwrap();
        assert!(total.abs_diff(ms(*total_ms)) <= ms(2), "{name}: {total:?}");
    }
}

#[tokio::test]
async fn each_attempt_is_signed_anew() {
    let isolate = isolate(&[]);
    let host = script(&[Status(503, &[], 1500), Good(100)]);
    host.chance.set(u128::MAX);
    ask(&isolate, &host).await;
    let calls = host.requests.borrow();
    let value = |at: usize, name: &str| calls[at].headers()[name].to_str().unwrap().to_owned();
    assert_eq!(value(0, "x-amz-date"), "20260102T030405Z");
    assert_eq!(value(1, "x-amz-date"), "20260102T030407Z");
    assert_ne!(value(0, "authorization"), value(1, "authorization"));
    assert_eq!(calls[0].body(), calls[1].body());
}

#[tokio::test]
async fn a_body_must_arrive_before_the_deadline() {
    let cases = [
        ("silence", Watched::in_chunks(["{"]).then_silence(), Some("timeout"), 10_000),
        (
            "drops",
            (0..9).fold(Watched::in_chunks([""]), |body, _| body.then_after(ms(1200), " ")),
            Some("timeout"),
            10_000,
        ),
        ("slow", Watched::in_chunks([""]).then_after(ms(9000), REPLY), None, 9250),
    ];
    for (name, body, code, total) in cases {
        let isolate = isolate(&[("BEDROCK_TIMEOUT_MS", "10000")]);
        let host = Scripted::new().then(200, &[], body);
        let (envelope, record) = ask(&isolate, &host).await;
        assert_eq!(header(&envelope, "x-error-code"), code, "{name}");
        assert_eq!(record.total_time, Some(ms(total)), "{name}");
    }
    // The head of an error is enough.
    let body = Watched::in_chunks(["{"]).then_silence();
    let host = Scripted::new().then(403, &[(TYPE, "AccessDeniedException")], body);
    let isolate = isolate(&[]);
    let (envelope, _) = ask(&isolate, &host).await;
    assert_eq!(header(&envelope, "x-error-code"), Some("access_denied"));
}

#[tokio::test]
async fn the_callers_body_must_arrive_before_the_deadline() {
    for (name, pause, status, code) in [
        ("too late", 10_001, 408, Some("request_timeout")),
        ("too late for the call", 9_900, 500, Some("timeout")),
        ("in time", 9_000, 200, None),
    ] {
        let host = Scripted::new().then(200, &[], REPLY);
        let body = Watched::in_chunks(["{"]).then_after(ms(pause), r#""prompt": "a"}"#).to(&host);
        let event = request("POST", "/", &[], body);
        let isolate = isolate(&[("BEDROCK_TIMEOUT_MS", "10000")]);
        let (envelope, record) = lambda_handler(event, &isolate, &host).await;
        assert_eq!((envelope.status_code, header(&envelope, "x-error-code")), (status, code));
        assert!(record.total_time.unwrap() <= ms(10_000), "{name}");
        assert_eq!(host.requests.borrow().len(), usize::from(status != 408), "{name}");
    }
}

#[tokio::test]
async fn a_client_that_disconnects_during_a_wait_causes_no_further_call() {
    let isolate = isolate(&[]);
    let host = script(&[THROTTLED, Good(100)]).leaving_in_sleep(0);
    host.chance.set(u128::MAX);
    let (envelope, _) = ask(&isolate, &host).await;
    assert_eq!(host.requests.borrow().len(), 1);
    assert_eq!(envelope.status_code, 500);
}

#[tokio::test]
async fn the_retry_quota_ends_a_storm() {
    let isolate = isolate(&[]);
    let mut calls = 0;
    for _ in 0..100 {
        let host = script(&[Reset(1), Reset(1), Reset(1)]);
        let (envelope, _) = ask(&isolate, &host).await;
        assert_eq!(header(&envelope, "x-error-code"), Some("unavailable"));
        calls += host.requests.borrow().len();
    }
    // One each, and the hundred retries that 500 tokens pay for.
    assert_eq!(calls, 200);
    // A success at the first attempt gives one token, and a retry costs five.
    for _ in 0..4 {
        ask(&isolate, &script(&[Good(1)])).await;
    }
    let host = script(&[Reset(1), Good(1)]);
    assert_eq!(ask(&isolate, &host).await.0.status_code, 500);
    ask(&isolate, &script(&[Good(1)])).await;
    for name in ["one retry", "which a success gives back"] {
        let host = script(&[Reset(1), Good(1)]);
        assert_eq!(ask(&isolate, &host).await.0.status_code, 200, "{name}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_once() {
    const SKEWED: &[(&str, &str)] = &[("date", "Fri, 02 Jan 2026 03:14:05 GMT")];
    let refusal = |kind: &'static str, date: &'static str| [(TYPE, kind), ("date", date)];
    let signature = "InvalidSignatureException";
    let cases = [
        ("behind", refusal(signature, SKEWED[0].1), Some("20260102T031405Z")),
        ("ahead", refusal(signature, "Fri, 02 Jan 2026 02:54:05 GMT"), Some("20260102T025405Z")),
        ("by another name", refusal("RequestTimeTooSkewed", SKEWED[0].1), Some("20260102T031405Z")),
        ("by four minutes", refusal(signature, "Fri, 02 Jan 2026 03:08:05 GMT"), None),
        (
            "by a little more",
            refusal(signature, "Fri, 02 Jan 2026 03:08:06 GMT"),
            Some("20260102T030806Z"),
        ),
        ("no time", refusal(signature, "yesterday"), None),
        ("another refusal", refusal("AccessDeniedException", SKEWED[0].1), None),
    ];
    for (name, headers, expected) in cases {
        let isolate = isolate(&[]);
        let zero = Duration::ZERO;
        let host = Scripted::new().then(403, &headers, "{}").taking(zero);
        let host = host.then(200, &[], REPLY).then(200, &[], REPLY);
        let (envelope, record) = ask(&isolate, &host).await;
        assert!(host.sleeps.borrow().is_empty(), "{name}");
        let date = |at: usize| {
            host.requests.borrow()[at].headers()["x-amz-date"].to_str().unwrap().to_owned()
        };
        assert_eq!(date(0), "20260102T030405Z", "{name}");
        match expected {
            Some(expected) => {
                assert_eq!((envelope.status_code, record.attempts), (200, 2), "{name}");
                assert_eq!(date(1), expected, "{name}");
                // The isolate remembers it.
                ask(&isolate, &host).await;
                assert_eq!(date(2)[..13], expected[..13], "{name}");
            }
            None => assert_eq!((envelope.status_code, record.attempts), (500, 1), "{name}"),
        }
    }

    // Only once: a signature that is refused with the right time as well is refused.
    let isolate = isolate(&[]);
    let headers = refusal(signature, SKEWED[0].1);
    let host = Scripted::new().then(403, &headers, "{}").then(403, &headers, "{}");
    let (envelope, record) = ask(&isolate, &host).await;
    assert_eq!((header(&envelope, "x-error-code"), record.attempts), (Some("access_denied"), 2));

    // An API key has no time.
    let isolate = self::isolate(&[("AWS_BEARER_TOKEN_BEDROCK", "key")]);
    let host = Scripted::new().then(403, &headers, "{}");
    assert_eq!(ask(&isolate, &host).await.1.attempts, 1);
}
