//! A stand-in for Amazon Bedrock's runtime endpoint: a real HTTP server, for `npm run dev` (the
//! binary) and for tests (this library, in the test's own process).
//!
//! A request passes through the modules in this order:
//!
//! 1. [`server`] receives and records it;
//! 2. [`auth`] verifies its signature with [`sigv4`]'s canonicalization, and rejects it with AWS's
//!    error names and messages;
//! 3. [`messages`] validates the body as Bedrock does for Claude, and [`models`] rejects the
//!    parameters that the model no longer supports;
//! 4. [`faults`] fails on purpose if the prompt demands it (`fault:throttled`);
//! 5. [`reply`] generates a deterministic reply in Claude's JSON.
//!
//! For `InvokeModelWithResponseStream`, [`events`] turns that JSON into the events that Claude
//! streams, [`frames`] encodes them, and [`stream`] sends them as fast as the client reads. For
//! `Converse`, [`converse`] converts the reply to the JSON of that operation.
//!
//! [`sts`] serves `AssumeRole` on the same port, and issues keys that the stand-in accepts.
//!
//! Out of scope: all other operations, models other than Claude, tools and images in a prompt, and
//! whether a model exists in the region.

pub mod auth;
pub mod converse;
pub mod error;
pub mod events;
pub mod faults;
pub mod frames;
pub mod messages;
pub mod models;
pub mod reply;
pub mod server;
pub mod sigv4;
pub mod stream;
pub mod sts;

pub use auth::AccessKey;
pub use server::{Settings, Stub};
pub use sigv4::Received;
pub use stream::StreamCounts;
pub use sts::StsFault;
