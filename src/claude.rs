//! Claude's Messages format on Bedrock: the inner request and reply of every interface, and the table of models.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html>
//!
//! Out of scope: models of other makers.

mod betas;
mod block;
mod content;
mod delta;
mod estimate;
mod messages;
mod models;
mod passing;
mod payload;
mod prices;
mod reply;
mod request;
mod text;
mod translation;
mod usage;

pub(crate) use block::INTERVENED;
pub(crate) use content::Content;
pub(crate) use delta::{Delta, Event, object};
pub(crate) use estimate::estimate_tokens;
pub use messages::{Conversation, Messages};
pub use models::{Codec, Feature, Model};
pub use passing::PassedEvent;
pub(crate) use passing::pass_reply;
pub use payload::{Payload, build_payload};
pub(crate) use prices::PICODOLLARS;
pub(crate) use reply::with_text;
pub use reply::{InvalidReply, Reply};
pub use request::Request;
pub(crate) use request::SessionName;
pub(crate) use text::{Joiner, RawText};
pub(crate) use translation::{
    Format, GUARDRAIL_CONFIG, MessagesBody, Target, Translated, names_field,
};
pub use usage::Usage;
pub(crate) use usage::is_zero_or_unknown;

#[cfg(test)]
mod tests;
