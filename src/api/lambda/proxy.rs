//! API Gateway's proxy events: format 1.0 (REST APIs) and 2.0 (HTTP APIs and Function URLs).
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Members, string};

/// The parts of a proxy event that matter here.
pub(super) struct ProxyEvent<'a> {
    /// The gateway's id of the request.
    pub request_id: Option<Cow<'a, str>>,
    pub method: Option<Cow<'a, str>>,
    pub path: Option<Cow<'a, str>>,
    /// The query, undecoded. Format 1.0 has it only decoded.
    pub query: Option<Cow<'a, str>>,
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub body: Option<Cow<'a, str>>,
    pub is_base64_encoded: bool,
}

/// The members of an event. They are typed later, so that a message can name the wrong one. `null` is missing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(borrow)]
    request_context: Option<&'a RawValue>,
    http_method: Option<&'a RawValue>,
    raw_path: Option<&'a RawValue>,
    path: Option<&'a RawValue>,
    raw_query_string: Option<&'a RawValue>,
    headers: Option<&'a RawValue>,
    body: Option<&'a RawValue>,
    is_base64_encoded: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContext<'a> {
    #[serde(borrow)]
    http: Option<&'a RawValue>,
    request_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawHttp<'a> {
    #[serde(borrow)]
    method: Option<&'a RawValue>,
}

impl<'a> ProxyEvent<'a> {
    /// Parses an event. Returns `None` if it is not an object with a `requestContext`.
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
        let Some(context) = event.request_context else { return Ok(None) };
        let context: RawContext = object("requestContext", context)?;
        let method = match context.http {
            Some(http) => text("method", object::<RawHttp>("http", http)?.method)?,
            None => text("httpMethod", event.http_method)?,
        };
        let mut headers = Vec::new();
        if let Some(json) = event.headers {
            let Members(members) = object("headers", json)?;
            for (name, json) in members {
                if let Some(value) = text(&name, Some(json).filter(|it| it.get() != "null"))? {
                    headers.push((name, value));
                }
            }
        }
        Ok(Some(Self {
            request_id: text("requestId", context.request_id)?,
            method,
            path: text("rawPath", event.raw_path)?.or(text("path", event.path)?),
            query: text("rawQueryString", event.raw_query_string)?,
            headers,
            body: text("body", event.body)?,
            is_base64_encoded: match event.is_base64_encoded.map(RawValue::get) {
                Some("true") => true,
                Some("false") | None => false,
                Some(_) => return Err("isBase64Encoded must be true or false".to_owned()),
            },
        }))
    }
}

fn text<'a>(name: &str, json: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, String> {
    let Some(json) = json else { return Ok(None) };
    string(json).map(Some).ok_or_else(|| format!("{name} must be a string"))
}

fn object<'a, T: Deserialize<'a>>(name: &str, json: &'a RawValue) -> Result<T, String> {
    let object = json.get().starts_with('{').then(|| serde_json::from_str(json.get()).ok());
    object.flatten().ok_or_else(|| format!("{name} must be an object"))
}
