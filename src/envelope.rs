//! The answer's envelope, which API Gateway, Function URLs and the article's callers know.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::json::write_string;

/// API Gateway's proxy response: `{"statusCode", "headers", "body", "isBase64Encoded"}`.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The HTTP status.
    pub status_code: u16,
    /// Names and values. A name stands here once.
    #[serde(serialize_with = "as_map")]
    pub headers: Vec<(&'static str, String)>,
    /// A string, as API Gateway demands: JSON in it, or nothing.
    pub body: String,
    /// Always `false`: the body is text.
    pub is_base64_encoded: bool,
}

/// The envelope around a generated text, or around an error's words. Text that is not ASCII
/// stays as it is, unescaped.
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
    Envelope {
        status_code: status,
        // The charset is the article's: RFC 8259 needs none, but some clients guess without it.
        headers: vec![("Content-Type", "application/json; charset=utf-8".to_owned())],
        body,
        is_base64_encoded: false,
    }
}

impl Envelope {
    pub(crate) fn set_header(&mut self, name: &'static str, value: impl ToString) {
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
