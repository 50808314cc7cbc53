//! One attempt of a call: sign, send, and read the response, or the first frame of a stream.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, response};

use super::{Attempt, Call, Conversed, Operation, Outcome, Payload};
use crate::bedrock::decoder::{Decoder, MAX_REPLY_BYTES, Step};
use crate::bedrock::error::InvokeError;
use crate::claude::{InvalidReply, Reply};
use crate::config::Guardrail;
use crate::converse;
use crate::headers::{
    ANTHROPIC_BETA, ANTHROPIC_VERSION, X_AMZN_BEDROCK_GUARDRAILIDENTIFIER,
    X_AMZN_BEDROCK_GUARDRAILVERSION, X_AMZN_BEDROCK_SERVICE_TIER, X_AMZN_REQUESTID, upstream,
};
use crate::host::{Body, BodyStream, Host, ReadError};
use crate::identifier::Identifier;
use crate::limits::weight;
use crate::log::Record;
use crate::outlined::outlined;

/// Most tokens have fewer bytes, as JSON too.
const BYTES_OF_A_TOKEN: usize = 8;

/// The bytes of a reply beside its text.
const BYTES_AROUND_TEXT: usize = 4 << 10;

/// Far longer than any error of AWS. A longer body is not read, and the status decides.
pub(super) const MAX_ERROR_BYTES: usize = 64 << 10;

impl<H: Host> Call<'_, H> {
    /// Sends a request and reads the response, or the first frame of a stream.
    pub(super) async fn attempt(
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
            Operation::Invoke => {
                return Ok(Outcome::Whole(self.read_reply(attempt.payload, body, record).await?));
            }
            Operation::CountTokens => {
                let body = body.read(MAX_ERROR_BYTES, self.left()).await?;
                return Ok(Outcome::Whole(Reply::unread(body)));
            }
            Operation::Stream => {}
        }
        let is_whole = attempt.payload.is_whole();
        if !is_whole && !is_event_stream(&head.headers, self.is_native()) {
            // The body may still say what it is.
            self.read_reply(attempt.payload, body, record).await?;
            return Err(InvalidReply::NotEvents.into());
        }
        let decoder = self.decoder(attempt.payload, record);
        outlined(self.read_first_frame(body, decoder)).await
    }

    /// Reads a whole reply, and records what is known of one that cannot be read: it is billed all the same.
    async fn read_reply(
        &self,
        payload: &Payload,
        body: H::Body,
        record: &mut Record,
    ) -> Result<Reply, InvokeError> {
        let length = (self.request.max_tokens as usize).saturating_mul(BYTES_OF_A_TOKEN);
        let length = length.saturating_add(BYTES_AROUND_TEXT).min(MAX_REPLY_BYTES);
        // It is paid for, so it waits as long as there is time. Until then it stays in the platform's buffers.
        let _held = self.bedrock.memory.hold(weight(length), self.left(), self.host).await?;
        let mut body = body.read(MAX_REPLY_BYTES, self.left()).await?;
        if let Some(Conversed { names, .. }) = &payload.converse
            && let Some(json) = converse::to_claude(&body, names, &message_id(record))?
        {
            body = json.into();
        }
        let reply = match &self.request.translated {
            None => Reply::parse(&body).map(|reply| match self.request.session {
                Some(_) => Reply { json: body.clone(), ..reply },
                None => reply,
            }),
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

    /// Makes the decoder of a stream.
    fn decoder(&self, payload: &Payload, record: &Record) -> Decoder {
        let decoder = match &payload.converse {
            Some(Conversed { names, is_whole }) => {
                let events = converse::Events::new(names.clone(), message_id(record));
                Decoder::of_converse(events, *is_whole)
            }
            None if self.is_native() => Decoder::of_sse(),
            None => Decoder::default(),
        };
        match &self.request.translated {
            None if self.request.session.is_some() => decoder.keeping_content(),
            None => decoder,
            Some(_) => decoder.passing(self.request.model.as_deref().unwrap_or_default()),
        }
    }

    async fn read_first_frame(
        &self,
        mut body: H::Body,
        mut decoder: Decoder,
    ) -> Result<Outcome<H::Body>, InvokeError> {
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

    /// Builds and signs a request.
    fn sign(&self, attempt: &Attempt<'_>) -> Result<http::Request<Bytes>, InvokeError> {
        let Attempt { endpoint, identity, payload, signed_at } = *attempt;
        // 1. Build. It has only these headers: nothing of what the client sent is forwarded.
        let uri = match self.operation {
            Operation::CountTokens => match &endpoint.count_uri {
                Some(uri) => uri,
                None => return Err(InvalidReply::NoText.into()),
            },
            Operation::Stream if payload.converse.is_some() && !payload.is_whole() => {
                &endpoint.converse_stream_uri
            }
            _ if payload.converse.is_some() => &endpoint.converse_uri,
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
        if let Some(Guardrail { id, version }) = &self.config.guardrail
            && payload.converse.is_none()
        {
            headers.insert(X_AMZN_BEDROCK_GUARDRAILIDENTIFIER, id.clone());
            headers.insert(X_AMZN_BEDROCK_GUARDRAILVERSION, version.clone());
        }
        let translated = payload.translated.as_ref().filter(|_| payload.converse.is_none());
        if let Some(tier) = translated.and_then(|it| it.service_tier) {
            headers.insert(X_AMZN_BEDROCK_SERVICE_TIER, HeaderValue::from_static(tier));
        }

        // 2. Sign.
        let region = &endpoint.region;
        self.bedrock.authorize(&mut request, &payload.hash, identity, region, signed_at)?;
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

impl Payload {
    /// Reports whether the reply is not streamed, whatever is wanted.
    fn is_whole(&self) -> bool {
        self.converse.as_ref().is_some_and(|it| it.is_whole)
    }
}

/// Makes the id of a message of Claude's, which Converse does not have.
fn message_id(record: &Record) -> String {
    let id = record.upstream_request_id.as_ref().unwrap_or(&record.request_id);
    format!("msg_{}", id.as_str().replace('-', ""))
}

/// Reports whether a response does not declare to be something other than an event stream.
fn is_event_stream(headers: &HeaderMap, is_native: bool) -> bool {
    let expected: &[u8] =
        if is_native { b"text/event-stream" } else { b"application/vnd.amazon.eventstream" };
    headers
        .get(CONTENT_TYPE)
        .is_none_or(|value| value.as_bytes().to_ascii_lowercase().starts_with(expected))
}
