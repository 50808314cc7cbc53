//! Tasks: futures that JavaScript drives.
//!
//! Out of scope: what a task may await, which [`executor`](crate::executor) checks.

use std::future::Future;

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

use super::glue;
use crate::executor::{Polled, Slot};

thread_local! {
    static SLOT: Slot<Promise, Result<Settled, JsValue>> = const { Slot::new() };
}

/// The value of a promise. Bytes come apart, without a call for them.
struct Settled {
    value: JsValue,
    bytes: Option<Vec<u8>>,
}

/// Awaits a promise whose value is not bytes. Rejects with `undefined` when the client disconnects, with `null` on a
/// timeout.
pub(super) async fn settled(promise: Promise) -> Result<JsValue, JsValue> {
    Ok(settle(promise).await?.value)
}

/// Awaits a promise of an ArrayBuffer or a Uint8Array. Returns `None` if its value is something else.
pub(super) async fn settled_bytes(promise: Promise) -> Result<Option<Vec<u8>>, JsValue> {
    Ok(settle(promise).await?.bytes)
}

async fn settle(promise: Promise) -> Result<Settled, JsValue> {
    Slot::settled(&SLOT, promise).await.unwrap_or(Err(JsValue::UNDEFINED))
}

/// One step of a task: the value or the bytes of the promise in, and whether it was rejected; the next promise, or the
/// result of the task, out.
type Step = dyn FnMut(JsValue, Option<Vec<u8>>, bool) -> Result<JsValue, JsValue>;

/// Starts a task. When the client disconnects, the promise that the task awaits is rejected.
///
/// `on_fault` makes the result of a task that can never end, which is a fault of this program.
pub(super) fn promise(
    client: &JsValue,
    future: impl Future<Output = Result<JsValue, JsValue>> + 'static,
    on_fault: fn() -> Result<JsValue, JsValue>,
) -> Promise {
    let mut task = Some(Box::pin(future));
    let step = move |value: JsValue, bytes: Option<Vec<u8>>, is_error: bool| {
        let Some(future) = &mut task else { return Ok(JsValue::UNDEFINED) };
        let settled = if is_error { Err(value) } else { Ok(Settled { value, bytes }) };
        match Slot::poll(&SLOT, future.as_mut(), settled) {
            Polled::Awaits(promise) => Ok(promise.into()),
            Polled::Done(result) => {
                task = None;
                result
            }
            Polled::Failed(fault) => {
                task = None;
                glue::log(&format!(
                    r#"{{"level":"error","outcome":"internal","error":"{fault}"}}"#
                ));
                on_fault()
            }
        }
    };
    let step = Closure::<Step>::new(step);
    glue::drive(step.into_js_value(), client)
}
