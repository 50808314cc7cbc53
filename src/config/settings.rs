//! All settings together.

use std::borrow::Cow;
use std::time::Duration;

use super::access::Access;
use super::authentication::Authentication;
use super::endpoint::{
    Endpoint, is_plain_path, parse_fallbacks, parse_model, parse_models, parse_region,
};
use super::guardrail::Guardrail;
use super::level::Level;
use super::limits::Limits;
use super::patterns::Patterns;
use super::sessions::Sessions;
use super::variables::{ConfigError, Variables};
use crate::aws::check_arn;
use crate::claude::Model;

/// The longest body that InvokeModel accepts.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>
const BEDROCK_MAX_BODY_BYTES: usize = 25_000_000;

/// An hour in milliseconds, longer than a model or a client waits.
const MAX_MS: u64 = 3_600_000;

/// A model that always thinks spends this many tokens before its first text, or more.
const TOKENS_OF_THINKING: u32 = 1024;

/// The settings.
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
    /// `BEDROCK_MODEL_ID` in `BEDROCK_REGION`: the model of a request that names none.
    pub endpoint: Endpoint,
    /// `BEDROCK_FALLBACK_REGIONS`: where to call in this order when the first region fails.
    pub fallbacks: Vec<Endpoint>,
    /// `ALLOWED_MODELS` in `BEDROCK_REGION`: the other models that a request may name. `*` is the whole table, and a
    /// pattern those models of it that fit.
    pub allowed_models: Vec<Endpoint>,
    /// The patterns in `ALLOWED_MODELS`: a request may name every id that fits one.
    pub(crate) allowed_patterns: Patterns,
    /// `MAX_TOKENS`: the `max_tokens` of a request that names none, and the most that a request may name.
    pub max_tokens: u32,
    /// `TEMPERATURE`, from 0 to 1: the temperature of a request that names none, unless the model refuses one.
    /// `None`: it is not sent.
    pub temperature: Option<f64>,
    /// `BASE_PATH`: the prefix of every path, without a `/` at its end. Empty, or such as `/ai`.
    pub base_path: String,
    /// `MAX_BODY_BYTES`: the longest body of a request that is read.
    pub max_body_bytes: usize,
    /// `MAX_OUTPUT_TOKENS`: the most `max_tokens` of a request to the Messages API. `None`: the model's.
    pub max_output_tokens: Option<u32>,
    /// `BEDROCK_MESSAGES=native`: the Messages API calls Bedrock's own in place of InvokeModel.
    pub calls_native_messages: bool,
    /// `MAX_MESSAGES_BODY_BYTES`: the longest body of a request to the Messages API.
    pub max_messages_body_bytes: usize,
    /// `LOG_LEVEL`: the lowest level that is logged.
    pub log_level: Level,
    /// `LOG_UPSTREAM_MESSAGES`: whether AWS's messages are logged in full, even if they can quote a prompt or a reply.
    pub logs_upstream_messages: bool,
    /// How calls to Bedrock are authenticated.
    pub authentication: Authentication,
    /// `BEDROCK_GUARDRAIL_ID` and `BEDROCK_GUARDRAIL_VERSION`: the guardrail of every call.
    pub(crate) guardrail: Option<Guardrail>,
    /// `BEDROCK_TIMEOUT_MS`: how long a request, or the first frame of a stream, may take.
    pub timeout: Duration,
    /// `BEDROCK_STALL_MS`: how long a stream may be silent after its first frame.
    pub stall: Duration,
    /// `BEDROCK_MAX_ATTEMPTS`: how often one request may call one region.
    pub max_attempts: u32,
    /// The callers that may use the Worker.
    pub access: Access,
    /// How much a caller may use.
    pub limits: Limits,
    /// The settings of sessions.
    pub sessions: Sessions,
    /// Settings that are valid but will not work well, a sentence each. Log them at start.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads and validates all variables. White space around a value is dropped. A variable that is set to nothing
    /// counts as not set, except for `TEMPERATURE`.
    ///
    /// # Errors
    ///
    /// Names every variable that is wrong, not only the first.
    pub fn from_vars(vars: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut vars = Variables::new(vars);
        let config = Self::read(&mut vars);
        vars.finish(config)
    }

    fn read(vars: &mut Variables<impl Fn(&str) -> Option<String>>) -> Option<Self> {
        // Everything is read before the first `?`, so that every problem is found.
        let region = vars.read("BEDROCK_REGION", "ap-northeast-1", parse_region);
        let model = vars.read(
            "BEDROCK_MODEL_ID",
            "apac.anthropic.claude-sonnet-4-20250514-v1:0",
            parse_model,
        );
        let max_tokens = vars.read("MAX_TOKENS", "100", parse_tokens);
        let temperature = match vars.text("TEMPERATURE").as_deref() {
            Some("") => Some(None),
            _ => vars.read("TEMPERATURE", "0.7", parse_temperature).map(Some),
        };
        let max_output_tokens = vars.read_optional("MAX_OUTPUT_TOKENS", parse_tokens);
        let max_body_bytes = vars.read("MAX_BODY_BYTES", "1048576", parse_body_bytes);
        let calls_native_messages = vars.read("BEDROCK_MESSAGES", "invoke", |text| match text {
            "invoke" => Ok(false),
            "native" => Ok(true),
            _ => Err("must be invoke or native"),
        });
        let max_messages_body_bytes =
            vars.read("MAX_MESSAGES_BODY_BYTES", "20000000", parse_body_bytes);
        let base_path = vars.read("BASE_PATH", "/", parse_base_path);
        let log_level = vars.read("LOG_LEVEL", "info", |text| {
            text.parse().map_err(|()| "must be debug, info, warn or error")
        });
        let logs_upstream_messages =
            vars.read("LOG_UPSTREAM_MESSAGES", "known", parse_upstream_messages);
        let timeout = vars.read("BEDROCK_TIMEOUT_MS", "25000", parse_ms);
        let stall = vars.read("BEDROCK_STALL_MS", "30000", parse_ms);
        let max_attempts = vars.read("BEDROCK_MAX_ATTEMPTS", "3", |text| match text.parse() {
            Ok(number @ 1..=10) => Ok(number),
            _ => Err("must be a whole number from 1 to 10"),
        });
        let variant = vars.endpoint_variant();
        let authentication = Authentication::read(vars, region.as_deref(), variant);
        let fallback_models = vars.read_optional("BEDROCK_FALLBACK_REGIONS", parse_fallbacks);
        let guardrail = Guardrail::read(vars);
        if let (Some(Some(_)), Some(Some(_))) = (&guardrail, &fallback_models) {
            let problem = "belongs to one region: take BEDROCK_FALLBACK_REGIONS out";
            vars.problem("BEDROCK_GUARDRAIL_ID", problem);
        }
        if let (Some(Some(_)), Some(true)) = (&guardrail, calls_native_messages) {
            let problem = "is for InvokeModel: take BEDROCK_MESSAGES=native out";
            vars.problem("BEDROCK_GUARDRAIL_ID", problem);
        }
        let other_models = vars.read("ALLOWED_MODELS", "", parse_models);
        let access = Access::read(vars);
        let limits = vars.limits();
        let sessions = vars.sessions();

        let url = vars.endpoint_url(!matches!(fallback_models, Some(None)))?;
        let (url, region) = ((url.as_deref(), variant?), region?);
        if let Some(Some(Guardrail { id, .. })) = &guardrail
            && id.to_str().is_ok_and(|id| check_arn(id, &region).is_err())
        {
            vars.problem("BEDROCK_GUARDRAIL_ID", "is an ARN of another region than BEDROCK_REGION");
        }
        let endpoint = vars.endpoint("BEDROCK_MODEL_ID", url, region.clone(), model?);
        let mut allowed_models = Vec::new();
        let endpoint = endpoint?;
        let mut other_models = other_models?;
        let named = other_models.len();
        let patterns = std::mem::take(&mut other_models.patterns);
        let base = vars.base(url, &region)?;
        let allowed_patterns = Patterns::new(patterns, region.clone(), base);
        for model in other_models.named(&endpoint) {
            allowed_models.push(vars.endpoint("ALLOWED_MODELS", url, region.clone(), model)?);
        }
        for endpoint in allowed_patterns.known() {
            let is_it = |it: &Endpoint| it.model_id == endpoint.model_id;
            if !allowed_models.iter().any(is_it) {
                allowed_models.push(endpoint);
            }
        }
        let mut fallbacks = Vec::new();
        for (region, model) in fallback_models?.unwrap_or_default() {
            fallbacks.push(vars.endpoint("BEDROCK_FALLBACK_REGIONS", url, region, model)?);
        }
        let mut config = Self {
            endpoint,
            allowed_models,
            allowed_patterns,
            fallbacks,
            max_tokens: max_tokens?,
            temperature: temperature?,
            base_path: base_path?,
            max_body_bytes: max_body_bytes?,
            max_output_tokens: max_output_tokens?,
            max_messages_body_bytes: max_messages_body_bytes?,
            calls_native_messages: calls_native_messages?,
            log_level: log_level?,
            logs_upstream_messages: logs_upstream_messages?,
            authentication: authentication?,
            guardrail: guardrail?,
            timeout: timeout?,
            stall: stall?,
            max_attempts: max_attempts?,
            access: access?,
            limits: limits?,
            sessions: sessions?,
            warnings: Vec::new(),
        };
        config.warn(named);
        Some(config)
    }

    /// Warns of models that think longer than a reply may be, except for those that `*` allows.
    fn warn(&mut self, named: usize) {
        if self.max_tokens >= TOKENS_OF_THINKING {
            return;
        }
        let named = self.allowed_models.iter().take(named);
        let mut models = std::iter::once(&self.endpoint).chain(named).chain(&self.fallbacks);
        let thinking = models.find_map(|it| it.model.filter(|model| model.always_thinks()));
        if let Some(Model { name, .. }) = thinking {
            self.warnings.push(format!(
                "MAX_TOKENS is {}, and {name} always thinks before it replies, which counts: replies may have \
                 no text. Set MAX_TOKENS to {TOKENS_OF_THINKING} or more",
                self.max_tokens
            ));
        }
    }

    /// Returns the models that a request may name, in `BEDROCK_REGION`.
    pub(crate) fn callable(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.endpoint).chain(&self.allowed_models)
    }

    /// Finds the model that a request names, or the default. Returns `None` if callers may not use it.
    pub(crate) fn find_model(&self, name: Option<&str>) -> Option<Cow<'_, Endpoint>> {
        let Some(name) = name else { return Some(Cow::Borrowed(&self.endpoint)) };
        let known = self.callable().find(|it| it.is_named(name)).map(Cow::Borrowed);
        known.or_else(|| self.allowed_patterns.find(name).map(Cow::Owned))
    }

    /// Reports whether a model is the default one.
    pub(crate) fn is_default(&self, endpoint: &Endpoint) -> bool {
        std::ptr::eq(endpoint, &self.endpoint)
    }

    /// Finds the model whose tokens a request of CountTokens counts: of a profile, that operation takes the id without the
    /// prefix.
    pub(crate) fn find_counted(&self, id: &str) -> Option<&Endpoint> {
        let counted = Model::by_id(id).filter(|_| id.starts_with("anthropic."))?;
        self.callable().find(|it| it.model == Some(counted))
    }

    /// Returns the fallback regions, if their model is that of the first region: a body is made for one model.
    pub(crate) fn fallbacks_of_one_model(&self) -> &[Endpoint] {
        let is_other = |it: &Endpoint| it.model != self.endpoint.model;
        if self.fallbacks.iter().any(is_other) { &[] } else { &self.fallbacks }
    }

    /// Returns the path below [`base_path`](Self::base_path), which begins with `/`; empty if the path is not
    /// below it.
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

/// Parses whether AWS's messages are logged in full.
pub(super) fn parse_upstream_messages(text: &str) -> Result<bool, &'static str> {
    match text {
        "known" => Ok(false),
        "full" => Ok(true),
        _ => Err("must be known or full"),
    }
}

fn parse_tokens(text: &str) -> Result<u32, &'static str> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a whole number from 1"),
        Ok(number) => Ok(number),
    }
}

fn parse_body_bytes(text: &str) -> Result<usize, &'static str> {
    match text.parse() {
        Ok(bytes @ 1..=BEDROCK_MAX_BODY_BYTES) => Ok(bytes),
        _ => Err("must be a whole number from 1 to 25000000, the most that Bedrock takes"),
    }
}

fn parse_ms(text: &str) -> Result<Duration, &'static str> {
    match text.parse() {
        Ok(ms @ 1..=MAX_MS) => Ok(Duration::from_millis(ms)),
        _ => Err("must be a whole number of milliseconds from 1 to 3600000"),
    }
}

fn parse_temperature(text: &str) -> Result<f64, &'static str> {
    // `str::parse` brings tables of 10 KiB.
    match serde_json::from_str(text) {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("must be a number from 0 to 1, or empty"),
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
