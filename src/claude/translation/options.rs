//! The members with options: lengths, sampling, thinking, the choice of tools, the form of the reply.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Translation, part};
use crate::claude::models::Feature;
use crate::error::Error;

/// The shortest `thinking.budget_tokens`.
const MIN_THINKING: u32 = 1024;

/// Of the one member, the word that counts.
#[derive(Default, Deserialize)]
struct Typed<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Thinking<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    budget_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    display: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct OutputConfig<'a> {
    #[serde(borrow)]
    effort: Option<&'a RawValue>,
    #[serde(borrow)]
    format: Option<&'a RawValue>,
}

impl<'a> Translation<'a, '_> {
    /// Applies the rules about options.
    pub(super) fn options(&mut self) -> Result<(), Error> {
        self.max_tokens()?;
        self.sampling();
        let is_thinking = self.thinking()?;
        self.tool_choice(is_thinking)?;
        self.output_config()?;
        self.service_tier()
    }

    fn member(&self, name: &str) -> Option<&'a RawValue> {
        self.body.member(name)
    }

    fn max_tokens(&mut self) -> Result<(), Error> {
        let Some(json) = self.member("max_tokens") else {
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

    fn sampling(&mut self) {
        if self.refuses(Feature::Sampling) {
            for name in ["temperature", "top_p", "top_k"] {
                if let Some(value) = self.member(name) {
                    self.remove(name, name, value);
                }
            }
        } else if self.refuses(Feature::TemperatureWithTopP)
            && self.member("temperature").is_some()
            && let Some(value) = self.member("top_p")
        {
            self.remove("top_p", "top_p", value);
        }
    }

    /// Returns whether the model thinks.
    fn thinking(&mut self) -> Result<bool, Error> {
        let always = self.target.model.is_some_and(|model| model.always_thinks());
        let Some(json) = self.member("thinking") else { return Ok(always) };
        let Thinking { kind, budget_tokens, display } = part("thinking", json, "a valid object")?;
        if let Some(display) = display
            && (self.target.has_refused)("thinking.display")
        {
            self.remove("thinking.display", "display", display);
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
        let Typed { kind } = part("tool_choice", json, "a valid object")?;
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
        let OutputConfig { effort, format } = part("output_config", json, "a valid object")?;
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

fn is_empty_array(json: &RawValue) -> bool {
    json.get().strip_prefix('[').is_some_and(|rest| rest.trim_ascii() == "]")
}
