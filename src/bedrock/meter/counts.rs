//! The facts of a reply that the bill depends on, by the events and members that have them.

use serde_json::value::RawValue;

use crate::bedrock::error::InvokeError;
use crate::claude::{Delta, Event, INTERVENED, Usage};
use crate::identifier::Identifier;
use crate::json::{Members, string};

/// The most bytes of a value that is looked at.
pub(super) const MAX_VALUE_BYTES: usize = 4 << 10;

/// The member in which InvokeModel says what a guardrail did.
pub(super) const GUARDRAIL: &str = "amazon-bedrock-guardrailAction";

/// The facts of a reply that the bill depends on.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// The tokens that the call is billed by.
    pub usage: Usage,
    /// Why the model stopped.
    pub stop_reason: Option<Identifier>,
    /// Whether a guardrail has blocked or masked something.
    pub guardrail_intervened: bool,
    /// Whether the numbers are those of the whole reply.
    pub is_final: bool,
    /// Whether the reply has begun, in a form that has an end.
    pub(super) has_begun: bool,
    /// Whether the reply is complete.
    pub(super) has_ended: bool,
    /// The exception with which the stream ended.
    pub(super) exception: Option<InvokeError>,
}

impl Counts {
    /// Takes an event of a stream: Claude's, or one of another model.
    pub(super) fn take(&mut self, event: &[u8]) {
        let Members(members) = serde_json::from_slice(event).unwrap_or(Members(Vec::new()));
        for (name, value) in members {
            match &*name {
                "type" => match string(value).as_deref() {
                    Some("message_start") => self.has_begun = true,
                    Some("message_stop") => self.has_ended = true,
                    Some("error") => {
                        if let Ok(Event { delta: Delta::Error { kind, message }, .. }) =
                            Event::parse(event)
                        {
                            self.fail(InvokeError::Exception { kind, message, original: None });
                        }
                    }
                    _ => {}
                },
                GUARDRAIL => self.guardrail(word(value.get().as_bytes())),
                // `message_start` and `message_delta` have it, and the last event of Nova.
                "message" | "metadata" => {
                    if let Some(usage) = member(value, "usage") {
                        self.usage.update(Usage::parse_any(usage.get().as_bytes()));
                    }
                }
                "usage" => {
                    let usage = Usage::parse_any(value.get().as_bytes());
                    self.is_final |= usage.output_tokens.is_some();
                    self.usage.update(usage);
                }
                "amazon-bedrock-invocationMetrics" => {
                    self.is_final = true;
                    self.usage.update(Usage::parse_any(value.get().as_bytes()));
                }
                "delta" => {
                    let reason = member(value, "stop_reason");
                    self.stop(reason.and_then(|it| word(it.get().as_bytes())));
                }
                _ => {}
            }
        }
    }

    pub(super) fn stop(&mut self, reason: Option<Identifier>) {
        if let Some(reason) = reason {
            self.guardrail_intervened |=
                reason.as_str().eq_ignore_ascii_case("guardrail_intervened");
            self.stop_reason = Some(reason);
        }
    }

    pub(super) fn guardrail(&mut self, action: Option<Identifier>) {
        self.guardrail_intervened |= action.is_some_and(|it| it.as_str() == INTERVENED);
    }

    pub(super) fn fail(&mut self, error: InvokeError) {
        self.exception.get_or_insert(error);
    }
}

/// Returns a member of an object.
fn member<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let Members(members) = serde_json::from_str(object.get()).ok()?;
    members.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// Reads a string that is one word.
pub(super) fn word(json: &[u8]) -> Option<Identifier> {
    Identifier::new(serde_json::from_slice(json).ok()?)
}
