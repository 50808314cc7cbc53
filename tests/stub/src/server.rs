//! The HTTP server, which records each request and routes it to an operation.
//!
//! Out of scope: TLS, HTTP/2.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use futures_util::StreamExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

use crate::auth::AccessKey;
use crate::cache::PromptCache;
use crate::error::AwsError;
use crate::faults;
use crate::messages::MAX_BODY;
use crate::operations::{
    apply_guardrail, converse, converse_stream, count_tokens, foundation_model, foundation_models,
    inference_profile, inference_profiles, invoke_model, invoke_model_with_stream, native,
};
use crate::reply::INPUT_TOKEN_COUNT;
use crate::sigv4::Received;
use crate::stream::{Counters, StreamCounts};
use crate::sts::{self, Sts, StsFault};

/// The send buffer of a connection, in bytes. The kernel's default is megabytes. With this, a
/// stream soon waits for a client that does not read, and the number of frames sent is close to
/// that of frames received. A buffer below a loopback packet (64 KiB) is slow, because each write
/// then waits for a delayed acknowledgement.
const SEND_BUFFER: u32 = 64 * 1024;

/// The number of connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const INVOCATION_LATENCY: HeaderName = HeaderName::from_static("x-amzn-bedrock-invocation-latency");

/// The settings of a stand-in. They have no `Debug`, because they contain keys.
#[derive(Clone)]
pub struct Settings {
    /// The port on 127.0.0.1, or 0 for any free port.
    pub port: u16,
    /// The region that a credential scope must have, unless the path names another one.
    pub region: String,
    /// The keys that may sign requests to Bedrock.
    pub keys: Vec<AccessKey>,
    /// The accepted Bedrock API keys (`Authorization: Bearer …`).
    pub api_keys: Vec<String>,
    /// Whether requests are kept for [`Stub::requests`]. They are never discarded.
    pub record: bool,
    /// Whether responses are kept for [`Stub::responses`]. They are never discarded.
    pub record_responses: bool,
    /// Whether a line is printed for each request: status, model, fault, and the time until the
    /// response began. It never contains a prompt.
    pub log: bool,
    /// The keys that may sign requests to STS.
    pub sts_keys: Vec<AccessKey>,
    /// The delay of a response of STS.
    pub sts_delay: Duration,
    /// The lifetime of the keys that STS issues.
    pub sts_lifetime: Duration,
    /// The delay before each frame of a stream. A prompt can override it
    /// (`fault:pace:MILLISECONDS`).
    pub frame_delay: Duration,
}

impl Default for Settings {
    /// Returns settings with any free port, ap-northeast-1, the example key of AWS's documentation,
    /// no API key, and no delays. Requests are recorded and not logged.
    fn default() -> Self {
        Self {
            port: 0,
            region: "ap-northeast-1".to_owned(),
            keys: vec![AccessKey::example()],
            api_keys: Vec::new(),
            record: true,
            record_responses: false,
            log: false,
            sts_keys: vec![AccessKey::example()],
            sts_delay: Duration::ZERO,
            sts_lifetime: sts::LIFETIME,
            frame_delay: Duration::ZERO,
        }
    }
}

/// A running stand-in. When it is dropped, it accepts no more connections, and closes each open one
/// after the current response. A stream ends only when its client disconnects or it is complete.
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The server shuts down when this is dropped.
    _shutdown: oneshot::Sender<()>,
}

/// A response as it was passed to the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The HTTP status.
    pub status: u16,
    /// The headers, without those that the HTTP server adds.
    pub headers: Vec<(String, String)>,
    /// The body so far.
    pub body: Vec<u8>,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    requests: Mutex<Vec<Received>>,
    sent: Mutex<Vec<Arc<Mutex<Sent>>>>,
    responses: AtomicU64,
    pub(crate) streams: Arc<Counters>,
    abandoned: Arc<AtomicU64>,
    pub(crate) sts: Sts,
    pub(crate) cache: PromptCache,
    /// The number of calls with each prompt whose fault is limited to the first calls.
    fault_counts: Mutex<HashMap<String, u32>>,
}

/// Counts a request as abandoned when it is dropped. hyper drops it if the client disconnects
/// before the response begins, or during a body that never ends.
struct AbandonedGuard(Option<Arc<AtomicU64>>);

impl Drop for AbandonedGuard {
    fn drop(&mut self) {
        if let Some(count) = self.0.take() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The fields of the log that only the handler of the request knows.
#[derive(Clone)]
pub(crate) struct LogFields {
    pub(crate) model_id: String,
    pub(crate) fault: Option<&'static str>,
}

impl LogFields {
    /// Converts the result of a handler to a response that carries these fields to the log.
    pub(crate) fn attach_to(self, result: Result<Response, AwsError>) -> Response {
        let mut response = result.unwrap_or_else(IntoResponse::into_response);
        response.extensions_mut().insert(self);
        response
    }
}

impl Stub {
    /// Starts a stand-in on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// The error of binding the port, such as `AddrInUse`.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = listen(settings.port)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            settings,
            requests: Mutex::default(),
            sent: Mutex::default(),
            responses: AtomicU64::new(0),
            streams: Arc::default(),
            abandoned: Arc::default(),
            sts: Sts::default(),
            cache: PromptCache::default(),
            fault_counts: Mutex::default(),
        });
        let app = Router::new()
            .route("/sts/", post(assume_role))
            .merge(operations())
            // Calls of another region than that of the settings.
            .nest("/{region}", operations())
            .fallback(async || unknown_operation())
            .method_not_allowed_fallback(async || unknown_operation())
            .layer(middleware::from_fn_with_state(shared.clone(), receive))
            .with_state(shared.clone());
        // With Nagle's algorithm, a body that is written after its head waits for the
        // acknowledgement of the head.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let (shutdown_sender, shutdown) = oneshot::channel::<()>();
        let server = axum::serve(listener, app).with_graceful_shutdown(async {
            let _ = shutdown.await;
        });
        tokio::spawn(server.into_future());
        Ok(Self { address, shared, _shutdown: shutdown_sender })
    }

    /// Returns the URL, `http://127.0.0.1:PORT`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns all requests so far, in order, with those that were rejected. A request above the
    /// size limit is not recorded.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns all responses so far, in the order in which they began, with what was sent of each.
    /// They are recorded if the settings say so.
    pub fn responses(&self) -> Vec<Sent> {
        let sent = self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().map(|it| it.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// Returns the number of calls of STS.
    pub fn sts_calls(&self) -> u64 {
        self.shared.sts.calls()
    }

    /// Makes the next calls of STS fail, each with one of these faults.
    pub fn fail_sts(&self, faults: impl IntoIterator<Item = StsFault>) {
        self.shared.sts.fail(faults);
    }

    /// Expires all keys that STS has issued so far.
    pub fn expire_keys(&self) {
        self.shared.sts.expire_all();
    }

    /// Returns the number of calls that the client abandoned: before the head of the response, or
    /// during the endless body of a [fault](crate::faults::FAULTS). A call is counted when the
    /// server notices, which is shortly after.
    pub fn abandoned(&self) -> u64 {
        self.shared.abandoned.load(Ordering::SeqCst)
    }

    /// Returns the number of streams so far, by outcome.
    pub fn streams(&self) -> StreamCounts {
        self.shared.streams.snapshot()
    }
}

impl Shared {
    /// Keeps a response, and its body while it is sent.
    fn record_response(&self, mut response: Response) -> Response {
        let sent = Arc::new(Mutex::new(Sent {
            status: response.status().as_u16(),
            headers: text_headers(response.headers()),
            body: Vec::new(),
        }));
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent.clone());
        // The body becomes a stream, whose length hyper does not know.
        if let Some(length) = response.body().size_hint().exact() {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        response.map(|body| {
            Body::from_stream(body.into_data_stream().inspect(move |part| {
                if let Ok(part) = part {
                    sent.lock().unwrap_or_else(PoisonError::into_inner).body.extend(part);
                }
            }))
        })
    }

    /// Tells whether the fault that the prompt demands, if any, applies to this region and this
    /// call.
    pub(crate) fn is_fault_due(&self, prompt: &str, region: &str) -> bool {
        let (fault_region, times) = faults::conditions(prompt);
        if fault_region.is_some_and(|fault_region| fault_region != region) {
            return false;
        }
        let Some(times) = times else { return true };
        let mut counts = self.fault_counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(prompt.to_owned()).or_default();
        *count += 1;
        *count <= times
    }
}

/// Binds the port like `TcpListener::bind`, with the [`SEND_BUFFER`], which its connections
/// inherit.
fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // On Windows this would let two processes listen on the same port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    socket.listen(BACKLOG)
}

/// Creates Bedrock's response to an unknown path or method: status 200, whether the request is
/// signed or not.
pub(crate) fn unknown_operation() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
    )
        .into_response()
}

/// Wraps every route: records the request, adds the headers that every response has, and logs it.
async fn receive(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return AwsError::bedrock(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLargeException",
            "The request body is larger than 25000000 bytes or incomplete.",
        )
        .into_response();
    };
    let received = Arc::new(Received {
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        headers: text_headers(&parts.headers),
        body: body.into(),
    });
    if shared.settings.record {
        shared
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Received::clone(&received));
    }
    let mut request = Request::from_parts(parts, Body::empty());
    request.extensions_mut().insert(received.clone());
    let mut guard = AbandonedGuard(Some(shared.abandoned.clone()));
    let mut response = next.run(request).await;
    if response.extensions().get::<faults::Endless>().is_some() {
        // The guard is dropped with the body, when the client disconnects.
        response = response.map(|body| {
            Body::from_stream(body.into_data_stream().inspect(move |_| {
                let _ = &guard;
            }))
        });
    } else {
        guard.0.take();
    }

    let elapsed = started.elapsed().as_millis();
    let number = shared.responses.fetch_add(1, Ordering::Relaxed);
    let headers = response.headers_mut();
    if headers.contains_key(INPUT_TOKEN_COUNT) {
        headers.insert(INVOCATION_LATENCY, text_header(&elapsed.to_string()));
    }
    headers
        .entry(REQUEST_ID)
        .or_insert_with(|| text_header(&format!("00000000-0000-4000-8000-{number:012x}")));
    if shared.settings.record_responses {
        response = shared.record_response(response);
    }
    if shared.settings.log {
        let status = response.status().as_u16();
        let line = match response.extensions().get::<LogFields>() {
            // Escaped, because a percent-encoded path may contain line ends.
            Some(LogFields { model_id, fault }) => format!(
                "{status} {} fault={} {elapsed}ms",
                model_id.escape_debug(),
                fault.unwrap_or("none"),
            ),
            None => format!("{status} - fault=none {elapsed}ms"),
        };
        // A closed standard output must not stop the server.
        let _ = writeln!(io::stdout(), "{line}");
    }
    response
}

fn text_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn text_header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and dashes are a header value")
}

/// Routes the operations of one region.
fn operations() -> Router<Arc<Shared>> {
    Router::new()
        .route("/model/{model_id}/invoke", post(invoke_model))
        .route("/model/{model_id}/invoke-with-response-stream", post(invoke_model_with_stream))
        .route("/model/{model_id}/converse", post(converse))
        .route("/model/{model_id}/converse-stream", post(converse_stream))
        .route("/model/{model_id}/count-tokens", post(count_tokens))
        .route("/guardrail/{id}/version/{version}/apply", post(apply_guardrail))
        .route("/anthropic/v1/messages", post(native))
        .route("/inference-profiles", get(inference_profiles))
        .route("/inference-profiles/{id}", get(inference_profile))
        .route("/foundation-models", get(foundation_models))
        .route("/foundation-models/{id}", get(foundation_model))
}

async fn assume_role(
    State(shared): State<Arc<Shared>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    shared.sts.respond(&received, &shared.settings).await
}
