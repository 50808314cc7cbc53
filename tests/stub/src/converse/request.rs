//! The body of a request, validated, as the Messages request that means the same.

use serde_json::{Map, Value, json};

use super::content::{self, Sender};
use super::fields::{
    METADATA, array, as_object, check_keys, check_pattern, constraint, join, missing, object,
    one_of, text, unexpected_type,
};
use super::{ConverseRequest, tools};
use crate::error::AwsError;
use crate::guardrails::GuardrailConfig;
use crate::makers::{Feature, OtherModel};
use crate::messages::Messages;

/// The members of a request.
const KEYS: &[&str] = &[
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "guardrailConfig",
    "inferenceConfig",
    "messages",
    "outputConfig",
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
    "system",
    "toolConfig",
];

/// The tokens that a reply may have if `maxTokens` is not given. Bedrock's default is the maximum
/// of the model.
const DEFAULT_MAX_TOKENS: u64 = 4096;

/// A request that is being read.
pub(super) struct Reader {
    /// The model, if it is not Claude.
    pub(super) other: Option<&'static OtherModel>,
    pub(super) is_stream: bool,
}

impl Reader {
    /// Checks that the model has a feature.
    pub(super) fn need(&self, feature: Feature, message: &str) -> Result<(), AwsError> {
        match self.other {
            Some(model) if !model.has(feature) => Err(AwsError::validation(message)),
            _ => Ok(()),
        }
    }
}

/// Validates a body.
///
/// # Errors
///
/// 400 `ValidationException`, for the first problem.
pub(crate) fn parse(
    model_id: &str,
    body: &[u8],
    is_stream: bool,
) -> Result<ConverseRequest, AwsError> {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        return Err(AwsError::validation("The request body is not a JSON object."));
    };
    check_keys(&body, KEYS, "")?;
    let reader = Reader { other: OtherModel::find(model_id), is_stream };
    reader.check_model()?;
    let mut messages = Map::new();
    reader.additional_fields(&body, &mut messages)?;
    reader.inference(&body, &mut messages)?;
    reader.output(&body, &mut messages)?;
    reader.system(&body, &mut messages)?;
    let has_tools = tools::read(&reader, &body, &mut messages)?;
    let turns = array(&body, "messages", "")?.ok_or_else(|| missing("messages"))?;
    messages.insert("messages".to_owned(), content::conversation(&reader, turns, has_tools)?);
    check_metadata(&body)?;
    let guardrail = object(&body, "guardrailConfig", "")?
        .map(|config| GuardrailConfig::from_converse(config, is_stream))
        .transpose()?;
    Ok(ConverseRequest {
        messages: Messages::from_converse(messages, reader.other.is_none())?,
        guardrail,
        echo: echo(&body)?,
        response_fields: response_fields(&body)?,
    })
}

impl Reader {
    fn check_model(&self) -> Result<(), AwsError> {
        let Some(model) = self.other else { return Ok(()) };
        if model.features.is_empty() {
            return Err(AwsError::validation(
                "This action doesn't support the model that you provided. Try again with a \
                 supported text or chat model.",
            ));
        }
        if self.is_stream {
            // aws-samples/amazon-bedrock-client-for-mac #112.
            return self.need(Feature::Streaming, "The model is unsupported for streaming.");
        }
        Ok(())
    }

    /// Reads `additionalModelRequestFields`: Claude's own parameters, or those of another maker.
    fn additional_fields(
        &self,
        body: &Map<String, Value>,
        messages: &mut Map<String, Value>,
    ) -> Result<(), AwsError> {
        let path = "additionalModelRequestFields";
        let Some(fields) = object(body, path, "")? else { return Ok(()) };
        let Some(model) = self.other else {
            messages.extend(fields.clone());
            return Ok(());
        };
        for (key, value) in fields {
            let is_known = match key.as_str() {
                "reasoningConfig" if model.has(Feature::ReasoningOnRequest) => {
                    if value["type"] == "enabled" {
                        messages.insert("thinking".to_owned(), json!({ "type": "adaptive" }));
                    }
                    true
                }
                "inferenceConfig" | "top_k" | "topK" => true,
                "reasoning_effort" => model.has(Feature::Reasoning),
                _ => false,
            };
            if !is_known {
                return Err(AwsError::validation(format!(
                    "Malformed input request: #: extraneous key [{key}] is not permitted, please \
                     reformat your input and try again."
                )));
            }
        }
        Ok(())
    }

    fn inference(
        &self,
        body: &Map<String, Value>,
        messages: &mut Map<String, Value>,
    ) -> Result<(), AwsError> {
        messages.insert("max_tokens".to_owned(), json!(DEFAULT_MAX_TOKENS));
        let path = "inferenceConfig";
        let Some(config) = object(body, path, "")? else { return Ok(()) };
        check_keys(config, &["maxTokens", "stopSequences", "temperature", "topP"], path)?;
        if let Some(value) = config.get("maxTokens") {
            let path = join(path, "maxTokens");
            let tokens = value.as_i64().ok_or_else(|| unexpected_type(&path))?;
            if tokens < 1 {
                let problem = "have value greater than or equal to 1";
                return Err(constraint(&path, &tokens.to_string(), problem));
            }
            if let Some(model) = self.other
                && tokens.unsigned_abs() > model.max_tokens
            {
                return Err(AwsError::validation(format!(
                    "The maximum tokens you requested exceeds the model limit of {}. Try again \
                     with a maximum tokens value that is lower than {}.",
                    model.max_tokens, model.max_tokens
                )));
            }
            messages.insert("max_tokens".to_owned(), json!(tokens));
        }
        for (key, name) in [("temperature", "temperature"), ("topP", "top_p")] {
            let Some(value) = config.get(key) else { continue };
            let path = join(path, key);
            let number = value.as_f64().ok_or_else(|| unexpected_type(&path))?;
            if !(0.0..=1.0).contains(&number) {
                let problem = "have value less than or equal to 1";
                return Err(constraint(&path, &number.to_string(), problem));
            }
            messages.insert(name.to_owned(), value.clone());
        }
        if let Some(sequences) = array(config, "stopSequences", path)? {
            if !sequences.is_empty() {
                self.need(
                    Feature::StopSequences,
                    "This model doesn't support the stopSequences field. Remove stopSequences and \
                     try again.",
                )?;
            }
            for (index, sequence) in sequences.iter().enumerate() {
                let path = format!("{path}.stopSequences.{}.member", index + 1);
                match sequence.as_str() {
                    Some("") => {
                        let problem = "have length greater than or equal to 1";
                        return Err(constraint(&path, "", problem));
                    }
                    Some(_) => {}
                    None => return Err(unexpected_type(&path)),
                }
            }
            messages.insert("stop_sequences".to_owned(), json!(sequences));
        }
        Ok(())
    }

    /// Reads `outputConfig`: a schema for the text, and the effort.
    fn output(
        &self,
        body: &Map<String, Value>,
        messages: &mut Map<String, Value>,
    ) -> Result<(), AwsError> {
        let path = "outputConfig";
        let Some(config) = object(body, path, "")? else { return Ok(()) };
        check_keys(config, &["effort", "textFormat"], path)?;
        if self.other.is_some() {
            return Err(AwsError::validation(
                "This model doesn't support the outputConfig field. Remove outputConfig and try \
                 again.",
            ));
        }
        let mut output = Map::new();
        if let Some(effort) = config.get("effort") {
            output.insert("effort".to_owned(), effort.clone());
        }
        if let Some(format) = object(config, "textFormat", path)? {
            one_of(format, "type", &["json_schema"], &join(path, "textFormat"))?;
            let path = join(path, "textFormat.structure.jsonSchema");
            let schema = as_object(&format["structure"]["jsonSchema"], &path)?;
            let schema = serde_json::from_str::<Value>(text(schema, "schema", &path)?);
            let Ok(schema @ Value::Object(_)) = schema else {
                return Err(AwsError::validation(format!("{path}.schema is not valid JSON")));
            };
            output.insert("format".to_owned(), json!({ "type": "json_schema", "schema": schema }));
        }
        messages.insert("output_config".to_owned(), Value::Object(output));
        Ok(())
    }

    fn system(
        &self,
        body: &Map<String, Value>,
        messages: &mut Map<String, Value>,
    ) -> Result<(), AwsError> {
        let Some(blocks) = array(body, "system", "")? else { return Ok(()) };
        if blocks.is_empty() {
            return Ok(());
        }
        // 567-labs/instructor #1753.
        self.need(
            Feature::System,
            "This model doesn't support system messages. Try again without a system message or use \
             a model that supports system messages.",
        )?;
        let blocks = content::blocks(self, blocks, Sender::System, "system")?;
        messages.insert("system".to_owned(), Value::Array(blocks));
        Ok(())
    }
}

fn check_metadata(body: &Map<String, Value>) -> Result<(), AwsError> {
    for (key, value) in object(body, "requestMetadata", "")?.into_iter().flatten() {
        let value = value.as_str().ok_or_else(|| unexpected_type("requestMetadata"))?;
        for text in [key.as_str(), value] {
            check_pattern(text, &METADATA, "requestMetadata")?;
        }
    }
    Ok(())
}

/// Returns what the response repeats of the request.
fn echo(body: &Map<String, Value>) -> Result<Map<String, Value>, AwsError> {
    const MEMBERS: [(&str, &str, &[&str]); 2] = [
        ("serviceTier", "type", &["priority", "default", "flex", "reserved"]),
        ("performanceConfig", "latency", &["standard", "optimized"]),
    ];
    let mut echo = Map::new();
    for (key, member, values) in MEMBERS {
        if let Some(value) = object(body, key, "")? {
            one_of(value, member, values, key)?;
            echo.insert(key.to_owned(), json!(value));
        }
    }
    Ok(echo)
}

fn response_fields(body: &Map<String, Value>) -> Result<Vec<String>, AwsError> {
    let path = "additionalModelResponseFieldPaths";
    let paths = array(body, path, "")?.unwrap_or_default();
    paths
        .iter()
        .map(|pointer| match pointer.as_str() {
            Some(pointer) if pointer.starts_with('/') => Ok(pointer.to_owned()),
            _ => Err(AwsError::validation(format!("{path} must be JSON pointers"))),
        })
        .collect()
}
