#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
#![deny(missing_docs)]

//! Claude on Amazon Bedrock at the edge.
//!
//! It began as the Lambda function of a well-known article and is still that function: a prompt comes in, one
//! SigV4-signed `InvokeModel` call goes out, and a JSON envelope goes back. The same function runs as a Cloudflare
//! Worker, as a Lambda, and in a route of another Worker: all it needs of the platform is a [`Host`].
//!
//! # Layers
//!
//! Each module imports only from modules above it in this list. A test checks that.
//!
//! - `json`, `redact`, `identifier`, `secret`, `deadline`, `date`, `percent`, `hex`, `lock`, `outlined`, `executor`: they
//!   know nothing of the project.
//! - [`host`]: the capabilities of the platform, and the incoming request.
//! - `headers`: the tables of headers.
//! - `single_flight`: one fetch for concurrent requests.
//! - `error`: [`Error`] and the table of its [`Code`]s.
//! - `aws`: Signature Version 4, temporary credentials, event streams, the tables of AWS's errors and regions.
//! - `claude`: the inner [`Request`] and [`Reply`], stream events, the table of [`Model`]s.
//! - `converse`: the same onto Converse, for models of other makers.
//! - `config`: the settings, [`Config`], which never change after the start.
//! - `auth`: API tokens, JWTs, SigV4 signatures, CORS.
//! - `log`: the [`Record`] of a request.
//! - [`limits`]: requests, requests in flight, tokens, memory.
//! - [`sessions`]: conversations that are remembered, with a time to live.
//! - `dynamodb`: sessions in a table of DynamoDB, with the feature of that name.
//! - [`bedrock`]: one call, with retries and fallback regions.
//! - `api`: the interfaces: the Lambda's, its events, Lambda's Invoke API, WebSockets, RPC, Anthropic's Messages API,
//!   Bedrock's own.
//! - `server`: the table of routes, the pipeline, and [`Isolate`], which outlives a request.
//! - `worker`: the Cloudflare host.
//!
//! # Example
//!
//! ```
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//! use bedrock_edge::host::{Host, Http, Runtime, TransportError};
//! use bedrock_edge::{IncomingRequest, Isolate, lambda_handler};
//! use bytes::Bytes;
//!
//! /// A platform with one response to every request.
//! struct Scripted;
//!
//! impl Runtime for Scripted {
//!     fn now(&self) -> SystemTime {
//!         UNIX_EPOCH + Duration::from_secs(1_767_323_045)
//!     }
//!
//!     fn random(&self) -> u128 {
//!         42
//!     }
//!
//!     async fn sleep(&self, _: Duration) -> Result<(), TransportError> {
//!         Ok(())
//!     }
//! }
//!
//! impl Http for Scripted {
//!     type Body = Bytes;
//!
//!     async fn send(
//!         &self,
//!         request: http::Request<Bytes>,
//!         _within: Duration,
//!     ) -> Result<http::Response<Bytes>, TransportError> {
//!         assert_eq!(request.uri().host(), Some("bedrock-runtime.ap-northeast-1.amazonaws.com"));
//!         let reply = r#"{"content": [{"type": "text", "text": "はい、元気です。"}]}"#;
//!         Ok(http::Response::new(Bytes::from(reply)))
//!     }
//! }
//!
//! impl Host for Scripted {}
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let isolate = Isolate::from_vars(|name| match name {
//!     "AWS_ACCESS_KEY_ID" => Some("AKIAIOSFODNN7EXAMPLE".to_owned()),
//!     "AWS_SECRET_ACCESS_KEY" => Some("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
//!     // The callers of this function are known already.
//!     "AUTH" => Some("open".to_owned()),
//!     _ => None,
//! });
//! let event = IncomingRequest::from_lambda(r#"{"prompt": "お元気ですか"}"#.as_bytes());
//! let (envelope, record) = lambda_handler(event, &isolate, &Scripted).await;
//!
//! assert_eq!(envelope.status_code, 200);
//! assert_eq!(
//!     envelope.body,
//!     r#"{"input_prompt":"お元気ですか","generated_text":"はい、元気です。"}"#,
//! );
//! assert_eq!(record.outcome, "ok");
//! # });
//! ```
//!
//! # Features
//!
//! - none: the core. It builds for any target and needs no JavaScript.
//! - `worker`: the Cloudflare host, [`worker::handle`](crate::worker).
//! - `dynamodb`: the store of sessions in DynamoDB, for a Lambda.
//! - `entry`: the Worker itself, which exports `fetch`. A Worker with its own `fetch` uses `worker` only.

#[cfg(test)]
extern crate self as bedrock_edge;

mod api;
mod auth;
mod aws;
pub mod bedrock;
mod claude;
mod config;
mod converse;
mod date;
mod deadline;
#[cfg(any(feature = "dynamodb", test))]
pub mod dynamodb;
mod error;
#[cfg(any(feature = "workerd", test))]
mod executor;
mod headers;
mod hex;
pub mod host;
mod identifier;
mod json;
pub mod limits;
mod lock;
mod log;
mod outlined;
mod percent;
mod redact;
mod secret;
mod server;
pub mod sessions;
mod single_flight;
#[cfg(test)]
mod testing;
#[cfg(feature = "workerd")]
pub mod worker;

pub use api::{Envelope, LambdaBody, StreamEvent, build_response, parse_request};
pub use auth::{Caller, Session};
pub use aws::{
    AssumeRoleError, Credentials, FrameError, Frames, Message, RoleSettings, Scope, SignError,
    SigningCache, TemporaryCredentials, read_assume_role, sign, sign_post,
};
pub use bedrock::{Bedrock, invoke_bedrock, invoke_bedrock_with_response_stream};
pub use claude::{
    Codec, Conversation, Feature, InvalidReply, Messages, Model, Payload, Reply, Request, Usage,
    build_payload,
};
pub use config::{
    Access, Authentication, Budget, Config, ConfigError, Endpoint, Level, Limits, Sessions,
};
pub use deadline::Deadline;
pub use error::{Code, Error};
pub use host::{Body, BodyStream, Host, Http, IncomingRequest, Runtime};
pub use identifier::Identifier;
pub use log::Record;
pub use redact::Redacted;
pub use secret::Secret;
pub use server::{
    Accepted, Generation, Handled, Isolate, Passage, Passing, Remainder, Rest, Streaming,
    WebSocket, handle, lambda_handler, socket_handler,
};
