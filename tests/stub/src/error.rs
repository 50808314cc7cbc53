//! An AWS error, as Bedrock's endpoint writes it: a status, `x-amzn-errortype`, and a message.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The header that names the error.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// An error with the name that AWS's documentation lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsError {
    /// The HTTP status.
    pub status: StatusCode,
    /// `ValidationException`
    pub name: &'static str,
    /// The Java namespace that AWS adds to the name: `com.amazon.bedrock`, or
    /// `com.amazon.coral.service` when the request did not get past authentication.
    pub namespace: &'static str,
    /// The body's `message`.
    pub message: String,
}

impl AwsError {
    /// An error of Bedrock's own.
    pub fn bedrock(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        Self { status, name, namespace: "com.amazon.bedrock", message: message.into() }
    }

    /// 400 `ValidationException`.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::bedrock(StatusCode::BAD_REQUEST, "ValidationException", message)
    }

    /// 403, from the layer before Bedrock that checks who calls.
    pub fn authentication(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            name,
            namespace: "com.amazon.coral.service",
            message: message.into(),
        }
    }
}

impl IntoResponse for AwsError {
    fn into_response(self) -> Response {
        let Self { status, name, namespace, message } = self;
        let error_type = format!("{name}:http://internal.amazon.com/coral/{namespace}/");
        (
            status,
            [(header::CONTENT_TYPE, "application/json"), (ERROR_TYPE, error_type.as_str())],
            json!({ "message": message }).to_string(),
        )
            .into_response()
    }
}
