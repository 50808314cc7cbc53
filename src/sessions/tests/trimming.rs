//! Sessions that are too long.

use super::*;

#[tokio::test]
async fn the_oldest_turns_go_when_there_are_too_many() {
    let host = replying(&["One.", "Two.", "Three.", "Four."]);
    let isolate = isolate(&[("SESSION_MAX_TURNS", "2")]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    let mut dropped = Vec::new();
    for prompt in ["first", "second", "third", "fourth"] {
        let response = client.ask("s", prompt).await;
        let header = response.header("x-session-dropped-turns").map(str::to_owned);
        assert_eq!(response.record.dropped_turns.map(|it| it.to_string()), header);
        dropped.push(header);
    }
    assert_eq!(dropped, [None, None, Some("1".to_owned()), Some("1".to_owned())]);
    assert_eq!(sent(&host, 3)["messages"], messages(&["third", "Three.", "fourth"]));
    let page = client.get("/sessions/s").await.body;
    assert_eq!((&page["turns"], &page["dropped_turns"]), (&json!(2), &json!(2)));
    assert_eq!(page["messages"], messages(&["third", "Three.", "fourth", "Four."]));
    // The sum of all calls, also of those whose turns are gone.
    assert_eq!(page["usage"], json!({ "input_tokens": 40, "output_tokens": 20 }));
}

#[tokio::test]
async fn one_turn_remembers_nothing() {
    let host = replying(&["One.", "Two."]);
    let isolate = isolate(&[("SESSION_MAX_TURNS", "1")]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    client.ask("s", "first").await;
    assert_eq!(client.ask("s", "second").await.header("x-session-dropped-turns"), Some("1"));
    assert_eq!(sent(&host, 1)["messages"], messages(&["second"]));
}

#[tokio::test]
async fn the_oldest_turns_go_when_they_are_too_long() {
    let long = "y".repeat(300);
    let host = replying(&["One.", &long, "Three.", "Four."]);
    let isolate = isolate(&[("SESSION_MAX_BYTES", "400")]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    let mut counts = Vec::new();
    for (number, prompt) in ["first", "second", "third", "fourth"].into_iter().enumerate() {
        let response = client.ask("s", prompt).await;
        let dropped = response.header("x-session-dropped-turns").map(str::to_owned);
        counts.push((sent(&host, number)["messages"].as_array().unwrap().len(), dropped));
    }
    let dropped = |number: u32| Some(number.to_string());
    // With the third, the first no longer fits beside the long reply; with the fourth, that no longer does.
    assert_eq!(counts, [(1, None), (3, None), (3, dropped(1)), (3, dropped(1))]);
}

#[tokio::test]
async fn a_turn_that_fails_removes_nothing() {
    let host = replying(&["One.", "Two."]).then(400, &[], "{}").then(200, &[], text("Three."));
    let isolate = isolate(&[("SESSION_MAX_TURNS", "2")]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    for prompt in ["first", "second", "failed"] {
        client.ask("s", prompt).await;
    }
    let page = client.get("/sessions/s").await.body;
    assert_eq!(page["messages"], messages(&["first", "One.", "second", "Two."]));
}

#[tokio::test]
async fn a_reply_without_text_is_kept_and_not_sent() {
    let host = Scripted::new().with_sessions().then(200, &[], reply(&json!([])));
    let host = host.then(200, &[], text("Two."));
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    assert_eq!(client.ask("s", "first").await.text(), "");
    client.ask("s", "second").await;
    assert_eq!(sent(&host, 1)["messages"], messages(&["second"]));
    assert_eq!(client.get("/sessions/s").await.body["messages"].as_array().unwrap().len(), 4);
}
