//! `bedrock-stub` as a process.
#![cfg(unix)]

mod signer;
mod wire;

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use signer::{Call, claude};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use wire::{Answer, exchange};

const PATIENCE: Duration = Duration::from_secs(10);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-stub"));
    command
        .args(arguments)
        // A developer's own variables would decide what is accepted.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

type Running = (Child, u16, Lines<BufReader<ChildStdout>>);

/// Starts it on any port, and waits for its line.
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

async fn ask(port: u16, call: &mut Call) -> Answer {
    call.host = format!("127.0.0.1:{port}");
    exchange(&format!("http://{}", call.host), &call.signed()).await
}

async fn ended(child: &mut Child) -> ExitStatus {
    timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap()
}

#[tokio::test]
async fn it_ends_at_a_signal() {
    for signal in ["INT", "TERM"] {
        let (mut child, _, _lines) = start(&[]).await;
        let id = child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status().await.unwrap();
        assert!(sent.success());
        assert_eq!(ended(&mut child).await.code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn it_ends_with_its_parent_only_if_told() {
    let (mut child, _, _lines) = start(&["--exit-with-parent"]).await;
    drop(child.stdin.take());
    assert_eq!(ended(&mut child).await.code(), Some(0));

    let (mut child, _, _lines) = start(&[]).await;
    drop(child.stdin.take());
    let waited = timeout(Duration::from_millis(300), child.wait()).await;
    assert!(waited.is_err(), "it ended without being told to");
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line() {
    let (_first, port, _lines) = start(&[]).await;
    let second = command(&["--port", &port.to_string()]).output().await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(second.stderr).unwrap(),
        format!("bedrock-stub: port {port} is in use\n")
    );
}

#[tokio::test]
async fn it_logs_a_line_a_request_and_no_prompt() {
    let (_child, port, mut lines) = start(&["--region", "us-west-2"]).await;
    let model = "apac.anthropic.claude-sonnet-4-20250514-v1:0";
    let cases = [
        ("a good one", "us-west-2", "Hello", format!("200 {model} fault=none ")),
        ("a fault", "us-west-2", "fault:throttled secret", format!("429 {model} fault=throttled ")),
        ("refused", "us-east-1", "Hello", format!("403 {model} fault=none ")),
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
async fn variables_say_what_is_accepted() {
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
    assert_eq!(ask(port, &mut call).await.status(), 200, "as the variables say");
}

#[tokio::test]
async fn wrong_arguments_are_explained() {
    let cases: [(&str, &[&str], &str); 5] = [
        ("no port", &[], "--port is missing"),
        ("a port that is none", &["--port", "http"], "'http' is not a port"),
        ("a delay that is none", &["--frame-delay", "1s"], "'1s' are not milliseconds"),
        ("a value missing", &["--port"], "--port needs a value"),
        ("an unknown one", &["--prot", "1"], "unknown argument '--prot'"),
    ];
    for (case, arguments, problem) in cases {
        let output = command(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{case}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with(&format!("bedrock-stub: {problem}\n")), "{case}: {error}");
    }
}
