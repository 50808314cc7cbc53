//! The server: the table of routes, the pipeline, and the state that outlives a request in an isolate.
//!
//! # Life of a request
//!
//! `handlers` and `socket` are what a platform calls. They lead an `exchange` through the steps: 1 to 5 are `admission`, with
//! the table of `routes` and the headers that `content` reads. What needs no reply of a model is in `resources`; steps 6 to 9
//! are `reply` and then `generation` for a stream, or `passing` for what is passed on. Step 10 is the end of the `exchange`,
//! with the headers of `response`.
//!
//! 1. The configuration is valid, or the response is 500.
//! 2. The caller is authenticated, or the response is 401 or 403. `/healthz`, probes and a browser's preflight need no
//!    credential.
//! 3. The path has a route that accepts the method, or the response is 404 or 405. `OPTIONS`, `/healthz` and probes end
//!    here.
//! 4. The caller has not sent too many requests, or the response is 429. `/usage` and the list of models end here.
//! 5. The headers announce JSON of an acceptable size, or the response is 415 or 413. Only then the body is read; it must
//!    arrive before the deadline, or the response is 408.
//! 6. The body is a valid request, or the response is 400. Its model is allowed, or the response is 403. Its session, if it names
//!    one, is leased, or the response is 404 or 409, and the earlier turns are put in front.
//! 7. What the request may use is reserved, or the response is 429.
//! 8. Bedrock is called. The response is the reply, whole or streamed, or 500.
//! 9. The reservation is settled on what was used. The turn of a session is stored, or its lease is given back.
//! 10. The headers of the response and the record tell what is known of the call.
//!
//! Out of scope: the formats of requests and responses ([`api`](crate::api)).

mod admission;
mod content;
mod exchange;
mod generation;
mod handlers;
mod isolate;
mod passing;
mod reply;
mod resources;
mod response;
mod routes;
mod socket;

pub use generation::{Generation, Remainder, Streaming};
#[cfg(any(feature = "workerd", test))]
pub(crate) use handlers::handle_for;
#[cfg(any(feature = "entry", test))]
pub(crate) use handlers::rpc_handler;
pub use handlers::{Accepted, Handled, handle, lambda_handler};
pub use isolate::Isolate;
pub use passing::{Passage, Passing, Rest};
pub use socket::{WebSocket, socket_handler};
#[cfg(feature = "workerd")]
pub(crate) use socket::{socket_admit, socket_reply};

#[cfg(test)]
mod tests;
