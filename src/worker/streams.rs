//! Answers in pieces: Server-Sent Events and WebSockets.
//!
//! JavaScript reads Bedrock's answer and writes the client's; a piece goes through wasm in one
//! synchronous call, however many frames it has.

use std::rc::Rc;

use js_sys::{Array, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

use super::body::JsBody;
use super::{Worker, glue, log, milliseconds, now, task};
use crate::handler::{Upgrade, socket_handler};
use crate::host::TransportError;
use crate::stream::{Generation, StreamEvent, Streaming};

type Answer = Streaming<'static, JsBody>;

/// An answer in Server-Sent Events.
pub(super) fn events(headers: &str, answer: Answer) -> Result<web_sys::Response, JsValue> {
    let Streaming { mut body, generation } = answer;
    let stall = milliseconds(generation.config().stall);
    let step = step(generation, StreamEvent::write_sse);
    glue::events(headers, &body.take_reader()?, step, stall)
}

/// A WebSocket that takes prompts.
pub(super) fn socket(upgrade: Upgrade<'static>) -> Result<web_sys::Response, JsValue> {
    let (config, protocol) = (upgrade.config, upgrade.protocol);
    let upgrade = Rc::new(upgrade);
    // A message in, and who waits for its answer; a reader of Bedrock's answer and its step out, or
    // the only event.
    let open = move |message: Vec<u8>, client: JsValue| -> Promise {
        let worker = Worker { client: client.clone() };
        let upgrade = upgrade.clone();
        task::promise(&client, async move {
            match socket_handler(message.into(), &upgrade, &worker).await {
                Ok(Streaming { mut body, generation }) => {
                    let step = step(generation, write_line);
                    Ok(Array::of2(&body.take_reader()?, &step).into())
                }
                Err((event, record)) => {
                    worker.log(record, Some(config));
                    Ok(event.to_message().into())
                }
            }
        })
    };
    let open = Closure::<dyn FnMut(Vec<u8>, JsValue) -> Promise>::new(open).into_js_value();
    glue::socket(open, protocol.unwrap_or_default(), milliseconds(config.stall))
}

/// A WebSocket's messages, a line each.
fn write_line(event: &StreamEvent, out: &mut Vec<u8>) {
    out.extend_from_slice(event.to_message().as_bytes());
    out.push(b'\n');
}

/// The other side of `step` in `streams.js`: takes a piece of Bedrock's answer, gives what of it is
/// for the client, behind a byte of bits: whether that was the last, and whether a frame has come.
fn step(generation: Generation<'static>, write: fn(&StreamEvent, &mut Vec<u8>)) -> JsValue {
    const CHUNK: u32 = 0;
    const END: u32 = 1;
    const FAILED: u32 = 2;
    const STALLED: u32 = 3;

    const IS_OVER: u8 = 1;
    const HAS_FRAME: u8 = 2;

    let mut generation = Some(generation);
    let step = move |what: u32, bytes: Vec<u8>| -> Vec<u8> {
        let Some(mut it) = generation.take() else { return vec![IS_OVER] };
        let frames = it.frames();
        match what {
            CHUNK => it.push(&bytes),
            END => it.close(),
            FAILED => {
                it.fail(TransportError::Failed(String::from_utf8_lossy(&bytes).into_owned()));
            }
            STALLED => it.fail(TransportError::TimedOut),
            // The client went away.
            _ => {
                finish(it);
                return vec![IS_OVER];
            }
        }
        let mut out = vec![0];
        while let Some(event) = it.event() {
            write(&event, &mut out);
        }
        let has_frame = if it.frames() > frames { HAS_FRAME } else { 0 };
        let is_over = if it.is_over() { IS_OVER } else { 0 };
        out.splice(..1, [has_frame | is_over]);
        if it.is_over() {
            finish(it);
        } else {
            generation = Some(it);
        }
        out
    };
    Closure::<dyn FnMut(u32, Vec<u8>) -> Vec<u8>>::new(step).into_js_value()
}

fn finish(generation: Generation<'_>) {
    let config = generation.config();
    let (record, settlement) = generation.finish(now());
    if let Some(settlement) = settlement {
        // Where it fails, the reservation expires.
        let _ = glue::settle(&settlement.account, &settlement.message);
    }
    log(&record, Some(config));
}
