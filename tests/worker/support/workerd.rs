//! workerd with the built Worker in it: a process, a port, and all that it prints.
//!
//! Out of scope: building the Worker.

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

/// Runs a command until standard input ends, which it does when the process of the tests does,
/// however that ends. A value in a static is never dropped, and a killed process drops nothing.
///
/// The command alone keeps standard output open, so that its end is the command's end.
const UNTIL_INPUT_ENDS: &str = r#"
    "$@" </dev/null &
    echo "{\"pid\": $!}"
    exec >/dev/null 2>&1
    cat
    kill -9 $!
    wait
"#;

/// How long anything may take that normally takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running Worker. Dropping it ends it.
pub struct Workerd {
    pub address: SocketAddr,
    /// Of the door to the ledgers, in `ledger_proxy.js`.
    pub ledger_address: SocketAddr,
    output: Arc<Output>,
    /// Held open for `UNTIL_INPUT_ENDS`.
    input: Option<ChildStdin>,
    shell: Child,
    _storage: Arc<TempDir>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    ended: AtomicUsize,
}

/// Removed on drop.
pub struct TempDir(PathBuf);

impl Workerd {
    /// Starts the Worker with these bindings, a JSON object: a string becomes a text, anything
    /// else JSON, as `wrangler` does it with `[vars]`.
    ///
    /// `LEDGER` is the Durable Objects, with their storage in a directory, which can outlive the
    /// process.
    ///
    /// Panics if there is nothing to start, or if it does not listen.
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
        // A signal from the keyboard goes to a process group: it must not end the shell alone.
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
            output,
            input: shell.stdin.take(),
            shell,
            _storage: storage,
        };
        for socket in ["http", "door"] {
            let is_it = |line: &Value| line["socket"] == socket;
            let find = |line: &Value| is_it(line).then(|| line["port"].as_u64()).flatten();
            let port = started.wait_for(socket, find).await.try_into().unwrap();
            match socket {
                "http" => started.address.set_port(port),
                _ => started.ledger_address.set_port(port),
            }
        }
        started
    }

    /// The log line of a request. Panics if there is none after a while, or another one.
    pub async fn log_line(&self, request_id: &str) -> Value {
        let is_its = |line: &Value| line["request_id"] == request_id;
        let what = format!("the log line of {request_id}");
        let line = self.wait_for(&what, |line| is_its(line).then(|| line.clone())).await;
        let lines = self.log_lines().iter().filter(|line| is_its(line)).count();
        assert_eq!(lines, 1, "log lines of {request_id}:\n{}", self.output());
        line
    }

    /// The log line with this number, counted from 1: of a request whose id nobody was told.
    pub async fn nth_log_line(&self, number: u64) -> Value {
        let what = format!("log line {number}");
        self.wait_for(&what, |_| {
            let index = usize::try_from(number - 1).unwrap();
            self.log_lines().into_iter().nth(index)
        })
        .await
    }

    /// Every log line so far.
    pub fn log_lines(&self) -> Vec<Value> {
        let lines = self.output.lines();
        let parsed = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
        parsed.filter(|line: &Value| line.get("request_id").is_some()).collect()
    }

    /// The number of workerd's process.
    pub async fn pid(&self) -> u64 {
        self.wait_for("the process", |line| line["pid"].as_u64()).await
    }

    /// All that workerd printed so far, on both of its streams.
    pub fn output(&self) -> String {
        self.output.lines().join("\n")
    }

    /// What is neither a log line of the Worker nor the news that it runs and listens: a crash.
    pub fn unexpected_output(&self) -> Vec<String> {
        let is_json = |line: &String| serde_json::from_str::<Value>(line).is_ok();
        self.output.lines().into_iter().filter(|line| !is_json(line)).collect()
    }

    async fn wait_for<T>(&self, what: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        const STEP: Duration = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        loop {
            // In this order: what ended has no lines to come.
            let ended = self.output.ended.load(Ordering::SeqCst) == 2;
            let lines = self.output.lines();
            let mut parsed = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
            if let Some(found) = parsed.find_map(|line| find(&line)) {
                return found;
            }
            assert!(!ended, "workerd ended; it printed:\n{}", self.output());
            assert!(waited < TIMEOUT, "no sign of {what}; workerd printed:\n{}", self.output());
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
        eprintln!("the shell around workerd, process {}, does not end", self.shell.id());
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
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("worker-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// How many Durable Objects are in it: each has a file, whose name is its id.
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

/// workerd's binary and the directory of the build.
fn prerequisites() -> Result<(PathBuf, PathBuf), &'static str> {
    let build = root().join("build");
    if !["index.js", "index_bg.wasm"].iter().all(|name| build.join(name).is_file()) {
        return Err("the Worker is not built: run `npm test`, which does it");
    }
    // Of npm's package for this platform, such as workerd-linux-64. The command in .bin is a script
    // for Node.js, which would be one process more to end.
    let workerd = fs::read_dir(root().join("node_modules/@cloudflare"))
        .into_iter()
        .flatten()
        .filter_map(|package| Some(package.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("workerd-"))
        })
        .map(|path| path.join("bin/workerd"))
        .find(|path| path.is_file())
        .ok_or("workerd is not installed: run `npm test`, which does it")?;
    Ok((workerd, build))
}

/// What is in the configuration beside the Worker.
const MODULES: [(&str, &str); 2] = [
    ("rate_limiter.js", include_str!("rate_limiter.js")),
    ("ledger_proxy.js", include_str!("ledger_proxy.js")),
];

/// <https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp>
fn configuration(bindings: &Value, TempDir(storage): &TempDir) -> String {
    let bindings: Vec<String> = bindings
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| match value {
            _ if name == "LEDGER" => {
                r#"(name = "LEDGER", durableObjectNamespace = "CallerLedger")"#.to_owned()
            }
            // How many requests it lets through. With 0 it never answers.
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
    // Only this machine can be reached: a test that would call AWS fails.
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
      ],
      durableObjectStorage = (localDisk = "disk"),
      globalOutbound = "net",
    )),
    (name = "door", worker = (
      modules = [(name = "ledger_proxy.js", esModule = embed "ledger_proxy.js")],
      compatibilityDate = {date},
      bindings = [
        (name = "LEDGER",
         durableObjectNamespace = (className = "CallerLedger", serviceName = "worker")),
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
    (name = "door", address = "127.0.0.1:0", http = (), service = "door"),
  ],
);
"#
    )
}

/// The date and the flags of the deployed Worker, since they decide how workerd behaves.
fn compatibility() -> (String, Vec<String>) {
    let toml = fs::read_to_string(root().join("wrangler.toml")).unwrap();
    let strings = |key: &str| {
        let values = toml.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then_some(value)
        });
        // Every other part is within quotation marks.
        let parts = values.unwrap_or_default().split('"').skip(1).step_by(2);
        parts.map(str::to_owned).collect::<Vec<_>>()
    };
    let date = strings("compatibility_date").pop();
    (date.expect("wrangler.toml has a compatibility_date"), strings("compatibility_flags"))
}

/// A text of Cap'n Proto's: as in C, between quotes.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    format!("\"{escaped}\"")
}

/// The memory of a process in bytes, where the system tells it as Linux does.
pub fn resident_memory(pid: u64) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}
