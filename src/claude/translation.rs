//! A body of Anthropic's Messages API, translated for Bedrock.
//!
//! A rule touches a member; all other bytes stay the caller's, because prompt caches and signed thinking depend on them.
//! The same body always gives the same translation. What Bedrock would refuse and clients send by habit is removed and
//! told; what cannot be removed without changing the meaning is the caller's error.
//!
//! Out of scope: what Bedrock checks and reports itself, and everything about replies.

mod blocks;
mod options;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::betas::{Beta, PAIRS, PER_TURN_CONTROL, stem};
use super::models::{Feature, Model};
use crate::error::{Code, Error};
use crate::json::{Edits, Members, string, to_json};

/// The version of InvokeModel's format.
pub(super) const ANTHROPIC_VERSION: &str = "bedrock-2023-05-31";

/// The most tokens of the wrapping of a request: Claude counts some hundred for tools.
const TOKENS_OF_A_REQUEST: u64 = 1024;

/// The operation that a body is translated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    /// InvokeModel, whole or streamed.
    InvokeModel,
    /// Bedrock's own Messages API, with the id of the model.
    NativeMessages(&'a str),
    /// CountTokens, whose body need not have a `max_tokens`.
    CountTokens,
}

/// The operator's and the model's part in a translation.
pub(crate) struct Target<'a> {
    pub operation: Operation<'a>,
    /// The model's row, if it is known.
    pub model: Option<&'static Model>,
    /// The most tokens that may be generated. `None`: as many as the model can.
    pub max_output_tokens: Option<u32>,
    /// Reports whether the model turned out to refuse a part, such as `betas.effort-2025-11-24`.
    pub has_refused: &'a dyn Fn(&str) -> bool,
}

/// A translated body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    /// The body of the operation.
    pub json: Bytes,
    /// The betas, which Bedrock's own Messages API takes in a header.
    pub betas: Vec<String>,
    /// The model that the body names, if it is one for Bedrock's own Messages API.
    pub native_model: Option<String>,
    /// The most tokens that may be generated.
    pub max_tokens: u32,
    /// No fewer than the tokens of the input.
    pub most_input_tokens: u64,
    /// The value of `X-Amzn-Bedrock-Service-Tier`.
    pub service_tier: Option<&'static str>,
    /// The places that were removed or changed, such as `tools.0.strict`.
    pub removed: Vec<String>,
}

/// The members of a body, raw. They are parsed at the top level only.
pub(crate) struct MessagesBody<'a> {
    text: &'a str,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The model that the caller names.
    pub model: Cow<'a, str>,
    /// Whether the caller asks for a stream.
    pub stream: bool,
}

impl Translated {
    /// Leaves parts out of a translated body, and names another model in one that names a model.
    ///
    /// # Errors
    ///
    /// None: the body was translated before.
    pub(crate) fn adapt(&self, without: &[String], model_id: &str) -> Result<Self, Error> {
        let is_for_model = self.native_model.as_deref().is_none_or(|it| it == model_id);
        if without.is_empty() && is_for_model {
            return Ok(self.clone());
        }
        let has_refused = |part: &str| without.iter().any(|it| it == part);
        let operation = match self.native_model {
            Some(_) => Operation::NativeMessages(model_id),
            None => Operation::InvokeModel,
        };
        let target =
            Target { operation, model: None, max_output_tokens: None, has_refused: &has_refused };
        let betas = self.betas.iter().map(|beta| &**beta);
        let mut body = MessagesBody::parse_members(self.text())?;
        body.stream = body.parse_stream()?;
        body.translate(betas, &target)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.json).unwrap_or_default()
    }

    /// Returns the parts that Bedrock's message names and that can be left out without changing what the reply means.
    pub(crate) fn removable_parts(&self, message: &str) -> Vec<String> {
        let Ok(body) = MessagesBody::parse_members(self.text()) else { return Vec::new() };
        let betas = self.betas.iter().filter(|beta| message.contains(&***beta));
        let mut parts: Vec<String> = betas.map(|beta| format!("betas.{beta}")).collect();
        for (member, part, word) in [
            ("context_management", "context_management", "context_management"),
            ("thinking", "thinking.display", "display"),
            ("system", BILLING_HEADER, BILLING_HEADER),
        ] {
            let is_there =
                body.member(member).is_some_and(|it| part == member || it.get().contains(word));
            if is_there && names_field(message, word) {
                parts.push(part.to_owned());
            }
        }
        parts
    }
}

/// The system block with which Claude Code names itself. Older models refuse it as a reserved keyword.
const BILLING_HEADER: &str = "x-anthropic-billing-header";

/// Reports whether a message contains a field's name as a word.
pub(crate) fn names_field(message: &str, field: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    message.split(|c| !is_word(c)).any(|word| word.eq_ignore_ascii_case(field))
}

/// What becomes of a member of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// InvokeModel takes it.
    Sent,
    /// It goes elsewhere, or a rule of its own treats it.
    Moved,
    /// Clients send it by habit, and the reply means the same without it.
    Removed,
    /// The caller asks for something that Bedrock does not have, unless the value is this one or `null`.
    Refused(&'static str),
}

/// The members of a body. An unknown one is sent: Bedrock's own error names it.
#[rustfmt::skip]
const MEMBERS: [(&str, Fate); 27] = [
    ("messages", Fate::Sent),
    ("system", Fate::Sent),
    ("tools", Fate::Sent),
    ("tool_choice", Fate::Sent),
    ("max_tokens", Fate::Sent),
    ("stop_sequences", Fate::Sent),
    ("temperature", Fate::Sent),
    ("top_p", Fate::Sent),
    ("top_k", Fate::Sent),
    ("thinking", Fate::Sent),
    ("metadata", Fate::Sent),
    ("output_config", Fate::Sent),
    ("safeguards", Fate::Sent),
    ("context_management", Fate::Sent),
    ("compaction", Fate::Sent),
    ("model", Fate::Moved),
    ("stream", Fate::Moved),
    ("anthropic_version", Fate::Moved),
    ("anthropic_beta", Fate::Moved),
    ("service_tier", Fate::Moved),
    ("cache_control", Fate::Moved),
    ("speed", Fate::Removed),
    ("fallbacks", Fate::Removed),
    ("mcp_servers", Fate::Refused("[]")),
    ("container", Fate::Refused("null")),
    ("thread", Fate::Refused("null")),
    ("inference_geo", Fate::Refused(r#""global""#)),
];

fn fate(name: &str) -> Fate {
    MEMBERS.iter().find(|(known, _)| *known == name).map_or(Fate::Sent, |(_, fate)| *fate)
}

impl<'a> MessagesBody<'a> {
    /// Parses the top level of a body.
    ///
    /// # Errors
    ///
    /// If it is not a JSON object with a `model` and with each name once.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Error> {
        let mut body = Self::parse_members(text)?;
        for (at, (name, _)) in body.members.iter().enumerate() {
            // Parsers differ in which of two members counts.
            if body.members.iter().take(at).any(|(other, _)| other == name) {
                return Err(Error::invalid(format!("{name}: the member is there twice")));
            }
        }
        body.model = match body.member("model") {
            None => return Err(Error::invalid("model: Field required")),
            Some(json) => string(json)
                .ok_or_else(|| Error::invalid("model: Input should be a valid string"))?,
        };
        body.stream = body.parse_stream()?;
        Ok(body)
    }

    fn parse_stream(&self) -> Result<bool, Error> {
        match self.member("stream").map(RawValue::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::invalid("stream: Input should be a valid boolean")),
        }
    }

    fn parse_members(text: &'a str) -> Result<Self, Error> {
        let Members(members) = serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("the body is not a JSON object: {error}")))?;
        Ok(Self { text, members, model: Cow::Borrowed(""), stream: false })
    }

    /// Returns a member that is not `null`.
    fn member(&self, name: &str) -> Option<&'a RawValue> {
        let mut members = self.members.iter();
        let (_, value) = members.find(|(known, _)| known == name)?;
        (value.get() != "null").then_some(*value)
    }

    /// Translates the body for an operation. `betas` are the values of the header `anthropic-beta`.
    ///
    /// # Errors
    ///
    /// If the body asks for something that Bedrock, or this model on Bedrock, does not have. The message begins with the
    /// place.
    pub(crate) fn translate<'b>(
        &self,
        betas: impl Iterator<Item = &'b str>,
        target: &Target<'_>,
    ) -> Result<Translated, Error> {
        let mut translation = Translation::new(self, target);
        translation.betas(betas)?;
        translation.members()?;
        translation.options()?;
        translation.tools()?;
        translation.system()?;
        translation.messages()?;
        translation.breakpoints();
        Ok(translation.finish())
    }
}

/// A translation under way.
struct Translation<'a, 't> {
    body: &'t MessagesBody<'a>,
    target: &'t Target<'t>,
    edits: Edits<'a>,
    /// The betas that are sent.
    betas: Vec<String>,
    removed: Vec<String>,
    max_tokens: u32,
    service_tier: Option<&'static str>,
    /// The `cache_control`s in the order of the prompt, with their places.
    breakpoints: Vec<(String, &'a RawValue)>,
    /// The bytes of images and documents in base64, and the most tokens that they can be.
    media_bytes: u64,
    media_tokens: u64,
    /// Whether `per-turn-control` was left out, because the model refuses it.
    drops_per_turn_control: bool,
}

impl<'a, 't> Translation<'a, 't> {
    fn new(body: &'t MessagesBody<'a>, target: &'t Target<'t>) -> Self {
        Self {
            body,
            target,
            edits: Edits::new(body.text),
            betas: Vec::new(),
            removed: Vec::new(),
            max_tokens: 0,
            service_tier: None,
            breakpoints: Vec::new(),
            media_bytes: 0,
            media_tokens: 0,
            drops_per_turn_control: false,
        }
    }

    fn refuses(&self, feature: Feature) -> bool {
        self.target.model.is_some_and(|model| model.refuses(feature))
    }

    /// Names the model in a message.
    fn model_name(&self) -> &'t str {
        self.target.model.map_or(&*self.body.model, |model| model.name)
    }

    fn tell(&mut self, place: impl Into<String>) {
        self.removed.push(place.into());
    }

    /// Removes a member of an object, and tells it.
    fn remove(&mut self, place: impl Into<String>, name: &str, value: &'a RawValue) {
        if self.edits.remove_member(name, value) {
            self.tell(place);
        }
    }

    /// Chooses the betas to send: those of the header, then those of a body for Bedrock.
    fn betas<'b>(&mut self, header: impl Iterator<Item = &'b str>) -> Result<(), Error> {
        let own = self.body.member("anthropic_beta");
        let own: Vec<Cow<'_, str>> = own
            .map_or(Ok(Vec::new()), |json| serde_json::from_str(json.get()))
            .map_err(|_| Error::invalid("anthropic_beta: Input should be a list of strings"))?;
        for name in header.map(Cow::Borrowed).chain(own) {
            let name = &*name;
            let sent = match Beta::find(name) {
                Some(Beta::Refused) => None,
                Some(Beta::Renamed(other)) => Some(other),
                _ if stem(name) == PER_TURN_CONTROL && self.refuses(Feature::PerTurnControl) => {
                    self.drops_per_turn_control = true;
                    None
                }
                _ => Some(name),
            };
            let sent = sent.filter(|it| !(self.target.has_refused)(&format!("betas.{it}")));
            if sent != Some(name) {
                self.tell(format!("betas.{name}"));
            }
            if let Some(sent) = sent
                && !self.betas.iter().any(|known| known == sent)
            {
                self.betas.push(sent.to_owned());
            }
        }
        for (member, beta) in PAIRS {
            let is_there = self.has_beta(beta);
            let is_refused = (self.target.has_refused)(member)
                || (self.target.has_refused)(&format!("betas.{beta}"));
            if self.body.member(member).is_some() && !is_there && !is_refused {
                self.betas.push(beta.to_owned());
            } else if is_there && (self.target.has_refused)(member) {
                self.betas.retain(|known| stem(known) != stem(beta));
                self.tell(format!("betas.{beta}"));
            }
        }
        Ok(())
    }

    /// Reports whether a beta is sent, whatever its date.
    fn has_beta(&self, beta: &str) -> bool {
        self.betas.iter().any(|known| stem(known) == stem(beta))
    }

    /// Removes the members that InvokeModel does not take.
    fn members(&mut self) -> Result<(), Error> {
        let body = self.body;
        for (name, value) in &body.members {
            let is_null = value.get() == "null";
            match fate(name) {
                Fate::Sent if is_null => {
                    self.edits.remove_member(name, value);
                }
                Fate::Sent => {
                    let pair = PAIRS.iter().find(|(member, _)| member == name);
                    if pair.is_some_and(|(_, beta)| !self.has_beta(beta)) {
                        self.remove(&**name, name, value);
                    }
                }
                Fate::Moved => {
                    self.edits.remove_member(name, value);
                }
                Fate::Removed if is_null => {
                    self.edits.remove_member(name, value);
                }
                Fate::Removed => self.remove(&**name, name, value),
                Fate::Refused(_) if name == "thread" && !is_null => {
                    let message = "thread: Bedrock keeps no conversations: send all messages";
                    return Err(Error::new(Code::ThreadUnsupported, message));
                }
                Fate::Refused(harmless) if is_null || value.get() == harmless => {
                    self.edits.remove_member(name, value);
                }
                Fate::Refused(_) => {
                    return Err(Error::invalid(format!(
                        "{name}: Bedrock does not have it: remove it from the request"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Applies the edits, and puts in front what only the operation has.
    fn finish(mut self) -> Translated {
        let mut front = String::new();
        let native_model = match self.target.operation {
            Operation::NativeMessages(model_id) => {
                front += &format!(r#""model":{},"#, to_json(&model_id));
                if self.body.stream {
                    front += r#""stream":true,"#;
                }
                Some(model_id.to_owned())
            }
            Operation::InvokeModel | Operation::CountTokens => {
                front += &format!(r#""anthropic_version":"{ANTHROPIC_VERSION}","#);
                if !self.betas.is_empty() {
                    front += &format!(r#""anthropic_beta":{},"#, to_json(&self.betas));
                }
                if self.body.member("max_tokens").is_none() {
                    front += &format!(r#""max_tokens":{},"#, self.max_tokens);
                }
                None
            }
        };
        let text = self.body.text;
        self.edits.insert(text.trim_ascii(), front);
        let json = self.edits.apply();
        let text_bytes = (json.len() as u64).saturating_sub(self.media_bytes);
        Translated {
            json: json.into(),
            betas: self.betas,
            native_model,
            max_tokens: self.max_tokens,
            most_input_tokens: text_bytes + self.media_tokens + TOKENS_OF_A_REQUEST,
            service_tier: self.service_tier,
            removed: self.removed,
        }
    }
}

/// Parses a part of a body, or says that it has another form. The text of the error follows the place.
fn part<'a, T: Deserialize<'a>>(
    place: impl std::fmt::Display,
    json: &'a RawValue,
    form: &str,
) -> Result<T, Error> {
    serde_json::from_str(json.get())
        .map_err(|_| Error::invalid(format!("{place}: Input should be {form}")))
}

#[cfg(test)]
mod tests;
