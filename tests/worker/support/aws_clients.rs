//! AWS's own clients, and others that speak to Bedrock's API: each runs a script of tests/clients that
//! prints what an application sees, by case.

use std::path::PathBuf;
use std::process::Stdio;

use bedrock_edge_tests::root;
use bedrock_stub::{Settings, Stub};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::fixture::{ACCESS_KEY_ID, Fixture, SECRET_ACCESS_KEY, runtime};
use super::messages::{TOKEN, installed, messages_fixture, stdout_of};
use super::signer::{CLIENT_KEY_ID, CLIENT_SECRET};
use super::workerd::TempDir;

/// A script of tests/clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Boto3,
    AwsSdkJs,
    AnthropicPython,
    AnthropicJs,
    LangChain,
}

/// The endpoint that a client calls, and its credentials.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub url: String,
    /// An access key, by its id and its secret.
    pub key: Option<(String, String)>,
    /// The bearer token.
    pub token: String,
    /// The certificates that the client trusts, as a PEM file.
    pub certificates: Option<PathBuf>,
}

/// The models that clients call.
pub const ALLOWED_MODELS: &str = "*, anthropic.claude-sonnet-4-6, amazon.nova-2-lite-v1:0, amazon.titan-embed-text-v2:0, acme.model-v1:0";

/// The Bedrock API key of [`stand_in`].
const API_KEY: &str = "bedrock-api-key-of-the-tests";

/// Starts a stand-in that clients call directly, as they would call Bedrock.
pub async fn stand_in() -> (Stub, Endpoint) {
    let settings = Settings { api_keys: vec![API_KEY.to_owned()], ..Settings::default() };
    let stub = runtime().spawn(Stub::start(settings)).await.unwrap().unwrap();
    let endpoint = Endpoint {
        url: stub.url(),
        key: Some((ACCESS_KEY_ID.to_owned(), SECRET_ACCESS_KEY.to_owned())),
        token: API_KEY.to_owned(),
        certificates: None,
    };
    (stub, endpoint)
}

/// Starts a Worker in front of a stand-in, with a key and a token of its own, which AWS does not know. The
/// bindings are in addition.
pub async fn worker(bindings: &Value) -> (Fixture, Endpoint) {
    let mut all = json!({
        "CLIENT_KEYS": format!("{CLIENT_KEY_ID}:{CLIENT_SECRET}"),
        "ALLOWED_MODELS": ALLOWED_MODELS,
        "BEDROCK_MAX_ATTEMPTS": "1",
    });
    all.as_object_mut().unwrap().extend(bindings.as_object().unwrap().clone());
    let fixture = messages_fixture(&all).await;
    let endpoint = Endpoint {
        url: format!("http://{}", fixture.worker.address),
        key: Some((CLIENT_KEY_ID.to_owned(), CLIENT_SECRET.to_owned())),
        token: TOKEN.to_owned(),
        certificates: None,
    };
    (fixture, endpoint)
}

impl Endpoint {
    /// Sets the variables that AWS's clients read, and none of the caller's own.
    pub fn set_environment(&self, command: &mut Command) {
        for (name, _) in std::env::vars() {
            if name.starts_with("AWS_") || name.starts_with("ANTHROPIC_") {
                command.env_remove(name);
            }
        }
        match &self.key {
            Some((id, secret)) => {
                command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
            }
            // In place of a key.
            None => {
                command.env("AWS_BEARER_TOKEN_BEDROCK", &self.token);
            }
        }
        if let Some(certificates) = &self.certificates {
            command.env("AWS_CA_BUNDLE", certificates).env("NODE_EXTRA_CA_CERTS", certificates);
        }
        command
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_REGION", "ap-northeast-1")
            .env("AWS_DEFAULT_REGION", "ap-northeast-1")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("BEARER_TOKEN", &self.token)
            .env("NO_PROXY", "*");
    }
}

impl Client {
    /// Runs cases of the script, and returns their outcomes by name.
    pub async fn outcomes(self, endpoint: &Endpoint, cases: &[&str]) -> Value {
        let script = match self {
            Self::Boto3 => "boto3_bedrock.py",
            Self::AwsSdkJs => "aws_sdk.mjs",
            Self::AnthropicPython => "anthropic_bedrock.py",
            Self::AnthropicJs => "anthropic_bedrock.mjs",
            Self::LangChain => "langchain.py",
        };
        let program = if script.ends_with(".py") {
            installed("python-tools").await.join("python")
        } else {
            root().join("node_modules/.bin/node")
        };
        let mut command = Command::new(program);
        endpoint.set_environment(&mut command);
        command.arg(root().join("tests/clients").join(script)).args(cases);
        let outcomes = stdout_of(&mut command).await;
        serde_json::from_str(&outcomes)
            .unwrap_or_else(|error| panic!("{self:?}: {error}: {outcomes}"))
    }
}

/// A server that terminates TLS in front of a Worker, for `localhost`. Dropping it ends it.
pub struct TlsProxy {
    pub port: u16,
    /// The certificate, which signs itself.
    pub certificate: PathBuf,
    _process: Child,
    _directory: TempDir,
}

impl TlsProxy {
    /// Starts the proxy in front of a port of this machine. Needs `openssl`.
    pub async fn start(port: u16) -> Self {
        let directory = TempDir::new();
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|it| directory.path().join(it));
        let mut openssl = Command::new("openssl");
        openssl
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        stdout_of(&mut openssl).await;
        let mut process = Command::new(root().join("node_modules/.bin/node"))
            .arg(root().join("tests/clients/tls_proxy.mjs"))
            .args([certificate.as_os_str(), key.as_os_str()])
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the port of the proxy");
        Self { port: line.parse().unwrap(), certificate, _process: process, _directory: directory }
    }
}
