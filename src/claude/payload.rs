//! The body of InvokeModel.

use std::borrow::Cow;

use serde::Serialize;

use super::messages::Messages;
use super::request::Request;

/// The body of InvokeModel. Fields without a value are not sent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Payload<'a> {
    /// The version of this format.
    pub anthropic_version: &'static str,
    /// The messages.
    pub messages: &'a Messages<'a>,
    /// The most tokens that may be generated.
    pub max_tokens: u32,
    /// The temperature: 0 is deterministic, 1 is varied.
    pub temperature: Option<f64>,
    /// The system prompt.
    pub system: Option<&'a str>,
    /// Texts that end the reply.
    pub stop_sequences: &'a [Cow<'a, str>],
}

impl Payload<'_> {
    /// Writes the payload as JSON.
    ///
    /// # Errors
    ///
    /// Those of `serde_json`, which has none for strings and numbers.
    pub fn to_json(&self) -> serde_json::Result<String> {
        /// The members behind the messages, whose values are short.
        #[derive(Serialize)]
        struct Options<'a> {
            max_tokens: u32,
            #[serde(skip_serializing_if = "Option::is_none")]
            temperature: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            system: Option<&'a str>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            stop_sequences: &'a [Cow<'a, str>],
        }

        let Self { anthropic_version, messages, max_tokens, temperature, system, stop_sequences } =
            *self;
        let options = Options { max_tokens, temperature, system, stop_sequences };
        let options = serde_json::to_string(&options)?;
        let prompt = messages.prompt().len();
        let mut out = String::with_capacity(options.len() + prompt + prompt / 16 + 128);
        out.extend([r#"{"anthropic_version":""#, anthropic_version, r#"","messages":"#]);
        messages.write(&mut out);
        out.push(',');
        out.push_str(options.strip_prefix('{').unwrap_or(&options));
        Ok(out)
    }
}

/// Puts a request into the format of InvokeModel.
///
/// `temperature` is sent if the caller names none.
///
/// ```
/// use bedrock_edge::{Request, build_payload};
///
/// let request = Request::new("Hello", 100);
/// let payload = build_payload(&request, Some(0.7));
/// assert_eq!(
///     payload.to_json()?,
///     concat!(
///         r#"{"anthropic_version":"bedrock-2023-05-31","#,
///         r#""messages":[{"role":"user","content":"Hello"}],"max_tokens":100,"temperature":0.7}"#,
///     ),
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn build_payload<'a>(request: &'a Request<'_>, temperature: Option<f64>) -> Payload<'a> {
    Payload {
        anthropic_version: "bedrock-2023-05-31",
        messages: &request.messages,
        max_tokens: request.max_tokens,
        temperature: request.temperature.or(temperature),
        system: request.system.as_deref(),
        stop_sequences: &request.stop_sequences,
    }
}
