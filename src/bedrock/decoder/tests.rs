mod decoder;
mod fixtures;
mod properties;
mod splits;

use std::iter::from_fn;

use bedrock_stub::events::{events, text_delta};
use bedrock_stub::frames::{Frame, chunk, chunk_of, encode};
use serde_json::{Value, json};

use super::*;

/// Makes a complete reply of Claude's.
fn reply(content: Value) -> Value {
    json!({
        "id": "msg_bdrk_0123456789abcdef01234567",
        "model": "claude-sonnet-4-20250514",
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": null,
        "usage": { "input_tokens": 12, "output_tokens": 7 },
    })
}

/// Returns the events of a reply with this text.
fn events_of(text: &str) -> Vec<Value> {
    events(&reply(json!([{ "type": "text", "text": text }])))
}

fn encoded(events: &[Value]) -> Vec<u8> {
    events.iter().flat_map(|event| encode(&chunk(event))).collect()
}

/// Returns frames with the usage and the text `はい`.
fn begun() -> Vec<u8> {
    let usage = json!({ "input_tokens": 12, "output_tokens": 1 });
    let start = json!({ "type": "message_start", "message": { "usage": usage } });
    encoded(&[start, text_delta(0, "は"), text_delta(0, "い")])
}

fn closing() -> Vec<u8> {
    encoded(&[json!({ "type": "message_stop" })])
}

/// Makes a delta whose JSON string holds these bytes, UTF-8 or not.
fn raw_delta(text: &[u8]) -> Frame {
    let mut json =
        br#"{"type":"content_block_delta","delta":{"type":"text_delta","text":""#.to_vec();
    for byte in text {
        match byte {
            b'"' | b'\\' => json.extend([b'\\', *byte]),
            0..0x20 => json.extend(format!("\\u{byte:04x}").bytes()),
            _ => json.push(*byte),
        }
    }
    json.extend(br#""}}"#);
    chunk_of(&json)
}

/// Makes a delta of escaped UTF-16 code units.
fn escaped_delta(units: &[u16]) -> Frame {
    let text: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
    let json = text_delta(0, "TEXT").to_string().replace("TEXT", &text);
    chunk_of(json.as_bytes())
}

/// Returns the steps of a decoder for these chunks. Checks that it ends, and that nothing follows the end.
fn steps<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Step> {
    let mut decoder = Decoder::default();
    let mut steps = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        steps.extend(from_fn(|| decoder.step()));
    }
    decoder.close();
    steps.extend(from_fn(|| decoder.step()));
    assert!(decoder.is_over());

    decoder.push(&[0; 16]);
    decoder.fail(InvokeError::Truncated);
    decoder.close();
    assert!(decoder.step().is_none() && decoder.is_over());
    let is_end = |step: &Step| matches!(step, Step::Done(_) | Step::Failed(_));
    assert_eq!(steps.iter().position(is_end), Some(steps.len() - 1), "{steps:?}");
    steps
}

/// Returns the text of all steps.
fn joined(steps: &[Step]) -> String {
    let texts = steps.iter().filter_map(|step| match step {
        Step::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
