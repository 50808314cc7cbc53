//! A request for a reply of the model: steps 6 to 9. Those of a stream end in [`generation`](super::generation).

use bytes::Bytes;
use http::HeaderMap;

use super::exchange::Exchange;
use super::generation::{Generation, Streaming};
use super::response::event_stream;
use crate::api::{Context, Envelope, Interface};
use crate::bedrock::{invoke_bedrock, invoke_bedrock_with_response_stream};
use crate::config::Config;
use crate::host::Host;
use crate::limits;
use crate::lock::lock;
use crate::log::Record;
use crate::outlined::outlined;
use crate::sessions::{self, Carried};

/// The result of a request for a reply.
#[allow(clippy::large_enum_variant)] // It is made once for each request, and moved once or twice.
pub(super) enum Replied<'a, B> {
    Whole(Envelope, Record),
    Stream(Envelope, Streaming<'a, B>),
}

/// The choice between a whole and a streamed reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    /// Always: over a WebSocket.
    Always,
    /// If the body asks for it or, where the body does not say, a header, as here.
    IfAsked { by_header: bool },
    /// Never: a Lambda and an invocation return one value.
    Never,
}

impl Streams {
    fn is_wanted(self, by_body: Option<bool>) -> bool {
        match self {
            Self::Always => true,
            Self::IfAsked { by_header } => by_body.unwrap_or(by_header),
            Self::Never => false,
        }
    }
}

impl<'a, H: Host> Exchange<'a, '_, H> {
    /// Steps 6 to 9: parses a body, reserves, calls Bedrock, renders, and settles. The settlement of a stream follows
    /// when it ends.
    pub(super) async fn reply(
        mut self,
        config: &'a Config,
        interface: &'static dyn Interface,
        headers: &HeaderMap,
        mut body: Bytes,
        streams: Streams,
    ) -> Replied<'a, H::Body> {
        // 6. The body is parsed.
        let context = Context { headers, config, state: self.isolate.bedrock_state() };
        let mut request = match interface.parse(&mut body, &context, &mut self.record) {
            Ok(request) => request,
            Err(error) => {
                let envelope = self.fail("", error);
                return self.whole(envelope);
            }
        };
        // Its session is leased, and the earlier turns are put in front.
        let mut turn = None;
        let carries = |it: &Carried| lock(it).is_some();
        if request.session.is_some() || self.carried.as_ref().is_some_and(carries) {
            let carried = self.carried.as_ref();
            let (memory, record) = (&self.isolate.memory, &mut self.record);
            let begun = sessions::begin(&mut request, carried, config, memory, record, self.host);
            turn = match outlined(begun).await {
                Ok(turn) => turn,
                Err(error) => {
                    let envelope = self.fail(request.prompt(), error);
                    return self.whole(envelope);
                }
            };
        }
        // 7. The tokens are reserved.
        let caller = self.record.caller.as_ref();
        let reservation = match limits::reserve(&request, caller, config, self.host).await {
            Ok(reservation) => reservation,
            Err(error) => {
                self.abandon(turn).await;
                let envelope = self.fail(request.prompt(), error);
                return self.whole(envelope);
            }
        };
        // 8. Bedrock is called.
        let deadline = self.deadline(interface.timeout(config));
        let bedrock = self.isolate.bedrock_until(deadline, config, self.host);
        let bedrock = bedrock.with_reservation(reservation);
        let result = if streams.is_wanted(request.stream) {
            match invoke_bedrock_with_response_stream(&request, &bedrock, &mut self.record).await {
                Ok((body, decoder)) => {
                    let reservation = bedrock.take_reservation();
                    let (mut request, started) = (request.into_owned(), self.started);
                    // It is sent, and may be long.
                    request.translated = None;
                    if let Some(turn) = &mut turn {
                        request.messages.forget_earlier();
                        turn.forget_earlier();
                    }
                    let isolate = self.isolate;
                    let (envelope, record) = self.finish(event_stream());
                    let generation = Generation::new(
                        decoder,
                        request,
                        interface,
                        (config, isolate),
                        record,
                        reservation,
                        started,
                    )
                    .with_turn(turn);
                    return Replied::Stream(envelope, Streaming { body, generation });
                }
                Err(error) => Err(error),
            }
        } else {
            invoke_bedrock(&request, &bedrock, &mut self.record).await
        };
        // 9. The reservation is settled, and the reply is rendered.
        limits::settle(bedrock.take_reservation(), &mut self.record, self.host).await;
        let result = match (result, turn) {
            (Ok(reply), Some(turn)) => {
                let committed = turn.commit(reply.content(), &self.record, config, self.host);
                outlined(committed).await.map(|()| reply)
            }
            (result, turn) => {
                self.abandon(turn).await;
                result
            }
        };
        let envelope = match result {
            Ok(reply) => interface.render_reply(&request, &reply, &self.record),
            Err(error) => self.fail(request.prompt(), error),
        };
        self.whole(envelope)
    }

    /// Gives the lease of a session back. Another request gets it without waiting for its end.
    async fn abandon(&mut self, turn: Option<sessions::Turn>) {
        let Some(turn) = turn else { return };
        if let Err(cause) = outlined(turn.abandon().send(self.host)).await {
            self.record.error.get_or_insert_with(|| cause.into());
        }
    }

    fn whole<B>(self, envelope: Envelope) -> Replied<'a, B> {
        let (envelope, record) = self.finish(envelope);
        Replied::Whole(envelope, record)
    }
}
