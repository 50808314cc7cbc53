//! A response of Bedrock's on its way to the client as it came: the second half of the pipeline for it.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderMap;

use super::isolate::Isolate;
use crate::api::native;
use crate::bedrock::{self, End, Meter};
use crate::claude::Usage;
use crate::config::{Config, Level};
use crate::host::{BodyStream, TransportError};
use crate::limits::{HeldByStream, Reservation, Settlement};
use crate::log::Record;

/// The meter of a response that is passed on. It keeps the record of the request and its reservation until the end.
pub struct Passage<'a> {
    /// `None` if there is nothing to read in the body.
    meter: Option<Meter>,
    record: Record,
    reservation: Option<Reservation>,
    config: &'a Config,
    state: &'a bedrock::State,
    started: SystemTime,
    _held: Option<HeldByStream>,
}

/// The rest of a response, behind the last byte of Bedrock's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rest {
    /// Bytes that the client gets: an exception of the protocol, if the response broke off.
    pub tail: Vec<u8>,
    /// Whether the connection is to be broken off, because nothing else tells the client that the response is incomplete.
    pub is_broken: bool,
}

impl<'a> Passage<'a> {
    /// Starts with the meter, or with the numbers that the headers told, of a request that came at `started`.
    pub(super) fn new(
        meter: Result<Meter, Usage>,
        (config, isolate): (&'a Config, &'a Isolate),
        mut record: Record,
        reservation: Option<Reservation>,
        started: SystemTime,
    ) -> Self {
        let held = meter.is_ok().then(|| HeldByStream::new(&isolate.memory, 0, 0));
        let meter = match meter {
            Ok(meter) => {
                // Until the end says otherwise.
                record.outcome = "cancelled";
                Some(meter)
            }
            Err(usage) => {
                record.learn(None, usage);
                None
            }
        };
        let state = isolate.bedrock_state();
        Self { meter, record, reservation, config, state, started, _held: held }
    }

    /// Reports whether the meter needs to see the body. If not, the platform may pass it on by itself.
    pub fn is_metered(&self) -> bool {
        self.meter.is_some()
    }

    /// Looks at a chunk that the client gets.
    pub fn push(&mut self, chunk: &[u8]) {
        if let Some(meter) = &mut self.meter {
            meter.push(chunk);
        }
    }

    /// Ends the response: by itself, or because the network failed, or nothing came for too long.
    pub fn close(&mut self, failure: Option<TransportError>) -> Rest {
        let Some(meter) = &mut self.meter else {
            return Rest { tail: Vec::new(), is_broken: failure.is_some() };
        };
        let End { tail, is_broken, error } = meter.close(failure);
        match error {
            None => self.record.outcome = "ok",
            Some(error) => {
                let error = error.into_public(0, self.config, self.state);
                self.record.fail(error.code, error.cause);
                self.record.level = Level::Error;
            }
        }
        Rest { tail, is_broken }
    }

    /// Returns how long the response may be silent.
    pub fn stall(&self) -> Duration {
        native::TIMEOUT
    }

    /// Returns the configuration of the request.
    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// Returns the record, and the settlement that is to be sent if tokens are counted. Before the end the record says that
    /// the client disconnected.
    pub fn finish(mut self, now: SystemTime) -> (Record, Option<Settlement>) {
        self.record.total_time = now.duration_since(self.started).ok();
        let Some(mut meter) = self.meter else {
            let usage = self.record.usage();
            return (self.record, self.reservation.map(|it| it.used(usage)));
        };
        let received = meter.received();
        let counts = meter.counts();
        self.record.learn(counts.stop_reason.as_ref(), counts.usage);
        self.record.guardrail_intervened = counts.guardrail_intervened;
        let is_counted = self.record.outcome == "ok" || counts.is_final;
        let settlement = self.reservation.map(|it| match is_counted {
            true => it.used(counts.usage),
            false => it.used_in_part(counts.usage, received),
        });
        (self.record, settlement)
    }
}

impl std::fmt::Debug for Passage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passage").field("record", &self.record).finish_non_exhaustive()
    }
}

/// A response of Bedrock's that is passed on. Dropping it stops the transfer.
#[derive(Debug)]
pub struct Passing<'a, B> {
    /// The headers of Bedrock's that the client gets, besides those of the envelope.
    pub headers: HeaderMap,
    /// The body.
    pub body: B,
    /// The meter.
    pub passage: Passage<'a>,
    /// Whether the end has been passed.
    pub(super) is_over: bool,
}

impl<B: BodyStream> Passing<'_, B> {
    /// Returns the next bytes for the client, or `None` after the last.
    ///
    /// # Errors
    ///
    /// If the response is incomplete: the connection to the client is to be broken off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, TransportError> {
        if self.is_over {
            return Ok(None);
        }
        let failure = match self.body.chunk(self.passage.stall()).await {
            Ok(Some(bytes)) => {
                self.passage.push(&bytes);
                return Ok(Some(bytes));
            }
            Ok(None) => None,
            Err(error) => Some(error),
        };
        self.is_over = true;
        let Rest { tail, is_broken } = self.passage.close(failure);
        match is_broken {
            true => Err(TransportError::Failed("the response is incomplete".to_owned())),
            false => Ok((!tail.is_empty()).then(|| tail.into())),
        }
    }
}
