//! A server that an example runs in, and the Bedrock that it calls.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use bedrock_edge_tests::processes::{descendants, free_port, kill, left_of};
use bedrock_edge_tests::root;
use bedrock_stub::{Settings, Stub};
use reqwest::{Client, Method, RequestBuilder};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

pub const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A cold start compiles the example.
const START: Duration = Duration::from_secs(300);
const END: Duration = Duration::from_secs(20);
/// How long anything else may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Running {
    name: &'static str,
    pub port: u16,
    pub stub: Stub,
    child: Child,
    log: PathBuf,
    ended: bool,
}

impl Running {
    /// Runs what `command` makes of the port to listen on and of variables, and waits until it
    /// answers `GET path`, with whatever status.
    pub async fn start(
        name: &'static str,
        path: &str,
        command: impl FnOnce(u16, &[(&str, String)]) -> Command,
    ) -> Self {
        let stub = Stub::start(Settings::default()).await.unwrap();
        let port = free_port();
        let variables = [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
            ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", stub.url()),
        ];
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let child = command(port, &variables)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut running = Self { name, port, stub, child, log, ended: false };
        let start = Instant::now();
        loop {
            let probe = running.request(Method::GET, path).timeout(START);
            // To the last byte: cargo-lambda's function ends with a client that goes before.
            if let Ok(answer) = probe.send().await
                && answer.bytes().await.is_ok()
            {
                return running;
            }
            if let Some(status) = running.child.try_wait().unwrap() {
                running.fail(&format!("ended early: {status}"));
            }
            if start.elapsed() > START {
                running.fail("does not answer");
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        client.request(method, self.url(path))
    }

    /// What a client's command prints. Panics if it fails.
    pub async fn told(&self, command: &mut Command) -> String {
        let output = self.output(command).await;
        if !output.status.success() {
            self.fail(&format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        String::from_utf8(output.stdout).unwrap()
    }

    pub async fn output(&self, command: &mut Command) -> Output {
        let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
        match timeout(PATIENCE, running).await {
            Ok(output) => output.unwrap_or_else(|error| panic!("{command:?}: {error}")),
            Err(_) => self.fail(&format!("no end of {command:?}")),
        }
    }

    /// Ends it as Ctrl-C does. Panics if anything is left of it.
    pub async fn stop(mut self) {
        let pid = self.child.id().unwrap();
        let started = descendants(pid);
        assert!(kill("INT", &format!("-{pid}")), "{}: kill", self.name);
        let start = Instant::now();
        if timeout(END, self.child.wait()).await.is_err() {
            self.fail("does not end");
        }
        while !left_of(&started).is_empty() {
            if start.elapsed() > END {
                self.fail(&format!("left behind: {:?}", left_of(&started)));
            }
            sleep(Duration::from_millis(100)).await;
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
            self.fail("still answers");
        }
        self.ended = true;
    }

    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn fail(&self, reason: &str) -> ! {
        panic!("{}: {reason}\n--- it printed ---\n{}", self.name, self.printed());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (false, Some(pid)) = (self.ended, self.child.id()) {
            let started = descendants(pid);
            kill("KILL", &format!("-{pid}"));
            for pid in left_of(&started).keys() {
                kill("KILL", &pid.to_string());
            }
        }
    }
}

/// Where an example is built. Not with the project: cargo gives the crate's library one name there,
/// whoever it is built for.
pub fn target(example: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("examples").join(example)
}

/// `wrangler dev` in a folder, with these Workers and with variables beside those that every
/// example has.
pub fn wrangler(
    name: &str,
    folder: &str,
    configurations: &[&str],
    port: u16,
    variables: &[(&str, String)],
) -> Command {
    let folder = root().join(folder);
    // State of its own, new at each start.
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-state"));
    let _ = fs::remove_dir_all(&state);
    let vars: String =
        variables.iter().map(|(name, value)| format!("{name}=\"{value}\"\n")).collect();
    fs::create_dir_all(&state).unwrap();
    let file = state.join("dev.vars");
    fs::write(&file, vars).unwrap();

    let mut command = Command::new(root().join("scripts/with-tools"));
    command.current_dir(folder).args(["wrangler", "dev"]);
    for configuration in configurations {
        command.args(["-c", configuration]);
    }
    command
        .args(["--ip", "127.0.0.1", "--inspector-port", "0", "--port", &port.to_string()])
        .arg("--env-file")
        .arg(file)
        .arg("--persist-to")
        .arg(state)
        .env("WRANGLER_SEND_METRICS", "false")
        .env("WRANGLER_HIDE_BANNER", "true")
        .env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
    command
}
