//! Parses bodies of requests. An accepted request must be within the limits, and must be what
//! Bedrock receives.

#![no_main]

use std::sync::LazyLock;

use bedrock_edge::{Code, Config, build_payload, parse_request};
use libfuzzer_sys::fuzz_target;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    Config::from_vars(|name| match name {
        "AWS_BEARER_TOKEN_BEDROCK" => Some("key".to_owned()),
        "AUTH" => Some("open".to_owned()),
        _ => None,
    })
    .unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let request = match parse_request(bytes, &CONFIG) {
        Ok(request) => request,
        Err(error) => {
            assert!([Code::InvalidRequest, Code::ModelNotAllowed].contains(&error.code));
            assert!(error.message.len() < 1024 && error.cause.is_none());
            return;
        }
    };
    assert!(!request.prompt().trim().is_empty());
    assert!(request.texts().all(|text| !text.trim().is_empty()));
    assert!((1..=CONFIG.max_tokens).contains(&request.max_tokens));
    assert!(request.temperature.is_none_or(|it| (0.0..=1.0).contains(&it)));
    let payload = build_payload(&request, CONFIG.temperature).to_json().unwrap();
    let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
    assert_eq!(payload["messages"][0]["role"], "user");
    let last = payload["messages"].as_array().unwrap().iter().rfind(|it| it["role"] == "user");
    let content = &last.unwrap()["content"];
    let text = content.as_str().or_else(|| content.as_array()?.last()?["text"].as_str());
    assert_eq!(text, Some(request.prompt()));
    assert_eq!(payload["max_tokens"], request.max_tokens);
    assert_eq!(payload.get("system").and_then(|it| it.as_str()), request.system.as_deref());
    // The owned copy is equal.
    assert_eq!(request.clone().into_owned(), request);
});
