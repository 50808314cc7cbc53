//! An event's body, validated: the only place that says 4xx about a body.
//!
//! Out of scope: methods, paths and headers ([`handler`](crate::handler)).

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::config::Config;
use crate::error::{Code, Error};

/// The article's, for a body without a prompt.
const DEFAULT_PROMPT: &str = "Hello, how can I help you?";

/// Deeper than any of the fields is, and than any honest body.
const MAX_DEPTH: usize = 64;

/// What the caller asks for, within what the configuration allows. It borrows from the body.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Request<'a> {
    /// `prompt`: a text that is not blank.
    pub prompt: Cow<'a, str>,
    /// `max_tokens`: from 1 to `MAX_TOKENS`, which is also the default.
    pub max_tokens: u32,
    /// `temperature`: from 0 to 1, by default `TEMPERATURE`. `None`: not sent.
    pub temperature: Option<f64>,
    /// `system`: a system prompt that is not blank.
    pub system: Option<Cow<'a, str>>,
    /// `stop_sequences`: texts that are not blank.
    pub stop_sequences: Vec<Cow<'a, str>>,
    /// `model`: `BEDROCK_MODEL_ID` or one of `ALLOWED_MODELS`. `None`: the former.
    pub model: Option<Cow<'a, str>>,
    /// `stream`: whether the answer is to come in pieces.
    pub stream: bool,
}

impl<'a> Request<'a> {
    /// A request for a prompt of one's own, which is not blank, with the configuration's defaults.
    ///
    /// ```
    /// # use bedrock_edge::{Config, Request};
    /// # let config = Config::from_vars(|name| Some(match name {
    /// #     "AWS_BEARER_TOKEN_BEDROCK" => "example".to_owned(),
    /// #     _ => return None,
    /// # })).unwrap();
    /// let mut request = Request::new("Write a haiku about rain.", &config);
    /// request.system = Some("You are Bashō.".into());
    /// assert_eq!(request.max_tokens, config.max_tokens);
    /// ```
    pub fn new(prompt: impl Into<Cow<'a, str>>, config: &Config) -> Self {
        Self {
            prompt: prompt.into(),
            max_tokens: config.max_tokens,
            temperature: config.temperature,
            system: None,
            stop_sequences: Vec::new(),
            model: None,
            stream: false,
        }
    }

    /// Reads a body: a JSON object, or nothing at all. Keys that are not ours are ignored.
    ///
    /// ```
    /// # use bedrock_edge::{Config, Request};
    /// # let config = Config::from_vars(|name| Some(match name {
    /// #     "AWS_BEARER_TOKEN_BEDROCK" => "example".to_owned(),
    /// #     _ => return None,
    /// # })).unwrap();
    /// let request = Request::parse(r#"{"prompt": "こんにちは", "max_tokens": 20}"#.as_bytes(), &config)?;
    /// assert_eq!((&*request.prompt, request.max_tokens), ("こんにちは", 20));
    ///
    /// let error = Request::parse(br#"{"prompt": 1}"#, &config).unwrap_err();
    /// assert_eq!(error.message, "prompt must be a string");
    /// # Ok::<(), bedrock_edge::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`], with a message that names the field and says what it must be, and
    /// [`Code::ModelNotAllowed`].
    pub fn parse(body: &'a [u8], config: &Config) -> Result<Self, Error> {
        let text = std::str::from_utf8(body).map_err(|error| {
            invalid(format!("the body is not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        // RFC 8259 lets a parser ignore a byte order mark, and some editors write one.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let fields = if text.trim().is_empty() { Fields::default() } else { Fields::parse(text)? };
        fields.validate(config)
    }

    /// The same without the body that it borrows from.
    pub fn into_owned(self) -> Request<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Request {
            prompt: owned(self.prompt),
            system: self.system.map(owned),
            stop_sequences: self.stop_sequences.into_iter().map(owned).collect(),
            model: self.model.map(owned),
            ..self
        }
    }
}

/// The fields as they are in the body, so that each can be told apart when it is wrong.
#[derive(Default)]
struct Fields<'a> {
    prompt: Option<&'a RawValue>,
    max_tokens: Option<&'a RawValue>,
    temperature: Option<&'a RawValue>,
    system: Option<&'a RawValue>,
    stop_sequences: Option<&'a RawValue>,
    model: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Result<Self, Error> {
        let Members(members) = serde_json::from_str(text).map_err(|error| {
            invalid(match error.classify() {
                Category::Data => "the body must be a JSON object".to_owned(),
                _ => format!("the body is not JSON: {error}"),
            })
        })?;
        let mut fields = Self::default();
        for (name, value) in members {
            if depth(value.get()) > MAX_DEPTH {
                let name: String = name.chars().take(64).collect();
                return Err(invalid(format!("{name} is nested too deeply")));
            }
            let field = match &*name {
                "prompt" => &mut fields.prompt,
                "max_tokens" => &mut fields.max_tokens,
                "temperature" => &mut fields.temperature,
                "system" => &mut fields.system,
                "stop_sequences" => &mut fields.stop_sequences,
                "model" => &mut fields.model,
                "stream" => &mut fields.stream,
                _ => continue,
            };
            // Which of the two counts is where parsers differ.
            if field.replace(value).is_some() {
                return Err(invalid(format!("{name} is there twice")));
            }
        }
        Ok(fields)
    }

    fn validate(self, config: &Config) -> Result<Request<'a>, Error> {
        let prompt = match self.prompt {
            Some(json) => text("prompt", json)?,
            None => Cow::Borrowed(DEFAULT_PROMPT),
        };
        let max_tokens = match self.max_tokens {
            None => config.max_tokens,
            Some(json) => serde_json::from_str(json.get())
                .ok()
                .filter(|number| (1..=config.max_tokens).contains(number))
                .ok_or_else(|| {
                    let most = config.max_tokens;
                    invalid(format!("max_tokens must be a whole number from 1 to {most}"))
                })?,
        };
        let temperature = match self.temperature {
            None => config.temperature,
            Some(json) => serde_json::from_str(json.get())
                .ok()
                .filter(|number| (0.0..=1.0).contains(number))
                .map(Some)
                .ok_or_else(|| invalid("temperature must be a number from 0 to 1"))?,
        };
        let system = self.system.map(|json| text("system", json)).transpose()?;
        let stop_sequences = match self.stop_sequences {
            None => Vec::new(),
            Some(json) => serde_json::from_str::<Vec<&RawValue>>(json.get())
                .map_err(|_| invalid("stop_sequences must be an array of strings"))?
                .into_iter()
                .enumerate()
                .map(|(index, json)| text(format_args!("stop_sequences[{index}]"), json))
                .collect::<Result<_, _>>()?,
        };
        let model = self.model.map(|json| text("model", json)).transpose()?;
        if config.find_model(model.as_deref()).is_none() {
            // Which ones are is nobody's business: an ARN holds the account.
            let message = "model is not one that may be used here; without it there is a default";
            return Err(Error::new(Code::ModelNotAllowed, message));
        }
        let stream = match self.stream {
            None => false,
            Some(json) => serde_json::from_str(json.get())
                .map_err(|_| invalid("stream must be true or false"))?,
        };
        Ok(Request { prompt, max_tokens, temperature, system, stop_sequences, model, stream })
    }
}

/// A string, borrowed where it has no escapes.
pub(crate) fn string(json: &RawValue) -> Option<Cow<'_, str>> {
    let text = json.get().strip_prefix('"')?.strip_suffix('"')?;
    if is_plain(text) {
        return Some(Cow::Borrowed(text));
    }
    serde_json::from_str(json.get()).ok().map(Cow::Owned)
}

/// Whether a valid JSON string is what is between its quotation marks. memchr looks at 16 bytes at a time,
/// the standard library at 8.
fn is_plain(text: &str) -> bool {
    memchr::memchr(b'\\', text.as_bytes()).is_none()
}

/// A string that is not blank, borrowed where it has no escapes.
fn text<'a>(field: impl fmt::Display, json: &'a RawValue) -> Result<Cow<'a, str>, Error> {
    let Some(quoted) = json.get().strip_prefix('"') else {
        return Err(invalid(format!("{field} must be a string")));
    };
    let text = match quoted.strip_suffix('"') {
        // To parse it once more was 3 % of the time of a request with a long prompt.
        Some(text) if is_plain(text) => Cow::Borrowed(text),
        _ => serde_json::from_str(json.get()).map(Cow::Owned).map_err(|error| {
            invalid(format!("{field} is not a valid string: {}", plain(&error)))
        })?,
    };
    if text.trim().is_empty() {
        return Err(invalid(format!("{field} must not be blank")));
    }
    Ok(text)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidRequest, message)
}

/// serde_json's words without the position, which is one within the field.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(words, _)| words).to_owned()
}

/// How deep arrays and objects are nested in a valid JSON text. Counted without recursion.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    if !json.starts_with(['[', '{']) {
        return 0;
    }
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A JSON object as it is written: in order, with keys that stand there twice, values unread.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests;
