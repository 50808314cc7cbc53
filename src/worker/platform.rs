//! The capabilities of a Worker, for what one client waits for.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use js_sys::{Date, Promise};
use sha2::{Digest, Sha256};
use wasm_bindgen::JsValue;

use super::body::{JsBody, JsKept};
use super::glue::{self, Platform};
use super::http::{header_map, milliseconds, text_or_bytes, transport_error, with_head};
use super::task::{settled, settled_bytes};
use crate::date;
use crate::host::{
    Cipher, Host, Http, KeptBody, LedgerStore, LimitError, RateLimiter, Runtime, SessionStore,
    SignatureVerifier, TransportError, VerifyError, VerifyingKey,
};

/// Above so many bytes WebCrypto's digest is faster than ours, with the promise that it costs: 31 µs against 70 for
/// 16 KiB.
const LONG_TO_HASH: usize = 8 << 10;

/// A Worker, for what one client waits for. Its futures are awaited in tasks only.
#[derive(Clone)]
pub(super) struct Worker {
    /// The object whose `signal` says that the client has disconnected: a Request or an AbortController.
    pub client: JsValue,
    /// The variables, the bindings and the log of the isolate.
    pub platform: Platform,
}

/// Returns the platform of a Worker that has one isolate of the core.
#[cfg(feature = "worker")]
pub(super) fn own() -> Platform {
    thread_local! {
        static OWN: Platform = glue::own_platform(&JsValue::UNDEFINED);
    }
    OWN.with(Clone::clone)
}

/// Returns the time. `Date.now()` has whole milliseconds, so nothing is lost. `SystemTime::now` panics in wasm.
pub(super) fn now() -> SystemTime {
    date::from_seconds(0) + Duration::from_millis(Date::now() as u64)
}

impl Runtime for Worker {
    fn now(&self) -> SystemTime {
        now()
    }

    fn random(&self) -> u128 {
        // Fetched for many requests at once.
        thread_local! {
            static POOL: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        POOL.with_borrow_mut(|pool| {
            if pool.len() < 16 {
                *pool = glue::random(4096);
            }
            let bytes = pool.split_off(pool.len().saturating_sub(16));
            bytes.into_iter().fold(0, |number, byte| number << 8 | u128::from(byte))
        })
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        let slept = settled(glue::sleep(milliseconds(time))).await;
        slept.map(drop).map_err(|error| transport_error(&error))
    }
}

impl Http for Worker {
    type Body = JsBody;

    async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<JsBody>, TransportError> {
        let (head, body) = request.into_parts();
        let (url, headers) = (head.uri.to_string(), header_lines(&head.headers)?);
        let (text, bytes) = text_or_bytes(&body);
        let (method, within) = (head.method.as_str(), milliseconds(within));
        let promise = glue::send(method, &url, &headers, text, bytes, within);
        receive(promise, false).await
    }

    async fn send_kept(
        &self,
        request: Request<KeptBody>,
        within: Duration,
    ) -> Result<Response<JsBody>, TransportError> {
        let (head, body) = request.into_parts();
        let (url, headers) = (head.uri.to_string(), header_lines(&head.headers)?);
        let (method, within) = (head.method.as_str(), milliseconds(within));
        if let Some(bytes) = body.content::<Bytes>() {
            let (text, bytes) = text_or_bytes(bytes);
            return receive(glue::send(method, &url, &headers, text, bytes, within), true).await;
        }
        let send = |kept: &JsValue| glue::kept_send(method, &url, &headers, kept, within);
        let promise = body.content::<JsKept>().and_then(|kept| kept.with(send));
        let promise = promise.ok_or_else(|| {
            TransportError::Failed("the body is not one of this platform".to_owned())
        })?;
        receive(promise, true).await
    }

    async fn sha256_kept(&self, body: &KeptBody) -> [u8; 32] {
        let promise = body.content::<JsKept>().and_then(|kept| kept.with(glue::kept_hash));
        if let Some(promise) = promise
            && let Ok(Some(hash)) = settled_bytes(promise).await
            && let Ok(hash) = hash.try_into()
        {
            return hash;
        }
        let mut hash = Sha256::new();
        body.scan(|part| {
            hash.update(part);
            true
        });
        hash.finalize().into()
    }

    async fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        if bytes.len() > LONG_TO_HASH
            && let Ok(Some(hash)) = settled_bytes(glue::sha256(bytes)).await
            && let Ok(hash) = hash.try_into()
        {
            return hash;
        }
        Sha256::digest(bytes).into()
    }
}

/// Writes headers for JavaScript: names and values by turns, a line each.
fn header_lines(headers: &HeaderMap) -> Result<String, TransportError> {
    let mut lines = String::with_capacity(1024);
    for name in headers.keys() {
        lines.extend([if lines.is_empty() { "" } else { "\n" }, name.as_str(), "\n"]);
        // RFC 9110: several lines of one name are a list.
        for (at, value) in headers.get_all(name).iter().enumerate() {
            let value = value.to_str();
            let value = value.map_err(|error| TransportError::Failed(error.to_string()))?;
            lines.extend([if at == 0 { "" } else { ", " }, value]);
        }
    }
    Ok(lines)
}

/// Awaits a Response, and reads its status and its headers: all of them, or those of the table.
async fn receive(
    promise: Result<Promise, JsValue>,
    is_whole: bool,
) -> Result<Response<JsBody>, TransportError> {
    let response = match promise {
        Ok(promise) => settled(promise).await,
        Err(error) => Err(error),
    };
    let message = response.map_err(|error| transport_error(&error))?;
    let mut response = Response::new(());
    with_head(&message, is_whole, |status, headers| {
        *response.status_mut() = StatusCode::from_bytes(status.as_bytes())
            .map_err(|_| TransportError::Failed(format!("not a status: {status}")))?;
        *response.headers_mut() = header_map(headers).0;
        Ok(())
    })?;
    Ok(response.map(|()| JsBody::new(message)))
}

impl Host for Worker {
    fn verifier(&self) -> Option<impl SignatureVerifier> {
        Some(self)
    }

    fn rate_limiter(&self) -> Option<impl RateLimiter> {
        self.platform.has("RATE_LIMITER").then_some(self)
    }

    fn ledgers(&self) -> Option<impl LedgerStore> {
        self.platform.has("LEDGER").then_some(self)
    }

    fn sessions(&self) -> Option<impl SessionStore> {
        self.platform.has("SESSIONS").then_some(self)
    }

    fn cipher(&self) -> Option<impl Cipher> {
        Some(self)
    }
}

impl SignatureVerifier for Worker {
    async fn verify(
        &self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, VerifyError> {
        match settled(glue::verify(key.algorithm(), key.jwk(), message, signature)).await {
            Ok(verdict) => Ok(verdict == JsValue::TRUE),
            Err(error) => Err(VerifyError(transport_error(&error).to_string())),
        }
    }
}

impl RateLimiter for Worker {
    async fn admit(&self, key: &str) -> Result<bool, LimitError> {
        let admitted = settled(glue::admit(&self.platform, key)).await;
        admitted
            .map(|admitted| admitted == JsValue::TRUE)
            .map_err(|error| LimitError(transport_error(&error).to_string()))
    }
}
