//! The generated text, without directives, and where it ends.

use super::tokens;

/// The number of characters of the prompt that the reply quotes.
const QUOTED_OF_PROMPT: usize = 60;

/// The number of characters of the system prompt that the reply quotes.
const QUOTED_OF_SYSTEM: usize = 20;

/// Returns a text that quotes the prompt and the system prompt, in the language of the prompt.
pub(super) fn quoting(prompt: &str, system: Option<&str>) -> String {
    let quote = excerpt(prompt, QUOTED_OF_PROMPT);
    let characters = prompt.chars().count();
    let system = system.map(|system| excerpt(system.trim(), QUOTED_OF_SYSTEM));
    if prompt.chars().any(is_japanese) {
        let system = system.map_or(String::new(), |system| format!("システム: 「{system}」。"));
        format!(
            "「{quote}」と受け取りました({characters} 文字)。{system}これは Bedrock の代役です。"
        )
    } else {
        let system = system.map_or(String::new(), |system| format!(" System: \"{system}\"."));
        format!(
            "You said: \"{quote}\" ({characters} characters).{system} This is the Bedrock stand-in."
        )
    }
}

/// Tells whether a character is kana (half-width kana too) or kanji.
fn is_japanese(character: char) -> bool {
    matches!(
        character,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ff66}'..='\u{ff9f}'
    )
}

pub(super) fn excerpt(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Truncates a text before the first stop sequence or after `max_tokens`, whichever comes first.
/// Returns the text, the stop reason, and the stop sequence.
pub(super) fn truncate(
    text: &str,
    max_tokens: usize,
    stop_sequences: &[String],
) -> (String, &'static str, Option<String>) {
    let stop = stop_sequences
        .iter()
        .filter_map(|sequence| Some((text.find(sequence.as_str())?, sequence)))
        .min_by_key(|(position, _)| *position);
    let until_stop = stop.map_or(text, |(position, _)| &text[..position]);
    let tokens = tokens(until_stop);
    match tokens.get(..max_tokens) {
        Some(kept) if kept.len() < tokens.len() => (kept.concat(), "max_tokens", None),
        _ => match stop {
            Some((_, sequence)) => (until_stop.to_owned(), "stop_sequence", Some(sequence.clone())),
            None => (text.to_owned(), "end_turn", None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_before_a_stop_sequence_or_after_max_tokens() {
        /// Case, `max_tokens`, stop sequences; expected text, stop reason, stop sequence.
        type Row = (
            &'static str,
            usize,
            &'static [&'static str],
            &'static str,
            &'static str,
            Option<&'static str>,
        );
        const TEXT: &str = "one two, three";
        let cases: &[Row] = &[
            ("enough tokens", 4, &[], TEXT, "end_turn", None),
            ("one too few", 3, &[], "one two,", "max_tokens", None),
            ("one", 1, &[], "one", "max_tokens", None),
            ("more than fits", usize::MAX, &[], TEXT, "end_turn", None),
            ("stop", 9, &[","], "one two", "stop_sequence", Some(",")),
            ("first stop wins", 9, &["three", "two"], "one ", "stop_sequence", Some("two")),
            ("stop at the start", 9, &["one"], "", "stop_sequence", Some("one")),
            ("stop beyond the limit", 1, &["three"], "one", "max_tokens", None),
            ("stop that is not there", 9, &["four"], TEXT, "end_turn", None),
        ];
        for (case, max_tokens, stop_sequences, expected, reason, sequence) in cases {
            let stop_sequences: Vec<String> =
                stop_sequences.iter().map(ToString::to_string).collect();
            assert_eq!(
                truncate(TEXT, *max_tokens, &stop_sequences),
                ((*expected).to_owned(), *reason, sequence.map(str::to_owned)),
                "{case}"
            );
        }
    }

    #[test]
    fn the_reply_quotes_the_prompt_in_its_language() {
        let long = "あ".repeat(61);
        let reply_to_long = format!(
            "「{}…」と受け取りました(61 文字)。これは Bedrock の代役です。",
            "あ".repeat(60)
        );
        let cases: &[(&str, &str, Option<&str>, &str)] = &[
            (
                "english",
                "Hi",
                None,
                "You said: \"Hi\" (2 characters). This is the Bedrock stand-in.",
            ),
            (
                "with a system prompt",
                "Hi",
                Some("Be brief."),
                "You said: \"Hi\" (2 characters). System: \"Be brief.\". This is the Bedrock stand-in.",
            ),
            (
                "japanese",
                "今日は",
                Some("簡潔に"),
                "「今日は」と受け取りました(3 文字)。システム: 「簡潔に」。これは Bedrock の代役です。",
            ),
            ("long", &long, None, &reply_to_long),
        ];
        for (case, prompt, system, expected) in cases {
            assert_eq!(quoting(prompt, *system), *expected, "{case}");
        }
    }
}
