//! The Worker's entry, and nothing else: two of them in one wasm collide.
//!
//! It is what `#[event(fetch)]` would make, but for the future: that of a whole request is driven by
//! JavaScript already, and needs no second driver around it.

use ::worker::Env;
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Answers a request. worker-build knows it by its name.
#[wasm_bindgen]
pub fn fetch(request: web_sys::Request, env: Env, _context: JsValue) -> Promise {
    super::serve(request, &env)
}
