//! A native process as the place that the function runs in.

use std::time::{Duration, SystemTime};

use bedrock_edge::{Body, BodyStream, Host, ReadError, TransportError};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use reqwest::redirect::Policy;

/// What is left of an invocation's time for the answer, when Bedrock has used up the rest.
const MARGIN: Duration = Duration::from_millis(200);

/// The Host of one invocation.
pub struct Native {
    client: reqwest::Client,
    deadline: SystemTime,
}

/// The connections, which outlive an invocation.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    // It fails only where there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(Policy::none()).build()
}

#[allow(clippy::disallowed_methods)] // The function itself takes the time from here.
pub fn now() -> SystemTime {
    SystemTime::now()
}

impl Native {
    /// For an invocation that Lambda will end at `deadline`.
    pub fn new(client: reqwest::Client, deadline: SystemTime) -> Self {
        Self { client, deadline: deadline - MARGIN }
    }
}

impl Host for Native {
    type Body = NativeBody;

    fn now(&self) -> SystemTime {
        now()
    }

    fn random(&self) -> u128 {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        u128::from_ne_bytes(bytes)
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<NativeBody>, TransportError> {
        let mut request = reqwest::Request::try_from(request).map_err(failed)?;
        // Of the whole exchange, the body included. `cargo lambda` gives a deadline in 1970.
        *request.timeout_mut() = self.deadline.duration_since(now()).ok();
        let mut answer = self.client.execute(request).await.map_err(failed)?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = std::mem::take(answer.headers_mut());
        }
        response.body(NativeBody(answer)).map_err(|error| TransportError(error.to_string()))
    }
}

/// An answer's body, on its way.
pub struct NativeBody(reqwest::Response);

impl Body for NativeBody {
    async fn read(mut self, limit: usize) -> Result<Bytes, ReadError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > limit {
                return Err(ReadError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

impl BodyStream for NativeBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, TransportError> {
        self.0.chunk().await.map_err(failed)
    }
}

/// With the causes, since reqwest prints only the outermost. Its URL is Bedrock's, without secrets.
fn failed(error: reqwest::Error) -> TransportError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    TransportError(text)
}
