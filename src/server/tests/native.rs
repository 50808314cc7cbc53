//! Bedrock's own API: what is sent, what passes, and what is counted.

use http::{HeaderMap, Method, Request};

use super::*;
use crate::aws::{Credentials, Scope, encode_event, sign};
use crate::host::Runtime;
use crate::testing::{Watched, header, request};

const MODEL: &str = "global.anthropic.claude-opus-4-6-v1";
const PATH: &str = "/model/global.anthropic.claude-opus-4-6-v1/converse";
const BODY: &str = "{\"messages\": [],\n \"inferenceConfig\": {\"maxTokens\": 50}}";
const REPLY: &str = r#"{"output": {}, "usage": {"inputTokens": 12, "outputTokens": 7}}"#;

/// A response as the client gets it.
struct Answered {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether the connection is broken off.
    is_broken: bool,
    record: Record,
}

impl Answered {
    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| &**value);
        assert!(values.next().is_none(), "{name} is there twice: {:?}", self.headers);
        value
    }

    fn error(&self) -> (u16, &str) {
        let kind = self.header("x-amzn-errortype").unwrap_or_default();
        (self.status, kind.split(':').next().unwrap())
    }
}

/// Sends a POST, and passes the response on.
async fn call(
    host: &Scripted,
    vars: &[(&str, &str)],
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answered {
    let all = [&[("BEDROCK_MODEL_ID", MODEL)], vars].concat();
    let isolate = isolate(&all);
    let request = request("POST", path, headers, Bytes::from(body.to_owned()));
    match handle(request, &isolate, host).await {
        Handled::Whole(envelope, record) => Answered {
            status: envelope.status_code,
            headers: envelope.headers.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect(),
            body: envelope.body.into_bytes(),
            is_broken: false,
            record,
        },
        Handled::Passed(envelope, mut passing) => {
            let mut body = Vec::new();
            let is_broken = loop {
                match passing.next().await {
                    Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            let mut headers: Vec<(String, String)> =
                envelope.headers.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
            let passed = passing.headers.iter();
            headers.extend(passed.map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())));
            let (record, settlement) = passing.passage.finish(host.now());
            if let Some(settlement) = settlement {
                settlement.send(host).await.unwrap();
            }
            Answered { status: envelope.status_code, headers, body, is_broken, record }
        }
        other => panic!("{other:?}"),
    }
}

fn sent(host: &Scripted) -> Vec<Request<Bytes>> {
    host.requests.borrow_mut().drain(..).collect()
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn body_status_and_headers_pass_and_only_the_signature_is_new() {
    let headers = [
        ("content-type", "application/json"),
        ("x-amzn-requestid", "aws-1"),
        ("x-amzn-bedrock-invocation-latency", "42"),
        ("x-amzn-something-new", "yes"),
        ("set-cookie", "no"),
        ("server", "no"),
    ];
    let chunks = Watched::in_chunks([&REPLY[..9], &REPLY[9..30], &REPLY[30..]]);
    let host = Scripted::new().then(200, &headers, chunks);
    let answered = call(&host, &[], PATH, &[], BODY).await;
    assert_eq!((answered.status, &*answered.body), (200, REPLY.as_bytes()));
    for (name, value) in [
        ("content-type", Some("application/json")),
        ("x-amzn-requestid", Some("aws-1")),
        ("x-amzn-bedrock-invocation-latency", Some("42")),
        ("x-amzn-something-new", Some("yes")),
        ("set-cookie", None),
        ("server", None),
        ("x-request-id", Some(RANDOM_ID)),
        ("x-bedrock-attempts", Some("1")),
        ("cache-control", Some("no-store, no-transform")),
    ] {
        assert_eq!(answered.header(name), value, "{name}");
    }
    let record = &answered.record;
    assert_eq!((record.outcome, record.status), ("ok", 200));
    assert_eq!((record.input_tokens, record.output_tokens), (Some(12), Some(7)));
    assert_eq!(record.model.as_deref(), Some(MODEL));

    let [request] = &*sent(&host) else { panic!("more than one call") };
    assert_eq!(request.body(), BODY);
    assert_eq!(names(request.headers()), ["authorization", "content-type", "x-amz-date"]);
    let uri = "https://bedrock-runtime.ap-northeast-1.amazonaws.com/model/global.anthropic.claude-opus-4-6-v1/converse";
    assert_eq!(request.uri(), uri);
}

#[tokio::test]
async fn a_path_is_signed_in_the_encoding_of_awss_sdks_and_a_name_is_that_of_a_model() {
    const PROFILE: &str =
        "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/a1";
    let vars = [("ALLOWED_MODELS", "anthropic.claude-haiku-4-5-20251001-v1:0, arn:aws:bedrock:*")];
    let encoded = PROFILE.replace(':', "%3A").replace('/', "%2F");
    let haiku = "/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke";
    #[rustfmt::skip]
    let cases = [
        ("/model/anthropic.claude-haiku-4-5-20251001-v1:0/invoke".to_owned(), haiku.to_owned()),
        (haiku.to_owned(), haiku.to_owned()),
        ("/model/claude-haiku-4-5/invoke".to_owned(), haiku.to_owned()),
        (format!("/model/{PROFILE}/converse"), format!("/model/{encoded}/converse")),
        (format!("/model/{encoded}/converse"), format!("/model/{encoded}/converse")),
        ("/model/claude-opus-4-6/converse-stream?a=1".to_owned(), PATH.to_owned() + "-stream"),
        // CountTokens takes ids without the prefix of a profile.
        ("/model/anthropic.claude-opus-4-6-v1/count-tokens".to_owned(), "/model/anthropic.claude-opus-4-6-v1/count-tokens".to_owned()),
        ("/guardrail/abc/version/DRAFT/apply".to_owned(), "/guardrail/abc/version/DRAFT/apply".to_owned()),
    ];
    for (path, expected) in cases {
        let host = Scripted::new().then(200, &[], "{}");
        let answered = call(&host, &vars, &path, &[], "{}").await;
        assert_eq!(answered.status, 200, "{path}");
        let [request] = &*sent(&host) else { panic!("{path}") };
        assert_eq!(request.uri().path_and_query().unwrap(), &*expected, "{path}");
    }
    for path in [
        "/model/anthropic.claude-opus-4-6-v1/invoke",
        "/model/us.anthropic.claude-opus-4-6-v1/converse",
        "/model/anthropic.claude-haiku-4-5-20251001-v1:0%2F..%2Fx/invoke",
        "/model/arn:aws:bedrock:..%2F/invoke",
    ] {
        let answered = call(&Scripted::new(), &vars, path, &[], "{}").await;
        assert_eq!(answered.error(), (403, "AccessDeniedException"), "{path}");
    }
    for path in ["/model/a/b/invoke", "/model/m/invoke/x", "/model/", "/guardrail/a/apply"] {
        let answered = call(&Scripted::new(), &vars, path, &[], "{}").await;
        assert_eq!(answered.error(), (404, "UnknownOperationException"), "{path}");
    }
}

#[tokio::test]
async fn a_caller_sets_the_headers_of_the_table_and_the_operator_the_guardrail() {
    let guardrail = [("BEDROCK_GUARDRAIL_ID", "forced"), ("BEDROCK_GUARDRAIL_VERSION", "1")];
    let path = "/model/claude-opus-4-6/invoke";
    let headers = [
        ("content-type", "image/odd"),
        ("accept", "*/*"),
        ("anthropic-beta", "a, b"),
        ("authorization", "Bearer of-the-caller"),
        ("amz-sdk-invocation-id", "1-2"),
        ("cookie", "a=b"),
        ("user-agent", "Boto3"),
        ("x-amz-user-agent", "js"),
        ("x-amzn-bedrock-guardrailidentifier", "callers"),
        ("x-amzn-bedrock-guardrailversion", "DRAFT"),
        ("x-amzn-bedrock-projectidentifier", "p"),
        ("x-amzn-bedrock-request-metadata", "{\"a\":  \"b\"}"),
        ("x-amzn-bedrock-service-tier", "flex"),
        ("x-amzn-bedrock-something-new", "x"),
        ("x-amzn-bedrock-trace", "ENABLED"),
        ("x-forwarded-for", "203.0.113.1"),
    ];
    for (vars, id, version) in [(&[][..], "callers", "DRAFT"), (&guardrail, "forced", "1")] {
        let host = Scripted::new().then(200, &[], "{}");
        call(&host, vars, path, &headers, "{}").await;
        let [request] = &*sent(&host) else { panic!("{id}") };
        let value = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(
            names(request.headers()),
            [
                "accept",
                "anthropic-beta",
                "authorization",
                "content-type",
                "x-amz-date",
                "x-amzn-bedrock-guardrailidentifier",
                "x-amzn-bedrock-guardrailversion",
                "x-amzn-bedrock-request-metadata",
                "x-amzn-bedrock-service-tier",
                "x-amzn-bedrock-trace",
            ]
        );
        assert_eq!(value("x-amzn-bedrock-guardrailidentifier"), id);
        assert_eq!(value("x-amzn-bedrock-guardrailversion"), version);
        assert_eq!((value("content-type"), value("accept")), ("image/odd", "*/*"));
        // Headers that the signers disagree on are not signed.
        let signed = "accept;content-type;host;x-amz-date;x-amzn-bedrock-guardrailidentifier;\
                      x-amzn-bedrock-guardrailversion;x-amzn-bedrock-service-tier;x-amzn-bedrock-trace,";
        assert!(value("authorization").contains(signed), "{}", value("authorization"));
    }
    // Converse takes a guardrail in its body alone.
    let host = Scripted::new().then(200, &[], REPLY);
    let own = r#"{"guardrailConfig": {"guardrailIdentifier": "own", "guardrailVersion": "1"}}"#;
    let answered = call(&host, &guardrail, PATH, &[], own).await;
    let [request] = &*sent(&host) else { panic!("Converse") };
    let forced = r#"{"guardrailConfig": {"guardrailIdentifier":"forced","guardrailVersion":"1"}}"#;
    assert_eq!(request.body(), forced);
    assert_eq!(answered.header("x-bedrock-removed"), Some("guardrailConfig"));
    let answered = call(&Scripted::new(), &guardrail, PATH, &[], "not JSON").await;
    assert_eq!(answered.error(), (400, "ValidationException"));
}

#[tokio::test]
async fn a_caller_cannot_limit_what_the_operators_guardrail_looks_at() {
    let guardrail = [("BEDROCK_GUARDRAIL_ID", "forced"), ("BEDROCK_GUARDRAIL_VERSION", "1")];
    let tagged = r#"{"amazon-bedrock-guardrailConfig":{"tagSuffix":"a"}}"#;
    let block = r#"{"messages":[{"role":"user","content":[{"text":"a"},{"guardContent":{"text":{"text":"b"}}}]}]}"#;
    for (path, body, is_refused) in [
        ("/model/claude-opus-4-6/invoke", tagged, true),
        ("/model/claude-opus-4-6/invoke-with-response-stream", tagged, true),
        ("/model/claude-opus-4-6/converse", block, true),
        ("/model/claude-opus-4-6/converse-stream", block, true),
        // It generates nothing.
        ("/model/claude-opus-4-6/count-tokens", block, false),
        ("/guardrail/abc/version/1/apply", tagged, false),
    ] {
        let host = Scripted::new().then(200, &[], "{}");
        let answered = call(&host, &guardrail, path, &[], body).await;
        assert_eq!(answered.status, if is_refused { 400 } else { 200 }, "{path}");
        assert_eq!(sent(&host).is_empty(), is_refused, "{path}");
        // Without a guardrail of the operator's it is the caller's choice.
        let host = Scripted::new().then(200, &[], "{}");
        assert_eq!(call(&host, &[], path, &[], body).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_error_of_aws_passes_unless_it_is_about_the_workers_own_credentials() {
    let retry = [("x-amzn-errortype", "ThrottlingException:http://x/"), ("retry-after", "7")];
    let access = r#"{"message":"You don't have access to the model with the specified model ID."}"#;
    let user = r#"{"message":"User: arn:aws:iam::123456789012:user/x is not authorized"}"#;
    let kind =
        |kind: &'static str| vec![("x-amzn-errortype", kind), ("content-type", "application/json")];
    let failed = r#"{"message":"Bedrock invocation failed"}"#;
    #[rustfmt::skip]
    let cases = [
        ("a rejection", 400, kind("ValidationException"), r#"{"message":"no: 日本"}"#, 400, "ValidationException", r#"{"message":"no: 日本"}"#, "rejected"),
        ("throttling", 429, retry.to_vec(), "{}", 429, "ThrottlingException", "{}", "throttled"),
        ("a failure of the model", 424, kind("ModelErrorException"), r#"{"originalStatusCode":500}"#, 424, "ModelErrorException", r#"{"originalStatusCode":500}"#, "model_error"),
        ("an unknown error", 418, kind("NewException"), "short", 418, "NewException", "short", "rejected"),
        ("no access to the model", 403, kind("AccessDeniedException"), access, 403, "AccessDeniedException", access, "access_denied"),
        ("no permission", 403, kind("AccessDeniedException"), user, 500, "InternalServerException", failed, "access_denied"),
        ("a wrong signature", 403, kind("InvalidSignatureException"), "{}", 500, "InternalServerException", failed, "access_denied"),
        ("an expired token", 403, kind("ExpiredTokenException"), "{}", 500, "InternalServerException", failed, "access_denied"),
        ("an unknown operation with status 200", 200, kind("UnknownOperationException"), "{}", 404, "UnknownOperationException", "{}", "invalid_response"),
    ];
    for (name, status, headers, body, expected, kind, text, outcome) in cases {
        let host = Scripted::new().then(status, &headers, body);
        let answered = call(&host, &[ONCE], PATH, &[], BODY).await;
        assert_eq!(answered.error(), (expected, kind), "{name}");
        assert_eq!(String::from_utf8_lossy(&answered.body), text, "{name}");
        assert_eq!(
            (answered.record.outcome, answered.record.status),
            (outcome, expected),
            "{name}"
        );
        let waits = answered.header("retry-after");
        assert_eq!(waits, (name == "throttling").then_some("7"), "{name}");
    }
    for (name, host, kind, status) in [
        ("no connection", Scripted::new().then_fail("refused"), "ServiceUnavailableException", 503),
        ("no response in time", Scripted::new().then_time_out(), "ModelTimeoutException", 408),
    ] {
        let answered = call(&host, &[ONCE], PATH, &[], BODY).await;
        assert_eq!(answered.error(), (status, kind), "{name}");
    }
}

#[tokio::test]
async fn a_failed_call_is_repeated_unless_the_callers_sdk_repeats_it() {
    let throttled =
        || Scripted::new().then(429, &[], "{}").then(503, &[], "{}").then(200, &[], REPLY);
    for (name, value, calls, status) in [
        ("no SDK", "", 3, 200),
        ("boto3's first", "attempt=1", 1, 429),
        ("boto3's second", "ttl=20260102T030405Z; attempt=2; max=5", 1, 429),
        ("JavaScript's first", "attempt=1; max=3", 1, 429),
        ("an SDK without retries", "attempt=1; max=1", 3, 200),
    ] {
        let host = throttled();
        let headers = [("amz-sdk-request", value)];
        let headers = if value.is_empty() { &[][..] } else { &headers };
        let answered = call(&host, &[], PATH, headers, BODY).await;
        assert_eq!((host.requests.borrow().len(), answered.status), (calls, status), "{name}");
        let bodies = sent(&host);
        assert!(bodies.iter().all(|request| request.body() == BODY), "{name}");
    }
    // Only the Worker can correct its clock, or go to another region.
    let headers = [("amz-sdk-request", "attempt=1; max=3")];
    let skewed = [
        ("x-amzn-errortype", "InvalidSignatureException"),
        ("date", "Fri, 02 Jan 2026 04:04:05 GMT"),
    ];
    let host = Scripted::new().then(403, &skewed, "{}").then(200, &[], REPLY);
    let answered = call(&host, &[], PATH, &headers, BODY).await;
    assert_eq!((host.requests.borrow().len(), answered.status), (2, 200));
    let host = Scripted::new().then(429, &[], "{}").then(200, &[], REPLY);
    let vars = [("BEDROCK_FALLBACK_REGIONS", "us-east-1=us.anthropic.claude-opus-4-6-v1")];
    let answered = call(&host, &vars, PATH, &headers, BODY).await;
    assert_eq!(answered.status, 200);
    let hosts: Vec<String> = sent(&host).iter().map(|it| it.uri().to_string()).collect();
    assert!(
        hosts[1]
            .ends_with("us-east-1.amazonaws.com/model/us.anthropic.claude-opus-4-6-v1/converse"),
        "{hosts:?}"
    );
}

#[tokio::test]
async fn a_call_reserves_by_its_body_and_settles_on_what_the_response_says() {
    let budget = [("DAILY_TOKENS", "100000")];
    let counted =
        [("x-amzn-bedrock-input-token-count", "3"), ("x-amzn-bedrock-output-token-count", "4")];
    let mut frames = Vec::new();
    encode_event("messageStart", "application/json", b"{}", &mut frames);
    let broken = frames.clone();
    let metadata = br#"{"usage":{"inputTokens":5,"outputTokens":6,"cacheReadInputTokens":100}}"#;
    encode_event("messageStop", "application/json", b"{}", &mut frames);
    encode_event("metadata", "application/json", metadata, &mut frames);
    let stream = format!("{PATH}-stream");
    let length = BODY.len() as u64;
    #[rustfmt::skip]
    let cases: [(&str, &str, &str, Scripted, u64, u64); 8] = [
        ("a reply", PATH, BODY, Scripted::new().then(200, &[], REPLY), length + 50, 19),
        ("with headers", "/model/claude-opus-4-6/invoke", r#"{"max_tokens": 64}"#, Scripted::new().then(200, &counted, "{}"), 18 + 64, 7),
        ("a stream", &stream, BODY, Scripted::new().then(200, &[], frames), length + 50, 111),
        // As much as was received, but no more than the limit.
        ("a stream that broke off", &stream, BODY, Scripted::new().then(200, &[], broken), length + 50, length + 50),
        ("no numbers", PATH, BODY, Scripted::new().then(200, &[], "{}"), length + 50, length + 50),
        ("refused by Bedrock", PATH, BODY, Scripted::new().then(400, &[], "{}"), length + 50, 0),
        ("not reached", PATH, BODY, Scripted::new().then_fail("refused"), length + 50, 0),
        ("a limit twice", PATH, r#"{"inferenceConfig":{"maxTokens":1},"inferenceConfig":{"maxTokens":2}}"#, Scripted::new().then(200, &[], REPLY), 69 + 128_000, 19),
    ];
    for (name, path, body, host, reserved, used) in cases {
        let host = host.with_limits();
        let vars = [budget[0], ONCE, ("DAILY_TOKENS", "1000000")];
        call(&host, &vars[1..], path, &[], body).await;
        let told = host.told.borrow()[0].1.clone();
        assert_eq!(told["tokens"], reserved, "{name}: {told}");
        assert_eq!(host.settled(), [used], "{name}");
    }
    // Only the limit counts that the model obeys: what it passes over limits nothing.
    let opus = "/model/claude-opus-4-6/invoke";
    let nova = "/model/amazon.nova-lite-v1:0/invoke";
    let hidden = "/model/arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/a1/invoke";
    #[rustfmt::skip]
    let cases = [
        (opus, r#"{"maxTokens":1}"#, 128_000),
        (opus, r#"{"max_gen_len":1,"max_tokens":64}"#, 64),
        (nova, r#"{"max_tokens":1}"#, 10_000),
        (nova, r#"{"inferenceConfig":{"maxTokens":1,"max_new_tokens":64}}"#, 64),
        (nova, r#"{"inferenceConfig":{"maxTokens":"1"}}"#, 10_000),
        ("/model/meta.llama3-1-8b-instruct-v1:0/invoke", r#"{"max_tokens":1,"max_gen_len":64}"#, 64),
        ("/model/openai.gpt-oss-20b-1:0/invoke", r#"{"max_tokens":1,"max_completion_tokens":64}"#, 64),
        ("/model/new.model/invoke", r#"{"max_gen_len":1}"#, 128_000),
        (hidden, r#"{"max_tokens":1,"inferenceConfig":{"maxTokens":64}}"#, 64),
        (PATH, r#"{"max_tokens":1}"#, 128_000),
        (PATH, r#"{"inferenceConfig":{"maxTokens":64},"additionalModelRequestFields":{"top_k":5}}"#, 64),
        (PATH, r#"{"inferenceConfig":{"maxTokens":1},"additionalModelRequestFields":{"max_tokens":64}}"#, 128_000),
        (PATH, r#"{"inferenceConfig":{"maxTokens":1},"additionalModelRequestFields":{"max\u005ftokens":64}}"#, 128_000),
    ];
    for (path, body, output) in cases {
        let host = Scripted::new().with_limits().then(200, &[], REPLY);
        let models = "amazon.*, meta.*, openai.*, new.*, arn:aws:bedrock:*";
        let vars = [("DAILY_TOKENS", "1000000"), ("ALLOWED_MODELS", models), ONCE];
        call(&host, &vars, path, &[], body).await;
        let told = host.told.borrow()[0].1.clone();
        assert_eq!(told["tokens"], body.len() as u64 + output, "{path} {body}");
    }
    // A limit that the table has for the model, where the body has none.
    let host = Scripted::new().with_limits();
    let answered = call(&host, &budget, PATH, &[], "{}").await;
    assert_eq!(answered.error(), (400, "ServiceQuotaExceededException"));
    assert_eq!(answered.header("x-ratelimit-limit-tokens"), Some("100000"));
    assert!(host.requests.borrow().is_empty());
}

#[tokio::test]
async fn calls_that_are_not_billed_by_tokens_are_refused_where_tokens_are_limited() {
    let vars = [("ALLOWED_MODELS", "amazon.*, stability.*, cohere.*")];
    for (path, is_countable) in [
        ("/model/amazon.titan-embed-text-v2%3A0/invoke", false),
        ("/model/amazon.nova-canvas-v1%3A0/invoke", false),
        ("/model/stability.sd3-5-large-v1%3A0/invoke", false),
        ("/model/cohere.rerank-v3-5%3A0/invoke", false),
        ("/guardrail/abc/version/1/apply", false),
        ("/model/amazon.nova-lite-v1%3A0/converse", true),
        ("/model/claude-opus-4-6/count-tokens", true),
    ] {
        for budget in ["DAILY_TOKENS", "MONTHLY_TOKENS", "MAX_IN_FLIGHT"] {
            let host = Scripted::new().then(200, &[], "{}").with_limits();
            let vars = [vars[0], (budget, if budget == "MAX_IN_FLIGHT" { "9" } else { "9000000" })];
            let answered = call(&host, &vars, path, &[], "{}").await;
            let is_served = is_countable || budget == "MAX_IN_FLIGHT";
            let expected = if is_served { (200, "") } else { (400, "ValidationException") };
            assert_eq!(answered.error(), expected, "{path} {budget}");
            assert_eq!(host.requests.borrow().len(), usize::from(is_served), "{path} {budget}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_exception_or_a_broken_connection() {
    let mut frames = Vec::new();
    encode_event("messageStart", "application/json", b"{}", &mut frames);
    let reset = |bytes: &[u8]| Watched::in_chunks([bytes.to_vec()]).then_broken("reset");
    for (name, body, has_exception) in [
        ("between frames", Watched::from(frames.clone()), true),
        ("between frames, by a reset", reset(&frames), true),
        ("in a frame", Watched::from(frames[..20].to_vec()), false),
        ("in a frame, by a reset", reset(&frames[..20]), false),
    ] {
        let host = Scripted::new().then(200, &[], body);
        let answered = call(&host, &[], &format!("{PATH}-stream"), &[], BODY).await;
        let text = String::from_utf8_lossy(&answered.body);
        assert_eq!(text.contains("modelStreamErrorException"), has_exception, "{name}");
        assert_eq!(answered.is_broken, !has_exception, "{name}");
        assert_eq!(answered.record.level, crate::config::Level::Error, "{name}");
        assert_ne!(answered.record.outcome, "ok", "{name}");
    }
}

#[tokio::test]
async fn a_client_that_disconnects_is_settled_on_what_it_received() {
    let mut frames = Vec::new();
    encode_event("messageStart", "application/json", b"{}", &mut frames);
    let host = Scripted::new().then(200, &[], frames.clone()).with_limits();
    let vars = [("BEDROCK_MODEL_ID", MODEL), ("DAILY_TOKENS", "1000000")];
    let isolate = isolate(&vars);
    let body = r#"{"inferenceConfig": {"maxTokens": 5000}}"#;
    let request = request("POST", &format!("{PATH}-stream"), &[], Bytes::from(body));
    let Handled::Passed(_, mut passing) = handle(request, &isolate, &host).await else {
        panic!("it is not passed on")
    };
    assert_eq!(passing.next().await.unwrap().unwrap(), frames);
    let (record, settlement) = passing.passage.finish(host.now());
    assert_eq!(record.outcome, "cancelled");
    settlement.unwrap().send(&host).await.unwrap();
    assert_eq!(host.settled(), [(body.len() + frames.len()) as u64]);
}

#[tokio::test]
async fn anthropics_form_of_bedrock_is_passed_on_where_it_is_configured() {
    let path = "/anthropic/v1/messages?beta=true";
    let vars = [("BEDROCK_MESSAGES", "native")];
    let named = |model: &str| format!(r#"{{ "model" : "{model}", "max_tokens": 9, "x": 1 }}"#);
    let headers = [("anthropic-version", "2023-06-01"), ("x-api-key", "k")];
    for model in [MODEL, "claude-opus-4-6"] {
        let reply = r#"{"type":"message","usage":{"input_tokens":1,"output_tokens":2}}"#;
        let host = Scripted::new().then(200, &[], reply);
        let answered = call(&host, &vars, path, &headers, &named(model)).await;
        assert_eq!((answered.status, &*answered.body), (200, reply.as_bytes()), "{model}");
        assert_eq!(answered.record.output_tokens, Some(2));
        let [request] = &*sent(&host) else { panic!("{model}") };
        assert_eq!(request.body(), &*named(MODEL), "{model}");
        assert_eq!(request.uri().path(), "/anthropic/v1/messages");
        let names = names(request.headers());
        assert_eq!(names, ["anthropic-version", "authorization", "content-type", "x-amz-date"]);
    }
    #[rustfmt::skip]
    let cases = [
        ("not configured", &[][..], named(MODEL), 404, "not_found_error"),
        ("another model", &vars, named("claude-opus-9"), 404, "not_found_error"),
        ("two models", &vars, format!(r#"{{"model":"{MODEL}","model":"x"}}"#), 400, "invalid_request_error"),
        ("no model", &vars, "{}".to_owned(), 400, "invalid_request_error"),
        ("not JSON", &vars, "[".to_owned(), 400, "invalid_request_error"),
    ];
    for (name, vars, body, status, kind) in cases {
        let answered = call(&Scripted::new(), vars, path, &headers, &body).await;
        let json: serde_json::Value = serde_json::from_slice(&answered.body).unwrap();
        assert_eq!((answered.status, &json["error"]["type"]), (status, &json!(kind)), "{name}");
    }
}

#[tokio::test]
async fn the_catalogue_has_the_models_that_callers_may_use_and_nothing_of_the_account() {
    let vars = [
        ("BEDROCK_MODEL_ID", MODEL),
        (
            "ALLOWED_MODELS",
            "amazon.titan-text-lite-v1, claude-haiku-4-5=arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/a1",
        ),
    ];
    let isolate = isolate(&vars);
    let get = async |path: &str| {
        let request = request("GET", path, &[], Bytes::new());
        let Handled::Whole(envelope, _) = handle(request, &isolate, &Scripted::new()).await else {
            panic!("{path}")
        };
        assert!(!envelope.body.contains("123456789012"), "{path}: {}", envelope.body);
        let json: serde_json::Value = serde_json::from_str(&envelope.body).unwrap();
        (envelope.status_code, json)
    };
    let arn = format!("arn:aws:bedrock:ap-northeast-1::inference-profile/{MODEL}");
    let (status, list) = get("/inference-profiles?type=SYSTEM_DEFINED&maxResults=1000").await;
    let profiles = list["inferenceProfileSummaries"].as_array().unwrap();
    assert_eq!((status, profiles.len()), (200, 1));
    assert_eq!(
        (&profiles[0]["inferenceProfileArn"], &profiles[0]["status"]),
        (&json!(arn), &json!("ACTIVE"))
    );
    assert_eq!(
        get("/inference-profiles?type=APPLICATION").await.1,
        json!({ "inferenceProfileSummaries": [] })
    );
    let encoded = arn.replace(':', "%3A").replace('/', "%2F");
    for id in [MODEL, &arn, &encoded] {
        let (status, profile) = get(&format!("/inference-profiles/{id}")).await;
        assert_eq!((status, &profile["inferenceProfileId"]), (200, &json!(MODEL)), "{id}");
        let model = &profile["models"][0]["modelArn"];
        assert_eq!(
            model,
            "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-opus-4-6-v1"
        );
    }
    let (_, list) = get("/foundation-models").await;
    let ids = |list: &serde_json::Value| {
        let models = list["modelSummaries"].as_array().unwrap().clone();
        models.iter().map(|it| it["modelId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&list), ["anthropic.claude-opus-4-6-v1", "amazon.titan-text-lite-v1"]);
    assert_eq!(
        ids(&get("/foundation-models?byProvider=Amazon").await.1),
        ["amazon.titan-text-lite-v1"]
    );
    for (query, expected) in [
        ("byProvider=anthropic&byOutputModality=TEXT", 1),
        ("byInferenceType=ON_DEMAND", 1),
        ("byInferenceType=INFERENCE_PROFILE&byOutputModality=TEXT", 1),
        ("byOutputModality=EMBEDDING", 0),
        ("byCustomizationType=FINE_TUNING", 0),
        ("byProvider=Meta", 0),
    ] {
        let (_, list) = get(&format!("/foundation-models?{query}")).await;
        assert_eq!(ids(&list).len(), expected, "{query}");
    }
    let (status, model) = get("/foundation-models/amazon.titan-text-lite-v1").await;
    assert_eq!((status, &model["modelDetails"]["providerName"]), (200, &json!("Amazon")));
    for path in
        ["/foundation-models/x", "/inference-profiles/x", "/foundation-models/", "/async-invoke/a"]
    {
        assert_eq!(get(path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_signed_request_to_an_unknown_path_gets_awss_error() {
    let signature = [("authorization", "AWS4-HMAC-SHA256 Credential=x")];
    let host = Scripted::new();
    let answered = call(&host, &[], "/custom-models", &signature, "{}").await;
    assert_eq!(answered.error(), (404, "UnknownOperationException"));
    let answered = call(&host, &[], "/custom-models", &[], "{}").await;
    assert_eq!((answered.status, answered.header("x-amzn-errortype")), (404, None));
}

#[tokio::test]
async fn a_signed_stream_of_events_gets_404_before_its_body_is_read() {
    let key = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let host = Scripted::new();
    let call = async |path: &str, secret: &str| {
        // The SDK for Rust signs such a request as one without a body.
        let mut signed = Request::post(format!("https://worker.example{path}"))
            .header("content-type", "application/vnd.amazon.eventstream")
            .body("")
            .unwrap();
        let scope = Scope { region: "ap-northeast-1", service: "bedrock" };
        sign(&mut signed, &Credentials::new(key.0, secret, None), scope, host.now()).unwrap();
        let mut headers = signed.headers().clone();
        headers.insert("host", "worker.example".parse().unwrap());
        let body = Watched::from("events");
        let was_read = body.was_read.clone();
        let request = IncomingRequest::from_http(Method::POST, path, headers, body);
        let keys = format!("{}:{}", key.0, key.1);
        let isolate = isolate(&[("AUTH", ""), ("CLIENT_KEYS", &keys)]);
        let Handled::Whole(envelope, record) = handle(request, &isolate, &host).await else {
            panic!("{path}: it is passed on");
        };
        assert!(!was_read.get(), "{path}");
        let kind = header(&envelope, "x-amzn-errortype").unwrap().to_owned();
        (envelope.status_code, kind, record.caller.map(|it| it.as_str().to_owned()))
    };
    let caller = Some(format!("key:{}", key.0));
    let unknown = "UnknownOperationException".to_owned();
    for path in ["/model/m%3A0/invoke-with-bidirectional-stream", "/model/m/converse"] {
        assert_eq!(call(path, key.1).await, (404, unknown.clone(), caller.clone()), "{path}");
        let invalid = (403, "InvalidSignatureException".to_owned(), None);
        assert_eq!(call(path, "wrong").await, invalid, "{path}");
    }
}
