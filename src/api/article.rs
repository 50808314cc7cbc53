//! The Lambda's own interface: a JSON body in, an envelope out, over HTTP and as a Lambda event.
//!
//! Its body is also the message of a WebSocket and the argument of the RPC method, so only this module refuses one.
//!
//! Out of scope: methods, paths and headers ([`server`](crate::server)).

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::envelope::{Envelope, build_response};
use super::interface::{Context, Interface, RenderError, error_headers};
use super::stream_event::StreamEvent;
use crate::claude::{Feature, Messages, Reply, Request, SessionName};
use crate::config::Config;
use crate::error::{Code, Error};
use crate::json::{Members, depth, non_blank_text, string};
use crate::log::Record;
use crate::sessions::is_id;

/// The Lambda's prompt for a body without one.
const DEFAULT_PROMPT: &str = "Hello, how can I help you?";

/// The members of a body, in the order of the reference.
const FIELDS: [&str; 9] = [
    "prompt",
    "messages",
    "max_tokens",
    "temperature",
    "system",
    "stop_sequences",
    "model",
    "stream",
    "session",
];

/// The members of the events that EventBridge and its schedulers send to a Lambda without an input of its own.
///
/// <https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html>
const EVENT_FIELDS: [&str; 9] =
    ["version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"];

/// Deeper than any field, and than any honest body.
const MAX_DEPTH: usize = 64;

/// The Lambda's interface.
pub(crate) struct Article;

impl RenderError for Article {
    fn render_error(&self, prompt: &str, error: &Error, _: &Record) -> Envelope {
        let status = error.code.status().as_u16();
        let mut envelope = build_response(prompt, &format!("Error: {error}"), status);
        error_headers(error, &mut envelope);
        envelope
    }
}

impl Interface for Article {
    fn parse<'a>(
        &self,
        body: &'a mut Bytes,
        context: &Context<'_>,
        _: &mut Record,
    ) -> Result<Request<'a>, Error> {
        parse(body, context.config)
    }

    fn render_reply(&self, request: &Request<'_>, reply: &Reply, _: &Record) -> Envelope {
        build_response(request.prompt(), &reply.text, 200)
    }

    fn encode_event(&self, event: &StreamEvent, _: &Record, out: &mut Vec<u8>) {
        event.write_sse(out);
    }
}

/// Parses a body: a JSON object, or nothing at all. A member that is `null` counts as absent.
///
/// Unknown members are ignored beside a prompt. Without one they mean that the body is of some other kind, which is
/// refused: the default prompt is billed.
///
/// # Errors
///
/// [`Code::InvalidRequest`], with a message that names the member and says what it must be, and
/// [`Code::ModelNotAllowed`].
pub fn parse<'a>(body: &'a [u8], config: &Config) -> Result<Request<'a>, Error> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Error::invalid(format!("the body is not UTF-8 at byte {}", error.valid_up_to()))
    })?;
    // RFC 8259 lets a parser ignore a byte order mark, and some editors write one.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let fields = if text.trim().is_empty() { Fields::default() } else { Fields::parse(text)? };
    fields.validate(config)
}

/// The known members of a body, raw, so that a message can name the wrong one.
#[derive(Default)]
struct Fields<'a> {
    prompt: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
    max_tokens: Option<&'a RawValue>,
    temperature: Option<&'a RawValue>,
    system: Option<&'a RawValue>,
    stop_sequences: Option<&'a RawValue>,
    model: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    session: Option<&'a RawValue>,
    /// The name of the first member that neither this interface nor a scheduler's event has.
    unknown: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Result<Self, Error> {
        let Members(members) = serde_json::from_str(text).map_err(|error| {
            Error::invalid(match error.classify() {
                Category::Data => "the body must be a JSON object".to_owned(),
                _ => format!("the body is not JSON: {error}"),
            })
        })?;
        let mut fields = Self::default();
        for (name, value) in members {
            if depth(value.get()) > MAX_DEPTH {
                let name: String = name.chars().take(64).collect();
                return Err(Error::invalid(format!("{name} is nested too deeply")));
            }
            let field = match &*name {
                "prompt" => &mut fields.prompt,
                "messages" => &mut fields.messages,
                "max_tokens" => &mut fields.max_tokens,
                "temperature" => &mut fields.temperature,
                "system" => &mut fields.system,
                "stop_sequences" => &mut fields.stop_sequences,
                "model" => &mut fields.model,
                "stream" => &mut fields.stream,
                "session" => &mut fields.session,
                name => {
                    if fields.unknown.is_none() && !EVENT_FIELDS.contains(&name) {
                        fields.unknown = Some(name.to_owned().into());
                    }
                    continue;
                }
            };
            // Parsers differ in which of two members counts.
            if field.replace(value).is_some() {
                return Err(Error::invalid(format!("{name} is there twice")));
            }
        }
        Ok(Self {
            prompt: present(fields.prompt),
            messages: present(fields.messages),
            max_tokens: present(fields.max_tokens),
            temperature: present(fields.temperature),
            system: present(fields.system),
            stop_sequences: present(fields.stop_sequences),
            model: present(fields.model),
            stream: present(fields.stream),
            session: present(fields.session),
            unknown: fields.unknown,
        })
    }

    fn validate(self, config: &Config) -> Result<Request<'a>, Error> {
        let messages = match (self.prompt, self.messages) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid(
                    "prompt and messages exclude each other: send one of them",
                ));
            }
            (None, Some(json)) => Messages::parse(json).map_err(Error::invalid)?,
            (Some(json), None) => Messages::Prompt(text("prompt", json)?),
            (None, None) => match self.unknown {
                None => Messages::Prompt(Cow::Borrowed(DEFAULT_PROMPT)),
                Some(name) => {
                    let name: String = name.chars().take(64).collect();
                    return Err(Error::invalid(format!(
                        "the body has no prompt and no messages, but the unknown member {name:?}: the known members are {}",
                        FIELDS.join(", ")
                    )));
                }
            },
        };
        let max_tokens = match self.max_tokens {
            None => config.max_tokens,
            Some(json) => serde_json::from_str(json.get())
                .ok()
                .filter(|number| (1..=config.max_tokens).contains(number))
                .ok_or_else(|| {
                    let most = config.max_tokens;
                    Error::invalid(format!("max_tokens must be a whole number from 1 to {most}"))
                })?,
        };
        let temperature = match self.temperature {
            None => None,
            Some(json) => serde_json::from_str(json.get())
                .ok()
                .filter(|number| (0.0..=1.0).contains(number))
                .map(Some)
                .ok_or_else(|| Error::invalid("temperature must be a number from 0 to 1"))?,
        };
        let system = self.system.map(|json| text("system", json)).transpose()?;
        let stop_sequences = match self.stop_sequences {
            None => Vec::new(),
            Some(json) => serde_json::from_str::<Vec<&RawValue>>(json.get())
                .map_err(|_| Error::invalid("stop_sequences must be an array of strings"))?
                .into_iter()
                .enumerate()
                .map(|(index, json)| text(format_args!("stop_sequences[{index}]"), json))
                .collect::<Result<_, _>>()?,
        };
        let model = self.model.map(|json| text("model", json)).transpose()?;
        let stream = match self.stream {
            None => None,
            Some(json) => serde_json::from_str(json.get())
                .map(Some)
                .map_err(|_| Error::invalid("stream must be true or false"))?,
        };
        let session = self.session.map(session_name).transpose()?;
        let mut request = Request::from_messages(messages, max_tokens);
        request.temperature = temperature;
        request.system = system;
        request.stop_sequences = stop_sequences;
        request.model = model;
        request.stream = stream;
        request.session = session;
        check_model(&request, config)?;
        Ok(request)
    }
}

/// Checks that callers may use the model, and that it takes what the request has.
fn check_model(request: &Request<'_>, config: &Config) -> Result<(), Error> {
    let Some(endpoint) = config.find_model(request.model.as_deref()) else {
        // It does not say which ones they may use: an ARN contains the account.
        let message = "model is not one that may be used here; without it there is a default";
        return Err(Error::new(Code::ModelNotAllowed, message));
    };
    let Some(model) = endpoint.model else { return Ok(()) };
    if request.temperature.is_some() && model.refuses(Feature::Sampling) {
        let message = format!("temperature is not taken by {}: leave it out", model.name);
        return Err(Error::invalid(message));
    }
    match request.messages.prefill() {
        Some(last) if model.refuses(Feature::Prefill) => Err(Error::invalid(format!(
            "messages[{last}].role must be \"user\": {} does not continue a message of the assistant",
            model.name
        ))),
        _ => Ok(()),
    }
}

fn session_name(json: &RawValue) -> Result<SessionName<'_>, Error> {
    match string(json).filter(|id| is_id(id)) {
        Some(id) => Ok(SessionName::Id(id)),
        None if json.get() == "true" => Ok(SessionName::New),
        None => Err(Error::invalid(
            "session must be true, or an id of 1 to 128 letters, digits, - and _",
        )),
    }
}

/// Takes `null` for absent, as clients serialize an optional field.
fn present(json: Option<&RawValue>) -> Option<&RawValue> {
    json.filter(|json| json.get() != "null")
}

fn text<'a>(field: impl std::fmt::Display, json: &'a RawValue) -> Result<Cow<'a, str>, Error> {
    non_blank_text(field, json).map_err(Error::invalid)
}

#[cfg(test)]
mod tests;
