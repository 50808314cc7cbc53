//! A conversion under way: the members of the body, what the model takes, what is told.

use serde_json::value::RawValue;

use super::names::ToolNames;
use crate::claude::{Feature, Model, part};
use crate::error::Error;
use crate::json::Members;

/// The breakpoints of the prompt cache, as a part that a model can refuse.
pub(crate) const CACHE_CONTROL: &str = "cache_control";

/// The members of Claude's body that have a counterpart, or none that is missed.
const KNOWN: [&str; 15] = [
    "anthropic_version",
    "anthropic_beta",
    "model",
    "stream",
    "messages",
    "system",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
];

/// The operator's and the model's part in a conversion.
pub(crate) struct Target<'a> {
    /// The model's row, if it is known.
    pub model: Option<&'static Model>,
    /// The id and the version of the guardrail.
    pub guardrail: Option<(&'a str, &'a str)>,
    /// The service tier.
    pub service_tier: Option<&'a str>,
    /// Reports whether the model turned out to refuse a part, such as [`CACHE_CONTROL`].
    pub has_refused: &'a dyn Fn(&str) -> bool,
}

/// A conversion under way.
pub(super) struct Conversion<'a, 't> {
    pub target: &'t Target<'t>,
    pub members: Members<'a>,
    pub names: ToolNames,
    /// The names of the documents so far.
    pub documents: Vec<String>,
    pub removed: Vec<String>,
}

impl<'a> Conversion<'a, '_> {
    /// Returns a member that is not `null`.
    pub(super) fn member(&self, name: &str) -> Option<&'a RawValue> {
        self.members.get(name)
    }

    /// Returns the members of a member that must be an object, or none.
    pub(super) fn object(&self, name: &str) -> Result<Members<'a>, Error> {
        match self.member(name) {
            Some(json) => object(name, json),
            None => Ok(Members(Vec::new())),
        }
    }

    /// Reports whether the model is known to refuse a feature.
    pub(super) fn refuses(&self, feature: Feature) -> bool {
        self.target.model.is_some_and(|model| model.refuses(feature))
    }

    /// Reports whether the model is known to take a feature that most models refuse.
    pub(super) fn takes(&self, feature: Feature) -> bool {
        self.target.model.is_some_and(|model| !model.refuses(feature))
    }

    pub(super) fn is_made_by(&self, maker: &str) -> bool {
        self.target.model.is_some_and(|model| model.id.starts_with(maker))
    }

    /// Checks that the model takes a feature.
    pub(super) fn check(&self, place: &str, feature: Feature, what: &str) -> Result<(), Error> {
        match self.target.model {
            Some(model) if model.refuses(feature) => {
                Err(invalid(place, &at(model.name, " does not take ", what)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn tell(&mut self, place: impl Into<String>) {
        self.removed.push(place.into());
    }

    pub(super) fn tell_unknown(&mut self) {
        let names = self.members.0.iter().filter(|(_, value)| value.get() != "null");
        let unknown = names.filter(|(name, _)| !KNOWN.contains(&&**name));
        self.removed.extend(unknown.map(|(name, _)| name.clone().into_owned()));
    }

    /// Writes a breakpoint of the prompt cache behind a block that has one.
    pub(super) fn cache_point(
        &mut self,
        place: &str,
        cache_control: Option<&RawValue>,
        is_possible: bool,
        out: &mut String,
    ) {
        let Some(cache_control) = cache_control else { return };
        let is_refused = (self.target.has_refused)(CACHE_CONTROL);
        if !is_possible || is_refused || !self.takes(Feature::CachePoint) {
            return self.tell(at(place, ".", CACHE_CONTROL));
        }
        if cache_control.get().contains(r#""1h""#) {
            // No model but Claude has it.
            self.tell(at(place, ".", "cache_control.ttl"));
        }
        out.push_str(r#",{"cachePoint":{"type":"default"}}"#);
    }
}

/// Parses an object.
pub(super) fn object<'a>(place: &str, json: &'a RawValue) -> Result<Members<'a>, Error> {
    part(place, json, "a valid object")
}

/// Describes what is wrong at a place.
#[cold]
pub(super) fn invalid(place: &str, problem: &str) -> Error {
    Error::invalid(at(place, ": ", problem))
}

/// Describes that a member is missing.
#[cold]
pub(super) fn missing(place: &str, name: &str) -> Error {
    invalid(&at(place, ".", name), "Field required")
}

/// Joins a place and a part of it.
pub(super) fn at(place: &str, between: &str, part: &str) -> String {
    [place, between, part].concat()
}

/// Appends texts. One `format!` is three times its code.
#[inline(never)]
pub(super) fn put(out: &mut String, texts: &[&str]) {
    for text in texts {
        out.push_str(text);
    }
}

/// Writes a comma, unless an array or an object has just begun.
pub(super) fn comma(out: &mut String) {
    if !out.ends_with(['[', '{']) {
        out.push(',');
    }
}
