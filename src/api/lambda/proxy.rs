//! The events of AWS's services that carry an HTTP request: API Gateway's proxy events, format 1.0 (REST APIs) and 2.0 (HTTP
//! APIs and Function URLs), those of Application Load Balancers and of VPC Lattice, version 1 and 2, and an event with a
//! body alone, as people type it into the console's test.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>
//! <https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html>

use std::borrow::Cow;

use serde::Deserialize;
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

/// The members of an event. They are typed later, so that a message can name the wrong one. `null` is missing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(borrow)]
    request_context: Option<&'a RawValue>,
    http_method: Option<&'a RawValue>,
    /// VPC Lattice's name of it.
    method: Option<&'a RawValue>,
    /// VPC Lattice 1 has snake case, and no context.
    #[serde(alias = "raw_path")]
    raw_path: Option<&'a RawValue>,
    path: Option<&'a RawValue>,
    raw_query_string: Option<&'a RawValue>,
    headers: Option<&'a RawValue>,
    multi_value_headers: Option<&'a RawValue>,
    body: Option<&'a RawValue>,
    #[serde(alias = "is_base64_encoded")]
    is_base64_encoded: Option<&'a RawValue>,
    /// A field of the body: then the event is itself the body.
    prompt: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContext<'a> {
    #[serde(borrow)]
    http: Option<&'a RawValue>,
    elb: Option<&'a RawValue>,
    request_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawHttp<'a> {
    #[serde(borrow)]
    method: Option<&'a RawValue>,
}

impl Raw<'_> {
    /// Reports whether the event is VPC Lattice's, version 1.
    fn is_lattice_1(&self) -> bool {
        self.raw_path.is_some() && self.method.is_some()
    }

    /// Reports whether the event has only the body of a request.
    fn is_body_alone(&self) -> bool {
        self.prompt.is_none()
            && self.messages.is_none()
            && self.body.is_some_and(|body| body.get().starts_with('"'))
    }
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
        let event: Raw = match serde_json::from_str(event) {
            Ok(event) => event,
            Err(error) if error.is_data() => return Err(error.to_string()),
            Err(_) => return Ok(None),
        };
        let (context, default_method) = match event.request_context {
            Some(context) => (object("requestContext", context)?, None),
            None if event.is_lattice_1() => (RawContext::default(), None),
            None if event.is_body_alone() => (RawContext::default(), Some("POST".into())),
            None => return Ok(None),
        };
        let method = match context.http {
            Some(http) => text("method", object::<RawHttp>("http", http)?.method)?,
            None => text("httpMethod", event.http_method)?.or(text("method", event.method)?),
        };
        let headers = headers(event.headers, event.multi_value_headers)?;
        Ok(Some(Self {
            request_id: text("requestId", context.request_id)?,
            method: method.or(default_method),
            path: text("rawPath", event.raw_path)?.or(text("path", event.path)?),
            query: text("rawQueryString", event.raw_query_string)?,
            headers,
            body: text("body", event.body)?,
            is_base64_encoded: match event.is_base64_encoded.map(RawValue::get) {
                Some("true") => true,
                Some("false") | None => false,
                Some(_) => return Err("isBase64Encoded must be true or false".to_owned()),
            },
            response_form: match (context.elb, event.multi_value_headers) {
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

fn object<'a, T: Deserialize<'a>>(name: &str, json: &'a RawValue) -> Result<T, String> {
    let object = json.get().starts_with('{').then(|| serde_json::from_str(json.get()).ok());
    object.flatten().ok_or_else(|| format!("{name} must be an object"))
}
