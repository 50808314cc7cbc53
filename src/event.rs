//! What comes in: an HTTP request, or one of the three shapes of Lambda's JSON.
//!
//! Out of scope: what the body says ([`request`](crate::request)).

use std::future::{Future, ready};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::UPGRADE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::host::{Body, ReadError};
use crate::invocation;
use crate::log::Token;
use proxy::ProxyEvent;

mod proxy;

/// A call of the function. The body is not read yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event<B> {
    /// The method.
    pub method: Method,
    /// What the path asks for.
    pub route: Route,
    /// The headers.
    pub headers: HeaderMap,
    /// The id that the place in front has given the request, and writes into its own log.
    pub request_id: Option<Token>,
    /// JSON, or nothing.
    pub body: B,
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/`: the function.
    Generate,
    /// `/ws`: the function, over a WebSocket.
    Socket,
    /// `/healthz`: whether it is configured.
    Health,
    /// `/2015-03-31/functions/…/invocations`: the function, as Lambda's Invoke API has it.
    Invocation,
    /// There is nothing there.
    Unknown,
}

impl Route {
    fn of(path: &str) -> Self {
        match path {
            "/" => Self::Generate,
            "/ws" => Self::Socket,
            "/healthz" => Self::Health,
            _ if invocation::is_path(path) => Self::Invocation,
            _ => Self::Unknown,
        }
    }
}

impl<B> Event<B> {
    /// An HTTP request to `path`, which has no query.
    ///
    /// ```
    /// use bedrock_edge::{Event, Route};
    /// use http::{HeaderMap, Method};
    ///
    /// let event = Event::from_http(Method::GET, "/healthz", HeaderMap::new(), bytes::Bytes::new());
    /// assert_eq!(event.route, Route::Health);
    /// ```
    pub fn from_http(method: Method, path: &str, headers: HeaderMap, body: B) -> Self {
        Self { method, route: Route::of(path), headers, request_id: None, body }
    }

    /// The same call with another body.
    pub(crate) fn map<C>(self, make: impl FnOnce(B) -> C) -> Event<C> {
        let Self { method, route, headers, request_id, body } = self;
        Event { method, route, headers, request_id, body: make(body) }
    }

    /// Whether it asks for a WebSocket, at the path that has one.
    pub fn is_upgrade(&self) -> bool {
        let upgrade = self.headers.get(UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
        self.route == Route::Socket
            && self.method == Method::GET
            && upgrade.eq_ignore_ascii_case(b"websocket")
    }
}

/// The body of a Lambda event: there, or not what `isBase64Encoded` says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LambdaBody(Result<Bytes, String>);

impl From<Bytes> for LambdaBody {
    fn from(body: Bytes) -> Self {
        Self(Ok(body))
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
}

impl Event<LambdaBody> {
    /// A Lambda's event. One field decides the shape: with a `requestContext` it is a proxy event
    /// (format 2.0 if that has `http`, else 1.0), without one it is itself the body, as the
    /// article's test events and scheduled events are.
    ///
    /// Behind API Gateway and Function URLs any path but `…/healthz` is the function: which paths
    /// lead here is said there.
    ///
    /// It never fails: what is wrong with the event is the answer's business, and is told when
    /// the body is read.
    ///
    /// ```
    /// use bedrock_edge::{Event, Route};
    ///
    /// let event = Event::from_lambda(br#"{"prompt": "Hello"}"#);
    /// assert_eq!((event.method, event.route), (http::Method::POST, Route::Generate));
    /// ```
    pub fn from_lambda(event: &[u8]) -> Self {
        match ProxyEvent::parse(event) {
            Ok(Some(event)) => Self::from_proxy_event(event),
            // What is not an object is told so when the body is parsed.
            Ok(None) => Self::direct(Ok(Bytes::copy_from_slice(event))),
            Err(error) => Self::direct(Err(format!("the proxy event is malformed: {error}"))),
        }
    }

    fn direct(body: Result<Bytes, String>) -> Self {
        Self {
            method: Method::POST,
            route: Route::Generate,
            headers: HeaderMap::new(),
            request_id: None,
            body: LambdaBody(body),
        }
    }

    fn from_proxy_event(event: ProxyEvent<'_>) -> Self {
        let path = event.path.unwrap_or_default();
        let headers = event.headers.iter().filter_map(|(name, value)| {
            Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
        });
        let text = event.body.unwrap_or_default();
        let body = if event.is_base64_encoded {
            STANDARD.decode(&*text).map(Bytes::from).map_err(|error| {
                format!("the body is not base64, as isBase64Encoded says: {error}")
            })
        } else {
            Ok(Bytes::from(text.into_owned()))
        };
        Self {
            // What is not a method is not POST either, and is told so.
            method: event.method.unwrap_or_default().parse().unwrap_or(Method::GET),
            route: if path.ends_with("/healthz") { Route::Health } else { Route::Generate },
            headers: headers.collect(),
            request_id: event.request_id.as_deref().and_then(Token::new),
            body: LambdaBody(body),
        }
    }
}

#[cfg(test)]
mod tests;
