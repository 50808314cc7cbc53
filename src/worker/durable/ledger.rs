//! Ledgers: a Durable Object for each account, with SQLite storage.
//!
//! A message comes in a header, and its reply is made without awaiting anything, so one is complete before the next begins. Its
//! changes are on disk before the reply leaves: the runtime holds the reply back.
//!
//! Out of scope: what a message does ([`limits::Ledger`](crate::limits::Ledger)).

use js_sys::{Date, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::host::{LedgerStore, LimitError};
use crate::limits;
use crate::worker::glue::{self, Platform};
use crate::worker::http::transport_error;
use crate::worker::platform::Worker;
use crate::worker::task::settled;

#[wasm_bindgen(module = "/src/worker/durable/ledger.js")]
extern "C" {
    fn exchange(platform: &Platform, account: &str, message: &str) -> Promise;

    #[wasm_bindgen(catch, js_name = settle)]
    fn js_settle(platform: &Platform, account: &str, message: &str) -> Result<(), JsValue>;

    fn message(request: &JsValue) -> String;

    #[wasm_bindgen(catch)]
    fn load(state: &JsValue) -> Result<Option<String>, JsValue>;

    #[wasm_bindgen(catch)]
    fn store(state: &JsValue, ledger: &str) -> Result<(), JsValue>;
}

impl LedgerStore for Worker {
    async fn exchange(&self, account: &str, message: String) -> Result<String, LimitError> {
        let reply = settled(exchange(&self.platform, account, &message)).await;
        let reply = reply.map_err(|error| limit_error(&error))?;
        reply.as_string().ok_or_else(|| LimitError("the reply is not a text".to_owned()))
    }

    async fn settle(&self, account: &str, message: String) -> Result<(), LimitError> {
        settle(&self.platform, account, &message).map_err(|error| limit_error(&error))
    }
}

/// Sends a settlement in the time after the response. If that fails, the reservation expires and counts as used.
pub(in crate::worker) fn settle(
    platform: &Platform,
    account: &str,
    message: &str,
) -> Result<(), JsValue> {
    js_settle(platform, account, message)
}

fn limit_error(error: &JsValue) -> LimitError {
    LimitError(transport_error(error).to_string())
}

/// Replies to a message to the object with this DurableObjectState.
pub(in crate::worker) fn reply(
    state: &JsValue,
    request: &JsValue,
) -> Result<web_sys::Response, JsValue> {
    // Whole seconds since the epoch.
    let now = Date::now() as u64 / 1000;
    let stored = load(state)?;
    let exchanged = limits::Ledger::exchange(stored.as_deref(), &message(request), now);
    let Some((changed, reply)) = exchanged else {
        return Err(js_sys::Error::new("what is stored or said is no ledger's").into());
    };
    if let Some(changed) = changed {
        store(state, &changed)?;
    }
    glue::respond(200, "", Some(&reply), None)
}

/// The implementation of the Durable Object behind the binding `LEDGER`. The Worker that has the binding declares the
/// class:
///
/// ```no_run
/// use bedrock_edge::worker::Ledger;
/// use worker::{DurableObject, Env, Request, Response, Result, State};
/// use worker::{durable_object, wasm_bindgen};
///
/// #[durable_object(fetch)]
/// pub struct CallerLedger(Ledger);
///
/// impl DurableObject for CallerLedger {
///     fn new(state: State, _env: Env) -> Self {
///         Self(Ledger::new(state))
///     }
///
///     async fn fetch(&self, request: Request) -> Result<Response> {
///         self.0.fetch(&request)
///     }
/// }
/// # fn main() {}
/// ```
#[cfg(feature = "worker")]
#[derive(Debug)]
pub struct Ledger(::worker::State);

#[cfg(feature = "worker")]
impl Ledger {
    /// Keeps a ledger in the storage of an object.
    pub fn new(state: ::worker::State) -> Self {
        Self(state)
    }

    /// Replies to a message.
    ///
    /// # Errors
    ///
    /// If the storage fails or contains something that this crate did not store.
    pub fn fetch(&self, request: &::worker::Request) -> ::worker::Result<::worker::Response> {
        Ok(reply(self.0.as_raw(), request.inner())?.into())
    }
}
