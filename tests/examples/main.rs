//! The examples, as a user has them: each in the tool that it is run with, called by the clients
//! that it is for, with the stand-in for Bedrock behind it, which checks every signature.
//!
//! Out of scope: what bedrock-edge itself answers (tests/worker). It wants `build/`, the npm
//! packages, and the tools of `scripts/python-tools` on PATH: `npm test` has them all.

#![cfg(unix)]

mod support;

mod embedded;
mod lambda;
mod lambda_clients;
mod service_binding;
