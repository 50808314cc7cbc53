//! The settings of sessions in DynamoDB.

use http::Uri;

use super::endpoint::{parse_endpoint, parse_region};
use super::settings::parse_upstream_messages;
use super::variables::{ConfigError, Variables, parse_header_text};
use crate::aws::{Credentials, Variant, endpoint_url};

/// A table of DynamoDB that keeps sessions, and the credentials for it.
///
/// ```
/// use bedrock_edge::dynamodb::SessionsTable;
///
/// let table = SessionsTable::from_vars(|name| match name {
///     "SESSIONS_TABLE" => Some("sessions".to_owned()),
///     // A Lambda has these from its role.
///     "AWS_REGION" => Some("ap-northeast-1".to_owned()),
///     "AWS_ACCESS_KEY_ID" => Some("AKIAIOSFODNN7EXAMPLE".to_owned()),
///     "AWS_SECRET_ACCESS_KEY" => Some("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
///     _ => None,
/// })?;
/// let endpoint = table.unwrap().endpoint;
/// assert_eq!(endpoint, "https://dynamodb.ap-northeast-1.amazonaws.com/");
/// # Ok::<(), bedrock_edge::ConfigError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct SessionsTable {
    /// `SESSIONS_TABLE`: the name.
    pub name: String,
    /// `AWS_REGION`: the region.
    pub region: String,
    /// `AWS_ENDPOINT_URL_DYNAMODB`, or AWS's own endpoint of the region.
    pub endpoint: Uri,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub credentials: Credentials,
    /// `LOG_UPSTREAM_MESSAGES`: whether DynamoDB's messages are logged in full, even if they can quote an item.
    pub logs_upstream_messages: bool,
}

impl SessionsTable {
    /// Reads and validates the variables. Returns `None` if `SESSIONS_TABLE` is not set.
    ///
    /// # Errors
    ///
    /// Names every variable that is wrong, not only the first.
    pub fn from_vars(vars: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ConfigError> {
        let mut vars = Variables::new(vars);
        let table = Self::read(&mut vars);
        vars.finish(table)
    }

    fn read(vars: &mut Variables<impl Fn(&str) -> Option<String>>) -> Option<Option<Self>> {
        let Some(name) = vars.read_optional("SESSIONS_TABLE", parse_table_name)? else {
            return Some(None);
        };
        let region = vars.read_required(REGION);
        let region = vars.parse_optional(REGION, region, parse_region);
        let url = vars.read_optional("AWS_ENDPOINT_URL_DYNAMODB", parse_endpoint);
        let id = vars.read_required("AWS_ACCESS_KEY_ID");
        let secret = vars.read_required("AWS_SECRET_ACCESS_KEY");
        let token = vars.read_optional("AWS_SESSION_TOKEN", parse_header_text);
        let messages = vars.read("LOG_UPSTREAM_MESSAGES", "known", parse_upstream_messages);
        let region = region??;
        let url = url?.unwrap_or_else(|| endpoint_url("dynamodb", &region, Variant::default()));
        let endpoint = format!("{url}/").parse();
        let endpoint = endpoint.map_err(|error| {
            vars.problem("the endpoint of DynamoDB", &format!("is not a URL: {error}"));
        });
        Some(Some(Self {
            name,
            region,
            endpoint: endpoint.ok()?,
            credentials: Credentials::new(id?, secret?, token?),
            logs_upstream_messages: messages?,
        }))
    }
}

const REGION: &str = "AWS_REGION";

/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
fn parse_table_name(text: &str) -> Result<String, &'static str> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (3..=255).contains(&text.len()) && text.bytes().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err("must be the name of a table: 3 to 255 letters, digits, and _.-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARS: [(&str, &str); 4] = [
        ("SESSIONS_TABLE", "sessions"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ];

    fn table(vars: &[(&str, &str)]) -> Result<Option<SessionsTable>, ConfigError> {
        SessionsTable::from_vars(|name| {
            let mut all = vars.iter().chain(&VARS);
            all.find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_a_table_no_other_variable_is_read() {
        let read = SessionsTable::from_vars(|name| {
            assert_eq!(name, "SESSIONS_TABLE");
            None
        });
        assert!(read.unwrap().is_none());
    }

    #[test]
    fn the_endpoint_is_that_of_the_region_unless_it_is_set() {
        const URL: &str = "AWS_ENDPOINT_URL_DYNAMODB";
        for (vars, expected) in [
            (&[][..], "https://dynamodb.eu-west-1.amazonaws.com/"),
            (&[("AWS_REGION", "cn-north-1")], "https://dynamodb.cn-north-1.amazonaws.com.cn/"),
            (&[(URL, "http://127.0.0.1:8000")], "http://127.0.0.1:8000/"),
            (
                &[(URL, "https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com/")],
                "https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com/",
            ),
        ] {
            assert_eq!(table(vars).unwrap().unwrap().endpoint, expected, "{vars:?}");
        }
    }

    #[test]
    fn every_problem_is_named_and_no_value() {
        for (name, value, expected) in [
            (
                "SESSIONS_TABLE",
                "ab",
                "SESSIONS_TABLE must be the name of a table: 3 to 255 letters, digits, and _.-",
            ),
            (
                "SESSIONS_TABLE",
                "a/b/c",
                "SESSIONS_TABLE must be the name of a table: 3 to 255 letters, digits, and _.-",
            ),
            ("AWS_REGION", "", "AWS_REGION is not set"),
            ("AWS_REGION", "EU", "AWS_REGION must be the name of a region, such as ap-northeast-1"),
            ("AWS_ACCESS_KEY_ID", "", "AWS_ACCESS_KEY_ID is not set"),
            ("AWS_SECRET_ACCESS_KEY", " ", "AWS_SECRET_ACCESS_KEY is not set"),
            (
                "AWS_SESSION_TOKEN",
                "a b",
                "AWS_SESSION_TOKEN must be printable ASCII without white space",
            ),
            ("LOG_UPSTREAM_MESSAGES", "all", "LOG_UPSTREAM_MESSAGES must be known or full"),
        ] {
            let problems = table(&[(name, value)]).unwrap_err().problems;
            assert_eq!(problems, [expected], "{name}={value}");
        }
        let problems =
            table(&[("AWS_REGION", ""), ("AWS_ACCESS_KEY_ID", "")]).unwrap_err().problems;
        assert_eq!(problems, ["AWS_REGION is not set", "AWS_ACCESS_KEY_ID is not set"]);
        let endpoint = [("AWS_ENDPOINT_URL_DYNAMODB", "http://dynamodb.example.com")];
        assert_eq!(table(&endpoint).unwrap_err().problems.len(), 1);
    }
}
