//! Sessions: a Durable Object for each caller, with SQLite storage. `session_storage.js` is the object.
//!
//! Out of scope: what a turn contains ([`sessions`](crate::sessions)).

use std::time::SystemTime;

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::host::{
    Begun, Cipher, CipherError, Lease, NewTurn, SessionError, SessionInfo, SessionMark,
    SessionPage, SessionPlace, SessionStore,
};
use crate::sessions::{SessionMessage, SessionReply};
use crate::worker::glue::{self, Platform};
use crate::worker::http::transport_error;
use crate::worker::platform::Worker;
use crate::worker::task::settled_bytes;

#[wasm_bindgen(module = "/src/worker/durable/sessions.js")]
extern "C" {
    fn exchange(platform: &Platform, owner: &str, message: &[u8]) -> Promise;

    #[wasm_bindgen(catch, js_name = sendLater)]
    fn send_later(platform: &Platform, owner: &str, message: &[u8]) -> Result<(), JsValue>;
}

impl Worker {
    async fn send(
        &self,
        owner: &str,
        message: &SessionMessage,
    ) -> Result<SessionReply, SessionError> {
        let reply = settled_bytes(exchange(&self.platform, owner, message.as_bytes())).await;
        let reply = reply.map_err(|error| session_error(&error))?;
        let bytes = reply.ok_or_else(|| SessionError("the reply is not bytes".to_owned()))?;
        SessionReply::new(bytes.into())
    }
}

impl SessionStore for Worker {
    async fn begin(
        &self,
        place: &SessionPlace,
        lease: &Lease,
        may_create: bool,
        now: SystemTime,
    ) -> Result<Begun, SessionError> {
        let message = SessionMessage::begin(&place.id, lease, may_create, now);
        self.send(&place.owner, &message).await?.begun()
    }

    async fn commit(
        &self,
        place: &SessionPlace,
        turn: &NewTurn,
        now: SystemTime,
    ) -> Result<bool, SessionError> {
        let message = SessionMessage::commit(&place.id, turn, now);
        self.send(&place.owner, &message).await?.done()
    }

    async fn abort(&self, place: &SessionPlace, token: &str) -> Result<(), SessionError> {
        abort(&self.platform, place, token)
    }

    async fn read(
        &self,
        place: &SessionPlace,
        from: u64,
        limit: u32,
        now: SystemTime,
    ) -> Result<Option<SessionPage>, SessionError> {
        let message = SessionMessage::read(&place.id, from, limit, now);
        self.send(&place.owner, &message).await?.page()
    }

    async fn delete(&self, place: &SessionPlace, now: SystemTime) -> Result<bool, SessionError> {
        let message = SessionMessage::delete(&place.id, now);
        self.send(&place.owner, &message).await?.done()
    }

    async fn list(
        &self,
        owner: &str,
        behind: Option<&SessionMark>,
        limit: u32,
        now: SystemTime,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        let message = SessionMessage::list(behind, limit, now);
        self.send(owner, &message).await?.list()
    }
}

/// Gives a lease back in the time after the response. If that fails, it expires.
pub(in crate::worker) fn abort(
    platform: &Platform,
    place: &SessionPlace,
    token: &str,
) -> Result<(), SessionError> {
    let message = SessionMessage::abort(&place.id, token);
    send_later(platform, &place.owner, message.as_bytes()).map_err(|error| session_error(&error))
}

fn session_error(error: &JsValue) -> SessionError {
    SessionError(transport_error(error).to_string())
}

impl Cipher for Worker {
    async fn encrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        ciphered(glue::encrypt(key, nonce, text, associated)).await
    }

    async fn decrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 12],
        text: &[u8],
        associated: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        ciphered(glue::decrypt(key, nonce, text, associated)).await
    }
}

async fn ciphered(promise: Promise) -> Result<Vec<u8>, CipherError> {
    match settled_bytes(promise).await {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(CipherError("WebCrypto returned no bytes".to_owned())),
        // WebCrypto says no more than that it failed.
        Err(error) => Err(CipherError(format!("WebCrypto: {}", transport_error(&error)))),
    }
}

#[cfg(feature = "worker")]
mod object {
    use wasm_bindgen::prelude::wasm_bindgen;
    use wasm_bindgen::{JsCast, JsValue};
    use wasm_bindgen_futures::JsFuture;

    #[wasm_bindgen(module = "/src/worker/durable/session_storage.js")]
    extern "C" {
        #[wasm_bindgen(catch)]
        fn respond(state: &JsValue, request: &JsValue) -> Result<js_sys::Promise, JsValue>;

        #[wasm_bindgen(catch)]
        fn expire(state: &JsValue) -> Result<js_sys::Promise, JsValue>;
    }

    /// The implementation of the Durable Object behind the binding `SESSIONS`. The Worker that has the binding declares the
    /// class:
    ///
    /// ```no_run
    /// use bedrock_edge::worker::Sessions;
    /// use worker::{DurableObject, Env, Request, Response, Result, State};
    /// use worker::{durable_object, wasm_bindgen};
    ///
    /// #[durable_object(alarm)]
    /// pub struct CallerSessions(Sessions);
    ///
    /// impl DurableObject for CallerSessions {
    ///     fn new(state: State, _env: Env) -> Self {
    ///         Self(Sessions::new(state))
    ///     }
    ///
    ///     async fn fetch(&self, request: Request) -> Result<Response> {
    ///         self.0.fetch(&request).await
    ///     }
    ///
    ///     async fn alarm(&self) -> Result<Response> {
    ///         self.0.alarm().await
    ///     }
    /// }
    /// # fn main() {}
    /// ```
    #[derive(Debug)]
    pub struct Sessions(::worker::State);

    impl Sessions {
        /// Keeps sessions in the storage of an object.
        pub fn new(state: ::worker::State) -> Self {
            Self(state)
        }

        /// Replies to a message.
        ///
        /// # Errors
        ///
        /// If the storage fails, or the message is not one to sessions.
        pub async fn fetch(
            &self,
            request: &::worker::Request,
        ) -> ::worker::Result<::worker::Response> {
            let reply = JsFuture::from(respond(self.0.as_raw(), request.inner())?).await?;
            Ok(reply.unchecked_into::<web_sys::Response>().into())
        }

        /// Deletes the sessions that have expired.
        ///
        /// # Errors
        ///
        /// If the storage fails.
        pub async fn alarm(&self) -> ::worker::Result<::worker::Response> {
            JsFuture::from(expire(self.0.as_raw())?).await?;
            ::worker::Response::empty()
        }
    }
}

#[cfg(feature = "worker")]
pub use object::Sessions;
