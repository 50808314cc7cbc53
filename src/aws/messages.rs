//! The table of the messages of AWS's errors that may be logged as they are.
//!
//! A message of AWS can quote a prompt, a reply, or a credential, in any encoding. So it is logged only if it is known: if
//! it fits a template, whose placeholders accept nothing that could be such a quotation.
//!
//! Sources: the API references of Bedrock and STS, "Troubleshooting Amazon Bedrock API Error Codes", and bug reports of
//! SDKs and gateways.
//!
//! Out of scope: what an error means ([`errors`](super::errors)).

use sha2::{Digest, Sha256};

use crate::hex::to_hex;

/// The templates, without a full stop at the end. Placeholders:
///
/// - `{n}`: a whole number.
/// - `{date}`: a time of a signature, such as `20260102T030405Z`.
/// - `{field}`: a path of fields that Claude's requests have, such as `messages.0.content` or `#/messages/0`.
/// - `{json}`: a JSON type.
/// - `{model}`: the id of a model or of an inference profile.
/// - `{arn}`: an ARN.
/// - `{action}`: an IAM action.
/// - `{service}`: the name of a service.
#[rustfmt::skip]
const TEMPLATES: &[&str] = &[
    // ValidationException, of Bedrock
    "The provided model identifier is invalid",
    "The provided content type is invalid. It must be application/json",
    "The requested operation is not recognized by the service",
    "Operation not allowed",
    "Invocation of model ID {model} with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model",
    "Invocation of model ID {model} with on-demand throughput isn't supported. Retry your request with the ID or ARN of an inference profile that contains this model",
    "Malformed input request, please reformat your input and try again",
    "Malformed input request: {n} schema violations found, please reformat your input and try again",
    "Malformed input request: expected minLength: {n}, actual: {n}, please reformat your input and try again",
    "Malformed input request: #: required key [{field}] not found, please reformat your input and try again",
    "Malformed input request: #: extraneous key [{field}] is not permitted, please reformat your input and try again",
    "Malformed input request: {field}: extraneous key [{field}] is not permitted, please reformat your input and try again",
    "Malformed input request: {field}: required key [{field}] not found, please reformat your input and try again",
    "Malformed input request: {field}: expected type: {json}, found: {json}, please reformat your input and try again",
    "Malformed input request: {field}: expected minLength: {n}, actual: {n}, please reformat your input and try again",
    "Malformed input request: {field}: expected minimum item count: {n}, found: {n}, please reformat your input and try again",
    "Malformed input request: {field}: {n} is not greater or equal to {n}, please reformat your input and try again",
    "Malformed input request: {field}: {n} is not less or equal to {n}, please reformat your input and try again",
    "Input is too long for requested model",
    "Input is too long",
    "The maximum tokens you requested exceeds the model limit of {n}. Try again with a maximum tokens value that is lower than {n}",
    "Output blocked by content filtering policy",
    // ValidationException, of Claude
    "{field}: Extra inputs are not permitted",
    "{field}: Field required",
    "{field}: Input should be a valid string",
    "{field}: Input should be a valid list",
    "{field}: Input should be a valid dictionary",
    "{field}: Input should be a valid integer",
    "{field}: Input should be a valid number",
    "{field}: Input should be greater than or equal to {n}",
    "{field}: Input should be less than or equal to {n}",
    "{field}: text content blocks must be non-empty",
    "{field}: text content blocks must contain non-whitespace text",
    "{field}: at least one message is required",
    "{field}: all messages must have non-empty content except for the optional final assistant message",
    "{field}: first message must use the \"user\" role",
    "{field}: final assistant content cannot end with trailing whitespace",
    "{field}: roles must alternate between \"user\" and \"assistant\", but found multiple \"user\" roles in a row",
    "{field}: roles must alternate between \"user\" and \"assistant\", but found multiple \"assistant\" roles in a row",
    "{field}: each stop sequence must contain non-whitespace",
    "{field}: `temperature` and `top_p` cannot both be specified for this model. Please use only one",
    "`temperature` and `top_p` cannot both be specified for this model. Please use only one",
    "`{field}` is deprecated for this model",
    "`{field}` may only be set to {n} when thinking is enabled",
    "`{field}` must be greater than `{field}`",
    "max_tokens: {n} > {n}, which is the maximum allowed number of output tokens for {model}",
    "max_tokens: must be greater than or equal to {n}",
    "prompt is too long: {n} tokens > {n} maximum",
    "input length and `max_tokens` exceed context limit: {n} + {n} > {n}, decrease input length or `max_tokens` and try again",
    "messages: text content blocks must be non-empty",
    "This model does not support assistant message prefill. The conversation must end with a user message",
    "invalid beta flag",
    // AccessDeniedException, UnrecognizedClientException and other refusals of a credential
    "You don't have access to the model with the specified model ID",
    "User: {arn} is not authorized to perform: {action} on resource: {arn}",
    "User: {arn} is not authorized to perform: {action} on resource: {arn} because no identity-based policy allows the {action} action",
    "User: {arn} is not authorized to perform: {action} on resource: {arn} with an explicit deny in an identity-based policy",
    "User: {arn} is not authorized to perform: {action} on resource: {arn} with an explicit deny in a service control policy",
    "Model access is denied due to IAM user or service role is not authorized to perform the required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this model. Refer to the Amazon Bedrock documentation for further details. Your AWS Marketplace subscription for this model cannot be completed at this time. If you recently fixed this issue, try again after {n} minutes",
    "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in the last {n} days. Please upgrade to an active model on Amazon Bedrock",
    "Authentication failed: Please make sure your API Key is valid",
    "Bearer Token has expired",
    "The security token included in the request is invalid",
    "The security token included in the request is expired",
    "Missing Authentication Token",
    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header",
    "Credential should be scoped to a valid region",
    "Credential should be scoped to correct service: '{service}'",
    "Signature expired: {date} is now earlier than {date} ({date} - {n} min.)",
    "Signature not yet current: {date} is still later than {date} ({date} + {n} min.)",
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details",
    "Request has expired",
    // ResourceNotFoundException
    "Could not resolve the foundation model from the provided model identifier",
    "Model use case details have not been submitted for this account. Fill out the Anthropic use case details form before using the model. If you have already filled out the form, try again in {n} minutes",
    "This model version has reached the end of its life. Please refer to the AWS documentation for more details",
    // ThrottlingException
    "Too many requests, please wait before trying again",
    "Too many requests, please wait before trying again. You have sent too many requests. Wait before trying again",
    "Too many tokens, please wait before trying again",
    "Too many tokens per day, please wait before trying again",
    "Too many connections, please wait before trying again",
    "Your request rate is too high. Reduce the frequency of requests",
    "Your request was denied due to exceeding the account quotas for Amazon Bedrock",
    "Too many requests",
    "Too many tokens",
    "Rate exceeded",
    // Failures of Bedrock and of models
    "Bedrock is unable to process your request",
    "The system encountered an unexpected error during processing. Try your request again",
    "An error occurred while streaming the response. Retry your request",
    "An internal error occurred",
    "Model has timed out in processing the request. Try your request again",
    "The model is not ready for inference. Wait and try your request again",
    "The request body is larger than {n} bytes or incomplete",
    "Internal server error",
    "Service Unavailable",
    "Overloaded",
];

/// The prefix that Bedrock puts before a message of the model's.
const OF_THE_MODEL: &str = "The model returned the following errors: ";

/// The beginning of AWS's canonical request, which follows the message about a wrong signature.
const CANONICAL_REQUEST: &str = "\n\nThe Canonical String for this request should have been";

/// The names of Claude's fields. A field with another name can be the caller's.
#[rustfmt::skip]
const FIELDS: &[&str] = &[
    "additionalModelRequestFields", "anthropic_beta", "anthropic_version", "base64", "budget_tokens", "cache_control",
    "citations", "compaction", "container", "content", "context_management", "custom", "data", "defer_loading",
    "description", "disable_parallel_tool_use", "display", "document", "eager_input_streaming", "edits", "effort", "fallbacks",
    "format", "image", "inferenceConfig", "inference_geo", "input", "input_schema", "is_error", "max_tokens",
    "mcp_servers", "media_type", "messages", "metadata", "model", "name", "output_config", "redacted_thinking", "role",
    "safeguards", "scope", "service_tier", "signature", "source", "speed", "stop_sequences", "stream", "strict", "system",
    "temperature", "text", "thinking", "tool_choice", "tool_result", "tool_use", "tool_use_id", "tools", "top_k",
    "top_p", "ttl", "type", "user_id",
];

const JSON_TYPES: &[&str] = &[
    "Array",
    "Boolean",
    "Integer",
    "JSONArray",
    "JSONObject",
    "Null",
    "Number",
    "Object",
    "String",
];

/// Returns the part of a message that fits a template, or a description of a message that fits none: its length, and the
/// beginning of its SHA-256, by which equal messages are recognized.
pub(crate) fn loggable(message: &str) -> String {
    let known = message.split_once(CANONICAL_REQUEST).map_or(message, |(known, _)| known).trim();
    if known.is_empty() || is_known(known) {
        return known.to_owned();
    }
    let hash = to_hex(&Sha256::digest(message).into());
    let hash = hash.get(..8).and_then(|hash| str::from_utf8(hash).ok()).unwrap_or_default();
    let length = message.len();
    format!(
        "a message of {length} bytes with the SHA-256 {hash}… (LOG_UPSTREAM_MESSAGES=full logs it)"
    )
}

fn is_known(message: &str) -> bool {
    let message = message.strip_prefix(OF_THE_MODEL).unwrap_or(message);
    let message = message.trim_end_matches('.');
    TEMPLATES.iter().any(|template| fits(template, message))
}

fn fits(template: &str, message: &str) -> bool {
    let Some((before, rest)) = template.split_once('{') else { return message == template };
    let (Some(message), Some((name, template))) =
        (message.strip_prefix(before), rest.split_once('}'))
    else {
        return false;
    };
    // The value ends where the next text of the template begins. No value has such a text within it.
    let next = template.split_once('{').map_or(template, |(next, _)| next);
    let end = if next.is_empty() || next == template {
        message.len().checked_sub(template.len())
    } else {
        message.find(next)
    };
    let Some((value, message)) = end.and_then(|end| message.split_at_checked(end)) else {
        return false;
    };
    accepts(name, value) && fits(template, message)
}

/// Reports whether a placeholder accepts a value.
fn accepts(name: &str, value: &str) -> bool {
    /// Longer than any id of AWS's.
    const MAX_BYTES: usize = 256;
    let consists_of = |punctuation: &[u8]| {
        value.bytes().all(|byte| byte.is_ascii_alphanumeric() || punctuation.contains(&byte))
    };
    let is_digit = |byte: u8| byte.is_ascii_digit();
    if value.is_empty() || value.len() > MAX_BYTES {
        return false;
    }
    match name {
        "n" => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            (1..=20).contains(&digits.len()) && digits.bytes().all(is_digit)
        }
        "date" => {
            let is_right = |(at, byte): (usize, u8)| match at {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => is_digit(byte),
            };
            value.len() == 16 && value.bytes().enumerate().all(is_right)
        }
        "field" => value
            .split(['.', '/', '#', '[', ']'])
            .all(|part| part.bytes().all(is_digit) || FIELDS.contains(&part)),
        "json" => JSON_TYPES.contains(&value),
        "model" => {
            let is_id = value.contains("claude") || value.split('.').count() > 1;
            let is_lower = value.bytes().all(|byte| !byte.is_ascii_uppercase());
            is_arn(value) || is_id && is_lower && consists_of(b"-.:")
        }
        "arn" => is_arn(value) && consists_of(b"-_.:/+=,@*"),
        "action" => value.split_once(':').is_some_and(|(service, action)| {
            let of_letters = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic());
            of_letters(action) && ["bedrock", "bedrock-mantle", "sts"].contains(&service)
        }),
        "service" => ["bedrock", "sts"].contains(&value),
        _ => false,
    }
}

fn is_arn(value: &str) -> bool {
    let mut parts = value.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (arn, partition, service) = (next(), next(), next());
    arn == "arn" && partition.starts_with("aws") && ["bedrock", "iam", "sts"].contains(&service)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values for the placeholders, and values that are no such things.
    const VALUES: &[(&str, &[&str], &[&str])] = &[
        ("n", &["0", "200000", "-1"], &["", "-", "1e5", "twelve", "１", "111111111111111111111"]),
        ("date", &["20260102T030405Z"], &["2026-01-02", "20260102T030405", "20260102T03040私"]),
        (
            "field",
            &[
                "messages",
                "messages.0.content",
                "tools.3.custom.defer_loading",
                "#/messages/1",
                "#",
            ],
            &["", "secretword", "messages.secretword", "messages.0.content: a word", "私"],
        ),
        ("json", &["JSONArray", "String"], &["", "Secret", "string of theirs"]),
        (
            "model",
            &[
                "anthropic.claude-sonnet-4-20250514-v1:0",
                "claude-opus-5",
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2",
            ],
            &["", "word", "two words", "IQoJb3JpZ2luX2Vj.EXAMPLE", "私.claude"],
        ),
        (
            "arn",
            &["arn:aws:iam::123456789012:user/edge", "arn:aws-cn:sts::1:assumed-role/r/s"],
            &["", "arn", "arn:aws:s3:::bucket", "arn:aws:iam::1:user/a b", "arn:x:iam::1:user/a"],
        ),
        (
            "action",
            &["bedrock:InvokeModel", "sts:AssumeRole"],
            &["", "bedrock", "s3:Get", "sts:a b"],
        ),
        ("service", &["bedrock", "sts"], &["", "s3", "a service"]),
    ];

    /// Returns the template with a value in each placeholder: `special` in the first that is called `name`.
    fn filled(template: &str, name: &str, special: &str) -> String {
        let mut text = template.to_owned();
        text = text.replacen(&format!("{{{name}}}"), special, 1);
        for (name, values, _) in VALUES {
            text = text.replace(&format!("{{{name}}}"), values[0]);
        }
        text
    }

    #[test]
    fn every_template_fits_with_its_values_and_with_no_others() {
        for template in TEMPLATES {
            assert!(!template.ends_with('.'), "{template}");
            assert_eq!(loggable(template) == *template, !template.contains('{'), "{template}");
            for (name, values, others) in VALUES {
                if !template.contains(&format!("{{{name}}}")) {
                    continue;
                }
                for value in *values {
                    let message = filled(template, name, value);
                    for message in [
                        message.clone(),
                        format!("{message}."),
                        format!("{message}. "),
                        format!("{OF_THE_MODEL}{message}"),
                    ] {
                        assert_eq!(loggable(&message), message.trim(), "{template}");
                    }
                }
                for value in *others {
                    let message = filled(template, name, value);
                    assert!(loggable(&message).starts_with("a message of "), "{message}");
                }
            }
        }
    }

    #[test]
    fn every_placeholder_is_described_by_values() {
        for template in TEMPLATES {
            for rest in template.split('{').skip(1) {
                let (name, _) = rest.split_once('}').unwrap();
                assert!(VALUES.iter().any(|(known, ..)| *known == name), "{template}");
            }
        }
    }

    #[test]
    fn of_a_message_that_quotes_something_only_length_and_hash_are_loggable() {
        let quotations = [
            "himitsu",
            "himitsu no keikaku",
            "私の計画",
            r"\u79c1\u306e\u8a08\u753b",
            "&#31169;",
            "aGltaXRzdQ==",
            "Authorization=AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260102",
            "x-amz-security-token",
            "IQoJb3JpZ2luX2Vj",
        ];
        for quotation in quotations {
            let mut messages = vec![quotation.to_owned(), format!("odd input '{quotation}'")];
            for template in TEMPLATES {
                let template = filled(template, "", "");
                // At the beginning, in the middle, and at the end.
                let middle = template.find(' ').unwrap_or(template.len());
                let (head, tail) = template.split_at(middle);
                messages.push(format!("{quotation} {template}"));
                messages.push(format!("{head} {quotation}{tail}"));
                messages.push(format!("{template} {quotation}"));
                messages.push(format!("{template}: {quotation}"));
                messages.push(format!("{template}\n{quotation}"));
            }
            for message in messages {
                let logged = loggable(&message);
                let start = format!("a message of {} bytes with the SHA-256 ", message.len());
                assert!(logged.starts_with(&start), "{message}: {logged}");
                assert!(!logged.contains(quotation), "{message}: {logged}");
            }
        }
    }

    #[test]
    fn equal_messages_have_equal_descriptions() {
        assert_eq!(
            loggable("himitsu"),
            "a message of 7 bytes with the SHA-256 b38f0af3… (LOG_UPSTREAM_MESSAGES=full logs it)"
        );
        assert_eq!(loggable("himitsu"), loggable("himitsu"));
        assert_ne!(loggable("himitsu"), loggable("Himitsu"));
    }

    #[test]
    fn of_the_message_about_a_signature_the_canonical_request_is_left_out() {
        let known = TEMPLATES.iter().find(|it| it.contains("signature we calculated")).unwrap();
        let message =
            format!("{known}.{CANONICAL_REQUEST}\n'POST\n/\n\nx-amz-security-token:IQoJ'\n");
        assert_eq!(loggable(&message), format!("{known}."));
        let message = format!("himitsu{CANONICAL_REQUEST}\n'POST'");
        assert!(loggable(&message).starts_with("a message of "));
        assert_eq!(loggable(""), "");
        assert_eq!(loggable(" \n"), "");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it measures the time that it takes")]
    fn a_long_message_is_matched_in_linear_time() {
        for unit in
            ["{", "messages.", "User: arn:aws:iam::1:user/", "#: ", "a is now earlier than "]
        {
            let message = unit.repeat(2_000_000 / unit.len());
            let started = std::time::Instant::now();
            assert!(loggable(&message).starts_with("a message of "), "{unit}");
            assert!(started.elapsed().as_secs() < 10, "{unit}: {:?}", started.elapsed());
        }
    }
}
