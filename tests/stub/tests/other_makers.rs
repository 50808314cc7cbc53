//! `InvokeModel` and `InvokeModelWithResponseStream` for models of other makers, and the catalog.

mod decode;
mod signer;
mod wire;

use bedrock_stub::{Settings, Stub};
use decode::decode;
use serde_json::{Value, json};
use signer::Call;
use wire::{HttpResponse, exchange};

async fn send(stub: &Stub, target: &str, body: &Value) -> HttpResponse {
    let mut call = Call::new(body.to_string());
    call.host = stub.url().replace("http://", "");
    call.target = target.replace(':', "%3A");
    exchange(&stub.url(), &call.signed()).await
}

/// Returns the JSON in the chunks of a stream.
async fn chunks(stub: &Stub, model_id: &str, body: &Value) -> Vec<Value> {
    let target = format!("/model/{model_id}/invoke-with-response-stream");
    let response = send(stub, &target, body).await;
    assert_eq!(response.status(), 200, "{response:?}");
    assert_eq!(response.header("x-amzn-bedrock-content-type"), Some("application/json"));
    decode(&response.chunks().chunks.concat()).events()
}

fn nova(prompt: &str) -> Value {
    json!({
        "schemaVersion": "messages-v1",
        "messages": [{ "role": "user", "content": [{ "text": prompt }] }],
        "inferenceConfig": { "max_new_tokens": 3, "topK": 20 },
    })
}

fn llama(prompt: &str) -> Value {
    json!({ "prompt": prompt, "max_gen_len": 3 })
}

fn chat(prompt: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": prompt }], "max_tokens": 3 })
}

#[tokio::test]
async fn each_maker_has_its_own_bodies_and_the_counts_are_in_the_headers() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    const NOVA: &str = "us.amazon.nova-2-lite-v1:0";
    const LLAMA: &str = "meta.llama3-1-70b-instruct-v1:0";
    const MISTRAL: &str = "mistral.mistral-large-3-675b-instruct";
    let prompt = "[[say one two three four]]";
    // Model, body; where the text, the reason of the end and the number of output tokens are.
    let cases = [
        (
            NOVA,
            nova(prompt),
            ["/output/message/content/0/text", "/stopReason", "/usage/outputTokens"],
            "max_tokens",
        ),
        (
            LLAMA,
            llama(prompt),
            ["/generation", "/stop_reason", "/generation_token_count"],
            "length",
        ),
        (
            MISTRAL,
            chat(prompt),
            ["/choices/0/message/content", "/choices/0/finish_reason", "/usage/completion_tokens"],
            "length",
        ),
    ];
    for (model_id, body, pointers, reason) in cases {
        let response = send(&stub, &format!("/model/{model_id}/invoke"), &body).await;
        assert_eq!(response.status(), 200, "{model_id}: {response:?}");
        assert_eq!(response.header("x-amzn-bedrock-output-token-count"), Some("3"), "{model_id}");
        assert!(response.header("x-amzn-bedrock-invocation-latency").is_some(), "{model_id}");
        let reply = response.json();
        let [text, stop, count] = pointers.map(|pointer| reply.pointer(pointer).unwrap());
        assert_eq!(
            (text, stop, count),
            (&json!("one two three"), &json!(reason), &json!(3)),
            "{model_id}"
        );

        let chunks = chunks(&stub, model_id, &body).await;
        let delta = |chunk: &Value| {
            let pointers =
                ["/contentBlockDelta/delta/text", "/generation", "/choices/0/delta/content"];
            pointers.iter().find_map(|it| chunk.pointer(it)?.as_str().map(str::to_owned))
        };
        let text: String = chunks.iter().filter_map(delta).collect();
        assert_eq!(text, "one two three", "{model_id}");
        let metrics = &chunks.last().unwrap()["amazon-bedrock-invocationMetrics"];
        assert_eq!(metrics["outputTokenCount"], 3, "{model_id}");
        let own: Vec<&Value> =
            chunks.iter().filter(|it| it.get("amazon-bedrock-usage").is_some()).collect();
        assert!(own.is_empty(), "{model_id}: {own:?}");
    }
}

#[tokio::test]
async fn a_body_of_another_maker_is_refused() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    for (case, model_id, body) in [
        (
            "claude's body",
            "amazon.nova-pro-v1:0",
            json!({ "anthropic_version": "x", "messages": [] }),
        ),
        ("a body of chat", "meta.llama3-1-70b-instruct-v1:0", chat("Hi")),
        ("no messages", "openai.gpt-oss-120b-1:0", json!({ "messages": [] })),
        (
            "an unknown role",
            "openai.gpt-oss-120b-1:0",
            json!({ "messages": [{ "role": "x", "content": "Hi" }] }),
        ),
        (
            "too many tokens",
            "amazon.nova-pro-v1:0",
            json!({ "messages": [], "inferenceConfig": { "maxTokens": 20_000 } }),
        ),
        ("a base id", "deepseek.r1-v1:0", chat("Hi")),
    ] {
        let response = send(&stub, &format!("/model/{model_id}/invoke"), &body).await;
        assert_eq!(response.status(), 400, "{case}: {response:?}");
    }
}

#[tokio::test]
async fn a_text_is_embedded_and_its_tokens_are_counted() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    const TARGET: &str = "/model/amazon.titan-embed-text-v2:0/invoke";
    let body = json!({ "inputText": "one two", "dimensions": 256, "normalize": true });
    let response = send(&stub, TARGET, &body).await;
    assert_eq!(response.status(), 200, "{response:?}");
    assert_eq!(response.header("x-amzn-bedrock-input-token-count"), Some("2"));
    assert_eq!(response.header("x-amzn-bedrock-output-token-count"), None);
    let reply = response.json();
    assert_eq!(reply["embedding"].as_array().map(Vec::len), Some(256));
    assert_eq!(reply["inputTextTokenCount"], 2);
    for (case, target, body) in [
        ("no text", TARGET, json!({ "inputText": "" })),
        ("odd dimensions", TARGET, json!({ "inputText": "x", "dimensions": 100 })),
        ("a stream", "/model/amazon.titan-embed-text-v2:0/invoke-with-response-stream", body),
    ] {
        assert_eq!(send(&stub, target, &body).await.status(), 400, "{case}");
    }
}

async fn get(stub: &Stub, target: &str) -> HttpResponse {
    let mut call = Call::new("");
    call.method = "GET";
    call.host = stub.url().replace("http://", "");
    call.target = target.to_owned();
    call.headers.clear();
    exchange(&stub.url(), &call.signed()).await
}

#[tokio::test]
async fn the_catalog_lists_profiles_in_pages_and_models() {
    let stub = Stub::start(Settings::default()).await.unwrap();
    let first = get(&stub, "/inference-profiles?maxResults=2&type=SYSTEM_DEFINED").await.json();
    let summaries = first["inferenceProfileSummaries"].as_array().unwrap();
    assert_eq!(summaries.len(), 2, "{first}");
    let next = first["nextToken"].as_str().unwrap();
    let second = get(&stub, &format!("/inference-profiles?nextToken={next}")).await.json();
    assert!(second["nextToken"].is_null(), "{second}");
    assert_ne!(second["inferenceProfileSummaries"][0], summaries[0]);

    let id = summaries[0]["inferenceProfileId"].as_str().unwrap();
    let arn = summaries[0]["inferenceProfileArn"].as_str().unwrap();
    let encoded = arn.replace(':', "%3A").replace('/', "%2F");
    for name in [id, &encoded] {
        let profile = get(&stub, &format!("/inference-profiles/{name}")).await.json();
        assert_eq!(profile, summaries[0], "{name}");
    }
    assert_eq!(get(&stub, "/inference-profiles/unknown").await.status(), 404);
    let none = get(&stub, "/inference-profiles?type=APPLICATION").await.json();
    assert_eq!(none, json!({ "inferenceProfileSummaries": [] }));

    let models = get(&stub, "/foundation-models").await.json();
    let model = &models["modelSummaries"][0];
    let id = model["modelId"].as_str().unwrap();
    let details = get(&stub, &format!("/foundation-models/{id}")).await.json();
    assert_eq!(details, json!({ "modelDetails": model }));
    assert_eq!(get(&stub, "/foundation-models/unknown").await.status(), 404);

    let mut unsigned = Call::new("").signed();
    unsigned.method = "GET".to_owned();
    unsigned.target = "/inference-profiles".to_owned();
    unsigned.headers.retain(|(name, _)| name != "authorization");
    assert_eq!(exchange(&stub.url(), &unsigned).await.status(), 403);
}
