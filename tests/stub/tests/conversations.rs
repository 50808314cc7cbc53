//! Conversations of several turns over real HTTP: which ones `InvokeModel` and
//! `InvokeModelWithResponseStream` accept, and what models refuse in them.

mod decode;
mod signer;
mod wire;

use bedrock_stub::{Settings, StreamCounts, Stub};
use decode::{decode, text};
use serde_json::{Value, json};
use signer::Call;
use wire::{HttpResponse, exchange};

const SONNET_4: &str = "apac.anthropic.claude-sonnet-4-20250514-v1%3A0";
const OPERATIONS: [&str; 2] = ["invoke", "invoke-with-response-stream"];

async fn start() -> Stub {
    Stub::start(Settings::default()).await.unwrap()
}

/// Sends `messages`, with the keys of `parameters` beside it.
async fn ask(
    stub: &Stub,
    model_id: &str,
    operation: &str,
    messages: &Value,
    parameters: &Value,
) -> HttpResponse {
    let mut body = json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1024,
        "messages": messages,
    });
    for (key, value) in parameters.as_object().unwrap() {
        body[key] = value.clone();
    }
    let mut call = Call::new(body.to_string());
    call.host = stub.url().replace("http://", "");
    call.target = format!("/model/{model_id}/{operation}");
    exchange(&stub.url(), &call.signed()).await
}

fn generated_text(operation: &str, response: &HttpResponse) -> String {
    assert_eq!(response.status(), 200, "{response:?}");
    if operation == "invoke" {
        response.json()["content"][0]["text"].as_str().unwrap().to_owned()
    } else {
        text(&decode(&response.chunks().chunks.concat()).events())
    }
}

fn assert_is_refused(case: &str, response: &HttpResponse, message: &str) {
    assert_eq!(response.status(), 400, "{case}: {response:?}");
    let error_type = response.header("x-amzn-errortype").unwrap();
    assert!(error_type.starts_with("ValidationException:"), "{case}: {error_type}");
    assert_eq!(response.header("content-type"), Some("application/json"), "{case}");
    assert_eq!(response.message(), message, "{case}");
}

#[tokio::test]
async fn a_conversation_is_replied_to_by_its_last_user_text() {
    let stub = start().await;
    let cases = [
        (
            "content as strings",
            json!([
                { "role": "user", "content": "one" },
                { "role": "assistant", "content": "two" },
                { "role": "user", "content": "three" },
            ]),
            "You said: \"three\" (5 characters).",
            3,
        ),
        (
            "content as blocks",
            json!([
                { "role": "user", "content": [{ "type": "text", "text": "one" }] },
                { "role": "assistant", "content": [{ "type": "text", "text": "two" }] },
                { "role": "user", "content": [
                    { "type": "text", "text": "three " },
                    { "type": "text", "text": "and four", "cache_control": { "type": "ephemeral" } },
                ] },
            ]),
            "You said: \"three and four\" (14 characters).",
            5,
        ),
        (
            "both kinds of content, and two user turns one after the other",
            json!([
                { "role": "user", "content": "one" },
                { "role": "user", "content": [{ "type": "text", "text": "two" }] },
            ]),
            "You said: \"two\" (3 characters).",
            2,
        ),
        (
            "a prefilled reply",
            json!([
                { "role": "user", "content": "one" },
                { "role": "assistant", "content": "two" },
            ]),
            "You said: \"one\" (3 characters).",
            2,
        ),
    ];
    for operation in OPERATIONS {
        for (case, messages, expected, input_tokens) in &cases {
            let response = ask(&stub, SONNET_4, operation, messages, &json!({})).await;
            let text = generated_text(operation, &response);
            assert!(text.starts_with(expected), "{case}: {text}");
            if operation == "invoke" {
                let usage = &response.json()["usage"];
                assert_eq!(usage["input_tokens"], *input_tokens, "{case}: of all turns");
            }
        }
    }
}

#[tokio::test]
async fn a_fault_is_chosen_by_the_last_user_text_of_a_conversation() {
    let stub = start().await;
    let earlier = json!([
        { "role": "user", "content": "fault:throttled" },
        { "role": "assistant", "content": "fault:throttled" },
        { "role": "user", "content": "Hello" },
    ]);
    let last = json!([
        { "role": "user", "content": "Hello" },
        { "role": "assistant", "content": "Hi" },
        { "role": "user", "content": "fault:throttled" },
    ]);
    for operation in OPERATIONS {
        let status =
            async |messages| ask(&stub, SONNET_4, operation, messages, &json!({})).await.status();
        assert_eq!(status(&earlier).await, 200, "{operation}");
        assert_eq!(status(&last).await, 429, "{operation}");
    }
}

#[tokio::test]
async fn a_malformed_conversation_gets_400_before_a_stream_too() {
    let stub = start().await;
    let user = json!({ "role": "user", "content": "one" });
    let cases = [
        ("no messages", json!([]), "messages: at least one message is required"),
        (
            "a wrong role",
            json!([user, { "role": "tool", "content": "two" }]),
            "messages.1.role: Input should be 'user' or 'assistant'",
        ),
        ("no role", json!([user, { "content": "two" }]), "messages.1.role: Field required"),
        (
            "no content",
            json!([user, { "role": "assistant" }, user]),
            "messages.1.content: Field required",
        ),
        (
            "content that is null",
            json!([user, { "role": "assistant", "content": null }, user]),
            "messages.1.content: Input should be a valid string or a valid list",
        ),
        (
            "content that is empty",
            json!([user, { "role": "assistant", "content": [] }, user]),
            "messages.1: all messages must have non-empty content",
        ),
        (
            "an empty text",
            json!([user, { "role": "assistant", "content": [{ "type": "text", "text": "" }] }, user]),
            "messages: text content blocks must be non-empty",
        ),
        (
            "a blank text",
            json!([user, { "role": "assistant", "content": " \n" }, user]),
            "messages: text content blocks must contain non-whitespace text",
        ),
        (
            "the assistant first",
            json!([{ "role": "assistant", "content": "one" }, user]),
            "messages: first message must use the \"user\" role",
        ),
    ];
    for operation in OPERATIONS {
        for (case, messages, message) in &cases {
            let response = ask(&stub, SONNET_4, operation, messages, &json!({})).await;
            assert_is_refused(case, &response, message);
        }
    }
    assert_eq!(stub.streams(), StreamCounts::default());
}

#[tokio::test]
async fn a_model_without_sampling_refuses_the_field_that_was_sent() {
    const PROFILE: &str =
        "arn%3Aaws%3Abedrock%3Aap-northeast-1%3A123456789012%3Aapplication-inference-profile%2F";
    let refusing = [
        "global.anthropic.claude-fable-5-1".to_owned(),
        "global.anthropic.claude-opus-5-5".to_owned(),
        "global.anthropic.claude-sonnet-5-5".to_owned(),
        "global.anthropic.claude-haiku-5-5".to_owned(),
        "global.anthropic.claude-opus-4-7".to_owned(),
        "global.anthropic.claude-opus-4-8".to_owned(),
        format!("{PROFILE}refuses-temperature"),
    ];
    let accepting = [
        SONNET_4.to_owned(),
        "global.anthropic.claude-sonnet-4-6".to_owned(),
        "global.anthropic.claude-opus-4-6-v1".to_owned(),
        format!("{PROFILE}abc123"),
    ];
    let parameters = [
        (json!({ "temperature": 0.5 }), "`temperature` is deprecated for this model."),
        (json!({ "top_p": 0.5 }), "`top_p` is deprecated for this model."),
        (json!({ "top_k": 5 }), "`top_k` is deprecated for this model."),
        (
            json!({ "temperature": 1, "top_p": 1, "top_k": 5 }),
            "`temperature` is deprecated for this model.",
        ),
    ];
    let stub = start().await;
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    for operation in OPERATIONS {
        for (parameters, message) in &parameters {
            for model_id in &refusing {
                let case = format!("{operation} of {model_id} with {parameters}");
                let response = ask(&stub, model_id, operation, &messages, parameters).await;
                assert_is_refused(&case, &response, message);
            }
            for model_id in &accepting {
                let response = ask(&stub, model_id, operation, &messages, parameters).await;
                generated_text(operation, &response);
            }
        }
        for model_id in refusing.iter().chain(&accepting) {
            let response = ask(&stub, model_id, operation, &messages, &json!({})).await;
            generated_text(operation, &response);
        }
    }
}

#[tokio::test]
async fn a_model_without_prefill_refuses_a_last_message_of_the_assistant() {
    let stub = start().await;
    let messages = json!([
        { "role": "user", "content": "Hello" },
        { "role": "assistant", "content": "{" },
    ]);
    let refusing = [
        "global.anthropic.claude-fable-5-1",
        "global.anthropic.claude-opus-5-5",
        "global.anthropic.claude-sonnet-5-5",
        "global.anthropic.claude-haiku-5-5",
        "global.anthropic.claude-opus-4-8",
        "global.anthropic.claude-opus-4-7",
        "global.anthropic.claude-opus-4-6-v1",
        "global.anthropic.claude-sonnet-4-6",
    ];
    let accepting = [SONNET_4, "global.anthropic.claude-opus-4-5-20251101-v1%3A0"];
    for operation in OPERATIONS {
        for model_id in refusing {
            let response = ask(&stub, model_id, operation, &messages, &json!({})).await;
            assert_is_refused(
                model_id,
                &response,
                "This model does not support assistant message prefill. The conversation must end \
                 with a user message.",
            );
        }
        for model_id in accepting {
            let response = ask(&stub, model_id, operation, &messages, &json!({})).await;
            generated_text(operation, &response);
        }
    }
}

#[tokio::test]
async fn converse_refuses_what_the_model_refuses() {
    let stub = start().await;
    let user = json!({ "role": "user", "content": [{ "text": "Hello" }] });
    let assistant = json!({ "role": "assistant", "content": [{ "text": "{" }] });
    let cases = [
        (
            "a temperature",
            json!({ "messages": [user], "inferenceConfig": { "temperature": 0.5 } }),
            "`temperature` is deprecated for this model.",
        ),
        (
            "a prefilled reply",
            json!({ "messages": [user, assistant] }),
            "This model does not support assistant message prefill. The conversation must end \
             with a user message.",
        ),
    ];
    for (case, body, message) in cases {
        let mut call = Call::new(body.to_string());
        call.host = stub.url().replace("http://", "");
        call.target = "/model/global.anthropic.claude-opus-5-5/converse".to_owned();
        let message = format!("The model returned the following errors: {message}");
        assert_is_refused(case, &exchange(&stub.url(), &call.signed()).await, &message);
    }
}
