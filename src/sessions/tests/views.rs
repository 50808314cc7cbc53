//! Sessions as their callers see them.

use super::*;

#[tokio::test]
async fn a_session_is_read_page_by_page() {
    let host = replying(&["One.", "Two.", "Three."]);
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    for prompt in ["first", "second", "third"] {
        client.ask("s", prompt).await;
    }
    let response = client.get("/sessions/s").await;
    let all = messages(&["first", "One.", "second", "Two.", "third", "Three."]);
    // Three replies took a quarter of a second each.
    let expected = json!({
        "id": "s",
        "turns": 3,
        "dropped_turns": 0,
        "updated_at": "2026-01-02T03:04:05Z",
        "expires_at": "2026-01-03T03:04:05Z",
        "usage": { "input_tokens": 30, "output_tokens": 15 },
        "cost": null,
        "messages": all,
        "next_after": null,
    });
    assert_eq!((response.status, response.body), (200, expected));
    let (mut paged, mut query) = (Vec::new(), "limit=2".to_owned());
    let mut pages = 0;
    loop {
        let page = client.get(&format!("/sessions/s?{query}")).await.body;
        paged.extend(page["messages"].as_array().unwrap().clone());
        pages += 1;
        let Some(after) = page["next_after"].as_str() else { break };
        query = format!("limit=2&after={after}");
    }
    assert_eq!((pages, Value::Array(paged)), (2, all));
    for query in ["limit=0", "limit=101", "limit=a", "limit=", "after=a", "after=-1", "after="] {
        let response = client.get(&format!("/sessions/s?{query}")).await;
        assert_eq!(response.status, 400, "{query}");
    }
    assert_eq!(client.get("/sessions/s?after=99").await.body["messages"], json!([]));
    assert_eq!(client.send("HEAD", "/sessions/s", "").await.status, 200);
    assert_eq!(client.send("POST", "/sessions/s", "").await.status, 405);
    assert_eq!(
        client.send("POST", "/sessions/s", "").await.header("allow"),
        Some("DELETE, GET, HEAD, OPTIONS")
    );
}

#[tokio::test]
async fn a_session_costs_what_its_calls_cost_if_all_are_known() {
    const SONNET: &str = "claude-sonnet-5-5";
    const HAIKU: &str = "claude-haiku-4-5";
    let usage = |json: Value| json!({ "content": [], "stop_reason": "end_turn", "usage": json });
    let cached = json!({
        "input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 300,
        "cache_creation": { "ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100 },
    });
    let plain = json!({ "input_tokens": 100, "output_tokens": 50 });
    // In the profile of the USA: a tenth more than the prices of the global one.
    for (name, turns, expected) in [
        ("one call", &[(SONNET, &plain)][..], json!(0.000_77)),
        ("two models", &[(SONNET, &plain), (HAIKU, &plain)], json!(0.001_155)),
        ("the cache", &[(SONNET, &cached)], json!(0.001_113_2)),
        ("no tokens", &[(SONNET, &plain), (SONNET, &json!({ "input_tokens": 1 }))], Value::Null),
        ("no price", &[("nova-pro", &json!({})), (SONNET, &plain)], Value::Null),
    ] {
        let host = turns.iter().fold(Scripted::new().with_sessions(), |host, (model, tokens)| {
            let reply = match *model {
                "nova-pro" => r#"{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1}}"#.to_owned(),
                _ => usage((*tokens).clone()).to_string(),
            };
            host.then(200, &[], reply)
        });
        let isolate = isolate(&[
            ("BEDROCK_REGION", "us-east-1"),
            ("BEDROCK_MODEL_ID", "us.anthropic.claude-opus-5-5"),
            ("ALLOWED_MODELS", "*"),
        ]);
        let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
        for (model, _) in turns {
            let body = json!({ "session": "s", "prompt": "Hi", "model": model });
            let response = client.post(&body).await;
            assert_eq!(response.status, 200, "{name}: {:?}", response.record);
        }
        let session = client.get("/sessions/s").await.body;
        assert_eq!(session["cost"], expected, "{name}: {session}");
    }
}

#[tokio::test]
async fn sessions_are_listed_from_the_newest_on() {
    let host = replying(&["1", "2", "3", "4"]);
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    assert_eq!(client.get("/sessions").await.body, json!({ "sessions": [], "next_after": null }));
    for id in ["a", "b", "c", "a"] {
        client.ask(id, "hi").await;
    }
    let response = client.get("/sessions").await;
    let ids = |body: &Value| -> Vec<String> {
        let sessions = body["sessions"].as_array().unwrap();
        sessions.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&response.body), ["a", "c", "b"]);
    let first = json!({
        "id": "a",
        "turns": 2,
        "dropped_turns": 0,
        "updated_at": "2026-01-02T03:04:06Z",
        "expires_at": "2026-01-03T03:04:06Z",
    });
    assert_eq!(response.body["sessions"][0], first);
    let page = client.get("/sessions?limit=2").await.body;
    assert_eq!(ids(&page), ["a", "c"]);
    let after = page["next_after"].as_str().unwrap();
    let page = client.get(&format!("/sessions?limit=2&after={after}")).await.body;
    assert_eq!((ids(&page), &page["next_after"]), (vec!["b".to_owned()], &Value::Null));
    for after in ["", "1", "a.b", "1.", "1.a%20b"] {
        let response = client.get(&format!("/sessions?after={after}")).await;
        assert_eq!(response.status, 400, "{after}");
    }
    let stranger = Client { name: Some("bob"), ..client };
    assert_eq!(ids(&stranger.get("/sessions").await.body), Vec::<String>::new());
    // An id is all that a client without a name has.
    let nobody = Client { name: None, ..stranger };
    let response = nobody.get("/sessions").await;
    assert_eq!((response.status, response.header("x-error-code")), (403, Some("forbidden")));
}

#[tokio::test]
async fn a_deleted_session_is_gone() {
    let host = replying(&["One.", "Two."]);
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    client.ask("s", "first").await;
    let response = client.send("DELETE", "/sessions/s", "").await;
    assert_eq!((response.status, &response.body), (204, &Value::Null));
    for method in ["DELETE", "GET"] {
        assert_eq!(client.send(method, "/sessions/s", "").await.status, 404);
    }
    assert!(host.sessions.as_ref().unwrap().bytes().is_empty());
    client.ask("s", "second").await;
    assert_eq!(sent(&host, 1)["messages"], messages(&["second"]));
}

/// Whatever a caller tries, a session of another one does not exist, in the same words as one that nobody has.
#[tokio::test]
async fn a_session_of_another_caller_does_not_exist() {
    let host = replying(&["One.", "Two."]);
    let isolate = isolate(&[]);
    let client = |name| Client { isolate: &isolate, host: &host, name };
    client(Some("alice")).ask("secret", "first").await;
    let open = client(None).ask(true, "first").await.session().to_owned();
    let mut rows = 0;
    for name in [Some("bob"), Some("ALICE"), Some("alice "), Some("app:alice"), None] {
        for id in ["secret", &open, "none"] {
            if name.is_none() && *id == *open {
                continue;
            }
            for (method, query) in [("GET", ""), ("GET", "?after=0"), ("DELETE", "")] {
                let path = format!("/sessions/{id}{query}");
                let response = client(name).send(method, &path, "").await;
                assert_eq!(response.status, 404, "{name:?} {method} {path}");
                assert_eq!(response.text(), "Error: there is no such session");
                let mut headers = response.headers;
                headers.retain(|(name, _)| *name != "x-request-id");
                let other = client(name).send(method, &format!("/sessions/other{query}"), "").await;
                let mut others = other.headers;
                others.retain(|(name, _)| *name != "x-request-id");
                assert_eq!(headers, others, "{name:?} {method} {path}");
                rows += 1;
            }
        }
    }
    assert!(rows >= 30, "{rows} rows");
    // The sessions are as they were.
    assert_eq!(client(Some("alice")).get("/sessions/secret").await.status, 200);
    assert_eq!(client(None).get(&format!("/sessions/{open}")).await.status, 200);
}
