//! The handlers: what a platform calls for a request, an event, and a message.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::admission::{Admission, Entered, upgrade_required};
use super::content::prefers_events;
use super::exchange::Exchange;
use super::generation::Streaming;
use super::isolate::Isolate;
use super::passing::{Passed, Passing};
use super::reply::{Replied, Streams};
#[cfg(any(feature = "entry", test))]
use super::routes::RPC;
use super::routes::Route;
use super::socket::WebSocket;
use crate::api::invoke::{self, InvocationType};
use crate::api::{Envelope, LambdaBody};
use crate::auth::Session;
use crate::error::{Code, Error};
use crate::host::{Body, Host, IncomingRequest, RequestBody};
use crate::log::Record;
use crate::outlined::outlined;

/// Handles one event as a Lambda: an event in, an envelope and the record of the request out.
///
/// It never fails: an error is an envelope too. The reply is never streamed.
///
/// ```
/// use bedrock_edge::{Host, IncomingRequest, Isolate, lambda_handler};
///
/// /// Returns what a Lambda returns for its event. The isolate is made once, at the start.
/// async fn handle(event: &[u8], isolate: &Isolate, host: &impl Host) -> serde_json::Result<String> {
///     let request = IncomingRequest::from_lambda(event);
///     let (envelope, record) = lambda_handler(request, isolate, host).await;
///     if let Some(line) = record.line(isolate.config().ok()) {
///         println!("{line}");
///     }
///     serde_json::to_string(&envelope)
/// }
/// ```
pub async fn lambda_handler<H: Host, B: Body>(
    event: IncomingRequest<B>,
    isolate: &Isolate,
    host: &H,
) -> (Envelope, Record) {
    whole(event.map_body(RequestBody::Pending), None, isolate, host).await
}

/// A response: complete, or on its way.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // It is made once for each request, and moved once or twice.
pub enum Handled<'a, B> {
    /// The response, and the record of the request.
    Whole(Envelope, Record),
    /// The head of a response whose body is a stream of events. The record comes at its end.
    Stream(Envelope, Streaming<'a, B>),
    /// The head of a response of Bedrock's that is passed on as it came. The record comes at its end.
    Passed(Envelope, Passing<'a, B>),
    /// The request may open a WebSocket. The record is of its opening.
    WebSocket(WebSocket<'a>, Record),
    /// The response to an asynchronous invocation, and what is to be run after it.
    Accepted(Envelope, Accepted<'a>),
}

impl<'a, B> From<Replied<'a, B>> for Handled<'a, B> {
    fn from(replied: Replied<'a, B>) -> Self {
        match replied {
            Replied::Whole(envelope, record) => Self::Whole(envelope, record),
            Replied::Stream(envelope, streaming) => Self::Stream(envelope, streaming),
        }
    }
}

/// Handles an HTTP request to any route, or a Lambda event where the platform can stream.
///
/// A reply is streamed if the caller asks for it, by `"stream": true` or `Accept: text/event-stream`. A failure before the
/// first frame of Bedrock's response has the same status as without streaming.
///
/// ```
/// use bedrock_edge::{Body, Handled, Host, IncomingRequest, Isolate, handle};
///
/// /// Writes a response to standard output, as a server would to its client.
/// async fn print<H: Host>(request: IncomingRequest<impl Body>, isolate: &Isolate, host: &H) {
///     let record = match handle(request, isolate, host).await {
///         Handled::Whole(envelope, record) => {
///             println!("{} {}", envelope.status_code, envelope.body);
///             record
///         }
///         Handled::Stream(_, mut streaming) => {
///             while let Some(event) = streaming.next(host).await {
///                 let mut sse = Vec::new();
///                 event.write_sse(&mut sse);
///                 print!("{}", String::from_utf8_lossy(&sse));
///             }
///             let (record, remainder) = streaming.generation.finish(host.now());
///             if let Some(remainder) = remainder {
///                 let _ = remainder.send(host).await;
///             }
///             record
///         }
///         Handled::Passed(_, mut passing) => {
///             while let Ok(Some(bytes)) = passing.next().await {
///                 println!("{} bytes", bytes.len());
///             }
///             let (record, settlement) = passing.passage.finish(host.now());
///             if let Some(settlement) = settlement {
///                 let _ = settlement.send(host).await;
///             }
///             record
///         }
///         // A server would respond first.
///         Handled::Accepted(_, accepted) => accepted.run(host).await.1,
///         Handled::WebSocket(..) => return println!("this platform has no WebSockets"),
///     };
///     eprintln!("{}", record.line(isolate.config().ok()).unwrap_or_default());
/// }
/// ```
pub async fn handle<'a, H: Host, B: Body>(
    request: IncomingRequest<B>,
    isolate: &'a Isolate,
    host: &H,
) -> Handled<'a, H::Body> {
    handle_for(None, request, isolate, host).await
}

/// Handles an HTTP request like [`handle`]. A session is of a client that the platform has authenticated.
pub(crate) async fn handle_for<'a, H: Host, B: Body>(
    session: Option<Session>,
    request: IncomingRequest<B>,
    isolate: &'a Isolate,
    host: &H,
) -> Handled<'a, H::Body> {
    let mut exchange = Exchange::new(&request, isolate, host);
    let admission =
        session.map(|session| Admission { is_from_client: true, ..Admission::new(session) });
    match exchange.enter(request.map_body(RequestBody::Pending), admission, None).await {
        Ok(Entered::Reply { config, interface, headers, body }) => {
            let streams = Streams::IfAsked { by_header: prefers_events(&headers) };
            exchange.reply(config, interface, &headers, body, streams).await.into()
        }
        Ok(Entered::TokenCount { config, headers, body }) => {
            let (envelope, record) = outlined(exchange.count(config, &headers, body)).await;
            Handled::Whole(envelope, record)
        }
        Ok(Entered::Operation { config, path, headers, body }) => {
            match outlined(exchange.pass(config, &path, &headers, body)).await {
                Passed::Response(envelope, passing) => Handled::Passed(envelope, passing),
                Passed::Whole(envelope, record) => Handled::Whole(envelope, record),
            }
        }
        Ok(Entered::Invocation { headers, payload, is_streaming }) => {
            outlined(invocation(exchange, &headers, payload, is_streaming, isolate, host)).await
        }
        Ok(Entered::WebSocket { config, session, headers }) => {
            let (_, record) = exchange.finish(Envelope::empty(101));
            Handled::WebSocket(WebSocket::new(isolate, config, session, &headers), record)
        }
        Err(ended) => {
            let (envelope, record) = exchange.end(ended);
            Handled::Whole(envelope, record)
        }
    }
}

/// Handles a call of a method, by a caller whom the binding or the embedding program names.
#[cfg(any(feature = "entry", test))]
pub(crate) async fn rpc_handler<'a, H: Host, B: Body>(
    body: B,
    session: Session,
    isolate: &'a Isolate,
    host: &H,
) -> Handled<'a, H::Body> {
    let body = RequestBody::Pending(body);
    let request = IncomingRequest::from_http(http::Method::POST, "/", HeaderMap::new(), body);
    let streams = Streams::IfAsked { by_header: false };
    reply(request, Some(Admission::new(session)), Some(&RPC), streams, isolate, host).await.into()
}

/// Handles a request whose response is one value.
async fn whole<H: Host, B: Body>(
    request: IncomingRequest<RequestBody<B>>,
    admission: Option<Admission>,
    isolate: &Isolate,
    host: &H,
) -> (Envelope, Record) {
    match reply(request, admission, None, Streams::Never, isolate, host).await {
        Replied::Whole(envelope, record) => (envelope, record),
        Replied::Stream(envelope, streaming) => {
            (envelope, streaming.generation.finish(host.now()).0)
        }
    }
}

/// Handles a request for a reply of the model.
async fn reply<'a, H: Host, B: Body>(
    request: IncomingRequest<RequestBody<B>>,
    admission: Option<Admission>,
    route: Option<&'static Route>,
    streams: Streams,
    isolate: &'a Isolate,
    host: &H,
) -> Replied<'a, H::Body> {
    let mut exchange = Exchange::new(&request, isolate, host);
    let ended = match exchange.enter(request, admission, route).await {
        Ok(Entered::Reply { config, interface, headers, body }) => {
            return exchange.reply(config, interface, &headers, body, streams).await;
        }
        Ok(Entered::WebSocket { .. }) => upgrade_required().into(),
        Ok(Entered::TokenCount { .. } | Entered::Invocation { .. } | Entered::Operation { .. }) => {
            Error::new(Code::NotFound, "this is not served here").into()
        }
        Err(ended) => ended,
    };
    let (envelope, record) = exchange.end(ended);
    Replied::Whole(envelope, record)
}

/// Handles an invocation through Lambda's API: the payload is an event, and the response contains what
/// [`lambda_handler`] returns for it.
async fn invocation<'a, H: Host>(
    exchange: Exchange<'_, '_, H>,
    headers: &HeaderMap,
    payload: Bytes,
    is_streaming: bool,
    isolate: &'a Isolate,
    host: &H,
) -> Handled<'a, H::Body> {
    let kind = InvocationType::from_headers(headers, is_streaming);
    let kind = kind.and_then(|kind| invoke::check_payload(&payload).map(|()| kind));
    let kind = match kind {
        Ok(kind) => kind,
        Err(error) => {
            let (envelope, record) = exchange.end(error.into());
            return Handled::Whole(envelope, record);
        }
    };
    let mut event = IncomingRequest::from_lambda(&payload);
    // The payload is the caller's own, and must not choose the id of the request.
    let event_request_id = event.request_id.replace(exchange.record.request_id.clone());
    // The caller was authenticated and counted as the caller of the invocation.
    let session = Session { caller: exchange.record.caller.clone(), expires: None };
    let admission = Admission { is_counted: true, event_request_id, ..Admission::new(session) };
    match kind {
        InvocationType::RequestResponse if is_streaming => {
            // Whoever calls this operation wants a stream, unless the event says otherwise.
            let streams = Streams::IfAsked { by_header: true };
            let event = event.map_body(RequestBody::<H::Body>::from);
            match reply(event, Some(admission), None, streams, isolate, host).await {
                Replied::Whole(envelope, record) => {
                    let (envelope, _) = exchange.finish(invoke::streamed_whole(&envelope));
                    Handled::Whole(envelope, record)
                }
                Replied::Stream(_, mut streaming) => {
                    streaming.generation.invoke();
                    Handled::Stream(exchange.finish(invoke::stream_head()).0, streaming)
                }
            }
        }
        InvocationType::RequestResponse => {
            let (envelope, record) = Accepted { isolate, event, admission }.run(host).await;
            Handled::Whole(invoke::returned(&envelope, &record), record)
        }
        InvocationType::Event => {
            let (envelope, _) = exchange.finish(invoke::accepted(kind));
            Handled::Accepted(envelope, Accepted { isolate, event, admission })
        }
        InvocationType::DryRun => {
            let (envelope, record) = exchange.finish(invoke::accepted(kind));
            Handled::Whole(envelope, record)
        }
    }
}

/// An asynchronous invocation, which is to be run after its response.
pub struct Accepted<'a> {
    isolate: &'a Isolate,
    event: IncomingRequest<LambdaBody>,
    admission: Admission,
}

impl Accepted<'_> {
    /// Limits the time that the invocation takes, if that is less than `BEDROCK_TIMEOUT_MS`: a platform may end what runs
    /// after a response without a word, and then nothing is settled and nothing logged.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.admission.longest = time;
        self
    }

    /// Runs the invocation. Its envelope has no reader; its record is to be logged.
    pub async fn run<H: Host>(self, host: &H) -> (Envelope, Record) {
        // A type of body that a Worker's requests have too, so that the pipeline is compiled once.
        let event = self.event.map_body(RequestBody::<H::Body>::from);
        whole(event, Some(self.admission), self.isolate, host).await
    }
}

impl fmt::Debug for Accepted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").finish_non_exhaustive()
    }
}
