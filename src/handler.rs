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
use crate::event::{Admission, Event, Route};
use crate::gate::{self, Refusal, Session, Unread};
use crate::host::{Body, Host, ReadError, TransportError};
use crate::invoke::invoke_bedrock;
use crate::limits::{self, Address};
use crate::log::{Record, Token, milliseconds};
use crate::request::Request;

pub use streaming::{Answer, socket_handler, streaming_handler};
pub use upgrade::{Upgrade, upgrade_handler};

pub(crate) mod streaming;
mod upgrade;

/// The function: an event in, an envelope and the request's line for the log out.
///
/// It never fails: what goes wrong is an envelope too.
///
/// 1. The request gets an id, which every answer carries.
/// 2. The configuration is right, or 500. What is wrong with it is in the record.
/// 3. Who calls is known, or 401, and may, or 403. `/healthz` and a browser's preflight are for all.
/// 4. The path and the method are ours, or 404 and 405. `OPTIONS` and `/healthz` end here.
/// 5. The caller has not sent too many requests, or 429. `/usage` ends here.
/// 6. The headers announce JSON of a fair size, or 415 and 413; only then the body is read, which
///    must arrive before the deadline, or 408.
/// 7. The body is a valid request, or 400. Its model is allowed, or 403.
/// 8. What it may use is reserved, or 429. Bedrock answers with a text, or 500. What was used is
///    settled.
/// 9. The record and the answer's headers tell what is known of the call.
///
/// ```
/// use bedrock_edge::{Config, Event, Host, lambda_handler};
///
/// /// What a Lambda returns for its event. It reads the configuration once.
/// async fn answer(event: &[u8], host: &impl Host) -> serde_json::Result<String> {
///     let config = Config::from_vars(|name| std::env::var(name).ok());
///     let (envelope, record) = lambda_handler(Event::from_lambda(event), &config, host).await;
///     if let Some(line) = record.line(config.as_ref().ok()) {
///         println!("{line}");
///     }
///     serde_json::to_string(&envelope)
/// }
/// ```
pub async fn lambda_handler<H: Host, B: Body>(
    event: Event<B>,
    config: &Result<Config, ConfigError>,
    host: &H,
) -> (Envelope, Record) {
    // 1.
    let mut call = Call::new(&event, config.as_ref().ok(), host);
    let envelope = match admit(event, config, host, &mut call).await {
        // 7.
        Ok((config, body)) => match Request::parse(&body, config) {
            Ok(request) => generate(&request, config, host, &mut call).await,
            Err(error) => failure("", error, &mut call.record),
        },
        Err(envelope) => envelope,
    };
    call.finish(envelope, host)
}

/// What is known of a call from its beginning to its end.
pub(crate) struct Call {
    started: SystemTime,
    pub(crate) record: Record,
    without_body: bool,
    /// Headers of the answer, whatever it is.
    cors: Vec<(&'static str, String)>,
}

impl Call {
    /// 1.
    pub(crate) fn new<H: Host, B>(event: &Event<B>, config: Option<&Config>, host: &H) -> Self {
        let id = event.request_id.clone().unwrap_or_else(|| Token::random(host.random()));
        let without_body = event.method == Method::HEAD;
        let cors = config.map(|it| gate::allow_origin(&event.headers, &it.access));
        let (record, cors) = (Record::new(id), cors.unwrap_or_default());
        Self { started: host.now(), record, without_body, cors }
    }

    fn deadline(&self, config: &Config) -> Deadline {
        Deadline::new(self.started, config.timeout)
    }

    /// 9.
    pub(crate) fn finish<H: Host>(
        mut self,
        mut envelope: Envelope,
        host: &H,
    ) -> (Envelope, Record) {
        self.record.total_time = host.now().duration_since(self.started).ok();
        self.record.set_status(envelope.status_code);
        describe(&self.record, &mut envelope);
        envelope.headers.append(&mut self.cors);
        if self.without_body {
            envelope.body.clear();
        }
        (envelope, self.record)
    }
}

/// Steps 2 and 3: the configuration, and who calls; or the answer.
async fn identify<'a, B: Body, H: Host>(
    event: Event<B>,
    config: &'a Result<Config, ConfigError>,
    host: &H,
    call: &mut Call,
) -> Result<(&'a Config, Session, Event<Unread<B>>), Envelope> {
    // 2.
    let config = config.as_ref().map_err(|error| {
        // The problems are in our own words: they name variables, and never repeat a value.
        failure("", Error::misconfigured(error.to_string()), &mut call.record)
    })?;
    call.record.configure(config);
    // 3.
    if let Some(envelope) = gate::preflight(&event, &config.access) {
        return Err(envelope);
    }
    if event.route == Route::Health {
        return Ok((config, Session::OPEN, event.map(Unread::Unread)));
    }
    if let Some(Admission { session, .. }) = &event.admission {
        let session = session.clone();
        call.record.caller.clone_from(&session.caller);
        return Ok((config, session, event.map(Unread::Unread)));
    }
    match gate::enter(event, config, call.deadline(config), host).await {
        Ok((session, event)) => {
            call.record.caller.clone_from(&session.caller);
            Ok((config, session, event))
        }
        Err(refusal) => Err(refuse(refusal, config, &mut call.record)),
    }
}

fn refuse(refusal: Refusal, config: &Config, record: &mut Record) -> Envelope {
    record.caller = refusal.session().and_then(|session| session.caller.clone());
    let (error, headers) = refusal.into_error(&config.access);
    let mut envelope = failure("", error, record);
    envelope.headers.extend(headers);
    envelope
}

/// Steps 2 to 6: the configuration and the body, or the answer.
pub(crate) async fn admit<'a, B: Body, H: Host>(
    event: Event<B>,
    config: &'a Result<Config, ConfigError>,
    host: &H,
    call: &mut Call,
) -> Result<(&'a Config, Bytes), Envelope> {
    let (config, _session, event) = identify(event, config, host, call).await?;
    let record = &mut call.record;
    // 4.
    let allow = match event.route {
        Route::Generate | Route::Invocation => "OPTIONS, POST",
        Route::Socket => "GET, OPTIONS",
        Route::Usage | Route::Health => "GET, HEAD, OPTIONS",
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
        (Route::Generate | Route::Invocation, &Method::POST)
        | (Route::Usage, &Method::GET | &Method::HEAD) => {}
        _ => {
            let message = format!("the method must be one of {allow}");
            let error = Error { allow: Some(allow), ..Error::new(Code::MethodNotAllowed, message) };
            return Err(failure("", error, record));
        }
    }
    // 5.
    if !event.admission.as_ref().is_some_and(|admission| admission.is_counted) {
        let address = || Address::of(&event.headers);
        let admitted = limits::admit(record.caller.as_ref(), address, config, host).await;
        admitted.map_err(|error| failure("", error, record))?;
    }
    if event.route == Route::Usage {
        let usage = limits::usage(record.caller.as_ref(), config, host).await;
        return Err(usage.unwrap_or_else(|error| failure("", error, record)));
    }
    // 6.
    let within = call.deadline(config).left(host.now());
    let body = read_body(event, config.max_body_bytes, within).await;
    Ok((config, body.map_err(|error| failure("", error, &mut call.record))?))
}

/// 8.
async fn generate<H: Host>(
    request: &Request<'_>,
    config: &Config,
    host: &H,
    call: &mut Call,
) -> Envelope {
    let (deadline, record) = (call.deadline(config), &mut call.record);
    let result = async {
        let reservation = limits::reserve(request, record.caller.as_ref(), config, host).await?;
        let result = invoke_bedrock(request, config, deadline, host, record).await;
        limits::settle(reservation, record, host).await;
        result
    };
    match result.await {
        Ok(reply) => build_response(&request.prompt, &reply.text, 200),
        Err(error) => failure(&request.prompt, error, record),
    }
}

async fn read_body<B: Body>(
    event: Event<B>,
    limit: usize,
    within: Duration,
) -> Result<Bytes, Error> {
    // The SDKs declare none for a payload, or one of bytes.
    if event.route != Route::Invocation {
        check_media_type(&event.headers)?;
    }
    if content_length(&event.headers).is_some_and(|length| length > limit as u64) {
        return Err(unreadable(ReadError::TooLong, limit));
    }
    event.body.read(limit, within).await.map_err(|error| unreadable(error, limit))
}

pub(crate) fn unreadable(error: ReadError, limit: usize) -> Error {
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

/// The envelope of an error, which goes to the caller, and what goes to the record instead.
fn failure(prompt: &str, error: Error, record: &mut Record) -> Envelope {
    let Error { code, message, cause, allow, retry_after, tokens } = error;
    record.fail(code, cause);

    let mut envelope = build_response(prompt, &format!("Error: {message}"), code.status().as_u16());
    envelope.set_header("x-error-code", code.as_str());
    if let Some(allow) = allow {
        envelope.set_header("allow", allow);
    }
    if let Some(seconds) = retry_after {
        envelope.set_header("retry-after", seconds.as_str());
    }
    if let Some(tokens) = tokens {
        envelope.set_header("x-ratelimit-limit-tokens", tokens.limit);
        envelope.set_header("x-ratelimit-remaining-tokens", tokens.remaining);
    }
    envelope
}

fn describe(record: &Record, envelope: &mut Envelope) {
    // An answer is for its caller alone.
    if !envelope.headers.iter().any(|(name, _)| *name == "cache-control") {
        envelope.set_header("cache-control", "no-store");
    }
    envelope.set_header("x-content-type-options", "nosniff");
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
        let (upstream, total) = (milliseconds(upstream), milliseconds(total));
        envelope.set_header("server-timing", format!("bedrock;dur={upstream}, total;dur={total}"));
    }
}

#[cfg(test)]
mod tests;
