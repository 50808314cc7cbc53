//! `npm run dev` as a user has it: one command, a line to paste, Ctrl-C.
//!
//! It runs on free ports with variables of its own, so it disturbs neither a running `npm run dev`
//! nor the developer's `.dev.vars`.
//!
//! Out of scope: what the Worker answers, see `worker.rs`.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use bedrock_edge_tests::processes::{descendants, free_port, kill, left_of};
use bedrock_edge_tests::root;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// A cold start compiles the Worker.
const START: Duration = Duration::from_secs(600);
const ANSWER: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(20);

/// Who gets which signal.
enum Ended {
    /// What a terminal does on Ctrl-C.
    WholeGroup(&'static str),
    /// What a process manager does.
    NpmAlone(&'static str),
    /// What nobody can catch.
    ScriptAlone(&'static str),
}

/// Two at once would build at once, into one directory.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn npm_run_dev_answers_the_line_it_prints_and_leaves_nothing_behind() {
    let cases = [
        ("Ctrl-C", Ended::WholeGroup("INT")),
        ("SIGTERM to npm", Ended::NpmAlone("TERM")),
        ("SIGHUP to npm", Ended::NpmAlone("HUP")),
        ("SIGKILL to the script", Ended::ScriptAlone("KILL")),
    ];
    let _alone = ALONE.lock().await;
    for (case, ended) in cases {
        println!("{case}");
        let mut dev = Dev::start(&[]);

        let line = dev.printed_curl_line().await;
        assert!(line.contains(&format!("http://127.0.0.1:{}/", dev.port)), "{case}: {line}");
        let answer = dev.run(&line).await;
        let answer: BTreeMap<String, Value> = serde_json::from_slice(&answer.stdout)
            .unwrap_or_else(|error| dev.fail(&format!("{error}: {answer:?}")));
        assert_eq!(Vec::from_iter(answer.keys()), ["generated_text", "input_prompt"], "{case}");
        assert_eq!(answer["input_prompt"], "こんにちは", "{case}");
        assert_ne!(answer["generated_text"], "", "{case}");

        dev.end(&ended).await;
    }
}

/// What only wrangler has: the bindings of `wrangler.toml`, Cloudflare's rate limiter among them.
#[tokio::test]
async fn limits_work_under_npm_run_dev() {
    // As in wrangler.toml.
    const LIMIT: usize = 300;
    let _alone = ALONE.lock().await;
    let mut dev = Dev::start(&["MONTHLY_TOKENS=100000000"]);
    let line = dev.printed_curl_line().await;
    dev.run(&line).await;

    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build().expect("client");
    let url = format!("http://127.0.0.1:{}", dev.port);
    let usage = client.get(format!("{url}/usage")).send().await.expect("usage");
    let usage: Value = usage.json().await.expect("usage");
    assert_eq!(usage["this_month"]["limit"], 100_000_000, "{usage}");
    assert!(usage["this_month"]["used"].as_u64() > Some(0), "{usage}");

    // A period can end in between.
    let mut refused = None;
    for _ in 0..2 * LIMIT {
        let answer = client.post(&url).body("{").send().await.expect("an answer");
        if answer.status() != 400 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap_or_else(|| dev.fail("nobody counts requests"));
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["x-error-code"], "rate_limited");
    assert_eq!(refused.headers()["retry-after"], "60");
    dev.end(&Ended::WholeGroup("INT")).await;
}

/// A running `npm run dev`. Dropped, it is killed with all its descendants.
struct Dev {
    npm: Child,
    pid: u32,
    port: u16,
    stand_in_port: u16,
    log: PathBuf,
    /// What npm started, by process id.
    started: BTreeMap<u32, String>,
}

impl Dev {
    /// With these variables beside those of the example.
    fn start(variables: &[&str]) -> Self {
        let port = free_port();
        let stand_in_port = free_port();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dev-{port}"));
        fs::create_dir_all(&directory).expect("directory");
        let vars = directory.join("dev.vars");
        let example =
            fs::read_to_string(root().join(".dev.vars.example")).expect(".dev.vars.example");
        let example = example.replace(":8788", &format!(":{stand_in_port}"));
        fs::write(&vars, [&[&*example], variables].concat().join("\n")).expect("vars");
        let log = directory.join("dev.log");
        let output = File::create(&log).expect("log");
        let npm = Command::new("npm")
            .current_dir(root())
            .args(["run", "dev", "--", "--port", &port.to_string(), "--env-file"])
            .arg(&vars)
            // Not where the developer's own counts are.
            .arg("--persist-to")
            .arg(&directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("log"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .expect("npm starts");
        let pid = npm.id().expect("npm runs");
        Self { npm, pid, port, stand_in_port, log, started: BTreeMap::new() }
    }

    async fn printed_curl_line(&mut self) -> String {
        let start = Instant::now();
        loop {
            if let Some(line) = self.output().lines().find(|line| line.starts_with("curl ")) {
                return line.to_owned();
            }
            if let Some(status) = self.npm.try_wait().expect("npm's status") {
                self.fail(&format!("npm ended early: {status}"));
            }
            if start.elapsed() > START {
                self.fail("no curl line was printed");
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn run(&self, line: &str) -> Output {
        let shell = Command::new("sh").args(["-c", line]).kill_on_drop(true).output();
        match timeout(ANSWER, shell).await {
            Ok(output) => output.expect("sh starts"),
            Err(_) => self.fail(&format!("no end of: {line}")),
        }
    }

    async fn end(&mut self, ended: &Ended) {
        // Before, because an orphan no longer shows whose it was.
        self.started = descendants(self.pid);
        let [script, ..] = ["scripts/dev.mjs", "bedrock-stub", "wrangler", "workerd"].map(|part| {
            match self.started.iter().find(|(_, name)| name.contains(part)) {
                Some((pid, _)) => pid,
                None => self.fail(&format!("{part} is not among {:?}", self.started)),
            }
        });
        let (signal, target) = match ended {
            Ended::WholeGroup(signal) => (signal, format!("-{}", self.pid)),
            Ended::NpmAlone(signal) => (signal, self.pid.to_string()),
            Ended::ScriptAlone(signal) => (signal, script.to_string()),
        };
        assert!(kill(signal, &target), "kill -{signal} {target}");

        let start = Instant::now();
        if timeout(END, self.npm.wait()).await.is_err() {
            self.fail("npm did not end");
        }
        while !self.left().is_empty() {
            if start.elapsed() > END {
                self.fail(&format!("left behind: {:?}", self.left()));
            }
            sleep(Duration::from_millis(100)).await;
        }
        for port in [self.port, self.stand_in_port] {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                self.fail(&format!("port {port} still answers"));
            }
        }
    }

    /// What still runs of what npm started.
    fn left(&self) -> BTreeMap<u32, &str> {
        left_of(&self.started)
    }

    fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn fail(&self, reason: &str) -> ! {
        panic!("{reason}\n--- npm run dev printed ---\n{}", self.output());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if self.npm.try_wait().is_ok_and(|status| status.is_none()) {
            self.started = descendants(self.pid);
            kill("KILL", &self.pid.to_string());
        }
        for pid in self.left().keys() {
            kill("KILL", &pid.to_string());
        }
        if let Some(directory) = self.log.parent() {
            let _ = fs::remove_dir_all(directory);
        }
    }
}
