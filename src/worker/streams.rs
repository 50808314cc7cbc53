//! Streamed replies: Server-Sent Events and WebSockets.
//!
//! JavaScript reads Bedrock's response and writes the client's. A chunk goes through wasm in one synchronous call,
//! however many frames it has.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

use super::body::JsBody;
use super::glue::Platform;
use super::http::{lines, milliseconds};
use super::log::{log_for, log_to};
use super::platform::{Worker, now};
use super::{durable, glue, task};
use crate::api::{Envelope, RenderError, Socket};
use crate::config::Config;
use crate::error::{Code, Error};
use crate::host::TransportError;
use crate::identifier::Identifier;
use crate::limits::Settlement;
use crate::log::Record;
use crate::server::{
    Generation, Passage, Passing, Remainder, Rest, Streaming, WebSocket, socket_admit, socket_reply,
};
use crate::sessions::Abandoned;

/// Makes a response in Server-Sent Events.
pub(super) fn events(
    headers: &str,
    streaming: Streaming<'static, JsBody>,
    platform: &Platform,
) -> Result<web_sys::Response, JsValue> {
    let Streaming { mut body, generation } = streaming;
    let (stall, keep_alive) = (milliseconds(generation.stall()), generation.keep_alive());
    let Steps { step, commit } = steps(generation, platform.clone());
    glue::events(200, headers, &body.take_reader()?, step, stall, keep_alive, commit)
}

/// Makes a response of one that is passed on. If there is nothing to read in it, workerd passes it on by itself.
pub(super) fn pass(
    envelope: &Envelope,
    passing: Passing<'static, JsBody>,
    worker: &Worker,
) -> Result<JsValue, JsValue> {
    let Passing { headers, mut body, passage, .. } = passing;
    let mut lines = lines(envelope);
    for (name, value) in &headers {
        if let Ok(value) = value.to_str() {
            lines.extend(["\n", name.as_str(), "\n", value]);
        }
    }
    let (status, platform) = (envelope.status_code, &worker.platform);
    if !passage.is_metered() {
        let response = glue::pipe(status, &lines, body.message())?;
        finish_passage(passage, platform);
        return Ok(response.into());
    }
    let stall = milliseconds(passage.stall());
    let reader = body.take_reader()?;
    let step = step_of_passage(passage, platform.clone());
    let commit = JsValue::UNDEFINED;
    Ok(glue::events(status, &lines, &reader, step, stall, "", commit)?.into())
}

/// Opens a WebSocket.
pub(super) fn socket(
    socket: WebSocket<'static>,
    platform: Platform,
) -> Result<web_sys::Response, JsValue> {
    let (config, protocol) = (socket.config(), socket.protocol);
    let socket = Rc::new(socket);
    let (admitted, its_platform) = (socket.clone(), platform.clone());
    // Counts a message, before it waits for its turn. Returns the only message in reply if it is one too many.
    let admit = move |client: JsValue| -> Promise {
        let worker = Worker { client: client.clone(), platform: its_platform.clone() };
        let socket = admitted.clone();
        let admitted = async move {
            match socket_admit(&socket, &worker).await {
                Ok(()) => Ok(JsValue::UNDEFINED),
                Err((message, record)) => {
                    log_for(&worker, record, socket.isolate());
                    Ok(message.into())
                }
            }
        };
        task::promise(&client, admitted, internal_error)
    };
    let admit = config
        .limits
        .requests
        .map(|_| Closure::<dyn FnMut(JsValue) -> Promise>::new(admit).into_js_value());
    // Takes a message and the client that waits for the reply. Returns the reader of Bedrock's response and its steps, or
    // the only message.
    let open = move |message: Vec<u8>, client: JsValue| -> Promise {
        let worker = Worker { client: client.clone(), platform: platform.clone() };
        let socket = socket.clone();
        let opened = async move {
            match socket_reply(message.into(), &socket, &worker).await {
                Ok(Streaming { mut body, generation }) => {
                    let Steps { step, commit } = steps(generation, worker.platform.clone());
                    Ok(Array::of3(&body.take_reader()?, &step, &commit).into())
                }
                Err((message, record)) => {
                    log_for(&worker, record, socket.isolate());
                    Ok(message.into())
                }
            }
        };
        task::promise(&client, opened, internal_error)
    };
    let open = Closure::<dyn FnMut(Vec<u8>, JsValue) -> Promise>::new(open).into_js_value();
    let limit = u32::try_from(config.max_body_bytes).unwrap_or(u32::MAX);
    let admit = admit.unwrap_or(JsValue::UNDEFINED);
    glue::socket(open, admit, protocol.unwrap_or_default(), limit, milliseconds(config.stall))
}

/// Returns the message for a request whose task can never end.
fn internal_error() -> Result<JsValue, JsValue> {
    let error = Error::new(Code::Internal, "Internal server error");
    Ok(Socket.render_error("", &error, &Record::new(Identifier::random(0))).body.into())
}

// The inputs of a step.
const CHUNK: u32 = 0;
const END: u32 = 1;
const FAILED: u32 = 2;
const STALLED: u32 = 3;

// The flags of its output.
const IS_OVER: u8 = 1;
const HAS_FRAME: u8 = 2;
const PASSES: u8 = 4;
const IS_BROKEN: u8 = 8;
const IS_WAITING: u8 = 16;

/// Makes the `step` of a response that is passed on: the client gets each chunk, and at the end what the output has.
fn step_of_passage(passage: Passage<'static>, platform: Platform) -> JsValue {
    let mut passage = Some(passage);
    let step = move |what: u32, bytes: Vec<u8>| -> Vec<u8> {
        let Some(mut it) = passage.take() else { return vec![IS_OVER] };
        let failure = match what {
            CHUNK => {
                it.push(&bytes);
                passage = Some(it);
                return vec![HAS_FRAME | PASSES];
            }
            END => None,
            FAILED => {
                let error = String::from_utf8_lossy(&bytes).into_owned();
                Some(TransportError::Failed(error))
            }
            STALLED => Some(TransportError::TimedOut),
            // The client has disconnected.
            _ => {
                finish_passage(it, &platform);
                return vec![IS_OVER];
            }
        };
        let Rest { tail, is_broken } = it.close(failure);
        finish_passage(it, &platform);
        let flags = IS_OVER | if is_broken { IS_BROKEN } else { 0 };
        [&[flags], &*tail].concat()
    };
    Closure::<dyn FnMut(u32, Vec<u8>) -> Vec<u8>>::new(step).into_js_value()
}

/// The functions of a streamed reply that `streams.js` calls.
struct Steps {
    /// Takes a chunk of Bedrock's response and returns what the client gets, behind a byte of flags: whether that was the last,
    /// whether a frame has come, and whether the rest waits for `commit`. After the last, another call gives back the memory.
    step: JsValue,
    /// Stores the turn of a session. Its promise is never rejected. `undefined` if the reply is of no session.
    commit: JsValue,
}

fn steps(generation: Generation<'static>, platform: Platform) -> Steps {
    let is_of_session = generation.is_of_session();
    let generation = Rc::new(RefCell::new(Some(generation)));
    let commit = match is_of_session {
        true => commit(generation.clone(), platform.clone()),
        false => JsValue::UNDEFINED,
    };
    // Bytes that the client has not received yet are in memory, too.
    let mut held = None;
    let step = move |what: u32, bytes: Vec<u8>| -> Vec<u8> {
        let Some(mut it) = generation.take() else {
            drop(held.take());
            return vec![IS_OVER];
        };
        let frames = it.frames();
        match what {
            CHUNK => it.push(&bytes),
            END => it.close(),
            FAILED => {
                it.fail(TransportError::Failed(String::from_utf8_lossy(&bytes).into_owned()));
            }
            STALLED => it.fail(TransportError::TimedOut),
            // The client has disconnected.
            _ => {
                finish(it, &platform);
                return vec![IS_OVER];
            }
        }
        let mut out = vec![0];
        while let Some(event) = it.event() {
            it.encode(&event, &mut out);
        }
        let has_frame = if it.frames() > frames { HAS_FRAME } else { 0 };
        let is_over = if it.is_over() { IS_OVER } else { 0 };
        let is_waiting = if it.is_waiting() { IS_WAITING } else { 0 };
        out.splice(..1, [has_frame | is_over | is_waiting]);
        if it.is_over() {
            held = it.take_memory();
            finish(it, &platform);
        } else {
            generation.replace(Some(it));
        }
        out
    };
    let step = Closure::<dyn FnMut(u32, Vec<u8>) -> Vec<u8>>::new(step).into_js_value();
    Steps { step, commit }
}

/// Makes the function that stores the turn of a session. It goes on when the client disconnects: the reply is complete.
fn commit(generation: Rc<RefCell<Option<Generation<'static>>>>, platform: Platform) -> JsValue {
    let commit = move || -> Promise {
        let client = web_sys::AbortController::new().map_or(JsValue::UNDEFINED, JsValue::from);
        let worker = Worker { client: client.clone(), platform: platform.clone() };
        let turn = generation
            .borrow_mut()
            .as_mut()
            .and_then(|it| Some((it.complete_turn()?, it.config())));
        let generation = generation.clone();
        let committed = async move {
            let Some((turn, config)) = turn else { return Ok(JsValue::UNDEFINED) };
            let committed = turn.commit(config, &worker).await;
            if let Some(it) = generation.borrow_mut().as_mut() {
                it.committed(committed);
            }
            Ok(JsValue::UNDEFINED)
        };
        task::promise(&client, committed, || Ok(JsValue::UNDEFINED))
    };
    Closure::<dyn FnMut() -> Promise>::new(commit).into_js_value()
}

fn finish(generation: Generation<'_>, platform: &Platform) {
    let config = generation.config();
    let (record, remainder) = generation.finish(now());
    let (settlement, abandoned) = match remainder {
        Some(Remainder { settlement, abandoned }) => (settlement, abandoned),
        None => (None, None),
    };
    if let Some(Abandoned { place, token }) = abandoned {
        // If it fails, the lease expires.
        let _ = durable::abort(platform, &place, &token);
    }
    complete(&record, settlement, config, platform);
}

fn finish_passage(passage: Passage<'_>, platform: &Platform) {
    let config = passage.config();
    let (record, settlement) = passage.finish(now());
    complete(&record, settlement, config, platform);
}

/// Settles a response that has ended, and logs it.
fn complete(record: &Record, settlement: Option<Settlement>, config: &Config, platform: &Platform) {
    if let Some(settlement) = settlement {
        // If it fails, the reservation expires and counts as used.
        let _ = durable::settle(platform, &settlement.account, &settlement.message);
    }
    log_to(platform, record, Some(config));
}
