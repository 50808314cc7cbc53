//! `tests/frames`: the bytes of each case, made here with the stand-in's encoder, and the expected events and record,
//! written by hand. `UPDATE_FRAMES=1 cargo test --lib frames_are_up_to_date` writes the bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use bedrock_stub::frames::{error, event, exception, prelude};
use bytes::Bytes;

use super::*;
use crate::host::Runtime;
use crate::log::Record;
use crate::server::{WebSocket, socket_handler};
use crate::testing::{ONCE, Scripted, Watched, isolate};

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/frames").join(file)
}

/// Returns the name and the bytes of every case.
pub(super) fn fixtures() -> Vec<(&'static str, Vec<u8>)> {
    let whole = |text: &str| encoded(&events_of(text));
    let begun_and = |frame: &Frame| [begun(), encode(frame)].concat();
    let with_text = |frames: &[Frame]| {
        let frames: Vec<u8> = frames.iter().flat_map(encode).collect();
        [frames, closing()].concat()
    };
    let next = encode(&chunk(&text_delta(0, "。")));
    let headers = 12 + u32::from_be_bytes(next[4..8].try_into().unwrap()) as usize;
    let cut = |at: usize| [begun(), next[..at].to_vec()].concat();
    let flipped = |at: usize| {
        let mut frame = next.clone();
        frame[at] ^= 1;
        [begun(), frame, closing()].concat()
    };
    let throttled = exception("throttlingException", "Too many naisho requests");
    let untyped = Frame { headers: Vec::new(), payload: chunk(&text_delta(0, "x")).payload };

    vec![
        ("japanese", whole("元気です。")),
        ("emoji", whole("👩‍👧🎌")),
        ("line-breaks-and-quotes", whole("a\r\n\"b\u{2028}\\")),
        ("divided-characters", with_text(&"é日😀".bytes().map(|it| raw_delta(&[it])).collect::<Vec<_>>())),
        ("divided-surrogates", with_text(&[&[0x61, 0xd83d], &[0xde00][..], &[0xd83c], &[0xdf8c, 0x62]].map(escaped_delta))),
        ("ends-in-half-a-character", with_text(&[raw_delta("あ日".as_bytes().split_at(5).0)])),
        ("ends-in-half-a-surrogate-pair", with_text(&[escaped_delta(&[0x3042, 0xd83d])])),
        ("thinking-and-tools", thinking_and_tools()), ("unknown", unknown()),
        ("exception-first", [encode(&throttled), begun()].concat()),
        ("exception-after-text", [begun_and(&throttled), closing()].concat()),
        ("error-message", [begun_and(&error("InternalFailure", "naisho")), closing()].concat()),
        ("error-event-of-claude", [begun_and(&chunk(&json!({ "type": "error", "error": { "type": "overloaded_error", "message": "naisho" } }))), closing()].concat()),
        ("cut-in-prelude", cut(6)),
        ("cut-in-headers", cut(headers - 5)),
        ("cut-in-payload", cut(headers + 5)),
        ("cut-in-crc", cut(next.len() - 2)),
        ("no-message-stop", begun()),
        ("bad-message-crc", flipped(next.len() - 1)),
        ("bad-prelude-crc", flipped(1)),
        ("huge-length", [begun(), prelude(0xffff_fff0, 0x57).to_vec(), closing()].concat()),
        ("short-length", [begun(), prelude(15, 0).to_vec(), closing()].concat()),
        ("bytes-after-message-stop", [whole("はい"), begun_and(&throttled), b"<html>".to_vec()].concat()),
        ("empty", Vec::new()),
        ("html", b"<!doctype html>\n<title>Welcome</title>\n<h1>naisho</h1>\n".to_vec()),
        ("chunk-not-base64", [begun_and(&event("chunk", br#"{"bytes":"naisho!"}"#.to_vec())), closing()].concat()),
        ("chunk-not-an-event", [begun_and(&chunk(&json!({ "text": "naisho" }))), closing()].concat()),
        ("payload-not-a-chunk", [begun_and(&event("chunk", b"naisho".to_vec())), closing()].concat()),
        ("no-message-type", [begun_and(&untyped), closing()].concat()),
    ]
}

fn thinking_and_tools() -> Vec<u8> {
    encoded(&events(&reply(json!([
        { "type": "thinking", "thinking": "Hm", "signature": "c2ln" },
        { "type": "redacted_thinking", "data": "cmVkYWN0ZWQ=" },
        { "type": "text", "text": "一" },
        { "type": "tool_use", "id": "toolu_1", "name": "f", "input": {} },
    ]))))
}

/// Returns events and a frame of unknown types, each with a `text` that is not part of the reply.
fn unknown() -> Vec<u8> {
    let events = [
        json!({ "type": "content_block_start", "content_block": { "type": "sculpture", "text": "naisho" } }),
        json!({ "type": "content_block_delta", "delta": { "type": "sculpture_delta", "text": "naisho" } }),
        json!({ "type": "content_block_aside", "delta": { "type": "text_delta", "text": "naisho" } }),
    ];
    let frame = event("aside", chunk(&text_delta(0, "naisho")).payload);
    [encoded(&events), encode(&frame), begun(), closing()].concat()
}

#[test]
fn frames_are_up_to_date() {
    let update = std::env::var_os("UPDATE_FRAMES").is_some();
    let mut expected = BTreeSet::from(["README.md".to_owned()]);
    for (name, bytes) in fixtures() {
        let file = format!("{name}.bin");
        if update {
            fs::write(path(&file), &bytes).unwrap();
        }
        assert!(fs::read(path(&file)).is_ok_and(|it| it == bytes), "{name}");
        expected.extend([file, format!("{name}.json")]);
    }
    let files = fs::read_dir(path("")).unwrap();
    let files: BTreeSet<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, expected);
}

/// Returns the messages for a reply that arrives in these chunks, and the record.
async fn stream(chunks: Vec<&[u8]>) -> (Vec<Value>, Record) {
    let chunks = chunks.into_iter().map(Bytes::copy_from_slice);
    let host = Scripted::new().then(200, &[], Watched::in_chunks(chunks));
    let isolate = isolate(&[ONCE]);
    let socket = WebSocket::trusted(&isolate).unwrap();
    let parse = |message: &str| serde_json::from_str(message).unwrap();
    let message = json!({ "prompt": "himitsu の計画を要約してください。" }).to_string();
    let mut streaming = match socket_handler(message.into(), &socket, &host).await {
        Ok(streaming) => streaming,
        Err((message, record)) => return (vec![parse(&message)], record),
    };
    let mut messages = Vec::new();
    while let Some(event) = streaming.next(&host).await {
        messages.push(parse(&event.to_message()));
    }
    (messages, streaming.generation.finish(host.now()).0)
}

#[tokio::test]
async fn each_fixture_leads_to_its_events_and_its_record() {
    let mut wrong = Vec::new();
    for (name, bytes) in fixtures() {
        let expected = fs::read(path(&format!("{name}.json"))).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        for chunks in [vec![&bytes[..]], bytes.chunks(1).collect()] {
            let (events, record) = stream(chunks).await;
            let record = serde_json::to_value(record).unwrap();
            let keys =
                ["outcome", "status", "input_tokens", "output_tokens", "stop_reason", "error"];
            let record: Value = keys
                .into_iter()
                .filter_map(|key| Some((key.to_owned(), record.get(key)?.clone())))
                .collect::<serde_json::Map<_, _>>()
                .into();
            let actual = json!({ "events": events, "record": record });
            if actual != expected {
                wrong.push(format!("{name}: {actual}"));
            }
            let shown = actual["events"].to_string();
            assert!(!shown.contains("naisho"), "{name}: {shown}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
