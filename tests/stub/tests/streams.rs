//! `InvokeModelWithResponseStream` over real HTTP: the content and timing of a stream, and clients
//! that read slowly or disconnect.

mod decode;
mod signer;
mod wire;

use std::time::{Duration, Instant};

use bedrock_stub::{Settings, StreamCounts, Stub, events};
use decode::{decode, text, types};
use serde_json::{Value, json};
use signer::{Call, STREAM_TARGET, claude};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use wire::{HttpResponse, exchange, send};

const PATIENCE: Duration = Duration::from_secs(10);

async fn start() -> Stub {
    Stub::start(Settings::default()).await.unwrap()
}

fn call(stub: &Stub, body: impl Into<String>) -> Call {
    let mut call = Call::new(body);
    call.host = stub.url().replace("http://", "");
    call.target = STREAM_TARGET.to_owned();
    call
}

async fn ask(stub: &Stub, body: impl Into<String>) -> HttpResponse {
    exchange(&stub.url(), &call(stub, body).signed()).await
}

/// Returns the events of a valid and complete stream.
fn events_of(response: &HttpResponse) -> Vec<Value> {
    assert_eq!(response.status(), 200, "{response:?}");
    let chunks = response.chunks();
    assert!(chunks.ended);
    decode(&chunks.chunks.concat()).events()
}

/// Waits until the counts satisfy a condition.
async fn counts_when(stub: &Stub, condition: impl Fn(&StreamCounts) -> bool) -> StreamCounts {
    let started = Instant::now();
    while !condition(&stub.streams()) {
        assert!(started.elapsed() < PATIENCE, "{:?}", stub.streams());
        sleep(Duration::from_millis(5)).await;
    }
    stub.streams()
}

#[tokio::test]
async fn a_reply_is_streamed_in_the_events_of_claude() {
    let stub = start().await;
    let body = claude("Hi");
    let response = ask(&stub, &*body).await;
    assert_eq!(response.header("content-type"), Some("application/vnd.amazon.eventstream"));
    assert_eq!(response.header("x-amzn-bedrock-content-type"), Some("application/json"));
    assert_eq!(response.header("x-amzn-requestid"), Some("00000000-0000-4000-8000-000000000000"));
    assert_eq!(response.header("content-length"), None);

    let mut events = events_of(&response);
    let id = events[0]["message"]["id"].take();
    assert!(id.as_str().is_some_and(|id| id.starts_with("msg_bdrk_")), "{id}");
    assert_eq!(
        events[..4],
        [
            json!({
                "type": "message_start",
                "message": {
                    "id": null,
                    "type": "message",
                    "role": "assistant",
                    "model": "claude-sonnet-4-20250514",
                    "content": [],
                    "stop_reason": null,
                    "stop_sequence": null,
                    "usage": {
                        "input_tokens": 1,
                        "cache_creation_input_tokens": 0,
                        "cache_read_input_tokens": 0,
                        "output_tokens": 1,
                    },
                },
            }),
            json!({
                "type": "content_block_start",
                "index": 0,
                "content_block": { "type": "text", "text": "" },
            }),
            json!({ "type": "ping" }),
            json!({
                "type": "content_block_delta",
                "index": 0,
                "delta": { "type": "text_delta", "text": "You" },
            }),
        ]
    );
    let mut end = events.split_off(events.len() - 3);
    let metrics = &mut end[2]["amazon-bedrock-invocationMetrics"];
    let latency = metrics["invocationLatency"].take().as_u64().unwrap();
    assert!(metrics["firstByteLatency"].take().as_u64().unwrap() <= latency);
    assert_eq!(
        end,
        [
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({
                "type": "message_delta",
                "delta": { "stop_reason": "end_turn", "stop_sequence": null },
                "usage": { "output_tokens": 19 },
            }),
            json!({
                "type": "message_stop",
                "amazon-bedrock-invocationMetrics": {
                    "inputTokenCount": 1,
                    "outputTokenCount": 19,
                    "invocationLatency": null,
                    "firstByteLatency": null,
                },
            }),
        ]
    );
    assert_eq!(events.len(), 3 + 19, "one delta per token");
    assert_eq!(
        stub.streams(),
        StreamCounts { opened: 1, finished: 1, cancelled: 0, frames_sent: 25 }
    );
}

#[tokio::test]
async fn the_concatenated_deltas_are_the_text_of_invoke_model() {
    let stub = start().await;
    let limited = |max_tokens: u64, stop_sequences: &[&str]| {
        json!({
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": max_tokens,
            "stop_sequences": stop_sequences,
            "messages": [{ "role": "user", "content": "Hello" }],
        })
        .to_string()
    };
    let cases = [
        ("english", claude("Hello, world!")),
        ("japanese", claude("東京の天気は?")),
        ("emoji", claude("😀👨‍👩‍👧\u{301}")),
        ("quotes and controls", claude("\"\\\u{0}\u{7f}\r\n\t</script>")),
        ("max_tokens", limited(3, &[])),
        ("a stop sequence", limited(99, &[" said"])),
        ("nothing", limited(99, &["You"])),
    ];
    for (case, body) in cases {
        let mut invoke = Call::new(&*body);
        invoke.host = stub.url().replace("http://", "");
        let reply = exchange(&stub.url(), &invoke.signed()).await.json();
        let events = events_of(&ask(&stub, body).await);
        assert_eq!(text(&events), reply["content"][0]["text"].as_str().unwrap_or(""), "{case}");
        assert_eq!(events[0]["message"]["id"], reply["id"], "{case}");
        let input_tokens = &reply["usage"]["input_tokens"];
        assert_eq!(events[0]["message"]["usage"]["input_tokens"], *input_tokens, "{case}");
        let [.., delta, _] = events.as_slice() else { panic!("{case}") };
        assert_eq!(delta["delta"]["stop_reason"], reply["stop_reason"], "{case}");
        assert_eq!(delta["delta"]["stop_sequence"], reply["stop_sequence"], "{case}");
        assert_eq!(delta["usage"]["output_tokens"], reply["usage"]["output_tokens"], "{case}");
    }
    let without_text = events_of(&ask(&stub, limited(99, &["You"])).await);
    assert_eq!(types(&without_text), ["message_start", "ping", "message_delta", "message_stop"]);
}

#[tokio::test]
async fn an_invalid_request_gets_an_error_and_no_stream() {
    let stub = start().await;
    let mut bad_secret = call(&stub, claude("Hello"));
    bad_secret.key.secret.push('x');
    let mut bad_model = call(&stub, claude("Hello"));
    bad_model.target = "/model/amazon.titan-text-express-v1/invoke-with-response-stream".to_owned();
    let mut bad_type = call(&stub, claude("Hello"));
    bad_type.headers = vec![("content-type", "text/plain")];
    let cases = [
        ("a secret", bad_secret, 403, "InvalidSignatureException"),
        ("a model", bad_model, 400, "ValidationException"),
        ("a content type", bad_type, 400, "ValidationException"),
        ("a body", call(&stub, "{}"), 400, "ValidationException"),
    ];
    for (case, call, status, name) in cases {
        let response = exchange(&stub.url(), &call.signed()).await;
        assert_eq!(response.status(), status, "{case}");
        let error_type = response.header("x-amzn-errortype").unwrap();
        assert!(error_type.starts_with(name), "{case}: {error_type}");
        assert_eq!(response.header("content-type"), Some("application/json"), "{case}");
        assert!(!response.message().is_empty(), "{case}");
    }
    assert_eq!(stub.streams(), StreamCounts::default());
}

#[tokio::test]
async fn the_delay_before_a_frame_is_that_of_the_prompt_or_the_settings() {
    let frame_delay = Duration::from_millis(10);
    let stub = Stub::start(Settings { frame_delay, ..Settings::default() }).await.unwrap();
    let cases = [
        ("the settings", "Hi", 25, 10),
        ("a pace", "fault:pace:20", 29, 20),
        ("a long one", "fault:stream_long:4", 10, 10),
        ("a long one with a pace", "fault:stream_long:4:30", 10, 30),
    ];
    for (case, prompt, frames, milliseconds) in cases {
        let started = Instant::now();
        let events = events_of(&ask(&stub, claude(prompt)).await);
        let expected = Duration::from_millis(frames * milliseconds);
        assert_eq!(events.len() as u64, frames, "{case}");
        assert!(started.elapsed() >= expected, "{case}: {:?}", started.elapsed());
        let metrics = &events.last().unwrap()[events::METRICS];
        let latency = metrics["invocationLatency"].as_u64().unwrap();
        assert!(latency >= frames * milliseconds, "{case}: {latency}");
        let first_byte = metrics["firstByteLatency"].as_u64().unwrap();
        assert!((milliseconds..latency).contains(&first_byte), "{case}: {first_byte}");
    }
}

#[tokio::test]
async fn a_prompt_can_demand_frames_without_delay() {
    let frame_delay = Duration::from_secs(3600);
    let stub = Stub::start(Settings { frame_delay, ..Settings::default() }).await.unwrap();
    for prompt in ["fault:pace:0", "fault:stream_long:9:0"] {
        let response = timeout(PATIENCE, ask(&stub, claude(prompt))).await.expect(prompt);
        events_of(&response);
    }
}

#[tokio::test]
async fn a_frame_is_flushed_before_the_delay_of_the_next() {
    let stub = start().await;
    let mut stream = TcpStream::connect(stub.url().replace("http://", "")).await.unwrap();
    send(&mut stream, &call(&stub, claude("fault:stream_long:3:500")).signed()).await;
    let mut response = Vec::new();
    for frames in 1..=2 {
        while decoded_frames(&response) < frames {
            let read = timeout(PATIENCE, stream.read_buf(&mut response)).await.unwrap().unwrap();
            assert_ne!(read, 0);
        }
        assert_eq!(decoded_frames(&response), frames);
        assert_eq!(stub.streams().frames_sent, frames as u64);
    }
}

fn decoded_frames(response: &[u8]) -> usize {
    let response = wire::split(response);
    if response.head.is_empty() || response.body.is_empty() {
        return 0;
    }
    decode(&response.chunks().chunks.concat()).frames.len()
}

#[tokio::test]
async fn a_stream_whose_client_disconnects_is_counted_as_cancelled() {
    let stub = start().await;
    let cases = [
        ("in a delay", "fault:pace:60000:", 0),
        ("after some frames", "fault:stream_stall:6", 6),
        ("between frames", "fault:stream_long:1000000:20", 3),
    ];
    for (number, (case, prompt, frames)) in (1..).zip(cases) {
        let before = stub.streams();
        let mut stream = TcpStream::connect(stub.url().replace("http://", "")).await.unwrap();
        send(&mut stream, &call(&stub, claude(prompt)).signed()).await;
        let counts = counts_when(&stub, |now| {
            now.open() == 1 && now.frames_sent - before.frames_sent >= frames
        })
        .await;
        assert_eq!((counts.opened, counts.cancelled), (number, number - 1), "{case}");
        drop(stream);
        let counts = counts_when(&stub, |now| now.cancelled == number).await;
        assert_eq!((counts.open(), counts.finished), (0, 0), "{case}");
        sleep(Duration::from_millis(50)).await;
        assert_eq!(stub.streams(), counts, "{case}: nothing more is sent");
    }
}

#[tokio::test]
async fn a_stream_waits_for_a_client_that_does_not_read() {
    const WORDS: u64 = 1_000_000;
    let stub = start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let address = stub.url().replace("http://", "").parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    send(&mut stream, &call(&stub, claude(&format!("fault:stream_long:{WORDS}"))).signed()).await;

    let blocked = settled_counts(&stub).await;
    // A frame has about 250 bytes, and the buffers of both sides hold no more than this.
    assert!((10..5_000).contains(&blocked.frames_sent), "{blocked:?}");
    assert_eq!((blocked.open(), blocked.finished), (1, 0));

    let mut read = vec![0; 1_000_000];
    timeout(PATIENCE, stream.read_exact(&mut read)).await.unwrap().unwrap();
    let later = settled_counts(&stub).await;
    let more = later.frames_sent - blocked.frames_sent;
    assert!((2_000..10_000).contains(&more), "the stream goes on, and blocks again: {more}");
    drop(stream);
    let counts = counts_when(&stub, |now| now.cancelled == 1).await;
    assert!(counts.frames_sent < WORDS / 10, "{counts:?}");
}

/// Waits until the counts no longer change.
async fn settled_counts(stub: &Stub) -> StreamCounts {
    let started = Instant::now();
    let mut last = stub.streams();
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(200) || last.frames_sent == 0 {
        assert!(started.elapsed() < PATIENCE, "{last:?}");
        sleep(Duration::from_millis(10)).await;
        if stub.streams() != last {
            last = stub.streams();
            since = Instant::now();
        }
    }
    last
}
