//! The interfaces: how each parses a request and renders a reply or an error.
//!
//! Out of scope: policy. Which interface serves a path, who may call it and what happens in which order is the
//! [`server`](crate::server)'s.

mod article;
mod envelope;
mod interface;
pub(crate) mod invoke;
mod lambda;
mod messages;
pub(crate) mod native;
#[cfg(any(feature = "entry", test))]
mod rpc;
mod sessions;
mod socket;
mod stream_event;
mod usage;

pub(crate) use article::Article;
pub use article::parse as parse_request;
pub use envelope::{Envelope, build_response};
pub(crate) use interface::{Context, Interface, RenderError};
pub use lambda::LambdaBody;
pub(crate) use messages::{
    Messages, SDK_HEADERS, estimate, find_model, list_models, parse_count, render_count,
};
#[cfg(any(feature = "entry", test))]
pub(crate) use rpc::Rpc;
pub(crate) use sessions::{render_session, render_sessions};
pub(crate) use socket::Socket;
pub use stream_event::StreamEvent;
pub(crate) use usage::render_usage;
