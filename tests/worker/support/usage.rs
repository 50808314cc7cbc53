//! The usage of a caller, as `/usage` and the ledgers report it.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::client::{Answer, PATIENCE};
use super::workerd::Workerd;

/// The account of callers without a name.
pub const ANONYMOUS: &str = "anonymous";

impl Workerd {
    pub async fn usage(&self) -> Value {
        let answer = self.send(self.request(Method::GET, "/usage")).await;
        assert_eq!(answer.status, 200, "{answer}");
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The numbers, when all is settled: that comes after the answer.
    pub async fn settled_usage(&self) -> Value {
        let begun = Instant::now();
        loop {
            let usage = self.usage().await;
            if usage["in_flight"]["requests"] == 0 {
                assert_eq!(usage["this_month"]["reserved"], 0, "{usage}");
                return usage;
            }
            assert!(begun.elapsed() < PATIENCE, "{usage}\n{}", self.output());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What a ledger says to a message.
    pub async fn tell(&self, account: &str, message: Value) -> Value {
        let url = format!("http://{}/{account}", self.door);
        let request = Client::builder().no_proxy().build().unwrap().post(url);
        let answer = self.send(request.body(message.to_string())).await;
        assert_eq!(answer.status, 200, "{message}: {answer}");
        serde_json::from_str(&answer.body).unwrap()
    }
}

pub fn assert_limited(case: &str, answer: &Answer, code: &str) {
    assert_eq!(answer.status, 429, "{case}: {answer}");
    assert_eq!(answer.header("x-error-code"), Some(code), "{case}: {answer}");
}
