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

use crate::gate::Session;
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
    /// The path and the query, as they came. Empty where the call did not come over HTTP.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The id that the place in front has given the request, and writes into its own log.
    pub request_id: Option<Token>,
    /// Who calls, where somebody else has found out already.
    pub(crate) admission: Option<Admission>,
    /// JSON, or nothing.
    pub body: B,
}

/// What the gate need not do for an event any more.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub session: Session,
    /// Whether the request was counted for the limit of requests.
    pub is_counted: bool,
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/`: the function.
    Generate,
    /// `/ws`: the function, over a WebSocket.
    Socket,
    /// `/usage`: what the caller has used, and may use.
    Usage,
    /// `/healthz`: whether it is configured.
    Health,
    /// `/2015-03-31/functions/…/invocations`: the function, as Lambda's Invoke API has it.
    Invocation,
    /// There is nothing there.
    Unknown,
}

impl Route {
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/" => Self::Generate,
            "/ws" => Self::Socket,
            "/usage" => Self::Usage,
            "/healthz" => Self::Health,
            _ if invocation::is_path(path) => Self::Invocation,
            _ => Self::Unknown,
        }
    }
}

impl<B> Event<B> {
    /// An HTTP request to `target`: a path, and a query if there is one, undecoded.
    ///
    /// ```
    /// use bedrock_edge::{Event, Route};
    /// use http::{HeaderMap, Method};
    ///
    /// let event = Event::from_http(Method::GET, "/healthz", HeaderMap::new(), bytes::Bytes::new());
    /// assert_eq!(event.route, Route::Health);
    /// ```
    pub fn from_http(method: Method, target: &str, headers: HeaderMap, body: B) -> Self {
        let route = Route::of(split(target).0);
        let target = target.to_owned();
        Self { method, route, target, headers, request_id: None, admission: None, body }
    }

    pub(crate) fn path(&self) -> &str {
        split(&self.target).0
    }

    pub(crate) fn query(&self) -> &str {
        split(&self.target).1
    }

    /// The same call with another body.
    pub(crate) fn map<C>(self, make: impl FnOnce(B) -> C) -> Event<C> {
        let (event, body) = self.take_body();
        let Event { method, route, target, headers, request_id, admission, body: () } = event;
        Event { method, route, target, headers, request_id, admission, body: make(body) }
    }

    /// The call without its body, and the body.
    pub(crate) fn take_body(self) -> (Event<()>, B) {
        let Self { method, route, target, headers, request_id, admission, body } = self;
        (Event { method, route, target, headers, request_id, admission, body: () }, body)
    }

    /// Whether it asks for a WebSocket, at the path that has one.
    pub fn is_upgrade(&self) -> bool {
        let upgrade = self.headers.get(UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
        self.route == Route::Socket
            && self.method == Method::GET
            && upgrade.eq_ignore_ascii_case(b"websocket")
    }
}

fn split(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
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
    /// Behind API Gateway and Function URLs any path but `…/healthz` and `…/usage` is the function:
    /// which paths lead here is said there.
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
            target: String::new(),
            headers: HeaderMap::new(),
            request_id: None,
            admission: None,
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
            route: match () {
                () if path.ends_with("/healthz") => Route::Health,
                () if path.ends_with("/usage") => Route::Usage,
                () => Route::Generate,
            },
            // Format 1.0 has the query only decoded.
            target: match event.query.filter(|query| !query.is_empty()) {
                Some(query) => format!("{path}?{query}"),
                None => path.into_owned(),
            },
            headers: headers.collect(),
            admission: None,
            request_id: event.request_id.as_deref().and_then(Token::new),
            body: LambdaBody(body),
        }
    }
}

#[cfg(test)]
mod tests;
