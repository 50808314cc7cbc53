//! Limits: requests, requests in flight, tokens, and the memory of an isolate.
//!
//! The platform counts requests before the body is read. Tokens are counted in the caller's [`Ledger`]: what a call may
//! use at most is reserved before it, and settled afterwards on what Bedrock reports. What Bedrock may bill and does
//! not report counts as reserved. A retry of a call that may be billed reserves again.
//!
//! With no limit set, none of this is called. A limit that cannot be enforced is never ignored: the response is
//! `misconfigured` if the platform has no means for it, and `limits_unavailable` if they fail.
//!
//! Out of scope: where a ledger is stored.

mod account;
mod failure;
mod ledger;
mod memory;
mod rate;
mod reservation;

pub(crate) use account::{account, standing};
pub use ledger::{Ledger, Message, Period, Reply, Standing, Verdict};
pub(crate) use memory::{Admitted, Held, HeldByStream, Memory, weight};
pub use rate::Address;
pub(crate) use rate::{admit, admit_socket};
pub use reservation::{Reservation, Settlement};
pub(crate) use reservation::{reserve, reserve_again, reserve_tokens, settle};

#[cfg(test)]
mod tests;
