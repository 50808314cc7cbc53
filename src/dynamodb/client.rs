//! Calls to DynamoDB: signed, and retried within the time of an operation of the store.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::input::{Condition, Query, Write};
use super::item::Item;
use crate::aws::{Scope, error_type, loggable, sign};
use crate::config::SessionsTable;
use crate::deadline::Deadline;
use crate::headers::{X_AMZN_REQUESTID, upstream};
use crate::host::{Body, Http, ReadError, SessionError, TransportError};
use crate::identifier::Identifier;
use crate::json::to_json;
use crate::redact::Redacted;

/// The time of an operation of the store, with all its calls and waits.
const WITHIN: Duration = Duration::from_secs(3);

/// The longest wait before the first retry. It doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest wait before any retry.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// More than any response has: DynamoDB returns at most 1 MiB of items, without their JSON and base64.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// The most items of BatchWriteItem.
const BATCH: usize = 25;

/// A call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// The condition of a write does not hold: another request has written the item.
    Condition,
    /// Everything else, for the log.
    Failed(SessionError),
}

impl From<CallError> for SessionError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Condition => {
                Self("DynamoDB: the condition of a write does not hold".to_owned())
            }
            CallError::Failed(error) => error,
        }
    }
}

/// A failed attempt.
struct Failure {
    /// The cause, for the log.
    text: String,
    kind: FailureKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    Condition,
    Transient,
    TimedOut,
    Permanent,
}

/// The calls of one operation of the store.
pub(super) struct Client<'a, H> {
    table: &'a SessionsTable,
    host: &'a H,
    deadline: Deadline,
}

impl<'a, H: Http> Client<'a, H> {
    pub fn new(table: &'a SessionsTable, host: &'a H) -> Self {
        Self { table, host, deadline: Deadline::new(host.now(), WITHIN) }
    }

    /// Reads an item.
    pub async fn get(&self, key: &Item) -> Result<Option<Item>, SessionError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output {
            item: Option<Item>,
        }
        let table = &*self.table.name;
        let input = json!({ "TableName": table, "Key": key, "ConsistentRead": true });
        let Output { item } = self.call("GetItem", &input).await?;
        Ok(item)
    }

    /// Reads up to 100 items, in any order.
    pub async fn get_all(&self, keys: Vec<Item>) -> Result<Vec<Item>, SessionError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output {
            responses: Map<String, Value>,
            #[serde(default)]
            unprocessed_keys: Map<String, Value>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Unprocessed {
            keys: Vec<Item>,
        }
        let table = &*self.table.name;
        let (mut keys, mut items, mut attempt) = (keys, Vec::new(), 0);
        while !keys.is_empty() {
            let wanted = json!({ "Keys": keys, "ConsistentRead": true });
            let input = json!({ "RequestItems": { table: wanted } });
            let mut output: Output = self.call("BatchGetItem", &input).await?;
            let found = output.responses.remove(table).unwrap_or_default();
            items.extend(read::<Vec<Item>>("BatchGetItem", found)?);
            keys = match output.unprocessed_keys.remove(table) {
                None => Vec::new(),
                Some(left) => read::<Unprocessed>("BatchGetItem", left)?.keys,
            };
            if !keys.is_empty() {
                self.back_off(attempt, "DynamoDB BatchGetItem: items were not read").await?;
                attempt += 1;
            }
        }
        Ok(items)
    }

    /// Reads a page of a query, and the key that the next one starts behind.
    pub async fn query(
        &self,
        input: &Query<'_>,
    ) -> Result<(Vec<Item>, Option<Item>), SessionError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output {
            items: Vec<Item>,
            last_evaluated_key: Option<Item>,
        }
        let output: Output = self.call("Query", &input.to_json(&self.table.name)).await?;
        Ok((output.items, output.last_evaluated_key))
    }

    /// Writes an item on a condition.
    pub async fn put(&self, item: &Item, condition: &Condition) -> Result<(), CallError> {
        let input = json!({ "TableName": self.table.name, "Item": item });
        let _: Value = self.call("PutItem", &condition.add_to(input)).await?;
        Ok(())
    }

    /// Deletes an item on a condition.
    pub async fn delete(&self, key: &Item, condition: &Condition) -> Result<(), CallError> {
        let input = json!({ "TableName": self.table.name, "Key": key });
        let _: Value = self.call("DeleteItem", &condition.add_to(input)).await?;
        Ok(())
    }

    /// Writes and deletes items, each by itself.
    pub async fn write_all(&self, writes: &[Write]) -> Result<(), SessionError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output {
            #[serde(default)]
            unprocessed_items: Map<String, Value>,
        }
        let table = &*self.table.name;
        for batch in writes.chunks(BATCH) {
            let (mut left, mut attempt) =
                (json!(batch.iter().map(Write::to_json).collect::<Vec<_>>()), 0);
            loop {
                let input = json!({ "RequestItems": { table: left } });
                let mut output: Output = self.call("BatchWriteItem", &input).await?;
                match output.unprocessed_items.remove(table) {
                    None => break,
                    Some(unprocessed) => left = unprocessed,
                }
                self.back_off(attempt, "DynamoDB BatchWriteItem: items were not written").await?;
                attempt += 1;
            }
        }
        Ok(())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        input: &Value,
    ) -> Result<T, CallError> {
        let body = Bytes::from(to_json(input));
        let (mut attempt, mut problem) = (0, None);
        loop {
            let failure = match self.attempt(operation, body.clone()).await {
                Ok(output) => return read(operation, output),
                Err(failure) => failure,
            };
            match failure.kind {
                FailureKind::Condition => return Err(CallError::Condition),
                FailureKind::Permanent => {
                    return Err(CallError::Failed(SessionError(failure.text)));
                }
                // An earlier response of DynamoDB says more than a timeout.
                FailureKind::TimedOut if problem.is_some() => {}
                FailureKind::Transient | FailureKind::TimedOut => problem = Some(failure.text),
            }
            self.back_off(attempt, problem.as_deref().unwrap_or_default()).await?;
            attempt += 1;
        }
    }

    /// Waits before a retry: up to 50 ms, then up to twice as long each time. Fails if the time of the operation would
    /// pass.
    async fn back_off(&self, attempt: u32, problem: &str) -> Result<(), CallError> {
        let failed = |text| CallError::Failed(SessionError(text));
        let longest =
            FIRST_BACKOFF.saturating_mul(1 << attempt.min(16)).min(MAX_BACKOFF).as_millis();
        let wait = Duration::from_millis(((longest * (self.host.random() >> 64)) >> 64) as u64);
        if wait >= self.deadline.left(self.host.now()) {
            return Err(failed(format!("{problem} (attempt {})", attempt + 1)));
        }
        self.host.sleep(wait).await.map_err(|error| failed(format!("{problem}: {error}")))
    }

    /// Makes a call once.
    async fn attempt(&self, operation: &str, body: Bytes) -> Result<Value, Failure> {
        let (table, host) = (self.table, self.host);
        let failed = |kind, problem: &dyn fmt::Display| {
            let text = format!("DynamoDB {operation}: {problem}");
            let text = Redacted::new(&text, table.credentials.secrets()).as_str().to_owned();
            Failure { text, kind }
        };
        let permanent = |problem: &dyn fmt::Display| failed(FailureKind::Permanent, problem);
        let unreachable = |error: TransportError| match error {
            TransportError::Cancelled => permanent(&error),
            TransportError::TimedOut => {
                failed(FailureKind::TimedOut, &format!("no response: {error}"))
            }
            TransportError::Failed(_) => {
                failed(FailureKind::Transient, &format!("no response: {error}"))
            }
        };
        let request = Request::post(table.endpoint.clone())
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .body(body);
        let mut request = request.map_err(|error| permanent(&error))?;
        let scope = Scope { region: &table.region, service: "dynamodb" };
        sign(&mut request, &table.credentials, scope, host.now())
            .map_err(|error| permanent(&error))?;

        // Half of the time that is left, so that a call which hangs is made again.
        let attempt = Deadline::new(host.now(), self.deadline.left(host.now()) / 2);
        let response = host.send(request, attempt.left(host.now())).await.map_err(unreachable)?;
        let (head, body) = response.into_parts();
        let body = body.read(MAX_RESPONSE_BYTES, attempt.left(host.now())).await;
        if head.status == StatusCode::OK {
            let body = body.map_err(|error| match error {
                ReadError::Transport(error) => unreachable(error),
                error => permanent(&error),
            })?;
            return serde_json::from_slice(&body)
                .map_err(|_| permanent(&"the response is not JSON"));
        }
        let error = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
        let AwsError { name, message } = error;
        let name = error_type(&name);
        let kind = kind(name.as_ref().map_or("", Identifier::as_str), head.status);
        let name = name.as_ref().map_or("without a type", Identifier::as_str);
        // These two name users, actions and resources, and quote no item.
        let quotes_nothing = ["AccessDeniedException", "ResourceNotFoundException"].contains(&name);
        let message = match quotes_nothing || table.logs_upstream_messages {
            true => message,
            false => loggable(&message),
        };
        let request = upstream(&head.headers, &X_AMZN_REQUESTID).and_then(Identifier::new);
        let request = request.as_ref().map_or("without an id", Identifier::as_str);
        let status = head.status.as_u16();
        Err(failed(kind, &format!("{status} {name}, request {request}: {message}")))
    }
}

/// An error of DynamoDB's.
#[derive(Default, Deserialize)]
struct AwsError {
    #[serde(rename = "__type", default)]
    name: String,
    #[serde(alias = "Message", default)]
    message: String,
}

/// Returns what follows an error.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
fn kind(name: &str, status: StatusCode) -> FailureKind {
    match name {
        "ConditionalCheckFailedException" => FailureKind::Condition,
        "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "ThrottlingException" => FailureKind::Transient,
        _ if status.is_server_error() => FailureKind::Transient,
        _ => FailureKind::Permanent,
    }
}

/// Reads a part of a response.
fn read<T: DeserializeOwned>(operation: &str, json: Value) -> Result<T, CallError> {
    let failed = |_| SessionError(format!("DynamoDB {operation}: the response has another form"));
    serde_json::from_value(json).map_err(failed).map_err(CallError::Failed)
}
