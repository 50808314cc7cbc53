//! Models and regions, and the URIs of their operations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use percent_encoding::utf8_percent_encode;

use super::variables::{Variables, entries};
use crate::aws::{Elsewhere, Variant, check_model, endpoint_url};
use crate::claude::{Codec, Feature, Model};
use crate::percent::RESERVED;

const BEDROCK_ENDPOINT: &str = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME";

/// The path of Bedrock's Messages API.
const MESSAGES_PATH: &str = "/anthropic/v1/messages";

/// The placeholder for the region in an endpoint.
const REGION: &str = "{region}";

/// A model in a region. The URIs are made once, because they are the same for every request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Endpoint {
    /// The region of the endpoint and of the credential scope.
    pub region: String,
    /// A model id, an inference profile's id, or an ARN.
    pub model_id: String,
    /// The model's row in the table, by the name before `=` or by the id. `None`: the model is unknown.
    pub model: Option<&'static Model>,
    /// The format in which the model is called.
    pub codec: Codec,
    /// The URI of InvokeModel, with the model id percent-encoded once.
    pub invoke_uri: Uri,
    /// The URI of InvokeModelWithResponseStream.
    pub stream_uri: Uri,
    /// The URI of Converse.
    pub converse_uri: Uri,
    /// The URI of ConverseStream.
    pub converse_stream_uri: Uri,
    /// The URI of Bedrock's Messages API.
    pub messages_uri: Uri,
    /// The URI of CountTokens, which takes the ids of some models, without the prefix of a profile.
    pub count_uri: Option<Uri>,
}

impl Endpoint {
    /// Makes the URIs below `base`, a URL without a `/` at its end, or a variant of AWS's own.
    pub(super) fn new(
        base: Result<&str, Variant>,
        region: String,
        model: NamedModel,
    ) -> Result<Self, http::uri::InvalidUri> {
        let NamedModel { id: model_id, model } = model;
        let own;
        let base = match base {
            Ok(base) => base,
            Err(variant) => {
                own = endpoint_url("bedrock-runtime", &region, variant);
                &own
            }
        };
        // A model id contains `:`, and an ARN `/`.
        let uri = format!("{base}/model/{}", utf8_percent_encode(&model_id, RESERVED));
        let counted = model
            .filter(|model| model.codec == Codec::Claude && !model.refuses(Feature::CountTokens));
        let counted = counted.map(|model| {
            let id = utf8_percent_encode(model.id, RESERVED);
            format!("{base}/model/{id}/count-tokens").parse()
        });
        let codec = model.map_or_else(|| Codec::of_unknown(&model_id), |model| model.codec);
        Ok(Self {
            region,
            model_id,
            model,
            codec,
            invoke_uri: format!("{uri}/invoke").parse()?,
            stream_uri: format!("{uri}/invoke-with-response-stream").parse()?,
            converse_uri: format!("{uri}/converse").parse()?,
            converse_stream_uri: format!("{uri}/converse-stream").parse()?,
            messages_uri: format!("{base}{MESSAGES_PATH}").parse()?,
            count_uri: counted.transpose()?,
        })
    }

    /// Returns the URI of a path of Bedrock's in this region.
    pub(crate) fn uri(&self, path: &str) -> Result<Uri, http::uri::InvalidUri> {
        let messages = self.messages_uri.to_string();
        let base = messages.strip_suffix(MESSAGES_PATH).unwrap_or_default();
        format!("{base}{path}").parse()
    }

    /// Reports whether a caller's `model` means this one: by its id, or by its public name.
    pub(crate) fn is_named(&self, model: &str) -> bool {
        self.model_id == model || self.model.is_some_and(|known| known.is_named(model))
    }

    /// Reports whether the model is known to refuse a feature.
    pub(crate) fn refuses(&self, feature: Feature) -> bool {
        self.model.is_some_and(|model| model.refuses(feature))
    }
}

/// A model id, and the model that it stands for.
pub(super) struct NamedModel {
    pub id: String,
    pub model: Option<&'static Model>,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// Reads the URL of the endpoints. One for several regions must contain the placeholder, because a signature
    /// for one region is invalid in every other. Returns `Some(None)` if the endpoints are AWS's own.
    pub(super) fn endpoint_url(&mut self, has_fallbacks: bool) -> Option<Option<String>> {
        let url = self.non_empty(BEDROCK_ENDPOINT);
        if has_fallbacks && url.as_ref().is_some_and(|url| !url.contains(REGION)) {
            let problem = "must have {region} in it, since there are other regions";
            self.problem(BEDROCK_ENDPOINT, problem);
            return None;
        }
        // Checked even if another variable is wrong, so that every problem is found.
        let checked = url.as_ref().map(|url| url.replace(REGION, "region"));
        self.parse_optional(BEDROCK_ENDPOINT, checked, parse_endpoint)?;
        Some(url)
    }

    /// Reads which of AWS's own endpoints are called.
    pub(super) fn endpoint_variant(&mut self) -> Option<Variant> {
        let mut read = |name, url| {
            let is_wanted = self.read(name, "false", parse_boolean)?;
            if is_wanted && self.non_empty(url).is_some() {
                self.problem(name, &format!("excludes {url}, which says where the endpoint is"));
                return None;
            }
            Some(is_wanted)
        };
        let is_fips = read("AWS_USE_FIPS_ENDPOINT", BEDROCK_ENDPOINT);
        let is_dual_stack = read("AWS_USE_DUALSTACK_ENDPOINT", BEDROCK_ENDPOINT);
        Some(Variant { is_fips: is_fips?, is_dual_stack: is_dual_stack? })
    }

    /// Returns the URL of the endpoint in a region, or the variant of AWS's own.
    pub(super) fn base(
        &mut self,
        (url, variant): (Option<&str>, Variant),
        region: &str,
    ) -> Option<Result<String, Variant>> {
        let url = url.map(|url| url.replace(REGION, region));
        Some(self.parse_optional(BEDROCK_ENDPOINT, url, parse_endpoint)?.ok_or(variant))
    }

    /// Makes the endpoint of a model in a region. `variable` names the model.
    pub(super) fn endpoint(
        &mut self,
        variable: &str,
        (url, variant): (Option<&str>, Variant),
        region: String,
        model: NamedModel,
    ) -> Option<Endpoint> {
        if let Err(elsewhere) = check_model(&model.id, &region) {
            self.problem(
                variable,
                match elsewhere {
                    Elsewhere::Arn => "has an ARN of another region than the one that it is called in",
                    Elsewhere::Profile => {
                        "has an inference profile that does not exist in the region that it is called in: \
                         its prefix, such as us. or eu., must be that of the region"
                    }
                },
            );
            return None;
        }
        let base = self.base((url, variant), &region)?;
        Endpoint::new(base.as_deref().map_err(|variant| *variant), region, model)
            .map_err(|error| self.problem("the endpoint", &format!("is not a URL: {error}")))
            .ok()
    }
}

/// Parses `true` or `false`, as the AWS SDKs do.
fn parse_boolean(text: &str) -> Result<bool, &'static str> {
    match &*text.to_ascii_lowercase() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    }
}

/// Parses the name of a region, which becomes a label of a host name.
pub(super) fn parse_region(text: &str) -> Result<String, &'static str> {
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.bytes().all(is_label) && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("must be the name of a region, such as ap-northeast-1")
    }
}

const NOT_MODELS: &str = "must be a list of model ids, inference profiles' ids and ARNs, of patterns of \
                          them such as us.anthropic.*, or *";

const UNKNOWN_NAME: &str = "has a name before its = that is not in the table of models: \
                            expected one such as claude-sonnet-5-5";

/// Parses `id` or `name=id`.
pub(super) fn parse_model(text: &str) -> Result<NamedModel, &'static str> {
    match text.split_once('=') {
        None => parse_model_id(text).map(|id| NamedModel { model: Model::by_id(&id), id }),
        Some((name, id)) => {
            let model = Model::by_name(name.trim()).ok_or(UNKNOWN_NAME)?;
            Ok(NamedModel { id: parse_model_id(id.trim())?, model: Some(model) })
        }
    }
}

/// A list of models.
#[derive(Default)]
pub(super) struct ModelList {
    named: Vec<NamedModel>,
    /// The patterns.
    pub patterns: Vec<String>,
    /// Whether `*` is in the list.
    has_all: bool,
}

impl ModelList {
    /// Returns the number of models that are named one by one.
    pub(super) fn len(&self) -> usize {
        self.named.len()
    }

    /// Returns the models of the list. `*` is every other model of the table, with the profile prefix of the default
    /// model.
    pub(super) fn named(mut self, default: &Endpoint) -> Vec<NamedModel> {
        if self.has_all {
            for model in Model::ALL {
                let is_there = self.named.iter().any(|it| it.model == Some(model));
                if !is_there
                    && default.model != Some(model)
                    && let Some(id) = model.profile(&default.model_id)
                {
                    self.named.push(NamedModel { id, model: Some(model) });
                }
            }
        }
        self.named
    }
}

/// Parses a list of models.
pub(super) fn parse_models(text: &str) -> Result<ModelList, &'static str> {
    let mut list = ModelList::default();
    for entry in entries(text) {
        if entry == "*" {
            list.has_all = true;
            continue;
        }
        if let Some(pattern) = parse_pattern(entry) {
            list.patterns.push(pattern.map_err(|_| NOT_MODELS)?);
            continue;
        }
        list.named.push(parse_model(entry).map_err(|problem| match problem {
            UNKNOWN_NAME => problem,
            _ => NOT_MODELS,
        })?);
    }
    Ok(list)
}

pub(super) fn parse_model_id(text: &str) -> Result<String, &'static str> {
    let is_arn = text.starts_with("arn:");
    // InvokeModel's pattern for modelId: these characters, `/` in ARNs only, 2048 of them.
    let is_allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"-._:".contains(&byte) || (is_arn && byte == b'/')
    };
    // The URL parser removes a segment of dots from a path.
    if text.is_empty()
        || text.len() > 2048
        || !text.bytes().all(is_allowed)
        || [".", ".."].contains(&text)
    {
        return Err("must be a model id, an inference profile's id or an ARN");
    }
    // arn:partition:service:region:account:resource. Region and account may be empty.
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    if is_arn && !matches!(*fields, [_, a, b, _, _, c] if ![a, b, c].contains(&"")) {
        return Err("must be a whole ARN: arn:partition:service:region:account:resource");
    }
    Ok(text.to_owned())
}

/// Parses a pattern, if a text is one.
fn parse_pattern(text: &str) -> Option<Result<String, &'static str>> {
    if !text.contains('*') {
        return None;
    }
    // With some text in its place it is an id, or the beginning of an ARN.
    let id = text.replace('*', "x");
    let id = if id.starts_with("arn:") { id + ":x:x:x:x" } else { id };
    Some(parse_model_id(&id).map(|_| text.to_owned()))
}

/// Parses `region=model, region=model`. The prefix of an inference profile fits one region only, so each region
/// has its own model.
pub(super) fn parse_fallbacks(text: &str) -> Result<Vec<(String, NamedModel)>, &'static str> {
    let pair = |pair: &str| {
        let (region, model_id) = pair.split_once('=').unwrap_or_default();
        match (parse_region(region.trim()), parse_model(model_id.trim())) {
            (Ok(region), Ok(model)) if !region.is_empty() => Ok((region, model)),
            _ => Err("must be regions with a model each: \
                     us-east-1=us.anthropic.…,eu-west-1=eu.anthropic.…"),
        }
    };
    text.split(',').map(pair).collect()
}

/// Parses the URL of an endpoint in place of AWS's own. The result has no `/` at its end.
///
/// A signature covers the host and the path that go over the wire, and `fetch` passes them through WHATWG's URL
/// parser. So this accepts only what that parser leaves as it is or changes in a known way: the case of the host,
/// a default port.
pub(super) fn parse_endpoint(text: &str) -> Result<String, &'static str> {
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
            // `parse` also accepts `+80` and `080`.
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
    if path.is_empty() {
        return Ok(format!("{scheme}://{host}{port}"));
    }
    if !is_plain_path(path) {
        return Err(NOT_A_PATH);
    }
    Ok(format!("{scheme}://{host}{port}/{path}"))
}

/// Reports whether a path has only one spelling.
pub(super) fn is_plain_path(path: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().all(is_allowed) && path.split('/').all(|part| !["", ".", ".."].contains(&part))
}

/// Parses a host into the form that a URL parser gives it.
fn parse_host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    // WHATWG's parser takes a host that ends in a number for an IPv4 address.
    let last = text.rsplit('.').next()?;
    let is_address = last.starts_with(|c: char| c.is_ascii_digit());
    let is_host =
        if is_address { text.parse::<Ipv4Addr>().is_ok() } else { text.split('.').all(is_label) };
    is_host.then(|| text.to_ascii_lowercase())
}

/// Reports whether a host is this machine's.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}
