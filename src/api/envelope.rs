//! The envelope of a response, which API Gateway, Function URLs and the Lambda's callers know.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::headers::check_response;
use crate::host::ResponseForm;
use crate::json::write_string;

/// A response in the form of API Gateway's proxy integration:
/// `{"statusCode", "headers", "body", "isBase64Encoded"}`.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The HTTP status.
    pub status_code: u16,
    /// Names and values. Each name occurs once.
    pub headers: Vec<(&'static str, String)>,
    /// The body: JSON in a string, as API Gateway demands, or empty.
    pub body: String,
    /// Whether the body is bytes in base64. Only the responses of Lambda's InvokeWithResponseStream are, and errors of AWS
    /// that are not text.
    pub is_base64_encoded: bool,
    /// The form in which it serializes.
    pub(crate) form: ResponseForm,
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The members in the order of AWS's documentation.
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Form<'a> {
            status_code: u16,
            #[serde(skip_serializing_if = "Option::is_none")]
            status_description: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            headers: Option<Headers<'a, false>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            multi_value_headers: Option<Headers<'a, true>>,
            body: &'a str,
            is_base64_encoded: bool,
        }
        let is_multi_value = self.form == ResponseForm::LoadBalancerMultiValue;
        let description = || {
            let status = StatusCode::from_u16(self.status_code).ok();
            let reason = status.and_then(|it| it.canonical_reason()).unwrap_or("Unknown");
            format!("{} {reason}", self.status_code)
        };
        let form = Form {
            status_code: self.status_code,
            status_description: (self.form != ResponseForm::Proxy).then(description),
            headers: (!is_multi_value).then_some(Headers(&self.headers)),
            multi_value_headers: is_multi_value.then_some(Headers(&self.headers)),
            body: &self.body,
            is_base64_encoded: self.is_base64_encoded,
        };
        form.serialize(serializer)
    }
}

/// Wraps generated text, or the message of an error, in the Lambda's envelope. Text that is not ASCII stays
/// unescaped.
///
/// ```
/// let envelope = bedrock_edge::build_response("こんにちは", "はい", 200);
///
/// assert_eq!(envelope.body, r#"{"input_prompt":"こんにちは","generated_text":"はい"}"#);
/// assert_eq!(envelope.headers, [("Content-Type", "application/json; charset=utf-8".to_owned())]);
/// ```
pub fn build_response(prompt: &str, generated: &str, status: u16) -> Envelope {
    let mut body = String::with_capacity(prompt.len() + generated.len() + 64);
    body.push_str(r#"{"input_prompt":"#);
    write_string(&mut body, prompt);
    body.push_str(r#","generated_text":"#);
    write_string(&mut body, generated);
    body.push('}');
    Envelope::json(status, body)
}

impl Envelope {
    /// Makes a response without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self::json(status, String::new())
    }

    /// Makes a response with a JSON body.
    pub(crate) fn json(status: u16, body: String) -> Self {
        // RFC 8259 needs no charset, but the Lambda sends it because some clients guess without it.
        Self::new(status, "application/json; charset=utf-8", body)
    }

    /// Makes a response.
    pub(crate) fn new(status: u16, content_type: &str, body: String) -> Self {
        Self {
            status_code: status,
            headers: vec![("Content-Type", content_type.to_owned())],
            body,
            is_base64_encoded: false,
            form: ResponseForm::default(),
        }
    }

    /// Makes a response of bytes, which are base64 in it if they are not UTF-8.
    pub(crate) fn bytes(status: u16, content_type: &str, body: &[u8]) -> Self {
        match std::str::from_utf8(body) {
            Ok(text) => Self::new(status, content_type, text.to_owned()),
            Err(_) => {
                let envelope = Self::new(status, content_type, STANDARD.encode(body));
                Self { is_base64_encoded: true, ..envelope }
            }
        }
    }

    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    pub(crate) fn set_header(&mut self, name: &'static str, value: impl ToString) {
        check_response(name);
        self.headers.push((name, value.to_string()));
    }
}

/// Headers as an object of strings, or of arrays of one string each.
struct Headers<'a, const IS_MULTI_VALUE: bool>(&'a [(&'static str, String)]);

impl<const IS_MULTI_VALUE: bool> Serialize for Headers<'_, IS_MULTI_VALUE> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            if IS_MULTI_VALUE {
                map.serialize_entry(name, &[value])?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}
