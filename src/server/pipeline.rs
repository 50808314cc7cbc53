//! The pipeline: the steps of every request, whatever its interface, whole or streamed.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::content::{announced_length, check_length, check_media_type};
use super::generation::{Generation, Streaming};
use super::isolate::Isolate;
use super::passing::{Passage, Passing};
use super::response::{describe, event_stream};
use super::routes::{Auth, Cors, MODELS_BELOW, Resource, Route};
use crate::api::native::{self, Native};
use crate::api::{
    Article, Context, Envelope, Interface, Messages, RenderError, build_response, estimate,
    find_model, list_models, parse_count, render_count, render_session, render_sessions,
    render_usage,
};
use crate::auth::{self, Caller, Intake, Session};
use crate::bedrock::{
    Bill, Meter, Response, count_tokens, invoke_bedrock, invoke_bedrock_with_response_stream, pass,
};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::headers::{is_signed, is_upgrade};
use crate::host::{Body, Host, IncomingRequest, KeptBody, RequestBody, ResponseForm};
use crate::identifier::Identifier;
use crate::limits::{self, Address, Admitted};
use crate::lock::lock;
use crate::log::Record;
use crate::outlined::outlined;
use crate::sessions::{self, Carried};

/// A request on its way through the pipeline.
pub(super) struct Exchange<'a, 'h, H> {
    isolate: &'a Isolate,
    host: &'h H,
    /// The format of errors.
    errors: &'static dyn RenderError,
    started: SystemTime,
    /// The longest time that the platform gives the request, if it is less than `BEDROCK_TIMEOUT_MS`.
    longest: Duration,
    pub record: Record,
    /// A response to HEAD has no body.
    is_head: bool,
    /// The form of the response to an event.
    form: ResponseForm,
    /// The CORS headers of the response.
    cors: Vec<(&'static str, String)>,
    /// The session of the WebSocket of a message.
    carried: Option<Carried>,
}

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

/// The result of a request for a reply.
#[allow(clippy::large_enum_variant)] // It is made once for each request, and moved once or twice.
pub(super) enum Replied<'a, B> {
    Whole(Envelope, Record),
    Stream(Envelope, Streaming<'a, B>),
}

/// The result of a request that is passed on.
#[allow(clippy::large_enum_variant)] // It is made once for each request, and moved once or twice.
pub(super) enum Passed<'a, B> {
    /// The response of Bedrock.
    Response(Envelope, Passing<'a, B>),
    /// A response that ends here.
    Whole(Envelope, Record),
}

impl<'a, 'h, H: Host> Exchange<'a, 'h, H> {
    /// Starts the exchange. The request gets an id, which every response carries.
    pub(super) fn new<B>(request: &IncomingRequest<B>, isolate: &'a Isolate, host: &'h H) -> Self {
        let id = request.request_id.clone();
        let id = id.unwrap_or_else(|| Identifier::random(host.random()));
        let config = isolate.config().ok();
        let cors = config.map(|it| auth::allow_origin(&request.headers, &it.access));
        Self {
            isolate,
            host,
            errors: &Article,
            started: host.now(),
            longest: Duration::MAX,
            record: Record::new(id),
            is_head: request.method == Method::HEAD,
            form: request.response_form,
            cors: cors.unwrap_or_default(),
            carried: None,
        }
    }

    /// Starts the exchange of a message of a WebSocket.
    pub(super) fn new_message(
        errors: &'static dyn RenderError,
        session: &Session,
        carried: &Carried,
        config: &Config,
        isolate: &'a Isolate,
        host: &'h H,
    ) -> Self {
        let mut record = Record::new(Identifier::random(host.random()));
        record.configure(config);
        record.caller.clone_from(&session.caller);
        let (is_head, cors, form) = (false, Vec::new(), ResponseForm::default());
        let (started, longest) = (host.now(), Duration::MAX);
        let carried = Some(carried.clone());
        Self { isolate, host, errors, started, longest, record, is_head, form, cors, carried }
    }

    fn deadline(&self, timeout: Duration) -> Deadline {
        Deadline::new(self.started, timeout.min(self.longest))
    }

    /// Steps 1 to 5: authenticates, routes and admits a request, and reads its body. `route` is known for a request
    /// without a path.
    ///
    /// # Errors
    ///
    /// The response, if the request ends here, well or not.
    pub(super) async fn enter<B: Body>(
        &mut self,
        request: IncomingRequest<B>,
        admission: Option<Admission>,
        route: Option<&'static Route>,
    ) -> Result<Entered<'a>, Envelope> {
        let route = route.or_else(|| Route::find(&request, self.isolate.config().ok()));
        if let Some(route) = route {
            self.errors = route.errors;
        }
        // 1. The configuration is valid.
        let config = self.isolate.checked_config().map_err(|error| self.fail("", error))?;
        self.record.configure(config);
        // A value that is not read could be the one that forbids the request, such as an origin.
        if let Some(name) = &request.malformed_header {
            let message =
                format!("the value of the header {name} has a character that HTTP does not allow");
            return Err(self.fail("", Error::invalid(message)));
        }
        // 2. The caller is authenticated.
        let (request, body) = request.take_body();
        let event_id = admission.as_ref().and_then(|it| it.event_request_id.clone());
        self.record.event_request_id = event_id;
        let is_counted = admission.as_ref().is_some_and(|admission| admission.is_counted);
        self.longest = admission.as_ref().map_or(self.longest, |admission| admission.longest);
        if let Some(route) = route
            && let Cors::Preflight(more) = route.cors
            && auth::is_preflight(&request.method, &request.headers, &config.access)
        {
            let headers =
                auth::preflight_headers(&route.cors_methods(&request), more, &config.access);
            let mut envelope = Envelope::empty(204);
            envelope.headers.extend(headers);
            return Err(envelope);
        }
        let body = self.admitted(body, announced_length(&request.headers));
        let request = request.with_body(RequestBody::Pending(body));
        let authenticated = match admission {
            _ if route.is_some_and(|it| it.auth == Auth::Everybody) => Ok((Session::OPEN, request)),
            Some(Admission { session, is_from_client: true, .. }) => {
                auth::check_origin(session, request, &config.access)
            }
            Some(Admission { session, .. }) => Ok((session, request)),
            None => {
                let timeout = route.map_or(config.timeout, |it| it.timeout(config));
                let (deadline, state) = (self.deadline(timeout), &self.isolate.auth);
                let limit = route.map_or(config.max_body_bytes, |it| it.max_body_bytes(config));
                let path = config.path_below(request.path());
                let is_kept = route.is_some_and(|it| matches!(it.resource, Resource::Operation))
                    && !native::is_edited(path, config);
                let intake = Intake { limit, is_kept };
                auth::authenticate(request, config, state, deadline, intake, self.host).await
            }
        };
        let (session, request) = match authenticated {
            Ok(authenticated) => authenticated,
            Err(refusal) => {
                self.record.caller = refusal.session().and_then(|it| it.caller.clone());
                return Err(self.fail("", refusal.into_error(&config.access)));
            }
        };
        self.record.caller.clone_from(&session.caller);
        // 3. The path has a route that accepts the method.
        let Some(route) = route else {
            if is_signed(&request.headers) {
                // An SDK of AWS calls an operation that is not served.
                self.errors = &Native;
            }
            return Err(self.fail("", Error::new(Code::NotFound, "there is nothing at this path")));
        };
        if request.method == Method::OPTIONS {
            let mut envelope = Envelope::empty(204);
            envelope.set_header("allow", route.allow(&request));
            return Err(envelope);
        }
        if !route.accepts(&request.method) {
            let allow = route.allow(&request);
            let message = format!("the method must be one of {allow}");
            let error = Error::new(Code::MethodNotAllowed, message).with("allow", allow);
            return Err(self.fail("", error));
        }
        match route.resource {
            Resource::Health | Resource::Probe => return Err(build_response("", "ok", 200)),
            Resource::WebSocket if !is_upgrade(&request.headers) => {
                return Err(self.fail("", upgrade_required()));
            }
            Resource::WebSocket
            | Resource::Reply(_)
            | Resource::TokenCount
            | Resource::Invocation
            | Resource::StreamingInvocation
            | Resource::Usage
            | Resource::Models
            | Resource::Session
            | Resource::Sessions
            | Resource::Operation
            | Resource::Catalogue => {}
        }
        // 4. The caller is admitted.
        let caller = session.caller.as_ref();
        if !is_counted {
            let address = || Address::from_headers(&request.headers);
            let admitted = match route.resource {
                Resource::WebSocket => {
                    limits::admit_socket(caller, address, config, self.host).await
                }
                _ => limits::admit(caller, address, config, self.host).await,
            };
            admitted.map_err(|error| self.fail("", error))?;
        }
        let interface = match route.resource {
            Resource::WebSocket => {
                let headers = request.take_body().0.headers;
                return Ok(Entered::WebSocket { config, session, headers });
            }
            Resource::Usage => {
                let account = limits::account(caller);
                return Err(match config.limits.budget {
                    None => render_usage(account, None),
                    Some(budget) => match limits::standing(account, self.host).await {
                        Ok(standing) => render_usage(account, Some((budget, standing))),
                        Err(error) => self.fail("", error),
                    },
                });
            }
            Resource::Models => {
                let path = config.path_below(request.path());
                let json = match path.strip_prefix(MODELS_BELOW) {
                    Some(name) => find_model(name, config),
                    None => list_models(request.query(), config),
                };
                return Err(match json {
                    Ok(json) => Envelope::json(200, json),
                    Err(error) => self.fail("", error),
                });
            }
            Resource::Session | Resource::Sessions => {
                return Err(outlined(self.session(route, &request, caller, config)).await);
            }
            Resource::Catalogue => {
                let path = config.path_below(request.path());
                return Err(match native::find_in_catalogue(path, request.query(), config) {
                    Ok(json) => Envelope::new(200, "application/json", json),
                    Err(error) => self.fail("", error),
                });
            }
            _ => route.interface(),
        };
        // 5. The headers announce an acceptable body, which is then read.
        let (request, body) = request.take_body();
        let limit = route.max_body_bytes(config);
        if matches!(route.resource, Resource::Operation) {
            let path = config.path_below(request.path()).to_owned();
            let headers = request.headers;
            let within = self.deadline(route.timeout(config)).left(self.host.now());
            let body = match check_length(&headers, limit) {
                Ok(()) if native::is_edited(&path, config) => {
                    body.read(limit, within).await.map(KeptBody::from)
                }
                Ok(()) => outlined(body.keep(limit, within)).await,
                Err(error) => return Err(self.fail("", error)),
            };
            let body = body.map_err(|error| self.fail("", Error::unreadable(error, limit)))?;
            return Ok(Entered::Operation { config, path, headers, body });
        }
        let headers = request.headers;
        // The SDKs declare no type for the payload of an invocation, or one of bytes.
        let announced = match interface {
            Some(_) => check_media_type(&headers),
            None => Ok(()),
        };
        let announced = announced.and_then(|()| check_length(&headers, limit));
        announced.map_err(|error| self.fail("", error))?;
        let body = self.read(body, route.timeout(config), limit).await;
        let body = body.map_err(|error| self.fail("", error))?;
        Ok(match interface {
            Some(_) if matches!(route.resource, Resource::TokenCount) => {
                Entered::TokenCount { config, headers, body }
            }
            Some(interface) => Entered::Reply { config, interface, headers, body },
            None => {
                let is_streaming = matches!(route.resource, Resource::StreamingInvocation);
                Entered::Invocation { headers, payload: body, is_streaming }
            }
        })
    }

    /// Returns or deletes a session, or lists those of the caller.
    async fn session<B>(
        &mut self,
        route: &Route,
        request: &IncomingRequest<B>,
        caller: Option<&Caller>,
        config: &Config,
    ) -> Envelope {
        let (path, query, host) = (request.path(), request.query(), self.host);
        let id = path.rsplit('/').next().unwrap_or_default();
        let result = match route.resource {
            Resource::Sessions => {
                let listed = sessions::list(query, caller, config, host).await;
                listed.map(|list| render_sessions(&list))
            }
            _ if request.method == Method::DELETE => {
                let deleted = sessions::delete(id, caller, config, host).await;
                deleted.map(|()| Envelope::empty(204))
            }
            _ => {
                let read = sessions::read(id, query, caller, config, host).await;
                read.map(|view| render_session(&view))
            }
        };
        result.unwrap_or_else(|error| self.fail("", error))
    }

    /// Makes a body wait until the isolate has memory for it.
    fn admitted<B: Body>(&self, body: B, announced: Option<usize>) -> Admitted<'h, B, H> {
        let announced = body.length().or(announced);
        Admitted::new(body, announced, &self.isolate.memory, self.host)
    }

    /// Reads a message.
    pub(super) async fn read_message(
        &self,
        message: Bytes,
        config: &Config,
    ) -> Result<Bytes, Error> {
        let message = self.admitted(message, None);
        self.read(message, config.timeout, config.max_body_bytes).await
    }

    /// Reads a body before the deadline.
    async fn read(&self, body: impl Body, timeout: Duration, limit: usize) -> Result<Bytes, Error> {
        let within = self.deadline(timeout).left(self.host.now());
        body.read(limit, within).await.map_err(|error| Error::unreadable(error, limit))
    }

    /// Steps 6 to 9: parses a body, reserves, calls Bedrock, renders, and settles. The settlement of a stream follows
    /// when it ends.
    pub(super) async fn reply(
        mut self,
        config: &'a Config,
        interface: &'static dyn Interface,
        headers: &HeaderMap,
        mut body: Bytes,
        streams: Streams,
    ) -> Replied<'a, H::Body> {
        // 6. The body is parsed.
        let context = Context { headers, config, state: self.isolate.bedrock_state() };
        let mut request = match interface.parse(&mut body, &context, &mut self.record) {
            Ok(request) => request,
            Err(error) => {
                let envelope = self.fail("", error);
                return self.whole(envelope);
            }
        };
        // Its session is leased, and the earlier turns are put in front.
        let mut turn = None;
        let carries = |it: &Carried| lock(it).is_some();
        if request.session.is_some() || self.carried.as_ref().is_some_and(carries) {
            let carried = self.carried.as_ref();
            let (memory, record) = (&self.isolate.memory, &mut self.record);
            let begun = sessions::begin(&mut request, carried, config, memory, record, self.host);
            turn = match outlined(begun).await {
                Ok(turn) => turn,
                Err(error) => {
                    let envelope = self.fail(request.prompt(), error);
                    return self.whole(envelope);
                }
            };
        }
        // 7. The tokens are reserved.
        let caller = self.record.caller.as_ref();
        let reservation = match limits::reserve(&request, caller, config, self.host).await {
            Ok(reservation) => reservation,
            Err(error) => {
                self.abandon(turn).await;
                let envelope = self.fail(request.prompt(), error);
                return self.whole(envelope);
            }
        };
        // 8. Bedrock is called.
        let deadline = self.deadline(interface.timeout(config));
        let bedrock = self.isolate.bedrock_until(deadline, config, self.host);
        let bedrock = bedrock.with_reservation(reservation);
        let result = if streams.is_wanted(request.stream) {
            match invoke_bedrock_with_response_stream(&request, &bedrock, &mut self.record).await {
                Ok((body, decoder)) => {
                    let reservation = bedrock.take_reservation();
                    let (mut request, started) = (request.into_owned(), self.started);
                    // It is sent, and may be long.
                    request.translated = None;
                    if let Some(turn) = &mut turn {
                        request.messages.forget_earlier();
                        turn.forget_earlier();
                    }
                    let isolate = self.isolate;
                    let (envelope, record) = self.finish(event_stream());
                    let generation = Generation::new(
                        decoder,
                        request,
                        interface,
                        (config, isolate),
                        record,
                        reservation,
                        started,
                    )
                    .with_turn(turn);
                    return Replied::Stream(envelope, Streaming { body, generation });
                }
                Err(error) => Err(error),
            }
        } else {
            invoke_bedrock(&request, &bedrock, &mut self.record).await
        };
        // 9. The reservation is settled, and the reply is rendered.
        limits::settle(bedrock.take_reservation(), &mut self.record, self.host).await;
        let result = match (result, turn) {
            (Ok(reply), Some(turn)) => {
                let committed = turn.commit(reply.content(), &self.record, config, self.host);
                outlined(committed).await.map(|()| reply)
            }
            (result, turn) => {
                self.abandon(turn).await;
                result
            }
        };
        let envelope = match result {
            Ok(reply) => interface.render_reply(&request, &reply, &self.record),
            Err(error) => self.fail(request.prompt(), error),
        };
        self.whole(envelope)
    }

    /// Gives the lease of a session back. Another request gets it without waiting for its end.
    async fn abandon(&mut self, turn: Option<sessions::Turn>) {
        let Some(turn) = turn else { return };
        if let Err(cause) = outlined(turn.abandon().send(self.host)).await {
            self.record.error.get_or_insert_with(|| cause.into());
        }
    }

    /// Counts the tokens of a request: as Bedrock counts them where the model can, else by an estimate.
    pub(super) async fn count(
        mut self,
        config: &'a Config,
        headers: &HeaderMap,
        body: Bytes,
    ) -> (Envelope, Record) {
        let context = Context { headers, config, state: self.isolate.bedrock_state() };
        let request = match parse_count(body, &context, &mut self.record) {
            Ok(request) => request,
            Err(error) => {
                let envelope = self.fail("", error);
                return self.finish(envelope);
            }
        };
        let endpoint = config.find_model(request.model.as_deref());
        let mut counted = None;
        if endpoint.as_ref().is_some_and(|it| it.count_uri.is_some()) {
            let deadline = self.deadline(Messages.timeout(config));
            let bedrock = self.isolate.bedrock_until(deadline, config, self.host);
            counted = Some(count_tokens(&request, &bedrock, &mut self.record).await);
        }
        let envelope = match counted {
            Some(Ok(tokens)) => render_count(tokens, false),
            // The caller's fault.
            Some(Err(error)) if error.code == Code::Rejected => self.fail("", error),
            failed => {
                self.record.error = failed.and_then(|it| it.err()?.cause);
                let tokens = estimate(&request, endpoint.and_then(|it| it.model));
                render_count(tokens, true)
            }
        };
        self.finish(envelope)
    }

    /// Steps 6 to 9 of a request that is passed on. The settlement of a success follows when the response has passed.
    pub(super) async fn pass(
        mut self,
        config: &'a Config,
        path: &str,
        headers: &HeaderMap,
        body: KeptBody,
    ) -> Passed<'a, H::Body> {
        // 6. The path and the headers are parsed.
        let removed = &mut self.record.removed;
        let request = match native::parse(path, headers, body, config, removed) {
            Ok(request) => request,
            Err(error) => return self.refused(error),
        };
        // 7. The tokens are reserved.
        let (caller, bill) = (self.record.caller.as_ref(), request.operation.bill);
        let reservation = match bill {
            Bill::Free => Ok(None),
            _ => {
                let most = || native::most_tokens(&request);
                limits::reserve_tokens(most, caller, config, self.host).await
            }
        };
        let reservation = match reservation {
            Ok(reservation) => reservation,
            Err(error) => return self.refused(error),
        };
        // 8. Bedrock is called.
        let deadline = self.deadline(native::TIMEOUT);
        let bedrock = self.isolate.bedrock_until(deadline, config, self.host);
        let bedrock = bedrock.with_reservation(reservation);
        let response = pass(&request, &bedrock, &mut self.record).await;
        // 9. The reservation is settled, and the response is passed on.
        if !matches!(response, Ok(Response::Success(..))) {
            limits::settle(bedrock.take_reservation(), &mut self.record, self.host).await;
        }
        let (headers, body) = match response {
            Ok(Response::Success(headers, body)) => (headers, body),
            Ok(Response::Error { status, headers, body, mut error }) => {
                self.record.fail(error.code, error.cause.take());
                return self.ended(native::error(status, &headers, &body));
            }
            Err(error) => return self.refused(error),
        };
        let meter = Meter::new(bill, &headers);
        let (reservation, isolate, started) =
            (bedrock.take_reservation(), self.isolate, self.started);
        let (envelope, record) = self.finish(native::head(&headers));
        let headers = native::response_headers(&headers, &envelope);
        let passage = Passage::new(meter, (config, isolate), record, reservation, started);
        Passed::Response(envelope, Passing { headers, body, passage, is_over: false })
    }

    /// Records an error and renders it.
    pub(super) fn fail(&mut self, prompt: &str, mut error: Error) -> Envelope {
        // Nothing was added to it.
        (self.record.session_id, self.record.dropped_turns) = (None, None);
        self.record.fail(error.code, error.cause.take());
        self.errors.render_error(prompt, &error, &self.record)
    }

    fn refused<B>(mut self, error: Error) -> Passed<'a, B> {
        let envelope = self.fail("", error);
        self.ended(envelope)
    }

    fn ended<B>(self, envelope: Envelope) -> Passed<'a, B> {
        let (envelope, record) = self.finish(envelope);
        Passed::Whole(envelope, record)
    }

    fn whole<B>(self, envelope: Envelope) -> Replied<'a, B> {
        let (envelope, record) = self.finish(envelope);
        Replied::Whole(envelope, record)
    }

    /// Step 10: completes the response and the record.
    pub(super) fn finish(mut self, mut envelope: Envelope) -> (Envelope, Record) {
        self.record.total_time = self.host.now().duration_since(self.started).ok();
        self.record.set_status(envelope.status_code);
        describe(&self.record, &mut envelope);
        self.errors.add_headers(&mut envelope, &self.record);
        envelope.headers.append(&mut self.cors);
        if self.is_head {
            envelope.body.clear();
        }
        envelope.form = self.form;
        (envelope, self.record)
    }
}

/// Describes that a path serves only WebSockets.
pub(super) fn upgrade_required() -> Error {
    let error = Error::new(Code::UpgradeRequired, "this path takes WebSockets only");
    error.with("upgrade", "websocket")
}

/// The choice between a whole and a streamed reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    /// Always: over a WebSocket.
    Always,
    /// If the body asks for it or, where the body does not say, a header, as here.
    IfAsked { by_header: bool },
    /// Never: a Lambda and an invocation return one value.
    Never,
}

impl Streams {
    fn is_wanted(self, by_body: Option<bool>) -> bool {
        match self {
            Self::Always => true,
            Self::IfAsked { by_header } => by_body.unwrap_or(by_header),
            Self::Never => false,
        }
    }
}
