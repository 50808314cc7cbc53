//! The HTTP server: takes each request as it came, records it, and routes it.
//!
//! Out of scope: TLS, HTTP/2.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

use crate::auth::{self, AccessKey};
use crate::converse;
use crate::error::AwsError;
use crate::faults::{self, Act, Asked, Fault, Situation, StreamAct};
use crate::messages::{MAX_BODY, Messages, check_model_id};
use crate::models::check_parameters;
use crate::reply::{OUTPUT_TOKEN_COUNT, Reply};
use crate::sigv4::Received;
use crate::stream::{self, Counters, Plan, StreamCounts};
use crate::sts::{self, Sts, StsFault};

/// The service in a Bedrock request's credential scope. Not `bedrock-runtime`, its host's name.
pub const SERVICE: &str = "bedrock";

/// The kernel keeps about this much for a client that does not read; its own choice is megabytes. So
/// a stream soon waits for its client, and a count of frames sent is nearly one of frames received.
/// Less than a loopback packet (64 KiB) would be slow: each waits for a delayed acknowledgement.
const SEND_BUFFER: u32 = 64 * 1024;

/// How many connections may wait to be taken.
const BACKLOG: u32 = 1024;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const INVOCATION_LATENCY: HeaderName = HeaderName::from_static("x-amzn-bedrock-invocation-latency");

/// How a stand-in is to be. No `Debug`: it holds keys.
#[derive(Clone)]
pub struct Settings {
    /// The port on 127.0.0.1; 0 for any free one.
    pub port: u16,
    /// The only region that a credential scope may have.
    pub region: String,
    /// The keys that may sign.
    pub keys: Vec<AccessKey>,
    /// The Bedrock API keys that are known (`Authorization: Bearer …`).
    pub api_keys: Vec<String>,
    /// Keep every request for [`Stub::requests`]. It grows without end.
    pub record: bool,
    /// Print one line a request: status, model, fault, time taken (of a stream: until it began).
    /// Never a prompt.
    pub log: bool,
    /// The keys that may ask STS for others.
    pub sts_keys: Vec<AccessKey>,
    /// How long STS takes.
    pub sts_delay: Duration,
    /// How long what STS gives is good.
    pub sts_lifetime: Duration,
    /// How long a stream waits before each frame. A prompt can say otherwise (`fault:pace:MS`).
    pub frame_delay: Duration,
}

impl Default for Settings {
    /// Any port, ap-northeast-1, the example key of AWS's documentation, no API key; it records and
    /// does not print, and streams at once.
    fn default() -> Self {
        Self {
            port: 0,
            region: "ap-northeast-1".to_owned(),
            keys: vec![AccessKey::example()],
            api_keys: Vec::new(),
            record: true,
            log: false,
            sts_keys: vec![AccessKey::example()],
            sts_delay: Duration::ZERO,
            sts_lifetime: sts::LIFETIME,
            frame_delay: Duration::ZERO,
        }
    }
}

/// A running stand-in. Dropping it stops it: no new connections, and open ones end with their
/// current answer, which may be a stream that goes on as long as its client.
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The server waits for this to be dropped.
    _running: oneshot::Sender<()>,
}

struct Shared {
    settings: Settings,
    requests: Mutex<Vec<Received>>,
    answered: AtomicU64,
    streams: Arc<Counters>,
    abandoned: Arc<AtomicU64>,
    sts: Sts,
    /// How often each prompt came that asks for a fault only some of the time.
    counts: Mutex<HashMap<String, u32>>,
}

/// Counts an answer whose client went away before it began, or while a body was sent that never
/// ends.
struct Unanswered(Option<Arc<AtomicU64>>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(count) = self.0.take() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// For the log: what a response was about.
#[derive(Clone)]
struct Subject {
    model_id: String,
    fault: Option<&'static str>,
}

impl Subject {
    /// The response that was about it.
    fn respond(self, answer: Result<Response, AwsError>) -> Response {
        let mut response = answer.unwrap_or_else(IntoResponse::into_response);
        response.extensions_mut().insert(self);
        response
    }
}

impl Stub {
    /// Binds the port and serves, on the tokio runtime that calls.
    ///
    /// # Errors
    ///
    /// Those of binding, `AddrInUse` above all.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = listen(settings.port)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            settings,
            requests: Mutex::default(),
            answered: AtomicU64::new(0),
            streams: Arc::default(),
            abandoned: Arc::default(),
            sts: Sts::default(),
            counts: Mutex::default(),
        });
        let app = Router::new()
            .route("/sts/", post(assume_role))
            .route("/model/{model_id}/invoke", post(invoke_model))
            .route("/model/{model_id}/invoke-with-response-stream", post(invoke_model_with_stream))
            .route("/model/{model_id}/converse", post(converse))
            // Of another region than that of the settings.
            .route("/{region}/model/{model_id}/invoke", post(invoke_model))
            .route(
                "/{region}/model/{model_id}/invoke-with-response-stream",
                post(invoke_model_with_stream),
            )
            .fallback(async || unknown_operation())
            .method_not_allowed_fallback(async || unknown_operation())
            .layer(middleware::from_fn_with_state(shared.clone(), receive))
            .with_state(shared.clone());
        // Without it, a head and a body written apart wait for each other's acknowledgement.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let (running, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, app).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        tokio::spawn(server.into_future());
        Ok(Self { address, shared, _running: running })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything received so far, refused or not, in order. Not what was over the size limit.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often STS was asked.
    pub fn sts_calls(&self) -> u64 {
        self.shared.sts.calls()
    }

    /// The next calls of STS fail so.
    pub fn fail_sts(&self, faults: impl IntoIterator<Item = StsFault>) {
        self.shared.sts.fail(faults);
    }

    /// Bedrock takes none of the keys any more that STS has given so far.
    pub fn expire_keys(&self) {
        self.shared.sts.expire_all();
    }

    /// How many calls the client gave up: before the head of the answer, or in the body of an
    /// [`InvokeModel`](crate::faults::FAULTS) that has no end. Noticed soon, but not at once.
    pub fn abandoned(&self) -> u64 {
        self.shared.abandoned.load(Ordering::SeqCst)
    }

    /// What became of the streams so far.
    pub fn streams(&self) -> StreamCounts {
        self.shared.streams.now()
    }
}

/// Like `TcpListener::bind`, but with a [`SEND_BUFFER`], which its connections inherit.
fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // On Windows it would let two listen on the same port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    socket.listen(BACKLOG)
}

/// What Bedrock answers to a path or a method that it does not have: a 200, and no signature is
/// asked for.
pub(crate) fn unknown_operation() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
    )
        .into_response()
}

/// Around every route: keeps what was received, and adds what every response has.
async fn receive(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return AwsError::bedrock(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLargeException",
            "The request body is larger than 25000000 bytes, or did not come whole.",
        )
        .into_response();
    };
    let received = Arc::new(Received {
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect(),
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
    let mut unanswered = Unanswered(Some(shared.abandoned.clone()));
    let mut response = next.run(request).await;
    if response.extensions().get::<faults::WithoutEnd>().is_some() {
        // Dropped with the body, when the client goes away.
        response = response.map(|body| {
            Body::from_stream(body.into_data_stream().inspect(move |_| {
                let _ = &unanswered;
            }))
        });
    } else {
        unanswered.0.take();
    }

    let elapsed = started.elapsed().as_millis();
    let number = shared.answered.fetch_add(1, Ordering::Relaxed);
    let headers = response.headers_mut();
    if headers.contains_key(OUTPUT_TOKEN_COUNT) {
        headers.insert(INVOCATION_LATENCY, text_header(&elapsed.to_string()));
    }
    headers
        .entry(REQUEST_ID)
        .or_insert_with(|| text_header(&format!("00000000-0000-4000-8000-{number:012x}")));
    if shared.settings.log {
        let status = response.status().as_u16();
        let line = match response.extensions().get::<Subject>() {
            // Escaped: a path may decode to line ends.
            Some(Subject { model_id, fault }) => format!(
                "{status} {} fault={} {elapsed}ms",
                model_id.escape_debug(),
                fault.unwrap_or("none"),
            ),
            None => format!("{status} - fault=none {elapsed}ms"),
        };
        // Who no longer reads the log still wants answers.
        let _ = writeln!(io::stdout(), "{line}");
    }
    response
}

fn text_header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and dashes are a header value")
}

async fn assume_role(
    State(shared): State<Arc<Shared>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    shared.sts.answer(&received, &shared.settings).await
}

/// Where a request goes: a region, that of the settings where the path names none, and a model in it.
struct Target {
    region: String,
    model_id: String,
}

impl Target {
    /// Axum decodes the path's model ID once, as Bedrock does.
    fn of(Path(mut parts): Path<HashMap<String, String>>, settings: &Settings) -> Self {
        Self {
            region: parts.remove("region").unwrap_or_else(|| settings.region.clone()),
            model_id: parts.remove("model_id").unwrap_or_default(),
        }
    }
}

/// `InvokeModel`.
async fn invoke_model(
    State(shared): State<Arc<Shared>>,
    path: Path<HashMap<String, String>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let Target { region, model_id } = Target::of(path, &shared.settings);
    let mut subject = Subject { model_id, fault: None };
    let answer = answer(&shared, region, &mut subject, &received).await;
    subject.respond(answer)
}

/// `InvokeModelWithResponseStream`.
async fn invoke_model_with_stream(
    State(shared): State<Arc<Shared>>,
    path: Path<HashMap<String, String>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let Target { region, model_id } = Target::of(path, &shared.settings);
    let mut subject = Subject { model_id, fault: None };
    let answer = answer_with_stream(&shared, region, &mut subject, &received).await;
    subject.respond(answer)
}

/// `Converse`.
async fn converse(
    State(shared): State<Arc<Shared>>,
    Path(model_id): Path<String>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let answer = || {
        auth::verify(&received, SERVICE, &shared.settings, SystemTime::now())?;
        check_model_id(&model_id)?;
        converse::answer(&model_id, received.header("content-type"), &received.body)
    };
    let mut response = answer().unwrap_or_else(IntoResponse::into_response);
    response.extensions_mut().insert(Subject { model_id, fault: None });
    response
}

/// What both operations of InvokeModel check, in Bedrock's order: who may not call does not learn what is wrong
/// with the body.
fn checked(
    shared: &Shared,
    region: String,
    model_id: &str,
    received: &Received,
) -> Result<(Messages, Reply), AwsError> {
    let now = SystemTime::now();
    let mut settings = Settings { region, ..shared.settings.clone() };
    settings.keys.extend(shared.sts.keys(received, now)?);
    auth::verify(received, SERVICE, &settings, now)?;
    check_model_id(model_id)?;
    let mut messages = Messages::parse(received.header("content-type"), &received.body)?;
    check_parameters(model_id, &messages)?;
    let reply = Reply::new(model_id, &messages, &received.body);
    if !shared.is_asked_for(&messages.prompt, &settings.region) {
        messages.prompt = String::new();
    }
    Ok((messages, reply))
}

impl Shared {
    /// Whether a fault is to happen here and now, if the prompt asks for one.
    fn is_asked_for(&self, prompt: &str, region: &str) -> bool {
        let (place, times) = faults::conditions(prompt);
        if place.is_some_and(|place| place != region) {
            return false;
        }
        let Some(times) = times else { return true };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(prompt.to_owned()).or_default();
        *count += 1;
        *count <= times
    }
}

async fn answer(
    shared: &Shared,
    region: String,
    subject: &mut Subject,
    received: &Received,
) -> Result<Response, AwsError> {
    let (messages, reply) = checked(shared, region, &subject.model_id, received)?;
    let mut content = reply.json();
    let mut headers = HeaderMap::new();
    if let Some(fault) = Fault::asked_for(&messages.prompt)? {
        subject.fault = Some(fault.name);
        let situation = Situation { received, prompt: &messages.prompt, reply: &reply };
        match fault.act(&situation) {
            Act::Answer(response) => return Ok(response),
            Act::Content(instead, with) => (content, headers) = (instead, with),
            Act::ReplyAfter(wait) => tokio::time::sleep(wait).await,
        }
    }
    let mut response = reply.response(content.to_string());
    response.headers_mut().extend(headers);
    Ok(response)
}

async fn answer_with_stream(
    shared: &Shared,
    region: String,
    subject: &mut Subject,
    received: &Received,
) -> Result<Response, AwsError> {
    let started = Instant::now();
    let (messages, reply) = checked(shared, region, &subject.model_id, received)?;
    let prompt = messages.prompt.as_str();
    let asked = Asked::by(prompt)?;
    subject.fault = asked.as_ref().map(Asked::name);
    let mut headers = HeaderMap::new();
    let plan = match asked {
        None => good(&reply.json()),
        Some(Asked::Either(fault)) => {
            match fault.act(&Situation { received, prompt, reply: &reply }) {
                Act::Answer(response) => return Ok(response),
                Act::Content(instead, with) => {
                    headers = with;
                    good(&instead)
                }
                Act::ReplyAfter(wait) => {
                    tokio::time::sleep(wait).await;
                    good(&reply.json())
                }
            }
        }
        Some(Asked::Stream(fault)) => match fault.act(prompt, &reply)? {
            StreamAct::Answer(response) => return Ok(response),
            StreamAct::Stream(plan) => plan,
        },
    };
    let frame_delay = shared.settings.frame_delay;
    let mut response = stream::response(plan, frame_delay, shared.streams.clone(), started);
    response.headers_mut().extend(headers);
    Ok(response)
}

fn good(content: &Value) -> Plan {
    Plan::new(faults::good(content))
}
