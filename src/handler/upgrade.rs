//! The beginning of a WebSocket.

use super::{Call, identify};
use crate::config::{Config, ConfigError};
use crate::envelope::Envelope;
use crate::event::Event;
use crate::gate::{self, Session};
use crate::host::{Body, Host};
use crate::limits::Address;
use crate::log::Record;

/// A WebSocket that may be opened: what [`socket_handler`](super::socket_handler) wants to know of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Upgrade<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Who opens it.
    pub session: Session,
    /// From where.
    pub address: Address,
    /// The subprotocol to answer with in `Sec-WebSocket-Protocol`, if the client offers ours. A
    /// browser closes a connection for which none was chosen of those that it offered.
    pub protocol: Option<&'static str>,
}

impl<'a> Upgrade<'a> {
    /// By a caller whom somebody else has let in.
    pub fn trusted(config: &'a Config) -> Self {
        Self { config, session: Session::OPEN, address: Address::default(), protocol: None }
    }
}

/// Whether a WebSocket may be opened, for an event that [asks for one](Event::is_upgrade).
///
/// # Errors
///
/// The answer instead, and the request's line for the log.
#[allow(clippy::result_large_err)] // As in `Answer`.
pub async fn upgrade_handler<'a, H: Host, B: Body>(
    event: Event<B>,
    config: &'a Result<Config, ConfigError>,
    host: &H,
) -> Result<Upgrade<'a>, (Envelope, Record)> {
    let mut call = Call::new(&event, config.as_ref().ok(), host);
    match identify(event, config, host, &mut call).await {
        Ok((config, session, event)) => {
            let address = Address::of(&event.headers);
            Ok(Upgrade { config, session, address, protocol: gate::protocol(&event.headers) })
        }
        Err(envelope) => Err(call.finish(envelope, host)),
    }
}
