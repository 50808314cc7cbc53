//! Requests of one isolate: from a JavaScript Request to a Response.

use std::time::Duration;

use js_sys::Promise;
use wasm_bindgen::JsValue;

use super::body::JsBody;
use super::glue::Platform;
use super::http::{header_map, lines, response, target_of, with_head};
use super::log::log_for;
use super::platform::Worker;
#[cfg(feature = "worker")]
use super::platform::own;
use super::{glue, streams, task};
use crate::api::{Article, RenderError};
use crate::auth::{Caller, Session};
use crate::error::{Code, Error};
use crate::host::IncomingRequest;
use crate::identifier::Identifier;
use crate::log::Record;
use crate::outlined::outlined;
use crate::server::{Accepted, Handled, Isolate};

/// Responds to a request and logs its line. It can serve a route of another Worker.
///
/// The variables are read from `env` at the first request of an isolate. `BASE_PATH` is the path of the route, such as
/// `/ai`. A limit needs its binding, as in this project's `wrangler.toml`: `RATE_LIMITER`, and `LEDGER` with a class around
/// [`Ledger`](super::Ledger).
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
/// If JavaScript does not accept the response, which would be a fault of this crate.
#[cfg(feature = "worker")]
pub async fn handle(
    request: ::worker::Request,
    env: &::worker::Env,
) -> ::worker::Result<::worker::Response> {
    use wasm_bindgen::JsCast;

    // Not `Request::clone`, which is JavaScript's and tees the body.
    let request = Clone::clone(request.inner());
    let response =
        wasm_bindgen_futures::JsFuture::from(serve(request, None, isolate(env), own())).await?;
    Ok(response.unchecked_into::<web_sys::Response>().into())
}

/// Returns the isolate of the process. The configuration is read from `env`, an `Env`, at the first call.
#[cfg(feature = "worker")]
pub fn isolate(env: &JsValue) -> &'static Isolate {
    static ISOLATE: std::sync::OnceLock<Isolate> = std::sync::OnceLock::new();
    ISOLATE.get_or_init(|| {
        let platform = glue::own_platform(env);
        let isolate = Isolate::from_vars(|name| platform.variable(name));
        isolate.warnings().iter().for_each(|line| platform.log_line(line));
        isolate
    })
}

/// Returns a promise of the Response to a request. `caller` is the name of a client that the embedding Worker has
/// authenticated.
pub(super) fn serve(
    request: web_sys::Request,
    caller: Option<String>,
    isolate: &'static Isolate,
    platform: Platform,
) -> Promise {
    let client = JsValue::from(&request);
    let session = caller.map(|name| Session::new(Caller::new("app", &name)));
    task::promise(
        &client,
        async move {
            let worker = Worker { client: JsValue::from(&request), platform };
            let request = incoming(&request, isolate);
            let handled = crate::server::handle_for(session, request, isolate, &worker).await;
            respond(handled, isolate, &worker).await
        },
        internal_error,
    )
}

/// Turns what the core has made of a request into a Response, and logs what is complete.
pub(super) async fn respond(
    handled: Handled<'static, JsBody>,
    isolate: &'static Isolate,
    worker: &Worker,
) -> Result<JsValue, JsValue> {
    match handled {
        Handled::Whole(envelope, record) => {
            log_for(worker, record, isolate);
            response(&envelope)
        }
        Handled::Stream(envelope, streaming) => {
            Ok(streams::events(&lines(&envelope), streaming, &worker.platform)?.into())
        }
        Handled::Passed(envelope, passing) => {
            outlined(async { streams::pass(&envelope, passing, worker) }).await
        }
        Handled::WebSocket(socket, record) => {
            log_for(worker, record, isolate);
            let platform = worker.platform.clone();
            outlined(async { Ok(streams::socket(socket, platform)?.into()) }).await
        }
        Handled::Accepted(envelope, accepted) => {
            run_later(accepted, isolate, worker.platform.clone())?;
            response(&envelope)
        }
    }
}

/// The time of an asynchronous invocation. Cloudflare ends what runs 30 seconds after the response, and the settlement takes
/// up to five.
///
/// <https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>
const AFTER_RESPONSE: Duration = Duration::from_secs(25);

/// Runs an asynchronous invocation after its response. Its client may disconnect: nobody waits for it.
fn run_later(
    accepted: Accepted<'static>,
    isolate: &'static Isolate,
    platform: Platform,
) -> Result<(), JsValue> {
    let client = JsValue::from(web_sys::AbortController::new()?);
    let worker = Worker { client: client.clone(), platform };
    glue::outlast(&task::promise(
        &client,
        async move {
            let (_, record) = accepted.within(AFTER_RESPONSE).run(&worker).await;
            log_for(&worker, record, isolate);
            Ok(JsValue::UNDEFINED)
        },
        || Ok(JsValue::UNDEFINED),
    ));
    Ok(())
}

/// Returns the response to a request whose task can never end.
pub(super) fn internal_error() -> Result<JsValue, JsValue> {
    let error = Error::new(Code::Internal, "Internal server error");
    let record = Record::new(Identifier::random(0));
    response(&Article.render_error("", &error, &record))
}

/// Reads the head of a request.
fn incoming(request: &web_sys::Request, isolate: &Isolate) -> IncomingRequest<JsBody> {
    let body = JsBody::new(request.into());
    // A signature can be of any header.
    let takes_signatures = isolate.config().is_ok_and(|it| !it.access.keys.is_empty());
    with_head(request, takes_signatures, |line, headers| {
        let (method, url) = line.split_once(' ').unwrap_or_default();
        // An invalid method becomes one that no route accepts.
        let method = method.parse().unwrap_or(http::Method::CONNECT);
        let (headers, malformed) = header_map(headers);
        let mut request = IncomingRequest::from_http(method, target_of(url), headers, body);
        request.malformed_header = malformed.map(str::to_owned);
        request
    })
}
