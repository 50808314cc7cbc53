//! The table of the errors of AWS's APIs: what each means for the caller, and whether a retry may succeed.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>
//!
//! Out of scope: how long to wait before a retry ([`bedrock::retry`](crate::bedrock)).

use Recovery::{Expired, Permanent, Skewed, Throttled, TimedOut, Transient, UsedUp};

use crate::error::Code;
use crate::identifier::Identifier;

/// The remedy for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// Nothing: the same request fails again.
    Permanent,
    /// A retry after a while, or another region: AWS throttles.
    Throttled,
    /// A new day: the quota of this one, in UTC, is used up. Another region has a quota of its own.
    UsedUp,
    /// A retry: AWS or the network failed.
    Transient,
    /// One retry: the model took too long and may do so again.
    TimedOut,
    /// A signature with AWS's time, if our clock is wrong.
    Skewed,
    /// New temporary credentials.
    Expired,
}

/// An error of AWS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AwsError {
    /// The name, in `x-amzn-errortype` or in an exception frame. Claude's own types end in `_error`. Empty: any.
    name: &'static str,
    /// The usual HTTP status. Several names also come with 400.
    pub status: u16,
    /// The code for the caller.
    pub code: Code,
    /// The remedy.
    pub recovery: Recovery,
    /// Whether Bedrock may bill the call all the same.
    pub may_be_billed: bool,
}

const NOT_BILLED: bool = false;
/// A model that has begun is not stopped by a timeout.
const BILLED: bool = true;

/// The errors. Of several with one status, the first stands for every name that is not in the table.
#[rustfmt::skip]
const ERRORS: [AwsError; 38] = [
    row("ValidationException", 400, Code::Rejected, Permanent, NOT_BILLED),
    row("invalid_request_error", 400, Code::Rejected, Permanent, NOT_BILLED),
    row("ServiceQuotaExceededException", 400, Code::Throttled, Permanent, NOT_BILLED),
    row("", 401, Code::AccessDenied, Permanent, NOT_BILLED),
    row("authentication_error", 401, Code::AccessDenied, Permanent, NOT_BILLED),
    row("AccessDeniedException", 403, Code::AccessDenied, Permanent, NOT_BILLED),
    row("ExpiredTokenException", 403, Code::AccessDenied, Expired, NOT_BILLED),
    row("IncompleteSignature", 403, Code::AccessDenied, Permanent, NOT_BILLED),
    row("IncompleteSignatureException", 403, Code::AccessDenied, Permanent, NOT_BILLED),
    row("InvalidSignatureException", 403, Code::AccessDenied, Skewed, NOT_BILLED),
    row("MissingAuthenticationTokenException", 403, Code::AccessDenied, Permanent, NOT_BILLED),
    row("NotAuthorized", 403, Code::AccessDenied, Permanent, NOT_BILLED),
    row("RequestTimeTooSkewed", 403, Code::AccessDenied, Skewed, NOT_BILLED),
    row("UnrecognizedClientException", 403, Code::AccessDenied, Permanent, NOT_BILLED),
    row("permission_error", 403, Code::AccessDenied, Permanent, NOT_BILLED),
    row("ResourceNotFoundException", 404, Code::ModelNotFound, Permanent, NOT_BILLED),
    row("not_found_error", 404, Code::ModelNotFound, Permanent, NOT_BILLED),
    row("UnknownOperationException", 404, Code::InvalidResponse, Permanent, NOT_BILLED),
    row("ModelTimeoutException", 408, Code::Timeout, TimedOut, BILLED),
    row("timeout_error", 408, Code::Timeout, TimedOut, BILLED),
    row("request_too_large", 413, Code::Rejected, Permanent, NOT_BILLED),
    row("ModelErrorException", 424, Code::ModelError, Permanent, NOT_BILLED),
    row("ModelStreamErrorException", 424, Code::ModelError, Permanent, NOT_BILLED),
    row("ThrottlingException", 429, Code::Throttled, Throttled, NOT_BILLED),
    row("rate_limit_error", 429, Code::Throttled, Throttled, NOT_BILLED),
    row("ModelNotReadyException", 429, Code::Unavailable, Transient, NOT_BILLED),
    row("InternalServerException", 500, Code::Unavailable, Transient, NOT_BILLED),
    row("api_error", 500, Code::Unavailable, Transient, NOT_BILLED),
    row("", 502, Code::Unavailable, Transient, NOT_BILLED),
    row("ServiceUnavailableException", 503, Code::Unavailable, Transient, NOT_BILLED),
    row("", 504, Code::Timeout, Transient, BILLED),
    row("overloaded_error", 529, Code::Unavailable, Transient, NOT_BILLED),
    // STS
    row("Throttling", 400, Code::Throttled, Throttled, NOT_BILLED),
    row("RequestExpired", 400, Code::AccessDenied, Skewed, NOT_BILLED),
    row("SignatureDoesNotMatch", 403, Code::AccessDenied, Skewed, NOT_BILLED),
    // Every other status, by its first digit.
    row("", 4, Code::Rejected, Permanent, NOT_BILLED),
    row("", 5, Code::Unavailable, Permanent, NOT_BILLED),
    // A success other than 200, or a redirect: AWS sends neither.
    row("", 0, Code::InvalidResponse, Permanent, NOT_BILLED),
];

/// The errors that come without a name, which their message tells: a part of it in lower case, and the name.
#[rustfmt::skip]
const NAMED_BY_MESSAGE: [(&str, &str); 16] = [
    ("too many requests", "ThrottlingException"),
    ("too many tokens", "ThrottlingException"),
    ("too many connections", "ThrottlingException"),
    ("request rate is too high", "ThrottlingException"),
    ("rate exceeded", "ThrottlingException"),
    ("exceeding the account quotas", "ThrottlingException"),
    ("unable to process your request", "ServiceUnavailableException"),
    ("overloaded", "overloaded_error"),
    ("timed out in processing the request", "ModelTimeoutException"),
    ("model is not ready", "ModelNotReadyException"),
    ("have access to the model", "AccessDeniedException"),
    ("is not authorized to perform", "AccessDeniedException"),
    ("token included in the request is expired", "ExpiredTokenException"),
    ("token included in the request is invalid", "UnrecognizedClientException"),
    ("could not resolve the foundation model", "ResourceNotFoundException"),
    ("malformed input request", "ValidationException"),
];

/// The messages that say that a prompt is too long: a part of each in lower case, and the wording that clients know.
const TOO_LONG: [(&str, &str); 4] = [
    ("prompt is too long", "prompt is too long"),
    ("exceed context limit", "input length and `max_tokens` exceed context limit"),
    ("input is too long", "Input is too long for requested model"),
    ("too many input tokens", "Input is too long for requested model"),
];

const fn row(
    name: &'static str,
    status: u16,
    code: Code,
    recovery: Recovery,
    may_be_billed: bool,
) -> AwsError {
    AwsError { name, status, code, recovery, may_be_billed }
}

impl AwsError {
    /// Finds an error by its name, or, if the name is unknown, by its status. The name says more than the
    /// status, which several errors share.
    pub(crate) fn find(name: &str, status: u16) -> Self {
        let named = ERRORS.iter().find(|row| !name.is_empty() && row.name == name);
        let by_status = |status: u16| ERRORS.iter().find(|row| row.status == status);
        let found = named.or_else(|| by_status(status)).or_else(|| by_status(status / 100));
        const LAST: AwsError = {
            let [.., last] = ERRORS;
            last
        };
        *found.unwrap_or(&LAST)
    }

    /// Finds an error of a stream or of a response with status 200, whose status says nothing. An unknown one counts as a
    /// failure of Bedrock's.
    pub(crate) fn find_without_status(name: &str, message: &str) -> Self {
        match Self::find(name, 500) {
            // A message of this kind needs no name.
            _ if name.is_empty() && too_long(message).is_some() => Self::TOO_LONG,
            error => error.refined(message),
        }
    }

    const TOO_LONG: Self = row("", 400, Code::InvalidRequest, Permanent, NOT_BILLED);

    /// Tells errors of one name apart by their message.
    pub(crate) fn refined(self, message: &str) -> Self {
        match self.code {
            Code::Rejected | Code::ModelError if too_long(message).is_some() => Self::TOO_LONG,
            Code::Throttled if is_of_the_day(message) => Self { recovery: UsedUp, ..self },
            _ => self,
        }
    }
}

/// Reports whether a message names a quota of the day.
fn is_of_the_day(message: &str) -> bool {
    let message = lower_case(message);
    message.contains("per day") || message.contains("daily")
}

/// Returns the name of an error that has none and whose message is known.
pub(crate) fn named_by(message: &str) -> Option<Identifier> {
    let message = lower_case(message);
    let mut names = NAMED_BY_MESSAGE.iter();
    names.find(|(part, _)| message.contains(part)).and_then(|(_, name)| Identifier::new(name))
}

/// Returns the beginning of a message in lower case: enough for every message of AWS's that is known.
fn lower_case(message: &str) -> String {
    message.chars().take(512).map(|it| it.to_ascii_lowercase()).collect()
}

/// Describes for the caller that a prompt is too long, if this message says so: in the words that clients know, with the
/// numbers, and without anything else that the message quotes.
pub(crate) fn too_long(message: &str) -> Option<String> {
    let message = lower_case(message);
    let (end, wording) = TOO_LONG
        .iter()
        .find_map(|(part, wording)| Some((message.find(part)? + part.len(), *wording)))?;
    let is_of_numbers = |word: &&str| {
        matches!(*word, "+" | ">" | "tokens" | "maximum")
            || !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
    };
    let behind = message.get(end..).and_then(|rest| rest.strip_prefix(": ")).unwrap_or_default();
    let words = behind.split([' ', ',', '.', '\n']).take_while(is_of_numbers);
    let numbers = words.collect::<Vec<_>>().join(" ");
    Some(if numbers.is_empty() { wording.to_owned() } else { format!("{wording}: {numbers}") })
}

/// Extracts the name of an AWS error: the text between a namespace's `#` and a URL's `:` in
/// `x-amzn-errortype` (`ThrottlingException:http://internal.amazon.com/…`) and in `__type`
/// (`com.amazon.coral.service#ThrottlingException`).
///
/// <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization>
pub(crate) fn error_type(text: &str) -> Option<Identifier> {
    let text = text.split_once(':').map_or(text, |(name, _)| name);
    Identifier::new(text.rsplit_once('#').map_or(text, |(_, name)| name).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_the_table_once() {
        for (at, row) in ERRORS.iter().enumerate().filter(|(_, row)| !row.name.is_empty()) {
            let first = ERRORS.iter().position(|other| other.name == row.name);
            assert_eq!(first, Some(at), "{}", row.name);
        }
    }

    #[test]
    fn every_name_finds_its_row_whatever_the_status() {
        for row in ERRORS.iter().filter(|row| !row.name.is_empty()) {
            for status in [200, 400, 403, 429, 500] {
                assert_eq!(AwsError::find(row.name, status), *row, "{}", row.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_judged_by_its_status() {
        for (status, code, recovery) in [
            (201, Code::InvalidResponse, Permanent),
            (302, Code::InvalidResponse, Permanent),
            (400, Code::Rejected, Permanent),
            (401, Code::AccessDenied, Permanent),
            (403, Code::AccessDenied, Permanent),
            (404, Code::ModelNotFound, Permanent),
            (408, Code::Timeout, TimedOut),
            (418, Code::Rejected, Permanent),
            (424, Code::ModelError, Permanent),
            (429, Code::Throttled, Throttled),
            (500, Code::Unavailable, Transient),
            (501, Code::Unavailable, Permanent),
            (502, Code::Unavailable, Transient),
            (503, Code::Unavailable, Transient),
            (504, Code::Timeout, Transient),
            (599, Code::Unavailable, Permanent),
        ] {
            for name in ["", "SomethingNewException"] {
                let found = AwsError::find(name, status);
                assert_eq!((found.code, found.recovery), (code, recovery), "{name} {status}");
            }
        }
    }

    #[test]
    fn a_message_tells_the_error_where_name_and_status_do_not() {
        #[rustfmt::skip]
        let cases = [
            ("", "Too many requests, please wait before trying again.", Code::Throttled, Throttled),
            ("", "Too many tokens, please wait before trying again.", Code::Throttled, Throttled),
            ("", "Too many tokens per day, please wait before trying again.", Code::Throttled, UsedUp),
            ("ThrottlingException", "Too many tokens per day, please wait.", Code::Throttled, UsedUp),
            ("ThrottlingException", "Too many tokens, please wait.", Code::Throttled, Throttled),
            ("ServiceQuotaExceededException", "Too many requests per day", Code::Throttled, UsedUp),
            ("ThrottlingException", "You have used up your daily quota of tokens.", Code::Throttled, UsedUp),
            ("", "Bedrock is unable to process your request.", Code::Unavailable, Transient),
            ("", "Overloaded", Code::Unavailable, Transient),
            ("", "You don't have access to the model with the specified model ID.", Code::AccessDenied, Permanent),
            ("", "The security token included in the request is expired", Code::AccessDenied, Expired),
            ("", "Input is too long for requested model.", Code::InvalidRequest, Permanent),
            ("ValidationException", "Input is too long for requested model.", Code::InvalidRequest, Permanent),
            ("invalid_request_error", "prompt is too long: 2 tokens > 1 maximum", Code::InvalidRequest, Permanent),
            ("ValidationException", "messages: at least one message is required", Code::Rejected, Permanent),
            ("AccessDeniedException", "prompt is too long", Code::AccessDenied, Permanent),
            ("UnknownOperationException", "", Code::InvalidResponse, Permanent),
            ("", "", Code::Unavailable, Transient),
            ("", "Something new", Code::Unavailable, Transient),
        ];
        for (name, message, code, recovery) in cases {
            let named = named_by(message);
            let by_message = named.as_ref().map_or("", Identifier::as_str);
            let name = if name.is_empty() { by_message } else { name };
            let found = AwsError::find_without_status(name, message);
            assert_eq!((found.code, found.recovery), (code, recovery), "{name} {message}");
        }
        for (part, name) in NAMED_BY_MESSAGE {
            assert_eq!(AwsError::find(name, 0).name, name);
            assert_eq!(lower_case(part), part);
        }
    }

    #[test]
    fn the_caller_learns_the_numbers_of_a_prompt_that_is_too_long_and_nothing_else() {
        let cases = [
            (
                "prompt is too long: 215301 tokens > 200000 maximum",
                "prompt is too long: 215301 tokens > 200000 maximum",
            ),
            (
                "The model returned the following errors: prompt is too long: 3 tokens > 2 maximum.",
                "prompt is too long: 3 tokens > 2 maximum",
            ),
            ("Prompt is too long", "prompt is too long"),
            ("prompt is too long: himitsu > 2", "prompt is too long"),
            ("prompt is too long: 3 tokens himitsu", "prompt is too long: 3 tokens"),
            ("prompt is too long himitsu", "prompt is too long"),
            ("Input is too long for requested model.", "Input is too long for requested model"),
            ("Input is too long.", "Input is too long for requested model"),
            (
                "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length",
                "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000",
            ),
        ];
        for (message, expected) in cases {
            assert_eq!(too_long(message).as_deref(), Some(expected), "{message}");
        }
        for message in ["", "messages: Field required", "the prompt is not allowed", "too long"] {
            assert_eq!(too_long(message), None, "{message}");
        }
    }

    #[test]
    fn the_name_of_an_error_stands_between_its_namespace_and_its_url() {
        let long = "a".repeat(129);
        let cases = [
            ("ThrottlingException", Some("ThrottlingException")),
            (
                "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/",
                Some("ThrottlingException"),
            ),
            ("com.amazon.coral.service#AccessDeniedException", Some("AccessDeniedException")),
            (
                "aws.protocoltests.restjson#FooError:http://internal.amazon.com/coral/#fragment",
                Some("FooError"),
            ),
            (" ThrottlingException ", Some("ThrottlingException")),
            ("", None),
            (" ", None),
            (":http://internal.amazon.com/", None),
            ("com.amazon.coral.service#", None),
            ("Throttling Exception", None),
            ("<script>", None),
            ("例外", None),
            ("Throttling\nException", None),
            (&long, None),
        ];
        for (text, expected) in cases {
            assert_eq!(error_type(text).as_ref().map(Identifier::as_str), expected, "{text:?}");
        }
    }
}
