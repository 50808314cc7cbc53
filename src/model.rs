//! Claude's JSON on Bedrock, in both directions.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html>
//!
//! Out of scope: other models' formats, tools, images, conversations.

use std::borrow::Cow;

use serde::de::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::error::Category;

use crate::json::write_string;
use crate::log::Token;
use crate::request::Request;
use crate::stream::text::RawText;

/// The body of InvokeModel. Fields without a value are not sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Payload<'a> {
    /// The version of this format.
    pub anthropic_version: &'static str,
    /// One message, from the user.
    pub messages: [Message<'a>; 1],
    /// The most that may be generated, in tokens.
    pub max_tokens: u32,
    /// 0 is deterministic, 1 is varied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The system prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<&'a str>,
    /// Texts that end the answer.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub stop_sequences: &'a [Cow<'a, str>],
}

/// A turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message<'a> {
    /// `user`.
    pub role: &'static str,
    /// The prompt.
    pub content: &'a str,
}

impl Payload<'_> {
    /// As `serde_json` writes it.
    ///
    /// # Errors
    ///
    /// Where `serde_json` has one, which it does not for strings and numbers.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        const EMPTY: &str = r#""content":"""#;
        let [Message { role, content }] = self.messages;
        let without = Self { messages: [Message { role, content: "" }], ..self.clone() };
        let json = serde_json::to_string(&without)?;
        // It is found only where it is meant: in a string its quotation marks would be escaped.
        let (head, tail) = json.split_once(EMPTY).unwrap_or((&json, ""));
        let mut out = String::with_capacity(json.len() + content.len() + content.len() / 16);
        out.push_str(head);
        out.push_str(r#""content":"#);
        write_string(&mut out, content);
        out.push_str(tail);
        Ok(out)
    }
}

/// Puts a request into Claude's form.
pub fn build_payload<'a>(request: &'a Request<'_>) -> Payload<'a> {
    Payload {
        anthropic_version: "bedrock-2023-05-31",
        messages: [Message { role: "user", content: &request.prompt }],
        max_tokens: request.max_tokens,
        temperature: request.temperature,
        system: request.system.as_deref(),
        stop_sequences: &request.stop_sequences,
    }
}

/// What of Claude's answer matters here.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reply {
    /// All text blocks, joined. Thinking, tool calls and block types to come are passed over.
    pub text: String,
    /// Why the model stopped.
    pub stop_reason: Option<Token>,
    /// What the call is billed by.
    pub usage: Usage,
}

/// Numbers of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Of the prompt.
    pub input_tokens: Option<u64>,
    /// Of the answer.
    pub output_tokens: Option<u64>,
    /// Of the prompt, read from Bedrock's cache, and not among the above.
    #[serde(skip_serializing_if = "is_nothing")]
    pub cache_read_input_tokens: Option<u64>,
    /// Of the prompt, written to Bedrock's cache, and not among the above.
    #[serde(skip_serializing_if = "is_nothing")]
    pub cache_creation_input_tokens: Option<u64>,
}

impl Usage {
    /// A stream tells its numbers in parts, and each part again when it has grown.
    pub(crate) fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cache_read_input_tokens =
            later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
    }
}

impl Usage {
    /// Of an answer that has no text in it, and is billed all the same.
    pub(crate) fn of(body: &[u8]) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let number = |name| json.get("usage")?.get(name)?.as_u64();
        Self {
            input_tokens: number("input_tokens"),
            output_tokens: number("output_tokens"),
            cache_read_input_tokens: number("cache_read_input_tokens"),
            cache_creation_input_tokens: number("cache_creation_input_tokens"),
        }
    }
}

/// Without caching, Bedrock tells zeros or nothing.
pub(crate) fn is_nothing(tokens: &Option<u64>) -> bool {
    matches!(tokens, None | Some(0))
}

/// A body of status 200 that is not an answer of Claude's. It quotes nothing of the body, which
/// may be an answer all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReply {
    /// It is empty, not JSON, cut off, or not of Claude's form.
    #[error("the body of {length} bytes is not Claude's JSON: {fault} at {line}:{column}")]
    NotJson {
        /// Of the body, in bytes.
        length: usize,
        /// `syntax`, `data` (JSON of another form) or `end` (cut off).
        fault: &'static str,
        /// Where, counted from 1.
        line: usize,
        /// Where in the line, in bytes, counted from 1.
        column: usize,
    },
    /// It is an error that Bedrock sent with status 200, as it does for an unknown operation.
    #[error("an error with status 200: {}", .0.as_ref().map_or("?", Token::as_str))]
    Error(Option<Token>),
    /// A message of a stream that does not say what it is.
    #[error("a message without a type")]
    NoMessageType,
    /// A chunk of a stream whose bytes are not base64.
    #[error("a chunk that is not base64")]
    NotBase64,
    /// A whole answer in the place of a stream.
    #[error("an answer that is not an event stream")]
    NotEvents,
    /// It has no block of text.
    #[error("no block of text")]
    NoText,
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
    /// Reads the body of an InvokeModel answer of status 200.
    ///
    /// # Errors
    ///
    /// Where it is not Claude's JSON or has no text block. An empty text block is an answer: the
    /// model may stop at once.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidReply> {
        // serde takes an array for a struct too.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(InvalidReply::NoText);
        }
        let Body { content, stop_reason, usage, output } =
            serde_json::from_slice(body).map_err(|error| InvalidReply::not_json(body, &error))?;
        if let Some(output) = output {
            return Err(InvalidReply::Error(error_type(&output.kind)));
        }
        content
            .into_iter()
            .filter(|block| block.kind == "text")
            .filter_map(|block| block.text)
            .reduce(|text, next| text + &next)
            .map(|text| Self {
                text,
                stop_reason: stop_reason.as_deref().and_then(Token::new),
                usage: usage.unwrap_or_default(),
            })
            .ok_or(InvalidReply::NoText)
    }
}

/// What of an event of Claude's stream matters here.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum Delta {
    /// `message_start`.
    Start(Usage),
    /// A piece of text, from a block's start or its deltas.
    Text(RawText),
    /// `message_delta`: why the model stopped, and what the answer is billed by.
    Stop { reason: Option<Token>, usage: Usage },
    /// `message_stop`: the answer is whole.
    End,
    /// `error`, as Claude's own API has it: the answer is broken off.
    Error { kind: Option<Token>, message: String },
    /// Thinking, tool input, pings, and what is to come.
    Other,
}

impl Delta {
    /// Reads one event.
    ///
    /// # Errors
    ///
    /// Where it is not JSON, or an event that is known has another form.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, InvalidReply> {
        /// A piece of text, as nearly all events are: read in one pass, where the rest take up to three.
        #[derive(Deserialize)]
        struct Piece<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            #[serde(borrow)]
            delta: TextDelta<'a>,
        }
        #[derive(Deserialize)]
        struct TextDelta<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            text: RawText,
        }
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(rename = "type", borrow, default)]
            kind: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct Event<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct MessageStart {
            message: Start,
        }
        #[derive(Deserialize)]
        struct Start {
            usage: Option<Usage>,
        }
        /// `content_block_start` and `content_block_delta`.
        #[derive(Deserialize)]
        struct Content<T> {
            #[serde(alias = "content_block")]
            delta: T,
        }
        #[derive(Deserialize)]
        struct Text {
            #[serde(default)]
            text: RawText,
        }
        #[derive(Deserialize)]
        struct MessageDelta {
            delta: Stop,
            usage: Option<Usage>,
        }
        #[derive(Deserialize)]
        struct Stop {
            stop_reason: Option<String>,
        }
        #[derive(Deserialize)]
        struct Failure {
            error: Fault,
        }
        #[derive(Deserialize)]
        struct Fault {
            #[serde(rename = "type", default)]
            kind: String,
            #[serde(default)]
            message: String,
        }

        if json.starts_with(b"{")
            && let Ok(Piece { kind, delta }) = serde_json::from_slice(json)
            && (&*kind, &*delta.kind) == ("content_block_delta", "text_delta")
        {
            return Ok(Self::Text(delta.text));
        }
        // The type first: what is not for the reader may have any form.
        Ok(match &*object::<Event>(json)?.kind {
            "message_start" => {
                Self::Start(object::<MessageStart>(json)?.message.usage.unwrap_or_default())
            }
            "content_block_start" | "content_block_delta" => {
                match &*object::<Content<Typed>>(json)?.delta.kind {
                    "text" | "text_delta" => Self::Text(object::<Content<Text>>(json)?.delta.text),
                    _ => Self::Other,
                }
            }
            "message_delta" => {
                let MessageDelta { delta, usage } = object(json)?;
                let reason = delta.stop_reason.as_deref().and_then(Token::new);
                Self::Stop { reason, usage: usage.unwrap_or_default() }
            }
            "message_stop" => Self::End,
            "error" => {
                let Fault { kind, message } = object::<Failure>(json)?.error;
                Self::Error { kind: error_type(&kind), message }
            }
            _ => Self::Other,
        })
    }
}

/// Reads a JSON object. serde takes an array for a struct too.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, InvalidReply> {
    let is_array = json.trim_ascii_start().starts_with(b"[");
    let result =
        if is_array { Err(Error::custom("an array")) } else { serde_json::from_slice(json) };
    result.map_err(|error| InvalidReply::not_json(json, &error))
}

impl InvalidReply {
    fn not_json(body: &[u8], error: &serde_json::Error) -> Self {
        let fault = match error.classify() {
            Category::Eof => "end",
            Category::Data => "data",
            Category::Syntax | Category::Io => "syntax",
        };
        Self::NotJson { length: body.len(), fault, line: error.line(), column: error.column() }
    }
}

/// The name of an AWS error: what stands between a namespace's `#` and a URL's `:` in
/// `x-amzn-errortype` (`ThrottlingException:http://internal.amazon.com/…`) and in `__type`
/// (`com.amazon.coral.service#ThrottlingException`).
///
/// <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization>
pub(crate) fn error_type(text: &str) -> Option<Token> {
    let text = text.split_once(':').map_or(text, |(name, _)| name);
    Token::new(text.rsplit_once('#').map_or(text, |(_, name)| name).trim())
}

#[cfg(test)]
mod tests;
