//! The prices of models on Bedrock, and the cost of a call.
//!
//! They were checked in 2026-11 in LiteLLM 1.110's price list, which is made from AWS's. The table of models has the price of
//! each.
//!
//! Out of scope: discounts, provisioned throughput, service tiers, and models of other makers.

use super::usage::Usage;

/// The picodollars of a US dollar.
pub(crate) const PICODOLLARS: f64 = 1e12;

/// The prices of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Price {
    rates: Rates,
    /// The most tokens of a prompt with these rates, and the rates of a request whose prompt is longer.
    long: Option<(u64, Rates)>,
}

/// US dollars for a thousand million tokens, through a global inference profile. So 5,000 are $5 a million.
///
/// Writing to the cache has the price of input times 1.25, or times 2 if the entry stays for an hour: in every row of the
/// list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    input: u64,
    output: u64,
    cache_read: u64,
}

const fn rates(input: u64, output: u64, cache_read: u64) -> Rates {
    Rates { input, output, cache_read }
}

const fn price(input: u64, output: u64, cache_read: u64) -> Price {
    Price { rates: rates(input, output, cache_read), long: None }
}

impl Price {
    pub const FABLE_5_1: Self = price(10_000, 50_000, 250);
    pub const FABLE_5: Self = price(10_000, 50_000, 1_000);
    pub const OPUS_5_5: Self = price(4_000, 20_000, 200);
    /// Opus 5, and 4.5 to 4.8.
    pub const OPUS: Self = price(5_000, 25_000, 500);
    pub const SONNET_5_5: Self = price(2_000, 10_000, 100);
    pub const SONNET_5: Self = price(2_000, 10_000, 200);
    pub const SONNET_4_6: Self = price(3_000, 15_000, 300);
    pub const SONNET_4_5: Self =
        Self { long: Some((200_000, rates(6_000, 22_500, 600))), ..Self::SONNET_4_6 };
    pub const HAIKU_5_5: Self =
        Self { long: Some((100_000, rates(500, 2_500, 50))), ..price(100, 500, 10) };
    pub const HAIKU_4_5: Self = price(1_000, 5_000, 100);

    /// Returns the cost of a call in picodollars. `None`: Bedrock did not report the tokens.
    ///
    /// `id` is the id of the model as it was called, in `region`.
    pub(crate) fn cost(&self, id: &str, region: &str, usage: Usage) -> Option<u64> {
        let (input, output) = (usage.input_tokens?, usage.output_tokens?);
        // Without caching Bedrock may leave them out.
        let read = usage.cache_read_input_tokens.unwrap_or(0);
        let written = usage.cache_creation_input_tokens.unwrap_or(0);
        let for_an_hour = usage.cache_creation_1h_input_tokens.unwrap_or(0).min(written);
        let prompt = input + read + written;
        let rates = match self.long {
            Some((most, long)) if prompt > most => long,
            _ => self.rates,
        };
        // In quarters of a nanodollar.
        let quarters = input * rates.input * 4
            + output * rates.output * 4
            + read * rates.cache_read * 4
            + (written - for_an_hour) * rates.input * 5
            + for_an_hour * rates.input * 8;
        Some(quarters * 5 / 2 * percent(id, region))
    }
}

/// Returns the price in a place, in percent of that of the global profile.
fn percent(id: &str, region: &str) -> u64 {
    let id = id.rsplit_once('/').map_or(id, |(_, resource)| resource);
    match region.starts_with("us-gov-") {
        true => 120,
        false if id.starts_with("global.") => 100,
        false => 110,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claude::Model;

    #[test]
    fn a_call_costs_what_the_price_list_says_for_its_tokens_and_its_place() {
        const MILLION: [u64; 5] = [1_000_000; 5];
        // Tokens of input, output, read from the cache, written to it, and of these written for an hour; US dollars.
        for (id, region, [input, output, read, written, hour], expected) in [
            ("global.anthropic.claude-fable-5-1", "us-east-1", [1_000_000, 0, 0, 0, 0], 10.0),
            ("global.anthropic.claude-fable-5-1", "us-east-1", [0, 1_000_000, 0, 0, 0], 50.0),
            ("global.anthropic.claude-fable-5-1", "us-east-1", [0, 0, 1_000_000, 0, 0], 0.25),
            ("global.anthropic.claude-fable-5-1", "us-east-1", [0, 0, 0, 1_000_000, 0], 12.5),
            (
                "global.anthropic.claude-fable-5-1",
                "us-east-1",
                [0, 0, 0, 1_000_000, 1_000_000],
                20.0,
            ),
            ("global.anthropic.claude-fable-5", "us-east-1", MILLION, 10.0 + 50.0 + 1.0 + 20.0),
            ("global.anthropic.claude-opus-5-5", "us-east-1", MILLION, 4.0 + 20.0 + 0.2 + 8.0),
            ("global.anthropic.claude-opus-4-8", "us-east-1", MILLION, 5.0 + 25.0 + 0.5 + 10.0),
            ("global.anthropic.claude-sonnet-5-5", "us-east-1", MILLION, 2.0 + 10.0 + 0.1 + 4.0),
            ("global.anthropic.claude-sonnet-5", "us-east-1", MILLION, 2.0 + 10.0 + 0.2 + 4.0),
            ("global.anthropic.claude-sonnet-4-6", "us-east-1", MILLION, 3.0 + 15.0 + 0.3 + 6.0),
            // Long prompts: all of the request has another price.
            (
                "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "us-east-1",
                [200_000, 1000, 0, 0, 0],
                0.615,
            ),
            (
                "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "us-east-1",
                [1, 1000, 100_000, 100_000, 0],
                0.832_506,
            ),
            ("global.anthropic.claude-haiku-5-5", "us-east-1", [100_000, 1000, 0, 0, 0], 0.0105),
            (
                "global.anthropic.claude-haiku-5-5",
                "us-east-1",
                [100_000, 1000, 1, 0, 0],
                0.052_500_05,
            ),
            (
                "global.anthropic.claude-haiku-4-5-20251001-v1:0",
                "us-east-1",
                MILLION,
                1.0 + 5.0 + 0.1 + 2.0,
            ),
            // Other places.
            ("us.anthropic.claude-opus-5-5", "us-east-1", [1_000_000, 0, 0, 0, 0], 4.4),
            ("anthropic.claude-opus-5-5", "us-east-1", [1_000_000, 0, 0, 0, 0], 4.4),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-opus-5-5",
                "us-east-1",
                [1_000_000, 0, 0, 0, 0],
                4.0,
            ),
            ("us-gov.anthropic.claude-opus-5-5", "us-gov-west-1", [1_000_000, 0, 0, 0, 0], 4.8),
            // The cheapest token, and more than any request has.
            ("us.anthropic.claude-haiku-5-5", "us-east-1", [0, 0, 1, 0, 0], 0.000_000_011),
            ("us.anthropic.claude-fable-5", "us-east-1", [1_000_000_000; 5], 89_100.0),
        ] {
            let usage = Usage {
                input_tokens: Some(input),
                output_tokens: Some(output),
                cache_read_input_tokens: Some(read),
                cache_creation_input_tokens: Some(written),
                cache_creation_1h_input_tokens: Some(hour),
            };
            let price = Model::by_id(id).unwrap().price.unwrap();
            let cost = price.cost(id, region, usage).unwrap();
            assert_eq!(cost as f64 / PICODOLLARS, expected, "{id} {usage:?}");
        }
    }

    #[test]
    fn a_cost_is_unknown_without_the_tokens_but_not_without_those_of_the_cache() {
        let usage = Usage { input_tokens: Some(1), output_tokens: Some(1), ..Usage::default() };
        let cost = |usage| Price::OPUS_5_5.cost("global.anthropic.claude-opus-5-5", "", usage);
        assert_eq!(cost(usage), Some(24_000_000));
        assert_eq!(cost(Usage { input_tokens: None, ..usage }), None);
        assert_eq!(cost(Usage { output_tokens: None, ..usage }), None);
    }
}
