//! The function itself.
//!
//! Out of scope: where the event comes from, and where the envelope and the record go.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method};

use crate::config::{Config, ConfigError};
use crate::deadline::Deadline;
use crate::envelope::{Envelope, build_response};
use crate::error::{Code, Error};
use crate::event::{Event, Route};
use crate::host::{Body, Host, ReadError, TransportError};
use crate::invoke::invoke_bedrock;
use crate::log::{Record, Redacted, Token};
use crate::request::Request;

pub use streaming::{Answer, socket_handler, streaming_handler};

mod streaming;

/// The function: an event in, an envelope and the request's line for the log out.
///
/// It never fails: what goes wrong is an envelope too.
///
/// 1. The request gets an id, which every answer carries.
/// 2. The configuration is right, or 500. What is wrong with it is in the record.
/// 3. The path and the method are ours, or 404 and 405. `OPTIONS` and `/healthz` end here.
/// 4. The headers announce JSON of a fair size, or 415 and 413; only then the body is read, which
///    must arrive before the deadline, or 408.
/// 5. The body is a valid request, or 400.
/// 6. Bedrock answers with a text, or 500.
/// 7. The record and the answer's headers tell what is known of the call.
pub async fn lambda_handler<H: Host, B: Body>(
    event: Event<B>,
    config: &Result<Config, ConfigError>,
    host: &H,
) -> (Envelope, Record) {
    // 1.
    let mut call = Call::new(&event, host);
    let envelope = match admit(event, config, host, &mut call).await {
        // 5.
        Ok((config, body)) => match Request::parse(&body, config) {
            Ok(request) => generate(&request, config, host, &mut call).await,
            Err(error) => failure("", error, &mut call.record),
        },
        Err(envelope) => envelope,
    };
    call.finish(envelope, host)
}

/// What is known of a call from its beginning to its end.
struct Call {
    started: SystemTime,
    record: Record,
    without_body: bool,
}

impl Call {
    /// 1.
    fn new<H: Host, B>(event: &Event<B>, host: &H) -> Self {
        let id = event.request_id.clone().unwrap_or_else(|| Token::random(host.random()));
        let without_body = event.method == Method::HEAD;
        Self { started: host.now(), record: Record::new(id), without_body }
    }

    fn deadline(&self, config: &Config) -> Deadline {
        Deadline::new(self.started, config.timeout)
    }

    /// 7.
    fn finish<H: Host>(mut self, mut envelope: Envelope, host: &H) -> (Envelope, Record) {
        self.record.total_time = host.now().duration_since(self.started).ok();
        self.record.set_status(envelope.status_code);
        describe(&self.record, &mut envelope);
        if self.without_body {
            envelope.body.clear();
        }
        (envelope, self.record)
    }
}

/// Steps 2 to 4: the configuration and the body, or the answer.
async fn admit<'a, H: Host, B: Body>(
    event: Event<B>,
    config: &'a Result<Config, ConfigError>,
    host: &H,
    call: &mut Call,
) -> Result<(&'a Config, Bytes), Envelope> {
    let record = &mut call.record;
    // 2.
    let config = config.as_ref().map_err(|error| failure("", misconfigured(error), record))?;
    record.configure(config);
    // 3.
    let allow = match event.route {
        Route::Generate => "OPTIONS, POST",
        Route::Socket => "GET, OPTIONS",
        Route::Health => "GET, HEAD, OPTIONS",
        Route::Unknown => {
            let error = Error::new(Code::NotFound, "there is nothing at this path");
            return Err(failure("", error, record));
        }
    };
    match (event.route, &event.method) {
        (_, &Method::OPTIONS) => {
            let mut envelope = build_response("", "", 204);
            envelope.body.clear();
            envelope.set_header("allow", allow);
            return Err(envelope);
        }
        (Route::Health, &Method::GET | &Method::HEAD) => return Err(build_response("", "ok", 200)),
        (Route::Socket, &Method::GET) => {
            let error = Error::new(Code::UpgradeRequired, "this path takes WebSockets only");
            let mut envelope = failure("", error, record);
            envelope.set_header("upgrade", "websocket");
            return Err(envelope);
        }
        (Route::Generate, &Method::POST) => {}
        _ => {
            let message = format!("the method must be one of {allow}");
            let error = Error { allow: Some(allow), ..Error::new(Code::MethodNotAllowed, message) };
            return Err(failure("", error, record));
        }
    }
    // 4.
    let within = call.deadline(config).left(host.now());
    let body = read_body(event, config.max_body_bytes, within).await;
    Ok((config, body.map_err(|error| failure("", error, &mut call.record))?))
}

/// 6.
async fn generate<H: Host>(
    request: &Request<'_>,
    config: &Config,
    host: &H,
    call: &mut Call,
) -> Envelope {
    let (deadline, record) = (call.deadline(config), &mut call.record);
    match invoke_bedrock(request, config, deadline, host, record).await {
        Ok(reply) => build_response(&request.prompt, &reply.text, 200),
        Err(error) => failure(&request.prompt, error, record),
    }
}

async fn read_body<B: Body>(
    event: Event<B>,
    limit: usize,
    within: Duration,
) -> Result<Bytes, Error> {
    check_media_type(&event.headers)?;
    if content_length(&event.headers).is_some_and(|length| length > limit as u64) {
        return Err(unreadable(ReadError::TooLong, limit));
    }
    event.body.read(limit, within).await.map_err(|error| unreadable(error, limit))
}

fn unreadable(error: ReadError, limit: usize) -> Error {
    match error {
        ReadError::TooLong => {
            let message = format!("the body must have {limit} bytes at most");
            Error::new(Code::PayloadTooLarge, message)
        }
        ReadError::Malformed(message) => Error::new(Code::InvalidRequest, message),
        ReadError::Transport(TransportError::TimedOut) => {
            Error::new(Code::RequestTimeout, "the body did not arrive in time")
        }
        ReadError::Transport(_) => Error::new(Code::InvalidRequest, "the body ended early"),
    }
}

/// A body without a declared type is taken for JSON. That it is, is seen when it is parsed.
fn check_media_type(headers: &HeaderMap) -> Result<(), Error> {
    let value = |name| match headers.get(name) {
        None => Ok(None),
        Some(value) => value.to_str().map(|text| Some(text.to_ascii_lowercase())),
    };
    let refuse = |message| Err(Error::new(Code::UnsupportedMediaType, message));

    let Ok(content_type) = value(CONTENT_TYPE) else {
        return refuse("the Content-Type must be application/json");
    };
    if let Some(content_type) = content_type {
        let mut parts = content_type.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let is_structured = essence.starts_with("application/") && essence.ends_with("+json");
        if essence != "application/json" && !is_structured {
            return refuse("the Content-Type must be application/json");
        }
        let charset = parts.find_map(|parameter| parameter.strip_prefix("charset="));
        if charset.is_some_and(|charset| !["utf-8", "utf8"].contains(&charset.trim_matches('"'))) {
            return refuse("the charset must be utf-8");
        }
    }
    match value(CONTENT_ENCODING).as_ref().map(Option::as_deref) {
        Ok(None | Some("identity" | "")) => Ok(()),
        _ => refuse("the body must come without a Content-Encoding"),
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    // One that no number holds is too long all the same.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().unwrap_or(u64::MAX))
}

fn misconfigured(error: &ConfigError) -> Error {
    // The problems are in our own words: they name variables, and never repeat a value.
    let cause = Redacted::new(&error.to_string(), [], []);
    Error::new(Code::Misconfigured, "Internal server error").because(cause)
}

/// The envelope of an error, which goes to the caller, and what goes to the record instead.
fn failure(prompt: &str, error: Error, record: &mut Record) -> Envelope {
    let Error { code, message, cause, allow, retry_after } = error;
    record.fail(code, cause);

    let mut envelope = build_response(prompt, &format!("Error: {message}"), code.status().as_u16());
    envelope.set_header("x-error-code", code.as_str());
    if let Some(allow) = allow {
        envelope.set_header("allow", allow);
    }
    if let Some(seconds) = retry_after {
        envelope.set_header("retry-after", seconds.as_str());
    }
    envelope
}

fn describe(record: &Record, envelope: &mut Envelope) {
    envelope.set_header("x-request-id", record.request_id.as_str());
    if let Some(id) = &record.upstream_request_id {
        envelope.set_header("x-amzn-requestid", id.as_str());
    }
    if record.attempts > 0 {
        envelope.set_header("x-bedrock-attempts", record.attempts);
        envelope.set_header("x-bedrock-region", record.region.as_deref().unwrap_or_default());
    }
    if let Some(reason) = &record.stop_reason {
        envelope.set_header("x-stop-reason", reason.as_str());
    }
    // The names are Bedrock's own.
    if let Some(tokens) = record.input_tokens {
        envelope.set_header("x-amzn-bedrock-input-token-count", tokens);
    }
    if let Some(tokens) = record.output_tokens {
        envelope.set_header("x-amzn-bedrock-output-token-count", tokens);
    }
    if let (Some(upstream), Some(total)) = (record.upstream_time, record.total_time) {
        let (upstream, total) = (upstream.as_millis(), total.as_millis());
        envelope.set_header("server-timing", format!("bedrock;dur={upstream}, total;dur={total}"));
    }
}

#[cfg(test)]
mod tests;
