//! The options: lengths, sampling, thinking, the form of the reply.

use serde_json::value::RawValue;

use super::conversion::{Conversion, comma, missing, object, put};
use crate::claude::Feature;
use crate::error::Error;
use crate::json::{string, to_json};

impl Conversion<'_, '_> {
    /// Writes what all models have.
    pub(super) fn inference(&mut self, out: &mut String) {
        out.push_str(r#","inferenceConfig":{"#);
        for (name, name_in_converse) in [
            ("max_tokens", "maxTokens"),
            ("temperature", "temperature"),
            ("top_p", "topP"),
            ("stop_sequences", "stopSequences"),
        ] {
            if let Some(value) = self.member(name) {
                comma(out);
                put(out, &["\"", name_in_converse, "\":", value.get()]);
            }
        }
        out.push('}');
    }

    /// Writes what some models have.
    pub(super) fn options(&mut self, out: &mut String) -> Result<(), Error> {
        let config = self.object("output_config")?;
        if let Some(format) = config.get("format") {
            let schema = object("output_config.format", format)?.get("schema");
            let schema = schema.ok_or_else(|| missing("output_config.format", "schema"))?;
            put(
                out,
                &[
                    r#","outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"#,
                    &to_json(&schema.get()),
                    "}}}}",
                ],
            );
        }
        let mut fields = String::new();
        if let Some(top_k) = self.member("top_k") {
            if self.is_made_by("amazon.nova") {
                put(&mut fields, &[r#","inferenceConfig":{"topK":"#, top_k.get(), "}"]);
            } else {
                self.tell("top_k");
            }
        }
        self.thinking(config.get("effort"), &mut fields)?;
        if let Some(fields) = fields.strip_prefix(',') {
            put(out, &[r#","additionalModelRequestFields":{"#, fields, "}"]);
        }
        Ok(())
    }

    /// Writes the model's own setting of thinking.
    fn thinking(&mut self, effort: Option<&RawValue>, out: &mut String) -> Result<(), Error> {
        let thinking = self.object("thinking")?;
        let (kind, budget_tokens) = (thinking.get("type"), thinking.get("budget_tokens"));
        let is_wanted = matches!(kind.map(RawValue::get), Some(r#""enabled""# | r#""adaptive""#));
        let is_taken = self.takes(Feature::Thinking);
        let has_effort_alone = is_taken && self.is_made_by("openai.");
        let is_set = is_taken && is_wanted || has_effort_alone && effort.is_some();
        if is_wanted && !is_taken {
            self.tell("thinking");
        }
        if effort.is_some() && !is_set {
            self.tell("output_config.effort");
        }
        if !is_set {
            return Ok(());
        }
        let budget = budget_tokens.and_then(|json| serde_json::from_str::<u64>(json.get()).ok());
        let level = match (effort.and_then(string).as_deref(), budget) {
            (Some("low"), _) | (None, Some(..4096)) => "low",
            (Some("high" | "xhigh" | "max"), _) | (None, Some(16384..)) => "high",
            _ => "medium",
        };
        if self.is_made_by("amazon.") {
            // With "high" it takes no `maxTokens`, which bounds what a reply costs.
            let level = if level == "high" { "medium" } else { level };
            let start = r#","reasoningConfig":{"type":"enabled","maxReasoningEffort":""#;
            put(out, &[start, level, "\"}"]);
        } else {
            // DeepSeek thinks with this one only (langchain-aws 1.7).
            let level = if self.is_made_by("deepseek.") { "high" } else { level };
            put(out, &[r#","reasoning_effort":""#, level, "\""]);
        }
        Ok(())
    }
}
