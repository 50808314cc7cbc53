//! Claude's reply to InvokeModel.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::usage::Usage;
use crate::aws::error_type;
use crate::identifier::Identifier;
use crate::json::string;

/// The parts of Claude's reply that matter here.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reply {
    /// All text blocks, joined. Thinking, tool calls and unknown blocks are ignored.
    pub text: String,
    /// Why the model stopped.
    pub stop_reason: Option<Identifier>,
    /// The tokens that the call is billed by.
    pub usage: Usage,
}

/// A response with status 200 that is not a reply with text. It quotes nothing of the body, which may be generated
/// text all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReply {
    /// The body is empty, not JSON, cut off, or not in Claude's format.
    #[error("the body of {length} bytes is not Claude's JSON: {fault} at {line}:{column}")]
    NotJson {
        /// The length of the body in bytes.
        length: usize,
        /// `syntax`, `data` (JSON in another format) or `end` (cut off).
        fault: &'static str,
        /// The line of the fault, from 1.
        line: usize,
        /// The byte of the fault in its line, from 1.
        column: usize,
    },
    /// The body is an error, as Bedrock sends it with status 200 for an unknown operation.
    #[error("an error with status 200: {}", .0.as_ref().map_or("?", Identifier::as_str))]
    Error(Option<Identifier>),
    /// A message of a stream does not say what it is.
    #[error("expected a message with a type, got none")]
    NoMessageType,
    /// The bytes of a chunk are not base64.
    #[error("expected base64 in a chunk, got something else")]
    NotBase64,
    /// The response to a streaming operation is not an event stream.
    #[error("expected an event stream, got another Content-Type")]
    NotEvents,
    /// The reply has no text block.
    #[error("expected a text block in the reply, got none")]
    NoText,
    /// The reply ended at `max_tokens` before it had any text.
    #[error("the reply ended at max_tokens before any text")]
    MaxTokens,
    /// The model refused to reply.
    #[error("the model refused to reply")]
    Refusal,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    content: Vec<Block<'a>>,
    stop_reason: Option<String>,
    usage: Option<Usage>,
    #[serde(rename = "Output")]
    output: Option<Output>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(rename = "__type", default)]
    kind: String,
}

impl Reply {
    /// Reads the body of an InvokeModel response with status 200.
    ///
    /// # Errors
    ///
    /// If the body is not Claude's JSON or has no text. An empty text block is a reply: the model may stop at once.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidReply> {
        // serde accepts an array in place of a struct.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(InvalidReply::NoText);
        }
        let Body { content, stop_reason, usage, output } =
            serde_json::from_slice(body).map_err(|error| InvalidReply::not_json(body, &error))?;
        if let Some(output) = output {
            return Err(InvalidReply::Error(error_type(&output.kind)));
        }
        let text = content
            .into_iter()
            .filter(|block| block.kind == "text")
            .filter_map(|block| block.text)
            .reduce(|text, next| text + &next);
        let stop_reason = stop_reason.as_deref().and_then(Identifier::new);
        let text = with_text(text, stop_reason.as_ref())?;
        Ok(Self { text, stop_reason, usage: usage.unwrap_or_default() })
    }

    /// Reads why the model stopped and what is billed from a body that [`parse`](Self::parse) refuses, whatever its
    /// content is.
    pub(crate) fn parse_facts(body: &[u8]) -> (Option<Identifier>, Usage) {
        #[derive(Default, Deserialize)]
        struct Facts<'a> {
            #[serde(borrow)]
            stop_reason: Option<&'a RawValue>,
            usage: Option<Usage>,
        }

        let Facts { stop_reason, usage } = serde_json::from_slice(body).unwrap_or_default();
        let stop_reason = stop_reason.and_then(string);
        (stop_reason.as_deref().and_then(Identifier::new), usage.unwrap_or_default())
    }
}

/// Returns the text of a reply that has ended, or says why it has none.
pub(crate) fn with_text(
    text: Option<String>,
    stop_reason: Option<&Identifier>,
) -> Result<String, InvalidReply> {
    match (text, stop_reason.map(Identifier::as_str)) {
        (Some(text), _) if !text.is_empty() => Ok(text),
        (_, Some("max_tokens" | "model_context_window_exceeded")) => Err(InvalidReply::MaxTokens),
        (_, Some("refusal")) => Err(InvalidReply::Refusal),
        (text, _) => text.ok_or(InvalidReply::NoText),
    }
}

impl InvalidReply {
    pub(super) fn not_json(body: &[u8], error: &serde_json::Error) -> Self {
        let fault = match error.classify() {
            Category::Eof => "end",
            Category::Data => "data",
            Category::Syntax | Category::Io => "syntax",
        };
        Self::NotJson { length: body.len(), fault, line: error.line(), column: error.column() }
    }
}
