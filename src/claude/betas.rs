//! The table of beta features: which values of `anthropic-beta` InvokeModel takes.
//!
//! It was checked in 2026-11 against LiteLLM 1.110 and third parties' measurements. A beta that is not in the table is
//! sent; if Bedrock refuses it, it is left out from then on ([`bedrock`](crate::bedrock)).

/// The treatment of a beta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beta {
    /// It is sent.
    Sent,
    /// Bedrock refuses it: "Unexpected value(s)".
    Refused,
    /// Bedrock knows it by another name.
    Renamed(&'static str),
}

use Beta::{Refused, Renamed, Sent};

/// The betas, without their dates.
#[rustfmt::skip]
const BETAS: [(&str, Beta); 27] = [
    ("claude-code", Sent),
    ("interleaved-thinking", Sent),
    ("thinking-token-count", Sent),
    ("context-management", Sent),
    ("context-1m", Sent),
    ("compact", Sent),
    ("mid-conversation-system", Sent),
    ("per-turn-control", Sent),
    ("mid-conversation-tool-changes", Sent),
    ("effort", Sent),
    ("dangerous-tool-use", Sent),
    ("tool-search-tool", Sent),
    ("thinking-binding-controls", Sent),
    ("afk-mode", Sent),
    ("advanced-tool-use", Renamed(TOOL_SEARCH)),
    ("prompt-caching-scope", Refused),
    ("advisor-tool", Refused),
    ("code-execution", Refused),
    ("files-api", Refused),
    ("mcp-client", Refused),
    ("skills", Refused),
    ("fast-mode", Refused),
    ("web-search", Refused),
    ("web-fetch", Refused),
    ("output-128k", Refused),
    ("token-efficient-tools", Refused),
    ("structured-outputs", Refused),
];

/// A body's member that Bedrock takes only with a beta, and that beta.
pub(crate) const PAIRS: [(&str, &str); 3] = [
    ("safeguards", "dangerous-tool-use-2026-09-03"),
    ("context_management", "context-management-2025-06-27"),
    ("compaction", "compact-2026-09-04"),
];

/// The beta of `messages[].output_config`.
pub(crate) const PER_TURN_CONTROL: &str = "per-turn-control";

/// The beta of `thinking.display` with the value `updates`.
pub(crate) const DISPLAY_UPDATES: &str = "thinking-display-updates";

/// The beta of `tools[].defer_loading`.
pub(crate) const TOOL_SEARCH: &str = "tool-search-tool-2025-10-19";

impl Beta {
    /// Finds a beta by its name, whatever its date.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let stem = stem(name);
        BETAS.iter().find(|(known, _)| *known == stem).map(|(_, beta)| *beta)
    }
}

/// Returns a beta's name without its date: `effort-2025-11-24` and `claude-code-20250219` end in one.
pub(crate) fn stem(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beta_is_found_whatever_its_date() {
        for (name, expected) in [
            ("claude-code-20250219", Some(Sent)),
            ("effort-2025-11-24", Some(Sent)),
            ("effort-2027-01-01", Some(Sent)),
            ("compact-2026-09-04", Some(Sent)),
            ("prompt-caching-scope-2026-01-05", Some(Refused)),
            ("advanced-tool-use-2025-11-20", Some(Renamed("tool-search-tool-2025-10-19"))),
            ("context-1m-2025-08-07", Some(Sent)),
            ("output-128k-2025-02-19", Some(Refused)),
            ("thinking-display-updates-2026-08-18", None),
            ("", None),
        ] {
            assert_eq!(Beta::find(name), expected, "{name}");
        }
        for (_, beta) in PAIRS {
            assert_eq!(Beta::find(beta), Some(Sent), "{beta}");
        }
    }
}
