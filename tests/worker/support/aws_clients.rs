//! AWS's own clients, and others that speak to Bedrock's API: each runs a script of tests/clients that
//! prints what an application sees, by case.

use bedrock_edge_tests::root;
use bedrock_stub::{Settings, Stub};
use serde_json::Value;
use tokio::process::Command;

use super::fixture::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, runtime};
use super::messages::{installed, stdout_of};

/// A script of tests/clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Boto3,
    AwsSdkJs,
    AnthropicPython,
    AnthropicJs,
    LangChain,
}

/// What a client calls, and with which credentials.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub url: String,
    pub key_id: String,
    pub secret: String,
    /// The bearer token.
    pub token: String,
}

/// The Bedrock API key of [`stand_in`].
const API_KEY: &str = "bedrock-api-key-of-the-tests";

/// Starts a stand-in that clients call directly, as they would call Bedrock.
pub async fn stand_in() -> (Stub, Endpoint) {
    let settings = Settings { api_keys: vec![API_KEY.to_owned()], ..Settings::default() };
    let stub = runtime().spawn(Stub::start(settings)).await.unwrap().unwrap();
    let endpoint = Endpoint {
        url: stub.url(),
        key_id: ACCESS_KEY_ID.to_owned(),
        secret: SECRET_ACCESS_KEY.to_owned(),
        token: API_KEY.to_owned(),
    };
    (stub, endpoint)
}

impl Endpoint {
    /// Sets the variables that AWS's clients read, and none of the caller's own.
    pub fn set_environment(&self, command: &mut Command) {
        for (name, _) in std::env::vars() {
            if name.starts_with("AWS_") || name.starts_with("ANTHROPIC_") {
                command.env_remove(name);
            }
        }
        command
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_ACCESS_KEY_ID", &self.key_id)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret)
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
