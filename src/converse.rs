//! Claude's Messages format onto Converse, for models of other makers: the request one way, the reply and the events of
//! a stream the other.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
//!
//! A part that Converse or the model cannot express is the caller's error if the reply would mean something else without
//! it. All other such parts are removed and told.
//!
//! Out of scope: calls, and what a caller of another interface sends.

mod blocks;
mod conversion;
mod events;
mod names;
mod options;
mod reply;
mod request;
mod tools;

pub(crate) use conversion::{CACHE_CONTROL, Target};
pub(crate) use events::Events;
pub(crate) use names::ToolNames;
pub(crate) use reply::to_claude;
pub(crate) use request::{Converted, from_claude};

#[cfg(test)]
mod tests;
