//! Memory: nothing that one caller can send makes workerd grow by more than a bound. An isolate has 128 MB.
//!
//! Out of scope: memory over time (soak.rs).

use std::time::Duration;

use bedrock_stub::Settings;
use futures_util::future::{BoxFuture, join_all};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::client::{Connection, Response};
use crate::support::fixture::{Fixture, runtime};
use crate::support::websocket::TEXT;
use crate::support::workerd::{Workerd, resident_memory};

/// The permitted growth of workerd's memory in MiB.
const GROWTH: u64 = 60;

/// The growth in MiB by the messages of WebSockets, which workerd keeps in memory as a whole before the Worker sees them. A Worker
/// that ignores every message grows by 122 with those of 15 and 30 MB, and by 169 with the many (2026-11).
const GROWTH_BY_MESSAGES: u64 = GROWTH + 122;

/// The growth in MiB by streams: V8 lets the garbage of their buffers grow by 64 before it collects it, however few there are. 100
/// stalled readers grew by 38 to 53, and 300 by 68 (2026-11).
const GROWTH_BY_STREAMS: u64 = GROWTH + 64;

/// A mebibyte, with some room for the rest of a body.
const MEBIBYTE: usize = (1 << 20) - 200;

type Attack = for<'a> fn(&'a Fixture) -> BoxFuture<'a, ()>;

/// The attacks of one caller.
const ATTACKS: &[(&str, u64, Attack)] = &[
    ("bodies in chunks of one byte", GROWTH, |it| Box::pin(tiny_chunks(it))),
    ("150 prompts of 1 MiB at once", GROWTH, |it| Box::pin(long_prompts(it, false))),
    ("150 prompts of 1 MiB at once, streamed", GROWTH_BY_STREAMS, |it| {
        Box::pin(long_prompts(it, true))
    }),
    ("150 bodies of 1 MiB that do not end", GROWTH, |it| Box::pin(endless_bodies(it))),
    ("100 stalled readers of streams of 5 MB", GROWTH_BY_STREAMS, |it| {
        Box::pin(stalled_readers(it))
    }),
    ("1000 sockets", GROWTH, |it| Box::pin(many_sockets(it))),
    ("messages of 15 and 30 MB", GROWTH_BY_MESSAGES, |it| Box::pin(long_messages(it))),
    ("16 messages of 256 KiB on 40 sockets", GROWTH_BY_MESSAGES, |it| Box::pin(many_messages(it))),
];

#[tokio::test]
async fn no_caller_makes_the_memory_of_workerd_grow_beyond_a_bound() {
    // One attack, by a part of its name.
    let only = std::env::var("MEMORY_ATTACK").unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, bound, attack) in ATTACKS.iter().filter(|(name, ..)| name.contains(&only)) {
        let settings = Settings { record: false, ..Settings::default() };
        let fixture = Fixture::with_stub_settings(json!({}), settings).await;
        let pid = fixture.worker.pid().await;
        warm_up(&fixture.worker).await;
        let Some(before) = resident_memory(pid) else { return };
        let watch = runtime().spawn(async move {
            let mut most = 0;
            while let Some(now) = resident_memory(pid) {
                most = most.max(now);
                sleep(Duration::from_millis(20)).await;
            }
            most
        });
        let began = Instant::now();
        attack(&fixture).await;
        let took = began.elapsed();
        // The isolate still serves others.
        let response = fixture.worker.prompt("afterwards").await;
        assert_eq!(response.status, 200, "{name}: {response}");
        assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new(), "{name}");
        drop(fixture);
        let growth = watch.await.unwrap().saturating_sub(before) >> 20;
        println!("{name}: {} MiB, and {growth} MiB more ({took:.1?})", before >> 20);
        if growth > *bound {
            wrong.push(format!("{name}: {growth} MiB"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Serves ordinary callers, so that the code is compiled and the heap of JavaScript has its usual size.
async fn warm_up(worker: &Workerd) {
    let one = async |_| {
        for _ in 0..5 {
            assert_eq!(worker.prompt(&"a".repeat(10_000)).await.status, 200);
            worker.stream("fault:stream_long:2000").await.remaining_events().await;
            let mut socket = worker.open_websocket().await;
            socket.prompt("warm up").await;
            socket.reply("warm up").await;
            socket.close().await;
        }
    };
    join_all((0..10).map(one)).await;
    // V8 collects the garbage of streams late: it lets it grow by 64 MiB and by the size of its young generation.
    let long = async |_| {
        worker.stream("fault:stream_long:100000").await.remaining_events().await;
    };
    join_all((0..20).map(long)).await;
}

fn head(line: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: worker\r\ncontent-type: application/json\r\n{line}\r\n\r\n")
}

fn prompt_of(length: usize, prompt: &str, stream: bool) -> Value {
    json!({ "prompt": format!("{prompt} {}", "a".repeat(length)), "stream": stream })
}

/// A response is one of the model's, or asks the caller to come back.
fn assert_served_or_busy(response: &Response) {
    match response.status {
        200 => {}
        503 => {
            assert_eq!(response.header("x-error-code"), Some("overloaded"), "{response}");
            assert!(response.header("retry-after").is_some(), "{response}");
        }
        _ => panic!("{response}"),
    }
}

async fn tiny_chunks(Fixture { worker, .. }: &Fixture) {
    let body = br#"{"prompt": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"#;
    let one = async |_| {
        let mut connection = worker.connect().await;
        connection.write(head("transfer-encoding: chunked")).await;
        let mut chunks: Vec<u8> =
            body.iter().flat_map(|byte| [b"1\r\n", &[*byte][..], b"\r\n"].concat()).collect();
        chunks.extend(b"1\r\na\r\n".repeat(50_000));
        chunks.extend(b"2\r\n\"}\r\n0\r\n\r\n");
        connection.write(chunks).await;
        let response = connection.response().await;
        assert_served_or_busy(&response);
    };
    join_all((0..10).map(one)).await;
}

async fn long_prompts(Fixture { worker, .. }: &Fixture, stream: bool) {
    let body = prompt_of(MEBIBYTE, "long", stream);
    let one = async |_| {
        let request = worker.request(Method::POST, "/").json(&body);
        assert_served_or_busy(&worker.send(request).await);
    };
    join_all((0..150).map(one)).await;
}

async fn endless_bodies(Fixture { worker, .. }: &Fixture) {
    let one = async |number: usize| {
        let mut connection = worker.connect().await;
        let body = prompt_of(MEBIBYTE, "endless", false).to_string();
        let (sent, _) = body.split_at(body.len() - 2);
        let chunked = format!("{:x}\r\n{sent}\r\n", sent.len());
        if number.is_multiple_of(2) {
            connection.write(head(&format!("content-length: {}", body.len())) + sent).await;
        } else {
            connection.write(head("transfer-encoding: chunked") + &chunked).await;
        }
        connection
    };
    let connections: Vec<Connection> = join_all((0..150).map(one)).await;
    sleep(Duration::from_secs(3)).await;
    connections.into_iter().for_each(Connection::reset);
}

async fn stalled_readers(Fixture { worker, .. }: &Fixture) {
    let one = async |_| {
        let mut connection = worker.connect_with_small_buffer().await;
        connection.post(&json!({ "prompt": "fault:stream_long:100000", "stream": true })).await;
        connection
    };
    let connections: Vec<Connection> = join_all((0..100).map(one)).await;
    sleep(Duration::from_secs(8)).await;
    connections.into_iter().for_each(Connection::reset);
}

async fn long_messages(Fixture { worker, .. }: &Fixture) {
    let one = async |number: usize| {
        let mut socket = worker.open_websocket().await;
        let length = if number.is_multiple_of(2) { 15 << 20 } else { 30 << 20 };
        socket.send(TEXT, &vec![b'a'; length]).await;
        // An error, or the end of the connection.
        let _ = socket.connection.read_more().await;
    };
    for number in 0..4 {
        one(number).await;
    }
}

async fn many_messages(Fixture { worker, .. }: &Fixture) {
    let slow = json!({ "prompt": "fault:slow:3000" }).to_string();
    let long = prompt_of(250 << 10, "long", true).to_string();
    let one = async |_| {
        let mut socket = worker.open_websocket().await;
        socket.send(TEXT, slow.as_bytes()).await;
        for _ in 0..15 {
            socket.send(TEXT, long.as_bytes()).await;
        }
        socket
    };
    let sockets = join_all((0..40).map(one)).await;
    sleep(Duration::from_secs(4)).await;
    sockets.into_iter().for_each(|socket| socket.connection.reset());
}

async fn many_sockets(Fixture { worker, .. }: &Fixture) {
    let sockets = join_all((0..1000).map(async |_| worker.handshake().await)).await;
    sleep(Duration::from_secs(1)).await;
    for socket in sockets.into_iter().flatten() {
        socket.connection.reset();
    }
}
