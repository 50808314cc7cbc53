//! The built Worker in the real workerd, over HTTP: the stand-in for Bedrock on one side, clients
//! on the other.
//!
//! Here is what only the whole shows: what arrives at Bedrock, what workerd makes of an answer,
//! bodies that come in pieces or not at all, and what is in the log in the end.
//!
//! Out of scope: what a native test can tell (`cargo test`), and `wrangler` (tests/dev.rs). It
//! wants `build/`, and workerd in `node_modules/`: `npm test` makes both.

mod client;
mod events;
mod fixture;
mod issuer;
mod raw;
mod signer;
mod sse;
mod websocket;
mod workerd;

mod answers;
mod authentication;
mod bodies;
mod browsers;
mod cancellation;
mod configuration;
mod deadlines;
mod faults;
mod gate;
mod idle;
mod jwks;
mod limits;
mod load;
mod matrix;
mod privacy;
mod real_clients;
mod refusals;
mod regions;
mod roles;
mod routes;
mod soak;
mod sockets;
mod stream_faults;
mod stream_load;
mod streams;
mod upstream;
