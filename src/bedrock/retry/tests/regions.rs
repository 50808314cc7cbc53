//! Fallback regions.

use super::*;

const US: &str = "us.anthropic.claude-sonnet-4-20250514-v1:0";
const EU: &str = "eu.anthropic.claude-sonnet-4-20250514-v1:0";

/// Variables for Tokyo, then Virginia, then Ireland, with two attempts each.
fn three_regions() -> Isolate {
    three_regions_with(&[])
}

fn three_regions_with(vars: &[(&str, &str)]) -> Isolate {
    let fallbacks = format!("us-east-1={US}, eu-west-1={EU}");
    let regions = [("BEDROCK_FALLBACK_REGIONS", &*fallbacks), ("BEDROCK_MAX_ATTEMPTS", "2")];
    isolate(&[vars, &regions].concat())
}

/// Returns the region of each call. Checks that its host and its signature name the same one.
fn regions(host: &Scripted) -> Vec<String> {
    let requests = host.requests.borrow();
    let region = |call: &http::Request<Bytes>| {
        let authorization = call.headers()["authorization"].to_str().unwrap();
        let signed = authorization.split('/').nth(2).unwrap().to_owned();
        let host = format!("bedrock-runtime.{signed}.amazonaws.com");
        assert_eq!(call.uri().host(), Some(&*host));
        signed
    };
    requests.iter().map(region).collect()
}

const TOKYO: &str = "ap-northeast-1";
const VIRGINIA: &str = "us-east-1";
const IRELAND: &str = "eu-west-1";

#[tokio::test]
async fn the_next_region_is_called_when_the_attempts_in_one_are_spent() {
    #[rustfmt::skip]
    let cases: [(&str, &[u16], &[&str], u16); 7] = [
        ("good", &[200], &[TOKYO], 200),
        ("good the second time", &[503, 200], &[TOKYO, TOKYO], 200),
        ("good in the second", &[429, 503, 200], &[TOKYO, TOKYO, VIRGINIA], 200),
        ("good in the third", &[500, 500, 500, 500, 200], &[TOKYO, TOKYO, VIRGINIA, VIRGINIA, IRELAND], 200),
        ("nowhere", &[503, 503, 503, 503, 503, 503], &[TOKYO, TOKYO, VIRGINIA, VIRGINIA, IRELAND, IRELAND], 500),
        ("refused", &[400], &[TOKYO], 500),
        ("refused in the second", &[503, 503, 403], &[TOKYO, TOKYO, VIRGINIA], 500),
    ];
    for (name, statuses, expected, status) in cases {
        let host = statuses.iter().fold(Scripted::new(), |host, status| {
            host.then(*status, &[], if *status == 200 { REPLY } else { "{}" })
        });
        let (envelope, record) = ask(&three_regions(), &host).await;
        assert_eq!(regions(&host), expected, "{name}");
        let last = expected.last().copied();
        assert_eq!(header(&envelope, "x-bedrock-region"), last, "{name}");
        assert_eq!(record.region.as_deref(), last, "{name}");
        let model = match last {
            Some(VIRGINIA) => US,
            Some(IRELAND) => EU,
            _ => "apac.anthropic.claude-sonnet-4-20250514-v1:0",
        };
        assert_eq!(record.model.as_deref(), Some(model), "{name}");
        assert_eq!(record.attempts as usize, expected.len(), "{name}");
        assert_eq!(envelope.status_code, status, "{name}");
        let path = host.requests.borrow().last().unwrap().uri().path().to_owned();
        assert_eq!(path, format!("/model/{}/invoke", model.replace(':', "%3A")), "{name}");
    }
}

#[tokio::test]
async fn the_next_region_is_called_at_once_if_retry_after_is_beyond_the_deadline() {
    let host = Scripted::new().then(429, &[("retry-after", "60")], "{}").then(200, &[], REPLY);
    let (_, record) = ask(&three_regions(), &host).await;
    assert_eq!(regions(&host), [TOKYO, VIRGINIA]);
    assert_eq!(record.total_time, Some(2 * Scripted::STEP));
}

#[tokio::test]
async fn the_deadline_covers_all_regions() {
    let isolate = three_regions_with(&[("BEDROCK_TIMEOUT_MS", "600")]);
    let host = Scripted::new().then(503, &[], "{}").then(503, &[], "{}").then(200, &[], REPLY);
    let (envelope, record) = ask(&isolate, &host).await;
    assert_eq!(regions(&host), [TOKYO, TOKYO, VIRGINIA]);
    assert_eq!(header(&envelope, "x-error-code"), Some("timeout"));
    assert_eq!(record.total_time, Some(ms(600)));
}

#[tokio::test]
async fn a_region_that_is_known_to_throttle_is_skipped() {
    let isolate = three_regions();
    // The fifth throttled call in a row opens the breaker.
    for expected in
        [&[TOKYO, TOKYO, VIRGINIA][..], &[TOKYO, TOKYO, VIRGINIA], &[TOKYO, VIRGINIA], &[VIRGINIA]]
    {
        let host = expected.iter().fold(Scripted::new(), |host, region| {
            let status = if *region == TOKYO { 429 } else { 200 };
            host.then(status, &[], if status == 200 { REPLY } else { "{}" })
        });
        assert_eq!(ask(&isolate, &host).await.0.status_code, 200);
        assert_eq!(regions(&host), expected);
    }
    // After a while one trial call goes through, and if it succeeds, all calls go there again.
    for (seconds, status, expected) in [
        (9, 200, &[VIRGINIA][..]),
        (12, 429, &[TOKYO, VIRGINIA]),
        (20, 200, &[VIRGINIA]),
        (23, 200, &[TOKYO]),
        (23, 200, &[TOKYO]),
    ] {
        let host = expected.iter().fold(Scripted::new(), |host, region| {
            let status = if *region == TOKYO { status } else { 200 };
            host.then(status, &[], if status == 200 { REPLY } else { "{}" })
        });
        host.pass(Duration::from_secs(seconds));
        assert_eq!(ask(&isolate, &host).await.0.status_code, 200, "{seconds}");
        assert_eq!(regions(&host), expected, "{seconds}");
    }
}

#[tokio::test]
async fn the_first_region_is_called_if_all_throttle() {
    let isolate = three_regions();
    let config = isolate.config().unwrap();
    for endpoint in std::iter::once(&config.endpoint).chain(&config.fallbacks) {
        for _ in 0..5 {
            isolate.bedrock_state().breakers.throttled(endpoint, Scripted::new().now());
        }
    }
    let host = Scripted::new().then(200, &[], REPLY);
    assert_eq!(ask(&isolate, &host).await.0.status_code, 200);
    assert_eq!(regions(&host), [TOKYO]);
}

#[tokio::test]
async fn a_breaker_never_refuses_a_call_to_the_only_region() {
    let isolate = isolate(&[("BEDROCK_MAX_ATTEMPTS", "1")]);
    for _ in 0..20 {
        let host = Scripted::new().then(429, &[], "{}");
        ask(&isolate, &host).await;
    }
    let host = Scripted::new().then(200, &[], REPLY);
    assert_eq!(ask(&isolate, &host).await.0.status_code, 200);
}

/// Each region has a retry quota of its own.
#[tokio::test]
async fn a_spent_quota_leads_to_the_next_region() {
    let isolate = three_regions();
    while isolate.bedrock_state().quota.take(1) {}
    let host = Scripted::new().then(503, &[], "{}").then(200, &[], REPLY);
    assert_eq!(ask(&isolate, &host).await.0.status_code, 200);
    assert_eq!(regions(&host), [TOKYO, VIRGINIA]);
}
