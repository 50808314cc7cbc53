//! Conversations, by every way in which a body reaches the service.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bedrock_stub::events::{events, text_delta};
use bedrock_stub::frames::{chunk, encode, exception};
use serde_json::Value;

use super::*;
use crate::auth::Session;
use crate::claude::{Messages, Request};
use crate::host::Runtime;
use crate::{invoke_bedrock, invoke_bedrock_with_response_stream};

/// A way in which a body reaches the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entrance {
    Post,
    StreamedPost,
    WebSocket,
    /// A Lambda event that is the body.
    DirectEvent,
    ProxyEvent,
    ProxyEventInBase64,
    Invocation,
    /// A proxy event in an invocation.
    InvocationOfProxyEvent,
    Rpc,
}

const ENTRANCES: [Entrance; 9] = [
    Entrance::Post,
    Entrance::StreamedPost,
    Entrance::WebSocket,
    Entrance::DirectEvent,
    Entrance::ProxyEvent,
    Entrance::ProxyEventInBase64,
    Entrance::Invocation,
    Entrance::InvocationOfProxyEvent,
    Entrance::Rpc,
];

/// The texts of the conversation: the user's, the assistant's, and the user's last two.
const TEXTS: [&str; 4] = ["himitsu の\t\"計画\"", "himitsu-reply/", "himitsu-one", "himitsu-二"];

/// The conversation with unusual spacing, escapes and order, which would change if it were parsed and written again.
const MESSAGES: &str = concat!(
    "[ {\"content\" :\"himitsu \\u306e\\t\\\"計画\\\"\",\r\n\t\"role\" : \"user\"},",
    r#"{"role":"assistant","content":[ {"text":"himitsu-reply\/","type":"text"} ]}   ,"#,
    r#"{ "role":"user", "content":[{"type":"text","text":"himitsu-one"},{ "text":"himitsu-\u4E8C","type":"text" }] } ]"#,
);

fn frames() -> Vec<u8> {
    let message =
        json!({ "content": [{ "type": "text", "text": "はい" }], "stop_reason": "end_turn" });
    events(&message).iter().flat_map(|event| encode(&chunk(event))).collect()
}

impl Entrance {
    fn is_streamed(self) -> bool {
        matches!(self, Self::StreamedPost | Self::WebSocket)
    }

    fn platform(self) -> Scripted {
        if self.is_streamed() { Scripted::new().then(200, &[], frames()) } else { replying() }
    }

    /// Sends a body. Returns the status, the `input_prompt` or else the message of the error, and the record.
    async fn send(self, body: &str, isolate: &Isolate, host: &Scripted) -> (u16, String, Record) {
        const INVOKE: &str = "/2015-03-31/functions/f/invocations";
        let proxy_event = |body: &str, is_base64: bool| {
            json!({
                "requestContext": { "http": { "method": "POST" } },
                "body": body,
                "isBase64Encoded": is_base64,
            })
            .to_string()
        };
        let post = |path: &str, headers: &[(&str, &str)], body: &str| {
            request_in_the_worker("POST", path, headers, Bytes::copy_from_slice(body.as_bytes()))
        };
        let handled = match self {
            Self::Post => handle(post("/", &[], body), isolate, host).await,
            Self::StreamedPost => {
                let headers = [("accept", "text/event-stream")];
                handle(post("/", &headers, body), isolate, host).await
            }
            Self::WebSocket => {
                let socket = WebSocket::trusted(isolate).unwrap();
                let message = Bytes::copy_from_slice(body.as_bytes());
                match socket_handler(message, &socket, host).await {
                    Ok(streaming) => Handled::Stream(Envelope::empty(200), streaming),
                    Err((message, record)) => {
                        let event: Value = serde_json::from_str(&message).unwrap();
                        return (record.status, text_of(&event["data"]), record);
                    }
                }
            }
            Self::DirectEvent | Self::ProxyEvent | Self::ProxyEventInBase64 => {
                let event = match self {
                    Self::ProxyEvent => proxy_event(body, false),
                    Self::ProxyEventInBase64 => proxy_event(&STANDARD.encode(body), true),
                    _ => body.to_owned(),
                };
                let event = IncomingRequest::from_lambda(event.as_bytes());
                let (envelope, record) = lambda_handler(event, isolate, host).await;
                Handled::Whole(envelope, record)
            }
            Self::Invocation => handle(post(INVOKE, &[], body), isolate, host).await,
            Self::InvocationOfProxyEvent => {
                handle(post(INVOKE, &[], &proxy_event(body, false)), isolate, host).await
            }
            Self::Rpc => {
                let body = Bytes::copy_from_slice(body.as_bytes());
                rpc_handler(body, Session::OPEN, isolate, host).await
            }
        };
        match handled {
            Handled::Whole(envelope, record) => {
                let mut status = envelope.status_code;
                let mut body: Value = serde_json::from_str(&envelope.body).unwrap();
                if let Some(inner) = body["statusCode"].as_u64() {
                    status = u16::try_from(inner).unwrap();
                    body = serde_json::from_str(body["body"].as_str().unwrap()).unwrap();
                }
                (status, text_of(&body), record)
            }
            Handled::Stream(envelope, mut streaming) => {
                let mut last = Value::Null;
                while let Some(event) = streaming.next(host).await {
                    last = serde_json::from_str(&event.to_message()).unwrap();
                }
                let (record, _) = streaming.generation.finish(host.now());
                (envelope.status_code, text_of(&last["data"]), record)
            }
            other => panic!("{self:?}: {other:?}"),
        }
    }
}

/// Returns the `input_prompt`, or the message of an error.
fn text_of(body: &Value) -> String {
    let [prompt, message, text] =
        ["input_prompt", "message", "generated_text"].map(|name| body[name].as_str());
    let error = message.or(text.filter(|text| text.starts_with("Error: ")));
    let text = error.or(prompt).unwrap_or_else(|| panic!("{body}"));
    text.strip_prefix("Error: ").unwrap_or(text).to_owned()
}

/// Returns the bodies of the requests to Bedrock.
fn payloads(host: &Scripted) -> Vec<String> {
    let requests = host.requests.borrow();
    requests.iter().map(|it| String::from_utf8(it.body().to_vec()).unwrap()).collect()
}

fn payload_with(messages: &str) -> String {
    format!(
        r#"{{"anthropic_version":"bedrock-2023-05-31","messages":{messages},"max_tokens":100,"temperature":0.7}}"#
    )
}

#[tokio::test]
async fn a_conversation_goes_to_bedrock_byte_for_byte_from_every_entrance() {
    for entrance in ENTRANCES {
        let (host, isolate) = (entrance.platform(), isolate(&[]));
        let body = format!(" {{ \"messages\" :\t{MESSAGES}\n}}");
        let (status, prompt, record) = entrance.send(&body, &isolate, &host).await;
        assert_eq!((status, &*prompt), (200, "himitsu-二"), "{entrance:?}");
        assert_eq!(payloads(&host), [payload_with(MESSAGES)], "{entrance:?}");
        assert_eq!(record.outcome, "ok", "{entrance:?}");
        assert!(!record.line(None).unwrap().contains("himitsu"), "{entrance:?}");
    }
}

#[tokio::test]
async fn a_conversation_that_ends_with_the_assistant_is_sent_as_a_prefill() {
    const MESSAGES: &str = r#"[{"role":"user","content":"a"}, {"role":"assistant","content":"b"}]"#;
    for entrance in ENTRANCES {
        let (host, isolate) = (entrance.platform(), isolate(&[]));
        let body = format!(r#"{{"messages":{MESSAGES}}}"#);
        let (status, prompt, _) = entrance.send(&body, &isolate, &host).await;
        assert_eq!((status, &*prompt), (200, "a"), "{entrance:?}");
        assert_eq!(payloads(&host), [payload_with(MESSAGES)], "{entrance:?}");
    }
}

/// None of them gets a reply to the default prompt.
#[tokio::test]
async fn an_invalid_conversation_is_a_400_from_every_entrance() {
    let cases = [
        (r#""a""#, "messages must be an array of messages"),
        (r#"{}"#, "messages must be an array of messages"),
        (r#"[]"#, "messages must not be empty: expected a user's message as messages[0]"),
        (r#"["a"]"#, "messages[0] must be an object"),
        (
            r#"[{"role":"user","content":"a"},{"role":"tool","content":"b"}]"#,
            r#"messages[1].role must be "user" or "assistant""#,
        ),
        (
            r#"[{"role":"assistant","content":"a"}]"#,
            r#"messages[0].role must be "user": a conversation begins with the user"#,
        ),
        (r#"[{"content":"a"}]"#, r#"messages[0].role must be "user" or "assistant""#),
        (
            r#"[{"role":"user","content":"a","cache":1}]"#,
            r#"messages[0] has the member "cache": expected role and content only"#,
        ),
        (r#"[{"role":"user"}]"#, "messages[0].content is missing"),
        (r#"[{"role":"user","content":[]}]"#, "messages[0].content must not be empty"),
        (r#"[{"role":"user","content":" "}]"#, "messages[0].content must not be blank"),
        (
            r#"[{"role":"user","content":[{"type":"image","text":"a"}]}]"#,
            r#"messages[0].content[0].type must be "text""#,
        ),
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":5}]"#,
            "messages[2].content must be a string or an array of text blocks",
        ),
        (
            r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":" "}]}]"#,
            "messages[0].content[1].text must not be blank",
        ),
        (r#"[{"role":"user","content":"a","role":"user"}]"#, "messages[0].role is there twice"),
    ];
    for entrance in ENTRANCES {
        for (messages, expected) in cases {
            let (host, isolate) = (Scripted::new(), isolate(&[]));
            let body = format!(r#"{{"messages":{messages}}}"#);
            let (status, message, record) = entrance.send(&body, &isolate, &host).await;
            assert_eq!((status, &*message), (400, expected), "{entrance:?}: {messages}");
            assert_eq!(record.outcome, "invalid_request", "{entrance:?}: {messages}");
        }
        let (host, isolate) = (Scripted::new(), isolate(&[]));
        let body = format!(r#"{{"prompt": "a", "messages": {MESSAGES}}}"#);
        let (status, message, _) = entrance.send(&body, &isolate, &host).await;
        let expected = "prompt and messages exclude each other: send one of them";
        assert_eq!((status, &*message), (400, expected), "{entrance:?}");
    }
}

/// A program in Rust builds the request itself.
#[tokio::test]
async fn a_conversation_of_a_rust_request_goes_to_bedrock_byte_for_byte() {
    let json = serde_json::from_str(MESSAGES).unwrap();
    let mut request = Request::new("a", 100);
    request.messages = Messages::parse(json).unwrap();
    assert_eq!(request.prompt(), TEXTS[3]);
    let isolate = isolate(&[]);
    let record = || Record::new(crate::Identifier::random(42));

    let host = replying();
    let bedrock = isolate.bedrock(&host).unwrap();
    invoke_bedrock(&request, &bedrock, &mut record()).await.unwrap();
    assert_eq!(payloads(&host), [payload_with(MESSAGES)]);

    let host = Scripted::new().then(200, &[], frames());
    let bedrock = isolate.bedrock(&host).unwrap();
    invoke_bedrock_with_response_stream(&request, &bedrock, &mut record()).await.unwrap();
    assert_eq!(payloads(&host), [payload_with(MESSAGES)]);
}

#[tokio::test]
async fn no_text_of_a_conversation_that_aws_quotes_is_logged() {
    let quote = format!("not allowed: {}", TEXTS.join(" | "));
    let as_json = json!({ "message": quote }).to_string();
    let body = format!(r#"{{"messages":{MESSAGES}}}"#);
    for entrance in ENTRANCES {
        let late = [
            encode(&chunk(&text_delta(0, "は"))),
            encode(&exception("validationException", &quote)),
        ];
        let mut hosts = vec![Scripted::new().then(400, &[], as_json.clone())];
        if entrance.is_streamed() {
            hosts.push(Scripted::new().then(200, &[], Watched::in_chunks(late)));
        }
        for host in hosts {
            let isolate = isolate(&[ONCE]);
            let (_, message, record) = entrance.send(&body, &isolate, &host).await;
            assert_eq!(record.outcome, "rejected", "{entrance:?}");
            assert_eq!(message, "Bedrock invocation failed", "{entrance:?}");
            let cause = record.error.as_ref().unwrap().as_str();
            assert!(cause.contains("a message of "), "{entrance:?}: {cause}");
            for part in ["himitsu", "計画", "reply", "one", "二"] {
                assert!(!cause.contains(part), "{entrance:?}: {cause}");
            }
        }
    }
}
