//! Durable Objects: for each a file, with the object and the capability that calls it.

mod ledger;

#[cfg(feature = "worker")]
pub use ledger::Ledger;
#[cfg(feature = "entry")]
pub(super) use ledger::reply;
pub(super) use ledger::settle;
