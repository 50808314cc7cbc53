//! The parts that the hosts of the targets have in common. A target declares this module with `#[macro_use]`, before those that
//! use it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bedrock_edge::Isolate;

/// Implements [`Runtime`](bedrock_edge::Runtime) with a clock that stands still, and without waiting.
#[allow(unused_macros, reason = "the targets jwt and sigv4 have a clock of their own")]
macro_rules! fixed_runtime {
    ($host:ty) => {
        impl bedrock_edge::Runtime for $host {
            fn now(&self) -> std::time::SystemTime {
                std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_767_323_045)
            }

            fn random(&self) -> u128 {
                42
            }

            async fn sleep(
                &self,
                _: std::time::Duration,
            ) -> Result<(), bedrock_edge::host::TransportError> {
                Ok(())
            }
        }
    };
}

/// Makes an isolate with these variables and AWS's example key.
pub fn isolate(vars: &[(&str, &str)]) -> Isolate {
    Isolate::from_vars(|name| {
        let set = vars.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        set.or(match name {
            "AWS_ACCESS_KEY_ID" => Some("AKIAIOSFODNN7EXAMPLE"),
            "AWS_SECRET_ACCESS_KEY" => Some("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            _ => None,
        })
        .map(str::to_owned)
    })
}

/// Returns the result of a future that never waits, because nothing in its host does.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match Future::poll(pin!(future), &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the handler waits, and nothing wakes it"),
    }
}
