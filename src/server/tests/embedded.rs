//! Requests of clients that the embedding program has authenticated.

use super::handlers::handle_for;
use super::*;
use crate::auth::{Caller, Session};

#[tokio::test]
async fn a_client_that_the_embedding_program_names_needs_no_credential_of_ours() {
    let (forbidden, origin) = ("forbidden", "https://evil.example");
    #[rustfmt::skip]
    let cases = [
        ("a POST", "POST", "/", &[][..], 200, "ok"),
        ("the Worker's own page", "POST", "/", &[("origin", "https://here.example"), ("host", "here.example")], 200, "ok"),
        ("a page of a listed origin", "POST", "/", &[("origin", "https://page.example"), ("host", "here.example")], 200, "ok"),
        ("a page of another origin", "POST", "/", &[("origin", origin), ("host", "here.example")], 403, forbidden),
        ("the caller's numbers", "GET", "/usage", &[], 200, "ok"),
        ("an unknown path", "GET", "/nothing", &[], 404, "not_found"),
        ("a method that is not accepted", "PUT", "/", &[], 405, "method_not_allowed"),
    ];
    for (name, method, path, headers, status, outcome) in cases {
        // Nothing is configured, so nobody else gets in.
        let isolate = isolate(&[("AUTH", ""), ("ALLOWED_ORIGINS", "https://page.example")]);
        let session = Some(Session::new(Caller::new("app", "ann")));
        let request = request_in_the_worker(method, path, headers, Bytes::from(BODY));
        let handled = handle_for(session, request, &isolate, &replying()).await;
        let Handled::Whole(envelope, record) = handled else { panic!("{name}: not whole") };
        assert_eq!((envelope.status_code, record.outcome), (status, outcome), "{name}");
        assert_eq!(record.caller.as_ref().map(Caller::as_str), Some("app:ann"), "{name}");
    }
}

#[tokio::test]
async fn a_client_that_the_embedding_program_names_is_counted_by_its_name() {
    let host = replying().with_limits();
    let isolate = isolate(&[("RATE_LIMITER", "on"), ("DAILY_TOKENS", "1000"), ("AUTH", "")]);
    let session = Some(Session::new(Caller::new("app", "ann")));
    handle_for(session, post(Bytes::from(BODY)), &isolate, &host).await;
    assert_eq!(*host.counted.borrow(), ["app:ann"]);
    assert!(host.told.borrow().iter().all(|(account, _)| account == "app:ann"));
}
