//! Where a model is: a region, and the URIs of its operations there, which are AWS's own or another
//! endpoint's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use percent_encoding::utf8_percent_encode;

use crate::sign::RESERVED;
use crate::upstream::Breaker;

/// A model in a region. The URIs are made here, because they are the same for every request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Endpoint {
    /// The region of the endpoint and of the credential scope.
    pub region: String,
    /// A model id, an inference profile's id, or an ARN.
    pub model_id: String,
    /// Where InvokeModel is, with the model id percent-encoded once.
    pub invoke_uri: Uri,
    /// Where InvokeModelWithResponseStream is.
    pub stream_uri: Uri,
    pub(crate) breaker: Breaker,
}

impl Endpoint {
    /// `base` is a URL without a `/` at its end; without one it is AWS's own for the region.
    pub(crate) fn new(
        base: Option<&str>,
        region: String,
        model_id: String,
    ) -> Result<Self, http::uri::InvalidUri> {
        let own;
        let base = match base {
            Some(base) => base,
            None => {
                own = format!("https://bedrock-runtime.{region}.amazonaws.com");
                &own
            }
        };
        // A model id has `:`, and an ARN `/`: they must not stay.
        let model = format!("{base}/model/{}", utf8_percent_encode(&model_id, RESERVED));
        Ok(Self {
            region,
            model_id,
            invoke_uri: format!("{model}/invoke").parse()?,
            stream_uri: format!("{model}/invoke-with-response-stream").parse()?,
            breaker: Breaker::default(),
        })
    }
}

/// An endpoint in place of AWS's own, as a URL without a `/` at its end.
///
/// The signature covers the host and the path that go over the wire, and `fetch` takes them
/// through WHATWG's URL parser. So this takes only what that parser leaves as it is, or what it
/// changes in a known way: the case of the host, a default port.
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
    if path.is_empty() {
        return Ok(format!("{scheme}://{host}{port}"));
    }
    if !is_plain_path(path) {
        return Err(NOT_A_PATH);
    }
    Ok(format!("{scheme}://{host}{port}/{path}"))
}

/// Whether it is the same in every spelling.
pub(super) fn is_plain_path(path: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().all(is_allowed) && path.split('/').all(|part| !["", ".", ".."].contains(&part))
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

pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}
