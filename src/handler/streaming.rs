//! The function in a place that can stream.

use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT;

use super::{Call, Upgrade, admit, failure, generate, unreadable};
use crate::config::{Config, ConfigError};
use crate::deadline::Deadline;
use crate::envelope::Envelope;
use crate::error::Error;
use crate::event::Event;
use crate::host::{Body, Host};
use crate::invoke::invoke_bedrock_with_response_stream;
use crate::limits::{self, Reservation};
use crate::log::{Record, Token};
use crate::request::Request;
use crate::stream::{Decoder, Generation, StreamEvent, Streaming};

/// An answer: whole, or on its way.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // An answer is made once a request, and moved once or twice.
pub enum Answer<'a, B> {
    /// The envelope, and the request's line for the log.
    Whole(Envelope, Record),
    /// An envelope without a body, in the place of which the events go. The line comes with their
    /// end.
    Stream(Envelope, Streaming<'a, B>),
}

/// As [`lambda_handler`](super::lambda_handler), but a caller who asks for it, by `"stream": true`
/// or `Accept: text/event-stream`, is answered in events.
///
/// What goes wrong before the first frame of Bedrock's answer is an envelope with the same status
/// as without streaming.
///
/// ```
/// use bedrock_edge::{Answer, Body, Config, ConfigError, Event, Host, streaming_handler};
///
/// /// Writes an answer to standard output, as a server would to its client.
/// async fn print<H: Host>(
///     event: Event<impl Body>,
///     config: &Result<Config, ConfigError>,
///     host: &H,
/// ) {
///     let record = match streaming_handler(event, config, host).await {
///         Answer::Whole(envelope, record) => {
///             println!("{} {}", envelope.status_code, envelope.body);
///             record
///         }
///         Answer::Stream(_, mut streaming) => {
///             while let Some(event) = streaming.next().await {
///                 let mut sse = Vec::new();
///                 event.write_sse(&mut sse);
///                 print!("{}", String::from_utf8_lossy(&sse));
///             }
///             let (record, settlement) = streaming.generation.finish(host.now());
///             if let Some(settlement) = settlement {
///                 let _ = host.settle(settlement).await;
///             }
///             record
///         }
///     };
///     eprintln!("{}", record.line(config.as_ref().ok()).unwrap_or_default());
/// }
/// ```
pub async fn streaming_handler<'a, H: Host, B: Body>(
    event: Event<B>,
    config: &'a Result<Config, ConfigError>,
    host: &H,
) -> Answer<'a, H::Body> {
    answer(event, config, host, true).await
}

/// The same, for a caller who may not be answered in events too.
pub(crate) async fn answer<'a, H: Host, B: Body>(
    event: Event<B>,
    config: &'a Result<Config, ConfigError>,
    host: &H,
    may_stream: bool,
) -> Answer<'a, H::Body> {
    let mut call = Call::new(&event, config.as_ref().ok(), host);
    let accepts_events = accepts_events(&event.headers);
    let envelope = match admit(event, config, host, &mut call).await {
        Ok((config, body)) => match Request::parse(&body, config) {
            Ok(request) if may_stream && (accepts_events || request.stream) => {
                let (deadline, record) = (call.deadline(config), &mut call.record);
                match open(&request, config, deadline, host, record).await {
                    Ok((body, decoder, reservation)) => {
                        let (request, started) = (request.into_owned(), call.started);
                        let (envelope, record) = call.finish(event_stream(), host);
                        let generation =
                            Generation::new(decoder, request, config, record, reservation, started);
                        return Answer::Stream(envelope, Streaming { body, generation });
                    }
                    Err(error) => failure(&request.prompt, error, record),
                }
            }
            Ok(request) => generate(&request, config, host, &mut call).await,
            Err(error) => failure("", error, &mut call.record),
        },
        Err(envelope) => envelope,
    };
    let (envelope, record) = call.finish(envelope, host);
    Answer::Whole(envelope, record)
}

/// Reserves what the request may use, and begins the call. What ends here is settled here.
async fn open<H: Host>(
    request: &Request<'_>,
    config: &Config,
    deadline: Deadline,
    host: &H,
    record: &mut Record,
) -> Result<(H::Body, Decoder, Option<Reservation>), Error> {
    let reservation = limits::reserve(request, record.caller.as_ref(), config, host).await?;
    match invoke_bedrock_with_response_stream(request, config, deadline, host, record).await {
        Ok((body, decoder)) => {
            let reservation = reservation.map(|it| it.after(record.billed_before));
            Ok((body, decoder, reservation))
        }
        Err(error) => {
            limits::settle(reservation, record, host).await;
            Err(error)
        }
    }
}

/// One prompt of a WebSocket: the message is the body of a request, the answer comes in events.
///
/// ```
/// use bedrock_edge::{Host, Upgrade, socket_handler};
///
/// /// The messages that answer one.
/// async fn answers(message: bytes::Bytes, upgrade: &Upgrade<'_>, host: &impl Host) -> Vec<String> {
///     let (mut streaming, mut messages) = match socket_handler(message, upgrade, host).await {
///         Ok(streaming) => (streaming, Vec::new()),
///         Err((event, _record)) => return vec![event.to_message()],
///     };
///     while let Some(event) = streaming.next().await {
///         messages.push(event.to_message());
///     }
///     messages
/// }
/// ```
///
/// # Errors
///
/// What goes wrong before the first frame of Bedrock's answer: the only event, and the line for
/// the log.
pub async fn socket_handler<'a, H: Host>(
    message: Bytes,
    upgrade: &Upgrade<'a>,
    host: &H,
) -> Result<Streaming<'a, H::Body>, (StreamEvent, Record)> {
    let Upgrade { config, session, address, .. } = upgrade;
    let started = host.now();
    let mut record = Record::new(Token::random(host.random()));
    record.configure(config);
    record.caller.clone_from(&session.caller);
    let result: Result<_, Error> = async {
        session.check(started)?;
        limits::admit(session.caller.as_ref(), || address.clone(), config, host).await?;
        let limit = config.max_body_bytes;
        let deadline = Deadline::new(started, config.timeout);
        let body =
            message.read(limit, config.timeout).await.map_err(|error| unreadable(error, limit))?;
        let request = Request::parse(&body, config)?;
        let opened = open(&request, config, deadline, host, &mut record).await?;
        Ok((request.into_owned(), opened))
    }
    .await;
    match result {
        Ok((request, (body, decoder, reservation))) => {
            let generation =
                Generation::new(decoder, request, config, record, reservation, started);
            Ok(Streaming { body, generation })
        }
        Err(error) => {
            let event = StreamEvent::from(&error);
            record.set_status(error.code.status().as_u16());
            record.fail(error.code, error.cause);
            record.total_time = host.now().duration_since(started).ok();
            Err((event, record))
        }
    }
}

/// The envelope of an answer in events.
fn event_stream() -> Envelope {
    Envelope {
        status_code: 200,
        headers: vec![
            ("Content-Type", "text/event-stream; charset=utf-8".to_owned()),
            // Not transformed, because what compresses an answer holds events back.
            ("cache-control", "no-store, no-transform".to_owned()),
        ],
        body: String::new(),
        is_base64_encoded: false,
    }
}

/// As an EventSource asks for them.
fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_events = parts.next().is_some_and(|it| it.eq_ignore_ascii_case("text/event-stream"));
        // `q=0` refuses it.
        is_events
            && !parts.any(|it| {
                it.strip_prefix("q=0")
                    .is_some_and(|rest| rest.bytes().all(|it| b".0".contains(&it)))
            })
    })
}
#[cfg(test)]
mod tests;
