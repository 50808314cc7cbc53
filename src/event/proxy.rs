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

/// See the module. What is null is not there.
#[derive(Default)]
pub(super) struct ProxyEvent<'a> {
    /// Of the `requestContext`.
    pub request_id: Option<Cow<'a, str>>,
    pub method: Option<Cow<'a, str>>,
    pub path: Option<Cow<'a, str>>,
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub body: Option<Cow<'a, str>>,
    pub is_base64_encoded: bool,
}

impl<'a> ProxyEvent<'a> {
    /// Reads an event, or says what is wrong with it. `None`: it has no `requestContext`, or is no
    /// object.
    pub fn parse(event: &'a [u8]) -> Result<Option<Self>, String> {
        let Ok(event) = std::str::from_utf8(event) else { return Ok(None) };
        let Ok(Members(members)) = serde_json::from_str(event) else { return Ok(None) };
        let is_null = |json: &RawValue| json.get() == "null";
        if !members.iter().any(|(name, json)| name == "requestContext" && !is_null(json)) {
            return Ok(None);
        }
        let mut event = Self::default();
        for (name, json) in members.into_iter().filter(|(_, json)| !is_null(json)) {
            match &*name {
                "requestContext" => event.take_context(object(&name, json)?)?,
                "httpMethod" => event.method = event.method.or(Some(text(&name, json)?)),
                "path" => event.path = event.path.or(Some(text(&name, json)?)),
                "rawPath" => event.path = Some(text(&name, json)?),
                "headers" => {
                    for (name, json) in object(&name, json)? {
                        if !is_null(json) {
                            let value = text(&name, json)?;
                            event.headers.push((name, value));
                        }
                    }
                }
                "body" => event.body = Some(text(&name, json)?),
                "isBase64Encoded" => {
                    event.is_base64_encoded = match json.get() {
                        "true" => true,
                        "false" => false,
                        _ => return Err("isBase64Encoded must be true or false".to_owned()),
                    }
                }
                _ => {}
            }
        }
        Ok(Some(event))
    }

    fn take_context(&mut self, context: Vec<(Cow<'a, str>, &'a RawValue)>) -> Result<(), String> {
        for (name, json) in context {
            match &*name {
                "http" => {
                    for (name, json) in object(&name, json)? {
                        if name == "method" {
                            self.method = Some(text(&name, json)?);
                        }
                    }
                }
                "requestId" if json.get() != "null" => self.request_id = Some(text(&name, json)?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn text<'a>(name: &str, json: &'a RawValue) -> Result<Cow<'a, str>, String> {
    string(json).ok_or_else(|| format!("{name} must be a string"))
}

fn object<'a>(name: &str, json: &'a RawValue) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, String> {
    match serde_json::from_str(json.get()) {
        Ok(Members(members)) => Ok(members),
        Err(_) => Err(format!("{name} must be an object")),
    }
}
