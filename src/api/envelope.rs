//! The envelope of a response, which API Gateway, Function URLs and the Lambda's callers know.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::headers::check_response;
use crate::json::write_string;

/// A response in the form of API Gateway's proxy integration:
/// `{"statusCode", "headers", "body", "isBase64Encoded"}`.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The HTTP status.
    pub status_code: u16,
    /// Names and values. Each name occurs once.
    #[serde(serialize_with = "as_map")]
    pub headers: Vec<(&'static str, String)>,
    /// The body: JSON in a string, as API Gateway demands, or empty.
    pub body: String,
    /// Always `false`: the body is text.
    pub is_base64_encoded: bool,
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

fn as_map<S: Serializer>(
    headers: &[(&'static str, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(headers.len()))?;
    for (name, value) in headers {
        map.serialize_entry(name, value)?;
    }
    map.end()
}
