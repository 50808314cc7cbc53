//! Answers in pieces: Server-Sent Events and WebSockets.
//!
//! JavaScript reads Bedrock's answer and writes the client's; a piece goes through wasm in one
//! synchronous call, however many frames it has.

use js_sys::{Array, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

use super::body::JsBody;
use super::{Worker, glue, log, now, task};
use crate::config::Config;
use crate::handler::socket_handler;
use crate::host::TransportError;
use crate::limits::Address;
use crate::stream::{Generation, StreamEvent, Streaming};

type Answer = Streaming<'static, JsBody>;

/// An answer in Server-Sent Events.
pub(super) fn events(headers: &str, answer: Answer) -> Result<web_sys::Response, JsValue> {
    let Streaming { mut body, generation } = answer;
    glue::events(headers, &body.take_reader()?, step(generation, StreamEvent::write_sse))
}

/// A WebSocket that takes prompts.
pub(super) fn socket(
    address: Address,
    config: &'static Config,
) -> Result<web_sys::Response, JsValue> {
    // A message in, and who waits for its answer; a reader of Bedrock's answer and its step out, or
    // the only event.
    let open = move |message: Vec<u8>, client: JsValue| -> Promise {
        let worker = Worker { client: client.clone() };
        let address = address.clone();
        task::promise(&client, async move {
            match socket_handler(message.into(), config, &address, &worker).await {
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
    glue::socket(Closure::<dyn FnMut(Vec<u8>, JsValue) -> Promise>::new(open).into_js_value())
}

/// A WebSocket's messages, a line each.
fn write_line(event: &StreamEvent, out: &mut Vec<u8>) {
    out.extend_from_slice(event.to_message().as_bytes());
    out.push(b'\n');
}

/// The other side of `step` in `glue.js`: takes a piece of Bedrock's answer, gives what of it is
/// for the client, behind a byte that is 1 if that was the last.
fn step(generation: Generation<'static>, write: fn(&StreamEvent, &mut Vec<u8>)) -> JsValue {
    const CHUNK: u32 = 0;
    const END: u32 = 1;
    const FAILED: u32 = 2;

    let mut generation = Some(generation);
    let step = move |what: u32, bytes: Vec<u8>| -> Vec<u8> {
        let Some(mut it) = generation.take() else { return vec![1] };
        match what {
            CHUNK => it.push(&bytes),
            END => it.close(),
            FAILED => it.fail(TransportError(String::from_utf8_lossy(&bytes).into_owned())),
            // The client went away.
            _ => {
                finish(it);
                return vec![1];
            }
        }
        let mut out = vec![0];
        while let Some(event) = it.event() {
            write(&event, &mut out);
        }
        if it.is_over() {
            out.splice(..1, [1]);
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
