//! WebSockets: each message is the body of a request, and its reply a stream.

use bytes::Bytes;
use http::HeaderMap;

use super::exchange::Exchange;
use super::generation::Streaming;
use super::isolate::Isolate;
use super::reply::{Replied, Streams};
use crate::api::Socket;
use crate::auth::{Session, websocket_protocol};
use crate::config::Config;
use crate::error::Error;
use crate::host::Host;
use crate::limits::{self, Address};
use crate::log::Record;
use crate::sessions::Carried;

/// A WebSocket that may be opened, and whose messages [`socket_handler`] handles.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebSocket<'a> {
    isolate: &'a Isolate,
    config: &'a Config,
    /// The caller that opens it.
    pub session: Session,
    address: Address,
    /// The value of `Sec-WebSocket-Protocol` in the response, if the client offers this service's protocol. A browser
    /// closes a connection for which none of the offered protocols was chosen.
    pub protocol: Option<&'static str>,
    carried: Carried,
}

impl<'a> WebSocket<'a> {
    pub(super) fn new(
        isolate: &'a Isolate,
        config: &'a Config,
        session: Session,
        headers: &HeaderMap,
    ) -> Self {
        let (address, protocol) = (Address::from_headers(headers), websocket_protocol(headers));
        Self { isolate, config, session, address, protocol, carried: Carried::default() }
    }

    /// Opens a WebSocket for a caller whom the platform has authenticated.
    ///
    /// # Errors
    ///
    /// If the configuration is invalid.
    pub fn trusted(isolate: &'a Isolate) -> Result<Self, Error> {
        let config = isolate.checked_config()?;
        Ok(Self::new(isolate, config, Session::OPEN, &HeaderMap::new()))
    }

    /// Returns the configuration.
    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// Returns the isolate that opened it.
    pub fn isolate(&self) -> &'a Isolate {
        self.isolate
    }
}

/// Handles a message of a WebSocket, which is the body of a request. The reply is a stream.
///
/// ```
/// use bedrock_edge::{Host, WebSocket, socket_handler};
///
/// /// Returns the messages in reply to one message.
/// async fn messages(message: bytes::Bytes, socket: &WebSocket<'_>, host: &impl Host) -> Vec<String> {
///     let (mut streaming, mut messages) = match socket_handler(message, socket, host).await {
///         Ok(streaming) => (streaming, Vec::new()),
///         Err((message, _record)) => return vec![message],
///     };
///     while let Some(event) = streaming.next(host).await {
///         messages.push(event.to_message());
///     }
///     messages
/// }
/// ```
///
/// # Errors
///
/// If the request fails before the first frame of Bedrock's response: the only message, and the record.
pub async fn socket_handler<'a, H: Host>(
    message: Bytes,
    socket: &WebSocket<'a>,
    host: &H,
) -> Result<Streaming<'a, H::Body>, (String, Record)> {
    socket_admit(socket, host).await?;
    socket_reply(message, socket, host).await
}

/// Counts a message of a WebSocket. A platform whose messages wait calls it when one arrives.
pub(crate) async fn socket_admit<H: Host>(
    socket: &WebSocket<'_>,
    host: &H,
) -> Result<(), (String, Record)> {
    let WebSocket { isolate, config, session, address, carried, .. } = socket;
    let exchange = Exchange::new_message(&Socket, session, carried, config, isolate, host);
    let caller = session.caller.as_ref();
    let admitted = match session.check(host.now()) {
        Ok(()) => limits::admit(caller, || address.clone(), config, host).await,
        Err(error) => Err(error),
    };
    admitted.map_err(|error| refusal(exchange, error))
}

/// Handles a message of a WebSocket that was counted.
pub(crate) async fn socket_reply<'a, H: Host>(
    message: Bytes,
    socket: &WebSocket<'a>,
    host: &H,
) -> Result<Streaming<'a, H::Body>, (String, Record)> {
    let WebSocket { isolate, config, session, carried, .. } = socket;
    let exchange = Exchange::new_message(&Socket, session, carried, config, isolate, host);
    let body = match session.check(host.now()) {
        Ok(()) => {
            let message = exchange.admitted(message, None);
            exchange.read(message, config.timeout, config.max_body_bytes).await
        }
        Err(error) => Err(error),
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => return Err(refusal(exchange, error)),
    };
    match exchange.reply(config, &Socket, &HeaderMap::new(), body, Streams::Always).await {
        Replied::Stream(_, streaming) => Ok(streaming),
        Replied::Whole(envelope, record) => Err((envelope.body, record)),
    }
}

/// Returns the only message in reply to one that is refused, and its record.
fn refusal<H: Host>(exchange: Exchange<'_, '_, H>, error: Error) -> (String, Record) {
    let (envelope, record) = exchange.end(error.into());
    (envelope.body, record)
}
