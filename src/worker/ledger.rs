//! Where a ledger is kept: a Durable Object for each account, with SQLite storage.
//!
//! A message comes in a header and is answered without waiting for anything, so one is over before
//! the next begins. What it changes is on disk before its answer leaves: the runtime holds it back.
//!
//! Out of scope: what a message does ([`limits::Ledger`](crate::limits::Ledger)).

use js_sys::Date;
use wasm_bindgen::JsValue;

use super::glue;
use crate::limits;

/// Answers a message to the object with this DurableObjectState.
pub(super) fn answer(state: &JsValue, request: &JsValue) -> Result<web_sys::Response, JsValue> {
    // Whole milliseconds since the epoch.
    let now = Date::now() as u64 / 1000;
    let stored = glue::load(state)?;
    let exchanged = limits::Ledger::exchange(stored.as_deref(), &glue::message(request), now);
    let Some((changed, reply)) = exchanged else {
        return Err(js_sys::Error::new("what is stored or said is no ledger's").into());
    };
    if let Some(changed) = changed {
        glue::store(state, &changed)?;
    }
    glue::respond(200, "", Some(&reply), None)
}

/// What a Durable Object of the binding `LEDGER` does. The Worker that has the binding declares the
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
    /// In an object's storage.
    pub fn new(state: ::worker::State) -> Self {
        Self(state)
    }

    /// Answers a message.
    ///
    /// # Errors
    ///
    /// Where the storage fails, or holds what this crate did not store.
    pub fn fetch(&self, request: &::worker::Request) -> ::worker::Result<::worker::Response> {
        Ok(answer(self.0.as_raw(), request.inner())?.into())
    }
}
