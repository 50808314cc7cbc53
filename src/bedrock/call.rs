//! A call of InvokeModel, InvokeModelWithResponseStream, Bedrock's Messages API or CountTokens: build, sign, send, read,
//! and retry.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>
//!
//! Out of scope: other operations.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, response};
use serde::Deserialize;

use super::decoder::{Decoder, Step};
use super::error::InvokeError;
use super::retry::{Attempts, Failure, Next};
use super::state::State;
use crate::aws::{AssumeRoleError, Credentials, Scope, TemporaryCredentials, sign_post};
use crate::claude::{
    Feature, InvalidReply, Reply, Request, Translated, build_payload, names_field,
};
use crate::config::{Authentication, Config, Endpoint, Guardrail};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::headers::{
    ANTHROPIC_BETA, ANTHROPIC_VERSION, X_AMZN_BEDROCK_GUARDRAILIDENTIFIER,
    X_AMZN_BEDROCK_GUARDRAILVERSION, X_AMZN_BEDROCK_SERVICE_TIER, X_AMZN_REQUESTID, upstream,
};
use crate::host::{Body, BodyStream, Host, ReadError};
use crate::identifier::Identifier;
use crate::limits::{Reservation, reserve_again};
use crate::lock::lock;
use crate::log::Record;
use crate::outlined::outlined;
use crate::secret::Secret;

/// Far longer than any reply, and short enough for the 128 MB of an isolate.
const MAX_REPLY_BYTES: usize = 8 << 20;

/// Far longer than any error of AWS. A longer body is not read, and the status decides.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// The means of a call: the configuration, what the isolate has learnt, a deadline, and the platform.
/// [`Isolate::bedrock`](crate::Isolate::bedrock) makes it.
#[derive(Debug)]
pub struct Bedrock<'a, H> {
    pub(super) config: &'a Config,
    pub(super) state: &'a State,
    pub(super) deadline: Deadline,
    pub(super) host: &'a H,
    /// The tokens that are reserved for the call, if tokens are counted.
    reservation: Mutex<Option<Reservation>>,
}

impl<'a, H> Bedrock<'a, H> {
    pub(crate) fn new(
        config: &'a Config,
        state: &'a State,
        deadline: Deadline,
        host: &'a H,
    ) -> Self {
        Self { config, state, deadline, host, reservation: Mutex::default() }
    }

    /// Adds the tokens that are reserved for the first attempt. A further one reserves again.
    pub(crate) fn with_reservation(self, reservation: Option<Reservation>) -> Self {
        Self { reservation: Mutex::new(reservation), ..self }
    }

    /// Takes the reservation of the last attempt, to settle it.
    pub(crate) fn take_reservation(&self) -> Option<Reservation> {
        lock(&self.reservation).take()
    }

    /// Returns the configuration.
    pub fn config(&self) -> &'a Config {
        self.config
    }
}

/// Calls the model that the request names, or the configured one.
///
/// Fills the record also if the call fails.
///
/// ```
/// use bedrock_edge::{Error, Host, Identifier, Isolate, Record, Request, invoke_bedrock};
///
/// /// Sends a prompt of its own.
/// async fn haiku(subject: &str, isolate: &Isolate, host: &impl Host) -> Result<String, Error> {
///     let bedrock = isolate.bedrock(host)?;
///     let prompt = format!("Write a haiku about {subject}.");
///     let request = Request::new(prompt, bedrock.config().max_tokens);
///     let mut record = Record::new(Identifier::random(host.random()));
///     let reply = invoke_bedrock(&request, &bedrock, &mut record).await?;
///     Ok(reply.text)
/// }
/// ```
///
/// # Errors
///
/// If there is no reply with text before the deadline. The private cause of the error says why.
pub async fn invoke_bedrock<H: Host>(
    request: &Request<'_>,
    bedrock: &Bedrock<'_, H>,
    record: &mut Record,
) -> Result<Reply, Error> {
    let call = Call::new(Operation::Invoke, request, bedrock);
    match call.make(record).await? {
        Outcome::Whole(reply) => Ok(reply),
        Outcome::Stream(..) => Err(call.public(InvalidReply::NoText.into())),
    }
}

/// Calls the model and returns when the first frame of the reply has arrived: the rest of the body, and the decoder
/// that has the beginning.
///
/// # Errors
///
/// If the call fails before that, or the first frame is an exception.
pub async fn invoke_bedrock_with_response_stream<H: Host>(
    request: &Request<'_>,
    bedrock: &Bedrock<'_, H>,
    record: &mut Record,
) -> Result<(H::Body, Decoder), Error> {
    let call = Call::new(Operation::Stream, request, bedrock);
    match call.make(record).await? {
        Outcome::Stream(body, decoder) => Ok((body, decoder)),
        Outcome::Whole(_) => Err(call.public(InvalidReply::NotEvents.into())),
    }
}

/// Counts the tokens of a request that is translated for CountTokens.
///
/// # Errors
///
/// If the model cannot count, or the call fails.
pub(crate) async fn count_tokens<H: Host>(
    request: &Request<'_>,
    bedrock: &Bedrock<'_, H>,
    record: &mut Record,
) -> Result<u64, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted {
        input_tokens: u64,
    }
    let call = Call::new(Operation::CountTokens, request, bedrock);
    let invalid = || call.public(InvalidReply::NoText.into());
    let Outcome::Whole(reply) = call.make(record).await? else { return Err(invalid()) };
    let counted: Counted = serde_json::from_slice(&reply.json).map_err(|_| invalid())?;
    Ok(counted.input_tokens)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Invoke,
    Stream,
    CountTokens,
}

/// A call: all attempts of one request.
struct Call<'a, H> {
    operation: Operation,
    request: &'a Request<'a>,
    config: &'a Config,
    state: &'a State,
    deadline: Deadline,
    host: &'a H,
    reservation: &'a Mutex<Option<Reservation>>,
}

/// The result of a successful call.
#[allow(clippy::large_enum_variant)] // It is made once for each call.
enum Outcome<B> {
    Whole(Reply),
    Stream(B, Decoder),
}

/// The payload of an attempt.
struct Payload {
    variant: Variant,
    json: Bytes,
    /// The body before it was wrapped, if it was translated.
    translated: Option<Translated>,
    /// The SHA-256, if the call is signed.
    hash: [u8; 32],
}

/// The choices that make the payload of a request.
#[derive(PartialEq)]
struct Variant {
    /// The temperature that the Worker adds.
    added_temperature: Option<f64>,
    /// The parts that are left out because the model has just refused them.
    without: Vec<String>,
    /// The model that the body names, if it names one.
    native_model: Option<String>,
}

/// One attempt.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    endpoint: &'a Endpoint,
    identity: &'a Identity<'a>,
    payload: &'a Payload,
    signed_at: SystemTime,
}

/// The credentials of an attempt.
enum Identity<'a> {
    Stored(&'a Credentials),
    Temporary(Arc<TemporaryCredentials>),
    ApiKey(&'a Secret),
}

impl<'a, H: Host> Call<'a, H> {
    fn new(operation: Operation, request: &'a Request<'a>, bedrock: &'a Bedrock<'a, H>) -> Self {
        let Bedrock { config, state, deadline, host, ref reservation } = *bedrock;
        Self { operation, request, config, state, deadline, host, reservation }
    }

    /// Calls until a valid reply is read, or until a retry is pointless.
    async fn make(&self, record: &mut Record) -> Result<Outcome<H::Body>, Error> {
        let started = self.host.now();
        let result = self.attempts(record).await;
        record.upstream_time = self.host.now().duration_since(started).ok();
        result
    }

    async fn attempts(&self, record: &mut Record) -> Result<Outcome<H::Body>, Error> {
        let Self { config, state, deadline, host, .. } = *self;
        let (endpoint, fallbacks) = self.endpoints();
        let mut attempts = Attempts::new(endpoint, fallbacks, config, state, deadline, host.now());
        // The endpoint whose model has just refused parts of the payload, and these parts.
        let mut refused: Option<(&Endpoint, Vec<String>)> = None;
        let mut payload = self.payload(self.variant(attempts.endpoint(), None)).await?;
        loop {
            let endpoint = attempts.endpoint();
            let just_refused = refused.as_ref().filter(|(by, _)| std::ptr::eq(*by, endpoint));
            let just_refused = just_refused.map(|(_, parts)| parts);
            let variant = self.variant(endpoint, just_refused);
            if payload.variant != variant {
                payload = self.payload(variant).await?;
            }
            let identity = self.identity(record).await;
            let signed_at = state.clock.correct(host.now());
            let result = match &identity {
                Ok(identity) => {
                    let attempt = Attempt { endpoint, identity, payload: &payload, signed_at };
                    self.attempt(&attempt, record).await
                }
                Err(error) => Err(error.clone().into()),
            };
            record.is_billed = result.as_ref().err().is_none_or(InvokeError::is_billed);
            let error = match result {
                Ok(outcome) => {
                    attempts.succeeded();
                    if let Some(parts) = just_refused {
                        self.remember(parts, endpoint, record);
                    }
                    return Ok(outcome);
                }
                Err(error) => error,
            };
            if just_refused.is_none() && !self.left().is_zero() {
                let parts = self.removable_parts(&error, &payload);
                if !parts.is_empty() {
                    // Once more, without what the reply does not depend on.
                    refused = Some((endpoint, parts));
                    continue;
                }
            }
            if let Ok(Identity::Temporary(temporary)) = &identity
                && Failure::classify(&error) == Some(Failure::Expired)
            {
                state.role.forget(temporary);
            }
            match attempts.failed(&error, signed_at, host.now(), host.random()) {
                Next::Again(wait) => {
                    if !wait.is_zero() {
                        host.sleep(wait)
                            .await
                            .map_err(|cancelled| self.public(cancelled.into()))?;
                    }
                    if record.is_billed {
                        outlined(self.reserve_again(error, record)).await?;
                    }
                }
                Next::GiveUp(retry_after) => {
                    let error = self.public(error);
                    return Err(match retry_after {
                        Some(time) => error.retry_after(time),
                        None => error,
                    });
                }
            }
        }
    }

    /// Settles the last attempt, which failed and may be billed, and reserves for the next.
    async fn reserve_again(&self, error: InvokeError, record: &Record) -> Result<(), Error> {
        let Some(reservation) = lock(self.reservation).take() else { return Ok(()) };
        let next = reserve_again(reservation, record.usage(), self.config, self.host).await;
        let next = next.map_err(|refusal| match (&refusal.cause, self.public(error).cause) {
            // The caller learns why there is no further attempt, and the log what the last one failed with.
            (None, Some(cause)) => refusal.because(cause),
            _ => refusal,
        });
        lock(self.reservation).replace(next?);
        Ok(())
    }

    /// Returns the endpoint to call, and those to fall back to. The fallback regions have a model of their own, which stands for the
    /// default model only.
    fn endpoints(&self) -> (&'a Endpoint, &'a [Endpoint]) {
        let Self { request, config, .. } = *self;
        match request.model.as_deref().and_then(|name| config.find_model(Some(name))) {
            Some(endpoint) if !std::ptr::eq(endpoint, &config.endpoint) => (endpoint, &[]),
            // A body was translated for one model.
            _ if request.translated.is_some()
                && config.fallbacks.iter().any(|it| it.model != config.endpoint.model) =>
            {
                (&config.endpoint, &[])
            }
            _ => (&config.endpoint, &config.fallbacks),
        }
    }

    /// Chooses the payload for an endpoint whose model has just refused `parts`.
    fn variant(&self, endpoint: &Endpoint, parts: Option<&Vec<String>>) -> Variant {
        let without = parts.cloned().unwrap_or_default();
        let may_add =
            self.request.translated.is_none() && !without.iter().any(|it| it == TEMPERATURE);
        let added_temperature = if may_add { self.default_temperature(endpoint) } else { None };
        let native_model = self.request.translated.as_ref().and_then(|it| it.native_model.as_ref());
        let native_model = native_model.map(|_| endpoint.model_id.clone());
        Variant { added_temperature, without, native_model }
    }

    /// Returns the parts of a payload that Bedrock refused by name and that the reply does not depend on.
    fn removable_parts(&self, error: &InvokeError, payload: &Payload) -> Vec<String> {
        let Some(message) = error.rejection() else { return Vec::new() };
        if let Some(translated) = &payload.translated {
            return translated.removable_parts(message);
        }
        let has_temperature = payload.variant.added_temperature.is_some();
        let is_refused = has_temperature && names_field(message, TEMPERATURE);
        if is_refused { vec![TEMPERATURE.to_owned()] } else { Vec::new() }
    }

    /// Remembers that a model has refused parts of a payload.
    fn remember(&self, parts: &[String], endpoint: &Endpoint, record: &mut Record) {
        let is_new = |part: &&String| self.state.refused.insert(&endpoint.model_id, part);
        let new: Vec<&str> = parts.iter().filter(is_new).map(|part| &**part).collect();
        if !new.is_empty() {
            record.dropped_field = Some(new.join(","));
        }
        if self.request.translated.is_some() {
            record.removed.extend_from_slice(parts);
        }
    }

    /// Returns the configured temperature, unless the caller has set one or the model is known to refuse it.
    fn default_temperature(&self, endpoint: &Endpoint) -> Option<f64> {
        let is_refused = || {
            endpoint.refuses(Feature::Sampling)
                || self.state.refused.contains(&endpoint.model_id, TEMPERATURE)
        };
        match self.request.temperature {
            None if !is_refused() => self.config.temperature,
            _ => None,
        }
    }

    async fn payload(&self, variant: Variant) -> Result<Payload, Error> {
        let (json, translated) = match &self.request.translated {
            Some(translated) => {
                let model_id = variant.native_model.as_deref().unwrap_or_default();
                let translated = translated.adapt(&variant.without, model_id)?;
                let json = match self.operation {
                    Operation::CountTokens => to_be_counted(&translated.json),
                    Operation::Invoke | Operation::Stream => translated.json.clone(),
                };
                (json, Some(translated))
            }
            None => {
                let json = build_payload(self.request, variant.added_temperature).to_json();
                (Bytes::from(json.map_err(|error| self.public(error.into()))?), None)
            }
        };
        let hash = match &self.config.authentication {
            Authentication::ApiKey(_) => [0; 32],
            _ => self.host.sha256(&json).await,
        };
        Ok(Payload { variant, json, translated, hash })
    }

    fn public(&self, error: InvokeError) -> Error {
        error.into_public(self.request, self.config, self.state)
    }

    /// Returns the credentials of the next attempt.
    async fn identity(&self, record: &mut Record) -> Result<Identity<'a>, AssumeRoleError> {
        let Self { config, state, host, deadline, .. } = *self;
        let role = match &config.authentication {
            Authentication::SigV4(credentials) => return Ok(Identity::Stored(credentials)),
            Authentication::ApiKey(key) => return Ok(Identity::ApiKey(key)),
            Authentication::AssumeRole(role) => role,
        };
        let now = || state.clock.correct(host.now());
        let (temporary, problem) = outlined(state.role.get(role, host, deadline, now)).await?;
        if let Some(problem) = problem {
            record.credentials_error = self.public(problem.into()).cause;
        }
        Ok(Identity::Temporary(temporary))
    }

    /// Sends a request and reads the response, or the first frame of a stream.
    async fn attempt(
        &self,
        attempt: &Attempt<'_>,
        record: &mut Record,
    ) -> Result<Outcome<H::Body>, InvokeError> {
        let request = self.sign(attempt)?;
        record.attempt(attempt.endpoint);
        let (head, body) = self.host.send(request, self.left()).await?.into_parts();
        record.upstream_status = Some(head.status.as_u16());
        record.upstream_request_id =
            upstream(&head.headers, &X_AMZN_REQUESTID).and_then(Identifier::new);
        if head.status != StatusCode::OK {
            return Err(outlined(self.read_error(attempt, &head, body)).await);
        }
        match self.operation {
            Operation::Invoke => return Ok(Outcome::Whole(self.read_reply(body, record).await?)),
            Operation::CountTokens => {
                let body = body.read(MAX_ERROR_BYTES, self.left()).await?;
                return Ok(Outcome::Whole(Reply::unread(body)));
            }
            Operation::Stream => {}
        }
        if !is_event_stream(&head.headers, self.is_native()) {
            // The body may still say what it is.
            self.read_reply(body, record).await?;
            return Err(InvalidReply::NotEvents.into());
        }
        outlined(self.read_first_frame(body)).await
    }

    /// Reads a whole reply, and records what is known of one that cannot be read: it is billed all the same.
    async fn read_reply(&self, body: H::Body, record: &mut Record) -> Result<Reply, InvokeError> {
        let body = body.read(MAX_REPLY_BYTES, self.left()).await?;
        let reply = match &self.request.translated {
            None => Reply::parse(&body),
            Some(_) => Reply::pass(body.clone()),
        };
        let facts = match &reply {
            Ok(reply) => (reply.stop_reason.clone(), reply.usage, reply.guardrail_intervened),
            Err(_) => Reply::parse_facts(&body),
        };
        let (stop_reason, usage, guardrail_intervened) = facts;
        record.learn(stop_reason.as_ref(), usage);
        record.guardrail_intervened = guardrail_intervened;
        Ok(reply?)
    }

    async fn read_first_frame(&self, mut body: H::Body) -> Result<Outcome<H::Body>, InvokeError> {
        let mut decoder = match &self.request.translated {
            None => Decoder::default(),
            Some(_) => {
                let model = self.request.model.as_deref().unwrap_or_default();
                Decoder::passing(model, self.is_native())
            }
        };
        loop {
            match decoder.step() {
                Some(Step::Failed(error)) => return Err(error),
                Some(_) => return Ok(Outcome::Stream(body, decoder)),
                None => match body.chunk(self.left()).await.map_err(ReadError::Transport)? {
                    Some(bytes) => decoder.push(&bytes),
                    None => decoder.close(),
                },
            }
        }
    }

    /// Reads a response whose status is not 200.
    async fn read_error(
        &self,
        attempt: &Attempt<'_>,
        head: &response::Parts,
        body: H::Body,
    ) -> InvokeError {
        // The head says what matters, even if the body ends early.
        let body = body.read(MAX_ERROR_BYTES, self.left()).await.unwrap_or_default();
        let error = InvokeError::refused(head.status, &head.headers, &body);
        if !error.is_of_signature() {
            return error;
        }
        // Signs once more, because sending has consumed the request.
        match self.sign(attempt) {
            Ok(request) => error.explained(&request),
            Err(error) => error,
        }
    }

    fn left(&self) -> Duration {
        self.deadline.left(self.host.now())
    }

    /// Builds and signs a request.
    fn sign(&self, attempt: &Attempt<'_>) -> Result<http::Request<Bytes>, InvokeError> {
        let Attempt { endpoint, identity, payload, signed_at } = *attempt;
        // 1. Build. It has only these headers: nothing of what the client sent is forwarded.
        let uri = match self.operation {
            Operation::CountTokens => match &endpoint.count_uri {
                Some(uri) => uri,
                None => return Err(InvalidReply::NoText.into()),
            },
            _ if self.is_native() => &endpoint.messages_uri,
            Operation::Invoke => &endpoint.invoke_uri,
            Operation::Stream => &endpoint.stream_uri,
        };
        let json = HeaderValue::from_static("application/json");
        let mut request = http::Request::post(uri.clone())
            .header(CONTENT_TYPE, json.clone())
            .header(ACCEPT, json)
            .body(payload.json.clone())?;
        let headers = request.headers_mut();
        if let Some(Guardrail { id, version }) = &self.config.guardrail {
            headers.insert(X_AMZN_BEDROCK_GUARDRAILIDENTIFIER, id.clone());
            headers.insert(X_AMZN_BEDROCK_GUARDRAILVERSION, version.clone());
        }
        if let Some(tier) = payload.translated.as_ref().and_then(|it| it.service_tier) {
            headers.insert(X_AMZN_BEDROCK_SERVICE_TIER, HeaderValue::from_static(tier));
        }

        // 2. Sign.
        let credentials = match identity {
            Identity::Stored(credentials) => credentials,
            Identity::Temporary(temporary) => &temporary.credentials,
            Identity::ApiKey(key) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                    .map_err(http::Error::from)?;
                value.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, value);
                self.add_version(&mut request, payload)?;
                return Ok(request);
            }
        };
        let scope = Scope { region: &endpoint.region, service: "bedrock" };
        let cache = &self.state.signing;
        sign_post(&mut request, &payload.hash, credentials, scope, signed_at, cache)?;
        self.add_version(&mut request, payload)?;
        Ok(request)
    }

    /// Reports whether the call is to Bedrock's own Messages API.
    fn is_native(&self) -> bool {
        self.request.translated.as_ref().is_some_and(|it| it.native_model.is_some())
    }

    /// Adds the headers of Bedrock's own Messages API. A signature need not cover them.
    fn add_version(
        &self,
        request: &mut http::Request<Bytes>,
        payload: &Payload,
    ) -> Result<(), InvokeError> {
        let Some(translated) = payload.translated.as_ref().filter(|_| self.is_native()) else {
            return Ok(());
        };
        let headers = request.headers_mut();
        headers.insert(ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"));
        if !translated.betas.is_empty() {
            let betas = translated.betas.join(",");
            headers.insert(ANTHROPIC_BETA, betas.parse().map_err(http::Error::from)?);
        }
        Ok(())
    }
}

/// Wraps a body of InvokeModel for CountTokens.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html>
fn to_be_counted(body: &[u8]) -> Bytes {
    let mut json = String::from(r#"{"input":{"invokeModel":{"body":""#);
    STANDARD.encode_string(body, &mut json);
    json.push_str(r#""}}}"#);
    json.into()
}

/// The only optional field that the Worker adds to a prompt by itself.
const TEMPERATURE: &str = "temperature";

/// Reports whether a response does not declare to be something other than an event stream.
fn is_event_stream(headers: &HeaderMap, is_native: bool) -> bool {
    let expected: &[u8] =
        if is_native { b"text/event-stream" } else { b"application/vnd.amazon.eventstream" };
    headers
        .get(CONTENT_TYPE)
        .is_none_or(|value| value.as_bytes().to_ascii_lowercase().starts_with(expected))
}

#[cfg(test)]
mod tests;
