//! The guardrail that every call to Bedrock uses.

use http::HeaderValue;

use super::variables::Variables;

/// A guardrail of Amazon Bedrock, which checks prompts and replies. Callers cannot take it off.
///
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-use.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guardrail {
    /// `BEDROCK_GUARDRAIL_ID`: its id or its ARN.
    pub id: HeaderValue,
    /// `BEDROCK_GUARDRAIL_VERSION`.
    pub version: HeaderValue,
}

impl Guardrail {
    /// Returns `Some(None)` if none is configured.
    pub(super) fn read(
        vars: &mut Variables<impl Fn(&str) -> Option<String>>,
    ) -> Option<Option<Self>> {
        const ID: &str = "BEDROCK_GUARDRAIL_ID";
        const VERSION: &str = "BEDROCK_GUARDRAIL_VERSION";
        let id = vars.read_optional(ID, parse_id);
        let version = vars.read_optional(VERSION, parse_version);
        match (id?, version?) {
            (Some(id), Some(version)) => Some(Some(Self { id, version })),
            (None, None) => Some(None),
            (Some(_), None) => {
                vars.problem(VERSION, "is not set, and BEDROCK_GUARDRAIL_ID is");
                None
            }
            (None, Some(_)) => {
                vars.problem(ID, "is not set, and BEDROCK_GUARDRAIL_VERSION is");
                None
            }
        }
    }
}

fn parse_id(text: &str) -> Result<HeaderValue, &'static str> {
    const FORM: &str = "must be the id or the ARN of a guardrail";
    let is_id = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let is_arn = matches!(*fields, ["arn", partition, "bedrock", region, _, resource]
        if partition.starts_with("aws") && !region.is_empty()
            && resource.split_once('/').is_some_and(|(kind, id)| kind == "guardrail" && is_id(id)));
    let is_valid = text.len() <= 2048 && (is_id(text) || is_arn);
    HeaderValue::from_str(text).ok().filter(|_| is_valid).ok_or(FORM)
}

fn parse_version(text: &str) -> Result<HeaderValue, &'static str> {
    let is_number =
        text.len() <= 8 && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_valid = is_number || text.eq_ignore_ascii_case("draft");
    let value = HeaderValue::from_str(&text.to_ascii_uppercase()).ok().filter(|_| is_valid);
    value.ok_or("must be the number of a version, or DRAFT")
}
