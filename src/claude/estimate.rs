//! An estimate of the tokens of a prompt, for the models whose tokens Bedrock does not count.
//!
//! It rather says too many than too few: a client compacts a conversation early, not too late. The costs are those that
//! Anthropic's published tokenizer has for texts of each kind (`tests/tokens`). Claude 4.7 and later make up to 1.35 times
//! as many tokens of a text.
//!
//! <https://docs.claude.com/en/docs/build-with-claude/token-counting>
//!
//! Out of scope: billing, which knows Bedrock's own numbers.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::models::{Feature, Model};

/// The tokens around a request, and around a message or a tool.
const OF_A_REQUEST: u64 = 8;
const OF_AN_OBJECT: u64 = 3;

/// The tokens of the instructions that the model gets with any tools.
const OF_TOOLS: u64 = 350;

/// The tokens of an image, up to Claude 4.6 and later.
const OF_AN_IMAGE: u64 = 1600;
const OF_A_LARGE_IMAGE: u64 = 4800;

/// A page of a document has about so many bytes of PDF a token.
const DOCUMENT_BYTES: u64 = 10;
const OF_A_PAGE: u64 = 2500;

/// The members that the model does not see, or that are counted otherwise.
const UNSEEN: [&str; 9] = [
    "type",
    "role",
    "cache_control",
    "signature",
    "data",
    "id",
    "tool_use_id",
    "media_type",
    "output_config",
];

/// Estimates the tokens of the prompt in a body of the Messages API.
pub(crate) fn estimate_tokens(body: &str, model: Option<&'static Model>) -> u64 {
    let is_later = model.is_none_or(|model| model.refuses(Feature::CountTokens));
    let mut counter = Counter { hundredths: 0, others: OF_A_REQUEST, is_later };
    // It was parsed before. A part that is nested too deeply for this parser stays uncounted.
    let _ = Body(&mut counter).deserialize(&mut serde_json::Deserializer::from_str(body));
    let factor = if is_later { 135 } else { 100 };
    (counter.hundredths * factor).div_ceil(10_000) + counter.others
}

struct Counter {
    /// Hundredths of tokens of text.
    hundredths: u64,
    /// Tokens that do not depend on the tokenizer.
    others: u64,
    is_later: bool,
}

impl Counter {
    fn media(&mut self, kind: Kind, base64_bytes: u64) {
        self.others += match kind {
            Kind::Image if self.is_later => OF_A_LARGE_IMAGE,
            Kind::Image => OF_AN_IMAGE,
            Kind::Document => (base64_bytes * 3 / 4 / DOCUMENT_BYTES).max(OF_A_PAGE),
        };
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Image,
    Document,
}

/// The members of a body that the model sees.
struct Body<'c>(&'c mut Counter);

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Key>()? {
            match &*name.0 {
                "tools" => {
                    self.0.others += OF_TOOLS;
                    map.next_value_seed(Part { counter: self.0, has_names: true })?;
                }
                "messages" | "system" => {
                    map.next_value_seed(Part { counter: self.0, has_names: false })?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// A part of a prompt.
struct Part<'c> {
    counter: &'c mut Counter,
    /// Whether the names of members are part of the prompt, as in a schema.
    has_names: bool,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.counter.others += 1;
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.counter.hundredths += hundredths_of(&number.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.counter.hundredths += hundredths_of(&number.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        // It has at most 17 digits.
        self.counter.others += 9;
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.counter.hundredths += hundredths_of(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { counter, has_names } = self;
        while seq.next_element_seed(Part { counter: &mut *counter, has_names })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { counter, has_names } = self;
        counter.others += OF_AN_OBJECT;
        let (mut kind, mut data) = (Kind::Document, None);
        while let Some(Key(name)) = map.next_key()? {
            match &*name {
                "data" if !has_names => data = Some(map.next_value::<Length>()?),
                "media_type" if !has_names => {
                    let media_type: Key = map.next_value().unwrap_or(Key(String::new()));
                    if media_type.0.starts_with("image/") {
                        kind = Kind::Image;
                    }
                }
                // The arguments of a tool have names of their own.
                _ if !has_names && UNSEEN.contains(&&*name) => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    if has_names {
                        counter.hundredths += hundredths_of(&name);
                    }
                    let has_names = has_names || name == "input";
                    map.next_value_seed(Part { counter: &mut *counter, has_names })?;
                }
            }
        }
        if let Some(Length(bytes)) = data {
            counter.media(kind, bytes);
        }
        Ok(())
    }
}

/// The length of a string, or 0 for another value.
struct Length(u64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LengthVisitor;

        impl Visitor<'_> for LengthVisitor {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Length, E> {
                Ok(Length(text.len() as u64))
            }
        }

        deserializer.deserialize_str(LengthVisitor)
    }
}

/// The kind of a character, by what it costs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Lower,
    Upper,
    Digit,
    Space,
    Line,
    Mark,
    Other(u64),
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' => Class::Lower,
        'A'..='Z' => Class::Upper,
        '0'..='9' => Class::Digit,
        ' ' | '\t' => Class::Space,
        '\n' | '\r' => Class::Line,
        '\0'..='\u{7f}' => Class::Mark,
        // Latin with accents, Greek, Cyrillic.
        '\u{80}'..='\u{52f}' => Class::Other(55),
        // Armenian, Hebrew, Arabic.
        '\u{530}'..='\u{8ff}' => Class::Other(100),
        // The scripts of India.
        '\u{900}'..='\u{dff}' => Class::Other(130),
        // Thai, Lao, Tibetan and others.
        '\u{e00}'..='\u{1fff}' => Class::Other(190),
        '\u{2000}'..='\u{2fff}' => Class::Other(150),
        // Chinese, Japanese, Korean, and their punctuation.
        '\u{3000}'..='\u{9fff}' | '\u{f900}'..='\u{ffff}' => Class::Other(100),
        '\u{a000}'..='\u{f8ff}' => Class::Other(130),
        _ => Class::Other(250),
    }
}

/// Estimates the tokens of a text in hundredths: runs of characters of one class cost by their lengths.
fn hundredths_of(text: &str) -> u64 {
    let (mut total, mut run, mut last) = (0, 0, None);
    for c in text.chars() {
        let class = class(c);
        // A word may begin with a capital letter.
        let continues = last == Some(class)
            || (last == Some(Class::Upper) && class == Class::Lower && run == 1);
        let is_within_word = matches!(last, Some(Class::Lower | Class::Upper | Class::Digit));
        run = if continues { run + 1 } else { 1 };
        last = Some(class);
        total += match class {
            Class::Other(cost) => cost,
            Class::Lower | Class::Upper => match run {
                // Within a word, as in base64.
                1 if is_within_word => 120,
                1 => 80,
                2..=4 => 10,
                _ => 20,
            },
            Class::Digit => 55,
            // A word has the space before it.
            Class::Space => {
                if run == 2 {
                    80
                } else {
                    5
                }
            }
            Class::Line => {
                if run == 1 {
                    60
                } else {
                    10
                }
            }
            Class::Mark => 65,
        };
    }
    total
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fixtures() -> Vec<Value> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tokens/tokens.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn a_text_is_undercounted_by_a_tenth_at_most_and_not_overcounted_without_measure() {
        let mut wrong = Vec::new();
        for fixture in fixtures() {
            let (text, tokens) =
                (fixture["text"].as_str().unwrap(), fixture["tokens"].as_u64().unwrap());
            let estimate = hundredths_of(text).div_ceil(100);
            if !(tokens * 90..=tokens * 180).contains(&(estimate * 100)) {
                wrong.push(format!("{}: {estimate} for {tokens}", fixture["name"]));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// The examples of Anthropic's page on counting, for Claude 4.
    #[test]
    fn the_published_counts_of_whole_requests_are_not_undercounted() {
        let model = Model::by_name("claude-sonnet-4-5");
        let weather = json!([{
            "name": "get_weather",
            "description": "Get the current weather in a given location",
            "input_schema": {
                "type": "object",
                "properties": { "location": { "type": "string", "description": "The city and state, e.g. San Francisco, CA" } },
                "required": ["location"],
            },
        }]);
        let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/jpeg", "data": "A".repeat(100_000) } });
        for (name, body, published) in [
            (
                "a system prompt",
                json!({ "system": "You are a scientist", "messages": [{ "role": "user", "content": "Hello, Claude" }] }),
                14,
            ),
            (
                "a tool",
                json!({ "tools": weather, "messages": [{ "role": "user", "content": "What's the weather like in San Francisco?" }] }),
                403,
            ),
            (
                "an image",
                json!({ "messages": [{ "role": "user", "content": [image, { "type": "text", "text": "Describe this image" }] }] }),
                1551,
            ),
        ] {
            let estimate = estimate_tokens(&body.to_string(), model);
            assert!(
                (published * 9 / 10..=published * 2).contains(&estimate),
                "{name}: {estimate} for {published}"
            );
            let later = estimate_tokens(&body.to_string(), Model::by_name("claude-opus-5"));
            assert!(later > estimate, "{name}: {later} for {estimate}");
        }
    }
}
