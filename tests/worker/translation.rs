//! The translation of a request to the Messages API: the body that arrives at Bedrock, byte for byte, and
//! the header that tells what was removed.
//!
//! Each body that arrives must be one that the stand-in accepts, which knows what Bedrock refuses
//! (`tests/stub/src/messages.rs`, `tests/stub/src/models.rs`).

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::Response;
use crate::support::fixture::{Fixture, json_body};
use crate::support::messages::{TOKEN, messages_fixture};

const FABLE: &str = "claude-fable-5-1";
const OPUS: &str = "claude-opus-5-5";
const HAIKU: &str = "claude-haiku-5-5";
const OPUS_4_8: &str = "claude-opus-4-8";
const OPUS_4_7: &str = "claude-opus-4-7";
const SONNET_4_6: &str = "claude-sonnet-4-6";
const OPUS_4_5: &str = "claude-opus-4-5";
const HAIKU_4_5: &str = "claude-haiku-4-5";

/// A message whose bytes must not change: white space, escapes, a number.
const MESSAGES: &str =
    r#""messages" : [ {"role":"user", "content":"caf\u00e9 \ud83d\ude00 世界 1.0E2"} ]"#;

/// A request that is translated: its name, its model, the header `anthropic-beta`, the members
/// between `max_tokens` and `messages`; the betas and the members that arrive, and
/// `x-bedrock-removed`.
type Row = (&'static str, &'static str, &'static str, String, &'static str, String, &'static str);

async fn post(fixture: &Fixture, betas: &str, body: String) -> Response {
    let request = fixture.worker.request(Method::POST, "/v1/messages?beta=true");
    let request = request
        .header("x-api-key", TOKEN)
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json");
    let request = if betas.is_empty() { request } else { request.header("anthropic-beta", betas) };
    fixture.worker.send(request.body(body)).await
}

/// Returns a body with these members, and with [`MESSAGES`] unless they have some.
fn body(front: &str, members: &str) -> String {
    let messages = if members.contains("\"messages\"") { "" } else { MESSAGES };
    format!("{{{front}\n \"max_tokens\":2048 , {members}{messages}\t}}\n")
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let same = |name, model, members: &str| -> Row { (name, model, "", members.to_owned(), "", members.to_owned(), "") };
    let row = |name, model, sent: &str, arriving: &str, removed| -> Row { (name, model, "", sent.to_owned(), "", arriving.to_owned(), removed) };
    let betas = |name, model, betas, arriving, removed| -> Row { (name, model, betas, String::new(), arriving, String::new(), removed) };
    vec![
        same("a plain body", OPUS, ""),
        same("system blocks, tools and options that the model takes", OPUS, r#""system":[{"type":"text" ,"text":"\u3042","cache_control":{"type":"ephemeral","ttl":"1h"}}],"tools":[ {"name":"a","description":"x","input_schema":{"type":"object","properties":{"q":{"type":"string"}}} }],"tool_choice":{"type":"auto"},"thinking":{"type":"adaptive","display":"omitted"},"output_config":{"effort":"xhigh"},"stop_sequences":["\n\nHuman:"],"#),
        same("a budget, sampling and a schema for a model that takes them", HAIKU_4_5, r#""temperature":1,"thinking":{"type":"enabled","budget_tokens":1024},"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}},"#),
        same("an empty input of a tool", OPUS, r#""tools":[{"name":"a","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"a","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}]"#),
        betas("betas that Bedrock takes", OPUS, "claude-code-20250219,interleaved-thinking-2025-05-14, effort-2025-11-24", r#"["claude-code-20250219","interleaved-thinking-2025-05-14","effort-2025-11-24"]"#, ""),
        betas("betas that Bedrock refuses", OPUS, "prompt-caching-scope-2026-01-05,advisor-tool-2026-03-01,code-execution-2025-08-25,files-api-2025-04-14,mcp-client-2025-11-20,skills-2025-10-02,fast-mode-2026-02-01,web-search-2025-03-05,web-fetch-2025-09-10,output-128k-2025-02-19,token-efficient-tools-2025-02-19,structured-outputs-2025-11-13", "", "betas.prompt-caching-scope-2026-01-05, betas.advisor-tool-2026-03-01, betas.code-execution-2025-08-25, betas.files-api-2025-04-14, betas.mcp-client-2025-11-20, betas.skills-2025-10-02, betas.fast-mode-2026-02-01, betas.web-search-2025-03-05, betas.web-fetch-2025-09-10, betas.output-128k-2025-02-19, betas.token-efficient-tools-2025-02-19, betas.structured-outputs-2025-11-13"),
        betas("a beta with another name at Bedrock", OPUS, "advanced-tool-use-2025-11-20,tool-search-tool-2025-10-19", r#"["tool-search-tool-2025-10-19"]"#, "betas.advanced-tool-use-2025-11-20"),
        betas("a beta that the model does not have", HAIKU, "per-turn-control-2026-07-01,effort-2025-11-24", r#"["effort-2025-11-24"]"#, "betas.per-turn-control-2026-07-01"),
("context management without its beta", OPUS, "", r#""thinking":{"type":"adaptive"},"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"#.to_owned(), r#"["context-management-2025-06-27"]"#, r#""thinking":{"type":"adaptive"},"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"#.to_owned(), ""),
        ("safeguards without their beta", OPUS, "", r#""safeguards":{"dangerous_tool_use":"strict"},"#.to_owned(), r#"["dangerous-tool-use-2026-09-03"]"#, r#""safeguards":{"dangerous_tool_use":"strict"},"#.to_owned(), ""),
        ("a compaction without its beta", OPUS, "", r#""compaction":{"trigger":{"type":"input_tokens"}},"#.to_owned(), r#"["compact-2026-09-04"]"#, r#""compaction":{"trigger":{"type":"input_tokens"}},"#.to_owned(), ""),
        ("cleared thinking for a model that does not think", OPUS_4_8, "", r#""context_management":{"edits":[{"type":"clear_thinking_20251015"},{"type":"clear_tool_uses_20250919"}]},"#.to_owned(), r#"["context-management-2025-06-27"]"#, r#""context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]},"#.to_owned(), "context_management.edits.0"),
        ("a deferred tool without its beta", OPUS, "", DEFERRED.to_owned(), r#"["tool-search-tool-2025-10-19"]"#, DEFERRED.to_owned(), ""),
        row("updates of thinking without their beta", OPUS, r#""thinking":{"type":"adaptive","display":"updates"},"#, r#""thinking":{"type":"adaptive"},"#, "thinking.display"),
        row("fields that clients send by habit", OPUS, r#""speed":"fast","fallbacks":[],"#, "", "speed, fallbacks"),
        row("fields that are null", OPUS, r#""system":null,"container":null,"mcp_servers":null,"speed":null,"thread":null,"#, "", ""),
        row("fields with their harmless value", OPUS, r#""mcp_servers":[],"inference_geo":"global","#, "", ""),
        row("sampling that the model refuses", FABLE, r#""temperature":0.7,"top_p":0.9,"top_k":5,"#, "", "temperature, top_p, top_k"),
        row("temperature and top_p", HAIKU_4_5, r#""temperature":0.7,"top_p":0.9,"#, r#""temperature":0.7,"#, "top_p"),
        row("temperature while thinking", SONNET_4_6, r#""thinking":{"type":"adaptive"},"temperature":0.7,"#, r#""thinking":{"type":"adaptive"},"#, "temperature"),
        row("a thinking budget", OPUS_4_7, r#""thinking":{"type":"enabled","budget_tokens":1024},"#, r#""thinking":{"type":"adaptive"},"#, "thinking.budget_tokens"),
        row("thinking that cannot be disabled", OPUS, r#""thinking":{"type":"disabled"},"#, "", "thinking"),
        row("an effort above that of the model", OPUS_4_5, r#""output_config":{"effort":"max"},"#, r#""output_config":{"effort":"high"},"#, "output_config.effort"),
        row("an effort that the generation does not have", SONNET_4_6, r#""output_config":{"effort":"xhigh"},"#, r#""output_config":{"effort":"high"},"#, "output_config.effort"),
        row("an effort for a model without any", HAIKU_4_5, r#""output_config":{"effort":"low"},"#, r#""output_config":{},"#, "output_config.effort"),
        row("tools streamed eagerly, and strict", OPUS, r#""tools":[{"name":"a","strict":true,"input_schema":{"type":"object"},"eager_input_streaming":true}],"#, r#""tools":[{"name":"a","input_schema":{"type":"object"}}],"#, "tools.0.eager_input_streaming, tools.0.strict"),
        same("strict for a model that has it", HAIKU_4_5, r#""tools":[{"name":"a","strict":true,"input_schema":{"type":"object"}}],"#),
        ("a deferred tool in the place of another gateway", OPUS, "advanced-tool-use-2025-11-20", r#""tools":[{"name":"a","input_schema":{"type":"object"},"custom":{"defer_loading":true}},{"name":"b","input_schema":{"type":"object"}}],"#.to_owned(), r#"["tool-search-tool-2025-10-19"]"#, r#""tools":[{"defer_loading":true,"name":"a","input_schema":{"type":"object"}},{"name":"b","input_schema":{"type":"object"}}],"#.to_owned(), "betas.advanced-tool-use-2025-11-20, tools.0.custom"),
        row("schemas without a type", OPUS, r#""tools":[{"name":"a","input_schema":{}},{"name":"b","input_schema":{"properties":{}}}],"#, r#""tools":[{"name":"a","input_schema":{"type":"object"}},{"name":"b","input_schema":{"type":"object","properties":{}}}],"#, "tools.0.input_schema.type, tools.1.input_schema.type"),
        row("a choice without tools", OPUS, r#""tools":[],"tool_choice":{"type":"auto"},"#, r#""tools":[],"#, "tool_choice"),
        row("the scope of a cache mark", OPUS, r#""system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","scope":"global"}}],"#, r#""system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],"#, "system.0.cache_control.scope"),
        row("a cache mark for the whole request", OPUS, r#""cache_control":{"type":"ephemeral"},"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]"#, r#""messages":[{"role":"user","content":[{"cache_control":{"type":"ephemeral"},"type":"text","text":"x"}]}]"#, ""),
        row("five cache marks", OPUS, &format!(r#""system":[{0},{0},{0},{0},{0}],"#, MARKED), &format!(r#""system":[{0},{0},{{"type":"text","text":"x"}},{0},{0}],"#, MARKED), "system.2.cache_control"),
        row("a system message for a model that refuses it", SONNET_4_6, r#""messages":[{"role":"user","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"c"}]"#, r#""messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"user","content":"c"}]"#, "messages.1.role"),
        ("the effort of a turn", OPUS, "per-turn-control-2026-07-01", TURN.to_owned(), r#"["per-turn-control-2026-07-01"]"#, TURN.to_owned(), ""),
        ("the effort of a turn for a model that refuses it", HAIKU, "per-turn-control-2026-07-01", TURN.to_owned(), "", r#""messages":[{"role":"user","content":"a"},{"role":"system","content":"b"}]"#.to_owned(), "betas.per-turn-control-2026-07-01, messages.1.output_config"),
        row("an empty text", OPUS, r#""messages":[{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":"x"}]}]"#, r#""messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]"#, "messages.0.content.0"),
        row("an id of a tool call with a colon", OPUS, r#""tools":[{"name":"a","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"functions.a:0","name":"a","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions.a:0"}]}]"#, r#""tools":[{"name":"a","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"functions_a_0","name":"a","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions_a_0"}]}]"#, "messages.1.content.0.id, messages.2.content.0.tool_use_id"),
    ]
}

/// A deferred tool beside another.
const DEFERRED: &str = r#""tools":[{"name":"a","input_schema":{"type":"object"},"defer_loading":true},{"name":"b","input_schema":{"type":"object"}}],"#;

/// A block with a cache mark.
const MARKED: &str = r#"{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}"#;

/// A conversation with the effort of a turn, as Claude Code sends it.
const TURN: &str = r#""messages":[{"role":"user","content":"a"},{"role":"system","content":"b","output_config":{"effort":"medium"}}]"#;

/// Returns what `InvokeModel` or the native endpoint must receive for a row: the value of
/// `anthropic-beta`, and the body.
fn expected(is_native: bool, row: &Row) -> (Option<String>, String) {
    let (_, model, _, _, betas, members, _) = row;
    if is_native {
        let id = match *model {
            OPUS_4_5 => "claude-opus-4-5-20251101-v1:0",
            HAIKU_4_5 => "claude-haiku-4-5-20251001-v1:0",
            name => name,
        };
        let betas = betas.replace(['[', ']', '"'], "");
        let header = (!betas.is_empty()).then_some(betas);
        (header, body(&format!("\"model\":\"global.anthropic.{id}\","), members))
    } else {
        let mut front = "\"anthropic_version\":\"bedrock-2023-05-31\",".to_owned();
        if !betas.is_empty() {
            front += &format!("\"anthropic_beta\":{betas},");
        }
        (None, body(&front, members))
    }
}

#[tokio::test]
async fn what_bedrock_refuses_is_removed_and_all_other_bytes_arrive() {
    for endpoint in ["invoke", "native"] {
        let fixture = messages_fixture(&json!({ "BEDROCK_MESSAGES": endpoint })).await;
        for (calls, row) in rows().into_iter().enumerate() {
            let (name, model, betas, sent, _, _, removed) = &row;
            let case = format!("{endpoint}: {name}");
            let sent = body(&format!("\"model\":\"{model}\","), sent);
            let response = post(&fixture, betas, sent).await;
            assert_eq!(response.status, 200, "{case}: {response}");
            assert_eq!(
                response.header("x-bedrock-removed").unwrap_or_default(),
                *removed,
                "{case}"
            );
            let line = fixture.worker.log_line(response.request_id()).await;
            let told = line["removed"].as_array().into_iter().flatten().filter_map(Value::as_str);
            assert_eq!(told.collect::<Vec<_>>().join(", "), *removed, "{case}: {line}");

            let requests = fixture.stub.requests();
            assert_eq!(requests.len(), calls + 1, "{case}: one call");
            let arrived = &requests[calls];
            let (header, expected) = expected(endpoint == "native", &row);
            assert_eq!(String::from_utf8_lossy(&arrived.body), expected, "{case}");
            assert_eq!(arrived.header("anthropic-beta"), header.as_deref(), "{case}");
        }
    }
}

/// Requests each of which some models refuse.
#[rustfmt::skip]
const PARTS: [(&str, &str); 21] = [
    ("nothing", ""),
    ("temperature", r#""temperature":0.5,"#),
    ("temperature and top_p", r#""temperature":0.5,"top_p":0.5,"#),
    ("top_k", r#""top_k":5,"#),
    ("a prefill", r#""messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#),
    ("a forced tool", r#""tools":[{"name":"a","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"a"},"#),
    ("a forced tool while thinking", r#""tools":[{"name":"a","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"},"thinking":{"type":"enabled","budget_tokens":1024},"#),
    ("a strict tool", r#""tools":[{"name":"a","strict":true,"input_schema":{"type":"object"}}],"#),
    ("a budget", r#""thinking":{"type":"enabled","budget_tokens":1024},"#),
    ("a budget with sampling", r#""thinking":{"type":"enabled","budget_tokens":1024},"temperature":0.5,"top_k":5,"#),
    ("no thinking", r#""thinking":{"type":"disabled"},"#),
    ("adaptive thinking", r#""thinking":{"type":"adaptive"},"#),
    ("structured output", r#""output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}},"#),
    ("effort low", r#""output_config":{"effort":"low"},"#),
    ("effort xhigh", r#""output_config":{"effort":"xhigh"},"#),
    ("effort max", r#""output_config":{"effort":"max"},"#),
    ("a system message", r#""messages":[{"role":"user","content":"a"},{"role":"system","content":"b"}]"#),
    ("the effort of a turn", r#""messages":[{"role":"user","content":"a"},{"role":"system","content":"b","output_config":{"effort":"xhigh"}}]"#),
    ("cleared thinking", r#""context_management":{"edits":[{"type":"clear_thinking_20251015"}]},"#),
    ("a long cache mark", r#""cache_control":{"type":"ephemeral","ttl":"1h"},"#),
    ("many tokens", r#""max_tokens":1000000,"#),
];

/// The product's table of models and the stand-in's are written apart. Where they disagree, Bedrock
/// is called in vain.
#[tokio::test]
async fn no_model_is_sent_what_it_refuses() {
    const MODELS: [&str; 14] = [
        FABLE,
        "claude-fable-5",
        OPUS,
        "claude-sonnet-5-5",
        HAIKU,
        "claude-opus-5",
        "claude-sonnet-5",
        OPUS_4_8,
        OPUS_4_7,
        "claude-opus-4-6",
        SONNET_4_6,
        OPUS_4_5,
        "claude-sonnet-4-5",
        HAIKU_4_5,
    ];
    let fixture = messages_fixture(&json!({})).await;
    let mut refused_by_bedrock = Vec::new();
    for model in MODELS {
        for (part, members) in PARTS {
            let calls = fixture.stub.requests().len();
            let sent = body(&format!("\"model\":\"{model}\","), members);
            let sent = match part {
                "many tokens" => sent.replacen(" \"max_tokens\":2048 ,", "", 1),
                _ => sent,
            };
            let betas = "per-turn-control-2026-07-01,context-management-2025-06-27";
            let response = post(&fixture, betas, sent).await;
            let calls = fixture.stub.requests().len() - calls;
            if (response.status, calls) != (200, 1) && (response.status, calls) != (400, 0) {
                refused_by_bedrock
                    .push(format!("{model}, {part}: {calls} calls, {}", response.body));
            }
        }
    }
    assert!(refused_by_bedrock.is_empty(), "{refused_by_bedrock:#?}");
}

#[tokio::test]
async fn a_user_id_is_hashed_for_the_native_endpoint_which_refuses_claude_codes() {
    let members = r#""metadata":{"user_id":"{\"device_id\":\"1\"}"},"#;
    let sent = || body("\"model\":\"claude-opus-5-5\",", members);
    let invoke = messages_fixture(&json!({})).await;
    let response = post(&invoke, "", sent()).await;
    assert_eq!(response.header("x-bedrock-removed"), None, "{response}");
    let arrived = invoke.stub.requests().pop().unwrap();
    assert!(String::from_utf8_lossy(&arrived.body).contains(members), "{arrived:?}");

    let native = messages_fixture(&json!({ "BEDROCK_MESSAGES": "native" })).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let response = post(&native, "", sent()).await;
        assert_eq!(response.status, 200, "{response}");
        assert_eq!(response.header("x-bedrock-removed"), Some("metadata.user_id"), "{response}");
        ids.push(json_body(native.stub.requests().last().unwrap())["metadata"]["user_id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    let id = ids[0].as_str().unwrap();
    assert!(id.len() >= 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
}

#[tokio::test]
async fn what_cannot_be_removed_without_changing_the_meaning_is_refused_before_any_call() {
    let user = |content: &str| format!(r#""messages":[{{"role":"user","content":[{content}]}}]"#);
    let tool = |kind: &str| format!(r#""tools":[{{"type":"{kind}","name":"a"}}],"#);
    let forced =
        r#""tools":[{"name":"a","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"},"#;
    let thinking = r#""thinking":{"type":"adaptive"},"#;
    let format = r#""output_config":{"format":{"type":"json_schema","schema":{}}},"#;
    let prefill =
        r#""messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#;
    #[rustfmt::skip]
    let rows = [
        ("MCP servers", OPUS, r#""mcp_servers":[{"type":"url","url":"https://example.com","name":"a"}],"#.to_owned(), "mcp_servers: "),
        ("a container", OPUS, r#""container":"c","#.to_owned(), "container: "),
        ("another place of inference", OPUS, r#""inference_geo":"us","#.to_owned(), "inference_geo: "),
        ("web search", OPUS, tool("web_search_20250305"), "tools.0.type: Bedrock does not have the tool web_search_20250305"),
        ("web fetch", OPUS, tool("web_fetch_20250910"), "tools.0.type: "),
        ("code execution", OPUS, tool("code_execution_20250825"), "tools.0.type: "),
        ("an advisor", OPUS, tool("advisor_20260301"), "tools.0.type: "),
        ("an MCP toolset", OPUS, tool("mcp_toolset"), "tools.0.type: "),
        ("an image by URL", OPUS, user(r#"{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}"#), "messages.0.content.0.source.type: "),
        ("a document of the Files API", OPUS, user(r#"{"type":"document","source":{"type":"file","file_id":"f"}}"#), "messages.0.content.0.source.type: "),
        ("an image by URL in a result", OPUS, r#""messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"a","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}]}]}]"#.to_owned(), "messages.2.content.0.content.0.source.type: "),
        ("a prefill", SONNET_4_6, prefill.to_owned(), "messages.1.role: This model does not support assistant message prefill."),
        ("a forced tool", OPUS, forced.to_owned(), "tool_choice.type: "),
        ("a forced tool while thinking", OPUS_4_8, format!("{forced}{thinking}"), "tool_choice.type: Thinking may not be enabled when tool_choice forces tool use."),
        ("structured output", OPUS, format.to_owned(), "output_config.format: "),
        ("adaptive thinking", HAIKU_4_5, thinking.to_owned(), "thinking.type: "),
        ("a member twice", OPUS, r#""system":"a","system":"b","#.to_owned(), "system: the member is there twice"),
        ("max_tokens of another type", OPUS, r#""stream":false,"tools":{},"#.to_owned(), "tools: "),
        ("an unknown tier", OPUS, r#""service_tier":"express","#.to_owned(), "service_tier: "),
        ("a thread", OPUS, r#""thread":{"type":"create"},"#.to_owned(), "thread: "),
        ("no messages", OPUS, r#""messages":[]"#.to_owned(), "messages: at least one message is required"),
    ];
    let fixture = messages_fixture(&json!({})).await;
    for (name, model, members, message) in rows {
        let body = body(&format!("\"model\":\"{model}\","), &members);
        let response = post(&fixture, "", body).await;
        let error: Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(response.status, 400, "{name}: {response}");
        assert_eq!(error["type"], "error", "{name}");
        assert_eq!(error["error"]["type"], "invalid_request_error", "{name}");
        let got = error["error"]["message"].as_str().unwrap();
        assert!(got.starts_with(message), "{name}: {got}");
        assert_eq!(error["request_id"].as_str(), response.header("request-id"), "{name}");
        assert!(fixture.stub.requests().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_beta_that_bedrock_turns_out_to_refuse_is_left_out_from_then_on() {
    let updates = r#""thinking":{"type":"adaptive","display":"updates"},"#;
    // The beta, the members, what is removed from the first and from a later request.
    let rows = [
        (
            "new-feature-2027-01-01",
            "",
            "betas.new-feature-2027-01-01",
            "betas.new-feature-2027-01-01",
        ),
        // Its field goes with it.
        (
            "thinking-display-updates-2026-08-18",
            updates,
            "betas.thinking-display-updates-2026-08-18",
            "betas.thinking-display-updates-2026-08-18, thinking.display",
        ),
    ];
    for (beta, members, first, later) in rows {
        let fixture = messages_fixture(&json!({})).await;
        let betas = format!("effort-2025-11-24,{beta}");
        let sent = |members: &str| body("\"model\":\"claude-opus-5-5\",", members);
        for (calls, expected) in [(2, first), (3, later), (4, later)] {
            let response = post(&fixture, &betas, sent(members)).await;
            assert_eq!(response.status, 200, "{beta}: {response}");
            assert_eq!(response.header("x-bedrock-removed"), Some(expected), "{beta}: {calls}");
            assert_eq!(fixture.stub.requests().len(), calls, "{beta}");
            let line = fixture.worker.log_line(response.request_id()).await;
            let dropped = (calls == 2).then(|| json!(format!("betas.{beta}")));
            assert_eq!(line.get("dropped_field"), dropped.as_ref(), "{beta}: {line}");
        }
        // What is wrong in another way is not tried again.
        let response = post(&fixture, &betas, sent(r#""stop_sequences":[" "],"#)).await;
        assert_eq!(response.status, 400, "{response}");
        assert!(response.body.contains("must contain non-whitespace"), "{response}");
        assert_eq!(fixture.stub.requests().len(), 5, "{beta}");
    }
}

#[tokio::test]
async fn max_tokens_is_lowered_to_the_operators_limit_or_the_models_and_a_budget_with_it() {
    let limited = json!({ "MAX_OUTPUT_TOKENS": "3000" });
    // The bindings, the model, the members that are sent and that arrive, and what is removed.
    #[rustfmt::skip]
    let rows = [
        (json!({}), HAIKU_4_5, r#""max_tokens":128000"#, r#""max_tokens":64000"#, "max_tokens"),
        (json!({}), OPUS, r#""max_tokens":128000"#, r#""max_tokens":128000"#, ""),
        (limited.clone(), OPUS, r#""max_tokens":128000"#, r#""max_tokens":3000"#, "max_tokens"),
        (limited.clone(), OPUS, r#""max_tokens":2000"#, r#""max_tokens":2000"#, ""),
        (limited, HAIKU_4_5, r#""max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":31999}"#, r#""max_tokens":3000,"thinking":{"type":"enabled","budget_tokens":2999}"#, "max_tokens, thinking.budget_tokens"),
    ];
    for (bindings, model, sent, arriving, removed) in rows {
        let fixture = messages_fixture(&bindings).await;
        let sent = format!("{{\"model\":\"{model}\",{sent},{MESSAGES}}}");
        let response = post(&fixture, "", sent).await;
        assert_eq!(response.status, 200, "{arriving}: {response}");
        assert_eq!(response.header("x-bedrock-removed").unwrap_or_default(), removed, "{arriving}");
        let arrived = fixture.stub.requests().pop().unwrap();
        let arrived = String::from_utf8(arrived.body).unwrap();
        let version = "\"anthropic_version\":\"bedrock-2023-05-31\"";
        assert_eq!(arrived, format!("{{{version},{arriving},{MESSAGES}}}"));
    }
}

#[tokio::test]
async fn a_service_tier_becomes_a_header() {
    let fixture = messages_fixture(&json!({})).await;
    for (tier, expected) in
        [("auto", None), ("standard_only", Some("default")), ("priority", Some("priority"))]
    {
        let members = format!(r#""service_tier":"{tier}","#);
        let response = post(&fixture, "", body("\"model\":\"claude-opus-5-5\",", &members)).await;
        assert_eq!(response.status, 200, "{tier}: {response}");
        let arrived = fixture.stub.requests().pop().unwrap();
        assert_eq!(arrived.header("x-amzn-bedrock-service-tier"), expected, "{tier}");
    }
}
