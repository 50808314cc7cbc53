//! The Worker's exports, and nothing else: two entries in one wasm collide.
//!
//! They are what `#[event(fetch)]` and `#[durable_object(fetch)]` would make, but for the futures:
//! that of a whole request is driven by JavaScript already, and a ledger answers without waiting.

use ::worker::Env;
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::ledger;

/// Answers a request. worker-build knows it by its name.
#[wasm_bindgen]
pub fn fetch(request: web_sys::Request, env: Env, _context: JsValue) -> Promise {
    super::serve(request, &env)
}

/// The class of the binding `LEDGER`. Its name is in wrangler.toml.
#[wasm_bindgen]
#[derive(Debug)]
pub struct CallerLedger {
    state: JsValue,
}

#[wasm_bindgen]
impl CallerLedger {
    /// As the runtime makes one.
    #[wasm_bindgen(constructor)]
    pub fn new(state: JsValue, _env: JsValue) -> Self {
        Self { state }
    }

    /// Answers a message.
    pub fn fetch(&self, request: &web_sys::Request) -> Result<web_sys::Response, JsValue> {
        ledger::answer(&self.state, request)
    }
}
