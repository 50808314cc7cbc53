//! Sessions: conversations that are remembered, with a time to live.
//!
//! A request that names a session begins a turn: it takes the lease of the session, and the earlier turns are put in front of
//! its messages, without those that no longer fit. When the reply has ended well, the turn is added, verbatim; otherwise
//! nothing is. One request at a time runs in a session.
//!
//! A session belongs to its caller. Callers without a name have an id of 128 random bits instead, which was made here.
//!
//! A body without a session calls none of this.
//!
//! Out of scope: where a session is stored ([`SessionStore`](crate::host::SessionStore)), and summaries of what is too long.

mod envelope;
mod place;
mod stored;
mod turn;
mod view;
mod wire;

pub(crate) use place::is_id;
pub(crate) use turn::{Abandoned, Carried, Turn, begin};
pub(crate) use view::{List, View, delete, list, read};
pub use wire::{SessionMessage, SessionReply};

#[cfg(test)]
mod tests;
