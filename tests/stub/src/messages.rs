//! The body of `InvokeModel`, `InvokeModelWithResponseStream` and the native endpoint for Claude:
//! Anthropic's Messages request, validated as Bedrock does.
//!
//! What depends on the model is in [`crate::models`]. Out of scope: the content of images,
//! documents and schemas.
//!
//! Sources: Amazon Bedrock User Guide, "Anthropic Claude Messages API"; LiteLLM 1.110 (which
//! top-level fields there are); bug reports that quote the messages, named where they are used.

mod betas;
mod blocks;
mod content;
mod conversation;
mod parameters;
mod tools;

use serde_json::{Map, Value};

pub(crate) use blocks::{Block, canonical};
use content::Sender;

use crate::error::AwsError;
use crate::makers::OtherModel;

/// The `anthropic_version` of AWS's documentation.
pub const ANTHROPIC_VERSION: &str = "bedrock-2023-05-31";

/// The versions of Anthropic's own API, which its clients for Bedrock send (anthropic-python 2.14,
/// @anthropic-ai/bedrock-sdk 1.1).
const ANTHROPICS_VERSIONS: &[&str] = &["2023-06-01", "2026-10-21"];

/// The largest body in bytes that is read. Bedrock's documentation: "maximum length of 25000000".
pub const MAX_BODY: usize = 25_000_000;

/// The largest request to Claude in bytes.
const MAX_REQUEST: usize = 20_000_000;

/// The top level of a body, for both endpoints. Everything else that Anthropic's API has is
/// refused, such as `speed`, `mcp_servers`, `container`, `service_tier` and `cache_control`.
const BODY_KEYS: &[&str] = &[
    "compaction",
    "context_management",
    "max_tokens",
    "messages",
    "metadata",
    "output_config",
    "safeguards",
    "stop_sequences",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];
const INVOKE_KEYS: &[&str] = &["anthropic_beta", "anthropic_version"];
const NATIVE_KEYS: &[&str] = &["model", "stream"];

/// How the text blocks begin that an agent adds to those of the user.
const REMINDER: &str = "<system-reminder>";

/// A valid request.
#[derive(Clone, Debug, PartialEq)]
pub struct Messages {
    /// The text of the last user message, its blocks concatenated.
    pub prompt: String,
    /// The system prompt, its blocks concatenated.
    pub system: Option<String>,
    /// The most tokens that the reply may have, at least 1.
    pub max_tokens: u64,
    /// The stop sequences, in the order of the request.
    pub stop_sequences: Vec<String>,
    /// The beta features, of the body or of the header.
    pub betas: Vec<String>,
    /// The body.
    pub body: Map<String, Value>,
}

/// A valid request to the native endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeMessages {
    /// The model ID, of the body.
    pub model_id: String,
    /// Whether the reply is streamed.
    pub stream: bool,
    /// The request.
    pub messages: Messages,
}

/// Validates the percent-decoded model ID of the path: the ID of a foundation model or of an
/// inference profile, or an ARN.
///
/// # Errors
///
/// 400 `ValidationException`, if it is not the ID of a model that the stand-in knows, or an ARN.
pub fn check_model_id(model_id: &str) -> Result<(), AwsError> {
    let well_formed = !model_id.is_empty()
        && model_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte));
    let is_known = model_id.starts_with("arn:")
        || model_id.contains("anthropic")
        || OtherModel::find(model_id).is_some();
    if well_formed && is_known {
        Ok(())
    } else {
        Err(AwsError::validation("The provided model identifier is invalid."))
    }
}

impl Messages {
    /// Validates a body of `InvokeModel` and its `content-type`.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException`, for the first problem.
    pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Self, AwsError> {
        let body = parse_object(content_type, body)?;
        check_keys(&body, INVOKE_KEYS)?;
        check_version(required(&body, "anthropic_version")?)?;
        let betas = betas::of_body(&body)?;
        Self::validate(body, betas, false)
    }

    /// Creates the request that a valid request of `Converse` means. For Claude it is validated,
    /// and an error has the wording of that operation.
    pub(crate) fn from_converse(
        body: Map<String, Value>,
        is_claude: bool,
    ) -> Result<Self, AwsError> {
        if !is_claude {
            return Ok(Self::of_another_maker(body));
        }
        let validate = || {
            check_keys(&body, INVOKE_KEYS)?;
            let betas = betas::of_body(&body)?;
            Self::validate(body, betas, true)
        };
        validate().map_err(|error| AwsError {
            message: format!("The model returned the following errors: {}", error.message),
            ..error
        })
    }

    /// Creates a request to a model of another maker, in Claude's form. It is not validated.
    pub(crate) fn of_another_maker(body: Map<String, Value>) -> Self {
        let texts = |content: &Value| -> String {
            let blocks = content.as_array().into_iter().flatten();
            blocks.filter_map(|block| block["text"].as_str()).collect()
        };
        let prompt = conversation::last_user(&body)
            .map(|index| texts(&body["messages"][index]["content"]))
            .unwrap_or_default();
        let stop_sequences = body.get("stop_sequences").and_then(Value::as_array);
        Self {
            prompt,
            system: body.get("system").map(texts),
            max_tokens: body.get("max_tokens").and_then(Value::as_u64).unwrap_or(1),
            stop_sequences: stop_sequences
                .into_iter()
                .flatten()
                .filter_map(|sequence| sequence.as_str().map(str::to_owned))
                .collect(),
            betas: Vec::new(),
            body,
        }
    }

    /// Returns the text that a guardrail judges: the system prompt, and every text of the user.
    pub(crate) fn text_for_guardrail(&self) -> String {
        let users = self.messages().filter(|message| message["role"] == "user");
        let blocks = users.flat_map(|message| match &message["content"] {
            Value::Array(blocks) => blocks.iter().filter_map(|it| it["text"].as_str()).collect(),
            content => Vec::from_iter(content.as_str()),
        });
        self.system.as_deref().into_iter().chain(blocks).collect::<Vec<_>>().join("\n")
    }

    fn validate(
        body: Map<String, Value>,
        betas: Vec<String>,
        is_native: bool,
    ) -> Result<Self, AwsError> {
        let max_tokens = parse_max_tokens(required(&body, "max_tokens")?)?;
        betas::check(&betas, &body)?;
        parameters::check(&body, &betas, max_tokens, is_native)?;
        let stop_sequences = parse_stop_sequences(&body)?;
        tools::check(&body, &betas)?;
        let system = body
            .get("system")
            .map(|system| content::check(system, Sender::System, "system"))
            .transpose()?;
        let turns = conversation::check(required(&body, "messages")?, &betas)?;
        blocks::check_cache_control(&body)?;
        let prompt = turns
            .into_iter()
            .rfind(|turn| turn.role == Sender::User)
            .map(|turn| turn.text)
            .unwrap_or_default();
        Ok(Self { prompt, system, max_tokens, stop_sequences, betas, body })
    }

    /// Returns the messages.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Value> {
        self.body["messages"].as_array().into_iter().flatten()
    }

    /// Returns the tools.
    pub(crate) fn tools(&self) -> impl Iterator<Item = &Value> {
        self.body.get("tools").and_then(Value::as_array).into_iter().flatten()
    }

    /// Returns every block, in the order in which Claude reads them.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        blocks::all(&self.body).into_iter()
    }

    /// Returns the blocks of the last user message.
    pub(crate) fn last_user_blocks(&self) -> &[Value] {
        let last = conversation::last_user(&self.body).map(|index| &self.body["messages"][index]);
        last.and_then(|it| it["content"].as_array()).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the text of the last user message without the reminders that agents put before it.
    pub(crate) fn text_of_user(&self) -> String {
        let texts = self.last_user_blocks().iter().filter_map(|block| block["text"].as_str());
        let own: String = texts.filter(|text| !text.starts_with(REMINDER)).collect();
        if own.is_empty() { self.prompt.clone() } else { own }
    }

    /// Returns `thinking.type`.
    pub(crate) fn thinking_type(&self) -> Option<&str> {
        self.body.get("thinking")?["type"].as_str()
    }
}

impl NativeMessages {
    /// Validates a body of the native endpoint. `beta` is the header `anthropic-beta`.
    ///
    /// # Errors
    ///
    /// 400 `ValidationException`, for the first problem.
    pub fn parse(
        content_type: Option<&str>,
        beta: Option<&str>,
        body: &[u8],
    ) -> Result<Self, AwsError> {
        let mut body = parse_object(content_type, body)?;
        check_keys(&body, NATIVE_KEYS)?;
        let Some(Value::String(model_id)) = body.remove("model") else {
            return Err(AwsError::validation("model: Field required"));
        };
        let stream = match body.remove("stream") {
            None => false,
            Some(Value::Bool(stream)) => stream,
            Some(_) => {
                return Err(AwsError::validation("stream: Input should be a valid boolean"));
            }
        };
        let messages = Messages::validate(body, betas::of_header(beta), true)?;
        Ok(Self { model_id, stream, messages })
    }
}

fn parse_object(content_type: Option<&str>, body: &[u8]) -> Result<Map<String, Value>, AwsError> {
    // The default of the API. boto3 sends none.
    let content_type = content_type.unwrap_or("application/json");
    let media_type = content_type.split(';').next().unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        return Err(AwsError::validation(
            "The provided content type is invalid. It must be application/json.",
        ));
    }
    if body.len() > MAX_REQUEST {
        return Err(AwsError::validation("Input is too long for requested model."));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(body)) => Ok(body),
        _ => Err(AwsError::validation(
            "Malformed input request, please reformat your input and try again.",
        )),
    }
}

fn check_version(version: &Value) -> Result<(), AwsError> {
    let is_known = |known: &&str| version == *known;
    if version == ANTHROPIC_VERSION || ANTHROPICS_VERSIONS.iter().any(is_known) {
        Ok(())
    } else {
        Err(AwsError::validation("anthropic_version: Invalid API version"))
    }
}

fn parse_max_tokens(value: &Value) -> Result<u64, AwsError> {
    match value {
        Value::Number(number) if !number.is_f64() => {
            number.as_u64().filter(|max_tokens| *max_tokens >= 1).ok_or_else(|| {
                malformed(&format!("#/max_tokens: {number} is not greater or equal to 1"))
            })
        }
        _ => Err(wrong_type("max_tokens", "Integer")),
    }
}

fn parse_stop_sequences(body: &Map<String, Value>) -> Result<Vec<String>, AwsError> {
    let Some(value) = body.get("stop_sequences") else {
        return Ok(Vec::new());
    };
    let Value::Array(sequences) = value else {
        return Err(wrong_type("stop_sequences", "JSONArray"));
    };
    sequences
        .iter()
        .enumerate()
        .map(|(index, sequence)| match sequence {
            Value::String(sequence) if sequence.trim().is_empty() => Err(AwsError::validation(
                "stop_sequences: each stop sequence must contain non-whitespace",
            )),
            Value::String(sequence) => Ok(sequence.clone()),
            _ => Err(wrong_type(&format!("stop_sequences/{index}"), "String")),
        })
        .collect()
}

fn required<'a>(body: &'a Map<String, Value>, key: &str) -> Result<&'a Value, AwsError> {
    body.get(key).ok_or_else(|| malformed(&format!("#: required key [{key}] not found")))
}

fn required_in<'a>(
    object: &'a Map<String, Value>,
    key: &str,
    path: &str,
) -> Result<&'a Value, AwsError> {
    object.get(key).ok_or_else(|| AwsError::validation(format!("{path}.{key}: Field required")))
}

fn check_keys(body: &Map<String, Value>, of_endpoint: &[&str]) -> Result<(), AwsError> {
    let known = |key: &str| BODY_KEYS.contains(&key) || of_endpoint.contains(&key);
    body.keys().find(|key| !known(key)).map_or(Ok(()), |key| Err(extra(key)))
}

/// Creates the error for a field that is not known.
fn extra(path: &str) -> AwsError {
    AwsError::validation(format!("{path}: Extra inputs are not permitted"))
}

fn wrong_type(key: &str, expected: &str) -> AwsError {
    malformed(&format!("#/{key}: expected type: {expected}"))
}

fn malformed(problem: &str) -> AwsError {
    AwsError::validation(format!(
        "Malformed input request: {problem}, please reformat your input and try again."
    ))
}
