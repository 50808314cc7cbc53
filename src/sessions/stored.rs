//! A turn as it is stored, and the messages that the model gets of it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::claude::Usage;
use crate::json::{Members, elements, member, string, to_json, write_string};

/// A turn: what the user said and the model replied, verbatim, and what is known of the call.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// The model.
    pub model: Cow<'a, str>,
    /// A hash of the system prompt.
    pub system: Cow<'a, str>,
    /// The position of the first turn that the model has seen before this one.
    pub first: u64,
    /// The user's messages: an array.
    pub messages: &'a RawValue,
    /// The content of the model's reply: an array of blocks.
    pub content: &'a RawValue,
    /// The tokens that the calls of the session so far are billed by, with turns that were removed since.
    pub total: Usage,
    /// The cost of these calls in picodollars, if that of each is known.
    pub cost: Option<u64>,
}

/// The context that a signed block of thinking is bound to: the model, the system prompt, and the messages before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub model: String,
    pub system: String,
    /// The position of the first turn.
    pub first: u64,
}

impl<'a> Turn<'a> {
    /// Reads a turn. Returns `None` if it has another form.
    pub fn parse(json: &'a [u8]) -> Option<Self> {
        let Members(members) = serde_json::from_slice(json).ok()?;
        let member = |name| members.iter().find(|(known, _)| known == name).map(|(_, it)| *it);
        Some(Self {
            model: string(member("model")?)?,
            system: string(member("system")?)?,
            first: member("first")?.get().parse().ok()?,
            messages: member("messages")?,
            content: member("content")?,
            total: serde_json::from_str(member("total")?.get()).ok()?,
            cost: member("cost").and_then(|it| it.get().parse().ok()),
        })
    }

    /// Returns the turn as JSON.
    pub fn to_json(&self) -> String {
        let Self { model, system, first, messages, content, total, cost } = self;
        let (mut out, total, cost) = (r#"{"model":"#.to_owned(), to_json(total), to_json(cost));
        write_string(&mut out, model);
        out.push_str(r#","system":"#);
        write_string(&mut out, system);
        let first = first.to_string();
        out.extend([
            r#","first":"#,
            &first,
            r#","total":"#,
            &total,
            r#","cost":"#,
            &cost,
            r#","messages":"#,
        ]);
        out.extend([messages.get(), r#","content":"#, content.get(), "}"]);
        out
    }

    /// Returns the bytes of its messages.
    pub fn len(&self) -> usize {
        self.messages.get().len() + self.content.get().len()
    }

    /// Reports whether it begins with the result of a tool, which the turn before asked for.
    pub fn continues_tools(&self) -> bool {
        let first = elements(self.messages).into_iter().next();
        first.and_then(|it| member(it, "content")).is_some_and(|content| {
            elements(content).into_iter().any(|it| kind(it).as_deref() == Some("tool_result"))
        })
    }

    /// Appends its messages, if the model has anything to read in the reply. Returns their number, and whether thinking was left out.
    pub fn write(&self, prefix: Option<&Prefix>, out: &mut String) -> (usize, bool) {
        let is_bound = prefix.is_some_and(|prefix| {
            prefix.model == self.model && prefix.system == self.system && prefix.first == self.first
        });
        let (mut blocks, mut has_other, mut has_lost) = (Vec::new(), false, false);
        for block in elements(self.content) {
            match kind(block).as_deref() {
                // A turn is not refused for its thinking, but for thinking that is not its own.
                Some("thinking" | "redacted_thinking") => match is_bound {
                    true => blocks.push(block.get()),
                    false => has_lost = true,
                },
                // Claude returns empty texts, and does not take them.
                Some("text") if is_blank(block) => {}
                _ => {
                    has_other = true;
                    blocks.push(block.get());
                }
            }
        }
        let messages = elements(self.messages);
        if !has_other || messages.is_empty() {
            return (0, false);
        }
        for message in &messages {
            out.extend([if out.is_empty() { "" } else { "," }, message.get()]);
        }
        out.push_str(r#",{"role":"assistant","content":["#);
        out.push_str(&blocks.join(","));
        out.push_str("]}");
        (messages.len() + 1, has_lost)
    }

    /// Appends its messages as they were, to be read.
    pub fn write_verbatim(&self, out: &mut String) {
        for message in elements(self.messages) {
            out.extend([if out.is_empty() { "" } else { "," }, message.get()]);
        }
        out.extend([if out.is_empty() { "" } else { "," }, r#"{"role":"assistant","content":"#]);
        out.push_str(self.content.get());
        out.push('}');
    }
}

fn kind(block: &RawValue) -> Option<Cow<'_, str>> {
    member(block, "type").and_then(string)
}

fn is_blank(block: &RawValue) -> bool {
    member(block, "text").and_then(string).is_none_or(|text| text.trim().is_empty())
}

/// Adds the numbers of a call. A sum with an unknown number is unknown.
pub(super) fn add(total: Option<Usage>, usage: Usage) -> Usage {
    let Some(total) = total else { return usage };
    let known = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
    // Without caching Bedrock may leave them out.
    let or_none = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    };
    let mut sum = usage;
    sum.input_tokens = known(total.input_tokens, usage.input_tokens);
    sum.output_tokens = known(total.output_tokens, usage.output_tokens);
    sum.cache_read_input_tokens =
        or_none(total.cache_read_input_tokens, usage.cache_read_input_tokens);
    sum.cache_creation_input_tokens =
        or_none(total.cache_creation_input_tokens, usage.cache_creation_input_tokens);
    sum
}

/// Returns the position of the first turn that stays: as many of the last turns as may stay, of which the first does not
/// continue tools.
///
/// `turns` are the earlier ones: the bytes of each, and whether it continues tools.
pub(super) fn keep_from(turns: &[(usize, bool)], most_turns: usize, most_bytes: usize) -> usize {
    let mut left = most_bytes;
    let fitting = turns.iter().rev().take(most_turns).take_while(|(bytes, _)| {
        let fits = *bytes <= left;
        left = left.saturating_sub(*bytes);
        fits
    });
    let from = turns.len() - fitting.count();
    let rest = turns.get(from..).unwrap_or_default();
    // A session that is whole has no result without its call.
    let torn = if from == 0 { 0 } else { rest.iter().take_while(|(_, tools)| *tools).count() };
    from + torn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(messages: &str, content: &str, first: u64) -> String {
        format!(
            r#"{{"model":"m","system":"s","first":{first},"total":{{}},"messages":{messages},"content":{content}}}"#
        )
    }

    const USER: &str = r#"{"role":"user","content":"Hi"}"#;

    #[test]
    fn a_turn_becomes_messages_that_the_model_takes() {
        let prefix = |model: &str, system: &str, first| {
            Some(Prefix { model: model.to_owned(), system: system.to_owned(), first })
        };
        const THINKING: &str = r#"{"type":"thinking","thinking":"…","signature":"a\/b="}"#;
        const REDACTED: &str = r#"{"type":"redacted_thinking","data":"x"}"#;
        const TEXT: &str = r#"{"type":"text", "text":"\u3053 "}"#;
        const EMPTY: &str = r#"{"type":"text","text":""}"#;
        const TOOL: &str = r#"{"type":"tool_use","id":"t","name":"n","input":{}}"#;
        let all = format!("{THINKING},{REDACTED},{TEXT}");
        for (name, content, prefix, expected) in [
            ("verbatim", all.clone(), prefix("m", "s", 3), Some((all.clone(), false))),
            ("another model", all.clone(), prefix("n", "s", 3), Some((TEXT.to_owned(), true))),
            (
                "another system prompt",
                all.clone(),
                prefix("m", "t", 3),
                Some((TEXT.to_owned(), true)),
            ),
            (
                "earlier turns removed",
                all.clone(),
                prefix("m", "s", 4),
                Some((TEXT.to_owned(), true)),
            ),
            ("several models", all, None, Some((TEXT.to_owned(), true))),
            ("an empty text", format!("{EMPTY},{TEXT}"), None, Some((TEXT.to_owned(), false))),
            ("a tool", TOOL.to_owned(), None, Some((TOOL.to_owned(), false))),
            ("nothing", String::new(), None, None),
            ("an empty text only", EMPTY.to_owned(), None, None),
            ("thinking only", THINKING.to_owned(), prefix("m", "s", 3), None),
        ] {
            let json = turn(&format!("[{USER}, {USER}]"), &format!("[{content}]"), 3);
            let mut out = String::new();
            let written = Turn::parse(json.as_bytes()).unwrap().write(prefix.as_ref(), &mut out);
            match expected {
                Some((content, has_lost)) => {
                    let assistant = format!(r#"{{"role":"assistant","content":[{content}]}}"#);
                    assert_eq!(out, format!("{USER},{USER},{assistant}"), "{name}");
                    assert_eq!(written, (3, has_lost), "{name}");
                }
                None => assert_eq!((out, written), (String::new(), (0, false)), "{name}"),
            }
        }
    }

    #[test]
    fn a_turn_is_shown_as_it_is_stored() {
        let json = turn(&format!("[{USER}]"), r#"[{"type":"text","text":""}]"#, 0);
        let mut out = String::new();
        Turn::parse(json.as_bytes()).unwrap().write_verbatim(&mut out);
        let assistant = r#"{"role":"assistant","content":[{"type":"text","text":""}]}"#;
        assert_eq!(out, format!("{USER},{assistant}"));
    }

    #[test]
    fn a_turn_that_begins_with_the_result_of_a_tool_continues_the_one_before() {
        for (messages, expected) in [
            (r#"[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}]"#, true),
            (r#"[{"role":"user","content":[{"type":"text","text":"tool_result"}]}]"#, false),
            (r#"[{"role":"user","content":"tool_result"}]"#, false),
            ("[]", false),
        ] {
            let json = turn(messages, "[]", 0);
            let turn = Turn::parse(json.as_bytes()).unwrap();
            assert_eq!(turn.continues_tools(), expected, "{messages}");
        }
    }

    #[test]
    fn the_oldest_turns_go_first_and_no_tool_loses_its_result() {
        const T: bool = true;
        const F: bool = false;
        for (turns, most_turns, most_bytes, expected) in [
            (&[][..], 5, 100, 0),
            (&[(10, F), (10, F), (10, F)], 3, 30, 0),
            (&[(10, F), (10, F), (10, F)], 2, 30, 1),
            (&[(10, F), (10, F), (10, F)], 0, 30, 3),
            (&[(10, F), (10, F), (10, F)], 3, 29, 1),
            (&[(10, F), (10, F), (10, F)], 3, 9, 3),
            // A short one before a long one goes with it.
            (&[(1, F), (50, F), (10, F)], 3, 30, 2),
            // The result of a tool never stands alone.
            (&[(10, F), (10, T), (10, F)], 2, 100, 2),
            (&[(10, F), (10, T), (10, T)], 2, 100, 3),
            (&[(10, F), (10, T), (10, F), (10, F)], 4, 30, 2),
            (&[(10, F), (10, F), (10, T)], 2, 100, 1),
        ] {
            assert_eq!(keep_from(turns, most_turns, most_bytes), expected, "{turns:?}");
        }
    }

    #[test]
    fn a_sum_with_an_unknown_number_is_unknown() {
        let usage = |json: &str| serde_json::from_str::<Usage>(json).unwrap();
        for (total, next, expected) in [
            (
                r#"{"input_tokens":1,"output_tokens":2}"#,
                r#"{"input_tokens":3,"output_tokens":4}"#,
                r#"{"input_tokens":4,"output_tokens":6}"#,
            ),
            (
                r#"{"input_tokens":1,"output_tokens":2}"#,
                r#"{"output_tokens":4}"#,
                r#"{"output_tokens":6}"#,
            ),
            ("{}", r#"{"input_tokens":3,"output_tokens":4}"#, "{}"),
            (
                r#"{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":5}"#,
                r#"{"input_tokens":3,"output_tokens":4}"#,
                r#"{"input_tokens":4,"output_tokens":6,"cache_read_input_tokens":5}"#,
            ),
        ] {
            assert_eq!(add(Some(usage(total)), usage(next)), usage(expected), "{total} {next}");
        }
        assert_eq!(add(None, usage(r#"{"input_tokens":3}"#)), usage(r#"{"input_tokens":3}"#));
    }
}
