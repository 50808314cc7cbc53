//! The Cloudflare host: `fetch`, timers, WebCrypto, and the bindings of an isolate.
//!
//! A Rust Worker loses its time between wasm and JavaScript: in a call for each header, in a stream reader behind each
//! `bytes()`, in two closures for each awaited promise. So a message's head is one call, a body one, a response one, with
//! `glue.js` on the other side; and a request is one task, which JavaScript drives.
//!
//! Out of scope: every rule about requests, which the core has.

mod body;
mod durable;
#[cfg(feature = "entry")]
mod entry;
mod glue;
#[cfg(feature = "worker")]
mod host;
mod http;
#[cfg(feature = "entry")]
mod isolates;
mod log;
mod platform;
mod serve;
#[cfg(feature = "entry")]
mod sign;
mod streams;
mod task;

#[cfg(feature = "worker")]
pub use durable::{Ledger, Sessions};
#[cfg(feature = "worker")]
pub use host::{WorkerBody, WorkerHost};
#[cfg(feature = "worker")]
pub use log::log;
#[cfg(feature = "worker")]
pub use serve::{handle, isolate};
