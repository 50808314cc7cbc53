//! `generate`, which a Worker of the same account calls through a service binding, without HTTP:
//! `await env.BEDROCK.generate({ prompt })`.
//!
//! <https://developers.cloudflare.com/workers/runtime-apis/bindings/service-bindings/rpc/>
//!
//! Out of scope: authentication. Only the account's own Workers can have the binding.

use http::{HeaderMap, Method};
use js_sys::Promise;
use wasm_bindgen::prelude::*;

use super::body::JsBody;
use super::{config, respond, task};
use crate::event::Event;

#[wasm_bindgen(module = "cloudflare:workers")]
extern "C" {
    #[wasm_bindgen(thread_local_v2, js_name = env)]
    static ENV: JsValue;
}

#[wasm_bindgen(module = "/src/worker/rpc.js")]
extern "C" {
    /// The fields as a message with a body.
    fn message(fields: &JsValue) -> JsValue;

    /// What the method returns or throws, of what HTTP would have answered.
    fn result(response: Promise) -> Promise;
}

/// Takes the fields of a request's body. Returns those of the `done` event and the request's id,
/// or, with `stream`, Server-Sent Events.
///
/// worker-build makes a method of every function that is exported.
#[wasm_bindgen]
pub fn generate(fields: &JsValue) -> Result<Promise, JsValue> {
    let config = ENV.with(|env| config(env.unchecked_ref()));
    let event = Event::from_http(Method::POST, "/", HeaderMap::new(), JsBody::new(message(fields)));
    let client = JsValue::from(web_sys::AbortController::new()?);
    Ok(result(task::promise(&client.clone(), respond(event, config, client))))
}
