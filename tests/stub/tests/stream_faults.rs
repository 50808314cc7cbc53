//! The faults of `InvokeModelWithResponseStream`, as a client receives them.

mod decode;
mod signer;
mod wire;

use std::time::Duration;

use bedrock_stub::faults::{FAULTS, STREAM_FAULTS, UTF8_TEXT};
use bedrock_stub::{Settings, Stub, events};
use decode::{Decoded, decode, event, header, text, types};
use serde_json::Value;
use signer::{Call, STREAM_TARGET, claude};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::{Chunks, HttpResponse, exchange, send};

/// The number of frames of a text reply that are not tokens.
const FRAMES_WITHOUT_TOKENS: usize = 6;

async fn start() -> Stub {
    Stub::start(Settings::default()).await.unwrap()
}

fn call(stub: &Stub, prompt: &str) -> Call {
    let mut call = Call::new(claude(prompt));
    call.host = stub.url().replace("http://", "");
    call.target = STREAM_TARGET.to_owned();
    call
}

async fn ask(stub: &Stub, prompt: &str) -> HttpResponse {
    exchange(&stub.url(), &call(stub, prompt).signed()).await
}

/// The response that a row checks.
struct Received {
    case: &'static str,
    response: HttpResponse,
    chunks: Chunks,
    decoded: Decoded,
}

impl Received {
    /// Returns the events of a valid and complete stream.
    fn events(&self) -> Vec<Value> {
        assert!(self.chunks.ended, "{}", self.case);
        self.decoded.events()
    }

    /// Checks that the stream is the complete reply, and returns its events.
    fn assert_is_complete(&self) -> Vec<Value> {
        let events = self.events();
        let expected = format!("You said: \"fault:{}\"", self.case);
        assert!(text(&events).starts_with(&expected), "{}: {}", self.case, text(&events));
        assert_eq!(events.last().unwrap()["type"], "message_stop", "{}", self.case);
        events
    }

    /// Checks that the stream is this number of chunks, and then an exception.
    fn assert_ends_with_exception(&self, chunks: usize, kind: &str) {
        let case = self.case;
        assert!(self.chunks.ended, "{case}");
        assert_eq!((self.decoded.left, &self.decoded.error), (0, &None), "{case}");
        let (last, before) = self.decoded.frames.split_last().unwrap();
        assert_eq!(before.len(), chunks, "{case}");
        assert!(before.iter().all(|it| header(it, ":event-type") == Some("chunk")), "{case}");
        assert_eq!(header(last, ":message-type"), Some("exception"), "{case}");
        assert_eq!(header(last, ":exception-type"), Some(kind), "{case}");
        assert!(event(last)["message"].is_string(), "{case}");
        let has_cause = kind == "modelStreamErrorException";
        assert_eq!(event(last)["originalStatusCode"].is_u64(), has_cause, "{case}");
        assert_eq!(event(last)["originalMessage"].is_string(), has_cause, "{case}");
    }

    /// Checks that the stream is this number of frames, and then a part of one.
    fn assert_is_truncated(&self, frames: usize) {
        assert_eq!(self.decoded.frames.len(), frames, "{}", self.case);
        assert_eq!(self.decoded.error, None, "{}", self.case);
        assert!(self.decoded.left > 12, "{}: more than the prelude", self.case);
    }

    /// Checks that the stream is this number of frames, one that the decoder rejects, and more.
    fn assert_has_invalid_frame(&self, frames: usize, error: &str) {
        assert!(self.chunks.ended, "{}", self.case);
        assert_eq!(self.decoded.frames.len(), frames, "{}", self.case);
        let actual = self.decoded.error.as_deref().unwrap_or_default();
        assert!(actual.contains(error), "{}: {actual}", self.case);
        assert!(self.chunks.chunks.len() > frames + 1, "{}", self.case);
    }
}

/// Has at least one row for each name in [`STREAM_FAULTS`], so that no fault is untested.
/// `stream_stall`, which does not end, has a test of its own.
#[tokio::test]
async fn every_stream_fault_has_its_documented_stream() {
    type Check = fn(&Received);
    let rows: &[(&str, Check)] = &[
        ("pace:1", |it| assert_eq!(it.assert_is_complete().len(), it.chunks.chunks.len())),
        ("stream_long:40", |it| {
            let words: String = (0..40).map(events::word).collect();
            let events = it.events();
            assert_eq!(text(&events), words);
            assert_eq!(events.len(), 40 + FRAMES_WITHOUT_TOKENS);
            assert_eq!(events[44]["usage"]["output_tokens"], 40);
            assert_eq!(events[45][events::METRICS]["outputTokenCount"], 40);
        }),
        ("stream_long:0", |it| assert_eq!(it.events().len(), FRAMES_WITHOUT_TOKENS)),
        ("stream_exception", |it| it.assert_ends_with_exception(4, "throttlingException")),
        ("stream_exception:0", |it| it.assert_ends_with_exception(0, "throttlingException")),
        ("stream_exception:3", |it| it.assert_ends_with_exception(3, "throttlingException")),
        ("stream_exception:9999", |it| {
            let chunks = it.decoded.frames.len() - 1;
            it.assert_ends_with_exception(chunks, "throttlingException");
            assert_eq!(event(&it.decoded.frames[chunks - 1])["type"], "message_stop");
        }),
        ("stream_model_error:2", |it| {
            it.assert_ends_with_exception(2, "modelStreamErrorException")
        }),
        ("stream_timeout:2", |it| it.assert_ends_with_exception(2, "modelTimeoutException")),
        ("stream_internal:2", |it| it.assert_ends_with_exception(2, "internalServerException")),
        ("stream_validation:2", |it| it.assert_ends_with_exception(2, "validationException")),
        ("stream_unavailable:2", |it| {
            it.assert_ends_with_exception(2, "serviceUnavailableException")
        }),
        ("stream_error:2", |it| {
            assert!(it.chunks.ended);
            assert_eq!((it.decoded.left, it.decoded.frames.len()), (0, 3));
            let last = &it.decoded.frames[2];
            assert_eq!(header(last, ":message-type"), Some("error"));
            assert_eq!(header(last, ":error-code"), Some("InternalFailure"));
            assert_eq!(header(last, ":error-message"), Some("An internal error occurred."));
            assert!(last.payload().is_empty());
        }),
        ("stream_bad_crc:5", |it| it.assert_has_invalid_frame(5, "message checksum")),
        ("stream_bad_prelude:5", |it| {
            // This decoder waits for the length before it checks the CRC of the prelude.
            assert_eq!((it.decoded.frames.len(), &it.decoded.error), (5, &None));
            let bytes = it.chunks.chunks.concat();
            let bad = &bytes[bytes.len() - it.decoded.left..];
            assert_eq!(bad[..4], [0xff, 0xff, 0xff, 0xf0]);
            assert_ne!(bad[8..12], crc32fast::hash(&bad[..8]).to_be_bytes());
            assert!(it.chunks.ended);
        }),
        ("stream_cut:2", |it| {
            it.assert_is_truncated(2);
            assert!(it.chunks.ended);
        }),
        ("stream_cut:0", |it| it.assert_is_truncated(0)),
        ("stream_hang_up:2", |it| {
            it.assert_is_truncated(2);
            assert!(!it.chunks.ended);
        }),
        ("stream_hang_up:0", |it| {
            it.assert_is_truncated(0);
            assert!(!it.chunks.ended);
        }),
        ("stream_end", |it| {
            let events = it.events();
            assert_eq!(events.len(), 4);
            assert_eq!(text(&events), "You");
        }),
        ("stream_end:0", |it| assert_eq!(it.events(), [] as [Value; 0])),
        ("stream_not_frames", |it| {
            assert_eq!(it.response.header("content-type"), Some("text/html"));
            assert!(it.response.text().starts_with("<html>"));
        }),
        ("stream_not_frames:html", |it| {
            assert_eq!(it.response.header("content-type"), Some("text/html"));
        }),
        ("stream_not_frames:json", |it| {
            assert_eq!(it.response.header("content-type"), Some("application/json"));
            assert_eq!(it.response.json()["stop_reason"], "end_turn");
        }),
        ("stream_not_frames:mislabelled", |it| {
            let content_type = it.response.header("content-type");
            assert_eq!(content_type, Some("application/vnd.amazon.eventstream"));
            assert!(it.response.text().starts_with("<html>"));
        }),
        ("stream_empty", |it| {
            let content_type = it.response.header("content-type");
            assert_eq!(content_type, Some("application/vnd.amazon.eventstream"));
            assert_eq!(it.response.text(), "0\r\n\r\n");
        }),
        ("stream_huge_frame:5", |it| {
            let bytes = it.chunks.chunks.concat();
            let at: usize = it.chunks.chunks[..5].iter().map(Vec::len).sum();
            let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            assert!((17 << 20..18 << 20).contains(&length), "{length}");
            assert_eq!(bytes[at + 8..at + 12], crc32fast::hash(&bytes[at..at + 8]).to_be_bytes());
            assert_eq!(it.assert_is_complete()[5]["type"], "ping");
        }),
        ("stream_thinking", |it| {
            let events = it.events();
            let deltas: Vec<&str> =
                events.iter().filter_map(|event| event["delta"]["type"].as_str()).collect();
            for kind in [
                "thinking_delta",
                "signature_delta",
                "input_json_delta",
                "sculpture_delta",
                "text_delta",
            ] {
                assert!(deltas.contains(&kind), "{kind}");
            }
            assert!(types(&events).contains(&"content_block_aside"));
            let aside = |it: &&_| header(it, ":event-type") == Some("aside");
            assert_eq!(it.decoded.frames.iter().filter(aside).count(), 1);
            let input: String =
                events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
            assert_eq!(input, r#"{"city":"東京"}"#);
            let thought: String =
                events.iter().filter_map(|event| event["delta"]["thinking"].as_str()).collect();
            assert_eq!(thought, "Which tool tells the weather?");
            assert!(text(&events).starts_with("You said: "), "{}", text(&events));
        }),
        ("stream_split", |it| {
            assert!(it.assert_is_complete().len() > 20);
            assert!(it.chunks.chunks.iter().all(|chunk| chunk.len() == 1));
        }),
        ("stream_glued", |it| {
            assert!(it.assert_is_complete().len() > 20);
            assert_eq!(it.chunks.chunks.len(), 1);
        }),
        ("stream_utf8", |it| {
            assert_eq!(text(&it.events()), UTF8_TEXT);
            let raw: Vec<String> = it.decoded.frames.iter().map(raw_chunk).collect();
            assert!(raw.iter().any(|json| json.contains(r"\ud83d\ude00")));
            assert!(raw.iter().any(|json| !json.is_ascii()));
        }),
    ];
    let mut tested: Vec<&str> =
        rows.iter().filter_map(|(case, _)| case.split(':').next()).collect();
    tested.dedup();
    let names = STREAM_FAULTS.iter().map(|fault| fault.name);
    let names: Vec<&str> = names.filter(|name| *name != "stream_stall").collect();
    assert_eq!(tested, names);

    let stub = start().await;
    for (case, check) in rows {
        println!("{case}");
        let prompt = format!("fault:{case}");
        let response =
            timeout(Duration::from_secs(20), ask(&stub, &prompt)).await.expect("the stream ends");
        assert_eq!(response.status(), 200, "{case}: {response:?}");
        let chunked = response.header("transfer-encoding").is_some();
        let chunks = if chunked { response.chunks() } else { Chunks::default() };
        let decoded = decode(&chunks.chunks.concat());
        check(&Received { case, response, chunks, decoded });
    }
    let counts = stub.streams();
    let streams = rows.iter().filter(|(case, _)| !case.starts_with("stream_not_frames")).count();
    assert_eq!((counts.opened, counts.open()), (streams as u64, 0));
    assert_eq!(counts.cancelled, 0, "a stream that a fault ends is not cancelled");
}

/// Returns the JSON of a chunk, not parsed.
fn raw_chunk(message: &aws_smithy_types::event_stream::Message) -> String {
    use base64::Engine;
    let payload: Value = serde_json::from_slice(message.payload()).unwrap();
    let bytes = payload["bytes"].as_str().unwrap();
    String::from_utf8(base64::prelude::BASE64_STANDARD.decode(bytes).unwrap()).unwrap()
}

#[tokio::test]
async fn a_stalled_stream_stays_open() {
    let stub = start().await;
    let mut stream = TcpStream::connect(stub.url().replace("http://", "")).await.unwrap();
    send(&mut stream, &call(&stub, "fault:stream_stall:5").signed()).await;
    let mut response = Vec::new();
    let reading = timeout(Duration::from_millis(500), stream.read_to_end(&mut response)).await;
    assert!(reading.is_err(), "the connection is not closed");
    let chunks = wire::split(&response).chunks();
    assert!(!chunks.ended);
    assert_eq!(decode(&chunks.chunks.concat()).events().len(), 5);
    assert_eq!((stub.streams().open(), stub.streams().frames_sent), (1, 5));
}

/// A shared fault is an error in place of a stream, or other content in it.
#[tokio::test]
async fn a_stream_shares_the_faults_of_invoke_model() {
    const STREAMED: u16 = 0;
    let rows = [
        ("throttled", 429),
        ("server_error", 500),
        ("unavailable", 503),
        ("overloaded", 503),
        ("type_in_body", 429),
        ("slow:50", STREAMED),
        ("no_text", STREAMED),
        ("max_tokens_before_text", STREAMED),
        ("max_tokens_before_text:thinking", STREAMED),
        ("refusal", STREAMED),
        ("tool_only", STREAMED),
        ("thinking_first", STREAMED),
        ("unknown_operation", 200),
        ("unknown_stop_reason", STREAMED),
        ("access_denied", 403),
        ("bad_signature", 403),
        ("expired_token", 403),
        ("validation", 400),
        ("not_found", 404),
        ("model_timeout", 408),
        ("model_error", 424),
        ("model_not_ready", 429),
        ("quota", 400),
        ("redirect", 302),
        ("garbage_headers", STREAMED),
    ];
    let tested = rows.iter().filter_map(|(case, _)| case.split(':').next());
    let mut tested: Vec<&str> = tested.chain(["hang_up_before"]).collect();
    let shared = FAULTS.iter().filter(|fault| fault.streams);
    let mut names: Vec<&str> = shared.map(|fault| fault.name).collect();
    tested.sort();
    tested.dedup();
    names.sort();
    assert_eq!(tested, names);

    let stub = start().await;
    for (case, status) in rows {
        let response = ask(&stub, &format!("fault:{case}")).await;
        if status != STREAMED {
            assert_eq!(response.status(), status, "{case}");
            assert_eq!(response.header("x-amzn-bedrock-content-type"), None, "{case}");
            continue;
        }
        assert_eq!(response.status(), 200, "{case}");
        let events = decode(&response.chunks().chunks.concat()).events();
        let blocks: Vec<&str> =
            events.iter().filter_map(|event| event["content_block"]["type"].as_str()).collect();
        let reason = events[events.len() - 2]["delta"]["stop_reason"].as_str().unwrap();
        match case {
            "no_text" => assert_eq!(blocks, [""; 0]),
            "max_tokens_before_text" => {
                assert_eq!((blocks.as_slice(), reason), (&[][..], "max_tokens"));
            }
            "max_tokens_before_text:thinking" => {
                assert_eq!((blocks.as_slice(), reason), (&["thinking"][..], "max_tokens"));
            }
            "refusal" => assert_eq!((blocks.as_slice(), reason), (&[][..], "refusal")),
            "tool_only" => assert_eq!((blocks.as_slice(), reason), (&["tool_use"][..], "tool_use")),
            "thinking_first" => {
                assert_eq!(blocks, ["thinking", "redacted_thinking", "text", "text"]);
                assert_eq!(text(&events), "The first part, and the second.");
            }
            "unknown_stop_reason" => assert_eq!(reason, "ran_out_of_ink"),
            "garbage_headers" => {
                assert!(reason.contains("\r\n"));
                assert!(response.header("x-amzn-requestid").unwrap().contains("not a uuid"));
            }
            _ => assert!(text(&events).starts_with("You said: "), "{case}"),
        }
    }
    assert_eq!(ask(&stub, "fault:hang_up_before").await.head, "");
}

#[tokio::test]
async fn a_prompt_demands_a_fault_of_a_stream_with_its_arguments() {
    let stub = start().await;
    let cases = [
        ("text after it", "fault:stream_end:2 and more", 200),
        ("no such name", "fault:stream", 400),
        ("a fault of InvokeModel only", "fault:cut_off", 400),
        ("not a number", "fault:stream_end:two", 400),
        ("a negative number", "fault:stream_end:-1", 400),
        ("not a delay", "fault:pace:slow", 400),
        ("an empty number of words", "fault:stream_long:", 400),
        ("not a delay of a long stream", "fault:stream_long:1:slow", 400),
        ("an unknown kind", "fault:stream_not_frames:xml", 400),
    ];
    for (case, prompt, status) in cases {
        assert_eq!(ask(&stub, prompt).await.status(), status, "{case}");
    }
    let message = ask(&stub, "fault:stream_end:two").await.message();
    assert_eq!(message, "fault:stream_end: expected a number of frames, got 'two'.");
    let message = ask(&stub, "fault:nothing").await.message();
    let listed: Vec<&str> = message
        .split_once("Expected one of: ")
        .unwrap()
        .1
        .trim_end_matches('.')
        .split(", ")
        .collect();
    let shared = FAULTS.iter().filter(|fault| fault.streams).map(|fault| fault.name);
    let names = shared.chain(STREAM_FAULTS.iter().map(|fault| fault.name));
    assert_eq!(listed, names.collect::<Vec<_>>());

    // `InvokeModel` does not have the faults that only a stream has.
    let mut invoke = call(&stub, "fault:stream_end");
    invoke.target = signer::MODEL_TARGET.to_owned();
    assert_eq!(exchange(&stub.url(), &invoke.signed()).await.status(), 400);
}
