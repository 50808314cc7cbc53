//! Failures on demand. The prompt chooses the fault, so that developers and parallel tests need no
//! control channel: the last user message is `fault:NAME` or `fault:NAME:ARGUMENT`. Text after
//! white space is ignored. `fault:NAME@REGION` applies in one region only, `fault:NAME#TIMES` only
//! to the first TIMES calls with the same prompt, and `fault:NAME@REGION#TIMES` is both.
//!
//! A fault happens after the signature and the body have been validated. [`FAULTS`] are those of
//! `InvokeModel`. `InvokeModelWithResponseStream` has most of them too ([`Fault::streams`]), and
//! its own ([`STREAM_FAULTS`]).
//!
//! Out of scope: faults below HTTP, such as slow connects and resets.

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

pub(crate) use stream::complete_stream;
pub use stream::{
    DEFAULT_FRAMES, RequestedFault, STREAM_FAULTS, StreamFault, StreamOutcome, UTF8_TEXT,
};

/// A fault of `InvokeModel`.
#[derive(Debug)]
pub struct Fault {
    /// The name after `fault:`.
    pub name: &'static str,
    /// Whether `InvokeModelWithResponseStream` has this fault too: the same response in place of a
    /// stream, or the same content as a stream.
    pub streams: bool,
    run: fn(&FaultContext) -> Outcome,
}

/// Marks a response whose body never ends.
#[derive(Clone, Copy)]
pub(crate) struct Endless;

/// The request that a fault happens to.
#[derive(Debug)]
pub struct FaultContext<'a> {
    /// The HTTP request.
    pub received: &'a Received,
    /// The text of the last user message.
    pub prompt: &'a str,
    /// The reply without the fault.
    pub reply: &'a Reply,
}

/// The outcome of a fault.
#[derive(Debug)]
pub enum Outcome {
    /// A response in place of the reply.
    Respond(Response),
    /// Other JSON in place of the reply's, and additional headers.
    Content(Value, HeaderMap),
    /// The reply, after a delay.
    Delay(Duration),
}

use Outcome::{Content, Delay, Respond};

/// The faults of `InvokeModel`, in the order of the error message for an unknown name.
pub const FAULTS: &[Fault] = &[
    fault("throttled", |_| {
        let error = too_many_requests();
        Respond(([(header::RETRY_AFTER, "1")], error).into_response())
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
    // The response of a proxy in front of Bedrock.
    fault("overloaded", |_| {
        Respond(html(StatusCode::SERVICE_UNAVAILABLE, "503 Service Temporarily Unavailable"))
    }),
    // The error's name is in the body and not in a header, as in the protocols AWS JSON 1.0 and
    // 1.1.
    fault("type_in_body", |_| {
        let body = json!({
            "__type": "com.amazon.bedrock#ThrottlingException",
            "message": too_many_requests().message,
        });
        Respond(json_response(StatusCode::TOO_MANY_REQUESTS, &body))
    }),
    // `fault:slow:MILLISECONDS`, by default 2000.
    fault("slow", |context| {
        let milliseconds = argument(context.prompt).map_or(Ok(2000), str::parse);
        match milliseconds {
            Ok(milliseconds) => Delay(Duration::from_millis(milliseconds)),
            Err(_) => bad_argument("slow", "milliseconds", context.prompt),
        }
    }),
    // The connection closes in the middle of the body.
    invoke_only("hang_up", |context| {
        let body = context.reply.body();
        let half = body[..body.len() / 2].to_vec();
        Respond(truncated_response(context.reply, body.len(), half))
    }),
    // The connection closes without a response.
    fault("hang_up_before", |context| Respond(truncated_response(context.reply, 1, Vec::new()))),
    // The first half of the body arrives, and then nothing.
    invoke_only("stall", |context| {
        let body = context.reply.body();
        let half = body[..body.len() / 2].to_vec();
        let items = futures_util::stream::iter([Ok::<_, io::Error>(half)]);
        Respond(endless_response(context.reply, items.chain(futures_util::stream::pending())))
    }),
    // The body never ends. It is sent as fast as the client reads.
    invoke_only("endless", |context| {
        let items = futures_util::stream::repeat_with(|| Ok::<_, io::Error>(vec![b' '; 16 << 10]));
        Respond(endless_response(context.reply, items))
    }),
    // `fault:huge:BYTES` of white space before the reply, by default 9000000.
    invoke_only("huge", |context| {
        match argument(context.prompt).map_or(Ok(9_000_000), str::parse) {
            Ok(bytes) => {
                let mut body = vec![b' '; bytes];
                body.extend(context.reply.body());
                Respond(context.reply.response(body))
            }
            Err(_) => bad_argument("huge", "a number of bytes", context.prompt),
        }
    }),
    invoke_only("not_json", |_| Respond(html(StatusCode::OK, "Welcome"))),
    invoke_only("empty", |context| Respond(context.reply.response(""))),
    // The HTTP body is complete, and the JSON in it is truncated.
    invoke_only("cut_off", |context| {
        let body = context.reply.body();
        Respond(context.reply.response(body[..body.len() / 2].to_vec()))
    }),
    fault("no_text", |context| content(context, json!([]), "end_turn")),
    // The model reached `max_tokens` while it was thinking. The content is empty, or with
    // `fault:max_tokens_before_text:thinking` a thinking block.
    fault("max_tokens_before_text", |context| match argument(context.prompt) {
        None => content(context, json!([]), "max_tokens"),
        Some("thinking") => {
            let thinking = json!({
                "type": "thinking",
                "thinking": "The text needs more tokens than",
                "signature": "c2lnbmF0dXJl",
            });
            content(context, json!([thinking]), "max_tokens")
        }
        Some(_) => bad_argument("max_tokens_before_text", "thinking or nothing", context.prompt),
    }),
    // The model refused to reply.
    fault("refusal", |context| content(context, json!([]), "refusal")),
    fault("tool_only", |context| {
        let tool_use = json!({
            "type": "tool_use",
            "id": "toolu_bdrk_0123456789abcdef01234567",
            "name": "get_weather",
            "input": { "city": "Tokyo" },
        });
        content(context, json!([tool_use]), "tool_use")
    }),
    fault("thinking_first", |context| {
        let blocks = json!([
            { "type": "thinking", "thinking": "I should say it in two parts.", "signature": "c2lnbmF0dXJl" },
            { "type": "redacted_thinking", "data": "cmVkYWN0ZWQ=" },
            { "type": "text", "text": "The first part, " },
            { "type": "text", "text": "and the second." },
        ]);
        content(context, blocks, "end_turn")
    }),
    fault("unknown_operation", |_| Respond(unknown_operation())),
    fault("unknown_stop_reason", |context| {
        let blocks = context.reply.json()["content"].take();
        content(context, blocks, "ran_out_of_ink")
    }),
    fault("access_denied", |_| {
        error(
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
        )
    }),
    // Like AWS's, the message quotes the canonical request, its security token included.
    // `fault:bad_signature:PREFIX`: as if a proxy had changed the headers whose names begin with
    // PREFIX.
    fault("bad_signature", |context| {
        let mut received = context.received.clone();
        let prefix = argument(context.prompt).unwrap_or_default();
        for (name, value) in &mut received.headers {
            if !prefix.is_empty() && name.starts_with(prefix) {
                "changed".clone_into(value);
            }
        }
        Respond(bad_signature(&received).into_response())
    }),
    fault("expired_token", |_| {
        Respond(
            AwsError::authentication(
                "ExpiredTokenException",
                "The security token included in the request is expired",
            )
            .into_response(),
        )
    }),
    // The messages quote the prompt and the generated text, which must not reach a log.
    fault("validation", |context| {
        error(
            400,
            "ValidationException",
            &format!("messages.0.content: the prompt {:?} is not allowed", context.prompt),
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
    fault("model_error", |_| {
        let error = AwsError::bedrock(
            StatusCode::FAILED_DEPENDENCY,
            "ModelErrorException",
            "The model failed while it processed the request. Try your request again.",
        );
        let body = json!({
            "message": error.message,
            "originalStatusCode": 500,
            "resourceName": "anthropic.claude",
        });
        let mut response = error.into_response();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = body.to_string().into();
        Respond(response)
    }),
    fault("model_not_ready", |_| {
        error(
            429,
            "ModelNotReadyException",
            "The model is not ready for inference. Wait and try your request again.",
        )
    }),
    fault("quota", |_| {
        error(
            400,
            "ServiceQuotaExceededException",
            "Your request was denied due to exceeding the account quotas for Amazon Bedrock.",
        )
    }),
    // A redirect to the same URL. A client that follows it sends a GET, and receives the 200 of an
    // unknown operation.
    fault("redirect", |context| {
        Respond(
            (StatusCode::FOUND, [(header::LOCATION, context.received.target.as_str())])
                .into_response(),
        )
    }),
    // Values that must not reach a header or a log line unchecked.
    fault("garbage_headers", |context| {
        let mut body = context.reply.json();
        body["stop_reason"] = json!("end turn\", x=\"1\r\nx-injected: 1");
        let not_an_id = HeaderValue::from_static("<b>\"not a uuid\"; a=1, \t%0d%0a</b>");
        let headers = [
            (REQUEST_ID, not_an_id),
            (INPUT_TOKEN_COUNT, HeaderValue::from_static("-1")),
            (OUTPUT_TOKEN_COUNT, HeaderValue::from_static("many")),
        ];
        Content(body, headers.into_iter().collect())
    }),
];

const fn fault(name: &'static str, run: fn(&FaultContext) -> Outcome) -> Fault {
    Fault { name, streams: true, run }
}

/// Creates a fault in the body of the response. A stream has its own faults of that kind.
const fn invoke_only(name: &'static str, run: fn(&FaultContext) -> Outcome) -> Fault {
    Fault { name, streams: false, run }
}

impl Fault {
    /// Finds the fault of `InvokeModel` that a prompt demands, if any.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException` that lists the names, if there is no fault of that name.
    pub fn from_prompt(prompt: &str) -> Result<Option<&'static Self>, AwsError> {
        let Some(directive) = directive(prompt) else {
            return Ok(None);
        };
        let name = directive.split(':').next().unwrap_or_default();
        if let Some(fault) = FAULTS.iter().find(|fault| fault.name == name) {
            return Ok(Some(fault));
        }
        Err(unknown_fault(name, FAULTS.iter().map(|fault| fault.name)))
    }

    /// Runs the fault.
    pub fn run(&self, context: &FaultContext) -> Outcome {
        (self.run)(context)
    }
}

/// Returns `NAME:ARGUMENT` of a prompt that demands a fault.
fn directive(prompt: &str) -> Option<&str> {
    let directive = directive_with_conditions(prompt)?;
    Some(directive.split(['@', '#']).next().unwrap_or_default())
}

fn directive_with_conditions(prompt: &str) -> Option<&str> {
    let rest = prompt.trim_start().strip_prefix("fault:")?;
    rest.split_whitespace().next().or(Some(""))
}

/// Returns the region in which a fault applies, and the number of calls to which it applies, where
/// the prompt limits them.
pub(crate) fn conditions(prompt: &str) -> (Option<&str>, Option<u32>) {
    let directive = directive_with_conditions(prompt).unwrap_or_default();
    let (directive, times) = match directive.split_once('#') {
        Some((directive, times)) => (directive, times.parse().ok()),
        None => (directive, None),
    };
    (directive.split_once('@').map(|(_, region)| region), times)
}

fn argument(prompt: &str) -> Option<&str> {
    directive(prompt)?.split_once(':').map(|(_, argument)| argument)
}

fn unknown_fault(name: &str, names: impl Iterator<Item = &'static str>) -> AwsError {
    let names = names.collect::<Vec<_>>().join(", ");
    AwsError::validation(format!("Unknown fault '{name}'. Expected one of: {names}."))
}

fn unexpected_argument(name: &str, expected: &str, argument: &str) -> AwsError {
    AwsError::validation(format!("fault:{name}: expected {expected}, got '{argument}'."))
}

fn bad_argument(name: &str, expected: &str, prompt: &str) -> Outcome {
    let argument = argument(prompt).unwrap_or_default();
    Respond(unexpected_argument(name, expected, argument).into_response())
}

fn error(status: u16, name: &'static str, message: &str) -> Outcome {
    let status = StatusCode::from_u16(status).expect("a valid HTTP status");
    Respond(AwsError::bedrock(status, name, message).into_response())
}

fn too_many_requests() -> AwsError {
    AwsError::bedrock(
        StatusCode::TOO_MANY_REQUESTS,
        "ThrottlingException",
        "Too many requests, please wait before trying again.",
    )
}

fn content(context: &FaultContext, blocks: Value, stop_reason: &str) -> Outcome {
    let mut body = context.reply.json();
    body["content"] = blocks;
    body["stop_reason"] = json!(stop_reason);
    Content(body, HeaderMap::new())
}

fn endless_response(
    reply: &Reply,
    items: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
) -> Response {
    let mut response = reply.response(Body::from_stream(items));
    response.extensions_mut().insert(Endless);
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
    // A call with an API key has no signed headers. Only its host is quoted.
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

/// Creates a response that announces `content_length` bytes, sends fewer, and closes the
/// connection, as hyper does when a body fails. If `sent` is empty, the body fails before hyper has
/// sent the head, and the client receives nothing.
fn truncated_response(reply: &Reply, content_length: usize, sent: Vec<u8>) -> Response {
    let fails_at_once = sent.is_empty();
    let failure = Err(io::Error::other("a fault closed the connection"));
    let items = if fails_at_once { vec![failure] } else { vec![Ok(sent), failure] };
    let items = futures_util::stream::iter(items).then(move |item| async move {
        if item.is_err() && !fails_at_once {
            // Gives hyper time to flush the first part.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        item
    });
    let mut response = reply.response(Body::from_stream(items));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(content_length));
    response
}
