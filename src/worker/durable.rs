//! Durable Objects: for each a file, with the object and the capability that calls it.

mod ledger;
mod sessions;

#[cfg(feature = "worker")]
pub use ledger::Ledger;
#[cfg(feature = "entry")]
pub(super) use ledger::reply;
pub(super) use ledger::settle;
#[cfg(feature = "worker")]
pub use sessions::Sessions;
pub(super) use sessions::abort;
