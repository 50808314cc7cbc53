//! Concurrent requests and large requests, without streaming.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::fixture::{Fixture, json_body};

#[tokio::test]
async fn each_of_many_concurrent_requests_gets_its_own_reply() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let mut requests = JoinSet::new();
    for number in 0..24 {
        // The later requests are faster, and some fail.
        let prompt = match number % 4 {
            0 => format!("fault:slow:{} number {number}", 600 - 20 * number),
            1 => format!("fault:unavailable number {number}"),
            _ => format!("{number} 番"),
        };
        requests.spawn(async move { (worker.prompt(&prompt).await, prompt) });
    }
    let mut ids = BTreeSet::new();
    while let Some(finished) = requests.join_next().await {
        let (response, prompt) = finished.unwrap();
        let body: Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(body["input_prompt"], prompt, "{response}");
        let status = if prompt.contains("unavailable") { 500 } else { 200 };
        assert_eq!(response.status, status, "{prompt}: {response}");
        if status == 200 {
            let generated = body["generated_text"].as_str().unwrap();
            assert!(generated.contains(&prompt), "{prompt}: {response}");
        }
        let line = worker.log_line(response.request_id()).await;
        assert_eq!(line["status"], status, "{prompt}: {line}");
        ids.insert(response.request_id().to_owned());
    }
    assert_eq!(ids.len(), 24, "{ids:?}");
}

#[tokio::test]
async fn a_slow_request_does_not_delay_others() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let slow = tokio::spawn(worker.prompt("fault:slow:1000 first come"));
    for number in 0..5 {
        let response = worker.prompt(&format!("served meanwhile: {number}")).await;
        assert_eq!(response.status, 200, "{response}");
    }
    assert!(!slow.is_finished());
    let response = slow.await.unwrap();
    assert_eq!(response.status, 200, "{response}");
}

#[tokio::test]
async fn a_prompt_of_half_a_megabyte_is_passed_on_unchanged() {
    let fixture = Fixture::shared().await;
    // Characters of one to four bytes, and characters that JSON escapes.
    let mut prompt = "日本語の長い文章と絵文字😀、そして\"é\"と\\を。\n".repeat(8000);
    prompt.truncate(prompt.floor_char_boundary(500_000));
    let response = fixture.worker.prompt(&prompt).await;
    assert_eq!(response.status, 200, "{response}");

    let body: Value = serde_json::from_str(&response.body).unwrap();
    assert!(body["input_prompt"] == prompt, "input_prompt differs: {response}");
    let characters = format!("({} 文字)", prompt.chars().count());
    let generated = body["generated_text"].as_str().unwrap();
    assert!(generated.contains(&characters), "{characters}: {generated}");
    let expected = json!([{ "role": "user", "content": prompt }]);
    assert!(json_body(&fixture.bedrock_request(&prompt))["messages"] == expected);
}

#[tokio::test]
async fn a_body_may_have_one_mebibyte_by_default() {
    let Fixture { worker, .. } = Fixture::shared().await;
    for (length, status) in [(1 << 20, 200), ((1 << 20) + 1, 413)] {
        let mut body = r#"{"prompt": "much ado about nothing"}"#.to_owned();
        body.push_str(&" ".repeat(length - body.len()));
        let response = worker.send(worker.request(Method::POST, "/").body(body)).await;
        assert_eq!(response.status, status, "{length} bytes: {response}");
    }
}
