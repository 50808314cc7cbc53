//! An executor for futures that another event loop drives: JavaScript's, or a test's.
//!
//! `wasm-bindgen-futures` puts two closures and a microtask behind every awaited promise. Here the promise is handed to
//! JavaScript, whose own `await` waits for it: one closure for a whole task, and one call into wasm for a promise. That
//! saves 6 % of the instructions of a short request (`npm run instructions -- short`, 2026-11).
//!
//! A task awaits one promise of [`Slot::settled`] at a time. A task that awaits another future, or two promises at once,
//! would hang; it panics in a debug build and ends with a [`Fault`] in a release build.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread::LocalKey;

/// The place where the running task and the event loop exchange a promise `P` and the value `S` that it settled with.
pub(crate) struct Slot<P, S>(RefCell<State<P, S>>);

struct State<P, S> {
    awaited: Option<P>,
    settled: Option<S>,
    fault: Option<Fault>,
}

/// The reason why a task can never end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The task awaits a future that is not a promise of this executor.
    #[error("a task awaits a future that is not one of the executor's promises")]
    ForeignFuture,
    /// The task awaits two promises at once.
    #[error("a task awaits two promises at once")]
    TwoPromises,
}

/// The state of a task after a poll.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Polled<P, T> {
    /// The task waits for a promise.
    Awaits(P),
    /// The task has ended.
    Done(T),
    /// The task can never end.
    Failed(Fault),
}

impl<P, S> Slot<P, S> {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(State { awaited: None, settled: None, fault: None }))
    }

    /// Awaits a promise in the running task. Returns `None` after a fault.
    pub(crate) async fn settled(slot: &'static LocalKey<Self>, promise: P) -> Option<S> {
        let mut promise = Some(promise);
        poll_fn(|_| {
            slot.with(|Self(state)| {
                let state = &mut *state.borrow_mut();
                match (promise.take(), state.settled.take()) {
                    // The first poll. A value is there only if the task was just woken with another one.
                    (Some(promise), settled) => {
                        state.settled = settled;
                        if state.awaited.replace(promise).is_some() {
                            state.fault = Some(Fault::TwoPromises);
                        }
                        Poll::Pending
                    }
                    (None, Some(settled)) => Poll::Ready(Some(settled)),
                    // Polled again without a value: another promise of the same task has taken it.
                    (None, None) => {
                        state.fault = Some(Fault::TwoPromises);
                        Poll::Ready(None)
                    }
                }
            })
        })
        .await
    }

    /// Polls a task, with the value that its promise has settled with. The first poll has any value.
    ///
    /// # Panics
    ///
    /// In a debug build, if the task can never end.
    pub(crate) fn poll<F: Future>(
        slot: &'static LocalKey<Self>,
        task: Pin<&mut F>,
        settled: S,
    ) -> Polled<P, F::Output> {
        let polled = Self::try_poll(slot, task, settled);
        if let Polled::Failed(fault) = &polled {
            debug_assert!(false, "{fault}");
        }
        polled
    }

    fn try_poll<F: Future>(
        slot: &'static LocalKey<Self>,
        task: Pin<&mut F>,
        settled: S,
    ) -> Polled<P, F::Output> {
        slot.with(|Self(state)| {
            *state.borrow_mut() = State { awaited: None, settled: Some(settled), fault: None };
        });
        let polled = task.poll(&mut Context::from_waker(Waker::noop()));
        let State { awaited, fault, .. } = slot
            .with(|Self(state)| state.replace(State { awaited: None, settled: None, fault: None }));
        match (polled, awaited, fault) {
            (_, _, Some(fault)) => Polled::Failed(fault),
            (Poll::Ready(output), _, None) => Polled::Done(output),
            (Poll::Pending, Some(promise), None) => Polled::Awaits(promise),
            (Poll::Pending, None, None) => Polled::Failed(Fault::ForeignFuture),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    thread_local! {
        static SLOT: Slot<&'static str, u32> = const { Slot::new() };
    }

    /// A future of another executor, which wakes nobody here.
    async fn foreign() {
        poll_fn(|_| Poll::Pending).await
    }

    async fn sum() -> u32 {
        let first = Slot::settled(&SLOT, "first").await;
        let second = Slot::settled(&SLOT, "second").await;
        first.unwrap() + second.unwrap()
    }

    #[test]
    fn a_task_gets_the_value_of_each_promise_in_turn() {
        let mut task = pin!(sum());
        assert_eq!(Slot::poll(&SLOT, task.as_mut(), 0), Polled::Awaits("first"));
        assert_eq!(Slot::poll(&SLOT, task.as_mut(), 1), Polled::Awaits("second"));
        assert_eq!(Slot::poll(&SLOT, task.as_mut(), 2), Polled::Done(3));
    }

    #[test]
    fn two_tasks_do_not_mix_up_their_values() {
        let (mut one, mut other) = (pin!(sum()), pin!(sum()));
        assert_eq!(Slot::poll(&SLOT, one.as_mut(), 0), Polled::Awaits("first"));
        assert_eq!(Slot::poll(&SLOT, other.as_mut(), 0), Polled::Awaits("first"));
        assert_eq!(Slot::poll(&SLOT, one.as_mut(), 1), Polled::Awaits("second"));
        assert_eq!(Slot::poll(&SLOT, other.as_mut(), 10), Polled::Awaits("second"));
        assert_eq!(Slot::poll(&SLOT, other.as_mut(), 20), Polled::Done(30));
        assert_eq!(Slot::poll(&SLOT, one.as_mut(), 2), Polled::Done(3));
    }

    #[test]
    fn a_task_that_awaits_a_foreign_future_fails() {
        let at_once = Slot::try_poll(&SLOT, pin!(foreign()), 0);
        assert_eq!(at_once, Polled::Failed(Fault::ForeignFuture));
        let mut later = pin!(async {
            Slot::settled(&SLOT, "first").await;
            foreign().await;
        });
        assert_eq!(Slot::try_poll(&SLOT, later.as_mut(), 0), Polled::Awaits("first"));
        let second = Slot::try_poll(&SLOT, later.as_mut(), 1);
        assert_eq!(second, Polled::Failed(Fault::ForeignFuture));
    }

    #[test]
    fn a_task_that_awaits_two_promises_at_once_fails() {
        let both = futures_util::future::join(sum(), sum());
        let polled = Slot::try_poll(&SLOT, pin!(both), 0);
        assert_eq!(polled, Polled::Failed(Fault::TwoPromises));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic = "a task awaits a future that is not one of the executor's promises"]
    fn a_debug_build_panics_if_a_task_awaits_a_foreign_future() {
        Slot::poll(&SLOT, pin!(foreign()), 0);
    }
}
