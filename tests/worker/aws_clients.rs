//! Clients of Bedrock's own API: boto3, the AWS SDK for JavaScript, the AWS CLI, Anthropic's
//! `AnthropicBedrock` and LangChain's `ChatBedrockConverse`.
//!
//! Each first calls the stand-in directly, as it would call Bedrock. What its application sees there
//! is what it must see through the Worker.

mod bytes;
mod document;
mod service_model;
mod worker;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::aws_clients::{Client, Endpoint, stand_in};
use crate::support::messages::{installed, stdout_of};

/// The cases in which the clients of AWS get what they asked for.
const REPLIES: [&str; 8] = [
    "invoke",
    "invoke_stream",
    "converse",
    "converse_stream",
    "other_makers",
    "tools",
    "count_tokens",
    "guardrail",
];

/// Faults of the stand-in; the error that the operations declare for each, and its status.
const ERRORS: [(&str, &str, u16); 10] = [
    ("throttled", "ThrottlingException", 429),
    ("server_error", "InternalServerException", 500),
    ("unavailable", "ServiceUnavailableException", 503),
    ("access_denied", "AccessDeniedException", 403),
    ("validation", "ValidationException", 400),
    ("not_found", "ResourceNotFoundException", 404),
    ("model_timeout", "ModelTimeoutException", 408),
    ("model_error", "ModelErrorException", 424),
    ("model_not_ready", "ModelNotReadyException", 429),
    ("quota", "ServiceQuotaExceededException", 400),
];

/// Faults in the middle of a stream, and the exception that each is.
const STREAM_ERRORS: [(&str, &str); 5] = [
    ("stream_exception", "throttlingException"),
    ("stream_model_error", "modelStreamErrorException"),
    ("stream_internal", "internalServerException"),
    ("stream_validation", "validationException"),
    ("stream_unavailable", "serviceUnavailableException"),
];

/// Asserts what every client of AWS must have got of [`REPLIES`].
fn assert_replies(client: Client, outcomes: &Value) {
    let at = |pointer: &str| {
        outcomes.pointer(pointer).unwrap_or_else(|| panic!("{client:?}: {pointer}: {outcomes:#}"))
    };
    assert_eq!(at("/invoke/body/model"), "claude-opus-5-5", "{client:?}");
    let text = "「こんにちは」と受け取りました(5 文字)。これは Bedrock の代役です。";
    assert_eq!(at("/invoke/body/content/0/text"), text, "{client:?}");
    assert_eq!(at("/converse/stopReason"), "end_turn", "{client:?}");
    assert!(at("/converse/output/message/content/0/reasoningContent").is_object(), "{client:?}");

    let events = at("/converse_stream").as_array().unwrap();
    let names: Vec<&str> =
        events.iter().filter_map(|it| it.as_object()?.keys().next()).map(String::as_str).collect();
    assert_eq!(names.first(), Some(&"messageStart"), "{client:?}: {names:?}");
    let last = ["contentBlockStop", "messageStop", "metadata"];
    assert_eq!(names[names.len() - 3..], last, "{client:?}: {names:?}");
    let reasoning = events
        .iter()
        .filter(|it| it.pointer("/contentBlockDelta/delta/reasoningContent/signature").is_some());
    assert_eq!(reasoning.count(), 1, "{client:?}");

    assert_eq!(at("/tools/first/stopReason"), "tool_use", "{client:?}");
    let text = r#"The tools returned: "{"degrees":21}"."#;
    assert_eq!(at("/tools/second/output/message/content/0/text"), text, "{client:?}");
    assert_eq!(at("/count_tokens"), &json!([3, 3]), "{client:?}");
    assert_eq!(at("/other_makers/embedded"), 2, "{client:?}");
    assert_eq!(at("/guardrail/whole/stopReason"), "guardrail_intervened", "{client:?}");
    assert_eq!(at("/guardrail/applied/outputs/0/text"), "Ask {EMAIL}.", "{client:?}");
}

/// Asserts that each declared error was raised as its own class, by every operation.
fn assert_errors(client: Client, outcomes: &Value) {
    for operation in ["invoke", "invoke_stream", "converse", "converse_stream"] {
        for (fault, class, status) in ERRORS {
            let error = &outcomes["errors"][operation][fault];
            let case = format!("{client:?}, {operation}, {fault}: {error}");
            assert_eq!(error["class"], class, "{case}");
            assert_eq!(error["is_declared"], true, "{case}");
            assert_eq!(error["status"], status, "{case}");
            assert_eq!(error["has_request_id"], true, "{case}");
            assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{case}");
        }
    }
    for (fault, name) in STREAM_ERRORS {
        let errors = outcomes["stream_errors"][fault].as_array().unwrap();
        assert_eq!(errors.len(), 2, "{client:?}, {fault}: {errors:?}");
        for error in errors {
            // boto3 has the code of the exception, the SDK for JavaScript its class.
            let class = match client {
                Client::Boto3 => error["Code"].as_str(),
                _ => error["class"].as_str(),
            };
            let class = class.unwrap_or_default();
            assert!(class.eq_ignore_ascii_case(name), "{client:?}, {fault}: {error}");
        }
    }
    let class_of = |case: &str| outcomes["refused"][case]["class"].as_str().unwrap_or_default();
    assert_eq!(class_of("a blank text"), "ValidationException", "{client:?}");
    assert_eq!(class_of("an unknown model"), "ValidationException", "{client:?}");
    assert_eq!(class_of("a missing guardrail"), "ResourceNotFoundException", "{client:?}");
}

#[tokio::test]
async fn boto3_understands_the_stand_in() {
    let (_stub, endpoint) = stand_in().await;
    let mut cases = REPLIES.to_vec();
    cases.extend(["content", "cache", "catalog", "retries"]);
    let outcomes = Client::Boto3.outcomes(&endpoint, &cases).await;
    assert_replies(Client::Boto3, &outcomes);
    assert_eq!(outcomes["invoke"]["counts"], json!(["5", "31"]));
    let cited = &outcomes["content"]["output"]["message"]["content"][0]["citationsContent"];
    assert_eq!(cited["citations"][0]["sourceContent"][0]["text"], "The sky is blue.");
    assert_eq!(outcomes["cache"], json!([0, 600]));
    assert_eq!(outcomes["catalog"]["is_listed"], true);
    assert_eq!(outcomes["retries"], json!([2, "end_turn"]));
}

#[tokio::test]
async fn boto3_raises_each_error_of_the_stand_in_as_its_own_class() {
    let (_stub, endpoint) = stand_in().await;
    let cases = ["errors", "stream_errors", "refused", "credentials"];
    let outcomes = Client::Boto3.outcomes(&endpoint, &cases).await;
    assert_errors(Client::Boto3, &outcomes);
    let code = |case: &str| &outcomes["credentials"][case]["code"];
    assert_eq!(code("a wrong secret"), "InvalidSignatureException");
    assert_eq!(code("an unknown key"), "UnrecognizedClientException");
    assert_eq!(code("a session token that nobody issued"), "UnrecognizedClientException");
}

#[tokio::test]
async fn the_aws_sdk_for_javascript_understands_the_stand_in() {
    let (_stub, endpoint) = stand_in().await;
    let mut cases = REPLIES.to_vec();
    cases.push("retries");
    let outcomes = Client::AwsSdkJs.outcomes(&endpoint, &cases).await;
    assert_replies(Client::AwsSdkJs, &outcomes);
    assert_eq!(outcomes["retries"], json!([3, "end_turn"]));
    let cases = ["errors", "stream_errors", "refused"];
    assert_errors(Client::AwsSdkJs, &Client::AwsSdkJs.outcomes(&endpoint, &cases).await);
}

#[tokio::test]
async fn anthropics_clients_for_bedrock_understand_the_stand_in_alike() {
    let (_stub, endpoint) = stand_in().await;
    let cases = ["create", "stream", "tools", "errors", "credentials", "bearer"];
    let python = Client::AnthropicPython.outcomes(&endpoint, &cases).await;
    let javascript = Client::AnthropicJs.outcomes(&endpoint, &cases).await;
    let text = "「Hello, 世界 👋」と受け取りました(11 文字)。これは Bedrock の代役です。";
    assert_eq!(python["create"][0], text);
    assert_eq!(python["stream"][0][0]["type"], "thinking", "{python}");
    assert_eq!(python["tools"], json!(["tool_use", "The tools returned: \"9:00\"."]));
    for (fault, class, status) in [
        ("throttled", "RateLimitError", 429),
        ("validation", "BadRequestError", 400),
        ("access_denied", "PermissionDeniedError", 403),
        ("not_found", "NotFoundError", 404),
        ("server_error", "InternalServerError", 500),
    ] {
        assert_eq!(python["errors"][fault]["class"], class, "{fault}");
        assert_eq!(python["errors"][fault]["status"], status, "{fault}");
    }
    assert_eq!(python["bearer"], json!(["Hi", "PermissionDeniedError", 403]));
    assert_eq!(python, javascript);
}

#[tokio::test]
async fn langchain_understands_the_stand_in() {
    let (_stub, endpoint) = stand_in().await;
    let cases = ["invoke", "stream", "tools", "structured", "errors"];
    let outcomes = Client::LangChain.outcomes(&endpoint, &cases).await;
    let sunny = "The tools returned: \"sunny in 東京\".";
    assert_eq!(outcomes["tools"], json!([[{ "city": "東京" }], sunny]));
    assert_eq!(outcomes["structured"], json!({ "title": "text", "minutes": 1 }));
    assert_eq!(outcomes["stream"][1], true, "{outcomes}");
    let errors =
        json!({ "validation": "ValidationException", "access_denied": "AccessDeniedException" });
    assert_eq!(outcomes["errors"], errors);
}

/// Runs commands of the AWS CLI. Returns what each prints: its output, or the message of its error.
async fn aws_cli(endpoint: &Endpoint) -> Vec<(&'static str, String)> {
    const MESSAGES: &str = r#"[{"role":"user","content":[{"text":"[[say Hi]]"}]}]"#;
    const BODY: &str = r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"[[say Hi]]"}]}"#;
    const INPUT: &str =
        r#"{"converse":{"messages":[{"role":"user","content":[{"text":"one two"}]}]}}"#;
    const CLAUDE: &str = "global.anthropic.claude-opus-5-5";
    const BLANK: &str = r#"[{"role":"user","content":[{"text":" "}]}]"#;
    let commands: [(&str, Vec<&str>); 7] = [
        (
            "invoke",
            vec![
                "bedrock-runtime",
                "invoke-model",
                "--model-id",
                CLAUDE,
                "--body",
                BODY,
                "/dev/stdout",
            ],
        ),
        (
            "converse",
            vec![
                "bedrock-runtime",
                "converse",
                "--model-id",
                CLAUDE,
                "--messages",
                MESSAGES,
                "--query",
                "[output.message.content[0].text, stopReason]",
            ],
        ),
        (
            "nova",
            vec![
                "bedrock-runtime",
                "converse",
                "--model-id",
                "amazon.nova-2-lite-v1:0",
                "--messages",
                MESSAGES,
                "--query",
                "usage",
            ],
        ),
        (
            "count",
            vec![
                "bedrock-runtime",
                "count-tokens",
                "--model-id",
                "anthropic.claude-sonnet-4-6",
                "--input",
                INPUT,
            ],
        ),
        (
            "guardrail",
            vec![
                "bedrock-runtime",
                "apply-guardrail",
                "--guardrail-identifier",
                "abc123",
                "--guardrail-version",
                "1",
                "--source",
                "INPUT",
                "--content",
                r#"[{"text":{"text":"a forbidden word"}}]"#,
                "--query",
                "action",
            ],
        ),
        ("refused", vec!["bedrock-runtime", "converse", "--model-id", CLAUDE, "--messages", BLANK]),
        (
            "profiles",
            vec![
                "bedrock",
                "get-inference-profile",
                "--inference-profile-identifier",
                CLAUDE,
                "--query",
                "status",
            ],
        ),
    ];
    let aws = installed("python-tools").await.join("aws");
    let mut outputs = Vec::new();
    for (name, arguments) in commands {
        // The command fails for an error of the API.
        let mut command = Command::new("sh");
        command.args(["-c", "\"$0\" \"$@\" --output json 2>&1 || true"]).arg(&aws).args(arguments);
        endpoint.set_environment(&mut command);
        outputs.push((name, stdout_of(&mut command).await));
    }
    outputs
}

fn assert_aws_cli(outputs: &[(&str, String)]) {
    for (name, output) in outputs {
        let expected = match *name {
            "invoke" => r#""text":"Hi""#,
            "converse" => "\"Hi\",\n    \"end_turn\"",
            "nova" => "\"outputTokens\": 1",
            "count" => "\"inputTokens\": 2",
            "guardrail" => "\"GUARDRAIL_INTERVENED\"",
            "refused" => {
                "An error occurred (ValidationException) when calling the Converse operation: The text field in the ContentBlock object at messages.0.content.0 is blank."
            }
            _ => "\"ACTIVE\"",
        };
        assert!(output.contains(expected), "{name}: {output}");
    }
}

#[tokio::test]
async fn the_aws_cli_understands_the_stand_in() {
    let (_stub, endpoint) = stand_in().await;
    assert_aws_cli(&aws_cli(&endpoint).await);
}
