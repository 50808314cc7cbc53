//! The test harness: workerd with the built Worker, the stand-in for Bedrock, and the clients.

pub mod assertions;
pub mod aws_clients;
pub mod client;
pub mod events;
pub mod fixture;
pub mod issuer;
pub mod messages;
pub mod raw_server;
pub mod sessions;
pub mod signer;
pub mod sse;
pub mod usage;
pub mod websocket;
pub mod workerd;
