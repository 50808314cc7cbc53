//! The inputs of DynamoDB's operations.

use serde_json::{Value, json};

use super::item::{Item, PK, SK};

/// A query: items of one partition in the order of their sort keys, read consistently.
#[derive(Clone, Default)]
pub(super) struct Query<'a> {
    partition: &'a str,
    /// The range of sort keys, both ends included.
    between: Option<(String, String)>,
    before: Option<String>,
    is_descending: bool,
    limit: Option<u32>,
    has_only_keys: bool,
    start: Option<Item>,
}

impl<'a> Query<'a> {
    pub fn of(partition: &'a str) -> Self {
        Self { partition, ..Self::default() }
    }

    /// Limits it to a range of sort keys, both ends included.
    pub fn between(self, from: String, to: String) -> Self {
        Self { between: Some((from, to)), ..self }
    }

    /// Limits it to smaller sort keys.
    pub fn before(self, sort: Option<String>) -> Self {
        Self { before: sort, ..self }
    }

    /// Begins with the greatest sort key, and reads up to `limit` items.
    pub fn descending(self, limit: u32) -> Self {
        Self { is_descending: true, limit: Some(limit), ..self }
    }

    /// Reads the keys of the items only.
    pub fn only_keys(self) -> Self {
        Self { has_only_keys: true, ..self }
    }

    /// Starts behind the last key of a page.
    pub fn behind(&mut self, start: Item) {
        self.start = Some(start);
    }

    /// Writes the input of Query.
    pub fn to_json(&self, table: &str) -> Value {
        let mut values = Item::default().with_text(":pk", self.partition);
        let mut condition = format!("{PK} = :pk");
        if let Some((from, to)) = &self.between {
            condition.push_str(&format!(" AND {SK} BETWEEN :from AND :to"));
            values = values.with_text(":from", from).with_text(":to", to);
        }
        if let Some(before) = &self.before {
            condition.push_str(&format!(" AND {SK} < :before"));
            values = values.with_text(":before", before);
        }
        let input = json!({
            "TableName": table,
            "ConsistentRead": true,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ScanIndexForward": !self.is_descending,
        });
        let optional = [
            ("Limit", self.limit.map(|it| json!(it))),
            ("ExclusiveStartKey", self.start.as_ref().map(|it| json!(it))),
            ("ProjectionExpression", self.has_only_keys.then(|| json!(format!("{PK}, {SK}")))),
        ];
        with(input, optional.into_iter().filter_map(|(name, value)| Some((name, value?))))
    }
}

/// The state that an item must have for a write.
pub(super) struct Condition {
    expression: &'static str,
    values: Option<Item>,
}

impl Condition {
    /// The item does not exist.
    pub const ABSENT: Self = Self { expression: "attribute_not_exists(pk)", values: None };

    /// An expression holds for the item.
    pub fn new(expression: &'static str, values: Item) -> Self {
        Self { expression, values: Some(values) }
    }

    /// Adds it to the input of a write.
    pub fn add_to(&self, input: Value) -> Value {
        let values = self.values.as_ref().map(|it| ("ExpressionAttributeValues", json!(it)));
        with(input, std::iter::once(("ConditionExpression", json!(self.expression))).chain(values))
    }
}

/// A write of BatchWriteItem.
pub(super) enum Write {
    /// Writes an item.
    Put(Item),
    /// Deletes the item with this key.
    Delete(Item),
}

impl Write {
    /// Writes an element of the input of BatchWriteItem.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Put(item) => json!({ "PutRequest": { "Item": item } }),
            Self::Delete(key) => json!({ "DeleteRequest": { "Key": key } }),
        }
    }
}

/// Adds members to an object.
fn with(mut object: Value, members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    object
}
