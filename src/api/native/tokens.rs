//! The most tokens that a call may use, where tokens are counted: by the length of its body, and the limit in it.

use crate::bedrock::{Bill, Operation, Passed};
use crate::config::Config;
use crate::error::{Code, Error};
use crate::json::{Found, Members, Scan};

/// The longest context of any model in tokens. A body with images has more bytes than tokens.
const MOST_INPUT: u64 = 1_000_000;

/// The most tokens of a reply of a model that is not in the table.
const MOST_OUTPUT: u64 = 128_000;

/// The members of a body that can limit the reply.
const LIMITS: &[&str] = &[
    "max_tokens",
    "max_completion_tokens",
    "max_gen_len",
    "maxTokens",
    INFERENCE,
    TITAN,
    OF_THE_MODEL,
];

const INFERENCE: &str = "inferenceConfig";
const TITAN: &str = "textGenerationConfig";

/// The member of Converse with fields of the model, which has limits of its own.
const OF_THE_MODEL: &str = "additionalModelRequestFields";

/// The names of a limit within another member.
const NAMES: [&str; 6] = [
    "max_tokens",
    "max_completion_tokens",
    "max_new_tokens",
    "max_gen_len",
    "maxTokens",
    "maxTokenCount",
];

/// The longest of them. A longer `inferenceConfig` counts as none.
const MAX_LIMIT_BYTES: usize = 4 << 10;

/// The parts of the ids of models, and the members that limit their replies in InvokeModel. A model passes over the limits of
/// others.
const LIMITS_OF: [(&str, &[&str]); 4] = [
    ("anthropic.", &["max_tokens"]),
    ("amazon.nova", &[INFERENCE]),
    ("amazon.titan", &[TITAN]),
    ("meta.", &["max_gen_len"]),
];

/// The limits of models of all other makers, whose bodies are those of OpenAI's API or resemble them.
const LIMITS_OF_OTHERS: &[&str] = &["max_tokens", "max_completion_tokens", "maxTokens"];

/// Returns the members that limit the reply to a request. Of a model that is hidden behind an ARN any may.
fn limits_of(request: &Passed<'_>) -> &'static [&'static str] {
    let endpoint = &request.endpoint;
    let id = endpoint.model.map_or(&*endpoint.model_id, |model| model.id);
    let of_maker = || LIMITS_OF.iter().find(|(part, _)| id.contains(part));
    match of_maker() {
        _ if request.operation.is_converse() => &[INFERENCE],
        Some((_, limits)) => limits,
        None if id.starts_with("arn:") => LIMITS,
        None => LIMITS_OF_OTHERS,
    }
}

/// Parts of the ids of models whose calls are billed by something else than tokens, or whose replies do not say how many.
const NOT_IN_TOKENS: [&str; 10] = [
    "embed",
    "rerank",
    "image",
    "canvas",
    "reel",
    "stability.",
    "luma.",
    "twelvelabs.",
    "sonic",
    "marengo",
];

/// Returns the most tokens of the input and of the reply.
pub(crate) fn most_tokens(request: &Passed<'_>) -> (u64, u64) {
    if request.operation.bill == Bill::NotInTokens {
        return (0, 0);
    }
    let body = &request.body;
    let mut scan = Scan::new(LIMITS, MAX_LIMIT_BYTES);
    body.scan(|part| {
        scan.push(part);
        !scan.is_over()
    });
    let of_model = request.endpoint.model.map(|it| u64::from(it.max_output_tokens));
    let of_model = of_model.unwrap_or(MOST_OUTPUT);
    let limit = |name: &&str| match scan.found(name) {
        Found::Missing => None,
        Found::Unclear => Some(of_model),
        Found::Once(json) => Some(limit_in(json).unwrap_or(of_model)),
    };
    // The model may prefer a limit among its own fields, whose names may be written with escapes.
    let has_own = match scan.found(OF_THE_MODEL) {
        Found::Missing => false,
        Found::Unclear => true,
        Found::Once(json) => std::str::from_utf8(json)
            .is_ok_and(|json| json.contains('\\') || NAMES.iter().any(|name| json.contains(name))),
    };
    let limits = limits_of(request).iter().filter_map(limit);
    let output = if has_own { of_model } else { limits.max().unwrap_or(of_model).min(of_model) };
    ((body.length() as u64).min(MOST_INPUT), output)
}

/// Reads a limit: a number, or an object that has one.
fn limit_in(json: &[u8]) -> Option<u64> {
    if let Ok(number) = serde_json::from_slice::<u64>(json) {
        return Some(number);
    }
    let Members(members) = serde_json::from_slice(json).ok()?;
    let limits = members.iter().filter(|(name, _)| NAMES.contains(&&**name));
    // One that is not a number is none.
    let numbers: Option<Vec<u64>> = limits.map(|(_, it)| it.get().parse().ok()).collect();
    numbers?.into_iter().max()
}

/// Checks that a call can be counted in tokens, where tokens have a limit.
///
/// # Errors
///
/// If it cannot.
pub(super) fn check_countable(
    operation: &Operation,
    model_id: &str,
    config: &Config,
) -> Result<(), Error> {
    let budget = config.limits.budget.unwrap_or_default();
    if budget.daily_tokens.is_none() && budget.monthly_tokens.is_none() {
        return Ok(());
    }
    let is_countable = match operation.bill {
        Bill::NotInTokens => false,
        Bill::Free => true,
        Bill::Whole | Bill::Frames | Bill::Events => {
            let id = model_id.to_ascii_lowercase();
            !NOT_IN_TOKENS.iter().any(|part| id.contains(part))
        }
    };
    if is_countable {
        return Ok(());
    }
    let message = "This call is not billed by tokens, and the gateway limits the tokens of its callers: it is not served.";
    Err(Error::new(Code::InvalidRequest, message))
}
