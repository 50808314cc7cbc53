#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
#![deny(missing_docs)]

//! The AWS Lambda function that calls Claude on Amazon Bedrock, at the edge.
//!
//! A prompt comes in, one SigV4-signed `InvokeModel` call goes out, and a JSON envelope goes back.
//! The same function runs as a Cloudflare Worker, as a Lambda, and in a route of another Worker:
//! all that it needs from the place it runs in is a [`Host`].
//!
//! # The life of a request
//!
//! The modules are in the order in which a request passes through them.
//!
//! 1. [`config`]: the settings are read from variables, once, and validated together.
//! 2. [`event`]: an HTTP request, or one of the three shapes of Lambda's JSON, becomes an [`Event`].
//! 3. [`handler`]: [`lambda_handler`] takes the event through the rest.
//! 4. [`gate`]: who calls is known, or the answer is 401 and the body is never read.
//! 5. [`limits`]: the request is counted, and what it may use is reserved.
//! 6. [`request`]: the event's body becomes a validated [`Request`], or an answer of 4xx.
//! 7. [`model`]: [`build_payload`] puts it into Claude's JSON.
//! 8. [`mod@sign`]: [`sign_post`] adds a Signature Version 4, by a stored key or by temporary
//!    [`credentials`].
//! 9. [`invoke`]: [`invoke_bedrock`] sends it through the [`host`] and reads the reply.
//! 10. `retry`: what fails and may not fail again is sent again, here or in another region.
//! 11. [`stream`]: where the answer comes in pieces ([`streaming_handler`]), frames become events.
//! 12. [`envelope`]: [`build_response`] wraps the answer, or the plain words of an [`Error`].
//! 13. [`log`]: a [`Record`] of all this is returned beside it, for one line in the log.
//!
//! # Example
//!
//! ```
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//! use bedrock_edge::{Config, Event, Host, TransportError, lambda_handler};
//! use bytes::Bytes;
//!
//! /// A Host that has one answer to everything.
//! struct Scripted;
//!
//! impl Host for Scripted {
//!     type Body = Bytes;
//!
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
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let config = Config::from_vars(|name| match name {
//!     "AWS_ACCESS_KEY_ID" => Some("AKIAIOSFODNN7EXAMPLE".to_owned()),
//!     "AWS_SECRET_ACCESS_KEY" => Some("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
//!     // Whoever calls this function is known already.
//!     "AUTH" => Some("open".to_owned()),
//!     _ => None,
//! });
//! let event = Event::from_lambda(r#"{"prompt": "お元気ですか"}"#.as_bytes());
//! let (envelope, record) = lambda_handler(event, &config, &Scripted).await;
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
//! - none: the core. It builds for any target, and pulls in no JavaScript.
//! - `worker`: the Host of Cloudflare Workers, [`worker::handle`](crate::worker).
//! - `entry`: the Worker itself, which exports `fetch`. A Worker with its own takes `worker` only.

pub mod config;
pub mod credentials;
mod date;
mod deadline;
pub mod envelope;
pub mod error;
pub mod event;
pub mod gate;
pub mod handler;
mod header;
pub mod host;
pub mod invocation;
pub mod invoke;
mod json;
pub mod limits;
mod lock;
pub mod log;
pub mod model;
mod rarely;
pub mod request;
mod retry;
pub mod sign;
pub mod stream;
mod upstream;
#[cfg(feature = "workerd")]
pub mod worker;

pub use config::{Authentication, Config, ConfigError, Endpoint, Secret};
pub use credentials::AssumeRole;
pub use deadline::Deadline;
pub use envelope::{Envelope, build_response};
pub use error::{Code, Error, TokensLeft};
pub use event::{Event, LambdaBody, Route};
pub use gate::{Access, Caller, Session, VerifyingKey};
pub use handler::{
    Answer, Upgrade, lambda_handler, socket_handler, streaming_handler, upgrade_handler,
};
pub use host::{Body, BodyStream, Host, LimitError, ReadError, TransportError, VerifyError};
pub use invoke::{invoke_bedrock, invoke_bedrock_with_response_stream};
pub use limits::{Address, Limits, Settlement};
pub use log::{Level, Record, Redacted, Token};
pub use model::{Payload, Reply, Usage, build_payload};
pub use request::Request;
pub use sign::{Credentials, Scope, SignError, sign, sign_post};
pub use stream::{StreamEvent, Streaming};
