//! The table of Bedrock's operations that are passed on as they came, and their paths.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>
//!
//! Out of scope: the operations that the Worker answers itself, and those that it does not serve.

use percent_encoding::{percent_decode_str, utf8_percent_encode};

use crate::percent::RESERVED;

/// An operation of Bedrock's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// The name, as in AWS's documentation.
    pub name: &'static str,
    /// The texts of the path. Between two of them is a name.
    path: &'static [&'static str],
    /// The place in its response that says how many tokens are billed.
    pub bill: Bill,
}

/// The place in a response that says how many tokens are billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bill {
    /// The headers, else the member `usage` of the JSON.
    Whole,
    /// The frames of an event stream.
    Frames,
    /// The member `usage` of the JSON, or, if it is a stream, the Server-Sent Events of Anthropic's API.
    Events,
    /// None: the operation is free.
    Free,
    /// None: the operation is billed by something else than tokens.
    NotInTokens,
}

/// The subject of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A model.
    Model,
    /// A guardrail and its version.
    Guardrail,
    /// None: the body names the model.
    Body,
}

#[rustfmt::skip]
static OPERATIONS: [Operation; 7] = [
    Operation { name: "InvokeModel", path: &["/model/", "/invoke"], bill: Bill::Whole },
    Operation { name: "InvokeModelWithResponseStream", path: &["/model/", "/invoke-with-response-stream"], bill: Bill::Frames },
    Operation { name: "Converse", path: &["/model/", "/converse"], bill: Bill::Whole },
    Operation { name: "ConverseStream", path: &["/model/", "/converse-stream"], bill: Bill::Frames },
    Operation { name: "CountTokens", path: &["/model/", "/count-tokens"], bill: Bill::Free },
    Operation { name: "ApplyGuardrail", path: &["/guardrail/", "/version/", "/apply"], bill: Bill::NotInTokens },
    Operation { name: "Messages", path: &["/anthropic/v1/messages"], bill: Bill::Events },
];

impl Operation {
    /// Finds the operation of a path, and returns it with the names in the path, decoded: a model, or a guardrail and its
    /// version. The SDKs of AWS encode the `:` and the `/` of a name, and those of Anthropic do not.
    pub(crate) fn find(path: &str) -> Option<(&'static Self, Vec<String>)> {
        OPERATIONS.iter().find_map(|operation| Some((operation, operation.names(path)?)))
    }

    /// Reports whether it is Converse or its stream.
    pub(crate) fn is_converse(&self) -> bool {
        self.name.starts_with("Converse")
    }

    /// Reports whether a model replies.
    pub(crate) fn generates(&self) -> bool {
        !matches!(self.bill, Bill::Free | Bill::NotInTokens)
    }

    /// Returns what the path names.
    pub(crate) fn subject(&self) -> Subject {
        match self.path.len() {
            1 => Subject::Body,
            2 => Subject::Model,
            _ => Subject::Guardrail,
        }
    }

    fn names(&self, path: &str) -> Option<Vec<String>> {
        let (first, others) = self.path.split_first()?;
        let rest = path.strip_prefix(first)?;
        let Some((last, between)) = others.split_last() else {
            return rest.is_empty().then(Vec::new);
        };
        let mut rest = rest.strip_suffix(last)?;
        let mut names = Vec::new();
        for text in between.iter().rev() {
            let (before, name) = rest.rsplit_once(text)?;
            names.insert(0, decode(name)?);
            rest = before;
        }
        names.insert(0, decode(rest)?);
        Some(names)
    }

    /// Returns the path with these names, as the SDKs of AWS write it.
    pub(crate) fn path(&self, names: &[&str]) -> String {
        let mut path = String::new();
        let mut names = names.iter();
        for (at, text) in self.path.iter().enumerate() {
            if at > 0 {
                path.extend(
                    names.next().into_iter().flat_map(|it| utf8_percent_encode(it, RESERVED)),
                );
            }
            path.push_str(text);
        }
        path
    }
}

/// Decodes a name. Only an ARN has slashes.
fn decode(name: &str) -> Option<String> {
    let decoded = percent_decode_str(name).decode_utf8().ok()?;
    let is_one = !name.contains('/') || decoded.starts_with("arn:");
    (!decoded.is_empty() && is_one).then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path, and its operation and names.
    type Case<'a> = (&'a str, Option<(&'a str, &'a [&'a str])>);

    #[test]
    fn a_name_is_read_in_both_encodings_and_written_as_the_sdks_of_aws_do() {
        const PROFILE: &str =
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5-5";
        const HAIKU: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";
        let encoded = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-opus-5-5";
        #[rustfmt::skip]
        let cases: [Case<'_>; 21] = [
            ("/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke", Some(("InvokeModel", &[HAIKU]))),
            ("/model/anthropic.claude-haiku-4-5-20251001-v1%3a0/invoke", Some(("InvokeModel", &[HAIKU]))),
            ("/model/anthropic.claude-haiku-4-5-20251001-v1:0/invoke", Some(("InvokeModel", &[HAIKU]))),
            ("/model/m/invoke-with-response-stream", Some(("InvokeModelWithResponseStream", &["m"]))),
            ("/model/m/converse", Some(("Converse", &["m"]))),
            ("/model/m/converse-stream", Some(("ConverseStream", &["m"]))),
            ("/model/m/count-tokens", Some(("CountTokens", &["m"]))),
            (&format!("/model/{PROFILE}/converse"), Some(("Converse", &[PROFILE]))),
            (&format!("/model/{encoded}/converse"), Some(("Converse", &[PROFILE]))),
            ("/guardrail/abc123/version/DRAFT/apply", Some(("ApplyGuardrail", &["abc123", "DRAFT"]))),
            ("/anthropic/v1/messages", Some(("Messages", &[]))),
            ("/anthropic/v1/messages/", None),
            ("/model//invoke", None),
            ("/model/invoke", None),
            ("/model/a/b/invoke", None),
            ("/model/m/invoke/", None),
            ("/model/m/invoke-with-bidirectional-stream", None),
            ("/model/%FF/invoke", None),
            ("/guardrail/a/version//apply", None),
            ("/models/m/invoke", None),
            ("", None),
        ];
        for (path, expected) in cases {
            let found = Operation::find(path);
            let found = found.as_ref().map(|(operation, names)| (operation.name, names));
            let expected = expected.map(|(name, names)| (name, names.to_vec()));
            assert_eq!(
                found.map(|(name, names)| (name, names.iter().map(|it| &**it).collect())),
                expected,
                "{path}"
            );
        }
        let (operation, _) = Operation::find("/model/m/converse").unwrap();
        assert_eq!(operation.path(&[PROFILE]), format!("/model/{encoded}/converse"));
        let (operation, names) = Operation::find("/guardrail/abc/version/1/apply").unwrap();
        let names: Vec<&str> = names.iter().map(|it| &**it).collect();
        assert_eq!(operation.path(&names), "/guardrail/abc/version/1/apply");
    }
}
