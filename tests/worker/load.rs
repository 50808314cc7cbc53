//! Many at once, and much at once.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::fixture::{Fixture, payload};

#[tokio::test]
async fn each_of_many_at_once_gets_its_own_answer() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let mut requests = JoinSet::new();
    for number in 0..24 {
        // Later ones are answered sooner, and some not at all.
        let prompt = match number % 4 {
            0 => format!("fault:slow:{} number {number}", 600 - 20 * number),
            1 => format!("fault:unavailable number {number}"),
            _ => format!("{number} 番"),
        };
        requests.spawn(async move { (worker.prompt(&prompt).await, prompt) });
    }
    let mut ids = BTreeSet::new();
    while let Some(finished) = requests.join_next().await {
        let (answer, prompt) = finished.unwrap();
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["input_prompt"], prompt, "{answer}");
        let status = if prompt.contains("unavailable") { 500 } else { 200 };
        assert_eq!(answer.status, status, "{prompt}: {answer}");
        if status == 200 {
            let generated = body["generated_text"].as_str().unwrap();
            assert!(generated.contains(&prompt), "{prompt}: {answer}");
        }
        let line = worker.log_line(answer.request_id()).await;
        assert_eq!(line["status"], status, "{prompt}: {line}");
        ids.insert(answer.request_id().to_owned());
    }
    assert_eq!(ids.len(), 24, "{ids:?}");
}

#[tokio::test]
async fn a_slow_answer_holds_up_nobody() {
    let Fixture { worker, .. } = Fixture::shared().await;
    let slow = tokio::spawn(worker.prompt("fault:slow:1000 first come"));
    for number in 0..5 {
        let answer = worker.prompt(&format!("served meanwhile: {number}")).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    assert!(!slow.is_finished());
    let answer = slow.await.unwrap();
    assert_eq!(answer.status, 200, "{answer}");
}

#[tokio::test]
async fn half_a_megabyte_comes_back_whole() {
    let fixture = Fixture::shared().await;
    // Characters of one to four bytes, and some that JSON escapes.
    let mut prompt = "日本語の長い文章と絵文字😀、そして\"é\"と\\を。\n".repeat(8000);
    prompt.truncate(prompt.floor_char_boundary(500_000));
    let answer = fixture.worker.prompt(&prompt).await;
    assert_eq!(answer.status, 200, "{answer}");

    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(body["input_prompt"] == prompt, "input_prompt differs: {answer}");
    let characters = format!("({} 文字)", prompt.chars().count());
    let generated = body["generated_text"].as_str().unwrap();
    assert!(generated.contains(&characters), "{characters}: {generated}");
    let expected = json!([{ "role": "user", "content": prompt }]);
    assert!(payload(&fixture.received(&prompt))["messages"] == expected);
}

#[tokio::test]
async fn a_mebibyte_is_the_most_by_default() {
    let Fixture { worker, .. } = Fixture::shared().await;
    for (length, status) in [(1 << 20, 200), ((1 << 20) + 1, 413)] {
        let mut body = r#"{"prompt": "much ado about nothing"}"#.to_owned();
        body.push_str(&" ".repeat(length - body.len()));
        let answer = worker.send(worker.request(Method::POST, "/").body(body)).await;
        assert_eq!(answer.status, status, "{length} bytes: {answer}");
    }
}
