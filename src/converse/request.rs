//! A request: its members, in the order in which Converse's documentation has them.

use super::blocks::Turn;
use super::conversion::{Conversion, Target, put};
use super::names::ToolNames;
use crate::claude::Feature;
use crate::error::Error;
use crate::json::{Members, to_json};

/// A body for Converse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Converted {
    /// The body.
    pub json: String,
    /// The names of tools that are not the caller's.
    pub names: ToolNames,
    /// The places that were removed or changed, such as `tools.0.strict`.
    pub removed: Vec<String>,
}

/// Converts a body of InvokeModel in Claude's format.
///
/// # Errors
///
/// If the body asks for something that Converse, or this model, does not have. The message begins with the place.
pub(crate) fn from_claude(json: &str, target: &Target<'_>) -> Result<Converted, Error> {
    let members: Members = serde_json::from_str(json)
        .map_err(|error| Error::invalid(format!("the body is not a JSON object: {error}")))?;
    let mut conversion = Conversion {
        target,
        members,
        names: ToolNames::default(),
        documents: Vec::new(),
        removed: Vec::new(),
    };
    let turns = conversion.turns()?;
    let has_tool_blocks = turns.iter().any(Turn::has_tool_blocks);
    if has_tool_blocks || conversion.member("tools").is_some_and(|it| it.get().len() > 2) {
        conversion.check("tools", Feature::Tools, "tools")?;
    }
    let mut out = String::with_capacity(json.len() + json.len() / 8 + 256);
    out.push_str(r#"{"messages":["#);
    for turn in &turns {
        conversion.turn(turn, &mut out)?;
    }
    out.push(']');
    conversion.system(&mut out)?;
    conversion.inference(&mut out);
    conversion.tools(has_tool_blocks, &mut out)?;
    if let Some((id, version)) = target.guardrail {
        let (id, version) = (to_json(&id), to_json(&version));
        put(
            &mut out,
            &[
                r#","guardrailConfig":{"guardrailIdentifier":"#,
                &id,
                r#","guardrailVersion":"#,
                &version,
                "}",
            ],
        );
    }
    if let Some(tier) = target.service_tier {
        put(&mut out, &[r#","serviceTier":{"type":"#, &to_json(&tier), "}"]);
    }
    conversion.options(&mut out)?;
    out.push('}');
    conversion.tell_unknown();
    let Conversion { names, removed, .. } = conversion;
    Ok(Converted { json: out, names, removed })
}
