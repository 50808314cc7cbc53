//! The bytes that a store gets.

use super::*;

const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NEW: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

#[tokio::test]
async fn with_a_key_the_store_sees_no_text() {
    for (vars, is_seen) in [(&[][..], true), (&[("SESSION_KEY", OLD)], false)] {
        let host = replying(&["generatedword"]);
        let isolate = isolate(vars);
        let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
        assert_eq!(client.ask("s", "promptword").await.status, 200);
        let bytes = host.sessions.as_ref().unwrap().bytes();
        for word in ["promptword", "generatedword", "messages", "claude"] {
            let is_there = bytes.windows(word.len()).any(|it| it == word.as_bytes());
            assert_eq!(is_there, is_seen, "{word}");
        }
    }
}

#[tokio::test]
async fn keys_are_replaced_by_way_of_two() {
    let both = format!("{NEW},{OLD}");
    let reversed = format!("{OLD} {NEW}");
    for (keys, is_readable) in [
        (&[OLD, OLD][..], true),
        (&[OLD, &both, NEW], true),
        (&[OLD, &both, &reversed, OLD], true),
        (&[OLD, NEW], false),
        (&["", OLD], false),
        (&[OLD, ""], false),
    ] {
        let mut host = replying(&[]);
        for (number, keys) in keys.iter().enumerate() {
            host = host.then(200, &[], text("One."));
            // Each turn replaces the one before, so that in the end only the last key is needed.
            let isolate = isolate(&[("SESSION_KEY", keys), ("SESSION_MAX_TURNS", "1")]);
            let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
            let response = client.ask("s", "a").await;
            let expected = if number == 0 || is_readable { 200 } else { 500 };
            assert_eq!(response.status, expected, "{keys}");
            host.forget_responses();
        }
        if !is_readable {
            let isolate = isolate(&[("SESSION_KEY", keys[1])]);
            let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
            let response = client.get("/sessions/s").await;
            assert_eq!((response.status, response.record.outcome), (500, "misconfigured"));
            let line = response.record.line(None).unwrap();
            assert!(line.contains("a stored turn of a session cannot be read"), "{line}");
            // The caller can still get rid of it.
            assert_eq!(client.send("DELETE", "/sessions/s", "").await.status, 204);
        }
    }
}

#[tokio::test]
async fn a_turn_that_was_changed_or_moved_is_refused() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 6] = [
        ("nothing", |_| {}),
        ("a bit of the text", |it| *it.last_mut().unwrap() ^= 1),
        ("a bit of the nonce", |it| it[9] ^= 1),
        ("another key", |it| it[1] ^= 1),
        ("cut off", |it| it.truncate(10)),
        ("empty", Vec::clear),
    ];
    for (name, change) in changes {
        let host = replying(&["One.", "Two."]);
        let isolate = isolate(&[("SESSION_KEY", OLD)]);
        let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
        client.ask("s", "first").await;
        host.sessions.as_ref().unwrap().alter(|turn| {
            let mut sealed = turn.sealed.to_vec();
            change(&mut sealed);
            turn.sealed = sealed.into();
        });
        let expected = if name == "nothing" { 200 } else { 500 };
        assert_eq!(client.get("/sessions/s").await.status, expected, "{name}");
        let response = client.ask("s", "second").await;
        assert_eq!(response.status, expected, "{name}");
        // The lease was given back.
        if expected == 500 {
            assert_eq!(client.ask("s", "second").await.record.outcome, "misconfigured", "{name}");
        }
    }
    // In another session, of another caller, or at another position.
    let host = replying(&["One.", "Two.", "Three."]);
    let isolate = isolate(&[("SESSION_KEY", OLD)]);
    let client = |name| Client { isolate: &isolate, host: &host, name: Some(name) };
    client("alice").ask("s", "first").await;
    let mut first = Vec::new();
    let store = host.sessions.as_ref().unwrap();
    store.alter(|turn| first = turn.sealed.to_vec());
    for (name, id) in [("alice", "t"), ("bob", "s")] {
        client(name).ask(id, "other").await;
    }
    store.alter(|turn| turn.sealed = first.clone().into());
    assert_eq!(client("alice").get("/sessions/s").await.status, 200);
    assert_eq!(client("alice").get("/sessions/t").await.status, 500);
    assert_eq!(client("bob").get("/sessions/s").await.status, 500);
    store.alter(|turn| turn.position += 1);
    assert_eq!(client("alice").get("/sessions/s").await.status, 500);
}

#[tokio::test]
async fn a_platform_that_cannot_encrypt_is_misconfigured_with_a_key() {
    let mut host = replying(&["One."]);
    host.has_no_cipher = true;
    let isolate = isolate(&[("SESSION_KEY", OLD)]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    let response = client.ask("s", "first").await;
    assert_eq!((response.status, response.record.outcome), (500, "misconfigured"));
    assert_eq!(host.requests.borrow().len(), 0);
}
