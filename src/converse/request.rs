//! A request: its members, in the order in which Converse's documentation has them.

use super::blocks::Turn;
use super::conversion::{Conversion, Target, put};
use super::names::ToolNames;
use crate::claude::Feature;
use crate::error::Error;
use crate::json::{Members, quoted};

/// A body for Converse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Converted {
    /// The body.
    pub json: String,
    /// The names of tools that are not the caller's.
    pub names: ToolNames,
    /// Whether the body must not go to ConverseStream: it has tools, which the model takes by Converse only.
    pub is_whole: bool,
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
        problem: None,
    };
    let mut out = String::with_capacity(json.len() + json.len() / 8 + 256);
    let has_tools = conversion.write(&mut out);
    let is_whole = has_tools && conversion.refuses(Feature::StreamedTools);
    let Conversion { names, removed, problem, .. } = conversion;
    match problem {
        Some(problem) => Err(Error::invalid(problem)),
        None => Ok(Converted { json: out, names, is_whole, removed }),
    }
}

impl Conversion<'_, '_> {
    /// Writes the body. Returns whether it has tools.
    fn write(&mut self, out: &mut String) -> bool {
        let turns = self.turns();
        let has_tool_blocks = turns.iter().any(Turn::has_tool_blocks);
        if has_tool_blocks || self.member("tools").is_some_and(|it| it.get().len() > 2) {
            self.check(&["tools"], Feature::Tools, "tools");
        }
        out.push_str(r#"{"messages":["#);
        for turn in &turns {
            self.turn(turn, out);
        }
        out.push(']');
        self.system(out);
        self.inference(out);
        let has_tools = self.tools(has_tool_blocks, out);
        if let Some((id, version)) = self.target.guardrail {
            let (id, version) = (quoted(id), quoted(version));
            let start = r#","guardrailConfig":{"guardrailIdentifier":"#;
            put(out, &[start, &id, r#","guardrailVersion":"#, &version, "}"]);
        }
        if let Some(tier) = self.target.service_tier {
            put(out, &[r#","serviceTier":{"type":"#, &quoted(tier), "}"]);
        }
        self.options(out);
        out.push('}');
        self.tell_unknown();
        has_tools
    }
}
