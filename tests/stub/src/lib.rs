//! A stand-in for Amazon Bedrock's runtime endpoint: a real HTTP server for `npm run dev` (the
//! binary) and for tests (this library, in the test's own process).
//!
//! The life of a request is the order of the modules:
//!
//! 1. [`server`] takes it as it came, and records it;
//! 2. [`auth`] checks who signed it, with [`sigv4`]'s canonicalization, and refuses in AWS's words;
//! 3. [`messages`] validates the body as Bedrock does for Claude, and [`models`] refuses the
//!    parameters that the model no longer takes;
//! 4. [`faults`] fails on purpose when the prompt asks for it (`fault:throttled`);
//! 5. [`reply`] answers in Claude's JSON, the same for the same request;
//! 6. or, of `InvokeModelWithResponseStream`, [`events`] makes of that JSON what Claude streams,
//!    [`frames`] encodes it, and [`stream`] sends it as the client reads;
//! 7. or, of `Converse`, [`converse`] puts it into that operation's JSON.
//!
//! [`sts`] answers beside it: a key may be good for nothing but to get temporary ones.
//!
//! Out of scope: every operation but `InvokeModel`, `InvokeModelWithResponseStream` and `Converse`, models other
//! than Claude's, tools and images in a prompt, and judging whether a model exists in the region.

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
