use std::pin::pin;
use std::task::{Context, Poll, Waker};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::testing::{Scripted, Watched};

fn held(memory: &Memory) -> usize {
    lock(&memory.0).held
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn requests_hold_their_bodies_until_the_bytes_are_dropped() {
    let (memory, host) = (Arc::<Memory>::default(), Scripted::new());
    let read = async |body: &[u8], announced| {
        let body = Watched::from(body.to_vec());
        Admitted::new(body, announced, &memory, &host).read(1000, LONG).await
    };
    let short = read(b"short", Some(5)).await.unwrap();
    assert_eq!(held(&memory), weight(5));
    // A body of an unknown length counts as the longest until it is read.
    let long = read(&[b'a'; 1000], None).await.unwrap();
    assert_eq!(held(&memory), weight(5) + weight(1000));
    let part = long.slice(1..2);
    drop((short, long));
    assert_eq!((held(&memory), &*part), (weight(1000), &b"a"[..]));
    drop(part);
    assert_eq!(held(&memory), 0);
    assert_eq!(read(&[b'a'; 1001], None).await, Err(ReadError::TooLong));
    assert_eq!(held(&memory), 0);
}

#[tokio::test]
async fn a_request_waits_for_memory_and_is_refused_after_two_seconds() {
    let (memory, host) = (Arc::<Memory>::default(), Scripted::new());
    let body = Watched::from("a");
    let was_read = body.was_read.clone();
    let _all = memory.take(CAPACITY);
    let refused = Admitted::new(body, Some(1), &memory, &host).read(1000, LONG).await;
    assert_eq!(refused, Err(ReadError::Overloaded));
    assert!(!was_read.get(), "it is not read before there is memory for it");
    let sleeps = host.sleeps.borrow();
    assert_eq!(sleeps.iter().sum::<Duration>(), PATIENCE);
    assert_eq!(sleeps[..5], [10, 20, 40, 80, 160].map(Duration::from_millis));
    assert!(sleeps[5..].iter().all(|it| *it <= LONGEST_WAIT), "{sleeps:?}");
}

#[tokio::test]
async fn a_request_that_waits_goes_on_when_another_ends() {
    let (memory, host) = (Arc::<Memory>::default(), Scripted::new().in_steps());
    let all = memory.take(CAPACITY);
    let mut waiting = pin!(memory.hold(1, LONG, &host));
    let mut poll = || waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    for _ in 0..4 {
        assert!(poll().is_pending());
    }
    drop(all);
    assert!(matches!(poll(), Poll::Ready(Ok(_))));
}

#[tokio::test]
async fn a_client_that_disconnects_while_it_waits_holds_nothing() {
    let (memory, host) = (Arc::<Memory>::default(), Scripted::new().leaving_in_sleep(1));
    let all = memory.take(CAPACITY);
    let error = memory.hold(1, LONG, &host).await.unwrap_err();
    assert_eq!(error, ReadError::Transport(crate::host::TransportError::Cancelled));
    drop(all);
    assert_eq!((held(&memory), lock(&memory.0).waiting), (0, 0));
}

#[tokio::test]
async fn the_number_of_requests_that_wait_is_bounded() {
    let (memory, host) = (Arc::<Memory>::default(), Scripted::new().in_steps());
    let _all = memory.take(CAPACITY);
    let mut waiting = Vec::new();
    for number in 0..MOST_WAITING + 10 {
        let mut hold = Box::pin(memory.hold(1, LONG, &host));
        let polled = hold.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let is_refused = matches!(polled, Poll::Ready(Err(ReadError::Overloaded)));
        assert_eq!(is_refused, number >= MOST_WAITING, "{number}");
        waiting.push(hold);
    }
    drop(waiting);
    assert_eq!(lock(&memory.0).waiting, 0);
}

#[test]
fn the_longest_body_fits_beside_other_requests() {
    let memory = Arc::<Memory>::default();
    // The longest that MAX_BODY_BYTES allows.
    let _long = memory.try_take(weight(25_000_000)).unwrap();
    assert!(memory.try_take(weight(1 << 20)).is_some());
    assert!(memory.try_take(weight(25_000_000)).is_none());
    // A reply that is paid for is taken all the same.
    let _reply = memory.take(weight(25_000_000));
    assert!(memory.try_take(1).is_none());
}

#[test]
fn the_text_of_a_stream_grows_as_long_as_there_is_memory() {
    let memory = Arc::<Memory>::default();
    let mut stream = HeldByStream::new(&memory, 1000, 500);
    let base = held(&memory);
    assert_eq!(base, 2500 + 2 * OF_A_REQUEST);
    // A short text is part of what every stream has.
    assert!(stream.grow(1000));
    assert_eq!(held(&memory), base);
    assert!(stream.grow(100_000));
    assert_eq!(held(&memory), base + 300_000 + STEP);
    assert!(stream.grow(100_001) && held(&memory) == base + 300_000 + STEP, "not at every delta");
    let rest = memory.take(CAPACITY - held(&memory));
    assert!(!stream.grow(200_000));
    drop(rest);
    assert!(stream.grow(200_000));
    drop(stream);
    assert_eq!(held(&memory), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_taken_fits_and_is_given_back(steps in vec((0..3_u8, 0..20_000_000_usize), 1..200)) {
        let memory = Arc::<Memory>::default();
        let mut all = Vec::new();
        for (step, bytes) in steps {
            match step {
                0 => all.extend(memory.try_take(weight(bytes))),
                1 if !all.is_empty() => {
                    let at = bytes % all.len();
                    all[at].grow(bytes);
                }
                _ if !all.is_empty() => drop(all.swap_remove(bytes % all.len())),
                _ => {}
            }
            prop_assert_eq!(held(&memory), all.iter().map(|it| it.bytes).sum::<usize>());
            prop_assert!(held(&memory) <= CAPACITY);
        }
        drop(all);
        prop_assert_eq!(held(&memory), 0);
    }
}
