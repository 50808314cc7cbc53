//! The faults of `InvokeModel`, as a client receives them.

mod signer;
mod wire;

use std::time::{Duration, Instant};

use bedrock_stub::faults::FAULTS;
use bedrock_stub::{AccessKey, Settings, Stub};
use serde_json::json;
use signer::{Call, MODEL_TARGET, claude};
use wire::{HttpResponse, exchange};

const TOKEN: &str = "AQoDYXdzEPT//wEXAMPLE+token==";

async fn start() -> Stub {
    let mut key = AccessKey::example();
    key.session_token = Some(TOKEN.to_owned());
    let settings = Settings { keys: vec![key], ..Settings::default() };
    Stub::start(settings).await.unwrap()
}

async fn ask(stub: &Stub, prompt: &str) -> HttpResponse {
    let mut call = Call::new(claude(prompt));
    call.key.session_token = Some(TOKEN.to_owned());
    call.host = stub.url().replace("http://", "");
    exchange(&stub.url(), &call.signed()).await
}

/// Has at least one row for each name in [`FAULTS`], so that no fault is untested.
#[tokio::test]
async fn every_fault_has_its_documented_response() {
    type Check = fn(&str, &HttpResponse);
    let rows: &[(&str, Check)] = &[
        ("throttled", |case, response| {
            is_error(
                case,
                response,
                429,
                "ThrottlingException",
                "Too many requests, please wait before trying again.",
            );
            assert_eq!(response.header("retry-after"), Some("1"), "{case}");
        }),
        ("server_error", |case, response| {
            is_error(case, response, 500, "InternalServerException", "unexpected error")
        }),
        ("unavailable", |case, response| {
            is_error(case, response, 503, "ServiceUnavailableException", "unable to process")
        }),
        ("overloaded", |case, response| {
            assert_eq!(response.status(), 503, "{case}");
            is_html(case, response);
        }),
        ("type_in_body", |case, response| {
            assert_eq!(response.status(), 429, "{case}");
            assert_eq!(response.header("x-amzn-errortype"), None, "{case}");
            assert_eq!(
                response.json()["__type"],
                "com.amazon.bedrock#ThrottlingException",
                "{case}"
            );
        }),
        ("slow:1", |case, response| {
            assert_eq!(response.json()["stop_reason"], "end_turn", "{case}")
        }),
        ("hang_up", |case, response| {
            assert_eq!(response.status(), 200, "{case}");
            let promised: usize = response.header("content-length").unwrap().parse().unwrap();
            assert_eq!(response.body.len(), promised / 2, "{case}");
        }),
        ("hang_up_before", |case, response| assert_eq!(response.head, "", "{case}")),
        // `exchange` stops waiting.
        ("stall", |case, response| {
            assert_eq!(response.status(), 200, "{case}");
            assert!(response.text().contains("{\"content\":"), "{case}: {response:?}");
        }),
        ("endless", |case, response| {
            assert_eq!(response.status(), 200, "{case}");
            assert!(response.body.len() > 1 << 20, "{case}: {}", response.body.len());
        }),
        ("huge:100000", |case, response| {
            assert!(response.body.len() > 100_000, "{case}");
            assert_eq!(response.json()["stop_reason"], "end_turn", "{case}");
        }),
        ("not_json", |case, response| {
            assert_eq!(response.status(), 200, "{case}");
            is_html(case, response);
        }),
        ("empty", |case, response| {
            assert_eq!(response.status(), 200, "{case}");
            assert_eq!(response.header("content-length"), Some("0"), "{case}");
        }),
        ("cut_off", |case, response| {
            let promised: usize = response.header("content-length").unwrap().parse().unwrap();
            assert_eq!(response.body.len(), promised, "{case}");
            assert!(response.text().starts_with('{'), "{case}");
            assert!(serde_json::from_slice::<serde_json::Value>(&response.body).is_err(), "{case}");
        }),
        ("no_text", |case, response| {
            assert_eq!(response.status(), 200, "{case}");
            assert_eq!(response.json()["content"], json!([]), "{case}");
        }),
        ("max_tokens_before_text", |case, response| {
            assert_eq!(response.status(), 200, "{case}");
            assert_eq!(response.json()["content"], json!([]), "{case}");
            assert_eq!(response.json()["stop_reason"], "max_tokens", "{case}");
        }),
        ("max_tokens_before_text:thinking", |case, response| {
            assert_eq!(block_types(response), ["thinking"], "{case}");
            assert_eq!(response.json()["stop_reason"], "max_tokens", "{case}");
        }),
        ("refusal", |case, response| {
            assert_eq!(response.status(), 200, "{case}");
            assert_eq!(response.json()["content"], json!([]), "{case}");
            assert_eq!(response.json()["stop_reason"], "refusal", "{case}");
        }),
        ("tool_only", |case, response| {
            assert_eq!(block_types(response), ["tool_use"], "{case}");
            assert_eq!(response.json()["stop_reason"], "tool_use", "{case}");
        }),
        ("thinking_first", |case, response| {
            assert_eq!(
                block_types(response),
                ["thinking", "redacted_thinking", "text", "text"],
                "{case}"
            );
        }),
        ("unknown_operation", |case, response| {
            assert_eq!(response.status(), 200, "{case}");
            assert_eq!(
                response.json()["Output"]["__type"],
                "com.amazon.coral.service#UnknownOperationException",
                "{case}"
            );
        }),
        ("unknown_stop_reason", |case, response| {
            assert_eq!(block_types(response), ["text"], "{case}");
            assert_eq!(response.json()["stop_reason"], "ran_out_of_ink", "{case}");
        }),
        ("access_denied", |case, response| {
            is_error(
                case,
                response,
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
            )
        }),
        ("bad_signature", |case, response| {
            is_error(
                case,
                response,
                403,
                "InvalidSignatureException",
                "The request signature we calculated does not match",
            );
            let lines = format!("\nx-amz-security-token:{TOKEN}\n");
            assert!(response.message().contains(&lines), "{case}: {}", response.message());
        }),
        ("expired_token", |case, response| {
            is_error(
                case,
                response,
                403,
                "ExpiredTokenException",
                "The security token included in the request is expired",
            )
        }),
        ("validation:secret prompt", |case, response| {
            is_error(case, response, 400, "ValidationException", "secret prompt")
        }),
        ("not_found", |case, response| {
            is_error(case, response, 404, "ResourceNotFoundException", "")
        }),
        ("model_timeout", |case, response| {
            is_error(case, response, 408, "ModelTimeoutException", "Model has timed out")
        }),
        ("model_error", |case, response| {
            is_error(case, response, 424, "ModelErrorException", "The model failed");
            assert_eq!(response.json()["originalStatusCode"], 500, "{case}");
        }),
        ("model_not_ready", |case, response| {
            is_error(case, response, 429, "ModelNotReadyException", "not ready")
        }),
        ("quota", |case, response| {
            is_error(
                case,
                response,
                400,
                "ServiceQuotaExceededException",
                "exceeding the account quotas",
            )
        }),
        ("redirect", |case, response| {
            assert_eq!(response.status(), 302, "{case}");
            assert_eq!(response.header("location"), Some(MODEL_TARGET), "{case}");
        }),
        ("garbage_headers", |case, response| {
            assert_eq!(response.status(), 200, "{case}");
            assert!(response.header("x-amzn-requestid").unwrap().contains("not a uuid"), "{case}");
            assert!(response.json()["stop_reason"].as_str().unwrap().contains("\r\n"), "{case}");
            assert_eq!(response.header("x-amzn-bedrock-input-token-count"), Some("-1"), "{case}");
            assert_eq!(
                response.header("x-amzn-bedrock-output-token-count"),
                Some("many"),
                "{case}"
            );
            assert_eq!(
                response.head.matches("token-count:").count(),
                2,
                "{case}: each header once"
            );
        }),
    ];
    let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    let mut tested: Vec<&str> =
        rows.iter().filter_map(|(case, _)| case.split(':').next()).collect();
    tested.dedup();
    assert_eq!(tested, names);

    let stub = start().await;
    for (case, check) in rows {
        check(case, &ask(&stub, &format!("fault:{case}")).await);
    }
}

fn is_error(case: &str, response: &HttpResponse, status: u16, name: &str, message: &str) {
    assert_eq!(response.status(), status, "{case}: {response:?}");
    let error_type = response.header("x-amzn-errortype").unwrap();
    assert!(error_type.starts_with(&format!("{name}:")), "{case}: {error_type}");
    assert!(response.message().contains(message), "{case}: {}", response.message());
}

fn is_html(case: &str, response: &HttpResponse) {
    assert_eq!(response.header("content-type"), Some("text/html"), "{case}");
    assert!(response.text().starts_with("<html>"), "{case}");
}

fn block_types(response: &HttpResponse) -> Vec<String> {
    let body = response.json();
    let blocks = body["content"].as_array().unwrap();
    blocks.iter().map(|block| block["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_prompt_that_begins_with_fault_demands_the_fault_of_that_name() {
    let stub = start().await;
    let cases = [
        ("by name", "fault:not_found", 404),
        ("text after it", "fault:not_found and more", 404),
        ("white space around", "\n fault:not_found\n", 404),
        ("an argument that is not used", "fault:not_found:1", 404),
        ("in the middle", "a fault:not_found", 200),
        ("without a colon", "fault", 200),
        ("no such name", "fault:not", 400),
        ("no name", "fault:", 400),
        ("a bad argument", "fault:slow:soon", 400),
        ("an argument that is not known", "fault:max_tokens_before_text:text", 400),
    ];
    for (case, prompt, status) in cases {
        assert_eq!(ask(&stub, prompt).await.status(), status, "{case}");
    }
    let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    assert_eq!(
        ask(&stub, "fault:slow:soon").await.message(),
        "fault:slow: expected milliseconds, got 'soon'."
    );
    assert_eq!(
        ask(&stub, "fault:not").await.message(),
        format!("Unknown fault 'not'. Expected one of: {}.", names.join(", "))
    );
}

#[tokio::test]
async fn fault_slow_delays_the_reply_by_its_argument() {
    let stub = start().await;
    let started = Instant::now();
    assert_eq!(ask(&stub, "fault:slow:300").await.status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_fault_can_be_limited_to_a_region_and_to_the_first_calls() {
    let stub = start().await;
    // The prompt, the region in the path and the signature, the statuses of three calls.
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
            let response = exchange(&stub.url(), &call.signed()).await;
            assert_eq!(response.status(), status, "{prompt} in {region}");
        }
    }
    // A signature is valid in one region only.
    let mut call = Call::new(claude("Hello"));
    call.key.session_token = Some(TOKEN.to_owned());
    call.target = format!("/us-east-1{MODEL_TARGET}");
    assert_eq!(exchange(&stub.url(), &call.signed()).await.status(), 403);
}
