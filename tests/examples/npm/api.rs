//! The API of the npm package, in `tests/embedding-worker`, which has a route for each case.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Project;
use crate::support::{ExampleServer, TIMEOUT, wrangler};

/// A running `tests/embedding-worker`.
struct Embedding {
    server: ExampleServer,
    _project: Project,
}

/// The status and the body of a response, and how many calls it took.
type Response = (u16, String, Option<String>);

impl Embedding {
    async fn start(name: &'static str) -> Self {
        let project = Project::install(name, Some("tests/embedding-worker"), &[]).await;
        let server = ExampleServer::start(name, "/", |port, variables| {
            let prefixed: Vec<(String, String)> = variables
                .iter()
                .map(|(name, value)| (format!("AI_{name}"), value.clone()))
                .collect();
            let prefixed = prefixed.iter().map(|(name, value)| (name.as_str(), value.clone()));
            let all: Vec<_> = variables.iter().cloned().chain(prefixed).collect();
            wrangler(name, project.path(), &[], port, &all)
        })
        .await;
        Self { server, _project: project }
    }

    async fn send(&self, request: RequestBuilder) -> Response {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let attempts = response.headers().get("x-bedrock-attempts");
        let attempts = attempts.map(|it| it.to_str().unwrap().to_owned());
        (status, response.text().await.unwrap(), attempts)
    }

    /// POSTs a prompt to a path.
    fn post(&self, path: &str) -> RequestBuilder {
        self.server.request(Method::POST, path).json(&json!({ "prompt": "hi" }))
    }

    /// Returns the JSON of a route.
    async fn get(&self, path: &str) -> Value {
        let (_, body, _) = self.send(self.server.request(Method::GET, path)).await;
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Returns the records that the option `log` got since the last call.
    async fn records(&self) -> Vec<Value> {
        self.get("/records").await.as_array().unwrap().clone()
    }

    /// Waits until the console has a text. Panics if it does not.
    async fn wait_for_output(&self, text: &str) {
        let start = Instant::now();
        while !self.server.logs().contains(text) {
            if start.elapsed() > TIMEOUT {
                self.server.fail(&format!("the output does not contain {text:?}"));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the stand-in has seen so many clients leave. Panics if it does not.
    async fn wait_for_cancelled(&self, case: &str, streams: u64, calls: u64) {
        let start = Instant::now();
        loop {
            let (open, cancelled, abandoned) = (
                self.server.stub.streams().open(),
                self.server.stub.streams().cancelled,
                self.server.stub.abandoned(),
            );
            if (open, cancelled, abandoned) == (0, streams, calls) {
                return;
            }
            if start.elapsed() > TIMEOUT {
                self.server.fail(&format!(
                    "{case}: {open} open, {cancelled} cancelled, {abandoned} abandoned"
                ));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn options_win_over_variables_and_other_options_share_nothing() {
    let worker = Embedding::start("npm-options").await;
    // The model refuses the default temperature, so the first call of an instance takes two attempts. Each row is a
    // request to an instance that is made for this request.
    for (path, status, attempts, why) in [
        ("/closed", 401, None, "nobody may call without a configured method"),
        ("/open", 200, Some("1"), "the option auth is open"),
        ("/first", 200, Some("2"), "the option model"),
        ("/first", 200, Some("1"), "the same options share what was learnt"),
        ("/second", 200, Some("2"), "another path is another instance"),
        ("/second", 200, Some("1"), "a log is no difference"),
        ("/third", 200, Some("2"), "another region"),
        ("/copied", 200, Some("2"), "another path again"),
        ("/copied", 200, Some("1"), "another env with the same variables"),
        ("/first", 200, Some("1"), "the first instance is still there"),
        // The stand-in is in another region.
        ("/elsewhere", 500, Some("1"), "the option region"),
        ("/failing-log", 200, Some("1"), "a log that fails does not fail the request"),
    ] {
        let (actual, body, made) = worker.send(worker.post(path)).await;
        assert_eq!((actual, made.as_deref()), (status, attempts), "{path}: {why}: {body}");
    }
    let sent = worker.server.stub.requests();
    assert!(sent.iter().any(|it| it.target.contains("refuses-temperature")), "the option model");
    // The option `log` got these requests, and no other has.
    let records = worker.records().await;
    assert_eq!(records.len(), 2, "{records:?}");
    assert!(records.iter().all(|it| it["outcome"] == "ok" && it["status"] == 200), "{records:?}");
    let ids = records.iter().filter_map(|it| it["request_id"].as_str());
    for id in ids {
        assert!(!worker.server.logs().contains(id), "{id} is on the console too");
    }
    worker.wait_for_output("the log is full").await;

    // Variables and bindings by a prefix: the limit of tokens, its ledger, and the names in messages.
    let (status, body, _) = worker.send(worker.post("/prefixed")).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["generated_text"]), (200, &json!("You said: \"hi\" (")), "{body}");
    let usage = async |path: &str| worker.get(path).await["today"].clone();
    let (prefixed, own) = (usage("/prefixed/usage").await, usage("/open/usage").await);
    assert_eq!((&prefixed["limit"], &prefixed["used"]), (&json!(1000), &json!(8)), "{prefixed}");
    assert_eq!(own["limit"], 1_000_000, "{own}");
    assert!(own["used"].as_u64().is_some_and(|used| used > 8), "{own}");
    worker.records().await;
    let (status, body, _) = worker.send(worker.post("/misconfigured")).await;
    assert_eq!(status, 500, "{body}");
    let records = worker.records().await;
    let problem = records[0]["error"].as_str().unwrap();
    assert!(
        problem.starts_with("BAD_MAX_TOKENS must be a whole number from 1; BAD_AWS_"),
        "{problem}"
    );
    worker.server.stop().await;
}

#[tokio::test]
async fn a_body_that_the_embedding_worker_has_changed_arrives_whole() {
    let embedding = Embedding::start("embedding-rewritten").await;
    let model = "apac.anthropic.claude-sonnet-4-20250514-v1:0";
    // It is free, so that no budget refuses it.
    let path = format!("/rewritten/model/{model}/count-tokens");
    // Shorter, longer, and longer than what is read in parts, of a body that is announced as short or as long.
    for (announced, repeat) in [(10, 0), (10, 1000), (10, 300_000), (2_000_000, 300_000)] {
        let body = |text: &str| {
            let turn = json!({ "role": "user", "content": [{ "text": format!("a {text}") }] });
            json!({ "messages": [turn], "system": [{ "text": "x".repeat(announced) }] }).to_string()
        };
        let request = embedding.server.request(Method::POST, &path).body(body("short"));
        let request = request.header("content-type", "application/json");
        embedding.send(request.header("x-repeat", repeat.to_string())).await;
        let requests = embedding.server.stub.requests();
        let received = std::str::from_utf8(&requests.last().unwrap().body).unwrap();
        let expected = body(&"long ".repeat(repeat));
        assert!(received == expected, "{announced} {repeat}: {} bytes", received.len());
    }
}

#[tokio::test]
async fn the_login_of_the_embedding_worker_names_the_caller() {
    let worker = Embedding::start("npm-login").await;
    let preflight = |origin: &str| {
        let request = worker.server.request(Method::OPTIONS, "/login");
        request.header("origin", origin.to_owned()).header("access-control-request-method", "POST")
    };
    let long = "a".repeat(257);
    let post = || worker.post("/login");
    #[rustfmt::skip]
    let cases = [
        ("a user", post().header("x-user", "ann"), 200, Some("app:ann")),
        ("a user with another credential", post().header("x-user", "ann").bearer_auth("x"), 200, Some("app:ann")),
        ("a name that is escaped", post().header("x-user", "a b"), 200, Some("app:a%20b")),
        ("a page of another origin", post().header("x-user", "ann").header("origin", "https://evil.example"), 403, Some("app:ann")),
        ("nobody", post(), 418, None),
        ("nobody on another path", worker.server.request(Method::GET, "/login/healthz"), 418, None),
        // Nothing else authenticates.
        ("a preflight of an origin that is not listed", preflight("https://page.example"), 401, None),
        ("an empty name", post().header("x-user", ""), 500, None),
        ("a long name", post().header("x-user", long), 500, None),
    ];
    for (name, request, status, caller) in cases {
        let (actual, body, _) = worker.send(request).await;
        assert_eq!(actual, status, "{name}: {body}");
        if status == 418 {
            assert_eq!(body, "who are you?", "{name}");
        }
        let records = worker.records().await;
        let logged = records.first().map_or(&Value::Null, |record| &record["caller"]);
        assert_eq!(logged.as_str(), caller, "{name}: {records:?}");
    }
    let usage = worker.server.request(Method::GET, "/login/usage").header("x-user", "ann");
    let (_, usage, _) = worker.send(usage).await;
    let usage: Value = serde_json::from_str(&usage).unwrap();
    assert_eq!(usage["caller"], "app:ann", "{usage}");
    assert!(usage["today"]["used"].as_u64().is_some_and(|used| used > 0), "{usage}");
    worker.server.stop().await;
}

#[tokio::test]
async fn calls_return_replies_and_events_and_throw_typed_errors() {
    let worker = Embedding::start("npm-calls").await;
    let conversation = json!({ "messages": [
        { "role": "user", "content": "one" },
        { "role": "assistant", "content": "two" },
        { "role": "user", "content": "three" },
    ], "max_tokens": 50 });
    let post = async |path: &str, fields: &Value| {
        let request = worker.server.request(Method::POST, path).json(fields);
        let (status, body, _) = worker.send(request).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };

    // Replies.
    let reply = post("/generate", &conversation).await["result"].clone();
    assert_eq!(reply["input_prompt"], "three", "{reply}");
    assert!(reply["generated_text"].as_str().unwrap().contains("three"), "{reply}");
    assert_eq!(reply["stop_reason"], "end_turn", "{reply}");
    let records = worker.records().await;
    assert_eq!(records[0]["request_id"], reply["request_id"], "{records:?}");
    assert_eq!(records[0]["caller"], "app:shop", "{records:?}");
    let sent: Value =
        serde_json::from_slice(&worker.server.stub.requests().pop().unwrap().body).unwrap();
    assert_eq!((&sent["max_tokens"], sent["messages"].as_array().unwrap().len()), (&json!(50), 3));
    let reply = worker.get("/generate-prompt?prompt=%E3%81%82").await;
    assert_eq!(reply["result"]["input_prompt"], "あ", "{reply}");
    let reply = worker.get("/generate-with").await;
    assert_eq!(reply["result"]["usage"]["output_tokens"], 9, "{reply}");

    // Events.
    let events = post("/events", &conversation).await["result"].clone();
    let events = events.as_array().unwrap();
    let of_type = |name: &'static str| events.iter().filter(move |it| it["type"] == name);
    assert_eq!((events[0]["type"].as_str(), of_type("start").count()), (Some("start"), 1));
    let text: String = of_type("delta").map(|it| it["text"].as_str().unwrap()).collect();
    let done = events.last().unwrap();
    assert_eq!((&done["type"], &done["generated_text"]), (&json!("done"), &json!(text)), "{done}");
    assert!(of_type("delta").count() > 5, "{events:?}");
    let (status, sse, _) = worker.send(worker.server.request(Method::GET, "/response")).await;
    assert_eq!(status, 200, "{sse}");
    assert!(sse.starts_with("event: start\n") && sse.contains("\nevent: done\n"), "{sse}");

    // Errors.
    let bedrock = |code, status, retryable, message| json!({ "name": "BedrockError", "code": code, "status": status, "retryable": retryable, "message": message });
    let failed = "Bedrock invocation failed";
    #[rustfmt::skip]
    let cases = [
        ("/generate", json!({ "prompt": " " }), bedrock("invalid_request", 400, false, "prompt must not be blank")),
        ("/generate", json!({ "prompt": "a", "max_tokens": 101 }), bedrock("invalid_request", 400, false, "max_tokens must be a whole number from 1 to 100")),
        ("/generate", json!({ "prompt": "a", "model": "other" }), bedrock("model_not_allowed", 403, false, "model is not one that may be used here; without it there is a default")),
        ("/generate", json!({ "prompt": "fault:access_denied" }), bedrock("access_denied", 500, false, failed)),
        ("/generate", json!({ "prompt": "fault:throttled" }), bedrock("throttled", 500, true, failed)),
        ("/events", json!({ "prompt": " " }), bedrock("invalid_request", 400, false, "prompt must not be blank")),
        ("/events", json!({ "prompt": "fault:access_denied" }), bedrock("access_denied", 500, false, failed)),
        // In the middle of the stream.
        ("/events", json!({ "prompt": "fault:stream_cut" }), bedrock("truncated", 500, true, "Invalid Bedrock response")),
    ];
    for (path, fields, expected) in cases {
        let thrown = post(path, &fields).await;
        assert_eq!(thrown["thrown"], expected, "{path} {fields}");
    }
    let failed = worker.server.request(Method::GET, "/response?prompt=fault:access_denied");
    let (status, body, _) = worker.send(failed).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["code"]), (500, &json!("access_denied")), "{body}");
    let thrown = |message: &str| json!({ "thrown": { "name": "TypeError", "message": message } });
    for (path, message) in [
        ("/read-twice", "a streamed reply can be read once only"),
        (
            "/bad-option",
            "expected region, model, basePath, auth, log or envPrefix, got the option regoin",
        ),
        ("/bad-auth", r#"expected "open" or a function as the option auth"#),
        ("/bad-caller", "expected a caller with a name of 1 to 256 characters"),
    ] {
        assert_eq!(worker.get(path).await, thrown(message), "{path}");
    }
    worker.server.stop().await;
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_is_cancelled_at_bedrock() {
    let worker = Embedding::start("npm-cancelled").await;
    let timeout = json!({ "thrown": { "name": "TimeoutError", "message": "The operation was aborted due to timeout" } });
    let (mut streams, mut calls) = (0, 0);
    // Whether Bedrock had begun a stream.
    for (path, is_stream) in [
        ("/generate-aborted", false),
        ("/events-aborted", true),
        ("/events-aborted-in-silence", true),
        ("/events-aborted-before-the-first", true),
        ("/response-aborted", true),
    ] {
        assert_eq!(worker.get(path).await, timeout, "{path}");
        streams += u64::from(is_stream);
        calls += u64::from(!is_stream);
        worker.wait_for_cancelled(path, streams, calls).await;
    }
    let left = worker.get("/events-left").await;
    assert_eq!(left["result"].as_array().unwrap().len(), 2, "{left}");
    worker.wait_for_cancelled("an iteration that ends early", streams + 1, calls).await;
    // The client of the embedding Worker disconnects.
    let path = "/response?prompt=fault:stream_long:100000:5";
    let mut response = worker.server.request(Method::GET, path).send().await.unwrap();
    response.chunk().await.unwrap();
    drop(response);
    worker.wait_for_cancelled("a client that disconnects", streams + 2, calls).await;

    let sent = worker.server.stub.requests().len();
    let aborted = worker.get("/generate-aborted-before").await;
    assert_eq!(aborted, json!({ "thrown": { "name": "Error", "message": "no" } }));
    assert_eq!(worker.server.stub.requests().len(), sent);
    let records = worker.records().await;
    let outcomes: Vec<_> = records.iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["cancelled"; 7]);
    worker.server.stop().await;
}

#[tokio::test]
async fn a_request_to_any_service_of_aws_can_be_signed() {
    let worker = Embedding::start("npm-sign").await;
    // The stand-in checks the signature.
    let signed = worker.get("/sign").await;
    assert_eq!(signed["thrown"], Value::Null, "{signed}");
    let signed = &signed["result"];
    assert_eq!(signed["status"], 200, "{signed}");
    assert_eq!(signed["reply"]["output"]["message"]["role"], "assistant", "{signed}");
    let elsewhere = worker.get("/sign?region=eu-west-1").await["result"].clone();
    assert_eq!(elsewhere["status"], 403, "{elsewhere}");
    for (url, scope, signed_headers) in [
        ("https://sts.eu-west-1.amazonaws.com/", "eu-west-1/sts", "host;x-amz-date"),
        (
            "https://bedrock-agent-runtime.us-east-1.amazonaws.com/",
            "us-east-1/bedrock",
            "host;x-amz-date",
        ),
        ("https://id.lambda-url.us-east-1.on.aws/", "us-east-1/lambda", "host;x-amz-date"),
        (
            "https://bucket.s3.us-gov-west-1.amazonaws.com/a",
            "us-gov-west-1/s3",
            "host;x-amz-content-sha256;x-amz-date",
        ),
    ] {
        let headers = worker.get(&format!("/sign-for?url={url}")).await["result"].clone();
        let header = |name: &str| {
            let pairs = headers.as_array().unwrap().iter();
            pairs
                .clone()
                .find(|pair| pair[0] == name)
                .map(|pair| pair[1].as_str().unwrap().to_owned())
        };
        let authorization = header("authorization").unwrap();
        assert!(authorization.contains(&format!("/{scope}/aws4_request, ")), "{authorization}");
        let names = format!("SignedHeaders={signed_headers}, ");
        assert!(authorization.contains(&names), "{authorization}");
        assert!(header("x-amz-date").is_some(), "{url}");
    }
    let unknown = worker.get("/sign-for?url=https://example.com/").await;
    let message = "expected the option service, because the host example.com does not name one";
    assert_eq!(unknown, json!({ "thrown": { "name": "TypeError", "message": message } }));
    let odd = worker.get("/sign-for?url=https://logs.eu-west-1.amazonaws.com/a//b").await;
    assert_eq!(odd["thrown"]["code"], "invalid_request", "{odd}");
    worker.server.stop().await;
}

#[tokio::test]
async fn the_types_accept_what_is_valid_and_nothing_else() {
    Project::install("npm-types", Some("tests/embedding-worker"), &[]).await.check_types().await;
}
