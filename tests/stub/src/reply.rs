//! The reply in Claude's JSON. It quotes the prompt, so that a developer sees that the request
//! arrived, or does what the prompt's `script` says. It depends on nothing but the
//! request.
//!
//! Out of scope: a model. [`tokens`] counts tokens by a rule of its own.

mod content;
mod text;

use axum::body::Body;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::cache::{self, InputTokens};
use crate::converse;
use crate::error::AwsError;
use crate::messages::Messages;
use crate::{invoke, makers};

/// The header with the number of tokens of the request.
pub const INPUT_TOKEN_COUNT: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-input-token-count");

/// The header with the number of tokens of the reply.
pub const OUTPUT_TOKEN_COUNT: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-output-token-count");

/// The header with the number of tokens that were read from the prompt cache.
const CACHE_READ_TOKEN_COUNT: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-cache-read-input-token-count");

/// The header with the number of tokens that were written to the prompt cache.
const CACHE_WRITE_TOKEN_COUNT: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-cache-write-input-token-count");

/// A complete reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// `msg_bdrk_` and 24 hexadecimal digits of the SHA-256 of the request's body.
    pub id: String,
    /// Anthropic's name of the model, such as `claude-sonnet-4-20250514`.
    pub model: String,
    /// The content blocks. There is no text block if the text would begin with a stop sequence.
    pub content: Vec<Value>,
    /// `end_turn`, `max_tokens`, `stop_sequence`, `tool_use` or `refusal`.
    pub stop_reason: &'static str,
    /// The stop sequence that ended the text.
    pub stop_sequence: Option<String>,
    /// The tokens of the request.
    pub input: InputTokens,
    /// The number of tokens of the content.
    pub output_tokens: usize,
    /// Whether the request has `context_management`, whose outcome the reply reports.
    pub manages_context: bool,
    /// The form of the operation's response.
    pub form: Form,
    /// The members that Bedrock adds to the model's own.
    pub extra: Map<String, Value>,
}

/// The form in which an operation responds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Claude's JSON, with the counts of tokens in headers too.
    #[default]
    Claude,
    /// That of `Converse`, which has no such headers.
    Converse,
    /// That of a model of another maker, with the counts in headers too.
    Other(makers::Body),
}

impl Reply {
    /// Creates the reply to a valid request. `body` is its raw body, which determines the ID. The
    /// request is not cached.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException`, for a directive of the prompt that is not valid.
    pub fn new(model_id: &str, messages: &Messages, body: &[u8]) -> Result<Self, AwsError> {
        let mut id = hex::encode(Sha256::digest(body));
        id.truncate(24);
        let content = content::compose(model_id, messages, &id)?;
        Ok(Self {
            id: format!("msg_bdrk_{id}"),
            model: model_name(model_id),
            input: InputTokens::count(messages),
            output_tokens: content.tokens,
            content: content.blocks,
            stop_reason: content.stop_reason,
            stop_sequence: content.stop_sequence,
            manages_context: messages.body.contains_key("context_management"),
            form: Form::default(),
            extra: Map::new(),
        })
    }

    /// Returns the generated text, its blocks concatenated.
    pub fn text(&self) -> String {
        self.content.iter().filter_map(|block| block["text"].as_str()).collect()
    }

    /// Returns the reply in Claude's JSON.
    pub fn json(&self) -> Value {
        let mut json = json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": self.content,
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "usage": cache::usage(&self.input, self.output_tokens),
        });
        if self.manages_context {
            json["context_management"] = json!({ "applied_edits": [] });
        }
        for (key, value) in &self.extra {
            json[key] = value.clone();
        }
        json
    }

    /// Returns the body of a response.
    pub fn body(&self) -> Vec<u8> {
        self.render(&self.json())
    }

    /// Converts a reply in Claude's JSON to the body of a response.
    pub(crate) fn render(&self, json: &Value) -> Vec<u8> {
        match self.form {
            Form::Claude => json.to_string(),
            Form::Converse => converse::body(json, 0).to_string(),
            Form::Other(body) => invoke::reply(body, json).to_string(),
        }
        .into_bytes()
    }

    /// Creates a response of status 200 with the headers of this reply. `body` is its JSON, or what
    /// a fault sends in its place.
    pub fn response(&self, body: impl Into<Body>) -> Response {
        if self.form == Form::Converse {
            return ([(header::CONTENT_TYPE, "application/json")], body.into()).into_response();
        }
        let mut response = (
            [
                (header::CONTENT_TYPE, "application/json".to_owned()),
                (INPUT_TOKEN_COUNT, self.input.uncached.to_string()),
                (OUTPUT_TOKEN_COUNT, self.output_tokens.to_string()),
            ],
            body.into(),
        )
            .into_response();
        for (name, count) in [
            (CACHE_READ_TOKEN_COUNT, self.input.cache_read),
            (CACHE_WRITE_TOKEN_COUNT, self.input.written()),
        ] {
            if count > 0 {
                response.headers_mut().insert(name, count.into());
            }
        }
        response
    }
}

/// Splits a text into tokens. A token is a run of ASCII letters and digits, or a single other
/// character that is not white space. White space belongs to the token after it, or to the last
/// token, so that the concatenated tokens are the text. A blank text has no tokens.
pub fn tokens(text: &str) -> Vec<&str> {
    let mut ends: Vec<usize> = Vec::new();
    let mut in_word = false;
    for (start, character) in text.char_indices() {
        let end = start + character.len_utf8();
        let is_word = character.is_ascii_alphanumeric();
        match ends.last_mut() {
            Some(last) if is_word && in_word => *last = end,
            _ if character.is_whitespace() => {}
            _ => ends.push(end),
        }
        in_word = is_word;
    }
    if let Some(last) = ends.last_mut() {
        *last = text.len();
    }
    let mut start = 0;
    ends.into_iter().map(|end| &text[std::mem::replace(&mut start, end)..end]).collect()
}

/// Returns Anthropic's name of a model: `claude-sonnet-4-20250514` for
/// `apac.anthropic.claude-sonnet-4-20250514-v1:0`. The ARN of an application inference profile does
/// not name the model, and the result is its last part.
pub(crate) fn model_name(model_id: &str) -> String {
    let last = model_id.rsplit('/').next().unwrap_or(model_id);
    let name = last.split_once("anthropic.").map_or(last, |(_, name)| name);
    match name.rsplit_once("-v") {
        Some((model, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => {
            model.to_owned()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_word_or_another_single_character() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("nothing", "", &[]),
            ("blank", " \n\u{3000}", &[]),
            ("a word", "hello", &["hello"]),
            ("words", "hello big world", &["hello", " big", " world"]),
            ("letters and digits", "abc123", &["abc123"]),
            ("punctuation", "it's.", &["it", "'", "s", "."]),
            ("white space around", "  a  b \n", &["  a", "  b \n"]),
            ("japanese", "日本 語a", &["日", "本", " 語", "a"]),
            ("an emoji", "a😀b", &["a", "😀", "b"]),
            ("accents are not ASCII", "né", &["n", "é"]),
        ];
        for (case, text, expected) in cases {
            assert_eq!(tokens(text), *expected, "{case}");
        }
    }

    #[test]
    fn a_model_has_anthropics_name_in_the_reply() {
        let cases = [
            ("anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku-20240307"),
            ("apac.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4-20250514"),
            ("global.anthropic.claude-sonnet-4-6", "claude-sonnet-4-6"),
            (
                "arn:aws:bedrock:ap-northeast-1:123456789012:inference-profile/apac.anthropic.claude-sonnet-4-20250514-v1:0",
                "claude-sonnet-4-20250514",
            ),
            (
                "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/abc123",
                "abc123",
            ),
        ];
        for (model_id, expected) in cases {
            assert_eq!(model_name(model_id), expected, "{model_id}");
        }
    }
}
