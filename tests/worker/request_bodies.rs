//! How request bodies arrive: their length, their chunks and their end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::support::assertions::assert_rejected;
use crate::support::client::{Connection, Response};
use crate::support::fixture::Fixture;
use crate::support::workerd::resident_memory;

const LIMIT: usize = 100;
const TOO_LARGE: (u16, &str) = (413, "payload_too_large");
const TOO_LARGE_MESSAGE: &str = "the body must have 100 bytes at most";

async fn fixture() -> &'static Fixture {
    static FIXTURE: OnceCell<Fixture> = OnceCell::const_new();
    FIXTURE
        .get_or_init(|| Fixture::with_bindings(json!({ "MAX_BODY_BYTES": LIMIT.to_string() })))
        .await
}

/// The head of a POST with this header in addition to the usual ones.
fn head(header: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: worker\r\ncontent-type: application/json\r\n{header}\r\n\r\n")
}

/// Encodes a chunk of HTTP's chunked transfer coding.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// A JSON body of this many bytes. Most of its characters have three bytes: the limit counts bytes,
/// not characters.
fn body_with_length(bytes: usize) -> Vec<u8> {
    let around = r#"{"prompt":""}"#.len();
    let prompt = "あ".repeat((bytes - around) / 3) + &"a".repeat((bytes - around) % 3);
    let body = format!(r#"{{"prompt":"{prompt}"}}"#).into_bytes();
    assert_eq!(body.len(), bytes);
    body
}

/// Sends a body with `content-length`.
async fn send_with_length(connection: &mut Connection<'_>, body: &[u8]) -> Response {
    connection.write(head(&format!("content-length: {}", body.len()))).await;
    connection.write(body).await;
    connection.response().await
}

/// Sends a body in chunks of one byte.
async fn send_chunked(connection: &mut Connection<'_>, body: &[u8]) -> Response {
    connection.write(head("transfer-encoding: chunked")).await;
    for byte in body {
        connection.write(chunk(&[*byte])).await;
    }
    connection.write("0\r\n\r\n").await;
    connection.response().await
}

#[tokio::test]
async fn a_body_as_long_as_the_limit_is_accepted_and_one_byte_more_is_rejected() {
    let Fixture { worker, .. } = fixture().await;
    for chunked in [false, true] {
        for length in [LIMIT - 1, LIMIT, LIMIT + 1] {
            let case = format!("{length} bytes{}", if chunked { " in chunks" } else { "" });
            let body = body_with_length(length);
            let mut connection = worker.connect().await;
            let response = if chunked {
                send_chunked(&mut connection, &body).await
            } else {
                send_with_length(&mut connection, &body).await
            };
            if length > LIMIT {
                assert_rejected(&case, worker, &response, TOO_LARGE, TOO_LARGE_MESSAGE).await;
            } else {
                assert_eq!(response.status, 200, "{case}: {response}");
                let sent: Value = serde_json::from_slice(&body).unwrap();
                let envelope: Value = serde_json::from_str(&response.body).unwrap();
                assert_eq!(envelope["input_prompt"], sent["prompt"], "{case}: {response}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_rejected_before_it_ends() {
    let Fixture { worker, .. } = fixture().await;
    let too_long = "content-length: 101";
    let far_too_long = "content-length: 1000000000000";
    let chunked = "transfer-encoding: chunked";
    let first_chunks = [chunk(&body_with_length(LIMIT)), chunk(b" ")].concat();
    // The client sends none of these bodies to the end.
    let cases = [
        ("one byte too long, none sent", too_long, Vec::new()),
        ("a terabyte, none sent", far_too_long, Vec::new()),
        ("a terabyte, some sent", far_too_long, vec![b' '; 5000]),
        ("chunks, one byte too many", chunked, first_chunks),
        ("a chunk of a terabyte", chunked, [&b"e8d4a51000\r\n"[..], &[b' '; 5000]].concat()),
    ];
    for (case, header, sent) in cases {
        let mut connection = worker.connect().await;
        connection.write(head(header)).await;
        connection.write(sent).await;
        let response = connection.response().await;
        assert_rejected(case, worker, &response, TOO_LARGE, TOO_LARGE_MESSAGE).await;
    }
}

/// The head of a request can be enough to reject it.
#[tokio::test]
async fn a_request_rejected_by_its_head_gets_the_response_before_its_body() {
    let Fixture { worker, .. } = fixture().await;
    let cases = [
        ("another path", "POST /nowhere", "application/json", 404),
        ("another method", "PUT /", "application/json", 405),
        ("another type", "POST /", "text/plain", 415),
    ];
    for (case, line, content_type, status) in cases {
        let mut connection = worker.connect().await;
        let head = format!(
            "{line} HTTP/1.1\r\nhost: worker\r\ncontent-type: {content_type}\r\n\
             content-length: 50\r\n\r\n"
        );
        connection.write(head).await;
        let response = connection.response().await;
        assert_eq!(response.status, status, "{case}: {response}");
    }
}

#[tokio::test]
async fn a_body_in_several_chunks_is_concatenated() {
    let Fixture { worker, .. } = fixture().await;
    // Split inside a character of four bytes.
    let body = r#"{"prompt":"絵文字😀です"}"#.as_bytes();
    let (start, end) = body.split_at(body.len() - 10);
    let mut connection = worker.connect().await;
    connection.write(head(&format!("content-length: {}", body.len()))).await;
    connection.write(start).await;
    sleep(Duration::from_millis(50)).await;
    connection.write(end).await;
    let unchunked = connection.response().await;
    assert!(unchunked.status == 200 && unchunked.body.contains("\"絵文字😀です\""), "{unchunked}");
    let chunked = send_chunked(&mut connection, body).await;
    assert_eq!((chunked.status, &chunked.body), (200, &unchunked.body), "{chunked}");
}

/// Each chunk that JavaScript reads by itself keeps 4 KiB alive.
#[tokio::test]
async fn a_body_takes_the_same_memory_in_however_many_chunks_it_arrives() {
    const BYTES: usize = 100_000;
    let fixture = Fixture::with_bindings(json!({})).await;
    let pid = fixture.worker.pid().await;
    let body = body_with_length(BYTES);
    let mut connection = fixture.worker.connect().await;
    let whole = send_with_length(&mut connection, &body).await;
    let before = resident_memory(pid);

    connection.write(head("transfer-encoding: chunked")).await;
    let chunks: Vec<u8> = body.iter().flat_map(|byte| chunk(&[*byte])).collect();
    connection.write([&chunks[..], b"0\r\n\r\n"].concat()).await;
    let chunked = connection.response().await;
    assert_eq!((chunked.status, &chunked.body), (200, &whole.body));
    if let (Some(before), Some(after)) = (before, resident_memory(pid)) {
        println!("workerd's memory: {} MiB before, {} MiB after", before >> 20, after >> 20);
        // As chunks of their own they take 500 MiB.
        assert!(after < before + (32 << 20), "the memory grows from {before} to {after} bytes");
    }
}

#[tokio::test]
async fn the_worker_survives_clients_that_disconnect() {
    let Fixture { worker, .. } = fixture().await;
    let slow = r#"{"prompt":"fault:slow:300"}"#;
    let slow = head(&format!("content-length: {}", slow.len())) + slow;
    let cases = [
        ("in the head", "POST / HTT".to_owned()),
        ("before the body", head("content-length: 20")),
        ("in the body", head("content-length: 20") + r#"{"prompt":"#),
        ("in a chunk", head("transfer-encoding: chunked") + "14\r\n{\"prompt\":"),
        ("before the last chunk", head("transfer-encoding: chunked") + "2\r\n{}\r\n"),
        ("while Bedrock responds", slow),
    ];
    for (case, sent) in cases {
        let mut connection = worker.connect().await;
        connection.write(sent).await;
        sleep(Duration::from_millis(50)).await;
        drop(connection);
        let response = worker.prompt("still there?").await;
        assert_eq!(response.status, 200, "{case}: {response}");
    }
    // Until Bedrock has responded to the last of the disconnected clients.
    sleep(Duration::from_millis(500)).await;
    let response = worker.prompt("and now?").await;
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(worker.unexpected_output(), Vec::<String>::new());
}
