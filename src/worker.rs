//! The Host of Cloudflare Workers: `fetch`, the bindings of an isolate, and nothing of the
//! function itself.
//!
//! Measured, a Rust Worker loses its time between wasm and JavaScript: in a call for each header,
//! a stream reader behind each `bytes()`, two closures for each awaited promise. So a message's head
//! is one call, a body one, an answer one, with `glue.js` as their other side; and a request is one
//! task, which JavaScript drives.
//!
//! Out of scope: routes beside the function's own.

use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use js_sys::{Date, Promise};
use sha2::{Digest, Sha256};
use wasm_bindgen::{JsCast, JsValue};

use crate::config::{Config, ConfigError};
use crate::envelope::Envelope;
use crate::event::{Event, Route};
use crate::gate::VerifyingKey;
use crate::handler::{Answer, streaming_handler, upgrade_handler};
use crate::header::{
    CF_ACCESS_JWT_ASSERTION, CF_CONNECTING_IP, X_AMZ_INVOCATION_TYPE, X_AMZN_REQUESTID, X_API_KEY,
};
use crate::host::{Host, LimitError, TransportError, VerifyError};
use crate::limits::Settlement;
use crate::log::{Level, Record};
use crate::rarely::rarely;
use body::{JsBody, RequestBody};
#[cfg(feature = "worker")]
pub use host::{WorkerBody, WorkerHost};
use task::{settled, settled_bytes};

mod body;
#[cfg(feature = "entry")]
mod entry;
mod glue;
#[cfg(feature = "worker")]
mod host;
mod invocation;
mod ledger;
mod streams;
mod task;

#[cfg(feature = "worker")]
pub use ledger::Ledger;

/// Answers a request, and logs its line. A route of another Worker can be this function.
///
/// The variables are read from `env` at the first request of an isolate. `BASE_PATH` is where the
/// route is, such as `/ai`. A limit wants its binding, as in this project's `wrangler.toml`:
/// `RATE_LIMITER`, and `LEDGER` with the class in [`Ledger`].
///
/// ```no_run
/// # use worker::{Context, Env, Request, Response, Result, event};
/// #[event(fetch)]
/// async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
///     bedrock_edge::worker::handle(request, &env).await
/// }
/// # fn main() {}
/// ```
///
/// # Errors
///
/// Where JavaScript does not take the answer, which would be a fault of this crate.
#[cfg(feature = "worker")]
pub async fn handle(
    request: ::worker::Request,
    env: &::worker::Env,
) -> ::worker::Result<::worker::Response> {
    // Not `Request::clone`, which is JavaScript's and divides the body.
    let request = Clone::clone(request.inner());
    let answer = wasm_bindgen_futures::JsFuture::from(serve(request, env)).await?;
    Ok(answer.unchecked_into::<web_sys::Response>().into())
}

/// The configuration, read from `env`, an `Env`, at the first request of an isolate.
pub fn config(env: &JsValue) -> &'static Result<Config, ConfigError> {
    static CONFIG: OnceLock<Result<Config, ConfigError>> = OnceLock::new();
    CONFIG.get_or_init(|| Config::from_vars(|name| glue::variable(env, name)))
}

/// A promise of a Response.
fn serve(request: web_sys::Request, env: &JsValue) -> Promise {
    let client = JsValue::from(&request);
    task::promise(&client, answer(request, config(env)))
}

async fn answer(
    request: web_sys::Request,
    config: &'static Result<Config, ConfigError>,
) -> Result<JsValue, JsValue> {
    let event = event(&request, config.as_ref().ok());
    if event.is_upgrade() {
        return rarely(upgrade(event, config, request.into())).await;
    }
    respond(event, config, request.into()).await
}

/// To a WebSocket.
async fn upgrade(
    event: Event<RequestBody>,
    config: &'static Result<Config, ConfigError>,
    client: JsValue,
) -> Result<JsValue, JsValue> {
    let worker = Worker { client };
    match upgrade_handler(event, config, &worker).await {
        Ok(upgrade) => Ok(streams::socket(upgrade)?.into()),
        Err((envelope, record)) => {
            worker.log(record, config.as_ref().ok());
            answered(&envelope)
        }
    }
}

/// A Response, for who waits as in `glue.js`.
async fn respond(
    event: Event<RequestBody>,
    config: &'static Result<Config, ConfigError>,
    client: JsValue,
) -> Result<JsValue, JsValue> {
    let worker = Worker { client };
    if event.route == Route::Invocation {
        return rarely(invocation::invoke(event, config, &worker)).await;
    }
    match streaming_handler(event, config, &worker).await {
        Answer::Whole(envelope, record) => {
            worker.log(record, config.as_ref().ok());
            answered(&envelope)
        }
        Answer::Stream(envelope, streaming) => {
            Ok(streams::events(&lines(&envelope), streaming)?.into())
        }
    }
}

fn answered(envelope: &Envelope) -> Result<JsValue, JsValue> {
    let (text, bytes) = text_or_bytes(envelope.body.as_bytes());
    Ok(glue::respond(envelope.status_code, &lines(envelope), text, bytes)?.into())
}

/// Writes a request's line on the console, if `LOG_LEVEL` does not say otherwise.
pub fn log(record: &Record, config: Option<&Config>) {
    if let Some(line) = record.line(config) {
        glue::log(&line);
    }
}

fn event(request: &web_sys::Request, config: Option<&Config>) -> Event<RequestBody> {
    let body = RequestBody::Js(JsBody::new(request.into()));
    // A signature can be of any header.
    let is_whole = config.is_some_and(|config| config.access.takes_signatures());
    let mut event = with_head(request, is_whole, |line, headers| {
        let (method, url) = line.split_once(' ').unwrap_or_default();
        // A method that is none is not one of ours either.
        let method = method.parse().unwrap_or(http::Method::CONNECT);
        Event::from_http(method, target_of(url), header_map(headers), body)
    });
    if let Some(config) = config {
        event.route = Route::of(config.path_below(event.path()));
    }
    event
}

/// Gives the first line and the lines of headers of a Request or a Response.
fn with_head<T>(message: &JsValue, is_whole: bool, read: impl FnOnce(&str, &str) -> T) -> T {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 4096]);
    }
    BUFFER.with_borrow_mut(|buffer| {
        let mut length = glue::head(message, is_whole, buffer) as usize;
        if length > buffer.len() {
            buffer.resize(length, 0);
            length = glue::head(message, is_whole, buffer) as usize;
        }
        // JavaScript writes UTF-8.
        let head = buffer.get(..length).and_then(|head| str::from_utf8(head).ok());
        let head = head.unwrap_or_default();
        let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
        read(line, headers)
    })
}

/// Path and query of an absolute URL, as they came: workerd takes no dot segments out of a path.
fn target_of(url: &str) -> &str {
    let start = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at);
    url.get(start..).and_then(|target| target.split('#').next()).unwrap_or_default()
}

fn header_map(lines: &str) -> HeaderMap {
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((header_name(name)?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    lines.lines().filter_map(pair).collect()
}

/// Those that `glue.js` asks for are found without http's search for all that there are: of what the
/// first request compiles, that would be a sixteenth.
fn header_name(name: &str) -> Option<HeaderName> {
    Some(match name {
        "content-type" => CONTENT_TYPE,
        "content-length" => CONTENT_LENGTH,
        "content-encoding" => CONTENT_ENCODING,
        "accept" => ACCEPT,
        "authorization" => AUTHORIZATION,
        "x-api-key" => X_API_KEY,
        "cf-access-jwt-assertion" => CF_ACCESS_JWT_ASSERTION,
        "cf-connecting-ip" => CF_CONNECTING_IP,
        "x-amz-invocation-type" => X_AMZ_INVOCATION_TYPE,
        "origin" => ORIGIN,
        "host" => HOST,
        "x-amzn-requestid" => X_AMZN_REQUESTID,
        "date" => DATE,
        other => other.parse().ok()?,
    })
}

/// The headers, names and values by turns.
fn lines(envelope: &Envelope) -> String {
    let headers: Vec<&str> =
        envelope.headers.iter().flat_map(|(name, value)| [*name, value.as_str()]).collect();
    headers.join("\n")
}

/// Up to so many bytes a body is sent as a string: a buffer is outside of JavaScript's heap, and takes
/// longer to make and to collect. A long string is copied once more.
const SHORT: usize = 16 << 10;

/// Above so many bytes WebCrypto's digest is faster than ours, with the promise that it costs: 31 µs
/// against 70 for 16 KiB.
const LONG_TO_HASH: usize = 8 << 10;

fn text_or_bytes(body: &[u8]) -> (Option<&str>, Option<&[u8]>) {
    let text = if body.len() <= SHORT { std::str::from_utf8(body).ok() } else { None };
    (text, text.is_none().then_some(body))
}

/// What one client waits for.
struct Worker {
    /// As in `glue.js`.
    client: JsValue,
}

impl Worker {
    /// Logs what did not become a stream. If nobody waited for it any more, then nothing failed.
    fn log(&self, mut record: Record, config: Option<&Config>) {
        if record.level == Level::Error && glue::is_gone(&self.client) {
            // nginx's: nobody was told a status.
            record.status = 499;
            record.level = Level::Info;
            record.outcome = "cancelled";
            record.error = None;
        }
        log(&record, config);
    }
}

fn now() -> SystemTime {
    // Whole milliseconds since the epoch, so nothing is lost. `SystemTime::now` panics here.
    UNIX_EPOCH + Duration::from_millis(Date::now() as u64)
}

impl Host for Worker {
    type Body = JsBody;

    fn now(&self) -> SystemTime {
        now()
    }

    fn random(&self) -> u128 {
        // Fetched for many requests at once.
        thread_local! {
            static POOL: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        POOL.with_borrow_mut(|pool| {
            if pool.len() < 16 {
                *pool = glue::random(4096);
            }
            let bytes = pool.split_off(pool.len().saturating_sub(16));
            bytes.into_iter().fold(0, |number, byte| number << 8 | u128::from(byte))
        })
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        let slept = settled(glue::sleep(milliseconds(time))).await;
        slept.map(drop).map_err(|error| transport_error(&error))
    }

    async fn verify(
        &self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, VerifyError> {
        match settled(glue::verify(key.algorithm(), key.jwk(), message, signature)).await {
            Ok(verdict) => Ok(verdict == JsValue::TRUE),
            Err(error) => Err(VerifyError::Key(transport_error(&error).to_string())),
        }
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<JsBody>, TransportError> {
        let (head, body) = request.into_parts();
        let mut headers = String::with_capacity(1024);
        for name in head.headers.keys() {
            headers.extend([if headers.is_empty() { "" } else { "\n" }, name.as_str(), "\n"]);
            // RFC 9110: several lines of one name are a list.
            for (at, value) in head.headers.get_all(name).iter().enumerate() {
                let value = value.to_str();
                let value = value.map_err(|error| TransportError::Failed(error.to_string()))?;
                headers.extend([if at == 0 { "" } else { ", " }, value]);
            }
        }
        let url = head.uri.to_string();
        let (text, bytes) = text_or_bytes(&body);
        let (method, within) = (head.method.as_str(), milliseconds(within));
        let answer = match glue::send(method, &url, &headers, text, bytes, within) {
            Ok(promise) => settled(promise).await,
            Err(error) => Err(error),
        };
        let answer = answer.map_err(|error| transport_error(&error))?;

        let mut response = Response::new(());
        with_head(&answer, false, |status, headers| {
            *response.status_mut() = StatusCode::from_bytes(status.as_bytes())
                .map_err(|_| TransportError::Failed(format!("not a status: {status}")))?;
            *response.headers_mut() = header_map(headers);
            Ok(())
        })?;
        Ok(response.map(|()| JsBody::new(answer)))
    }

    async fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        if bytes.len() > LONG_TO_HASH
            && let Ok(Some(hash)) = settled_bytes(glue::sha256(bytes)).await
            && let Ok(hash) = hash.try_into()
        {
            return hash;
        }
        Sha256::digest(bytes).into()
    }

    async fn admit(&self, key: &str) -> Result<bool, LimitError> {
        let admitted = settled(glue::admit(key)).await.map_err(|error| limit_error(&error))?;
        admitted.as_bool().ok_or(LimitError::Missing)
    }

    async fn ledger(&self, account: &str, message: String) -> Result<String, LimitError> {
        let reply = settled(glue::ledger(account, &message)).await;
        reply.map_err(|error| limit_error(&error))?.as_string().ok_or(LimitError::Missing)
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), LimitError> {
        glue::settle(&settlement.account, &settlement.message).map_err(|error| limit_error(&error))
    }
}

fn limit_error(error: &JsValue) -> LimitError {
    LimitError::Unreachable(transport_error(error).to_string())
}

/// As JavaScript's timers take them.
fn milliseconds(time: Duration) -> f64 {
    time.as_millis() as f64
}

fn transport_error(error: &JsValue) -> TransportError {
    // As in `glue.js`.
    if error.is_undefined() {
        return TransportError::Cancelled;
    }
    if error.is_null() {
        return TransportError::TimedOut;
    }
    let text = error.dyn_ref::<js_sys::Error>().map(|error| error.message().into());
    let text = text.or_else(|| error.as_string()).unwrap_or_else(|| "unknown".to_owned());
    TransportError::Failed(text)
}
