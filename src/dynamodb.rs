//! Sessions in a table of DynamoDB, for a Lambda or any other platform that has an HTTP client.
//!
//! The table has the partition key `pk` and the sort key `sk`, both strings, and `expires_at` as its TTL attribute. The
//! features of DynamoDB that it needs are conditional writes and consistent reads of single items; it uses no transactions
//! and no indexes.
//!
//! | `pk` | `sk` | item |
//! | --- | --- | --- |
//! | `session#<owner>#<id>` | `head` | what is known of a session: its lease, its positions, its times |
//! | `session#<owner>#<id>` | `turn#<epoch>#<position>#<fence>#<part>` | a turn, or a part of one that is longer than an item |
//! | `owner#<owner>` | `<updated>#<id>` | a session in the order of the list |
//!
//! - The head decides. Each change is one conditional write of it, which fails if another request has written it since. A turn
//!   that is written exists only when the head counts it, and an entry of the list only if it has the time of the head. So
//!   each operation is atomic, and what a crash leaves behind is invisible.
//! - The epoch is the token of the lease that created the session. Turns of an earlier session with this id have another.
//! - The fence is the version of the head with which a turn was written. Of several turns at one position the one with the
//!   highest fence counts: no turn is written any more at a position that the head counts.
//! - DynamoDB deletes items late, and each by its own time. So expiry is checked when a session is read, and the items of turns
//!   outlive it by an hour and a quarter of the time to live. If a session goes on for longer than that, its turns are written
//!   again with a later time.
//!
//! ```
//! # use std::time::{Duration, SystemTime};
//! # use bedrock_edge::host::{Host, Http, Runtime, SessionStore, TransportError};
//! # use bytes::Bytes;
//! use bedrock_edge::dynamodb::{DynamoDbSessions, SessionsTable};
//!
//! struct MyPlatform {
//!     table: Option<SessionsTable>,
//! }
//! # impl Runtime for MyPlatform {
//! #     fn now(&self) -> SystemTime { SystemTime::UNIX_EPOCH }
//! #     fn random(&self) -> u128 { 4 }
//! #     async fn sleep(&self, _: Duration) -> Result<(), TransportError> { Ok(()) }
//! # }
//! # impl Http for MyPlatform {
//! #     type Body = Bytes;
//! #     async fn send(&self, _: http::Request<Bytes>, _: Duration)
//! #         -> Result<http::Response<Bytes>, TransportError> { Ok(http::Response::default()) }
//! # }
//!
//! impl Host for MyPlatform {
//!     fn sessions(&self) -> Option<impl SessionStore> {
//!         let table = self.table.as_ref()?;
//!         Some(DynamoDbSessions::new(table, self, |problem| eprintln!("{problem}")))
//!     }
//! }
//! ```
//!
//! Out of scope: creating the table (`examples/lambda/template.yaml` does), encryption of turns
//! ([`Host::cipher`](crate::host::Host::cipher)).

mod client;
mod head;
mod input;
mod item;
mod store;
mod turns;

pub use crate::config::SessionsTable;
pub use store::DynamoDbSessions;

#[cfg(test)]
mod tests;
