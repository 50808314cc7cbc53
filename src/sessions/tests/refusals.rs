//! Requests that are refused, and turns that are not stored.

use super::*;
use crate::error::Code;

const SESSIONS: &str =
    "sessions are not kept here: leave session out, and send the whole conversation as messages";

#[tokio::test]
async fn a_session_that_cannot_be_is_refused_before_bedrock_is_called() {
    const FORM: &str = "session must be true, or an id of 1 to 128 letters, digits, - and _";
    const NONE: &str = "there is no such session";
    let unknown = "0123456789abcdef0123456789abcdef";
    let off: &[_] = &[("SESSION_TTL_SECONDS", "0")];
    let short: &[_] = &[("SESSION_MAX_BYTES", "50")];
    let long = "x".repeat(129);
    let named = Some("alice");
    let prefill =
        json!([{ "role": "user", "content": "a" }, { "role": "assistant", "content": "b" }]);
    for (session, more, vars, name, status, message) in [
        (json!(false), json!({}), &[][..], named, 400, FORM),
        (json!(1), json!({}), &[], named, 400, FORM),
        (json!(""), json!({}), &[], named, 400, FORM),
        (json!("a b"), json!({}), &[], named, 400, FORM),
        (json!("a.b"), json!({}), &[], named, 400, FORM),
        (json!("a/b"), json!({}), &[], named, 400, FORM),
        (json!("é"), json!({}), &[], named, 400, FORM),
        (json!(long), json!({}), &[], named, 400, FORM),
        (json!(["a"]), json!({}), &[], named, 400, FORM),
        (
            json!("true"),
            json!({ "messages": prefill }),
            &[],
            named,
            400,
            "messages[1].role must be \"user\" in a session",
        ),
        (json!(true), json!({}), off, named, 400, SESSIONS),
        (json!("a"), json!({}), off, None, 400, SESSIONS),
        (
            json!(true),
            json!({ "prompt": "x".repeat(30) }),
            short,
            named,
            413,
            "the messages of a turn must have 50 bytes at most in a session",
        ),
        // A client without a name does not choose ids.
        (json!("mine"), json!({}), &[], None, 404, NONE),
        (json!(unknown), json!({}), &[], None, 404, NONE),
        (json!(unknown.to_uppercase()), json!({}), &[], None, 404, NONE),
    ] {
        let (host, isolate) = (replying(&[]), isolate(vars));
        let client = Client { isolate: &isolate, host: &host, name };
        let mut body = more;
        body["session"] = session;
        let response = client.post(&body).await;
        assert_eq!(response.status, status, "{body}");
        assert_eq!(response.text(), format!("Error: {message}"), "{body}");
        assert_eq!(response.header("x-session-id"), None, "{body}");
        assert!(host.sessions.as_ref().unwrap().bytes().is_empty(), "{body}");
    }
    // Without a store.
    let (host, isolate) = (Scripted::new(), isolate(&[]));
    let client = Client { isolate: &isolate, host: &host, name: named };
    for (method, path) in
        [("POST", "/"), ("GET", "/sessions"), ("GET", "/sessions/a"), ("DELETE", "/sessions/a")]
    {
        let body = if method == "POST" { r#"{"session": true}"# } else { "" };
        let response = client.send(method, path, body).await;
        assert_eq!(
            (response.status, response.text()),
            (400, &*format!("Error: {SESSIONS}")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_second_request_in_a_session_is_told_to_wait() {
    let host = replying(&["One.", "Two.", "Three."]).in_steps();
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    let (first, second) =
        futures_util::future::join(client.ask("s", "first"), client.ask("s", "second")).await;
    assert_eq!(first.status, 200);
    assert_eq!((second.status, second.header("retry-after")), (409, Some("1")));
    assert_eq!(second.header("x-error-code"), Some("session_busy"));
    assert_eq!(second.text(), "Error: another request runs in this session");
    // Another session is free, and this one is, too, when the first request has ended.
    assert_eq!(client.ask("s", "third").await.status, 200);
    assert_eq!(sent(&host, 1)["messages"], messages(&["first", "One.", "third"]));
}

#[tokio::test]
async fn a_turn_that_fails_leaves_nothing_and_frees_its_session() {
    let host = replying(&["One."]).then(400, &[], "{}").then(200, &[], "{}").then_leave();
    let host = host.then(200, &[], text("Two."));
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    client.ask("s", "first").await;
    for number in 1..4 {
        let response = client.ask("s", "failed").await;
        assert_eq!((response.status, response.header("x-session-id")), (500, None), "{number}");
    }
    assert_eq!(client.ask("s", "second").await.status, 200);
    assert_eq!(sent(&host, 4)["messages"], messages(&["first", "One.", "second"]));
    // A session whose first turn fails does not exist.
    let host = Scripted::new().with_sessions().then(400, &[], "{}");
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    assert_eq!(client.ask("new", "failed").await.status, 500);
    assert_eq!(client.get("/sessions/new").await.status, 404);
}

#[tokio::test]
async fn a_refusal_of_the_budget_frees_the_session() {
    let host = Scripted::new().with_limits().with_sessions().then(200, &[], text("One."));
    let isolate = isolate(&[("DAILY_TOKENS", "150")]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    assert_eq!(client.ask("s", &"x".repeat(100)).await.status, 429);
    assert_eq!(client.ask("s", "a").await.status, 200);
}

#[tokio::test]
async fn a_store_that_fails_is_an_error_and_never_a_forgotten_turn() {
    let host = replying(&["One."]);
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    let store = host.sessions.as_ref().unwrap();
    store.fail("out of order");
    for (method, path) in
        [("POST", "/"), ("GET", "/sessions"), ("GET", "/sessions/s"), ("DELETE", "/sessions/s")]
    {
        let body = if method == "POST" { r#"{"session": "s"}"# } else { "" };
        let response = client.send(method, path, body).await;
        assert_eq!((response.status, response.header("retry-after")), (503, Some("1")), "{path}");
        assert_eq!(response.record.outcome, Code::SessionsUnavailable.as_str(), "{path}");
        let line = response.record.line(None).unwrap();
        assert!(line.contains("SESSIONS: out of order"), "{line}");
    }
    assert_eq!(host.requests.borrow().len(), 0);
    // It fails while the model replies, which is paid for.
    store.work();
    store.fail_commits("out of order");
    let response = client.ask("s", "first").await;
    assert_eq!((response.status, response.record.outcome), (503, "sessions_unavailable"));
    assert_eq!((response.record.output_tokens, response.header("x-session-id")), (Some(5), None));
    store.work();
    assert_eq!(client.get("/sessions/s").await.status, 404);
}

#[tokio::test]
async fn a_turn_whose_session_is_deleted_is_an_error() {
    let host = replying(&["One.", "Two."]).in_steps();
    let isolate = isolate(&[]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    client.ask("s", "first").await;
    let deleted = async {
        let response = client.send("DELETE", "/sessions/s", "").await;
        assert_eq!(response.status, 204);
    };
    let (second, ()) = futures_util::future::join(client.ask("s", "second"), deleted).await;
    assert_eq!((second.status, second.record.outcome), (409, "session_busy"));
    assert_eq!(second.text(), "Error: the session was deleted or taken over while the request ran");
    assert_eq!(client.get("/sessions/s").await.status, 404);
}

#[tokio::test]
async fn a_request_that_crashes_keeps_its_session_until_its_lease_ends() {
    let host = replying(&["lost", "One."]).in_steps();
    let isolate = isolate(&[("BEDROCK_TIMEOUT_MS", "3000"), ("BEDROCK_STALL_MS", "2000")]);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    {
        // Dropped while Bedrock is called.
        let mut crashed = Box::pin(client.ask("s", "lost"));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(crashed.as_mut().poll(&mut context).is_pending());
    }
    // 3 and 2 seconds, and 5 for 100 tokens.
    host.pass(Duration::from_millis(9_999));
    assert_eq!(client.ask("s", "second").await.status, 409);
    host.pass(Duration::from_millis(1));
    assert_eq!(client.ask("s", "second").await.status, 200);
    assert_eq!(sent(&host, 1)["messages"], messages(&["second"]));
}

#[tokio::test]
async fn a_session_takes_memory_to_be_read_and_to_go_on() {
    const LONG: usize = 3_000_000;
    let vars = [("MAX_BODY_BYTES", "4000000"), ("SESSION_MAX_BYTES", "4000000")];
    let host = replying(&["1", "2", "3", "4", "5", "6"]).in_steps();
    let isolate = isolate(&vars);
    let client = Client { isolate: &isolate, host: &host, name: Some("alice") };
    for id in ["a", "b", "c"] {
        assert_eq!(client.ask(id, &"x".repeat(LONG)).await.status, 200);
    }
    let store = host.sessions.as_ref().unwrap();
    {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut running = [Box::pin(client.ask("a", "hi")), Box::pin(client.ask("b", "hi"))];
        running.iter_mut().for_each(|it| assert!(it.as_mut().poll(&mut context).is_pending()));
        store.take_calls();
        let response = client.get("/sessions/c").await;
        assert_eq!((response.status, response.record.outcome), (503, "overloaded"));
        assert_eq!(store.take_calls(), [""; 0]);
        // For a turn the length of the earlier ones is what counts.
        assert_eq!(client.ask("c", "hi").await.status, 200);
    }
    assert_eq!(client.get("/sessions/c").await.status, 200);
}
