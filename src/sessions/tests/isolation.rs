//! A session of another caller does not exist: neither a byte of the response nor a call of the store tells it from one that
//! nobody has.

use super::*;
use crate::host::IncomingRequest;

const RANDOM: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
const TTL: u64 = 60;

/// The past of an id that a caller names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    Never,
    OfAnother,
    OfAnotherInATurn,
    FailedInItsFirstTurn,
    Deleted,
    Expired,
}

/// Makes a platform on which the caller's id has a past. Its clock and its random numbers are the same for every past.
async fn with_past(past: Past, name: Option<&str>, isolate: &Isolate) -> Scripted {
    let host = match past {
        Past::FailedInItsFirstTurn => Scripted::new().with_sessions().then(400, &[], "{}"),
        _ => replying(&["One.", "One."]),
    };
    let host = host.in_steps();
    let (owner, bob) =
        (Client { isolate, host: &host, name }, Client { isolate, host: &host, name: Some("bob") });
    let end = host.now() + Duration::from_secs(1000);
    if past != Past::Expired {
        host.pass(Duration::from_secs(990));
    }
    // An id that the Worker makes is the second random number of a request.
    host.chance.set(RANDOM - 2);
    let id = format!("{RANDOM:032x}");
    match past {
        Past::Never => {}
        Past::OfAnother => assert_eq!(bob.ask(&*id, "secret").await.status, 200),
        Past::OfAnotherInATurn => {
            assert_eq!(bob.ask(&*id, "secret").await.status, 200);
            // Dropped while Bedrock is called, so that the lease lasts.
            let mut turn = Box::pin(bob.ask(&*id, "secret"));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(turn.as_mut().poll(&mut context).is_pending());
        }
        Past::FailedInItsFirstTurn | Past::Deleted | Past::Expired => {
            let session = if name.is_some() { json!(id) } else { json!(true) };
            let begun = owner.ask(session, "a").await;
            let has_failed = past == Past::FailedInItsFirstTurn;
            assert_eq!(begun.status, if has_failed { 500 } else { 200 });
            if past == Past::Deleted {
                let deleted = owner.send("DELETE", &format!("/sessions/{id}"), "").await;
                assert_eq!(deleted.status, 204);
            }
        }
    }
    let left = end.duration_since(host.now()).unwrap();
    host.pass(left);
    host.chance.set(0);
    host.forget_responses();
    host.sessions.as_ref().unwrap().take_calls();
    host.then(200, &[], text("Two."))
}

/// Sends a request. Returns the response, the calls of the store, and the log line.
async fn observe(
    (method, path, body): (&str, &str, &str),
    name: Option<&str>,
    isolate: &Isolate,
    host: &Scripted,
) -> (String, Vec<String>, String) {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let request: IncomingRequest<Bytes> = request_in_the_worker(method, path, &[], body);
    let session = name.map(|name| Session::new(Caller::new("app", name)));
    let Handled::Whole(envelope, record) = handle_for(session, request, isolate, host).await else {
        panic!("{method} {path}");
    };
    let response = format!("{} {:?}\n{}", envelope.status_code, envelope.headers, envelope.body);
    let calls = host.sessions.as_ref().unwrap().take_calls();
    (response, calls, record.line(None).unwrap())
}

#[tokio::test]
async fn no_byte_and_no_call_tells_a_session_of_another_caller_from_one_that_nobody_has() {
    let isolate = isolate(&[("SESSION_TTL_SECONDS", &TTL.to_string())]);
    let id = format!("{RANDOM:032x}");
    let path = format!("/sessions/{id}");
    let page = format!("{path}?limit=1&after=0");
    let turn = json!({ "session": id, "prompt": "mine" }).to_string();
    for name in [Some("alice"), None] {
        // A caller with a name starts a session of its own.
        let begun = if name.is_some() { "200 " } else { "404 " };
        for (request, status, calls) in [
            (("GET", &*path, ""), "404 ", 1),
            (("GET", &page, ""), "404 ", 1),
            (("HEAD", &path, ""), "404 ", 1),
            (("DELETE", &path, ""), "404 ", 1),
            (("POST", "/", &turn), begun, if name.is_some() { 2 } else { 1 }),
        ] {
            let host = with_past(Past::Never, name, &isolate).await;
            let expected = observe(request, name, &isolate, &host).await;
            assert!(expected.0.starts_with(status), "{request:?}: {expected:?}");
            assert_eq!(expected.1.len(), calls, "{request:?}: {expected:?}");
            for past in [
                Past::OfAnother,
                Past::OfAnotherInATurn,
                Past::FailedInItsFirstTurn,
                Past::Deleted,
                Past::Expired,
            ] {
                let host = with_past(past, name, &isolate).await;
                let observed = observe(request, name, &isolate, &host).await;
                assert_eq!(observed, expected, "{past:?}: {request:?}");
            }
        }
    }
}
