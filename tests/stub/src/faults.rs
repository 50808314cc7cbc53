//! Failing on purpose. The prompt chooses, so that a person under `npm run dev` and tests that run
//! at once need no control plane: a last user message of `fault:NAME` or `fault:NAME:ARG`, and
//! what follows after white space is ignored. `fault:NAME@REGION` happens in a region only,
//! `fault:NAME#TIMES` to the first calls with this prompt only.
//!
//! A fault comes after the signature and the body were found good. [`FAULTS`] are those of
//! `InvokeModel`. `InvokeModelWithResponseStream` has most of them too ([`Fault::streams`]), and its
//! own ([`STREAM_FAULTS`]).
//!
//! Out of scope: faults below HTTP (slow connects, resets).

mod stream;

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};

use crate::auth;
use crate::error::AwsError;
use crate::reply::{INPUT_TOKEN_COUNT, OUTPUT_TOKEN_COUNT, Reply};
use crate::server::{REQUEST_ID, unknown_operation};
use crate::sigv4::{self, Authorization, PathEncoding, Received};

pub(crate) use stream::good;
pub use stream::{Asked, DEFAULT_FRAMES, STREAM_FAULTS, StreamAct, StreamFault, UTF8_TEXT};

/// A way for `InvokeModel` to fail.
#[derive(Debug)]
pub struct Fault {
    /// What stands after `fault:`.
    pub name: &'static str,
    /// Whether `InvokeModelWithResponseStream` fails in this way too: the same answer in place of a
    /// stream, or the same content streamed.
    pub streams: bool,
    act: fn(&Situation) -> Act,
}

/// Of a response whose body never ends.
#[derive(Clone, Copy)]
pub(crate) struct WithoutEnd;

/// What a fault may make its answer of.
#[derive(Debug)]
pub struct Situation<'a> {
    /// The request.
    pub received: &'a Received,
    /// The text of the last user message.
    pub prompt: &'a str,
    /// What would have been answered.
    pub reply: &'a Reply,
}

/// What comes of a fault.
#[derive(Debug)]
pub enum Act {
    /// This instead of the reply.
    Answer(Response),
    /// This content in place of the reply's, with these headers.
    Content(Value, HeaderMap),
    /// The reply, after a while.
    ReplyAfter(Duration),
}

use Act::{Answer, Content, ReplyAfter};

/// Every fault of `InvokeModel`, in the order in which they are listed to who asks for one that is
/// not here.
pub const FAULTS: &[Fault] = &[
    fault("throttled", |_| {
        let error = too_many_requests();
        Answer(([(header::RETRY_AFTER, "1")], error).into_response())
    }),
    fault("server_error", |_| {
        error(
            500,
            "InternalServerException",
            "The system encountered an unexpected error during processing. Try your request again.",
        )
    }),
    fault("unavailable", |_| {
        error(503, "ServiceUnavailableException", "Bedrock is unable to process your request.")
    }),
    // A proxy between us and Bedrock, not Bedrock.
    fault("overloaded", |_| {
        Answer(html(StatusCode::SERVICE_UNAVAILABLE, "503 Service Temporarily Unavailable"))
    }),
    // Without the header the name is in the body, as in AWS's JSON 1.0 and 1.1 protocols.
    fault("type_in_body", |_| {
        let body = json!({
            "__type": "com.amazon.bedrock#ThrottlingException",
            "message": too_many_requests().message,
        });
        Answer(json_response(StatusCode::TOO_MANY_REQUESTS, &body))
    }),
    // `fault:slow:MILLISECONDS`, 2000 if not told.
    fault("slow", |situation| {
        let milliseconds = argument(situation.prompt).map_or(Ok(2000), str::parse);
        match milliseconds {
            Ok(milliseconds) => ReplyAfter(Duration::from_millis(milliseconds)),
            Err(_) => {
                Answer(AwsError::validation("fault:slow takes milliseconds.").into_response())
            }
        }
    }),
    // The connection closes in the middle of the body.
    invoke_only("hang_up", |situation| {
        let body = situation.reply.json().to_string().into_bytes();
        let half = body[..body.len() / 2].to_vec();
        Answer(breaking_off(situation.reply, body.len(), half))
    }),
    // The connection closes without an answer.
    fault("hang_up_before", |situation| Answer(breaking_off(situation.reply, 1, Vec::new()))),
    // Half the body, and then nothing.
    invoke_only("stall", |situation| {
        let body = situation.reply.json().to_string().into_bytes();
        let half = body[..body.len() / 2].to_vec();
        let items = futures_util::stream::iter([Ok::<_, io::Error>(half)]);
        Answer(without_end(situation.reply, items.chain(futures_util::stream::pending())))
    }),
    // A body without an end, at the pace at which it is read.
    invoke_only("endless", |situation| {
        let items = futures_util::stream::repeat_with(|| Ok::<_, io::Error>(vec![b' '; 16 << 10]));
        Answer(without_end(situation.reply, items))
    }),
    // `fault:huge:BYTES` of white space before the reply, 9000000 if not told.
    invoke_only("huge", |situation| {
        match argument(situation.prompt).map_or(Ok(9_000_000), str::parse) {
            Ok(bytes) => {
                let mut body = vec![b' '; bytes];
                body.extend(situation.reply.json().to_string().into_bytes());
                Answer(situation.reply.response(body))
            }
            Err(_) => Answer(AwsError::validation("fault:huge takes bytes.").into_response()),
        }
    }),
    invoke_only("not_json", |_| Answer(html(StatusCode::OK, "Welcome"))),
    invoke_only("empty", |situation| Answer(situation.reply.response(""))),
    // HTTP is whole, the JSON in it is not.
    invoke_only("cut_off", |situation| {
        let body = situation.reply.json().to_string().into_bytes();
        Answer(situation.reply.response(body[..body.len() / 2].to_vec()))
    }),
    fault("no_text", |situation| content(situation, json!([]), "end_turn")),
    // Claude thought until `max_tokens` and wrote no text. `fault:max-tokens-before-text:thinking` has
    // the block of thinking in it, which Claude may also leave out.
    fault("max-tokens-before-text", |situation| match argument(situation.prompt) {
        None => content(situation, json!([]), "max_tokens"),
        Some("thinking") => {
            let thinking = json!({
                "type": "thinking",
                "thinking": "The text needs more tokens than",
                "signature": "c2lnbmF0dXJl",
            });
            content(situation, json!([thinking]), "max_tokens")
        }
        Some(_) => Answer(
            AwsError::validation("fault:max-tokens-before-text takes thinking.").into_response(),
        ),
    }),
    // Claude refuses to reply.
    fault("refusal", |situation| content(situation, json!([]), "refusal")),
    fault("tool_only", |situation| {
        let tool_use = json!({
            "type": "tool_use",
            "id": "toolu_bdrk_0123456789abcdef01234567",
            "name": "get_weather",
            "input": { "city": "Tokyo" },
        });
        content(situation, json!([tool_use]), "tool_use")
    }),
    fault("thinking_first", |situation| {
        let blocks = json!([
            { "type": "thinking", "thinking": "I should say it in two parts.", "signature": "c2lnbmF0dXJl" },
            { "type": "redacted_thinking", "data": "cmVkYWN0ZWQ=" },
            { "type": "text", "text": "The first part, " },
            { "type": "text", "text": "and the second." },
        ]);
        content(situation, blocks, "end_turn")
    }),
    fault("unknown_operation", |_| Answer(unknown_operation())),
    fault("unknown_stop_reason", |situation| {
        let blocks = situation.reply.json()["content"].take();
        content(situation, blocks, "ran_out_of_ink")
    }),
    fault("access_denied", |_| {
        error(
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
        )
    }),
    // As real as AWS's: the message quotes the canonical request, its security token too.
    // `fault:bad_signature:START`: as if something on the way had changed the headers that start so.
    fault("bad_signature", |situation| {
        let mut received = situation.received.clone();
        let changed = argument(situation.prompt).unwrap_or_default();
        for (name, value) in &mut received.headers {
            if !changed.is_empty() && name.starts_with(changed) {
                "changed".clone_into(value);
            }
        }
        Answer(bad_signature(&received).into_response())
    }),
    fault("expired_token", |_| {
        Answer(
            AwsError::authentication(
                "ExpiredTokenException",
                "The security token included in the request is expired",
            )
            .into_response(),
        )
    }),
    // The message quotes the prompt: it must not reach a log.
    fault("validation", |situation| {
        error(
            400,
            "ValidationException",
            &format!("messages.0.content: the prompt {:?} is not allowed", situation.prompt),
        )
    }),
    fault("not_found", |_| {
        error(
            404,
            "ResourceNotFoundException",
            "Could not resolve the foundation model from the provided model identifier.",
        )
    }),
    fault("model_timeout", |_| {
        error(
            408,
            "ModelTimeoutException",
            "Model has timed out in processing the request. Try your request again.",
        )
    }),
    // To itself. Who follows it asks with GET, as clients do, and gets the 200 of an unknown operation.
    fault("redirect", |situation| {
        Answer(
            (StatusCode::FOUND, [(header::LOCATION, situation.received.target.as_str())])
                .into_response(),
        )
    }),
    // What must not become a header or a log line unchecked.
    fault("garbage_headers", |situation| {
        let mut body = situation.reply.json();
        body["stop_reason"] = json!("end turn\", x=\"1\r\nx-injected: 1");
        let odd = HeaderValue::from_static("<b>\"not a uuid\"; a=1, \t%0d%0a</b>");
        let headers = [
            (REQUEST_ID, odd),
            (INPUT_TOKEN_COUNT, HeaderValue::from_static("-1")),
            (OUTPUT_TOKEN_COUNT, HeaderValue::from_static("many")),
        ];
        Content(body, headers.into_iter().collect())
    }),
];

const fn fault(name: &'static str, act: fn(&Situation) -> Act) -> Fault {
    Fault { name, streams: true, act }
}

/// It is about the body: a stream's has its own ways to fail.
const fn invoke_only(name: &'static str, act: fn(&Situation) -> Act) -> Fault {
    Fault { name, streams: false, act }
}

impl Fault {
    /// The fault that an invoke's prompt asks for, if it asks for one.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException` with the names, if an invoke has none of that name.
    pub fn asked_for(prompt: &str) -> Result<Option<&'static Self>, AwsError> {
        let Some(words) = words(prompt) else {
            return Ok(None);
        };
        let name = words.split(':').next().unwrap_or_default();
        if let Some(fault) = FAULTS.iter().find(|fault| fault.name == name) {
            return Ok(Some(fault));
        }
        Err(unknown(name, FAULTS.iter().map(|fault| fault.name)))
    }

    /// What comes of it.
    pub fn act(&self, situation: &Situation) -> Act {
        (self.act)(situation)
    }
}

/// `NAME:ARG` of a prompt that asks for a fault.
fn words(prompt: &str) -> Option<&str> {
    let word = word(prompt)?;
    Some(word.split(['@', '#']).next().unwrap_or_default())
}

fn word(prompt: &str) -> Option<&str> {
    let rest = prompt.trim_start().strip_prefix("fault:")?;
    rest.split_whitespace().next().or(Some(""))
}

/// Where a fault is to happen, and how many times: `fault:NAME@REGION`, `fault:NAME#TIMES`, and both
/// in this order.
pub(crate) fn conditions(prompt: &str) -> (Option<&str>, Option<u32>) {
    let word = word(prompt).unwrap_or_default();
    let (word, times) = match word.split_once('#') {
        Some((word, times)) => (word, times.parse().ok()),
        None => (word, None),
    };
    (word.split_once('@').map(|(_, region)| region), times)
}

fn argument(prompt: &str) -> Option<&str> {
    words(prompt)?.split_once(':').map(|(_, argument)| argument)
}

fn unknown(name: &str, names: impl Iterator<Item = &'static str>) -> AwsError {
    let names = names.collect::<Vec<_>>().join(", ");
    AwsError::validation(format!("No fault is named '{name}'. There are: {names}."))
}

fn error(status: u16, name: &'static str, message: &str) -> Act {
    let status = StatusCode::from_u16(status).expect("the table has real statuses");
    Answer(AwsError::bedrock(status, name, message).into_response())
}

fn too_many_requests() -> AwsError {
    AwsError::bedrock(
        StatusCode::TOO_MANY_REQUESTS,
        "ThrottlingException",
        "Too many requests, please wait before trying again.",
    )
}

fn content(situation: &Situation, blocks: Value, stop_reason: &str) -> Act {
    let mut body = situation.reply.json();
    body["content"] = blocks;
    body["stop_reason"] = json!(stop_reason);
    Content(body, HeaderMap::new())
}

fn without_end(
    reply: &Reply,
    items: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
) -> Response {
    let mut response = reply.response(Body::from_stream(items));
    response.extensions_mut().insert(WithoutEnd);
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, body.to_string()).into_response()
}

fn html(status: StatusCode, title: &str) -> Response {
    let body =
        format!("<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n");
    (status, [(header::CONTENT_TYPE, "text/html")], body).into_response()
}

fn bad_signature(received: &Received) -> AwsError {
    let authorization =
        received.header("authorization").and_then(|value| Authorization::parse(value).ok());
    // A call with an API key has none of this: only its host is quoted.
    let signed_headers =
        authorization.as_ref().map_or(vec!["host".to_owned()], |it| it.signed_headers.clone());
    let canonical_request =
        sigv4::canonical_request(received, &signed_headers, PathEncoding::Twice, true);
    let string_to_sign = authorization.map_or(String::new(), |it| {
        let time = received.header("x-amz-date").unwrap_or_default();
        sigv4::string_to_sign(time, &it.scope, &canonical_request)
    });
    auth::mismatch(&canonical_request, &string_to_sign)
}

/// Promises `content_length` bytes, sends fewer, and closes the connection: hyper does when a body
/// fails. It has not yet sent the head if the body fails at once, so then nothing is sent.
fn breaking_off(reply: &Reply, content_length: usize, sent: Vec<u8>) -> Response {
    let at_once = sent.is_empty();
    let failure = Err(io::Error::other("hung up on request"));
    let items = if at_once { vec![failure] } else { vec![Ok(sent), failure] };
    let items = futures_util::stream::iter(items).then(move |item| async move {
        if item.is_err() && !at_once {
            // Lets what was sent leave first.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        item
    });
    let mut response = reply.response(Body::from_stream(items));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(content_length));
    response
}
