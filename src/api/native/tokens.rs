//! The most tokens that a call may use, where tokens are counted: by the length of its body, and the limit in it.

use serde::Deserialize;

use crate::bedrock::{Bill, Operation, Passed};
use crate::config::Config;
use crate::error::{Code, Error};
use crate::json::{Found, Scan};

/// The longest context of any model in tokens. A body with images has more bytes than tokens.
const MOST_INPUT: u64 = 1_000_000;

/// The most tokens of a reply of a model that is not in the table.
const MOST_OUTPUT: u64 = 128_000;

/// The members of a body that limit the reply, of any maker's models.
const LIMITS: &[&str] = &[
    "max_tokens",
    "max_completion_tokens",
    "max_gen_len",
    "maxTokens",
    "inferenceConfig",
    "textGenerationConfig",
];

/// The longest of them. A longer `inferenceConfig` counts as none.
const MAX_LIMIT_BYTES: usize = 4 << 10;

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
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Nested {
        max_tokens: Option<u64>,
        max_token_count: Option<u64>,
    }
    let mut scan = Scan::new(LIMITS, MAX_LIMIT_BYTES);
    body.scan(|part| {
        scan.push(part);
        !scan.is_over()
    });
    let of_model = request.endpoint.model.map(|it| u64::from(it.max_output_tokens));
    let of_model = of_model.unwrap_or(MOST_OUTPUT);
    let limits = LIMITS.iter().filter_map(|name| match scan.found(name) {
        Found::Missing => None,
        Found::Unclear => Some(of_model),
        Found::Once(json) => Some(match serde_json::from_slice::<u64>(json) {
            Ok(number) => number,
            Err(_) => {
                let nested = serde_json::from_slice::<Nested>(json).ok();
                nested.and_then(|it| it.max_tokens.or(it.max_token_count)).unwrap_or(of_model)
            }
        }),
    });
    let output = limits.max().unwrap_or(of_model).min(of_model);
    ((body.length() as u64).min(MOST_INPUT), output)
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
