//! The reply in Claude's JSON. It quotes the prompt, so that a developer sees that the request
//! arrived, and depends on nothing but the request.
//!
//! Out of scope: a model. [`tokens`] counts tokens by a rule of its own.

use axum::body::Body;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::messages::Messages;

/// The header with the number of tokens of the request.
pub const INPUT_TOKEN_COUNT: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-input-token-count");

/// The header with the number of tokens of the reply.
pub const OUTPUT_TOKEN_COUNT: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-output-token-count");

/// The number of characters of the prompt that the reply quotes.
const QUOTED_OF_PROMPT: usize = 60;

/// The number of characters of the system prompt that the reply quotes.
const QUOTED_OF_SYSTEM: usize = 20;

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `msg_bdrk_` and 24 hexadecimal digits of the SHA-256 of the request's body.
    pub id: String,
    /// Anthropic's name of the model, such as `claude-sonnet-4-20250514`.
    pub model: String,
    /// The generated text. It is empty if it would begin with a stop sequence.
    pub text: String,
    /// `end_turn`, `max_tokens` or `stop_sequence`.
    pub stop_reason: &'static str,
    /// The stop sequence that ended the text.
    pub stop_sequence: Option<String>,
    /// The number of tokens of all texts of the request.
    pub input_tokens: usize,
    /// The number of tokens of `text`.
    pub output_tokens: usize,
}

impl Reply {
    /// Creates the reply to a valid request. `body` is its raw body, which determines the ID.
    pub fn new(model_id: &str, messages: &Messages, body: &[u8]) -> Self {
        let mut id = hex::encode(Sha256::digest(body));
        id.truncate(24);
        let (text, stop_reason, stop_sequence) =
            truncate(&full_text(messages), messages.max_tokens, &messages.stop_sequences);
        Self {
            id: format!("msg_bdrk_{id}"),
            model: model_name(model_id),
            input_tokens: messages.texts.iter().map(|text| tokens(text).len()).sum(),
            output_tokens: tokens(&text).len(),
            text,
            stop_reason,
            stop_sequence,
        }
    }

    /// Returns the reply in Claude's JSON. An empty text has no text block.
    pub fn json(&self) -> Value {
        let content = if self.text.is_empty() {
            json!([])
        } else {
            json!([{ "type": "text", "text": self.text }])
        };
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "usage": {
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
            },
        })
    }

    /// Creates a response of status 200 with the headers of this reply. `body` is its JSON, or what
    /// a fault sends in its place.
    pub fn response(&self, body: impl Into<Body>) -> Response {
        (
            [
                (header::CONTENT_TYPE, "application/json".to_owned()),
                (INPUT_TOKEN_COUNT, self.input_tokens.to_string()),
                (OUTPUT_TOKEN_COUNT, self.output_tokens.to_string()),
            ],
            body.into(),
        )
            .into_response()
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

fn full_text(messages: &Messages) -> String {
    let quote = excerpt(&messages.prompt, QUOTED_OF_PROMPT);
    let characters = messages.prompt.chars().count();
    let system = messages.system.as_deref().map(|system| excerpt(system.trim(), QUOTED_OF_SYSTEM));
    if messages.prompt.chars().any(is_japanese) {
        let system = system.map_or(String::new(), |system| format!("システム: 「{system}」。"));
        format!(
            "「{quote}」と受け取りました({characters} 文字)。{system}これは Bedrock の代役です。"
        )
    } else {
        let system = system.map_or(String::new(), |system| format!(" System: \"{system}\"."));
        format!(
            "You said: \"{quote}\" ({characters} characters).{system} This is the Bedrock stand-in."
        )
    }
}

/// Tells whether a character is kana (half-width kana too) or kanji.
fn is_japanese(character: char) -> bool {
    matches!(
        character,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ff66}'..='\u{ff9f}'
    )
}

fn excerpt(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Truncates a text before the first stop sequence or after `max_tokens`, whichever comes first.
/// Returns the text, the stop reason, and the stop sequence.
fn truncate(
    text: &str,
    max_tokens: u64,
    stop_sequences: &[String],
) -> (String, &'static str, Option<String>) {
    let stop = stop_sequences
        .iter()
        .filter_map(|sequence| Some((text.find(sequence.as_str())?, sequence)))
        .min_by_key(|(position, _)| *position);
    let until_stop = stop.map_or(text, |(position, _)| &text[..position]);
    let tokens = tokens(until_stop);
    let max_tokens = usize::try_from(max_tokens).unwrap_or(usize::MAX);
    match tokens.get(..max_tokens) {
        Some(kept) if kept.len() < tokens.len() => (kept.concat(), "max_tokens", None),
        _ => match stop {
            Some((_, sequence)) => (until_stop.to_owned(), "stop_sequence", Some(sequence.clone())),
            None => (text.to_owned(), "end_turn", None),
        },
    }
}

/// Returns Anthropic's name of a model: `claude-sonnet-4-20250514` for
/// `apac.anthropic.claude-sonnet-4-20250514-v1:0`. The ARN of an application inference profile does
/// not name the model, and the result is its last part.
fn model_name(model_id: &str) -> String {
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
    fn a_text_ends_before_a_stop_sequence_or_after_max_tokens() {
        /// Case, `max_tokens`, stop sequences; expected text, stop reason, stop sequence.
        type Row = (
            &'static str,
            u64,
            &'static [&'static str],
            &'static str,
            &'static str,
            Option<&'static str>,
        );
        const TEXT: &str = "one two, three";
        let cases: &[Row] = &[
            ("enough tokens", 4, &[], TEXT, "end_turn", None),
            ("one too few", 3, &[], "one two,", "max_tokens", None),
            ("one", 1, &[], "one", "max_tokens", None),
            ("more than fits", u64::MAX, &[], TEXT, "end_turn", None),
            ("stop", 9, &[","], "one two", "stop_sequence", Some(",")),
            ("first stop wins", 9, &["three", "two"], "one ", "stop_sequence", Some("two")),
            ("stop at the start", 9, &["one"], "", "stop_sequence", Some("one")),
            ("stop beyond the limit", 1, &["three"], "one", "max_tokens", None),
            ("stop that is not there", 9, &["four"], TEXT, "end_turn", None),
        ];
        for (case, max_tokens, stop_sequences, expected, reason, sequence) in cases {
            let stop_sequences: Vec<String> =
                stop_sequences.iter().map(ToString::to_string).collect();
            assert_eq!(
                truncate(TEXT, *max_tokens, &stop_sequences),
                ((*expected).to_owned(), *reason, sequence.map(str::to_owned)),
                "{case}"
            );
        }
    }

    #[test]
    fn the_reply_quotes_the_prompt_in_its_language() {
        let long = "あ".repeat(61);
        let reply_to_long = format!(
            "「{}…」と受け取りました(61 文字)。これは Bedrock の代役です。",
            "あ".repeat(60)
        );
        let cases: &[(&str, &str, Option<&str>, &str)] = &[
            (
                "english",
                "Hi",
                None,
                "You said: \"Hi\" (2 characters). This is the Bedrock stand-in.",
            ),
            (
                "with a system prompt",
                "Hi",
                Some("Be brief."),
                "You said: \"Hi\" (2 characters). System: \"Be brief.\". This is the Bedrock stand-in.",
            ),
            (
                "japanese",
                "今日は",
                Some("簡潔に"),
                "「今日は」と受け取りました(3 文字)。システム: 「簡潔に」。これは Bedrock の代役です。",
            ),
            ("long", &long, None, &reply_to_long),
        ];
        for (case, prompt, system, expected) in cases {
            let messages = Messages {
                prompt: (*prompt).to_owned(),
                system: system.map(str::to_owned),
                max_tokens: 1,
                stop_sequences: Vec::new(),
                texts: Vec::new(),
                sampling_parameter: None,
                is_prefilled: false,
            };
            assert_eq!(full_text(&messages), *expected, "{case}");
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
