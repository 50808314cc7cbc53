//! A request that is passed on to Bedrock: steps 6 to 9, and its response on the way to the client.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderMap;

use super::exchange::Exchange;
use super::isolate::Isolate;
use crate::api::{Envelope, native};
use crate::bedrock::{self, Bill, End, Meter, Response, pass};
use crate::claude::Usage;
use crate::config::{Config, Level};
use crate::error::Error;
use crate::host::{BodyStream, Host, KeptBody, TransportError};
use crate::limits::{self, HeldByStream, Reservation, Settlement};
use crate::log::Record;

/// The result of a request that is passed on.
#[allow(clippy::large_enum_variant)] // It is made once for each request, and moved once or twice.
pub(super) enum Passed<'a, B> {
    /// The response of Bedrock.
    Response(Envelope, Passing<'a, B>),
    /// A response that ends here.
    Whole(Envelope, Record),
}

impl<'a, H: Host> Exchange<'a, '_, H> {
    /// Steps 6 to 9 of a request that is passed on. The settlement of a success follows when the response has passed.
    pub(super) async fn pass(
        mut self,
        config: &'a Config,
        path: &str,
        headers: &HeaderMap,
        body: KeptBody,
    ) -> Passed<'a, H::Body> {
        // 6. The path and the headers are parsed.
        let removed = &mut self.record.removed;
        let request = match native::parse(path, headers, body, config, removed) {
            Ok(request) => request,
            Err(error) => return self.refused(error),
        };
        // 7. The tokens are reserved.
        let (caller, bill) = (self.record.caller.as_ref(), request.operation.bill);
        let reservation = match bill {
            Bill::Free => Ok(None),
            _ => {
                let most = || native::most_tokens(&request);
                limits::reserve_tokens(most, caller, config, self.host).await
            }
        };
        let reservation = match reservation {
            Ok(reservation) => reservation,
            Err(error) => return self.refused(error),
        };
        // 8. Bedrock is called.
        let deadline = self.deadline(native::TIMEOUT);
        let bedrock = self.isolate.bedrock_until(deadline, config, self.host);
        let bedrock = bedrock.with_reservation(reservation);
        let response = pass(&request, &bedrock, &mut self.record).await;
        // 9. The reservation is settled, and the response is passed on.
        if !matches!(response, Ok(Response::Success(..))) {
            limits::settle(bedrock.take_reservation(), &mut self.record, self.host).await;
        }
        let (headers, body) = match response {
            Ok(Response::Success(headers, body)) => (headers, body),
            Ok(Response::Error { status, headers, body, mut error }) => {
                self.record.fail(error.code, error.cause.take());
                let (envelope, record) = self.finish(native::error(status, &headers, &body));
                return Passed::Whole(envelope, record);
            }
            Err(error) => return self.refused(error),
        };
        let meter = Meter::new(bill, &headers);
        let (reservation, isolate, started) =
            (bedrock.take_reservation(), self.isolate, self.started);
        let (envelope, record) = self.finish(native::head(&headers));
        let headers = native::response_headers(&headers, &envelope);
        let passage = Passage::new(meter, (config, isolate), record, reservation, started);
        Passed::Response(envelope, Passing { headers, body, passage, is_over: false })
    }

    fn refused<B>(self, error: Error) -> Passed<'a, B> {
        let (envelope, record) = self.end(error.into());
        Passed::Whole(envelope, record)
    }
}

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
