//! `npm run dev` as a user runs it: the command, the line to paste, and Ctrl-C.
//!
//! Each test uses free ports and its own variables, so it affects neither a running `npm run dev`
//! nor the developer's `.dev.vars`.
//!
//! Out of scope: the responses of the Worker (tests/worker).

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use bedrock_edge_tests::processes::{descendants, free_port, kill, still_running};
use bedrock_edge_tests::root;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// The time limit of a start. A cold start compiles the Worker.
const START_TIMEOUT: Duration = Duration::from_secs(600);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A signal that ends `npm run dev`, and the processes that get it.
enum Termination {
    /// As from a terminal on Ctrl-C.
    WholeGroup(&'static str),
    /// As from a process manager.
    NpmAlone(&'static str),
    /// A signal that cannot be caught.
    ScriptAlone(&'static str),
}

/// Two instances would build into the same directory at the same time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn the_curl_command_that_npm_run_dev_prints_works_and_no_process_survives_it() {
    let cases = [
        ("Ctrl-C", Termination::WholeGroup("INT")),
        ("SIGTERM to npm", Termination::NpmAlone("TERM")),
        ("SIGHUP to npm", Termination::NpmAlone("HUP")),
        ("SIGKILL to the script", Termination::ScriptAlone("KILL")),
    ];
    let _guard = ONE_AT_A_TIME.lock().await;
    for (case, termination) in cases {
        println!("{case}");
        let mut dev = Dev::start(&[]);

        let line = dev.printed_curl_line().await;
        assert!(line.contains(&format!("http://127.0.0.1:{}/", dev.port)), "{case}: {line}");
        let response = dev.run(&line).await;
        let response: BTreeMap<String, Value> = serde_json::from_slice(&response.stdout)
            .unwrap_or_else(|error| dev.fail(&format!("{error}: {response:?}")));
        assert_eq!(Vec::from_iter(response.keys()), ["generated_text", "input_prompt"], "{case}");
        assert_eq!(response["input_prompt"], "こんにちは", "{case}");
        assert_ne!(response["generated_text"], "", "{case}");
        if dev.output().contains("WARNING") {
            dev.fail(&format!("{case}: expected no warning of wrangler"));
        }

        dev.end(&termination).await;
    }
}

/// Needs wrangler, because only wrangler provides all bindings of `wrangler.toml`, among them
/// Cloudflare's rate limiter.
#[tokio::test]
async fn budgets_sessions_and_the_rate_limit_work_under_npm_run_dev() {
    // The limit in wrangler.toml.
    const LIMIT: usize = 300;
    let _guard = ONE_AT_A_TIME.lock().await;
    let mut dev = Dev::start(&["MONTHLY_TOKENS=100000000"]);
    let line = dev.printed_curl_line().await;
    dev.run(&line).await;

    let client =
        reqwest::Client::builder().no_proxy().timeout(RESPONSE_TIMEOUT).build().expect("client");
    let url = format!("http://127.0.0.1:{}", dev.port);
    let usage = client.get(format!("{url}/usage")).send().await.expect("usage");
    let usage: Value = usage.json().await.expect("usage");
    assert_eq!(usage["this_month"]["limit"], 100_000_000, "{usage}");
    assert!(usage["this_month"]["used"].as_u64() > Some(0), "{usage}");

    // The two commands of README.md.
    let first = client.post(&url).body(r#"{"session":true,"prompt":"Name a poet."}"#);
    let first = first.send().await.expect("a response");
    let id = first.headers()["x-session-id"].to_str().expect("an id").to_owned();
    let second = format!(r#"{{"session":"{id}","prompt":"Another one."}}"#);
    let second = client.post(&url).body(second).send().await.expect("a response");
    let reply = second.text().await.expect("a body");
    assert!(reply.contains("Bedrock stand-in"), "{reply}");
    let session = client.get(format!("{url}/sessions/{id}")).send().await.expect("a session");
    let session: Value = session.json().await.expect("a session");
    assert_eq!(session["messages"].as_array().map(Vec::len), Some(4), "{session}");

    // Twice the limit, because a period can end in between.
    let mut rejected = None;
    for _ in 0..2 * LIMIT {
        let response = client.post(&url).body("{").send().await.expect("a response");
        if response.status() != 400 {
            rejected = Some(response);
            break;
        }
    }
    let rejected = rejected.unwrap_or_else(|| dev.fail("no request exceeded the rate limit"));
    assert_eq!(rejected.status(), 429);
    assert_eq!(rejected.headers()["x-error-code"], "rate_limited");
    assert_eq!(rejected.headers()["retry-after"], "60");
    dev.end(&Termination::WholeGroup("INT")).await;
}

/// A running `npm run dev`. Dropping it kills it with all its descendants.
struct Dev {
    npm: Child,
    pid: u32,
    port: u16,
    stub_port: u16,
    log: PathBuf,
    /// The descendants of npm, by process ID.
    started: BTreeMap<u32, String>,
}

impl Dev {
    /// Starts `npm run dev` with these variables in addition to those of `.dev.vars.example`.
    fn start(variables: &[&str]) -> Self {
        let port = free_port();
        let stub_port = free_port();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dev-{port}"));
        fs::create_dir_all(&directory).expect("directory");
        let vars = directory.join("dev.vars");
        let example =
            fs::read_to_string(root().join(".dev.vars.example")).expect(".dev.vars.example");
        let example = example.replace(":8788", &format!(":{stub_port}"));
        fs::write(&vars, [&[&*example], variables].concat().join("\n")).expect("vars");
        let log = directory.join("dev.log");
        let output = File::create(&log).expect("log");
        let npm = Command::new("npm")
            .current_dir(root())
            .args(["run", "dev", "--", "--port", &port.to_string(), "--env-file"])
            .arg(&vars)
            // Keeps the usage apart from the developer's own.
            .arg("--persist-to")
            .arg(&directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("log"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .expect("npm starts");
        let pid = npm.id().expect("npm runs");
        Self { npm, pid, port, stub_port, log, started: BTreeMap::new() }
    }

    async fn printed_curl_line(&mut self) -> String {
        let start = Instant::now();
        loop {
            if let Some(line) = self.output().lines().find(|line| line.starts_with("curl ")) {
                return line.to_owned();
            }
            if let Some(status) = self.npm.try_wait().expect("npm's status") {
                self.fail(&format!("npm exited early: {status}"));
            }
            if start.elapsed() > START_TIMEOUT {
                self.fail("no curl line was printed");
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn run(&self, line: &str) -> Output {
        let shell = Command::new("sh").args(["-c", line]).kill_on_drop(true).output();
        match timeout(RESPONSE_TIMEOUT, shell).await {
            Ok(output) => output.expect("sh starts"),
            Err(_) => self.fail(&format!("the command did not exit in time: {line}")),
        }
    }

    async fn end(&mut self, termination: &Termination) {
        // Before the signal, because an orphan no longer shows whose descendant it is.
        self.started = descendants(self.pid);
        let [script, ..] = ["scripts/dev.mjs", "bedrock-stub", "wrangler", "workerd"].map(|part| {
            match self.started.iter().find(|(_, name)| name.contains(part)) {
                Some((pid, _)) => pid,
                None => self.fail(&format!("{part} is not among {:?}", self.started)),
            }
        });
        let (signal, target) = match termination {
            Termination::WholeGroup(signal) => (signal, format!("-{}", self.pid)),
            Termination::NpmAlone(signal) => (signal, self.pid.to_string()),
            Termination::ScriptAlone(signal) => (signal, script.to_string()),
        };
        assert!(kill(signal, &target), "kill -{signal} {target}");

        let start = Instant::now();
        if timeout(STOP_TIMEOUT, self.npm.wait()).await.is_err() {
            self.fail("npm did not exit in time");
        }
        while !self.still_running().is_empty() {
            if start.elapsed() > STOP_TIMEOUT {
                self.fail(&format!("left behind: {:?}", self.still_running()));
            }
            sleep(Duration::from_millis(100)).await;
        }
        for port in [self.port, self.stub_port] {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                self.fail(&format!("port {port} still accepts connections"));
            }
        }
    }

    /// The descendants of npm that still run.
    fn still_running(&self) -> BTreeMap<u32, &str> {
        still_running(&self.started)
    }

    fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn fail(&self, reason: &str) -> ! {
        panic!("{reason}\n--- output of npm run dev ---\n{}", self.output());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if self.npm.try_wait().is_ok_and(|status| status.is_none()) {
            self.started = descendants(self.pid);
            kill("KILL", &self.pid.to_string());
        }
        for pid in self.still_running().keys() {
            kill("KILL", &pid.to_string());
        }
        if let Some(directory) = self.log.parent() {
            let _ = fs::remove_dir_all(directory);
        }
    }
}
