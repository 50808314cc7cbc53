//! Two isolates in one process share nothing.

use super::*;

const DATE: &str = "Fri, 02 Jan 2026 03:14:05 GMT";

async fn send(isolate: &Isolate, host: &Scripted) -> Envelope {
    lambda_handler(post(Bytes::from(BODY)), isolate, host).await.0
}

fn sent_header(host: &Scripted, at: usize, name: &str) -> String {
    host.requests.borrow()[at].headers()[name].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_offset_of_awss_clock_is_learnt_by_one_isolate_only() {
    let (one, other) = (isolate(&[]), isolate(&[]));
    let skewed = [("x-amzn-errortype", "RequestTimeTooSkewed"), ("date", DATE)];
    let host = Scripted::new().then(403, &skewed, "{}").then(200, &[], REPLY);
    assert_eq!(send(&one, &host).await.status_code, 200);
    assert_eq!(sent_header(&host, 0, "x-amz-date"), "20260102T030405Z");
    assert_eq!(sent_header(&host, 1, "x-amz-date"), "20260102T031405Z");

    let host = replying();
    send(&one, &host).await;
    assert_eq!(sent_header(&host, 0, "x-amz-date")[..13], *"20260102T0314");
    let host = replying();
    send(&other, &host).await;
    assert_eq!(sent_header(&host, 0, "x-amz-date"), "20260102T030405Z");
}

#[tokio::test]
async fn a_circuit_breaker_opens_for_one_isolate_only() {
    let vars = [("BEDROCK_FALLBACK_REGIONS", "us-east-1=us.anthropic.x"), ONCE];
    let (one, other) = (isolate(&vars), isolate(&vars));
    let throttled = [("x-amzn-errortype", "ThrottlingException")];
    for _ in 0..5 {
        let host = Scripted::new().then(429, &throttled, "{}").then(200, &[], REPLY);
        assert_eq!(send(&one, &host).await.status_code, 200);
    }
    for (isolate, region) in [(&one, "us-east-1"), (&other, "ap-northeast-1")] {
        let envelope = send(isolate, &replying()).await;
        assert_eq!(header(&envelope, "x-bedrock-region"), Some(region));
        assert_eq!(header(&envelope, "x-bedrock-attempts"), Some("1"));
    }
}

#[tokio::test]
async fn temporary_credentials_are_fetched_by_each_isolate() {
    let vars = [("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/edge")];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sts/granted.xml");
    let granted = std::fs::read_to_string(path).unwrap();
    for isolate in [isolate(&vars), isolate(&vars)] {
        let host = Scripted::new().then(200, &[], granted.clone()).then(200, &[], REPLY).then(
            200,
            &[],
            REPLY,
        );
        for _ in 0..2 {
            assert_eq!(send(&isolate, &host).await.status_code, 200);
        }
        let hosts: Vec<_> = host
            .requests
            .borrow()
            .iter()
            .map(|it| it.uri().host().unwrap().split('.').next().unwrap().to_owned())
            .collect();
        assert_eq!(hosts, ["sts", "bedrock-runtime", "bedrock-runtime"]);
    }
}
