//! Every fault, as it arrives at a client.

mod signer;
mod wire;

use std::time::{Duration, Instant};

use bedrock_stub::faults::FAULTS;
use bedrock_stub::{AccessKey, Settings, Stub};
use serde_json::json;
use signer::{Call, MODEL_TARGET, claude};
use wire::{Answer, exchange};

const TOKEN: &str = "AQoDYXdzEPT//wEXAMPLE+token==";

async fn start() -> Stub {
    let mut key = AccessKey::example();
    key.session_token = Some(TOKEN.to_owned());
    let settings = Settings { keys: vec![key], ..Settings::default() };
    Stub::start(settings).await.unwrap()
}

async fn ask(stub: &Stub, prompt: &str) -> Answer {
    let mut call = Call::new(claude(prompt));
    call.key.session_token = Some(TOKEN.to_owned());
    call.host = stub.url().replace("http://", "");
    exchange(&stub.url(), &call.signed()).await
}

/// One row or more for each name of the table, and no other: a fault that nothing checks is a failure.
#[tokio::test]
async fn every_fault_does_what_it_says() {
    type Check = fn(&str, &Answer);
    let rows: &[(&str, Check)] = &[
        ("throttled", |case, answer| {
            is_error(
                case,
                answer,
                429,
                "ThrottlingException",
                "Too many requests, please wait before trying again.",
            );
            assert_eq!(answer.header("retry-after"), Some("1"), "{case}");
        }),
        ("server_error", |case, answer| {
            is_error(case, answer, 500, "InternalServerException", "unexpected error")
        }),
        ("unavailable", |case, answer| {
            is_error(case, answer, 503, "ServiceUnavailableException", "unable to process")
        }),
        ("overloaded", |case, answer| {
            assert_eq!(answer.status(), 503, "{case}");
            is_html(case, answer);
        }),
        ("type_in_body", |case, answer| {
            assert_eq!(answer.status(), 429, "{case}");
            assert_eq!(answer.header("x-amzn-errortype"), None, "{case}");
            assert_eq!(answer.json()["__type"], "com.amazon.bedrock#ThrottlingException", "{case}");
        }),
        ("slow:1", |case, answer| assert_eq!(answer.json()["stop_reason"], "end_turn", "{case}")),
        ("hang_up", |case, answer| {
            assert_eq!(answer.status(), 200, "{case}");
            let promised: usize = answer.header("content-length").unwrap().parse().unwrap();
            assert_eq!(answer.body.len(), promised / 2, "{case}");
        }),
        ("hang_up_before", |case, answer| assert_eq!(answer.head, "", "{case}")),
        // It is given up: see `exchange`.
        ("stall", |case, answer| {
            assert_eq!(answer.status(), 200, "{case}");
            assert!(answer.text().contains("{\"content\":"), "{case}: {answer:?}");
        }),
        ("endless", |case, answer| {
            assert_eq!(answer.status(), 200, "{case}");
            assert!(answer.body.len() > 1 << 20, "{case}: {}", answer.body.len());
        }),
        ("huge:100000", |case, answer| {
            assert!(answer.body.len() > 100_000, "{case}");
            assert_eq!(answer.json()["stop_reason"], "end_turn", "{case}");
        }),
        ("not_json", |case, answer| {
            assert_eq!(answer.status(), 200, "{case}");
            is_html(case, answer);
        }),
        ("empty", |case, answer| {
            assert_eq!(answer.status(), 200, "{case}");
            assert_eq!(answer.header("content-length"), Some("0"), "{case}");
        }),
        ("cut_off", |case, answer| {
            let promised: usize = answer.header("content-length").unwrap().parse().unwrap();
            assert_eq!(answer.body.len(), promised, "{case}");
            assert!(answer.text().starts_with('{'), "{case}");
            assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err(), "{case}");
        }),
        ("no_text", |case, answer| {
            assert_eq!(answer.status(), 200, "{case}");
            assert_eq!(answer.json()["content"], json!([]), "{case}");
        }),
        ("max-tokens-before-text", |case, answer| {
            assert_eq!(answer.status(), 200, "{case}");
            assert_eq!(answer.json()["content"], json!([]), "{case}");
            assert_eq!(answer.json()["stop_reason"], "max_tokens", "{case}");
        }),
        ("max-tokens-before-text:thinking", |case, answer| {
            assert_eq!(block_types(answer), ["thinking"], "{case}");
            assert_eq!(answer.json()["stop_reason"], "max_tokens", "{case}");
        }),
        ("refusal", |case, answer| {
            assert_eq!(answer.status(), 200, "{case}");
            assert_eq!(answer.json()["content"], json!([]), "{case}");
            assert_eq!(answer.json()["stop_reason"], "refusal", "{case}");
        }),
        ("tool_only", |case, answer| {
            assert_eq!(block_types(answer), ["tool_use"], "{case}");
            assert_eq!(answer.json()["stop_reason"], "tool_use", "{case}");
        }),
        ("thinking_first", |case, answer| {
            assert_eq!(
                block_types(answer),
                ["thinking", "redacted_thinking", "text", "text"],
                "{case}"
            );
        }),
        ("unknown_operation", |case, answer| {
            assert_eq!(answer.status(), 200, "{case}");
            assert_eq!(
                answer.json()["Output"]["__type"],
                "com.amazon.coral.service#UnknownOperationException",
                "{case}"
            );
        }),
        ("unknown_stop_reason", |case, answer| {
            assert_eq!(block_types(answer), ["text"], "{case}");
            assert_eq!(answer.json()["stop_reason"], "ran_out_of_ink", "{case}");
        }),
        ("access_denied", |case, answer| {
            is_error(
                case,
                answer,
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
            )
        }),
        ("bad_signature", |case, answer| {
            is_error(
                case,
                answer,
                403,
                "InvalidSignatureException",
                "The request signature we calculated does not match",
            );
            let lines = format!("\nx-amz-security-token:{TOKEN}\n");
            assert!(answer.message().contains(&lines), "{case}: {}", answer.message());
        }),
        ("expired_token", |case, answer| {
            is_error(
                case,
                answer,
                403,
                "ExpiredTokenException",
                "The security token included in the request is expired",
            )
        }),
        ("validation:secret prompt", |case, answer| {
            is_error(case, answer, 400, "ValidationException", "secret prompt")
        }),
        ("not_found", |case, answer| is_error(case, answer, 404, "ResourceNotFoundException", "")),
        ("model_timeout", |case, answer| {
            is_error(case, answer, 408, "ModelTimeoutException", "Model has timed out")
        }),
        ("redirect", |case, answer| {
            assert_eq!(answer.status(), 302, "{case}");
            assert_eq!(answer.header("location"), Some(MODEL_TARGET), "{case}");
        }),
        ("garbage_headers", |case, answer| {
            assert_eq!(answer.status(), 200, "{case}");
            assert!(answer.header("x-amzn-requestid").unwrap().contains("not a uuid"), "{case}");
            assert!(answer.json()["stop_reason"].as_str().unwrap().contains("\r\n"), "{case}");
            assert_eq!(answer.header("x-amzn-bedrock-input-token-count"), Some("-1"), "{case}");
            assert_eq!(answer.header("x-amzn-bedrock-output-token-count"), Some("many"), "{case}");
            assert_eq!(answer.head.matches("token-count:").count(), 2, "{case}: none twice");
        }),
    ];
    let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    let mut tested: Vec<&str> =
        rows.iter().filter_map(|(words, _)| words.split(':').next()).collect();
    tested.dedup();
    assert_eq!(tested, names);

    let stub = start().await;
    for (words, check) in rows {
        check(words, &ask(&stub, &format!("fault:{words}")).await);
    }
}

fn is_error(case: &str, answer: &Answer, status: u16, name: &str, message: &str) {
    assert_eq!(answer.status(), status, "{case}: {answer:?}");
    let error_type = answer.header("x-amzn-errortype").unwrap();
    assert!(error_type.starts_with(&format!("{name}:")), "{case}: {error_type}");
    assert!(answer.message().contains(message), "{case}: {}", answer.message());
}

fn is_html(case: &str, answer: &Answer) {
    assert_eq!(answer.header("content-type"), Some("text/html"), "{case}");
    assert!(answer.text().starts_with("<html>"), "{case}");
}

fn block_types(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let blocks = body["content"].as_array().unwrap();
    blocks.iter().map(|block| block["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn how_a_prompt_asks() {
    let stub = start().await;
    let cases = [
        ("by name", "fault:not_found", 404),
        ("words after it", "fault:not_found and more", 404),
        ("white space around", "\n fault:not_found\n", 404),
        ("an argument that is not used", "fault:not_found:1", 404),
        ("in the middle", "a fault:not_found", 200),
        ("only the word", "fault", 200),
        ("no such name", "fault:not", 400),
        ("no name", "fault:", 400),
        ("a bad argument", "fault:slow:soon", 400),
        ("an argument that is not known", "fault:max-tokens-before-text:text", 400),
    ];
    for (case, prompt, status) in cases {
        assert_eq!(ask(&stub, prompt).await.status(), status, "{case}");
    }
    let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    assert_eq!(
        ask(&stub, "fault:not").await.message(),
        format!("No fault is named 'not'. There are: {}.", names.join(", "))
    );
}

#[tokio::test]
async fn slow_waits_as_long_as_told() {
    let stub = start().await;
    let started = Instant::now();
    assert_eq!(ask(&stub, "fault:slow:300").await.status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn some_of_the_time() {
    let stub = start().await;
    // The prompt, the region of the path and of the signature, the statuses of three calls.
    let cases = [
        ("fault:unavailable@ap-northeast-1", "ap-northeast-1", [503, 503, 503]),
        ("fault:unavailable@us-east-1", "ap-northeast-1", [200, 200, 200]),
        ("fault:unavailable@us-east-1", "us-east-1", [503, 503, 503]),
        ("fault:unavailable#2", "us-east-1", [503, 503, 200]),
        ("fault:unavailable@us-east-1#1", "us-east-1", [503, 200, 200]),
        ("fault:unavailable@us-east-1#1 elsewhere", "eu-west-1", [200, 200, 200]),
    ];
    for (prompt, region, statuses) in cases {
        for status in statuses {
            let mut call = Call::new(claude(prompt));
            call.key.session_token = Some(TOKEN.to_owned());
            call.host = stub.url().replace("http://", "");
            call.region = region;
            call.target = format!("/{region}{MODEL_TARGET}");
            let answer = exchange(&stub.url(), &call.signed()).await;
            assert_eq!(answer.status(), status, "{prompt} in {region}");
        }
    }
    // A signature is good for one region.
    let mut call = Call::new(claude("Hello"));
    call.key.session_token = Some(TOKEN.to_owned());
    call.target = format!("/us-east-1{MODEL_TARGET}");
    assert_eq!(exchange(&stub.url(), &call.signed()).await.status(), 403);
}
