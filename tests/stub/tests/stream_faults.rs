//! Every fault of a stream, as it arrives at a client.

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
use wire::{Answer, Chunks, exchange, send};

/// The frames of the reply to `fault:NAME`, whatever the name is.
const AROUND_THE_TOKENS: usize = 6;

async fn start() -> Stub {
    Stub::start(Settings::default()).await.unwrap()
}

fn call(stub: &Stub, prompt: &str) -> Call {
    let mut call = Call::new(claude(prompt));
    call.host = stub.url().replace("http://", "");
    call.target = STREAM_TARGET.to_owned();
    call
}

async fn ask(stub: &Stub, prompt: &str) -> Answer {
    exchange(&stub.url(), &call(stub, prompt).signed()).await
}

/// What a row looks at.
struct Seen {
    case: &'static str,
    answer: Answer,
    chunks: Chunks,
    decoded: Decoded,
}

impl Seen {
    /// A stream that is good to its end.
    fn events(&self) -> Vec<Value> {
        assert!(self.chunks.ended, "{}", self.case);
        self.decoded.events()
    }

    /// A whole stream that ends well, and its text is the reply's.
    fn is_good(&self) -> Vec<Value> {
        let events = self.events();
        let expected = format!("You said: \"fault:{}\"", self.case);
        assert!(text(&events).starts_with(&expected), "{}: {}", self.case, text(&events));
        assert_eq!(events.last().unwrap()["type"], "message_stop", "{}", self.case);
        events
    }

    /// Some good frames, and then an exception as the last one.
    fn ends_with(&self, good: usize, kind: &str) {
        let case = self.case;
        assert!(self.chunks.ended, "{case}");
        assert_eq!((self.decoded.left, &self.decoded.error), (0, &None), "{case}");
        let (last, before) = self.decoded.frames.split_last().unwrap();
        assert_eq!(before.len(), good, "{case}");
        assert!(before.iter().all(|it| header(it, ":event-type") == Some("chunk")), "{case}");
        assert_eq!(header(last, ":message-type"), Some("exception"), "{case}");
        assert_eq!(header(last, ":exception-type"), Some(kind), "{case}");
        assert!(event(last)["message"].is_string(), "{case}");
        let cause = kind == "modelStreamErrorException";
        assert_eq!(event(last)["originalStatusCode"].is_u64(), cause, "{case}");
        assert_eq!(event(last)["originalMessage"].is_string(), cause, "{case}");
    }

    /// Some good frames, and half of one.
    fn is_cut(&self, good: usize) {
        assert_eq!(self.decoded.frames.len(), good, "{}", self.case);
        assert_eq!(self.decoded.error, None, "{}", self.case);
        assert!(self.decoded.left > 12, "{}: more than the prelude", self.case);
    }

    /// Some good frames, and one that the decoder refuses, with more after it.
    fn is_refused(&self, good: usize, error: &str) {
        assert!(self.chunks.ended, "{}", self.case);
        assert_eq!(self.decoded.frames.len(), good, "{}", self.case);
        let refusal = self.decoded.error.as_deref().unwrap_or_default();
        assert!(refusal.contains(error), "{}: {refusal}", self.case);
        assert!(self.chunks.chunks.len() > good + 1, "{}", self.case);
    }
}

/// One row or more for each name of the table, and no other. `stream_stall` does not end: it is below.
#[tokio::test]
async fn every_fault_does_what_it_says() {
    type Check = fn(&Seen);
    let rows: &[(&str, Check)] = &[
        ("pace:1", |it| assert_eq!(it.is_good().len(), it.chunks.chunks.len())),
        ("stream_long:40", |it| {
            let words: String = (0..40).map(events::word).collect();
            let events = it.events();
            assert_eq!(text(&events), words);
            assert_eq!(events.len(), 40 + AROUND_THE_TOKENS);
            assert_eq!(events[44]["usage"]["output_tokens"], 40);
            assert_eq!(events[45][events::METRICS]["outputTokenCount"], 40);
        }),
        ("stream_long:0", |it| assert_eq!(it.events().len(), AROUND_THE_TOKENS)),
        ("stream_exception", |it| it.ends_with(4, "throttlingException")),
        ("stream_exception:0", |it| it.ends_with(0, "throttlingException")),
        ("stream_exception:3", |it| it.ends_with(3, "throttlingException")),
        ("stream_exception:9999", |it| {
            let good = it.decoded.frames.len() - 1;
            it.ends_with(good, "throttlingException");
            assert_eq!(event(&it.decoded.frames[good - 1])["type"], "message_stop");
        }),
        ("stream_model_error:2", |it| it.ends_with(2, "modelStreamErrorException")),
        ("stream_timeout:2", |it| it.ends_with(2, "modelTimeoutException")),
        ("stream_internal:2", |it| it.ends_with(2, "internalServerException")),
        ("stream_validation:2", |it| it.ends_with(2, "validationException")),
        ("stream_unavailable:2", |it| it.ends_with(2, "serviceUnavailableException")),
        ("stream_error:2", |it| {
            assert!(it.chunks.ended);
            assert_eq!((it.decoded.left, it.decoded.frames.len()), (0, 3));
            let last = &it.decoded.frames[2];
            assert_eq!(header(last, ":message-type"), Some("error"));
            assert_eq!(header(last, ":error-code"), Some("InternalFailure"));
            assert_eq!(header(last, ":error-message"), Some("An internal error occurred."));
            assert!(last.payload().is_empty());
        }),
        ("stream_bad_crc:5", |it| it.is_refused(5, "message checksum")),
        ("stream_bad_prelude:5", |it| {
            // This decoder waits for the length before it looks at the prelude's CRC.
            assert_eq!((it.decoded.frames.len(), &it.decoded.error), (5, &None));
            let bytes = it.chunks.chunks.concat();
            let bad = &bytes[bytes.len() - it.decoded.left..];
            assert_eq!(bad[..4], [0xff, 0xff, 0xff, 0xf0]);
            assert_ne!(bad[8..12], crc32fast::hash(&bad[..8]).to_be_bytes());
            assert!(it.chunks.ended);
        }),
        ("stream_cut:2", |it| {
            it.is_cut(2);
            assert!(it.chunks.ended);
        }),
        ("stream_cut:0", |it| it.is_cut(0)),
        ("stream_hang_up:2", |it| {
            it.is_cut(2);
            assert!(!it.chunks.ended);
        }),
        ("stream_hang_up:0", |it| {
            it.is_cut(0);
            assert!(!it.chunks.ended);
        }),
        ("stream_end", |it| {
            let events = it.events();
            assert_eq!(events.len(), 4);
            assert_eq!(text(&events), "You");
        }),
        ("stream_end:0", |it| assert_eq!(it.events(), [] as [Value; 0])),
        ("stream_not_frames", |it| {
            assert_eq!(it.answer.header("content-type"), Some("text/html"));
            assert!(it.answer.text().starts_with("<html>"));
        }),
        ("stream_not_frames:html", |it| {
            assert_eq!(it.answer.header("content-type"), Some("text/html"));
        }),
        ("stream_not_frames:json", |it| {
            assert_eq!(it.answer.header("content-type"), Some("application/json"));
            assert_eq!(it.answer.json()["stop_reason"], "end_turn");
        }),
        ("stream_not_frames:mislabelled", |it| {
            let content_type = it.answer.header("content-type");
            assert_eq!(content_type, Some("application/vnd.amazon.eventstream"));
            assert!(it.answer.text().starts_with("<html>"));
        }),
        ("stream_empty", |it| {
            let content_type = it.answer.header("content-type");
            assert_eq!(content_type, Some("application/vnd.amazon.eventstream"));
            assert_eq!(it.answer.text(), "0\r\n\r\n");
        }),
        ("stream_huge_frame:5", |it| {
            let bytes = it.chunks.chunks.concat();
            let at: usize = it.chunks.chunks[..5].iter().map(Vec::len).sum();
            let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            assert!((17 << 20..18 << 20).contains(&length), "{length}");
            assert_eq!(bytes[at + 8..at + 12], crc32fast::hash(&bytes[at..at + 8]).to_be_bytes());
            assert_eq!(it.is_good()[5]["type"], "ping");
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
            assert!(it.is_good().len() > 20);
            assert!(it.chunks.chunks.iter().all(|chunk| chunk.len() == 1));
        }),
        ("stream_glued", |it| {
            assert!(it.is_good().len() > 20);
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
        rows.iter().filter_map(|(words, _)| words.split(':').next()).collect();
    tested.dedup();
    let names = STREAM_FAULTS.iter().map(|fault| fault.name);
    let names: Vec<&str> = names.filter(|name| *name != "stream_stall").collect();
    assert_eq!(tested, names);

    let stub = start().await;
    for (case, check) in rows {
        println!("{case}");
        let prompt = format!("fault:{case}");
        let answer = timeout(Duration::from_secs(20), ask(&stub, &prompt)).await.expect("it ends");
        assert_eq!(answer.status(), 200, "{case}: {answer:?}");
        let chunked = answer.header("transfer-encoding").is_some();
        let chunks = if chunked { answer.chunks() } else { Chunks::default() };
        let decoded = decode(&chunks.chunks.concat());
        check(&Seen { case, answer, chunks, decoded });
    }
    let counts = stub.streams();
    let streams = rows.iter().filter(|(case, _)| !case.starts_with("stream_not_frames")).count();
    assert_eq!((counts.opened, counts.open()), (streams as u64, 0));
    assert_eq!(counts.cancelled, 0, "what the stand-in ends is not cancelled");
}

/// The JSON of a chunk as it was written.
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
    let mut answer = Vec::new();
    let reading = timeout(Duration::from_millis(500), stream.read_to_end(&mut answer)).await;
    assert!(reading.is_err(), "the connection is not closed");
    let chunks = wire::split(&answer).chunks();
    assert!(!chunks.ended);
    assert_eq!(decode(&chunks.chunks.concat()).events().len(), 5);
    assert_eq!((stub.streams().open(), stub.streams().frames_sent), (1, 5));
}

/// The faults of an invoke that a stream has too: an error before it, or other content in it.
#[tokio::test]
async fn the_faults_of_an_invoke() {
    const STREAMED: u16 = 0;
    let rows = [
        ("throttled", 429),
        ("server_error", 500),
        ("unavailable", 503),
        ("overloaded", 503),
        ("type_in_body", 429),
        ("slow:50", STREAMED),
        ("no_text", STREAMED),
        ("max-tokens-before-text", STREAMED),
        ("max-tokens-before-text:thinking", STREAMED),
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
        ("redirect", 302),
        ("garbage_headers", STREAMED),
    ];
    let tested = rows.iter().filter_map(|(words, _)| words.split(':').next());
    let mut tested: Vec<&str> = tested.chain(["hang_up_before"]).collect();
    let shared = FAULTS.iter().filter(|fault| fault.streams);
    let mut names: Vec<&str> = shared.map(|fault| fault.name).collect();
    tested.sort();
    tested.dedup();
    names.sort();
    assert_eq!(tested, names);

    let stub = start().await;
    for (words, status) in rows {
        let answer = ask(&stub, &format!("fault:{words}")).await;
        if status != STREAMED {
            assert_eq!(answer.status(), status, "{words}");
            assert_eq!(answer.header("x-amzn-bedrock-content-type"), None, "{words}");
            continue;
        }
        assert_eq!(answer.status(), 200, "{words}");
        let events = decode(&answer.chunks().chunks.concat()).events();
        let blocks: Vec<&str> =
            events.iter().filter_map(|event| event["content_block"]["type"].as_str()).collect();
        let reason = events[events.len() - 2]["delta"]["stop_reason"].as_str().unwrap();
        match words {
            "no_text" => assert_eq!(blocks, [""; 0]),
            "max-tokens-before-text" => {
                assert_eq!((blocks.as_slice(), reason), (&[][..], "max_tokens"));
            }
            "max-tokens-before-text:thinking" => {
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
                assert!(answer.header("x-amzn-requestid").unwrap().contains("not a uuid"));
            }
            _ => assert!(text(&events).starts_with("You said: "), "{words}"),
        }
    }
    assert_eq!(ask(&stub, "fault:hang_up_before").await.head, "");
}

#[tokio::test]
async fn how_a_prompt_asks() {
    let stub = start().await;
    let cases = [
        ("words after it", "fault:stream_end:2 and more", 200),
        ("no such name", "fault:stream", 400),
        ("one that only an invoke has", "fault:cut_off", 400),
        ("a number that is none", "fault:stream_end:two", 400),
        ("a negative number", "fault:stream_end:-1", 400),
        ("a pace that is none", "fault:pace:slow", 400),
        ("no number of words", "fault:stream_long:", 400),
        ("a long one's pace that is none", "fault:stream_long:1:slow", 400),
        ("a kind that is none", "fault:stream_not_frames:xml", 400),
    ];
    for (case, prompt, status) in cases {
        assert_eq!(ask(&stub, prompt).await.status(), status, "{case}");
    }
    let message = ask(&stub, "fault:stream_end:two").await.message();
    assert_eq!(message, "fault:stream_end takes a number of frames.");
    let message = ask(&stub, "fault:nothing").await.message();
    let listed: Vec<&str> =
        message.split_once("There are: ").unwrap().1.trim_end_matches('.').split(", ").collect();
    let shared = FAULTS.iter().filter(|fault| fault.streams).map(|fault| fault.name);
    let names = shared.chain(STREAM_FAULTS.iter().map(|fault| fault.name));
    assert_eq!(listed, names.collect::<Vec<_>>());

    // An invoke has none of a stream's own.
    let mut invoke = call(&stub, "fault:stream_end");
    invoke.target = signer::MODEL_TARGET.to_owned();
    assert_eq!(exchange(&stub.url(), &invoke.signed()).await.status(), 400);
}
