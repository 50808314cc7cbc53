//! Runs an example in its server, with the stand-in for Bedrock behind it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use bedrock_edge_tests::processes::{descendants, free_port, kill, still_running};
use bedrock_edge_tests::root;
use bedrock_stub::{Settings, Stub};
use reqwest::{Client, Method, RequestBuilder};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

pub const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The time limit of a start. A cold start compiles the example.
const START_TIMEOUT: Duration = Duration::from_secs(300);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// The time limit of everything else.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A running example, and the stand-in for Bedrock that it calls. Dropping it kills its processes.
pub struct ExampleServer {
    name: &'static str,
    pub port: u16,
    pub stub: Stub,
    child: Child,
    log: PathBuf,
    ended: bool,
}

impl ExampleServer {
    /// Runs the command that `command` builds from a port to listen on and variables. Waits until
    /// the server responds to `GET path`, with any status.
    pub async fn start(
        name: &'static str,
        path: &str,
        command: impl FnOnce(u16, &[(&str, String)]) -> Command,
    ) -> Self {
        Self::start_with(name, path, async |port, variables| command(port, variables)).await
    }

    /// Like [`start`](Self::start), with a command that takes time to prepare.
    pub async fn start_with(
        name: &'static str,
        path: &str,
        command: impl AsyncFnOnce(u16, &[(&str, String)]) -> Command,
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
            .await
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut server = Self { name, port, stub, child, log, ended: false };
        let start = Instant::now();
        loop {
            let probe = server.request(Method::GET, path).timeout(START_TIMEOUT);
            // Read the whole body: the function in cargo-lambda exits if its client disconnects
            // early.
            if let Ok(response) = probe.send().await
                && response.bytes().await.is_ok()
            {
                return server;
            }
            if let Some(status) = server.child.try_wait().unwrap() {
                server.fail(&format!("exited early: {status}"));
            }
            if start.elapsed() > START_TIMEOUT {
                server.fail("did not respond in time");
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap();
        client.request(method, self.url(path))
    }

    /// Runs a client and returns its standard output. Panics if it fails.
    pub async fn stdout_of(&self, command: &mut Command) -> String {
        let output = self.output(command).await;
        if !output.status.success() {
            self.fail(&format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a client to its end. Panics on a timeout.
    pub async fn output(&self, command: &mut Command) -> Output {
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        match timeout(TIMEOUT, output).await {
            Ok(output) => output.unwrap_or_else(|error| panic!("{command:?}: {error}")),
            Err(_) => self.fail(&format!("did not exit in time: {command:?}")),
        }
    }

    /// Stops the server as Ctrl-C does. Panics if a process survives.
    pub async fn stop(mut self) {
        let pid = self.child.id().unwrap();
        let started = descendants(pid);
        assert!(kill("INT", &format!("-{pid}")), "{}: kill", self.name);
        let start = Instant::now();
        if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            self.fail("did not exit in time");
        }
        while !still_running(&started).is_empty() {
            if start.elapsed() > STOP_TIMEOUT {
                self.fail(&format!("left behind: {:?}", still_running(&started)));
            }
            sleep(Duration::from_millis(100)).await;
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
            self.fail("the port still accepts connections");
        }
        self.ended = true;
    }

    /// The output of the server so far.
    pub fn logs(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn fail(&self, reason: &str) -> ! {
        panic!("{}: {reason}\n--- output ---\n{}", self.name, self.logs());
    }
}

impl Drop for ExampleServer {
    fn drop(&mut self) {
        if let (false, Some(pid)) = (self.ended, self.child.id()) {
            let started = descendants(pid);
            kill("KILL", &format!("-{pid}"));
            for pid in still_running(&started).keys() {
                kill("KILL", &pid.to_string());
            }
        }
    }
}

/// The target directory of an example. The project's own does not work: cargo would write the
/// crate's library to the same file for every package that depends on it.
pub fn target(example: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("examples").join(example)
}

/// Builds the command for `wrangler dev` in a folder, with the configuration files of these
/// Workers, and with these variables.
pub fn wrangler(
    name: &str,
    folder: &str,
    configurations: &[&str],
    port: u16,
    variables: &[(&str, String)],
) -> Command {
    let folder = root().join(folder);
    // A state directory of its own, empty at each start.
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
