//! One call to Bedrock: endpoint, signature, retries, regions, decoding.
//!
//! Out of scope: what the callers of this service send and get (`api`).

mod breaker;
mod call;
mod clock;
mod decoder;
mod error;
mod means;
mod meter;
mod operations;
mod pass;
mod quota;
mod retry;
#[cfg(any(feature = "entry", test))]
mod sign;
mod sse;
mod state;

pub(crate) use call::count_tokens;
pub use call::{invoke_bedrock, invoke_bedrock_with_response_stream};
pub(crate) use decoder::MAX_REPLY_BYTES;
pub use decoder::{Decoder, Generated, Step};
pub use error::InvokeError;
pub use means::Bedrock;
pub(crate) use meter::{End, Meter};
pub(crate) use operations::{Bill, Operation, Subject};
pub(crate) use pass::{Passed, Response, pass};
pub(crate) use state::State;
