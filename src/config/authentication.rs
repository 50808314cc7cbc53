//! The credentials for Bedrock.

use super::endpoint::parse_endpoint;
use super::variables::{Variables, parse_header_text};
use crate::aws::{Credentials, RoleSettings};
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
    ) -> Option<Self> {
        let api_key = vars.read_optional("AWS_BEARER_TOKEN_BEDROCK", parse_header_text)?;
        if let Some(api_key) = api_key {
            return Some(Self::ApiKey(Secret::new(api_key)));
        }
        let id = vars.read_required("AWS_ACCESS_KEY_ID");
        let secret = vars.read_required("AWS_SECRET_ACCESS_KEY");
        let token = vars.read_optional("AWS_SESSION_TOKEN", parse_header_text);
        let role_arn = vars.read_optional("AWS_ROLE_ARN", parse_role_arn);
        let name = vars.read("AWS_ROLE_SESSION_NAME", "bedrock-edge", parse_session_name);
        let url = vars.read_optional("AWS_ENDPOINT_URL_STS", parse_endpoint);
        let credentials = Credentials::new(id?, secret?, token?);
        let Some(role_arn) = role_arn? else {
            return Some(Self::SigV4(credentials));
        };
        let region = region?.to_owned();
        let url = url?.unwrap_or_else(|| format!("https://sts.{region}.amazonaws.com"));
        match format!("{url}/").parse() {
            Ok(endpoint) => {
                let role = RoleSettings::new(role_arn, name?, region, endpoint, credentials);
                Some(Self::AssumeRole(Box::new(role)))
            }
            Err(error) => {
                vars.problem("the endpoint of STS", &format!("is not a URL: {error}"));
                None
            }
        }
    }
}

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
