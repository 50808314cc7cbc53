//! Futures that JavaScript drives.
//!
//! `wasm-bindgen-futures` puts two closures and a microtask of its own behind every promise that is
//! awaited. Here the promise goes to JavaScript, whose own `await` waits for it: one closure for a
//! whole task, and one call into wasm for a promise.
//!
//! Out of scope: futures that wait for anything but [`settled`], and for two things at once.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll, Waker};

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

use super::glue;

thread_local! {
    /// The promise that the task which is being polled waits for.
    static AWAITED: RefCell<Option<Promise>> = const { RefCell::new(None) };
    /// What it was settled with.
    static SETTLED: RefCell<Option<Result<Settled, JsValue>>> = const { RefCell::new(None) };
}

/// Either is there: bytes, or another value.
struct Settled {
    value: JsValue,
    bytes: Option<Vec<u8>>,
}

/// What a promise is settled with that is not one of bytes: an error that is `undefined` if the client
/// left before that, `null` if it took too long. To be awaited in a task only.
pub(super) async fn settled(promise: Promise) -> Result<JsValue, JsValue> {
    Ok(settle(promise).await?.value)
}

/// The same for a promise of bytes, an ArrayBuffer or a Uint8Array. None if it is for something else.
pub(super) async fn settled_bytes(promise: Promise) -> Result<Option<Vec<u8>>, JsValue> {
    Ok(settle(promise).await?.bytes)
}

async fn settle(promise: Promise) -> Result<Settled, JsValue> {
    let mut promise = Some(promise);
    poll_fn(|_| match promise.take() {
        Some(promise) => {
            AWAITED.set(Some(promise));
            Poll::Pending
        }
        None => Poll::Ready(SETTLED.take().unwrap_or(Err(JsValue::UNDEFINED))),
    })
    .await
}

/// A value or bytes in, and whether it is an error; a promise to wait for or what the task ends with out.
type Step = dyn FnMut(JsValue, Option<Vec<u8>>, bool) -> Result<JsValue, JsValue>;

/// Makes a task of a future. When the client leaves, what the task waits for fails.
pub(super) fn promise(
    client: &JsValue,
    future: impl Future<Output = Result<JsValue, JsValue>> + 'static,
) -> Promise {
    let mut task = Some(Box::pin(future));
    let step = move |value: JsValue, bytes: Option<Vec<u8>>, is_error: bool| {
        let Some(future) = &mut task else { return Ok(JsValue::UNDEFINED) };
        SETTLED.set(Some(if is_error { Err(value) } else { Ok(Settled { value, bytes }) }));
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Ok(AWAITED.take().map_or(JsValue::UNDEFINED, JsValue::from)),
            Poll::Ready(result) => {
                task = None;
                result
            }
        }
    };
    let step = Closure::<Step>::new(step);
    glue::drive(step.into_js_value(), client)
}
