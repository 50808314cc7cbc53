//! Items in the JSON of DynamoDB's API.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The partition key.
pub(super) const PK: &str = "pk";
/// The sort key.
pub(super) const SK: &str = "sk";
/// The TTL attribute, in seconds since the epoch.
pub(super) const EXPIRES_AT: &str = "expires_at";

/// An item, or its key: attributes that are strings, whole numbers or bytes.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Item(Map<String, Value>);

impl Item {
    /// Makes the key of an item.
    pub fn key(partition: &str, sort: &str) -> Self {
        Self::default().with_text(PK, partition).with_text(SK, sort)
    }

    pub fn with_text(self, name: &str, text: &str) -> Self {
        self.with(name, json!({ "S": text }))
    }

    pub fn with_number(self, name: &str, number: u64) -> Self {
        self.with(name, json!({ "N": number.to_string() }))
    }

    pub fn with_bytes(self, name: &str, bytes: &[u8]) -> Self {
        self.with(name, json!({ "B": STANDARD.encode(bytes) }))
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name, "S")
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name, "N")?.parse().ok()
    }

    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        STANDARD.decode(self.get(name, "B")?).ok()
    }

    fn get(&self, name: &str, kind: &str) -> Option<&str> {
        self.0.get(name)?.get(kind)?.as_str()
    }
}
