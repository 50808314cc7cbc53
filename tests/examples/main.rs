//! The examples as a user runs them: each in its own tool, called by its intended clients, in front
//! of the stand-in for Bedrock, which checks every signature.
//!
//! These tests need `build/`, the npm packages, and the tools of `scripts/python-tools` on PATH;
//! `npm test` provides all of them.
//!
//! Out of scope: the responses of bedrock-edge itself (tests/worker).

#![cfg(unix)]

mod support;

mod dynamodb;
mod embedded;
mod lambda;
mod lambda_clients;
mod npm;
mod service_binding;
