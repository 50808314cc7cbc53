//! Single flight: of the concurrent requests that need a value, one fetches it for all.
//!
//! In a Worker a promise belongs to the request that made it: another request cannot await it, and it is never
//! settled when its request ends. So the waiting requests look again every few milliseconds, ever less often, and
//! one of them takes over when the fetching request is gone.
//!
//! Out of scope: what the value is and how long it is valid, which its state decides.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::deadline::Deadline;
use crate::host::{Runtime, TransportError};
use crate::lock::lock;

/// The time that a fetch may take before another request takes over.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// The first wait of a request that waits for another one. Each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_millis(160);

/// The most requests that wait for a fetch. Each of them takes memory and looks again and again, and none needs to be
/// authenticated.
pub(crate) const MOST_WAITING: usize = 100;

/// A value that is fetched once for all requests, with its state `S`.
#[derive(Debug)]
pub(crate) struct SingleFlight<S> {
    /// The pause after a fetching client disconnected, so that unauthenticated clients cannot
    /// drive the rate of fetches. If the platform drops the request silently, it counts from the start of
    /// the fetch.
    takeover_pause: Duration,
    inner: Mutex<Inner<S>>,
}

#[derive(Debug)]
struct Inner<S> {
    state: S,
    /// The fetch that is under way: its number, and when others stop waiting for it.
    flight: Option<(u64, SystemTime)>,
    flights: u64,
    paused_until: Option<SystemTime>,
    waiting: usize,
}

/// The content of the state, as a request needs it.
pub(crate) enum Next<T> {
    /// The result, good or bad.
    Return(T),
    /// Nothing, so the value must be fetched. If another request does so already, the fallback is good enough.
    Fetch {
        /// The result of a request that does not fetch itself.
        fallback: Option<T>,
    },
}

/// The arrival of a request, to tell whether a failure came after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The number of the last fetch that had ended.
    flights: u64,
}

impl Arrival {
    /// Reports whether a fetch ended after the request arrived.
    pub(crate) fn is_before(self, flight: u64) -> bool {
        flight > self.flights
    }
}

impl<S> SingleFlight<S> {
    pub(crate) fn new(state: S, takeover_pause: Duration) -> Self {
        let inner = Inner { state, flight: None, flights: 0, paused_until: None, waiting: 0 };
        Self { takeover_pause, inner: Mutex::new(inner) }
    }

    /// Reads or changes the state.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        f(&mut lock(&self.inner).state)
    }

    /// Returns what `next` finds in the state, after a fetch by this or another request if need be.
    ///
    /// `fetch` returns `None` if its client disconnected. `settle` puts the fetch's result and number into the
    /// state; if it returns a result, that is this request's. `now` is the clock by which the state is judged.
    ///
    /// # Errors
    ///
    /// [`TransportError::TimedOut`] when the deadline passes, [`TransportError::Cancelled`] when the client
    /// disconnects, [`TransportError::Failed`] if too many requests wait already.
    pub(crate) async fn run<T, R, H: Runtime>(
        &self,
        host: &H,
        deadline: Deadline,
        now: impl Fn() -> SystemTime,
        next: impl Fn(&mut S, Arrival, SystemTime) -> Next<T>,
        fetch: impl AsyncFn() -> Option<R>,
        settle: impl Fn(&mut S, R, u64, SystemTime) -> Option<T>,
    ) -> Result<T, TransportError> {
        let arrival = {
            let inner = lock(&self.inner);
            Arrival { flights: inner.flights - u64::from(inner.flight.is_some()) }
        };
        let mut wait = FIRST_WAIT;
        let mut place = None;
        loop {
            let looked = now();
            let turn = lock(&self.inner).turn(arrival, looked, &next);
            let mut flight = match turn {
                Turn::Return(result) => return Ok(result),
                Turn::Fetch(number) => Flight { of: self, number, last_seen: looked },
                Turn::Wait => {
                    let left = deadline.left(host.now());
                    if left.is_zero() {
                        return Err(TransportError::TimedOut);
                    }
                    if place.is_none() {
                        place = Some(self.queue()?);
                    }
                    host.sleep(wait.min(left)).await?;
                    wait = (wait * 2).min(LONGEST_WAIT);
                    continue;
                }
            };
            let result = fetch().await;
            let ended = now();
            let Some(result) = result else {
                flight.last_seen = ended;
                return Err(TransportError::Cancelled);
            };
            let mut inner = lock(&self.inner);
            inner.end(flight.number);
            inner.paused_until = None;
            let own = settle(&mut inner.state, result, flight.number, ended);
            drop(inner);
            if let Some(own) = own {
                return Ok(own);
            }
        }
    }
}

impl<S> SingleFlight<S> {
    /// Takes a place among the requests that wait.
    fn queue(&self) -> Result<Place<'_, S>, TransportError> {
        let mut inner = lock(&self.inner);
        if inner.waiting >= MOST_WAITING {
            return Err(TransportError::Failed("too many requests wait for it".to_owned()));
        }
        inner.waiting += 1;
        Ok(Place(self))
    }
}

/// A place among the requests that wait. It is free again when it is dropped, also when the request is.
struct Place<'a, S>(&'a SingleFlight<S>);

impl<S> Drop for Place<'_, S> {
    fn drop(&mut self) {
        lock(&self.0.inner).waiting -= 1;
    }
}

enum Turn<T> {
    Return(T),
    Fetch(u64),
    Wait,
}

impl<S> Inner<S> {
    fn turn<T>(
        &mut self,
        arrival: Arrival,
        now: SystemTime,
        next: impl Fn(&mut S, Arrival, SystemTime) -> Next<T>,
    ) -> Turn<T> {
        let fallback = match next(&mut self.state, arrival, now) {
            Next::Return(result) => return Turn::Return(result),
            Next::Fetch { fallback } => fallback,
        };
        let lies_ahead = |until| lies_ahead(until, now, LEASE);
        let is_under_way = self.flight.is_some_and(|(_, until)| lies_ahead(until));
        if is_under_way || self.paused_until.is_some_and(lies_ahead) {
            return fallback.map_or(Turn::Wait, Turn::Return);
        }
        self.flights += 1;
        self.flight = Some((self.flights, now.checked_add(LEASE).unwrap_or(now)));
        Turn::Fetch(self.flights)
    }

    /// Ends a fetch, unless another request has taken over. Reports whether it was under way.
    fn end(&mut self, number: u64) -> bool {
        self.flight.take_if(|(current, _)| *current == number).is_some()
    }
}

/// Reports whether a time is in the future, by no more than a pause can be: a clock that goes back must not make it
/// eternal.
pub(crate) fn lies_ahead(until: SystemTime, now: SystemTime, longest: Duration) -> bool {
    until.duration_since(now).is_ok_and(|left| !left.is_zero() && left <= longest)
}

/// The right to fetch. It ends when it is dropped, also when the request is.
struct Flight<'a, S> {
    of: &'a SingleFlight<S>,
    number: u64,
    /// When the client was certainly connected.
    last_seen: SystemTime,
}

impl<S> Drop for Flight<'_, S> {
    fn drop(&mut self) {
        let mut inner = lock(&self.of.inner);
        if inner.end(self.number) {
            inner.paused_until = self.last_seen.checked_add(self.of.takeover_pause);
        }
    }
}

#[cfg(test)]
mod tests;
