//! An AWS error in the form that Bedrock's endpoint sends: a status, `x-amzn-errortype`, and a
//! message in JSON.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The header that names the error.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// An error of Bedrock, with its name in AWS's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The name, such as `ValidationException`.
    pub name: &'static str,
    /// The Java namespace that AWS adds to the name: `com.amazon.coral.service` for an
    /// authentication error, else `com.amazon.bedrock`.
    pub namespace: &'static str,
    /// The `message` of the body.
    pub message: String,
}

impl AwsError {
    /// Creates an error in Bedrock's own namespace.
    pub fn bedrock(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        Self { status, name, namespace: "com.amazon.bedrock", message: message.into() }
    }

    /// Creates a `ValidationException`, of status 400.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::bedrock(StatusCode::BAD_REQUEST, "ValidationException", message)
    }

    /// Creates an error of status 403 of the authentication layer in front of Bedrock.
    pub fn authentication(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            name,
            namespace: "com.amazon.coral.service",
            message: message.into(),
        }
    }
}

/// Errors of Bedrock in Anthropic's terms: AWS's name; status and type.
const ANTHROPIC_ERRORS: &[(&str, u16, &str)] = &[
    ("ValidationException", 400, "invalid_request_error"),
    ("AccessDeniedException", 403, "permission_error"),
    ("ResourceNotFoundException", 404, "not_found_error"),
    ("RequestEntityTooLargeException", 413, "request_too_large"),
    ("ThrottlingException", 429, "rate_limit_error"),
    ("ModelNotReadyException", 429, "rate_limit_error"),
    ("ModelTimeoutException", 504, "timeout_error"),
    ("ServiceUnavailableException", 529, "overloaded_error"),
];

/// Returns the status and the type of an error at the native endpoint. An error that is not in the
/// table keeps its status, and has the type `api_error`.
pub(crate) fn anthropic_type(name: &str, status: u16) -> (u16, &'static str) {
    let row = ANTHROPIC_ERRORS.iter().find(|(aws_name, _, _)| *aws_name == name);
    row.map_or((status, "api_error"), |(_, status, error_type)| (*status, *error_type))
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
