//! Claude's reply to InvokeModel.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::block::{Block, INTERVENED, Word};
use super::text::{Joiner, RawText};
use super::usage::Usage;
use crate::aws::{error_type, named_by};
use crate::identifier::Identifier;
use crate::json::fields;

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
    /// Whether a guardrail has blocked or masked something. The text may be its message.
    pub guardrail_intervened: bool,
    /// The body, if it is passed on or remembered.
    pub(crate) json: Bytes,
}

/// A response with status 200 that is not a reply with text. Its texts quote nothing of the body, which may be generated
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
    /// The body is an error of AWS's or of Claude's API.
    #[error("an error with status 200: {}", kind.as_ref().map_or("?", Identifier::as_str))]
    Error {
        /// The type of the error, such as `ThrottlingException` or `overloaded_error`.
        kind: Option<Identifier>,
        /// The message of the error.
        message: String,
    },
    /// A message of a stream does not say what it is.
    #[error("expected a message with a type, got none")]
    NoMessageType,
    /// The bytes of a chunk are not base64.
    #[error("expected base64 in a chunk, got something else")]
    NotBase64,
    /// The response to a streaming operation is not an event stream.
    #[error("expected an event stream, got another Content-Type")]
    NotEvents,
    /// The model generated something that Bedrock cannot read, such as half a tool call.
    #[error("the model's reply is malformed")]
    Malformed,
    /// The reply has no text block.
    #[error("expected a text block in the reply, got none")]
    NoText,
    /// The reply ended at `max_tokens` before it had any text.
    #[error("the reply ended at max_tokens before any text")]
    MaxTokens,
    /// The model refused to reply.
    #[error("the model refused to reply")]
    Refusal,
    /// A guardrail intervened before the reply had any text.
    #[error("a guardrail intervened before the reply had any text")]
    Guardrail,
}

#[derive(Deserialize)]
struct Body {
    content: Option<Vec<Option<Block>>>,
    #[serde(default)]
    stop_reason: Word,
    usage: Option<Usage>,
    #[serde(rename = "amazon-bedrock-guardrailAction", default)]
    guardrail: Word,
}

impl Reply {
    /// Reads the body of an InvokeModel response with status 200.
    ///
    /// # Errors
    ///
    /// If the body is not Claude's JSON, or has no text though the model did not end the reply by itself.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidReply> {
        // serde accepts an array in place of a struct.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(InvalidReply::NoText);
        }
        let Body { content, stop_reason, usage, guardrail } =
            serde_json::from_slice(body).map_err(|error| InvalidReply::not_json(body, &error))?;
        if content.is_none()
            && let Some(error) = parse_error(body)
        {
            return Err(error);
        }
        // As a stream is joined: a character may be split across blocks.
        let mut joiner = Joiner::default();
        let texts = content.into_iter().flatten().flatten().filter_map(|block| block.0);
        let text = texts.map(|RawText(text)| joiner.push(&text)).reduce(|text, next| text + &next);
        let text = text.map(|text| text + &joiner.finish());
        let guardrail_intervened = guardrail.is_intervened() || stop_reason.is_intervened();
        let text = with_text(text, stop_reason.0.as_ref(), guardrail_intervened)?;
        let usage = usage.unwrap_or_default();
        let stop_reason = stop_reason.0;
        Ok(Self { text, stop_reason, usage, guardrail_intervened, json: Bytes::new() })
    }

    /// Reads a body that is passed on, whatever its content.
    ///
    /// # Errors
    ///
    /// If it is not Claude's message.
    pub(crate) fn pass(json: Bytes) -> Result<Self, InvalidReply> {
        let is_message = content_of(&json).is_some_and(|content| content.get().starts_with('['));
        if !is_message {
            return Err(Self::parse(&json).err().unwrap_or(InvalidReply::NoText));
        }
        let (stop_reason, usage, guardrail_intervened) = Self::parse_facts(&json);
        Ok(Self { text: String::new(), stop_reason, usage, guardrail_intervened, json })
    }

    /// Returns the content blocks of a body that is remembered: a JSON array.
    pub(crate) fn content(&self) -> &str {
        content_of(&self.json).map_or("[]", RawValue::get)
    }

    /// Keeps a body that is not a message.
    pub(crate) fn unread(json: Bytes) -> Self {
        Self {
            text: String::new(),
            stop_reason: None,
            usage: Usage::default(),
            guardrail_intervened: false,
            json,
        }
    }

    /// Returns `INTERVENED`, Bedrock's word, if a guardrail intervened.
    pub(crate) fn guardrail_action(&self) -> Option<&'static str> {
        self.guardrail_intervened.then_some(INTERVENED)
    }

    /// Reads why the model stopped, what is billed, and whether a guardrail intervened, from a body that
    /// [`parse`](Self::parse) refuses, whatever its content is.
    pub(crate) fn parse_facts(body: &[u8]) -> (Option<Identifier>, Usage, bool) {
        #[derive(Default, Deserialize)]
        struct Facts {
            #[serde(default)]
            stop_reason: Word,
            usage: Option<Usage>,
            #[serde(rename = "amazon-bedrock-guardrailAction", default)]
            guardrail: Word,
        }

        let Facts { stop_reason, usage, guardrail } =
            serde_json::from_slice(body).unwrap_or_default();
        let guardrail_intervened = guardrail.is_intervened() || stop_reason.is_intervened();
        (stop_reason.0, usage.unwrap_or_default(), guardrail_intervened)
    }
}

/// Returns the content of a body that is a message.
fn content_of(json: &[u8]) -> Option<&RawValue> {
    let [content] = fields(std::str::from_utf8(json).ok()?, ["content"]).ok()?;
    content
}

/// Returns the text of a reply that has ended, or says why it has none. The model may end a reply at once, or with a
/// stop sequence: that is an empty text.
pub(crate) fn with_text(
    text: Option<String>,
    stop_reason: Option<&Identifier>,
    guardrail_intervened: bool,
) -> Result<String, InvalidReply> {
    match (text, stop_reason.map(Identifier::as_str)) {
        (Some(text), _) if !text.is_empty() => Ok(text),
        _ if guardrail_intervened => Err(InvalidReply::Guardrail),
        (_, Some("max_tokens" | "model_context_window_exceeded")) => Err(InvalidReply::MaxTokens),
        (_, Some("refusal")) => Err(InvalidReply::Refusal),
        (_, Some("end_turn" | "stop_sequence")) => Ok(String::new()),
        (text, _) => text.ok_or(InvalidReply::NoText),
    }
}

/// Reads the error that came in place of a reply: `{"message"}` or `{"__type", "message"}` of AWS's services, the same
/// inside `Output` for an unknown operation, or `{"type": "error", "error": {"type", "message"}}` of Claude's API.
fn parse_error(body: &[u8]) -> Option<InvalidReply> {
    fn text<'a>(json: &'a Value, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| json.get(name)?.as_str())
    }
    let json: Value = serde_json::from_slice(body).ok()?;
    let (error, types): (_, &[&str]) = match (json.get("error"), json.get("Output")) {
        (Some(error), _) => (error, &["type", "__type", "code"]),
        (None, Some(output)) => (output, &["__type"]),
        (None, None) => (&json, &["__type", "code", "type"]),
    };
    // Replies have these types, too.
    let kind = text(error, types).filter(|kind| !["message", "error"].contains(kind));
    let message = error.as_str().or_else(|| text(error, &["message", "Message"]));
    let named = || named_by(message.unwrap_or_default());
    let is_error = kind.is_some() || message.is_some() || !std::ptr::eq(error, &json);
    is_error.then(|| InvalidReply::Error {
        kind: kind.and_then(error_type).or_else(named),
        message: message.unwrap_or_default().to_owned(),
    })
}

impl InvalidReply {
    pub(crate) fn not_json(body: &[u8], error: &serde_json::Error) -> Self {
        let fault = match error.classify() {
            Category::Eof => "end",
            Category::Data => "data",
            Category::Syntax | Category::Io => "syntax",
        };
        Self::NotJson { length: body.len(), fault, line: error.line(), column: error.column() }
    }
}
