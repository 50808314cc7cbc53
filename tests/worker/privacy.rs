//! Prompts, generated text and secrets are never logged.

use bedrock_stub::faults::{FAULTS, STREAM_FAULTS};
use bedrock_stub::{AccessKey, Settings};
use reqwest::Method;
use serde_json::json;

use crate::support::fixture::Fixture;
use crate::support::websocket::{BINARY, TEXT};

/// One word for each part of a request, configuration or credential that must not be logged.
const WORDS: [&str; 9] = [
    "promptword",
    "systemword",
    "stopword",
    "keyword",
    "headerword",
    "queryword",
    "pathword",
    "secretword",
    "tokenword",
];

#[tokio::test]
async fn no_prompt_no_generated_text_and_no_secret_is_logged() {
    let key = AccessKey {
        id: "ASIAIOSFODNN7EXAMPLE".to_owned(),
        secret: "wJalrXUtnFEMI/secretword/bPxRfiCYEXAMPLE".to_owned(),
        session_token: Some("IQoJb3JpZ2luX2Vj/tokenword/wEaDmFwLW5v".to_owned()),
    };
    let bindings = json!({
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_SESSION_TOKEN": key.session_token,
        "LOG_LEVEL": "debug",
        // One of the faults is a response that stalls.
        "BEDROCK_TIMEOUT_MS": 2000,
        "BEDROCK_MAX_ATTEMPTS": 1,
    });
    let settings = Settings { keys: vec![key], ..Settings::default() };
    let Fixture { worker, stub } = Fixture::with_stub_settings(bindings, settings).await;

    // A success, and then every fault of Bedrock. Some of them echo the request.
    let prompts = std::iter::once("promptword こんにちは".to_owned()).chain(
        // `slow` waits too long for this test.
        FAULTS
            .iter()
            .filter(|fault| fault.name != "slow")
            .map(|fault| format!("fault:{} promptword", fault.name)),
    );
    let mut requests = Vec::new();
    for prompt in prompts {
        let body =
            json!({ "prompt": prompt, "system": "systemword", "stop_sequences": ["stopword"] });
        requests.push(worker.request(Method::POST, "/?queryword").json(&body));
    }
    // Every kind of request that the Worker itself rejects.
    let rejected = [
        "promptword",
        r#"{"prompt": "promptword"#,
        r#"{"prompt": ["promptword"]}"#,
        r#"{"prompt": "\ud83d promptword"}"#,
        r#"{"keyword": 1, "keyword": 2, "prompt": 1}"#,
        r#"{"keyword": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"#,
        r#"{"system": {"keyword": "systemword"}}"#,
        r#"{"stop_sequences": "stopword"}"#,
        r#"{"max_tokens": "promptword"}"#,
    ];
    requests.extend(rejected.map(|body| worker.request(Method::POST, "/").body(body)));
    requests
        .push(worker.request(Method::POST, "/").header("content-type", "headerword/headerword"));
    requests.push(worker.request(Method::POST, "/").header("content-encoding", "headerword"));
    requests
        .push(worker.request(Method::GET, "/pathword?queryword").header("cookie", "headerword"));
    requests.push(
        worker.request(Method::PUT, "/").header("authorization", "headerword").body("promptword"),
    );

    let mut count = requests.len();
    for request in requests {
        let response = worker.send(request).await;
        worker.log_line(response.request_id()).await;
    }
    // Every fault of a stream, over SSE and WebSocket, and a stream that the client cancels.
    let mut socket = worker.open_websocket().await;
    let slow = ["slow", "stream_stall"];
    let names = STREAM_FAULTS.iter().map(|fault| fault.name);
    let names = names.chain(FAULTS.iter().filter(|fault| fault.streams).map(|fault| fault.name));
    let prompts = names.filter(|name| !slow.contains(name)).map(|name| match name {
        "pace" => "fault:pace:1 promptword".to_owned(),
        name => format!("fault:{name} promptword"),
    });
    for prompt in prompts.chain(["promptword こんにちは".to_owned()]) {
        let body = json!({
            "prompt": prompt,
            "system": "systemword",
            "stop_sequences": ["stopword"],
            "stream": true,
        });
        let mut response = worker.stream_with_body(&body).await;
        response.remaining_events().await;
        worker.log_line(response.head.request_id()).await;
        socket.send(TEXT, body.to_string().as_bytes()).await;
        socket.reply(&prompt).await;
        count += 2;
    }
    let rejected: [(u8, &[u8]); 3] = [
        (TEXT, b"promptword"),
        (BINARY, b"\xffpromptword"),
        (TEXT, br#"{"prompt": ["promptword"]}"#),
    ];
    for (opcode, message) in rejected {
        socket.send(opcode, message).await;
        socket.reply("refused").await;
        count += 1;
    }
    let mut response = worker.stream("fault:stream_stall promptword").await;
    while response.next().await.unwrap().name != "delta" {}
    let id = response.head.request_id().to_owned();
    response.connection.reset();
    worker.log_line(&id).await;
    count += 1;

    // Log lines of the WebSocket have no known ID, so wait for the last line by its number.
    worker.nth_log_line(count as u64).await;
    assert_eq!(worker.log_lines().len(), count);
    let output = worker.output();
    for word in WORDS {
        assert!(!output.contains(word), "{word}:\n{output}");
    }
    // Parts of the texts that the stand-in generates.
    for word in [
        "You said",
        "characters)",
        "stand-in",
        "The first part",
        "受け取りました",
        "漢字は",
        "carries",
        "tells the weather",
        "get_weather",
        "sculpture",
        "not text",
    ] {
        assert!(!output.contains(word), "{word}:\n{output}");
    }
    for request in stub.requests() {
        let signature =
            request.header("authorization").and_then(|it| it.split("Signature=").nth(1));
        assert!(!output.contains(signature.unwrap()), "a signature:\n{output}");
    }
    assert_eq!(worker.unexpected_output(), Vec::<String>::new());
}
