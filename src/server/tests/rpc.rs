//! The method that other Workers call through a binding.

use bedrock_stub::events::events;
use bedrock_stub::frames::{chunk, encode};

use super::*;
use crate::auth::{Caller, Session};
use crate::host::Runtime;

async fn call<'a>(body: &str, isolate: &'a Isolate, host: &Scripted) -> Handled<'a, Watched> {
    let session = Session::new(Caller::new("binding", "shop"));
    rpc_handler(Bytes::copy_from_slice(body.as_bytes()), session, isolate, host).await
}

#[tokio::test]
async fn a_call_of_the_rpc_method_returns_the_reply_and_what_it_cost() {
    let (host, isolate) = (replying(), isolate(&[("AUTH", "")]));
    let Handled::Whole(envelope, record) = call(r#"{"prompt": "a"}"#, &isolate, &host).await else {
        panic!("not whole");
    };
    assert_eq!(envelope.status_code, 200);
    assert_eq!(
        envelope.body,
        format!(
            r#"{{"input_prompt":"a","generated_text":"はい、\"元気\"です。","stop_reason":"end_turn","usage":{{"input_tokens":12,"output_tokens":7}},"request_id":"{RANDOM_ID}"}}"#
        )
    );
    assert_eq!(record.caller.as_ref().unwrap().as_str(), "binding:shop");
    check_form("RPC", &envelope, &record);
}

#[tokio::test]
async fn an_error_of_the_rpc_method_is_json_to_be_thrown() {
    let valid = r#"{"prompt": "a"}"#;
    let forbidden = || Scripted::new().then(403, &[], "{}");
    #[rustfmt::skip]
    let cases = [
        ("an invalid body", &[][..], r#"{"prompt": 1}"#, Scripted::new(), 400, "invalid_request", "prompt must be a string"),
        ("a body that is too long", &[("MAX_BODY_BYTES", "5")], valid, Scripted::new(), 413, "payload_too_large", "the body must have 5 bytes at most"),
        ("a failed call", &[], valid, forbidden(), 500, "access_denied", "Bedrock invocation failed"),
        ("an invalid configuration", &[("MAX_TOKENS", "0")], valid, Scripted::new(), 500, "misconfigured", "Internal server error"),
    ];
    for (name, vars, body, host, status, code, message) in cases {
        let isolate = isolate(vars);
        let Handled::Whole(envelope, record) = call(body, &isolate, &host).await else {
            panic!("{name}: not whole");
        };
        let expected = format!(
            r#"{{"code":"{code}","message":"{message}","status":{status},"retryable":false,"request_id":"{RANDOM_ID}"}}"#
        );
        assert_eq!((envelope.status_code, envelope.body.as_str()), (status, &*expected), "{name}");
        check_form(name, &envelope, &record);
    }
}

#[tokio::test]
async fn a_call_of_the_rpc_method_streams_if_the_body_asks_for_it() {
    let message =
        json!({ "content": [{ "type": "text", "text": "はい" }], "stop_reason": "end_turn" });
    let frames: Vec<u8> = events(&message).iter().flat_map(|it| encode(&chunk(it))).collect();
    let (host, isolate) = (Scripted::new().then(200, &[], frames), isolate(&[]));
    let body = r#"{"prompt": "a", "stream": true}"#;
    let Handled::Stream(envelope, mut streaming) = call(body, &isolate, &host).await else {
        panic!("not a stream");
    };
    assert_eq!(header(&envelope, "content-type"), Some("text/event-stream; charset=utf-8"));
    let mut sse = Vec::new();
    while let Some(event) = streaming.next(&host).await {
        streaming.generation.encode(&event, &mut sse);
    }
    let sse = String::from_utf8(sse).unwrap();
    assert!(sse.starts_with("event: start\ndata: {"), "{sse}");
    assert!(sse.contains("\n\nevent: delta\ndata: {\"text\":\"は\"}\n\n"), "{sse}");
    let (record, _) = streaming.generation.finish(host.now());
    assert_eq!(record.caller.unwrap().as_str(), "binding:shop");
}

#[tokio::test]
async fn calls_of_the_rpc_method_are_counted_and_charged_to_the_caller_of_the_binding() {
    let host = replying().with_limits();
    let isolate = isolate(&[("RATE_LIMITER", "on"), ("DAILY_TOKENS", "1000")]);
    call(r#"{"prompt": "a"}"#, &isolate, &host).await;
    assert_eq!(*host.counted.borrow(), ["binding:shop"]);
    assert!(host.told.borrow().iter().all(|(account, _)| account == "binding:shop"));
    assert_eq!(host.settled(), [19]);
}
