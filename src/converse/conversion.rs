//! A conversion under way: the members of the body, what the model takes, what is told, and what is wrong.
//!
//! It goes on after a problem, with any value, and the first problem is the result: to return at each takes a third more
//! code (2 KiB of the upload, 2026-11).

use serde_json::value::RawValue;

use super::names::ToolNames;
use crate::claude::{Feature, Model};
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
    /// The first problem, which begins with the place.
    pub problem: Option<String>,
}

impl<'a> Conversion<'a, '_> {
    /// Returns a member that is not `null`.
    pub(super) fn member(&self, name: &str) -> Option<&'a RawValue> {
        self.members.get(name)
    }

    /// Returns the members of a member that must be an object, or none.
    pub(super) fn member_object(&mut self, name: &str) -> Members<'a> {
        match self.member(name) {
            Some(json) => self.object(&[name], json),
            None => Members(Vec::new()),
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
    pub(super) fn check(&mut self, place: &[&str], feature: Feature, what: &str) {
        if let Some(model) = self.target.model.filter(|model| model.refuses(feature)) {
            self.invalid(place, &[model.name, " does not take ", what]);
        }
    }

    /// Notes what is wrong at a place, whose parts are joined.
    #[cold]
    #[inline(never)]
    pub(super) fn invalid(&mut self, place: &[&str], problem: &[&str]) {
        self.problem.get_or_insert_with(|| [place, &[": "], problem].concat().concat());
    }

    /// Notes that a member is missing.
    #[cold]
    pub(super) fn missing(&mut self, place: &[&str]) {
        self.invalid(place, &["Field required"]);
    }

    /// Notes what was removed or changed.
    #[inline(never)]
    pub(super) fn tell(&mut self, place: &[&str]) {
        self.removed.push(place.concat());
    }

    pub(super) fn tell_unknown(&mut self) {
        let names = self.members.0.iter().filter(|(_, value)| value.get() != "null");
        let unknown = names.filter(|(name, _)| !KNOWN.contains(&&**name));
        self.removed.extend(unknown.map(|(name, _)| name.clone().into_owned()));
    }

    /// Parses an object.
    #[inline(never)]
    pub(super) fn object(&mut self, place: &[&str], json: &'a RawValue) -> Members<'a> {
        serde_json::from_str(json.get()).unwrap_or_else(|_| {
            self.invalid(place, &["Input should be a valid object"]);
            Members(Vec::new())
        })
    }

    /// Parses a list.
    #[inline(never)]
    pub(super) fn list(&mut self, place: &[&str], json: &'a RawValue) -> Vec<&'a RawValue> {
        serde_json::from_str(json.get()).unwrap_or_else(|_| {
            self.invalid(place, &["Input should be a valid list"]);
            Vec::new()
        })
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
            return self.tell(&[place, ".cache_control"]);
        }
        if cache_control.get().contains(r#""1h""#) {
            // No model but Claude has it.
            self.tell(&[place, ".cache_control.ttl"]);
        }
        out.push_str(r#",{"cachePoint":{"type":"default"}}"#);
    }
}

/// Appends texts.
#[inline(never)]
pub(super) fn put(out: &mut String, texts: &[&str]) {
    for text in texts {
        out.push_str(text);
    }
}

/// Appends texts as an element of an array or a member of an object: behind a comma, unless it is the first.
#[inline(never)]
pub(super) fn put_next(out: &mut String, texts: &[&str]) {
    if !out.ends_with(['[', '{']) {
        out.push(',');
    }
    put(out, texts);
}
