//! The options: lengths, sampling, thinking, the form of the reply.

use serde_json::value::RawValue;

use super::conversion::{Conversion, put, put_next};
use crate::claude::Feature;
use crate::json::{quoted, string};

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
            match self.member(name) {
                Some(value) if value.get() != "[]" => {
                    put_next(out, &["\"", name_in_converse, "\":", value.get()]);
                    if name == "stop_sequences" {
                        self.check(&[name], Feature::StopSequences, "stop sequences");
                    }
                }
                _ => {}
            }
        }
        out.push('}');
    }

    /// Writes what some models have.
    pub(super) fn options(&mut self, out: &mut String) {
        let config = self.member_object("output_config");
        if let Some(format) = config.get("format") {
            let format = self.object(&["output_config.format"], format);
            let schema = format.get("schema");
            if schema.is_none() {
                self.missing(&["output_config.format.schema"]);
            }
            let schema = quoted(schema.map_or("", RawValue::get));
            let start = r#","outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"#;
            put(out, &[start, &schema, "}}}}"]);
        }
        let mut fields = String::new();
        if let Some(top_k) = self.member("top_k") {
            if self.is_made_by("amazon.nova") {
                put(&mut fields, &[r#","inferenceConfig":{"topK":"#, top_k.get(), "}"]);
            } else {
                self.tell(&["top_k"]);
            }
        }
        self.thinking(config.get("effort"), &mut fields);
        if let Some(fields) = fields.strip_prefix(',') {
            put(out, &[r#","additionalModelRequestFields":{"#, fields, "}"]);
        }
    }

    /// Writes the model's own setting of thinking.
    fn thinking(&mut self, effort: Option<&RawValue>, out: &mut String) {
        let thinking = self.member_object("thinking");
        let kind = thinking.get("type").map_or("", RawValue::get);
        let is_wanted = matches!(kind, r#""enabled""# | r#""adaptive""#);
        let is_taken = self.takes(Feature::Thinking);
        let has_effort_alone = is_taken && self.is_made_by("openai.");
        let is_set = is_taken && is_wanted || has_effort_alone && effort.is_some();
        if is_wanted && !is_taken {
            self.tell(&["thinking"]);
        }
        if effort.is_some() && !is_set {
            self.tell(&["output_config.effort"]);
        }
        if !is_set {
            return;
        }
        let budget = thinking.get("budget_tokens");
        let budget = budget.and_then(|json| serde_json::from_str::<u64>(json.get()).ok());
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
    }
}
