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
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use js_sys::{Date, Promise, Uint8Array};
use sha2::{Digest, Sha256};
use wasm_bindgen::{JsCast, JsValue};

use crate::config::{Config, ConfigError};
use crate::envelope::Envelope;
use crate::event::Event;
use crate::handler::{Answer, streaming_handler};
use crate::host::{Host, TransportError};
use crate::log::{Level, Record};
use body::JsBody;
use task::settled;

mod body;
#[cfg(feature = "entry")]
mod entry;
mod glue;
mod streams;
mod task;

/// Answers a request, and logs its line. A route of another Worker can be this function.
///
/// The variables are read from `env` at the first request of an isolate.
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

/// A promise of a Response.
fn serve(request: web_sys::Request, env: &JsValue) -> Promise {
    static CONFIG: OnceLock<Result<Config, ConfigError>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| Config::from_vars(|name| glue::variable(env, name)));
    let client = JsValue::from(&request);
    task::promise(&client, answer(request, config))
}

async fn answer(
    request: web_sys::Request,
    config: &'static Result<Config, ConfigError>,
) -> Result<JsValue, JsValue> {
    let event = event(&request);
    if let (true, Ok(config)) = (event.is_upgrade(), config) {
        return Ok(streams::socket(config)?.into());
    }
    let worker = Worker { client: request.into() };
    let response = match streaming_handler(event, config, &worker).await {
        Answer::Whole(envelope, record) => {
            worker.log(record, config.as_ref().ok());
            let (text, bytes) = text_or_bytes(envelope.body.as_bytes());
            glue::respond(envelope.status_code, &lines(&envelope), text, bytes)?
        }
        Answer::Stream(envelope, streaming) => streams::events(&lines(&envelope), streaming)?,
    };
    Ok(response.into())
}

fn log(record: &Record, config: Option<&Config>) {
    if let Some(line) = record.line(config) {
        glue::log(&line);
    }
}

fn event(request: &web_sys::Request) -> Event<JsBody> {
    let head = glue::head(request);
    let (line, headers) = head.split_once('\n').unwrap_or((&head, ""));
    let (method, url) = line.split_once(' ').unwrap_or_default();
    Event::from_http(
        // A method that is none is not one of ours either.
        method.parse().unwrap_or(http::Method::CONNECT),
        path_of(url),
        header_map(headers),
        JsBody::new(request.into()),
    )
}

/// The path of an absolute URL, as it came: workerd takes no dot segments out of it.
fn path_of(url: &str) -> &str {
    let start = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at);
    url.get(start..).and_then(|path| path.split(['?', '#']).next()).unwrap_or_default()
}

fn header_map(lines: &str) -> HeaderMap {
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    lines.lines().filter_map(pair).collect()
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

    async fn send(&self, request: Request<Bytes>) -> Result<Response<JsBody>, TransportError> {
        let (head, body) = request.into_parts();
        let mut headers = String::with_capacity(1024);
        for (name, value) in &head.headers {
            let value = value.to_str().map_err(|error| TransportError(error.to_string()))?;
            headers.extend([name.as_str(), "\n", value, "\n"]);
        }
        let url = head.uri.to_string();
        let (text, bytes) = text_or_bytes(&body);
        let answer =
            match glue::send(head.method.as_str(), &url, &headers, text, bytes, &self.client) {
                Ok(promise) => settled(promise).await,
                Err(error) => Err(error),
            };
        let answer = answer.map_err(|error| transport_error(&error))?;

        let head = glue::head(&answer);
        let (status, headers) = head.split_once('\n').unwrap_or((&head, ""));
        let mut response = Response::new(JsBody::new(answer));
        *response.status_mut() = status
            .parse()
            .ok()
            .and_then(|status: u16| StatusCode::from_u16(status).ok())
            .ok_or_else(|| TransportError(format!("not a status: {status}")))?;
        *response.headers_mut() = header_map(headers);
        Ok(response)
    }

    async fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        if bytes.len() > LONG_TO_HASH
            && let Ok(hash) = settled(glue::sha256(bytes)).await
            && let Ok(hash) = Uint8Array::new(&hash).to_vec().try_into()
        {
            return hash;
        }
        Sha256::digest(bytes).into()
    }
}

fn transport_error(error: &JsValue) -> TransportError {
    let text = error.dyn_ref::<js_sys::Error>().map(|error| error.message().into());
    TransportError(text.or_else(|| error.as_string()).unwrap_or_else(|| "unknown".to_owned()))
}
