//! The admission of a request: steps 1 to 5, from the configuration to the body.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::content::{announced_length, check_length, check_media_type};
use super::exchange::{Ended, Exchange};
use super::resources;
use super::routes::{Auth, Cors, Resource, Route};
use crate::api::native::{self, Native};
use crate::api::{Envelope, Interface, build_response};
use crate::auth::{self, Intake, Session};
use crate::config::Config;
use crate::error::{Code, Error};
use crate::headers::{is_signed, is_upgrade};
use crate::host::{Body, Host, IncomingRequest, KeptBody, RequestBody};
use crate::identifier::Identifier;
use crate::limits::{self, Address};
use crate::outlined::outlined;

/// The facts that a platform or an outer request has found out about a request already.
pub(super) struct Admission {
    pub session: Session,
    /// Whether the request was counted.
    pub is_counted: bool,
    /// Whether the headers are those of the client, whose browser may have sent the request for a page.
    pub is_from_client: bool,
    /// The longest time that the platform gives the request.
    pub longest: Duration,
    /// The id that an event inside of the request has.
    pub event_request_id: Option<Identifier>,
}

impl Admission {
    /// The admission of a caller whom the platform has authenticated.
    pub(super) fn new(session: Session) -> Self {
        let (is_counted, is_from_client, event_request_id) = (false, false, None);
        Self { session, is_counted, is_from_client, longest: Duration::MAX, event_request_id }
    }
}

/// A request that is admitted and whose body is read.
pub(super) enum Entered<'a> {
    /// A request for a reply of the model.
    Reply { config: &'a Config, interface: &'static dyn Interface, headers: HeaderMap, body: Bytes },
    /// A request for the number of its tokens.
    TokenCount { config: &'a Config, headers: HeaderMap, body: Bytes },
    /// An invocation through Lambda's API, with its headers, and whether its response is streamed.
    Invocation { headers: HeaderMap, payload: Bytes, is_streaming: bool },
    /// A request that is passed on to Bedrock.
    Operation { config: &'a Config, path: String, headers: HeaderMap, body: KeptBody },
    /// A request for a WebSocket.
    WebSocket { config: &'a Config, session: Session, headers: HeaderMap },
}

impl<'a, H: Host> Exchange<'a, '_, H> {
    /// Steps 1 to 5: authenticates, routes and admits a request, and reads its body. `route` is known for a request
    /// without a path.
    ///
    /// # Errors
    ///
    /// If the request ends here, well or not.
    pub(super) async fn enter<B: Body>(
        &mut self,
        request: IncomingRequest<RequestBody<B>>,
        mut admission: Option<Admission>,
        route: Option<&'static Route>,
    ) -> Result<Entered<'a>, Ended> {
        let (request, body) = request.take_body();
        let route = route.or_else(|| Route::find(&request, self.isolate.config().ok()));
        if let Some(route) = route {
            self.errors = route.errors;
        }
        // 1. The configuration is valid.
        let config = self.isolate.checked_config()?;
        self.record.configure(config);
        // A value that is not read could be the one that forbids the request, such as an origin.
        if let Some(name) = &request.malformed_header {
            let message =
                format!("the value of the header {name} has a character that HTTP does not allow");
            return Err(Error::invalid(message).into());
        }
        // 2. The caller is authenticated.
        if let Some(admission) = &mut admission {
            self.record.event_request_id = admission.event_request_id.take();
            self.longest = admission.longest;
        }
        if let Some(envelope) = preflight(route, &request, config) {
            return Err(Ended::Responded(envelope));
        }
        let is_counted = admission.as_ref().is_some_and(|it| it.is_counted);
        let body = self.admitted(body, announced_length(&request.headers));
        let (session, body) = self.authenticate(&request, body, admission, route, config).await?;
        // 3. The path has a route that accepts the method.
        let route = self.accepted(route, &request)?;
        // 4. The caller is admitted.
        let caller = session.caller.as_ref();
        if !is_counted {
            let address = || Address::from_headers(&request.headers);
            match route.resource {
                Resource::WebSocket => {
                    limits::admit_socket(caller, address, config, self.host).await?;
                }
                _ => limits::admit(caller, address, config, self.host).await?,
            }
        }
        let response = match route.resource {
            Resource::WebSocket => {
                return Ok(Entered::WebSocket { config, session, headers: request.headers });
            }
            Resource::Usage => outlined(resources::usage(caller, config, self.host)).await?,
            Resource::Models => resources::models(&request, config)?,
            Resource::Session => {
                let memory = &self.isolate.memory;
                outlined(resources::session(&request, caller, config, memory, self.host)).await?
            }
            Resource::Sessions => {
                outlined(resources::sessions(&request, caller, config, self.host)).await?
            }
            Resource::Catalogue => resources::catalogue(&request, config)?,
            // 5. The headers announce an acceptable body, which is then read.
            _ => return Ok(self.take_in(route, request, body, config).await?),
        };
        Err(Ended::Responded(response))
    }

    /// Step 2: returns the session of the caller, and the body, which may have been read to check a signature.
    async fn authenticate<B: Body>(
        &mut self,
        request: &IncomingRequest<()>,
        body: B,
        admission: Option<Admission>,
        route: Option<&'static Route>,
        config: &Config,
    ) -> Result<(Session, RequestBody<B>), Error> {
        let access = &config.access;
        let pending = |session, body| (session, RequestBody::Pending(body));
        let authenticated = match admission {
            _ if route.is_some_and(|it| it.auth == Auth::Everybody) => {
                Ok(pending(Session::OPEN, body))
            }
            Some(Admission { session, is_from_client: true, .. }) => {
                let checked = auth::check_origin(session, &request.headers, access);
                checked.map(|session| pending(session, body))
            }
            Some(Admission { session, .. }) => Ok(pending(session, body)),
            None => {
                let timeout = route.map_or(config.timeout, |it| it.timeout(config));
                let (deadline, state) = (self.deadline(timeout), &self.isolate.auth);
                let limit = route.map_or(config.max_body_bytes, |it| it.max_body_bytes(config));
                let path = config.path_below(request.path());
                let is_kept = route.is_some_and(|it| matches!(it.resource, Resource::Operation))
                    && !native::is_edited(path, config);
                let intake = Intake { limit, is_kept };
                auth::authenticate(request, body, config, state, deadline, intake, self.host).await
            }
        };
        let (session, body) = authenticated.map_err(|refusal| {
            self.record.caller = refusal.session().and_then(|it| it.caller.clone());
            refusal.into_error(access)
        })?;
        self.record.caller.clone_from(&session.caller);
        Ok((session, body))
    }

    /// Step 3: returns the route if it accepts the method and, of a WebSocket, the request opens one.
    fn accepted(
        &mut self,
        route: Option<&'static Route>,
        request: &IncomingRequest<()>,
    ) -> Result<&'static Route, Ended> {
        let Some(route) = route else {
            if is_signed(&request.headers) {
                // An SDK of AWS calls an operation that is not served.
                self.errors = &Native;
            }
            return Err(Error::new(Code::NotFound, "there is nothing at this path").into());
        };
        if request.method == Method::OPTIONS {
            let mut envelope = Envelope::empty(204);
            envelope.set_header("allow", route.allow(request));
            return Err(Ended::Responded(envelope));
        }
        if !route.accepts(&request.method) {
            let allow = route.allow(request);
            let message = format!("the method must be one of {allow}");
            let error = Error::new(Code::MethodNotAllowed, message).with("allow", allow);
            return Err(error.into());
        }
        match route.resource {
            Resource::Health | Resource::Probe => {
                Err(Ended::Responded(build_response("", "ok", 200)))
            }
            Resource::WebSocket if !is_upgrade(&request.headers) => Err(upgrade_required().into()),
            _ => Ok(route),
        }
    }

    /// Step 5: checks the announced body, and reads it or has the platform keep it.
    async fn take_in(
        &self,
        route: &Route,
        request: IncomingRequest<()>,
        body: impl Body,
        config: &'a Config,
    ) -> Result<Entered<'a>, Error> {
        let limit = route.max_body_bytes(config);
        // The SDKs declare no type for the payload of an invocation, or one of bytes.
        if route.interface().is_some() {
            check_media_type(&request.headers)?;
        }
        check_length(&request.headers, limit)?;
        if let Resource::Operation = route.resource {
            let path = config.path_below(request.path()).to_owned();
            let body = if native::is_edited(&path, config) {
                self.read(body, route.timeout(config), limit).await?.into()
            } else {
                let within = self.deadline(route.timeout(config)).left(self.host.now());
                let kept = outlined(body.keep(limit, within)).await;
                kept.map_err(|error| Error::unreadable(error, limit))?
            };
            return Ok(Entered::Operation { config, path, headers: request.headers, body });
        }
        let (headers, body) =
            (request.headers, self.read(body, route.timeout(config), limit).await?);
        Ok(match route.resource {
            Resource::Reply(interface) => Entered::Reply { config, interface, headers, body },
            Resource::TokenCount => Entered::TokenCount { config, headers, body },
            resource => {
                let is_streaming = matches!(resource, Resource::StreamingInvocation);
                Entered::Invocation { headers, payload: body, is_streaming }
            }
        })
    }
}

/// Returns the response to a preflight, if the request is one.
fn preflight(
    route: Option<&Route>,
    request: &IncomingRequest<()>,
    config: &Config,
) -> Option<Envelope> {
    let (route, access) = (route?, &config.access);
    let Cors::Preflight(more) = route.cors else { return None };
    if !auth::is_preflight(&request.method, &request.headers, access) {
        return None;
    }
    let mut envelope = Envelope::empty(204);
    envelope.headers.extend(auth::preflight_headers(&route.cors_methods(request), more, access));
    Some(envelope)
}

/// Describes that a path serves only WebSockets.
pub(super) fn upgrade_required() -> Error {
    let error = Error::new(Code::UpgradeRequired, "this path takes WebSockets only");
    error.with("upgrade", "websocket")
}
