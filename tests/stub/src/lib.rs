//! A stand-in for Amazon Bedrock's runtime endpoint: a real HTTP server, for `npm run dev` (the
//! binary) and for tests (this library, in the test's own process).
//!
//! A request passes through the modules in this order:
//!
//! 1. [`server`] receives and records it;
//! 2. [`auth`] verifies its signature with [`sigv4`]'s canonicalization, and rejects it with AWS's
//!    error names and messages;
//! 3. `operations` carries out `InvokeModel`, `InvokeModelWithResponseStream`, `Converse`,
//!    `ConverseStream`, `CountTokens`, `ApplyGuardrail`, or a request to the native endpoint
//!    `/anthropic/v1/messages`;
//! 4. [`messages`] validates the body as Bedrock does for Claude, [`models`] rejects the parameters
//!    that the model does not support, and [`signatures`] the thinking blocks that were altered.
//!    [`converse`] validates that of `Converse`, `invoke` those of other makers, and [`makers`]
//!    knows what their models refuse;
//! 5. [`faults`] fails on purpose if the prompt demands it (`fault:throttled`);
//! 6. [`reply`] generates a deterministic reply in Claude's JSON. It quotes the prompt, or follows
//!    its directives (`[[tool Bash {"command":"date"}]]`). [`cache`] counts its tokens.
//!
//! For a stream, [`events`] turns that JSON into the events that Claude streams, [`encoding`]
//! encodes them as [`frames`] or as server-sent events, and [`stream`] sends them as fast as the
//! client reads. [`guardrails`] judges requests and replies. For `Converse` and `ConverseStream`,
//! [`converse`] converts the reply and its events to those of the operation.
//!
//! [`sts`] serves `AssumeRole` on the same port, and issues keys that the stand-in accepts.
//!
//! Out of scope: all other operations, the content of images and documents, and whether a model
//! exists in the region.

pub mod auth;
pub mod cache;
pub mod converse;
pub mod encoding;
pub mod error;
pub mod events;
pub mod faults;
pub mod frames;
pub mod guardrails;
mod invoke;
pub mod makers;
pub mod messages;
pub mod models;
mod operations;
pub mod reply;
mod schema;
mod script;
pub mod server;
pub mod signatures;
pub mod sigv4;
pub mod stream;
pub mod sts;

pub use auth::AccessKey;
pub use server::{Sent, Settings, Stub};
pub use sigv4::Received;
pub use stream::StreamCounts;
pub use sts::StsFault;
