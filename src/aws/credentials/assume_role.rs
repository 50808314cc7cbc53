//! STS's AssumeRole: one request, and the XML of its response.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
//!
//! Out of scope: session policies, transitive tags, role chaining.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, DATE};
use http::{HeaderValue, Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use sha2::{Digest, Sha256};

use super::role::{RoleSettings, TemporaryCredentials};
use crate::aws::access_key::Credentials;
use crate::aws::errors::{AwsError, Recovery};
use crate::aws::sigv4::{Scope, SigningCache, explain, sign_post};
use crate::date;
use crate::error::Code;
use crate::headers::upstream;
use crate::host::{Body, Http, ReadError, TransportError};
use crate::identifier::Identifier;

/// Far more than any response of STS has.
const MAX_RESPONSE_BYTES: usize = 256 << 10;

/// There are no temporary credentials. The texts are for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssumeRoleError {
    /// STS could not be reached, or did not respond in time.
    #[error("no response: {0}")]
    Transport(#[from] TransportError),
    /// STS refused.
    #[error(
        "{status} {}: {}{message}",
        code.as_ref().map_or("without a code", Identifier::as_str),
        explanation.as_ref().map_or_else(String::new, |it| format!("{it}\n"))
    )]
    Refused {
        /// The status of the response.
        status: StatusCode,
        /// The code of the error, such as `AccessDenied`.
        code: Option<Identifier>,
        /// The first difference between our canonical request and STS's, if STS refused the signature.
        explanation: Option<String>,
        /// STS's message.
        message: String,
        /// The `date` of the response: AWS's time.
        date: Option<SystemTime>,
    },
    /// The response is not one of STS's.
    #[error("the response {0}")]
    Unreadable(&'static str),
    /// The request cannot be made or signed.
    #[error("{0}")]
    Unsigned(String),
}

impl AssumeRoleError {
    /// Returns the code for the caller.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Transport(TransportError::TimedOut) => Code::Timeout,
            Self::Transport(_) | Self::Unreadable(_) => Code::Unavailable,
            Self::Refused { status, .. } => match self.aws_error().map(|error| error.code) {
                Some(Code::Throttled) => Code::Throttled,
                _ if status.is_client_error() => Code::AccessDenied,
                _ => Code::Unavailable,
            },
            Self::Unsigned(_) => Code::Internal,
        }
    }

    /// Reports whether a retry may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        let recovery = self.aws_error().map(|error| error.recovery);
        matches!(self, Self::Transport(TransportError::Failed(_)))
            || matches!(recovery, Some(Recovery::Throttled | Recovery::Transient))
    }

    /// Returns AWS's time if AWS refused the signature or its time.
    pub(crate) fn date_of_refusal(&self) -> Option<SystemTime> {
        match self {
            Self::Refused { date, .. }
                if self.aws_error().is_some_and(|it| it.recovery == Recovery::Skewed) =>
            {
                *date
            }
            _ => None,
        }
    }

    fn aws_error(&self) -> Option<AwsError> {
        match self {
            Self::Refused { status, code, .. } => {
                let code = code.as_ref().map_or("", Identifier::as_str);
                Some(AwsError::find(code, status.as_u16()))
            }
            _ => None,
        }
    }
}

/// Calls AssumeRole. `now` is AWS's time.
pub(super) async fn assume_role<H: Http>(
    role: &RoleSettings,
    host: &H,
    within: Duration,
    now: SystemTime,
) -> Result<TemporaryCredentials, AssumeRoleError> {
    let began = host.now();
    let response = host.send(request(role, now)?, within).await?;
    let (head, body) = response.into_parts();
    let left = within.saturating_sub(host.now().duration_since(began).unwrap_or_default());
    let body = match body.read(MAX_RESPONSE_BYTES, left).await {
        Ok(body) => body,
        // The status says enough.
        Err(_) if head.status != StatusCode::OK => Bytes::new(),
        Err(ReadError::Transport(error)) => return Err(error.into()),
        Err(_) => return Err(AssumeRoleError::Unreadable("is too long")),
    };
    let date = upstream(&head.headers, &DATE).and_then(date::parse_http);
    let temporary = read_assume_role(head.status, &body, date).map_err(|mut error| {
        if let AssumeRoleError::Refused { explanation, message, .. } = &mut error {
            // Signs once more, because sending has consumed the request.
            *explanation = request(role, now).ok().and_then(|it| explain(message, &it));
        }
        error
    })?;
    if temporary.expires <= now {
        return Err(AssumeRoleError::Unreadable("has credentials that are over"));
    }
    Ok(temporary)
}

/// Writes the parameters of AssumeRole.
fn form(role: &RoleSettings) -> String {
    let mut form = "Action=AssumeRole&Version=2011-06-15".to_owned();
    let mut add = |name: &str, value: &str| {
        form.extend(["&", name, "="]);
        form.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    };
    add("RoleArn", &role.role_arn);
    add("RoleSessionName", &role.session_name);
    if let Some(id) = &role.external_id {
        add("ExternalId", id);
    }
    if let Some(seconds) = role.duration {
        add("DurationSeconds", &seconds.to_string());
    }
    for (number, (key, value)) in (1..).zip(&role.tags) {
        add(&format!("Tags.member.{number}.Key"), key);
        add(&format!("Tags.member.{number}.Value"), value);
    }
    form
}

fn request(role: &RoleSettings, now: SystemTime) -> Result<Request<Bytes>, AssumeRoleError> {
    let body = form(role);
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    let mut request = Request::post(role.endpoint.clone())
        .header(CONTENT_TYPE, form)
        .header(ACCEPT, HeaderValue::from_static("text/xml"))
        .body(Bytes::from(body))
        .map_err(|error| AssumeRoleError::Unsigned(error.to_string()))?;
    let scope = Scope { region: &role.region, service: "sts" };
    let payload_hash = Sha256::digest(request.body()).into();
    // One call an hour shares nothing with another.
    let cache = SigningCache::default();
    sign_post(&mut request, &payload_hash, &role.source, scope, now, &cache)
        .map_err(|error| AssumeRoleError::Unsigned(error.to_string()))?;
    Ok(request)
}

/// Reads the response of AssumeRole, which came with this `date`.
///
/// # Errors
///
/// If STS refused, or the response is not one of STS's.
pub fn read_assume_role(
    status: StatusCode,
    body: &[u8],
    date: Option<SystemTime>,
) -> Result<TemporaryCredentials, AssumeRoleError> {
    let elements = std::str::from_utf8(body).ok().and_then(elements);
    if status != StatusCode::OK {
        // A proxy in between responds with something other than XML.
        let elements = elements.unwrap_or_default();
        let text = |name| find(&elements, "Error", name);
        return Err(AssumeRoleError::Refused {
            status,
            code: text("Code").and_then(Identifier::new),
            explanation: None,
            message: text("Message").unwrap_or_default().to_owned(),
            date,
        });
    }
    let elements = elements.ok_or(AssumeRoleError::Unreadable("is not XML"))?;
    let text = |name, problem| {
        find(&elements, "Credentials", name)
            // The values become headers.
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or(AssumeRoleError::Unreadable(problem))
    };
    let id = text("AccessKeyId", "has no AccessKeyId")?;
    let secret = text("SecretAccessKey", "has no SecretAccessKey")?;
    let token = text("SessionToken", "has no SessionToken")?;
    let expires = text("Expiration", "has no Expiration")?;
    Ok(TemporaryCredentials {
        credentials: Credentials::new(id, secret, Some(token.to_owned())),
        expires: date::parse_iso(expires)
            .ok_or(AssumeRoleError::Unreadable("has an Expiration that is not a time"))?,
    })
}

/// An XML element that contains text.
struct Element {
    /// The name of the element around it.
    parent: String,
    name: String,
    text: String,
}

/// Finds the text of the first element with this name and parent.
fn find<'a>(elements: &'a [Element], parent: &str, name: &str) -> Option<&'a str> {
    let found = elements.iter().find(|it| it.parent == parent && it.name == name);
    found.map(|it| it.text.as_str())
}

/// Returns the elements of a document, or `None` if it is not XML.
fn elements(xml: &str) -> Option<Vec<Element>> {
    /// Deeper than any response of STS.
    const MAX_DEPTH: usize = 16;

    let mut reader = Reader::from_str(xml);
    let mut elements = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                if path.len() == MAX_DEPTH {
                    return None;
                }
                path.push(start.local_name().as_ref().to_owned());
                text.clear();
            }
            Event::End(_) => {
                let name = path.pop()?;
                if let Some(parent) = path.last() {
                    let (parent, text) = (parent.clone(), text.trim().to_owned());
                    elements.push(Element { parent, name, text });
                }
                text.clear();
            }
            Event::Text(chunk) => text.push_str(&chunk.into_inner()),
            Event::CData(chunk) => text.push_str(&chunk.into_inner()),
            Event::GeneralRef(name) => match name.resolve_char_ref().ok()? {
                Some(character) => text.push(character),
                None => text.push_str(resolve_predefined_entity(&name.into_inner())?),
            },
            // It could declare entities.
            Event::DocType(_) => return None,
            Event::Eof => return (path.is_empty() && !elements.is_empty()).then_some(elements),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}
