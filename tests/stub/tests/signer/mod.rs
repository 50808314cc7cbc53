//! The client of these tests. It signs with the aws-sigv4 crate, which shares no code with the
//! verification under test.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bedrock_stub::{AccessKey, Received};

pub const MODEL_TARGET: &str = "/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke";

#[allow(dead_code, reason = "not every test file streams")]
pub const STREAM_TARGET: &str =
    "/model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke-with-response-stream";

/// A request to be signed. A test changes the fields that it is about.
pub struct Call {
    pub method: &'static str,
    pub key: AccessKey,
    pub region: &'static str,
    pub service: &'static str,
    pub time: SystemTime,
    pub host: String,
    pub target: String,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: String,
}

impl Call {
    /// Creates a request that a stand-in with default settings accepts.
    pub fn new(body: impl Into<String>) -> Self {
        Self {
            method: "POST",
            key: AccessKey::example(),
            region: "ap-northeast-1",
            service: "bedrock",
            time: SystemTime::now(),
            host: "127.0.0.1:8788".to_owned(),
            target: MODEL_TARGET.to_owned(),
            headers: vec![("content-type", "application/json")],
            body: body.into(),
        }
    }

    pub fn signed(&self) -> Received {
        let url = format!("http://{}{}", self.host, self.target);
        let mut headers = vec![("host", self.host.as_str())];
        headers.extend(&self.headers);
        let identity = Credentials::new(
            &self.key.id,
            &self.key.secret,
            self.key.session_token.clone(),
            None,
            "test",
        )
        .into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(self.time)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let request = SignableRequest::new(
            self.method,
            &url,
            headers.iter().copied(),
            SignableBody::Bytes(self.body.as_bytes()),
        )
        .unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let headers = headers
            .iter()
            .copied()
            .chain(instructions.headers())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Received {
            method: self.method.to_owned(),
            target: self.target.clone(),
            headers,
            body: self.body.clone().into_bytes(),
        }
    }
}

/// Returns the body of a Claude request with one user message.
#[allow(dead_code, reason = "not every test file sends one message only")]
pub fn claude(prompt: &str) -> String {
    serde_json::json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1024,
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": prompt }] }],
    })
    .to_string()
}
