//! The exports of the Worker, which `entry.js` calls. Two of them in one wasm would collide.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::handler::{schedule_reinit, set_on_abort};
use wasm_bindgen::prelude::wasm_bindgen;

use super::body::JsBody;
use super::glue::Platform;
use super::isolates::find;
use super::platform::Worker;
use super::serve::{internal_error, respond, serve};
use super::{durable, glue, task};
use crate::auth::{Caller, Session};
use crate::error::Code;
use crate::server::rpc_handler;

/// Responds to a request. `caller` is the name of a client that the embedding Worker has authenticated, and `id` the
/// number of the isolate.
#[wasm_bindgen]
pub fn fetch(
    request: web_sys::Request,
    caller: Option<String>,
    platform: Platform,
    id: u32,
) -> Promise {
    serve(request, caller, find(&platform, id), platform)
}

/// Responds to a call of a method: `message` has the body of a request, `method` and `name` are those of the caller, and
/// `client` is an AbortController.
#[wasm_bindgen]
pub fn generate(
    message: JsValue,
    method: &str,
    name: Option<String>,
    client: JsValue,
    platform: Platform,
    id: u32,
) -> Promise {
    let isolate = find(&platform, id);
    let session = name.map_or(Session::OPEN, |name| Session::new(Caller::new(method, &name)));
    let worker = Worker { client: client.clone(), platform };
    let call = async move {
        let handled = rpc_handler(JsBody::new(message), session, isolate, &worker).await;
        respond(handled, isolate, &worker).await
    };
    task::promise(&client, call, internal_error)
}

/// Returns the headers of the signature of a request: names and values by turns, a line each, or a Response that is an
/// error. `region` is empty for that of the configuration, and `client` an AbortController.
#[wasm_bindgen]
pub fn sign(
    request: JsValue,
    body: Vec<u8>,
    service: String,
    region: String,
    client: JsValue,
    platform: Platform,
    id: u32,
) -> Promise {
    let isolate = find(&platform, id);
    let worker = Worker { client: client.clone(), platform };
    let call =
        async move { super::sign::sign(request, body, &service, &region, isolate, &worker).await };
    task::promise(&client, call, internal_error)
}

/// Returns the status of an error by its code.
#[wasm_bindgen]
pub fn status(code: &str) -> u16 {
    Code::from_name(code).unwrap_or(Code::Internal).status().as_u16()
}

/// Prepares a new instance. A panic is a fault of this program, and leaves the memory in any state: the next request gets a
/// new instance.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| glue::fault(&panic.to_string())));
    set_on_abort(schedule_reinit);
}

/// Replies to a message to a ledger, the Durable Object with this state.
#[wasm_bindgen]
pub fn ledger(state: &JsValue, request: &JsValue) -> Result<web_sys::Response, JsValue> {
    durable::reply(state, request)
}
