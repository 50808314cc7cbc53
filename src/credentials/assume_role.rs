//! STS's AssumeRole: one request, and the XML of its answer.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
//!
//! Out of scope: session policies, tags, external ids, a role from a role.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, DATE};
use http::{HeaderValue, Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use sha2::{Digest, Sha256};

use super::{AssumeRole, Temporary};
use crate::date;
use crate::error::Code;
use crate::host::{Body, Host, ReadError, TransportError};
use crate::log::Token;
use crate::sign::{Credentials, Scope, difference, sign_post};

/// Far more than any answer of STS has.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// Why there are no credentials. Its texts are for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssumeRoleError {
    /// STS could not be reached, or did not answer in time.
    #[error("no answer: {0}")]
    Transport(#[from] TransportError),
    /// STS refused.
    #[error("{status} {}: {message}", code.as_ref().map_or("without a code", Token::as_str))]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// The error's code, such as `AccessDenied`.
        code: Option<Token>,
        /// STS's words.
        message: String,
        /// The answer's `date`: AWS's time.
        date: Option<SystemTime>,
    },
    /// The answer is not what STS answers.
    #[error("the answer {0}")]
    Unreadable(&'static str),
    /// The request cannot be made or signed.
    #[error("{0}")]
    Unsigned(String),
}

impl AssumeRoleError {
    /// Whether it is only that the client left.
    pub(super) fn is_cancelled(&self) -> bool {
        *self == Self::Transport(TransportError::Cancelled)
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Transport(TransportError::TimedOut) => Code::Timeout,
            Self::Transport(_) | Self::Unreadable(_) => Code::Unavailable,
            Self::Refused { status, .. } => match status.as_u16() {
                429 => Code::Throttled,
                // Throttling has 400 there.
                _ if self.is_throttled() => Code::Throttled,
                400..=499 => Code::AccessDenied,
                _ => Code::Unavailable,
            },
            Self::Unsigned(_) => Code::Internal,
        }
    }

    fn is_throttled(&self) -> bool {
        matches!(self, Self::Refused { code: Some(code), .. } if code.as_str() == "Throttling")
    }

    /// Whether it may go well another time.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Transport(TransportError::Failed(_)) => true,
            Self::Refused { status, .. } => {
                self.is_throttled() || matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    /// AWS's time, if it refused the time of the signature, or the signature.
    pub(crate) fn date_of_refusal(&self) -> Option<SystemTime> {
        match self {
            Self::Refused { code: Some(code), date, .. } => match code.as_str() {
                "SignatureDoesNotMatch" | "RequestExpired" | "RequestTimeTooSkewed" => *date,
                _ => None,
            },
            _ => None,
        }
    }
}

impl AssumeRole {
    /// `now`: AWS's time.
    pub(super) async fn call<H: Host>(
        &self,
        host: &H,
        within: Duration,
        now: SystemTime,
    ) -> Result<Temporary, AssumeRoleError> {
        let began = host.now();
        let request = self.request(now)?;
        let answer = host.send(request, within).await?;
        let (head, body) = answer.into_parts();
        let left = within.saturating_sub(host.now().duration_since(began).unwrap_or_default());
        let body = match body.read(MAX_ANSWER_BYTES, left).await {
            Ok(body) => body,
            // The status says what matters.
            Err(_) if head.status != StatusCode::OK => Bytes::new(),
            Err(ReadError::Transport(error)) => return Err(error.into()),
            Err(_) => return Err(AssumeRoleError::Unreadable("is too long")),
        };
        let date = head.headers.get(DATE).and_then(|value| date::parse_http(value.to_str().ok()?));
        let answer = read_answer(head.status, &body, date).map_err(|error| match error {
            AssumeRoleError::Refused { status, code, message, date } => {
                // The same request once more, since the other one is gone.
                let difference =
                    self.request(now).ok().and_then(|signed| difference(&message, &signed));
                let message = match difference {
                    Some(difference) => format!("{difference}\n{message}"),
                    None => message,
                };
                AssumeRoleError::Refused { status, code, message, date }
            }
            error => error,
        })?;
        if answer.expires <= now {
            return Err(AssumeRoleError::Unreadable("has credentials that are over"));
        }
        Ok(answer)
    }

    fn request(&self, now: SystemTime) -> Result<Request<Bytes>, AssumeRoleError> {
        let body = format!(
            "Action=AssumeRole&Version=2011-06-15&RoleArn={}&RoleSessionName={}",
            utf8_percent_encode(&self.role_arn, NON_ALPHANUMERIC),
            utf8_percent_encode(&self.session_name, NON_ALPHANUMERIC),
        );
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut request = Request::post(self.endpoint.clone())
            .header(CONTENT_TYPE, form)
            .header(ACCEPT, HeaderValue::from_static("text/xml"))
            .body(Bytes::from(body))
            .map_err(|error| AssumeRoleError::Unsigned(error.to_string()))?;
        let scope = Scope { region: &self.region, service: "sts" };
        let payload_hash = Sha256::digest(request.body()).into();
        sign_post(&mut request, &payload_hash, &self.source, scope, now)
            .map_err(|error| AssumeRoleError::Unsigned(error.to_string()))?;
        Ok(request)
    }
}

/// What STS answered, which came with this `date`.
///
/// # Errors
///
/// Where it refused, or its answer is none.
pub fn read_answer(
    status: StatusCode,
    body: &[u8],
    date: Option<SystemTime>,
) -> Result<Temporary, AssumeRoleError> {
    let elements = std::str::from_utf8(body).ok().and_then(elements);
    if status != StatusCode::OK {
        // What is no XML is of a proxy in between.
        let elements = elements.unwrap_or_default();
        let text = |name| find(&elements, "Error", name);
        return Err(AssumeRoleError::Refused {
            status,
            code: text("Code").and_then(Token::new),
            message: text("Message").unwrap_or_default().to_owned(),
            date,
        });
    }
    let elements = elements.ok_or(AssumeRoleError::Unreadable("is not XML"))?;
    let text = |name, problem| {
        find(&elements, "Credentials", name)
            // They become headers.
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or(AssumeRoleError::Unreadable(problem))
    };
    let id = text("AccessKeyId", "has no AccessKeyId")?;
    let secret = text("SecretAccessKey", "has no SecretAccessKey")?;
    let token = text("SessionToken", "has no SessionToken")?;
    let expires = text("Expiration", "has no Expiration")?;
    Ok(Temporary {
        credentials: Credentials::new(id, secret, Some(token.to_owned())),
        expires: date::parse_iso(expires)
            .ok_or(AssumeRoleError::Unreadable("has an Expiration that is no time"))?,
    })
}

/// An element with text in it.
struct Element {
    /// The name of the element around it.
    parent: String,
    name: String,
    text: String,
}

/// The text of an element: of several, the first.
fn find<'a>(elements: &'a [Element], parent: &str, name: &str) -> Option<&'a str> {
    let found = elements.iter().find(|it| it.parent == parent && it.name == name);
    found.map(|it| it.text.as_str())
}

/// The elements of a document, or `None` if it is no XML.
fn elements(xml: &str) -> Option<Vec<Element>> {
    /// Deeper than any answer of STS.
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
            Event::Text(piece) => text.push_str(&piece.into_inner()),
            Event::CData(piece) => text.push_str(&piece.into_inner()),
            Event::GeneralRef(name) => match name.resolve_char_ref().ok()? {
                Some(character) => text.push(character),
                None => text.push_str(resolve_predefined_entity(&name.into_inner())?),
            },
            // Other entities could be declared there.
            Event::DocType(_) => return None,
            Event::Eof => return (path.is_empty() && !elements.is_empty()).then_some(elements),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}
