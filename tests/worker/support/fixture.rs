//! A Worker, and the stand-in for Bedrock that it calls.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bedrock_stub::{Received, Settings, StreamCounts, Stub};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::client::TIMEOUT;
use super::workerd::{TempDir, Workerd};

pub const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The runtime of the servers. They cannot run in the runtime of a test, because a shared server
/// outlives the test that starts it.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    &RUNTIME
}

/// A running Worker, and the stand-in for Bedrock that it calls.
pub struct Fixture {
    pub worker: Workerd,
    pub stub: Stub,
}

impl Fixture {
    /// Returns the fixture with the default configuration that many tests share. Each of these
    /// tests recognizes its own requests by their prompts.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Fixture> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::with_bindings(json!({}))).await
    }

    /// Starts a Worker with these bindings in addition to the endpoint, the AWS keys and
    /// `AUTH=open`. A null removes a binding.
    pub async fn with_bindings(bindings: Value) -> Self {
        Self::with_stub_settings(bindings, Settings::default()).await
    }

    /// Like [`Self::with_bindings`], with settings for the stand-in.
    pub async fn with_stub_settings(bindings: Value, settings: Settings) -> Self {
        let storage = Arc::new(TempDir::new());
        Self::start(storage, bindings, settings, |_| json!({})).await
    }

    /// Like [`Self::with_bindings`], with the Durable Objects that are stored in this directory.
    pub async fn with_storage(storage: Arc<TempDir>, bindings: Value) -> Self {
        Self::start(storage, bindings, Settings::default(), |_| json!({})).await
    }

    /// Like [`Self::with_stub_settings`], with the stand-in as the endpoint of STS too.
    pub async fn with_sts(bindings: Value, settings: Settings) -> Self {
        let storage = Arc::new(TempDir::new());
        let endpoint = |url: String| json!({ "AWS_ENDPOINT_URL_STS": format!("{url}/sts") });
        Self::start(storage, bindings, settings, endpoint).await
    }

    /// Like [`Self::with_bindings`], with a path for each region at the stand-in.
    pub async fn with_regions(bindings: Value) -> Self {
        let endpoint = |url: String| json!({ "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": format!("{url}/{{region}}") });
        let storage = Arc::new(TempDir::new());
        Self::start(storage, bindings, Settings::default(), endpoint).await
    }

    async fn start(
        storage: Arc<TempDir>,
        bindings: Value,
        settings: Settings,
        bindings_for_url: impl FnOnce(String) -> Value,
    ) -> Self {
        let stub = runtime().spawn(Stub::start(settings)).await.unwrap().unwrap();

        let mut all = json!({
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": stub.url(),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AUTH": "open",
            "LEDGER": true,
        });
        let merged = all.as_object_mut().unwrap();
        merged.extend(bindings_for_url(stub.url()).as_object().unwrap().clone());
        merged.extend(bindings.as_object().unwrap().clone());
        merged.retain(|_, value| !value.is_null());
        Self { worker: Workerd::start(storage, &all).await, stub }
    }

    /// Returns the request to Bedrock with this prompt. Panics unless there is exactly one.
    pub fn bedrock_request(&self, prompt: &str) -> Received {
        let mut requests = self.bedrock_requests(prompt);
        assert_eq!(requests.len(), 1, "requests to Bedrock with the prompt {prompt:?}");
        requests.remove(0)
    }

    /// Returns every request to Bedrock with this prompt.
    pub fn bedrock_requests(&self, prompt: &str) -> Vec<Received> {
        let mut requests = self.stub.requests();
        requests.retain(|request| {
            // A faulty Worker may send something that is not JSON.
            serde_json::from_slice(&request.body)
                .is_ok_and(|body: Value| body["messages"][0]["content"] == prompt)
        });
        requests
    }

    /// Waits until a condition holds. Panics on a timeout.
    pub async fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(
                begun.elapsed() < TIMEOUT,
                "timed out waiting for {what}\n{}",
                self.worker.output()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a condition holds for the stand-in's stream counts. Panics on a timeout.
    pub async fn wait_for_streams(&self, what: &str, condition: impl Fn(StreamCounts) -> bool) {
        let begun = Instant::now();
        while !condition(self.stub.streams()) {
            let counts = self.stub.streams();
            assert!(
                begun.elapsed() < TIMEOUT,
                "timed out waiting for {what}: {counts:?}\n{}",
                self.worker.output()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Parses the body of a request to Bedrock.
pub fn json_body(request: &Received) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// The header names of a request to Bedrock, sorted.
pub fn header_names(request: &Received) -> Vec<&str> {
    let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}
