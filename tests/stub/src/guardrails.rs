//! Guardrails. Every guardrail whose id is well formed exists, except those that begin with
//! `missing`, and all have the same policies: the word `forbidden` is blocked in a request and in a
//! reply, and an e-mail address is masked in a reply.
//!
//! Source: Amazon Bedrock User Guide, "Use a guardrail with the Converse API"; AWS's documentation
//! of `ApplyGuardrail` and of each type.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::error::AwsError;
use crate::sigv4::Received;

/// The text in place of a request or a reply that is blocked.
pub const BLOCKED_MESSAGE: &str = "Sorry, the model cannot answer this question.";

/// The word that is blocked.
const BLOCKED_WORD: &str = "forbidden";

/// The text in place of an e-mail address.
const MASK: &str = "{EMAIL}";

/// The characters of one unit of text.
const UNIT: usize = 1000;

/// A guardrail that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuardrailConfig {
    id: String,
    version: String,
    pub(crate) has_trace: bool,
}

/// The source of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Input,
    Output,
}

/// The judgement of a guardrail on a text.
pub(crate) struct Judgement {
    /// The text in place of the judged one, if the guardrail intervened.
    pub(crate) replacement: Option<String>,
    pub(crate) is_blocked: bool,
    pub(crate) assessment: Value,
}

impl GuardrailConfig {
    /// Reads `guardrailConfig` of `Converse`.
    pub(crate) fn from_converse(
        config: &Map<String, Value>,
        is_stream: bool,
    ) -> Result<Self, AwsError> {
        let text = |key: &str| config.get(key).and_then(Value::as_str);
        let modes: &[&str] = if is_stream { &["sync", "async"] } else { &[] };
        let is_known = |key: &str, value: &Value| match key {
            "guardrailIdentifier" | "guardrailVersion" => value.is_string(),
            "trace" => ["enabled", "disabled", "enabled_full"].iter().any(|it| value == it),
            "streamProcessingMode" => modes.iter().any(|it| value == it),
            _ => false,
        };
        if let Some((key, _)) = config.iter().find(|(key, value)| !is_known(key, value)) {
            return Err(AwsError::validation(format!("guardrailConfig.{key} is not valid.")));
        }
        let has_trace = text("trace").is_some_and(|trace| trace.starts_with("enabled"));
        Self::new(text("guardrailIdentifier"), text("guardrailVersion"), has_trace)
    }

    /// Reads the headers of `InvokeModel`.
    pub(crate) fn from_headers(received: &Received) -> Result<Option<Self>, AwsError> {
        let id = received.header("x-amzn-bedrock-guardrailidentifier");
        let version = received.header("x-amzn-bedrock-guardrailversion");
        let trace = received.header("x-amzn-bedrock-trace");
        if trace.is_some_and(|it| !["ENABLED", "DISABLED", "ENABLED_FULL"].contains(&it)) {
            return Err(AwsError::validation("The value of X-Amzn-Bedrock-Trace is not valid."));
        }
        if id.is_none() && version.is_none() {
            return Ok(None);
        }
        let has_trace = trace.is_some_and(|trace| trace.starts_with("ENABLED"));
        Self::new(id, version, has_trace).map(Some)
    }

    fn new(id: Option<&str>, version: Option<&str>, has_trace: bool) -> Result<Self, AwsError> {
        let (Some(id), Some(version)) = (id, version) else {
            return Err(AwsError::validation(
                "A guardrail needs both its identifier and its version.",
            ));
        };
        check(id, version)?;
        if is_missing(id) {
            return Err(AwsError::validation(
                "The guardrail identifier or version provided in the request does not exist.",
            ));
        }
        Ok(Self { id: id.to_owned(), version: version.to_owned(), has_trace })
    }

    /// Returns the trace of `Converse`.
    pub(crate) fn trace(&self, input: &Judgement, output: Option<&Judgement>) -> Value {
        let mut trace = json!({ "inputAssessment": { &self.id: input.assessment } });
        if let Some(output) = output {
            trace["outputAssessments"] = json!({ &self.id: [output.assessment] });
        }
        let judgements = [Some(input), output].into_iter().flatten();
        trace["actionReason"] = json!(action_reason(judgements));
        trace
    }

    /// Returns the trace of `InvokeModel`.
    pub(crate) fn trace_of_invoke(&self, input: &Judgement, output: Option<&Judgement>) -> Value {
        let mut guardrail = json!({ "input": { &self.id: input.assessment } });
        if let Some(output) = output {
            guardrail["outputs"] = json!([{ &self.id: output.assessment }]);
        }
        json!({ "guardrail": guardrail })
    }
}

/// Judges a text.
pub(crate) fn judge(text: &str, source: Source) -> Judgement {
    let is_blocked = text.contains(BLOCKED_WORD);
    let emails: Vec<&str> = match source {
        Source::Input => Vec::new(),
        Source::Output => text.split_whitespace().filter_map(email).collect(),
    };
    let mut assessment = Map::new();
    if is_blocked {
        let word = json!({ "match": BLOCKED_WORD, "action": "BLOCKED", "detected": true });
        let policy = json!({ "customWords": [word], "managedWordLists": [] });
        assessment.insert("wordPolicy".to_owned(), policy);
    }
    if !emails.is_empty() {
        let entity = |email: &&str| json!({ "match": email, "type": "EMAIL", "action": "ANONYMIZED", "detected": true });
        let entities: Vec<Value> = emails.iter().map(entity).collect();
        let policy = json!({ "piiEntities": entities, "regexes": [] });
        assessment.insert("sensitiveInformationPolicy".to_owned(), policy);
    }
    let characters = text.chars().count();
    let metrics = json!({
        "guardrailProcessingLatency": 100,
        "usage": usage(characters),
        "guardrailCoverage": coverage(characters),
    });
    assessment.insert("invocationMetrics".to_owned(), metrics);
    let replacement = if is_blocked {
        Some(BLOCKED_MESSAGE.to_owned())
    } else if emails.is_empty() {
        None
    } else {
        Some(emails.iter().fold(text.to_owned(), |text, email| text.replace(email, MASK)))
    };
    Judgement { replacement, is_blocked, assessment: Value::Object(assessment) }
}

/// Responds to `ApplyGuardrail`.
///
/// # Errors
///
/// 400 `ValidationException`, or 404 `ResourceNotFoundException` for a guardrail that is missing.
pub(crate) fn apply(id: &str, version: &str, body: &[u8]) -> Result<Response, AwsError> {
    check(id, version)?;
    if is_missing(id) {
        return Err(AwsError::bedrock(
            StatusCode::NOT_FOUND,
            "ResourceNotFoundException",
            "The guardrail identifier or version provided in the request does not exist.",
        ));
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let source = match body["source"].as_str() {
        Some("INPUT") => Source::Input,
        Some("OUTPUT") => Source::Output,
        _ => {
            return Err(AwsError::validation(
                "1 validation error detected: Value at 'source' failed to satisfy constraint: \
                 Member must satisfy enum value set: [INPUT, OUTPUT]",
            ));
        }
    };
    let blocks = body["content"].as_array().filter(|blocks| !blocks.is_empty());
    let blocks = blocks.ok_or_else(|| {
        AwsError::validation(
            "1 validation error detected: Value at 'content' failed to satisfy constraint: Member \
             must not be null",
        )
    })?;
    let texts: Vec<&str> = blocks
        .iter()
        .map(|block| {
            let text = block["text"]["text"].as_str();
            text.or(block["image"]["format"].as_str().map(|_| "")).ok_or_else(|| {
                AwsError::validation("A block of content must have a text or an image.")
            })
        })
        .collect::<Result<_, _>>()?;
    let judgements: Vec<Judgement> = texts.iter().map(|text| judge(text, source)).collect();
    let is_blocked = judgements.iter().any(|it| it.is_blocked);
    let intervened = judgements.iter().any(|it| it.replacement.is_some());
    let outputs: Vec<Value> = if is_blocked {
        vec![json!({ "text": BLOCKED_MESSAGE })]
    } else if intervened {
        let texts = texts.iter().zip(&judgements);
        texts
            .map(|(text, it)| json!({ "text": it.replacement.as_deref().unwrap_or(text) }))
            .collect()
    } else {
        Vec::new()
    };
    let characters = texts.iter().map(|text| text.chars().count()).sum();
    let assessments: Vec<&Value> = judgements.iter().map(|it| &it.assessment).collect();
    let response = json!({
        "usage": usage(characters),
        "action": if intervened { "GUARDRAIL_INTERVENED" } else { "NONE" },
        "actionReason": action_reason(judgements.iter()),
        "outputs": outputs,
        "assessments": assessments,
        "guardrailCoverage": coverage(characters),
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], response.to_string()).into_response())
}

fn action_reason<'a>(judgements: impl Iterator<Item = &'a Judgement> + Clone) -> &'static str {
    if judgements.clone().any(|it| it.is_blocked) {
        "Guardrail blocked."
    } else if judgements.clone().any(|it| it.replacement.is_some()) {
        "Guardrail masked."
    } else {
        "No action."
    }
}

fn check(id: &str, version: &str) -> Result<(), AwsError> {
    let id = id.rsplit("guardrail/").next().unwrap_or_default();
    let is_word = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    if id.is_empty() || !id.bytes().all(is_word) {
        return Err(AwsError::validation(format!(
            "1 validation error detected: Value '{id}' at 'guardrailIdentifier' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: \
             (|([a-z0-9]+)|(arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{{1,20}}:[0-9]{{12}}:guardrail/[a-z0-9]+))"
        )));
    }
    let is_number = !version.starts_with('0') && version.bytes().all(|it| it.is_ascii_digit());
    if version != "DRAFT" && (version.is_empty() || version.len() > 8 || !is_number) {
        return Err(AwsError::validation(format!(
            "1 validation error detected: Value '{version}' at 'guardrailVersion' failed to \
             satisfy constraint: Member must satisfy regular expression pattern: \
             (|([1-9][0-9]{{0,7}})|(DRAFT))"
        )));
    }
    Ok(())
}

fn is_missing(id: &str) -> bool {
    id.rsplit('/').next().unwrap_or_default().starts_with("missing")
}

/// Returns the part of a word that is an e-mail address.
fn email(word: &str) -> Option<&str> {
    let word = word.trim_matches(|it: char| !it.is_ascii_alphanumeric());
    let (name, domain) = word.split_once('@')?;
    (!name.is_empty() && domain.contains('.')).then_some(word)
}

fn usage(characters: usize) -> Value {
    let units = characters.div_ceil(UNIT);
    json!({
        "topicPolicyUnits": 0,
        "contentPolicyUnits": 0,
        "wordPolicyUnits": units,
        "sensitiveInformationPolicyUnits": units,
        "sensitiveInformationPolicyFreeUnits": 0,
        "contextualGroundingPolicyUnits": 0,
    })
}

fn coverage(characters: usize) -> Value {
    json!({ "textCharacters": { "guarded": characters, "total": characters } })
}
