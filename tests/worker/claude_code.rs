//! Claude Code itself, as a user runs it: in an empty home, with nothing in its environment but the
//! Worker's address and a token.
//!
//! These tests are ignored, because they install 400 MB. `npm test` runs them if it can install
//! Claude Code, and says so if it cannot:
//!
//! ```console
//! $ cargo test -p bedrock-edge-tests --test worker claude_code -- --ignored
//! ```

use std::fs;
use std::process::Stdio;

use bedrock_edge_tests::root;
use bedrock_stub::Received;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::client::TIMEOUT;
use crate::support::fixture::{Fixture, json_body};
use crate::support::messages::{TOKEN, installed, messages_fixture, stdout_of};
use crate::support::workerd::TempDir;

/// The models with which Claude Code shapes its requests in different ways.
const MODELS: [&str; 5] = [
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
];

/// Builds a command that runs Claude Code in `home`, with a token or with what `home` has for one.
async fn claude(fixture: &Fixture, base: &str, token: Option<&str>, home: &TempDir) -> Command {
    let mut command = Command::new(installed("claude-code").await);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home.path()).current_dir(home.path());
    command.env("ANTHROPIC_BASE_URL", format!("http://{}{base}", fixture.worker.address));
    command.envs(token.map(|token| ("ANTHROPIC_AUTH_TOKEN", token)));
    command
}

/// Runs Claude Code with these arguments and the token in `home`. Returns what it prints.
async fn answer(fixture: &Fixture, home: &TempDir, arguments: &[&str]) -> String {
    stdout_of(claude(fixture, "", Some(TOKEN), home).await.args(arguments)).await
}

/// Returns an empty home outside of the project, whose instructions Claude Code would read.
fn empty_home() -> TempDir {
    TempDir::inside(&std::env::temp_dir())
}

/// Returns the calls of Bedrock. Every request must have succeeded, with this many retries of all.
fn calls(fixture: &Fixture, retries: u64) -> Vec<Received> {
    let lines = fixture.worker.log_lines();
    assert!(lines.iter().all(|line| line["status"] == 200), "{lines:#?}");
    let retried: u64 = lines.iter().filter_map(|line| line["retries"].as_u64()).sum();
    assert_eq!(retried, retries, "{lines:#?}");
    fixture.stub.requests()
}

#[tokio::test]
#[ignore = "installs Claude Code"]
async fn claude_code_gets_a_plain_answer_from_each_model_at_the_first_call() {
    for endpoint in ["invoke", "native"] {
        let fixture = messages_fixture(&json!({ "BEDROCK_MESSAGES": endpoint })).await;
        for (count, model) in (1..).zip(MODELS) {
            let home = empty_home();
            let prompt = "[[say The answer is 42.]]";
            let answer = answer(&fixture, &home, &["-p", prompt, "--model", model]).await;
            assert_eq!(answer.trim_end(), "The answer is 42.", "{endpoint}, {model}");
            assert_eq!(calls(&fixture, 0).len(), count, "{endpoint}, {model}");
        }
    }
}

#[tokio::test]
#[ignore = "installs Claude Code"]
async fn claude_code_runs_a_tool_and_sends_its_signed_thinking_back() {
    for endpoint in ["invoke", "native"] {
        let fixture = messages_fixture(&json!({ "BEDROCK_MESSAGES": endpoint })).await;
        let home = empty_home();
        let prompt =
            r#"[[tool Bash {"command":"echo made by a tool | tee made.txt","description":"x"}]]"#;
        let arguments = ["-p", prompt, "--allowedTools", "Bash"];
        let answer = answer(&fixture, &home, &arguments).await;
        assert_eq!(answer.trim_end(), "The tools returned: \"made by a tool\".", "{endpoint}");
        let made = fs::read_to_string(home.path().join("made.txt")).unwrap();
        assert_eq!(made, "made by a tool\n", "{endpoint}");

        let calls = calls(&fixture, 0);
        assert_eq!(calls.len(), 2, "{endpoint}");
        let body = json_body(&calls[1]);
        let messages = body["messages"].as_array().unwrap().iter();
        let assistant = messages.clone().find(|message| message["role"] == "assistant").unwrap();
        let kinds: Vec<_> = assistant["content"].as_array().unwrap().iter().collect();
        assert_eq!(kinds[0]["type"], "thinking", "{endpoint}: {assistant}");
        assert_eq!(kinds[1]["type"], "tool_use", "{endpoint}: {assistant}");
        // The second call finds the prefix of the first one in the cache.
        // The first line is that of Claude Code's probe.
        let line = fixture.worker.nth_log_line(3).await;
        assert!(line["cache_read_input_tokens"].as_u64() > Some(1000), "{line}");
    }
}

#[tokio::test]
#[ignore = "installs Claude Code"]
async fn claude_code_runs_a_tool_with_models_of_other_makers() {
    // The model, and the operation of a stream with tools.
    for (model, operation) in
        [("nova-2-lite", "converse-stream"), ("mistral-large-2407", "converse")]
    {
        let fixture = messages_fixture(&json!({})).await;
        let home = empty_home();
        let prompt = r#"[[tool Bash {"command":"echo made by a tool","description":"x"}]]"#;
        let arguments = ["-p", prompt, "--model", model, "--allowedTools", "Bash"];
        let answer = answer(&fixture, &home, &arguments).await;
        assert_eq!(answer.trim_end(), "The tools returned: \"made by a tool\".", "{model}");
        let calls = calls(&fixture, 0);
        let [first, second] = &calls[..] else { panic!("{model}: {} calls", calls.len()) };
        for call in [first, second] {
            assert!(call.target.ends_with(&format!("/{operation}")), "{model}: {}", call.target);
        }
    }
}

#[tokio::test]
#[ignore = "installs Claude Code"]
async fn claude_code_searches_for_a_tool_and_reports_json() {
    let fixture = messages_fixture(&json!({})).await;
    let home = empty_home();
    let prompt = r#"[[tool ToolSearch {"query":"select:NotebookEdit"}]]"#;
    let arguments = ["-p", prompt, "--output-format", "stream-json", "--verbose"];
    let lines = answer(&fixture, &home, &arguments).await;
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["subtype"], "success", "{last}");
    assert!(last["result"].as_str().unwrap().contains("NotebookEdit"), "{last}");
    // With this output it asks for a beta that Bedrock does not have. The first call finds out.
    assert_eq!(calls(&fixture, 1).len(), 3);
}

#[tokio::test]
#[ignore = "installs Claude Code"]
async fn claude_code_uses_an_api_key_helper_and_a_base_path() {
    let fixture = messages_fixture(&json!({ "BASE_PATH": "/ai" })).await;
    let home = empty_home();
    let settings = json!({ "apiKeyHelper": format!("echo {TOKEN}") });
    fs::create_dir(home.path().join(".claude")).unwrap();
    fs::write(home.path().join(".claude/settings.json"), settings.to_string()).unwrap();
    let mut command = claude(&fixture, "/ai", None, &home).await;
    let answer = stdout_of(command.args(["-p", "[[say Hello.]]"])).await;
    assert_eq!(answer.trim_end(), "Hello.");
    assert_eq!(calls(&fixture, 0).len(), 1);
}

#[tokio::test]
#[ignore = "installs Claude Code"]
async fn claude_code_gives_up_at_once_where_a_retry_is_useless() {
    let spent = json!({ "MONTHLY_TOKENS": "10" });
    for (case, bindings, token, model, status, calls) in [
        ("a spent budget", spent, TOKEN, "claude-opus-5-5", 429, 1),
        ("a wrong token", json!({}), "wrong", "claude-opus-5-5", 401, 1),
        // It asks once more without a stream.
        ("an unknown model", json!({}), TOKEN, "claude-opus-3", 404, 2),
    ] {
        let fixture = messages_fixture(&bindings).await;
        let home = empty_home();
        let mut command = claude(&fixture, "", Some(token), &home).await;
        let command = command.args(["-p", "Hello", "--model", model]).stdin(Stdio::null());
        let output = timeout(TIMEOUT, command.kill_on_drop(true).output()).await;
        let output = output.unwrap_or_else(|_| panic!("{case}: {}", fixture.worker.output()));
        assert!(!output.unwrap().status.success(), "{case}");
        let lines = fixture.worker.log_lines();
        let refused = lines.iter().filter(|line| line["status"] == status).count();
        assert_eq!(refused, calls, "{case}: {lines:#?}");
        assert!(fixture.stub.requests().is_empty(), "{case}");
    }
}

/// The lines that `npm run client-key` prints: variables for the client, and the entry of `CLIENT_KEYS`.
async fn client_key() -> (Vec<(String, String)>, String) {
    let mut script = Command::new(root().join("node_modules/.bin/node"));
    let printed = stdout_of(script.arg(root().join("scripts/client-key.mjs"))).await;
    let mut lines = printed.lines().map(str::trim);
    let variables = lines.clone().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let entry = lines.next_back().unwrap().to_owned();
    (variables, entry)
}

#[tokio::test]
#[ignore = "installs Claude Code"]
async fn claude_code_in_bedrock_mode_signs_with_a_client_key_or_sends_a_token() {
    const MODEL: &str = "global.anthropic.claude-opus-5-5";
    let (variables, entry) = client_key().await;
    let token = vec![
        ("CLAUDE_CODE_SKIP_BEDROCK_AUTH".to_owned(), "1".to_owned()),
        ("ANTHROPIC_AUTH_TOKEN".to_owned(), TOKEN.to_owned()),
    ];
    for (case, caller, credentials) in [
        ("a key", format!("key:{}", entry.split(':').next().unwrap()), variables),
        ("a token", "token:claude".to_owned(), token),
    ] {
        let fixture = messages_fixture(&json!({ "CLIENT_KEYS": entry })).await;
        let home = empty_home();
        let mut command = Command::new(installed("claude-code").await);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", home.path()).current_dir(home.path()).envs(credentials);
        command
            .env("CLAUDE_CODE_USE_BEDROCK", "1")
            .env("ANTHROPIC_BEDROCK_BASE_URL", format!("http://{}", fixture.worker.address))
            .env("AWS_REGION", "ap-northeast-1")
            .env("ANTHROPIC_MODEL", MODEL)
            .env("ANTHROPIC_DEFAULT_HAIKU_MODEL", "global.anthropic.claude-haiku-5-5");
        let prompt =
            r#"[[tool Bash {"command":"echo made by a tool | tee made.txt","description":"x"}]]"#;
        command.args(["-p", prompt, "--allowedTools", "Bash"]);
        let answer = stdout_of(&mut command).await;
        assert_eq!(answer.trim_end(), "The tools returned: \"made by a tool\".", "{case}");
        let lines = fixture.worker.log_lines();
        let served: Vec<_> = lines.iter().filter(|line| line["status"] == 200).collect();
        assert!(served.len() >= 2, "{case}: {lines:#?}");
        assert!(served.iter().all(|line| line["caller"] == caller), "{case}: {lines:#?}");
        let streamed = fixture.stub.requests();
        let is_turn = |request: &&Received| {
            request.target.ends_with("/invoke-with-response-stream")
                && request.target.contains("opus-5-5")
                && json_body(request)["max_tokens"].as_u64() > Some(1)
        };
        assert_eq!(streamed.iter().filter(is_turn).count(), 2, "{case}: {lines:#?}");
    }
}
