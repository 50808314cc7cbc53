//! Code that few requests run, kept out of the code that every request runs.
//!
//! V8 compiles a wasm function as a whole when it is first called, and rustc inlines an `async fn` that is
//! awaited in one place into its caller. Without this the first request of an isolate waits until everything
//! that could have happened to it is compiled: 73 instead of 55 million instructions (2026-11).
//!
//! Out of scope: functions that are not `async`, for which `#[cold]` is enough.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// Awaits a future whose `poll` stays a function of its own.
pub(crate) async fn outlined<F: Future>(future: F) -> F::Output {
    #[cold]
    #[inline(never)]
    fn poll<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        future.poll(context)
    }
    let mut future = pin!(future);
    poll_fn(|context| poll(future.as_mut(), context)).await
}
