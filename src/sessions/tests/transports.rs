//! One session by every transport.

use super::*;
use crate::api::LambdaBody;
use crate::host::{Body, IncomingRequest};
use crate::server::{lambda_handler, rpc_handler};

/// Returns the session that a Lambda's envelope names.
fn session_of(envelope: &Value) -> Value {
    envelope["headers"]["x-session-id"].clone()
}

#[tokio::test]
async fn lambda_events_and_invocations_take_sessions() {
    let texts = ["1", "2", "3", "4", "5", "6"];
    let (host, isolate) = (replying(&texts), isolate(&[]));
    let event = async |json: Value| -> Value {
        let json = json.to_string();
        let request: IncomingRequest<LambdaBody> = IncomingRequest::from_lambda(json.as_bytes());
        let (envelope, _) = lambda_handler(request, &isolate, &host).await;
        serde_json::to_value(&envelope).unwrap()
    };
    // A direct event.
    let first = event(json!({ "session": true, "prompt": "first" })).await;
    let id = session_of(&first);
    assert_eq!((&first["statusCode"], id.as_str().unwrap().len()), (&json!(200), 32));
    let body = json!({ "session": id, "prompt": "again" }).to_string();
    // API Gateway's formats 2.0 and 1.0.
    for request in [
        json!({ "requestContext": { "http": { "method": "POST" } }, "rawPath": "/ask", "body": body }),
        json!({ "requestContext": {}, "httpMethod": "POST", "path": "/ask", "body": body }),
    ] {
        let envelope = event(request).await;
        assert_eq!((&envelope["statusCode"], &session_of(&envelope)), (&json!(200), &id));
    }
    // Lambda's API.
    let client = Client { isolate: &isolate, host: &host, name: None };
    let path = "/2015-03-31/functions/f/invocations";
    let response = client.send("POST", path, &body).await;
    assert_eq!((response.status, &session_of(&response.body)), (200, &id));
    assert_eq!(sent(&host, 3)["messages"].as_array().unwrap().len(), 7);
    // The session itself, behind a stage.
    let http = |method: &str, path: &str| json!({ "requestContext": { "http": { "method": method } }, "rawPath": path });
    let path = format!("/prod/sessions/{}", id.as_str().unwrap());
    let page = event(http("GET", &path)).await;
    let page: Value = serde_json::from_str(page["body"].as_str().unwrap()).unwrap();
    assert_eq!((&page["id"], &page["turns"]), (&id, &json!(4)));
    let mut request = http("GET", &path);
    request["rawQueryString"] = json!("limit=1");
    let page = event(request).await;
    let page: Value = serde_json::from_str(page["body"].as_str().unwrap()).unwrap();
    assert_eq!((page["messages"].as_array().unwrap().len(), &page["next_after"]), (2, &json!("0")));
    assert_eq!(event(http("GET", "/prod/sessions")).await["statusCode"], 403);
    assert_eq!(event(http("DELETE", &path)).await["statusCode"], 204);
    assert_eq!(event(http("GET", &path)).await["statusCode"], 404);
}

#[tokio::test]
async fn the_method_generate_returns_the_id() {
    async fn call(json: Value, isolate: &Isolate, host: &Scripted) -> (u16, Value) {
        let session = Session::new(Caller::new("app", "alice"));
        let body = Bytes::from(json.to_string());
        assert!(body.length().is_some());
        match rpc_handler(body, session, isolate, host).await {
            Handled::Whole(envelope, _) => {
                (envelope.status_code, serde_json::from_str(&envelope.body).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }
    let (host, isolate) = (replying(&["1", "2", "3"]), isolate(&[("SESSION_MAX_TURNS", "2")]));
    for (number, dropped) in [(1, json!(null)), (2, json!(null)), (3, json!(1))] {
        let body = json!({ "session": "s", "prompt": format!("number {number}") });
        let (status, body) = call(body, &isolate, &host).await;
        assert_eq!(
            (status, &body["session"], &body["dropped_turns"]),
            (200, &json!("s"), &dropped)
        );
    }
    let (status, body) = call(json!({ "session": "a b" }), &isolate, &host).await;
    assert_eq!((status, &body["code"]), (400, &json!("invalid_request")));
    let (_, body) = call(json!({ "session": "s" }), &isolate, &replying(&["4"])).await;
    assert_eq!(body.get("dropped_turns"), None);
}
