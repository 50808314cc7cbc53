//! Every rule of the translation: what goes to Bedrock, byte for byte, and what is told.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const FRONT: &str = r#"{"anthropic_version":"bedrock-2023-05-31","#;

fn model(name: &str) -> Option<&'static Model> {
    Model::by_name(name)
}

fn sent(translated: &Translated) -> &str {
    std::str::from_utf8(&translated.json).unwrap()
}

fn translate_for(
    name: &str,
    betas: &str,
    body: &str,
    refused: &[&str],
) -> Result<Translated, Error> {
    let target = Target {
        format: Format::InvokeModel,
        model: model(name),
        max_output_tokens: Some(4096),
        has_refused: &|place| refused.contains(&place),
    };
    let betas = betas.split(',').filter(|beta| !beta.is_empty());
    MessagesBody::parse(body)?.translate(betas, &target)
}

/// Translates the members `members` of a body with a model, a length and a message.
fn translate(name: &str, members: &str) -> Result<(String, Vec<String>), String> {
    let body = format!(
        r#"{{"model":"{name}","max_tokens":9,{members}"messages":[{{"role":"user","content":"Hi"}}]}}"#
    );
    let translated = translate_for(name, "", &body, &[]).map_err(|error| error.message)?;
    let json: Value = serde_json::from_str(sent(&translated)).unwrap();
    assert!(json.get("model").is_none());
    let (_, rest) = sent(&translated).split_once(r#""max_tokens":9,"#).unwrap();
    let rest = rest.strip_suffix(r#""messages":[{"role":"user","content":"Hi"}]}"#).unwrap();
    Ok((rest.to_owned(), translated.removed))
}

#[test]
fn a_body_without_anything_special_keeps_every_byte_but_the_model_and_the_stream() {
    let body = "{ \"model\": \"claude-opus-5\",\n \"messages\" : [ {\"content\":\"\\u3053 \u{2028}\", \"role\":\"user\"} ],\
                \n\t\"max_tokens\":10, \"stream\" :true }\n";
    let translated = translate_for("claude-opus-5", "", body, &[]).unwrap();
    assert_eq!(
        sent(&translated),
        "{\"anthropic_version\":\"bedrock-2023-05-31\", \n \"messages\" : [ {\"content\":\"\\u3053 \u{2028}\", \
         \"role\":\"user\"} ],\n\t\"max_tokens\":10 }\n"
    );
    assert_eq!((translated.max_tokens, translated.removed), (10, Vec::<String>::new()));
    let body = MessagesBody::parse(body).unwrap();
    assert_eq!((&*body.model, body.stream), ("claude-opus-5", true));
}

#[test]
fn each_rule_about_members_touches_its_member_only() {
    let cases = [
        (
            "claude-opus-5",
            r#""temperature":0.5,"top_p":1,"top_k":3,"#,
            "",
            "temperature top_p top_k",
        ),
        ("claude-sonnet-4-5", r#""temperature":0.5,"top_p":1,"#, r#""temperature":0.5,"#, "top_p"),
        ("claude-sonnet-4-5", r#""top_p":1,"#, r#""top_p":1,"#, ""),
        (
            "claude-sonnet-4-6",
            r#""temperature":0.5,"top_p":1,"#,
            r#""temperature":0.5,"top_p":1,"#,
            "",
        ),
        ("claude-opus-5", r#""speed":"fast","fallbacks":["x"],"#, "", "speed fallbacks"),
        ("claude-opus-5", r#""mcp_servers":[],"container":null,"inference_geo":"global","#, "", ""),
        ("claude-opus-5", r#""service_tier":"auto","system":null,"#, "", ""),
        ("claude-opus-5", r#""anthropic_version":"2026-10-21","#, "", ""),
        ("claude-opus-5", r#""something_new":{"a":[1]},"#, r#""something_new":{"a":[1]},"#, ""),
        (
            "claude-opus-5",
            r#""metadata":{"user_id":"{\"a\":1}"},"#,
            r#""metadata":{"user_id":"{\"a\":1}"},"#,
            "",
        ),
        (
            "claude-opus-5",
            r#""thinking":{"type":"enabled","budget_tokens":2000},"#,
            r#""thinking":{"type":"adaptive"},"#,
            "thinking.budget_tokens",
        ),
        (
            "claude-opus-4-8",
            r#""thinking":{"budget_tokens":2000,"type":"enabled","display":"omitted"},"#,
            r#""thinking":{"type":"adaptive","display":"omitted"},"#,
            "thinking.budget_tokens",
        ),
        (
            "claude-opus-4-6",
            r#""thinking":{"type":"enabled","budget_tokens":2000},"#,
            r#""thinking":{"type":"enabled","budget_tokens":2000},"#,
            "",
        ),
        ("claude-opus-5-5", r#""thinking":{"type":"disabled"},"#, "", "thinking"),
        (
            "claude-opus-5",
            r#""thinking":{"type":"disabled"},"#,
            r#""thinking":{"type":"disabled"},"#,
            "",
        ),
        ("claude-opus-5", r#""tool_choice":{"type":"auto"},"#, "", "tool_choice"),
        (
            "claude-opus-5",
            r#""tool_choice":{"type":"auto"},"tools":[ ],"#,
            r#""tools":[ ],"#,
            "tool_choice",
        ),
        (
            "claude-opus-5",
            r#""tools":[{"name":"a"}],"tool_choice":{"type":"any"},"#,
            r#""tools":[{"name":"a"}],"tool_choice":{"type":"any"},"#,
            "",
        ),
        (
            "claude-opus-4-6",
            r#""output_config":{"effort":"xhigh"},"#,
            r#""output_config":{"effort":"high"},"#,
            "output_config.effort",
        ),
        (
            "claude-opus-4-6",
            r#""output_config":{"effort":"max"},"#,
            r#""output_config":{"effort":"max"},"#,
            "",
        ),
        (
            "claude-opus-4-5",
            r#""output_config":{"effort":"max"},"#,
            r#""output_config":{"effort":"high"},"#,
            "output_config.effort",
        ),
        (
            "claude-haiku-4-5",
            r#""output_config":{"format":{"type":"json_schema"}},"#,
            r#""output_config":{"format":{"type":"json_schema"}},"#,
            "",
        ),
        (
            "claude-opus-5",
            r#""tools":[{"name":"a","strict":true,"eager_input_streaming":true}],"#,
            r#""tools":[{"name":"a"}],"#,
            "tools.0.eager_input_streaming tools.0.strict",
        ),
        (
            "claude-haiku-4-5",
            r#""tools":[{"name":"a","strict":true}],"#,
            r#""tools":[{"name":"a","strict":true}],"#,
            "",
        ),
        (
            "claude-opus-5",
            r#""tools":[{"custom":{"defer_loading":true},"name":"a"}],"#,
            r#""tools":[{"defer_loading":true,"name":"a"}],"#,
            "tools.0.custom",
        ),
        (
            "claude-opus-5",
            r#""tools":[{"name":"a","input_schema":{}},{"name":"b","input_schema":{"properties":{}}}],"#,
            r#""tools":[{"name":"a","input_schema":{"type":"object"}},{"name":"b","input_schema":{"type":"object","properties":{}}}],"#,
            "tools.0.input_schema.type tools.1.input_schema.type",
        ),
        (
            "claude-opus-5",
            r#""tools":[{"type":"bash_20250124","name":"bash"}],"#,
            r#""tools":[{"type":"bash_20250124","name":"bash"}],"#,
            "",
        ),
        (
            "claude-opus-5",
            r#""system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","scope":"global"}}],"#,
            r#""system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}],"#,
            "system.0.cache_control.scope",
        ),
        (
            "claude-opus-5",
            r#""system":[{"type":"text","text":""},{"type":"text","text":"a"}],"#,
            r#""system":[{"type":"text","text":"a"}],"#,
            "system.0",
        ),
        (
            "claude-opus-5",
            r#""system":[{"type":"text","text":""}],"#,
            r#""system":[{"type":"text","text":""}],"#,
            "",
        ),
        (
            "claude-haiku-4-5",
            r#""output_config":{"effort":"low"},"#,
            r#""output_config":{},"#,
            "output_config.effort",
        ),
        (
            "claude-sonnet-4-6",
            r#""output_config":{"effort":"xhigh"},"#,
            r#""output_config":{"effort":"high"},"#,
            "output_config.effort",
        ),
        (
            "claude-haiku-4-5",
            r#""thinking":{"type":"enabled","budget_tokens":1024},"temperature":0.5,"top_p":0.5,"top_k":1,"#,
            r#""thinking":{"type":"enabled","budget_tokens":1024},"#,
            "temperature top_p top_k",
        ),
        (
            "claude-sonnet-4-6",
            r#""thinking":{"type":"adaptive"},"temperature":1.0,"top_p":0.97,"#,
            r#""thinking":{"type":"adaptive"},"temperature":1.0,"top_p":0.97,"#,
            "",
        ),
        (
            "claude-opus-5",
            r#""thinking":{"type":"adaptive","display":"updates"},"#,
            r#""thinking":{"type":"adaptive"},"#,
            "thinking.display",
        ),
        (
            "claude-opus-5",
            r#""thinking":{"type":"disabled"},"context_management":{"edits":[{"type":"clear_thinking_20251015"}]},"#,
            r#""thinking":{"type":"disabled"},"#,
            "context_management",
        ),
        (
            "claude-opus-5",
            r#""context_management":{"edits":[{"type":"clear_tool_uses_20250919"},{"type":"clear_thinking_20251015"}]},"#,
            r#""context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]},"#,
            "context_management.edits.1",
        ),
        (
            "claude-opus-5",
            r#""thinking":{"type":"adaptive"},"context_management":{"edits":[{"type":"clear_thinking_20251015"}]},"#,
            r#""thinking":{"type":"adaptive"},"context_management":{"edits":[{"type":"clear_thinking_20251015"}]},"#,
            "",
        ),
    ];
    for (name, members, expected, removed) in cases {
        let (json, told) = translate(name, members).unwrap();
        assert_eq!((&*json, &*told.join(" ")), (expected, removed), "{name} {members}");
    }
}

#[test]
fn what_would_change_the_meaning_is_refused_before_any_call() {
    let url = r#"{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}"#;
    let cases = [
        ("claude-opus-5", r#""mcp_servers":[{"name":"a"}],"#.to_owned(), "mcp_servers: Bedrock does not have it"),
        ("claude-opus-5", r#""container":"c","#.to_owned(), "container: "),
        ("claude-opus-5", r#""thread":{"type":"create"},"#.to_owned(), "thread: "),
        ("claude-opus-5", r#""inference_geo":"us","#.to_owned(), "inference_geo: "),
        ("claude-opus-5", r#""anthropic_beta":["a","b\nx-evil: 1"],"#.to_owned(), "anthropic_beta: expected the names of betas"),
        ("claude-opus-5", r#""amazon-bedrock-guardrailConfig":{"tagSuffix":"a"},"#.to_owned(), "amazon-bedrock-guardrailConfig: the operator"),
        ("claude-opus-5", r#""amazon\u002dbedrock-guardrailConfig":{"tagSuffix":"a"},"#.to_owned(), "amazon-bedrock-guardrailConfig: the operator"),
        ("claude-opus-5", r#""service_tier":"gold","#.to_owned(), "service_tier: "),
        ("claude-opus-5", r#""tools":[{"name":"a"},{"type":"web_search_20250305","name":"web_search"}],"#.to_owned(), "tools.1.type: "),
        ("claude-opus-5", r#""tools":[{"type":"mcp_toolset","name":"x"}],"#.to_owned(), "tools.0.type: "),
        ("claude-opus-5", r#""tools":[{"type":"code_execution_20250522","name":"x"}],"#.to_owned(), "tools.0.type: "),
        ("claude-sonnet-5-5", r#""tools":[{"name":"a"}],"tool_choice":{"type":"any"},"#.to_owned(), "tool_choice.type: claude-sonnet-5-5"),
        ("claude-opus-4-6", r#""thinking":{"type":"adaptive"},"tools":[{"name":"a"}],"tool_choice":{"type":"tool","name":"a"},"#.to_owned(), "tool_choice.type: "),
        ("claude-haiku-4-5", r#""thinking":{"type":"adaptive"},"#.to_owned(), "thinking.type: claude-haiku-4-5"),
        ("claude-opus-5", r#""output_config":{"format":{"type":"json_schema"}},"#.to_owned(), "output_config.format: "),
        ("claude-opus-5", r#""tools":5,"#.to_owned(), "tools: Input should be a valid list"),
        ("claude-opus-5", r#""tools":[5],"#.to_owned(), "tools.0: "),
        ("claude-opus-5", format!(r#""system":[{url}],"#), "system.0.source.type: "),
        ("claude-opus-5", r#""anthropic_beta":"a","#.to_owned(), "anthropic_beta: "),
        ("claude-opus-5", r#""max_tokens":9,"#.to_owned(), "max_tokens: the member is there twice"),
    ];
    for (name, members, expected) in cases {
        let message = translate(name, &members).unwrap_err();
        assert!(message.starts_with(expected), "{members}: {message}");
    }
}

#[test]
fn a_forced_choice_of_tools_while_thinking_is_for_the_small_model_only() {
    let members =
        r#""thinking":{"type":"adaptive"},"tools":[{"name":"a"}],"tool_choice":{"type":"any"},"#;
    assert!(translate("claude-haiku-5-5", members).is_ok());
    assert!(translate("claude-opus-5", members).is_err());
}

#[test]
fn a_body_without_what_every_body_has_names_it() {
    for (body, expected) in [
        ("", "the body is not a JSON object: "),
        ("[]", "the body is not a JSON object: "),
        ("{}", "model: Field required"),
        (r#"{"model":1}"#, "model: Input should be a valid string"),
        (r#"{"model":"m","stream":1}"#, "stream: "),
        (r#"{"model":"m"}"#, "max_tokens: Field required"),
        (r#"{"model":"m","max_tokens":0}"#, "max_tokens: "),
        (r#"{"model":"m","max_tokens":1.5}"#, "max_tokens: "),
        (r#"{"model":"m","max_tokens":-1}"#, "max_tokens: "),
        (r#"{"model":"m","max_tokens":1}"#, "messages: Field required"),
        (r#"{"model":"m","max_tokens":1,"messages":[]}"#, "messages: "),
        (r#"{"model":"m","max_tokens":1,"messages":{}}"#, "messages: "),
        (r#"{"model":"m","max_tokens":1,"messages":[1]}"#, "messages: "),
    ] {
        let error = translate_for("claude-opus-5", "", body, &[]).unwrap_err();
        assert!(error.message.starts_with(expected), "{body}: {}", error.message);
    }
}

/// Translates messages and returns them as they are sent.
fn messages_for(name: &str, messages: &str) -> Result<(String, Vec<String>), String> {
    let body = format!(r#"{{"model":"m","max_tokens":1,"messages":{messages}}}"#);
    let translated = translate_for(name, "", &body, &[]).map_err(|error| error.message)?;
    let (_, rest) = sent(&translated).split_once(r#""messages":"#).unwrap();
    Ok((rest.strip_suffix('}').unwrap().to_owned(), translated.removed))
}

#[test]
fn each_rule_about_messages_touches_its_part_only() {
    let effort = r#"[{"role":"user","content":"a"},{"role":"system","content":"b","output_config":{"effort":"low"}}]"#;
    let cases = [
        ("claude-opus-5-5", effort, effort, ""),
        (
            "claude-haiku-5-5",
            effort,
            r#"[{"role":"user","content":"a"},{"role":"system","content":"b"}]"#,
            "messages.1.output_config",
        ),
        (
            "claude-sonnet-4-6",
            r#"[{"role":"system","content":"a"}]"#,
            r#"[{"role":"user","content":"a"}]"#,
            "messages.0.role",
        ),
        (
            "claude-haiku-4-5",
            r#"[{"role":"assistant","content":"a"}]"#,
            r#"[{"role":"assistant","content":"a"}]"#,
            "",
        ),
        (
            "claude-opus-5",
            r#"[{"role":"assistant","content":[{"type":"tool_use","id":"call:1","name":"a","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call:1","content":[{"type":"text","text":""},{"type":"text","text":"b","cache_control":{"scope":"x","type":"ephemeral"}}]}]}]"#,
            r#"[{"role":"assistant","content":[{"type":"tool_use","id":"call_1","name":"a","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}]}]}]"#,
            "messages.0.content.0.id messages.1.content.0.tool_use_id messages.1.content.0.content.0 messages.1.content.0.content.1.cache_control.scope",
        ),
        (
            "claude-opus-5",
            r#"[{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":"a"},{"type":"text","text":""}]}]"#,
            r#"[{"role":"user","content":[{"type":"text","text":"a"}]}]"#,
            "messages.0.content.0 messages.0.content.2",
        ),
        (
            "claude-opus-5",
            r#"[{"role":"user","content":[{"type":"text","text":"a","cache_control":{}},{"type":"text","text":"b","cache_control":{}},{"type":"text","text":"c","cache_control":{}},{"type":"text","text":"d","cache_control":{}},{"type":"text","text":"e","cache_control":{}},{"type":"text","text":"f","cache_control":{}}]}]"#,
            r#"[{"role":"user","content":[{"type":"text","text":"a","cache_control":{}},{"type":"text","text":"b","cache_control":{}},{"type":"text","text":"c"},{"type":"text","text":"d"},{"type":"text","text":"e","cache_control":{}},{"type":"text","text":"f","cache_control":{}}]}]"#,
            "messages.0.content.2.cache_control messages.0.content.3.cache_control",
        ),
    ];
    for (name, messages, expected, removed) in cases {
        let (json, told) = messages_for(name, messages).unwrap();
        assert_eq!((&*json, &*told.join(" ")), (expected, removed), "{name} {messages}");
    }
}

#[test]
fn a_prefill_and_data_by_reference_are_refused_with_their_place() {
    for (messages, expected) in [
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#,
            "messages.1.role: ",
        ),
        (
            r#"[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"u"}}]}]"#,
            "messages.0.content.0.source.type: ",
        ),
        (
            r#"[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"document","source":{"type":"file","file_id":"f"}}]}]}]"#,
            "messages.0.content.0.content.0.source.type: ",
        ),
        (r#"[{"role":"user","content":[1]}]"#, "messages.0.content: "),
        (
            r#"[{"role":"user","content":[{"type":"text","text":"a","cache_control":1}]}]"#,
            "messages.0.content.0.cache_control: ",
        ),
    ] {
        let message = messages_for("claude-opus-5", messages).unwrap_err();
        assert!(message.starts_with(expected), "{messages}: {message}");
    }
}

#[test]
fn a_cache_control_of_the_body_becomes_a_breakpoint_at_its_end() {
    let cache = r#"{"type":"ephemeral","ttl":"1h"}"#;
    for (content, expected) in [
        (
            r#""a""#,
            r#"[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]"#,
        ),
        (
            r#"[{"type":"text","text":"a"},{"type":"image"}]"#,
            r#"[{"type":"text","text":"a"},{"cache_control":{"type":"ephemeral","ttl":"1h"},"type":"image"}]"#,
        ),
        (
            r#"[{"type":"text","text":"a","cache_control":{}}]"#,
            r#"[{"type":"text","text":"a","cache_control":{}}]"#,
        ),
    ] {
        let body = format!(
            r#"{{"model":"m","max_tokens":1,"cache_control":{cache},"messages":[{{"role":"user","content":{content}}}]}}"#
        );
        let translated = translate_for("claude-opus-5", "", &body, &[]).unwrap();
        let expected = format!(
            r#"{FRONT}"max_tokens":1,"messages":[{{"role":"user","content":{expected}}}]}}"#
        );
        assert_eq!(sent(&translated), expected);
    }
}

const BODY: &str = r#"{"max_tokens":1,"model":"m","messages":[{"role":"user","content":"a"}],"context_management":{"edits":[]}}"#;

/// Returns the betas that are sent, and whether `context_management` is.
fn betas(name: &str, header: &str, refused: &[&str]) -> (String, bool, String) {
    let translated = translate_for(name, header, BODY, refused).unwrap();
    let json: Value = serde_json::from_str(sent(&translated)).unwrap();
    let betas: Vec<String> = json
        .get("anthropic_beta")
        .map(|betas| serde_json::from_value(betas.clone()).unwrap())
        .unwrap_or_default();
    (betas.join(","), json.get("context_management").is_some(), translated.removed.join(" "))
}

#[test]
fn betas_are_sent_dropped_renamed_and_paired_with_their_members() {
    let of_context = "context-management-2025-06-27";
    for (name, header, refused, expected) in [
        ("claude-opus-5", "", &[][..], (of_context, true, "")),
        (
            "claude-opus-5",
            "context-management-2026-01-01",
            &[],
            ("context-management-2026-01-01", true, ""),
        ),
        (
            "claude-opus-5",
            "claude-code-20250219,prompt-caching-scope-2026-01-05,new-2027-01-01",
            &[],
            (
                "claude-code-20250219,new-2027-01-01,context-management-2025-06-27",
                true,
                "betas.prompt-caching-scope-2026-01-05",
            ),
        ),
        (
            "claude-opus-5",
            "advanced-tool-use-2025-11-20,tool-search-tool-2025-10-19",
            &[],
            (
                "tool-search-tool-2025-10-19,context-management-2025-06-27",
                true,
                "betas.advanced-tool-use-2025-11-20",
            ),
        ),
        (
            "claude-opus-5",
            "new-2027-01-01",
            &["betas.new-2027-01-01"],
            (of_context, true, "betas.new-2027-01-01"),
        ),
        ("claude-opus-5", "", &["context_management"], ("", false, "context_management")),
        (
            "claude-opus-5",
            of_context,
            &["context_management"],
            ("", false, "betas.context-management-2025-06-27 context_management"),
        ),
        (
            "claude-opus-5",
            of_context,
            &["betas.context-management-2025-06-27"],
            ("", false, "betas.context-management-2025-06-27 context_management"),
        ),
        (
            "claude-opus-5-5",
            "per-turn-control-2026-07-01",
            &[],
            ("per-turn-control-2026-07-01,context-management-2025-06-27", true, ""),
        ),
        (
            "claude-haiku-5-5",
            "per-turn-control-2026-07-01",
            &[],
            (of_context, true, "betas.per-turn-control-2026-07-01"),
        ),
    ] {
        let (sent, has_member, removed) = betas(name, header, refused);
        assert_eq!((&*sent, has_member, &*removed), expected, "{name} {header} {refused:?}");
    }
}

#[test]
fn the_reply_and_its_thinking_are_cut_to_what_the_operator_allows() {
    let body = |max_tokens: u64, budget: u64| {
        format!(
            r#"{{"model":"m","max_tokens":{max_tokens},"thinking":{{"type":"enabled","budget_tokens":{budget}}},"messages":[{{"role":"user","content":"a"}}]}}"#
        )
    };
    let translated = translate_for("claude-haiku-4-5", "", &body(32_000, 31_999), &[]).unwrap();
    assert_eq!(translated.max_tokens, 4096);
    assert_eq!(
        sent(&translated),
        format!(
            r#"{FRONT}"max_tokens":4096,"thinking":{{"type":"enabled","budget_tokens":4095}},"messages":[{{"role":"user","content":"a"}}]}}"#
        )
    );
    assert_eq!(translated.removed, ["max_tokens", "thinking.budget_tokens"]);
    let target = |most| Target {
        format: Format::InvokeModel,
        model: model("claude-haiku-4-5"),
        max_output_tokens: most,
        has_refused: &|_| false,
    };
    let translate = |json: &str, most| {
        MessagesBody::parse(json).unwrap().translate(std::iter::empty(), &target(most)).unwrap()
    };
    let small = translate(&body(32_000, 31_999), Some(1000));
    assert_eq!(small.removed, ["max_tokens", "thinking"]);
    // The model's own limit.
    assert_eq!(translate(&body(u64::MAX, 2000), None).max_tokens, 64_000);
    // Bedrock refuses a budget that the caller has got wrong.
    assert!(translate(&body(2000, 3000), None).removed.is_empty());
}

#[test]
fn an_image_counts_as_an_image_and_not_as_its_base64() {
    let body = |blocks: &str| {
        let body = format!(
            r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":[{blocks}]}}]}}"#
        );
        translate_for("claude-opus-5", "", &body, &[]).unwrap().most_input_tokens
    };
    let data = "A".repeat(1_000_000);
    let source = format!(r#""source":{{"type":"base64","media_type":"x","data":"{data}"}}"#);
    assert!(body(&format!(r#"{{"type":"image",{source}}}"#)) < 7000);
    assert!(body(&format!(r#"{{"type":"document",{source}}}"#)) > 700_000);
    assert!(body(&format!(r#"{{"type":"text","text":"{data}"}}"#)) > 1_000_000);
}

#[test]
fn a_deferred_tool_brings_its_beta_and_updates_of_thinking_need_theirs() {
    let body = |tool: &str| {
        format!(
            r#"{{"model":"m","max_tokens":1,"tools":[{tool}],"messages":[{{"role":"user","content":"a"}}]}}"#
        )
    };
    for (tool, header, expected) in [
        (r#"{"name":"a","defer_loading":true}"#, "", Some(r#"["tool-search-tool-2025-10-19"]"#)),
        (
            r#"{"name":"a","custom":{"defer_loading":true}}"#,
            "",
            Some(r#"["tool-search-tool-2025-10-19"]"#),
        ),
        (
            r#"{"name":"a","defer_loading":true}"#,
            "advanced-tool-use-2025-11-20",
            Some(r#"["tool-search-tool-2025-10-19"]"#),
        ),
        (r#"{"name":"a","defer_loading":false}"#, "", None),
    ] {
        let translated = translate_for("claude-opus-5", header, &body(tool), &[]).unwrap();
        let json: Value = serde_json::from_str(sent(&translated)).unwrap();
        let betas = json.get("anthropic_beta").map(Value::to_string);
        assert_eq!(betas.as_deref(), expected, "{tool} {header}");
    }
    let beta = "thinking-display-updates-2026-08-18";
    let updates = r#"{"model":"m","max_tokens":1,"thinking":{"type":"adaptive","display":"updates"},"messages":[{"role":"user","content":"a"}]}"#;
    let translated = translate_for("claude-opus-5", beta, updates, &[]).unwrap();
    assert!(sent(&translated).contains("updates\"}"));
    let refused = [&*format!("betas.{beta}")];
    let translated = translate_for("claude-opus-5", beta, updates, &refused).unwrap();
    assert!(!sent(&translated).contains("updates"));
    let parts = refused.map(str::to_owned);
    let first = translate_for("claude-opus-5", beta, updates, &[]).unwrap();
    assert!(!sent(&first.adapt(&parts, "").unwrap()).contains("updates"));
}

#[test]
fn what_is_left_out_later_keeps_the_tier_and_the_other_values() {
    let body = r#"{"model":"m","max_tokens":1,"service_tier":"flex","thinking":{"type":"adaptive","display":"omitted"},"messages":[{"role":"user","content":"a"}]}"#;
    let first = translate_for("claude-opus-5", "new-2027-01-01", body, &[]).unwrap();
    let parts = ["betas.new-2027-01-01", "thinking.display.other"].map(str::to_owned);
    let adapted = first.adapt(&parts, "").unwrap();
    assert_eq!(adapted.service_tier, Some("flex"));
    assert!(adapted.betas.is_empty() && sent(&adapted).contains("omitted"));
    let scoped = body.replace(
        r#""max_tokens":1"#,
        r#""max_tokens":1,"cache_control":{"type":"ephemeral","ttl":"1h","scope":"global"}"#,
    );
    let scoped = translate_for("claude-opus-5", "", &scoped, &[]).unwrap();
    assert_eq!(scoped.removed, ["cache_control.scope"]);
    assert!(sent(&scoped).contains(r#""cache_control":{"type":"ephemeral","ttl":"1h"}"#));
}

#[test]
fn a_breakpoint_of_an_hour_does_not_stand_behind_one_of_five_minutes() {
    let body = |ttl: &str| {
        format!(
            r#"{{"model":"m","max_tokens":1,"cache_control":{{"type":"ephemeral","ttl":"1h"}},"system":[{{"type":"text","text":"s","cache_control":{{"type":"ephemeral"{ttl}}}}}],"messages":[{{"role":"user","content":"a"}}]}}"#
        )
    };
    let behind = translate_for("claude-opus-5", "", &body(""), &[]).unwrap();
    assert_eq!(behind.removed, ["cache_control.ttl"]);
    assert!(sent(&behind).ends_with(r#""cache_control":{"type":"ephemeral"}}]}]}"#));
    let alike = translate_for("claude-opus-5", "", &body(r#","ttl":"1h""#), &[]).unwrap();
    assert!(sent(&alike).ends_with(r#""cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}"#));
}

/// Any JSON, with the names that rules look for.
fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "model",
        "messages",
        "max_tokens",
        "stream",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "type",
        "text",
        "content",
        "source",
        "role",
        "cache_control",
        "scope",
        "output_config",
        "effort",
        "id",
        "tool_use_id",
        "custom",
        "defer_loading",
        "input_schema",
        "strict",
        "budget_tokens",
        "data",
        "context_management",
        "other",
    ]);
    let texts = prop::sample::select(vec![
        "",
        "user",
        "system",
        "assistant",
        "text",
        "base64",
        "url",
        "enabled",
        "adaptive",
        "any",
        "a:b",
        "日本",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u16>().prop_map(Value::from),
        texts.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..8).prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_accepted_is_valid_json_and_translates_to_itself(mut json in any_json(), at in 0..14_usize) {
        let name = Model::ALL[at].name;
        if let Value::Object(members) = &mut json {
            members.insert("model".to_owned(), name.into());
            members.insert("max_tokens".to_owned(), 100.into());
        }
        let body = json.to_string();
        if let Ok(first) = translate_for(name, "effort-2025-11-24", &body, &[]) {
            let mut again: Value = serde_json::from_str(sent(&first)).unwrap();
            again["model"] = name.into();
            let second = translate_for(name, "", &again.to_string(), &[]).unwrap();
            prop_assert_eq!(&second.removed, &Vec::<String>::new());
            let json: Value = serde_json::from_str(sent(&first)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(sent(&second)).unwrap(), json);
        }
    }
}
