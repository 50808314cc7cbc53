//! What `entry.js` calls, and nothing else: two of them in one wasm collide.

use http::{HeaderMap, Method};
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::handler::{schedule_reinit, set_on_abort};
use wasm_bindgen::prelude::wasm_bindgen;

use super::body::{JsBody, RequestBody};
use super::{glue, ledger, task};
use crate::event::{Admission, Event};
use crate::gate::{Caller, Session};

/// Answers a request.
#[wasm_bindgen]
pub fn fetch(request: web_sys::Request, env: &JsValue) -> Promise {
    super::serve(request, env)
}

/// Answers a call through a binding: the body of a request in `message`, the caller's name, and who
/// waits as in `glue.js`.
#[wasm_bindgen]
pub fn generate(message: JsValue, caller: &str, env: &JsValue, client: JsValue) -> Promise {
    let body = RequestBody::Js(JsBody::new(message));
    let mut event = Event::from_http(Method::POST, "/", HeaderMap::new(), body);
    // The binding is the proof.
    let session = Session::of(Caller::new("binding", caller));
    event.admission = Some(Admission { session, is_counted: false });
    task::promise(&client.clone(), super::respond(event, super::config(env), client))
}

/// There are no panics but those of faults in this program. After one the memory may be in any
/// state: the next request gets a new instance, whose start this is too.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| glue::fault(&panic.to_string())));
    set_on_abort(schedule_reinit);
}

/// Answers a message to a ledger, whose DurableObjectState this is.
#[wasm_bindgen]
pub fn ledger(state: &JsValue, request: &JsValue) -> Result<web_sys::Response, JsValue> {
    ledger::answer(state, request)
}
