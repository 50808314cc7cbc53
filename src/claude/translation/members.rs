//! The members of a body and the betas that belong to them.

use std::borrow::Cow;

use super::{Format, GUARDRAIL_CONFIG, Translation};
use crate::claude::betas::{Beta, PAIRS, PER_TURN_CONTROL, stem};
use crate::claude::models::Feature;
use crate::error::{Code, Error};
use crate::identifier::Identifier;

/// The treatment of a member of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// InvokeModel takes it.
    Sent,
    /// It goes elsewhere, or a rule of its own treats it.
    Moved,
    /// Clients send it by habit, and the reply means the same without it.
    Removed,
    /// The caller asks for something that Bedrock does not have, or that is the operator's, unless the value is this one or `null`.
    Refused(&'static str),
}

/// The members of a body. An unknown one is sent: Bedrock's own error names it.
#[rustfmt::skip]
const MEMBERS: [(&str, Fate); 28] = [
    ("messages", Fate::Sent),
    ("system", Fate::Sent),
    ("tools", Fate::Sent),
    ("tool_choice", Fate::Sent),
    ("max_tokens", Fate::Sent),
    ("stop_sequences", Fate::Sent),
    ("temperature", Fate::Sent),
    ("top_p", Fate::Sent),
    ("top_k", Fate::Sent),
    ("thinking", Fate::Sent),
    ("metadata", Fate::Sent),
    ("output_config", Fate::Sent),
    ("safeguards", Fate::Sent),
    ("context_management", Fate::Sent),
    ("compaction", Fate::Sent),
    ("model", Fate::Moved),
    ("stream", Fate::Moved),
    ("anthropic_version", Fate::Moved),
    ("anthropic_beta", Fate::Moved),
    ("service_tier", Fate::Moved),
    ("cache_control", Fate::Moved),
    ("speed", Fate::Removed),
    ("fallbacks", Fate::Removed),
    ("mcp_servers", Fate::Refused("[]")),
    ("container", Fate::Refused("null")),
    ("thread", Fate::Refused("null")),
    ("inference_geo", Fate::Refused(r#""global""#)),
    (GUARDRAIL_CONFIG, Fate::Refused("null")),
];

fn fate(name: &str) -> Fate {
    MEMBERS.iter().find(|(known, _)| *known == name).map_or(Fate::Sent, |(_, fate)| *fate)
}

impl Translation<'_, '_> {
    /// Chooses the betas to send: those of the header, then those of a body for Bedrock.
    pub(super) fn betas<'b>(&mut self, header: impl Iterator<Item = &'b str>) -> Result<(), Error> {
        let own = self.body.member("anthropic_beta");
        let own: Vec<Cow<'_, str>> = own
            .map_or(Ok(Vec::new()), |json| serde_json::from_str(json.get()))
            .map_err(|_| Error::invalid("anthropic_beta: Input should be a list of strings"))?;
        // They can become a header.
        if own.iter().any(|name| Identifier::new(name).is_none()) {
            return Err(Error::invalid("anthropic_beta: expected the names of betas"));
        }
        let is_converse = self.target.format == Format::Converse;
        for name in header.map(Cow::Borrowed).chain(own) {
            let name = &*name;
            let sent = match Beta::find(name) {
                Some(Beta::Refused) => None,
                _ if is_converse => None,
                Some(Beta::Renamed(other)) => Some(other),
                _ if stem(name) == PER_TURN_CONTROL && self.refuses(Feature::PerTurnControl) => {
                    self.drops_per_turn_control = true;
                    None
                }
                _ => Some(name),
            };
            let sent = sent.filter(|it| !(self.target.has_refused)(&format!("betas.{it}")));
            if sent != Some(name) {
                self.tell(format!("betas.{name}"));
            }
            if let Some(sent) = sent
                && !self.betas.iter().any(|known| known == sent)
            {
                self.betas.push(sent.to_owned());
            }
        }
        for (member, beta) in PAIRS.into_iter().filter(|_| !is_converse) {
            let is_there = self.has_beta(beta);
            let is_refused = (self.target.has_refused)(member)
                || (self.target.has_refused)(&format!("betas.{beta}"));
            if self.body.member(member).is_some() && !is_there && !is_refused {
                self.betas.push(beta.to_owned());
            } else if is_there && (self.target.has_refused)(member) {
                self.betas.retain(|known| stem(known) != stem(beta));
                self.tell(format!("betas.{beta}"));
            }
        }
        Ok(())
    }

    /// Reports whether a beta is sent, whatever its date.
    pub(super) fn has_beta(&self, beta: &str) -> bool {
        self.betas.iter().any(|known| stem(known) == stem(beta))
    }

    /// Removes the members that InvokeModel does not take.
    pub(super) fn members(&mut self) -> Result<(), Error> {
        let body = self.body;
        for (name, value) in &body.members {
            let is_null = value.get() == "null";
            match fate(name) {
                Fate::Sent if is_null => {
                    self.edits.remove_member(name, value);
                }
                Fate::Sent => {
                    let pair = PAIRS.iter().find(|(member, _)| member == name);
                    if pair.is_some_and(|(_, beta)| !self.has_beta(beta)) {
                        self.remove(&**name, name, value);
                    }
                }
                Fate::Moved => {
                    self.edits.remove_member(name, value);
                }
                Fate::Removed if is_null => {
                    self.edits.remove_member(name, value);
                }
                Fate::Removed => self.remove(&**name, name, value),
                Fate::Refused(_) if name == "thread" && !is_null => {
                    let message = "thread: Bedrock keeps no conversations: send all messages";
                    return Err(Error::new(Code::ThreadUnsupported, message));
                }
                Fate::Refused(harmless) if is_null || value.get() == harmless => {
                    self.edits.remove_member(name, value);
                }
                Fate::Refused(_) => {
                    let problem = match &**name {
                        GUARDRAIL_CONFIG => "the operator of this gateway chooses the guardrail",
                        _ => "Bedrock does not have it",
                    };
                    let message = format!("{name}: {problem}: remove it from the request");
                    return Err(Error::invalid(message));
                }
            }
        }
        Ok(())
    }
}
