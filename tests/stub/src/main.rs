//! `bedrock-stub`: the Bedrock stand-in as a process, for `npm run dev`.
//!
//! It accepts the key in the environment variables that AWS's own tools read, so that one
//! `.dev.vars` serves both. Without them, it accepts the example key of AWS's documentation.

use std::io::{self, ErrorKind, Read};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use bedrock_stub::{AccessKey, Settings, Stub};
use tokio::sync::oneshot;

const USAGE: &str = "\
usage: bedrock-stub --port PORT [--region REGION] [--frame-delay MS] [--exit-with-parent]

  --port PORT         port on 127.0.0.1; 0 for any free port
  --region REGION     region that requests must be signed for (default: ap-northeast-1)
  --frame-delay MS    milliseconds that a stream waits before each frame (default: 0)
  --exit-with-parent  exit when standard input is closed

Environment:
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
                            the key to accept (default: the example key of AWS's documentation)
  AWS_BEARER_TOKEN_BEDROCK  the Bedrock API key to accept (default: none)
  BEDROCK_REGION            the region, without --region";

struct Arguments {
    port: u16,
    region: Option<String>,
    frame_delay: Duration,
    exit_with_parent: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match parse_arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("bedrock-stub: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let exit_with_parent = arguments.exit_with_parent;
    let port = arguments.port;
    let stub = match Stub::start(settings(arguments)).await {
        Ok(stub) => stub,
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            eprintln!("bedrock-stub: port {port} is in use");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("bedrock-stub: cannot listen on port {port}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let terminated = terminated();
    println!("Bedrock stand-in on {}", stub.url());
    tokio::select! {
        () = terminated => {}
        () = input_closed(), if exit_with_parent => {}
    }
    ExitCode::SUCCESS
}

fn parse_arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let (mut port, mut region, mut exit_with_parent) = (None, None, false);
    let mut frame_delay = Duration::ZERO;
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument}: expected a value, got none"));
        match argument.as_str() {
            "--port" => {
                let value = value()?;
                let number = value.parse();
                let error = |_| format!("--port: expected a port number, got '{value}'");
                port = Some(number.map_err(error)?);
            }
            "--region" => region = Some(value()?),
            "--frame-delay" => {
                let value = value()?;
                let number = value.parse();
                let error = |_| format!("--frame-delay: expected milliseconds, got '{value}'");
                frame_delay = Duration::from_millis(number.map_err(error)?);
            }
            "--exit-with-parent" => exit_with_parent = true,
            _ => return Err(format!("unknown argument '{argument}'")),
        }
    }
    let port = port.ok_or("--port is missing")?;
    Ok(Arguments { port, region, frame_delay, exit_with_parent })
}

fn settings(arguments: Arguments) -> Settings {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let defaults = Settings::default();
    let keys = match [variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")] {
        [Some(id), Some(secret)] => {
            vec![AccessKey { id, secret, session_token: variable("AWS_SESSION_TOKEN") }]
        }
        _ => defaults.keys.clone(),
    };
    Settings {
        sts_keys: keys.clone(),
        port: arguments.port,
        region: arguments
            .region
            .or_else(|| variable("BEDROCK_REGION"))
            .unwrap_or_else(|| defaults.region.clone()),
        keys,
        api_keys: variable("AWS_BEARER_TOKEN_BEDROCK").into_iter().collect(),
        record: false,
        log: true,
        frame_delay: arguments.frame_delay,
        ..defaults
    }
}

/// Waits for SIGINT or SIGTERM. The handlers are installed by the call, not by the first poll, so
/// that a parent may send a signal as soon as it has read the URL.
#[cfg(unix)]
fn terminated() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).expect("a signal handler can be installed");
    let mut interrupt = listen(SignalKind::interrupt());
    let mut terminate = listen(SignalKind::terminate());
    async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
async fn terminated() {
    let _ = tokio::signal::ctrl_c().await;
}

/// Waits until standard input is closed. It is read on a thread of its own, because tokio's runtime
/// does not shut down while one of its own threads blocks in a read.
async fn input_closed() {
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        let mut input = io::stdin().lock();
        while input.read(&mut buffer).is_ok_and(|read| read > 0) {}
        let _ = ended.send(());
    });
    let _ = end.await;
}
