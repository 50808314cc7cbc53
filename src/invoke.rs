//! One call of Bedrock's InvokeModel: build, sign, send, read. And again, as far as
//! `retry` says so.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>
//!
//! Out of scope: other operations.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, response};

use crate::config::{Authentication, Config, Endpoint, Secret};
use crate::credentials::{AssumeRoleError, Temporary};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::header::X_AMZN_REQUESTID;
use crate::host::{Body, BodyStream, Host, ReadError};
use crate::log::{Record, Token};
use crate::model::{InvalidReply, Reply, Usage, build_payload};
use crate::rarely::rarely;
use crate::request::Request;
use crate::retry::{Attempts, Failure, Next};
use crate::sign::{Credentials, Scope, sign_post};
use crate::stream::{Decoder, Step};

pub use error::InvokeError;
pub(crate) use error::capitalized;

mod error;

/// Far more than any model's longest answer, and little enough for an isolate's 128 MB.
const MAX_REPLY_BYTES: usize = 8 << 20;

/// Calls the configured model.
///
/// What is learnt on the way goes into the record, also where the call fails.
///
/// ```
/// use bedrock_edge::{Config, Deadline, Error, Host, Record, Request, Token, invoke_bedrock};
///
/// /// A prompt of one's own.
/// async fn haiku(subject: &str, config: &Config, host: &impl Host) -> Result<String, Error> {
///     let request = Request::new(format!("Write a haiku about {subject}."), config);
///     let mut record = Record::new(Token::random(host.random()));
///     let deadline = Deadline::new(host.now(), config.timeout);
///     let reply = invoke_bedrock(&request, config, deadline, host, &mut record).await?;
///     Ok(reply.text)
/// }
/// ```
///
/// # Errors
///
/// Where there is no answer with a text in it before the deadline. The error's private cause tells
/// why.
pub async fn invoke_bedrock<H: Host>(
    request: &Request<'_>,
    config: &Config,
    deadline: Deadline,
    host: &H,
    record: &mut Record,
) -> Result<Reply, Error> {
    let call = Call { operation: Operation::Invoke, request, config, deadline, host };
    match call.make(record).await? {
        Answer::Whole(reply) => {
            record.learn(reply.stop_reason.as_ref(), reply.usage);
            Ok(reply)
        }
        Answer::Stream(..) => Err(call.public(InvalidReply::NoText.into())),
    }
}

/// Calls the configured model, and returns when the first frame of its answer has arrived: with
/// what has been read of the answer, and its rest.
///
/// # Errors
///
/// Where the call fails before that, or the first frame is an exception.
pub async fn invoke_bedrock_with_response_stream<H: Host>(
    request: &Request<'_>,
    config: &Config,
    deadline: Deadline,
    host: &H,
    record: &mut Record,
) -> Result<(H::Body, Decoder), Error> {
    let call = Call { operation: Operation::Stream, request, config, deadline, host };
    match call.make(record).await? {
        Answer::Stream(body, decoder) => Ok((body, decoder)),
        Answer::Whole(_) => Err(call.public(InvalidReply::NotEvents.into())),
    }
}

/// Whether it does not say that it is something else.
fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        value.starts_with(b"application/vnd.amazon.eventstream")
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Invoke,
    Stream,
}

/// What is asked, of whom, and until when.
struct Call<'a, H> {
    operation: Operation,
    request: &'a Request<'a>,
    config: &'a Config,
    deadline: Deadline,
    host: &'a H,
}

/// What is read of an answer before it is known to be good.
enum Answer<B> {
    Whole(Reply),
    Stream(B, Decoder),
}

impl<H: Host> Call<'_, H> {
    /// Calls until an answer of status 200 is read, or until there is no sense in it.
    async fn make(&self, record: &mut Record) -> Result<Answer<H::Body>, Error> {
        let started = self.host.now();
        let result = self.attempts(record).await;
        record.upstream_time = self.host.now().duration_since(started).ok();
        result
    }

    async fn attempts(&self, record: &mut Record) -> Result<Answer<H::Body>, Error> {
        let Self { request, config, deadline, host, .. } = *self;
        let payload =
            build_payload(request).to_json().map_err(|error| self.public(error.into()))?;
        let payload = Bytes::from(payload);
        // Of all calls, if it is signed.
        let payload_hash = match &config.authentication {
            Authentication::ApiKey(_) => [0; 32],
            _ => host.sha256(&payload).await,
        };
        let (endpoint, others) = self.places();
        let mut attempts = Attempts::new(endpoint, others, config, deadline, host.now());
        loop {
            let identity = self.identity(record).await;
            let signed_at = config.upstream.clock.correct(host.now());
            let result = match &identity {
                Ok(identity) => {
                    let attempt = Attempt {
                        endpoint: attempts.endpoint(),
                        identity,
                        payload: &payload,
                        payload_hash: &payload_hash,
                        signed_at,
                    };
                    self.attempt(&attempt, record).await
                }
                Err(error) => Err(error.clone().into()),
            };
            record.billed_before += u32::from(record.is_billed);
            record.is_billed = result.as_ref().err().is_none_or(InvokeError::is_billed);
            let error = match result {
                Ok(answer) => {
                    attempts.succeeded();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if let (Authentication::AssumeRole(role), Ok(Identity::Temporary(temporary))) =
                (&config.authentication, &identity)
                && Failure::of(&error) == Some(Failure::Expired)
            {
                role.forget(temporary);
            }
            match attempts.failed(&error, signed_at, host.now(), host.random()) {
                Next::Again(wait) if wait.is_zero() => {}
                Next::Again(wait) => {
                    host.sleep(wait).await.map_err(|cancelled| self.public(cancelled.into()))?;
                }
                Next::GiveUp(retry_after) => {
                    let retry_after = retry_after.map(Token::seconds);
                    return Err(Error { retry_after, ..self.public(error) });
                }
            }
        }
    }

    /// Where to call, and where else. The fallback regions have a model of their own, which is the
    /// default's there.
    fn places(&self) -> (&Endpoint, &[Endpoint]) {
        let Self { request, config, .. } = *self;
        match request.model.as_deref().and_then(|id| config.find_model(Some(id))) {
            Some(endpoint) if !std::ptr::eq(endpoint, &config.endpoint) => (endpoint, &[]),
            _ => (&config.endpoint, &config.fallbacks),
        }
    }

    fn public(&self, error: InvokeError) -> Error {
        error.into_public(self.request, self.config)
    }

    /// Who calls.
    async fn identity(&self, record: &mut Record) -> Result<Identity<'_>, AssumeRoleError> {
        let Self { config, host, deadline, .. } = *self;
        let role = match &config.authentication {
            Authentication::SigV4(credentials) => return Ok(Identity::Stored(credentials)),
            Authentication::ApiKey(key) => return Ok(Identity::ApiKey(key)),
            Authentication::AssumeRole(role) => role,
        };
        let correct = |now| config.upstream.clock.correct(now);
        let (temporary, problem) = rarely(role.credentials(host, deadline, correct)).await?;
        if let Some(problem) = problem {
            record.credentials_error = self.public(problem.into()).cause;
        }
        Ok(Identity::Temporary(temporary))
    }

    /// Sends, and reads.
    async fn attempt(
        &self,
        attempt: &Attempt<'_>,
        record: &mut Record,
    ) -> Result<Answer<H::Body>, InvokeError> {
        let call = self.request(attempt)?;
        record.attempt(attempt.endpoint);
        let (head, body) = self.host.send(call, self.left()).await?.into_parts();
        record.upstream_status = Some(head.status.as_u16());
        record.upstream_request_id = request_id(&head.headers);
        if head.status != StatusCode::OK {
            return Err(rarely(self.refused(attempt, &head, body)).await);
        }
        if self.operation == Operation::Invoke {
            let body = body.read(MAX_REPLY_BYTES, self.left()).await?;
            // What is no answer is billed all the same.
            let reply = Reply::parse(&body).inspect_err(|_| record.learn(None, Usage::of(&body)));
            return Ok(Answer::Whole(reply?));
        }
        if !is_event_stream(&head.headers) {
            // It may still say what it is.
            let reply = Reply::parse(&body.read(MAX_REPLY_BYTES, self.left()).await?);
            return Err(reply.err().unwrap_or(InvalidReply::NotEvents).into());
        }
        rarely(self.begun(body)).await
    }

    /// Reads the first frame.
    async fn begun(&self, mut body: H::Body) -> Result<Answer<H::Body>, InvokeError> {
        let mut decoder = Decoder::default();
        loop {
            match decoder.step() {
                Some(Step::Failed(error)) => return Err(error),
                Some(_) => return Ok(Answer::Stream(body, decoder)),
                None => match body.chunk(self.left()).await.map_err(ReadError::Transport)? {
                    Some(bytes) => decoder.push(&bytes),
                    None => decoder.close(),
                },
            }
        }
    }

    /// Why there is no answer.
    async fn refused(
        &self,
        attempt: &Attempt<'_>,
        head: &response::Parts,
        body: H::Body,
    ) -> InvokeError {
        // The head says what matters, even if the body breaks off.
        let body = body.read(MAX_REPLY_BYTES, self.left()).await.unwrap_or_default();
        let error = InvokeError::refused(head.status, &head.headers, &body);
        if !error.is_of_signature() {
            return error;
        }
        // The same request once more, since the other one is gone.
        match self.request(attempt) {
            Ok(request) => error.explained(&request),
            Err(error) => error,
        }
    }

    fn left(&self) -> Duration {
        self.deadline.left(self.host.now())
    }

    /// Builds and signs.
    fn request(&self, attempt: &Attempt<'_>) -> Result<http::Request<Bytes>, InvokeError> {
        let Attempt { endpoint, identity, payload, payload_hash, signed_at } = *attempt;
        // 1. Build. Only these headers: whatever the client sent stays with us.
        let uri = match self.operation {
            Operation::Invoke => &endpoint.invoke_uri,
            Operation::Stream => &endpoint.stream_uri,
        };
        let json = HeaderValue::from_static("application/json");
        let mut call = http::Request::post(uri.clone())
            .header(CONTENT_TYPE, json.clone())
            .header(ACCEPT, json)
            .body(payload.clone())?;

        // 2. Sign.
        let credentials = match identity {
            Identity::Stored(credentials) => credentials,
            Identity::Temporary(temporary) => &temporary.credentials,
            Identity::ApiKey(key) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                    .map_err(http::Error::from)?;
                value.set_sensitive(true);
                call.headers_mut().insert(AUTHORIZATION, value);
                return Ok(call);
            }
        };
        let scope = Scope { region: &endpoint.region, service: "bedrock" };
        sign_post(&mut call, payload_hash, credentials, scope, signed_at)?;
        Ok(call)
    }
}

/// One call of several.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    endpoint: &'a Endpoint,
    identity: &'a Identity<'a>,
    payload: &'a Bytes,
    /// SHA-256.
    payload_hash: &'a [u8; 32],
    signed_at: SystemTime,
}

/// What proves who a call is from.
enum Identity<'a> {
    Stored(&'a Credentials),
    Temporary(Arc<Temporary>),
    ApiKey(&'a Secret),
}

fn request_id(headers: &HeaderMap) -> Option<Token> {
    headers.get(X_AMZN_REQUESTID)?.to_str().ok().and_then(Token::new)
}

#[cfg(test)]
mod tests;
