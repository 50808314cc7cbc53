//! A body of Anthropic's Messages API, translated for Bedrock.
//!
//! A rule touches a member; all other bytes stay the caller's, because prompt caches and signed thinking depend on them.
//! The same body always gives the same translation. What Bedrock would refuse and clients send by habit is removed and
//! told; what cannot be removed without changing the meaning is the caller's error.
//!
//! Out of scope: what Bedrock checks and reports itself, and everything about replies.

mod blocks;
mod members;
mod options;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::models::{Feature, Model};
use crate::error::Error;
use crate::json::{Edits, Members, fields, fields_of_all, string, to_json};

/// The member of InvokeModel's bodies that names the tags of what a guardrail looks at in place of all else, and the mode in
/// which a stream passes before it has. The guardrail is the operator's.
///
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-tagging.html>
pub(crate) const GUARDRAIL_CONFIG: &str = "amazon-bedrock-guardrailConfig";

/// The version of InvokeModel's format.
pub(super) const ANTHROPIC_VERSION: &str = "bedrock-2023-05-31";

/// The most tokens of the wrapping of a request: Claude counts some hundred for tools.
const TOKENS_OF_A_REQUEST: u64 = 1024;

/// The format that a body is translated into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format<'a> {
    /// That of InvokeModel, whole or streamed.
    InvokeModel,
    /// That of InvokeModel, to be converted for Converse.
    Converse,
    /// That of Bedrock's own Messages API, with the id of the model.
    NativeMessages(&'a str),
    /// That of CountTokens: as InvokeModel's, but the caller need not send a `max_tokens`.
    CountTokens,
}

/// The operator's and the model's part in a translation.
pub(crate) struct Target<'a> {
    pub format: Format<'a>,
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
    /// The body.
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
        let format = match self.native_model {
            Some(_) => Format::NativeMessages(model_id),
            None => Format::InvokeModel,
        };
        let target =
            Target { format, model: None, max_output_tokens: None, has_refused: &has_refused };
        let betas = self.betas.iter().map(|beta| &**beta);
        let mut body = MessagesBody::parse_members(self.text())?;
        body.stream = body.parse_stream()?;
        let adapted = body.translate(betas, &target)?;
        // Its member is not in the body any more.
        Ok(Self { service_tier: self.service_tier, ..adapted })
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.json).unwrap_or_default()
    }

    /// Returns the parts that Bedrock's message names and that can be left out without changing what the reply means.
    ///
    /// A part is as narrow as the message allows: what one caller gets wrong must not be left out for the others.
    pub(crate) fn removable_parts(&self, message: &str) -> Vec<String> {
        let Ok(body) = MessagesBody::parse_members(self.text()) else { return Vec::new() };
        let betas = self.betas.iter().filter(|beta| message.contains(&***beta));
        let mut parts: Vec<String> = betas.map(|beta| format!("betas.{beta}")).collect();
        if message.contains(UNKNOWN_CONTEXT_MANAGEMENT) {
            parts.push(CONTEXT_MANAGEMENT.to_owned());
        } else if names_field(message, CONTEXT_MANAGEMENT) {
            let edits = body.types_of_edits().into_iter();
            let named = edits.filter(|kind| message.contains(&format!("'{kind}'")));
            parts.extend(named.map(|kind| format!("{EDITS}.{kind}")));
        }
        if names_field(message, "display")
            && let Some(display) = body.display_of_thinking()
        {
            parts.push(format!("{DISPLAY}.{display}"));
        }
        let has_header = body.member("system").is_some_and(|it| it.get().contains(BILLING_HEADER));
        if has_header && names_field(message, BILLING_HEADER) {
            parts.push(BILLING_HEADER.to_owned());
        }
        parts
    }
}

const CONTEXT_MANAGEMENT: &str = "context_management";

/// The place of the edits of a context.
const EDITS: &str = "context_management.edits";

/// The place of how thinking is shown.
const DISPLAY: &str = "thinking.display";

/// Bedrock's message for a model that does not have it at all.
const UNKNOWN_CONTEXT_MANAGEMENT: &str = "context_management: Extra inputs are not permitted";

/// The system block with which Claude Code names itself. Older models refuse it as a reserved keyword.
const BILLING_HEADER: &str = "x-anthropic-billing-header";

/// Reports whether a message contains a field's name as a word.
pub(crate) fn names_field(message: &str, field: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    message.split(|c| !is_word(c)).any(|word| word.eq_ignore_ascii_case(field))
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

    /// Translates the body. `betas` are the values of the header `anthropic-beta`.
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

    /// Applies the edits, and puts in front what only the format has.
    fn finish(mut self) -> Translated {
        let mut front = String::new();
        let native_model = match self.target.format {
            Format::NativeMessages(model_id) => {
                front += &format!(r#""model":{},"#, to_json(&model_id));
                if self.body.stream {
                    front += r#""stream":true,"#;
                }
                Some(model_id.to_owned())
            }
            Format::InvokeModel | Format::Converse | Format::CountTokens => {
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
    serde_json::from_str(json.get()).map_err(|_| wrong(place, form))
}

/// Parses an object by the names of its members, or says that it is none.
fn object<'a, const N: usize>(
    place: impl std::fmt::Display,
    json: &'a RawValue,
    names: [&str; N],
) -> Result<[Option<&'a RawValue>; N], Error> {
    fields(json.get(), names).map_err(|_| wrong(place, "a valid object"))
}

/// Parses a list of such objects, or says that it is none.
fn objects<'a, const N: usize>(
    place: impl std::fmt::Display,
    json: &'a RawValue,
    names: [&str; N],
) -> Result<Vec<[Option<&'a RawValue>; N]>, Error> {
    fields_of_all(json.get(), names).map_err(|_| wrong(place, "a valid list of objects"))
}

fn wrong(place: impl std::fmt::Display, form: &str) -> Error {
    Error::invalid(format!("{place}: Input should be {form}"))
}

#[cfg(test)]
mod tests;
