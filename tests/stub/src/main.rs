//! `bedrock-stub`: the Bedrock stand-in as a process, for `npm run dev`.
//!
//! Which key it accepts comes from the variables that AWS's own tools read, so that a developer's
//! `.dev.vars` fits both; without them it is the example key of AWS's documentation.

use std::io::{self, ErrorKind, Read};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use bedrock_stub::{AccessKey, Settings, Stub};
use tokio::sync::oneshot;

const USAGE: &str = "\
usage: bedrock-stub --port PORT [--region REGION] [--frame-delay MS] [--exit-with-parent]

  --port PORT         the port on 127.0.0.1; 0 for any free one
  --region REGION     the region that requests must be signed for (ap-northeast-1)
  --frame-delay MS    how many milliseconds a stream waits before each frame (0)
  --exit-with-parent  end when standard input does

Accepted are AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, in
BEDROCK_REGION, and AWS_BEARER_TOKEN_BEDROCK; without them, AWS's example key.";

struct Arguments {
    port: u16,
    region: Option<String>,
    frame_delay: Duration,
    exit_with_parent: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
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
    let asked_to_end = asked_to_end();
    println!("Bedrock stand-in on {}", stub.url());
    tokio::select! {
        () = asked_to_end => {}
        () = end_of_input(), if exit_with_parent => {}
    }
    ExitCode::SUCCESS
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let (mut port, mut region, mut exit_with_parent) = (None, None, false);
    let mut frame_delay = Duration::ZERO;
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--port" => {
                let value = value()?;
                let number = value.parse().map_err(|_| format!("'{value}' is not a port"))?;
                port = Some(number);
            }
            "--region" => region = Some(value()?),
            "--frame-delay" => {
                let value = value()?;
                let number = value.parse();
                let number = number.map_err(|_| format!("'{value}' are not milliseconds"))?;
                frame_delay = Duration::from_millis(number);
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

/// Listens from this call on, not only from the first await: who read the line may signal at once.
#[cfg(unix)]
fn asked_to_end() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).expect("a signal can be listened to");
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
async fn asked_to_end() {
    let _ = tokio::signal::ctrl_c().await;
}

/// Reads on a thread of its own: tokio's runtime would wait at its end for a read of its own.
async fn end_of_input() {
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        let mut input = io::stdin().lock();
        while input.read(&mut buffer).is_ok_and(|read| read > 0) {}
        let _ = ended.send(());
    });
    let _ = end.await;
}
