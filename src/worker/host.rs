//! The platform for Workers that embed this crate, whose futures other executors drive.
//!
//! Each operation is a task of its own: it has its own timer, and ends when the client disconnects.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use super::body::JsBody;
use super::platform::{Worker, own};
use super::task;
use crate::host::{
    Begun, Body, BodyStream, Cipher, CipherError, Host, Http, Lease, LedgerStore, LimitError,
    NewTurn, RateLimiter, ReadError, Runtime, SessionError, SessionInfo, SessionMark, SessionPage,
    SessionPlace, SessionStore, SignatureVerifier, TransportError, VerifyError, VerifyingKey,
};

/// The Cloudflare platform, for what one request leads to. Of a response with status 200 it returns only the headers that
/// the core reads: `content-type`, `date` and `x-amzn-requestid`.
///
/// A Worker with routes of its own uses it to call the core with prompts of its own:
///
/// ```no_run
/// use bedrock_edge::worker::{WorkerHost, isolate, log};
/// use bedrock_edge::{Identifier, Record, Request, Runtime, invoke_bedrock};
/// use worker::{Env, Response, Result};
///
/// async fn haiku(request: worker::Request, env: Env) -> Result<Response> {
///     let host = WorkerHost::new(&request);
///     let Ok(bedrock) = isolate(&env).bedrock(&host) else {
///         return Response::error("misconfigured", 500);
///     };
///     let config = bedrock.config();
///     let prompt = Request::new("Write a haiku about rain.", config.max_tokens);
///     let mut record = Record::new(Identifier::random(host.random()));
///     let reply = invoke_bedrock(&prompt, &bedrock, &mut record).await;
///     log(&record, Some(config));
///     match reply {
///         Ok(reply) => Response::from_json(&[reply.text]),
///         Err(error) => Response::error(error.to_string(), error.code.status().as_u16()),
///     }
/// }
/// ```
pub struct WorkerHost(Worker);

impl WorkerHost {
    /// Makes the platform for a request. When its client disconnects, the operations that are under way end, if the Worker
    /// has the compatibility flag `enable_request_signal`.
    pub fn new(request: &::worker::Request) -> Self {
        Self(Worker { client: request.inner().into(), platform: own() })
    }

    /// Runs an operation as a task.
    async fn run<T: 'static, F: Future<Output = T> + 'static>(
        &self,
        operation: impl FnOnce(Worker) -> F,
    ) -> Result<T, TransportError> {
        run(&self.0.client, operation(self.0.clone())).await
    }
}

impl Runtime for WorkerHost {
    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn random(&self) -> u128 {
        self.0.random()
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        self.run(|worker| async move { worker.sleep(time).await }).await?
    }
}

impl Http for WorkerHost {
    type Body = WorkerBody;

    async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<WorkerBody>, TransportError> {
        let response =
            self.run(|worker| async move { worker.send(request, within).await }).await??;
        let client = self.0.client.clone();
        Ok(response.map(|body| WorkerBody { client, body: Some(body) }))
    }
}

impl Host for WorkerHost {
    fn verifier(&self) -> Option<impl SignatureVerifier> {
        Some(self)
    }

    fn rate_limiter(&self) -> Option<impl RateLimiter> {
        self.0.rate_limiter().is_some().then_some(self)
    }

    fn ledgers(&self) -> Option<impl LedgerStore> {
        self.0.ledgers().is_some().then_some(self)
    }

    fn sessions(&self) -> Option<impl SessionStore> {
        self.0.sessions().is_some().then_some(self)
    }

    fn cipher(&self) -> Option<impl Cipher> {
        Some(self)
    }
}

impl SignatureVerifier for WorkerHost {
    async fn verify(
        &self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, VerifyError> {
        let (key, message, signature) = (key.clone(), message.to_vec(), signature.to_vec());
        self.run(|worker| async move { worker.verify(&key, &message, &signature).await })
            .await
            .map_err(|error| VerifyError(error.to_string()))?
    }
}

impl RateLimiter for WorkerHost {
    async fn admit(&self, key: &str) -> Result<bool, LimitError> {
        let key = key.to_owned();
        self.run(|worker| async move { worker.admit(&key).await })
            .await
            .map_err(|error| LimitError(error.to_string()))?
    }
}

impl LedgerStore for WorkerHost {
    async fn exchange(&self, account: &str, message: String) -> Result<String, LimitError> {
        let account = account.to_owned();
        self.run(|worker| async move { worker.exchange(&account, message).await })
            .await
            .map_err(|error| LimitError(error.to_string()))?
    }

    async fn settle(&self, account: &str, message: String) -> Result<(), LimitError> {
        self.0.settle(account, message).await
    }
}

impl WorkerHost {
    async fn run_in_session<T: 'static, F: Future<Output = Result<T, SessionError>> + 'static>(
        &self,
        operation: impl FnOnce(Worker) -> F,
    ) -> Result<T, SessionError> {
        self.run(operation).await.map_err(|error| SessionError(error.to_string()))?
    }
}

impl SessionStore for WorkerHost {
    async fn begin(
        &self,
        place: &SessionPlace,
        lease: &Lease,
        may_create: bool,
        now: SystemTime,
    ) -> Result<Begun, SessionError> {
        let (place, lease) = (place.clone(), lease.clone());
        self.run_in_session(
            |worker| async move { worker.begin(&place, &lease, may_create, now).await },
        )
        .await
    }

    async fn commit(
        &self,
        place: &SessionPlace,
        turn: &NewTurn,
        now: SystemTime,
    ) -> Result<bool, SessionError> {
        let (place, turn) = (place.clone(), turn.clone());
        self.run_in_session(|worker| async move { worker.commit(&place, &turn, now).await }).await
    }

    async fn abort(&self, place: &SessionPlace, token: &str) -> Result<(), SessionError> {
        self.0.abort(place, token).await
    }

    async fn read(
        &self,
        place: &SessionPlace,
        from: u64,
        limit: u32,
        now: SystemTime,
    ) -> Result<Option<SessionPage>, SessionError> {
        let place = place.clone();
        self.run_in_session(|worker| async move { worker.read(&place, from, limit, now).await })
            .await
    }

    async fn delete(&self, place: &SessionPlace, now: SystemTime) -> Result<bool, SessionError> {
        let place = place.clone();
        self.run_in_session(|worker| async move { worker.delete(&place, now).await }).await
    }

    async fn list(
        &self,
        owner: &str,
        behind: Option<&SessionMark>,
        limit: u32,
        now: SystemTime,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        let (owner, behind) = (owner.to_owned(), behind.cloned());
        self.run_in_session(|worker| async move {
            worker.list(&owner, behind.as_ref(), limit, now).await
        })
        .await
    }
}

impl Cipher for WorkerHost {
    async fn encrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let (key, nonce, text, associated) = (*key, *nonce, text.to_vec(), associated.to_vec());
        self.run(|worker| async move { worker.encrypt(&key, &nonce, &text, &associated).await })
            .await
            .map_err(|error| CipherError(error.to_string()))?
    }

    async fn decrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let (key, nonce, text, associated) = (*key, *nonce, text.to_vec(), associated.to_vec());
        self.run(|worker| async move { worker.decrypt(&key, &nonce, &text, &associated).await })
            .await
            .map_err(|error| CipherError(error.to_string()))?
    }
}

/// The body of a response.
pub struct WorkerBody {
    client: JsValue,
    /// `None` while a chunk is read.
    body: Option<JsBody>,
}

impl Body for WorkerBody {
    async fn read(self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        let body = self.body.ok_or_else(given_up)?;
        run(&self.client, async move { body.read(limit, within).await }).await?
    }
}

impl BodyStream for WorkerBody {
    async fn chunk(&mut self, within: Duration) -> Result<Option<Bytes>, TransportError> {
        let mut body = self.body.take().ok_or_else(given_up)?;
        let read = async move {
            let chunk = body.chunk(within).await;
            (body, chunk)
        };
        let (body, chunk) = run(&self.client, read).await?;
        self.body = Some(body);
        chunk
    }
}

/// Runs a future as a task, and awaits it in the executor of the embedding Worker.
async fn run<T: 'static>(
    client: &JsValue,
    future: impl Future<Output = T> + 'static,
) -> Result<T, TransportError> {
    let result = Rc::new(Cell::new(None));
    let place = result.clone();
    let task = async move {
        place.set(Some(future.await));
        Ok(JsValue::UNDEFINED)
    };
    // The promise is never rejected.
    let _ = JsFuture::from(task::promise(client, task, || Ok(JsValue::UNDEFINED))).await;
    result.take().ok_or_else(given_up)
}

fn given_up() -> TransportError {
    TransportError::Failed("it was given up".to_owned())
}
