//! A streamed reply on its way to the client: the second half of the pipeline for a stream.

use std::time::{Duration, SystemTime};

use futures_util::Stream;

use super::isolate::Isolate;
use crate::api::{Interface, StreamEvent, invoke};
use crate::bedrock::{self, Decoder, Generated, MAX_REPLY_BYTES, Step};
use crate::claude::{INTERVENED, Request};
use crate::config::{Config, Level};
use crate::error::Error;
use crate::host::{BodyStream, Host, ReadError, TransportError};
use crate::limits::{HeldByStream, Reservation, Settlement};
use crate::log::Record;
use crate::sessions::{Abandoned, Turn};

/// A streamed reply whose first frame has arrived: bytes go in, events come out. It keeps the record of the request and
/// its reservation until the end.
pub struct Generation<'a> {
    decoder: Decoder,
    request: Request<'static>,
    interface: &'static dyn Interface,
    config: &'a Config,
    state: &'a bedrock::State,
    record: Record,
    reservation: Option<Reservation>,
    started: SystemTime,
    is_announced: bool,
    /// Whether the client has called InvokeWithResponseStream.
    is_invoked: bool,
    held: Option<HeldByStream>,
    /// The turn of a session, until it is committed.
    turn: Option<Turn>,
    /// The last event, which waits until the turn is committed.
    last: Option<StreamEvent>,
    is_committing: bool,
}

/// A turn whose reply is complete, and what is to be stored of it.
pub(crate) struct CompleteTurn {
    turn: Turn,
    content: Result<String, Error>,
    /// The facts of the call.
    record: Record,
}

impl<'a> Generation<'a> {
    /// Starts with a decoder that has returned [`Step::Start`], for a request that came at `started`.
    pub(super) fn new(
        decoder: Decoder,
        request: Request<'static>,
        interface: &'static dyn Interface,
        (config, isolate): (&'a Config, &'a Isolate),
        mut record: Record,
        reservation: Option<Reservation>,
        started: SystemTime,
    ) -> Self {
        // Until the last event says otherwise.
        record.outcome = "cancelled";
        let kept = request.texts().map(str::len).sum();
        let held = HeldByStream::new(&isolate.memory, kept, request.prompt().len());
        Self {
            decoder,
            request,
            interface,
            config,
            state: isolate.bedrock_state(),
            record,
            reservation,
            started,
            is_announced: false,
            is_invoked: false,
            held: Some(held),
            turn: None,
            last: None,
            is_committing: false,
        }
    }

    /// Adds the turn of a session, which is committed before the last event.
    pub(super) fn with_turn(self, turn: Option<Turn>) -> Self {
        Self { turn, ..self }
    }

    /// Adds a chunk.
    pub fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
    }

    /// Ends the bytes.
    pub fn close(&mut self) {
        self.decoder.close();
    }

    /// Ends the bytes because the network failed, or because nothing came for too long.
    pub fn fail(&mut self, error: TransportError) {
        self.decoder.fail(ReadError::from(error).into());
    }

    /// Returns the next event, or `None` until more has arrived, while the turn of a session is to be committed, and after the
    /// last.
    pub fn event(&mut self) -> Option<StreamEvent> {
        if !std::mem::replace(&mut self.is_announced, true) {
            return Some(StreamEvent::Start {
                request_id: self.record.request_id.clone(),
                model: self.record.model.clone().unwrap_or_default(),
                session: self.record.session_id.clone(),
                dropped_turns: self.record.dropped_turns,
            });
        }
        if self.last.is_some() {
            return if self.is_waiting() { None } else { self.last.take() };
        }
        self.limit();
        Some(match self.decoder.step()? {
            // The first step, which is announced already.
            Step::Start => return self.event(),
            Step::Text(text) => StreamEvent::Delta { text },
            Step::Event(event) => StreamEvent::Passed(event),
            Step::Done(generated) => {
                let done = StreamEvent::Done {
                    input_prompt: self.request.prompt().to_owned(),
                    generated_text: generated.text,
                    stop_reason: generated.stop_reason,
                    usage: generated.usage,
                    guardrail_action: generated.guardrail_intervened.then_some(INTERVENED),
                };
                if self.turn.is_some() {
                    self.last = Some(done);
                    return None;
                }
                self.record.outcome = "ok";
                done
            }
            Step::Failed(error) => {
                let error = error.into_public(self.request.max_tokens, self.config, self.state);
                let event = StreamEvent::from(&error);
                self.record.fail(error.code, error.cause);
                self.record.level = Level::Error;
                event
            }
        })
    }

    /// Reports whether the reply is of a session.
    #[cfg(feature = "workerd")]
    pub(crate) fn is_of_session(&self) -> bool {
        self.turn.is_some()
    }

    /// Reports whether the turn of a session is to be committed, or that is under way.
    pub(crate) fn is_waiting(&self) -> bool {
        self.last.is_some() && (self.turn.is_some() || self.is_committing)
    }

    /// Takes the turn of a session whose reply is complete. The last event waits for [`committed`](Self::committed).
    pub(crate) fn complete_turn(&mut self) -> Option<CompleteTurn> {
        self.last.as_ref()?;
        let turn = self.turn.take()?;
        self.is_committing = true;
        let content = self.decoder.take_content().into_json();
        let content = content.map_err(|error| {
            bedrock::InvokeError::from(error).into_public(
                self.request.max_tokens,
                self.config,
                self.state,
            )
        });
        let mut record = self.record.clone();
        let Generated { stop_reason, usage, .. } = self.decoder.so_far();
        record.learn(stop_reason.as_ref(), *usage);
        Some(CompleteTurn { turn, content, record })
    }

    /// Ends the wait of the last event. If the turn is not stored, the event is an error: the caller must know what the session
    /// remembers.
    pub(crate) fn committed(&mut self, result: Result<(), Error>) {
        self.is_committing = false;
        match result {
            Ok(()) => self.record.outcome = "ok",
            Err(error) => {
                self.last = Some(StreamEvent::from(&error));
                self.record.fail(error.code, error.cause);
                self.record.level = Level::Error;
            }
        }
    }

    /// Encodes the events from now on as InvokeWithResponseStream returns them.
    pub(super) fn invoke(&mut self) {
        self.is_invoked = true;
    }

    /// Ends a stream whose text is too long, or for which there is no memory.
    fn limit(&mut self) {
        let text = self.decoder.kept();
        let problem = if text > MAX_REPLY_BYTES {
            ReadError::TooLong
        } else if self.held.as_mut().is_some_and(|held| !held.grow(text)) {
            ReadError::Overloaded
        } else {
            return;
        };
        if !self.decoder.has_ended() {
            self.decoder.abort(problem.into());
        }
    }

    /// Appends an event in the format of the request's interface.
    pub fn encode(&self, event: &StreamEvent, out: &mut Vec<u8>) {
        if !self.is_invoked {
            return self.interface.encode_event(event, &self.record, out);
        }
        let mut payload = Vec::new();
        self.interface.encode_event(event, &self.record, &mut payload);
        invoke::encode_chunk(&payload, out);
        match event {
            StreamEvent::Error { code, message, .. } => {
                invoke::encode_complete(Some((code.as_str(), message)), out);
            }
            event if event.is_last() => invoke::encode_complete(None, out),
            _ => {}
        }
    }

    /// Returns the number of frames so far.
    pub fn frames(&self) -> u64 {
        self.decoder.frames()
    }

    /// Returns the configuration of the request.
    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// Returns how long the stream may be silent after its first frame.
    pub fn stall(&self) -> Duration {
        self.interface.stall(self.config)
    }

    /// Returns what keeps the connection alive while Bedrock is silent. Empty: nothing does.
    pub fn keep_alive(&self) -> &'static str {
        if self.is_invoked { "" } else { self.interface.keep_alive() }
    }

    /// Reports whether there will be no further event.
    pub fn is_over(&self) -> bool {
        self.is_announced && self.decoder.is_over() && self.last.is_none()
    }

    /// Takes the memory that the stream holds. Otherwise it is given back when the stream has ended, whether or not the client
    /// has received what was encoded.
    #[cfg(feature = "workerd")]
    pub(crate) fn take_memory(&mut self) -> Option<HeldByStream> {
        self.held.take()
    }

    /// Returns the record, and what is to be sent if tokens are counted or the turn of a session was not committed. Before the
    /// last event the record says that the client disconnected.
    pub fn finish(mut self, now: SystemTime) -> (Record, Option<Remainder>) {
        let received = self.decoder.received();
        let Generated { stop_reason, usage, guardrail_intervened, .. } = self.decoder.so_far();
        self.record.learn(stop_reason.as_ref(), *usage);
        self.record.guardrail_intervened = *guardrail_intervened;
        self.record.total_time = now.duration_since(self.started).ok();
        let is_counted = self.record.outcome == "ok" || self.decoder.has_final_usage();
        let settlement = self.reservation.map(|it| match is_counted {
            true => it.used(*usage),
            false => it.used_in_part(*usage, received),
        });
        let abandoned = self.turn.map(Turn::abandon);
        let is_needed = settlement.is_some() || abandoned.is_some();
        (self.record, is_needed.then_some(Remainder { settlement, abandoned }))
    }
}

impl CompleteTurn {
    /// Commits the turn.
    pub(crate) async fn commit<H: Host>(self, config: &Config, host: &H) -> Result<(), Error> {
        match self.content {
            Ok(content) => self.turn.commit(&content, &self.record, config, host).await,
            Err(error) => {
                let _ = self.turn.abandon().send(host).await;
                Err(error)
            }
        }
    }
}

/// The messages that are left to be sent when a stream has ended: the settlement of its reservation, and the lease of its
/// session. Without them both expire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Remainder {
    pub(crate) settlement: Option<Settlement>,
    pub(crate) abandoned: Option<Abandoned>,
}

impl Remainder {
    /// Sends the messages. Returns the failure, for the log.
    ///
    /// # Errors
    ///
    /// If the ledger or the store of sessions cannot be reached.
    pub async fn send<H: Host>(self, host: &H) -> Result<(), String> {
        let given_back = match self.abandoned {
            Some(abandoned) => abandoned.send(host).await,
            None => Ok(()),
        };
        match self.settlement {
            Some(settlement) => settlement.send(host).await.and(given_back),
            None => given_back,
        }
    }
}

impl std::fmt::Debug for Generation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").field("record", &self.record).finish_non_exhaustive()
    }
}

/// A [`Generation`] and the body that it is decoded from.
///
/// It reads a chunk when an event is wanted and none is left, so that a slow client slows Bedrock down. Dropping it stops
/// the transfer.
#[derive(Debug)]
pub struct Streaming<'a, B> {
    /// The rest of Bedrock's response.
    pub body: B,
    /// The reply, which has the beginning of the response.
    pub generation: Generation<'a>,
}

impl<B: BodyStream> Streaming<'_, B> {
    /// Returns the next event, or `None` after the last. Before the last one it stores the turn of a session.
    pub async fn next<H: Host>(&mut self, host: &H) -> Option<StreamEvent> {
        loop {
            if let Some(event) = self.generation.event() {
                return Some(event);
            }
            if self.generation.is_over() {
                return None;
            }
            if let Some(turn) = self.generation.complete_turn() {
                let committed = turn.commit(self.generation.config, host).await;
                self.generation.committed(committed);
                continue;
            }
            match self.body.chunk(self.generation.stall()).await {
                Ok(Some(bytes)) => self.generation.push(&bytes),
                Ok(None) => self.generation.close(),
                Err(error) => self.generation.fail(error),
            }
        }
    }
}

impl<'a, B: BodyStream + 'a> Streaming<'a, B> {
    /// Returns the events as a [`Stream`], without the record and what is left to be sent: if tokens are counted or there are
    /// sessions, use [`next`](Self::next) and [`Generation::finish`].
    pub fn into_stream<H: Host>(self, host: &'a H) -> impl Stream<Item = StreamEvent> + 'a {
        futures_util::stream::unfold(self, move |mut streaming| async move {
            let event = streaming.next(host).await?;
            Some((event, streaming))
        })
    }
}
