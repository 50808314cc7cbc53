//! The binary `bedrock-stub`.
#![cfg(unix)]

mod signer;
mod wire;

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use signer::{Call, claude};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use wire::{HttpResponse, exchange};

const PATIENCE: Duration = Duration::from_secs(10);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-stub"));
    command
        .args(arguments)
        // A developer's own variables must not determine the accepted key.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

type Running = (Child, u16, Lines<BufReader<ChildStdout>>);

/// Starts it on a free port, and waits until it listens.
async fn start(arguments: &[&str]) -> Running {
    running(&mut command(&[&["--port", "0"], arguments].concat())).await
}

async fn running(command: &mut Command) -> Running {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let port = line.strip_prefix("Bedrock stand-in on http://127.0.0.1:").unwrap();
    (child, port.parse().unwrap(), lines)
}

async fn ask(port: u16, call: &mut Call) -> HttpResponse {
    call.host = format!("127.0.0.1:{port}");
    exchange(&format!("http://{}", call.host), &call.signed()).await
}

async fn exit_status(child: &mut Child) -> ExitStatus {
    timeout(PATIENCE, child.wait()).await.expect("it exits").unwrap()
}

#[tokio::test]
async fn it_exits_on_sigint_and_sigterm() {
    for signal in ["INT", "TERM"] {
        let (mut child, _, _lines) = start(&[]).await;
        let id = child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status().await.unwrap();
        assert!(sent.success());
        assert_eq!(exit_status(&mut child).await.code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn it_exits_when_standard_input_closes_only_with_exit_with_parent() {
    let (mut child, _, _lines) = start(&["--exit-with-parent"]).await;
    drop(child.stdin.take());
    assert_eq!(exit_status(&mut child).await.code(), Some(0));

    let (mut child, _, _lines) = start(&[]).await;
    drop(child.stdin.take());
    let waited = timeout(Duration::from_millis(300), child.wait()).await;
    assert!(waited.is_err(), "it exited without --exit-with-parent");
}

#[tokio::test]
async fn a_port_in_use_is_an_error_of_one_line() {
    let (_first, port, _lines) = start(&[]).await;
    let second = command(&["--port", &port.to_string()]).output().await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(second.stderr).unwrap(),
        format!("bedrock-stub: port {port} is in use\n")
    );
}

#[tokio::test]
async fn it_logs_one_line_per_request_without_the_prompt() {
    let (_child, port, mut lines) = start(&["--region", "us-west-2"]).await;
    let model = "apac.anthropic.claude-sonnet-4-20250514-v1:0";
    let cases = [
        ("a success", "us-west-2", "Hello", format!("200 {model} fault=none ")),
        ("a fault", "us-west-2", "fault:throttled secret", format!("429 {model} fault=throttled ")),
        ("an error", "us-east-1", "Hello", format!("403 {model} fault=none ")),
    ];
    for (case, region, prompt, expected) in cases {
        let mut call = Call::new(claude(prompt));
        call.region = region;
        ask(port, &mut call).await;
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let time = line.strip_prefix(&expected).unwrap_or_else(|| panic!("{case}: {line}"));
        assert!(time.trim_end_matches("ms").parse::<u64>().is_ok(), "{case}: {line}");
    }
}

#[tokio::test]
async fn environment_variables_determine_the_accepted_key_and_region() {
    let mut command = command(&["--port", "0"]);
    command.envs([
        ("AWS_ACCESS_KEY_ID", "ASIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "another"),
        ("AWS_SESSION_TOKEN", "AQoDYXdzEPT//wEXAMPLE+token=="),
        ("BEDROCK_REGION", "us-west-2"),
    ]);
    let (_child, port, _lines) = running(&mut command).await;
    let mut call = Call::new(claude("Hello"));
    assert_eq!(ask(port, &mut call).await.status(), 403, "the default key");
    call.key.id = "ASIAIOSFODNN7EXAMPLE".to_owned();
    call.key.secret = "another".to_owned();
    call.key.session_token = Some("AQoDYXdzEPT//wEXAMPLE+token==".to_owned());
    assert_eq!(ask(port, &mut call).await.status(), 403, "the default region");
    call.region = "us-west-2";
    assert_eq!(ask(port, &mut call).await.status(), 200, "the key and region of the variables");
}

#[tokio::test]
async fn an_invalid_argument_is_an_error_that_names_it() {
    let cases: [(&str, &[&str], &str); 5] = [
        ("no port", &[], "--port is missing"),
        ("not a port", &["--port", "http"], "--port: expected a port number, got 'http'"),
        ("not a delay", &["--frame-delay", "1s"], "--frame-delay: expected milliseconds, got '1s'"),
        ("a value missing", &["--port"], "--port: expected a value, got none"),
        ("an unknown argument", &["--prot", "1"], "unknown argument '--prot'"),
    ];
    for (case, arguments, problem) in cases {
        let output = command(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{case}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with(&format!("bedrock-stub: {problem}\n")), "{case}: {error}");
    }
}
