//! Timeouts: of a whole request, of a stream that stalls, and of a client that sends slowly.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::fixture::Fixture;

const FAILED: &str = "Error: Bedrock invocation failed";

/// The latest that a response may arrive on a busy machine.
const LATE: Duration = Duration::from_secs(5);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[tokio::test]
async fn bedrock_timeout_ms_limits_a_request_without_streaming() {
    let fixture = Fixture::with_bindings(json!({ "BEDROCK_TIMEOUT_MS": 400 })).await;
    let cases = [
        ("before the head", "fault:slow:60000", None, "no response: it took too long"),
        ("in the body", "fault:stall", Some(200), "cannot read the response: it took too long"),
        // Bedrock asks for a wait that is longer than the rest of the timeout.
        ("before a retry", "fault:throttled", Some(429), "429 Too Many Requests"),
    ];
    for (case, prompt, upstream_status, error) in cases {
        let started = Instant::now();
        let response = fixture.worker.prompt(prompt).await;
        let took = started.elapsed();
        response.assert_envelope(case, 500, prompt, FAILED);
        let code = if case == "before a retry" { "throttled" } else { "timeout" };
        assert_eq!(response.header("x-error-code"), Some(code), "{case}: {response}");
        assert_eq!(response.header("x-bedrock-attempts"), Some("1"), "{case}: {response}");
        assert!(took < LATE, "{case}: {took:?}");
        if code == "timeout" {
            assert!(took >= ms(400), "{case}: {took:?}");
        }
        let line = fixture.worker.log_line(response.request_id()).await;
        assert_eq!(line["upstream_status"], json!(upstream_status), "{case}: {line}");
        assert!(line["error"].as_str().unwrap().starts_with(error), "{case}: {line}");
    }
    // The Worker closes its connections to Bedrock.
    fixture.wait_until("both calls to be abandoned", || fixture.stub.abandoned() == 2).await;
    // The same isolate still serves requests.
    let response = fixture.worker.prompt("in time").await;
    assert_eq!(response.status, 200, "{response}");
}

/// Cloudflare ends what runs 30 seconds after a response, without a word.
#[tokio::test]
async fn an_asynchronous_invocation_ends_before_cloudflare_ends_it_and_is_settled_and_logged() {
    let bindings = json!({ "BEDROCK_TIMEOUT_MS": 60_000, "MONTHLY_TOKENS": 1000 });
    let fixture = Fixture::with_bindings(bindings).await;
    let started = Instant::now();
    let request = fixture
        .worker
        .request(Method::POST, "/2015-03-31/functions/f/invocations")
        .header("x-amz-invocation-type", "Event")
        .json(&json!({ "prompt": "fault:slow:60000" }));
    let response = fixture.worker.send(request).await;
    assert_eq!(response.status, 202, "{response}");
    sleep(Duration::from_secs(24)).await;
    let line = fixture.worker.log_line(response.request_id()).await;
    assert_eq!(line["outcome"], "timeout", "{line}");
    assert!(started.elapsed() < Duration::from_secs(30), "{line}");
    let usage = fixture.worker.settled_usage().await;
    assert_eq!(usage["this_month"]["used"], 16 + 32 + 100, "{usage}");
    fixture.wait_until("the call to be abandoned", || fixture.stub.abandoned() == 1).await;
}

#[tokio::test]
async fn bedrock_timeout_ms_limits_the_wait_for_the_first_frame_of_a_stream() {
    let fixture = Fixture::with_bindings(json!({ "BEDROCK_TIMEOUT_MS": 400 })).await;
    for (case, prompt) in
        [("silence", "fault:stream_stall:0"), ("a frame that takes too long", "fault:pace:60000")]
    {
        let response = fixture.worker.stream(prompt).await.head;
        response.assert_envelope(case, 500, prompt, FAILED);
        assert_eq!(response.header("x-error-code"), Some("timeout"), "{case}: {response}");
    }
    fixture.wait_for_streams("both calls to be abandoned", |it| it.cancelled == 2).await;
    // A stream that has begun may take longer.
    let mut response = fixture.worker.stream("fault:pace:20 これは続きます").await;
    let reply = response.reply("a slow one").await;
    assert_eq!(reply.last.name, "done", "{reply}");
}

#[tokio::test]
async fn a_stream_that_stalls_ends_with_a_timeout_error() {
    let fixture = Fixture::with_bindings(json!({ "BEDROCK_STALL_MS": 400 })).await;
    let started = Instant::now();
    let mut response = fixture.worker.stream("fault:stream_stall").await;
    let reply = response.reply("events").await;
    assert!((ms(400)..LATE).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert_eq!(reply.text(), "You");
    reply.assert_error("events", "timeout", FAILED, true);
    let line = fixture.worker.log_line(reply.request_id()).await;
    assert_eq!((&line["outcome"], &line["level"]), (&json!("timeout"), &json!("error")), "{line}");
    assert_eq!(line["error"], "cannot read the response: it took too long", "{line}");
    fixture.wait_for_streams("the stream to be cancelled", |it| it.cancelled == 1).await;

    let mut socket = fixture.worker.open_websocket().await;
    socket.prompt("fault:stream_stall").await;
    let reply = socket.reply("messages").await;
    reply.assert_error("messages", "timeout", FAILED, true);
    fixture.wait_for_streams("the second stream to be cancelled", |it| it.cancelled == 2).await;
    // The WebSocket still serves further prompts.
    socket.prompt("after a stall").await;
    assert_eq!(socket.reply("the next").await.last.name, "done");
}

/// The pauses between the frames are shorter than the limit, and their sum is longer.
#[tokio::test]
async fn a_slow_stream_does_not_count_as_stalled() {
    let fixture = Fixture::with_bindings(json!({ "BEDROCK_STALL_MS": 600 })).await;
    let mut response = fixture.worker.stream("fault:stream_long:8:150").await;
    let reply = response.reply("slow").await;
    assert_eq!(reply.last.name, "done", "{reply}");
}

/// Time in which the Worker waits for the client does not count as a stall of Bedrock.
#[tokio::test]
async fn a_client_that_does_not_read_does_not_make_the_stream_count_as_stalled() {
    let fixture = Fixture::with_bindings(json!({ "BEDROCK_STALL_MS": 500 })).await;
    let mut connection = fixture.worker.connect_with_small_buffer().await;
    let prompt = "fault:stream_long:120000";
    connection.post(&json!({ "prompt": prompt, "stream": true })).await;
    let mut response = crate::support::sse::SseResponse::from_connection(connection).await;
    sleep(ms(2500)).await;
    assert_eq!(fixture.stub.streams().open(), 1, "{:?}", fixture.stub.streams());
    let reply = response.reply("a slow reader").await;
    assert_eq!(reply.last.name, "done", "{reply}");
}

#[tokio::test]
async fn a_request_body_that_does_not_arrive_in_time_gets_408() {
    let fixture = Fixture::with_bindings(json!({ "BEDROCK_TIMEOUT_MS": 400 })).await;
    for (case, head) in
        [("with a length", "content-length: 100"), ("in chunks", "transfer-encoding: chunked")]
    {
        let started = Instant::now();
        let mut connection = fixture.worker.connect().await;
        connection.write(format!("POST / HTTP/1.1\r\nhost: worker\r\n{head}\r\n\r\n")).await;
        let response = connection.response().await;
        assert!((ms(400)..LATE).contains(&started.elapsed()), "{case}: {:?}", started.elapsed());
        response.assert_envelope(case, 408, "", "Error: the body did not arrive in time");
        assert_eq!(response.header("x-error-code"), Some("request_timeout"), "{case}: {response}");
        let line = fixture.worker.log_line(response.request_id()).await;
        assert_eq!(line["level"], "warn", "{case}: {line}");
    }
    assert!(fixture.stub.requests().is_empty());
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
}
