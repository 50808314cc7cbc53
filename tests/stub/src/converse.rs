//! The operations `Converse` and `ConverseStream`: their request becomes the Messages request that
//! means the same, which is replied to as for `InvokeModel`, and the reply takes their form.
//!
//! The stand-in is stricter than Bedrock in one way: it refuses keys that the API does not have,
//! which Bedrock ignores, so that a test sees a misspelled one.
//!
//! Out of scope: prompts of Prompt management, S3 locations, and audio.
//!
//! Sources: AWS's documentation of the operation and of each type; botocore's model of the service;
//! bug reports that quote the messages, named where they are used.

mod content;
mod fields;
mod reply;
mod request;
mod stream;
mod tools;

use serde_json::{Map, Value};

pub(crate) use reply::{body, usage};
pub(crate) use request::parse;
pub(crate) use stream::{event, frame};

use crate::guardrails::GuardrailConfig;
use crate::messages::Messages;

/// The key of a reply under which it carries what only `Converse` reports, until it takes the form
/// of that operation. A reply in another form than Claude's has it too.
pub(crate) const EXTRA: &str = "amazon-bedrock-converse";

/// A valid request.
pub(crate) struct ConverseRequest {
    /// The request in Claude's form.
    pub(crate) messages: Messages,
    /// The guardrail that judges it.
    pub(crate) guardrail: Option<GuardrailConfig>,
    /// The members of the response that repeat those of the request: the service tier and the
    /// latency.
    pub(crate) echo: Map<String, Value>,
    /// The JSON pointers to fields of the model's own reply, which the response repeats.
    pub(crate) response_fields: Vec<String>,
}
