//! Runs what docs/aws-clients.md says, with the Worker as the endpoint.

use std::fs;

use bedrock_edge_tests::root;
use serde_json::json;
use tokio::process::Command;

use crate::support::aws_clients::worker;
use crate::support::messages::{installed, stdout_of};
use crate::support::workerd::TempDir;

/// A fenced block: its language, and its text.
fn blocks(document: &str) -> Vec<(&str, &str)> {
    let mut blocks = Vec::new();
    let mut rest = document;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (language, after) = after.split_once('\n').unwrap();
        let (text, after) = after.split_once("\n```").unwrap();
        blocks.push((language, text));
        rest = after;
    }
    blocks
}

/// Returns the value of a variable in the document's `wrangler.toml`.
fn variable(toml: &str, name: &str) -> String {
    let line = toml.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='));
    line.unwrap().trim().trim_matches('"').to_owned()
}

#[tokio::test]
async fn every_command_and_program_of_the_document_runs() {
    let document = fs::read_to_string(root().join("docs/aws-clients.md")).unwrap();
    let blocks = blocks(&document);
    let (_, toml) = blocks.iter().find(|(language, _)| *language == "toml").unwrap();
    let (_fixture, endpoint) = worker(&json!({
        "BEDROCK_REGION": null,
        "BEDROCK_MODEL_ID": variable(toml, "BEDROCK_MODEL_ID").replace("us.", "apac."),
        "ALLOWED_MODELS": variable(toml, "ALLOWED_MODELS").replace("us.", "global."),
    }))
    .await;
    let (_, exports) = blocks.iter().find(|(language, _)| *language == "sh").unwrap();
    let is_exported =
        |name: &str| exports.lines().any(|line| line.starts_with(&format!("export {name}=")));
    let tools = installed("python-tools").await;
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{}:{path}", tools.display(), root().join("node_modules/.bin").display());
    // In the project, whose packages the programs import.
    let directory = TempDir::inside(&root().join("target"));
    let (mut programs, mut commands) = (0, 0);
    for (language, text) in blocks {
        // The Worker of this test is in another region.
        let text = text.replace("us.anthropic", "global.anthropic").replace("us.amazon", "amazon");
        let (name, interpreter) = match language {
            "python" => ("program.py", "python"),
            "js" => ("program.mjs", "node"),
            "console" => ("", "sh"),
            _ => continue,
        };
        let mut runs = Vec::new();
        if interpreter == "sh" {
            let mut lines = text.lines().peekable();
            while let Some(line) = lines.next() {
                let Some(command) = line.strip_prefix("$ aws ") else { continue };
                let expected = lines.next_if(|line| !line.starts_with('$')).unwrap().to_owned();
                runs.push((
                    vec!["-c".to_owned(), format!("aws {command} --output json")],
                    expected,
                ));
                commands += 1;
            }
        } else {
            let file = directory.path().join(name);
            fs::write(&file, &text).unwrap();
            runs.push((vec![file.display().to_string()], "Hello".to_owned()));
            programs += 1;
        }
        for (arguments, expected) in runs {
            let mut command = Command::new(interpreter);
            endpoint.set_environment(&mut command);
            for name in
                ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().filter(|name| !is_exported(name))
            {
                command.env_remove(name);
            }
            command
                .env("PATH", &path)
                .env_remove("AWS_ENDPOINT_URL")
                .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &endpoint.url)
                .env("ANTHROPIC_BEDROCK_BASE_URL", &endpoint.url)
                .args(arguments);
            let output = stdout_of(&mut command).await;
            assert!(output.contains(&expected), "{text}\n{output}");
        }
    }
    assert_eq!((programs, commands), (5, 2));
}
