//! The credentials for Bedrock.

use super::endpoint::parse_endpoint;
use super::variables::{Variables, parse_header_text};
use crate::aws::{Credentials, RoleSettings, Variant, check_arn, endpoint_url};
use crate::secret::Secret;

/// The authentication of calls to Bedrock.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // There is one, and it is not moved.
pub enum Authentication {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`: Signature Version 4.
    SigV4(Credentials),
    /// `AWS_ROLE_ARN`: Signature Version 4 with temporary credentials, which the three variables are used to get.
    AssumeRole(Box<RoleSettings>),
    /// `AWS_BEARER_TOKEN_BEDROCK`: a Bedrock API key. It wins over SigV4, as in the AWS SDKs.
    ApiKey(Secret),
}

impl Authentication {
    /// Returns every secret that must never reach a log or a client.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let (credentials, key) = match self {
            Self::SigV4(credentials) => (Some(credentials), None),
            Self::AssumeRole(role) => (Some(&role.source), None),
            Self::ApiKey(key) => (None, Some(key.expose())),
        };
        credentials.into_iter().flat_map(Credentials::secrets).chain(key)
    }

    pub(super) fn read(
        vars: &mut Variables<impl Fn(&str) -> Option<String>>,
        region: Option<&str>,
        variant: Option<Variant>,
    ) -> Option<Self> {
        let api_key = vars.read_optional("AWS_BEARER_TOKEN_BEDROCK", parse_header_text)?;
        if let Some(api_key) = api_key {
            return Some(Self::ApiKey(Secret::new(api_key)));
        }
        let id = vars.read_required("AWS_ACCESS_KEY_ID");
        let secret = vars.read_required("AWS_SECRET_ACCESS_KEY");
        let token = vars.read_optional("AWS_SESSION_TOKEN", parse_header_text);
        let role_arn = vars.read_optional(ROLE_ARN, parse_role_arn);
        let name = vars.read("AWS_ROLE_SESSION_NAME", "bedrock-edge", parse_session_name);
        let external_id = vars.read_optional("AWS_ROLE_EXTERNAL_ID", parse_external_id);
        let duration = vars.read_optional("AWS_ROLE_DURATION_SECONDS", parse_duration);
        let tags = vars.read_optional("AWS_ROLE_SESSION_TAGS", parse_tags);
        let url = vars.read_optional("AWS_ENDPOINT_URL_STS", parse_endpoint);
        let credentials = Credentials::new(id?, secret?, token?);
        let (external_id, duration, tags) = (external_id?, duration?, tags?.unwrap_or_default());
        let Some(role_arn) = role_arn? else {
            return Some(Self::SigV4(credentials));
        };
        let (region, variant) = (region?.to_owned(), variant?);
        // A role has no region, and its partition must be the region's.
        if check_arn(&role_arn, &region).is_err() {
            vars.problem(ROLE_ARN, "is an ARN of another partition than BEDROCK_REGION's");
            return None;
        }
        let url = url?.unwrap_or_else(|| endpoint_url("sts", &region, variant));
        match format!("{url}/").parse() {
            Ok(endpoint) => {
                let mut role = RoleSettings::new(role_arn, name?, region, endpoint, credentials);
                role.external_id = external_id;
                role.duration = duration;
                role.tags = tags;
                Some(Self::AssumeRole(Box::new(role)))
            }
            Err(error) => {
                vars.problem("the endpoint of STS", &format!("is not a URL: {error}"));
                None
            }
        }
    }
}

const ROLE_ARN: &str = "AWS_ROLE_ARN";

fn parse_role_arn(text: &str) -> Result<String, &'static str> {
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let is_role = matches!(*fields, ["arn", partition, "iam", "", account, role]
        if !partition.is_empty() && account.len() == 12 && role.starts_with("role/"));
    if is_role && text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must be a role's ARN: arn:aws:iam::123456789012:role/name")
    }
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
fn parse_session_name(text: &str) -> Result<String, &'static str> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if (2..=64).contains(&text.len()) && text.bytes().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("must be 2 to 64 letters, digits and _+=,.@-")
    }
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
fn parse_external_id(text: &str) -> Result<String, &'static str> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte);
    if (2..=1224).contains(&text.len()) && text.bytes().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("must be 2 to 1224 letters, digits and _+=,.@:/-")
    }
}

fn parse_duration(text: &str) -> Result<u32, &'static str> {
    match text.parse() {
        Ok(seconds @ 900..=43_200) => Ok(seconds),
        _ => Err("must be a whole number of seconds from 900 to 43200"),
    }
}

/// Parses `key=value, key=value`.
fn parse_tags(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    const FORM: &str = "must be up to 50 tags of the form key=value, between them a comma, the keys of up to 128 and \
         the values of up to 256 letters, digits, spaces and _.:/=+-@, no key twice";
    let is_allowed = |text: &str| {
        text.chars().all(|it| it.is_alphanumeric() || it == ' ' || "_.:/=+-@".contains(it))
    };
    let mut tags: Vec<(String, String)> = Vec::new();
    for tag in text.split(',') {
        let (key, value) = tag.split_once('=').ok_or(FORM)?;
        let (key, value) = (key.trim(), value.trim());
        let is_valid = (1..=128).contains(&key.chars().count())
            && value.chars().count() <= 256
            && is_allowed(key)
            && is_allowed(value)
            && !tags.iter().any(|(known, _)| known.eq_ignore_ascii_case(key));
        if !is_valid {
            return Err(FORM);
        }
        tags.push((key.to_owned(), value.to_owned()));
    }
    if tags.len() > 50 { Err(FORM) } else { Ok(tags) }
}
