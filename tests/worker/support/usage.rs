//! The usage of a caller, as `/usage` and the ledgers report it.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::client::{Response, TIMEOUT};
use super::workerd::Workerd;

/// The account of unauthenticated callers.
pub const ANONYMOUS: &str = "anonymous";

impl Workerd {
    /// Requests `/usage`.
    pub async fn usage(&self) -> Value {
        let response = self.send(self.request(Method::GET, "/usage")).await;
        assert_eq!(response.status, 200, "{response}");
        serde_json::from_str(&response.body).unwrap_or_else(|error| panic!("{error}: {response}"))
    }

    /// Waits until all reservations are settled, which happens after the response, and returns the
    /// usage.
    pub async fn settled_usage(&self) -> Value {
        let begun = Instant::now();
        loop {
            let usage = self.usage().await;
            if usage["in_flight"]["requests"] == 0 {
                assert_eq!(usage["this_month"]["reserved"], 0, "{usage}");
                return usage;
            }
            assert!(begun.elapsed() < TIMEOUT, "{usage}\n{}", self.output());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends a message to the ledger of an account, and returns the reply.
    pub async fn send_to_ledger(&self, account: &str, message: Value) -> Value {
        let url = format!("http://{}/{account}", self.ledger_address);
        let request = Client::builder().no_proxy().build().unwrap().post(url);
        let response = self.send(request.body(message.to_string())).await;
        assert_eq!(response.status, 200, "{message}: {response}");
        serde_json::from_str(&response.body).unwrap()
    }
}

/// Asserts that a response is 429 with this error code.
pub fn assert_limited(case: &str, response: &Response, code: &str) {
    assert_eq!(response.status, 429, "{case}: {response}");
    assert_eq!(response.header("x-error-code"), Some(code), "{case}: {response}");
}
