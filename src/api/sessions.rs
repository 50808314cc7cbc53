//! Sessions as JSON: one of them, and a list.

use serde::Serialize;
use serde_json::value::RawValue;

use super::envelope::Envelope;
use crate::claude::{PICODOLLARS, Usage};
use crate::date::to_iso;
use crate::host::SessionInfo;
use crate::json::to_json;
use crate::sessions::{List, View};

#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    turns: u64,
    dropped_turns: u64,
    updated_at: String,
    expires_at: String,
}

impl<'a> From<&'a SessionInfo> for Listed<'a> {
    fn from(info: &'a SessionInfo) -> Self {
        Self {
            id: &info.id,
            turns: info.next - info.first,
            dropped_turns: info.first,
            updated_at: to_iso(info.updated),
            expires_at: to_iso(info.expires),
        }
    }
}

/// Renders a part of a session, with its cost in US dollars.
pub(crate) fn render_session(view: &View) -> Envelope {
    #[derive(Serialize)]
    struct Body<'a> {
        #[serde(flatten)]
        session: Listed<'a>,
        usage: Usage,
        cost: Option<f64>,
        messages: Option<&'a RawValue>,
        next_after: Option<&'a str>,
    }
    let body = Body {
        session: Listed::from(&view.info),
        usage: view.usage,
        cost: view.cost.map(|it| it as f64 / PICODOLLARS),
        messages: serde_json::from_str(&view.messages).ok(),
        next_after: view.next.as_deref(),
    };
    Envelope::json(200, to_json(&body))
}

/// Renders a part of the list of sessions.
pub(crate) fn render_sessions(list: &List) -> Envelope {
    #[derive(Serialize)]
    struct Body<'a> {
        sessions: Vec<Listed<'a>>,
        next_after: Option<&'a str>,
    }
    let sessions = list.sessions.iter().map(Listed::from).collect();
    Envelope::json(200, to_json(&Body { sessions, next_after: list.next.as_deref() }))
}
