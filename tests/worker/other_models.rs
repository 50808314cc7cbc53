//! Models of other makers, by every interface.

use bedrock_stub::reply::tokens;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::fixture::{Fixture, json_body};
use crate::support::messages::{messages_fixture, send};
use crate::support::sse::SseResponse;

/// The text of the stand-in's reply to a prompt.
fn reply_to(prompt: &str) -> String {
    let length = prompt.chars().count();
    format!("You said: \"{prompt}\" ({length} characters). This is the Bedrock stand-in.")
}

#[tokio::test]
async fn the_lambdas_interfaces_answer_with_a_model_of_another_maker() {
    for (model, region) in [
        ("amazon.nova-2-lite-v1:0", "us-east-1"),
        ("us.amazon.nova-2-lite-v1:0", "us-east-1"),
        ("jp.amazon.nova-2-lite-v1:0", "ap-northeast-1"),
        ("us.meta.llama4-scout-17b-instruct-v1:0", "us-east-1"),
        ("mistral.mistral-7b-instruct-v0:2", "us-east-1"),
        ("deepseek.v3-v1:0", "us-east-1"),
        ("qwen.qwen3-32b-v1:0", "us-east-1"),
        ("openai.gpt-oss-20b-1:0", "us-east-1"),
    ] {
        let bindings = json!({ "BEDROCK_MODEL_ID": model, "BEDROCK_REGION": region });
        let fixture = Fixture::with_regions(bindings).await;
        let model_in_path = model.replace(':', "%3A");
        let target = |operation: &str| format!("/{region}/model/{model_in_path}/{operation}");

        let prompt = "whole";
        let response = fixture.worker.prompt(prompt).await;
        response.assert_envelope(model, 200, prompt, &reply_to(prompt));
        assert_eq!(response.header("x-stop-reason"), Some("end_turn"), "{model}");
        assert_eq!(response.header("x-amzn-bedrock-input-token-count"), Some("1"), "{model}");
        let request = &fixture.stub.requests()[0];
        assert_eq!(request.target, target("converse"));
        assert_eq!(
            json_body(request),
            json!({
                "messages": [{ "role": "user", "content": [{ "text": prompt }] }],
                "inferenceConfig": { "maxTokens": 100, "temperature": 0.7 },
            }),
            "{model}"
        );
        let line = fixture.worker.log_line(response.request_id()).await;
        assert_eq!((&line["model"], &line["outcome"]), (&json!(model), &json!("ok")), "{line}");

        let mut stream = fixture.worker.stream("streamed").await;
        let reply = stream.reply(model).await;
        let text = reply_to("streamed");
        assert_eq!(reply.last.data["generated_text"], text, "{model}");
        assert_eq!(reply.last.data["stop_reason"], "end_turn", "{model}");
        assert_eq!(reply.last.data["usage"]["input_tokens"], 1, "{model}");
        assert_eq!(reply.text(), text, "{model}");
        assert_eq!(fixture.stub.requests()[1].target, target("converse-stream"));

        let mut socket = fixture.worker.open_websocket().await;
        socket.prompt("over a socket").await;
        let reply = socket.reply(model).await;
        assert_eq!(reply.deltas, tokens(&reply_to("over a socket")), "{model}");

        let path = "/2015-03-31/functions/f/invocations";
        let event = json!({ "prompt": "invoked" }).to_string();
        let request = fixture.worker.request(Method::POST, path).body(event);
        let response = fixture.worker.send(request).await;
        let envelope: Value = serde_json::from_str(&response.body).unwrap();
        let body: Value = serde_json::from_str(envelope["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["generated_text"], reply_to("invoked"), "{model}");
    }
}

#[tokio::test]
async fn a_session_remembers_a_conversation_with_a_model_of_another_maker() {
    for model in ["amazon.nova-lite-v1:0", "openai.gpt-oss-20b-1:0"] {
        let bindings = json!({ "BEDROCK_MODEL_ID": model, "SESSIONS": true });
        let fixture = Fixture::with_bindings(bindings).await;
        let response = fixture.worker.post(json!({ "session": true, "prompt": "one" })).await;
        assert_eq!(response.status, 200, "{model}: {response}");
        let id = response.header("x-session-id").unwrap();
        let body = json!({ "session": id, "prompt": "two", "stream": true });
        let mut stream = fixture.worker.stream_with_body(&body).await;
        stream.remaining_events().await;
        let response = fixture.worker.post(json!({ "session": id, "prompt": "three" })).await;
        assert_eq!(response.status, 200, "{model}: {response}");
        let sent = json_body(&fixture.stub.requests()[2]);
        let text_of = |message: &Value| {
            let blocks = message["content"].as_array().unwrap().iter();
            blocks.filter_map(|block| block["text"].as_str()).collect::<String>()
        };
        let texts: Vec<String> = sent["messages"].as_array().unwrap().iter().map(text_of).collect();
        let expected = ["one", &reply_to("one"), "two", &reply_to("two"), "three"];
        assert_eq!(texts, expected, "{model}: {sent}");
    }
}

#[tokio::test]
async fn a_failure_of_converse_is_told_like_one_of_claude() {
    let bindings =
        json!({ "BEDROCK_MODEL_ID": "amazon.nova-lite-v1:0", "BEDROCK_MAX_ATTEMPTS": "1" });
    let fixture = Fixture::with_bindings(bindings).await;
    for (fault, status, code) in [
        ("throttled", 500, "throttled"),
        ("access_denied", 500, "access_denied"),
        ("validation", 500, "rejected"),
        ("not_json", 500, "invalid_response"),
    ] {
        let response = fixture.worker.prompt(&format!("fault:{fault}")).await;
        assert_eq!(response.status, status, "{fault}: {response}");
        assert_eq!(response.header("x-error-code"), Some(code), "{fault}");
    }
}

#[tokio::test]
async fn the_operators_guardrail_is_in_the_body_for_converse() {
    let fixture = Fixture::with_bindings(json!({
        "BEDROCK_MODEL_ID": "amazon.nova-pro-v1:0",
        "BEDROCK_GUARDRAIL_ID": "a1b2c3",
        "BEDROCK_GUARDRAIL_VERSION": "1",
    }))
    .await;
    fixture.worker.prompt("guarded").await;
    let request = &fixture.stub.requests()[0];
    let expected = json!({ "guardrailIdentifier": "a1b2c3", "guardrailVersion": "1" });
    assert_eq!(json_body(request)["guardrailConfig"], expected);
}

/// Sends a body to the Messages API, and returns the status and the JSON of the response.
async fn ask(fixture: &Fixture, body: &Value) -> (u16, Value) {
    let response = send(fixture, body).await.response().await;
    (response.status, serde_json::from_str(&response.body).unwrap())
}

#[tokio::test]
async fn images_documents_and_long_names_of_tools_reach_a_model_of_another_maker() {
    let fixture = messages_fixture(&json!({})).await;
    let name = format!("mcp__server.{}", "x".repeat(80));
    let image = json!({ "type": "base64", "media_type": "image/png", "data": "aW1hZ2U=" });
    let pdf = json!({ "type": "base64", "media_type": "application/pdf", "data": "JVBERg==" });
    let mut body = json!({
        "model": "nova-2-lite",
        "max_tokens": 1000,
        "tools": [{ "name": name, "input_schema": { "type": "object" } }],
        "messages": [{ "role": "user", "content": [
            { "type": "image", "source": image },
            { "type": "document", "source": pdf, "title": "plan.pdf" },
            { "type": "text", "text": "hello" },
        ] }],
    });
    let (status, reply) = ask(&fixture, &body).await;
    assert_eq!(status, 200, "{reply}");
    let sent = json_body(&fixture.stub.requests()[0]);
    let content = &sent["messages"][0]["content"];
    assert_eq!(content[0]["image"]["source"]["bytes"], "aW1hZ2U=");
    assert_eq!(content[1]["document"]["name"], "plan pdf");
    let short = sent["toolConfig"]["tools"][0]["toolSpec"]["name"].as_str().unwrap().to_owned();
    assert!(short.len() <= 64, "{short}");

    // The caller knows the tool by its own name, in the reply, in a stream, and in the next turn.
    body["messages"] = json!([{ "role": "user", "content": format!("[[tool {short}]]") }]);
    let (_, reply) = ask(&fixture, &body).await;
    assert_eq!(reply["content"][0]["name"], name, "{reply}");
    assert_eq!(reply["stop_reason"], "tool_use");
    body["stream"] = json!(true);
    let mut stream = SseResponse::from_connection(send(&fixture, &body).await).await;
    let events = stream.remaining_events().await;
    let start = events.iter().find(|event| event.name == "content_block_start").unwrap();
    assert_eq!(start.data["content_block"]["name"], name);
    body["stream"] = json!(false);
    let result = json!([{ "type": "tool_result", "tool_use_id": reply["content"][0]["id"], "content": "ok" }]);
    body["messages"] = json!([
        body["messages"][0],
        { "role": "assistant", "content": reply["content"] },
        { "role": "user", "content": result },
    ]);
    let (status, reply) = ask(&fixture, &body).await;
    assert_eq!(
        (status, &reply["content"][0]["text"]),
        (200, &json!("The tools returned: \"ok\"."))
    );
}

/// The model, members of a body, and the message.
#[tokio::test]
async fn what_a_model_does_not_take_is_a_400_that_names_the_field_and_the_model() {
    let bindings = json!({ "BEDROCK_MODEL_ID": "us.anthropic.claude-opus-5-5", "BEDROCK_REGION": "us-east-1" });
    let fixture = messages_fixture(&bindings).await;
    let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "aGk=" } });
    let tools = json!([{ "name": "a", "input_schema": { "type": "object" } }]);
    let pdf = json!({ "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "aGk=" } });
    let text = json!({ "type": "text", "text": "a" });
    let with =
        |block: &Value| json!({ "messages": [{ "role": "user", "content": [block, text] }] });
    for (model, members, message) in [
        (
            "mistral-7b",
            json!({ "system": "s" }),
            "system: mistral-7b does not take a system prompt",
        ),
        ("deepseek-r1", json!({ "tools": tools }), "tools: deepseek-r1 does not take tools"),
        ("gpt-oss-20b", with(&image), "messages.0.content.0: gpt-oss-20b does not take images"),
        ("nova-micro", with(&image), "messages.0.content.0: nova-micro does not take images"),
        ("nova-micro", with(&pdf), "messages.0.content.0: nova-micro does not take documents"),
        (
            "qwen3-32b",
            json!({ "stop_sequences": ["x"] }),
            "stop_sequences: qwen3-32b does not take stop sequences",
        ),
    ] {
        let mut body = json!({ "model": model, "max_tokens": 100, "messages": [{ "role": "user", "content": "a" }] });
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        for stream in [false, true] {
            body["stream"] = json!(stream);
            let (status, error) = ask(&fixture, &body).await;
            assert_eq!((status, &error["error"]["message"]), (400, &json!(message)), "{body}");
            assert_eq!(error["error"]["type"], "invalid_request_error", "{body}");
        }
    }
    assert_eq!(fixture.stub.requests().len(), 0);

    let bindings = json!({ "BEDROCK_MODEL_ID": "mistral.mistral-7b-instruct-v0:2" });
    let fixture = Fixture::with_bindings(bindings).await;
    let response = fixture.worker.post(json!({ "prompt": "a", "system": "s" })).await;
    let message = "Error: system: mistral-7b does not take a system prompt";
    response.assert_envelope("the Lambda's interface", 400, "a", message);
}
