//! The objects that keep sessions, as a store: the messages go to them by way of `session_proxy.js`.

use std::net::SocketAddr;
use std::time::SystemTime;

use bedrock_edge::host::{
    Begun, Lease, NewTurn, SessionError, SessionInfo, SessionMark, SessionPage, SessionPlace,
    SessionStore,
};
use bedrock_edge::sessions::{SessionMessage, SessionReply};
use reqwest::Client;

use super::workerd::Workerd;

/// The Durable Objects of a Worker.
pub struct Objects {
    address: SocketAddr,
    client: Client,
}

impl Workerd {
    /// Returns the objects that keep sessions.
    pub fn session_objects(&self) -> Objects {
        let client = Client::builder().no_proxy().build().unwrap();
        Objects { address: self.session_address, client }
    }
}

impl Objects {
    async fn send(
        &self,
        owner: &str,
        message: SessionMessage,
    ) -> Result<SessionReply, SessionError> {
        let owner: String = owner.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let url = format!("http://{}/{owner}", self.address);
        let sent = self.client.post(url).body(message.as_bytes().to_vec()).send().await;
        let error = |error: reqwest::Error| SessionError(error.to_string());
        let reply = sent.and_then(reqwest::Response::error_for_status).map_err(error)?;
        SessionReply::new(reply.bytes().await.map_err(error)?)
    }
}

impl SessionStore for Objects {
    async fn begin(
        &self,
        place: &SessionPlace,
        lease: &Lease,
        may_create: bool,
        now: SystemTime,
    ) -> Result<Begun, SessionError> {
        let message = SessionMessage::begin(&place.id, lease, may_create, now);
        self.send(&place.owner, message).await?.begun()
    }

    async fn commit(
        &self,
        place: &SessionPlace,
        turn: &NewTurn,
        now: SystemTime,
    ) -> Result<bool, SessionError> {
        self.send(&place.owner, SessionMessage::commit(&place.id, turn, now)).await?.done()
    }

    async fn abort(&self, place: &SessionPlace, token: &str) -> Result<(), SessionError> {
        self.send(&place.owner, SessionMessage::abort(&place.id, token)).await?.done().map(drop)
    }

    async fn read(
        &self,
        place: &SessionPlace,
        from: u64,
        limit: u32,
        now: SystemTime,
    ) -> Result<Option<SessionPage>, SessionError> {
        self.send(&place.owner, SessionMessage::read(&place.id, from, limit, now)).await?.page()
    }

    async fn delete(&self, place: &SessionPlace, now: SystemTime) -> Result<bool, SessionError> {
        self.send(&place.owner, SessionMessage::delete(&place.id, now)).await?.done()
    }

    async fn list(
        &self,
        owner: &str,
        behind: Option<&SessionMark>,
        limit: u32,
        now: SystemTime,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        self.send(owner, SessionMessage::list(behind, limit, now)).await?.list()
    }
}
