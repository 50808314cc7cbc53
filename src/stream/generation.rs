//! An answer on its way to a client.

use std::time::SystemTime;

use futures_util::Stream;

use crate::config::Config;
use crate::host::{BodyStream, ReadError, TransportError};
use crate::limits::{Reservation, Settlement};
use crate::log::{Level, Record};
use crate::request::Request;
use crate::stream::{Decoder, Generated, Step, StreamEvent};

/// An answer of which the first frame has arrived: bytes go in, events come out. It holds the
/// request's record and what is reserved for it, and gives them back at the end.
#[derive(Debug)]
pub struct Generation<'a> {
    decoder: Decoder,
    request: Request<'static>,
    config: &'a Config,
    record: Record,
    reservation: Option<Reservation>,
    started: SystemTime,
    announced: bool,
}

impl<'a> Generation<'a> {
    /// Of a decoder that has given [`Step::Start`], for a request that came in at `started`.
    pub(crate) fn new(
        decoder: Decoder,
        request: Request<'static>,
        config: &'a Config,
        mut record: Record,
        reservation: Option<Reservation>,
        started: SystemTime,
    ) -> Self {
        // Until the last event says otherwise.
        record.outcome = "cancelled";
        Self { decoder, request, config, record, reservation, started, announced: false }
    }

    /// Takes in what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
    }

    /// Says that nothing more will arrive.
    pub fn close(&mut self) {
        self.decoder.close();
    }

    /// Says that the network failed, or that nothing came for too long.
    pub fn fail(&mut self, error: TransportError) {
        self.decoder.fail(ReadError::from(error).into());
    }

    /// The next event, or `None` until more has arrived, and after the last.
    pub fn event(&mut self) -> Option<StreamEvent> {
        if !std::mem::replace(&mut self.announced, true) {
            return Some(StreamEvent::Start {
                request_id: self.record.request_id.clone(),
                model: self.record.model.clone().unwrap_or_default(),
            });
        }
        Some(match self.decoder.step()? {
            // The first step, which was taken before.
            Step::Start => return self.event(),
            Step::Text(text) => StreamEvent::Delta { text },
            Step::Done(generated) => {
                self.record.outcome = "ok";
                StreamEvent::Done {
                    input_prompt: self.request.prompt.to_string(),
                    generated_text: generated.text,
                    stop_reason: generated.stop_reason,
                    usage: generated.usage,
                }
            }
            Step::Failed(error) => {
                let error = error.into_public(&self.request, self.config);
                let event = StreamEvent::from(&error);
                self.record.fail(error.code, error.cause);
                self.record.level = Level::Error;
                event
            }
        })
    }

    /// How many frames have come.
    pub fn frames(&self) -> u64 {
        self.decoder.frames()
    }

    /// The configuration that the call was made with.
    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// Whether no event will come any more.
    pub fn is_over(&self) -> bool {
        self.announced && self.decoder.is_over()
    }

    /// The request's record, and what is left to be settled, where tokens are counted. Before the
    /// last event the record says that the client went away.
    pub fn finish(mut self, now: SystemTime) -> (Record, Option<Settlement>) {
        let Generated { text, stop_reason, usage } = self.decoder.so_far();
        self.record.learn(stop_reason.as_ref(), *usage);
        self.record.total_time = now.duration_since(self.started).ok();
        let settlement = self.reservation.map(|it| match self.record.outcome {
            "ok" => it.used(*usage),
            _ => it.used_in_part(*usage, text.len()),
        });
        (self.record, settlement)
    }
}

/// A [`Generation`] and the body that it comes from.
///
/// It reads a piece when an event is wanted and none is left, so a slow client holds Bedrock
/// back. To stop it, drop it: then Bedrock's answer is no longer received.
#[derive(Debug)]
pub struct Streaming<'a, B> {
    /// Bedrock's answer, of which the generation has the beginning.
    pub body: B,
    /// What has been read of it.
    pub generation: Generation<'a>,
}

impl<B: BodyStream> Streaming<'_, B> {
    /// The next event, or `None` after the last.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            if let Some(event) = self.generation.event() {
                return Some(event);
            }
            if self.generation.is_over() {
                return None;
            }
            match self.body.chunk(self.generation.config.stall).await {
                Ok(Some(bytes)) => self.generation.push(&bytes),
                Ok(None) => self.generation.close(),
                Err(error) => self.generation.fail(error),
            }
        }
    }
}

impl<'a, B: BodyStream + 'a> Streaming<'a, B> {
    /// The events as a [`Stream`]. The record is not to be had from it, and no settlement: where
    /// tokens are counted, take [`next`](Self::next) and [`Generation::finish`].
    pub fn into_stream(self) -> impl Stream<Item = StreamEvent> + 'a {
        futures_util::stream::unfold(self, |mut streaming| async {
            let event = streaming.next().await?;
            Some((event, streaming))
        })
    }
}
