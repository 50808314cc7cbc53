//! The members with options: lengths, sampling, thinking, the choice of tools, the form of the reply.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{CONTEXT_MANAGEMENT, DISPLAY, EDITS, Format, MessagesBody, Translation, object, part};
use crate::claude::betas::DISPLAY_UPDATES;
use crate::claude::models::Feature;
use crate::error::Error;
use crate::hex::to_hex;
use crate::json::{fields, fields_of_all, string, to_json};

/// The shortest `thinking.budget_tokens`.
const MIN_THINKING: u32 = 1024;

/// The name of the edit of a context that removes thinking.
const CLEAR_THINKING: &str = "clear_thinking";

/// The beta of `context_management`.
const NAME_OF_BETA: &str = "context-management";

impl<'a> Translation<'a, '_> {
    /// Applies the rules about options.
    pub(super) fn options(&mut self) -> Result<(), Error> {
        self.max_tokens()?;
        // Converse has its own rules for a model that thinks.
        let is_thinking = self.thinking()? && self.target.format != Format::Converse;
        self.sampling(is_thinking);
        self.context_management(is_thinking)?;
        self.tool_choice(is_thinking)?;
        self.output_config()?;
        self.user_id()?;
        self.service_tier()
    }

    /// Hashes a `metadata.user_id` that Bedrock's own Messages API would refuse, such as Claude Code's JSON.
    fn user_id(&mut self) -> Result<(), Error> {
        const MOST: usize = 256;
        let is_native = matches!(self.target.format, Format::NativeMessages(_));
        let Some(json) = self.member("metadata").filter(|_| is_native) else { return Ok(()) };
        let [user_id] = object("metadata", json, ["user_id"])?;
        let Some((json, id)) = user_id.and_then(|json| Some((json, string(json)?))) else {
            return Ok(());
        };
        let is_allowed = |c: char| {
            c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c)
        };
        if id.len() > MOST || !id.chars().all(is_allowed) {
            let hash: [u8; 32] = Sha256::digest(id.as_bytes()).into();
            let hash = to_hex(&hash).map(char::from);
            self.edits.replace(json, to_json(&String::from_iter(hash)));
            self.tell("metadata.user_id");
        }
        Ok(())
    }

    fn member(&self, name: &str) -> Option<&'a RawValue> {
        self.body.member(name)
    }

    fn max_tokens(&mut self) -> Result<(), Error> {
        let Some(json) = self.member("max_tokens") else {
            if self.target.format == Format::CountTokens {
                // More than any budget of thinking.
                self.max_tokens = self.target.model.map_or(MIN_THINKING, |it| it.max_output_tokens);
                return Ok(());
            }
            return Err(Error::invalid("max_tokens: Field required"));
        };
        let asked: u64 = part("max_tokens", json, "a valid integer, 1 or greater")?;
        if asked == 0 {
            return Err(Error::invalid("max_tokens: Input should be greater than or equal to 1"));
        }
        let of_model = self.target.model.map_or(u32::MAX, |model| model.max_output_tokens);
        let most = self.target.max_output_tokens.unwrap_or(u32::MAX).min(of_model);
        self.max_tokens = u32::try_from(asked).unwrap_or(u32::MAX).min(most);
        if asked > self.max_tokens.into() {
            self.edits.replace(json, self.max_tokens.to_string());
            self.tell("max_tokens");
        }
        Ok(())
    }

    fn sampling(&mut self, is_thinking: bool) {
        let number = |name| serde_json::from_str::<f64>(self.member(name)?.get()).ok();
        let has_both = self.member("temperature").is_some() && self.member("top_p").is_some();
        let refused = match () {
            () if self.refuses(Feature::Sampling) => [true, true, true],
            // While it thinks, a model takes these values only.
            () if is_thinking => {
                [number("temperature") != Some(1.0), number("top_p") < Some(0.95), true]
            }
            () => [false, has_both && self.refuses(Feature::TemperatureWithTopP), false],
        };
        for (name, is_refused) in ["temperature", "top_p", "top_k"].into_iter().zip(refused) {
            if is_refused && let Some(value) = self.member(name) {
                self.remove(name, name, value);
            }
        }
    }

    /// Removes the edits that the model has refused, and those that need a model which thinks.
    fn context_management(&mut self, is_thinking: bool) -> Result<(), Error> {
        let Some(json) = self.member(CONTEXT_MANAGEMENT).filter(|_| self.has_beta(NAME_OF_BETA))
        else {
            return Ok(());
        };
        let [edits] = object(CONTEXT_MANAGEMENT, json, ["edits"])?;
        let Some(edits) = edits else { return Ok(()) };
        let edits: Vec<&RawValue> = part(EDITS, edits, "a valid list")?;
        let all = edits.len();
        let mut refused = Vec::new();
        for (index, edit) in edits.into_iter().enumerate() {
            let place = format!("{EDITS}.{index}");
            let [kind] = object(&place, edit, ["type"])?;
            let kind = kind.and_then(string).unwrap_or_default();
            let is_needy = !is_thinking && kind.starts_with(CLEAR_THINKING);
            if is_needy || (self.target.has_refused)(&format!("{EDITS}.{kind}")) {
                refused.push((place, edit));
            }
        }
        if refused.len() == all && all > 0 {
            self.remove(CONTEXT_MANAGEMENT, CONTEXT_MANAGEMENT, json);
            return Ok(());
        }
        for (place, edit) in refused {
            self.edits.remove_element(edit);
            self.tell(place);
        }
        Ok(())
    }

    /// Returns whether the model thinks.
    fn thinking(&mut self) -> Result<bool, Error> {
        let always = self.target.model.is_some_and(|model| model.always_thinks());
        let Some(json) = self.member("thinking") else { return Ok(always) };
        let names = ["type", "budget_tokens", "display"];
        let [kind, budget_tokens, display] = object("thinking", json, names)?;
        if let Some(display) = display {
            let value = string(display).unwrap_or_default();
            let has_no_beta = value == "updates" && !self.has_beta(DISPLAY_UPDATES);
            if has_no_beta || (self.target.has_refused)(&format!("{DISPLAY}.{value}")) {
                self.remove(DISPLAY, "display", display);
            }
        }
        match kind.map(RawValue::get) {
            Some(r#""disabled""#) if self.refuses(Feature::ThinkingDisabled) => {
                self.remove("thinking", "thinking", json);
                Ok(true)
            }
            Some(r#""disabled""#) => Ok(false),
            Some(r#""adaptive""#) if self.refuses(Feature::ThinkingAdaptive) => {
                Err(Error::invalid(format!(
                    "thinking.type: {} does not have adaptive thinking: send \"enabled\" with budget_tokens",
                    self.model_name()
                )))
            }
            Some(r#""enabled""#) => Ok(self.budget(json, kind, budget_tokens)),
            _ => Ok(true),
        }
    }

    /// Fits a budget of thinking to the model and to `max_tokens`. Returns whether the model still thinks.
    fn budget(
        &mut self,
        json: &'a RawValue,
        kind: Option<&'a RawValue>,
        budget_tokens: Option<&'a RawValue>,
    ) -> bool {
        if self.refuses(Feature::ThinkingBudget) {
            if let Some(kind) = kind {
                self.edits.replace(kind, r#""adaptive""#);
            }
            if let Some(budget) = budget_tokens {
                self.edits.remove_member("budget_tokens", budget);
            }
            self.tell("thinking.budget_tokens");
            return true;
        }
        let Some(budget) = budget_tokens else { return true };
        let asked: Option<u64> = serde_json::from_str(budget.get()).ok();
        let is_capped = self.removed.iter().any(|place| place == "max_tokens");
        if !is_capped || asked.is_none_or(|asked| asked < self.max_tokens.into()) {
            return true;
        }
        // It must be below `max_tokens`, which the operator has lowered.
        let left = self.max_tokens - 1;
        if left < MIN_THINKING {
            self.remove("thinking", "thinking", json);
            return false;
        }
        self.edits.replace(budget, left.to_string());
        self.tell("thinking.budget_tokens");
        true
    }

    fn tool_choice(&mut self, is_thinking: bool) -> Result<(), Error> {
        let Some(json) = self.member("tool_choice") else { return Ok(()) };
        if self.member("tools").is_none_or(is_empty_array) {
            self.remove("tool_choice", "tool_choice", json);
            return Ok(());
        }
        let [kind] = object("tool_choice", json, ["type"])?;
        let is_forced = matches!(kind.map(RawValue::get), Some(r#""any""# | r#""tool""#));
        let thinks_freely = self.target.model.is_some_and(|it| it.name == "claude-haiku-5-5");
        if is_forced && self.refuses(Feature::ForcedToolChoice) {
            return Err(Error::invalid(format!(
                "tool_choice.type: {} cannot be forced to use a tool: send \"auto\"",
                self.model_name()
            )));
        }
        if is_forced && is_thinking && !thinks_freely {
            return Err(Error::invalid(
                "tool_choice.type: Thinking may not be enabled when tool_choice forces tool use.",
            ));
        }
        Ok(())
    }

    fn output_config(&mut self) -> Result<(), Error> {
        let Some(json) = self.member("output_config") else { return Ok(()) };
        let [effort, format] = object("output_config", json, ["effort", "format"])?;
        if format.is_some() && self.refuses(Feature::StructuredOutput) {
            return Err(Error::invalid(format!(
                "output_config.format: {} on Bedrock does not have structured outputs",
                self.model_name()
            )));
        }
        self.effort("output_config.effort", effort);
        Ok(())
    }

    /// Lowers an effort that the model does not have.
    pub(super) fn effort(&mut self, place: &str, effort: Option<&'a RawValue>) {
        let Some(effort) = effort else { return };
        if self.refuses(Feature::Effort) {
            return self.remove(place, "effort", effort);
        }
        let is_refused = match effort.get() {
            r#""xhigh""# => self.refuses(Feature::EffortXhigh),
            r#""max""# => self.refuses(Feature::EffortMax),
            _ => false,
        };
        if is_refused {
            self.edits.replace(effort, r#""high""#);
            self.tell(place);
        }
    }

    /// Turns `service_tier` into the value of Bedrock's header.
    fn service_tier(&mut self) -> Result<(), Error> {
        let Some(json) = self.member("service_tier") else { return Ok(()) };
        self.service_tier = match json.get() {
            // Bedrock's own choice.
            r#""auto""# => None,
            r#""standard_only""# | r#""default""# => Some("default"),
            r#""priority""# => Some("priority"),
            r#""flex""# => Some("flex"),
            r#""reserved""# => Some("reserved"),
            _ => {
                return Err(Error::invalid(
                    "service_tier: Input should be auto, standard_only, priority, flex or reserved",
                ));
            }
        };
        Ok(())
    }
}

impl MessagesBody<'_> {
    /// Returns the types of a context's edits.
    pub(super) fn types_of_edits(&self) -> Vec<String> {
        let edits = || {
            let [edits] = fields(self.member(CONTEXT_MANAGEMENT)?.get(), ["edits"]).ok()?;
            fields_of_all(edits?.get(), ["type"]).ok()
        };
        let kinds = edits().unwrap_or_default().into_iter();
        kinds.filter_map(|[kind]| string(kind?).map(Cow::into_owned)).collect()
    }

    /// Returns how thinking is to be shown.
    pub(super) fn display_of_thinking(&self) -> Option<String> {
        let [display] = fields(self.member("thinking")?.get(), ["display"]).ok()?;
        string(display?).map(Cow::into_owned)
    }
}

fn is_empty_array(json: &RawValue) -> bool {
    json.get().strip_prefix('[').is_some_and(|rest| rest.trim_ascii() == "]")
}
