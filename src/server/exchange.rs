//! A request on its way through the pipeline: what every step of it needs, and step 10, the response.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;

use super::isolate::Isolate;
use super::response::describe;
use crate::api::{Article, Envelope, RenderError};
use crate::auth::{self, Session};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::host::{Body, Host, IncomingRequest, ResponseForm};
use crate::identifier::Identifier;
use crate::limits::Admitted;
use crate::log::Record;
use crate::sessions::Carried;

/// A request on its way through the pipeline.
pub(super) struct Exchange<'a, 'h, H> {
    pub isolate: &'a Isolate,
    pub host: &'h H,
    /// The format of errors.
    pub errors: &'static dyn RenderError,
    pub started: SystemTime,
    /// The longest time that the platform gives the request, if it is less than `BEDROCK_TIMEOUT_MS`.
    pub longest: Duration,
    pub record: Record,
    /// A response to HEAD has no body.
    is_head: bool,
    /// The form of the response to an event.
    form: ResponseForm,
    /// The CORS headers of the response.
    cors: Vec<(&'static str, String)>,
    /// The session of the WebSocket of a message.
    pub carried: Option<Carried>,
}

/// The end of a request that goes no further.
pub(super) enum Ended {
    /// With this response.
    Responded(Envelope),
    /// With an error, which is not rendered yet.
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
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

    /// Returns the end of the time that the request may take.
    pub(super) fn deadline(&self, timeout: Duration) -> Deadline {
        Deadline::new(self.started, timeout.min(self.longest))
    }

    /// Makes a body wait until the isolate has memory for it.
    pub(super) fn admitted<B: Body>(
        &self,
        body: B,
        announced: Option<usize>,
    ) -> Admitted<'h, B, H> {
        let announced = body.length().or(announced);
        Admitted::new(body, announced, &self.isolate.memory, self.host)
    }

    /// Reads a body before the deadline.
    pub(super) async fn read(
        &self,
        body: impl Body,
        timeout: Duration,
        limit: usize,
    ) -> Result<Bytes, Error> {
        let within = self.deadline(timeout).left(self.host.now());
        body.read(limit, within).await.map_err(|error| Error::unreadable(error, limit))
    }

    /// Records an error and renders it.
    pub(super) fn fail(&mut self, prompt: &str, mut error: Error) -> Envelope {
        // Nothing was added to it.
        (self.record.session_id, self.record.dropped_turns) = (None, None);
        self.record.fail(error.code, error.cause.take());
        self.errors.render_error(prompt, &error, &self.record)
    }

    /// Ends a request that goes no further.
    pub(super) fn end(mut self, ended: Ended) -> (Envelope, Record) {
        let envelope = match ended {
            Ended::Responded(envelope) => envelope,
            Ended::Failed(error) => self.fail("", error),
        };
        self.finish(envelope)
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
