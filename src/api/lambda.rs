//! Lambda events: the JSON that a Lambda gets becomes an incoming request.
//!
//! Out of scope: what the body says ([`article`](super::article)).

mod proxy;

use std::future::{Future, ready};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::host::{Body, IncomingRequest, ReadError, RequestBody};
use crate::identifier::Identifier;
use proxy::ProxyEvent;

/// The body of a Lambda event, or why it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LambdaBody(Result<Bytes, String>);

impl From<Bytes> for LambdaBody {
    fn from(body: Bytes) -> Self {
        Self(Ok(body))
    }
}

impl<B> From<LambdaBody> for RequestBody<B> {
    fn from(body: LambdaBody) -> Self {
        body.0.map_or_else(Self::Malformed, Self::Buffered)
    }
}

impl Body for LambdaBody {
    fn read(self, limit: usize, _: Duration) -> impl Future<Output = Result<Bytes, ReadError>> {
        ready(match self.0 {
            Ok(bytes) if bytes.len() > limit => Err(ReadError::TooLong),
            Ok(bytes) => Ok(bytes),
            Err(message) => Err(ReadError::Malformed(message)),
        })
    }

    fn length(&self) -> Option<usize> {
        self.0.as_ref().ok().map(Bytes::len)
    }
}

impl IncomingRequest<LambdaBody> {
    /// Reads a Lambda event. An event that carries an HTTP request is that request: one of API Gateway, a Function URL or a
    /// load balancer (`requestContext`), of VPC Lattice (`method`), or one with a `body` in a string alone, as it is typed
    /// into the console. Any other is itself the body, as test events and scheduled events are.
    ///
    /// Behind a gateway every path but `…/healthz` and `…/usage` is the function: the gateway has decided which paths lead
    /// here. A load balancer gets its response in its own form.
    ///
    /// It never fails: what is wrong with the event is the response, when the body is read.
    ///
    /// ```
    /// use bedrock_edge::IncomingRequest;
    ///
    /// let request = IncomingRequest::from_lambda(br#"{"prompt": "Hello"}"#);
    /// assert_eq!(request.method, http::Method::POST);
    /// ```
    pub fn from_lambda(event: &[u8]) -> Self {
        match ProxyEvent::parse(event) {
            Ok(Some(event)) => Self::from_proxy_event(event),
            // If it is not an object, the parser of the body says so.
            Ok(None) => Self::direct(Ok(Bytes::copy_from_slice(event))),
            Err(error) => Self::direct(Err(format!("the proxy event is malformed: {error}"))),
        }
    }

    fn direct(body: Result<Bytes, String>) -> Self {
        let mut request = Self::from_http(Method::POST, "", HeaderMap::new(), LambdaBody(body));
        request.routed_path = Some("/");
        request
    }

    fn from_proxy_event(event: ProxyEvent<'_>) -> Self {
        let path = event.path.unwrap_or_default();
        let (mut headers, mut malformed) = (HeaderMap::new(), None);
        for (name, value) in &event.headers {
            match (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes())) {
                (Ok(name), Ok(value)) => drop(headers.append(name, value)),
                (Ok(name), Err(_)) => malformed = Some(name.to_string()),
                (Err(_), _) => {}
            }
        }
        let text = event.body.unwrap_or_default();
        let body = if event.is_base64_encoded {
            STANDARD.decode(&*text).map(Bytes::from).map_err(|error| {
                format!("the body is not base64, as isBase64Encoded says: {error}")
            })
        } else {
            Ok(Bytes::from(text.into_owned()))
        };
        // VPC Lattice 1 leaves the query in the path.
        let without_query = path.split_once('?').map_or(&*path, |(path, _)| path);
        // An invalid method becomes GET, which gets 405.
        let method = event.method.unwrap_or_default().parse().unwrap_or(Method::GET);
        // Any path takes a prompt.
        let sessions = without_query.rsplit_once("/sessions").filter(|_| method != Method::POST);
        let routed_path = match sessions.map(|(_, id)| id) {
            _ if without_query.ends_with("/healthz") => "/healthz",
            _ if without_query.ends_with("/usage") => "/usage",
            Some("") => "/sessions",
            Some(id) if id.starts_with('/') => "/sessions/id",
            _ => "/",
        };
        let target = match event.query.filter(|query| !query.is_empty()) {
            Some(query) => format!("{path}?{query}"),
            None => path.into_owned(),
        };
        let mut request = Self::from_http(method, &target, headers, LambdaBody(body));
        request.malformed_header = malformed;
        request.routed_path = Some(routed_path);
        request.response_form = event.response_form;
        request.request_id = event.request_id.as_deref().and_then(Identifier::new);
        request
    }
}

#[cfg(test)]
mod tests;
