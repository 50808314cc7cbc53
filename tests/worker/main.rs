//! The built Worker in the real workerd, over HTTP: the stand-in for Bedrock on one side, clients
//! on the other.
//!
//! Here is what only the whole shows: what arrives at Bedrock, what workerd makes of an answer,
//! bodies that come in pieces or not at all, and what is in the log in the end.
//!
//! Out of scope: what a native test can tell (`cargo test`), and `wrangler` (tests/dev.rs). It
//! wants `build/`, and workerd in `node_modules/`: `npm test` makes both.

mod support;

mod assumed_role;
mod auth;
mod bedrock_credentials;
mod browsers;
mod cancellation;
mod configuration;
mod deadlines;
mod fallback_regions;
mod faults;
mod invalid_requests;
mod jwks;
mod keep_alive;
mod ledger;
mod limits;
mod load;
mod models;
mod network_faults;
mod privacy;
mod rate_limits;
mod real_clients;
mod request_bodies;
mod responses;
mod routes;
mod soak;
mod stream_faults;
mod stream_load;
mod streams;
mod upstream_requests;
mod websockets;
