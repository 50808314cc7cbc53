//! The events of AWS's services that carry an HTTP request: API Gateway's proxy events, format 1.0 (REST APIs) and 2.0 (HTTP
//! APIs and Function URLs), those of Application Load Balancers and of VPC Lattice, version 1 and 2, and an event with a
//! body alone, as people type it into the console's test.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>
//! <https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html>

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::host::ResponseForm;
use crate::json::{Members, string};

/// Names and values.
type Headers<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// The parts of a proxy event that matter here.
pub(super) struct ProxyEvent<'a> {
    /// The gateway's id of the request.
    pub request_id: Option<Cow<'a, str>>,
    pub method: Option<Cow<'a, str>>,
    pub path: Option<Cow<'a, str>>,
    /// The query, undecoded. Most formats have it only decoded.
    pub query: Option<Cow<'a, str>>,
    pub headers: Headers<'a>,
    pub body: Option<Cow<'a, str>>,
    pub is_base64_encoded: bool,
    pub response_form: ResponseForm,
}

impl<'a> ProxyEvent<'a> {
    /// Parses an event. Returns `None` if it is not an object, or not one that carries a request.
    ///
    /// # Errors
    ///
    /// A message that names the wrong member.
    pub fn parse(event: &'a [u8]) -> Result<Option<Self>, String> {
        let Ok(event) = std::str::from_utf8(event) else { return Ok(None) };
        // serde accepts an array in place of a struct.
        if !event.trim_ascii_start().starts_with('{') {
            return Ok(None);
        }
        // The members are typed one by one, so that a message can name the wrong one.
        let Ok(event) = serde_json::from_str::<Members>(event) else { return Ok(None) };
        let (body, multi_value_headers) = (event.get("body"), event.get("multiValueHeaders"));
        // VPC Lattice 1 has snake case, and no context.
        let raw_path = event.get("rawPath").or(event.get("raw_path"));
        let is_lattice_1 = raw_path.is_some() && event.get("method").is_some();
        // With a field of the body, the event is itself the body.
        let is_body = event.get("prompt").or(event.get("messages")).is_some();
        let is_body_alone = !is_body && body.is_some_and(|body| body.get().starts_with('"'));
        let (context, default_method) = match event.get("requestContext") {
            Some(context) => (object("requestContext", context)?, None),
            None if is_lattice_1 => (Members(Vec::new()), None),
            None if is_body_alone => (Members(Vec::new()), Some("POST".into())),
            None => return Ok(None),
        };
        let method = match context.get("http") {
            Some(http) => text("method", object("http", http)?.get("method"))?,
            // VPC Lattice's name of it is the second.
            None => text("httpMethod", event.get("httpMethod"))?
                .or(text("method", event.get("method"))?),
        };
        let is_base64_encoded = event.get("isBase64Encoded").or(event.get("is_base64_encoded"));
        Ok(Some(Self {
            request_id: text("requestId", context.get("requestId"))?,
            method: method.or(default_method),
            path: text("rawPath", raw_path)?.or(text("path", event.get("path"))?),
            query: text("rawQueryString", event.get("rawQueryString"))?,
            headers: headers(event.get("headers"), multi_value_headers)?,
            body: text("body", body)?,
            is_base64_encoded: match is_base64_encoded.map(RawValue::get) {
                Some("true") => true,
                Some("false") | None => false,
                Some(_) => return Err("isBase64Encoded must be true or false".to_owned()),
            },
            response_form: match (context.get("elb"), multi_value_headers) {
                (None, _) => ResponseForm::Proxy,
                (Some(_), None) => ResponseForm::LoadBalancer,
                (Some(_), Some(_)) => ResponseForm::LoadBalancerMultiValue,
            },
        }))
    }
}

/// Reads the headers. Of a header in both objects, `multiValueHeaders` has all lines and `headers` the last one. VPC Lattice
/// 2 has lists in `headers`.
fn headers<'a>(
    single: Option<&'a RawValue>,
    multiple: Option<&'a RawValue>,
) -> Result<Headers<'a>, String> {
    let mut headers: Headers = Vec::new();
    for (name, json) in [("multiValueHeaders", multiple), ("headers", single)] {
        let Some(json) = json else { continue };
        let Members(members) = object(name, json)?;
        let read_before = headers.len();
        for (name, json) in members {
            let known = headers.get(..read_before).unwrap_or_default();
            if known.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                continue;
            }
            let lines: Vec<&RawValue> = match json.get() {
                "null" => continue,
                list if list.starts_with('[') => serde_json::from_str(list).unwrap_or_default(),
                _ => vec![json],
            };
            for line in lines {
                headers.extend(text(&name, Some(line))?.map(|value| (name.clone(), value)));
            }
        }
    }
    Ok(headers)
}

fn text<'a>(name: &str, json: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, String> {
    let Some(json) = json else { return Ok(None) };
    string(json).map(Some).ok_or_else(|| format!("{name} must be a string"))
}

fn object<'a>(name: &str, json: &'a RawValue) -> Result<Members<'a>, String> {
    serde_json::from_str(json.get()).map_err(|_| format!("{name} must be an object"))
}
