//! The incoming request as the platform hands it over.

use http::{HeaderMap, Method};

use crate::identifier::Identifier;

/// An incoming request. The body is not read yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IncomingRequest<B> {
    /// The method.
    pub method: Method,
    /// The path and the query as they came, undecoded. Empty if the request did not come over HTTP.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The id under which the gateway in front logs the request.
    pub request_id: Option<Identifier>,
    /// The name of a header whose value HTTP does not allow, and which is therefore not among `headers`.
    pub(crate) malformed_header: Option<String>,
    /// The path by which the request is routed, if a gateway in front has routed `target` already.
    pub(crate) routed_path: Option<&'static str>,
    /// The form of the response that the sender of the event expects.
    pub(crate) response_form: ResponseForm,
    /// The body.
    pub body: B,
}

/// The form of a response to a Lambda event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ResponseForm {
    /// API Gateway's, which Function URLs and VPC Lattice take too.
    #[default]
    Proxy,
    /// An Application Load Balancer's, which wants a `statusDescription`.
    LoadBalancer,
    /// The same with `multiValueHeaders` in place of `headers`, which it ignores then.
    LoadBalancerMultiValue,
}

impl<B> IncomingRequest<B> {
    /// Makes an HTTP request to `target`: an undecoded path, with a query if there is one.
    ///
    /// ```
    /// use bedrock_edge::IncomingRequest;
    /// use http::{HeaderMap, Method};
    ///
    /// let request =
    ///     IncomingRequest::from_http(Method::GET, "/healthz?a=1", HeaderMap::new(), bytes::Bytes::new());
    /// assert_eq!((request.path(), request.query()), ("/healthz", "a=1"));
    /// ```
    pub fn from_http(method: Method, target: &str, headers: HeaderMap, body: B) -> Self {
        let target = target.to_owned();
        Self {
            method,
            target,
            headers,
            request_id: None,
            malformed_header: None,
            routed_path: None,
            response_form: ResponseForm::default(),
            body,
        }
    }

    /// Returns the path, undecoded.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&*self.target, |(path, _)| path)
    }

    /// Returns the query, undecoded and without its `?`.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Separates the body from the rest.
    pub(crate) fn take_body(self) -> (IncomingRequest<()>, B) {
        self.exchange_body(())
    }

    /// Turns the body into another.
    pub(crate) fn map_body<C>(self, map: impl FnOnce(B) -> C) -> IncomingRequest<C> {
        let (request, body) = self.take_body();
        request.exchange_body(map(body)).0
    }

    fn exchange_body<C>(self, new: C) -> (IncomingRequest<C>, B) {
        let Self { method, target, headers, request_id, body, .. } = self;
        let Self { malformed_header, routed_path, response_form, .. } = self;
        let request = IncomingRequest {
            method,
            target,
            headers,
            request_id,
            malformed_header,
            routed_path,
            response_form,
            body: new,
        };
        (request, body)
    }
}
