//! The content blocks of a reply: one reader for those of a whole reply and for those of a stream.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::RawText;
use crate::identifier::Identifier;
use crate::json::string;

/// What `amazon-bedrock-guardrailAction` says if a guardrail intervened. Otherwise it says `NONE`.
pub(crate) const INTERVENED: &str = "INTERVENED";

/// The text of a content block, or of a delta of one. `None`: the block has another type, and may have any form.
///
/// A text block may lack its text, or have `null` for it.
#[derive(Debug)]
pub(super) struct Block(pub(super) Option<RawText>);

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BlockVisitor;

        impl<'de> Visitor<'de> for BlockVisitor {
            type Value = Block;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a content block")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Block, A::Error> {
                // The type decides how the text is read. It comes first, unless a proxy has sorted the members.
                let mut is_text = None;
                let mut text = None;
                let mut raw: Option<&RawValue> = None;
                while let Some(name) = map.next_key::<Name>()? {
                    match (name, is_text) {
                        (Name::Type, _) => {
                            let kind = map.next_value::<&RawValue>()?;
                            let kind = string(kind).unwrap_or_default();
                            is_text = Some(matches!(&*kind, "text" | "text_delta"));
                        }
                        (Name::Text, Some(true)) => text = map.next_value::<Option<RawText>>()?,
                        (Name::Text, None) => raw = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                if is_text != Some(true) {
                    return Ok(Block(None));
                }
                if let Some(raw) = raw {
                    text = serde_json::from_str(raw.get()).map_err(Error::custom)?;
                }
                Ok(Block(Some(text.unwrap_or_default())))
            }
        }

        deserializer.deserialize_map(BlockVisitor)
    }
}

/// The name of a member.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Name {
    Type,
    Text,
    #[serde(other)]
    Other,
}

/// A word of Bedrock's, such as a stop reason. A value that is not an identifier counts as absent.
#[derive(Debug, Default)]
pub(super) struct Word(pub(super) Option<Identifier>);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(<&RawValue>::deserialize(deserializer)?))
    }
}

impl Word {
    pub(super) fn parse(json: &RawValue) -> Self {
        Self(string(json).as_deref().and_then(Identifier::new))
    }

    /// Reports whether the word, an action or a stop reason, says that a guardrail intervened.
    pub(super) fn is_intervened(&self) -> bool {
        let word = self.0.as_ref().map(|word| word.as_str().to_ascii_uppercase());
        matches!(word.as_deref(), Some(INTERVENED | "GUARDRAIL_INTERVENED"))
    }
}
