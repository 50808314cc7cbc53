//! Fallback regions. Each has its own path at the stand-in, which checks that the signature is for
//! that region.

use serde_json::json;

use crate::support::fixture::Fixture;

const TOKYO: &str = "ap-northeast-1";
const VIRGINIA: &str = "us-east-1";
const US: &str = "us.anthropic.claude-sonnet-4-20250514-v1:0";

async fn two_regions() -> Fixture {
    Fixture::with_regions(json!({
        "BEDROCK_FALLBACK_REGIONS": format!("{VIRGINIA}={US}"),
        "BEDROCK_MAX_ATTEMPTS": 2,
    }))
    .await
}

#[tokio::test]
async fn the_fallback_region_is_called_when_all_attempts_have_failed() {
    let fixture = two_regions().await;
    let apac = "apac.anthropic.claude-sonnet-4-20250514-v1:0";
    // The prompt, the region that responds, its model, the number of calls.
    let cases = [
        ("at first", TOKYO, apac, 1),
        ("fault:server_error#1", TOKYO, apac, 2),
        ("fault:server_error@ap-northeast-1", VIRGINIA, US, 3),
        ("fault:hang_up_before@ap-northeast-1", VIRGINIA, US, 3),
    ];
    for (prompt, region, model, calls) in cases {
        let response = fixture.worker.prompt(prompt).await;
        assert_eq!(response.status, 200, "{prompt}: {response}");
        assert_eq!(response.header("x-bedrock-region"), Some(region), "{prompt}: {response}");
        let attempts = calls.to_string();
        assert_eq!(response.header("x-bedrock-attempts"), Some(&*attempts), "{prompt}: {response}");
        let line = fixture.worker.log_line(response.request_id()).await;
        assert_eq!((&line["region"], &line["model"]), (&json!(region), &json!(model)), "{prompt}");
        assert_eq!(line["retries"], calls - 1, "{prompt}: {line}");

        let streamed = format!("{prompt} streamed");
        let mut response = fixture.worker.stream(&streamed).await;
        assert_eq!(response.head.header("x-bedrock-region"), Some(region), "{}", response.head);
        let reply = response.reply(&streamed).await;
        assert_eq!(reply.last.name, "done", "{reply}");
        assert_eq!(reply.start["model"], model, "{reply}");
    }
    let response = fixture.worker.prompt("fault:access_denied@ap-northeast-1").await;
    assert_eq!(response.header("x-error-code"), Some("access_denied"), "{response}");
    assert_eq!(response.header("x-bedrock-region"), Some(TOKYO), "{response}");
}

/// After five throttled calls in a row, the region is not called for a while.
#[tokio::test]
async fn a_region_that_keeps_throttling_is_skipped() {
    let fixture = two_regions().await;
    let mut attempts = Vec::new();
    for number in 0..5 {
        let prompt = format!("fault:type_in_body@ap-northeast-1 {number}");
        let response = fixture.worker.prompt(&prompt).await;
        assert_eq!(response.status, 200, "{response}");
        assert_eq!(response.header("x-bedrock-region"), Some(VIRGINIA), "{response}");
        attempts.push(response.header("x-bedrock-attempts").unwrap().to_owned());
    }
    assert_eq!(attempts, ["3", "3", "2", "1", "1"]);
}
