//! Bindings to `glue.js`, `streams.js` and `platform.js`.

use js_sys::Promise;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The variables, the bindings and the log of an isolate.
    #[derive(Clone, Debug)]
    pub type Platform;

    #[wasm_bindgen(method)]
    pub fn variable(this: &Platform, name: &str) -> Option<String>;

    #[wasm_bindgen(method)]
    pub fn has(this: &Platform, name: &str) -> bool;

    #[wasm_bindgen(method, js_name = log)]
    pub fn log_line(this: &Platform, line: &str);

    #[cfg(feature = "entry")]
    #[wasm_bindgen(method, getter)]
    pub fn key(this: &Platform) -> String;

    #[cfg(feature = "entry")]
    #[wasm_bindgen(method, getter)]
    pub fn prefix(this: &Platform) -> String;

    #[cfg(feature = "entry")]
    #[wasm_bindgen(method)]
    pub fn next(this: &Platform) -> u32;

    #[cfg(feature = "entry")]
    #[wasm_bindgen(method)]
    pub fn adopt(this: &Platform, id: u32);
}

#[cfg(feature = "worker")]
#[wasm_bindgen(module = "/src/worker/platform.js")]
extern "C" {
    #[wasm_bindgen(js_name = ownPlatform)]
    pub fn own_platform(env: &JsValue) -> Platform;
}

#[wasm_bindgen(module = "/src/worker/glue.js")]
extern "C" {
    pub fn log(line: &str);

    #[cfg(feature = "entry")]
    pub fn fault(message: &str);

    pub fn head(message: &JsValue, is_whole: bool, out: &mut [u8]) -> u32;

    #[wasm_bindgen(js_name = isGone)]
    pub fn is_gone(client: &JsValue) -> bool;

    pub fn drive(step: JsValue, client: &JsValue) -> Promise;

    pub fn sleep(time: f64) -> Promise;

    pub fn outlast(promise: &Promise);

    pub fn read(message: &JsValue, limit: u32, within: f64) -> Promise;

    pub fn sha256(bytes: &[u8]) -> Promise;

    pub fn keep(message: &JsValue, limit: u32, within: f64) -> Promise;

    #[wasm_bindgen(js_name = keptLength)]
    pub fn kept_length(kept: &JsValue) -> u32;

    #[wasm_bindgen(js_name = keptRead)]
    pub fn kept_read(kept: &JsValue, offset: u32, out: &mut [u8]) -> u32;

    #[wasm_bindgen(js_name = keptHash)]
    pub fn kept_hash(kept: &JsValue) -> Promise;

    #[wasm_bindgen(js_name = keptFree)]
    pub fn kept_free(kept: &JsValue);

    #[wasm_bindgen(catch, js_name = keptSend)]
    pub fn kept_send(
        method: &str,
        url: &str,
        headers: &str,
        kept: &JsValue,
        within: f64,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    pub fn pipe(
        status: u16,
        headers: &str,
        message: &JsValue,
    ) -> Result<web_sys::Response, JsValue>;

    #[wasm_bindgen(catch)]
    pub fn send(
        method: &str,
        url: &str,
        headers: &str,
        text: Option<&str>,
        bytes: Option<&[u8]>,
        within: f64,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    pub fn respond(
        status: u16,
        headers: &str,
        text: Option<&str>,
        bytes: Option<&[u8]>,
    ) -> Result<web_sys::Response, JsValue>;

    pub fn random(length: u32) -> Vec<u8>;

    pub fn verify(algorithm: &str, jwk: &str, message: &[u8], signature: &[u8]) -> Promise;
    pub fn encrypt(key: &[u8], nonce: &[u8], text: &[u8], associated: &[u8]) -> Promise;
    pub fn decrypt(key: &[u8], nonce: &[u8], text: &[u8], associated: &[u8]) -> Promise;
    pub fn admit(platform: &Platform, key: &str) -> Promise;

    #[wasm_bindgen(catch)]
    pub fn reader(message: &JsValue) -> Result<JsValue, JsValue>;

    pub fn chunk(reader: &JsValue, within: f64) -> Promise;

    pub fn cancel(reader: &JsValue);
}

#[wasm_bindgen(module = "/src/worker/streams.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    pub fn events(
        status: u16,
        headers: &str,
        reader: &JsValue,
        step: JsValue,
        stall_ms: f64,
        keep_alive: &str,
        commit: JsValue,
    ) -> Result<web_sys::Response, JsValue>;

    #[wasm_bindgen(catch)]
    pub fn socket(
        open: JsValue,
        admit: JsValue,
        protocol: &str,
        limit: u32,
        stall_ms: f64,
    ) -> Result<web_sys::Response, JsValue>;
}
