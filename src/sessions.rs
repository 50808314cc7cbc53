//! Sessions: conversations that are remembered, with a time to live.
//!
//! Out of scope: where a session is stored ([`SessionStore`](crate::host::SessionStore)).

#[cfg(test)]
mod tests;
