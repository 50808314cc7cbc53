//! The Host for the Workers that this crate is embedded in, whose futures other executors drive.
//!
//! Each operation is a task of its own: it has its own time, and ends when the client leaves.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use super::body::JsBody;
use super::{Worker, task};
use crate::gate::VerifyingKey;
use crate::host::{Body, BodyStream, Host, LimitError, ReadError, TransportError, VerifyError};
use crate::limits::Settlement;

/// The Host of Cloudflare Workers, for what one request leads to. Of an answer with status 200 it gives
/// the headers that the core reads: `content-type`, `date` and `x-amzn-requestid`.
///
/// A Worker that has routes of its own calls the core with it, for its own prompts and its own
/// answers:
///
/// ```no_run
/// use bedrock_edge::worker::{WorkerHost, config, log};
/// use bedrock_edge::{Deadline, Host, Record, Request, Token, invoke_bedrock};
/// use worker::{Env, Response, Result};
///
/// async fn haiku(request: worker::Request, env: Env) -> Result<Response> {
///     let Ok(config) = config(&env) else { return Response::error("misconfigured", 500) };
///     let host = WorkerHost::new(&request);
///     let prompt = Request::new("Write a haiku about rain.", config);
///     let mut record = Record::new(Token::random(host.random()));
///     let deadline = Deadline::new(host.now(), config.timeout);
///     let reply = invoke_bedrock(&prompt, config, deadline, &host, &mut record).await;
///     log(&record, Some(config));
///     match reply {
///         Ok(reply) => Response::from_json(&[reply.text]),
///         Err(error) => Response::error(error.to_string(), error.code.status().as_u16()),
///     }
/// }
/// ```
pub struct WorkerHost(Worker);

impl WorkerHost {
    /// For a request. When its client leaves, what is under way ends, if the Worker has the
    /// compatibility flag `enable_request_signal`.
    pub fn new(request: &::worker::Request) -> Self {
        Self(Worker { client: request.inner().into() })
    }

    fn worker(&self) -> Worker {
        Worker { client: self.0.client.clone() }
    }
}

impl Host for WorkerHost {
    type Body = WorkerBody;

    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn random(&self) -> u128 {
        self.0.random()
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        let worker = self.worker();
        apart(&self.0.client, async move { worker.sleep(time).await }).await?
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<WorkerBody>, TransportError> {
        let worker = self.worker();
        let answer =
            apart(&self.0.client, async move { worker.send(request, within).await }).await??;
        let client = self.0.client.clone();
        Ok(answer.map(|body| WorkerBody { client, body: Some(body) }))
    }

    async fn verify(
        &self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, VerifyError> {
        let (worker, key) = (self.worker(), key.clone());
        let (message, signature) = (message.to_vec(), signature.to_vec());
        apart(&self.0.client, async move { worker.verify(&key, &message, &signature).await })
            .await
            .map_err(|error| VerifyError::Key(error.to_string()))?
    }

    async fn admit(&self, key: &str) -> Result<bool, LimitError> {
        let (worker, key) = (self.worker(), key.to_owned());
        apart(&self.0.client, async move { worker.admit(&key).await }).await.map_err(unreachable)?
    }

    async fn ledger(&self, account: &str, message: String) -> Result<String, LimitError> {
        let (worker, account) = (self.worker(), account.to_owned());
        apart(&self.0.client, async move { worker.ledger(&account, message).await })
            .await
            .map_err(unreachable)?
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), LimitError> {
        self.0.settle(settlement).await
    }
}

fn unreachable(error: TransportError) -> LimitError {
    LimitError::Unreachable(error.to_string())
}

/// An answer's body.
pub struct WorkerBody {
    client: JsValue,
    /// Away while it is read.
    body: Option<JsBody>,
}

impl Body for WorkerBody {
    async fn read(self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        let body = self.body.ok_or_else(ended)?;
        apart(&self.client, async move { body.read(limit, within).await }).await?
    }
}

impl BodyStream for WorkerBody {
    async fn chunk(&mut self, within: Duration) -> Result<Option<Bytes>, TransportError> {
        let mut body = self.body.take().ok_or_else(ended)?;
        let read = async move {
            let chunk = body.chunk(within).await;
            (body, chunk)
        };
        let (body, chunk) = apart(&self.client, read).await?;
        self.body = Some(body);
        chunk
    }
}

/// What a future of ours comes to, in a future of somebody else's.
async fn apart<T: 'static>(
    client: &JsValue,
    future: impl Future<Output = T> + 'static,
) -> Result<T, TransportError> {
    let result = Rc::new(Cell::new(None));
    let place = result.clone();
    let promise = task::promise(client, async move {
        place.set(Some(future.await));
        Ok(JsValue::UNDEFINED)
    });
    // It is never rejected.
    let _ = JsFuture::from(promise).await;
    result.take().ok_or_else(ended)
}

fn ended() -> TransportError {
    TransportError::Failed("it was given up".to_owned())
}
