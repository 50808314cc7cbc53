//! The Host of Cloudflare Workers: `fetch`, the bindings of an isolate, and nothing of the
//! function itself.
//!
//! Measured, a Rust Worker loses its time between wasm and JavaScript: in a call for each header,
//! a stream reader behind each `bytes()`, a closure for each awaited promise. So a message's head
//! is one call, a body one, an answer one; `glue.js` is their other side.
//!
//! Out of scope: routes beside the function's own.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::worker::{Env, console_log};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use js_sys::{Date, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

use crate::config::{Config, ConfigError};
use crate::envelope::Envelope;
use crate::event::Event;
use crate::handler::lambda_handler;
use crate::host::{Body, Host, ReadError, TransportError};

#[cfg(feature = "entry")]
mod entry;

mod glue {
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen(module = "/src/worker/glue.js")]
    extern "C" {
        pub fn variable(env: &JsValue, name: &str) -> Option<String>;

        pub fn head(message: &JsValue) -> String;

        #[wasm_bindgen(catch)]
        pub async fn read(message: &JsValue, limit: u32) -> Result<JsValue, JsValue>;

        #[wasm_bindgen(catch)]
        pub async fn send(
            method: &str,
            url: &str,
            headers: &str,
            body: &[u8],
        ) -> Result<JsValue, JsValue>;

        #[wasm_bindgen(catch)]
        pub fn respond(
            status: u16,
            headers: &str,
            body: &[u8],
        ) -> Result<web_sys::Response, JsValue>;

        pub fn random() -> Vec<u8>;
    }
}

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
pub async fn handle(request: ::worker::Request, env: &Env) -> ::worker::Result<::worker::Response> {
    Ok(serve(request.inner(), env).await?.into())
}

async fn serve(request: &web_sys::Request, env: &Env) -> ::worker::Result<web_sys::Response> {
    static CONFIG: OnceLock<Result<Config, ConfigError>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| Config::from_vars(|name| glue::variable(env, name)));

    let (envelope, record) = lambda_handler(event(request), config, &Worker).await;
    if let Some(line) = record.line(config.as_ref().ok()) {
        console_log!("{line}");
    }
    Ok(response(&envelope)?)
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
        JsBody(request.into()),
    )
}

/// The path of an absolute URL, as it came: workerd takes no dot segments out of it.
fn path_of(url: &str) -> &str {
    let path = url.splitn(4, '/').nth(3).map_or("", |rest| &url[url.len() - rest.len() - 1..]);
    path.split(['?', '#']).next().unwrap_or_default()
}

fn header_map(lines: &str) -> HeaderMap {
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    lines.lines().filter_map(pair).collect()
}

fn response(envelope: &Envelope) -> Result<web_sys::Response, JsValue> {
    let headers: Vec<&str> =
        envelope.headers.iter().flat_map(|(name, value)| [*name, value.as_str()]).collect();
    glue::respond(envelope.status_code, &headers.join("\n"), envelope.body.as_bytes())
}

struct Worker;

impl Host for Worker {
    type Body = JsBody;

    fn now(&self) -> SystemTime {
        // Whole milliseconds since the epoch, so nothing is lost. `SystemTime::now` panics here.
        UNIX_EPOCH + Duration::from_millis(Date::now() as u64)
    }

    fn random(&self) -> u128 {
        glue::random().into_iter().fold(0, |number, byte| number << 8 | u128::from(byte))
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<JsBody>, TransportError> {
        let (head, body) = request.into_parts();
        let mut headers = Vec::with_capacity(2 * head.headers.len());
        for (name, value) in &head.headers {
            let value = value.to_str().map_err(|error| TransportError(error.to_string()))?;
            headers.extend([name.as_str(), value]);
        }
        let url = head.uri.to_string();
        let answer = glue::send(head.method.as_str(), &url, &headers.join("\n"), &body)
            .await
            .map_err(|error| transport_error(&error))?;

        let head = glue::head(&answer);
        let (status, headers) = head.split_once('\n').unwrap_or((&head, ""));
        let mut response = Response::new(JsBody(answer));
        *response.status_mut() = status
            .parse()
            .ok()
            .and_then(|status: u16| StatusCode::from_u16(status).ok())
            .ok_or_else(|| TransportError(format!("not a status: {status}")))?;
        *response.headers_mut() = header_map(headers);
        Ok(response)
    }
}

/// The body of a JavaScript Request or Response.
struct JsBody(JsValue);

impl Body for JsBody {
    async fn read(self, limit: usize) -> Result<Bytes, ReadError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let body = glue::read(&self.0, limit).await.map_err(|error| transport_error(&error))?;
        match body.dyn_into::<Uint8Array>() {
            Ok(bytes) => Ok(bytes.to_vec().into()),
            Err(_) => Err(ReadError::TooLong),
        }
    }
}

fn transport_error(error: &JsValue) -> TransportError {
    let text = error.dyn_ref::<js_sys::Error>().map(|error| error.message().into());
    TransportError(text.or_else(|| error.as_string()).unwrap_or_else(|| "unknown".to_owned()))
}
