//! The table of routes.

use std::time::Duration;

use http::Method;

#[cfg(any(feature = "entry", test))]
use crate::api::Rpc;
use crate::api::native::{self, Native};
use crate::api::{Article, Interface, Messages, RenderError, SDK_HEADERS, invoke};
use crate::config::Config;
use crate::host::IncomingRequest;

/// A path, and what it serves.
pub(super) struct Route {
    path: Path,
    /// The methods besides `OPTIONS`, in ascending order.
    methods: &'static [&'static str],
    /// Whether a credential is needed.
    pub auth: Auth,
    pub resource: Resource,
    /// The format of errors.
    pub errors: &'static dyn RenderError,
    /// Whether a browser may ask in a preflight.
    pub cors: Cors,
}

enum Path {
    Exact(&'static str),
    /// A path with a name in it.
    Matching(fn(&str) -> bool),
}

impl Path {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(known) => path == *known,
            Self::Matching(matches) => matches(path),
        }
    }
}

/// The callers that may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    Everybody,
    Callers,
}

/// The CORS of a route. A WebSocket has no preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cors {
    /// It has one, in which a page may ask for these headers besides those of all routes.
    Preflight(&'static [&'static str]),
    None,
}

/// The resource that a route serves.
#[derive(Clone, Copy)]
pub(super) enum Resource {
    /// A reply of the model, in the format of an interface.
    Reply(&'static dyn Interface),
    /// Lambda's Invoke API: the body is an event, and its response is in the body of the response.
    Invocation,
    /// The same, and the response is streamed.
    StreamingInvocation,
    /// A WebSocket, whose messages are requests.
    WebSocket,
    /// The numbers of the caller's account.
    Usage,
    /// The number of tokens of a request to the Messages API.
    TokenCount,
    /// The models that callers may name, or one of them.
    Models,
    /// A session of the caller.
    Session,
    /// The sessions of the caller.
    Sessions,
    /// An operation of Bedrock's own API, which is passed on.
    Operation,
    /// The inference profiles and foundation models that callers may use, in the form of Bedrock's own API.
    Catalogue,
    /// Whether the configuration is valid.
    Health,
    /// Whether there is a service, as clients probe it.
    Probe,
}

#[rustfmt::skip]
static ROUTES: [Route; 18] = [
    Route { path: Path::Exact("/"), methods: &["POST"], auth: Auth::Callers, resource: Resource::Reply(&Article), errors: &Article, cors: Cors::Preflight(&[]) },
    Route { path: Path::Exact("/"), methods: &["GET", "HEAD"], auth: Auth::Everybody, resource: Resource::Probe, errors: &Article, cors: Cors::Preflight(&[]) },
    Route { path: Path::Exact("/api/hello"), methods: &["GET", "HEAD"], auth: Auth::Everybody, resource: Resource::Probe, errors: &Messages, cors: Cors::None },
    Route { path: Path::Exact("/v1/messages"), methods: &["POST"], auth: Auth::Callers, resource: Resource::Reply(&Messages), errors: &Messages, cors: Cors::Preflight(&SDK_HEADERS) },
    Route { path: Path::Exact("/v1/messages/count_tokens"), methods: &["POST"], auth: Auth::Callers, resource: Resource::TokenCount, errors: &Messages, cors: Cors::Preflight(&SDK_HEADERS) },
    Route { path: Path::Exact("/v1/models"), methods: &["GET", "HEAD"], auth: Auth::Callers, resource: Resource::Models, errors: &Messages, cors: Cors::Preflight(&SDK_HEADERS) },
    Route { path: Path::Matching(is_model), methods: &["GET", "HEAD"], auth: Auth::Callers, resource: Resource::Models, errors: &Messages, cors: Cors::Preflight(&SDK_HEADERS) },
    Route { path: Path::Exact("/ws"), methods: &["GET"], auth: Auth::Callers, resource: Resource::WebSocket, errors: &Article, cors: Cors::None },
    Route { path: Path::Exact("/usage"), methods: &["GET", "HEAD"], auth: Auth::Callers, resource: Resource::Usage, errors: &Article, cors: Cors::Preflight(&[]) },
    Route { path: Path::Exact("/sessions"), methods: &["GET", "HEAD"], auth: Auth::Callers, resource: Resource::Sessions, errors: &Article, cors: Cors::Preflight(&[]) },
    Route { path: Path::Matching(is_session), methods: &["DELETE", "GET", "HEAD"], auth: Auth::Callers, resource: Resource::Session, errors: &Article, cors: Cors::Preflight(&[]) },
    Route { path: Path::Exact("/anthropic/v1/messages"), methods: &["POST"], auth: Auth::Callers, resource: Resource::Operation, errors: &Messages, cors: Cors::Preflight(&SDK_HEADERS) },
    Route { path: Path::Matching(native::is_operation), methods: &["POST"], auth: Auth::Callers, resource: Resource::Operation, errors: &Native, cors: Cors::Preflight(&native::SDK_HEADERS) },
    Route { path: Path::Matching(native::is_catalogue_path), methods: &["GET", "HEAD"], auth: Auth::Callers, resource: Resource::Catalogue, errors: &Native, cors: Cors::Preflight(&native::SDK_HEADERS) },
    // Operations that are not served.
    Route { path: Path::Matching(native::is_below_root), methods: &[], auth: Auth::Callers, resource: Resource::Catalogue, errors: &Native, cors: Cors::None },
    Route { path: Path::Exact("/healthz"), methods: &["GET", "HEAD"], auth: Auth::Everybody, resource: Resource::Health, errors: &Article, cors: Cors::Preflight(&[]) },
    Route { path: Path::Matching(invoke::is_path), methods: &["POST"], auth: Auth::Callers, resource: Resource::Invocation, errors: &invoke::Invoke, cors: Cors::Preflight(&[]) },
    Route { path: Path::Matching(invoke::is_streaming_path), methods: &["POST"], auth: Auth::Callers, resource: Resource::StreamingInvocation, errors: &invoke::Invoke, cors: Cors::Preflight(&[]) },
];

/// The methods of all routes, and `OPTIONS`, in ascending order.
const METHODS: [&str; 5] = ["DELETE", "GET", "HEAD", "OPTIONS", "POST"];

/// The path above the models of the Models API.
pub(super) const MODELS_BELOW: &str = "/v1/models/";

fn is_session(path: &str) -> bool {
    path.strip_prefix("/sessions/").is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

fn is_model(path: &str) -> bool {
    path.strip_prefix(MODELS_BELOW).is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// The route of the RPC method, which a binding calls without a path.
#[cfg(any(feature = "entry", test))]
pub(super) static RPC: Route = Route {
    path: Path::Exact("/"),
    methods: &["POST"],
    auth: Auth::Callers,
    resource: Resource::Reply(&Rpc),
    errors: &Rpc,
    cors: Cors::None,
};

impl Route {
    /// Finds the route of a request. Without a configuration there is no `BASE_PATH`.
    pub(super) fn find<B>(
        request: &IncomingRequest<B>,
        config: Option<&Config>,
    ) -> Option<&'static Self> {
        let path = match (request.routed_path, config) {
            (Some(path), _) => path,
            (None, Some(config)) => config.path_below(request.path()),
            (None, None) => request.path(),
        };
        let of_path = || of_path(path, request.routed_path.is_some());
        of_path().find(|route| route.accepts(&request.method)).or_else(|| of_path().next())
    }

    /// Returns the interface of a route for replies.
    pub(super) fn interface(&self) -> Option<&'static dyn Interface> {
        match self.resource {
            Resource::Reply(interface) => Some(interface),
            Resource::TokenCount => Some(&Messages),
            _ => None,
        }
    }

    /// Returns how long a request may take.
    pub(super) fn timeout(&self, config: &Config) -> Duration {
        match self.resource {
            Resource::Operation => native::TIMEOUT,
            _ => self.interface().map_or(config.timeout, |it| it.timeout(config)),
        }
    }

    /// Returns the most bytes of a body.
    pub(super) fn max_body_bytes(&self, config: &Config) -> usize {
        match self.resource {
            Resource::Operation => config.max_messages_body_bytes,
            _ => self.interface().map_or(config.max_body_bytes, |it| it.max_body_bytes(config)),
        }
    }

    /// Lists the methods of the route's path, and this one.
    fn methods<B>(&self, request: &IncomingRequest<B>, more: &str) -> String {
        let is_routed = request.routed_path.is_some();
        let has = |method: &str| match self.path {
            Path::Exact(path) => of_path(path, is_routed).any(|it| it.methods.contains(&method)),
            Path::Matching(_) => self.methods.contains(&method),
        };
        let methods = METHODS.into_iter().filter(|method| *method == more || has(method));
        methods.collect::<Vec<_>>().join(", ")
    }

    /// Reports whether the route accepts a method.
    pub(super) fn accepts(&self, method: &Method) -> bool {
        self.methods.contains(&method.as_str())
    }

    /// Returns the value of `allow`.
    pub(super) fn allow<B>(&self, request: &IncomingRequest<B>) -> String {
        self.methods(request, "OPTIONS")
    }

    /// Returns the value of `access-control-allow-methods`.
    pub(super) fn cors_methods<B>(&self, request: &IncomingRequest<B>) -> String {
        self.methods(request, "")
    }
}

/// Returns the routes of a path. A gateway in front that has routed a request sends no probes.
fn of_path(path: &str, is_routed: bool) -> impl Iterator<Item = &'static Route> {
    let routes = ROUTES.iter().filter(move |route| route.path.matches(path));
    routes.filter(move |route| !is_routed || !matches!(route.resource, Resource::Probe))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn resource_of(request: &IncomingRequest<impl Sized>) -> &'static str {
        match Route::find(request, None).map(|route| route.resource) {
            Some(Resource::Reply(_)) => "reply",
            Some(Resource::Invocation) => "invocation",
            Some(Resource::StreamingInvocation) => "streaming invocation",
            Some(Resource::WebSocket) => "websocket",
            Some(Resource::Usage) => "usage",
            Some(Resource::TokenCount) => "count",
            Some(Resource::Models) => "models",
            Some(Resource::Session) => "session",
            Some(Resource::Sessions) => "sessions",
            Some(Resource::Operation) => "operation",
            Some(Resource::Catalogue) => "catalogue",
            Some(Resource::Health) => "health",
            Some(Resource::Probe) => "probe",
            None => "none",
        }
    }

    #[test]
    fn the_list_of_methods_is_sorted_and_has_those_of_every_route() {
        assert!(METHODS.is_sorted());
        let mut methods = ROUTES.iter().flat_map(|route| route.methods);
        assert!(methods.all(|method| METHODS.contains(method)));
    }

    #[test]
    fn an_http_path_is_matched_exactly() {
        for (path, expected) in [
            ("/", "probe"),
            ("/api/hello", "probe"),
            ("/v1/messages", "reply"),
            ("/v1/messages/", "none"),
            ("/v1/messages/count_tokens", "count"),
            ("/v1/models", "models"),
            ("/v1/models/claude-opus-5", "models"),
            ("/v1/models/", "none"),
            ("/v1/models/a/b", "none"),
            ("/sessions", "sessions"),
            ("/sessions/a-B_1", "session"),
            ("/sessions/", "none"),
            ("/sessions/a/b", "none"),
            ("/ws", "websocket"),
            ("/healthz", "health"),
            ("/usage", "usage"),
            ("/2015-03-31/functions/f/invocations", "invocation"),
            ("/2021-11-15/functions/f/response-streaming-invocations", "streaming invocation"),
            ("/2021-11-15/functions/f/invocations", "none"),
            ("/2021-11-15/functions//response-streaming-invocations", "none"),
            ("/usage/", "none"),
            ("", "none"),
            ("//", "none"),
            ("/healthz/", "none"),
            ("/prod/healthz", "none"),
            ("/HEALTHZ", "none"),
        ] {
            let request =
                IncomingRequest::from_http(Method::GET, path, HeaderMap::new(), Bytes::new());
            assert_eq!(resource_of(&request), expected, "{path:?}");
        }
    }

    #[test]
    fn a_lambda_event_is_routed_by_the_end_of_its_path() {
        for (name, json, method, expected) in [
            ("format 1.0", r#"{"requestContext": {}, "httpMethod": "PUT"}"#, "PUT", "reply"),
            (
                "format 2.0",
                r#"{"requestContext": {"http": {"method": "PATCH"}}}"#,
                "PATCH",
                "reply",
            ),
            (
                "OPTIONS",
                r#"{"requestContext": {"http": {"method": "OPTIONS"}}, "rawPath": "/prod/ask"}"#,
                "OPTIONS",
                "reply",
            ),
            (
                "health, format 1.0",
                r#"{"requestContext": {}, "httpMethod": "GET", "path": "/healthz"}"#,
                "GET",
                "health",
            ),
            (
                "health behind a stage",
                r#"{"requestContext": {"http": {"method": "GET"}}, "rawPath": "/prod/healthz"}"#,
                "GET",
                "health",
            ),
            (
                "a path that ends like health",
                r#"{"requestContext": {}, "httpMethod": "POST", "path": "/nothealthz"}"#,
                "POST",
                "reply",
            ),
            (
                "the caller's numbers",
                r#"{"requestContext": {"http": {"method": "GET"}}, "rawPath": "/prod/usage"}"#,
                "GET",
                "usage",
            ),
            (
                "a session",
                r#"{"requestContext": {"http": {"method": "DELETE"}}, "rawPath": "/prod/sessions/a"}"#,
                "DELETE",
                "session",
            ),
            (
                "the caller's sessions",
                r#"{"requestContext": {"http": {"method": "GET"}}, "rawPath": "/prod/sessions"}"#,
                "GET",
                "sessions",
            ),
            (
                "a prompt at any path",
                r#"{"requestContext": {"http": {"method": "POST"}}, "rawPath": "/prod/sessions/a"}"#,
                "POST",
                "reply",
            ),
            ("no method", r#"{"requestContext": {}}"#, "GET", "reply"),
            (
                "an invalid method",
                r#"{"requestContext": {}, "httpMethod": "PO ST"}"#,
                "GET",
                "reply",
            ),
        ] {
            let request = IncomingRequest::from_lambda(json.as_bytes());
            assert_eq!(
                (request.method.as_str(), resource_of(&request)),
                (method, expected),
                "{name}"
            );
        }
    }
}
