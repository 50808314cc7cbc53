//! The host platform of a native process, for bedrock-edge.

use std::time::{Duration, SystemTime};

use bedrock_edge::dynamodb::{DynamoDbSessions, SessionsTable};
use bedrock_edge::host::{Cipher, CipherError, ReadError, SessionStore, TransportError};
use bedrock_edge::{Body, BodyStream, Host, Http, Runtime};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use reqwest::redirect::Policy;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use tokio::time::timeout;

/// The host of all invocations. It keeps connections between them.
pub struct Native {
    client: reqwest::Client,
    sessions: Option<SessionsTable>,
}

#[allow(clippy::disallowed_methods)] // bedrock-edge itself gets the time from here.
pub fn now() -> SystemTime {
    SystemTime::now()
}

impl Native {
    pub fn new(sessions: Option<SessionsTable>) -> Result<Self, reqwest::Error> {
        // Fails only if a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().redirect(Policy::none()).build()?;
        Ok(Self { client, sessions })
    }
}

impl Runtime for Native {
    fn now(&self) -> SystemTime {
        now()
    }

    fn random(&self) -> u128 {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        u128::from_ne_bytes(bytes)
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        tokio::time::sleep(time).await;
        Ok(())
    }
}

impl Http for Native {
    type Body = NativeBody;

    async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<NativeBody>, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(failed)?;
        let received = timeout(within, self.client.execute(request)).await;
        let mut received = received.map_err(|_| TransportError::TimedOut)?.map_err(failed)?;
        let mut response = Response::builder().status(received.status());
        if let Some(headers) = response.headers_mut() {
            *headers = std::mem::take(received.headers_mut());
        }
        let response = response.body(NativeBody(received));
        response.map_err(|error| TransportError::Failed(error.to_string()))
    }
}

/// A Lambda is behind a gateway that authenticates and limits, so it needs neither for that.
impl Host for Native {
    fn sessions(&self) -> Option<impl SessionStore> {
        let table = self.sessions.as_ref()?;
        Some(DynamoDbSessions::new(table, self, |problem| eprintln!("{problem}")))
    }

    fn cipher(&self) -> Option<impl Cipher> {
        Some(AesGcm)
    }
}

/// AES-256-GCM by ring.
struct AesGcm;

impl AesGcm {
    fn key(key: &[u8; 32]) -> Result<LessSafeKey, CipherError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| failed_to("make a key"))?;
        Ok(LessSafeKey::new(key))
    }
}

fn failed_to(what: &str) -> CipherError {
    CipherError(format!("AES-GCM failed to {what}"))
}

impl Cipher for AesGcm {
    async fn encrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let (nonce, associated) = (Nonce::assume_unique_for_key(*nonce), Aad::from(associated));
        let mut text = text.to_vec();
        let sealed = Self::key(key)?.seal_in_place_append_tag(nonce, associated, &mut text);
        sealed.map_err(|_| failed_to("encrypt"))?;
        Ok(text)
    }

    async fn decrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let (nonce, associated) = (Nonce::assume_unique_for_key(*nonce), Aad::from(associated));
        let mut text = text.to_vec();
        let opened = Self::key(key)?.open_in_place(nonce, associated, &mut text);
        opened.map(|text| text.to_vec()).map_err(|_| failed_to("decrypt"))
    }
}

/// The body of a response that is being received.
pub struct NativeBody(reqwest::Response);

impl Body for NativeBody {
    async fn read(mut self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        let all = async {
            let mut body = BytesMut::new();
            while let Some(chunk) = self.0.chunk().await.map_err(failed)? {
                if body.len() + chunk.len() > limit {
                    return Err(ReadError::TooLong);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body.freeze())
        };
        timeout(within, all).await.map_err(|_| TransportError::TimedOut)?
    }
}

impl BodyStream for NativeBody {
    async fn chunk(&mut self, within: Duration) -> Result<Option<Bytes>, TransportError> {
        let chunk = timeout(within, self.0.chunk()).await;
        chunk.map_err(|_| TransportError::TimedOut)?.map_err(failed)
    }
}

/// Describes an error with its causes, because reqwest prints only the outermost. The URL in it is that
/// of Bedrock, without secrets.
fn failed(error: reqwest::Error) -> TransportError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    TransportError::Failed(text)
}
