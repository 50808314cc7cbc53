//! Code that few requests run, apart from the code that all do.
//!
//! An isolate compiles a function of wasm whole, when it is called first, and the compiler of Rust puts
//! an `async fn` that is awaited in one place into the function that awaits it. So the first request
//! would wait for the code of all that might have happened to it.
//!
//! Out of scope: functions that are not `async`, for which `#[cold]` does.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// The future's output. What polls it is a function of its own.
pub(crate) async fn rarely<F: Future>(future: F) -> F::Output {
    #[cold]
    #[inline(never)]
    fn poll<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        future.poll(context)
    }
    let mut future = pin!(future);
    poll_fn(|context| poll(future.as_mut(), context)).await
}
