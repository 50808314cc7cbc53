//! The call that is sent again because the model refuses the default temperature.

use bedrock_stub::events::events;
use bedrock_stub::frames::{chunk, encode};
use serde_json::Value;

use super::*;
use crate::host::Runtime;

const MESSAGE: &str = "`temperature` is deprecated for this model.";
const KIND: [(&str, &str); 1] = [("x-amzn-errortype", "ValidationException")];

fn refusing(host: Scripted, message: &str) -> Scripted {
    host.then(400, &KIND, json!({ "message": message }).to_string())
}

async fn send(body: &str, isolate: &Isolate, host: &Scripted) -> (Envelope, Record) {
    lambda_handler(post(Bytes::copy_from_slice(body.as_bytes())), isolate, host).await
}

/// Returns the temperature of each request to Bedrock.
fn temperatures(host: &Scripted) -> Vec<Option<f64>> {
    let requests = host.requests.borrow();
    let payloads = requests.iter().map(|it| serde_json::from_slice::<Value>(it.body()).unwrap());
    payloads.map(|it| it["temperature"].as_f64()).collect()
}

#[tokio::test]
async fn a_refused_default_temperature_is_dropped_for_this_and_all_later_requests() {
    for vars in [&[][..], &[ONCE]] {
        let host = refusing(Scripted::new(), MESSAGE).then(200, &[], REPLY).then(200, &[], REPLY);
        let isolate = isolate(vars);
        let (envelope, record) = send(BODY, &isolate, &host).await;
        assert_eq!((envelope.status_code, record.outcome), (200, "ok"), "{envelope:?}");
        assert_eq!(header(&envelope, "x-bedrock-attempts"), Some("2"));
        assert_eq!(record.dropped_field.as_deref(), Some("temperature"));
        let line: Value = serde_json::from_str(&record.line(None).unwrap()).unwrap();
        assert_eq!((&line["dropped_field"], &line["error"]), (&json!("temperature"), &Value::Null));
        assert_eq!(temperatures(&host), [Some(0.7), None]);
        assert_eq!(*host.sleeps.borrow(), [Duration::ZERO; 0]);
        let bodies: Vec<_> = host.requests.borrow().iter().map(|it| it.body().clone()).collect();
        let first = String::from_utf8(bodies[0].to_vec()).unwrap();
        assert_eq!(first.replace(r#","temperature":0.7"#, ""), String::from_utf8_lossy(&bodies[1]));

        let (envelope, record) = send(BODY, &isolate, &host).await;
        assert_eq!(envelope.status_code, 200, "{envelope:?}");
        assert_eq!(header(&envelope, "x-bedrock-attempts"), Some("1"));
        assert_eq!(record.dropped_field, None);
        assert!(!record.line(None).unwrap().contains("dropped_field"));
        assert_eq!(temperatures(&host), [Some(0.7), None, None]);
    }
}

#[tokio::test]
async fn a_stream_is_sent_again_without_the_refused_temperature() {
    let message =
        json!({ "content": [{ "type": "text", "text": "はい" }], "stop_reason": "end_turn" });
    let frames =
        || -> Vec<u8> { events(&message).iter().flat_map(|event| encode(&chunk(event))).collect() };
    let host = refusing(Scripted::new(), MESSAGE).then(200, &[], frames()).then(200, &[], frames());
    let isolate = isolate(&[ONCE]);
    let socket = WebSocket::trusted(&isolate).unwrap();
    for (dropped, expected) in
        [(Some("temperature"), vec![Some(0.7), None]), (None, vec![Some(0.7), None, None])]
    {
        let mut streaming = socket_handler(BODY.into(), &socket, &host).await.unwrap();
        while streaming.next(&host).await.is_some() {}
        let (record, _) = streaming.generation.finish(host.now());
        assert_eq!((record.outcome, record.dropped_field.as_deref()), ("ok", dropped));
        assert_eq!(temperatures(&host), expected);
    }
}

#[tokio::test]
async fn a_refused_temperature_is_remembered_for_one_model_and_one_isolate() {
    let vars = [("ALLOWED_MODELS", "anthropic.other"), ONCE];
    let (one, other) = (isolate(&vars), isolate(&vars));
    let host = refusing(Scripted::new(), MESSAGE).then(200, &[], REPLY);
    send(BODY, &one, &host).await;

    let host = replying();
    send(r#"{"prompt": "a", "model": "anthropic.other"}"#, &one, &host).await;
    assert_eq!(temperatures(&host), [Some(0.7)], "another model");
    let host = replying();
    let (_, record) = send(BODY, &other, &host).await;
    assert_eq!(temperatures(&host), [Some(0.7)], "another isolate");
    assert_eq!(record.dropped_field, None, "another isolate");
    let host = replying();
    send(BODY, &one, &host).await;
    assert_eq!(temperatures(&host), [None], "the same model and isolate");
}

#[tokio::test]
async fn a_400_is_final_unless_it_names_the_added_temperature() {
    let named = || refusing(Scripted::new(), MESSAGE);
    let other = |message| refusing(Scripted::new(), message);
    let forbidden = json!({ "message": MESSAGE }).to_string();
    let own = r#"{"prompt": "a", "temperature": 0.2}"#;
    let none = &[("TEMPERATURE", ""), ONCE][..];
    let once = &[ONCE][..];
    #[rustfmt::skip]
    let cases = [
        ("another field", once, BODY, other("max_tokens: too large"), Some(0.7), "rejected"),
        ("a longer word", once, BODY, other("temperatures and x_temperature are high"), Some(0.7), "rejected"),
        ("no message", once, BODY, Scripted::new().then(400, &KIND, "{}"), Some(0.7), "rejected"),
        ("HTML", once, BODY, Scripted::new().then(400, &[], "<p>temperature</p>"), Some(0.7), "rejected"),
        ("a 403", once, BODY, Scripted::new().then(403, &[], forbidden), Some(0.7), "access_denied"),
        ("the caller's own temperature", once, own, named(), Some(0.2), "rejected"),
        ("no default temperature", none, BODY, named(), None, "rejected"),
    ];
    for (name, vars, body, host, temperature, code) in cases {
        let (envelope, record) = send(body, &isolate(vars), &host).await;
        assert_eq!((envelope.status_code, record.outcome), (500, code), "{name}");
        assert_eq!(temperatures(&host), [temperature], "{name}");
        assert_eq!(record.dropped_field, None, "{name}");
    }
}

#[tokio::test]
async fn a_callers_own_temperature_is_sent_even_if_the_default_one_was_dropped() {
    let host = refusing(Scripted::new(), MESSAGE).then(200, &[], REPLY).then(200, &[], REPLY);
    let isolate = isolate(&[ONCE]);
    send(BODY, &isolate, &host).await;
    send(r#"{"prompt": "a", "temperature": 0.2}"#, &isolate, &host).await;
    assert_eq!(temperatures(&host), [Some(0.7), None, Some(0.2)]);
}

#[tokio::test]
async fn nothing_is_remembered_if_the_call_without_temperature_fails_too() {
    let refused = || refusing(Scripted::new(), MESSAGE);
    let cases = [
        ("refused again", refusing(refused(), MESSAGE), "rejected"),
        ("unavailable", refused().then(503, &[], "{}"), "unavailable"),
        ("no connection", refused().then_fail("reset"), "unavailable"),
        ("not a reply", refused().then(200, &[], "<html>"), "invalid_response"),
    ];
    for (name, host, code) in cases {
        let isolate = isolate(&[ONCE]);
        let (envelope, record) = send(BODY, &isolate, &host).await;
        assert_eq!((envelope.status_code, record.outcome), (500, code), "{name}");
        assert_eq!(record.dropped_field, None, "{name}");
        assert_eq!(temperatures(&host), [Some(0.7), None], "{name}");
        let host = replying();
        send(BODY, &isolate, &host).await;
        assert_eq!(temperatures(&host), [Some(0.7)], "{name}");
    }
}

#[tokio::test]
async fn retries_of_the_call_without_temperature_have_none_either() {
    let host = refusing(Scripted::new(), MESSAGE).then(503, &[], "{}").then(200, &[], REPLY);
    let isolate = isolate(&[("BEDROCK_MAX_ATTEMPTS", "2")]);
    let (envelope, record) = send(BODY, &isolate, &host).await;
    assert_eq!((envelope.status_code, record.dropped_field.as_deref()), (200, Some("temperature")));
    assert_eq!(temperatures(&host), [Some(0.7), None, None]);
}

#[tokio::test]
async fn a_call_is_not_sent_again_after_the_deadline() {
    let host = refusing(Scripted::new(), MESSAGE).taking(Duration::from_millis(1000));
    let isolate = isolate(&[("BEDROCK_TIMEOUT_MS", "1000")]);
    let (envelope, record) = send(BODY, &isolate, &host).await;
    assert_eq!((envelope.status_code, record.outcome), (500, "rejected"));
    assert_eq!(temperatures(&host), [Some(0.7)]);
}

#[tokio::test]
async fn a_fallback_region_gets_the_temperature_that_the_first_ones_model_refused() {
    let isolate = isolate(&[("BEDROCK_FALLBACK_REGIONS", "us-east-1=anthropic.other"), ONCE]);
    let host = refusing(Scripted::new(), MESSAGE).then(503, &[], "{}").then(200, &[], REPLY);
    let (envelope, record) = send(BODY, &isolate, &host).await;
    assert_eq!(
        (envelope.status_code, record.dropped_field.as_deref()),
        (200, None),
        "{envelope:?}"
    );
    assert_eq!(temperatures(&host), [Some(0.7), None, Some(0.7)]);

    let host = replying();
    send(BODY, &isolate, &host).await;
    assert_eq!(temperatures(&host), [Some(0.7)], "nothing is remembered");
}
