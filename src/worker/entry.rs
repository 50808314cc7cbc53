//! The exports of the Worker, which `entry.js` calls. Two of them in one wasm would collide.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::handler::{schedule_reinit, set_on_abort};
use wasm_bindgen::prelude::wasm_bindgen;

use super::body::JsBody;
use super::platform::Worker;
use super::serve::{internal_error, isolate, respond, serve};
use super::{durable, glue, task};
use crate::server::rpc_handler;

/// Responds to a request.
#[wasm_bindgen]
pub fn fetch(request: web_sys::Request, env: &JsValue) -> Promise {
    serve(request, env)
}

/// Responds to a call through a binding: `message` has the body of a request, `caller` is the name that the binding gives
/// the calling Worker, and `client` is an AbortController.
#[wasm_bindgen]
pub fn generate(message: JsValue, caller: &str, env: &JsValue, client: JsValue) -> Promise {
    let (isolate, caller) = (isolate(env), caller.to_owned());
    let worker = Worker { client: client.clone() };
    let call = async move {
        let handled = rpc_handler(JsBody::new(message), &caller, isolate, &worker).await;
        respond(handled, isolate, &worker).await
    };
    task::promise(&client, call, internal_error)
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
