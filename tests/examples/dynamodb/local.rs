//! A local DynamoDB: dynalite, which checks the form of each request as DynamoDB does. It refuses what moto accepts: batches of
//! more than 25 items, values that no expression uses, ranges that end before they begin, bytes that are not base64. It
//! checks no signatures; [`VerifyingClient`] does.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use bedrock_edge::dynamodb::SessionsTable;
use bedrock_edge::host::TransportError;
use bedrock_edge::{Http, Runtime};
use bedrock_edge_tests::processes::free_port;
use bedrock_edge_tests::root;
use bedrock_stub::{Received, Settings, auth};
use bytes::Bytes;
use http::{Request, Response};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, TIMEOUT};

/// The name of the table.
pub const TABLE: &str = "sessions";
/// The region of the stand-in's default settings.
pub const REGION: &str = "ap-northeast-1";

/// A running dynalite with an empty table. Dropping it kills the process.
pub struct LocalDynamoDb {
    port: u16,
    client: Client,
    _child: Child,
}

impl LocalDynamoDb {
    /// Starts it, and creates the table of `examples/lambda/template.yaml`.
    pub async fn start() -> Self {
        let port = free_port();
        let bin = root().join("node_modules/.bin");
        let child = Command::new(bin.join("node"))
            .arg(bin.join("dynalite"))
            .args(["--host", "127.0.0.1", "--createTableMs", "0", "--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("dynalite: npm installs it");
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap();
        let dynamodb = Self { port, client, _child: child };
        let start = Instant::now();
        while let Err(error) = dynamodb.client.get(dynamodb.url()).send().await {
            assert!(start.elapsed() < TIMEOUT, "dynalite did not start: {error}");
            sleep(Duration::from_millis(50)).await;
        }
        let text = |name| json!({ "AttributeName": name, "AttributeType": "S" });
        let key = |name, kind| json!({ "AttributeName": name, "KeyType": kind });
        let table = json!({
            "TableName": TABLE,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [text("pk"), text("sk")],
            "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
        });
        dynamodb.call("CreateTable", table).await;
        let is_active = async || {
            let table = dynamodb.call("DescribeTable", json!({ "TableName": TABLE })).await;
            table["Table"]["TableStatus"] == "ACTIVE"
        };
        while !is_active().await {
            sleep(Duration::from_millis(20)).await;
        }
        dynamodb
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the variables with which a store finds it.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("SESSIONS_TABLE", TABLE.to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.url()),
            ("AWS_REGION", REGION.to_owned()),
        ]
    }

    /// Returns the settings of a store.
    pub fn table(&self) -> SessionsTable {
        let keys = [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
        ];
        let variables = [&self.variables()[..], &keys].concat();
        let look_up = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        };
        SessionsTable::from_vars(look_up).unwrap().expect("SESSIONS_TABLE is set")
    }

    /// Returns a platform for a store.
    pub fn client(&self) -> VerifyingClient {
        VerifyingClient(self.client.clone())
    }

    /// Returns all items.
    pub async fn items(&self) -> Vec<Value> {
        let (mut items, mut input) = (Vec::new(), json!({ "TableName": TABLE }));
        loop {
            let page = self.call("Scan", input.clone()).await;
            items.extend(page["Items"].as_array().unwrap().iter().cloned());
            if page["LastEvaluatedKey"].is_null() {
                return items;
            }
            input["ExclusiveStartKey"] = page["LastEvaluatedKey"].clone();
        }
    }

    /// Deletes an item, as DynamoDB does with one that has expired.
    pub async fn delete(&self, item: &Value) {
        let key = json!({ "pk": item["pk"], "sk": item["sk"] });
        self.call("DeleteItem", json!({ "TableName": TABLE, "Key": key })).await;
    }

    async fn call(&self, operation: &str, input: Value) -> Value {
        // It looks only whether there is a signature.
        let authorization = "AWS4-HMAC-SHA256 Credential=a/20260101/a/dynamodb/aws4_request, \
                             SignedHeaders=host, Signature=0";
        let request = self
            .client
            .post(self.url())
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-date", "20260101T000000Z")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("authorization", authorization)
            .body(input.to_string());
        let response = request.send().await.unwrap();
        let (status, output) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{operation}: {output}");
        serde_json::from_str(&output).unwrap()
    }
}

/// An HTTP client that verifies the signature of each request that it sends.
pub struct VerifyingClient(Client);

#[allow(clippy::disallowed_methods)] // The core gets the time from here.
fn now() -> SystemTime {
    SystemTime::now()
}

impl Runtime for VerifyingClient {
    fn now(&self) -> SystemTime {
        now()
    }

    fn random(&self) -> u128 {
        let random = || u128::from(RandomState::new().build_hasher().finish());
        random() << 64 | random()
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        sleep(time).await;
        Ok(())
    }
}

impl Http for VerifyingClient {
    type Body = Bytes;

    async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        verify(&request);
        let failed = |error: reqwest::Error| TransportError::Failed(format!("{error:?}"));
        let exchange = async {
            let received =
                self.0.execute(request.try_into().map_err(failed)?).await.map_err(failed)?;
            let status = received.status();
            let body = received.bytes().await.map_err(failed)?;
            Ok(Response::builder().status(status).body(body).unwrap())
        };
        timeout(within, exchange).await.map_err(|_| TransportError::TimedOut)?
    }
}

/// A client that sends a number of requests, and then none any more.
pub struct Breaking<'c> {
    client: &'c VerifyingClient,
    left: Cell<i64>,
}

impl<'c> Breaking<'c> {
    pub fn new(client: &'c VerifyingClient, requests: i64) -> Self {
        Self { client, left: Cell::new(requests) }
    }

    pub fn has_broken(&self) -> bool {
        self.left.get() < 0
    }
}

impl Runtime for Breaking<'_> {
    fn now(&self) -> SystemTime {
        self.client.now()
    }

    fn random(&self) -> u128 {
        self.client.random()
    }

    async fn sleep(&self, time: Duration) -> Result<(), TransportError> {
        self.client.sleep(time).await
    }
}

impl Http for Breaking<'_> {
    type Body = Bytes;

    async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        self.left.set(self.left.get() - 1);
        // An error that is not retried, as if the process had ended.
        if self.has_broken() {
            Err(TransportError::Cancelled)
        } else {
            self.client.send(request, within).await
        }
    }
}

fn verify(request: &Request<Bytes>) {
    let host = ("host".to_owned(), request.uri().authority().unwrap().to_string());
    let headers = request.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let received = Received {
        method: request.method().to_string(),
        target: request.uri().path().to_owned(),
        headers: headers.chain([host]).collect(),
        body: request.body().to_vec(),
    };
    let settings = Settings::default();
    auth::verify(&received, "dynamodb", &settings, now()).unwrap();
}
