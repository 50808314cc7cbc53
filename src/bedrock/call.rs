//! A call of InvokeModel, InvokeModelWithResponseStream, Bedrock's Messages API or CountTokens: build, sign, send, read,
//! and retry.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>
//!
//! Out of scope: other operations.

mod attempt;
mod payload;

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Deserialize;

use super::decoder::Decoder;
use super::error::InvokeError;
use super::means::{Bedrock, Identity};
use super::retry::Attempts;
use super::state::State;
use crate::claude::{InvalidReply, Model, Reply, Request, Translated};
use crate::config::{Config, Endpoint};
use crate::converse::ToolNames;
use crate::error::Error;
use crate::host::Host;
use crate::log::Record;
use crate::outlined::outlined;

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
    bedrock: &'a Bedrock<'a, H>,
    host: &'a H,
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
    /// The facts of a body for Converse.
    converse: Option<Conversed>,
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
    /// The model that a body for Converse is for.
    converse: Option<ConverseModel>,
}

/// The facts of a body for Converse, which its reply needs.
struct Conversed {
    /// The names of tools that are not the caller's.
    names: ToolNames,
    /// Whether it goes to Converse even if a stream is wanted.
    is_whole: bool,
}

/// A model that is called by Converse.
#[derive(Clone, Copy, PartialEq)]
struct ConverseModel {
    /// The model's row, if it is known.
    row: Option<&'static Model>,
}

/// One attempt.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    endpoint: &'a Endpoint,
    identity: &'a Identity<'a>,
    payload: &'a Payload,
    signed_at: SystemTime,
}

impl<'a, H: Host> Call<'a, H> {
    fn new(operation: Operation, request: &'a Request<'a>, bedrock: &'a Bedrock<'a, H>) -> Self {
        let Bedrock { config, state, host, .. } = *bedrock;
        Self { operation, request, config, state, bedrock, host }
    }

    /// Calls until a valid reply is read, or until a retry is pointless.
    async fn make(&self, record: &mut Record) -> Result<Outcome<H::Body>, Error> {
        let started = self.host.now();
        let result = self.attempts(record).await;
        record.upstream_time = self.host.now().duration_since(started).ok();
        result
    }

    async fn attempts(&self, record: &mut Record) -> Result<Outcome<H::Body>, Error> {
        let Self { config, state, bedrock, host, .. } = *self;
        let (endpoint, fallbacks) = self.endpoints();
        let deadline = bedrock.deadline;
        let mut attempts = Attempts::new(&endpoint, fallbacks, config, state, deadline, host.now());
        // The endpoint whose model has just refused parts of the payload, and these parts.
        let mut refused: Option<(&Endpoint, Vec<String>)> = None;
        let mut payload = self.payload(self.variant(attempts.endpoint(), None), record).await?;
        loop {
            let endpoint = attempts.endpoint();
            let just_refused = refused.as_ref().filter(|(by, _)| std::ptr::eq(*by, endpoint));
            let just_refused = just_refused.map(|(_, parts)| parts);
            let variant = self.variant(endpoint, just_refused);
            if payload.variant != variant {
                payload = self.payload(variant, record).await?;
            }
            let identity = bedrock.identity(record).await;
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
            let next = self.bedrock.next(&mut attempts, error, &identity, signed_at, record);
            outlined(next)
                .await
                .map_err(|given_up| given_up.into_error(|error| self.public(error)))?;
        }
    }

    /// Returns the endpoint to call, and those to fall back to. The fallback regions have a model of their own, which stands for the
    /// default model only.
    fn endpoints(&self) -> (Cow<'a, Endpoint>, &'a [Endpoint]) {
        let Self { request, config, .. } = *self;
        match request.model.as_deref().and_then(|name| config.find_model(Some(name))) {
            Some(endpoint) if !config.is_default(&endpoint) => (endpoint, &[]),
            // A body was translated for one model.
            _ if request.translated.is_some() => {
                (Cow::Borrowed(&config.endpoint), config.fallbacks_of_one_model())
            }
            _ => (Cow::Borrowed(&config.endpoint), &config.fallbacks),
        }
    }

    fn public(&self, error: InvokeError) -> Error {
        self.bedrock.public(error, self.request.max_tokens)
    }

    fn left(&self) -> Duration {
        self.bedrock.left()
    }
}

#[cfg(test)]
mod tests;
