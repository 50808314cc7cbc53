//! Streamed replies: Server-Sent Events and WebSockets.
//!
//! JavaScript reads Bedrock's response and writes the client's. A chunk goes through wasm in one synchronous call,
//! however many frames it has.

use std::rc::Rc;

use js_sys::{Array, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

use super::body::JsBody;
use super::glue::Platform;
use super::http::milliseconds;
use super::log::{log_for, log_to};
use super::platform::{Worker, now};
use super::{durable, glue, task};
use crate::api::{RenderError, Socket};
use crate::error::{Code, Error};
use crate::host::TransportError;
use crate::identifier::Identifier;
use crate::log::Record;
use crate::server::{Generation, Streaming, WebSocket, socket_admit, socket_reply};

/// Makes a response in Server-Sent Events.
pub(super) fn events(
    headers: &str,
    streaming: Streaming<'static, JsBody>,
    platform: &Platform,
) -> Result<web_sys::Response, JsValue> {
    let Streaming { mut body, generation } = streaming;
    let (stall, keep_alive) = (milliseconds(generation.stall()), generation.keep_alive());
    let step = step(generation, platform.clone());
    glue::events(headers, &body.take_reader()?, step, stall, keep_alive)
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
    // Takes a message and the client that waits for the reply. Returns the reader of Bedrock's response and its step, or
    // the only message.
    let open = move |message: Vec<u8>, client: JsValue| -> Promise {
        let worker = Worker { client: client.clone(), platform: platform.clone() };
        let socket = socket.clone();
        let opened = async move {
            match socket_reply(message.into(), &socket, &worker).await {
                Ok(Streaming { mut body, generation }) => {
                    let step = step(generation, worker.platform.clone());
                    Ok(Array::of2(&body.take_reader()?, &step).into())
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

/// Makes the `step` of `streams.js`: takes a chunk of Bedrock's response and returns what the client gets, behind a byte of
/// flags: whether that was the last, and whether a frame has come. After the last, another call gives back the memory.
fn step(generation: Generation<'static>, platform: Platform) -> JsValue {
    const CHUNK: u32 = 0;
    const END: u32 = 1;
    const FAILED: u32 = 2;
    const STALLED: u32 = 3;

    const IS_OVER: u8 = 1;
    const HAS_FRAME: u8 = 2;

    let mut generation = Some(generation);
    // What the client has not received yet is in memory, too.
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
        out.splice(..1, [has_frame | is_over]);
        if it.is_over() {
            held = it.take_memory();
            finish(it, &platform);
        } else {
            generation = Some(it);
        }
        out
    };
    Closure::<dyn FnMut(u32, Vec<u8>) -> Vec<u8>>::new(step).into_js_value()
}

fn finish(generation: Generation<'_>, platform: &Platform) {
    let config = generation.config();
    let (record, remainder) = generation.finish(now());
    if let Some(settlement) = remainder.and_then(|it| it.settlement) {
        // If it fails, the reservation expires and counts as used.
        let _ = durable::settle(platform, &settlement.account, &settlement.message);
    }
    log_to(platform, &record, Some(config));
}
