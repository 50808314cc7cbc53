//! The names of tools and the ids of their calls, in the characters that Converse takes.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::hex::to_hex;

/// The longest name of a tool, and the longest id of a call.
const LONGEST: usize = 64;

/// The tools that Converse knows by another name than the caller does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ToolNames {
    /// Converse's name and the caller's.
    renamed: Vec<(String, String)>,
}

impl ToolNames {
    /// Returns the name for Converse. The same name always gives the same one.
    pub(super) fn shorten<'a>(&mut self, name: &'a str) -> Cow<'a, str> {
        if is_name(name) {
            return Cow::Borrowed(name);
        }
        let short = hashed(name, 't');
        if !self.renamed.iter().any(|(known, _)| *known == short) {
            self.renamed.push((short.clone(), name.to_owned()));
        }
        Cow::Owned(short)
    }

    /// Returns the caller's name of a tool.
    pub(super) fn restore<'a>(&'a self, name: &'a str) -> &'a str {
        let mut renamed = self.renamed.iter();
        renamed.find(|(short, _)| short == name).map_or(name, |(_, own)| own)
    }
}

/// Reports whether Converse takes a name for a tool. Some models want a letter first.
fn is_name(name: &str) -> bool {
    name.len() <= LONGEST
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(is_word)
}

/// Returns the id of a tool call for Converse. The same id always gives the same one.
pub(super) fn call_id(id: &str) -> Cow<'_, str> {
    let is_allowed = |byte| is_word(byte) || byte == b'.' || byte == b':';
    if !id.is_empty() && id.len() <= LONGEST && id.bytes().all(is_allowed) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(hashed(id, 'c'))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// Writes the beginning of a text in allowed characters, and behind it a hash of the whole.
fn hashed(text: &str, first: char) -> String {
    const KEPT: usize = 30;
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut short = String::with_capacity(LONGEST);
    short.push(first);
    short.push('_');
    let kept = text.bytes().take(KEPT);
    short.extend(kept.map(|byte| if is_word(byte) { char::from(byte) } else { '_' }));
    short.push('_');
    short.extend(to_hex(&hash).into_iter().take(LONGEST / 2 - 2).map(char::from));
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_converse_refuses_is_hashed_and_restored_and_no_other_is_touched() {
        let longest = format!("a{}", "b".repeat(63));
        for name in ["get_weather", "Bash", "mcp__github__create-issue", &longest] {
            let mut names = ToolNames::default();
            assert_eq!(names.shorten(name), name);
            assert_eq!(names, ToolNames::default());
        }
        let too_long = format!("{longest}c");
        let mut names = ToolNames::default();
        let mut all = Vec::new();
        for name in ["", "_a", "1a", "a.b", "a b", "天気", &too_long] {
            let short = names.shorten(name).into_owned();
            assert!(is_name(&short), "{name}: {short}");
            assert_eq!(names.shorten(name), short);
            assert_eq!(names.restore(&short), name);
            all.push(short);
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 7);
        assert_eq!(names.renamed.len(), 7);
        assert_eq!(names.restore("Bash"), "Bash");
    }

    #[test]
    fn an_id_of_a_call_has_the_characters_and_the_length_of_converse() {
        for id in ["toolu_01A", "tooluse_x-Y", "a.b:c"] {
            assert_eq!(call_id(id), id);
        }
        for id in ["", "a b", &"a".repeat(65)] {
            let short = call_id(id);
            assert!(short.len() <= LONGEST && short.bytes().all(is_word), "{short}");
            assert_eq!(call_id(id), short);
        }
    }
}
