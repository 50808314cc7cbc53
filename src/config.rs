//! The settings, read once and validated together.
//!
//! The variables are the article's (`BEDROCK_REGION`, `BEDROCK_MODEL_ID`, `MAX_TOKENS`,
//! `TEMPERATURE`) and, for what it takes from the Lambda's role, those of the AWS SDKs. Where
//! they come from is the caller's business: a closure looks a name up.
//!
//! Out of scope: profiles, files, metadata services, any other credential provider.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use http::uri::InvalidUri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::limits::Limits;
use crate::log::Level;
use crate::sign::Credentials;

/// InvokeModel takes a body of 25,000,000 bytes at most, so a larger limit could not be used.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>
const BEDROCK_MAX_BODY_BYTES: usize = 25_000_000;

/// RFC 3986's unreserved characters stay; `:` and `/` in a model id must not.
const MODEL_ID_ESCAPES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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
///     config.model.invoke_uri.to_string(),
///     "https://bedrock-runtime.ap-northeast-1.amazonaws.com\
///      /model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke",
/// );
/// # Ok::<(), bedrock_edge::ConfigError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// `BEDROCK_REGION`: the region of the endpoint and of the credential scope.
    pub region: String,
    /// `BEDROCK_MODEL_ID`: what is called when the caller names no model.
    pub model: Endpoint,
    /// `ALLOWED_MODELS`: what a caller may name beside it.
    pub allowed_models: Vec<Endpoint>,
    /// `MAX_TOKENS`: what is sent when the caller names no number, and the most that it may name.
    pub max_tokens: u32,
    /// `TEMPERATURE`, 0 to 1: what is sent when the caller names none. `None`: not sent.
    pub temperature: Option<f64>,
    /// `MAX_BODY_BYTES`: the longest request body that is read.
    pub max_body_bytes: usize,
    /// `LOG_LEVEL`: the lowest level that is logged.
    pub log_level: Level,
    /// How a call to Bedrock proves who it is from.
    pub authentication: Authentication,
    /// How much a caller may use.
    pub limits: Limits,
}

/// A model, and where it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// A model id, an inference profile's id, or an ARN.
    pub model_id: String,
    /// Where InvokeModel is, with the model id percent-encoded once. Made here, because it is
    /// the same for every request.
    pub invoke_uri: Uri,
    /// Where InvokeModelWithResponseStream is.
    pub stream_uri: Uri,
}

impl Endpoint {
    fn new(base: &str, model_id: String) -> Result<Self, InvalidUri> {
        let model_uri =
            format!("{base}/model/{}", utf8_percent_encode(&model_id, MODEL_ID_ESCAPES));
        Ok(Self {
            invoke_uri: format!("{model_uri}/invoke").parse()?,
            stream_uri: format!("{model_uri}/invoke-with-response-stream").parse()?,
            model_id,
        })
    }
}

/// How a call to Bedrock proves who it is from.
#[derive(Debug)]
pub enum Authentication {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`: Signature Version 4.
    SigV4(Credentials),
    /// `AWS_BEARER_TOKEN_BEDROCK`: a Bedrock API key. It wins over SigV4, as in the AWS SDKs.
    ApiKey(Secret),
}

impl Authentication {
    /// What must never reach a log or a client.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let (credentials, key) = match self {
            Self::SigV4(credentials) => (Some(credentials), None),
            Self::ApiKey(key) => (None, Some(key.expose())),
        };
        credentials.into_iter().flat_map(Credentials::secrets).chain(key)
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
        let log_level = vars.read("LOG_LEVEL", "info", |text| {
            text.parse().map_err(|()| "must be debug, info, warn or error")
        });
        let authentication = vars.authentication();
        let endpoint = vars.read_optional("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", parse_endpoint);
        let allowed_models = vars.read("ALLOWED_MODELS", "", parse_model_ids);
        let limits = vars.limits();

        let (region, model_id) = (region?, model_id?);
        let base =
            endpoint?.unwrap_or_else(|| format!("https://bedrock-runtime.{region}.amazonaws.com"));
        let mut endpoint = |model_id| {
            Endpoint::new(&base, model_id)
                .map_err(|error| vars.problems.push(format!("the endpoint is not a URL: {error}")))
                .ok()
        };
        Some(Self {
            region,
            model: endpoint(model_id)?,
            allowed_models: allowed_models?.into_iter().map(endpoint).collect::<Option<_>>()?,
            max_tokens: max_tokens?,
            temperature: temperature?,
            max_body_bytes: max_body_bytes?,
            log_level: log_level?,
            authentication: authentication?,
            limits: limits?,
        })
    }

    /// The model of this id, or the default. `None`: it is not allowed.
    pub(crate) fn find_model(&self, id: Option<&str>) -> Option<&Endpoint> {
        let Some(id) = id else { return Some(&self.model) };
        std::iter::once(&self.model).chain(&self.allowed_models).find(|it| it.model_id == id)
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
        let text = self.non_empty(name).unwrap_or_else(|| default.to_owned());
        parse(&text).map_err(|problem| self.problems.push(format!("{name} {problem}"))).ok()
    }

    /// As [`read`](Self::read), for a variable without a default: `Some(None)` where it is not set.
    pub(crate) fn read_optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<Option<T>> {
        match self.non_empty(name) {
            None => Some(None),
            Some(text) => self.read(name, &text, parse).map(Some),
        }
    }

    fn authentication(&mut self) -> Option<Authentication> {
        let api_key = self.read_optional("AWS_BEARER_TOKEN_BEDROCK", parse_header_text)?;
        if let Some(api_key) = api_key {
            return Some(Authentication::ApiKey(Secret::new(api_key)));
        }
        let id = self.read_required("AWS_ACCESS_KEY_ID");
        let secret = self.read_required("AWS_SECRET_ACCESS_KEY");
        let token = self.read_optional("AWS_SESSION_TOKEN", parse_header_text);
        Some(Authentication::SigV4(Credentials::new(id?, secret?, token?)))
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

/// Separated by commas or white space.
fn parse_model_ids(text: &str) -> Result<Vec<String>, &'static str> {
    let ids = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|id| !id.is_empty());
    ids.map(parse_model_id)
        .collect::<Result<_, _>>()
        .map_err(|_| "must be a list of model ids, inference profiles' ids and ARNs")
}

fn parse_temperature(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
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

/// An endpoint in place of AWS's own, as a URL without a `/` at its end.
///
/// The signature covers the host and the path that go over the wire, and `fetch` takes them
/// through WHATWG's URL parser. So this takes only what that parser leaves as it is, or what it
/// changes in a known way: the case of the host, a default port.
fn parse_endpoint(text: &str) -> Result<String, &'static str> {
    const NOT_A_URL: &str = "must be an http or https URL with no user, query or fragment";
    const NOT_A_PATH: &str =
        "must have a path of letters, digits, -, ., _ and ~ only, with no empty or dot segments";

    if text.contains(['?', '#']) {
        return Err(NOT_A_URL);
    }
    let (scheme, rest) = text.split_once("://").ok_or(NOT_A_URL)?;
    let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
        "https" => ("https", 443),
        "http" => ("http", 80),
        _ => return Err(NOT_A_URL),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let number: u16 = port.parse().map_err(|_| NOT_A_URL)?;
            // Not `+80` or `080`.
            if number.to_string() != port {
                return Err(NOT_A_URL);
            }
            (host, Some(number))
        }
        _ => (authority, None),
    };
    let host = parse_host(host).ok_or(NOT_A_URL)?;
    if scheme == "http" && !is_loopback(&host) {
        return Err("must be https: plain http is for a loopback address only");
    }
    let port = match port {
        Some(port) if port != default_port => format!(":{port}"),
        _ => String::new(),
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if path.is_empty() {
        return Ok(format!("{scheme}://{host}{port}"));
    }
    if !path.bytes().all(is_allowed) || path.split('/').any(|part| ["", ".", ".."].contains(&part))
    {
        return Err(NOT_A_PATH);
    }
    Ok(format!("{scheme}://{host}{port}/{path}"))
}

/// The host as a URL has it.
fn parse_host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    // WHATWG takes a host that ends in a number for an IPv4 address.
    let last = text.rsplit('.').next()?;
    let is_address = last.starts_with(|c: char| c.is_ascii_digit());
    let is_host =
        if is_address { text.parse::<Ipv4Addr>().is_ok() } else { text.split('.').all(is_label) };
    is_host.then(|| text.to_ascii_lowercase())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests;
