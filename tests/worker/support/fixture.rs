//! A Worker and the Bedrock that it calls.

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

/// Each test has a runtime, and a shared stand-in outlives the first of them.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    &RUNTIME
}

pub struct Fixture {
    pub worker: Workerd,
    pub stub: Stub,
}

impl Fixture {
    /// The one with the defaults, for all tests that can share it. A test knows its requests by
    /// their prompts.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Fixture> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::with_bindings(json!({}))).await
    }

    /// A new one, with these bindings beside the endpoint and the keys, open to all. A null takes one away.
    pub async fn with_bindings(bindings: Value) -> Self {
        Self::with_stub_settings(bindings, Settings::default()).await
    }

    pub async fn with_stub_settings(bindings: Value, settings: Settings) -> Self {
        let storage = Arc::new(TempDir::new());
        Self::start(storage, bindings, settings, |_| json!({})).await
    }

    /// One whose Durable Objects are in a directory, with those that are there.
    pub async fn with_storage(storage: Arc<TempDir>, bindings: Value) -> Self {
        Self::start(storage, bindings, Settings::default(), |_| json!({})).await
    }

    /// The same with an STS.
    pub async fn with_sts(bindings: Value, settings: Settings) -> Self {
        let storage = Arc::new(TempDir::new());
        let endpoint = |url: String| json!({ "AWS_ENDPOINT_URL_STS": format!("{url}/sts") });
        Self::start(storage, bindings, settings, endpoint).await
    }

    /// The same with a path for each region.
    pub async fn with_regions(bindings: Value) -> Self {
        let endpoint = |url: String| json!({ "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": format!("{url}/{{region}}") });
        let storage = Arc::new(TempDir::new());
        Self::start(storage, bindings, Settings::default(), endpoint).await
    }

    async fn start(
        storage: Arc<TempDir>,
        bindings: Value,
        settings: Settings,
        of_url: impl FnOnce(String) -> Value,
    ) -> Self {
        let stub = runtime().spawn(Stub::start(settings)).await.unwrap().unwrap();

        let mut all = json!({
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": stub.url(),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AUTH": "open",
            "LEDGER": true,
        });
        let all_members = all.as_object_mut().unwrap();
        all_members.extend(of_url(stub.url()).as_object().unwrap().clone());
        all_members.extend(bindings.as_object().unwrap().clone());
        all_members.retain(|_, value| !value.is_null());
        Self { worker: Workerd::start(storage, &all).await, stub }
    }

    /// The only request to Bedrock with this prompt.
    pub fn bedrock_request(&self, prompt: &str) -> Received {
        let mut requests = self.bedrock_requests(prompt);
        assert_eq!(requests.len(), 1, "requests to Bedrock with the prompt {prompt:?}");
        requests.remove(0)
    }

    /// Every request to Bedrock with this prompt.
    pub fn bedrock_requests(&self, prompt: &str) -> Vec<Received> {
        let mut requests = self.stub.requests();
        requests.retain(|request| {
            // Not all that a Worker sends when it is wrong is JSON.
            serde_json::from_slice(&request.body)
                .is_ok_and(|body: Value| body["messages"][0]["content"] == prompt)
        });
        requests
    }

    /// Waits until it is so. Panics if it does not become so.
    pub async fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < TIMEOUT, "{what}\n{}", self.worker.output());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until Bedrock's streams are so. Panics if they do not become so.
    pub async fn wait_for_streams(&self, what: &str, condition: impl Fn(StreamCounts) -> bool) {
        let begun = Instant::now();
        while !condition(self.stub.streams()) {
            let counts = self.stub.streams();
            assert!(begun.elapsed() < TIMEOUT, "{what}: {counts:?}\n{}", self.worker.output());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The JSON that Bedrock was sent.
pub fn json_body(request: &Received) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// In the order of the alphabet.
pub fn header_names(request: &Received) -> Vec<&str> {
    let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}
