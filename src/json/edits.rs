//! Edits of a JSON text: what is not edited stays byte for byte.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// The edits of one valid JSON text. Its parts are slices of the text, which parsing without copying returns.
pub(crate) struct Edits<'a> {
    text: &'a str,
    edits: Vec<Edit<'a>>,
}

struct Edit<'a> {
    start: usize,
    end: usize,
    with: Cow<'a, str>,
    /// Whether the comma before or after it goes as well.
    is_removal: bool,
}

impl<'a> Edits<'a> {
    /// Starts without edits.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, edits: Vec::new() }
    }

    /// Replaces a value.
    pub(crate) fn replace(&mut self, value: &'a RawValue, with: impl Into<Cow<'a, str>>) {
        let Some((start, end)) = self.place(value.get()) else { return };
        self.edits.push(Edit { start, end, with: with.into(), is_removal: false });
    }

    /// Inserts members, written as `"name":value,`, at the beginning of a non-empty object.
    pub(crate) fn insert(&mut self, object: &'a str, members: impl Into<Cow<'a, str>>) {
        let Some((start, _)) = self.place(object) else { return };
        let start = start + 1;
        self.edits.push(Edit { start, end: start, with: members.into(), is_removal: false });
    }

    /// Removes an element of an array.
    pub(crate) fn remove_element(&mut self, value: &'a RawValue) {
        let Some((start, end)) = self.place(value.get()) else { return };
        self.edits.push(Edit { start, end, with: Cow::Borrowed(""), is_removal: true });
    }

    /// Removes a member of an object. Returns whether it did: it leaves a member whose name is written with escapes.
    pub(crate) fn remove_member(&mut self, name: &str, value: &'a RawValue) -> bool {
        let Some((value_start, end)) = self.place(value.get()) else { return false };
        let Some(start) = self.start_of_member(name, value_start) else { return false };
        self.edits.push(Edit { start, end, with: Cow::Borrowed(""), is_removal: true });
        true
    }

    /// Returns where the name of a member begins, with its quotation mark.
    fn start_of_member(&self, name: &str, value_start: usize) -> Option<usize> {
        let before = self.text.get(..value_start)?.trim_end_matches(WHITE_SPACE);
        let before = before.strip_suffix(':')?.trim_end_matches(WHITE_SPACE);
        let before = before.strip_suffix('"')?.strip_suffix(name)?.strip_suffix('"')?;
        Some(before.len())
    }

    /// Returns where a slice of the text begins and ends.
    fn place(&self, part: &str) -> Option<(usize, usize)> {
        let start = (part.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let end = start + part.len();
        (self.text.get(start..end)? == part).then_some((start, end))
    }

    /// Reports whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Applies the edits. What lies within an edit that came before is ignored.
    pub(crate) fn apply(mut self) -> String {
        self.edits.sort_by_key(|edit| (edit.start, edit.end));
        let added: usize = self.edits.iter().map(|edit| edit.with.len()).sum();
        let mut out = String::with_capacity(self.text.len() + added);
        let mut at = 0;
        for Edit { start, end, with, is_removal } in self.edits {
            if start < at {
                continue;
            }
            out.push_str(self.text.get(at..start).unwrap_or_default());
            out.push_str(&with);
            at = end;
            if is_removal {
                let rest = self.text.get(end..).unwrap_or_default();
                let behind = rest.trim_start_matches(WHITE_SPACE);
                if let Some(behind) = behind.strip_prefix(',') {
                    at = self.text.len() - behind.len();
                } else {
                    // It was the last: the comma before it, if what is left has one, goes.
                    let kept = out.trim_end_matches(WHITE_SPACE);
                    out.truncate(kept.strip_suffix(',').unwrap_or(kept).len());
                }
            }
        }
        out.push_str(self.text.get(at..).unwrap_or_default());
        out
    }
}

/// JSON's white space.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json::Members;

    /// Removes the members with these names from an object.
    fn without(text: &str, names: &[&str]) -> String {
        let Members(members) = serde_json::from_str(text).unwrap();
        let mut edits = Edits::new(text);
        for (name, value) in members.into_iter().filter(|(name, _)| names.contains(&&**name)) {
            assert!(edits.remove_member(&name, value), "{name}");
        }
        edits.apply()
    }

    #[test]
    fn removing_members_leaves_valid_json_and_every_other_byte() {
        for (names, expected) in [
            (&[][..], r#"{ "a": 1, "b" : [1, 2],"c":{"a": 3} }"#),
            (&["a"], r#"{  "b" : [1, 2],"c":{"a": 3} }"#),
            (&["b"], r#"{ "a": 1, "c":{"a": 3} }"#),
            (&["c"], r#"{ "a": 1, "b" : [1, 2] }"#),
            (&["a", "b"], r#"{  "c":{"a": 3} }"#),
            (&["b", "c"], r#"{ "a": 1 }"#),
            (&["a", "c"], r#"{  "b" : [1, 2] }"#),
            (&["a", "b", "c"], "{ }"),
        ] {
            let text = r#"{ "a": 1, "b" : [1, 2],"c":{"a": 3} }"#;
            let edited = without(text, names);
            assert_eq!(edited, expected, "{names:?}");
            assert!(serde_json::from_str::<Value>(&edited).is_ok(), "{edited}");
        }
    }

    #[test]
    fn elements_are_removed_and_values_replaced_and_inserted() {
        let text = r#"[1, [2, 3], {"a": 4}]"#;
        let elements: Vec<&RawValue> = serde_json::from_str(text).unwrap();
        let mut edits = Edits::new(text);
        edits.remove_element(elements[1]);
        edits.replace(elements[0], "one");
        edits.insert(elements[2].get(), r#""b":5,"#);
        assert_eq!(edits.apply(), r#"[one,  {"b":5,"a": 4}]"#);
    }

    #[test]
    fn a_name_with_escapes_and_a_part_of_another_text_are_left() {
        let text = r#"{"\u0061": 1}"#;
        let Members(members) = serde_json::from_str(text).unwrap();
        let mut edits = Edits::new(text);
        assert!(!edits.remove_member("a", members[0].1));
        let other = RawValue::from_string("1".to_owned()).unwrap();
        edits.replace(&other, "2");
        assert!(edits.is_empty());
        assert_eq!(edits.apply(), text);
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), json!({ "a": 1 }));
    }
}
