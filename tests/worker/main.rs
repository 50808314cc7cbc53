//! Runs the built Worker in workerd, between HTTP clients and the stand-in for Bedrock.
//!
//! The tests cover the behaviour of the whole system: the requests that reach Bedrock, the
//! responses as workerd sends them, bodies that arrive in chunks or never end, and the log.
//!
//! Unit tests (`cargo test`) cover everything that does not need workerd, and tests/dev.rs covers
//! `wrangler`. These tests need `build/`, and workerd in `node_modules/`; `npm test` creates both.

mod support;

mod anthropic_sdks;
mod assumed_role;
mod auth;
mod aws_clients;
mod bedrock_credentials;
mod browsers;
mod cancellation;
mod claude_code;
mod configuration;
mod conversations;
mod deadlines;
mod fallback_regions;
mod faults;
mod invalid_requests;
mod jwks;
mod keep_alive;
mod ledger;
mod limits;
mod load;
mod memory;
mod messages;
mod models;
mod native;
mod network_faults;
mod other_models;
mod privacy;
mod rate_limits;
mod real_clients;
mod refused_fields;
mod request_bodies;
mod responses;
mod routes;
mod sessions;
mod soak;
mod stream_faults;
mod stream_load;
mod streams;
mod translation;
mod upstream_requests;
mod websockets;
