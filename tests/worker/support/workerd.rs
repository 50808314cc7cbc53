//! A workerd process that runs the built Worker, with its port and its output.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bedrock_edge_tests::root;
use serde_json::Value;

use super::client::TIMEOUT;

/// A shell script that runs a command, and kills it when standard input ends.
///
/// Standard input ends together with the test process, even if that is killed. `Drop` is not
/// enough: Rust does not drop statics, and a killed process drops nothing.
///
/// Only the command keeps standard output open, so the end of the output is the end of the command.
const UNTIL_INPUT_ENDS: &str = r#"
    "$@" </dev/null &
    echo "{\"pid\": $!}"
    exec >/dev/null 2>&1
    cat
    kill -9 $!
    wait
"#;

/// A running Worker. Dropping it kills the process.
pub struct Workerd {
    pub address: SocketAddr,
    /// The address of `ledger_proxy.js`, which forwards messages to the ledgers.
    pub ledger_address: SocketAddr,
    /// The address of `session_proxy.js`, which forwards messages to the objects that keep sessions.
    pub session_address: SocketAddr,
    output: Arc<Output>,
    /// Kept open for `UNTIL_INPUT_ENDS`.
    input: Option<ChildStdin>,
    shell: Child,
    _storage: Arc<TempDir>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    ended: AtomicUsize,
}

/// A temporary directory. Dropping it removes it.
pub struct TempDir(PathBuf);

impl Workerd {
    /// Starts the Worker with these bindings, a JSON object. As `wrangler` does with `[vars]`, it
    /// passes strings as text and all other values as JSON.
    ///
    /// The binding `LEDGER` is the Durable Objects. Their storage is a directory that can outlive
    /// the process.
    ///
    /// Panics if the Worker is not built, or if it does not start listening.
    pub async fn start(storage: Arc<TempDir>, bindings: &Value) -> Self {
        let (workerd, build) = prerequisites().unwrap_or_else(|problem| panic!("{problem}"));
        let directory = TempDir::new();
        for name in ["index.js", "index_bg.wasm"] {
            fs::copy(build.join(name), directory.0.join(name)).unwrap();
        }
        let config = directory.0.join("config.capnp");
        for (name, source) in MODULES {
            fs::write(directory.0.join(name), source).unwrap();
        }
        fs::write(&config, configuration(bindings, &storage)).unwrap();

        let mut command = Command::new("sh");
        // A terminal sends its signals to a process group. The shell must not exit before workerd
        // does.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut shell = command
            .args(["-c", UNTIL_INPUT_ENDS, "sh"])
            .arg(workerd)
            .args(["serve", "--control-fd=1"])
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Output::default());
        output.collect(shell.stdout.take().unwrap());
        output.collect(shell.stderr.take().unwrap());
        let mut started = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            ledger_address: SocketAddr::from(([127, 0, 0, 1], 0)),
            session_address: SocketAddr::from(([127, 0, 0, 1], 0)),
            output,
            input: shell.stdin.take(),
            shell,
            _storage: storage,
        };
        for socket in ["http", "ledgers", "sessions"] {
            let is_it = |line: &Value| line["socket"] == socket;
            let find = |line: &Value| is_it(line).then(|| line["port"].as_u64()).flatten();
            let port = started.wait_for(socket, find).await.try_into().unwrap();
            match socket {
                "http" => started.address.set_port(port),
                "ledgers" => started.ledger_address.set_port(port),
                _ => started.session_address.set_port(port),
            }
        }
        started
    }

    /// Waits for the log line of a request. Panics on a timeout, and if there is more than one
    /// line.
    pub async fn log_line(&self, request_id: &str) -> Value {
        let matches = |line: &Value| line["request_id"] == request_id;
        let what = format!("the log line of {request_id}");
        let line = self.wait_for(&what, |line| matches(line).then(|| line.clone())).await;
        let lines = self.log_lines().iter().filter(|line| matches(line)).count();
        assert_eq!(lines, 1, "log lines of {request_id}:\n{}", self.output());
        line
    }

    /// Waits for the log line with this number, counted from 1. For a request whose ID the client
    /// does not know.
    pub async fn nth_log_line(&self, number: u64) -> Value {
        let what = format!("log line {number}");
        self.wait_for(&what, |_| {
            let index = usize::try_from(number - 1).unwrap();
            self.log_lines().into_iter().nth(index)
        })
        .await
    }

    /// All log lines so far, except those of openings of WebSockets.
    pub fn log_lines(&self) -> Vec<Value> {
        let lines = self.output.lines();
        let parsed = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
        let is_of_request = |line: &Value| line.get("request_id").is_some() && !is_opening(line);
        parsed.filter(is_of_request).collect()
    }

    /// Waits for the log line of the opening of a WebSocket.
    pub async fn opening_line(&self) -> Value {
        let what = "the log line of an opening";
        self.wait_for(what, |line| is_opening(line).then(|| line.clone())).await
    }

    /// The process ID of workerd.
    pub async fn pid(&self) -> u64 {
        self.wait_for("the process ID", |line| line["pid"].as_u64()).await
    }

    /// The output of workerd so far: standard output and standard error.
    pub fn output(&self) -> String {
        self.output.lines().join("\n")
    }

    /// The lines of the output that are not JSON: neither a log line nor workerd's report of its
    /// process and ports. There are some after a crash.
    pub fn unexpected_output(&self) -> Vec<String> {
        let is_json = |line: &String| serde_json::from_str::<Value>(line).is_ok();
        self.output.lines().into_iter().filter(|line| !is_json(line)).collect()
    }

    async fn wait_for<T>(&self, what: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        const STEP: Duration = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        loop {
            // Read before the lines: after the end no more lines arrive.
            let ended = self.output.ended.load(Ordering::SeqCst) == 2;
            let lines = self.output.lines();
            let mut parsed = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
            if let Some(found) = parsed.find_map(|line| find(&line)) {
                return found;
            }
            assert!(!ended, "workerd exited; its output:\n{}", self.output());
            assert!(
                waited < TIMEOUT,
                "timed out waiting for {what}; workerd's output:\n{}",
                self.output()
            );
            tokio::time::sleep(STEP).await;
            waited += STEP;
        }
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        self.input.take();
        for _ in 0..1000 {
            if !matches!(self.shell.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        eprintln!("the shell around workerd (process {}) does not exit", self.shell.id());
    }
}

impl Output {
    fn collect(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        let output = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                output.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
            output.ended.fetch_add(1, Ordering::SeqCst);
        });
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl TempDir {
    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Creates a directory in Cargo's directory for tests.
    pub fn new() -> Self {
        Self::inside(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// Creates a directory inside another one.
    pub fn inside(parent: &Path) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("worker-{}-{number}", std::process::id());
        let path = parent.join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The number of stored Durable Objects. workerd stores each in a file that is named after its
    /// ID.
    pub fn durable_objects(&self) -> usize {
        fn count(path: &Path) -> usize {
            let is_id = |stem: &str| stem.len() == 64;
            let count_of = |path: PathBuf| match path.file_name().and_then(|it| it.to_str()) {
                _ if path.is_dir() => count(&path),
                Some(name) => usize::from(name.strip_suffix(".sqlite").is_some_and(is_id)),
                None => 0,
            };
            fs::read_dir(path).unwrap().map(|entry| count_of(entry.unwrap().path())).sum()
        }
        count(&self.0)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the path of workerd's binary, and the directory of the built Worker.
fn prerequisites() -> Result<(PathBuf, PathBuf), &'static str> {
    let build = root().join("build");
    if !["index.js", "index_bg.wasm"].iter().all(|name| build.join(name).is_file()) {
        return Err("the Worker is not built: run `npm test`");
    }
    // The binary is in the package for this platform, such as workerd-linux-64. The command in .bin
    // is a Node.js script, which would be one more process to kill.
    let workerd = fs::read_dir(root().join("node_modules/@cloudflare"))
        .into_iter()
        .flatten()
        .filter_map(|package| Some(package.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("workerd-"))
        })
        .map(|path| path.join("bin/workerd"))
        .find(|path| path.is_file())
        .ok_or("workerd is not installed: run `npm test`")?;
    Ok((workerd, build))
}

/// The modules in the configuration besides the Worker.
const MODULES: [(&str, &str); 3] = [
    ("rate_limiter.js", include_str!("rate_limiter.js")),
    ("ledger_proxy.js", include_str!("ledger_proxy.js")),
    ("session_proxy.js", include_str!("session_proxy.js")),
];

/// Writes workerd's configuration:
/// <https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp>.
fn configuration(bindings: &Value, TempDir(storage): &TempDir) -> String {
    let bindings: Vec<String> = bindings
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| match value {
            _ if name == "LEDGER" => {
                r#"(name = "LEDGER", durableObjectNamespace = "CallerLedger")"#.to_owned()
            }
            _ if name == "SESSIONS" => {
                r#"(name = "SESSIONS", durableObjectNamespace = "CallerSessions")"#.to_owned()
            }
            // The number is the limit of requests. With 0 the limiter never responds.
            Value::Number(limit) if name == "RATE_LIMITER" => format!(
                r#"(name = "RATE_LIMITER", wrapped = (moduleName = "tests:rate-limiter",
                    innerBindings = [(name = "limit", json = "{limit}")]))"#
            ),
            Value::String(text) => format!("(name = {}, text = {})", quoted(name), quoted(text)),
            json => format!("(name = {}, json = {})", quoted(name), quoted(&json.to_string())),
        })
        .collect();
    let bindings = bindings.join(", ");
    let (date, flags) = compatibility();
    let (date, flags) = (quoted(&date), flags.iter().map(|flag| quoted(flag)).collect::<Vec<_>>());
    let flags = flags.join(", ");
    let storage = quoted(&storage.to_string_lossy());
    // The Worker can reach only this machine, so a test that calls AWS by mistake fails.
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      modules = [
        (name = "index.js", esModule = embed "index.js"),
        (name = "./index_bg.wasm", wasm = embed "index_bg.wasm"),
      ],
      compatibilityDate = {date},
      compatibilityFlags = [{flags}],
      bindings = [{bindings}],
      durableObjectNamespaces = [
        (className = "CallerLedger", uniqueKey = "ledger", enableSql = true),
        (className = "CallerSessions", uniqueKey = "sessions", enableSql = true),
      ],
      durableObjectStorage = (localDisk = "disk"),
      globalOutbound = "net",
    )),
    (name = "ledgers", worker = (
      modules = [(name = "ledger_proxy.js", esModule = embed "ledger_proxy.js")],
      compatibilityDate = {date},
      bindings = [
        (name = "LEDGER",
         durableObjectNamespace = (className = "CallerLedger", serviceName = "worker")),
      ],
    )),
    (name = "sessions", worker = (
      modules = [(name = "session_proxy.js", esModule = embed "session_proxy.js")],
      compatibilityDate = {date},
      bindings = [
        (name = "SESSIONS",
         durableObjectNamespace = (className = "CallerSessions", serviceName = "worker")),
      ],
    )),
    (name = "disk", disk = (path = {storage}, writable = true)),
    (name = "net", network = (allow = ["local"])),
  ],
  extensions = [(modules = [
    (name = "tests:rate-limiter", internal = true, esModule = embed "rate_limiter.js"),
  ])],
  sockets = [
    (name = "http", address = "127.0.0.1:0", http = (), service = "worker"),
    (name = "ledgers", address = "127.0.0.1:0", http = (), service = "ledgers"),
    (name = "sessions", address = "127.0.0.1:0", http = (), service = "sessions"),
  ],
);
"#
    )
}

/// The compatibility date and flags of the deployed Worker. workerd's behaviour depends on them.
fn compatibility() -> (String, Vec<String>) {
    let toml = fs::read_to_string(root().join("wrangler.toml")).unwrap();
    let strings = |key: &str| {
        let values = toml.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then_some(value)
        });
        // Every second part is inside quotation marks.
        let parts = values.unwrap_or_default().split('"').skip(1).step_by(2);
        parts.map(str::to_owned).collect::<Vec<_>>()
    };
    let date = strings("compatibility_date").pop();
    (date.expect("wrangler.toml has a compatibility_date"), strings("compatibility_flags"))
}

/// Quotes a text for Cap'n Proto, which escapes as C does.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    format!("\"{escaped}\"")
}

fn is_opening(line: &Value) -> bool {
    line["status"] == 101
}

/// The resident memory of a process in bytes. `None` on systems without Linux's `/proc`.
pub fn resident_memory(pid: u64) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}
