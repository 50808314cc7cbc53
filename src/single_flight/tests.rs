//! Several requests, each polled by hand. A poll is one step, up to the next wait, or until the test ends a fetch.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::testing::Scripted;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(25);

/// The value, or why it could not be fetched.
type Found = Result<&'static str, &'static str>;

/// A state that keeps a value until it is called old, and the last failure with the number of its fetch.
#[derive(Default)]
struct State {
    value: Option<&'static str>,
    is_old: bool,
    failure: Option<(u64, &'static str)>,
}

impl State {
    fn next(&mut self, arrival: Arrival, _: SystemTime) -> Next<Found> {
        match (self.value, self.failure) {
            (Some(value), _) if !self.is_old => Next::Return(Ok(value)),
            (None, Some((flight, cause))) if arrival.is_before(flight) => Next::Return(Err(cause)),
            (value, _) => Next::Fetch { fallback: value.map(Ok) },
        }
    }

    fn settle(&mut self, end: End, flight: u64, _: SystemTime) -> Option<Found> {
        match end {
            End::Value(value) => {
                *self = Self { value: Some(value), ..Self::default() };
                None
            }
            End::Failure(cause) => {
                self.failure = Some((flight, cause));
                None
            }
            End::OwnTimeout => Some(Err("its own deadline has passed")),
        }
    }
}

/// The end of a fetch whose client is still connected.
enum End {
    Value(&'static str),
    Failure(&'static str),
    /// Only the deadline of this request has passed, which says nothing to others.
    OwnTimeout,
}

/// The requests of one test, and what they share.
struct Fixture {
    flight: SingleFlight<State>,
    host: Scripted,
    /// How far the clock has gone back.
    went_back: Cell<Duration>,
}

impl Fixture {
    fn new(takeover_pause: Duration) -> Self {
        let flight = SingleFlight::new(State::default(), takeover_pause);
        Self { flight, host: Scripted::new().in_steps(), went_back: Cell::default() }
    }

    fn now(&self) -> SystemTime {
        self.host.now() - self.went_back.get()
    }

    /// Starts a request, which takes its first step.
    fn request(&self) -> Task<'_> {
        let deadline = Deadline::new(self.host.now(), PATIENCE);
        let (end, is_fetching) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(false)));
        let (ends, fetches) = (end.clone(), is_fetching.clone());
        let fetch = async move || {
            fetches.set(true);
            let end = poll_fn(|_| ends.take().map_or(Poll::Pending, Poll::Ready)).await;
            fetches.set(false);
            end
        };
        let future = async move {
            let now = || self.now();
            self.flight.run(&self.host, deadline, now, State::next, fetch, State::settle).await
        };
        let mut request = Task { future: Box::pin(future), end, is_fetching, result: None };
        request.step();
        request
    }

    /// Returns the lengths of all waits in milliseconds.
    fn waits(&self) -> Vec<u128> {
        self.host.sleeps.borrow().iter().map(Duration::as_millis).collect()
    }
}

/// A request that is polled by hand.
struct Task<'a> {
    future: Pin<Box<dyn Future<Output = Result<Found, TransportError>> + 'a>>,
    end: Rc<Cell<Option<Option<End>>>>,
    is_fetching: Rc<Cell<bool>>,
    result: Option<Result<Found, TransportError>>,
}

impl Task<'_> {
    /// Polls the request once and returns its result, if it has ended.
    fn step(&mut self) -> Option<Result<Found, TransportError>> {
        if self.result.is_none() {
            match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => self.result = Some(result),
                Poll::Pending => {}
            }
        }
        self.result.clone()
    }

    /// Ends the fetch of the request.
    fn end(&mut self, end: End) -> Option<Result<Found, TransportError>> {
        assert!(self.fetches());
        self.end.set(Some(Some(end)));
        self.step()
    }

    /// Ends the fetch of the request because its client disconnects.
    fn disconnect(&mut self) {
        assert!(self.fetches());
        self.end.set(Some(None));
        assert_eq!(self.step(), Some(Err(TransportError::Cancelled)));
    }

    fn fetches(&self) -> bool {
        self.is_fetching.get()
    }

    fn waits(&self) -> bool {
        self.result.is_none() && !self.fetches()
    }
}

#[test]
fn one_request_fetches_and_the_others_wait_for_its_value() {
    let fixture = Fixture::new(SECOND);
    let mut first = fixture.request();
    let mut others = [fixture.request(), fixture.request()];
    assert!(first.fetches());
    for other in &mut others {
        assert!(other.waits());
        assert_eq!(other.step(), None);
        assert!(other.waits());
    }
    assert_eq!(first.end(End::Value("value")), Some(Ok(Ok("value"))));
    for other in &mut others {
        assert_eq!(other.step(), Some(Ok(Ok("value"))));
    }
    // A later request finds it without a wait.
    assert_eq!(fixture.request().result, Some(Ok(Ok("value"))));
}

#[test]
fn a_fetch_whose_request_is_dropped_is_taken_over_by_the_next_request() {
    let fixture = Fixture::new(Duration::ZERO);
    let first = fixture.request();
    let mut second = fixture.request();
    let mut third = fixture.request();
    assert!(first.fetches() && second.waits() && third.waits());
    drop(first);
    assert_eq!((second.step(), third.step()), (None, None));
    assert!(second.fetches() && third.waits());
    drop(second);
    // Also by one that comes only now.
    assert!(fixture.request().fetches());
}

#[test]
fn a_fetch_that_is_not_heard_of_for_the_lease_is_taken_over() {
    let fixture = Fixture::new(SECOND);
    let mut first = fixture.request();
    let mut second = fixture.request();
    let mut third = fixture.request();
    let waited = fixture.host.sleeps.borrow().iter().sum::<Duration>();
    fixture.host.pass(LEASE - waited - Duration::from_millis(1));
    assert_eq!(second.step(), None);
    assert!(second.waits());
    // The wait has taken the clock past the lease.
    assert_eq!((second.step(), third.step()), (None, None));
    assert!(second.fetches() && third.waits());
    // The first request is dropped in the end. The fetch of the second one goes on.
    drop(std::mem::replace(&mut first, fixture.request()));
    third.step();
    first.step();
    assert!(second.fetches() && third.waits() && first.waits());
    assert_eq!(second.end(End::Value("value")), Some(Ok(Ok("value"))));
    assert_eq!(third.step(), Some(Ok(Ok("value"))));
}

#[test]
fn a_result_that_comes_after_the_lease_does_not_end_the_fetch_that_took_over() {
    let fixture = Fixture::new(SECOND);
    let mut late = fixture.request();
    fixture.host.pass(LEASE);
    let second = fixture.request();
    assert!(second.fetches());
    // Its own failure is news to the late request itself, and to nobody who came after the lease.
    assert_eq!(late.end(End::Failure("reset")), Some(Ok(Err("reset"))));
    let third = fixture.request();
    assert!(second.fetches() && third.waits());
}

#[test]
fn a_failure_ends_the_requests_that_waited_and_not_a_later_one() {
    let fixture = Fixture::new(SECOND);
    let mut first = fixture.request();
    let mut waiting = fixture.request();
    assert_eq!(first.end(End::Failure("refused")), Some(Ok(Err("refused"))));
    // It arrives after the failure, and tries again at once.
    let mut later = fixture.request();
    assert!(later.fetches());
    assert_eq!(waiting.step(), Some(Ok(Err("refused"))));
    assert_eq!(later.end(End::Value("value")), Some(Ok(Ok("value"))));
}

#[test]
fn a_timeout_of_its_own_ends_one_request_and_the_next_takes_over() {
    let fixture = Fixture::new(SECOND);
    let mut first = fixture.request();
    let mut waiting = fixture.request();
    let own = first.end(End::OwnTimeout);
    assert_eq!(own, Some(Ok(Err("its own deadline has passed"))));
    assert_eq!(waiting.step(), None);
    assert!(waiting.fetches());
}

/// Lets the client of a fetch disconnect half a second after its start. Returns how many milliseconds later a
/// waiting request fetches.
fn takeover_after(takeover_pause: Duration, disconnect: impl FnOnce(Task<'_>)) -> u128 {
    let fixture = Fixture::new(takeover_pause);
    let first = fixture.request();
    fixture.host.pass(SECOND / 2);
    disconnect(first);
    let began = fixture.now();
    let mut next = fixture.request();
    while !next.fetches() {
        assert_eq!(next.step(), None);
    }
    fixture.now().duration_since(began).unwrap().as_millis()
}

#[test]
fn a_cancelled_fetch_is_taken_over_after_the_takeover_pause() {
    let cancel = |mut request: Task<'_>| request.disconnect();
    assert_eq!(takeover_after(Duration::ZERO, cancel), 0);
    // After waits of 10, 20, 40, 80, and then six of 160 ms: the first look after a second.
    assert_eq!(takeover_after(SECOND, cancel), 1110);
}

#[test]
fn the_takeover_pause_of_a_dropped_fetch_counts_from_its_start() {
    let drop = |request: Task<'_>| drop(request);
    assert_eq!(takeover_after(Duration::ZERO, drop), 0);
    // The first look after half a second.
    assert_eq!(takeover_after(SECOND, drop), 630);
}

#[test]
fn a_result_ends_the_takeover_pause() {
    let fixture = Fixture::new(SECOND);
    let mut late = fixture.request();
    fixture.host.pass(LEASE);
    fixture.request().disconnect();
    assert!(fixture.request().waits());
    // The request whose lease had passed is heard of after all.
    late.end(End::Failure("refused"));
    assert!(fixture.request().fetches());
}

#[test]
fn the_fallback_is_used_while_another_request_fetches() {
    let fixture = Fixture::new(SECOND);
    fixture.flight.with(|state| *state = State { value: Some("old"), is_old: true, failure: None });
    let mut first = fixture.request();
    assert!(first.fetches());
    assert_eq!(fixture.request().result, Some(Ok(Ok("old"))));
    // Also in the pause after a disconnected client.
    first.disconnect();
    assert_eq!(fixture.request().result, Some(Ok(Ok("old"))));
    fixture.host.pass(SECOND);
    let mut next = fixture.request();
    assert_eq!(next.end(End::Value("new")), Some(Ok(Ok("new"))));
    assert!(fixture.waits().is_empty());
}

#[test]
fn a_clock_that_goes_back_makes_no_wait_for_a_fetch_eternal() {
    let fixture = Fixture::new(SECOND);
    let _silent = fixture.request();
    let mut waiting = fixture.request();
    assert!(waiting.waits());
    fixture.went_back.set(SECOND);
    assert_eq!(waiting.step(), None);
    assert!(waiting.fetches());
}

#[test]
fn a_clock_that_goes_back_makes_no_pause_eternal() {
    let fixture = Fixture::new(SECOND);
    fixture.request().disconnect();
    let mut waiting = fixture.request();
    assert!(waiting.waits());
    fixture.went_back.set(LEASE);
    assert_eq!(waiting.step(), None);
    assert!(waiting.fetches());
}

#[test]
fn waits_grow_from_10_to_160_milliseconds() {
    let fixture = Fixture::new(SECOND);
    let _fetching = fixture.request();
    let mut waiting = fixture.request();
    for _ in 0..6 {
        waiting.step();
    }
    assert_eq!(fixture.waits(), [10, 20, 40, 80, 160, 160, 160]);
    // Each request counts by itself.
    let _another = fixture.request();
    assert_eq!(fixture.waits().last(), Some(&10));
}

#[test]
fn a_request_waits_until_its_deadline_and_no_longer() {
    let fixture = Fixture::new(SECOND);
    let mut waiting = {
        let fetching = fixture.request();
        let waiting = fixture.request();
        fixture.host.pass(PATIENCE - Duration::from_millis(17));
        drop(fetching);
        waiting
    };
    // Another one has taken over in the meantime.
    let _fetching = fixture.request();
    assert_eq!(waiting.step(), None);
    assert_eq!(fixture.waits(), [10, 7]);
    assert_eq!(waiting.step(), Some(Err(TransportError::TimedOut)));
}

#[test]
fn a_waiting_request_ends_when_its_client_disconnects() {
    let mut fixture = Fixture::new(SECOND);
    fixture.host = fixture.host.leaving_in_sleep(1);
    let mut first = fixture.request();
    let mut waiting = fixture.request();
    assert_eq!(waiting.step(), Some(Err(TransportError::Cancelled)));
    // The fetch goes on.
    assert_eq!(first.end(End::Value("value")), Some(Ok(Ok("value"))));
}

#[test]
fn the_number_of_requests_that_wait_is_bounded() {
    let fixture = Fixture::new(Duration::ZERO);
    let _fetching = fixture.request();
    let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| fixture.request()).collect();
    assert!(waiting.iter_mut().all(|it| it.step().is_none()));
    let mut refused = fixture.request();
    let error = TransportError::Failed("too many requests wait for it".to_owned());
    assert_eq!(refused.step(), Some(Err(error)));
    // One that disconnects makes room.
    waiting.pop();
    assert!(fixture.request().step().is_none());
}
