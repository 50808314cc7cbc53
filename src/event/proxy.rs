//! The fields of API Gateway's proxy events that matter here: format 1.0 (REST APIs) and 2.0 (HTTP
//! APIs and Function URLs).
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
//!
//! They are read as the members of a body are: structs that serde derives would be 5 KiB of the
//! Worker's upload.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::request::{Members, string};

/// See the module.
pub(super) struct ProxyEvent<'a> {
    /// Of the `requestContext`.
    pub request_id: Option<Cow<'a, str>>,
    pub method: Option<Cow<'a, str>>,
    pub path: Option<Cow<'a, str>>,
    /// Of format 2.0: undecoded.
    pub query: Option<Cow<'a, str>>,
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub body: Option<Cow<'a, str>>,
    pub is_base64_encoded: bool,
}

impl<'a> ProxyEvent<'a> {
    /// Reads an event, or says what is wrong with it. `None`: it has no `requestContext`, or is no
    /// object.
    pub fn parse(event: &'a [u8]) -> Result<Option<Self>, String> {
        let Ok(event) = std::str::from_utf8(event) else { return Ok(None) };
        let Ok(event) = serde_json::from_str::<Members>(event) else { return Ok(None) };
        let Some(context) = event.object("requestContext")? else { return Ok(None) };
        let method = match context.object("http")? {
            Some(http) => http.text("method")?,
            None => event.text("httpMethod")?,
        };
        let mut headers = Vec::new();
        if let Some(Members(members)) = event.object("headers")? {
            for (name, json) in members.into_iter().filter(|(_, json)| json.get() != "null") {
                let value = string(json).ok_or_else(|| format!("{name} must be a string"))?;
                headers.push((name, value));
            }
        }
        Ok(Some(Self {
            request_id: context.text("requestId")?,
            method,
            path: event.text("rawPath")?.or(event.text("path")?),
            query: event.text("rawQueryString")?,
            headers,
            body: event.text("body")?,
            is_base64_encoded: match event.get("isBase64Encoded").map(RawValue::get) {
                Some("true") => true,
                Some("false") | None => false,
                Some(_) => return Err("isBase64Encoded must be true or false".to_owned()),
            },
        }))
    }
}

/// What is null is not there.
impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let member = self.0.iter().find(|(known, _)| known == name);
        member.map(|(_, json)| *json).filter(|json| json.get() != "null")
    }

    fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, String> {
        let Some(json) = self.get(name) else { return Ok(None) };
        string(json).map(Some).ok_or_else(|| format!("{name} must be a string"))
    }

    fn object(&self, name: &str) -> Result<Option<Self>, String> {
        let Some(json) = self.get(name) else { return Ok(None) };
        serde_json::from_str(json.get()).map(Some).map_err(|_| format!("{name} must be an object"))
    }
}
