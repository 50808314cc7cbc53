//! What `entry.js` calls, and nothing else: two of them in one wasm collide.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::handler::{schedule_reinit, set_on_abort};
use wasm_bindgen::prelude::wasm_bindgen;

use super::{glue, ledger};

/// Answers a request.
#[wasm_bindgen]
pub fn fetch(request: web_sys::Request, env: &JsValue) -> Promise {
    super::serve(request, env)
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
