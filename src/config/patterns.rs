//! Patterns of model ids, of which a request may name every id that fits.

use super::endpoint::{Endpoint, NamedModel, parse_model_id};
use crate::aws::{Variant, check_model};
use crate::claude::Model;

/// The patterns of `ALLOWED_MODELS`, and where their models are called.
#[derive(Debug)]
pub(crate) struct Patterns {
    /// Each with one `*` or more, which stands for any text.
    patterns: Vec<String>,
    region: String,
    /// The URL of the endpoint, or the variant of AWS's own.
    base: Result<String, Variant>,
}

impl Patterns {
    pub(super) fn new(
        patterns: Vec<String>,
        region: String,
        base: Result<String, Variant>,
    ) -> Self {
        Self { patterns, region, base }
    }

    /// Makes the endpoint of a model whose id fits. `None`: it does not, or it is in another region.
    pub(super) fn find(&self, id: &str) -> Option<Endpoint> {
        let fits = self.patterns.iter().any(|pattern| matches(pattern, id));
        if !fits || check_model(id, &self.region).is_err() {
            return None;
        }
        let id = parse_model_id(id).ok()?;
        let model = Model::by_id(&id);
        let base = self.base.as_deref().map_err(|variant| *variant);
        Endpoint::new(base, self.region.clone(), NamedModel { id, model }).ok()
    }

    /// Returns the models of the table whose ids fit, in the order of the table.
    pub(super) fn known(&self) -> impl Iterator<Item = Endpoint> {
        let ids = Model::ALL.iter().flat_map(|model| {
            let profiles = model.profiles.iter().map(|prefix| format!("{prefix}.{}", model.id));
            let base = model.profiles.is_empty().then(|| model.id.to_owned());
            profiles.chain(base)
        });
        // Without a pattern there is nothing to try.
        ids.take(if self.patterns.is_empty() { 0 } else { usize::MAX })
            .filter_map(|id| self.find(&id))
    }
}

/// Reports whether an id fits a pattern, in which each `*` stands for any text.
fn matches(pattern: &str, id: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == id };
    let Some(mut id) = id.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = id.find(part) else { return false };
        id = id.get(at + part.len()..).unwrap_or_default();
    }
    id.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_of_a_pattern_stands_for_any_text() {
        for (pattern, id, fits) in [
            ("us.anthropic.*", "us.anthropic.claude-opus-5-5", true),
            ("us.anthropic.*", "us.anthropic.", true),
            ("us.anthropic.*", "eu.anthropic.claude-opus-5-5", false),
            ("us.anthropic.*", "global.us.anthropic.claude-opus-5-5", false),
            ("*.anthropic.*", "us.anthropic.claude-opus-5-5", true),
            ("*.anthropic.*", "anthropic.claude-opus-5-5", false),
            ("*anthropic.claude-opus-*", "anthropic.claude-opus-5-5", true),
            ("*-v1:0", "amazon.nova-lite-v1:0", true),
            ("*-v1:0", "amazon.nova-lite-v1:0:300k", false),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a*bc*bc", "abc", false),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/*",
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
                true,
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/*",
                "arn:aws:bedrock:us-east-1:999999999999:application-inference-profile/abc",
                false,
            ),
        ] {
            assert_eq!(matches(pattern, id), fits, "{pattern} {id}");
        }
    }
}
