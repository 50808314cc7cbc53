//! The settings, read once and validated together.
//!
//! The variables are the article's (`BEDROCK_REGION`, `BEDROCK_MODEL_ID`, `MAX_TOKENS`,
//! `TEMPERATURE`) and, for what it takes from the Lambda's role, those of the AWS SDKs. Where
//! they come from is the caller's business: a closure looks a name up.
//!
//! Out of scope: profiles, files, metadata services, web identities.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use endpoint::Endpoint;
pub(crate) use endpoint::is_loopback;
use endpoint::{is_plain_path, parse_endpoint};

use crate::credentials::{AssumeRole, Temporary};
use crate::gate::Access;
use crate::limits::Limits;
use crate::log::Level;
use crate::sign::Credentials;
use crate::upstream::Upstream;

mod endpoint;

/// InvokeModel takes a body of 25,000,000 bytes at most, so a larger limit could not be used.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>
const BEDROCK_MAX_BODY_BYTES: usize = 25_000_000;

const BEDROCK_ENDPOINT: &str = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME";

/// What stands for the region in an endpoint.
const REGION: &str = "{region}";

/// An hour, in milliseconds: longer than a model or a client waits.
const MAX_MS: u64 = 3_600_000;

/// All that the function is set to do.
///
/// ```
/// use bedrock_edge::Config;
///
/// let config = Config::from_vars(|name| match name {
///     "AWS_ACCESS_KEY_ID" => Some("AKIAIOSFODNN7EXAMPLE".to_owned()),
///     "AWS_SECRET_ACCESS_KEY" => Some("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
///     _ => None,
/// })?;
/// assert_eq!(config.max_tokens, 100);
/// assert_eq!(
///     config.endpoint.invoke_uri.to_string(),
///     "https://bedrock-runtime.ap-northeast-1.amazonaws.com\
///      /model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke",
/// );
/// # Ok::<(), bedrock_edge::ConfigError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// `BEDROCK_MODEL_ID` in `BEDROCK_REGION`: what is called when the caller names no model.
    pub endpoint: Endpoint,
    /// `BEDROCK_FALLBACK_REGIONS`: where to call, in this order, when that fails.
    pub fallbacks: Vec<Endpoint>,
    /// `ALLOWED_MODELS` in `BEDROCK_REGION`: what a caller may name beside the first.
    pub allowed_models: Vec<Endpoint>,
    /// `MAX_TOKENS`: what is sent when the caller names no number, and the most that it may name.
    pub max_tokens: u32,
    /// `TEMPERATURE`, 0 to 1: what is sent when the caller names none. `None`: not sent.
    pub temperature: Option<f64>,
    /// `BASE_PATH`: what the paths begin with, without a `/` at its end. Empty, or such as `/ai`.
    pub base_path: String,
    /// `MAX_BODY_BYTES`: the longest request body that is read.
    pub max_body_bytes: usize,
    /// `LOG_LEVEL`: the lowest level that is logged.
    pub log_level: Level,
    /// How a call to Bedrock proves who it is from.
    pub authentication: Authentication,
    /// `BEDROCK_TIMEOUT_MS`: how long a request may take, or a stream until its first frame.
    pub timeout: Duration,
    /// `BEDROCK_STALL_MS`: how long a stream may be silent after that.
    pub stall: Duration,
    /// `BEDROCK_MAX_ATTEMPTS`: how many calls are made in a region for one request, at most.
    pub max_attempts: u32,
    /// Who may call.
    pub access: Access,
    /// How much a caller may use.
    pub limits: Limits,
    /// What was learnt of Bedrock since.
    pub(crate) upstream: Upstream,
}

/// How a call to Bedrock proves who it is from.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // There is one, and it stays where it is.
pub enum Authentication {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`: Signature Version 4.
    SigV4(Credentials),
    /// `AWS_ROLE_ARN`: Signature Version 4 by temporary credentials, for which the three are good.
    AssumeRole(Box<AssumeRole>),
    /// `AWS_BEARER_TOKEN_BEDROCK`: a Bedrock API key. It wins over SigV4, as in the AWS SDKs.
    ApiKey(Secret),
}

impl Authentication {
    /// What of the settings must never reach a log or a client.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let (credentials, key) = match self {
            Self::SigV4(credentials) => (Some(credentials), None),
            Self::AssumeRole(role) => (Some(&role.source), None),
            Self::ApiKey(key) => (None, Some(key.expose())),
        };
        credentials.into_iter().flat_map(Credentials::secrets).chain(key)
    }

    /// The same of what the settings have led to.
    pub(crate) fn temporary(&self) -> Vec<Arc<Temporary>> {
        match self {
            Self::AssumeRole(role) => role.secrets(),
            Self::SigV4(_) | Self::ApiKey(_) => Vec::new(),
        }
    }
}

/// A text that Debug does not print.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. To be passed to what needs it, never to be stored or shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Every problem of a set of variables. It says which and why, and never repeats a value:
/// a secret may have been put under the wrong name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("; "))]
pub struct ConfigError {
    /// A sentence each, starting with the variable's name.
    pub problems: Vec<String>,
}

impl Config {
    /// Reads and validates all variables, with the article's defaults. White space around a value
    /// is dropped; a variable set to nothing counts as not set, but for `TEMPERATURE`.
    ///
    /// # Errors
    ///
    /// Names every variable that is wrong, not only the first.
    pub fn from_vars(vars: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut vars = Variables { look_up: vars, problems: Vec::new() };
        match Self::read(&mut vars) {
            Some(config) if vars.problems.is_empty() => Ok(config),
            _ => Err(ConfigError { problems: vars.problems }),
        }
    }

    fn read(vars: &mut Variables<impl Fn(&str) -> Option<String>>) -> Option<Self> {
        // Each is read before the first `?`, so that every problem is found.
        let region = vars.read("BEDROCK_REGION", "ap-northeast-1", parse_region);
        let model_id = vars.read(
            "BEDROCK_MODEL_ID",
            "apac.anthropic.claude-sonnet-4-20250514-v1:0",
            parse_model_id,
        );
        let max_tokens = vars.read("MAX_TOKENS", "100", |text| match text.parse() {
            Ok(0) | Err(_) => Err("must be a whole number from 1"),
            Ok(number) => Ok(number),
        });
        let temperature = match vars.text("TEMPERATURE").as_deref() {
            Some("") => Some(None),
            _ => vars.read("TEMPERATURE", "0.7", parse_temperature).map(Some),
        };
        let max_body_bytes = vars.read("MAX_BODY_BYTES", "1048576", |text| match text.parse() {
            Ok(bytes @ 1..=BEDROCK_MAX_BODY_BYTES) => Ok(bytes),
            _ => Err("must be a whole number from 1 to 25000000, the most that Bedrock takes"),
        });
        let base_path = vars.read("BASE_PATH", "/", parse_base_path);
        let log_level = vars.read("LOG_LEVEL", "info", |text| {
            text.parse().map_err(|()| "must be debug, info, warn or error")
        });
        let timeout = vars.read("BEDROCK_TIMEOUT_MS", "25000", parse_ms);
        let stall = vars.read("BEDROCK_STALL_MS", "30000", parse_ms);
        let max_attempts = vars.read("BEDROCK_MAX_ATTEMPTS", "3", |text| match text.parse() {
            Ok(number @ 1..=10) => Ok(number),
            _ => Err("must be a whole number from 1 to 10"),
        });
        let authentication = vars.authentication(region.as_deref());
        let fallbacks = vars.read_optional("BEDROCK_FALLBACK_REGIONS", parse_fallbacks);
        let allowed_models = vars.read("ALLOWED_MODELS", "", parse_model_ids);
        let access = Access::read(vars);
        let limits = vars.limits();

        let is_alone = matches!(fallbacks, Some(None));
        let url = vars.endpoint_url(is_alone)?;
        let (url, region) = (url.as_deref(), region?);
        let endpoint = vars.endpoint(url, region.clone(), model_id?)?;
        let mut beside = Vec::new();
        for model_id in allowed_models? {
            beside.push(vars.endpoint(url, region.clone(), model_id)?);
        }
        let mut others = Vec::new();
        for (region, model_id) in fallbacks?.unwrap_or_default() {
            others.push(vars.endpoint(url, region, model_id)?);
        }
        Some(Self {
            endpoint,
            allowed_models: beside,
            fallbacks: others,
            max_tokens: max_tokens?,
            temperature: temperature?,
            base_path: base_path?,
            max_body_bytes: max_body_bytes?,
            log_level: log_level?,
            authentication: authentication?,
            timeout: timeout?,
            stall: stall?,
            max_attempts: max_attempts?,
            access: access?,
            limits: limits?,
            upstream: Upstream::default(),
        })
    }

    /// The model of this id, or the default. `None`: it is not allowed.
    pub(crate) fn find_model(&self, id: Option<&str>) -> Option<&Endpoint> {
        let Some(id) = id else { return Some(&self.endpoint) };
        std::iter::once(&self.endpoint).chain(&self.allowed_models).find(|it| it.model_id == id)
    }
}

impl Config {
    /// The path below [`base_path`](Self::base_path), which begins with `/`; empty where the path
    /// is not below it.
    ///
    /// ```
    /// # use bedrock_edge::Config;
    /// let config = Config::from_vars(|name| match name {
    ///     "BASE_PATH" => Some("/ai".to_owned()),
    ///     "AWS_BEARER_TOKEN_BEDROCK" => Some("example".to_owned()),
    ///     _ => None,
    /// })?;
    /// assert_eq!(config.path_below("/ai"), "/");
    /// assert_eq!(config.path_below("/ai/ws"), "/ws");
    /// assert_eq!(config.path_below("/aims"), "");
    /// # Ok::<(), bedrock_edge::ConfigError>(())
    /// ```
    pub fn path_below<'a>(&self, path: &'a str) -> &'a str {
        match path.strip_prefix(&*self.base_path) {
            Some("") if !self.base_path.is_empty() => "/",
            Some(below) if below.starts_with('/') => below,
            _ => "",
        }
    }
}

pub(crate) struct Variables<F> {
    look_up: F,
    problems: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    fn text(&self, name: &str) -> Option<String> {
        // A secret that was piped into `wrangler secret put` often ends in a newline.
        (self.look_up)(name).map(|text| text.trim().to_owned())
    }

    pub(crate) fn non_empty(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// The variable or its default, parsed; `None` where that was a problem.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        match self.non_empty(name) {
            None => self.checked(name, parse(default)),
            Some(text) => self.checked(name, parse(&text)),
        }
    }

    /// As [`read`](Self::read), for a variable without a default: `Some(None)` where it is not set.
    pub(crate) fn read_optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<Option<T>> {
        let text = self.non_empty(name);
        self.parse_optional(name, text, parse)
    }

    fn parse_optional<T>(
        &mut self,
        name: &str,
        text: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<Option<T>> {
        match text {
            None => Some(None),
            Some(text) => self.checked(name, parse(&text)).map(Some),
        }
    }

    fn checked<T>(&mut self, name: &str, result: Result<T, &'static str>) -> Option<T> {
        result.map_err(|problem| self.problem(name, problem)).ok()
    }

    /// One more problem: the rest of a sentence that begins with the variable's name.
    #[inline(never)] // It is in many places.
    pub(crate) fn problem(&mut self, name: &str, problem: &str) {
        self.problems.push(format!("{name} {problem}"));
    }

    /// One endpoint for several regions must say where in it the region stands: a signature for one
    /// region is good for no other.
    fn endpoint_url(&mut self, is_alone: bool) -> Option<Option<String>> {
        let url = self.non_empty(BEDROCK_ENDPOINT);
        if !is_alone && url.as_ref().is_some_and(|url| !url.contains(REGION)) {
            let problem = "must have {region} in it, since there are other regions";
            self.problem(BEDROCK_ENDPOINT, problem);
            return None;
        }
        // Checked also where there is nothing to call, so that every problem is found.
        let checked = url.as_ref().map(|url| url.replace(REGION, "region"));
        self.parse_optional(BEDROCK_ENDPOINT, checked, parse_endpoint)?;
        Some(url)
    }

    fn endpoint(&mut self, url: Option<&str>, region: String, model: String) -> Option<Endpoint> {
        let url = url.map(|url| url.replace(REGION, &region));
        let base = self.parse_optional(BEDROCK_ENDPOINT, url, parse_endpoint)?;
        Endpoint::new(base.as_deref(), region, model)
            .map_err(|error| self.problems.push(format!("the endpoint is not a URL: {error}")))
            .ok()
    }

    fn authentication(&mut self, region: Option<&str>) -> Option<Authentication> {
        let api_key = self.read_optional("AWS_BEARER_TOKEN_BEDROCK", parse_header_text)?;
        if let Some(api_key) = api_key {
            return Some(Authentication::ApiKey(Secret::new(api_key)));
        }
        let id = self.read_required("AWS_ACCESS_KEY_ID");
        let secret = self.read_required("AWS_SECRET_ACCESS_KEY");
        let token = self.read_optional("AWS_SESSION_TOKEN", parse_header_text);
        let role_arn = self.read_optional("AWS_ROLE_ARN", parse_role_arn);
        let name = self.read("AWS_ROLE_SESSION_NAME", "bedrock-edge", parse_session_name);
        let url = self.non_empty("AWS_ENDPOINT_URL_STS");
        let url = self.parse_optional("AWS_ENDPOINT_URL_STS", url, parse_endpoint);
        let credentials = Credentials::new(id?, secret?, token?);
        let Some(role_arn) = role_arn? else {
            return Some(Authentication::SigV4(credentials));
        };
        let region = region?.to_owned();
        let url = url?.unwrap_or_else(|| format!("https://sts.{region}.amazonaws.com"));
        match format!("{url}/").parse() {
            Ok(endpoint) => {
                let role = AssumeRole::new(role_arn, name?, region, endpoint, credentials);
                Some(Authentication::AssumeRole(Box::new(role)))
            }
            Err(error) => {
                self.problems.push(format!("the endpoint of STS is not a URL: {error}"));
                None
            }
        }
    }

    fn read_required(&mut self, name: &str) -> Option<String> {
        let text = self.read_optional(name, parse_header_text)?;
        if text.is_none() {
            self.problems.push(format!("{name} is not set"));
        }
        text
    }
}

fn parse_region(text: &str) -> Result<String, &'static str> {
    // It becomes a part of the host name.
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.bytes().all(is_label) && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("must be the name of a region, such as ap-northeast-1")
    }
}

fn parse_model_id(text: &str) -> Result<String, &'static str> {
    let is_arn = text.starts_with("arn:");
    // InvokeModel's pattern for modelId has these characters, `/` in ARNs only, and 2048 of them.
    let is_allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"-._:".contains(&byte) || (is_arn && byte == b'/')
    };
    // A segment of dots would be taken out of the path.
    if text.len() > 2048 || !text.bytes().all(is_allowed) || [".", ".."].contains(&text) {
        return Err("must be a model id, an inference profile's id or an ARN");
    }
    // arn:partition:service:region:account:resource, of which region and account can be empty.
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    if is_arn && !matches!(*fields, [_, a, b, _, _, c] if ![a, b, c].contains(&"")) {
        return Err("must be a whole ARN: arn:partition:service:region:account:resource");
    }
    Ok(text.to_owned())
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

/// `region=model, region=model`: the prefix of a profile fits one region only.
fn parse_fallbacks(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let pair = |pair: &str| {
        let (region, model_id) = pair.split_once('=').unwrap_or_default();
        match (parse_region(region.trim()), parse_model_id(model_id.trim())) {
            (Ok(region), Ok(model_id)) if !region.is_empty() && !model_id.is_empty() => {
                Ok((region, model_id))
            }
            _ => Err("must be regions with a model each: \
                     us-east-1=us.anthropic.…,eu-west-1=eu.anthropic.…"),
        }
    };
    text.split(',').map(pair).collect()
}

fn parse_ms(text: &str) -> Result<Duration, &'static str> {
    match text.parse() {
        Ok(ms @ 1..=MAX_MS) => Ok(Duration::from_millis(ms)),
        _ => Err("must be a whole number of milliseconds from 1 to 3600000"),
    }
}

/// Separated by commas or white space.
fn parse_model_ids(text: &str) -> Result<Vec<String>, &'static str> {
    let ids = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|id| !id.is_empty());
    ids.map(parse_model_id)
        .collect::<Result<_, _>>()
        .map_err(|_| "must be a list of model ids, inference profiles' ids and ARNs")
}

fn parse_temperature(text: &str) -> Result<f64, &'static str> {
    // `str::parse` has tables of 10 KiB for it.
    match serde_json::from_str(text) {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("must be a number from 0 to 1, or empty"),
    }
}

fn parse_header_text(text: &str) -> Result<String, &'static str> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must be printable ASCII without white space")
    }
}

fn parse_base_path(text: &str) -> Result<String, &'static str> {
    let path = text.strip_suffix('/').unwrap_or(text);
    if path.is_empty() || path.strip_prefix('/').is_some_and(is_plain_path) {
        Ok(path.to_owned())
    } else {
        Err("must be a path that begins with /, of letters, digits, -, ., _ and ~ only")
    }
}

#[cfg(test)]
mod tests;
